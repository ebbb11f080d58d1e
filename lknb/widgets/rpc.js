// RPC: call a method of a participant, and see those that this notebook serves.
import { copyable } from "./content.js";
import { clock, h, inert, keyed, lasted, quoted, say } from "./dom.js";
import { outcome } from "./view.js";

/** @typedef {import("./sync.js").Row} Row */

/** Seconds between two looks at how long a call has been under way. */
const TICK = 0.2;
let lists = 0;

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function rpc({ ask, follow, signal, store }) {
	const { element: said, report } = outcome();
	const name = `lknb-rpc-${store.browser}-${lists++}`;
	/** @type {Map<string, Row>} */
	let calls = new Map();

	// The form

	const to = h("select", { required: true });
	const known = h("datalist", { id: `${name}-methods` });
	const method = h("input", {
		type: "text",
		required: true,
		maxLength: 64,
		list: known.id,
		spellcheck: false,
		autocomplete: "off",
		placeholder: "name",
	});
	const timeout = h("input", { type: "number", min: "0.1", max: "600", step: "any", required: true, value: "10" });
	const payload = h("textarea", { rows: 4, spellcheck: false, placeholder: '{"a": 1, "b": 2}' });
	payload.setAttribute("aria-describedby", `${name}-wrong`);
	const plain = h("input", { type: "checkbox" });
	const wrong = h("p", { id: `${name}-wrong`, class: "lknb-outcome", role: "status" });
	const send = h("button", { type: "submit", class: "lknb-rpc-send" }, "Call");
	const alone = h("p", { class: "lknb-note" });
	const form = h(
		"form",
		{ class: "lknb-rpc-form", onsubmit: submit, "aria-label": "Call a method" },
		h(
			"div",
			{ class: "lknb-rpc-fields" },
			h("label", null, "Participant", to),
			h("label", null, "Method", method),
			h("label", { class: "lknb-rpc-timeout" }, "Timeout in seconds", timeout),
		),
		h("label", null, "Payload, as JSON or empty", payload),
		wrong,
		h(
			"div",
			{ class: "lknb-bar" },
			send,
			h("label", { class: "lknb-rpc-plain" }, plain, "Payload and answer are plain text"),
		),
		alone,
		known,
	);
	payload.addEventListener("keydown", (event) => {
		if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
			event.preventDefault();
			event.stopPropagation(); // it would run the cell as well
			form.requestSubmit();
		}
	});
	// Said when it is to be sent, and taken back as soon as it is right: who is still writing is not corrected.
	const recheck = () => payload.getAttribute("aria-invalid") === "true" && check();
	payload.addEventListener("input", recheck);
	plain.addEventListener("input", recheck);

	/** Whether the payload can be sent; says where it is wrong. */
	function check() {
		const found = plain.checked || !payload.value.trim() ? undefined : fault(payload.value);
		payload.setAttribute("aria-invalid", String(found !== undefined));
		wrong.dataset.kind = found ? "error" : "";
		say(
			wrong,
			found ? `Not sent, because this is no JSON. Line ${found.line}, column ${found.column}: ${found.what}.` : "",
		);
		return found;
	}

	/** @param {Event} event */
	function submit(event) {
		event.preventDefault();
		const found = check();
		if (found) {
			payload.focus();
			payload.setSelectionRange(found.at, found.at + 1);
			return;
		}
		const raw = plain.checked;
		make({
			to: to.value,
			method: method.value,
			payload: raw || payload.value.trim() ? payload.value : "",
			raw,
			timeout: timeout.valueAsNumber,
		});
	}

	let asking = 0;
	let answered = 0;

	/** @param {{ to: string, method: string, payload: string, raw: boolean, timeout: number }} asked */
	async function make(asked) {
		const number = ++asking;
		said.dataset.kind = "";
		say(said, `Calling ${asked.method} at ${asked.to}.`);
		const answer = await report(ask("call", asked));
		if (!answer || signal.aborted) return;
		const { key, row } = answer.value;
		said.dataset.kind = row.status === "ok" ? "" : "error";
		const how = row.status === "ok" ? "answered" : `failed with ${code(row)}`;
		say(said, `${row.method} at ${row.to} ${how} after ${lasted(row.duration)}.`);
		// One that was slow does not close the answer of one that was made after it.
		if (number < answered) return;
		answered = number;
		present(key, row);
	}

	/** @param {string} key */
	async function again(key) {
		let row = calls.get(key);
		if (row?.more) row = (await report(ask("read", { key })))?.value;
		if (!row) return;
		if (row.cut) {
			report(
				Promise.reject(new Error("This payload is over 1 MB, more than is called from here. Run its cell again.")),
			);
			return;
		}
		choose(row.to);
		method.value = row.method;
		plain.checked = row.raw;
		payload.value = row.payload === "null" && !row.raw ? "" : row.payload;
		form.requestSubmit();
	}

	/** @type {[string, string][]} */
	let peers = [];
	let offered = "";

	/**
	 * Fill the list of participants. Who is chosen stays in it also after leaving: a call shall not go to another.
	 * @param {string} chosen
	 */
	function choose(chosen) {
		/** @type {[string, string][]} */
		const entries = peers.map(([identity, title]) => [identity, title ? `${title} (${identity})` : identity]);
		if (chosen && !peers.some(([identity]) => identity === chosen))
			entries.push([chosen, `${chosen} (not in the room)`]);
		keyed(to, entries, (identity) => h("option", { value: identity }), say);
		if (chosen && to.value !== chosen) to.value = chosen;
		to.disabled = send.disabled = entries.length === 0;
	}

	// The calls

	const list = h(
		"table",
		{ class: "lknb-rpc-calls" },
		h("thead", null, h("tr", null, ...["Time", "Call", "Payload → answer", "Took", ""].map(column))),
	);
	const none = h("p", { class: "lknb-empty" }, "No call from here yet. Those that cells make are listed here too.");
	const scroll = h("div", { class: "lknb-scroll", role: "region", tabIndex: 0, "aria-label": "Calls" }, list, none);
	/** @type {Map<string, Line>} */
	const lines = new Map();
	/** What is to be opened once it is in the list, because it was called from here. */
	let wanted = "";
	/** @type {Row | undefined} */
	let wantedRow;
	/** What was opened so, and is closed when the next one is. */
	let opened = "";

	/**
	 * Show the answer of a call that was made here.
	 * @param {string} key
	 * @param {Row} [row]
	 */
	function present(key, row) {
		wanted = key;
		wantedRow = row;
		const line = lines.get(key);
		if (!line || !wantedRow) return;
		if (opened !== key) lines.get(opened)?.close();
		opened = key;
		line.open(wantedRow, true);
		wanted = "";
	}

	/** @param {string} key */
	function entry(key) {
		const line = new Line({
			toggle() {
				if (opened === key) opened = "";
				if (!line.close()) line.open(/** @type {Row} */ (calls.get(key)));
			},
			async load() {
				const answer = await report(ask("read", { key }));
				if (answer && line.isOpen) line.open(answer.value, true);
			},
			again: () => again(key),
		});
		lines.set(key, line);
		return line.element;
	}

	// What this notebook serves

	const served = h(
		"table",
		{ class: "lknb-rpc-served" },
		h("thead", null, h("tr", null, ...SERVED.map(([title]) => column(title)))),
	);
	const nothing = h("p", { class: "lknb-empty" }, 'None yet. Write @room.rpc("add") above a function in a cell.');

	follow((state) => {
		const { values, rows } = state;
		peers = values.peers ?? [];
		choose(to.value);
		alone.hidden = !values.room || (values.connected && peers.length > 0 && !values.peersLeftOut);
		say(alone, hint(values));
		const methods = (values.methods ?? []).join("\n");
		if (methods !== offered) {
			offered = methods;
			known.replaceChildren(...values.methods.map((/** @type {string} */ value) => h("option", { value })));
		}
		calls = rows.calls ?? new Map();
		keyed(list, [...calls].reverse(), entry, (_, row, key) => lines.get(key)?.fill(row));
		for (const key of lines.keys()) if (!calls.has(key)) lines.delete(key);
		if (wanted) present(wanted, wantedRow);
		none.hidden = calls.size > 0;
		list.hidden = calls.size === 0;
		keyed(served, rows.served ?? [], methodRow, fillMethod);
		nothing.hidden = (rows.served?.size ?? 0) > 0;
		served.hidden = !nothing.hidden;
	});
	const ticking = setInterval(() => {
		for (const line of lines.values()) line.tick();
	}, TICK * 1000);
	signal.addEventListener("abort", () => clearInterval(ticking));

	return h(
		"div",
		{ class: "lknb-rpc" },
		form,
		said,
		h("h3", null, "Calls of this notebook"),
		scroll,
		h("h3", null, "Methods that this notebook serves"),
		served,
		nothing,
	);
}

