import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";

class Observer {
	observe() {}
	unobserve() {}
	disconnect() {}
}
Object.assign(globalThis, { ResizeObserver: Observer, IntersectionObserver: Observer });

const { chat } = await import("../../lknb/widgets/chat.js");

const NASTY = `<script>alert(1)</script><img src=x onerror="alert(1)"><a href="javascript:alert(1)">`;

/** A message as the kernel tells it. */
function message(/** @type {Record<string, any>} */ more) {
	const text = more.text ?? "";
	return {
		...{
			time: 1_800_000_000_000,
			sender: "bob",
			name: "bob",
			own: false,
			to: [],
			more_to: 0,
			text,
			length: text.length,
		},
		...{ piece: "1", size: text.length, open: false, status: "ok", error: null, trouble: null, edited: false },
		...{ can_reply: true, can_edit: false, reply: null, files: [], ...more },
	};
}

/** A chat with a kernel that a test plays. */
function shown() {
	/** @type {{ action: string, args: any, resolve: (value: any) => void, reject: (error: Error) => void }[]} */
	const asked = [];
	/** @type {(state: any) => void} */
	let draw = () => undefined;
	const element = chat(
		/** @type {any} */ ({
			ask: (/** @type {string} */ action, /** @type {any} */ args) =>
				new Promise((resolve, reject) => asked.push({ action, args, resolve, reject })),
			follow: (/** @type {any} */ given) => {
				draw = given;
			},
			signal: new AbortController().signal,
		}),
	);
	document.body.replaceChildren(element);
	const find = (/** @type {string} */ selector) => /** @type {any} */ (element.querySelector(selector));
	return {
		element,
		asked,
		find,
		box: /** @type {HTMLTextAreaElement} */ (find("textarea")),
		tell: (/** @type {Record<string, any>} */ messages, /** @type {Record<string, string>} */ pieces = {}) =>
			draw({
				values: { people: [["bob", "bob"]], growing: {}, head: 4, each: 4, gone: 0, unreadable: 0 },
				rows: {
					messages: new Map(Object.entries(messages)),
					pieces: new Map(Object.entries(pieces).map(([key, text]) => [key, { text }])),
				},
			}),
	};
}

const later = () => new Promise((resolve) => setTimeout(resolve, 0));

test("what somebody wrote stays text, in every place", () => {
	const { tell, element } = shown();
	const file = { id: NASTY, name: NASTY, size: 3, transferred: 3, status: "ok", error: null, there: true, type: null };
	const reply = { key: null, name: NASTY, text: NASTY };
	tell({ 1: message({ text: NASTY, name: NASTY, sender: NASTY, to: [NASTY], reply, files: [file], trouble: NASTY }) });
	assert.equal(element.querySelector("script, img, a"), null);
	assert.ok(element.textContent?.includes(NASTY));
});

test("a text that grows keeps what stands there already", () => {
	const { tell, find } = shown();
	tell({ 1: message({ text: "It g", open: true, status: "open", length: 4 }) });
	const first = find(".lknb-chat-said").firstChild;
	tell({ 1: message({ text: "It g", open: true, status: "open", length: 4 }) }, { "1.0": "rows", 1.1: "." });
	assert.equal(find(".lknb-chat-said").textContent, "It grows.");
	assert.equal(find(".lknb-chat-said").firstChild, first);
	assert.match(find(".lknb-chat-state").textContent, /under way/);
	tell({ 1: message({ text: "It g", length: 9 }) }, { "1.0": "rows", 1.1: "." });
	assert.equal(find(".lknb-chat-state").hidden, true);
});

test("the rest of a long text is shown on request, until it is edited", async () => {
	const { tell, find, asked } = shown();
	tell({ 1: message({ text: "long", length: 11 }) });
	find(".lknb-chat-state button").click();
	assert.deepEqual([asked[0].action, asked[0].args], ["read", { key: "1" }]);
	asked[0].resolve({ value: { text: "long enough", more: 0 } });
	await later();
	assert.equal(find(".lknb-chat-said").textContent, "long enough");
	tell({ 1: message({ text: "new", length: 3, piece: "2", edited: true }) });
	assert.equal(find(".lknb-chat-said").textContent, "new");
	assert.match(find("header").textContent, /edited/);
});

test("what could not be sent is in the box again, with the reason", async () => {
	const { tell, find, asked, box } = shown();
	tell({ 1: message({ text: "Shall we?" }) });
	find(".lknb-chat-does button").click();
	box.value = "We shall.";
	find("form").dispatchEvent(new Event("submit"));
	await later();
	assert.deepEqual(asked[0].args, { text: "We shall.", to: "", reply_to: "1", edits: "", files: [] });
	assert.equal(box.value, "");
	asked[0].reject(new Error("The room is closed."));
	await later();
	assert.equal(box.value, "We shall.");
	assert.equal(find(".lknb-outcome").textContent, "The room is closed.");
	assert.match(find(".lknb-chat-about").textContent, /Reply to bob/);
});

test("new messages are announced while others are being read", () => {
	const { tell, find } = shown();
	const log = find(".lknb-chat-log");
	Object.defineProperties(log, { scrollHeight: { value: 1000 }, clientHeight: { value: 100 } });
	tell({ 1: message({ text: "one" }) });
	assert.equal(log.scrollTop, 1000);
	log.scrollTop = 0;
	log.dispatchEvent(new Event("scroll"));
	tell({ 1: message({ text: "one" }), 2: message({ text: "two" }), 3: message({ text: "three" }) });
	assert.equal(log.scrollTop, 0);
	assert.match(find(".lknb-chat-jump").textContent, /2 new messages/);
	find(".lknb-chat-jump").click();
	assert.equal(log.scrollTop, 1000);
	assert.equal(find(".lknb-chat-jump").hidden, true);
});

test("a file that breaks off is not saved, and one that was let go cannot be loaded", async () => {
	const page = shown();
	const file = { id: "f", name: "a.txt", size: 9, status: "ok", there: true, gone: false, type: null };
	page.tell({ 1: message({ text: "look", files: [file] }) });
	const load = page.find(".lknb-chat-files button");
	load.click();
	page.asked[0].resolve({ value: {}, buffer: new DataView(new ArrayBuffer(4)) });
	await later();
	assert.equal(page.asked[1].args.at, 4);
	page.asked[1].resolve({ value: {} });
	await later();
	assert.match(page.find(".lknb-outcome").textContent, /a\.txt could not be read to its end/);
	page.tell({ 1: message({ text: "look", cut: 7, files: [{ ...file, there: false, gone: true }] }) });
	assert.equal(page.find(".lknb-chat-files button"), null);
	assert.match(page.find(".lknb-chat-files").textContent, /let go, as the room's log is bounded/);
	assert.match(page.find(".lknb-chat-state").textContent, /7 more characters have been let go/);
});
