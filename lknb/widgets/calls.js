// This notebook's calls. Each one is a row that opens to show the payload and the answer.
import { copyable } from "./content.js";
import { formatDuration, formatTime, h, KeyedList, opener, quoted, setText, toggleOnClick } from "./dom.js";

/** @import { CallRow, RpcPart } from "./rows.js" */
/** @import { Ask, Outcome } from "./view.js" */

/** Milliseconds between two updates of the duration of a call in progress. */
const TICK = 200;
const COLUMNS = ["Time", "Call", "Payload → answer", "Took", ""];

/**
 * @typedef {object} CallActions
 * @property {Ask<RpcPart>} ask
 * @property {Outcome} outcome
 * @property {(row: CallRow) => void} repeat
 */

export class Calls {
	/** @param {CallActions} actions */
	constructor({ ask, outcome, repeat }) {
		this.ask = ask;
		this.outcome = outcome;
		this.repeat = repeat;
		/** The call whose answer opens when the call is listed. @type {{ key: string, row: CallRow } | undefined} */
		this.wanted = undefined;
		/** The key of the call that was opened by its answer, and is closed by the next answer. */
		this.presented = "";
		const heads = COLUMNS.map((title) => h("th", { scope: "col" }, title));
		this.table = h("table", { class: "lknb-rpc-calls", hidden: true }, h("thead", null, h("tr", null, heads)));
		/** @type {KeyedList<CallRow, Call>} */
		this.list = new KeyedList(this.table, (key) => new Call(this, key));
		this.empty = h("p", { class: "lknb-empty", hidden: true }, "No calls yet. Calls from cells are listed here too.");
		this.element = h(
			"div",
			{ class: "lknb-scroll", role: "region", tabIndex: 0, "aria-label": "Calls" },
			this.table,
			this.empty,
		);
	}

	/** @param {Map<string, CallRow>} rows oldest first */
	draw(rows) {
		this.list.draw([...rows].reverse());
		if (this.wanted) this.present(this.wanted.key, this.wanted.row);
		this.empty.hidden = rows.size > 0;
		this.table.hidden = rows.size === 0;
	}

	/** @param {AbortSignal} signal */
	tickUntil(signal) {
		const ticking = setInterval(() => {
			for (const call of this.list.views()) call.tick();
		}, TICK);
		signal.addEventListener("abort", () => clearInterval(ticking));
	}

	/**
	 * Open the answer of a call that was made here, and close the previous one.
	 * @param {string} key
	 * @param {CallRow} row
	 */
	present(key, row) {
		const call = this.list.get(key);
		this.wanted = call ? undefined : { key, row };
		if (!call) return;
		if (this.presented !== key) this.list.get(this.presented)?.close();
		this.presented = key;
		call.open(row);
	}

	/**
	 * A call with its payload and answer.
	 * @param {string} key
	 */
	async read(key) {
		return (await this.outcome.report(this.ask("read", { key })))?.value;
	}

	/**
	 * @param {string} key
	 * @param {CallRow} row
	 */
	async callAgain(key, row) {
		const whole = row.more ? await this.read(key) : row;
		if (!whole) return;
		if (whole.cut) this.outcome.fail("This payload is too large to call with from here. Run its cell again.");
		else this.repeat(whole);
	}
}

/** One call in the list. */
class Call {
	/**
	 * @param {Calls} calls
	 * @param {string} key
	 */
	constructor(calls, key) {
		this.calls = calls;
		this.key = key;
		/** @type {CallRow | undefined} */
		this.row = undefined;
		/** When it started, by this page's clock, while it is in progress. */
		this.startedAt = 0;
		/** The call's status in the details. */
		this.openedStatus = "";
		const toggle = () => this.toggle();
		this.opener = opener(toggle);
		this.time = h("td", { class: "lknb-time" });
		this.title = h("span");
		this.content = h("td", { class: "lknb-content" });
		this.took = h("td", { class: "lknb-number" });
		const again = () => this.row && this.calls.callAgain(this.key, this.row);
		this.again = h("button", { type: "button", onclick: again }, "Run again");
		const head = h(
			"tr",
			null,
			this.time,
			h("td", { class: "lknb-rpc-call" }, this.opener, this.title),
			this.content,
			this.took,
			h("td", null, this.again),
		);
		toggleOnClick(head, toggle);
		this.details = h("td", { colspan: String(COLUMNS.length) });
		this.opened = h("tr", { class: "lknb-opened", hidden: true }, this.details);
		this.element = h("tbody", null, head, this.opened);
	}

