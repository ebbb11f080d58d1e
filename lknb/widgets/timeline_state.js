// The state of a room at a moment of a recording: who was there, with attributes and metadata.
import { formatTime, h, quoted, setText } from "./dom.js";

/** @import { Beginning, TimelinePart, TimelinePerson, TimelineState } from "./rows.js" */
/** @import { Ask } from "./view.js" */

/** Milliseconds without a move of the cursor after which its state is loaded. */
const PAUSE = 120;

/** The state at the cursor, beside the lanes. */
export class StateView {
	/**
	 * @param {Ask<TimelinePart>} load
	 * @param {(error: unknown) => void} fail
	 */
	constructor(load, fail) {
		this.load = load;
		this.fail = fail;
		/** @type {number | undefined} */
		this.time = undefined;
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.timer = undefined;
		this.isLoading = false;
		this.title = h("strong", null, "State");
		this.content = h("div", { class: "lknb-timeline-people" });
		this.element = h(
			"section",
			{ class: "lknb-timeline-state", "aria-label": "The state of the room at the cursor", hidden: true },
			this.title,
			this.content,
		);
	}

	/**
	 * Show the state at a time, soon: the cursor may move on.
	 * @param {number} time
	 */
	show(time) {
		this.element.hidden = false;
		this.time = time;
		setText(this.title, `At ${formatTime(time)}`);
		clearTimeout(this.timer);
		this.timer = setTimeout(() => this.fill(), PAUSE);
	}

	/** Load one state at a time, the newest that was asked for. */
	async fill() {
		if (this.isLoading) return;
		this.isLoading = true;
		const { time } = this;
		try {
			const { value } = await this.load("state_at", { time });
			this.content.replaceChildren(...describe(value));
		} catch (error) {
			this.content.replaceChildren();
			this.fail(error);
		}
		this.isLoading = false;
		if (time !== this.time) this.fill();
	}

	end() {
		clearTimeout(this.timer);
	}
}

/** @param {TimelineState} state */
function describe({ people, more_people: more, metadata }) {
	const count = people.length + more;
	/** @type {HTMLElement[]} */
	const parts = [h("p", { class: "lknb-faint" }, count === 1 ? "1 participant" : `${count} participants`)];
	if (metadata.text) parts.push(h("dl", { class: "lknb-facts" }, pair("room metadata", metadata)));
	parts.push(...people.map(person));
	if (more) parts.push(h("p", { class: "lknb-faint" }, `and ${more.toLocaleString()} more`));
	return parts;
}

/** @param {TimelinePerson} person */
function person({ identity, name, metadata, attributes, more_attributes: more }) {
	const facts = [
		...(metadata.text ? pair("metadata", metadata) : []),
		...attributes.flatMap(([key, value]) => pair(key, value)),
	];
	return h(
		"div",
		{ class: "lknb-person" },
		h("span", { class: "lknb-identity" }, quoted(identity)),
		name && name !== identity ? h("span", { class: "lknb-faint" }, " ", quoted(name)) : "",
		facts.length > 0 && h("dl", { class: "lknb-facts" }, facts),
		more > 0 && h("p", { class: "lknb-faint" }, `and ${more.toLocaleString()} more attributes`),
	);
}

/**
 * @param {string} name
 * @param {Beginning} value
 */
function pair(name, { text, more }) {
	return [h("dt", null, quoted(name)), h("dd", null, quoted(text), more ? "…" : "")];
}
