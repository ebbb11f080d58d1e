// What all widgets are made of: a store, and views that follow it while they are in sight.
import { h, say } from "./dom.js";
import { saving } from "./save.js";
import { Store } from "./sync.js";

/**
 * What shows one part of a room.
 * @typedef {object} Context
 * @property {Store} store
 * @property {string} part the part's name
 * @property {AbortSignal} signal ends with the view
 * @property {any} [host] anywidget's, to show other widgets
 * @property {(action: string, args?: Record<string, any>, buffers?: ArrayBuffer[]) => Promise<import("./sync.js").Answer>} ask
 *   has the kernel do something for this part
 * @property {(action: string) => Promise<import("./sync.js").Answer>} load the same for what the page needs by itself
 * @property {(draw: (state: import("./sync.js").PartState) => void) => void} follow calls `draw` when the part changes
 */

/** @typedef {(context: Context) => HTMLElement} Show */

/**
 * The module of a widget that shows these parts.
 * @param {string} label for people who cannot see it
 * @param {(model: import("./sync.js").Model) => string[]} named the names of the parts that it can show
 * @param {(contexts: Record<string, Context>, shows: (parts: string[]) => void) => HTMLElement} show
 */
export function widget(label, named, show) {
	return () => {
		/** @type {Store} */
		let store;
		/** @type {string[]} */
		let parts = [];
		/** @type {HTMLElement[]} */
		const roots = [];
		return {
			/** @param {{ model: import("./sync.js").Model }} given */
			initialize({ model }) {
				store = new Store(model);
				parts = named(model);
				store.hello();
				const saved = saving(model, () => ({ id: store.id, root: roots.at(-1) }));
				return () => {
					store.end();
					saved();
				};
			},
			/** @param {{ el: HTMLElement, host?: any }} given */
			render({ el, host }) {
				const ending = new AbortController();
				const { signal } = ending;
				let inView = parts;
				let seen = true;
				const update = () => store.shows(el, seen && !document.hidden ? inView : []);
				const contexts = Object.fromEntries(parts.map((part) => [part, context(store, part, signal, host)]));
				const shown = show(contexts, (now) => {
					inView = now;
					update();
				});
				const root = h("section", { class: "lknb", "aria-label": label });
				keepKeys(root, signal);
				root.append(shown, statusLine(store, signal));
				el.append(root);
				roots.push(root);
				const watch = new IntersectionObserver((entries) => {
					seen = entries.some((entry) => entry.isIntersecting);
					update();
				});
				watch.observe(root);
				document.addEventListener("visibilitychange", update, { signal });
				update();
				return () => {
					ending.abort();
					watch.disconnect();
					roots.splice(roots.indexOf(root), 1);
					store.shows(el, []);
				};
			},
		};
	};
}

/**
 * Keep plain keys from Jupyter's own commands: "b" and an arrow shall not act on the cell while a button in here has
 * the focus. Commands with a modifier stay: saving, and running the cell.
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
function keepKeys(root, signal) {
	const keep = (/** @type {KeyboardEvent} */ event) => {
		const { target } = event;
		if (!(target instanceof HTMLElement) || !root.contains(target)) return;
		const plain = !(event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter"));
		// Lumino looks for it from the focused element upwards, and its commands are meant for just that element.
		target.toggleAttribute("data-lm-suppress-shortcuts", plain);
	};
	window.addEventListener("keydown", keep, { capture: true, signal }); // before the document, where Lumino listens
}

/**
 * @param {Store} store
 * @param {string} part
 * @param {AbortSignal} signal
 * @param {any} host
 * @returns {Context}
 */
function context(store, part, signal, host) {
	return {
		store,
		part,
		signal,
		host,
		ask: (action, args, buffers) => store.call(part, action, args, buffers),
		load: (action) => store.call(part, action, {}, [], true),
		follow: (draw) => store.follow(() => draw(store.part(part)), signal),
	};
}

/**
 * What goes wrong between browser and kernel, in words.
 * @param {Store} store
 * @param {AbortSignal} signal
 */
function statusLine(store, signal) {
	const line = h("p", { class: "lknb-status", role: "status" });
	store.follow(() => {
		const parts = [];
		if (store.gone)
			parts.push("The kernel is gone: this is what was last seen. Run the cell again to follow the room.");
		else if (store.waiting) parts.push("The kernel is busy. What you asked for is done when its cell has ended.");
		if (store.missed) parts.push(`${store.missed} updates did not reach this page; what you see was loaded afresh.`);
		line.dataset.kind = store.gone ? "gone" : store.waiting ? "busy" : "";
		say(line, parts.join(" "));
	}, signal);
	return line;
}

/**
 * A line under the controls that says what came of the last action, politely.
 * @returns {{ element: HTMLElement, report: (doing: Promise<any>, done?: string) => Promise<any> }}
 */
export function outcome() {
	const element = h("p", { class: "lknb-outcome", role: "status" });
	return {
		element,
		async report(doing, done = "") {
			element.dataset.kind = "";
			try {
				const result = await doing;
				say(element, done);
				return result;
			} catch (error) {
				element.dataset.kind = "error";
				say(element, error instanceof Error ? error.message : error);
				return undefined;
			}
		},
	};
}
