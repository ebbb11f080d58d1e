// Participants: everybody with their state. This participant's own state and the room's metadata can be edited.
import { h, hasFocus, KeyedList, setText } from "./dom.js";
import { LongTextEditor } from "./editor.js";
import { OwnState } from "./own_state.js";
import { describeUsual, Person, usualPermissions } from "./person.js";
import { Outcome } from "./view.js";

/** @import { LeftRow, ParticipantsPart, ParticipantsValues, PersonRow } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Ask, Context } from "./view.js" */

/** With more participants, each one is a line that opens. */
const MAX_CARDS = 12;
/** Milliseconds without a key press after which the filter is applied. */
const TYPING_PAUSE = 250;

/**
 * @param {Context<ParticipantsPart>} context
 * @returns {HTMLElement}
 */
export function participants({ ask, follow, signal }) {
	const people = new People(ask, signal);
	const own = new OwnState(ask);
	const room = new LongTextEditor({
		label: "Metadata of the room",
		read: () => ask("read"),
		set: (text) => ask("set_room_metadata", { text }),
	});
	const roomBox = h(
		"details",
		{ class: "lknb-box" },
		h("summary", null, "Metadata of the room, visible to everybody"),
		room.element,
	);
	follow((state) => {
		const { room_metadata: metadata, room_refused: refused } = state.values;
		people.draw(state);
		own.draw(state);
		room.draw(metadata, refused, metadata.changed);
	});
	return h("div", null, people.elements, own.element, roomBox);
}

/** Everybody in the room, or everybody who matches the filter. */
class People {
	/**
	 * @param {Ask<ParticipantsPart>} ask
	 * @param {AbortSignal} signal
	 */
	constructor(ask, signal) {
		const outcome = new Outcome();
		this.search = h("input", {
			type: "search",
			"aria-label": "Filter participants",
			placeholder: "identity, name or state",
			spellcheck: false,
		});
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		let typing;
		const filter = () => outcome.report(ask("filter", { text: this.search.value }));
		const typed = () => {
			clearTimeout(typing);
			typing = setTimeout(filter, TYPING_PAUSE);
		};
		this.search.addEventListener("input", typed, { signal });
		this.counts = h("span", { class: "lknb-counts", role: "status" }, "Waiting for the kernel");
		this.empty = h("p", { class: "lknb-empty", hidden: true });
		this.usual = h("p", { class: "lknb-faint lknb-usual" });
		const list = h("ul", { class: "lknb-people" });
		this.people = list;
		/** @type {KeyedList<PersonRow | LeftRow, Person>} */
		this.list = new KeyedList(list, (identity) => new Person(identity, ask, outcome));
		this.elements = [
			h("div", { class: "lknb-bar" }, this.search, this.counts),
			outcome.element,
			h("div", { class: "lknb-people-scroll", role: "region", tabIndex: 0, "aria-label": "Participants" }, list),
			this.usual,
			this.empty,
		];
	}

	/** @param {PartState<ParticipantsPart>} state */
	draw({ values, rows }) {
		const { search } = this;
		const isEdited = hasFocus(search);
		if (!isEdited && search.value.toLowerCase() !== values.filter) search.value = values.filter;
		const people = [...rows.people].sort(([, one], [, other]) => compare(one, other));
		this.list.draw(people);
		this.arrange(people.map(([, row]) => row));
		setText(this.counts, describeCounts(values, people.filter(([, row]) => !("left" in row)).length));
		const isAlone = values.total < 2 && !values.filter;
		this.empty.hidden = people.length > 0 && !isAlone;
		setText(
			this.empty,
			isAlone
				? "Nobody else is here. Join the room from another notebook or application."
				: "No participants match this filter.",
		);
	}

	/** @param {(PersonRow | LeftRow)[]} rows */
	arrange(rows) {
		const present = rows.flatMap((row) => ("left" in row ? [] : [row.permissions]));
		const usual = usualPermissions(present);
		setText(this.usual, present.length ? `Everybody may ${describeUsual(usual)}, unless stated otherwise.` : "");
		const isCompact = rows.length > MAX_CARDS;
		this.people.dataset.compact = String(isCompact);
		for (const person of this.list.views()) person.arrange(isCompact, usual);
	}
}

/**
 * Order: this participant first, participants who have left last, the others as they joined.
 * @param {PersonRow | LeftRow} one
 * @param {PersonRow | LeftRow} other
 */
function compare(one, other) {
	const rank = (/** @type {PersonRow | LeftRow} */ row) => ("left" in row ? 2 : row.you ? 0 : 1);
	const joined = (/** @type {PersonRow | LeftRow} */ row) => ("left" in row ? 0 : (row.joined ?? 0));
	return rank(one) - rank(other) || joined(one) - joined(other) || (one.identity < other.identity ? -1 : 1);
}

/**
 * @param {ParticipantsValues} values
 * @param {number} shown
 */
function describeCounts({ total, filter, matching, state }, shown) {
	const parts = [`${total.toLocaleString()} here`];
	if (filter) parts.push(`${matching.toLocaleString()} match the filter`);
	if (matching > shown) parts.push(`${(matching - shown).toLocaleString()} not shown: use the filter`);
	if (state !== "connected") parts.push(`${state}: last known state`);
	return parts.join(", ");
}
