// Telemetry: the choice of fields and form, the notes, the lines that uPlot draws, and what perspective receives.
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawFrame, isHarmless, mount, NASTY, settle } from "./page.js";
import { batch, telemetryState } from "./states.js";

const { telemetry } = await import("../../lknb/widgets/telemetry.js");
const { newBatches, unpack } = await import("../../lknb/widgets/chart.js");
const { aligned, clock, format, grouped, yRange } = await import("../../lknb/widgets/plots.js");
const { SampleStore } = await import("../../lknb/widgets/sample_store.js");

/** uPlot, which records what it draws. */
class FakePlot {
	/** @type {FakePlot[]} */
	static all = [];

	constructor(/** @type {any} */ options, /** @type {any} */ data, /** @type {HTMLElement} */ place) {
		this.options = options;
		this.data = data;
		this.width = options.width;
		this.cursor = { left: -1 };
		this.over = place;
		/** @type {any} */
		this.scale = undefined;
		FakePlot.all.push(this);
	}

	batch(/** @type {() => void} */ run) {
		run();
	}

	setData(/** @type {any} */ data) {
		this.data = data;
	}

	setScale(/** @type {string} */ _, /** @type {any} */ range) {
		this.scale = range;
	}

	setSize() {}

	/** As if the pointer were over the sample of this index. */
	point(/** @type {number | null} */ idx) {
		this.cursor = /** @type {any} */ ({ idx, idxs: this.data.map(() => idx), left: idx === null ? -1 : 5 });
		this.options.hooks.setCursor[0]();
	}

	destroy() {
		FakePlot.all = FakePlot.all.filter((each) => each !== this);
	}
}
Object.assign(globalThis, {
	[Symbol.for("lknb.uplot")]: Promise.resolve({ Uplot: FakePlot, style: ".u-plot {}" }),
});

/** Perspective's table, which records its updates. */
class FakeTable {
	constructor(/** @type {object} */ options) {
		this.options = options;
		/** @type {any[]} */
		this.updates = [];
		this.isDeleted = false;
	}

	async get_name() {
		return "table";
	}

	async update(/** @type {object} */ columns) {
		this.updates.push(columns);
	}

	async clear() {
		this.updates = [];
	}

	async delete() {
		this.isDeleted = true;
	}
}

/** Perspective's element, which records its configuration. */
class FakeViewer extends HTMLElement {
	/** @type {any} */
	config = {};

	async load() {}

	async restore(/** @type {object} */ config) {
		this.config = config;
	}

	async delete() {}
}
customElements.define("perspective-viewer", FakeViewer);

/** Put `client` where the page stores perspective. */
function provide(/** @type {object} */ client) {
	Object.assign(globalThis, {
		[Symbol.for("lknb.perspective")]: Promise.resolve({ client, style: ":host { --chart: 1 }" }),
	});
}

/** A view with perspective's tables, and the configuration of its viewer. */
function open() {
	/** @type {FakeTable[]} */
	const tables = [];
	provide({
		async table(/** @type {object} */ _, /** @type {object} */ options) {
			tables.push(new FakeTable(options));
			return tables.at(-1);
		},
	});
	FakePlot.all = [];
	const view = mount(telemetry);
	Object.defineProperty(view.find(".lknb-lines"), "clientWidth", { value: 600 });
	/** Draw the lines, and return the plots. */
	const plots = async () => {
		drawFrame();
		await settle();
		return FakePlot.all;
	};
	const openTable = () => view.button("Table").click();
	return { ...view, tables, plots, openTable, config: () => view.find("perspective-viewer").config };
}

const X = { fields: ["x"], total: 2 };

test("an empty view says how to send numbers", () => {
	const view = open();
	assert.equal(view.text(".lknb-counts"), "Waiting for the kernel");
	view.draw(telemetryState({}, { total: 0, fields: [], only: { fields: ["x", "y"], topic: "imu" } }));
	assert.match(view.text(".lknb-empty"), /^No numbers yet with the field x or y on imu\. Send JSON/);
	assert.equal(view.find(".lknb-lines").hidden, true);
});

test("the counters say how many samples there are, and what is not shown", () => {
	const view = open();
	view.draw(telemetryState({}, { total: 1 }));
	assert.match(view.text(".lknb-counts"), /^1 sample, 0 per second, the newest 5,000 are shown$/);
	view.draw(telemetryState({}, { total: 12_345, thinned: 7, undecoded: 2, reason: "no numbers", refused: [3, ["z"]] }));
	assert.match(view.text(".lknb-counts"), /^12,345 samples.*7 skipped in the chart/);
	assert.equal(
		view.text(".lknb-undecoded"),
		"2 could not be decoded. The last: no numbers. 3 more fields are not shown, such as z.",
	);
});