/**
 * Why somebody may not be in the list, and what to do about it.
 * @param {Record<string, any>} values
 */
function hint(values) {
	if (!values.connected) return "This notebook is not connected to the room. Calls can be made once it is.";
	if (values.peersLeftOut) return `${values.peersLeftOut} more participants are not listed. Call them from a cell.`;
	return `Nobody else is in the room. Somebody joins it with lknb.connect(${JSON.stringify(values.room)}, "bob").`;
}

/** A call in the list, which can be opened. */
class Line {
	/** @param {{ toggle: () => void, load: () => void, again: () => void }} acts */
	constructor({ toggle, load, again }) {
		this.load = load;
		this.opener = h(
			"button",
			{ type: "button", class: "lknb-open", "aria-expanded": "false", "aria-label": "Open", onclick: toggle },
			"▸",
		);
		this.time = h("td", { class: "lknb-time" });
		this.call = h("span");
		this.content = h("td", { class: "lknb-content" });
		this.took = h("td", { class: "lknb-number" });
		this.again = h("button", { type: "button", onclick: again }, "Run again");
		const row = h(
			"tr",
			null,
			this.time,
			h("td", { class: "lknb-rpc-call" }, this.opener, this.call),
			this.content,
			this.took,
			h("td", null, this.again),
		);
		row.addEventListener("click", (event) => {
			if (!window.getSelection()?.toString() && !(event.target instanceof HTMLButtonElement)) toggle();
		});
		this.place = h("td", { colspan: "5" });
		this.more = h("tr", { class: "lknb-opened", hidden: true }, this.place);
		this.element = h("tbody", null, row, this.more);
		this.status = "";
		/** When it began, by this page's clock, while it is under way. */
		this.since = 0;
	}

