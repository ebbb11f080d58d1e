import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";

const { fault } = await import("../../lknb/widgets/rpc.js");

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
