// The feed: its rows and their details, filters, pausing and downloads.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { downloads, isHarmless, mount, NASTY, press, settle, type } from "./page.js";
import { event, feedState } from "./states.js";

const { feed } = await import("../../lknb/widgets/feed.js");

const ROWS = "tbody:not([aria-hidden])";
const contents = (/** @type {any} */ view) =>
	view.all(".lknb-content span").map((/** @type {Element} */ each) => each.textContent);
const cellsOf = (/** @type {HTMLElement} */ row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent);

/** Tick the box of this name in a menu. */
function choose(/** @type {any} */ view, /** @type {string} */ name) {
	const label = view.all(".lknb-menu label").find((/** @type {Element} */ each) => each.textContent === name);
	const box = label.querySelector("input");
	box.checked = !box.checked;
	box.dispatchEvent(new Event("change", { bubbles: true }));
}

/** Many events, of which the newest has the highest number. */
const many = (/** @type {number} */ count) =>
	feedState(
		Object.fromEntries(
			Array.from({ length: count }, (_, index) => [index + 1, event({ preview: `event ${index + 1}` })]),
		),
	);

test("an empty feed says what to do", () => {
	const view = mount(feed);
	assert.equal(view.text(".lknb-counts"), "Waiting for the kernel");
	view.draw(feedState({}));
	assert.match(view.text(".lknb-empty"), /^No events yet\. Send something/);
	view.draw(feedState({}, { filter: { text: "x" } }));
	assert.equal(view.text(".lknb-empty"), "No events match this filter.");
	view.draw(feedState({ 1: event() }));
	assert.equal(view.find(".lknb-empty").hidden, true);
});

test("the newest event is on top, even if an older one arrives later", () => {
	const view = mount(feed);
	view.draw(feedState({ 9: event({ preview: "nine" }), 10: event({ preview: "ten" }), 2: event({ preview: "two" }) }));
	assert.deepEqual(contents(view), ["ten", "nine", "two"]);
});

test("a row has time, direction, kind, sender, topic, size and content", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ direction: "out" }) }));
	assert.deepEqual(cellsOf(view.find(ROWS)), ["12:00:00.000", "→", "text", "bob", "greetings", "5 B", "▸hello"]);
	assert.equal(view.find(`${ROWS} td:nth-child(2)`).title, "sent");
});

test("a failed event shows its error, and an open one its progress", () => {
	const view = mount(feed);
	view.draw(
		feedState({
			1: event({ status: "failed", error: "the stream was aborted" }),
			2: event({ status: "open", size: 2000, transferred: 500 }),
		}),
	);
	const [open, failed] = view.all(ROWS);
	assert.match(failed.textContent, /failedthe stream was aborted/);
	assert.match(open.textContent, /500 B of 2\.0 kB▸in progress/);
});

test("an event that was not decoded shows why, before its payload", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ value_error: "3 bytes are too few", content: "hex", preview: "01 02 03" }) }));
	assert.match(view.find(ROWS).textContent, /not decoded3 bytes are too few01 02 03$/);
});

test("text from the room is never markup", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ sender: NASTY, topic: NASTY, preview: NASTY, status: "failed", error: NASTY }) }));
	view.find(".lknb-open").click();
	assert.ok(isHarmless(view.element));
	assert.match(view.element.textContent, /<script>/);
});

test("the counters tell what is not shown", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event() }, { matched: 1234, skipped: 7, evicted: 5, rate: 12.5, limit: 200 }));
	const counts = view.text(".lknb-counts");
	assert.equal(counts, "1,234 events · 12.5/s · newest 200 listed");
	const { title } = view.find(".lknb-counts");
	assert.match(title, /7 came too fast to be listed here; they are in room\.events/);
	assert.match(title, /has dropped its 5 oldest events/);
});

test("a limited feed shows what it is limited to", () => {
	const view = mount(feed);
	const only = { kinds: ["data", "text"], topic: "imu", sender: "bob" };
	view.draw(feedState({}, { only }));
	assert.match(view.text(".lknb-counts"), /^0 events \(only data and text, topic imu, from bob\)$/);
	assert.match(view.text(".lknb-empty"), /^No events yet \(only data and text, topic imu, from bob\)\. Send something/);
});