test("the first eight fields are drawn until the user chooses", () => {
	const view = open();
	const fields = Array.from({ length: 10 }, (_, index) => `f${index}`);
	view.draw(telemetryState({}, { fields }));
	assert.equal(view.all("input:checked").length, 8);
	view.field("f9").click();
	view.draw(telemetryState({}, { fields: [...fields, "late"] }));
	assert.equal(view.field("f9").checked, true);
	assert.equal(view.field("late").checked, false);
});

test("without a selected field, a note replaces the chart", () => {
	const view = open();
	view.draw(telemetryState({}, X));
	assert.equal(view.find(".lknb-lines").hidden, false);
	view.field("x").click();
	assert.equal(view.text(".lknb-empty"), "No field is selected.");
	assert.equal(view.find(".lknb-lines").hidden, true);
});

test("samples are drawn as lines, one for each sender", async () => {
	const view = open();
	const sources = /** @type {[string, string][]} */ ([
		["alice", "imu"],
		["bob", "imu"],
	]);
	view.draw(
		telemetryState({ 1: batch([1000, 2000], [[1, 2]], { snapshot: true, sources: [0, 1] }) }, { ...X, sources }),
	);
	const [plot] = await view.plots();
	assert.deepEqual(plot.data, [
		[1000, 2000],
		[1, undefined],
		[undefined, 2],
	]);
	assert.deepEqual(plot.scale, { min: 1000, max: 2000 });
	assert.match(view.text(".lknb-sources"), /alice\s+bob/);
	assert.match(view.text(".lknb-plot-head"), /x alice 1\s+bob 2/);
});

test("fields of different size have axes of their own until the user chooses one", async () => {
	const view = open();
	const fields = ["pose.x", "pose.y", "pressure"];
	const more = { fields, units: ["m", "m", "Pa"], total: 2 };
	const columns = [
		[1, 2],
		[3, 4],
		[101_325, 101_330],
	];
	view.draw(telemetryState({ 1: batch([1000, 2000], columns, { snapshot: true }) }, more));
	assert.deepEqual(
		(await view.plots()).map((plot) => plot.data.length),
		[3, 2],
	);
	assert.equal(view.button("Own axes").getAttribute("aria-pressed"), "true");
	assert.match(view.text(".lknb-plot-head"), /pose\.x \[m\] 2/);
	view.button("One axis").click();
	assert.deepEqual(
		(await view.plots()).map((plot) => plot.data.length),
		[4],
	);
	assert.equal(view.button("One axis").getAttribute("aria-pressed"), "true");
});

test("pointing at the lines reads the values of that time, and the newest ones afterwards", async () => {
	const view = open();
	view.draw(telemetryState({ 1: batch([1000, 2000], [[1.5, 2.5]], { snapshot: true }) }, X));
	const [plot] = await view.plots();
	assert.match(view.text(".lknb-plot-head"), /x 2\.5$/);
	plot.point(0);
	assert.match(view.text(".lknb-plot-head"), /x 1\.5$/);
	assert.match(view.text(".lknb-plot-moment"), /^\d\d:\d\d:01\.000$/);
	plot.point(null);
	assert.match(view.text(".lknb-plot-head"), /x 2\.5$/);
	assert.equal(view.text(".lknb-plot-moment"), "");
});

test("the keys zoom, and Escape shows everything", async () => {
	const view = open();
	view.draw(telemetryState({ 1: batch([1000, 2000], [[1, 2]], { snapshot: true }) }, X));
	await view.plots();
	const press = (/** @type {string} */ key) =>
		view.find(".lknb-lines").dispatchEvent(new KeyboardEvent("keydown", { key }));
	press("+");
	assert.deepEqual((await view.plots())[0].scale, { min: 1100, max: 1900 });
	assert.equal(view.button("Reset zoom").hidden, false);
	press("Escape");
	assert.deepEqual((await view.plots())[0].scale, { min: 1000, max: 2000 });
	assert.equal(view.button("Reset zoom").hidden, true);
});

test("later batches are drawn too, and the window keeps the newest", async () => {
	const view = open();
	const first = batch([1000], [[1]], { snapshot: true });
	view.draw(telemetryState({ 1: first }, { ...X, window: 2 }));
	view.draw(telemetryState({ 1: first, 2: batch([1100, 1200], [[2, 3]]) }, { ...X, window: 2 }));
	assert.deepEqual((await view.plots())[0].data, [
		[1100, 1200],
		[2, 3],
	]);
});

