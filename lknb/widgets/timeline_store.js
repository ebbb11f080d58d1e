// The events of a timeline as columns of numbers, as far as the kernel has sent them.
import { NOTHING } from "./timeline_kinds.js";

/** @import { TimelineBatch, TimelineValues } from "./rows.js" */
/** @import { Kinds } from "./timeline_kinds.js" */

/** The columns in the order in which `timeline_columns.py` packs them. @type {[name: Name, type: Type][]} */
const COLUMNS = [
	["time", Float64Array],
	["position", Uint32Array],
	["key", Uint32Array],
	["size", Uint32Array],
	["duration", Float32Array],
	["lane", Uint16Array],
	["other", Uint16Array],
	["topic", Uint16Array],
	["code", Uint8Array],
];

/** @typedef {"time" | "position" | "key" | "size" | "duration" | "lane" | "other" | "topic" | "code"} Name */
/** @typedef {typeof Float64Array | typeof Float32Array | typeof Uint32Array | typeof Uint16Array | typeof Uint8Array} Type */

/**
 * Events as columns.
 * @typedef {object} Columns
 * @property {Float64Array} time when each began, in milliseconds since 1970
 * @property {Uint32Array} position
 * @property {Uint32Array} key by which the kernel finds it
 * @property {Uint32Array} size
 * @property {Float32Array} duration milliseconds; NaN without one, `OPEN` if it has not ended
 * @property {Uint16Array} lane of the sender
 * @property {Uint16Array} other the lane of the only recipient
 * @property {Uint16Array} topic
 * @property {Uint8Array} code kind, direction and status
 */

/** In place of the duration of what has not ended. */
export const OPEN = -1;
/** In place of a size. */
const UNKNOWN = 0xffffffff;
/** Bars of one lane that are drawn below each other. */
export const MAX_TRACKS = 6;

/**
 * @param {ArrayBuffer} buffer
 * @param {number} count of events
 * @returns {Columns}
 */
export function unpack(buffer, count) {
	let at = 0;
	const columns = /** @type {any} */ ({});
	for (const [name, Type] of COLUMNS) {
		columns[name] = new Type(buffer, at, count);
		at += count * Type.BYTES_PER_ELEMENT;
	}
	return columns;
}

/** @param {string} text in base64 */
export function decodeBase64(text) {
	return Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;
}

/** The newest events. Each has an index here, and a position: how many came before it in all. */
export class EventStore {
	constructor() {
		this.count = 0;
		/** The position of the event with the index 0. */
		this.first = 0;
		this.capacity = 0;
		/** @type {Columns} */
		this.columns = unpack(new ArrayBuffer(0), 0);
		/** The track of each bar in its lane, and in the lane of its recipient. */
		this.track = new Uint8Array(0);
		this.otherTrack = new Uint8Array(0);
		this.grow(1024);
		/** What has not ended, by index. @type {Set<number>} */
		this.open = new Set();
		/** For each lane, when its tracks are free. @type {Map<number, number[]>} */
		this.tracks = new Map();
		/** Indices in the order of time; undefined as long as it is the order of the indices. @type {Uint32Array | undefined} */
		this.sorted = undefined;
		this.isSorted = true;
		/** The longest duration, with which to look for what began before a time. */
		this.longest = 0;
		this.version = 0;
		/** The range of the events at the version `ranged`. */
		this.ranged = -1;
		this.begin = 0;
		this.until = 0;
	}

	/** The position of the next event. */
	get end() {
		return this.first + this.count;
	}

	/** @param {number} capacity */
	grow(capacity) {
		const before = this.columns;
		const columns = /** @type {any} */ ({});
		for (const [name, Type] of COLUMNS) {
			columns[name] = new Type(capacity);
			columns[name].set(before[name].subarray(0, this.count));
		}
		const [track, otherTrack] = [new Uint8Array(capacity), new Uint8Array(capacity)];
		track.set(this.track.subarray(0, this.count));
		otherTrack.set(this.otherTrack.subarray(0, this.count));
		Object.assign(this, { columns, track, otherTrack, capacity });
	}

	/**
	 * Add events, or replace those with the same positions. Some that are missing in between are left for later.
	 * @param {Columns} more
	 * @param {Kinds} kinds
	 */
	put(more, kinds) {
		for (let at = 0; at < more.position.length; at += 1) {
			const position = more.position[at];
			if (position < this.first) continue;
			if (!this.count) this.first = position;
			const index = position - this.first;
			if (index > this.count) continue;
			const isNew = index === this.count;
			if (isNew) {
				if (index >= this.capacity) this.grow(2 * this.capacity);
				this.count += 1;
			}
			for (const [name] of COLUMNS) this.columns[name][index] = more[name][at];
			this.arrange(index, isNew, kinds);
		}
		this.version += 1;
	}

