// What the browser knows of a room's parts, kept in step with the kernel; one store for all views of a widget.

/**
 * What anywidget hands to a module.
 * @typedef {object} Model
 * @property {(name: string) => any} get
 * @property {(name: string, value: any) => void} set
 * @property {() => void} save_changes
 * @property {(content: object, callbacks?: object, buffers?: ArrayBuffer[]) => void} send
 * @property {(name: string, callback: (...args: any[]) => void) => void} on
 * @property {(name?: string | null, callback?: ((...args: any[]) => void) | null) => void} off
 * @property {any} [widget_manager]
 */

/** @typedef {Record<string, any>} Row */

/**
 * What one part's views see.
 * @typedef {object} PartState
 * @property {Record<string, any>} values
 * @property {Record<string, Map<string, Row>>} rows
 */

/**
 * The answer of a call: a JSON value, and bytes if it has any.
 * @typedef {{ value: any, buffer?: DataView }} Answer
 */

/** After so long without a sign that a call was taken, the kernel is busy. */
const BUSY_AFTER = 700;
/** Another snapshot is asked for at most so often. */
const HELLO_EVERY = 1000;
/** What JupyterLab calls a kernel that will not answer any more. */
const ENDED = new Set(["dead", "terminating", "restarting", "autorestarting"]);

/** What the kernel said about one call. */
class Call {
	/**
	 * @param {(answer: Answer) => void} resolve
	 * @param {(error: Error) => void} reject
	 * @param {ReturnType<typeof setTimeout> | undefined} timer
	 */
	constructor(resolve, reject, timer) {
		this.resolve = resolve;
		this.reject = reject;
		this.timer = timer;
	}
}

/** Everything that a widget's views share. */
export class Store {
	/** @param {Model} model */
	constructor(model) {
		this.model = model;
		this.browser = unique();
		/** Set once the kernel has been heard. */
		this.ready = false;
		/** Calls that the kernel has not taken up yet, because it is busy. */
		this.waiting = 0;
		/** Whether the kernel, or its side of this widget, is gone. */
		this.gone = false;
		/** The model's id, once the kernel has said it. */
		this.id = "";
		/** Messages that never came; a fresh snapshot followed. */
		this.missed = 0;
		/** @type {Map<string, PartState>} */
		this.parts = new Map();
		/** @type {Set<() => void>} */
		this.followers = new Set();
		/** @type {Map<string, Call>} */
		this.calls = new Map();
		/** @type {Map<object, string[]>} */
		this.inView = new Map();
		this.number = 0;
		this.nextCall = 1;
		this.frame = 0;
		this.askedAt = 0;
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.recovering = undefined;
		model.on("msg:custom", (message, buffers) => this.heard(message, buffers ?? []));
		// Told when the kernel is started again, and after the page was cut off from it.
		model.on("comm_live_update", () => this.doubt());
		this.session = model.widget_manager?.context?.sessionContext;
		this.session?.statusChanged?.connect(this.statusChanged, this);
		this.session?.kernelChanged?.connect(this.kernelChanged, this);
	}

	/** The widget is no more: its room was closed, its cell was run again, or the page lets go of it. */
	end() {
		this.tell({ type: "bye" });
		this.session?.statusChanged?.disconnect(this.statusChanged, this);
		this.session?.kernelChanged?.disconnect(this.kernelChanged, this);
		clearTimeout(this.recovering);
		this.kernelGone();
	}

	/**
	 * @param {any} _
	 * @param {string} status
	 */
	statusChanged(_, status) {
		if (ENDED.has(status)) this.kernelGone();
	}

	/**
	 * @param {any} _
	 * @param {{ newValue: any }} change
	 */
	kernelChanged(_, { newValue }) {
		if (!newValue) this.kernelGone();
	}

	/** Something happened to the connection with the kernel: it is taken for gone until it is heard. */
	doubt() {
		if (!this.session) this.kernelGone();
		this.hello();
	}

	kernelGone() {
		if (this.gone) return;
		this.gone = true;
		for (const call of this.calls.values()) {
			clearTimeout(call.timer);
			call.reject(new Error("The kernel is gone. Run the cell again."));
		}
		this.calls.clear();
		this.waiting = 0;
		this.refresh();
	}

	/** Ask for everything that is in view. */
	hello() {
		this.askedAt = Date.now();
		this.tell({ type: "hello", parts: this.shown() });
	}

	/** @param {Record<string, any>} message */
	tell(message, /** @type {ArrayBuffer[]} */ buffers = []) {
		try {
			this.model.send({ ...message, browser: this.browser }, undefined, buffers);
		} catch {
			this.kernelGone();
		}
	}

	/**
	 * @param {any} message
	 * @param {DataView[]} buffers
	 */
	heard(message, buffers) {
		if (message?.type === "state") this.state(message);
		else if (message?.type === "taken") this.taken(message.id);
		else if (message?.type === "reply") this.reply(message, buffers);
		else if (message?.type === "forgotten" && message.browser === this.browser && !this.gone) this.recover();
	}

