// The transfers' view: what it shows of a row, and to whom a file goes.
import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";
import { remaining, transfers } from "../../lknb/widgets/transfers.js";

globalThis.IntersectionObserver = /** @type {any} */ (
	class {
		observe() {}
		unobserve() {}
		disconnect() {}
	}
);

const ROW = {
	time: 0,
	direction: "in",
	name: "log.bin",
	sender: "bob",
	to: [],
	recipients: 0,
	topic: "logs",
	size: 1000,
	transferred: 250,
	status: "open",
	error: null,
	duration: null,
	rate: 100,
	left: 7.5,
	file: false,
	verified: false,
	image: false,
	saved: null,
};
const VALUES = { people: ["bob"], total: 1, piece: 1000, uploadLimit: 1e6, downloadLimit: 1e6, imageLimit: 1e6 };

/** A view, and the way to have it draw what the kernel has told. */
function shown(/** @type {() => Promise<any>} */ ask = async () => ({ value: null }), store = { waiting: 0 }) {
	/** @type {(state: import("../../lknb/widgets/sync.js").PartState) => void} */
	let draw = () => {};
	const element = transfers(
		/** @type {any} */ ({
			ask,
			store,
			follow: (/** @type {typeof draw} */ each) => {
				draw = each;
			},
			signal: new AbortController().signal,
		}),
	);
	return {
		element,
		/** @param {Record<string, object>} rows @param {object} [values] */
		tell: (rows, values = VALUES) => draw({ values, rows: { transfers: new Map(Object.entries(rows)) } }),
		/** @param {string} what @returns {any} */
		find: (what) => element.querySelector(what),
	};
}

test("a transfer that is under way shows how far it is", () => {
	const view = shown();
	view.tell({ 1: ROW });
	assert.match(view.find("li").textContent, /250 B of 1\.0 kB, 100 B\/s, 8 s left/);
	assert.equal(view.find("li progress").value, 250);
	assert.equal(view.find("li progress").hidden, false);
});

test("an element stays the same while its transfer moves and ends", () => {
	const view = shown();
	view.tell({ 1: ROW });
	const before = view.find("li");
	view.tell({ 1: { ...ROW, status: "failed", error: "the stream broke off" } });
	assert.equal(view.find("li"), before);
	assert.match(before.textContent, /failed.*the stream broke off/);
	assert.equal(view.find("li progress").hidden, true);
});

test("a cancel that a busy kernel cannot hear says what does stop the sending", () => {
	const store = { waiting: 0 };
	const view = shown(() => new Promise(() => {}), store);
	view.tell({ 1: { ...ROW, direction: "out" } });
	view.find("li button").click();
	store.waiting = 1;
	view.tell({ 1: { ...ROW, direction: "out" } });
	assert.match(view.find(".lknb-outcome").textContent, /sends log\.bin, interrupt the cell to stop it/);
});

test("what the room says is text", () => {
	const view = shown();
	const nasty = "<img src=x onerror=alert(1)>\u202e";
	view.tell({ 1: { ...ROW, name: nasty, sender: nasty, topic: nasty, status: "failed", error: nasty, saved: nasty } });
	assert.equal(view.find("img"), null);
	assert.ok(view.element.textContent.includes("\\u202e"));
	assert.ok(!view.element.textContent.includes("\u202e"));
});

test("whoever was chosen stays chosen when they leave", () => {
	const view = shown();
	view.tell({});
	const to = view.find("select");
	to.value = "bob";
	view.tell({}, { ...VALUES, people: ["carol"] });
	assert.equal(to.value, "bob");
	assert.deepEqual(
		[...to.options].map((/** @type {HTMLOptionElement} */ each) => each.textContent),
		["everybody", "carol", "bob (not here)"],
	);
});

test("those under way are shown, however many came after them", () => {
	const view = shown();
	const ended = { ...ROW, status: "ok", duration: 1, name: "small" };
	view.tell(Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`k${at}`, at ? ended : ROW])), {
		...VALUES,
		total: 150,
	});
	assert.equal(view.element.querySelectorAll("li").length, 61);
	assert.match(view.element.textContent ?? "", /89 older ones are not shown/);
});

test("the remaining time is said roughly", () => {
	assert.deepEqual([0.2, 8.1, 59.5, 61, 3600, 5000].map(remaining), [
		"1 s",
		"9 s",
		"60 s",
		"2 min",
		"1 h 0 min",
		"1 h 24 min",
	]);
});
