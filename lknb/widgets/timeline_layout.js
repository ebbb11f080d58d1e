// Where things are in a timeline: lanes and their rows, the window of time and its ticks, and what is at a point.
import { NOTHING, ROOM } from "./timeline_kinds.js";

/** @import { Kinds } from "./timeline_kinds.js" */
/** @import { EventStore } from "./timeline_store.js" */

/** Pixels. */
export const BAR = 14;
export const BAR_GAP = 2;
export const MARK = 14;
export const DENSITY = 24;
const PAD = 5;
const LEAST = 28;
/** Pixels of a column of packets. */
export const BIN = 2;
/** Pixels around a mark or a narrow bar that count as it. */
const REACH = 5;

/** Milliseconds that a window can show. */
const SHORTEST = 0.5;
const LONGEST = 400 * 86_400_000;

/**
 * A lane: what a participant did, or what happened to the room.
 * @typedef {object} Lane
 * @property {number} lane its number
 * @property {number} top
 * @property {number} height
 * @property {number} marks where its marks begin
 * @property {number} bars where its bars begin
 * @property {number} tracks of bars
 * @property {number} density where its packets begin; -1 without packets
 */

/**
 * The lanes, one below the other: the room, then the participants in the order of their numbers.
 * @param {EventStore} store
 * @param {Kinds} kinds
 * @param {Set<string>} hidden the names of hidden groups
 * @param {number} count of lanes that exist, with and without events
 * @returns {Lane[]}
 */
export function layLanes(store, kinds, hidden, count) {
	const { lane, other, duration, code } = store.columns;
	const tracks = new Uint8Array(count);
	const forms = new Uint8Array(count); // 1 for marks, 2 for density, 4 for anything
	for (let index = 0; index < store.count; index += 1) {
		const of = lane[index];
		if (of >= count) continue;
		forms[of] |= 4;
		if (hidden.has(kinds.group(code[index]).name)) continue;
		const form = kinds.form(code[index], duration[index]);
		if (form === "bar") {
			if (store.track[index] >= tracks[of]) tracks[of] = store.track[index] + 1;
			const to = other[index];
			if (to < count && to !== of && kinds.isCall(code[index])) {
				forms[to] |= 4;
				if (store.otherTrack[index] >= tracks[to]) tracks[to] = store.otherTrack[index] + 1;
			}
		} else if (form === "mark") forms[of] |= 1;
		else if (form === "density") forms[of] |= 2;
	}
	/** @type {Lane[]} */
	const lanes = [];
	let top = 0;
	for (let number = 0; number < count; number += 1) {
		if (!forms[number]) continue;
		const marks = top + PAD;
		const bars = marks + (forms[number] & 1 ? MARK : 0);
		const after = bars + tracks[number] * (BAR + BAR_GAP);
		const hasDensity = (forms[number] & 2) !== 0;
		const bottom = after + (hasDensity ? DENSITY : 0) + PAD;
		const height = Math.max(LEAST, bottom - top);
		lanes.push({ lane: number, top, height, marks, bars, tracks: tracks[number], density: hasDensity ? after : -1 });
		top += height;
	}
	return lanes;
}

/**
 * The height of all lanes.
 * @param {Lane[]} lanes
 */
export function heightOf(lanes) {
	const last = lanes.at(-1);
	return last ? last.top + last.height : 0;
}

/** The window of time that is shown, and how it maps to pixels. */
export class Frame {
	/**
	 * @param {number} from
	 * @param {number} to
	 * @param {number} width
	 */
	constructor(from, to, width) {
		this.from = from;
		this.to = to;
		this.width = width;
		this.scale = width / (to - from);
	}

	/** @param {number} time */
	x(time) {
		return (time - this.from) * this.scale;
	}

	/** @param {number} x */
	time(x) {
		return this.from + x / this.scale;
	}
}

/**
 * A window that shows more or less, with one time in its place.
 * @param {[number, number]} window
 * @param {number} factor above 1 for more time
 * @param {number} at
 * @returns {[number, number]}
 */
