// Timeline: the events in the browser, where they are drawn, what is at a point, and the view's controls.
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawFrame, isHarmless, mount, NASTY, press, settle } from "./page.js";
import { packedEvents, timelineBatch, timelineState } from "./states.js";

/** @import { TimelineEvent } from "./states.js" */

const { describeSpan, timeline } = await import("../../lknb/widgets/timeline.js");
const { exactTime, overviewOf, tickText } = await import("../../lknb/widgets/timeline_draw.js");
const { Kinds, NOTHING } = await import("../../lknb/widgets/timeline_kinds.js");
const { BAR, BAR_GAP, bins, DENSITY, Frame, heightOf, hitAt, layLanes, nextEvent, panned, ticks, zoomed } =
	await import("../../lknb/widgets/timeline_layout.js");
const { Clock, Sight } = await import("../../lknb/widgets/timeline_sight.js");
const { applyBatches, EventStore, MAX_TRACKS, OPEN, unpack } = await import("../../lknb/widgets/timeline_store.js");

const { values } = timelineState({});
const KINDS = new Kinds(values.kinds, values.statuses);
const NONE = /** @type {Set<string>} */ (new Set());
const NOW = 10_000;

/** @param {TimelineEvent[]} events */
const columns = (events, first = 0) => {
	const { buffer, byteOffset, byteLength } = packedEvents(events, first);
	return unpack(/** @type {ArrayBuffer} */ (buffer.slice(byteOffset, byteOffset + byteLength)), events.length);
};

/** @param {TimelineEvent[]} events */
function storeOf(events) {
	const store = new EventStore();
	store.put(columns(events), KINDS);
	return store;
}

/** The lanes of a store, and a window of a second in 1000 pixels. */
function laid(/** @type {InstanceType<typeof EventStore>} */ store, hidden = NONE) {
	const lanes = layLanes(store, KINDS, hidden, 4);
	const frame = new Frame(1000, 2000, 1000);
	const at = (/** @type {number} */ x, /** @type {number} */ y) =>
		hitAt(store, KINDS, hidden, frame, lanes, x, y, NOW)?.index;
	return { lanes, frame, at };
}

test("columns come back as they were packed, in any number", () => {
	for (const count of [0, 1, 3, 1001]) {
		const events = Array.from({ length: count }, (_, index) => ({
			time: index + 0.5,
			kind: "text",
			duration: index,
			lane: 3,
		}));
		const store = storeOf(events);
		assert.equal(store.count, count);
		if (!count) continue;
		const last = count - 1;
		const { time, duration, lane, key, code } = store.columns;
		assert.deepEqual([time[last], duration[last], lane[last], key[last]], [last + 0.5, last, 3, 1000 + last]);
		assert.equal(KINDS.kind(code[last]), "text");
		assert.equal(KINDS.status(code[last]), "ok");
	}
});

test("batches are applied in order, and a missing one is noticed", () => {
	const store = new EventStore();
	const [one, two, four] = [
		timelineBatch([{ time: 1 }]),
		timelineBatch([{ time: 2 }], 1),
		timelineBatch([{ time: 4 }], 3),
	];
	const state = timelineState({ 1: one, 2: two, 4: four }, { batch: 4 });
	assert.deepEqual(applyBatches(store, state.rows.batches, 0, state.values, KINDS), { done: 2, isMissing: true });
	assert.equal(store.count, 2);
	const whole = timelineBatch([{ time: 1 }, { time: 2 }, { time: 3 }, { time: 4 }], 0, true);
	const later = timelineState({ 9: whole }, { batch: 9 });
	assert.deepEqual(applyBatches(store, later.rows.batches, 2, later.values, KINDS), { done: 9, isMissing: false });
	assert.deepEqual([...store.columns.time.subarray(0, store.count)], [1, 2, 3, 4]);
});

test("a snapshot replaces what is too old to be continued", () => {
	const store = storeOf([{ time: 1 }, { time: 2 }]);
	const batches = { 5: timelineBatch([{ time: 50 }, { time: 51 }], 50, true) };
	const state = timelineState(batches, { batch: 5, first: 50, total: 52 });
	applyBatches(store, state.rows.batches, 1, state.values, KINDS);
	assert.deepEqual([store.first, store.count, store.columns.time[0]], [50, 2, 50]);
});

