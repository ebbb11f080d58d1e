// Payloads for people: JSON as a tree, bytes as hex, images as images, everything else as the text it is.
import { clock, h, inert, lasted, quoted, say, size } from "./dom.js";

/** @typedef {import("./sync.js").Row} Row */

/** A tree of more than this is folded. */
const UNFOLDED = 30;
const DEEPEST = 40;
const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

/**
 * The beginning of a payload in one line.
 * @param {Row} row
 */
export function content(row) {
	return quoted(row.preview, row.content === "hex" || row.content === "json" ? "lknb-line lknb-code" : "lknb-line");
}

/**
 * A payload in full.
 * @param {Row} row
 * @param {DataView} [buffer] an image's bytes
 * @returns {HTMLElement}
 */
export function details(row, buffer) {
	const facts = h("dl", { class: "lknb-facts" });
	const fact = (/** @type {string} */ name, /** @type {unknown} */ value) => {
		if (value !== null && value !== undefined && value !== "")
			facts.append(h("dt", null, name), h("dd", null, quoted(value)));
	};
	fact("time", clock(row.time));
	fact("from", row.sender);
	fact("to", row.to?.join(", ") || (row.direction === "out" ? "everybody" : ""));
	fact("topic", row.topic);
	fact("size", size(row.size));
	fact("took", lasted(row.duration));
	fact("sent", row.reliable === false ? "lossy" : row.reliable === true ? "reliably" : "");
	for (const [key, value] of Object.entries(row.attributes ?? {})) fact(key, value);
	fact("error", row.error);
	const parts = [];
	if (buffer && IMAGES.has(row.type)) parts.push(image(buffer, row.type, row.preview));
	else if (row.preview) parts.push(copyable(row.preview, row.content));
	if (row.result) parts.push(h("strong", null, "Answer"), copyable(row.result, "text"));
	if (row.more && !buffer)
		parts.push(
			h("p", { class: "lknb-note" }, "This is the beginning; the whole of it is on its way or too large to show."),
		);
	return h("div", { class: "lknb-details" }, facts, ...parts);
}

/**
 * Text, JSON or hex with a button that copies it.
 * @param {string} text
 * @param {string} kind
 */
export function copyable(text, kind) {
	const copy = h(
		"button",
		{
			type: "button",
			async onclick() {
				await navigator.clipboard.writeText(text).then(
					() => say(copy, "Copied"),
					() => say(copy, "Select and copy it: the page may not use the clipboard"),
				);
			},
		},
		"Copy",
	);
	return h("div", { class: "lknb-payload" }, copy, payload(text, kind));
}

/**
 * @param {string} text
 * @param {string} kind
 * @returns {HTMLElement}
 */
function payload(text, kind) {
	const value = parsed(text);
	if (value !== undefined) return tree(value);
	return h("pre", { class: "lknb-text" }, kind === "hex" ? hexDump(text) : text);
}

/**
 * @param {string} text
 * @returns {object | undefined} undefined when it is no JSON object or array
 */
export function parsed(text) {
	if (!/^\s*[[{]/.test(text)) return undefined;
	try {
		const value = JSON.parse(text);
		return typeof value === "object" && value !== null ? value : undefined;
	} catch {
		return undefined;
	}
}

/**
 * A JSON value as a tree of native, foldable elements.
 * @param {any} value
 * @param {string} [name]
 * @param {number} [depth]
 * @returns {HTMLElement}
 */
export function tree(value, name = "", depth = 0) {
	const key = name === "" ? "" : h("span", { class: "lknb-key" }, quoted(name), ": ");
	if (value === null || typeof value !== "object") {
		return h(
			"div",
			{ class: "lknb-leaf" },
			key,
			h("bdi", { class: `lknb-${value === null ? "null" : typeof value}` }, JSON.stringify(value)),
		);
	}
	const entries = Object.entries(value);
	const brief = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
	const place = h("div", { class: "lknb-branch" });
	const branch = h(
		"details",
		{ open: depth < 2 && entries.length <= UNFOLDED && depth < DEEPEST },
		h("summary", null, key, brief),
		place,
	);
	// Made when it is opened: a payload may have a hundred thousand of them.
	const grow = () => {
		if (!branch.open || place.childElementCount) return;
		if (depth >= DEEPEST) place.append(h("div", null, inert("deeper than is shown")));
		else place.append(...entries.slice(0, 1000).map(([each, inner]) => tree(inner, each, depth + 1)));
		if (entries.length > 1000) place.append(h("div", null, `and ${entries.length - 1000} more`));
	};
	branch.addEventListener("toggle", grow);
	grow();
	return branch;
}

/**
 * Pairs of hex digits as lines of sixteen, with offsets and what is printable.
 * @param {string} pairs
 */
export function hexDump(pairs) {
	const bytes = pairs.split(" ").filter(Boolean);
	const lines = [];
	for (let at = 0; at < Math.min(bytes.length, 65_536); at += 16) {
		const line = bytes.slice(at, at + 16);
		const shown = line
			.map((pair) => Number.parseInt(pair, 16))
			.map((code) => (code > 31 && code < 127 ? String.fromCharCode(code) : "."));
		lines.push(`${at.toString(16).padStart(8, "0")}  ${line.join(" ").padEnd(47)}  ${shown.join("")}`);
	}
	return lines.join("\n");
}

/**
 * An image, of a type that cannot carry a script.
 * @param {DataView} buffer
 * @param {string} type
 * @param {string} alt
 */
export function image(buffer, type, alt) {
	const url = URL.createObjectURL(new Blob([/** @type {any} */ (buffer)], { type }));
	const shown = h("img", { class: "lknb-image", src: url, alt });
	const done = () => URL.revokeObjectURL(url);
	shown.addEventListener("load", done);
	shown.addEventListener("error", done);
	return shown;
}
