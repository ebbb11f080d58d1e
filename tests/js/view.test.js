// A widget in a page: visible or not, with a busy or a gone kernel, and when its cell runs again.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { drawFrame, FakeModel, finders, isHarmless, NASTY, press, scrollIntoSight, settle } from "./page.js";

const { h, setText } = await import("../../lknb/widgets/dom.js");
const { Outcome, widget } = await import("../../lknb/widgets/view.js");

const snapshot = (/** @type {number} */ number, /** @type {string} */ text) => ({
	type: "state",
	number,
	model: "m1",
	parts: { notes: { set: { text }, rows: { notes: [] } } },
});

/** A widget with one part, a text from the kernel, and a button with an action. */
const notes = widget(
	"Notes",
	() => ["notes"],
	({ notes: { ask, follow } }) => {
		const text = h("p", { class: "text" }, "Waiting for the kernel");
		follow(({ values }) => setText(text, values.text));
		const outcome = new Outcome();
		return h("div", null, text, h("button", { onclick: () => outcome.report(ask("add")) }, "Add"), outcome.element);
	},
);

/** Start the widget as anywidget does, and show it once. */
function start(module = notes(), model = new FakeModel()) {
	const stop = module.initialize({ model });
	const views = [];
	const show = () => {
		const el = /** @type {HTMLElement} */ (h("div"));
		document.body.append(el);
		const remove = module.render({ el });
		views.push(el);
		return { el, remove, root: /** @type {HTMLElement} */ (el.firstElementChild), ...finders(el) };
	};
	return { module, model, stop, show };
}

const partsInView = (/** @type {FakeModel} */ model) => model.sentOf("shows").at(-1)?.parts;

test("a view shows the kernel's state as soon as there is one", () => {
	const { model, show } = start();
	const view = show();
	drawFrame();
	assert.equal(view.text(".text"), "Waiting for the kernel");
	model.receive(snapshot(1, "hello"));
	drawFrame();
	assert.equal(view.text(".text"), "hello");
	assert.equal(view.root.getAttribute("aria-label"), "Notes");
});

test("a second view shows the same state immediately", () => {
	const { model, show } = start();
	show();
	model.receive(snapshot(1, "hello"));
	drawFrame();
	const second = show();
	drawFrame();
	assert.equal(second.text(".text"), "hello");
});

test("a view that is not visible, or removed, receives nothing", () => {
	const { model, show } = start();
	const view = show();
	assert.deepEqual(partsInView(model), ["notes"]);
	scrollIntoSight(view.root, false);
	assert.deepEqual(partsInView(model), []);
	scrollIntoSight(view.root);
	assert.deepEqual(partsInView(model), ["notes"]);
	view.remove();
	assert.deepEqual(partsInView(model), []);
});

test("a hidden page receives nothing", () => {
	const { model, show } = start();
	const view = show();
	Object.defineProperty(document, "hidden", { value: true, configurable: true });
	document.dispatchEvent(new Event("visibilitychange"));
	assert.deepEqual(partsInView(model), []);
	Object.defineProperty(document, "hidden", { value: false, configurable: true });
	document.dispatchEvent(new Event("visibilitychange"));
	assert.deepEqual(partsInView(model), ["notes"]);
	view.remove();
});

test("a busy kernel is reported until it takes the call", () => {
	mock.timers.enable({ apis: ["setTimeout"] });
	try {
		const { model, show } = start();
		const view = show();
		model.receive(snapshot(1, "hello"));
		view.button("Add").click();
		mock.timers.tick(800);
		drawFrame();
		assert.match(view.text(".lknb-status"), /^The kernel is busy/);
		model.receive({ type: "taken", id: model.sentOf("do")[0].id });
		drawFrame();
		assert.equal(view.text(".lknb-status"), "");
	} finally {
		mock.timers.reset();
	}
});

test("when the kernel is gone, the last state stays, and actions say why they fail", async () => {
	const inJupyter = Object.assign(new FakeModel(), { widget_manager: { context: { sessionContext: {} } } });
	const { model, show, stop } = start(notes(), inJupyter);
	const view = show();
	model.receive(snapshot(1, "hello"));
	stop();
	drawFrame();
	assert.match(view.text(".lknb-status"), /^The kernel is gone/);
	assert.equal(view.text(".text"), "hello");
	view.button("Add").click();
	await settle();
	assert.equal(view.text(".lknb-outcome"), "The kernel is gone. Run the cell again.");
});

test("a front end that says nothing of its kernel keeps the text of a widget that has ended", () => {
	const { model, show, stop } = start();
	const view = show();
	model.receive(snapshot(1, "hello"));
	drawFrame();
	stop();
	assert.equal(view.text(".lknb-saved p"), "This view has ended. Run its cell again for a live one. | hello");
	assert.equal(view.button("Add"), undefined);
	assert.deepEqual(partsInView(model), []);
	view.remove();
});

const LAST = ["alice in studio: closed", "Notes", [["text"], [NASTY]]];