test("an event that ends changes in place, and lasts until then", () => {
	const store = storeOf([{ time: 1000, kind: "text", status: "open", duration: OPEN }, { time: 1500 }]);
	assert.deepEqual(store.openPositions(), [0]);
	assert.equal(store.endOf(0, NOW), NOW);
	store.put(columns([{ time: 1000, kind: "text", duration: 250, position: 0 }]), KINDS);
	assert.deepEqual(store.openPositions(), []);
	assert.equal(store.count, 2);
	assert.equal(store.endOf(0, NOW), 1250);
	assert.deepEqual(store.range(NOW), [1000, 1500]);
});

test("old events go, and the others keep their positions", () => {
	const store = storeOf(Array.from({ length: 100 }, (_, index) => ({ time: index })));
	store.put(columns([{ time: 99.5, kind: "text", status: "open", duration: OPEN }], 100), KINDS);
	store.dropBefore(2);
	assert.equal(store.first, 0); // a few are not worth the move
	store.dropBefore(60);
	assert.deepEqual([store.first, store.count, store.columns.time[0], store.end], [60, 41, 60, 101]);
	assert.deepEqual(store.openPositions(), [100]);
	store.put(columns([{ time: 1, position: 5 }]), KINDS);
	assert.equal(store.count, 41);
});

test("bars that overlap are drawn below each other, up to a limit", () => {
	const bar = (/** @type {number} */ time, /** @type {number} */ duration) => ({ time, duration, kind: "text" });
	const store = storeOf([bar(0, 100), bar(50, 100), bar(100, 10), ...Array.from({ length: 20 }, () => bar(120, 50))]);
	assert.deepEqual([...store.track.subarray(0, 3)], [0, 1, 0]);
	assert.equal(Math.max(...store.track.subarray(0, store.count)), MAX_TRACKS - 1);
	const open = storeOf([{ ...bar(0, OPEN), status: "open" }, bar(500, 10)]);
	assert.equal(open.track[1], 1); // below what goes on
	open.put(
		columns([
			{ ...bar(0, 100), position: 0 },
			{ ...bar(600, 10), position: 2 },
		]),
		KINDS,
	);
	assert.equal(open.track[2], 0);
});

test("a lane has rows for what there is, and a call has a bar in both lanes", () => {
	const store = storeOf([
		{ time: 1100, kind: "rpc", duration: 300, lane: 1, other: 3 },
		{ time: 1200, kind: "attributes", lane: 1 },
		{ time: 1300, kind: "data", lane: 2 },
	]);
	const { lanes, at } = laid(store);
	assert.deepEqual(lanes.map(({ lane, tracks, density }) => [lane, tracks, density >= 0]), [[1, 1, false], [2, 0, true], [3, 1, false]]); // biome-ignore format: rows
	assert.equal(heightOf(lanes), lanes[2].top + lanes[2].height);
	assert.equal(at(250, lanes[0].bars + 3), 0);
	assert.equal(at(250, lanes[2].bars + 3), 0);
	assert.equal(at(250, lanes[1].bars + 3), undefined);
	assert.equal(at(202, lanes[0].marks + 3), 1);
	assert.equal(at(500, lanes[0].bars + 3), undefined);
	assert.equal(at(300, lanes[1].density + 10), 2);
});

test("what is hidden is neither drawn nor found", () => {
	const store = storeOf([
		{ time: 1100, kind: "text", duration: 300 },
		{ time: 1200, kind: "data" },
	]);
	const before = laid(store);
	const after = laid(store, new Set(["text"]));
	assert.equal(after.lanes[0].tracks, 0);
	assert.ok(after.lanes[0].height < before.lanes[0].height);
	assert.equal(after.at(150, before.lanes[0].bars + 3), undefined);
	const counts = bins(store, KINDS, new Set(["data"]), before.frame, 4);
	assert.equal(counts.size, 0);
});

test("packets are counted by column, and those under the pointer together", () => {
	const store = storeOf([
		...Array.from({ length: 5 }, () => ({ time: 1500.2 })),
		{ time: 1500.4, kind: "data_track" },
		{ time: 1500.6, status: "failed" },
		{ time: 1900 },
		{ time: 2500 },
	]);
	const { lanes, frame } = laid(store);
	const counts = bins(store, KINDS, NONE, frame, 4).get(2);
	assert.deepEqual(counts?.map((each) => each[250]), [5, 1, 1]); // biome-ignore format: a row
	assert.deepEqual(
		counts?.map((each) => each.reduce((sum, count) => sum + count)),
		[6, 1, 1],
	);
	const hit = hitAt(store, KINDS, NONE, frame, lanes, 500, lanes[0].density + DENSITY - 3, NOW);
	assert.deepEqual([hit?.count, hit?.bytes], [7, 70]);
});

