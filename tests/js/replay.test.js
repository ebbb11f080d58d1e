// The replay's view: how far it is, what was sent and what not, and its buttons.
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawFrame, FakeModel, finders, isHarmless, NASTY, settle } from "./page.js";

const { default: replay } = await import("../../lknb/widgets/replay.js");
const { h } = await import("../../lknb/widgets/dom.js");

const VALUES = {
	state: "running",
	error: null,
	position: 1.5,
	duration: 10,
	speed: 2,
	sent: 1200,
	skipped: [["it is not a message", 3]],
	failed: 0,
	errors: [],
	late: [0.001, 0.01, 0.02],
};

function open() {
	const model = new FakeModel({});
	const module = replay();
	module.initialize({ model });
	const el = /** @type {HTMLElement} */ (h("div"));
	document.body.replaceChildren(el);
	module.render({ el });
	let number = 0;
	return {
		model,
		el,
		...finders(el),
		/** @param {Partial<import("../../lknb/widgets/rows.js").ReplayValues>} [values] */
		draw(values) {
			number += 1;
			model.receive({ type: "state", number, parts: { replay: { set: { ...VALUES, ...values }, rows: {} } } });
			drawFrame();
		},
	};
}

test("the view shows how far it is, what was sent and what not", () => {
	const view = open();
	view.draw();
	assert.equal(view.text(".lknb-state"), "running");
	assert.equal(view.text(".lknb-bar > .lknb-number"), "1.5 of 10.0 s");
	assert.equal(view.text(".lknb-note"), "1,200 sent, late by 1.0 ms, at most 20.0 ms");
	assert.equal(view.text("li"), "3 skipped: it is not a message");
	view.draw({ failed: 2, errors: ["text 'chat': PermissionDeniedError"], late: null });
	assert.equal(view.text(".lknb-note"), "1,200 sent, 2 failed");
	assert.match(view.text("li"), /PermissionDeniedError/);
});

test("it pauses, steps, resumes and stops", async () => {
	const view = open();
	view.draw();
	assert.equal(view.button("Step").hidden, true);
	for (const [label, action, state] of [
		["Pause", "pause", "paused"],
		["Step", "step", "paused"],
		["Resume", "resume", "running"],
		["Stop", "stop_replay", "stopped"],
	]) {
		view.button(label).click();
		const asked = view.model.sentOf("do").at(-1);
		assert.equal(asked?.action, action);
		view.model.receive({ type: "reply", id: asked.id, value: null });
		await settle();
		view.draw({ state });
	}
	assert.equal(view.button("Pause").hidden, true);
	assert.equal(view.find("select").hidden, true);
});

test("the speed can be chosen, also one that is not in the list", () => {
	const view = open();
	view.draw({ speed: 3 });
	const select = /** @type {HTMLSelectElement} */ (view.find("select"));
	assert.equal(select.value, "3");
	select.value = "max";
	select.dispatchEvent(new Event("change"));
	assert.deepEqual(view.model.sentOf("do").at(-1)?.args, { speed: null });
});

test("text of a recording is never markup", () => {
	const view = open();
	view.draw({ error: NASTY, errors: [NASTY], skipped: [[NASTY, 1]], state: "failed" });
	assert.ok(isHarmless(view.el));
});
