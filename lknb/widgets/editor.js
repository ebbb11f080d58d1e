// Text fields that show the room's text until the user types, and then keep the user's text.
import { parseContainer, tree } from "./content.js";
import { formatSeconds, h, hasFocus, setText } from "./dom.js";
import { Mark } from "./mark.js";

/** @import { Beginning, Confirmation, EditableText } from "./rows.js" */
/** @import { Answer } from "./sync.js" */

/** Characters of the room's text in the note about a change while the user types. */
const MAX_QUOTE = 60;

/**
 * @typedef {object} EditorOptions
 * @property {string} label
 * @property {number} [rows] 1 for a single line, which Enter sets
 * @property {(text: string) => Promise<Answer<Confirmation>>} set resolves when the server has confirmed
 * @property {HTMLElement[]} [buttons] more buttons
 */

/** A field with "Set" and "Undo". */
export class Editor {
	/** @param {EditorOptions} options */
	constructor({ label, rows = 1, set, buttons = [] }) {
		this.set = set;
		this.isOneLine = rows === 1;
		/** The text in the room when it was last drawn. */
		this.base = "";
		this.isBusy = false;
		/** Why the text may not be changed; empty if it may. */
		this.refusal = "";
		this.input = h("textarea", {
			rows,
			"aria-label": label,
			spellcheck: false,
			dir: "auto",
			oninput: () => this.typed(),
			onkeydown: (/** @type {KeyboardEvent} */ event) => this.keyPressed(event),
		});
		this.button = h("button", { type: "submit", "aria-label": `Set: ${label}` }, "Set");
		this.undo = h(
			"button",
			{ type: "button", "aria-label": `Undo: ${label}`, hidden: true, onclick: () => this.discard() },
			"Undo",
		);
		this.status = h("span", { class: "lknb-outcome", role: "status" });
		this.element = h(
			"form",
			{
				class: "lknb-editor",
				onsubmit: (/** @type {Event} */ event) => {
					event.preventDefault();
					this.submit();
				},
			},
			this.input,
			h("span", { class: "lknb-buttons" }, this.button, this.undo, buttons),
			this.status,
		);
	}

	get isDirty() {
		return this.input.value !== this.base;
	}

	/**
	 * Draw the room's current text.
	 * @param {string} text
	 * @param {string} refusal why it may not be changed; empty if it may
	 */
	draw(text, refusal) {
		const now = text.replace(/\r\n?/g, "\n"); // as a textarea returns it
		this.refusal = refusal;
		this.element.title = refusal;
		if (now !== this.base) {
			if (!this.isDirty) this.input.value = now;
			else if (now !== this.input.value && !this.isBusy) this.showConflict(now);
			this.base = now;
		}
		this.update();
	}

	/**
	 * Wait for the server, and show its answer.
	 * @param {Promise<Answer<Confirmation>>} action
	 * @param {string} done
	 * @returns {Promise<number | undefined>} when the server confirmed; undefined if it failed
	 */
	async run(action, done) {
		this.isBusy = true;
		this.showStatus("Sent to the server…");
		this.update();
		try {
			const { value } = await action;
			this.showStatus(`${done} by the server at ${formatSeconds(value.confirmed)}`);
			return value.confirmed;
		} catch (error) {
			this.showStatus(error instanceof Error ? error.message : String(error), "error");
			return undefined;
		} finally {
			this.isBusy = false;
			this.update();
		}
	}

	async submit() {
		const text = this.input.value;
		if (this.isBusy || this.refusal || !this.isDirty) return;
		if ((await this.run(this.set(text), "Confirmed")) === undefined) return;
		this.base = text;
		if (hasFocus(this.button)) this.input.focus(); // because the button is about to be disabled
		this.update();
	}

	/** Return to the room's text. */
	discard() {
		this.input.value = this.base;
		this.showStatus("");
		this.update();
		this.input.focus();
	}

	typed() {
		if (!this.isBusy && this.status.dataset.kind !== "conflict") setText(this.status, "");
		this.update();
	}

	/** @param {KeyboardEvent} event */
	keyPressed(event) {
		if (event.key === "Enter") event.stopPropagation(); // with Shift or Ctrl it would run the cell
		if (event.key === "Escape" && this.isDirty) this.discard();
		const isSet = this.isOneLine ? !event.shiftKey : event.ctrlKey || event.metaKey;
		if (event.key !== "Enter" || event.isComposing || !isSet) return;
		event.preventDefault();
		this.submit();
	}

	update() {
		this.undo.hidden = !this.isDirty || this.isBusy;
		this.button.disabled = Boolean(this.refusal) || !this.isDirty;
		this.input.readOnly = Boolean(this.refusal);
	}

	/** @param {string} now */
	showConflict(now) {
		const quote = now.length > MAX_QUOTE ? `${now.slice(0, MAX_QUOTE)}…` : now || "(empty)";
		this.showStatus(`The room's text is now: ${quote}. Your text is kept.`, "conflict");
	}

	/**
	 * @param {string} text
	 * @param {"" | "error" | "conflict"} [kind]
	 */
	showStatus(text, kind = "") {
		this.status.dataset.kind = kind;
		setText(this.status, text);
	}
}

/** A field for a text that may be too long to be sent with every change. If it is JSON, it is also shown as a tree. */
export class LongTextEditor {
	/**
	 * @param {object} options
	 * @param {string} options.label
	 * @param {() => Promise<Answer<Beginning>>} options.read the text, up to the limit
	 * @param {EditorOptions["set"]} options.set
	 */
	constructor({ label, read, set }) {
		this.read = read;
		this.field = new Editor({ label, rows: 3, set });
		this.mark = new Mark();
		this.note = h("p", { class: "lknb-faint" });
		this.tree = h("div");
		this.loadButton = h(
			"button",
			{ type: "button", hidden: true, onclick: () => this.load() },
			"Load the whole text to edit it",
		);
		/** A long text that the user has loaded. @type {{ checksum: number, text: string } | undefined} */
		this.loaded = undefined;
		this.checksum = 0;
		this.drawn = "";
		this.element = h(
			"div",
			{ class: "lknb-text-editor" },
			this.note,
			this.field.element,
			this.loadButton,
			h("div", null, this.mark.element),
			this.tree,
		);
	}

	/**
	 * @param {EditableText} text
	 * @param {string} refusal why it may not be changed; empty if it may
	 * @param {number} changed
	 */
	draw({ text, more, checksum }, refusal, changed) {
		this.checksum = checksum;
		const loaded = this.loaded?.checksum === checksum ? this.loaded.text : undefined;
		const isPartial = more && loaded === undefined;
		this.loadButton.hidden = !isPartial;
		setText(this.note, refusal);
		this.field.draw(
			more ? (loaded ?? text) : text,
			refusal || (isPartial ? "This is only the beginning. Load the whole text to edit it." : ""),
		);
		this.mark.show(changed);
		if (text === this.drawn) return;
		this.drawn = text;
		const value = more ? undefined : parseContainer(text);
		this.tree.replaceChildren(...(value ? [tree(value)] : []));
	}

	async load() {
		const { checksum } = this; // the text may change while it is loaded
		try {
			const { text, more } = (await this.read()).value;
			if (more) throw new Error("This text is too long to edit here. Set it in a cell.");
			this.loaded = { checksum, text };
			this.loadButton.hidden = true;
			this.field.draw(text, "");
		} catch (error) {
			setText(this.note, error instanceof Error ? error.message : error);
		}
	}
}
