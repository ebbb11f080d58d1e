// Timeline: who did what when, a lane for each participant, of a live room or of a recording.
import { setText } from "./dom.js";
import { EventDetails } from "./event_details.js";
import { followTheme } from "./theme.js";
import { Controls } from "./timeline_controls.js";
import { drawHead, drawLanes, HEAD, overviewOf, paletteOf, prepare } from "./timeline_draw.js";
import { Input } from "./timeline_input.js";
import { Kinds } from "./timeline_kinds.js";
import { Frame, heightOf, hitAt, layLanes, nextEvent, panned, zoomed } from "./timeline_layout.js";
import { Loader } from "./timeline_load.js";
import { Clock, FIRST_SPAN, Sight } from "./timeline_sight.js";
import { Stage } from "./timeline_stage.js";
import { StateView } from "./timeline_state.js";
import { describeEvent } from "./timeline_tip.js";
import { Outcome, widget } from "./view.js";

/** @import { TimelinePart, TimelineValues } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Hit, Lane } from "./timeline_layout.js" */
/** @import { Overview, Scene } from "./timeline_draw.js" */
/** @import { Context } from "./view.js" */

/** Pixels of the lanes at most; further lanes are scrolled to. */
const MAX_HEIGHT = 420;
const MIN_HEIGHT = 110;
/** Milliseconds between two pictures that move by themselves, if motion is to be reduced. */
const CALM = 1000;

/**
 * @param {Context<TimelinePart>} context
 * @returns {HTMLElement}
 */
export function timeline(context) {
	return new Timeline(context).element;
}

export class Timeline {
	/** @param {Context<TimelinePart>} context */
	constructor(context) {
		const { ask, load, follow, signal } = context;
		this.signal = signal;
		this.outcome = new Outcome();
		/** @type {TimelineValues | undefined} */
		this.values = undefined;
		this.kinds = new Kinds([], []);
		/** The names of the groups that are hidden. @type {Set<string>} */
		this.hidden = new Set();
		this.loader = new Loader(context, () => this.redraw());
		this.sight = new Sight();
		this.clock = new Clock();
		/** @type {Lane[]} */
		this.lanes = [];
		this.laid = "";
		/** @type {Hit | undefined} */
		this.hit = undefined;
		/** The position of the selected event. @type {number | undefined} */
		this.selected = undefined;
		/** Whether the selected event is described, because keys chose it. */
		this.isReading = false;
		/** The lane that the keys move in. @type {number | undefined} */
		this.lane = undefined;
		/** Where the pointer is. @type {{ x: number, y: number } | undefined} */
		this.at = undefined;
		/** The time under the pointer. @type {number | undefined} */
		this.pointer = undefined;
		/** @type {number | undefined} */
		this.cursor = undefined;
		/** @type {Record<string, string> | undefined} */
		this.palette = undefined;
		/** @type {Overview & { key: string, until: number } | undefined} */
		this.overview = undefined;
		this.isVisible = true;
		this.frame = 0;
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.timer = undefined;
		this.controls = new Controls(this);
		this.details = new EventDetails(
			(key) => this.outcome.report(ask("read", { key: Number(key) })),
			() => this.close(),
		);
		this.state = new StateView(load, (error) => this.outcome.fail(error));
		this.stage = new Stage(this.controls, this.outcome.element, this.details.element, this.state.element);
		this.element = this.stage.element;
		this.input = new Input(this, signal);
		this.observe();
		followTheme(() => this.recolor(), signal);
		follow((state) => this.receive(state));
	}

	observe() {
		const sizes = new ResizeObserver(() => this.redraw());
		sizes.observe(this.stage.view);
		const watch = new IntersectionObserver((entries) => {
			this.isVisible = entries.some((entry) => entry.isIntersecting);
			if (this.isVisible) this.redraw();
		});
		watch.observe(this.stage.view);
		this.stage.scroller.addEventListener("scroll", () => this.redraw(), { passive: true });
		this.signal.addEventListener("abort", () => {
			sizes.disconnect();
			watch.disconnect();
			this.state.end();
			cancelAnimationFrame(this.frame);
			clearTimeout(this.timer);
		});
	}