export function zoomed([from, to], factor, at) {
	const span = Math.min(LONGEST, Math.max(SHORTEST, (to - from) * factor));
	const share = (at - from) / (to - from);
	return [at - span * share, at + span * (1 - share)];
}

/**
 * A window that was moved, but not away from all events.
 * @param {[number, number]} window
 * @param {number} by milliseconds
 * @param {[number, number]} range of the events
 * @returns {[number, number]}
 */
export function panned([from, to], by, [first, last]) {
	const span = to - from;
	const begin = Math.min(Math.max(from + by, first - span / 2), last - span / 2);
	return [begin, begin + span];
}

const STEPS = [
	...[0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500],
	...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800].map((seconds) => seconds * 1000),
	...[1, 2, 3, 6, 12, 24].map((hours) => hours * 3_600_000),
];

/**
 * The times to write under a window: round ones, in local time.
 * @param {Frame} frame
 * @param {number} space pixels between two of them, at least
 * @returns {{ times: number[], step: number }}
 */
export function ticks({ from, to, scale }, space) {
	const least = space / scale;
	const day = 86_400_000;
	const step = STEPS.find((each) => each >= least) ?? Math.ceil(least / day) * day;
	const zone = new Date(from).getTimezoneOffset() * 60_000;
	const times = [];
	const count = Math.floor((to - zone) / step) - Math.ceil((from - zone) / step);
	for (let at = 0; at <= Math.min(count, 200); at += 1)
		times.push((Math.ceil((from - zone) / step) + at) * step + zone);
	return { times, step };
}

/**
 * How many packets and frames there are in each column of pixels: for each lane, group and whether they are lost.
 * @param {EventStore} store
 * @param {Kinds} kinds
 * @param {Set<string>} hidden
 * @param {Frame} frame
 * @param {number} lanes how many exist
 * @returns {Map<number, Uint32Array[]>} for each lane the counts of packets, of frames, and of those that were lost
 */
export function bins(store, kinds, hidden, frame, lanes) {
	const { time, lane, duration, code } = store.columns;
	const order = store.order();
	const columns = Math.ceil(frame.width / BIN) + 1;
	/** @type {Map<number, Uint32Array[]>} */
	const found = new Map();
	const stop = store.rank(frame.to);
	for (let at = store.rank(frame.from); at < stop; at += 1) {
		const index = order[at];
		if (lane[index] >= lanes || kinds.form(code[index], duration[index]) !== "density") continue;
		const { name } = kinds.group(code[index]);
		if (hidden.has(name)) continue;
		let counts = found.get(lane[index]);
		if (!counts) {
			counts = [new Uint32Array(columns), new Uint32Array(columns), new Uint32Array(columns)];
			found.set(lane[index], counts);
		}
		const which = kinds.isBad(code[index]) ? 2 : name === "data" ? 0 : 1;
		counts[which][Math.floor(frame.x(time[index]) / BIN)] += 1;
	}
	return found;
}

/**
 * What is at a point.
 * @typedef {object} Hit
 * @property {number} index of the event, or of the nearest of several packets
 * @property {number} count of the events that are drawn as one
 * @property {number} bytes of these
 */

/**
 * The event at a point, if there is one: a bar, a mark, packets, or else a band.
 * @param {EventStore} store
 * @param {Kinds} kinds
 * @param {Set<string>} hidden
 * @param {Frame} frame
 * @param {Lane[]} lanes
 * @param {number} x
 * @param {number} y
 * @param {number} now
 * @returns {Hit | undefined}
 */
