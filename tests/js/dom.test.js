// Elements without markup, and lists that keep their elements.
import assert from "node:assert/strict";
import { test } from "node:test";
import { downloads, NASTY, scrollIntoSight } from "./page.js";

const { formatDuration, formatSize, formatTime, h, inert, KeyedList, offerDownload, onceVisible, quoted, textView } =
	await import("../../lknb/widgets/dom.js");

test("markup in a text stays text", () => {
	const element = h("p", null, NASTY, quoted(NASTY));
	assert.equal(element.querySelector("script, img, a"), null);
	assert.equal(element.textContent, inert(NASTY) + inert(NASTY));
});

test("markup in an attribute stays text", () => {
	const element = h("button", { "aria-label": `"><script>`, title: NASTY });
	assert.equal(element.getAttribute("aria-label"), `"><script>`);
	assert.equal(element.childElementCount, 0);
});

test("characters that reverse a line or move a cursor are made visible", () => {
	assert.equal(inert("a\u202eb\u001b[31m\u0000\u2028"), "a\\u202eb\\u001b[31m\\u0000\\u2028");
	assert.equal(inert("line\n\ttab"), "line\n\ttab");
});

test("emoji stay whole, and nothing else hides in their joiners", () => {
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

test("a missing value is an empty text", () => {
	assert.equal(inert(null), "");
	assert.equal(inert(undefined), "");
	assert.equal(inert(0), "0");
});

/** A list of texts. */
function texts(parent = h("ul", null)) {
	let filled = 0;
	/** @type {InstanceType<typeof KeyedList<{ text: string }, any>>} */
	const list = new KeyedList(parent, () => {
		const view = textView(h("li", null));
		return {
			element: view.element,
			fill(/** @type {{ text: string }} */ { text }) {
				filled += 1;
				view.fill(text, "");
			},
		};
	});
	return { parent, list, filled: () => filled };
}

const [A, B, C, D] = ["A", "B", "C", "D"].map((text) => ({ text }));

test("a keyed list keeps the elements of keys that stay, in the order given", () => {
	const { parent, list } = texts();
	list.draw([
		["a", A],
		["b", B],
		["c", C],
	]);
	const [a, , c] = parent.children;
	list.draw([
		["c", C],
		["d", D],
		["a", { text: "A2" }],
	]);
	assert.equal(parent.textContent, "CDA2");
	assert.equal(parent.children[0], c);
	assert.equal(parent.children[2], a);
	assert.equal(list.get("b"), undefined);
});

test("a keyed list does not fill a view again for the same item", () => {
	const { list, filled } = texts();
	list.draw([["a", A]]);
	list.draw([["a", A]]);
	assert.equal(filled(), 1);
	list.draw([["a", { ...A }]]);
	assert.equal(filled(), 2);
});

test("a keyed list stays below what its parent had before", () => {
	const { parent, list } = texts(h("ul", null, h("li", null, "head: ")));
	list.draw([["b", B]]);
	list.draw([
		["a", A],
		["b", B],
	]);
	assert.equal(parent.textContent, "head: AB");
	list.draw([]);
	assert.equal(parent.textContent, "head: ");
});

test("an element that comes into sight is acted on once", () => {
	const whenVisible = onceVisible(new AbortController().signal);
	const element = h("div");
	let seen = 0;
	whenVisible(element, () => seen++);
	scrollIntoSight(element, false);
	assert.equal(seen, 0);
	scrollIntoSight(element);
	scrollIntoSight(element);
	assert.equal(seen, 1);
});

test("a download has its name and a type that no browser opens", async () => {
	downloads.length = 0;
	offerDownload("page.html", "<script>");
	const [{ name, content }] = downloads;
	assert.equal(name, "page.html");
	assert.equal(content.type, "application/octet-stream");
	assert.equal(await content.text(), "<script>");
});

test("sizes, times and durations have units", () => {
	assert.deepEqual([0, 999, 1500, 2_500_000, 3e9].map(formatSize), ["0 B", "999 B", "1.5 kB", "2.5 MB", "3.00 GB"]);
	assert.deepEqual([null, 0.25, 1.25].map(formatDuration), ["", "250.0 ms", "1.3 s"]);
	assert.equal(formatTime(new Date(2027, 0, 1, 9, 5, 7, 42).getTime()), "09:05:07.042");
});