	get store() {
		return this.loader.store;
	}

	/** @param {PartState<TimelinePart>} state */
	receive(state) {
		if (this.signal.aborted) return;
		const { values } = state;
		const isFirst = this.values === undefined;
		this.values = values;
		this.clock.hear(values.now);
		if (isFirst) {
			this.kinds = new Kinds(values.kinds, values.statuses);
			if (values.recorded || !values.live) this.sight.mode = "all";
		}
		if (!values.live && this.sight.mode === "follow") this.sight.mode = "all";
		const { first } = this.store;
		this.loader.take(state, this.kinds);
		if (this.store.first !== first) this.hit = undefined; // it is another event's index now
		this.redraw();
	}

	/** The kernel's time; of what has ended, its end. */
	now() {
		const { values } = this;
		if (values?.live) return this.clock.now();
		return values?.recorded?.[1] ?? values?.now ?? 0;
	}

	/** All of the time. @returns {[number, number]} */
	range() {
		const now = this.now();
		const found = this.store.range(now);
		const recorded = this.values?.recorded;
		if (recorded) return [Math.min(recorded[0], found?.[0] ?? recorded[0]), Math.max(recorded[1], found?.[1] ?? 0)];
		if (!found) return [now - FIRST_SPAN, now];
		return [found[0], this.values?.live ? Math.max(found[1], now) : found[1]];
	}

	/** Draw in the next frame. */
	redraw() {
		if (this.frame || this.signal.aborted || !this.isVisible) return;
		this.frame = requestAnimationFrame(() => {
			this.frame = 0;
			this.draw();
		});
	}

	draw() {
		const { values } = this;
		if (!values) return;
		this.controls.draw(values);
		const hasEvents = this.store.count > 0;
		this.stage.empty.hidden = hasEvents;
		this.stage.scroller.hidden = !hasEvents;
		setText(this.stage.empty, describeEmpty(values, this.loader));
		this.layOut(values);
		const width = Math.floor(this.stage.plot.clientWidth);
		if (!width || !hasEvents) return;
		const now = this.now();
		this.sight.update(this.range(), now);
		const scene = this.scene(values, width, now);
		this.palette ??= paletteOf(this.stage.view);
		this.paint(scene, this.palette, width);
		this.drawTip(values, scene);
		this.schedule(scene);
	}

	/**
	 * @param {TimelineValues} values
	 * @param {number} width
	 * @param {number} now
	 * @returns {Scene}
	 */
	scene(values, width, now) {
		return {
			store: this.store,
			kinds: this.kinds,
			hidden: this.hidden,
			topics: values.topics,
			lanes: this.lanes,
			laneCount: laneCount(values),
			frame: new Frame(...this.sight.window, width),
			range: this.range(),
			now,
			isLive: values.live,
			scrolled: this.stage.scroller.scrollTop,
			height: Math.max(MIN_HEIGHT, Math.min(MAX_HEIGHT, heightOf(this.lanes))),
			hovered: this.hit?.index,
			selected: this.selectedIndex(),
			pointer: this.pointer,
			cursor: this.cursor,
		};
	}

	/**
	 * @param {Scene} scene
	 * @param {Record<string, string>} palette
	 * @param {number} width
	 */
	paint(scene, palette, width) {
		this.stage.resize(scene.height);
		const pen = prepare(this.stage.canvas, width, scene.height);
		if (pen) drawLanes(pen, scene, palette);
		const top = prepare(this.stage.head, width, HEAD);
		if (!top) return;
		const key = [this.store.version, Math.round(width), ...this.hidden, scene.range[0]].join();
		const isGrown =
			!this.overview || Math.abs(scene.range[1] - this.overview.until) * width > 2 * (scene.range[1] - scene.range[0]);
		if (!this.overview || this.overview.key !== key || isGrown) {
			const { store, kinds, hidden, range } = scene;
			this.overview = { key, until: range[1], ...overviewOf(store, kinds, hidden, range, width) };
		}
		drawHead(top, scene, palette, this.overview);
		setText(this.stage.corner, describeSpan(scene.frame.to - scene.frame.from));
	}

