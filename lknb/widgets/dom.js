// Elements made without markup: all text is set as text, and what could disguise it is made visible.

/**
 * Control and direction characters, which could hide or turn around what a line says; tabs and line ends stay, and what
 * joins two emoji into one.
 */
const DISGUISING =
	/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|(?<!\p{Extended_Pictographic}\ufe0f?|\p{Emoji_Modifier})\u200d|\u200d(?!\p{Extended_Pictographic})/gu;

/**
 * Text as it may be shown.
 * @param {unknown} value
 */
export function inert(value) {
	const text = value === null || value === undefined ? "" : String(value);
	return text.replace(DISGUISING, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. `class`, `on` followed by an event's name, `dataset` and properties of the element are set as such, what
 * has a hyphen or is `role`, `for`, `scope`, `colspan` or `list` as an attribute.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any> | null} [options]
 * @param {...(Child | Child[])} children strings are shown as they are, never as markup
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, options, ...children) {
	const element = document.createElement(tag);
	const properties = /** @type {Record<string, any>} */ (/** @type {unknown} */ (element));
	for (const [name, value] of Object.entries(options ?? {})) {
		if (name === "class") element.className = value;
		else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (name.includes("-") || ATTRIBUTES.has(name)) element.setAttribute(name, inert(value));
		else properties[name] = typeof value === "string" && SHOWN.has(name) ? inert(value) : value;
	}
	element.append(...children.flat().filter(given).map(node));
	return element;
}

const ATTRIBUTES = new Set(["role", "for", "scope", "colspan", "list"]);
const SHOWN = new Set(["title", "textContent", "placeholder", "label", "alt"]);

/**
 * @param {Child} child
 * @returns {child is Node | string | number}
 */
function given(child) {
	return child !== null && child !== undefined && child !== false;
}

/** @param {Node | string | number} child */
function node(child) {
	return child instanceof Node ? child : document.createTextNode(inert(child));
}

/**
 * What somebody in the room wrote: its direction cannot reach the text around it.
 * @param {unknown} value
 * @param {string} [kind] a class
 */
export function quoted(value, kind = "") {
	return h("bdi", { class: kind }, inert(value));
}

/**
 * Set an element's text if it is another one, so that nothing is drawn or read out for nothing.
 * @param {HTMLElement} element
 * @param {unknown} value
 */
export function say(element, value) {
	const text = inert(value);
	if (element.textContent !== text) element.textContent = text;
}

/**
 * Make the children of `parent` those of `entries`, in this order, keeping the elements of keys that stay.
 * @template T
 * @template {HTMLElement} E
 * @param {HTMLElement} parent
 * @param {Iterable<[string, T]>} entries
 * @param {(key: string, item: T) => E} make
 * @param {(element: E, item: T, key: string) => void} fill called when an item is new or is another object than before
 */
export function keyed(parent, entries, make, fill) {
	const had = /** @type {Map<string, { element: E, item: T }>} */ (KEYED.get(parent) ?? new Map());
	const has = new Map();
	const listed = new Map(entries);
	// First, so that those that stay need not move: what moves loses the focus.
	for (const [key, { element }] of had) {
		if (listed.has(key)) continue;
		element.remove();
		had.delete(key);
	}
	/** @type {Element | null} */
	let at = parent.firstElementChild;
	if (at?.tagName === "THEAD") at = at.nextElementSibling; // a table's head stays above its bodies
	for (const [key, item] of listed) {
		let known = had.get(key);
		if (!known) known = { element: make(key, item), item: /** @type {any} */ (undefined) };
		if (known.item !== item) {
			fill(known.element, item, key);
			known.item = item;
		}
		has.set(key, known);
		if (known.element === at) at = at.nextElementSibling;
		else parent.insertBefore(known.element, at);
	}
	KEYED.set(parent, has);
}

/** @type {WeakMap<HTMLElement, Map<string, any>>} */
const KEYED = new WeakMap();

/**
 * Offer bytes as a file to be saved.
 * @param {string} name
 * @param {DataView | ArrayBuffer | string} content
 */
export function save(name, content) {
	// Of no type that a browser would open instead.
	const url = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (content)], { type: "application/octet-stream" }));
	const link = h("a", { href: url, download: name });
	link.click();
	setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** @param {number | null | undefined} bytes */
export function size(bytes) {
	if (bytes === null || bytes === undefined) return "";
	for (const unit of ["B", "kB", "MB"]) {
		if (bytes < 1000) return unit === "B" ? `${bytes} B` : `${bytes.toFixed(1)} ${unit}`;
		bytes /= 1000;
	}
	return `${bytes.toFixed(2)} GB`;
}

/**
 * A moment as hours, minutes, seconds and milliseconds, here.
 * @param {number} time milliseconds since 1970
 */
export function clock(time) {
	const at = new Date(time);
	const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
	const millis = String(at.getMilliseconds()).padStart(3, "0");
	return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${millis}`;
}

/** @param {number | null | undefined} seconds */
export function lasted(seconds) {
	if (seconds === null || seconds === undefined) return "";
	return seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(1)} s`;
}
