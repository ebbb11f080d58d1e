// Loads perspective, which draws lines and tables, from the kernel, once per page.

/** @import { TelemetryPart } from "./rows.js" */
/** @import { Ask } from "./view.js" */

/** Where the page stores perspective, which can be loaded only once. */
const SHARED = Symbol.for("lknb.perspective");
/** The elements that perspective's module defines. */
const OWN_ELEMENT = /^(regular|perspective)-/;

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

/** @typedef {HTMLElement & ViewerMethods} Viewer a perspective-viewer element */

/**
 * Perspective's engine in this page.
 * @param {Ask<TelemetryPart>} load
 * @returns {Promise<Client>}
 */
export function loadPerspective(load) {
	const page = /** @type {{ [SHARED]?: Promise<Client> }} */ (globalThis);
	page[SHARED] ??= startEngine(load).catch((error) => {
		delete page[SHARED]; // so that the next call tries again
		throw error;
	});
	return page[SHARED];
}

/**
 * @param {Ask<TelemetryPart>} load
 * @returns {Promise<Client>}
 */
async function startEngine(load) {
	const { value, buffer } = await load("library");
	const style = document.createElement("style");
	style.textContent = value.style;
	document.head.append(style);
	const url = URL.createObjectURL(new Blob([buffer ?? ""], { type: "text/javascript" }));
	tolerateRedefinition();
	try {
		const module = await import(url);
		await module.ready;
		return await module.worker();
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
