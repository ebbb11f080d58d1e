// Draws samples as lines, with uPlot: a plot for each field, or one for all, over one axis of time.
import { h, quoted, setText } from "./dom.js";
import { inert } from "./inert.js";
import { loadUplot } from "./uplot.js";

/** @import { Samples } from "./sample_store.js" */
/** @import { TelemetryPart, TelemetryValues } from "./rows.js" */
/** @import { Ask } from "./view.js" */

/**
 * What the lines show.
 * @typedef {object} LinesConfig
 * @property {string[]} fields all of them, in the order of the samples' columns
 * @property {string[]} units
 * @property {string[]} chosen
 * @property {[sender: string, topic: string][]} sources
 * @property {"own" | "one" | "auto"} axes
 */

/**
 * A line: one field of one source.
 * @typedef {object} Line
 * @property {number} field
 * @property {number} source
 * @property {string} color
 * @property {number[]} dash
 */

/** Fields whose values differ less than this are drawn over one axis, unless the user chooses. */
const ALIKE = 20;
/** Points of all lines of a plot above which it draws the smallest and largest of several samples. */
const MOST_POINTS = 60_000;
const HUES = 6;
const HEIGHT = 300;
const ALL = 560;
const LEAST = 56;
const MOST = 120;
const HEAD = 30;
const AXIS = 62;
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
/** Milliseconds and typical steps after which a line is interrupted. */
const OUTAGE = 1000;
const OUTAGE_STEPS = 8;

/** The plots of one view. */
export class Plots {
	/**
	 * @param {HTMLElement} place
	 * @param {{ load: Ask<TelemetryPart>, fail: (message: string) => void, zoomed: (isZoomed: boolean) => void }} actions
	 */
	constructor(place, actions) {
		this.place = place;
		this.actions = actions;
		/** @type {Plot[]} */
		this.plots = [];
		this.moment = h("p", { class: "lknb-plot-moment lknb-number", "aria-live": "off" });
		this.list = h("div", { class: "lknb-plots" });
		place.replaceChildren(this.moment, this.list);
		/** The range of time that the user chose. @type {[number, number] | undefined} */
		this.zoom = undefined;
		this.shape = "";
		this.key = `lknb-${crypto.randomUUID()}`;
		this.isEnded = false;
		this.frame = 0;
		this.sizes = new ResizeObserver(() => this.resize());
		this.sizes.observe(place);
		place.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
		place.addEventListener("keydown", (event) => this.press(event));
	}

	/**
	 * Draw these samples in the next frame.
	 * @param {Samples} samples
	 * @param {LinesConfig} config
	 */
	show(samples, config) {
		this.samples = samples;
		this.config = config;
		if (this.frame || this.isEnded) return;
		this.frame = requestAnimationFrame(() => {
			this.frame = 0;
			this.draw().catch((error) => this.actions.fail(`The lines cannot be drawn: ${error.message ?? error}`));
		});
	}

	async draw() {
		const Uplot = await loadUplot(this.actions.load, this.place);
		const { samples, config } = this;
		if (this.isEnded || !samples || !config || !this.place.clientWidth) return;
		const groups = grouped(samples, config);
		const shape = JSON.stringify([groups, config.sources.length, config.units]);
		if (shape !== this.shape) this.build(Uplot, groups, config);
		this.shape = shape;
		const [min, max] = this.zoom ?? samples.range;
		for (const plot of this.plots) plot.draw(samples, min, max, this.place.clientWidth);
	}

	/**
	 * @param {any} Uplot
	 * @param {number[][]} groups the fields of each plot
	 * @param {LinesConfig} config
	 */
	build(Uplot, groups, config) {
		for (const plot of this.plots) plot.end();
		const each = Math.min(MOST, Math.max(LEAST, ALL / groups.length - HEAD));
		const height = groups.length > 1 ? each : HEIGHT;
		const colors = hues(this.place);
		this.plots = groups.map((fields, index) => {
			const isLast = index === groups.length - 1;
			return new Plot(Uplot, this, linesOf(fields, config, colors), { config, height, isLast });
		});
		this.list.replaceChildren(...this.plots.map((plot) => plot.element));
	}