test("losses and outages are bands over all lanes, below everything else", () => {
	const store = storeOf([
		{ time: 1100, kind: "loss", duration: 400, lane: 0 },
		{ time: 1600, kind: "connection", duration: OPEN, lane: 0 },
		{ time: 1200, kind: "text", duration: 100 },
		{ time: 1050, kind: "connection", lane: 0 },
	]);
	const { lanes, at } = laid(store);
	const [room, bob] = lanes;
	assert.equal(at(350, bob.bars + 3), 0);
	assert.equal(at(700, bob.top + 1), 1);
	assert.equal(at(250, bob.bars + 3), 2);
	assert.equal(at(50, room.marks + 5), 3);
	assert.equal(at(550, bob.bars + 3), undefined);
});

test("what began before the window is found as long as it lasts", () => {
	const store = storeOf([
		{ time: 10, kind: "bytes", duration: 1200 },
		...Array.from({ length: 50 }, (_, index) => ({ time: 100 + index })),
	]);
	const { lanes, at } = laid(store);
	assert.equal(at(100, lanes[0].bars + 3), 0);
	assert.equal(at(300, lanes[0].bars + 3), undefined);
});

test("events out of order are read in the order of time", () => {
	const store = storeOf([{ time: 300 }, { time: 100 }, { time: 200 }]);
	assert.deepEqual([...store.order()], [1, 2, 0]);
	assert.deepEqual([store.rank(100), store.rank(150), store.rank(999)], [0, 1, 3]);
	const next = (/** @type {number | undefined} */ from, /** @type {1 | -1} */ by) =>
		nextEvent(store, KINDS, NONE, undefined, from, 150, by);
	assert.deepEqual(
		[next(undefined, 1), next(undefined, -1), next(1, 1), next(0, 1), next(0, -1)],
		[2, 1, 2, undefined, 2],
	);
});

test("keys stay in a lane, which a call has at both ends", () => {
	const store = storeOf([
		{ time: 1, lane: 1 },
		{ time: 2, lane: 2, kind: "rpc", other: 1, duration: 1 },
		{ time: 3, lane: 2 },
		{ time: 4, lane: 1 },
	]);
	const next = (/** @type {number} */ from) => nextEvent(store, KINDS, NONE, 1, from, 0, 1);
	assert.deepEqual([next(0), next(1), next(3)], [1, 3, undefined]);
});

test("zooming keeps a time in its place, and has limits", () => {
	const window = /** @type {[number, number]} */ ([1000, 2000]);
	assert.deepEqual(zoomed(window, 0.5, 1250), [1125, 1625]);
	const [from, to] = zoomed(window, 1e-9, 1500);
	assert.ok(to - from >= 0.5);
	const [first, last] = zoomed(window, 1e30, 1500);
	assert.ok(last - first < 1e12);
});

test("panning never loses the events", () => {
	assert.deepEqual(panned([0, 100], 30, [0, 1000]), [30, 130]);
	assert.deepEqual(panned([0, 100], -1e9, [0, 1000]), [-50, 50]);
	assert.deepEqual(panned([0, 100], 1e9, [0, 1000]), [950, 1050]);
});

test("ticks are round, and few, from microseconds to years", () => {
	for (const span of [0.6, 7, 90, 1234, 60_000, 5e6, 9e8, 4e10]) {
		const { times, step } = ticks(new Frame(1.7e12, 1.7e12 + span, 800), 90);
		assert.ok(times.length <= 9, `${span}: ${times.length}`);
		assert.ok(times.every((time) => time >= 1.7e12 && time <= 1.7e12 + span));
		assert.ok(step * (800 / span) >= 90 - 1e-6);
		if (times.length > 1) assert.notEqual(tickText(times[0], step), tickText(times[1], step));
	}
	assert.equal(exactTime(new Date(2027, 0, 1, 1, 2, 3, 45).getTime(), 1), "01:02:03.045");
	assert.deepEqual([20_000, 90_000, 86_400_000 * 3, 12].map(describeSpan), ["20 s", "90 s", "3.0 d", "12.0 ms"]);
});

test("the strip counts everything, and marks where something went wrong", () => {
	const store = storeOf([{ time: 0 }, { time: 500, kind: "text", status: "failed", duration: 1 }, { time: 999 }]);
	const { bars, bad, most } = overviewOf(store, KINDS, NONE, [0, 1000], 100);
	assert.equal(
		bars.reduce((sum, count) => sum + count),
		3,
	);
	assert.deepEqual([bars[25], bad[25], bad[0], most], [1, 1, 0, 1]);
});

