// Telemetry: the choice of fields and form, what is said when there is nothing, and what perspective is given.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isHarmless, mount, NASTY, settle } from "./page.js";
import { batch, telemetryState } from "./states.js";

const { telemetry } = await import("../../lknb/widgets/telemetry.js");
const { newBatches, unpack } = await import("../../lknb/widgets/chart.js");

/** Perspective's table, which keeps the columns that it is given. */
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

/** Perspective's element, which keeps what it was last set to. */
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

/** Put `client` where the page keeps perspective. */
function provide(/** @type {object} */ client) {
	Object.assign(globalThis, { [Symbol.for("lknb.perspective")]: Promise.resolve(client) });
}

/** A view with perspective's tables, and what its viewer was last set to. */
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

test("before there are numbers it says how to send some", () => {
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
	assert.match(view.text(".lknb-counts"), /^12,345 samples.*7 not drawn one by one/);
	assert.equal(
		view.text(".lknb-undecoded"),
		"2 could not be decoded; the last: no numbers. 3 more fields are not shown, such as z.",
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

test("without a chosen field there is a note in place of the chart", () => {
	const view = open();
	view.draw(telemetryState({}, X));
	assert.equal(view.find(".lknb-chart").hidden, false);
	view.field("x").click();
	assert.equal(view.text(".lknb-empty"), "No field is chosen.");
	assert.equal(view.find(".lknb-chart").hidden, true);
});

test("samples are drawn as lines, several for several senders", async () => {
	const view = open();
	const { tables, config } = view;
	const sources = /** @type {[string, string][]} */ ([
		["alice", "imu"],
		["bob", "imu"],
	]);
	view.draw(telemetryState({ 1: batch([1000, 2000], [[1, 2]], { anew: true, sources: [0, 1] }) }, { ...X, sources }));
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
	view.draw(telemetryState({ 1: batch([1000], [[1]], { anew: true }) }, X));
	await settle();
	view.button("Table").click();
	await settle();
	assert.equal(view.button("Table").getAttribute("aria-pressed"), "true");
	assert.equal(view.button("Lines").getAttribute("aria-pressed"), "false");
	assert.equal(view.find(".lknb-chart").getAttribute("aria-label"), "Table");
	assert.deepEqual([config().plugin, config().sort], ["Datagrid", [["time", "desc"]]]);
	assert.deepEqual(config().columns, ["time", "sender", "topic", "x"]);
});

test("later batches are added, and a new field makes a new table", async () => {
	const view = open();
	const { tables } = view;
	const first = batch([1000], [[1]], { anew: true });
	view.draw(telemetryState({ 1: first }, X));
	await settle();
	view.draw(telemetryState({ 1: first, 2: batch([2000], [[2]]) }, X));
	await settle();
	assert.deepEqual(
		tables[0].updates.map((/** @type {any} */ columns) => columns.x),
		[[1], [2]],
	);
	view.draw(telemetryState({ 3: batch([3000], [[3], [4]], { anew: true }) }));
	await settle();
	assert.equal(tables.length, 2);
	assert.equal(tables[0].isDeleted, true);
	assert.equal(view.all("perspective-viewer").length, 1);
});

test("a page that missed batches asks once for a snapshot", async () => {
	const view = open();
	view.draw(telemetryState({ 5: batch([1000], [[1]]) }, X));
	await settle();
	view.draw(telemetryState({ 5: batch([1000], [[1]]), 6: batch([2000], [[2]]) }, X));
	await settle();
	assert.equal(view.store.snapshots, 1);
});

test("a paused chart takes no samples, and asks for a snapshot when it resumes", async () => {
	const view = open();
	const { tables } = view;
	view.draw(telemetryState({ 1: batch([1000], [[1]], { anew: true }) }, X));
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
	view.draw(telemetryState({ 1: batch([1000], [[1]], { anew: true }) }, X));
	await settle();
	assert.equal(view.text(".lknb-outcome"), "Lines and table cannot be shown: no memory");
});

test("text from the room is never markup", () => {
	const view = open();
	view.draw(telemetryState({}, { fields: [NASTY], undecoded: 1, reason: NASTY, refused: [1, [NASTY]] }));
	assert.ok(isHarmless(view.element));
	assert.match(view.text(".lknb-field"), /<script>/);
});

test("a batch becomes columns, with null where there is no number", () => {
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

test("only batches that follow those in the table are taken, from the last snapshot on", () => {
	const numbers = (/** @type {any} */ batches, done = 0) =>
		newBatches(new Map(Object.entries(batches)), done)?.map(([number]) => number);
	const [more, anew] = [batch([], []), batch([], [], { anew: true })];
	assert.deepEqual(numbers({ 1: more, 2: more, 3: more }, 1), [2, 3]);
	assert.deepEqual(numbers({ 1: more, 2: anew, 3: more, 4: anew, 5: more }, 1), [4, 5]);
	assert.deepEqual(numbers({ 1: more }, 1), []);
	assert.equal(numbers({ 3: more }, 1), undefined);
});
