import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";

const { fault, rpc } = await import("../../lknb/widgets/rpc.js");

test("what is JSON has no fault", () => {
	for (const text of [
		'{"a": [1, -2.5e3, "x\\u00e4\\n", null, true]}',
		" 3 ",
		'""',
		"[]",
		"{}",
		`"${"x".repeat(100_000)}"`,
	]) {
		assert.equal(fault(text), undefined, text);
	}
});

test("the first place that is wrong is named, with what would be right", () => {
	for (const [text, line, column, what] of /** @type {[string, number, number, RegExp][]} */ ([
		['{"a": 1,\n "b": }', 2, 7, /a value was expected/],
		['{"a": 1', 1, 8, /the text ends where a comma or } was expected/],
		['{"a" 1}', 1, 6, /colon/],
		["{a: 1}", 1, 2, /name in double quotes/],
		["{'a': 1}", 1, 2, /name in double quotes/],
		["['a']", 1, 2, /double quotes/],
		["[1, 2,]", 1, 6, /no comma may stand before ]/],
		['{"a": 1,}', 1, 8, /no comma may stand before }/],
		["[True]", 1, 2, /no True/],
		["NaN", 1, 1, /no NaN/],
		["[01]", 1, 2, /a value was expected/],
		['["a\nb"]', 1, 4, /escaped/],
		['["a\\x"]', 1, 4, /backslash/],
		['["abc', 1, 2, /does not end/],
		["1 2", 1, 3, /ends before/],
		["{", 1, 2, /text ends where a name/],
		["[", 1, 2, /text ends where a value/],
	])) {
		const found = fault(text);
		assert.deepEqual([found?.line, found?.column], [line, column], text);
		assert.match(found?.what ?? "", what, text);
	}
});

test("text that would take long or nest too deep is still refused", () => {
	assert.ok(fault("[".repeat(200_000)));
	assert.ok(fault(`["${"\\u0041x".repeat(200_000)}`));
});

/** A console, its elements by label, and the calls that it has asked for. */
function shown() {
	const asked = /** @type {{ args: any, answer: (value: any) => void }[]} */ ([]);
	/** @type {(state: any) => void} */
	let follower = () => {};
	const ending = new AbortController();
	const element = rpc(
		/** @type {any} */ ({
			ask: (/** @type {string} */ _, /** @type {any} */ args) =>
				new Promise((resolve) => asked.push({ args, answer: (value) => resolve({ value }) })),
			follow: (/** @type {(state: any) => void} */ draw) => {
				follower = draw;
			},
			signal: ending.signal,
			store: { browser: "test" },
		}),
	);
	document.body.append(element);
	const find = (/** @type {string} */ selector) => /** @type {any} */ (element.querySelector(selector));
	return {
		element,
		asked,
		form: find("form"),
		to: find("select"),
		method: find("input[type=text]"),
		payload: find("textarea"),
		draw: (/** @type {any} */ peers, /** @type {[string, any][]} */ calls = []) =>
			follower({
				values: { room: "r", connected: true, peers, methods: [] },
				rows: { calls: new Map(calls), served: new Map() },
			}),
		end: () => ending.abort(),
	};
}

const call = (/** @type {string} */ method, /** @type {any} */ more) => ({
	...{ time: 0, to: "bob", method, payload: "null", raw: false, answer: "1", status: "ok", code: "", name: "" },
	...{ message: "", data: "", duration: 1, elapsed: null, more: false, cut: false },
	...more,
});

test("what is no JSON is marked and not sent, plain text is", () => {
	const { draw, form, payload, element, asked, end } = shown();
	draw([["bob", ""]]);
	payload.value = "{";
	form.dispatchEvent(new Event("submit"));
	assert.equal(asked.length, 0);
	assert.equal(payload.getAttribute("aria-invalid"), "true");
	assert.match(element.textContent ?? "", /Line 1, column 2/);
	element.querySelector("input[type=checkbox]")?.setAttribute("checked", "");
	form.dispatchEvent(new Event("submit"));
	assert.deepEqual([asked[0].args.payload, asked[0].args.raw], ["{", true]);
	end();
});

test("who is chosen stays chosen after leaving", () => {
	const { draw, to, end } = shown();
	draw([
		["ann", "Ann"],
		["bob", ""],
	]);
	to.value = "bob";
	draw([["ann", "Ann"]]);
	assert.equal(to.value, "bob");
	assert.match(to.textContent, /Ann \(ann\)bob \(not in the room\)/);
	end();
});

test("a slow answer does not close one to a call that was made later", async () => {
	const { draw, form, method, element, asked, end } = shown();
	const peers = [["bob", ""]];
	draw(peers);
	for (method.value of ["slow", "quick"]) form.dispatchEvent(new Event("submit"));
	const rows = /** @type {[string, any][]} */ ([
		["1", call("slow", { answer: '"late"' })],
		["2", call("quick", { answer: '"soon"' })],
	]);
	draw(peers, rows);
	const opened = () => [...element.querySelectorAll(".lknb-details")].map((each) => each.textContent);
	asked[1].answer({ key: "2", row: rows[1][1] });
	await new Promise(setImmediate);
	assert.match(opened().join(), /soon/);
	asked[0].answer({ key: "1", row: rows[0][1] });
	await new Promise(setImmediate);
	assert.equal(opened().length, 1);
	assert.match(opened().join(), /soon/);
	assert.match(element.textContent ?? "", /slow at bob answered after 1.0 s/);
	end();
});