	/** Draw with the theme's present colours. */
	recolor() {
		this.shape = "";
		if (this.samples && this.config) this.show(this.samples, this.config);
	}

	resize() {
		if (this.samples && this.config) this.show(this.samples, this.config);
	}

	/** @param {[number, number] | undefined} range */
	zoomTo(range) {
		this.zoom = range;
		this.actions.zoomed(range !== undefined);
		this.resize();
	}

	/**
	 * Show the values at a time, or the newest ones.
	 * @param {number | undefined} time
	 */
	read(time) {
		setText(this.moment, time === undefined ? "" : clock(time, 1));
	}

	/** @param {WheelEvent} event */
	wheel(event) {
		const first = this.plots[0];
		// Without a key, the wheel scrolls the notebook.
		if (!first || !(event.ctrlKey || event.metaKey)) return;
		event.preventDefault();
		this.zoomBy(event.deltaY > 0 ? 1.25 : 0.8, first.timeAt(event.clientX));
	}

	/**
	 * @param {number} factor
	 * @param {number} [center]
	 */
	zoomBy(factor, center) {
		if (!this.samples) return;
		const [min, max] = this.zoom ?? this.samples.range;
		const at = center ?? (min + max) / 2;
		const range = /** @type {[number, number]} */ ([at - (at - min) * factor, at + (max - at) * factor]);
		const [first, last] = this.samples.range;
		this.zoomTo(range[0] <= first && range[1] >= last ? undefined : range);
	}

	/** @param {KeyboardEvent} event */
	press(event) {
		const first = this.plots[0];
		if (!first || event.altKey || event.ctrlKey || event.metaKey) return;
		/** @type {Record<string, () => void>} */
		const keys = {
			ArrowLeft: () => first.moveCursor(-1),
			ArrowRight: () => first.moveCursor(1),
			"+": () => this.zoomBy(0.8),
			"-": () => this.zoomBy(1.25),
			Escape: () => this.zoomTo(undefined),
		};
		if (!Object.hasOwn(keys, event.key)) return;
		event.preventDefault();
		event.stopPropagation(); // Jupyter has commands on some of these keys
		keys[event.key]();
	}

	end() {
		this.isEnded = true;
		cancelAnimationFrame(this.frame);
		this.sizes.disconnect();
		for (const plot of this.plots) plot.end();
		this.plots = [];
	}
}

/** One plot: lines over one axis. */
class Plot {
	/**
	 * @param {any} Uplot
	 * @param {Plots} plots
	 * @param {Line[]} lines
	 * @param {{ config: LinesConfig, height: number, isLast: boolean }} options
	 */
	constructor(Uplot, plots, lines, { config, height, isLast }) {
		this.plots = plots;
		this.lines = lines;
		this.height = height + (isLast ? 30 : 6);
		const names = [...new Set(lines.map(({ field }) => field))];
		this.readings = lines.map(() => h("span", { class: "lknb-number" }));
		const several = config.sources.length > 1;
		const head = lines.map(({ field, source, color }, index) =>
			h(
				"span",
				{ class: "lknb-plot-line" },
				h("span", { class: "lknb-swatch", style: `background: ${color}`, "aria-hidden": "true" }),
				" ",
				several && index >= names.length
					? []
					: [quoted(config.fields[field]), config.units[field] && ` [${inert(config.units[field])}]`],
				several && ` ${sourceName(config.sources, source)}`,
				" ",
				this.readings[index],
			),
		);
		this.body = h("div", { class: "lknb-plot-body", role: "img" });
		this.element = h("div", { class: "lknb-plot" }, h("div", { class: "lknb-plot-head" }, head), this.body);
		this.label = names.map((field) => config.fields[field]).join(", ");
		this.isRead = false;
		this.plot = new Uplot(
			{
				...appearance(plots.place, lines, isLast),
				width: Math.max(50, plots.place.clientWidth - 2),
				height: this.height,
				cursor: cursorOf(plots),
				hooks: { setCursor: [() => this.readCursor()], setSelect: [() => this.select()] },
			},
			[[], ...lines.map(() => [])],
			this.body,
		);
	}