test("a widget that the kernel has closed shows its last state without controls, wherever it is shown", async () => {
	const { model, show } = start();
	const view = show();
	model.receive(snapshot(1, "hello"));
	drawFrame();
	view.button("Add").click();
	model.set("final", LAST);
	drawFrame();
	assert.deepEqual(
		view.all("p, td").map((each) => each.textContent),
		["alice in studio: closed", "Notes", "text", view.text("tr:last-child")],
	);
	assert.ok(isHarmless(view.el));
	assert.equal(view.all("button").length, 0);
	assert.equal(model.sentOf("bye").length, 1);
	assert.match(show().text("p"), /^alice in studio: closed/);
});

test("a page that is loaded after the widget was closed shows its last state, and asks for nothing", () => {
	const { model, show } = start(notes(), new FakeModel({ final: LAST }));
	const view = show();
	drawFrame();
	assert.equal(view.text("p"), "alice in studio: closed | Notes");
	assert.deepEqual(model.sent, []);
	view.remove();
});

test("a kernel that answers again is followed again", () => {
	const { model, show } = start();
	const view = show();
	model.receive(snapshot(1, "before"));
	for (const listener of model.listeners.get("comm_live_update") ?? []) listener();
	drawFrame();
	assert.match(view.text(".lknb-status"), /^The kernel is gone/);
	assert.equal(model.sentOf("hello").length, 2);
	model.receive(snapshot(1, "after"));
	drawFrame();
	assert.equal(view.text(".lknb-status"), "");
	assert.equal(view.text(".text"), "after");
});

test("a cell that runs again gets a new store, and the old one sends nothing more", () => {
	const module = notes();
	const first = start(module);
	const view = first.show();
	first.model.receive(snapshot(1, "first run"));
	view.remove();
	first.stop();
	const second = start(module);
	const again = second.show();
	assert.equal(again.text(".text"), "Waiting for the kernel");
	second.model.receive(snapshot(1, "second run"));
	drawFrame();
	assert.equal(again.text(".text"), "second run");
	const sent = first.model.sent.length;
	again.button("Add").click();
	assert.equal(first.model.sent.length, sent);
	assert.equal(second.model.sentOf("do").length, 1);
});

test("lost messages are counted", () => {
	const { model, show } = start();
	const view = show();
	model.receive(snapshot(1, "one"));
	model.receive(snapshot(5, "five"));
	drawFrame();
	assert.match(view.text(".lknb-status"), /^3 updates did not reach this page/);
});

test("an error in one view does not stop the others", () => {
	const faulty = widget(
		"Faulty",
		() => ["notes"],
		({ notes: { follow } }) => {
			follow(() => {
				throw new Error("a fault");
			});
			const text = h("p", { class: "text" });
			follow(({ values }) => setText(text, values.text));
			return text;
		},
	);
	const { error } = console;
	/** @type {unknown[]} */
	const logged = [];
	console.error = (/** @type {unknown} */ each) => logged.push(each);
	try {
		const { model, show } = start(faulty());
		const view = show();
		model.receive(snapshot(1, "hello"));
		drawFrame();
		assert.equal(view.text(".text"), "hello");
		assert.equal(logged.length, 1);
	} finally {
		console.error = error;
	}
});

test("plain keys do not reach Jupyter, but keys with a modifier do", () => {
	const { show } = start();
	const view = show();
	const button = view.button("Add");
	press(button, "b");
	assert.ok(button.hasAttribute("data-lm-suppress-shortcuts"));
	press(button, "s", { ctrlKey: true });
	assert.equal(button.hasAttribute("data-lm-suppress-shortcuts"), false);
	press(button, "Enter", { shiftKey: true });
	assert.equal(button.hasAttribute("data-lm-suppress-shortcuts"), false);
});

test("an outcome is cleared by success and shows a failure", async () => {
	const outcome = new Outcome();
	outcome.fail(new Error("before"));
	assert.equal(outcome.element.dataset.kind, "error");
	assert.equal(await outcome.report(Promise.resolve(7)), 7);
	assert.equal(outcome.element.textContent, "");
	assert.equal(await outcome.report(Promise.reject(new Error("it broke"))), undefined);
	assert.equal(outcome.element.textContent, "it broke");
	outcome.show("done");
	assert.equal(outcome.element.dataset.kind, "");
});

/** A notebook whose outputs show these models. */
const notebookOf = (/** @type {string[]} */ ...ids) => ({
	getMetadata: () => undefined,
	setMetadata() {},
	deleteMetadata() {},
	cells: ids.map((id) => ({
		outputs: { length: 1, get: () => ({ data: { "application/vnd.jupyter.widget-view+json": { model_id: id } } }) },
	})),
});

for (const [what, ids, expected] of /** @type {[string, string[], number][]} */ ([
	["deleted", [], 1],
	["moved", ["m1"], 0],
])) {
	test(`an output that was ${what} is ${expected ? "" : "not "}reported to the kernel`, () => {
		mock.timers.enable({ apis: ["setTimeout"] });
		try {
			const { model, show } = start();
			Object.assign(model, { widget_manager: { context: { model: notebookOf(...ids) } } });
			const view = show();
			model.receive(snapshot(1, "hello"));
			view.remove();
			mock.timers.tick(120_000);
			assert.equal(model.sentOf("removed").length, expected);
		} finally {
			mock.timers.reset();
		}
	});
}