test("paused lines stand still, and a snapshot is requested when they go on", async () => {
	const view = open();
	view.draw(telemetryState({ 1: batch([1000], [[1]], { snapshot: true }) }, X));
	view.button("Pause").click();
	view.draw(telemetryState({ 2: batch([2000], [[2]]) }, X));
	assert.deepEqual((await view.plots())[0].data[0], [1000]);
	view.button("Resume").click();
	assert.equal(view.store.snapshots, 1);
});

test("an outage interrupts a line, and missing numbers do", () => {
	const store = new SampleStore(100);
	store.add(batch([0, 100, 200, 9000], [[1, Number.NaN, 3, 4]], { snapshot: true }));
	const lines = [{ field: 0, source: 0, color: "red", dash: [] }];
	assert.deepEqual(aligned(store.samples(1), lines, 0, 9000), [
		[0, 100, 200, 9000, 9000],
		[1, null, 3, null, 4],
	]);
});

test("samples of clocks that differ are drawn in the order of time", () => {
	const store = new SampleStore(100);
	store.add(batch([1000, 500, 1500], [[1, 2, 3]], { snapshot: true, sources: [0, 1, 0] }));
	const lines = [0, 1].map((source) => ({ field: 0, source, color: "red", dash: [] }));
	assert.deepEqual(aligned(store.samples(1), lines, 0, 2000), [
		[500, 1000, 1500],
		[undefined, 1, 3],
		[2, undefined, undefined],
	]);
});

test("of many samples, the smallest and the largest are drawn", () => {
	const store = new SampleStore(200_000);
	const count = 120_000;
	const values = Array.from({ length: count }, (_, index) => (index === 7777 ? 100 : index % 2));
	store.add(
		batch(
			Array.from({ length: count }, (_, index) => index),
			[values],
			{ snapshot: true },
		),
	);
	const [times, drawn] = aligned(store.samples(1), [{ field: 0, source: 0, color: "red", dash: [] }], 0, count);
	assert.ok(times.length <= 130_000);
	assert.ok(drawn.includes(100));
});

test("fields that belong together share an axis, if their values are of like size", () => {
	const store = new SampleStore(10);
	store.add(batch([0], [[1], [2], [500], [20]], { snapshot: true }));
	const fields = ["a.x", "a.y", "a.z", "b"];
	const base = { fields, units: [], chosen: fields, sources: [] };
	assert.deepEqual(grouped(store.samples(4), { ...base, axes: "own" }), [[0, 1], [2], [3]]);
	assert.deepEqual(grouped(store.samples(4), { ...base, axes: "auto" }), [[0, 1], [2], [3]]);
	assert.deepEqual(grouped(store.samples(4), { ...base, axes: "one" }), [[0, 1, 2, 3]]);
	assert.deepEqual(grouped(store.samples(4), { ...base, chosen: ["a.x", "b"], axes: "auto" }), [[0], [3]]);
	assert.deepEqual(grouped(store.samples(4), { ...base, chosen: ["a.x", "a.y"], axes: "auto" }), [[0, 1]]);
});

test("times have 24 hours, and numbers as many digits as they need", () => {
	const noon = new Date(2027, 0, 2, 13, 4, 5, 6).getTime();
	assert.deepEqual(
		[1, 1000, 60_000, 86_400_000].map((step) => clock(noon, step)),
		["13:04:05.006", "13:04:05", "13:04", "2027-01-02"],
	);
	assert.deepEqual([1.5, 101_325.25, 1e-7, 2e12, undefined, Number.NaN].map(format), [
		"1.5",
		"101,325.3",
		"1.0000e-7",
		"2.0000e+12",
		"–",
		"–",
	]);
	assert.deepEqual(yRange(undefined, 5, 5), [4.5, 5.5]);
	assert.deepEqual(yRange(undefined, null, null), [0, 1]);
});

test("the same samples are shown as a table, newest first", async () => {
	const view = open();
	const { config } = view;
	view.draw(telemetryState({ 1: batch([1000], [[1]], { snapshot: true }) }, X));
	await settle();
	view.openTable();
	await settle();
	assert.equal(view.button("Table").getAttribute("aria-pressed"), "true");
	assert.equal(view.button("Lines").getAttribute("aria-pressed"), "false");
	assert.equal(view.find(".lknb-lines").hidden, true);
	assert.deepEqual([config().plugin, config().sort], ["Datagrid", [["time", "desc"]]]);
	assert.deepEqual(config().columns, ["time", "sender", "topic", "x"]);
});

