// Shows samples as a table with perspective, from the kernel's batches.
import { h } from "./dom.js";
import { inert } from "./inert.js";
import { loadPerspective, styleAround } from "./perspective.js";

/** @import { Client, Table, Viewer } from "./perspective.js" */
/** @import { BatchRow, TelemetryPart } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Ask } from "./view.js" */

/** Milliseconds until a chart that failed is tried again. */
const RETRY = 10_000;

/**
 * What the chart shows.
 * @typedef {object} ChartConfig
 * @property {string[]} fields
 * @property {boolean} isDark
 */

/**
 * @typedef {object} ChartActions
 * @property {Ask<TelemetryPart>} load
 * @property {() => void} hello requests a snapshot
 * @property {(message: string) => void} fail
 */

/** One perspective-viewer and its table. */
export class Chart {
	/**
	 * @param {HTMLElement} place
	 * @param {ChartActions} actions
	 */
	constructor(place, actions) {
		this.place = place;
		this.actions = actions;
		/** @type {Viewer | undefined} */
		this.viewer = undefined;
		/** @type {Table | undefined} */
		this.table = undefined;
		/** The fields in the table. @type {string[]} */
		this.columns = [];
		/** The number of the last batch in the table; -1 to start with a snapshot. */
		this.done = 0;
		/** The value of `done` when a snapshot was last requested. */
		this.askedAt = -1;
		this.configured = "";
		/** @type {PartState<TelemetryPart> | undefined} */
		this.state = undefined;
		/** @type {ChartConfig | undefined} */
		this.config = undefined;
		this.isPaused = false;
		/** @type {Promise<void> | undefined} */
		this.work = undefined;
		this.hasMore = false;
		this.isEnded = false;
		this.failedAt = 0;
	}

	/**
	 * Draw this state, after the one that is being drawn, if any. States in between are skipped.
	 * @param {PartState<TelemetryPart>} state
	 * @param {ChartConfig} config
	 * @param {boolean} isPaused
	 */
	show(state, config, isPaused) {
		if (Math.abs(Date.now() - this.failedAt) < RETRY) return; // absolute, in case the clock was set back
		this.state = state;
		this.config = config;
		this.isPaused = isPaused;
		this.hasMore = true;
		this.work ??= this.run().finally(() => {
			this.work = undefined;
		});
	}

	async run() {
		try {
			while (this.hasMore && !this.isEnded) {
				this.hasMore = false;
				if (!this.isPaused) await this.takeBatches();
				if (!this.isEnded) await this.configure();
			}
		} catch (error) {
			this.failedAt = Date.now();
			this.done = -1;
			const reason = error instanceof Error ? error.message : error;
			if (!this.isEnded) this.actions.fail(`The table cannot be shown: ${reason}`);
		}
	}

	async takeBatches() {
		const { values, rows } = /** @type {PartState<TelemetryPart>} */ (this.state);
		const batches = newBatches(rows.batches, this.done);
		if (batches === undefined) {
			if (this.askedAt !== this.done) this.actions.hello();
			this.askedAt = this.done;
			return;
		}
		if (!batches.length) return;
		const client = await this.client();
		if (this.isEnded) return;
		const [[, first]] = batches;
		const table = first.snapshot
			? await this.freshTable(client, values.fields.slice(0, first.columns.length), values.window)
			: this.table;
		for (const [number, batch] of batches) {
			if (batch.count) await table?.update(unpack(batch, this.columns, values.sources));
			this.done = number;
		}
	}

	/** Perspective's client. Shows a note while perspective is loaded for the first time. */
	async client() {
		const note = h("p", { class: "lknb-empty", role: "status" }, "Loading the table library (6 MB, once per page)…");
		if (!this.viewer) this.place.append(note);
		const { client, style } = await loadPerspective(this.actions.load).finally(() => note.remove());
		styleAround(this.place, style);
		return client;
	}

