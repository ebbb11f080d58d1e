// Edits this participant's own name, attributes and metadata.
import { formatSeconds, h, KeyedList, quoted, setText } from "./dom.js";
import { Editor, LongTextEditor } from "./editor.js";
import { Mark } from "./mark.js";
import { Outcome } from "./view.js";

/** @import { OwnAttributeRow, ParticipantsPart, ParticipantsValues } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Ask } from "./view.js" */

export class OwnState {
	/** @param {Ask<ParticipantsPart>} ask */
	constructor(ask) {
		this.ask = ask;
		/** @type {PartState<ParticipantsPart> | undefined} */
		this.state = undefined;
		this.refusal = h("p", { class: "lknb-faint" });
		this.name = new Editor({ label: "Your name", set: (text) => ask("set_name", { text }) });
		this.metadata = new LongTextEditor({
			label: "Your metadata",
			read: () => ask("read", { identity: this.state?.values.identity }),
			set: (text) => ask("set_metadata", { text }),
		});
		this.adding = new AttributeForm(ask);
		const attributes = h("div", { class: "lknb-mine" });
		/** @type {KeyedList<string, OwnAttribute>} */
		this.attributes = new KeyedList(attributes, (key) => new OwnAttribute(key, ask, (time) => this.deleted(key, time)));
		this.used = h("p", { class: "lknb-faint" });
		this.element = h(
			"details",
			{ class: "lknb-box" },
			h("summary", null, "Your name, attributes and metadata"),
			this.refusal,
			labelled(["Name"], this.name.element),
			attributes,
			labelled(["New attribute"], this.adding.element),
			this.adding.outcome.element,
			this.used,
			labelled(["Metadata"], this.metadata.element),
		);
	}

	/** @param {PartState<ParticipantsPart>} state */
	draw(state) {
		this.state = state;
		const { values, rows } = state;
		const { refused } = values;
		setText(this.refusal, refused);
		this.name.draw(values.name, refused);
		this.metadata.draw(values.metadata, refused, 0);
		this.adding.draw(refused);
		const keys = new Set(rows.mine.keys());
		for (const { key, keepsText } of this.attributes.views()) if (keepsText) keys.add(key);
		this.attributes.draw([...keys].sort().map((key) => [key, key]));
		for (const view of this.attributes.views()) view.draw(rows.mine.get(view.key), refused);
		setText(this.used, describeUse(values, rows.mine.size));
	}

	/**
	 * @param {string} key
	 * @param {number} time
	 */
	deleted(key, time) {
		if (this.state) this.draw(this.state);
		this.adding.outcome.show(`${key}: deleted, confirmed by the server at ${formatSeconds(time)}`);
		this.adding.key.focus();
	}
}

/** One attribute with its editor, which stays if the attribute is deleted elsewhere while the user types. */
class OwnAttribute {
	/**
	 * @param {string} key
	 * @param {Ask<ParticipantsPart>} ask
	 * @param {(time: number) => void} deleted called when the server has confirmed a deletion made here
	 */
	constructor(key, ask, deleted) {
		this.key = key;
		this.ask = ask;
		this.deleted = deleted;
		this.isDeletedHere = false;
		const remove = () => this.remove();
		this.button = h("button", { type: "button", "aria-label": `Delete attribute ${key}`, onclick: remove }, "Delete");
		this.editor = new Editor({
			label: `Attribute ${key}`,
			set: (value) => ask("set_attribute", { key, value }),
			buttons: [this.button],
		});
		this.mark = new Mark();
		this.element = labelled([quoted(key, "lknb-key"), this.mark.element], this.editor.element);
	}

	/** Whether the user has typed something that must not be lost. */
	get keepsText() {
		return this.editor.isDirty && !this.isDeletedHere;
	}

	fill() {}

	/**
	 * @param {OwnAttributeRow | undefined} row undefined if it was deleted
	 * @param {string} refusal
	 */
	draw(row, refusal) {
		this.editor.draw(row?.value ?? "", refusal);
		this.mark.show(row?.changed ?? 0);
		this.button.disabled = Boolean(refusal) || !row;
	}

	async remove() {
		const time = await this.editor.run(this.ask("delete_attribute", { key: this.key }), "deleted");
		if (time === undefined) return;
		this.isDeletedHere = true;
		this.deleted(time);
	}
}

/** The form that adds an attribute. */
class AttributeForm {
	/** @param {Ask<ParticipantsPart>} ask */
	constructor(ask) {
		this.ask = ask;
		this.outcome = new Outcome();
		this.key = input("Key of a new attribute", "new key");
		this.value = input("Value of a new attribute", "value");
		this.button = h("button", { type: "submit" }, "Add");
		this.element = h(
			"form",
			{
				class: "lknb-adding",
				onkeydown: (/** @type {KeyboardEvent} */ event) => this.keyPressed(event),
				onsubmit: (/** @type {Event} */ event) => {
					event.preventDefault();
					this.add();
				},
			},
			this.key,
			this.value,
			this.button,
		);
	}

	/** @param {string} refusal */
	draw(refusal) {
		for (const element of [this.key, this.value, this.button]) {
			element.disabled = Boolean(refusal);
			element.title = refusal;
		}
	}

	/** @param {KeyboardEvent} event */
	keyPressed(event) {
		if (event.key !== "Enter" || event.isComposing) return;
		event.stopPropagation(); // with Shift or Ctrl it would run the cell, and the input would be lost
		if (event.target === this.button) return;
		event.preventDefault();
		this.element.requestSubmit();
	}

	async add() {
		const [key, value] = [this.key.value, this.value.value];
		const answer = await this.outcome.report(this.ask("set_attribute", { key, value }));
		if (!answer) return;
		this.outcome.show(`${key}: confirmed by the server at ${formatSeconds(answer.value.confirmed)}`);
		// The user may already have typed the next one.
		if (this.key.value !== key || this.value.value !== value) return;
		this.key.value = this.value.value = "";
		this.key.focus();
	}
}

/**
 * @param {string} label
 * @param {string} placeholder
 */
function input(label, placeholder) {
	return h("input", { "aria-label": label, placeholder, spellcheck: false, autocomplete: "off" });
}

/**
 * @param {(string | HTMLElement)[]} label
 * @param {HTMLElement} element
 */
function labelled(label, element) {
	return h("div", { class: "lknb-line-edit" }, h("span", null, label), element);
}

/**
 * @param {ParticipantsValues} values
 * @param {number} shown
 */
function describeUse({ attributes, size, limit }, shown) {
	const count = attributes === 1 ? "1 attribute" : `${attributes} attributes`;
	const left = attributes - shown;
	const more = left > 0 ? `, ${left} of them not shown (see room.attributes)` : "";
	return `${count}, ${size.toLocaleString()} of ${limit.toLocaleString()} bytes${more}`;
}
