// Choosing a participant to send to, or to call.
import { h, KeyedList, textView } from "./dom.js";

/** A list of the participants in the room. */
export class RecipientSelect {
	/**
	 * @param {Record<string, unknown>} options of the select element
	 * @param {boolean} everybody whether that can be chosen too
	 */
	constructor(options, everybody) {
		this.element = h("select", options);
		/** @type {[identity: string, name: string][]} */
		this.people = [];
		/** @type {[key: string, label: string][]} */
		this.fixed = everybody ? [["", "everybody"]] : [];
		// Keys begin with "@", so that no identity is taken for everybody.
		this.options = new KeyedList(this.element, (/** @type {string} */ key) =>
			textView(h("option", { value: key.slice(1) })),
		);
	}

	/** The chosen identity, or "" for everybody. */
	get value() {
		return this.element.value;
	}

	get isEmpty() {
		return this.element.options.length === 0;
	}

	/** @param {[identity: string, name: string][]} people */
	draw(people) {
		this.people = people;
		this.choose(this.value);
	}

	/**
	 * Choose somebody. They stay listed after they have left: what is for one must not go to another, or to everybody.
	 * @param {string} identity
	 */
	choose(identity) {
		/** @type {[key: string, label: string][]} */
		const entries = this.people.map(([each, name]) => [`@${each}`, name && name !== each ? `${name} (${each})` : each]);
		if (identity && !this.people.some(([each]) => each === identity))
			entries.push([`@${identity}`, `${identity} (has left)`]);
		this.options.draw([...this.fixed, ...entries]);
		if (identity) this.element.value = identity;
	}
}