	get isOpen() {
		return !this.opened.hidden;
	}

	/** @param {CallRow} row */
	fill(row) {
		this.row = row;
		this.element.dataset.status = row.status;
		setText(this.time, formatTime(row.time));
		if (!this.title.firstChild) this.title.append(quoted(row.method, "lknb-rpc-method"), " at ", quoted(row.to));
		this.again.setAttribute("aria-label", `Run again: ${row.method} at ${row.to}`);
		this.content.replaceChildren(quoted(row.payload || "empty text", "lknb-rpc-sent lknb-code"), " → ", ...result(row));
		this.startedAt = row.status === "open" ? performance.now() - (row.elapsed ?? 0) * 1000 : 0;
		setText(this.took, formatDuration(row.duration));
		this.tick();
		// A snapshot has the same rows again, and must not fold what the user has unfolded.
		if (this.isOpen && row.status !== this.openedStatus) this.openBeginning(row);
	}

	/** Update the duration of a call in progress. */
	tick() {
		if (this.startedAt) setText(this.took, `${((performance.now() - this.startedAt) / 1000).toFixed(1)} s`);
	}

	toggle() {
		if (this.calls.presented === this.key) this.calls.presented = "";
		if (this.isOpen) this.close();
		else if (this.row) this.openBeginning(this.row);
	}

	/**
	 * Open with the texts in the row, and load the rest.
	 * @param {CallRow} row
	 */
	async openBeginning(row) {
		this.open(row);
		if (!row.more || row.status === "open") return;
		const whole = await this.calls.read(this.key);
		if (whole && this.isOpen) this.open(whole);
	}

	/** @param {CallRow} row */
	open(row) {
		this.opener.setAttribute("aria-expanded", "true");
		this.details.replaceChildren(details(row));
		this.opened.hidden = false;
		this.openedStatus = row.status;
	}

	close() {
		this.opener.setAttribute("aria-expanded", "false");
		this.details.replaceChildren();
		this.opened.hidden = true;
	}
}

/**
 * A summary of the result of a call.
 * @param {CallRow} row
 */
function result(row) {
	if (row.status === "open") return [h("strong", { class: "lknb-trouble" }, "in progress")];
	if (row.status === "ok") return [quoted(row.answer || "empty text", "lknb-code")];
	return [h("strong", { class: "lknb-trouble" }, describeError(row)), quoted(row.message, "lknb-error")];
}

/** @param {CallRow} row */
export function describeError({ code, name }) {
	return code ? `${code} ${name}` : "no answer";
}

/** @param {CallRow} row */
function details(row) {
	const payload = h("p", null, h("strong", null, row.raw ? "Payload, plain text" : "Payload"));
	const parts = [...outcomeDetails(row), payload, textOrNote(row.payload)];
	if (row.more)
		parts.push(
			h("p", { class: "lknb-note" }, "This is only the beginning. The rest is loading, or too large to show."),
		);
	return h("div", { class: "lknb-details" }, parts);
}

/**
 * @param {CallRow} row
 * @returns {HTMLElement[]}
 */
function outcomeDetails(row) {
	if (row.status === "open") return [h("p", null, "In progress. The answer will appear here.")];
	const after = ` after ${formatDuration(row.duration)}`;
	if (row.status === "ok") return [h("p", null, h("strong", null, "Answer"), after), textOrNote(row.answer)];
	const title = row.code ? `Error ${describeError(row)}` : "No answer";
	const parts = [
		h("p", null, h("strong", { class: "lknb-trouble" }, title), after),
		h("p", { class: "lknb-rpc-message" }, quoted(row.message)),
	];
	if (row.data) parts.push(h("p", null, h("strong", null, "Data of the error")), copyable(row.data, "text"));
	return parts;
}

/** @param {string} text */
function textOrNote(text) {
	return text ? copyable(text, "text") : h("p", { class: "lknb-note" }, "Empty text.");
}