	/**
	 * @param {Samples} samples
	 * @param {number} min
	 * @param {number} max
	 * @param {number} width
	 */
	draw(samples, min, max, width) {
		const plot = this.plot;
		if (Math.abs(plot.width - (width - 2)) > 1) plot.setSize({ width: Math.max(50, width - 2), height: this.height });
		const data = aligned(samples, this.lines, min, max);
		plot.batch(() => {
			plot.setData(data, false);
			plot.setScale("x", { min, max: max > min ? max : min + 1 });
		});
		if (!this.isRead) this.showNewest(samples);
		this.body.setAttribute("aria-label", `Lines of ${inert(this.label)}`);
	}

	/** @param {Samples} samples */
	showNewest(samples) {
		for (const [index, { field, source }] of this.lines.entries())
			setText(this.readings[index], format(samples.newest(field, source)));
	}

	readCursor() {
		const { idx, idxs, left } = this.plot.cursor;
		this.isRead = idx !== null && idx !== undefined && left >= 0;
		const time = this.isRead ? this.plot.data[0][idx] : undefined;
		this.plots.read(time);
		if (!this.isRead) {
			if (this.plots.samples) this.showNewest(this.plots.samples);
			return;
		}
		for (const index of this.lines.keys()) {
			const at = idxs?.[index + 1];
			setText(
				this.readings[index],
				format(at === null || at === undefined ? undefined : this.plot.data[index + 1][at]),
			);
		}
	}

	/** @param {number} by */
	moveCursor(by) {
		const { left } = this.plot.cursor;
		const width = this.plot.over.clientWidth;
		const from = left === undefined || left < 0 ? width : left;
		this.plot.setCursor({ left: Math.min(width - 1, Math.max(0, from + by * Math.max(1, width / 100))), top: 4 });
	}

	select() {
		const { left, width } = this.plot.select;
		if (width > 4) this.plots.zoomTo([this.plot.posToVal(left, "x"), this.plot.posToVal(left + width, "x")]);
		this.plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
	}

	/** @param {number} clientX */
	timeAt(clientX) {
		return this.plot.posToVal(clientX - this.plot.over.getBoundingClientRect().left, "x");
	}

	end() {
		this.plot.destroy();
	}
}

/**
 * uPlot's options for axes and lines, in the theme's colours.
 * @param {HTMLElement} place
 * @param {Line[]} lines
 * @param {boolean} isLast whether the plot has the axis of time
 */
function appearance(place, lines, isLast) {
	const style = getComputedStyle(place);
	const line = style.getPropertyValue("border-top-color");
	const axis = {
		stroke: style.color,
		font: `11px ${style.fontFamily}`,
		grid: { stroke: line, width: 1 },
		ticks: { stroke: line, width: 1, size: 4 },
	};
	return {
		ms: 1,
		legend: { show: false },
		padding: [6, 8, 0, 0],
		scales: { x: { time: true, auto: false }, y: { range: yRange } },
		axes: [
			{
				...axis,
				size: isLast ? 28 : 4,
				ticks: { ...axis.ticks, show: isLast },
				values: isLast ? timeTicks : () => [],
				space: 90,
			},
			{ ...axis, size: AXIS, values: numberTicks, space: 26 },
		],
		series: [
			{},
			...lines.map(({ color, dash }) => ({ stroke: color, width: 1.5, dash, points: { show: false }, pxAlign: 0 })),
		],
	};
}

/**
 * uPlot's cursor, which all plots of a view share.
 * @param {Plots} plots
 */
function cursorOf(plots) {
	const dblclick = () => () => {
		plots.zoomTo(undefined);
		return null;
	};
	return {
		sync: { key: plots.key },
		drag: { x: true, y: false, setScale: false },
		points: { size: 6 },
		dataIdx: nearest,
		bind: { dblclick },
	};
}

/**
 * The fields of each plot: those that belong together and have values of like size, or all of them.
 * @param {Samples} samples
 * @param {LinesConfig} config
 * @returns {number[][]}
 */
