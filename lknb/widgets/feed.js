// Feed: every event as it happens, newest first, to filter, open, copy and download.
import { contentLine, eventDetails } from "./content.js";
import { formatSize, formatTime, h, KeyedList, offerDownload, quoted, setText } from "./dom.js";
import { Outcome, widget } from "./view.js";

/** @import { EventRow, FeedFilter, FeedPart, FeedValues } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Ask, Context } from "./view.js" */

const COLUMNS = ["Time", "", "Kind", "From", "Topic", "Size", "Content"];
/** Milliseconds without a key press after which a filter is applied. */
const TYPING_PAUSE = 250;

/**
 * @param {Context<FeedPart>} context
 * @returns {HTMLElement}
 */
export function feed(context) {
	return new Feed(context).element;
}

class Feed {
	/** @param {Context<FeedPart>} context */
	constructor({ ask, follow, signal }) {
		this.ask = ask;
		this.outcome = new Outcome();
		this.filters = new Filters(ask, this.outcome, signal);
		this.isPaused = false;
		/** @type {PartState<FeedPart> | undefined} */
		this.state = undefined;
		this.counts = h("span", { class: "lknb-counts" }, "Waiting for the kernel");
		this.pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.togglePause() }, "Pause");
		this.empty = h("p", { class: "lknb-empty" });
		const table = h("table", { class: "lknb-feed" }, h("thead", null, h("tr", null, COLUMNS.map(columnHead))));
		this.entries = new KeyedList(
			table,
			(/** @type {string} */ key) => new Entry(() => this.outcome.report(ask("read", { number: key }))),
		);
		this.element = h(
			"div",
			null,
			h(
				"div",
				{ class: "lknb-bar" },
				this.pause,
				h("button", { type: "button", onclick: () => this.outcome.report(ask("clear")) }, "Clear"),
				this.filters.elements,
				this.downloadButton("json", "JSON"),
				this.downloadButton("csv", "CSV"),
				this.counts,
			),
			this.outcome.element,
			h("div", { class: "lknb-scroll", role: "region", tabIndex: 0, "aria-label": "Events" }, table, this.empty),
		);
		follow((state) => this.draw(state));
	}

	/** @param {PartState<FeedPart>} state */
	draw(state) {
		this.state = state;
		const { values, rows } = state;
		this.filters.draw(values);
		setText(this.counts, describeCounts(values, this.isPaused));
		if (!this.isPaused) {
			// By number: a row that was skipped in a burst and has news now comes late.
			this.entries.draw([...rows.events].sort(([one], [other]) => Number(other) - Number(one)));
		}
		this.empty.hidden = this.entries.size > 0;
		setText(
			this.empty,
			Object.keys(values.filter).length
				? "No event fits this filter."
				: "Nothing has happened yet. Send something, or wait for somebody who does.",
		);
	}

	togglePause() {
		this.isPaused = !this.isPaused;
		this.pause.setAttribute("aria-pressed", String(this.isPaused));
		setText(this.pause, this.isPaused ? "Resume" : "Pause");
		if (this.state) this.draw(this.state);
	}

	/**
	 * @param {"json" | "csv"} form
	 * @param {string} label
	 */
	downloadButton(form, label) {
		const download = async () => {
			const answer = await this.outcome.report(this.ask("download", { form }));
			if (!answer) return;
			const { name, left } = answer.value;
			offerDownload(name, answer.buffer ?? "");
			if (left) this.outcome.show(`${left.toLocaleString()} older events did not fit: room.events has them.`);
		};
		const title = `Download the matching events as ${label}`;
		return h("button", { type: "button", title, onclick: download }, label);
	}
}

/** The four filters, which all views of a feed share. */
class Filters {
	/**
	 * @param {Ask<FeedPart>} ask
	 * @param {Outcome} outcome
	 * @param {AbortSignal} signal
	 */
	constructor(ask, outcome, signal) {
		this.ask = ask;
		this.outcome = outcome;
		this.kind = h("select", { "aria-label": "Kind" }, h("option", { value: "" }, "all kinds"));
		this.topic = searchField("Topic", "topic");
		this.sender = searchField("Sender", "sender");
		this.text = searchField("Text", "text");
		this.elements = [this.kind, this.topic, this.sender, this.text];
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.typing = undefined;
		this.drawn = "{}";
		for (const element of this.elements) element.addEventListener("input", () => this.changed(), { signal });
	}

	changed() {
		clearTimeout(this.typing);
		const timer = setTimeout(async () => {
			const { kind, topic, sender, text } = this;
			const filter = { kind: kind.value, topic: topic.value, sender: sender.value, text: text.value };
			await this.outcome.report(this.ask("filter", filter));
			if (this.typing === timer) this.typing = undefined;
		}, TYPING_PAUSE);
		this.typing = timer;
	}

