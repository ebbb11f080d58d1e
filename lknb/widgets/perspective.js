// Loading perspective, which draws lines and tables: once per page, out of the kernel.

/** @import { TelemetryPart } from "./rows.js" */
/** @import { Ask } from "./view.js" */

/** Where the page keeps perspective, which can be loaded only once. */
const SHARED = Symbol.for("lknb.perspective");
/** The elements that perspective's module defines. */
const OWN_ELEMENT = /^(regular|perspective)-/;

/**
 * What is used of perspective's client.
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
		delete page[SHARED]; // the next one tries again
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
 * Let perspective's module come more than once, as it does with each widget of perspective's own, before or after this
 * one. It defines its elements without asking whether they exist, and the page would refuse the rest of the module.
 */
function tolerateRedefinition() {
	const define = customElements.define.bind(customElements);
	customElements.define = (name, element, options) => {
		if (!OWN_ELEMENT.test(name) || !customElements.get(name)) define(name, element, options);
	};
}
