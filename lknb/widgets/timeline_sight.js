// Which window of time a timeline shows, and what time it is in the kernel.

/** Milliseconds in sight while a timeline follows, unless the user zooms: more and more, up to a minute. */
const SPAN = 60_000;
export const FIRST_SPAN = 10_000;
/** The share of the window that is left free at its end. */
const AHEAD = 0.03;

/** The window of time in sight: it follows what happens, shows everything, or stands still. */
export class Sight {
	constructor() {
		/** @type {"follow" | "all" | "still"} */
		this.mode = "follow";
		this.span = 0;
		/** @type {[number, number]} */
		this.window = [0, 1];
	}

	/**
	 * @param {[number, number]} range
	 * @param {number} now
	 */
	update([first, last], now) {
		if (this.mode === "all") {
			const margin = Math.max(1, (last - first) * AHEAD);
			this.window = [first - margin / 2, last + margin];
		} else if (this.mode === "follow") {
			const span = this.span || Math.min(SPAN, Math.max(FIRST_SPAN, now - first));
			this.window = [now - span * (1 - AHEAD), now + span * AHEAD];
		}
	}

	/** @param {[number, number]} window */
	stand(window) {
		this.mode = "still";
		this.window = window;
	}
}

/** The clock of the kernel, by which events are timed. */
export class Clock {
	constructor() {
		this.offset = 0;
		this.sent = 0;
	}

	/** @param {number} sent the kernel's time in a message */
	hear(sent) {
		if (sent === this.sent) return;
		this.sent = sent;
		const offset = sent - performance.now();
		// The message that took the shortest time says it best, unless a clock was set.
		if (offset > this.offset || this.offset - offset > 2000) this.offset = offset;
	}

	now() {
		return performance.now() + this.offset;
	}
}
