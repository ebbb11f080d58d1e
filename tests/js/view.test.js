// A widget's life in a page: shown, out of sight, its kernel busy or gone, and connected to another kernel.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { drawFrame, FakeModel, finders, press, scrollIntoSight, settle } from "./page.js";

const { h, setText } = await import("../../lknb/widgets/dom.js");
const { Outcome, widget } = await import("../../lknb/widgets/view.js");

const snapshot = (/** @type {number} */ number, /** @type {string} */ text) => ({
	type: "state",
	number,
	model: "m1",
	parts: { notes: { set: { text }, rows: { notes: [] } } },
});

/** A widget with one part, a text that the kernel sends, and a button that asks for something. */
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
function start(module = notes()) {
	const model = new FakeModel();
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

test("a view shows what the kernel sends, and nothing before", () => {
	const { model, show } = start();
	const view = show();
	drawFrame();
	assert.equal(view.text(".text"), "Waiting for the kernel");
	model.receive(snapshot(1, "hello"));
	drawFrame();
	assert.equal(view.text(".text"), "hello");
	assert.equal(view.root.getAttribute("aria-label"), "Notes");
});

test("a second view shows the same at once", () => {
	const { model, show } = start();
	show();
	model.receive(snapshot(1, "hello"));
	drawFrame();
	const second = show();
	drawFrame();
	assert.equal(second.text(".text"), "hello");
});

test("a view that is out of sight, or removed, is sent nothing", () => {
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

test("a hidden page is sent nothing", () => {
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

test("a busy kernel is shown until it takes the call up", () => {
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

test("when the kernel is gone the last state stays, and actions say why they fail", async () => {
	const { model, show, stop } = start();
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

test("a cell that runs again has a store of its own, and the old one sends nothing more", () => {
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

test("messages that were lost are counted", () => {
	const { model, show } = start();
	const view = show();
	model.receive(snapshot(1, "one"));
	model.receive(snapshot(5, "five"));
	drawFrame();
	assert.match(view.text(".lknb-status"), /^3 updates did not reach this page/);
});

test("one view's fault does not stop the others", () => {
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

test("plain keys are kept from Jupyter, and keys with a modifier are not", () => {
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
