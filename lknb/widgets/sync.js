// `Store`: the browser's copy of a room's parts, kept up to date by the kernel. All views of a widget share it.

/**
 * What anywidget passes to a module.
 * @typedef {object} Model
 * @property {(name: string) => any} get
 * @property {(content: object, callbacks?: object, buffers?: ArrayBuffer[]) => void} send
 * @property {(name: string, callback: (...args: any[]) => void) => void} on
 * @property {{ context?: NotebookContext }} [widget_manager]
 */

/**
 * What JupyterLab and Jupyter Notebook know about a widget's notebook. Other front ends have no such object.
 * @typedef {object} NotebookContext
 * @property {SessionContext} [sessionContext]
 * @property {Signal<string>} [saveState]
 * @property {import("./save.js").NotebookModel} [model]
 */

/**
 * @typedef {object} SessionContext
 * @property {Signal<string>} [statusChanged]
 * @property {Signal<{ newValue: unknown }>} [kernelChanged]
 */

/**
 * @template Value
 * @typedef {(sender: unknown, value: Value) => void} Slot
 */

/**
 * @template Value
 * @typedef {object} Signal
 * @property {(slot: Slot<Value>, thisArg?: object) => void} connect
 * @property {(slot: Slot<Value>, thisArg?: object) => void} disconnect
 */

/**
 * The types of one part: its single values, its rows by list, and what its actions answer.
 * @typedef {{ values: object, rows: object, answers: object }} Part
 */

/**
 * What the kernel has sent about one part.
 * @template {Part} [P=Part]
 * @typedef {object} PartState
 * @property {P["values"]} values
 * @property {{ [List in keyof P["rows"]]: Map<string, P["rows"][List]> }} rows oldest first
 */

/** @typedef {[key: string, row: object][]} Rows */
/** @typedef {{ set: object, rows: Record<string, Rows> }} Snapshot */
/** @typedef {{ set?: object, put?: Record<string, Rows>, drop?: Record<string, string[]> }} Changes */

/**
 * The answer to a call: a JSON value, and bytes if it has any.
 * @template [Value=any]
 * @typedef {{ value: Value, buffer?: DataView<ArrayBuffer> }} Answer
 */

/** Milliseconds after which a kernel that has not taken a call counts as busy. */
const BUSY_AFTER = 700;
/** Milliseconds between two requests for a snapshot, at least. */
const HELLO_EVERY = 1000;
/** JupyterLab's names for the states of a kernel that no longer answers. */
const ENDED = new Set(["dead", "terminating", "restarting", "autorestarting"]);

/** A call that the kernel has not answered yet. */
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

/** Everything that the views of a widget share. */
export class Store {
	/** @param {Model} model */
	constructor(model) {
		this.model = model;
		this.browser = randomName();
		/** Whether the kernel has sent anything yet. */
		this.ready = false;
		/** Calls that the kernel has not taken yet, because it is busy. */
		this.waiting = 0;
		/** Whether the kernel, or its side of this widget, is gone. */
		this.gone = false;
		/** The model's id, once the kernel has sent it. */
		this.id = "";
		/** Messages that were lost, and replaced by a snapshot. */
		this.missed = 0;
		/** Whether something is missing until the next snapshot. */
		this.isOutdated = false;
		/** @type {Map<string, { values: object, rows: Record<string, Map<string, object>> }>} */
		this.parts = new Map();
		/** @type {Set<() => void>} */
		this.followers = new Set();
		/** @type {Map<string, Call>} */
		this.calls = new Map();
		/** The parts that each view shows. @type {Map<object, string[]>} */
		this.inView = new Map();
		this.number = 0;
		this.nextCall = 1;
		this.frame = 0;
		this.askedAt = 0;
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.recovering = undefined;
		model.on("msg:custom", (message, buffers) => this.receive(message, buffers ?? []));
		// JupyterLab announces this when the kernel restarts, and when the page has reconnected to it.
		model.on("comm_live_update", () => this.doubtKernel());
		this.session = model.widget_manager?.context?.sessionContext;
		this.session?.statusChanged?.connect(this.statusChanged, this);
		this.session?.kernelChanged?.connect(this.kernelChanged, this);
	}

	/** Report that the output with this widget was deleted. The kernel then closes the widget. */
	outputRemoved() {
		this.send({ type: "removed" });
	}

	/** End, because the room was closed, the cell runs again, or the page removes the widget. */
	end() {
		this.send({ type: "bye" });
		this.session?.statusChanged?.disconnect(this.statusChanged, this);
		this.session?.kernelChanged?.disconnect(this.kernelChanged, this);
		clearTimeout(this.recovering);
		this.kernelGone();
	}

	/**
	 * @param {unknown} _
	 * @param {string} status
	 */
	statusChanged(_, status) {
		if (ENDED.has(status)) this.kernelGone();
	}

	/**
	 * @param {unknown} _
	 * @param {{ newValue: unknown }} change
	 */
	kernelChanged(_, { newValue }) {
		if (!newValue) this.kernelGone();
	}