test("the window follows, shows everything, or stands still", () => {
	const sight = new Sight();
	sight.update([0, 1000], 1000);
	assert.ok(sight.window[1] > 1000 && sight.window[1] - sight.window[0] >= 9999);
	sight.update([0, 500_000], 500_000);
	assert.equal(Math.round(sight.window[1] - sight.window[0]), 60_000);
	sight.mode = "all";
	sight.update([0, 500_000], 500_000);
	assert.ok(sight.window[0] < 0 && sight.window[1] > 500_000);
	sight.stand([5, 10]);
	sight.update([0, 900_000], 900_000);
	assert.deepEqual(sight.window, [5, 10]);
});

test("the clock is the kernel's, as the quickest message tells it", () => {
	const clock = new Clock();
	const sent = Date.now() + 3_600_000;
	clock.hear(sent);
	assert.ok(Math.abs(clock.now() - sent) < 500);
	clock.hear(sent - 1500); // a message that took longer
	assert.ok(clock.now() >= sent);
	clock.hear(sent - 7_200_000); // the clock was set
	assert.ok(Math.abs(clock.now() - (sent - 7_200_000)) < 500);
});

/** A view with a width, and a canvas that draws nothing. */
function open() {
	const view = mount(timeline);
	Object.defineProperty(view.find(".lknb-timeline-plot"), "clientWidth", { value: 1000 });
	const canvas = view.find(".lknb-timeline-canvas");
	const show = (/** @type {any} */ state) => {
		view.draw(state);
		drawFrame();
	};
	const point = (/** @type {string} */ type, /** @type {number} */ x, /** @type {number} */ y) => {
		canvas.dispatchEvent(
			Object.assign(new Event(type), { clientX: x, clientY: y, offsetY: y, button: 0, pointerId: 1 }),
		);
		drawFrame();
	};
	return { ...view, show, point, region: view.find(".lknb-timeline-view") };
}

const NOON = values.now;
const TALK = timelineBatch(
	[
		{ time: NOON - 5000, kind: "text", duration: 4000 },
		{ time: NOON - 2000, kind: "rpc", status: "failed", duration: 100, lane: 1, other: 2 },
	],
	0,
	true,
);

test("an empty view says what to do, and a full one who is in it", () => {
	const view = open();
	view.show(timelineState({}));
	assert.match(view.text(".lknb-empty"), /No events yet\. Send something/);
	view.show(timelineState({ 1: TALK }));
	assert.equal(view.find(".lknb-empty").hidden, true);
	assert.equal(view.text(".lknb-timeline-name"), "aliceyou | bob");
	assert.equal(view.text(".lknb-counts"), "2 events");
	assert.deepEqual(
		view.all(".lknb-timeline-legend button:not([hidden])").map((each) => each.textContent),
		["Text", "Calls"],
	);
	view.end();
});

test("hostile names and topics stay text", () => {
	const view = open();
	view.show(timelineState({ 1: TALK }, { lanes: ["", NASTY, NASTY], topics: [NASTY, NASTY], identity: NASTY }));
	press(view.region, "ArrowRight");
	drawFrame();
	assert.match(view.text(".lknb-timeline-tip"), /<script>/);
	assert.ok(isHarmless(view.element));
	view.end();
});

test("keys read the events, and open one", async () => {
	const view = open();
	view.show(timelineState({ 1: TALK }));
	press(view.region, "Home");
	assert.ok(press(view.region, "ArrowRight"));
	drawFrame();
	assert.match(view.text(".lknb-timeline-tip"), /bob.*text: imu.*took 4\.0 s, 10 B/);
	press(view.region, "ArrowRight");
	drawFrame();
	assert.match(view.text(".lknb-timeline-tip"), /alice → bobcall: imu.*took 100\.0 ms.*failed/);
	press(view.region, "Enter");
	const [{ action, args, answer }] = view.asked;
	assert.deepEqual([action, args], ["read", { key: 1001 }]);
	answer({ time: NOON, to: [], preview: "hi", content: "text", status: "ok", direction: "in", error: "no answer" });
	await settle();
	assert.match(view.text(".lknb-timeline-details"), /no answer/);
	press(view.region, "Escape");
	assert.equal(view.find(".lknb-timeline-details").hidden, true);
	view.end();
});