	/** @param {FeedValues} values */
	draw({ kinds, filter }) {
		if (this.kind.options.length === 1) this.kind.append(...kinds.map((name) => h("option", { value: name }, name)));
		// Another view may have set the filter; what somebody types here must stay.
		const isEdited = this.typing !== undefined || this.elements.some((element) => element === document.activeElement);
		const now = JSON.stringify(filter);
		if (now === this.drawn || isEdited) return;
		this.drawn = now;
		this.kind.value = filter.kind ?? "";
		this.topic.value = filter.topic ?? "";
		this.sender.value = filter.sender ?? "";
		this.text.value = filter.text ?? "";
	}
}

/** One event: a row, and another one below it with the details while it is open. */
class Entry {
	/** @param {() => Promise<{ value: import("./rows.js").WholeEvent, buffer?: DataView<ArrayBuffer> } | undefined>} read */
	constructor(read) {
		this.read = read;
		/** @type {EventRow | undefined} */
		this.event = undefined;
		this.time = h("td", { class: "lknb-time" });
		this.direction = h("td");
		this.kind = h("td");
		this.sender = h("td");
		this.topic = h("td");
		this.size = h("td", { class: "lknb-number" });
		this.content = h("span");
		const toggle = () => this.toggle();
		this.opener = h(
			"button",
			{ type: "button", class: "lknb-open", "aria-expanded": "false", "aria-label": "Open", onclick: toggle },
			"▸",
		);
		const content = h("td", { class: "lknb-content" }, this.opener, this.content);
		const row = h("tr", null, this.time, this.direction, this.kind, this.sender, this.topic, this.size, content);
		row.addEventListener("click", (event) => {
			const isSelecting = window.getSelection()?.toString();
			if (!isSelecting && !(event.target instanceof HTMLButtonElement)) toggle();
		});
		this.details = h("td", { colspan: String(COLUMNS.length) });
		this.opened = h("tr", { class: "lknb-opened" }, this.details);
		this.element = h("tbody", null, row);
	}

	get isOpen() {
		return this.opened.isConnected;
	}

	/** @param {EventRow} event */
	fill(event) {
		const hasEnded = this.event?.status === "open" && event.status !== "open";
		this.event = event;
		this.element.dataset.status = event.status;
		this.element.dataset.kind = event.kind;
		setText(this.time, formatTime(event.time));
		setText(this.direction, event.direction === "in" ? "←" : "→");
		this.direction.title = event.direction === "in" ? "received" : "sent";
		setText(this.kind, event.kind);
		this.sender.replaceChildren(quoted(event.sender, "lknb-short"));
		this.topic.replaceChildren(quoted(event.topic, "lknb-short"));
		setText(this.size, describeSize(event));
		this.content.replaceChildren(...trouble(event), contentLine(event));
		if (hasEnded && this.isOpen) this.fillDetails(event);
	}

	toggle() {
		if (this.isOpen) this.opened.remove();
		else if (this.event) {
			this.element.append(this.opened);
			this.fillDetails(this.event);
		}
		this.opener.setAttribute("aria-expanded", String(this.isOpen));
	}

	/** @param {EventRow} event */
	async fillDetails(event) {
		this.details.replaceChildren(eventDetails(event));
		if (!event.more && event.status !== "open" && !event.size) return;
		const answer = await this.read();
		if (answer) this.details.replaceChildren(eventDetails(answer.value, answer.buffer));
	}
}

/** @param {string} name */
function columnHead(name) {
	return h("th", { scope: "col" }, name);
}

/**
 * @param {string} label
 * @param {string} placeholder
 */
function searchField(label, placeholder) {
	return h("input", { type: "search", "aria-label": label, placeholder, spellcheck: false });
}

/** @param {EventRow} event */
function describeSize({ status, size, transferred }) {
	if (status !== "open" || !transferred) return formatSize(size);
	return size ? `${formatSize(transferred)} of ${formatSize(size)}` : formatSize(transferred);
}

/** @param {EventRow} event */
function trouble({ status, error }) {
	if (status === "ok") return [];
	const word = status === "open" ? "under way" : status;
	return [h("strong", { class: "lknb-trouble" }, word), error ? quoted(error, "lknb-error") : ""];
}

/**
 * @param {FeedValues} values
 * @param {boolean} isPaused
 */
function describeCounts(values, isPaused) {
	const parts = [`${values.matched.toLocaleString()} events`, `${values.rate.toLocaleString()} per second`];
	if (values.matched > values.limit) parts.push(`the newest ${values.limit.toLocaleString()} are shown`);
	if (values.skipped) parts.push(`${values.skipped.toLocaleString()} not shown one by one`);
	if (values.evicted) parts.push(`${values.evicted.toLocaleString()} dropped from the log`);
	if (isPaused) parts.push("paused");
	return parts.join(", ");
}

export default widget(
	"Feed of the room",
	() => ["feed"],
	({ feed: context }) => feed(context),
);
