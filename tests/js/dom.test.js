import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";

const { h, inert, keyed, quoted, size } = await import("../../lknb/widgets/dom.js");

const NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>";

test("markup in a text stays text", () => {
	const element = h("p", null, NASTY, quoted(NASTY));
	assert.equal(element.querySelector("script, img"), null);
	assert.equal(element.textContent, NASTY + NASTY);
});

test("markup in an attribute stays text", () => {
	const element = h("button", { "aria-label": `"><script>`, title: NASTY });
	assert.equal(element.getAttribute("aria-label"), `"><script>`);
	assert.equal(element.childElementCount, 0);
});

test("characters that turn a line around or move a cursor are made visible", () => {
	assert.equal(inert("a\u202eb\u001b[31m\u0000\u2028"), "a\\u202eb\\u001b[31m\\u0000\\u2028");
	assert.equal(inert("line\n\ttab"), "line\n\ttab");
});

test("emoji stay whole, and nothing else hides in what joins them", () => {
	for (const emoji of [
		"\u{1f469}\u200d\u{1f4bb}",
		"\u2764\ufe0f\u200d\u{1f525}",
		"\u{1f469}\u{1f3fd}\u200d\u{1f680}",
	]) {
		assert.equal(inert(emoji), emoji);
	}
	assert.equal(inert("a\u200db"), "a\\u200db");
	assert.equal(inert("\u{1f469}\u200db"), "\u{1f469}\\u200db");
});

test("what is missing is an empty text", () => {
	assert.equal(inert(null), "");
	assert.equal(inert(undefined), "");
	assert.equal(inert(0), "0");
});

test("keyed keeps the elements of keys that stay, in the order asked for", () => {
	const list = h("ul", null);
	const make = () => h("li", null);
	const fill = (/** @type {HTMLElement} */ element, /** @type {string} */ item) => {
		element.textContent = item;
	};
	keyed(
		list,
		[
			["a", "A"],
			["b", "B"],
			["c", "C"],
		],
		make,
		fill,
	);
	const [a, , c] = list.children;
	keyed(
		list,
		[
			["c", "C"],
			["d", "D"],
			["a", "A2"],
		],
		make,
		fill,
	);
	assert.equal(list.textContent, "CDA2");
	assert.equal(list.children[0], c);
	assert.equal(list.children[2], a);
});

test("keyed leaves an item alone that is the same object", () => {
	const list = h("ul", null);
	let filled = 0;
	const entries = /** @type {[string, object][]} */ ([["a", {}]]);
	keyed(
		list,
		entries,
		() => h("li", null),
		() => filled++,
	);
	keyed(
		list,
		entries,
		() => h("li", null),
		() => filled++,
	);
	assert.equal(filled, 1);
});

test("sizes have units", () => {
	assert.deepEqual([0, 999, 1500, 2_500_000, 3e9].map(size), ["0 B", "999 B", "1.5 kB", "2.5 MB", "3.00 GB"]);
});
