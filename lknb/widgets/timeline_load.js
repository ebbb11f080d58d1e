// Loads the events of a timeline from the kernel, and keeps them up to date by its batches.
import { applyBatches, EventStore, unpack } from "./timeline_store.js";

/** @import { TimelinePart, TimelineValues } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Kinds } from "./timeline_kinds.js" */
/** @import { Context } from "./view.js" */

/** The events in the browser, and what of them is still to be loaded. */
export class Loader {
	/**
	 * @param {Context<TimelinePart>} context
	 * @param {() => void} changed
	 */
	constructor({ load, signal }, changed) {
		this.load = load;
		this.signal = signal;
		this.changed = changed;
		this.store = new EventStore();
		/** The number of the last batch whose events are in the store. */
		this.done = -1;
		this.isLoading = false;
		this.failed = "";
		/** @type {TimelineValues | undefined} */
		this.values = undefined;
		/** @type {Kinds | undefined} */
		this.kinds = undefined;
	}

	/**
	 * @param {PartState<TimelinePart>} state
	 * @param {Kinds} kinds
	 */
	take({ values, rows }, kinds) {
		this.values = values;
		this.kinds = kinds;
		const { done, isMissing } = applyBatches(this.store, rows.batches, this.done, values, kinds);
		this.done = done;
		this.store.dropBefore(values.first);
		if (isMissing && !this.isLoading) this.fetch();
	}

	async fetch() {
		this.isLoading = true;
		try {
			for (let next = /** @type {number | null} */ (0); next !== null && !this.signal.aborted; ) {
				const { first = 0 } = this.values ?? {};
				if (first > this.store.end || !this.store.count) this.store.restart(first);
				const again = this.store.openPositions();
				const { value, buffer } = await this.load("events", { start: this.store.end, again });
				// A copy, because the numbers must be aligned.
				const bytes = buffer
					? buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength)
					: undefined;
				if (bytes && this.kinds) this.store.put(unpack(bytes, value.count), this.kinds);
				this.done = Math.max(this.done, value.batch);
				this.failed = "";
				({ next } = value);
				this.changed();
			}
		} catch (error) {
			this.failed = error instanceof Error ? error.message : String(error);
		}
		this.isLoading = false;
		this.changed();
	}
}