	get isOpen() {
		return !this.more.hidden;
	}

	/** @param {Row} row */
	fill(row) {
		this.element.dataset.status = row.status;
		say(this.time, clock(row.time));
		if (!this.call.firstChild) this.call.append(quoted(row.method, "lknb-rpc-method"), " at ", quoted(row.to));
		this.again.setAttribute("aria-label", `Run again: ${row.method} at ${row.to}`);
		this.content.replaceChildren(quoted(row.payload || "empty text", "lknb-rpc-sent lknb-code"), " → ", ...brief(row));
		this.since = row.status === "open" ? performance.now() - row.elapsed * 1000 : 0;
		say(this.took, lasted(row.duration));
		this.tick();
		// A snapshot brings rows that are open already: what somebody has unfolded in them stays.
		if (this.isOpen && row.status !== this.status) this.open(row);
		this.status = row.status;
	}

	tick() {
		if (this.since) say(this.took, `${((performance.now() - this.since) / 1000).toFixed(1)} s`);
	}

	/**
	 * @param {Row} row
	 * @param {boolean} [all] whether there is no more of it to be had
	 */
	open(row, all = false) {
		this.opener.setAttribute("aria-expanded", "true");
		this.place.replaceChildren(inFull(row));
		this.more.hidden = false;
		this.status = row.status;
		if (row.more && !all && row.status !== "open") this.load();
	}