test("pointing reads, a click opens, a drag pans and stops following", () => {
	const view = open();
	view.show(timelineState({ 1: TALK }, { live: true }));
	const follow = view.button("Follow");
	assert.equal(follow.getAttribute("aria-pressed"), "true");
	view.button("All").click();
	drawFrame();
	const top = Number.parseInt(view.all(".lknb-timeline-name")[1].style.top, 10);
	view.point("pointermove", 200, top + 8);
	assert.match(view.text(".lknb-timeline-tip"), /bob/);
	view.point("pointerdown", 200, top + 8);
	view.point("pointerup", 200, top + 8);
	assert.deepEqual(
		view.asked.map(({ action }) => action),
		["read"],
	);
	follow.click();
	drawFrame();
	view.point("pointerdown", 400, 5);
	view.point("pointermove", 300, 5);
	view.point("pointerup", 300, 5);
	assert.equal(follow.getAttribute("aria-pressed"), "false");
	assert.equal(view.asked.length, 1); // a drag is no click
	view.end();
});

test("what no batch brings is loaded, piece by piece", async () => {
	const view = open();
	view.show(timelineState({}, { total: 3, batch: 7 }));
	const answer = (
		/** @type {TimelineEvent[]} */ events,
		/** @type {number} */ first,
		/** @type {number | null} */ next,
	) => {
		const { buffer, byteOffset, byteLength } = packedEvents(events, first);
		const bytes = new DataView(buffer, byteOffset, byteLength);
		view.asked.at(-1)?.answer({ count: events.length, batch: 7, next }, bytes);
	};
	assert.deepEqual(view.asked[0].args, { start: 0, again: [] });
	answer([{ time: NOON, kind: "text", status: "open", duration: OPEN }, { time: NOON }], 0, 2);
	await settle();
	assert.deepEqual(view.asked[1].args, { start: 2, again: [0] });
	answer([{ time: NOON, position: 2 }], 2, null);
	await settle();
	drawFrame();
	assert.equal(view.text(".lknb-counts"), "3 events");
	view.show(timelineState({}, { total: 3, batch: 7 }));
	assert.equal(view.asked.length, 2);
	view.end();
});

test("a recording shows the state at the cursor", async () => {
	const view = open();
	view.show(timelineState({ 1: TALK }, { live: false, recorded: [NOON - 6000, NOON] }));
	assert.equal(view.button("Follow").hidden, true);
	press(view.region, "ArrowRight");
	await new Promise((resolve) => setTimeout(resolve, 150));
	const [{ action, args, answer }] = view.asked;
	assert.deepEqual([action, args], ["state_at", { time: NOON - 5000 }]);
	const text = (/** @type {string} */ value) => ({ text: value, more: false });
	answer({
		time: NOON - 5000,
		metadata: text("lesson"),
		people: [
			{ identity: "bob", name: "Bob", metadata: text(""), attributes: [["mood", text(NASTY)]], more_attributes: 0 },
		],
		more_people: 2,
	});
	await settle();
	assert.match(view.text(".lknb-timeline-state"), /3 participants.*lesson.*bob Bob.*mood.*and 2 more/);
	assert.ok(isHarmless(view.element));
	view.end();
});

test("a kind can be hidden, and its bars with it", () => {
	const view = open();
	view.show(timelineState({ 1: TALK }));
	const height = view.find(".lknb-timeline-plot").style.height;
	view.button("Calls").click();
	drawFrame();
	assert.equal(view.button("Calls").getAttribute("aria-pressed"), "false");
	press(view.region, "ArrowRight");
	press(view.region, "ArrowRight");
	drawFrame();
	assert.match(view.text(".lknb-timeline-tip"), /^bob/);
	assert.ok(Number.parseInt(view.find(".lknb-timeline-plot").style.height, 10) <= Number.parseInt(height, 10));
	view.end();
});

test("a hundred thousand events are laid out and counted in no time", () => {
	const many = Array.from({ length: 100_000 }, (_, index) => ({
		time: 1000 + index / 100,
		kind: index % 3 ? "data" : "text",
		duration: index % 3 ? Number.NaN : 5,
		lane: 1 + (index % 3),
	}));
	const store = storeOf(many);
	const { lanes, frame } = laid(store);
	assert.equal(store.count, 100_000);
	assert.ok(heightOf(lanes) < 500);
	const all = [...bins(store, KINDS, NONE, frame, 4).values()].flatMap(([packets]) => [...packets]);
	assert.equal(
		all.reduce((sum, count) => sum + count),
		many.filter(({ kind }) => kind === "data").length,
	);
	assert.equal(NOTHING, 65535);
	assert.equal(BAR + BAR_GAP, 16);
});
