// Telemetry: numbers in packets and data tracks as live lines and as a live table, drawn by perspective.
import { h, inert, keyed, quoted, say } from "./dom.js";
import { outcome, widget } from "./view.js";

/** So many fields are drawn until somebody chooses. */
const CHOSEN = 8;
/** Where the page keeps perspective, which can be loaded into it only once. */
const SHARED = Symbol.for("lknb.perspective");

/** Milliseconds after which loading it is tried again. */
const RETRY = 10_000;

/** @typedef {{ count: number, anew: boolean, time: string, source: string, columns: string[] }} Batch */

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function telemetry({ ask, load, follow, signal, store }) {
	/** @type {import("./sync.js").PartState} */
	let latest = { values: {}, rows: {} };
	let form = "lines";
	let paused = false;
	/** @type {Map<string, boolean>} */
	const choices = new Map();
	/** @type {string[]} */
	let offered = [];

	const { element: said, report } = outcome();
	const counts = h("span", { class: "lknb-counts" });
	const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
	const clear = h(
		"button",
		{ type: "button", title: "Forget what is shown; the room's log keeps it", onclick: () => report(ask("clear")) },
		"Clear",
	);
	const forms = ["lines", "table"].map((name) => {
		const label = name === "lines" ? "Lines" : "Table";
		return h("button", { type: "button", "aria-pressed": String(name === form), onclick: () => choose(name) }, label);
	});
	const fields = h("div", { class: "lknb-fields", role: "group", "aria-label": "Fields" });
	const trouble = h("p", { class: "lknb-note lknb-undecoded", role: "status", hidden: true });
	const empty = h("p", { class: "lknb-empty" });
	const place = h("div", { class: "lknb-chart", role: "region", "aria-label": "Lines", hidden: true });
	const root = h(
		"div",
		{ class: "lknb-telemetry" },
		h(
			"div",
			{ class: "lknb-bar" },
			h("div", { class: "lknb-group", role: "group", "aria-label": "Show as" }, ...forms),
			pause,
			clear,
			counts,
		),
		fields,
		said,
		trouble,
		empty,
		place,
	);
	const chart = new Chart(
		place,
		load,
		() => store.hello(),
		(message) => report(Promise.reject(new Error(message))),
	);
	signal.addEventListener("abort", () => chart.end());

	pause.addEventListener("click", () => {
		paused = !paused;
		pause.setAttribute("aria-pressed", String(paused));
		say(pause, paused ? "Resume" : "Pause");
		// What came meanwhile is in the next snapshot.
		if (!paused) store.hello();
		draw(latest);
	});

	/** @param {string} name */
	function choose(name) {
		form = name;
		for (const [index, button] of forms.entries()) {
			button.setAttribute("aria-pressed", String((index === 0) === (name === "lines")));
		}
		place.setAttribute("aria-label", name === "lines" ? "Lines" : "Table");
		draw(latest);
	}

	/** @param {import("./sync.js").PartState} state */
	function draw(state) {
		latest = state;
		const { values } = state;
		say(counts, counted(values, paused));
		offer(values.fields ?? []);
		const problems = told(values);
		trouble.hidden = !problems;
		say(trouble, problems);
		const shown = offered.filter((name) => choices.get(name));
		const some = Boolean(values.total && offered.length);
		empty.hidden = some && shown.length > 0;
		say(empty, some ? "No field is chosen." : advice(values));
		place.hidden = !empty.hidden;
		if (place.hidden || signal.aborted) return;
		const config = { form, fields: shown, several: differing(values.sources ?? []), dark: isDark(root) };
		chart.show(state, config, paused);
	}

	/** @param {string[]} names */
	function offer(names) {
		if (names.join("\n") === offered.join("\n")) return;
		offered = names;
		for (const [index, name] of names.entries()) if (!choices.has(name)) choices.set(name, index < CHOSEN);
		keyed(
			fields,
			names.map((name) => [name, name]),
			(name) => {
				const box = h("input", { type: "checkbox", checked: choices.get(name) });
				box.addEventListener("change", () => {
					choices.set(name, box.checked);
					draw(latest);
				});
				return h("label", { class: "lknb-field" }, box, quoted(name));
			},
			() => undefined,
		);
	}

	const themed = new MutationObserver(() => draw(latest));
	for (const element of [document.body, document.documentElement]) {
		themed.observe(element, {
			attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind", "theme"],
		});
	}
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(latest), { signal });
	signal.addEventListener("abort", () => themed.disconnect());
	// Before there is anything to draw: a kernel that computes answers nobody, and samples come meanwhile.
	library(load).catch(() => undefined);
	follow(draw);
	return root;
}

