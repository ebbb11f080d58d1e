// Elements without markup, and lists that keep their elements.
import assert from "node:assert/strict";
import { test } from "node:test";
import { downloads, NASTY, scrollIntoSight } from "./page.js";

const { formatDuration, formatSize, formatTime, h, hasFocus, KeyedList, offerDownload, onceVisible, quoted, textView } =
	await import("../../lknb/widgets/dom.js");
const { inert } = await import("../../lknb/widgets/inert.js");

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

test("a keyed list stays below its parent's earlier children", () => {
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

test("an element that becomes visible triggers its action once", () => {
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

test("a download has its name, and a type that browsers save", async () => {
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

test("the focus is also found in a shadow root", () => {
	const host = document.createElement("div");
	document.body.append(host);
	const root = host.attachShadow({ mode: "open" });
	const [one, two] = [h("div", null, h("button")), h("input")];
	root.append(one, two);
	/** @type {HTMLElement} */ (one.firstChild).focus();
	assert.deepEqual([hasFocus(one), hasFocus(two)], [true, false]);
});