	/**
	 * @param {number} index
	 * @param {boolean} isNew
	 * @param {Kinds} kinds
	 */
	arrange(index, isNew, kinds) {
		const { time, duration, lane, other, code } = this.columns;
		const isOpen = duration[index] === OPEN;
		if (isOpen) this.open.add(index);
		else this.open.delete(index);
		if (duration[index] > this.longest) this.longest = duration[index];
		if (isNew && index > 0 && time[index] < time[index - 1]) this.isSorted = false;
		this.sorted = undefined;
		if (!kinds.isBar(code[index])) return;
		const hasOther = kinds.isCall(code[index]) && other[index] !== NOTHING && other[index] !== lane[index];
		const until = isOpen ? Number.POSITIVE_INFINITY : time[index] + (duration[index] || 0);
		if (isNew) {
			this.track[index] = this.place(lane[index], time[index], until);
			// A call has a bar in the lane of its handler, too.
			if (hasOther) this.otherTrack[index] = this.place(other[index], time[index], until);
		} else if (!isOpen) {
			this.free(lane[index], this.track[index], until);
			if (hasOther) this.free(other[index], this.otherTrack[index], until);
		}
	}

	/**
	 * The first track of a lane that is free at a time; the last one if there is none.
	 * @param {number} lane
	 * @param {number} from
	 * @param {number} until
	 */
	place(lane, from, until) {
		let ends = this.tracks.get(lane);
		if (!ends) {
			ends = [];
			this.tracks.set(lane, ends);
		}
		let track = ends.findIndex((end) => end <= from);
		if (track < 0) track = Math.min(ends.length, MAX_TRACKS - 1);
		ends[track] = Math.max(ends[track] ?? 0, until);
		return track;
	}

	/**
	 * @param {number} lane
	 * @param {number} track
	 * @param {number} until
	 */
	free(lane, track, until) {
		const ends = this.tracks.get(lane);
		if (ends?.[track] === Number.POSITIVE_INFINITY) ends[track] = until;
	}

	/**
	 * Forget the events before a position, a good part of all at once.
	 * @param {number} first
	 */
	dropBefore(first) {
		const surplus = Math.min(first - this.first, this.count);
		if (surplus <= 0 || (surplus < this.count && surplus < this.count / 20)) return;
		for (const [name] of COLUMNS) this.columns[name].copyWithin(0, surplus, this.count);
		this.track.copyWithin(0, surplus, this.count);
		this.otherTrack.copyWithin(0, surplus, this.count);
		this.first += surplus;
		this.count -= surplus;
		this.open = new Set([...this.open].map((index) => index - surplus).filter((index) => index >= 0));
		this.sorted = undefined;
		this.version += 1;
	}

	/** Forget everything, to load it again from a position. @param {number} first */
	restart(first) {
		this.count = 0;
		this.first = first;
		this.open.clear();
		this.tracks.clear();
		this.isSorted = true;
		this.sorted = undefined;
		this.longest = 0;
		this.version += 1;
	}

	/** The positions of what has not ended. */
	openPositions() {
		return [...this.open].map((index) => index + this.first);
	}

	/** The indices in the order of time. */
	order() {
		if (this.sorted?.length === this.count) return this.sorted;
		this.sorted = Uint32Array.from({ length: this.count }, (_, index) => index);
		const { time } = this.columns;
		if (!this.isSorted) this.sorted.sort((one, other) => time[one] - time[other] || one - other);
		return this.sorted;
	}

	/**
	 * Where in the order the first event is that began at a time or later.
	 * @param {number} at
	 */
	rank(at) {
		const order = this.order();
		let low = 0;
		let high = order.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.columns.time[order[middle]] < at) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	/**
	 * The first and the last time; undefined without events.
	 * @param {number} now until when lasts what has not ended
	 * @returns {[number, number] | undefined}
	 */
	range(now) {
		if (!this.count) return undefined;
		if (this.ranged !== this.version) {
			this.ranged = this.version;
			const { time, duration } = this.columns;
			const order = this.order();
			this.begin = time[order[0]];
			this.until = time[order[this.count - 1]];
			for (let index = 0; index < this.count; index += 1) {
				const until = time[index] + duration[index];
				if (until > this.until) this.until = until;
			}
		}
		return [this.begin, Math.max(this.open.size ? now : this.until, this.until, this.begin + 1)];
	}

	/**
	 * @param {number} index
	 * @param {number} now
	 */
	endOf(index, now) {
		const { time, duration } = this.columns;
		const lasts = duration[index] || 0; // NaN without a duration
		return lasts === OPEN ? Math.max(now, time[index]) : time[index] + lasts;
	}

	/**
	 * The size of an event's payload; undefined if it is not known.
	 * @param {number} index
	 */
	sizeOf(index) {
		const size = this.columns.size[index];
		return size === UNKNOWN ? undefined : size;
	}
}

/**
 * Apply batches in order. Whether some are missing, so that the rest must be loaded.
 * @param {EventStore} store
 * @param {Map<string, TimelineBatch>} batches the newest ones
 * @param {number} done the number of the last one that was applied
 * @param {TimelineValues} values
 * @param {Kinds} kinds
 * @returns {{ done: number, isMissing: boolean }}
 */
export function applyBatches(store, batches, done, values, kinds) {
	for (const [key, { count, columns, whole }] of batches) {
		const number = Number(key);
		if (number <= done) continue;
		if (whole && values.first > store.end) store.restart(values.first);
		else if (!whole && number !== done + 1) break;
		store.put(unpack(decodeBase64(columns), count), kinds);
		done = number;
	}
	return { done, isMissing: done < values.batch };
}
