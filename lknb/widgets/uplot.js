// Loads uPlot, which draws lines, from the kernel, once per page.

/** @import { TelemetryPart } from "./rows.js" */
/** @import { Ask } from "./view.js" */

/** Where the page stores uPlot. */
const SHARED = Symbol.for("lknb.uplot");
/** The documents and shadow roots that have the style. @type {WeakSet<Node>} */
const STYLED = new WeakSet();

/**
 * uPlot's class. Its style is added to the document or the shadow root of the place.
 * @param {Ask<TelemetryPart>} load
 * @param {Node} place
 * @returns {Promise<any>}
 */
export async function loadUplot(load, place) {
	const page = /** @type {{ [SHARED]?: Promise<{ Uplot: any, style: string }> }} */ (globalThis);
	page[SHARED] ??= start(load).catch((error) => {
		delete page[SHARED]; // so that the next call tries again
		throw error;
	});
	const { Uplot, style } = await page[SHARED];
	const root = /** @type {Document | ShadowRoot} */ (place.getRootNode());
	if (!STYLED.has(root)) {
		STYLED.add(root);
		const element = document.createElement("style");
		element.textContent = style;
		("head" in root ? root.head : root).append(element);
	}
	return Uplot;
}

/** @param {Ask<TelemetryPart>} load */
async function start(load) {
	const { value, buffer } = await load("plotter");
	const url = URL.createObjectURL(new Blob([buffer ?? ""], { type: "text/javascript" }));
	try {
		return { Uplot: (await import(url)).default, style: value.style };
	} finally {
		URL.revokeObjectURL(url);
	}
}
