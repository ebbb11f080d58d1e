// Chat: the texts of `lk.chat` as they grow, replies, edits and attachments.
import { h } from "./dom.js";

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function chat(context) {
	return h("div", null, "Chat");
}
