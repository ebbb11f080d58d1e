// The event that is open, beside the list or the timeline, or below it if there is no room.
import { eventDetails } from "./content.js";
import { h } from "./dom.js";

/** @import { EventRow, WholeEvent } from "./rows.js" */

/** The event that is open. */
export class EventDetails {
	/**
	 * @param {(number: string) => Promise<{ value: WholeEvent, buffer?: DataView<ArrayBuffer> } | undefined>} read
	 * @param {() => void} close
	 */
	constructor(read, close) {
		this.read = read;
		this.number = "";
		/** @type {EventRow | undefined} */
		this.event = undefined;
		this.content = h("div", { class: "lknb-feed-content" });
		const button = h("button", { type: "button", "aria-label": "Close", title: "Close (Escape)", onclick: close }, "×");
		this.element = h(
			"section",
			{ class: "lknb-feed-details", "aria-label": "The open event", hidden: true },
			button,
			this.content,
		);
		this.element.addEventListener("keydown", (event) => {
			if (event.key === "Escape") close();
		});
	}

	/**
	 * @param {string} number "" for none
	 * @param {EventRow | undefined} event
	 */
	show(number, event) {
		this.number = number;
		this.event = event;
		this.element.hidden = !event;
		this.content.replaceChildren();
		if (event) this.fill(event);
	}

	/**
	 * Show an event of which nothing is known yet.
	 * @param {string} number
	 */
	async load(number) {
		this.number = number;
		this.event = undefined;
		this.element.hidden = false;
		this.content.replaceChildren(h("p", { class: "lknb-note" }, "Loading…"));
		const answer = await this.read(number);
		if (number !== this.number || this.element.hidden) return;
		if (answer) this.content.replaceChildren(eventDetails(answer.value, answer.buffer));
		else this.show("", undefined);
	}

	/**
	 * Load the rest when a stream has ended.
	 * @param {Map<string, EventRow>} events
	 */
	update(events) {
		const event = events.get(this.number);
		if (this.event?.status !== "open" || !event || event.status === "open") return;
		this.event = event;
		this.fill(event);
	}

	/** @param {EventRow} event */
	async fill(event) {
		this.content.replaceChildren(eventDetails(event));
		if (!event.more && event.status !== "open" && !event.size) return;
		const { number } = this;
		const answer = await this.read(number);
		if (answer && number === this.number && event === this.event)
			this.content.replaceChildren(eventDetails(answer.value, answer.buffer));
	}
}