test("a row opens with its details, and loads the rest", async () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ more: true, preview: "begins" }) }));
	const opener = view.find(".lknb-open");
	opener.click();
	assert.equal(opener.getAttribute("aria-expanded"), "true");
	assert.match(view.text(".lknb-details"), /topicgreetings/);
	assert.deepEqual([view.asked[0].action, view.asked[0].args], ["read", { number: "1" }]);
	view.asked[0].answer(event({ preview: "begins and ends" }));
	await settle();
	assert.match(view.text(".lknb-details"), /begins and ends/);
	opener.click();
	assert.equal(view.find(".lknb-feed-details").hidden, true);
	assert.equal(opener.getAttribute("aria-expanded"), "false");
});

test("an open row stays open and keeps the focus while others arrive", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event() }));
	const opener = view.find(".lknb-open");
	opener.click();
	opener.focus();
	view.draw(feedState({ 1: event({ status: "dropped" }), 2: event() }));
	assert.equal(view.all(ROWS).length, 2);
	assert.equal(document.activeElement, opener);
	assert.ok(view.find(".lknb-details"));
});

test("a click anywhere in a row opens it", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ size: 0 }) }));
	view.find(`${ROWS} td`).click();
	assert.ok(view.find(".lknb-details"));
	assert.equal(view.asked.length, 0);
});

test("the details of a stream are loaded again when it ends", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ status: "open", preview: "so" }) }));
	view.find(".lknb-open").click();
	view.draw(feedState({ 1: event({ preview: "so far", more: true }) }));
	assert.deepEqual(
		view.asked.map(({ action }) => action),
		["read", "read"],
	);
});

test("a paused feed keeps its rows, and shows new events when it resumes", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event() }));
	view.button("Pause").click();
	assert.equal(view.button("Resume").getAttribute("aria-pressed"), "true");
	view.draw(feedState({ 1: event(), 2: event({ preview: "later" }) }));
	assert.equal(view.all(ROWS).length, 1);
	assert.match(view.text(".lknb-counts"), /^2 events.*paused$/);
	view.button("Resume").click();
	assert.equal(view.all(ROWS).length, 2);
});

test("filters are sent together once the user stops typing", () => {
	mock.timers.enable({ apis: ["setTimeout"] });
	try {
		const view = mount(feed);
		view.draw(feedState({}));
		choose(view, "data");
		choose(view, "bob");
		type(view.field("Topic"), "im");
		mock.timers.tick(200);
		type(view.field("Topic"), "imu");
		mock.timers.tick(200);
		assert.equal(view.asked.length, 0);
		mock.timers.tick(100);
		assert.deepEqual(view.asked[0].args, { kinds: ["data"], senders: ["bob"], topic: "imu", text: "" });
	} finally {
		mock.timers.reset();
	}
});

test("another view's filter is shown, but does not overwrite what the user types", () => {
	const view = mount(feed);
	view.draw(feedState({}, { filter: { topic: "imu", kinds: ["data", "text"], senders: ["bob"] } }));
	assert.equal(view.field("Topic").value, "imu");
	assert.equal(view.text("summary"), "Kinds: 2 of them | Senders: bob");
	view.field("Text").focus();
	view.draw(feedState({}, { filter: { topic: "other" } }));
	assert.equal(view.field("Topic").value, "imu");
	view.field("Text").blur();
	view.draw(feedState({}, { filter: { topic: "other" } }));
	assert.equal(view.field("Topic").value, "other");
});

test("a download is saved, with a note about events that did not fit", async () => {
	const view = mount(feed);
	view.draw(feedState({}));
	downloads.length = 0;
	view.button("CSV").click();
	assert.deepEqual(view.asked[0].args, { form: "csv" });
	view.asked[0].answer({ name: "studio-events.csv", left: 12 }, new DataView(new ArrayBuffer(3)));
	await settle();
	assert.equal(downloads[0].name, "studio-events.csv");
	assert.match(view.text(".lknb-outcome"), /12 older events did not fit/);
});

