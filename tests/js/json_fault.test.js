// Where a text is not JSON.
import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonFault } from "../../lknb/widgets/json_fault.js";

test("JSON has no fault", () => {
	for (const text of [
		'{"a": [1, -2.5e3, "x\\u00e4\\n", null, true]}',
		" 3 ",
		'""',
		"[]",
		"{}",
		`"${"x".repeat(100_000)}"`,
	]) {
		assert.equal(jsonFault(text), undefined, text);
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
		const fault = jsonFault(text);
		assert.deepEqual([fault?.line, fault?.column], [line, column], text);
		assert.match(fault?.what ?? "", what, text);
	}
});

test("a text that is very long, or nested very deeply, is checked too", () => {
	assert.ok(jsonFault("[".repeat(200_000)));
	assert.ok(jsonFault(`["${"\\u0041x".repeat(200_000)}`));
});
