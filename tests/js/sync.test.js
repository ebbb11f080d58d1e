import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { draw, FakeModel } from "./page.js";

const { Store } = await import("../../lknb/widgets/sync.js");

const whole = (/** @type {number} */ number, /** @type {any[]} */ events) => ({
	type: "state",
	number,
	parts: { feed: { set: { total: events.length }, rows: { events } } },
});

function listening() {
	const model = new FakeModel();
	const store = new Store(model);
	store.hello();
	return { model, store };
}

test("a snapshot replaces what was known", () => {
	const { model, store } = listening();
	model.hear(whole(1, [["1", { topic: "old" }]]));
	model.hear(whole(2, [["2", { topic: "new" }]]));
	assert.deepEqual([...store.part("feed").rows.events.keys()], ["2"]);
	assert.equal(store.part("feed").values.total, 1);
});

test("a batch changes single rows and values", () => {
	const { model, store } = listening();
	model.hear(
		whole(1, [
			["1", { topic: "a" }],
			["2", { topic: "b" }],
		]),
	);
	model.hear({
		type: "state",
		number: 2,
		parts: { feed: { set: { total: 3 }, put: { events: [["3", { topic: "c" }]] }, drop: { events: ["1"] } } },
	});
	assert.deepEqual([...store.part("feed").rows.events.keys()], ["2", "3"]);
	assert.equal(store.part("feed").values.total, 3);
});

test("each state is acknowledged by its number", () => {
	const { model } = listening();
	model.hear(whole(1, []));
	model.hear(whole(2, []));
	assert.deepEqual(
		model.of("ack").map((message) => message.number),
		[1, 2],
	);
});

test("a gap is counted and a fresh snapshot asked for", () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 10_000 });
	try {
		const { model, store } = listening();
		model.hear(whole(1, []));
		mock.timers.tick(2000);
		model.hear({ type: "state", number: 5, parts: {} });
		assert.equal(store.missed, 3);
		assert.equal(model.of("hello").length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("gaps one after the other ask once a second at most", () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 10_000 });
	try {
		const { model } = listening();
		model.hear(whole(1, []));
		for (let number = 3; number < 20; number += 2) model.hear({ type: "state", number, parts: {} });
		assert.equal(model.of("hello").length, 1);
		mock.timers.tick(1000);
		assert.equal(model.of("hello").length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("a clock that is set back does not keep a snapshot away", () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 10_000_000 });
	try {
		const { model } = listening();
		model.hear(whole(1, []));
		mock.timers.setTime(1_000_000);
		model.hear({ type: "state", number: 5, parts: {} });
		mock.timers.tick(1000);
		assert.equal(model.of("hello").length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("who was forgotten says hello again, and nobody else", () => {
	const { model } = listening();
	const [{ browser }] = model.of("hello");
	model.hear({ type: "forgotten", browser: "another" });
	assert.equal(model.of("hello").length, 1);
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() + 5000 });
	try {
		model.hear({ type: "forgotten", browser });
		assert.equal(model.of("hello").length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("an answer reaches the call that it belongs to", async () => {
	const { model, store } = listening();
	const first = store.call("feed", "read", { number: "1" });
	const second = store.call("feed", "read", { number: "2" });
	const [one, two] = model.of("do");
	model.hear({ type: "reply", id: two.id, value: "two" });
	model.hear({ type: "reply", id: one.id, value: "one" });
	assert.equal((await first).value, "one");
	assert.equal((await second).value, "two");
});

test("another browser's answer is none of ours", () => {
	const { model, store } = listening();
	store.call("feed", "read");
	model.hear({ type: "reply", id: "another:1", value: "x" });
	assert.equal(store.calls.size, 1);
});

test("a refused call gives the kernel's own words", async () => {
	const { model, store } = listening();
	const call = store.call("feed", "read");
	model.hear({ type: "reply", id: model.of("do")[0].id, error: "This event is gone." });
	await assert.rejects(call, /This event is gone/);
});

test("a kernel that does not take a call up is shown as busy until it does", () => {
	mock.timers.enable({ apis: ["setTimeout"] });
	try {
		const { model, store } = listening();
		store.call("feed", "clear");
		mock.timers.tick(600);
		assert.equal(store.waiting, 0);
		mock.timers.tick(200);
		assert.equal(store.waiting, 1);
		model.hear({ type: "taken", id: model.of("do")[0].id });
		assert.equal(store.waiting, 0);
	} finally {
		mock.timers.reset();
	}
});

test("when the kernel is gone, calls under way and new ones are refused", async () => {
	const { store } = listening();
	const call = store.call("feed", "clear");
	store.kernelGone();
	await assert.rejects(call, /kernel is gone/);
	await assert.rejects(store.call("feed", "clear"), /kernel is gone/);
});

test("what is in view is told once for all views", () => {
	const { model, store } = listening();
	const [one, two] = [{}, {}];
	store.shows(one, ["feed"]);
	store.shows(two, ["feed"]);
	store.shows(one, []);
	store.shows(two, []);
	assert.deepEqual(
		model.of("shows").map((message) => message.parts),
		[["feed"], []],
	);
});

test("views are drawn once for all that came before a frame", () => {
	const { model, store } = listening();
	let drawn = 0;
	store.follow(() => drawn++, new AbortController().signal);
	for (let number = 1; number < 10; number++) model.hear(whole(number, []));
	draw();
	assert.equal(drawn, 1);
});
