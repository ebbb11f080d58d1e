// One transfer: its progress, and the actions for its file.
import { image } from "./content.js";
import {
	formatDuration,
	formatSeconds,
	formatSize,
	h,
	hasFocus,
	offerDownload,
	quoted,
	quotedList,
	setText,
} from "./dom.js";

/** @import { TablePreview, TransferRow, TransfersPart, TransfersValues } from "./rows.js" */
/** @import { Ask, Outcome } from "./view.js" */

/**
 * @typedef {object} TransferActions
 * @property {Ask<TransfersPart>} ask
 * @property {Outcome} outcome
 * @property {AbortSignal} signal
 * @property {Map<string, string>} cancelling
 * @property {(element: HTMLElement, act: () => void) => void} whenVisible
 */

export class Transfer {
	/**
	 * @param {string} key
	 * @param {TransferRow} row
	 * @param {TransferActions} actions
	 */
	constructor(key, row, actions) {
		this.key = key;
		this.row = row;
		this.actions = actions;
		this.isImageShown = false;
		this.isTableShown = false;
		/** Whether the image or the table is loaded once it is visible, without a request. */
		this.isPreloaded = false;
		this.bar = h("progress", { "aria-label": `Progress of ${row.name}` });
		this.state = h("span", { class: "lknb-number" });
		this.error = h("p", { class: "lknb-transfer-error" });
		this.saved = h("p", { class: "lknb-note" });
		this.picture = h("div", { class: "lknb-transfer-image" });
		this.cancelButton = this.button("Cancel", () => this.cancel());
		this.showButton = this.button("Show image", () => this.showImage());
		this.rowsButton = this.button("Show rows", () => this.showRows());
		this.downloadButton = this.button("Download", () => this.download());
		this.saveButton = this.button("Save to folder", () => this.save());
		const { cancelButton, showButton, rowsButton, downloadButton, saveButton } = this;
		const buttons = [cancelButton, showButton, rowsButton, downloadButton, saveButton];
		this.element = h(
			"li",
			{ class: "lknb-transfer", tabIndex: -1 },
			h("div", { class: "lknb-transfer-head" }, nameOf(row), factsOf(row)),
			h(
				"div",
				{ class: "lknb-transfer-state" },
				this.bar,
				this.state,
				h("span", { class: "lknb-transfer-buttons" }, buttons),
			),
			this.error,
			this.saved,
			this.picture,
		);
	}

	/**
	 * A button that is disabled while its action runs.
	 * @param {string} label
	 * @param {() => Promise<void>} act
	 */
	button(label, act) {
		const onclick = async () => {
			button.disabled = true;
			await act();
			button.disabled = false;
		};
		const options = { type: "button", "aria-label": `${label}: ${this.row.name}`, onclick };
		const button = h("button", options, label);
		return button;
	}

	/** @param {TransferRow} row */
	fill(row) {
		this.row = row;
		const isOpen = row.status === "open";
		this.element.dataset.status = row.status;
		this.bar.hidden = !isOpen;
		if (row.size) {
			this.bar.max = row.size;
			this.bar.value = Math.min(row.transferred, row.size);
		}
		setText(this.state, isOpen ? describeProgress(row) : describeEnd(row));
		this.error.hidden = !row.error;
		this.error.replaceChildren(h("strong", { class: "lknb-trouble" }, row.status), quoted(row.error));
		setText(this.saved, row.saved ? `Saved as ${row.saved}` : "");
		this.saved.hidden = !row.saved;
		// The focus must not be lost when the button is hidden.
		if (!isOpen && hasFocus(this.cancelButton)) this.element.focus();
		this.cancelButton.hidden = !isOpen;
		this.saveButton.hidden = !row.file;
		this.showButton.hidden = !row.image || this.isImageShown;
		this.rowsButton.hidden = !row.table || this.isTableShown;
	}

	/** @param {TransfersValues} values */
	setLimits({ download_limit, preload_limit, piece }) {
		const { file, image, table } = this.row;
		const size = this.row.size ?? 0;
		this.piece = piece;
		this.downloadButton.hidden = !file || size > download_limit;
		if (!(image || table) || size > preload_limit || this.isPreloaded) return;
		this.isPreloaded = true;
		this.actions.whenVisible(this.element, () => (image ? this.showImage() : this.showRows()));
	}

	async cancel() {
		const { ask, outcome, cancelling } = this.actions;
		const { name, direction } = this.row;
		if (direction === "out") cancelling.set(this.key, name);
		const answer = await outcome.report(ask("cancel", { key: this.key }));
		cancelling.delete(this.key);
		if (answer) outcome.show(answer.value ? `${name} was cancelled.` : `${name} had already ended.`);
	}

	async save() {
		const { ask, outcome } = this.actions;
		const answer = await outcome.report(ask("save", { key: this.key }));
		if (answer) outcome.show(`Saved as ${answer.value.path}`);
	}

	async download() {
		const { outcome, signal } = this.actions;
		const content = await outcome.report(this.read());
		if (!content || signal.aborted) return;
		offerDownload(this.row.name, content);
		outcome.show(`${this.row.name} was downloaded.`);
	}