	/** Draw again when what is in sight has moved by a part of a pixel. @param {Scene} scene */
	schedule({ frame, isLive }) {
		clearTimeout(this.timer);
		if (!isLive || (this.sight.mode === "still" && !this.store.open.size)) return;
		const isCalm = globalThis.matchMedia("(prefers-reduced-motion: reduce)").matches;
		this.timer = setTimeout(() => this.redraw(), isCalm ? CALM : Math.min(1000, 0.5 / frame.scale));
	}

	/**
	 * The lanes and their names, if they may have changed.
	 * @param {TimelineValues} values
	 */
	layOut(values) {
		const key = [this.store.version, ...this.hidden].join();
		if (key === this.laid) return;
		this.laid = key;
		this.lanes = layLanes(this.store, this.kinds, this.hidden, laneCount(values));
		this.stage.name(this.lanes, values);
	}

	recolor() {
		this.palette = undefined;
		this.redraw();
	}

	// Reading

	selectedIndex() {
		if (this.selected === undefined || this.selected < this.store.first) return undefined;
		return this.selected - this.store.first;
	}

	/**
	 * The event at a point of the lanes.
	 * @param {number} x
	 * @param {number} y
	 */
	find(x, y) {
		const frame = new Frame(...this.sight.window, Math.max(1, this.stage.plot.clientWidth));
		return hitAt(this.store, this.kinds, this.hidden, frame, this.lanes, x, y, this.now());
	}

	/**
	 * @param {TimelineValues} values
	 * @param {Scene} scene
	 */
	drawTip(values, { frame, now }) {
		const index = this.selectedIndex();
		const hit = this.hit ?? (index === undefined || !this.isReading ? undefined : { index, count: 1, bytes: 0 });
		if (!hit) {
			this.stage.hideTip();
			return;
		}
		const { store } = this;
		// What has not ended lasts longer and longer.
		const age = store.open.has(hit.index) ? Math.floor(now / 200) : 0;
		const key = JSON.stringify([hit, store.version, age]);
		const { lane: number, time } = store.columns;
		const lane = this.lanes.find((each) => each.lane === number[hit.index]);
		const at = this.at ?? {
			x: Math.max(0, Math.min(frame.width, frame.x(time[hit.index]))),
			y: lane ? lane.top + lane.height - this.stage.scroller.scrollTop - 12 : 0,
		};
		this.stage.showTip(key, () => describeEvent(store, this.kinds, values, hit, now), at);
	}

	/**
	 * Select an event, and have the cursor at it.
	 * @param {number} index
	 * @param {boolean} isRead whether to say what it is
	 */
	select(index, isRead) {
		this.selected = index + this.store.first;
		this.isReading = isRead;
		this.moveCursor(this.store.columns.time[index]);
	}

	/** @param {number} time */
	moveCursor(time) {
		if (this.values?.recorded) {
			this.cursor = Math.min(Math.max(time, this.values.recorded[0]), this.values.recorded[1]);
			this.state.show(this.cursor);
		}
		this.redraw();
	}

	/** @param {number} index */
	open(index) {
		this.select(index, false);
		this.details.load(String(this.store.columns.key[index]));
	}

	close() {
		this.details.show("", undefined);
		this.selected = undefined;
		this.stage.view.focus({ preventScroll: true });
		this.redraw();
	}

	// Moving

