// The feed: its rows and their details, filters, pausing and downloads.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { downloads, isHarmless, mount, NASTY, settle, type } from "./page.js";
import { event, feedState } from "./states.js";

const { feed } = await import("../../lknb/widgets/feed.js");

const cellsOf = (/** @type {HTMLElement} */ row) => [...row.querySelectorAll("td")].map((cell) => cell.textContent);

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
	assert.deepEqual(
		view.all(".lknb-content span").map((each) => each.textContent),
		["ten", "nine", "two"],
	);
});

test("a row has time, direction, kind, sender, topic, size and content", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ direction: "out" }) }));
	assert.deepEqual(cellsOf(view.find("tbody")), ["12:00:00.000", "→", "text", "bob", "greetings", "5 B", "▸hello"]);
	assert.equal(view.find("tbody td:nth-child(2)").title, "sent");
});

test("a failed event shows its error, and an open one its progress", () => {
	const view = mount(feed);
	view.draw(
		feedState({
			1: event({ status: "failed", error: "the stream was aborted" }),
			2: event({ status: "open", size: 2000, transferred: 500 }),
		}),
	);
	const [open, failed] = view.all("tbody");
	assert.match(failed.textContent, /failedthe stream was aborted/);
	assert.match(open.textContent, /500 B of 2\.0 kB▸in progress/);
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
	for (const part of ["1,234 events", "12.5 per second", "newest 200", "7 skipped", "5 dropped"]) {
		assert.ok(counts.includes(part), `${part} in ${counts}`);
	}
});

test("a limited feed shows what it is limited to", () => {
	const view = mount(feed);
	const only = { kinds: ["data", "text"], topic: "imu", sender: "bob" };
	view.draw(feedState({}, { only }));
	assert.match(view.text(".lknb-counts"), /^0 events \(only data and text, topic imu, from bob\), 0 per second$/);
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
	assert.equal(view.find(".lknb-details"), null);
	assert.equal(opener.getAttribute("aria-expanded"), "false");
});

test("an open row stays open and keeps the focus while others arrive", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event() }));
	const opener = view.find(".lknb-open");
	opener.click();
	opener.focus();
	view.draw(feedState({ 1: event({ status: "dropped" }), 2: event() }));
	assert.equal(view.all("tbody").length, 2);
	assert.equal(document.activeElement, opener);
	assert.ok(view.find(".lknb-details"));
});

test("a click anywhere in a row opens it", () => {
	const view = mount(feed);
	view.draw(feedState({ 1: event({ size: 0 }) }));
	view.find("tbody td").click();
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
	assert.equal(view.all("tbody").length, 1);
	assert.match(view.text(".lknb-counts"), /^2 events.*paused$/);
	view.button("Resume").click();
	assert.equal(view.all("tbody").length, 2);
});

test("filters are sent together once the user stops typing", () => {
	mock.timers.enable({ apis: ["setTimeout"] });
	try {
		const view = mount(feed);
		view.draw(feedState({}));
		view.field("Kind").value = "data";
		type(view.field("Topic"), "im");
		mock.timers.tick(200);
		type(view.field("Topic"), "imu");
		mock.timers.tick(200);
		assert.equal(view.asked.length, 0);
		mock.timers.tick(100);
		assert.deepEqual(view.asked[0].args, { kind: "data", topic: "imu", sender: "", text: "" });
	} finally {
		mock.timers.reset();
	}
});

test("another view's filter is shown, but does not overwrite what the user types", () => {
	const view = mount(feed);
	view.draw(feedState({}, { filter: { topic: "imu" } }));
	assert.equal(view.field("Topic").value, "imu");
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
