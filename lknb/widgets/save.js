// Saves what a live widget shows with the notebook, for when the notebook is opened without the widget's kernel.
//
// Without this, JupyterLab and Notebook would show "model not found". So whenever the notebook is saved, what is visible
// is stored as a small widget that needs no kernel, where Jupyter stores the states of widgets. Front ends that do not
// store states show the output's HTML instead.

import { formatMoment } from "./dom.js";
import { STYLE } from "./final.js";
import { packed, staticCopy, usedStyle } from "./snapshot.js";

/** @import { SavedNode } from "./snapshot.js" */
/** @import { Model } from "./sync.js" */

/** @typedef {{ at: string, view: SavedNode }} Snapshot when it was taken, in words, and what the view showed */
/** @typedef {{ id: string, root: HTMLElement | undefined }} Source a widget's model id, and one of its views */

/**
 * JupyterLab's model of a notebook.
 * @typedef {object} NotebookModel
 * @property {boolean} [isDisposed]
 * @property {Iterable<NotebookCell>} cells
 * @property {(name: string) => any} getMetadata
 * @property {(name: string, value: object) => void} setMetadata
 * @property {(name: string) => void} deleteMetadata
 */

/** @typedef {{ outputs?: { length: number, get(index: number): { data?: Record<string, any> } } }} NotebookCell */

const STATES = "application/vnd.jupyter.widget-state+json";
const VIEW = "application/vnd.jupyter.widget-view+json";
const OWN_PREFIX = "lknb.";
const KIND = ["model", "view"].flatMap((what) => [`_${what}_module`, `_${what}_module_version`, `_${what}_name`]);

/**
 * Save what is visible with the notebook, if the front end supports that.
 * @param {Model} model
 * @param {() => Source} source
 * @returns {() => void} ends it
 */
export function saveSnapshots(model, source) {
	const { saveState, model: notebook } = model.widget_manager?.context ?? {};
	if (!saveState?.connect || !notebook?.getMetadata || !notebook.setMetadata) return () => {};
	const save = (/** @type {unknown} */ _, /** @type {string} */ state) => {
		if (state === "started") updateMetadata(notebook, model, source());
	};
	saveState.connect(save);
	return () => {
		saveState.disconnect(save);
		// The widget's output has become static, so the notebook no longer needs the snapshot.
		if (!notebook.isDisposed) updateMetadata(notebook, model, { id: "", root: undefined });
	};
}

/**
 * Whether an output of the notebook shows the model with this id; undefined in front ends that do not tell.
 * @param {Model} model
 * @param {string} id
 */
export function isDisplayed(model, id) {
	const { model: notebook } = model.widget_manager?.context ?? {};
	if (!id || !notebook?.cells || notebook.isDisposed) return undefined;
	return displayedModels(notebook).has(id);
}

/**
 * Write a snapshot into the notebook's metadata, and remove those of widgets that are no longer displayed.
 * @param {NotebookModel} notebook
 * @param {Model} model
 * @param {Source} source
 */
function updateMetadata(notebook, model, { id, root }) {
	const widgets = notebook.getMetadata("widgets") ?? {};
	/** @type {Record<string, { state?: { _anywidget_id?: string } }>} */
	const before = widgets[STATES]?.state ?? {};
	const displayed = displayedModels(notebook);
	const isOurs = (/** @type {{ state?: { _anywidget_id?: string } }} */ entry) =>
		String(entry?.state?._anywidget_id).startsWith(OWN_PREFIX);
	/** @type {Record<string, object>} */
	const state = Object.fromEntries(
		Object.entries(before).filter(([key, entry]) => displayed.has(key) || !isOurs(entry)),
	);
	if (root && displayed.has(id)) state[id] = savedModel(model, root);
	if (JSON.stringify(state) === JSON.stringify(before)) return;
	const { [STATES]: _, ...others } = widgets;
	// GitHub refuses a notebook whose entry has no `state`.
	if (Object.keys(state).length) others[STATES] = { version_major: 2, version_minor: 0, state };
	if (Object.keys(others).length) notebook.setMetadata("widgets", others);
	else notebook.deleteMetadata("widgets");
}

/**
 * The ids of the models that the notebook's outputs show.
 * @param {NotebookModel} notebook
 * @returns {Set<string>}
 */
function displayedModels(notebook) {
	const ids = new Set();
	for (const { outputs } of notebook.cells) {
		for (let index = 0; index < (outputs?.length ?? 0); index++) {
			ids.add(outputs?.get(index).data?.[VIEW]?.model_id);
		}
	}
	return ids;
}

/**
 * A separate model of the same kind as the live one.
 * @param {Model} model
 * @param {HTMLElement} root
 */
function savedModel(model, root) {
	const copy = staticCopy(root);
	/** @type {Snapshot} */
	const saved = { at: formatMoment(Date.now()), view: packed(copy) };
	const kind = Object.fromEntries(KIND.map((name) => [name, model.get(name)]));
	return {
		model_module: kind._model_module,
		model_module_version: kind._model_module_version,
		model_name: kind._model_name,
		state: {
			...kind,
			_anywidget_id: `${OWN_PREFIX}saved`,
			_esm: `export default { render: ${renderSaved} };`,
			_css: usedStyle(model.get("_css") ?? "", copy) + STYLE,
			layout: null,
			saved,
		},
	};
}

/**
 * Render a snapshot. The notebook stores this function's source, so it must not use anything outside of it.
 * @param {{ model: Model, el: HTMLElement }} props
 */
function renderSaved({ model, el }) {
	/** @type {Snapshot} */
	const { at, view } = model.get("saved");
	const make = (/** @type {SavedNode} */ node) => {
		if (typeof node === "string") return node;
		const [tag, attributes, ...children] = node;
		const element = document.createElement(tag);
		for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
		for (const child of children) element.append(make(child));
		return element;
	};
	const note = document.createElement("p");
	note.className = "lknb-saved-note";
	note.textContent = `Saved ${at}. Run the cell again for a live view.`;
	const root = document.createElement("section");
	root.className = "lknb-saved mathjax_ignore tex2jax_ignore";
	root.append(note, make(view));
	el.append(root);
}