export function hitAt(store, kinds, hidden, frame, lanes, x, y, now) {
	const lane = lanes.find(({ top, height }) => y >= top && y < top + height);
	const { time, duration, code } = store.columns;
	const order = store.order();
	const reach = REACH / frame.scale;
	const at = frame.time(x);
	const stop = store.rank(at + reach);
	/** @type {Hit | undefined} */
	let best;
	/** @type {Hit | undefined} */
	let band;
	let nearest = Number.POSITIVE_INFINITY;
	for (let rank = store.rank(at - reach - longestLasting(store, now)); rank < stop; rank += 1) {
		const index = order[rank];
		if (hidden.has(kinds.group(code[index]).name)) continue;
		const form = kinds.form(code[index], duration[index]);
		if (form === "band") {
			if (at >= time[index] && at <= store.endOf(index, now)) band = { index, count: 1, bytes: 0 };
			continue;
		}
		if (!lane || !isInRow(store, kinds, lane, form, index, y)) continue;
		const end = form === "bar" ? store.endOf(index, now) : time[index];
		const away = Math.max(0, time[index] - at, at - end);
		if (away > (form === "density" ? (1.5 * BIN) / frame.scale : reach)) continue;
		if (form === "density") {
			best = best ? { ...best, count: best.count + 1 } : { index, count: 1, bytes: 0 };
			best.bytes += store.sizeOf(index) ?? 0;
		} else if (away <= nearest) best = { index, count: 1, bytes: 0 };
		if (away <= nearest) {
			nearest = away;
			if (best) best.index = index;
		}
	}
	return best ?? band;
}

/**
 * How long something may have lasted that began before a time.
 * @param {EventStore} store
 * @param {number} now
 */
export function longestLasting(store, now) {
	let longest = store.longest;
	for (const index of store.open) longest = Math.max(longest, now - store.columns.time[index]);
	return longest;
}

/**
 * Whether an event is drawn in this row of a lane.
 * @param {EventStore} store
 * @param {Kinds} kinds
 * @param {Lane} lane
 * @param {string} form
 * @param {number} index
 * @param {number} y
 */
function isInRow(store, kinds, lane, form, index, y) {
	const { lane: of, other, code } = store.columns;
	if (form === "bar") {
		const row = Math.floor((y - lane.bars) / (BAR + BAR_GAP));
		const isHere = of[index] === lane.lane && store.track[index] === row;
		const isThere = kinds.isCall(code[index]) && other[index] === lane.lane && store.otherTrack[index] === row;
		return row >= 0 && row < lane.tracks && (isHere || isThere);
	}
	if (of[index] !== lane.lane) return false;
	if (form === "mark") return y >= lane.marks && y < lane.marks + MARK;
	return lane.density >= 0 && y >= lane.density && y < lane.density + DENSITY;
}

/**
 * The next event of a lane, or of all lanes, after or before a time or another event.
 * @param {EventStore} store
 * @param {Kinds} kinds
 * @param {Set<string>} hidden
 * @param {number | undefined} lane
 * @param {number | undefined} from the index of an event
 * @param {number} at the time to begin at without an event
 * @param {1 | -1} by
 * @returns {number | undefined} its index
 */
export function nextEvent(store, kinds, hidden, lane, from, at, by) {
	const order = store.order();
	const { code, lane: of, time, other } = store.columns;
	let rank = from === undefined ? store.rank(at) - (by > 0 ? 1 : 0) : rankOf(store, from);
	for (rank += by; rank >= 0 && rank < order.length; rank += by) {
		const index = order[rank];
		if (hidden.has(kinds.group(code[index]).name) || Number.isNaN(time[index])) continue;
		if (lane === undefined || of[index] === lane || (other[index] === lane && kinds.isCall(code[index]))) return index;
	}
	return undefined;
}

/**
 * @param {EventStore} store
 * @param {number} index
 */
function rankOf(store, index) {
	const order = store.order();
	let rank = store.rank(store.columns.time[index]);
	while (rank < order.length && order[rank] !== index) rank += 1;
	return rank;
}

/**
 * The name of a lane.
 * @param {string[]} names of the participants with a lane of their own
 * @param {number} lane
 */
export function laneName(names, lane) {
	if (lane === ROOM) return "The room";
	return lane === NOTHING ? "" : (names[lane] ?? "Others");
}
