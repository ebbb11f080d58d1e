// The basis of all widgets: a store, and views that follow it while they are visible.
import { h, NOT_TYPESET, setText } from "./dom.js";
import { finalState, finalView } from "./final.js";
import { isDisplayed, saveSnapshots } from "./save.js";
import { Store } from "./sync.js";

/** @import { Answer, Model, Part, PartState } from "./sync.js" */

/**
 * Run an action of a part in the kernel.
 * @template {Part} P
 * @typedef {<Action extends keyof P["answers"] & string>(
 *   action: Action, args?: object, buffers?: ArrayBuffer[]
 * ) => Promise<Answer<P["answers"][Action]>>} Ask
 */

/**
 * What a view of one part receives.
 * @template {Part} [P=any]
 * @typedef {object} Context
 * @property {Store} store
 * @property {AbortSignal} signal ends with the view
 * @property {Ask<P>} ask runs an action for the user
 * @property {Ask<P>} load runs an action for the page, in the background
 * @property {(draw: (state: PartState<P>) => void) => void} follow
 *   calls `draw` with the state of the part, and again whenever it changes
 */

/** @typedef {(context: Context) => HTMLElement} Show */
/** @import { Block } from "./final.js" */
/** @typedef {(parts: string[]) => void} SetInView */
/** @typedef {(contexts: Record<string, Context>, setInView: SetInView, model: Model) => HTMLElement} ShowAll */

/** Milliseconds after which a removed output counts as deleted: until then, the user may paste it or undo. */
const REMOVED_AFTER = 60_000;
const ENDED = "This view has ended. Run its cell again for a live one.";

/**
 * Make the default export of a widget's module.
 * @param {string} label for screen readers
 * @param {(model: Model) => string[]} partsOf the names of the parts that the widget can show
 * @param {ShowAll} show
 */
export function widget(label, partsOf, show) {
	return () => {
		/** @type {Store} */
		let store;
		/** @type {string[]} */
		let parts = [];
		/** @type {View[]} */
		const views = [];
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		let removing;
		return {
			/** @param {{ model: Model }} props */
			initialize({ model }) {
				store = new Store(model);
				parts = partsOf(model);
				if (!lastState(model)) store.hello();
				model.on("change:final", () => {
					const blocks = lastState(model);
					if (!blocks) return;
					for (const view of views.splice(0)) view.freeze(finalState(label, blocks));
					store.end();
				});
				const endSaving = saveSnapshots(model, () => ({ id: store.id, root: views.at(-1)?.root }));
				return () => {
					clearTimeout(removing);
					// Other front ends than Jupyter's leave the elements, but take the style sheet.
					if (!store.session)
						for (const view of views) view.freeze(finalView(view.root, model.get("_css") ?? "", ENDED));
					store.end();
					endSaving();
				};
			},
			/** @param {{ el: HTMLElement }} props */
			render({ el }) {
				const blocks = lastState(store.model);
				if (blocks) {
					el.append(finalState(label, blocks));
					return () => {};
				}
				const view = new View(el, label, store, parts, show);
				views.push(view);
				return () => {
					view.end();
					if (views.includes(view)) views.splice(views.indexOf(view), 1);
					clearTimeout(removing);
					removing = setTimeout(() => {
						if (!views.length && isDisplayed(store.model, store.id) === false) store.outputRemoved();
					}, REMOVED_AFTER);
				};
			},
		};
	};
}

/**
 * What a closed widget shows, if the kernel cannot put HTML in its place; undefined while the widget is live.
 * @param {Model} model
 * @returns {Block[] | undefined}
 */
function lastState(model) {
	const blocks = model.get("final");
	return blocks?.length ? blocks : undefined;
}

