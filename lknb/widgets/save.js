// What a saved notebook shows of a live widget when it is opened without that widget's kernel.
//
// JupyterLab and Notebook would say "model not found". So each time the notebook is saved, the visible text goes into
// the notebook's own place for widget states, in a small widget that needs no kernel. Front ends without such a place
// show the output's HTML.

/** @import { Model } from "./sync.js" */

/** @typedef {string | string[][]} Block a line of text, or a table */
/** @typedef {{ at: number, lines: Block[] }} Snapshot */
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
const MAX_ROWS = 40;
const MAX_LINES = 60;
const MAX_LENGTH = 200;
/** Elements that are of no use without a kernel, or are not seen. */
const LEFT_OUT = "button, select, input, textarea, label, canvas, svg, style, datalist, [hidden], [role=status]";
/** Elements that are one line, whatever they contain. */
const LINE = /^(P|LI|PRE|SUMMARY|H\d)$/;
const STYLE =
	".lknb-saved { font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); max-height: 400px; overflow: auto; } " +
	".lknb-saved table { border-collapse: collapse; } .lknb-saved td { padding: 2px 6px; text-align: start; } " +
	".lknb-saved :is(p, td) { overflow-wrap: anywhere; margin: 0; unicode-bidi: isolate; }";

/**
 * Save the visible text with the notebook, where the front end can do that.
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
	if (root && displayed.has(id)) state[id] = savedModel(model, { at: Date.now(), lines: visibleText(root) });
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
 * A model of its own, of the same kind as the live one.
 * @param {Model} model
 * @param {Snapshot} saved
 */
function savedModel(model, saved) {
	const kind = Object.fromEntries(KIND.map((name) => [name, model.get(name)]));
	return {
		model_module: kind._model_module,
		model_module_version: kind._model_module_version,
		model_name: kind._model_name,
		state: {
			...kind,
			_anywidget_id: `${OWN_PREFIX}saved`,
			_esm: `export default { render: ${renderSaved} };`,
			_css: STYLE,
			layout: null,
			saved,
		},
	};
}

/**
 * The text of a view that can be read: tables as tables, everything else as lines.
 * @param {HTMLElement} root
 * @returns {Block[]}
 */
export function visibleText(root) {
	const copy = /** @type {HTMLElement} */ (root.cloneNode(true));
	for (const element of copy.querySelectorAll(LEFT_OUT)) element.remove();
	/** @type {Block[]} */
	const blocks = [];
	const textOf = (/** @type {Element} */ element) =>
		(element.textContent ?? "").replace(/\s+/g, " ").trim().slice(0, MAX_LENGTH);
	const walk = (/** @type {Element} */ element) => {
		if (blocks.length >= MAX_LINES) return;
		if (element.tagName === "TABLE") {
			const { rows } = /** @type {HTMLTableElement} */ (element);
			blocks.push([...rows].slice(0, MAX_ROWS).map((row) => [...row.cells].map(textOf)));
		} else if (element.children.length && !LINE.test(element.tagName)) {
			for (const child of element.children) walk(child);
		} else if (textOf(element)) {
			blocks.push(textOf(element));
		}
	};
	walk(copy);
	return blocks;
}

/**
 * Render a snapshot. The notebook keeps this function's source, so it uses nothing from outside.
 * @param {{ model: Model, el: HTMLElement }} props
 */
function renderSaved({ model, el }) {
	/** @type {Snapshot} */
	const { at, lines } = model.get("saved");
	const root = document.createElement("section");
	root.className = "lknb-saved";
	const add = (/** @type {HTMLElement} */ parent, /** @type {string} */ tag, text = "") => {
		const element = document.createElement(tag);
		element.textContent = text;
		parent.append(element);
		return element;
	};
	add(root, "strong", `As of ${new Date(at).toLocaleString()}. Run the cell again to follow the room.`);
	for (const line of lines) {
		if (typeof line === "string") {
			add(root, "p", line);
			continue;
		}
		const table = add(root, "table");
		for (const row of line) {
			const tableRow = add(table, "tr");
			for (const cell of row) add(tableRow, "td", cell);
		}
	}
	el.append(root);
}