	/** Whether it was open. */
	close() {
		const was = this.isOpen;
		this.more.hidden = true;
		this.place.replaceChildren();
		this.opener.setAttribute("aria-expanded", "false");
		return was;
	}
}

/**
 * What came of a call, in a few words.
 * @param {Row} row
 */
function brief(row) {
	if (row.status === "open") return [h("strong", { class: "lknb-trouble" }, "under way")];
	if (row.status === "ok") return [quoted(row.answer || "empty text", "lknb-code")];
	return [h("strong", { class: "lknb-trouble" }, code(row)), quoted(row.message, "lknb-error")];
}

/** @param {Row} row */
function code(row) {
	return row.code ? `${row.code} ${row.name}` : "no answer";
}

/**
 * A call with all of its answer, or of its error.
 * @param {Row} row
 */
function inFull(row) {
	const parts = [];
	if (row.status === "open") {
		parts.push(h("p", null, "Under way. The answer appears here."));
	} else if (row.status === "ok") {
		parts.push(
			h("p", null, h("strong", null, "Answer"), ` after ${lasted(row.duration)}`),
			row.answer ? copyable(row.answer, "text") : h("p", { class: "lknb-note" }, "Empty text."),
		);
	} else {
		parts.push(
			h(
				"p",
				null,
				h("strong", { class: "lknb-trouble" }, row.code ? `Error ${code(row)}` : "No answer"),
				` after ${lasted(row.duration)}`,
			),
			h("p", { class: "lknb-rpc-message" }, quoted(row.message)),
		);
		if (row.data) parts.push(h("p", null, h("strong", null, "Data of the error")), copyable(row.data, "text"));
	}
	parts.push(
		h("p", null, h("strong", null, row.raw ? "Payload, plain text" : "Payload")),
		row.payload ? copyable(row.payload, "text") : h("p", { class: "lknb-note" }, "Empty text."),
	);
	if (row.more)
		parts.push(h("p", { class: "lknb-note" }, "This is the beginning; the whole is on its way or too large to show."));
	return h("div", { class: "lknb-details" }, ...parts);
}

/** @type {[string, (row: Row) => import("./dom.js").Child[]][]} */
const SERVED = [
	["Method", (row) => [quoted(row.method, "lknb-rpc-method")]],
	["Function", (row) => [quoted(row.function)]],
	["Calls", (row) => [row.calls.toLocaleString()]],
	["Errors", (row) => [row.failed.toLocaleString(), row.errors ? ` (${row.errors.toLocaleString()} exceptions)` : ""]],
	["Running", (row) => [String(row.running), row.waiting ? ` (${row.waiting} waiting)` : ""]],
	["Last run", (row) => [row.last ? clock(row.last) : "never"]],
	[
		"Latency",
		(row) => [
			row.took === null ? "" : `${lasted(row.mean)} mean, ${lasted(row.longest)} longest, ${lasted(row.took)} last`,
		],
	],
	[
		"Callers",
		(row) =>
			row.callers.flatMap((/** @type {string} */ who, /** @type {number} */ at) => [at ? ", " : "", quoted(who)]),
	],
];

/** @param {string} title */
function column(title) {
	return h("th", { scope: "col" }, title);
}

function methodRow() {
	return h("tbody", null, h("tr", null, ...SERVED.map(([title]) => h("td", { "data-label": title }))));
}

/**
 * @param {HTMLTableSectionElement} element
 * @param {Row} row
 */
function fillMethod(element, row) {
	SERVED.forEach(([, cell], at) => {
		const place = element.rows[0].cells[at];
		const children = cell(row).filter((child) => child !== "");
		const text = children.map((child) => (child instanceof Node ? child.textContent : inert(child))).join("");
		if (place.textContent !== text) place.replaceChildren(...h("span", null, ...children).childNodes);
	});
}

