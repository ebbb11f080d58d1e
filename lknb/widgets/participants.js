// Participants: who is here with their state, live; what is one's own can be edited.
import { h } from "./dom.js";

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function participants(context) {
	return h("div", null, "Participants");
}