	/**
	 * @param {number} factor
	 * @param {number} [at] the time that keeps its place
	 */
	zoom(factor, at) {
		const { sight } = this;
		const window = zoomed(sight.window, factor, at ?? (sight.window[0] + sight.window[1]) / 2);
		if (sight.mode === "follow" && at === undefined) {
			sight.span = Math.max(100, (sight.window[1] - sight.window[0]) * factor);
		} else sight.stand(panned(window, 0, this.range()));
		this.redraw();
	}

	/** @param {number} by milliseconds */
	pan(by) {
		this.sight.stand(panned(this.sight.window, by, this.range()));
		this.redraw();
	}

	/** @param {"follow" | "all" | "still"} mode */
	setMode(mode) {
		this.sight.mode = mode;
		this.redraw();
	}

	/**
	 * Select the next or the previous event of the lane of the selected one.
	 * @param {1 | -1} by
	 */
	step(by) {
		const from = this.selectedIndex();
		const at = this.cursor ?? (by > 0 ? this.sight.window[0] : this.sight.window[1]);
		const index = nextEvent(this.store, this.kinds, this.hidden, this.lane, from, at, by);
		if (index === undefined) return;
		this.hit = undefined;
		this.at = undefined;
		this.select(index, true);
		this.bringIntoSight(index);
	}

	/** @param {1 | -1} by */
	stepLane(by) {
		const present = this.lanes.map(({ lane }) => lane);
		const now = this.lane === undefined ? (by > 0 ? -1 : present.length) : present.indexOf(this.lane);
		this.lane = present[Math.min(Math.max(now + by, 0), present.length - 1)];
		const selected = this.selectedIndex();
		const [from, to] = this.sight.window;
		const at = selected === undefined ? (from + to) / 2 : this.store.columns.time[selected];
		const [after, before] = [1, -1].map((way) =>
			nextEvent(this.store, this.kinds, this.hidden, this.lane, undefined, at, /** @type {1 | -1} */ (way)),
		);
		const index = after ?? before;
		if (index === undefined) return;
		this.hit = undefined;
		this.at = undefined;
		this.select(index, true);
		this.bringIntoSight(index);
	}

	/** @param {number} index */
	bringIntoSight(index) {
		const [from, to] = this.sight.window;
		const time = this.store.columns.time[index];
		const margin = (to - from) * 0.05;
		if (time < from + margin || time > to - margin) this.pan(time - (from + to) / 2);
		else if (this.sight.mode === "follow") this.sight.stand(this.sight.window);
		const lane = this.lanes.find((each) => each.lane === (this.lane ?? this.store.columns.lane[index]));
		if (!lane) return;
		const { scrollTop, clientHeight } = this.stage.scroller;
		if (lane.top < scrollTop) this.stage.scroller.scrollTop = lane.top;
		else if (lane.top + lane.height > scrollTop + clientHeight)
			this.stage.scroller.scrollTop = lane.top + lane.height - clientHeight;
	}
}

/**
 * How many lanes can exist: the room's, those of the participants, and that of the others.
 * @param {TimelineValues} values
 */
function laneCount({ lanes, others }) {
	return lanes.length + (others ? 1 : 0);
}

/**
 * @param {TimelineValues} values
 * @param {Loader} loader
 */
function describeEmpty({ total, loading }, { isLoading, failed }) {
	if (failed) return failed;
	if (loading !== null) return "Reading the recording…";
	if (isLoading && total) return "Loading…";
	return "No events yet. Send something, or wait until somebody else does.";
}

/** @param {number} span milliseconds in sight */
export function describeSpan(span) {
	const units = /** @type {[number, string][]} */ ([
		[86_400_000, "d"],
		[3_600_000, "h"],
		[60_000, "min"],
		[1000, "s"],
		[1, "ms"],
	]);
	const [size, unit] = units.find(([each]) => span >= 2 * each) ?? [1, "ms"];
	const count = span / size;
	return `${count < 20 ? count.toFixed(1) : Math.round(count)} ${unit}`;
}

export default widget(
	"Timeline",
	() => ["timeline"],
	({ timeline: context }) => timeline(context),
);