/** One perspective-viewer and its table, which follow what the kernel tells. */
class Chart {
	/**
	 * @param {HTMLElement} place
	 * @param {import("./view.js").Context["load"]} load
	 * @param {() => void} hello asks for a snapshot
	 * @param {(message: string) => void} failed
	 */
	constructor(place, load, hello, failed) {
		this.failed = failed;
		this.place = place;
		this.load = load;
		this.hello = hello;
		/** @type {any} */
		this.viewer = undefined;
		/** @type {any} */
		this.table = undefined;
		/** @type {string[]} the table's columns */
		this.columns = [];
		/** The number of the last batch that is in the table. */
		this.done = 0;
		this.asked = -1;
		this.configured = "";
		/** @type {Promise<void> | undefined} */
		this.work = undefined;
		this.again = false;
		this.ended = false;
		this.failedAt = 0;
	}

	/**
	 * Draw what is known now; what is told while it draws is drawn next.
	 * @param {import("./sync.js").PartState} state
	 * @param {Record<string, any>} config
	 * @param {boolean} paused
	 */
	show(state, config, paused) {
		if (Math.abs(Date.now() - this.failedAt) < RETRY) return; // also when the clock was set back
		this.state = state;
		this.config = config;
		this.paused = paused;
		this.again = true;
		this.work ??= this.run().finally(() => {
			this.work = undefined;
		});
	}

	async run() {
		try {
			while (this.again && !this.ended) {
				this.again = false;
				if (!this.paused) await this.take();
				if (this.viewer && !this.ended) await this.configure();
			}
		} catch (error) {
			this.failedAt = Date.now();
			this.done = -1; // from a snapshot, the next time
			if (!this.ended)
				this.failed(`Lines and table cannot be shown: ${error instanceof Error ? error.message : error}`);
		}
	}

	async take() {
		const state = /** @type {import("./sync.js").PartState} */ (this.state);
		const waiting = /** @type {[number, Batch][]} */ (
			[...(state.rows.batches ?? [])].map(([key, batch]) => [Number(key), batch])
		);
		let batches = waiting.filter(([number]) => number > this.done);
		const anew = batches.map(([, batch]) => batch.anew).lastIndexOf(true);
		if (anew >= 0) batches = batches.slice(anew);
		else if (batches.length && batches[0][0] !== this.done + 1) {
			// The kernel keeps only the newest: this page was too slow, or came later.
			if (this.asked !== this.done) this.hello();
			this.asked = this.done;
			return;
		}
		if (!batches.length) return;
		const loading = h(
			"p",
			{ class: "lknb-empty", role: "status" },
			"Getting lines and table ready: 6 MB, once per page.",
		);
		if (!this.viewer) this.place.append(loading);
		const client = await library(this.load).finally(() => loading.remove());
		if (this.ended) return;
		const { fields, sources, window } = state.values;
		if (anew >= 0) {
			const columns = fields.slice(0, batches[0][1].columns.length);
			if (this.table && columns.join("\n") === this.columns.join("\n")) await this.table.clear();
			else await this.build(client, columns, window);
		}
		for (const [number, batch] of batches) {
			if (batch.count) await this.table.update(unpacked(batch, this.columns, sources));
			this.done = number;
		}
	}

	/**
	 * Another table and another viewer: a table keeps the columns that it was made with.
	 * @param {any} client
	 * @param {string[]} columns
	 * @param {number} window
	 */
	async build(client, columns, window) {
		const before = { viewer: this.viewer, table: this.table };
		const types = Object.fromEntries(columns.map((name) => [name, "float"]));
		this.table = await client.table(
			{ time: "datetime", sender: "string", topic: "string", ...types },
			{ limit: window },
		);
		this.columns = columns;
		this.configured = "";
		this.viewer = document.createElement("perspective-viewer");
		this.viewer.className = "lknb-viewer";
		// Its own menu, not Jupyter's.
		this.viewer.addEventListener("contextmenu", (/** @type {Event} */ event) => event.stopPropagation());
		this.place.append(this.viewer);
		await this.viewer.load(client);
		await this.configure();
		await discard(before);
	}

	async configure() {
		const { form, fields, several, dark } = /** @type {Record<string, any>} */ (this.config);
		const shown = fields.filter((/** @type {string} */ name) => this.columns.includes(name));
		const wanted = JSON.stringify([form, shown, several, dark]);
		if (wanted === this.configured || !shown.length) return;
		this.configured = wanted;
		const lines = form === "lines";
		await this.viewer.restore({
			table: await this.table.get_name(),
			plugin: lines ? "Y Line" : "Datagrid",
			columns: lines ? shown : ["time", "sender", "topic", ...shown],
			group_by: lines ? ["time"] : [],
			split_by: lines ? several : [],
			sort: lines ? [] : [["time", "desc"]],
			aggregates: lines ? Object.fromEntries(shown.map((/** @type {string} */ name) => [name, "avg"])) : {},
			columns_config: lines
				? {}
				: Object.fromEntries([["time", CLOCK], ...shown.map((/** @type {string} */ name) => [name, DIGITS])]),
			theme: dark ? "Pro Dark" : "Pro Light",
			title: lines ? "Lines" : "Table",
			settings: false,
		});
	}

	async end() {
		this.ended = true;
		await this.work;
		await discard(this);
	}
}

