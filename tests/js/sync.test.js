import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { drawFrame, FakeModel } from "./page.js";

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

test("a snapshot replaces everything", () => {
	const { model, store } = listening();
	model.receive(whole(1, [["1", { topic: "old" }]]));
	model.receive(whole(2, [["2", { topic: "new" }]]));
	assert.deepEqual([.../** @type {any} */ (store.part("feed")).rows.events.keys()], ["2"]);
	assert.equal(/** @type {any} */ (store.part("feed")).values.total, 1);
});

test("a batch changes single rows and values", () => {
	const { model, store } = listening();
	model.receive(
		whole(1, [
			["1", { topic: "a" }],
			["2", { topic: "b" }],
		]),
	);
	model.receive({
		type: "state",
		number: 2,
		parts: { feed: { set: { total: 3 }, put: { events: [["3", { topic: "c" }]] }, drop: { events: ["1"] } } },
	});
	assert.deepEqual([.../** @type {any} */ (store.part("feed")).rows.events.keys()], ["2", "3"]);
	assert.equal(/** @type {any} */ (store.part("feed")).values.total, 3);
});

test("each state is acknowledged by its number", () => {
	const { model } = listening();
	model.receive(whole(1, []));
	model.receive(whole(2, []));
	assert.deepEqual(
		model.sentOf("ack").map((message) => message.number),
		[1, 2],
	);
});

test("a gap is counted and a snapshot is requested", () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 10_000 });
	try {
		const { model, store } = listening();
		model.receive(whole(1, []));
		mock.timers.tick(2000);
		model.receive({ type: "state", number: 5, parts: {} });
		assert.equal(store.missed, 3);
		assert.equal(model.sentOf("hello").length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("changes of a part in view that this page does not have request a snapshot", () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 10_000 });
	try {
		const { model, store } = listening();
		store.setInView({}, ["feed"]);
		model.receive({ type: "state", number: 7, parts: { feed: { set: { total: 3 } } } });
		mock.timers.tick(1000);
		assert.equal(model.sentOf("hello").length, 2);
		assert.equal(store.missed, 0);
	} finally {
		mock.timers.reset();
	}
});

test("no snapshot is requested if it comes in the meantime", () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 10_000 });
	try {
		const { model, store } = listening();
		store.setInView({}, ["feed"]);
		model.receive({ type: "state", number: 7, parts: { feed: { set: { total: 3 } } } });
		model.receive(whole(8, []));
		mock.timers.tick(1000);
		assert.equal(model.sentOf("hello").length, 1);
	} finally {
		mock.timers.reset();
	}
});

test("several gaps request at most one snapshot a second", () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 10_000 });
	try {
		const { model } = listening();
		model.receive(whole(1, []));
		for (let number = 3; number < 20; number += 2) model.receive({ type: "state", number, parts: {} });
		assert.equal(model.sentOf("hello").length, 1);
		mock.timers.tick(1000);
		assert.equal(model.sentOf("hello").length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("a clock that is set back does not delay a snapshot", () => {
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 10_000_000 });
	try {
		const { model } = listening();
		model.receive(whole(1, []));
		mock.timers.setTime(1_000_000);
		model.receive({ type: "state", number: 5, parts: {} });
		mock.timers.tick(1000);
		assert.equal(model.sentOf("hello").length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("a forgotten browser requests a snapshot again, and no other browser does", () => {
	const { model } = listening();
	const [{ browser }] = model.sentOf("hello");
	model.receive({ type: "forgotten", browser: "another" });
	assert.equal(model.sentOf("hello").length, 1);
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() + 5000 });
	try {
		model.receive({ type: "forgotten", browser });
		assert.equal(model.sentOf("hello").length, 2);
	} finally {
		mock.timers.reset();
	}
});

test("an answer resolves its own call", async () => {
	const { model, store } = listening();
	const first = store.call("feed", "read", { number: "1" });
	const second = store.call("feed", "read", { number: "2" });
	const [one, two] = model.sentOf("do");
	model.receive({ type: "reply", id: two.id, value: "two" });
	model.receive({ type: "reply", id: one.id, value: "one" });
	assert.equal((await first).value, "one");
	assert.equal((await second).value, "two");
});

test("another browser's answer is ignored", () => {
	const { model, store } = listening();
	store.call("feed", "read");
	model.receive({ type: "reply", id: "another:1", value: "x" });
	assert.equal(store.calls.size, 1);
});

test("a refused call has the kernel's message", async () => {
	const { model, store } = listening();
	const call = store.call("feed", "read");
	model.receive({ type: "reply", id: model.sentOf("do")[0].id, error: "This event is gone." });
	await assert.rejects(call, /This event is gone/);
});

test("the kernel counts as busy until it takes a call", () => {
	mock.timers.enable({ apis: ["setTimeout"] });
	try {
		const { model, store } = listening();
		store.call("feed", "clear");
		mock.timers.tick(600);
		assert.equal(store.waiting, 0);
		mock.timers.tick(200);
		assert.equal(store.waiting, 1);
		model.receive({ type: "taken", id: model.sentOf("do")[0].id });
		assert.equal(store.waiting, 0);
	} finally {
		mock.timers.reset();
	}
});

test("calls fail once the kernel is gone, including those in progress", async () => {
	const { store } = listening();
	const call = store.call("feed", "clear");
	store.kernelGone();
	await assert.rejects(call, /kernel is gone/);
	await assert.rejects(store.call("feed", "clear"), /kernel is gone/);
});

test("the parts in view are sent once for all views", () => {
	const { model, store } = listening();
	const [one, two] = [{}, {}];
	store.setInView(one, ["feed"]);
	store.setInView(two, ["feed"]);
	store.setInView(one, []);
	store.setInView(two, []);
	assert.deepEqual(
		model.sentOf("shows").map((message) => message.parts),
		[["feed"], []],
	);
});

test("views are drawn once per frame, whatever the number of messages", () => {
	const { model, store } = listening();
	let drawn = 0;
	store.follow(() => drawn++, new AbortController().signal);
	for (let number = 1; number < 10; number++) model.receive(whole(number, []));
	drawFrame();
	assert.equal(drawn, 1);
});
