// What a notebook that was saved while a widget was live shows of it when it is opened without that widget's kernel.
//
// JupyterLab and Notebook would say "model not found". So, with each saving, what is seen goes into the notebook's own
// place for widgets' states, as text in a small widget that needs no kernel. Front ends that have no such place show
// the output's HTML.

/** @typedef {string | string[][]} Line a line of text, or a table */

const MIME = "application/vnd.jupyter.widget-state+json";
const VIEW = "application/vnd.jupyter.widget-view+json";
const OURS = "lknb.";
const KIND = ["model", "view"].flatMap((what) => [`_${what}_module`, `_${what}_module_version`, `_${what}_name`]);
const MOST_ROWS = 40;
const MOST_LINES = 60;
const LONGEST = 200;
/** What is of no use without a kernel, or is not seen. */
const LEFT_OUT = "button, select, input, textarea, label, canvas, svg, style, datalist, [hidden], [role=status]";
const STYLE =
	".lknb-saved { font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); max-height: 400px; overflow: auto; } " +
	".lknb-saved table { border-collapse: collapse; } .lknb-saved td { padding: 2px 6px; text-align: start; } " +
	".lknb-saved :is(p, td) { overflow-wrap: anywhere; margin: 0; unicode-bidi: isolate; }";

/**
 * Have what is seen saved with the notebook, where the front end can do that.
 * @param {import("./sync.js").Model} model
 * @param {() => { id: string, root: HTMLElement | undefined }} what the widget's model id, and a view of it
 * @returns {() => void} ends it
 */
export function saving(model, what) {
	const context = model.widget_manager?.context;
	if (!context?.saveState?.connect || !context.model?.getMetadata || !context.model.setMetadata) return () => {};
	const save = (/** @type {any} */ _, /** @type {string} */ state) => {
		if (state === "started") keep(context.model, model, what());
	};
	context.saveState.connect(save);
	return () => {
		context.saveState.disconnect(save);
		// Its output has become static: what was saved of it is of no use any more.
		if (!context.model.isDisposed) keep(context.model, model, { id: "", root: undefined });
	};
}

/**
 * Write what is seen into the notebook's metadata, and drop what is displayed no longer.
 * @param {any} notebook JupyterLab's model of the notebook
 * @param {import("./sync.js").Model} model
 * @param {{ id: string, root: HTMLElement | undefined }} what
 */
function keep(notebook, model, { id, root }) {
	const widgets = notebook.getMetadata("widgets") ?? {};
	const had = widgets[MIME]?.state ?? {};
	const displayed = displays(notebook);
	const state = Object.fromEntries(
		Object.entries(had).filter(
			([key, each]) => displayed.has(key) || !String(/** @type {any} */ (each)?.state?._anywidget_id).startsWith(OURS),
		),
	);
	if (root && displayed.has(id)) state[id] = entry(model, { at: Date.now(), lines: seen(root) });
	if (JSON.stringify(state) === JSON.stringify(had)) return;
	const { [MIME]: _, ...others } = widgets;
	// GitHub refuses a notebook whose entry has no `state`.
	if (Object.keys(state).length) others[MIME] = { version_major: 2, version_minor: 0, state };
	if (Object.keys(others).length) notebook.setMetadata("widgets", others);
	else notebook.deleteMetadata("widgets");
}

/**
 * The ids of the models that the notebook's outputs show.
 * @param {any} notebook
 * @returns {Set<string>}
 */
function displays(notebook) {
	const ids = new Set();
	for (const cell of notebook.cells) {
		for (let at = 0; at < (cell.outputs?.length ?? 0); at++) ids.add(cell.outputs.get(at).data?.[VIEW]?.model_id);
	}
	return ids;
}

/**
 * A model of its own, of the same kind as the live one.
 * @param {import("./sync.js").Model} model
 * @param {{ at: number, lines: Line[] }} saved
 */
function entry(model, saved) {
	const kind = Object.fromEntries(KIND.map((name) => [name, model.get(name)]));
	return {
		model_module: kind._model_module,
		model_module_version: kind._model_module_version,
		model_name: kind._model_name,
		state: {
			...kind,
			_anywidget_id: `${OURS}saved`,
			_esm: `export default { render: ${saved_} };`,
			_css: STYLE,
			layout: null,
			saved,
		},
	};
}

/**
 * What can be read in a view: tables as tables, everything else as lines.
 * @param {HTMLElement} root
 * @returns {Line[]}
 */
export function seen(root) {
	const copy = /** @type {HTMLElement} */ (root.cloneNode(true));
	for (const each of copy.querySelectorAll(LEFT_OUT)) each.remove();
	/** @type {Line[]} */
	const lines = [];
	const text = (/** @type {Element} */ element) =>
		(element.textContent ?? "").replace(/\s+/g, " ").trim().slice(0, LONGEST);
	const walk = (/** @type {Element} */ element) => {
		if (lines.length >= MOST_LINES) return;
		if (element.tagName === "TABLE") {
			const { rows } = /** @type {HTMLTableElement} */ (element);
			lines.push([...rows].slice(0, MOST_ROWS).map((row) => [...row.cells].map(text)));
		} else if (element.children.length && !/^(P|LI|PRE|SUMMARY|H\d)$/.test(element.tagName)) {
			for (const child of element.children) walk(child);
		} else if (text(element)) {
			lines.push(text(element));
		}
	};
	walk(copy);
	return lines;
}

/**
 * Shows what was saved. Its text is saved with it, so it uses nothing from outside.
 * @param {{ model: import("./sync.js").Model, el: HTMLElement }} given
 */
function saved_({ model, el }) {
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
			const place = add(table, "tr");
			for (const cell of row) add(place, "td", cell);
		}
	}
	el.append(root);
}
