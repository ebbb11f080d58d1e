// The choice of a participant to send to or to call.
import { h, KeyedList, textView } from "./dom.js";

/** @import { PeopleValues, Person } from "./rows.js" */

/** The key of the option that stands for the participants that are not listed. */
const MORE = "more";

/** A list of the participants in the room. */
export class RecipientSelect {
	/**
	 * @param {Record<string, unknown>} options of the select element
	 * @param {boolean} everybody whether to offer everybody
	 */
	constructor(options, everybody) {
		this.element = h("select", options);
		/** @type {Person[]} */
		this.people = [];
		/** The number of participants that are not listed. */
		this.more = 0;
		/** @type {[key: string, label: string][]} */
		this.fixed = everybody ? [["", "everybody"]] : [];
		// The keys of participants start with "@", so that no identity means everybody or the rest.
		this.options = new KeyedList(this.element, (/** @type {string} */ key) =>
			textView(h("option", { value: key.slice(1), disabled: key === MORE })),
		);
	}

	/** The chosen identity, or "" for everybody. */
	get value() {
		return this.element.value;
	}

	get isEmpty() {
		return this.element.options.length === 0;
	}

	/** @param {PeopleValues} values */
	draw({ people, more_people: more }) {
		this.people = people;
		this.more = more;
		this.choose(this.value);
	}

	/**
	 * Choose a participant. They stay listed after they have left, so that a message for them cannot go to anybody else.
	 * @param {string} identity
	 */
	choose(identity) {
		/** @type {[key: string, label: string][]} */
		const entries = this.people.map(([each, name]) => [`@${each}`, name && name !== each ? `${name} (${each})` : each]);
		if (identity && !this.people.some(([each]) => each === identity))
			entries.push([`@${identity}`, `${identity} (has left)`]);
		if (this.more) entries.push([MORE, `and ${this.more} more: use a cell`]);
		this.options.draw([...this.fixed, ...entries]);
		if (identity) this.element.value = identity;
	}
}
