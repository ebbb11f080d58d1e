// A page without a browser, and a fake kernel: the basis of the modules' tests.
import { Window } from "happy-dom";

/** @import { Part, PartState } from "../../lknb/widgets/sync.js" */
/** @import { Context } from "../../lknb/widgets/view.js" */

const page = new Window({ url: "http://localhost/" });
for (const name of [
	"Blob",
	"CSSGroupingRule",
	"CSSStyleRule",
	"CSSStyleSheet",
	"CustomEvent",
	"Event",
	"HTMLButtonElement",
	"HTMLElement",
	"KeyboardEvent",
	"MutationObserver",
	"Node",
	"customElements",
	"document",
	"getComputedStyle",
	"matchMedia",
	"navigator",
	"window",
]) {
	Object.defineProperty(globalThis, name, {
		value: /** @type {any} */ (page)[name],
		configurable: true,
		writable: true,
	});
}

// A test decides when frames are drawn.

/** @type {Map<number, () => void>} */
const frames = new Map();
let frame = 0;
globalThis.requestAnimationFrame = (draw) => {
	frames.set(++frame, () => draw(0));
	return frame;
};

globalThis.cancelAnimationFrame = (number) => void frames.delete(number);

/** Run everything that waits for the next frame. */
export function drawFrame() {
	const waiting = [...frames.values()];
	frames.clear();
	for (const draw of waiting) draw();
}

// There is no layout. A test decides which elements are visible.

/** @type {Set<FakeObserver>} */
const observers = new Set();

class FakeObserver {
	/** @param {(entries: { target: Element, isIntersecting: boolean }[]) => void} callback */
	constructor(callback) {
		this.callback = callback;
		/** @type {Set<Element>} */
		this.targets = new Set();
		observers.add(this);
	}

	observe(/** @type {Element} */ element) {
		this.targets.add(element);
	}

	unobserve(/** @type {Element} */ element) {
		this.targets.delete(element);
	}

	disconnect() {
		observers.delete(this);
	}
}

class FakeIntersectionObserver extends FakeObserver {}
class FakeResizeObserver extends FakeObserver {}

/** The observers of this class and of this element. */
function observersOf(/** @type {typeof FakeObserver} */ kind, /** @type {Element} */ element) {
	return [...observers].filter((observer) => observer instanceof kind && observer.targets.has(element));
}

Object.assign(globalThis, { IntersectionObserver: FakeIntersectionObserver, ResizeObserver: FakeResizeObserver });

/** Make an element visible, or invisible. */
export function scrollIntoSight(/** @type {Element} */ element, isIntersecting = true) {
	for (const observer of observersOf(FakeIntersectionObserver, element))
		observer.callback([{ target: element, isIntersecting }]);
}

/** Give an element this height, as the browser's layout does. */
export function setHeight(/** @type {HTMLElement} */ element, /** @type {number} */ height) {
	Object.defineProperty(element, "clientHeight", { value: height, configurable: true });
	for (const observer of observersOf(FakeResizeObserver, element)) observer.callback([]);
}

// A timer of a minute must not keep a test's process alive.
const startTimer = globalThis.setTimeout;
globalThis.setTimeout = /** @type {typeof setTimeout} */ (
	/** @type {unknown} */ (
		(/** @type {() => void} */ callback, /** @type {number} */ delay) => {
			const timer = startTimer(callback, delay);
			return delay > 5000 ? timer.unref() : timer;
		}
	)
);

// Downloads are recorded in a list.

/** @type {{ name: string, content: Blob }[]} */
export const downloads = [];
/** @type {Map<string, Blob>} */
const blobs = new Map();
URL.createObjectURL = (blob) => {
	const url = `blob:test/${blobs.size}`;
	blobs.set(url, /** @type {Blob} */ (blob));
	return url;
};
URL.revokeObjectURL = () => {};
page.HTMLAnchorElement.prototype.click = function click() {
	downloads.push({ name: this.download, content: /** @type {Blob} */ (blobs.get(this.href)) });
};