	async read() {
		const { ask, outcome, signal } = this.actions;
		const name = this.row.name;
		const size = this.row.size ?? 0;
		/** @type {BlobPart[]} */
		const pieces = [];
		for (let at = 0; at < size && !signal.aborted; ) {
			const { buffer } = await ask("piece", { key: this.key, at });
			if (!buffer?.byteLength) throw new Error(`${name} could not be read completely. Try again.`);
			pieces.push(buffer);
			at += buffer.byteLength;
			if (size > (this.piece ?? 0)) outcome.show(`Downloading ${name}: ${formatSize(at)} of ${formatSize(size)}`);
		}
		return new Blob(pieces);
	}

	async showImage() {
		if (this.isImageShown) return;
		this.isImageShown = true;
		const { ask, outcome } = this.actions;
		try {
			const { value, buffer } = await ask("image", { key: this.key });
			if (buffer) this.picture.replaceChildren(image(buffer, value.type, this.row.name));
		} catch (error) {
			this.isImageShown = false;
			outcome.fail(error);
		}
		this.showButton.hidden = this.isImageShown;
	}

	async showRows() {
		if (this.isTableShown) return;
		this.isTableShown = true;
		const { ask, outcome } = this.actions;
		try {
			const { value } = await ask("table", { key: this.key });
			this.picture.replaceChildren(firstRows(value));
		} catch (error) {
			this.isTableShown = false;
			outcome.fail(error);
		}
		this.rowsButton.hidden = this.isTableShown;
	}
}

/** @param {TablePreview} table */
function firstRows({ columns, types, rows, row_count, column_count, size }) {
	const isNumber = types.map((type) => /^(u?int|float|double|half|decimal)/.test(type));
	const align = (/** @type {number} */ at) => (isNumber[at] ? "lknb-figure" : "");
	const heads = columns.map((name, at) => h("th", { scope: "col", title: types[at], class: align(at) }, quoted(name)));
	const body = rows.map((row) =>
		h(
			"tr",
			{},
			row.map((value, at) =>
				h("td", { class: value === null ? "lknb-missing" : align(at) }, value === null ? "null" : quoted(value)),
			),
		),
	);
	const all = `${formatCount(row_count, "row")}, ${formatCount(column_count, "column")}, ${formatSize(size)} in memory`;
	const shown = rows.length < row_count ? `The first ${rows.length} of ${all}` : all;
	const hidden = columns.length < column_count ? `; the first ${columns.length} columns are shown` : "";
	return h(
		"div",
		{ class: "lknb-transfer-rows" },
		h("p", { class: "lknb-note" }, shown + hidden),
		h(
			"div",
			{ class: "lknb-scroll", tabIndex: 0, role: "region", "aria-label": "First rows of the table" },
			h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, body)),
		),
	);
}

/**
 * @param {number} count
 * @param {string} what
 */
function formatCount(count, what) {
	return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

/** @param {TransferRow} row */
function nameOf({ direction, name }) {
	const arrow = h("span", { "aria-hidden": "true" }, direction === "in" ? "← " : "→ ");
	return h("span", { class: "lknb-transfer-name" }, arrow, quoted(name || "unnamed"));
}

/** @param {TransferRow} row */
function factsOf({ direction, sender, to, recipients, topic, time }) {
	const isIncoming = direction === "in";
	const others = recipients - to.length;
	const receivers = to.length ? quotedList(to) : ["everybody"];
	return h(
		"span",
		{ class: "lknb-transfer-facts" },
		isIncoming ? "from " : "to ",
		isIncoming ? quoted(sender) : receivers,
		others > 0 && ` and ${others} more`,
		topic ? [", topic ", quoted(topic)] : [],
		`, ${formatSeconds(time)}`,
	);
}

/** @param {TransferRow} row */
function describeProgress(row) {
	const parts = [describeMoved(row)];
	if (row.rate) parts.push(`${formatSize(row.rate)}/s`);
	else if (row.rate === 0) parts.push("stalled");
	if (row.left !== null) parts.push(`${formatRemaining(row.left)} left`);
	return parts.join(", ");
}

/** @param {TransferRow} row */
function describeEnd(row) {
	if (row.status !== "ok") return describeMoved(row);
	const verb = row.direction === "in" ? "received" : "sent";
	const parts = [`${formatSize(row.size)} ${verb} in ${formatDuration(row.duration)}`];
	const duration = row.duration ?? 0;
	if (duration > 0.5 && row.size) parts.push(`${formatSize(Math.round(row.size / duration))}/s`);
	if (row.verified) parts.push("SHA-256 verified");
	else if (row.file) parts.push("no SHA-256 to verify");
	return parts.join(", ");
}

/** @param {TransferRow} row */
function describeMoved({ size, transferred }) {
	return size ? `${formatSize(transferred)} of ${formatSize(size)}` : formatSize(transferred);
}

/** @param {number} seconds */
export function formatRemaining(seconds) {
	if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s`;
	const minutes = Math.ceil(seconds / 60);
	return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
