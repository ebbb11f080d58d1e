// Loads perspective, which draws tables, from the kernel, once per page.

/** @import { TelemetryPart } from "./rows.js" */
/** @import { Ask } from "./view.js" */

/** Where the page stores perspective, which can be loaded only once. */
const SHARED = Symbol.for("lknb.perspective");
/** The elements that perspective's module defines. */
const OWN_ELEMENT = /^(regular|perspective)-/;
/** The shadow roots that have the style. @type {WeakSet<Node>} */
const STYLED = new WeakSet();

/**
 * The methods of perspective's client that lknb uses.
 * @typedef {object} Client
 * @property {(schema: Record<string, string>, options: { limit: number }) => Promise<Table>} table
 */

/**
 * @typedef {object} Table
 * @property {() => Promise<string>} get_name
 * @property {(columns: Record<string, unknown[]>) => Promise<void>} update
 * @property {() => Promise<void>} clear
 * @property {(options: { lazy: boolean }) => Promise<void>} delete
 */

/**
 * @typedef {object} ViewerMethods
 * @property {(client: Client) => Promise<void>} load
 * @property {(config: object) => Promise<void>} restore
 * @property {() => Promise<void>} delete
 */

/**
 * Perspective in this page.
 * @typedef {object} Engine
 * @property {Client} client
 * @property {string} style its style sheet, which each shadow root with a viewer needs
 */

/** @typedef {HTMLElement & ViewerMethods} Viewer a perspective-viewer element */

/**
 * @param {Ask<TelemetryPart>} load
 * @returns {Promise<Engine>}
 */
export function loadPerspective(load) {
	const page = /** @type {{ [SHARED]?: Promise<Engine> }} */ (globalThis);
	page[SHARED] ??= startEngine(load).catch((error) => {
		delete page[SHARED]; // so that the next call tries again
		throw error;
	});
	return page[SHARED];
}

/**
 * Give a place its style: that of the page does not reach into a shadow root, which marimo has for each widget.
 * @param {Node} place
 * @param {string} style
 */
export function styleAround(place, style) {
	const root = /** @type {Document | ShadowRoot} */ (place.getRootNode());
	if (!("host" in root) || STYLED.has(root)) return;
	STYLED.add(root);
	root.append(styleElement(style));
}

/** @param {string} text */
function styleElement(text) {
	const style = document.createElement("style");
	style.textContent = text;
	return style;
}

/**
 * @param {Ask<TelemetryPart>} load
 * @returns {Promise<Engine>}
 */
async function startEngine(load) {
	const { value, buffer } = await load("library");
	// Always in the page: the viewers find the names of the themes there, and it has the menus.
	document.head.append(styleElement(value.style));
	const url = URL.createObjectURL(new Blob([buffer ?? ""], { type: "text/javascript" }));
	tolerateRedefinition();
	try {
		const module = await import(url);
		await module.ready;
		return { client: await module.worker(), style: value.style };
	} finally {
		URL.revokeObjectURL(url);
	}
}

/**
 * Allow perspective's module to be loaded more than once: perspective's own widgets load it too, before or after this one.
 * It defines its elements without checking whether they exist, and would then fail.
 */
function tolerateRedefinition() {
	const define = customElements.define.bind(customElements);
	customElements.define = (name, element, options) => {
		if (!OWN_ELEMENT.test(name) || !customElements.get(name)) define(name, element, options);
	};
}