export function grouped(samples, { fields, chosen, axes }) {
	const shown = chosen.map((name) => fields.indexOf(name)).filter((field) => field >= 0);
	if (axes === "one" || (axes === "auto" && alike(samples, shown))) return [shown];
	/** @type {Map<string, number[]>} */
	const groups = new Map();
	for (const field of shown) {
		const family = familyOf(fields[field]);
		const key = family === undefined ? `field ${field}` : `family ${family}`;
		const others = groups.get(key);
		if (others && alike(samples, [...others, field])) others.push(field);
		else groups.set(others ? `field ${field}` : key, [field]);
	}
	return [...groups.values()];
}

/**
 * What several fields have in common, such as `acceleration` of `acceleration.x`, or undefined.
 * @param {string} name
 */
function familyOf(name) {
	return /^(.+)[._](?:[xyzw]|\d+)$/i.exec(name)?.[1];
}

/**
 * Whether the values of some fields are of like size.
 * @param {Samples} samples
 * @param {number[]} fields
 */
function alike(samples, fields) {
	const sizes = fields.map((field) => samples.size(field)).filter((size) => size > 0);
	return sizes.length < 2 || Math.max(...sizes) / Math.min(...sizes) < ALIKE;
}

/**
 * The lines of some fields. With one source, a colour means a field; with several, a source.
 * @param {number[]} fields
 * @param {LinesConfig} config
 * @param {string[]} colors
 * @returns {Line[]}
 */
function linesOf(fields, { sources }, colors) {
	const origins = sources.length ? [...sources.keys()].slice(0, 12) : [0];
	const several = origins.length > 1;
	return origins.flatMap((source) =>
		fields.map((field, index) => {
			const hue = several ? source : field;
			return {
				field,
				source,
				color: colors[hue % HUES],
				dash: DASHES[(several ? index : Math.floor(hue / HUES)) % DASHES.length],
			};
		}),
	);
}

/**
 * The colours of lines in the theme of a place.
 * @param {HTMLElement} place
 */
export function hues(place) {
	const probe = h("span", { hidden: true });
	place.append(probe);
	const colors = Array.from({ length: HUES }, (_, index) => {
		probe.style.color = `color-mix(in srgb, var(--lknb-hue-${index + 1}) 80%, var(--lknb-text))`;
		return getComputedStyle(probe).color;
	});
	probe.remove();
	return colors;
}

/**
 * @param {[sender: string, topic: string][]} sources
 * @param {number} index
 */
export function sourceName(sources, index) {
	const [sender, topic] = sources[index] ?? ["", ""];
	const isOneTopic = new Set(sources.map((each) => each[1])).size < 2;
	const isOneSender = new Set(sources.map((each) => each[0])).size < 2;
	return inert(isOneTopic ? sender : isOneSender ? topic : `${sender} ${topic}`);
}

/**
 * The samples of some lines as uPlot takes them: times, and for each line a value, null for a gap, or undefined for a
 * sample of another source.
 * @param {Samples} samples
 * @param {Line[]} lines
 * @param {number} min
 * @param {number} max
 * @returns {(number | null | undefined)[][]}
 */
