// The last state of a widget that has ended: text and tables, without controls.
import { h, quoted } from "./dom.js";

/** @typedef {string | string[][]} Block a line of text, or a table */

/** It stays when the front end takes the widget's style sheet away. */
export const STYLE =
	".lknb-saved { font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); max-height: 400px; overflow: auto; } " +
	".lknb-saved table { border-collapse: collapse; } " +
	".lknb-saved td { padding: 2px 6px; text-align: start; vertical-align: top; max-width: 60ch; } " +
	".lknb-saved :is(p, td) { overflow-wrap: break-word; margin: 0; unicode-bidi: isolate; }";
const HEADINGS =
	".lknb-saved :is(tr:first-child, p:has(+ table)) { font-weight: 600; } .lknb-saved p:has(+ table) { margin-top: 6px; }";

/**
 * @param {string} label for screen readers
 * @param {Block[]} blocks
 */
export function finalState(label, blocks) {
	const style = h("style", null, STYLE, HEADINGS);
	const content = blocks.map((block) => (typeof block === "string" ? h("p", null, quoted(block)) : tableOf(block)));
	return h("section", { class: "lknb-saved mathjax_ignore tex2jax_ignore", "aria-label": label }, style, content);
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
