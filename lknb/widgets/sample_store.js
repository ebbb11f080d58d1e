// The newest samples that the kernel has sent, as columns.

/** @import { BatchRow } from "./rows.js" */

/**
 * Samples as columns, in the order in which they arrived.
 * @typedef {object} Columns
 * @property {Float64Array} times milliseconds since 1970
 * @property {Uint16Array} sources
 * @property {Float64Array[]} columns
 */

/** The newest samples, at most `window`. */
export class SampleStore {
	/** @param {number} window */
	constructor(window) {
		this.window = window;
		/** @type {Columns[]} */
		this.chunks = [];
		this.count = 0;
		/** @type {Samples | undefined} */
		this.joined = undefined;
	}

	clear() {
		this.chunks = [];
		this.count = 0;
		this.joined = undefined;
	}

	/** @param {BatchRow} batch */
	add(batch) {
		if (batch.snapshot) this.clear();
		if (!batch.count) return;
		this.chunks.push({
			times: new Float64Array(decodeBase64(batch.time)),
			sources: new Uint16Array(decodeBase64(batch.source)),
			columns: batch.columns.map((text) => new Float64Array(decodeBase64(text))),
		});
		this.count += batch.count;
		while (this.count - this.chunks[0].times.length >= this.window)
			this.count -= /** @type {Columns} */ (this.chunks.shift()).times.length;
		this.joined = undefined;
	}

	/**
	 * The samples, with a column for each of these many fields.
	 * @param {number} fields
	 * @returns {Samples}
	 */
	samples(fields) {
		if (this.joined?.columns.length === fields) return this.joined;
		const skipped = Math.max(0, this.count - this.window);
		const size = this.count - skipped;
		const times = new Float64Array(size);
		const sources = new Uint16Array(size);
		const columns = Array.from({ length: fields }, () => new Float64Array(size));
		let at = -skipped;
		for (const chunk of this.chunks) {
			const from = Math.max(0, -at);
			times.set(chunk.times.subarray(from), at + from);
			sources.set(chunk.sources.subarray(from), at + from);
			for (const [index, column] of columns.entries()) {
				const values = chunk.columns[index];
				if (values) column.set(values.subarray(from), at + from);
				else column.fill(Number.NaN, at + from, at + chunk.times.length);
			}
			at += chunk.times.length;
		}
		this.joined = new Samples(times, sources, columns);
		// Small chunks would become many.
		this.chunks = size ? [{ times, sources, columns }] : [];
		this.count = size;
		return this.joined;
	}
}

/** Samples, and their order in time: sources have clocks of their own, so they may arrive in another one. */
export class Samples {
	/**
	 * @param {Float64Array} times
	 * @param {Uint16Array} sources
	 * @param {Float64Array[]} columns
	 */
	constructor(times, sources, columns) {
		this.times = times;
		this.sources = sources;
		this.columns = columns;
		this.order = inOrder(times);
		/** @type {Map<number, number>} */
		this.sizes = new Map();
	}

	/** The first and the last time. @returns {[number, number]} */
	get range() {
		const { order, times } = this;
		return order.length ? [times[order[0]], times[order[order.length - 1]]] : [0, 1];
	}

	/**
	 * Where the samples between two times begin and end, in order.
	 * @param {number} min
	 * @param {number} max
	 * @returns {[number, number]}
	 */
	between(min, max) {
		return [this.position(min), this.position(max, true)];
	}

	/**
	 * @param {number} time
	 * @param {boolean} [after]
	 */
	position(time, after = false) {
		let low = 0;
		let high = this.order.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			const value = this.times[this.order[middle]];
			if (after ? value <= time : value < time) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	/** The usual milliseconds between two samples: the median of the newest. */
	get step() {
		const { order, times } = this;
		const steps = [];
		for (let at = Math.max(1, order.length - 200); at < order.length; at += 1)
			steps.push(times[order[at]] - times[order[at - 1]]);
		return steps.sort((a, b) => a - b)[steps.length >> 1] ?? 0;
	}

	/**
	 * The largest absolute value of a field; 0 without values.
	 * @param {number} field
	 */
	size(field) {
		const known = this.sizes.get(field);
		if (known !== undefined) return known;
		let size = 0;
		for (const value of this.columns[field] ?? []) if (Math.abs(value) > size) size = Math.abs(value);
		this.sizes.set(field, size);
		return size;
	}

	/**
	 * The newest value of a field from a source.
	 * @param {number} field
	 * @param {number} source
	 */
	newest(field, source) {
		const { columns, sources } = this;
		for (let at = sources.length - 1; at >= 0; at -= 1)
			if (sources[at] === source && !Number.isNaN(columns[field]?.[at])) return columns[field][at];
		return undefined;
	}
}

/**
 * The indices of times in ascending order.
 * @param {Float64Array} times
 */
function inOrder(times) {
	const order = Uint32Array.from(times, (_, index) => index);
	for (let at = 1; at < times.length; at += 1)
		if (times[at] < times[at - 1]) return order.sort((a, b) => times[a] - times[b] || a - b);
	return order;
}

/** @param {string} text */
function decodeBase64(text) {
	return Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;
}
