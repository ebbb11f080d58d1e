// Creates elements without markup: all text is set as text, and characters that could disguise it are made visible.
import { inert } from "./inert.js";

/** Classes with which no front end typesets mathematics in the text of an element. */
export const NOT_TYPESET = "mathjax_ignore tex2jax_ignore";

const ATTRIBUTES = new Set(["role", "for", "scope", "colspan", "list"]);
const TEXT_PROPERTIES = new Set(["title", "textContent", "placeholder", "label", "alt"]);

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Create an element. In `options`, `class`, `on` followed by an event's name, `dataset` and properties of the element
 * are set directly; names with a hyphen and `role`, `for`, `scope`, `colspan` and `list` become attributes.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown> | null} [options]
 * @param {...(Child | Child[])} children strings are shown as text, never as markup
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, options, ...children) {
	const element = document.createElement(tag);
	const properties = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (element));
	for (const [name, value] of Object.entries(options ?? {})) {
		if (name === "class") element.className = String(value);
		else if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
		else if (name.includes("-") || ATTRIBUTES.has(name)) element.setAttribute(name, inert(value));
		else properties[name] = typeof value === "string" && TEXT_PROPERTIES.has(name) ? inert(value) : value;
	}
	element.append(...children.flat().filter(isGiven).map(node));
	return element;
}

/**
 * @param {Child} child
 * @returns {child is Node | string | number}
 */
function isGiven(child) {
	return child !== null && child !== undefined && child !== false;
}

/** @param {Node | string | number} child */
function node(child) {
	return child instanceof Node ? child : document.createTextNode(inert(child));
}

/**
 * Text from a participant, isolated so that its direction does not affect the text around it.
 * @param {unknown} value
 * @param {string} [className]
 */
export function quoted(value, className = "") {
	return h("bdi", { class: className }, inert(value));
}

/**
 * Whether the focus is in an element. `document.activeElement` does not tell in a shadow root, which marimo has.
 * @param {HTMLElement} element
 */
export function hasFocus(element) {
	return element.contains(/** @type {Document | ShadowRoot} */ (element.getRootNode()).activeElement);
}

/**
 * The button that opens and closes a row.
 * @param {() => void} toggle
 */
export function opener(toggle) {
	const state = { "aria-expanded": "false", "aria-label": "Open" };
	return h("button", { type: "button", class: "lknb-open", ...state, onclick: toggle }, "▸");
}

/**
 * Have a click anywhere in a row toggle it, unless it selects text or is for a button in the row.
 * @param {HTMLElement} row
 * @param {() => void} toggle
 */
export function toggleOnClick(row, toggle) {
	row.addEventListener("click", (event) => {
		const isSelecting = window.getSelection()?.toString();
		if (!isSelecting && !(event.target instanceof HTMLButtonElement)) toggle();
	});
}

/**
 * Several texts from participants, separated by commas.
 * @param {string[]} values
 */
export function quotedList(values) {
	return values.flatMap((value, index) => [index ? ", " : "", quoted(value)]);
}

/**
 * Set an element's text only if it differs, so that nothing is redrawn or read out without need.
 * @param {HTMLElement} element
 * @param {unknown} value
 */
export function setText(element, value) {
	const text = inert(value);
	if (element.textContent !== text) element.textContent = text;
}

/**
 * Draws one item of a list in its own element.
 * @template Item
 * @typedef {{ element: HTMLElement, fill(item: Item, key: string): void }} ItemView
 */

/**
 * The children of an element, each drawn by a view that exists as long as its key is listed. Children that the element
 * already has, such as a table's head, stay above them.
 * @template Item
 * @template {ItemView<Item>} View
 */
export class KeyedList {
	/**
	 * @param {HTMLElement} parent
	 * @param {(key: string, item: Item) => View} make
	 */
	constructor(parent, make) {
		this.parent = parent;
		this.make = make;
		this.above = parent.lastElementChild;
		/** @type {Map<string, { view: View, item?: Item }>} */
		this.entries = new Map();
	}

