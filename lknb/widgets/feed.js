// Feed: every event as it happens, newest first, to filter, sort, open, copy and download.
import { h, hasFocus, offerDownload, setText } from "./dom.js";
import { EventDetails } from "./event_details.js";
import { EventGrid } from "./event_grid.js";
import { Menu } from "./menu.js";
import { Outcome, widget } from "./view.js";

/** @import { FeedOnly, FeedPart, FeedValues } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Ask, Context } from "./view.js" */

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
		this.grid = new EventGrid((number) => this.details.show(number, this.grid.events.get(number)), signal);
		this.details = new EventDetails(
			(number) => this.outcome.report(ask("read", { number })),
			() => this.close(),
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
			h("div", { class: "lknb-feed-body" }, this.grid.element, this.details.element),
		);
		follow((state) => this.draw(state));
	}

	/** @param {PartState<FeedPart>} state */
	draw(state) {
		this.state = state;
		const { values, rows } = state;
		this.filters.draw(values);
		setText(this.counts, describeCounts(values, this.isPaused));
		this.counts.title = explainCounts(values);
		if (!this.isPaused) {
			this.grid.draw(new Map(rows.events)); // a copy, which stays as it is while the feed is paused
			this.details.update(rows.events);
		}
		this.grid.empty.hidden = this.grid.events.size > 0;
		setText(this.grid.empty, describeEmpty(values));
	}

	togglePause() {
		this.isPaused = !this.isPaused;
		this.pause.setAttribute("aria-pressed", String(this.isPaused));
		setText(this.pause, this.isPaused ? "Resume" : "Pause");
		if (this.state) this.draw(this.state);
	}

	close() {
		this.grid.show("");
		this.grid.table.focus();
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
			if (left)
				this.outcome.show(`${left.toLocaleString()} older events did not fit into the file. They are in room.events.`);
		};
		const title = `Download the matching events as ${label}`;
		return h("button", { type: "button", title, onclick: download }, label);
	}
}

/** The filters. All views of a feed share them. */
class Filters {
	/**
	 * @param {Ask<FeedPart>} ask
	 * @param {Outcome} outcome
	 * @param {AbortSignal} signal
	 */
	constructor(ask, outcome, signal) {
		this.ask = ask;
		this.outcome = outcome;
		this.kinds = new Menu("Kinds", () => this.changed(), signal);
		this.senders = new Menu("Senders", () => this.changed(), signal);
		this.topic = searchField("Topic", "topic");
		this.text = searchField("Text", "text");
		this.elements = [this.kinds.element, this.senders.element, this.topic, this.text];
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.typing = undefined;
		this.drawn = "{}";
		for (const field of [this.topic, this.text]) field.addEventListener("input", () => this.changed(), { signal });
	}

	changed() {
		clearTimeout(this.typing);
		const timer = setTimeout(async () => {
			const { kinds, senders, topic, text } = this;
			const filter = {
				kinds: [...kinds.chosen],
				senders: [...senders.chosen],
				topic: topic.value,
				text: text.value,
			};
			await this.outcome.report(this.ask("filter", filter));
			if (this.typing === timer) this.typing = undefined;
		}, TYPING_PAUSE);
		this.typing = timer;
	}

	/** @param {FeedValues} values */
	draw({ kinds, senders, filter }) {
		this.kinds.offer(kinds);
		this.senders.offer(senders);
		// Another view may have set the filter, but must not overwrite what the user types here.
		const isEdited = this.typing !== undefined || this.elements.some(hasFocus);
		const now = JSON.stringify(filter);
		if (now === this.drawn || isEdited) return;
		this.drawn = now;
		this.kinds.set(filter.kinds ?? []);
		this.senders.set(filter.senders ?? []);
		this.topic.value = filter.topic ?? "";
		this.text.value = filter.text ?? "";
	}
}

/**
 * @param {string} label
 * @param {string} placeholder
 */
function searchField(label, placeholder) {
	return h("input", { type: "search", "aria-label": label, placeholder, spellcheck: false });
}

/**
 * @param {FeedValues} values
 * @param {boolean} isPaused
 */
function describeCounts(values, isPaused) {
	const events = values.matched === 1 ? "1 event" : `${values.matched.toLocaleString()} events`;
	const parts = [`${events}${describeLimits(values.only)}`];
	if (values.rate) parts.push(`${values.rate.toLocaleString()}/s`);
	if (values.matched > values.limit) parts.push(`newest ${values.limit.toLocaleString()} listed`);
	if (isPaused) parts.push("paused");
	return parts.join(" · ");
}

/** @param {FeedValues} values */
function explainCounts({ skipped, evicted }) {
	const parts = [];
	if (skipped)
		parts.push(
			`${skipped.toLocaleString()} came too fast to be listed here; they are in room.events and in downloads.`,
		);
	if (evicted) parts.push(`The room's log is full, and has dropped its ${evicted.toLocaleString()} oldest events.`);
	return parts.join(" ");
}

/** @param {FeedValues} values */
function describeEmpty({ filter, only }) {
	if (Object.keys(filter).length) return "No events match this filter.";
	return `No events yet${describeLimits(only)}. Send something, or wait until somebody else does.`;
}

/**
 * What the feed was limited to when it was made; empty for a feed of everything.
 * @param {FeedOnly} only
 */
function describeLimits({ kinds, topic, sender }) {
	const parts = [
		kinds.join(" and "),
		topic === null ? "" : `topic ${topic}`,
		sender === null ? "" : `from ${sender}`,
	].filter(Boolean);
	return parts.length ? ` (only ${parts.join(", ")})` : "";
}

export default widget(
	"Feed of the room",
	() => ["feed"],
	({ feed: context }) => feed(context),
);
