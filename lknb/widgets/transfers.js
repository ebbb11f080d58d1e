// Transfers: every byte stream, both directions, with progress; to cancel, save and look at.
import { h } from "./dom.js";

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function transfers(context) {
	return h("div", null, "Transfers");
}