/** One place where a widget is shown. While it is not visible, the kernel sends nothing for it. */
class View {
	/**
	 * @param {HTMLElement} el
	 * @param {string} label
	 * @param {Store} store
	 * @param {string[]} parts
	 * @param {ShowAll} show
	 */
	constructor(el, label, store, parts, show) {
		this.store = store;
		this.parts = parts;
		this.isVisible = true;
		this.ending = new AbortController();
		const { signal } = this.ending;
		const contexts = Object.fromEntries(parts.map((part) => [part, contextOf(store, part, signal)]));
		const setInView = (/** @type {string[]} */ shown) => {
			this.parts = shown;
			this.updateInView();
		};
		const content = show(contexts, setInView, store.model);
		this.root = h("section", { class: `lknb ${NOT_TYPESET}`, "aria-label": label }, content, statusLine(store, signal));
		keepKeysFromJupyter(this.root, signal);
		el.append(this.root);
		this.watch = new IntersectionObserver((entries) => {
			this.isVisible = entries.some((entry) => entry.isIntersecting);
			this.updateInView();
		});
		this.watch.observe(this.root);
		document.addEventListener("visibilitychange", () => this.updateInView(), { signal });
		this.updateInView();
	}

	updateInView() {
		this.store.setInView(this, this.isVisible && !document.hidden ? this.parts : []);
	}

	/**
	 * End, and show this from now on.
	 * @param {HTMLElement} last
	 */
	freeze(last) {
		this.end();
		this.root.replaceWith(last);
	}

	end() {
		this.ending.abort();
		this.watch.disconnect();
		this.store.setInView(this, []);
	}
}

/**
 * Keep plain keys from triggering Jupyter's commands: while a button in here has the focus, "b" or an arrow must not act
 * on the cell. Keys with a modifier still reach Jupyter, to save or to run the cell.
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
function keepKeysFromJupyter(root, signal) {
	const keep = (/** @type {KeyboardEvent} */ event) => {
		const { target } = event;
		if (!(target instanceof HTMLElement) || !root.contains(target)) return;
		const isPlain = !(event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter"));
		// Lumino looks for this attribute from the focused element upwards.
		target.toggleAttribute("data-lm-suppress-shortcuts", isPlain);
	};
	window.addEventListener("keydown", keep, { capture: true, signal }); // before the document, where Lumino listens
}

/**
 * @param {Store} store
 * @param {string} part
 * @param {AbortSignal} signal
 * @returns {Context}
 */
function contextOf(store, part, signal) {
	return {
		store,
		signal,
		ask: (action, args, buffers) => store.call(part, action, args, buffers),
		load: (action, args, buffers) => store.call(part, action, args, buffers, true),
		follow(draw) {
			store.follow(() => {
				const state = store.part(part);
				if (state) draw(state);
			}, signal);
		},
	};
}

/**
 * A line that shows problems between browser and kernel.
 * @param {Store} store
 * @param {AbortSignal} signal
 */
function statusLine(store, signal) {
	const line = h("p", { class: "lknb-status", role: "status" });
	store.follow(() => {
		const parts = [];
		if (store.gone) parts.push("The kernel is gone. This is the last known state. Run the cell again to continue.");
		else if (store.waiting) parts.push("The kernel is busy. Your action runs when the cell has finished.");
		if (store.missed)
			parts.push(`${store.missed} updates did not reach this page, so the current state was loaded again.`);
		line.dataset.kind = store.gone ? "gone" : store.waiting ? "busy" : "";
		setText(line, parts.join(" "));
	}, signal);
	return line;
}

/** A line under the controls with the outcome of the last action, which screen readers read out. */
export class Outcome {
	constructor() {
		this.element = h("p", { class: "lknb-outcome", role: "status" });
	}

	/** @param {string} text */
	show(text) {
		this.element.dataset.kind = "";
		setText(this.element, text);
	}

	/** @param {unknown} error */
	fail(error) {
		this.element.dataset.kind = "error";
		setText(this.element, error instanceof Error ? error.message : error);
	}

	/**
	 * Wait for an action, then clear the line, or show why the action failed.
	 * @template Result
	 * @param {Promise<Result>} action
	 * @returns {Promise<Result | undefined>} undefined if it failed
	 */
	async report(action) {
		this.element.dataset.kind = "";
		try {
			const result = await action;
			setText(this.element, "");
			return result;
		} catch (error) {
			this.fail(error);
			return undefined;
		}
	}
}
