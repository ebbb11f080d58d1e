// Payloads as the user sees them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { finders, isHarmless, NASTY, settle } from "./page.js";
import { event } from "./states.js";

const { contentLine, copyable, eventDetails, hexDump, parseContainer, tree } = await import(
	"../../lknb/widgets/content.js"
);

test("a JSON object or array is shown as a tree, anything else as text", () => {
	assert.deepEqual(parseContainer(' {"a": [1]}'), { a: [1] });
	for (const text of ["1", '"text"', "null", "{not json", "text"]) assert.equal(parseContainer(text), undefined, text);
	assert.ok(copyable('{"a": 1}', "json").querySelector("details"));
	assert.equal(copyable("text", "text").querySelector("pre")?.textContent, "text");
});

test("a tree shows keys and values, and unfolds its first levels", () => {
	const root = tree({ name: "imu", values: [1, null, true] });
	const [outer, inner] = [root, root.querySelector("details")];
	assert.equal(/** @type {HTMLDetailsElement} */ (outer).open, true);
	assert.equal(inner?.querySelector("summary")?.textContent, "values: [3]");
	assert.equal(root.querySelector(".lknb-leaf")?.textContent, 'name: "imu"');
	assert.equal(root.querySelector(".lknb-null")?.textContent, "null");
});

test("a large or deep branch is filled when it is opened", () => {
	const large = /** @type {HTMLDetailsElement} */ (tree(Array.from({ length: 1500 }, (_, index) => index)));
	assert.equal(large.open, false);
	assert.equal(large.querySelector(".lknb-branch")?.childElementCount, 0);
	large.open = true;
	large.dispatchEvent(new Event("toggle"));
	assert.equal(large.querySelector(".lknb-branch")?.childElementCount, 1001);
	assert.match(large.textContent ?? "", /and 500 more$/);
});

test("bytes are dumped with offsets and printable characters", () => {
	const pairs = [...Buffer.from("lknb\u0000sends bytes")].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
	assert.deepEqual(hexDump(pairs).split("\n"), [
		"00000000  6c 6b 6e 62 00 73 65 6e 64 73 20 62 79 74 65 73  lknb.sends bytes",
	]);
	assert.equal(hexDump(`${pairs} 0a`).split("\n")[1], `00000010  0a${" ".repeat(47)}.`);
});

test("a preview is one line, in code style when it is code", () => {
	assert.equal(contentLine(event({ content: "json", preview: "{}" })).className, "lknb-line lknb-code");
	assert.equal(contentLine(event()).className, "lknb-line");
});

test("the details list only facts that the event has", () => {
	const { text } = finders(eventDetails(event({ duration: null, reliable: false, attributes: { unit: "m" } })));
	assert.equal(text("dt"), "time | from | topic | size | sent | unit");
	assert.equal(text("dd"), "12:00:00.000 | bob | greetings | 5 B | lossy | m");
	assert.equal(finders(eventDetails(event({ direction: "out" }))).text("dd:nth-of-type(3)"), "everybody");
});

test("an answer is shown below its call's payload", () => {
	const { text } = finders(eventDetails(event({ kind: "rpc", preview: "1", result: '"two"' })));
	assert.equal(text("pre"), '1 | "two"');
});

test("a decoded value is shown as a tree above its payload", () => {
	const details = eventDetails(event({ content: "hex", preview: "01 00", value: '{"x": 1}' }));
	const { text } = finders(details);
	assert.equal(text("strong"), "Value | Payload");
	assert.equal(text(".lknb-leaf"), "x: 1");
	assert.equal(text("pre"), `00000000  01 00${" ".repeat(42)}  ..`);
	assert.equal(finders(eventDetails(event({ value: "1.5" }))).text("pre"), "1.5 | hello");
});

test("a payload that was not decoded has its reason among the facts", () => {
	const { text } = finders(eventDetails(event({ value_error: "3 bytes" })));
	assert.match(text("dt"), /decoder$/);
	assert.match(text("dd"), /3 bytes$/);
});

test("an image is shown only if its type cannot contain a script", () => {
	const bytes = new DataView(new ArrayBuffer(4));
	const picture = event({ content: "image", preview: "a.png (image/png)" });
	assert.equal(eventDetails({ ...picture, type: "image/png" }, bytes).querySelector("img")?.alt, "a.png (image/png)");
	assert.equal(eventDetails({ ...picture, type: "image/svg+xml" }, bytes).querySelector("img"), null);
});

test("the details say when there is more", () => {
	assert.match(eventDetails(event({ more: true })).textContent ?? "", /only the beginning/);
});

test("text from the room is never markup", () => {
	const nasty = event({ sender: NASTY, topic: NASTY, preview: NASTY, attributes: { [NASTY]: NASTY }, error: NASTY });
	const undecoded = event({ value: JSON.stringify({ [NASTY]: NASTY }), value_error: NASTY });
	assert.ok(isHarmless(eventDetails(undecoded)));
	assert.ok(isHarmless(eventDetails(nasty)));
	assert.ok(isHarmless(tree({ [NASTY]: NASTY })));
});

test("a payload is copied unchanged", async () => {
	/** @type {string[]} */
	const copied = [];
	const clipboard = { writeText: async (/** @type {string} */ text) => void copied.push(text) };
	Object.defineProperty(navigator, "clipboard", { value: clipboard, configurable: true });
	const element = copyable(NASTY, "text");
	finders(element).button("Copy").click();
	await settle();
	assert.deepEqual(copied, [NASTY]);
	assert.ok(finders(element).button("Copied"));
});

test("a browser that refuses to copy says what to do", async () => {
	const clipboard = { writeText: async () => Promise.reject(new Error("denied")) };
	Object.defineProperty(navigator, "clipboard", { value: clipboard, configurable: true });
	const element = copyable("text", "text");
	finders(element).button("Copy").click();
	await settle();
	assert.match(element.textContent ?? "", /Select the text to copy it/);
});