/** @typedef {{ at: number, line: number, column: number, what: string }} Fault */

/**
 * Where a text is no JSON; browsers do not all say it.
 * @param {string} text
 * @returns {Fault | undefined} undefined when it is JSON
 */
export function fault(text) {
	try {
		JSON.parse(text);
		return undefined;
	} catch {
		let at = 0;
		let what = "this is nested too deeply, or no JSON";
		try {
			new Scanner(text).whole();
		} catch (error) {
			if (error instanceof Wrong) ({ at, message: what } = error);
		}
		const before = text.slice(0, at).split("\n");
		return { at, line: before.length, column: /** @type {string} */ (before.at(-1)).length + 1, what };
	}
}

class Wrong extends Error {
	/**
	 * @param {number} at
	 * @param {string} what
	 */
	constructor(at, what) {
		super(what);
		this.at = at;
	}
}

const SPACE = /[ \t\n\r]*/y;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.])/y;
const INSIDE = /"(?:[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;

/** Reads JSON for the sake of the first place that is wrong. */
class Scanner {
	/** @param {string} text */
	constructor(text) {
		this.text = text;
		this.at = 0;
	}

	whole() {
		this.value();
		if (this.next() !== undefined) throw new Wrong(this.at, "the value ends before this");
	}

	/** The next character that means something. */
	next() {
		this.take(SPACE);
		return this.text[this.at];
	}

	/** @param {RegExp} pattern */
	take(pattern) {
		pattern.lastIndex = this.at;
		const found = pattern.exec(this.text);
		if (found) this.at = pattern.lastIndex;
		return found !== null;
	}

	value() {
		const char = this.next();
		if (char === "{") this.list("}", () => this.member());
		else if (char === "[") this.list("]", () => this.value());
		else if (char === '"') this.string();
		else if (!this.take(SCALAR)) throw new Wrong(this.at, expected(this.text.slice(this.at, this.at + 9)));
	}

	member() {
		const char = this.next();
		if (char === undefined) throw new Wrong(this.at, "the text ends where a name was expected");
		if (char !== '"') throw new Wrong(this.at, "a name in double quotes was expected");
		this.string();
		if (this.next() !== ":") throw new Wrong(this.at, "a colon was expected after the name");
		this.at += 1;
		this.value();
	}

	/**
	 * @param {string} end
	 * @param {() => void} item
	 */
	list(end, item) {
		this.at += 1;
		if (this.next() === end) {
			this.at += 1;
			return;
		}
		for (;;) {
			item();
			const char = this.next();
			const comma = this.at;
			if (char !== "," && char !== end) {
				throw new Wrong(
					this.at,
					`${char === undefined ? "the text ends where" : ""} a comma or ${end} was expected`.trim(),
				);
			}
			this.at += 1;
			if (char === end) return;
			if (this.next() === end) throw new Wrong(comma, `no comma may stand before ${end}`);
		}
	}

	string() {
		const begin = this.at;
		this.take(INSIDE);
		const char = this.text[this.at];
		if (char === '"') this.at += 1;
		else if (char === undefined) throw new Wrong(begin, "the string that begins here does not end");
		else if (char === "\\") throw new Wrong(this.at, "there is no such escape; a backslash is written \\\\");
		else throw new Wrong(this.at, "line ends and control characters in a string are escaped, such as \\n");
	}
}

/**
 * What is wrong where a value should be.
 * @param {string} found
 */
function expected(found) {
	if (!found) return "the text ends where a value was expected";
	if (found[0] === "'") return "strings stand in double quotes";
	const word = /^(?:True|False|None|NaN|-?Infinity)\b/.exec(found)?.[0];
	if (word) return `JSON has no ${word}; it has true, false and null`;
	return "a value was expected";
}
