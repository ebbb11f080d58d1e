import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeModel } from "./page.js";

const { h } = await import("../../lknb/widgets/dom.js");
const { saveSnapshots } = await import("../../lknb/widgets/save.js");
const { packed, staticCopy, usedStyle } = await import("../../lknb/widgets/snapshot.js");

const STATES = "application/vnd.jupyter.widget-state+json";
const VIEW = "application/vnd.jupyter.widget-view+json";
const FOREIGN = { model_name: "SliderModel", state: { value: 3 } };

/** @param {string[]} displayed @param {Record<string, any>} [metadata] */
function notebook(displayed, metadata = {}) {
	const outputs = displayed.map((id) => ({ data: { [VIEW]: { model_id: id } } }));
	return {
		metadata,
		cells: [{}, { outputs: { length: outputs.length, get: (/** @type {number} */ at) => outputs[at] } }],
		getMetadata: (/** @type {string} */ name) => metadata[name],
		setMetadata(/** @type {string} */ name, /** @type {any} */ value) {
			metadata[name] = value;
		},
		deleteMetadata(/** @type {string} */ name) {
			delete metadata[name];
		},
	};
}

/** @param {ReturnType<typeof notebook>} model */
function manager(model) {
	/** @type {Set<(sender: any, state: string) => void>} */
	const slots = new Set();
	const saveState = {
		connect: (/** @type {any} */ slot) => slots.add(slot),
		disconnect: (/** @type {any} */ slot) => slots.delete(slot),
	};
	return {
		context: { model, saveState },
		save: (state = "started") => slots.forEach((slot) => void slot(null, state)),
		slots,
	};
}

/** @param {ReturnType<typeof manager>} widgets @param {string} id */
function live(widgets, id, text = "seen") {
	const model = new FakeModel({
		_model_module: "anywidget",
		_model_name: "AnyModel",
		_model_module_version: "~0.11.*",
	});
	const end = saveSnapshots(Object.assign(model, { widget_manager: widgets }), () => ({
		id,
		root: h("div", null, h("p", null, text)),
	}));
	return end;
}

test("saving stores the visible text in the notebook, beside other widgets' states", () => {
	const model = notebook(["a"], {
		widgets: { [STATES]: { version_major: 2, version_minor: 0, state: { foreign: FOREIGN } } },
	});
	const widgets = manager(model);
	live(widgets, "a");
	widgets.save("completed");
	assert.deepEqual(Object.keys(model.metadata.widgets[STATES].state), ["foreign"]);
	widgets.save();
	const { state, version_major } = model.metadata.widgets[STATES];
	assert.equal(version_major, 2);
	assert.deepEqual(state.foreign, FOREIGN);
	assert.deepEqual(state.a.state.saved.view, ["div", {}, ["p", {}, "seen"]]);
	assert.equal(state.a.model_module_version, "~0.11.*");
});

test("states of widgets that are no longer displayed are removed", () => {
	const model = notebook(["b"]);
	const widgets = manager(model);
	live(widgets, "b");
	widgets.save();
	assert.deepEqual(Object.keys(model.metadata.widgets[STATES].state), ["b"]);
	model.cells = [];
	widgets.save();
	assert.deepEqual(model.metadata, {});
});

test("a widget that has ended is not saved again", () => {
	const model = notebook(["a"]);
	const widgets = manager(model);
	const end = live(widgets, "a");
	widgets.save();
	model.cells = [];
	end();
	assert.deepEqual(model.metadata, {});
	assert.equal(widgets.slots.size, 0);
});

test("a front end that does not store states is left alone", () => {
	const end = saveSnapshots(new FakeModel(), () => ({ id: "", root: undefined }));
	end();
});

test("a copy has no controls, and keeps the texts of heads, quotations and the chosen tab", () => {
	const root = h(
		"section",
		null,
		h("button", { role: "tab", "aria-selected": "true" }, "Feed"),
		h("button", { role: "tab", "aria-selected": "false" }, "Chat"),
		h("label", null, "Method", h("input")),
		h("table", null, h("thead", null, h("tr", null, h("th", null, h("button", null, "Time"))))),
		h("p", { hidden: true }, "no"),
		h("p", null, "yes"),
	);
	assert.equal(staticCopy(root).textContent, "FeedTimeyes");
	assert.equal(root.querySelectorAll("button").length, 3);
});

test("a copy is bounded", () => {
	const table = h("table", null, h("thead", null, h("tr", null, h("th", null, "number"))));
	for (let number = 0; number < 100; number++) table.append(h("tbody", null, h("tr", null, h("td", null, number))));
	const copy = staticCopy(h("div", null, table, h("p", null, "x".repeat(1000))));
	assert.equal(copy.querySelectorAll("td").length, 40);
	assert.ok(JSON.stringify(packed(copy)).length < 3_000);
});

test("a saved view is elements with texts, and nothing that runs", () => {
	const link = h("p", { class: "note", onclick: () => {} }, "<script>alert(1)</script>", h("bdi", { title: "t" }, "x"));
	assert.deepEqual(packed(link), ["p", { class: "note" }, "<script>alert(1)</script>", ["bdi", {}, "x"]]);
});

test("only the rules that apply to a copy are saved with it", () => {
	const copy = h("section", { class: "lknb" }, h("p", { class: "seen" }));
	const css =
		".lknb { color: red; } .seen::before { content: 'x'; } .other { color: blue; } .seen:hover { color: green; }";
	const used = usedStyle(css, copy);
	assert.match(used, /color: red/);
	assert.match(used, /::before/);
	assert.doesNotMatch(used, /blue|green/);
});