	/**
	 * An empty table with these columns.
	 * @param {Client} client
	 * @param {string[]} columns
	 * @param {number} window
	 */
	async freshTable(client, columns, window) {
		if (!this.table || columns.join("\n") !== this.columns.join("\n")) return await this.build(client, columns, window);
		await this.table.clear();
		return this.table;
	}

	/**
	 * Create a new table and viewer, because a table keeps the columns that it was created with.
	 * @param {Client} client
	 * @param {string[]} columns
	 * @param {number} window
	 */
	async build(client, columns, window) {
		const before = { viewer: this.viewer, table: this.table };
		const types = Object.fromEntries(columns.map((name) => [name, "float"]));
		const schema = { time: "datetime", sender: "string", topic: "string", ...types };
		this.table = await client.table(schema, { limit: window });
		this.columns = columns;
		this.configured = "";
		this.viewer = /** @type {Viewer} */ (document.createElement("perspective-viewer"));
		this.viewer.className = "lknb-viewer";
		// The viewer has its own menu instead of Jupyter's.
		this.viewer.addEventListener("contextmenu", (event) => event.stopPropagation());
		this.place.append(this.viewer);
		await this.viewer.load(client);
		await this.configure();
		await discard(before);
		return this.table;
	}

	async configure() {
		if (!this.viewer || !this.table || !this.config) return;
		const fields = this.config.fields.filter((name) => this.columns.includes(name));
		const config = { ...this.config, fields };
		const wanted = JSON.stringify(config);
		if (wanted === this.configured || !fields.length) return;
		this.configured = wanted;
		await this.viewer.restore({
			...tableConfig(config),
			table: await this.table.get_name(),
			theme: config.isDark ? "Pro Dark" : "Pro Light",
			settings: false,
		});
	}

	async end() {
		this.isEnded = true;
		await this.work;
		await discard(this);
	}
}

/** @param {ChartConfig} config */
function tableConfig({ fields }) {
	return {
		plugin: "Datagrid",
		title: "Table",
		columns: ["time", "sender", "topic", ...fields],
		group_by: [],
		split_by: [],
		sort: [["time", "desc"]],
		aggregates: {},
		columns_config: { time: CLOCK, ...Object.fromEntries(fields.map((name) => [name, DIGITS])) },
	};
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

/** @param {{ viewer?: Viewer, table?: Table }} old */
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
 * The batches after `done`, starting at the last snapshot among them.
 * @param {Map<string, BatchRow>} batches the newest batches, which are all that the kernel keeps
 * @param {number} done
 * @returns {[number: number, batch: BatchRow][] | undefined} undefined if some are missing because this page was too slow
 */
export function newBatches(batches, done) {
	const numbered = [...batches].map(([key, batch]) => /** @type {[number, BatchRow]} */ ([Number(key), batch]));
	const newer = numbered.filter(([number]) => number > done);
	const snapshot = newer.map(([, batch]) => batch.snapshot).lastIndexOf(true);
	if (snapshot >= 0) return newer.slice(snapshot);
	return newer.length && newer[0][0] !== done + 1 ? undefined : newer;
}

/**
 * A batch as columns of values, with null for missing ones.
 * @param {BatchRow} batch
 * @param {string[]} names
 * @param {[sender: string, topic: string][]} sources
 */
export function unpack(batch, names, sources) {
	const origins = [...new Uint16Array(decodeBase64(batch.source))].map((index) => sources[index] ?? ["", ""]);
	/** @type {Record<string, unknown[]>} */
	const columns = {
		time: [...new Float64Array(decodeBase64(batch.time))],
		sender: origins.map(([sender]) => inert(sender)),
		topic: origins.map(([, topic]) => inert(topic)),
	};
	for (const [index, name] of names.entries()) {
		const numbers = [...new Float64Array(decodeBase64(batch.columns[index]))];
		columns[name] = numbers.map((value) => (Number.isNaN(value) ? null : value));
	}
	return columns;
}

/** @param {string} text */
function decodeBase64(text) {
	return Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;
}
