// Draws payloads: JSON as a tree, bytes as hex, images as images, everything else as text. `content.py` prepares them: a
// new type of content goes into both.
import { formatDuration, formatSize, formatTime, h, quoted, setText } from "./dom.js";

/** @import { EventRow, WholeEvent } from "./rows.js" */

/** Branches with more entries start folded. */
const MAX_UNFOLDED = 30;
const MAX_DEPTH = 40;
const MAX_ENTRIES = 1000;
const MAX_DUMPED_BYTES = 65_536;
/** Types of images that cannot contain a script, as in `lknb/files.py`. */
const IMAGE_TYPES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

/**
 * The beginning of a payload as one line.
 * @param {EventRow} event
 */
export function contentLine(event) {
	return quoted(
		event.preview,
		event.content === "hex" || event.content === "json" ? "lknb-line lknb-code" : "lknb-line",
	);
}

/**
 * An event in full.
 * @param {WholeEvent} event
 * @param {DataView<ArrayBuffer>} [buffer] an image's bytes
 * @returns {HTMLElement}
 */
export function eventDetails(event, buffer) {
	const parts = [];
	if (event.value !== undefined)
		parts.push(h("strong", null, "Value"), copyable(event.value, "json"), h("strong", null, "Payload"));
	if (buffer && IMAGE_TYPES.has(event.type ?? "")) parts.push(image(buffer, event.type ?? "", event.preview));
	else if (event.preview) parts.push(copyable(event.preview, event.content));
	if (event.result) parts.push(h("strong", null, "Answer"), copyable(event.result, "text"));
	if (event.more && !buffer)
		parts.push(
			h("p", { class: "lknb-note" }, "This is only the beginning. The rest is loading, or too large to show."),
		);
	return h("div", { class: "lknb-details" }, facts(event), ...parts);
}

/** @param {WholeEvent} event */
function facts(event) {
	/** @type {[name: string, value: unknown][]} */
	const rows = [
		["time", formatTime(event.time)],
		["from", event.sender],
		["to", event.to.join(", ") || (event.direction === "out" ? "everybody" : "")],
		["topic", event.topic],
		["size", formatSize(event.size)],
		["took", formatDuration(event.duration)],
		["sent", event.reliable === false ? "lossy" : event.reliable === true ? "reliably" : ""],
		...Object.entries(event.attributes ?? {}),
		["error", event.error],
		["decoder", event.value_error],
	];
	const given = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
	return h(
		"dl",
		{ class: "lknb-facts" },
		given.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, quoted(value))]),
	);
}

/**
 * Text, JSON or hex, with a button to copy it.
 * @param {string} text
 * @param {string} kind
 */
export function copyable(text, kind) {
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(text); // missing without TLS, and may be forbidden in a frame
			setText(button, "Copied");
		} catch {
			setText(button, "The browser refused. Select the text to copy it.");
		}
	};
	const button = h("button", { type: "button", onclick: copy }, "Copy");
	return h("div", { class: "lknb-payload" }, button, payload(text, kind));
}

/**
 * @param {string} text
 * @param {string} kind
 * @returns {HTMLElement}
 */
function payload(text, kind) {
	const value = parseContainer(text);
	if (value !== undefined) return tree(value);
	return h("pre", { class: "lknb-text" }, kind === "hex" ? hexDump(text) : text);
}

/**
 * @param {string} text
 * @returns {object | undefined} undefined if it is not a JSON object or array
 */
export function parseContainer(text) {
	if (!/^\s*[[{]/.test(text)) return undefined;
	try {
		const value = JSON.parse(text);
		return typeof value === "object" && value !== null ? value : undefined;
	} catch {
		return undefined;
	}
}

/**
 * A JSON value as a tree of native elements that can be folded.
 * @param {unknown} value
 * @param {string} [name]
 * @param {number} [depth]
 * @returns {HTMLElement}
 */
export function tree(value, name = "", depth = 0) {
	const key = name === "" ? "" : h("span", { class: "lknb-key" }, quoted(name), ": ");
	if (value === null || typeof value !== "object") {
		const type = value === null ? "null" : typeof value;
		return h("div", { class: "lknb-leaf" }, key, h("bdi", { class: `lknb-${type}` }, JSON.stringify(value)));
	}
	const entries = Object.entries(value);
	const count = Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`;
	const children = h("div", { class: "lknb-branch" });
	const branch = h(
		"details",
		{ open: depth < 2 && entries.length <= MAX_UNFOLDED && depth < MAX_DEPTH },
		h("summary", null, key, count),
		children,
	);
	// Filled when opened, because a payload may have a hundred thousand entries.
	const fill = () => {
		if (!branch.open || children.childElementCount) return;
		if (depth >= MAX_DEPTH) children.append(h("div", null, "nested too deeply to show"));
		else children.append(...entries.slice(0, MAX_ENTRIES).map(([key, inner]) => tree(inner, key, depth + 1)));
		if (entries.length > MAX_ENTRIES) children.append(h("div", null, `and ${entries.length - MAX_ENTRIES} more`));
	};
	branch.addEventListener("toggle", fill);
	fill();
	return branch;
}

/**
 * Format pairs of hex digits as lines of sixteen bytes, with offsets and printable characters.
 * @param {string} pairs
 */
export function hexDump(pairs) {
	const bytes = pairs.split(" ").filter(Boolean).slice(0, MAX_DUMPED_BYTES);
	const lines = [];
	for (let at = 0; at < bytes.length; at += 16) {
		const line = bytes.slice(at, at + 16);
		const characters = line
			.map((pair) => Number.parseInt(pair, 16))
			.map((code) => (code > 31 && code < 127 ? String.fromCharCode(code) : "."));
		lines.push(`${at.toString(16).padStart(8, "0")}  ${line.join(" ").padEnd(47)}  ${characters.join("")}`);
	}
	return lines.join("\n");
}

/**
 * @param {BlobPart} content
 * @param {string} type one of `IMAGE_TYPES`
 * @param {string} alt
 */
export function image(content, type, alt) {
	const url = URL.createObjectURL(new Blob([content], { type }));
	const element = h("img", { class: "lknb-image", src: url, alt });
	const release = () => URL.revokeObjectURL(url);
	element.addEventListener("load", release);
	element.addEventListener("error", release);
	return element;
}