	/** @param {{ number: number, model?: string, parts: Record<string, any> }} message */
	state(message) {
		const expected = this.number + 1;
		const lost = this.ready && message.number > expected;
		this.gone = false;
		this.id = message.model ?? "";
		this.number = message.number;
		for (const [name, told] of Object.entries(message.parts)) {
			if (told.rows) this.parts.set(name, fresh(told));
			else if (this.parts.has(name)) change(/** @type {PartState} */ (this.parts.get(name)), told);
		}
		this.ready = true;
		this.tell({ type: "ack", number: message.number });
		if (lost) {
			this.missed += message.number - expected;
			this.recover();
		}
		this.refresh();
	}

	recover() {
		const wait = Math.min(HELLO_EVERY, this.askedAt + HELLO_EVERY - Date.now()); // clocks are set back at times
		if (wait <= 0) this.hello();
		else if (!this.recovering) {
			this.recovering = setTimeout(() => {
				this.recovering = undefined;
				this.hello();
			}, wait);
		}
	}

	/** @param {string} id */
	taken(id) {
		const call = this.calls.get(id);
		if (!call) return;
		clearTimeout(call.timer);
		if (this.waiting) {
			this.waiting = 0;
			this.refresh();
		}
	}

	/**
	 * @param {{ id: string, value?: any, error?: string }} message
	 * @param {DataView[]} buffers
	 */
	reply(message, buffers) {
		const call = this.calls.get(message.id);
		if (!call) return;
		this.taken(message.id);
		this.calls.delete(message.id);
		if (message.error !== undefined) call.reject(new Error(message.error));
		else call.resolve({ value: message.value, buffer: buffers[0] });
	}

	/**
	 * Have the kernel do something.
	 * @param {string} part
	 * @param {string} action
	 * @param {Record<string, any>} [args]
	 * @param {ArrayBuffer[]} [buffers]
	 * @param {boolean} [unasked] whether nobody has asked for it, who would wonder why it takes long
	 * @returns {Promise<Answer>}
	 */
	call(part, action, args = {}, buffers = [], unasked = false) {
		if (this.gone) return Promise.reject(new Error("The kernel is gone. Run the cell again."));
		// All browsers get all replies, and know their own by the name in front.
		const id = `${this.browser}:${this.nextCall++}`;
		return new Promise((resolve, reject) => {
			const late = () => {
				this.waiting += 1;
				this.refresh();
			};
			const timer = unasked ? undefined : setTimeout(late, BUSY_AFTER);
			this.calls.set(id, new Call(resolve, reject, timer));
			this.tell({ type: "do", id, part, action, args }, buffers);
		});
	}

	/**
	 * Say which parts a view shows now; none when it is hidden or gone.
	 * @param {object} view
	 * @param {string[]} parts
	 */
	shows(view, parts) {
		const before = this.shown().join();
		if (parts.length) this.inView.set(view, parts);
		else this.inView.delete(view);
		const now = this.shown();
		if (now.join() !== before) this.tell({ type: "shows", parts: now });
	}

	shown() {
		return [...new Set([...this.inView.values()].flat())].sort();
	}

	/** Have all views drawn anew, before the next frame. */
	refresh() {
		if (this.frame) return;
		this.frame = requestAnimationFrame(() => {
			this.frame = 0;
			for (const follower of this.followers) {
				try {
					follower();
				} catch (error) {
					console.error(error); // one view's fault shall not stop the others
				}
			}
		});
	}

	/**
	 * @param {() => void} draw called before a frame when something has changed
	 * @param {AbortSignal} signal
	 */
	follow(draw, signal) {
		this.followers.add(draw);
		signal.addEventListener("abort", () => this.followers.delete(draw));
		this.refresh();
	}

	/**
	 * What is known of a part; empty while nothing is.
	 * @param {string} name
	 * @returns {PartState}
	 */
	part(name) {
		return this.parts.get(name) ?? { values: {}, rows: {} };
	}
}

/**
 * @param {{ set: Record<string, any>, rows: Record<string, [string, Row][]> }} told
 * @returns {PartState}
 */
function fresh(told) {
	const rows = Object.entries(told.rows).map(([name, list]) => [name, new Map(list)]);
	return { values: told.set, rows: Object.fromEntries(rows) };
}

/**
 * @param {PartState} state
 * @param {{ set?: Record<string, any>, put?: Record<string, [string, Row][]>, drop?: Record<string, string[]> }} told
 */
function change(state, told) {
	Object.assign(state.values, told.set);
	for (const [name, keys] of Object.entries(told.drop ?? {})) {
		for (const key of keys) state.rows[name]?.delete(key);
	}
	for (const [name, list] of Object.entries(told.put ?? {})) {
		state.rows[name] ??= new Map();
		for (const [key, row] of list) state.rows[name].set(key, row);
	}
}

/** Random enough to tell browsers apart, also on pages without TLS. */
function unique() {
	return Array.from(crypto.getRandomValues(new Uint32Array(3)), (word) => word.toString(36)).join("");
}