export function aligned(samples, lines, min, max) {
	const { times, sources, columns, order } = samples;
	let [from, to] = samples.between(min, max);
	from = Math.max(0, from - 1);
	to = Math.min(order.length, to + 1);
	const step = Math.max(1, Math.ceil(((to - from) * lines.length) / MOST_POINTS));
	/** @type {(number | null | undefined)[][]} */
	const data = [[], ...lines.map(() => /** @type {(number | null | undefined)[]} */ ([]))];
	/** @type {number[]} */
	const before = [];
	const outage = Math.max(OUTAGE, samples.step * OUTAGE_STEPS);
	for (let block = from; block < to; block += step) {
		const end = Math.min(to, block + step);
		const first = times[order[block]];
		const last = times[order[end - 1]];
		const source = sources[order[block]];
		if (before[source] !== undefined && first - before[source] > outage) {
			data[0].push(first);
			for (const [index, line] of lines.entries()) data[index + 1].push(line.source === source ? null : undefined);
		}
		data[0].push(first);
		if (step > 1) data[0].push(last);
		for (const [index, line] of lines.entries()) {
			const column = columns[line.field];
			const out = data[index + 1];
			if (step === 1) {
				const value = column[order[block]];
				out.push(sources[order[block]] !== line.source ? undefined : Number.isNaN(value) ? null : value);
				continue;
			}
			let low = Number.NaN;
			let high = Number.NaN;
			let lowAt = 0;
			let highAt = 0;
			for (let at = block; at < end; at += 1) {
				const value = column[order[at]];
				if (sources[order[at]] !== line.source || Number.isNaN(value)) continue;
				if (!(value >= low)) [low, lowAt] = [value, at];
				if (!(value <= high)) [high, highAt] = [value, at];
			}
			if (Number.isNaN(low)) out.push(undefined, undefined);
			else out.push(...(lowAt <= highAt ? [low, high] : [high, low]));
		}
		for (let at = block; at < end; at += 1) before[sources[order[at]]] = times[order[at]];
	}
	return data;
}

/**
 * The range of an axis: the values with some space, and some for a constant.
 * @param {any} _
 * @param {number | null} low
 * @param {number | null} high
 * @returns {[number, number]}
 */
export function yRange(_, low, high) {
	if (low === null || high === null || low === undefined || high === undefined) return [0, 1];
	const space = high > low ? (high - low) * 0.08 : Math.abs(low) * 0.1 || 1;
	return [low - space, high + space];
}

/**
 * The sample of a line that is nearest to the cursor: not one of another source.
 * @param {any} plot
 * @param {number} series
 * @param {number} index
 */
function nearest(plot, series, index) {
	const values = plot.data[series];
	if (series === 0 || index === null) return index;
	for (let off = 0; off < 200; off += 1) {
		if (values[index - off] !== undefined) return index - off;
		if (values[index + off] !== undefined) return index + off;
	}
	return index;
}

/**
 * @param {any} _
 * @param {number[]} splits
 * @param {number} __
 * @param {number} ___
 * @param {number} increment
 */
function timeTicks(_, splits, __, ___, increment) {
	return splits.map((time) => clock(time, increment));
}

/**
 * A time of day in 24 hours, with the date from steps of a day on.
 * @param {number} time milliseconds since 1970
 * @param {number} increment between ticks, in milliseconds
 */
export function clock(time, increment) {
	const moment = new Date(time);
	const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
	if (increment >= 86_400_000) return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
	const minutes = `${two(moment.getHours())}:${two(moment.getMinutes())}`;
	if (increment >= 60_000) return minutes;
	const seconds = `${minutes}:${two(moment.getSeconds())}`;
	return increment >= 1000 ? seconds : `${seconds}.${String(moment.getMilliseconds()).padStart(3, "0")}`;
}

/**
 * @param {any} _
 * @param {number[]} splits
 * @param {number} __
 * @param {number} ___
 * @param {number} increment
 */
function numberTicks(_, splits, __, ___, increment) {
	const largest = Math.max(...splits.map(Math.abs));
	if (largest >= 1e6 || (largest > 0 && largest < 1e-3))
		return splits.map((value) => (value === 0 ? "0" : value.toExponential(increment < largest / 10 ? 2 : 1)));
	const digits = [0, 1, 2, 3, 4, 5].find((each) => isWhole(increment * 10 ** each)) ?? 6;
	return splits.map((value) => value.toLocaleString("en", { maximumFractionDigits: digits }));
}

/** @param {number} value */
function isWhole(value) {
	return Math.abs(value - Math.round(value)) < 1e-6;
}

/** @param {number | null | undefined} value */
export function format(value) {
	if (value === null || value === undefined || Number.isNaN(value)) return "–";
	const size = Math.abs(value);
	if (size >= 1e9 || (size > 0 && size < 1e-4)) return value.toExponential(4);
	return value.toLocaleString("en", { maximumSignificantDigits: 7 });
}