test("a refused action shows the kernel's reason", async () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event() }));
	view.button("Clear").click();
	view.asked[0].refuse("The room is closed.");
	await settle();
	assert.equal(view.text(".lknb-outcome"), "The room is closed.");
	assert.equal(view.find(".lknb-outcome").dataset.kind, "error");
});

test("only rows in sight are in the page, and the table tells how many there are", () => {
	const view = mount(feed);
	view.draw(many(500));
	assert.ok(view.all(ROWS).length < 40);
	assert.equal(view.find("table").getAttribute("aria-rowcount"), "501");
	assert.equal(contents(view)[0], "event 500");
	assert.equal(view.find(`${ROWS} tr`).getAttribute("aria-rowindex"), "2");
	const [above, below] = view.all("tbody[aria-hidden] tr").map((row) => Number.parseFloat(row.style.height));
	assert.equal(above, 0);
	assert.equal(below, (500 - view.all(ROWS).length) * 25);
});

test("rows that the user has scrolled to stay in place while others arrive", () => {
	const view = mount(feed);
	view.draw(many(500));
	const scroller = view.find(".lknb-scroll");
	scroller.scrollTop = 2500;
	view.draw(many(510));
	assert.equal(scroller.scrollTop, 2750);
	assert.equal(view.find(".lknb-newest").hidden, false);
	view.find(".lknb-newest").click();
	assert.equal(scroller.scrollTop, 0);
	assert.equal(contents(view)[0], "event 510");
});

test("the list is one tab stop, in which keys select and open rows", () => {
	const view = mount(feed);
	view.draw(many(100));
	const table = view.find("table");
	assert.deepEqual(
		view.all(".lknb-feed-list [tabindex]:not([tabindex='-1']), .lknb-feed-list button:not([tabindex='-1'])"),
		[table],
	);
	const active = () => view.find(`#${table.getAttribute("aria-activedescendant")}`);
	press(table, "ArrowDown");
	assert.match(active().textContent, /event 100$/);
	press(table, "End");
	assert.match(active().textContent, /event 1$/);
	press(table, "Home");
	press(table, "ArrowDown");
	assert.equal(active().getAttribute("aria-selected"), "true");
	press(table, "Enter");
	assert.match(view.text(".lknb-details"), /event 99/);
	press(table, "ArrowDown");
	assert.match(view.text(".lknb-details"), /event 98/);
	press(table, "Escape");
	assert.equal(view.find(".lknb-feed-details").hidden, true);
});

test("keys reach the heads, sort by a column and resize it", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ size: 3 }), 2: event({ size: 1 }), 3: event({ size: 2 }) }));
	const table = view.find("table");
	press(table, "ArrowUp");
	for (let step = 0; step < 5; step++) press(table, "ArrowRight");
	const head = view.find(`#${table.getAttribute("aria-activedescendant")}`);
	assert.equal(head.textContent, "Size");
	const sizes = () => view.all(`${ROWS} .lknb-number`).map((cell) => cell.textContent);
	press(table, "Enter");
	assert.deepEqual(sizes(), ["1 B", "2 B", "3 B"]);
	assert.equal(head.getAttribute("aria-sort"), "ascending");
	press(table, "Enter");
	assert.deepEqual(sizes(), ["3 B", "2 B", "1 B"]);
	press(table, "Enter");
	assert.deepEqual(sizes(), ["2 B", "1 B", "3 B"]);
	press(table, "ArrowRight", { shiftKey: true });
	assert.equal(view.find("col.lknb-column-size").style.width, "88px");
});

test("a kind that nobody sends any more can still be taken out of the filter", () => {
	const view = mount(feed);
	view.draw(feedState({}, { senders: [], filter: { senders: ["gone"] } }));
	assert.equal(view.text(".lknb-menu:last-of-type label"), "gone");
});
