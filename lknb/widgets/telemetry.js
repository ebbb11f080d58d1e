// Telemetry: numbers in packets and data tracks as live lines and as a live table.
import { h } from "./dom.js";

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function telemetry(context) {
	return h("div", null, "Telemetry");
}