const CLOCK = {
	date_format: {
		format: "custom",
		year: "disabled",
		month: "disabled",
		day: "disabled",
		hour: "2-digit",
		minute: "2-digit",
		second: "2-digit",
		fractionalSecondDigits: 3,
		hour12: false,
	},
};
const DIGITS = { number_format: { minimumFractionDigits: 0, maximumFractionDigits: 6 } };

/** @param {{ viewer?: any, table?: any }} given */
async function discard({ viewer, table }) {
	try {
		await viewer?.delete();
		viewer?.remove();
		await table?.delete({ lazy: true });
	} catch {
		viewer?.remove();
	}
}

/**
 * Perspective's engine in this page.
 * @param {import("./view.js").Context["load"]} load
 * @returns {Promise<any>}
 */
function library(load) {
	const page = /** @type {any} */ (globalThis);
	page[SHARED] ??= engine(load).catch((error) => {
		delete page[SHARED];
		throw error;
	});
	return page[SHARED];
}

/** @param {import("./view.js").Context["load"]} load */
async function engine(load) {
	const { value, buffer } = await load("library");
	const style = document.createElement("style");
	style.textContent = value.style;
	document.head.append(style);
	const url = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (buffer)], { type: "text/javascript" }));
	tolerate();
	try {
		const module = await import(url);
		await module.ready;
		return await module.worker();
	} finally {
		URL.revokeObjectURL(url);
	}
}

/**
 * Let perspective's module come more than once, as it does with each widget of perspective's own, before or after this
 * one: it defines some elements without asking whether they are there, and the page would refuse the rest of it.
 */
function tolerate() {
	const registry = /** @type {any} */ (customElements);
	const define = customElements.define.bind(customElements);
	registry.define = (
		/** @type {string} */ name,
		/** @type {CustomElementConstructor} */ element,
		/** @type {ElementDefinitionOptions} */ options,
	) => {
		if (!/^(regular|perspective)-/.test(name) || !customElements.get(name)) define(name, element, options);
	};
}

/**
 * A batch as columns of values; null where there is none.
 * @param {Batch} batch
 * @param {string[]} names
 * @param {[string, string][]} sources
 */
export function unpacked(batch, names, sources) {
	const whose = [...new Uint16Array(bytes(batch.source))].map((index) => sources[index] ?? ["", ""]);
	/** @type {Record<string, any[]>} */
	const columns = {
		time: [...new Float64Array(bytes(batch.time))],
		sender: whose.map(([sender]) => inert(sender)),
		topic: whose.map(([, topic]) => inert(topic)),
	};
	for (const [index, name] of names.entries()) {
		columns[name] = Array.from(new Float64Array(bytes(batch.columns[index])), (value) =>
			Number.isNaN(value) ? null : value,
		);
	}
	return columns;
}

/** @param {string} text base64 */
function bytes(text) {
	return Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;
}

/**
 * What tells the samples apart: senders, topics, both or nothing.
 * @param {[string, string][]} sources
 */
function differing(sources) {
	const several = (/** @type {0 | 1} */ at) => new Set(sources.map((source) => source[at])).size > 1;
	return [several(0) && "sender", several(1) && "topic"].filter(Boolean);
}

/** @param {HTMLElement} element */
function isDark(element) {
	// Jupyter says so before its new colours have come.
	const light = document.body.dataset.jpThemeLight;
	if (light) return light === "false";
	const [red, green, blue] = (getComputedStyle(element).color.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);
	// Light text stands on something dark.
	return red * 0.3 + green * 0.6 + blue * 0.1 > 127;
}

/**
 * @param {Record<string, any>} values
 * @param {boolean} paused
 */
function counted(values, paused) {
	if (values.total === undefined) return "Waiting for the kernel";
	const parts = [
		`${values.total.toLocaleString()} ${values.total === 1 ? "sample" : "samples"}`,
		`${values.rate.toLocaleString()} per second`,
		`the newest ${values.window.toLocaleString()} are shown`,
	];
	if (values.thinned) parts.push(`${values.thinned.toLocaleString()} not drawn one by one`);
	if (paused) parts.push("paused");
	return parts.join(", ");
}

/** @param {Record<string, any>} values */
function told(values) {
	const parts = [];
	if (values.undecoded)
		parts.push(`${values.undecoded.toLocaleString()} could not be decoded; the last: ${values.reason}.`);
	const [count, names] = values.refused ?? [0, []];
	if (count) parts.push(`${count.toLocaleString()} more fields are not shown, such as ${names.join(", ")}.`);
	return parts.join(" ");
}

/** @param {Record<string, any>} values */
function advice(values) {
	const only = values.only ?? {};
	const fields = only.fields?.length ? ` with the field ${only.fields.join(" or ")}` : "";
	const topic = only.topic ? ` on ${only.topic}` : "";
	return `No numbers yet${fields}${topic}. Send JSON such as {"x": 1.5} with room.publish_data, or push frames to a data track.`;
}

export default widget(
	"Telemetry of the room",
	() => ["telemetry"],
	(contexts) => telemetry(contexts.telemetry),
);
