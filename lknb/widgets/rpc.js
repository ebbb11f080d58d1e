// RPC: call a method of a participant, and see those that this notebook serves.
import { h } from "./dom.js";

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function rpc(context) {
	return h("div", null, "RPC");
}
