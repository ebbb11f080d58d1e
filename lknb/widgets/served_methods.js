// The methods that this notebook serves.
import { formatDuration, formatTime, h, KeyedList, quoted, quotedList } from "./dom.js";

/** @import { Child } from "./dom.js" */
/** @import { MethodRow } from "./rows.js" */

/** @type {[title: string, cell: (row: MethodRow) => Child[]][]} */
const COLUMNS = [
	["Method", ({ method }) => [quoted(method, "lknb-rpc-method")]],
	["Function", (row) => [row.function === row.method ? "" : quoted(row.function)]],
	["Calls", ({ calls }) => [calls.toLocaleString()]],
	["Errors", ({ failed, errors }) => [failed.toLocaleString(), errors && ` (${errors.toLocaleString()} exceptions)`]],
	["Running", ({ running, waiting }) => [running.toLocaleString(), waiting && ` (${waiting} waiting)`]],
	["Last run", ({ last }) => [last ? formatTime(last) : "never"]],
	["Latency", (row) => [describeLatency(row)]],
	["Callers", ({ callers }) => quotedList(callers)],
];

/** @param {MethodRow} row */
function describeLatency({ took, mean, longest }) {
	if (took === null) return "";
	return `${formatDuration(mean)} mean, ${formatDuration(longest)} longest, ${formatDuration(took)} last`;
}

export class ServedMethods {
	constructor() {
		const heads = COLUMNS.map(([title]) => h("th", { scope: "col" }, title));
		this.table = h("table", { class: "lknb-rpc-served", hidden: true }, h("thead", null, h("tr", null, heads)));
		/** @type {KeyedList<MethodRow, Method>} */
		this.methods = new KeyedList(this.table, () => new Method());
		this.empty = h(
			"p",
			{ class: "lknb-empty", hidden: true },
			'No methods yet. Write @room.rpc("add") above a function in a cell.',
		);
		this.elements = [this.table, this.empty];
	}

	/** @param {Map<string, MethodRow>} rows */
	draw(rows) {
		this.methods.draw(rows);
		this.table.dataset.functions = String([...rows.values()].some((row) => row.function !== row.method));
		this.empty.hidden = rows.size > 0;
		this.table.hidden = rows.size === 0;
	}
}

class Method {
	constructor() {
		this.cells = COLUMNS.map(([title, content]) => ({ element: h("td", { "data-label": title }), content }));
		const row = h(
			"tr",
			null,
			this.cells.map(({ element }) => element),
		);
		this.element = h("tbody", null, row);
	}

	/** @param {MethodRow} row */
	fill(row) {
		for (const { element, content } of this.cells) {
			const filled = h("td", null, content(row).filter(Boolean));
			if (element.textContent !== filled.textContent) element.replaceChildren(...filled.childNodes);
		}
	}
}