	/**
	 * List these items in this order. A view is filled when its item is new or another object than before.
	 * @param {Iterable<[string, Item]>} items
	 */
	draw(items) {
		const listed = new Map(items);
		// Remove first, so that the other elements need not move: an element that moves loses the focus.
		for (const [key, { view }] of this.entries) {
			if (listed.has(key)) continue;
			view.element.remove();
			this.entries.delete(key);
		}
		let next = this.above ? this.above.nextElementSibling : this.parent.firstElementChild;
		for (const [key, item] of listed) {
			const entry = this.entries.get(key) ?? { view: this.make(key, item) };
			if (entry.item !== item) {
				entry.view.fill(item, key);
				entry.item = item;
			}
			this.entries.set(key, entry);
			if (entry.view.element === next) next = next.nextElementSibling;
			else this.parent.insertBefore(entry.view.element, next);
		}
	}

	/**
	 * @param {string} key
	 * @returns {View | undefined}
	 */
	get(key) {
		return this.entries.get(key)?.view;
	}

	get size() {
		return this.entries.size;
	}

	views() {
		return [...this.entries.values()].map(({ view }) => view);
	}
}

/**
 * A view that consists of one text.
 * @param {HTMLElement} element
 * @returns {ItemView<string>}
 */
export function textView(element) {
	return { element, fill: (text) => setText(element, text) };
}

/**
 * Create a function that calls `act` once, when `element` is scrolled into view.
 * @param {AbortSignal} signal
 * @returns {(element: HTMLElement, act: () => void) => void}
 */
export function onceVisible(signal) {
	/** @type {WeakMap<Element, () => void>} */
	const actions = new WeakMap();
	const observer = new IntersectionObserver((entries) => {
		for (const { isIntersecting, target } of entries) {
			if (!isIntersecting) continue;
			observer.unobserve(target);
			actions.get(target)?.();
		}
	});
	signal.addEventListener("abort", () => observer.disconnect());
	return (element, act) => {
		actions.set(element, act);
		observer.observe(element);
	};
}

/**
 * Offer bytes as a file to download.
 * @param {string} name
 * @param {BlobPart} content
 */
export function offerDownload(name, content) {
	// With this media type, a browser saves the file and does not open it.
	const url = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
	const link = h("a", { href: url, download: name, hidden: true });
	document.body.append(link); // VS Code saves the file when a click reaches the body
	link.click();
	link.remove();
	setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** @param {number | null | undefined} bytes */
export function formatSize(bytes) {
	if (bytes === null || bytes === undefined) return "";
	for (const unit of ["B", "kB", "MB"]) {
		if (bytes < 1000) return unit === "B" ? `${bytes} B` : `${bytes.toFixed(1)} ${unit}`;
		bytes /= 1000;
	}
	return `${bytes.toFixed(2)} GB`;
}

/**
 * Local hours, minutes, seconds and milliseconds.
 * @param {number} time milliseconds since 1970
 */
export function formatTime(time) {
	return `${formatSeconds(time)}.${String(new Date(time).getMilliseconds()).padStart(3, "0")}`;
}

/**
 * Local hours, minutes and seconds.
 * @param {number} time milliseconds since 1970
 */
export function formatSeconds(time) {
	const date = new Date(time);
	return [date.getHours(), date.getMinutes(), date.getSeconds()]
		.map((number) => String(number).padStart(2, "0"))
		.join(":");
}

/**
 * Local date, hours, minutes and seconds.
 * @param {number} time milliseconds since 1970
 */
export function formatMoment(time) {
	const date = new Date(time);
	const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()];
	return `${day.map((number) => String(number).padStart(2, "0")).join("-")} ${formatSeconds(time)}`;
}

/**
 * Local hours and minutes.
 * @param {number} time milliseconds since 1970
 */
export function formatMinutes(time) {
	return formatSeconds(time).slice(0, -3);
}

/** @param {number | null | undefined} seconds */
export function formatDuration(seconds) {
	if (seconds === null || seconds === undefined) return "";
	return seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(1)} s`;
}