test("later batches are added, and a new field creates a new table", async () => {
	const view = open();
	view.openTable();
	const { tables } = view;
	const first = batch([1000], [[1]], { snapshot: true });
	view.draw(telemetryState({ 1: first }, X));
	await settle();
	view.draw(telemetryState({ 1: first, 2: batch([2000], [[2]]) }, X));
	await settle();
	assert.deepEqual(
		tables[0].updates.map((/** @type {any} */ columns) => columns.x),
		[[1], [2]],
	);
	view.draw(telemetryState({ 3: batch([3000], [[3], [4]], { snapshot: true }) }));
	await settle();
	assert.equal(tables.length, 2);
	assert.equal(tables[0].isDeleted, true);
	assert.equal(view.all("perspective-viewer").length, 1);
});

test("a page that missed batches requests one snapshot", async () => {
	const view = open();
	view.openTable();
	view.draw(telemetryState({ 5: batch([1000], [[1]]) }, X));
	await settle();
	view.draw(telemetryState({ 5: batch([1000], [[1]]), 6: batch([2000], [[2]]) }, X));
	await settle();
	assert.equal(view.store.snapshots, 1);
});

test("a paused chart ignores samples, and requests a snapshot when it resumes", async () => {
	const view = open();
	view.openTable();
	const { tables } = view;
	view.draw(telemetryState({ 1: batch([1000], [[1]], { snapshot: true }) }, X));
	await settle();
	view.button("Pause").click();
	view.draw(telemetryState({ 2: batch([2000], [[2]]) }, X));
	await settle();
	assert.equal(tables[0].updates.length, 1);
	assert.match(view.text(".lknb-counts"), /paused$/);
	view.button("Resume").click();
	assert.equal(view.store.snapshots, 1);
	await settle();
	assert.equal(tables[0].updates.length, 2);
});

test("a chart that cannot be drawn says why", async () => {
	provide({ table: () => Promise.reject(new Error("no memory")) });
	const view = mount(telemetry);
	view.button("Table").click();
	view.draw(telemetryState({ 1: batch([1000], [[1]], { snapshot: true }) }, X));
	await settle();
	assert.equal(view.text(".lknb-outcome"), "The table cannot be shown: no memory");
});

test("text from the room is never markup", () => {
	const view = open();
	view.draw(telemetryState({}, { fields: [NASTY], undecoded: 1, reason: NASTY, refused: [1, [NASTY]] }));
	assert.ok(isHarmless(view.element));
	assert.match(view.text(".lknb-field"), /<script>/);
});

test("a batch becomes columns, with null for missing numbers", () => {
	const columns = [
		[1.5, Number.NaN],
		[-1, 2 ** 53],
	];
	const sources = /** @type {[string, string][]} */ ([
		["alice", "imu"],
		["bob\u202e", "imu"],
	]);
	assert.deepEqual(unpack(batch([1000, 2000.5], columns, { sources: [1, 7] }), ["x", "y"], sources), {
		time: [1000, 2000.5],
		sender: ["bob\\u202e", ""],
		topic: ["imu", ""],
		x: [1.5, null],
		y: [-1, 2 ** 53],
	});
});

test("batches that are not in the table yet are used, from the last snapshot on", () => {
	const numbers = (/** @type {any} */ batches, done = 0) =>
		newBatches(new Map(Object.entries(batches)), done)?.map(([number]) => number);
	const [more, snapshot] = [batch([], []), batch([], [], { snapshot: true })];
	assert.deepEqual(numbers({ 1: more, 2: more, 3: more }, 1), [2, 3]);
	assert.deepEqual(numbers({ 1: more, 2: snapshot, 3: more, 4: snapshot, 5: more }, 1), [4, 5]);
	assert.deepEqual(numbers({ 1: more }, 1), []);
	assert.equal(numbers({ 3: more }, 1), undefined);
});

test("a chart in a shadow root has perspective's style there, once", async () => {
	const { styleAround } = await import("../../lknb/widgets/perspective.js");
	const host = document.createElement("div");
	document.body.append(host);
	const root = host.attachShadow({ mode: "open" });
	const [one, two] = [document.createElement("div"), document.createElement("div")];
	root.append(one, two);
	for (const place of [one, two, host]) styleAround(place, ":host { --chart: 2 }");
	const styles = [...root.querySelectorAll("style")].map((each) => each.textContent);
	assert.deepEqual(styles, [":host { --chart: 2 }"]);
	const inPage = [...document.querySelectorAll("style")].map((each) => each.textContent);
	assert.ok(!inPage.includes(":host { --chart: 2 }"));
});
