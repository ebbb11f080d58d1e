// Participants: who is here with their state, live; this participant's own state and the room's can be edited.
import { h, KeyedList, setText } from "./dom.js";
import { LongTextEditor } from "./editor.js";
import { OwnState } from "./own_state.js";
import { Person } from "./person.js";
import { Outcome } from "./view.js";

/** @import { LeftRow, ParticipantsPart, ParticipantsValues, PersonRow } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Ask, Context } from "./view.js" */

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
		{ class: "lknb-box", open: true },
		h("summary", null, "Metadata of the room, which everybody sees"),
		room.element,
	);
	follow((state) => {
		const { roomMetadata, roomRefused } = state.values;
		people.draw(state);
		own.draw(state);
		room.draw(roomMetadata, roomRefused, roomMetadata.changed);
	});
	return h("div", null, people.elements, own.element, roomBox);
}

/** Everybody in the room, or those who match a filter. */
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
		this.empty = h("p", { class: "lknb-empty" });
		const list = h("ul", { class: "lknb-people" });
		/** @type {KeyedList<PersonRow | LeftRow, Person>} */
		this.list = new KeyedList(list, (identity) => new Person(identity, ask, outcome));
		this.elements = [
			h("div", { class: "lknb-bar" }, this.search, this.counts),
			outcome.element,
			h("div", { class: "lknb-people-scroll", role: "region", tabIndex: 0, "aria-label": "Participants" }, list),
			this.empty,
		];
	}

	/** @param {PartState<ParticipantsPart>} state */
	draw({ values, rows }) {
		const { search } = this;
		const isEdited = document.activeElement === search;
		if (!isEdited && search.value.toLowerCase() !== values.filter) search.value = values.filter;
		const people = [...rows.people].sort(([, one], [, other]) => compare(one, other));
		this.list.draw(people);
		setText(this.counts, describeCounts(values, people.filter(([, row]) => !("left" in row)).length));
		const isAlone = values.total < 2 && !values.filter;
		this.empty.hidden = people.length > 0 && !isAlone;
		setText(
			this.empty,
			isAlone
				? "Nobody else is here. Join the room from another notebook or application."
				: "Nobody here matches this filter.",
		);
	}
}

/**
 * This participant first, those who have left last, the others in the order in which they joined.
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
	if (matching > shown) parts.push(`${(matching - shown).toLocaleString()} more not shown: filter for them`);
	if (state !== "connected") parts.push(`${state}: as it was before`);
	return parts.join(", ");
}
