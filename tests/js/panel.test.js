// The panel: tabs by pointer and keyboard, the connection's state, leaving and rejoining.
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawFrame, FakeModel, finders, isHarmless, NASTY, press, settle } from "./page.js";
import { panelValues } from "./states.js";

const { default: panel } = await import("../../lknb/widgets/panel.js");

/** A panel with these tabs, and a kernel that a test plays. */
function open(tabs = ["participants", "feed", "chat"]) {
	const labels = { participants: "Participants", feed: "Feed", chat: "Chat" };
	const model = new FakeModel({ tabs, labels });
	const module = panel();
	module.initialize({ model });
	const el = /** @type {HTMLElement} */ (h("div"));
	document.body.replaceChildren(el);
	module.render({ el });
	let number = 0;
	return {
		model,
		el,
		...finders(el),
		/** @param {Partial<import("../../lknb/widgets/rows.js").PanelValues>} [values] */
		draw(values) {
			number += 1;
			model.receive({ type: "state", number, parts: { panel: { set: panelValues(values), rows: {} } } });
			drawFrame();
		},
	};
}

const { h } = await import("../../lknb/widgets/dom.js");

test("the head shows the participant, the room and the connection's state", () => {
	const view = open();
	assert.equal(view.text(".lknb-state"), "Waiting for the kernel");
	assert.equal(view.find(".lknb-head button").hidden, true);
	view.draw();
	assert.equal(view.text(".lknb-head .lknb-bar"), "connectedalice (Alice) in studio, 2 in the roomRecordLeave");
	assert.equal(view.find(".lknb-note").hidden, true);
	view.draw({ state: "reconnecting", reason: "the link is cut" });
	assert.equal(view.find(".lknb-state").dataset.state, "reconnecting");
	assert.equal(view.text(".lknb-head .lknb-note"), "the link is cut.");
});

test("the first tab is shown, and the others are created when they are chosen", () => {
	const view = open();
	assert.equal(view.text('[role="tab"]'), "Participants | Feed | Chat");
	assert.equal(view.text('[aria-selected="true"]'), "Participants");
	const [people, feed] = view.all('[role="tabpanel"]');
	assert.equal(feed.childElementCount, 0);
	view.button("Feed").click();
	assert.deepEqual([people.hidden, feed.hidden], [true, false]);
	const content = feed.firstElementChild;
	view.button("Chat").click();
	view.button("Feed").click();
	assert.equal(feed.firstElementChild, content);
});

test("the kernel learns which tab is visible", () => {
	const view = open();
	view.button("Feed").click();
	assert.deepEqual(view.model.sentOf("shows").at(-1)?.parts, ["feed", "panel"]);
});

test("arrows, Home and End move between tabs with the focus", () => {
	const view = open();
	view.button("Participants").focus();
	for (const [key, name] of [
		["ArrowRight", "Feed"],
		["End", "Chat"],
		["ArrowRight", "Participants"],
		["ArrowLeft", "Chat"],
		["Home", "Participants"],
	]) {
		assert.equal(press(/** @type {Element} */ (document.activeElement), key), true, "the page does not scroll");
		assert.equal(document.activeElement?.textContent, name);
		assert.equal(view.text('[aria-selected="true"]'), name);
	}
	assert.deepEqual(
		view.all('[role="tab"]').map((tab) => tab.tabIndex),
		[0, -1, -1],
	);
	assert.equal(press(view.button("Participants"), "x"), false);
});

test("a single tab needs no bar", () => {
	const view = open(["feed"]);
	assert.equal(view.find('[role="tablist"]').hidden, true);
	assert.equal(view.find('[role="tabpanel"]').hidden, false);
});

test("leaving and rejoining keep the focus on their button", async () => {
	const view = open();
	view.draw();
	const button = view.button("Leave");
	button.focus();
	button.click();
	button.click();
	const [leave, ...more] = view.model.sentOf("do");
	assert.deepEqual([leave.action, more.length], ["leave", 0]);
	assert.equal(view.text(".lknb-head .lknb-outcome"), "Leaving…");
	assert.equal(button.getAttribute("aria-disabled"), "true");
	view.model.receive({ type: "reply", id: leave.id, value: null });
	await settle();
	view.draw({ state: "closed", reason: "closed by this notebook", participants: null, ended: ["greet"] });
	assert.equal(button.textContent, "Rejoin");
	assert.equal(document.activeElement, button);
	assert.match(view.text(".lknb-head .lknb-note"), /closed by this notebook\. These handlers have ended: greet\./);
	button.click();
	assert.equal(view.model.sentOf("do").at(-1)?.action, "rejoin");
});

test("one button starts to record, and finishes with time and size beside it", async () => {
	const view = open();
	view.draw();
	view.button("Record").click();
	const start = view.model.sentOf("do").at(-1);
	assert.equal(start?.action, "record");
	view.model.receive({ type: "reply", id: start.id, value: { file: "recordings/studio.mcap" } });
	await settle();
	assert.equal(view.text(".lknb-head .lknb-outcome"), "Recording to recordings/studio.mcap");
	const recording = { file: "recordings/studio.mcap", seconds: 75, size: 1_500_000, dropped: 0 };
	view.draw({ recordings: [recording] });
	assert.equal(view.text(".lknb-recording"), "1:15, 1.5 MB");
	view.draw({ recordings: [{ ...recording, dropped: 1200 }] });
	assert.equal(view.text(".lknb-recording"), "1:15, 1.5 MB, 1,200 events dropped");
	view.button("Stop recording").click();
	assert.equal(view.model.sentOf("do").at(-1)?.action, "stop_recording");
	view.draw();
	assert.equal(view.find(".lknb-recording").hidden, true);
});

test("a recording that cannot begin says why", async () => {
	const view = open();
	view.draw();
	view.button("Record").click();
	const start = view.model.sentOf("do").at(-1);
	view.model.receive({ type: "reply", id: start.id, error: "recordings is not a folder" });
	await settle();
	assert.equal(view.text(".lknb-head .lknb-outcome"), "recordings is not a folder");
});

test("text from the room is never markup", () => {
	const view = open();
	const recordings = [{ file: NASTY, seconds: 1, size: 1, dropped: 0 }];
	view.draw({ room: NASTY, identity: NASTY, name: NASTY, state: "closed", reason: NASTY, ended: [NASTY], recordings });
	assert.ok(isHarmless(view.el));
	assert.match(view.el.textContent ?? "", /<script>/);
});
