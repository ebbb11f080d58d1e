// The last state of a widget that has ended, without controls: as the view showed it, or as the kernel tells it.
import { h, NOT_TYPESET, quoted } from "./dom.js";
import { staticCopy, usedStyle } from "./snapshot.js";

/** @typedef {string | string[][]} Block a line of text, or a table */

/** It stays when the front end takes the widget's style sheet away. */
export const STYLE =
	".lknb-saved { font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); max-height: 480px; overflow: auto; } " +
	".lknb-saved p { margin: 0; overflow-wrap: break-word; unicode-bidi: isolate; } " +
	".lknb-saved .lknb-scroll { height: auto; max-height: none; resize: none; } .lknb-saved .lknb-pages { min-height: 0; } " +
	".lknb-saved .lknb-timeline-scroll > * { height: auto !important; } " +
	".lknb-saved-note { opacity: 0.75; font-style: italic; }";
const TABLES =
	".lknb-saved table { border-collapse: collapse; } " +
	".lknb-saved td { padding: 2px 6px; text-align: start; vertical-align: top; max-width: 60ch; overflow-wrap: break-word; } " +
	".lknb-saved :is(tr:first-child, p:has(+ table)) { font-weight: 600; } .lknb-saved p:has(+ table) { margin-top: 6px; }";

/**
 * @param {string} label for screen readers
 * @param {Block[]} blocks
 */
export function finalState(label, blocks) {
	const style = h("style", null, STYLE, TABLES);
	const content = blocks.map((block) => (typeof block === "string" ? h("p", null, quoted(block)) : tableOf(block)));
	return h("section", { class: `lknb-saved ${NOT_TYPESET}`, "aria-label": label }, style, content);
}

/**
 * A view as it was when it ended.
 * @param {HTMLElement} root
 * @param {string} css of the widget
 * @param {string} note
 */
export function finalView(root, css, note) {
	const copy = staticCopy(root);
	const style = h("style", null, usedStyle(css, copy), STYLE);
	return h("section", { class: "lknb-saved" }, style, h("p", { class: "lknb-saved-note" }, quoted(note)), copy);
}

/** @param {string[][]} rows */
function tableOf(rows) {
	const cells = (/** @type {string[]} */ row) => row.map((text) => h("td", null, quoted(text)));
	return h(
		"table",
		null,
		rows.map((row) => h("tr", null, cells(row))),
	);
}