/** Wait until resolved promises have been handled. */
export function settle() {
	return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Text that would run or reverse the line if it were used as markup. */
export const NASTY = `<script>alert(1)</script><img src=x onerror="alert(1)"><a href="javascript:alert(1)">\u202egnp`;

/** Whether nothing in `NASTY` has become an element or reverses a line. */
export function isHarmless(/** @type {Element} */ element) {
	return !element.querySelector("script, img, a, [onerror]") && !element.textContent.includes("\u202e");
}

/** Press a key in an element, and return whether the default action was prevented. */
export function press(/** @type {Element} */ element, /** @type {string} */ key, options = {}) {
	return !element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...options }));
}

/** Replace the text of a field. */
export function type(/** @type {HTMLInputElement | HTMLTextAreaElement} */ field, /** @type {string} */ text) {
	field.value = text;
	field.dispatchEvent(new Event("input", { bubbles: true }));
}

/**
 * Show a part's view with a fake kernel: the test sends states with `draw`, and answers the calls in `asked`.
 * @template {Part} P
 * @param {(context: Context<P>) => HTMLElement} show
 */
export function mount(show) {
	/** @type {{ action: string, args: any, answer(value?: any, buffer?: DataView): void, refuse(reason: string): void }[]} */
	const asked = [];
	/** @type {(state: PartState<P>) => void} */
	let follower = () => {};
	const ending = new AbortController();
	const store = {
		browser: "test",
		waiting: 0,
		snapshots: 0,
		hello() {
			this.snapshots += 1;
		},
	};
	const ask = (/** @type {string} */ action, /** @type {any} */ args) =>
		new Promise((resolve, reject) => {
			asked.push({
				action,
				args,
				answer: (value = null, buffer = undefined) => resolve({ value, buffer }),
				refuse: (reason) => reject(new Error(reason)),
			});
		});
	const element = show(
		/** @type {any} */ ({
			ask,
			load: ask,
			follow: (/** @type {typeof follower} */ draw) => {
				follower = draw;
			},
			signal: ending.signal,
			store,
		}),
	);
	document.body.replaceChildren(element);
	return {
		element,
		asked,
		store,
		draw: (/** @type {PartState<P>} */ state) => follower(state),
		end: () => ending.abort(),
		...finders(element),
	};
}

/** Ways to find elements: by selector, and controls by name. */
export function finders(/** @type {HTMLElement} */ root) {
	const all = (/** @type {string} */ selector) => /** @type {any[]} */ ([...root.querySelectorAll(selector)]);
	return {
		all,
		/** @returns {any} */
		find: (/** @type {string} */ selector) => root.querySelector(selector),
		/** @returns {any} */
		button: (/** @type {string} */ name) =>
			all("button").find((each) => [each.getAttribute("aria-label"), each.textContent].includes(name)),
		/** @returns {any} */
		field: (/** @type {string} */ name) =>
			all("input, select, textarea").find(
				(each) => each.getAttribute("aria-label") === name || each.closest("label")?.textContent.startsWith(name),
			),
		/** @returns {string} */
		text: (/** @type {string} */ selector) =>
			all(selector)
				.map((each) => each.textContent)
				.join(" | "),
	};
}

/** A widget's model with a fake kernel. */
export class FakeModel {
	constructor(/** @type {Record<string, any>} */ traits = {}) {
		this.traits = traits;
		/** @type {any[]} */
		this.sent = [];
		/** @type {Map<string, ((...args: any[]) => void)[]>} */
		this.listeners = new Map();
	}

	/** @param {string} name */
	get(name) {
		return this.traits[name];
	}

	/** @param {object} content */
	send(content) {
		this.sent.push(content);
	}

	/** @param {string} name @param {(...args: any[]) => void} callback */
	on(name, callback) {
		this.listeners.set(name, [...(this.listeners.get(name) ?? []), callback]);
	}

	/** Set a trait, as the kernel does. */
	set(/** @type {string} */ name, /** @type {any} */ value) {
		this.traits[name] = value;
		for (const listener of this.listeners.get(`change:${name}`) ?? []) listener();
	}

	/** Deliver a message from the kernel. */
	receive(/** @type {object} */ message, /** @type {DataView[]} */ buffers = []) {
		for (const listener of this.listeners.get("msg:custom") ?? []) listener(message, buffers);
	}

	/** The messages of this type that were sent. */
	sentOf(/** @type {string} */ type) {
		return this.sent.filter((message) => message.type === type);
	}
}
