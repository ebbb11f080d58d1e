import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeModel } from "./page.js";

const { h } = await import("../../lknb/widgets/dom.js");
const { saveSnapshots, visibleText } = await import("../../lknb/widgets/save.js");

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

test("what is seen goes into the notebook when it is saved, beside what others keep there", () => {
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
	assert.deepEqual(state.a.state.saved.lines, ["seen"]);
	assert.equal(state.a.model_module_version, "~0.11.*");
});

test("what is displayed no longer is dropped, and nothing is left empty", () => {
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

test("a front end without a place for it is left alone", () => {
	const end = saveSnapshots(new FakeModel(), () => ({ id: "", root: undefined }));
	end();
});

test("what is read of a view is text, without its controls, within bounds", () => {
	const table = h("table");
	for (let number = 0; number < 100; number++) table.append(h("tr", null, h("td", null, number), h("td", null, "<b>")));
	const root = h(
		"section",
		null,
		h("div", null, h("button", null, "Leave"), h("span", null, "alice  in\n studio"), h("p", { hidden: true }, "no")),
		table,
		h("p", null, "x".repeat(1000)),
	);
	const [who, rows, long] = visibleText(root);
	assert.equal(who, "alice in studio");
	assert.equal(rows.length, 40);
	assert.deepEqual(rows[1], ["1", "<b>"]);
	assert.equal(long.length, 200);
	assert.equal(root.querySelectorAll("button").length, 1);
});
