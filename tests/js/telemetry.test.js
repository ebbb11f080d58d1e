// Telemetry: the choice of fields and form, the notes, and what perspective receives.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isHarmless, mount, NASTY, settle } from "./page.js";
import { batch, telemetryState } from "./states.js";

const { telemetry } = await import("../../lknb/widgets/telemetry.js");
const { newBatches, unpack } = await import("../../lknb/widgets/chart.js");

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
	const view = mount(telemetry);
	return { ...view, tables, config: () => view.find("perspective-viewer").config };
}

const X = { fields: ["x"], total: 2 };

test("an empty view says how to send numbers", () => {
	const view = open();
	assert.equal(view.text(".lknb-counts"), "Waiting for the kernel");
	view.draw(telemetryState({}, { total: 0, fields: [], only: { fields: ["x", "y"], topic: "imu" } }));
	assert.match(view.text(".lknb-empty"), /^No numbers yet with the field x or y on imu\. Send JSON/);
	assert.equal(view.find(".lknb-chart").hidden, true);
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
	assert.equal(view.find(".lknb-chart").hidden, false);
	view.field("x").click();
	assert.equal(view.text(".lknb-empty"), "No field is selected.");
	assert.equal(view.find(".lknb-chart").hidden, true);
});

test("samples are drawn as lines, one for each sender", async () => {
	const view = open();
	const { tables, config } = view;
	const sources = /** @type {[string, string][]} */ ([
		["alice", "imu"],
		["bob", "imu"],
	]);
	view.draw(
		telemetryState({ 1: batch([1000, 2000], [[1, 2]], { snapshot: true, sources: [0, 1] }) }, { ...X, sources }),
	);
	await settle();
	assert.deepEqual(tables[0].updates, [
		{ time: [1000, 2000], sender: ["alice", "bob"], topic: ["imu", "imu"], x: [1, 2] },
	]);
	assert.deepEqual(tables[0].options, { limit: 5000 });
	assert.deepEqual([config().plugin, config().columns, config().split_by], ["Y Line", ["x"], ["sender"]]);
});

test("the same samples are shown as a table, newest first", async () => {
	const view = open();
	const { config } = view;
	view.draw(telemetryState({ 1: batch([1000], [[1]], { snapshot: true }) }, X));
	await settle();
	view.button("Table").click();
	await settle();
	assert.equal(view.button("Table").getAttribute("aria-pressed"), "true");
	assert.equal(view.button("Lines").getAttribute("aria-pressed"), "false");
	assert.equal(view.find(".lknb-chart").getAttribute("aria-label"), "Table");
	assert.deepEqual([config().plugin, config().sort], ["Datagrid", [["time", "desc"]]]);
	assert.deepEqual(config().columns, ["time", "sender", "topic", "x"]);
});

test("later batches are added, and a new field creates a new table", async () => {
	const view = open();
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
	view.draw(telemetryState({ 5: batch([1000], [[1]]) }, X));
	await settle();
	view.draw(telemetryState({ 5: batch([1000], [[1]]), 6: batch([2000], [[2]]) }, X));
	await settle();
	assert.equal(view.store.snapshots, 1);
});

test("a paused chart ignores samples, and requests a snapshot when it resumes", async () => {
	const view = open();
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
	view.draw(telemetryState({ 1: batch([1000], [[1]], { snapshot: true }) }, X));
	await settle();
	assert.equal(view.text(".lknb-outcome"), "The chart cannot be shown: no memory");
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
	assert.equal(document.querySelectorAll("style").length, 0);
});
