// A page without a browser, and the kernel's side of a widget's model: what the modules' tests start from.
import { Window } from "happy-dom";

const page = new Window({ url: "http://localhost/" });
for (const name of [
	"document",
	"window",
	"Node",
	"HTMLElement",
	"HTMLButtonElement",
	"Blob",
	"Event",
	"CustomEvent",
	"navigator",
]) {
	Object.defineProperty(globalThis, name, {
		value: /** @type {any} */ (page)[name],
		configurable: true,
		writable: true,
	});
}
/** @type {Map<number, () => void>} */
const frames = new Map();
let frame = 0;
globalThis.requestAnimationFrame = (draw) => {
	frames.set(++frame, () => draw(0));
	return frame;
};

/** Draw what waits for the next frame. */
export function draw() {
	const waiting = [...frames.values()];
	frames.clear();
	for (const each of waiting) each();
}

/** A widget's model with a kernel that a test plays. */
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

	/** @param {string} name @param {any} value */
	set(name, value) {
		this.traits[name] = value;
	}

	save_changes() {}

	/** @param {object} content */
	send(content) {
		this.sent.push(content);
	}

	/** @param {string} name @param {(...args: any[]) => void} callback */
	on(name, callback) {
		this.listeners.set(name, [...(this.listeners.get(name) ?? []), callback]);
	}

	off() {}

	/** What the kernel says. */
	hear(/** @type {object} */ message, /** @type {DataView[]} */ buffers = []) {
		for (const listener of this.listeners.get("msg:custom") ?? []) listener(message, buffers);
	}

	/** The messages of this type that were sent. */
	of(/** @type {string} */ type) {
		return this.sent.filter((message) => message.type === type);
	}
}