	/** Treat the kernel as gone until it answers, because the connection was interrupted. */
	doubtKernel() {
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

	/** Request a snapshot of all parts in view. */
	hello() {
		this.askedAt = Date.now();
		this.isOutdated = false;
		this.send({ type: "hello", parts: this.partsInView() });
	}

	/**
	 * @param {object} message
	 * @param {ArrayBuffer[]} [buffers]
	 */
	send(message, buffers = []) {
		try {
			this.model.send({ ...message, browser: this.browser }, undefined, buffers);
		} catch {
			this.kernelGone();
		}
	}

	/**
	 * @param {any} message
	 * @param {DataView<ArrayBuffer>[]} buffers
	 */
	receive(message, buffers) {
		if (message?.type === "state") this.receiveState(message);
		else if (message?.type === "taken") this.callTaken(message.id);
		else if (message?.type === "reply") this.receiveReply(message, buffers);
		else if (message?.type === "forgotten" && message.browser === this.browser && !this.gone) {
			this.isOutdated = true;
			this.recover();
		}
	}

	/** @param {{ number: number, model?: string, parts: Record<string, Snapshot | Changes> }} message */
	receiveState(message) {
		const expected = this.number + 1;
		const isGap = this.ready && message.number > expected;
		let isPartMissing = false;
		this.gone = false;
		this.id = message.model ?? "";
		this.number = message.number;
		for (const [name, update] of Object.entries(message.parts)) {
			const known = this.parts.get(name);
			if ("rows" in update) this.parts.set(name, stateOf(update));
			else if (known) apply(known, update);
			else isPartMissing ||= this.partsInView().includes(name);
		}
		this.ready = true;
		this.send({ type: "ack", number: message.number });
		if (isGap) {
			this.missed += message.number - expected;
			this.isOutdated = true;
		}
		if (this.isOutdated || isPartMissing) this.recover();
		this.refresh();
	}

	/** Request a snapshot if it is still needed, but not more often than `HELLO_EVERY` allows. */
	recover() {
		const wait = Math.min(HELLO_EVERY, this.askedAt + HELLO_EVERY - Date.now()); // in case the clock was set back
		if (wait <= 0) this.hello();
		else if (!this.recovering) {
			this.recovering = setTimeout(() => {
				this.recovering = undefined;
				if (this.isOutdated || this.partsInView().some((name) => !this.parts.has(name))) this.hello();
			}, wait);
		}
	}

	/** @param {string} id */
	callTaken(id) {
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
	 * @param {DataView<ArrayBuffer>[]} buffers
	 */
	receiveReply(message, buffers) {
		const call = this.calls.get(message.id);
		if (!call) return;
		this.callTaken(message.id);
		this.calls.delete(message.id);
		if (message.error !== undefined) call.reject(new Error(message.error));
		else call.resolve({ value: message.value, buffer: buffers[0] });
	}

	/**
	 * Run an action in the kernel.
	 * @param {string} part
	 * @param {string} action
	 * @param {object} [args]
	 * @param {ArrayBuffer[]} [buffers]
	 * @param {boolean} [inBackground] whether no user waits for it, so that a busy kernel need not be reported
	 * @returns {Promise<Answer>}
	 */
	call(part, action, args = {}, buffers = [], inBackground = false) {
		if (this.gone) return Promise.reject(new Error("The kernel is gone. Run the cell again."));
		// All browsers receive all replies. Each one recognizes its own by the prefix.
		const id = `${this.browser}:${this.nextCall++}`;
		return new Promise((resolve, reject) => {
			const markBusy = () => {
				this.waiting += 1;
				this.refresh();
			};
			const timer = inBackground ? undefined : setTimeout(markBusy, BUSY_AFTER);
			this.calls.set(id, new Call(resolve, reject, timer));
			this.send({ type: "do", id, part, action, args }, buffers);
		});
	}

	/**
	 * Set the parts that a view shows now; none if it is hidden or removed.
	 * @param {object} view
	 * @param {string[]} parts
	 */
	setInView(view, parts) {
		const before = this.partsInView().join();
		if (parts.length) this.inView.set(view, parts);
		else this.inView.delete(view);
		const now = this.partsInView();
		if (now.join() !== before) this.send({ type: "shows", parts: now });
	}

	partsInView() {
		return [...new Set([...this.inView.values()].flat())].sort();
	}

	/** Redraw all views before the next frame. */
	refresh() {
		if (this.frame) return;
		this.frame = requestAnimationFrame(() => {
			this.frame = 0;
			for (const follower of this.followers) {
				try {
					follower();
				} catch (error) {
					console.error(error); // an error in one view must not stop the others
				}
			}
		});
	}

	/**
	 * Call `draw` before a frame whenever something has changed.
	 * @param {() => void} draw
	 * @param {AbortSignal} signal
	 */
	follow(draw, signal) {
		this.followers.add(draw);
		signal.addEventListener("abort", () => this.followers.delete(draw));
		this.refresh();
	}

	/**
	 * The state of a part; undefined until the kernel has sent it.
	 * @param {string} name
	 */
	part(name) {
		return this.parts.get(name);
	}
}

/** @param {Snapshot} snapshot */
function stateOf(snapshot) {
	const rows = Object.entries(snapshot.rows).map(([list, entries]) => [list, new Map(entries)]);
	return { values: snapshot.set, rows: Object.fromEntries(rows) };
}

/**
 * @param {{ values: object, rows: Record<string, Map<string, object>> }} state
 * @param {Changes} changes
 */
function apply(state, changes) {
	Object.assign(state.values, changes.set);
	for (const [list, keys] of Object.entries(changes.drop ?? {})) {
		for (const key of keys) state.rows[list]?.delete(key);
	}
	for (const [list, entries] of Object.entries(changes.put ?? {})) {
		state.rows[list] ??= new Map();
		for (const [key, row] of entries) state.rows[list].set(key, row);
	}
}

/** Random enough to tell browsers apart; `crypto.randomUUID` is missing on pages without TLS. */
function randomName() {
	return Array.from(crypto.getRandomValues(new Uint32Array(3)), (word) => word.toString(36)).join("");
}
