// One message of a chat: its author, the message that it answers, its text while it is written, and its files.
import { AttachmentView } from "./attachments.js";
import { formatMinutes, formatMoment, formatSize, h, KeyedList, quoted, setText } from "./dom.js";

/** @import { AttachmentRow, ChatPart, ChatValues, MessageRow, PieceRow, QuoteRow } from "./rows.js" */
/** @import { Ask, Outcome } from "./view.js" */

/**
 * What a message can do outside its own element.
 * @typedef {object} ChatActions
 * @property {Ask<ChatPart>} ask
 * @property {Outcome} outcome
 * @property {AbortSignal} signal
 * @property {(key: string, row: MessageRow) => void} reply
 * @property {(key: string, row: MessageRow) => void} edit
 * @property {(key: string) => void} focus moves to another message
 * @property {() => void} redraw
 * @property {(element: HTMLElement, act: () => void) => void} whenVisible
 */

/** @typedef {{ piece: string, text: string, more: number }} WholeText the name of its edit, and the number of characters beyond the limit */

/** Colours in `lknb.css`. */
const HUES = 6;

export class Message {
	/**
	 * @param {string} key
	 * @param {ChatActions} actions
	 */
	constructor(key, actions) {
		this.key = key;
		this.actions = actions;
		/** @type {MessageRow | undefined} */
		this.row = undefined;
		this.isTextStale = true;
		/** @type {WholeText | undefined} */
		this.whole = undefined;
		this.head = h("header", null);
		this.quote = h("div", { class: "lknb-chat-quote" });
		this.text = h("div", { class: "lknb-chat-text", dir: "auto" });
		this.notes = h("p", { class: "lknb-chat-state" });
		const files = h("ul", { class: "lknb-chat-files" });
		this.buttons = h("div", { class: "lknb-chat-actions" });
		/** @type {KeyedList<AttachmentRow, AttachmentView>} */
		this.files = new KeyedList(files, () => new AttachmentView(this.key, Boolean(this.row?.own), actions));
		this.element = h(
			"article",
			{ class: "lknb-chat-message", tabIndex: -1 },
			this.head,
			this.quote,
			this.text,
			this.notes,
			files,
			this.buttons,
		);
	}

	/** @param {MessageRow} row */
	fill(row) {
		this.row = row;
		this.isTextStale = true;
		this.element.dataset.status = row.status;
		this.element.dataset.own = String(row.own);
		// Screen readers then read out a growing text when it is complete.
		this.element.setAttribute("aria-busy", String(row.open));
		onChange(this.head, [row.name, row.sender, row.to, row.edited], () => headline(row));
		onChange(this.quote, row.reply, () => (row.reply ? [this.quotation(row.reply)] : []));
		this.files.draw(row.files.map((file) => [file.id, file]));
		onChange(this.buttons, [row.can_reply, row.can_edit], () => this.offers());
	}

	/** The buttons for replying and editing. */
	offers() {
		const { reply, edit } = this.actions;
		const button = (/** @type {string} */ label, /** @type {typeof reply} */ act) =>
			h("button", { type: "button", onclick: () => this.row && act(this.key, this.row) }, label);
		const buttons = [];
		if (this.row?.can_reply) buttons.push(button("Reply", reply));
		if (this.row?.can_edit) buttons.push(button("Edit", edit));
		return buttons;
	}

	/** @param {QuoteRow} reply */
	quotation({ key, name, text }) {
		const inside = [name ? quoted(`${name}: `, "lknb-chat-who") : "", quoted(oneLine(text))];
		if (!key) return h("span", null, "In reply to ", inside);
		const label = "Go to the answered message";
		return h("button", { type: "button", "aria-label": label, onclick: () => this.actions.focus(key) }, inside);
	}

	/**
	 * Draw the text as far as it is known, and its notes. Cheap if nothing has changed.
	 * @param {Map<string, PieceRow>} pieces
	 * @param {ChatValues} values
	 */
	drawText(pieces, values) {
		const { row } = this;
		if (!row) return;
		if (!this.isTextStale && !row.open && !this.whole && !pieces.has(`${row.piece}.0`)) return;
		this.isTextStale = false;
		if (this.whole?.piece !== row.piece) this.whole = undefined; // an edit has replaced the text
		const whole = row.open ? undefined : this.whole;
		const parts = whole ? [whole.text] : [row.text, ...piecesOf(row, pieces)];
		this.drawParts(parts);
		this.text.dataset.whole = String(whole !== undefined);
		this.text.hidden = !row.text;
		this.text.tabIndex = whole ? 0 : -1; // a whole text scrolls
		const here = values.head_length + (parts.length - 1) * values.piece_length;
		const bytes = values.growing[this.key] ?? row.size;
		// The size of an open text is known in bytes, and a character has at most four.
		const isPartial = !whole && (row.open ? bytes > 4 * here : row.length > here);
		const notes = describeNotes(row, whole, isPartial ? bytes : 0);
		const offersWhole = !row.open && isPartial;
		this.notes.hidden = !notes && !offersWhole;
		onChange(this.notes, [notes, offersWhole], () => [
			quoted(notes),
			...(offersWhole ? [this.wholeButton(row.size)] : []),
		]);
	}

	/**
	 * Keep the elements of existing parts, so that a growing text is not redrawn.
	 * @param {string[]} parts
	 */
	drawParts(parts) {
		while (this.text.childElementCount > parts.length) this.text.lastElementChild?.remove();
		for (const [index, part] of parts.entries()) {
			if (!this.text.children[index]) this.text.append(h("span", null));
			setText(/** @type {HTMLElement} */ (this.text.children[index]), part);
		}
	}

	/** @param {number} bytes */
	wholeButton(bytes) {
		const show = async () => {
			const { ask, outcome, redraw } = this.actions;
			const piece = this.row?.piece ?? "";
			const answer = await outcome.report(ask("read", { key: this.key }));
			if (!answer) return;
			this.whole = { piece, ...answer.value };
			redraw();
		};
		return h("button", { type: "button", onclick: show }, `Show all (${formatSize(bytes)})`);
	}
}

/**
 * Replace an element's children, but only if their content has changed, so that they keep the focus.
 * @param {HTMLElement} element
 * @param {unknown} shown
 * @param {() => HTMLElement[]} children
 */
function onChange(element, shown, children) {
	const now = JSON.stringify(shown);
	if (element.dataset.shown === now) return;
	element.dataset.shown = now;
	element.replaceChildren(...children());
}

/** @param {MessageRow} row */
function headline(row) {
	const hue = `--lknb-author: var(--lknb-hue-${hueOf(row.sender ?? "")})`;
	const elements = [h("strong", { class: "lknb-chat-author", title: row.sender ?? "", style: hue }, quoted(row.name))];
	if (row.own) elements.push(h("span", null, " (you)"));
	if (row.to.length) elements.push(h("span", null, " to ", quoted(recipients(row)), " only"));
	const date = new Date(row.time);
	const time = { dateTime: date.toISOString(), title: formatMoment(row.time) };
	elements.push(h("time", time, formatMinutes(row.time)));
	if (row.edited) elements.push(h("span", { class: "lknb-chat-tag" }, "edited"));
	return elements;
}

/**
 * The number of a participant's colour: always the same one.
 * @param {string} identity
 */
function hueOf(identity) {
	let sum = 0;
	for (const char of identity) sum = (sum * 31 + /** @type {number} */ (char.codePointAt(0))) % 9973;
	return (sum % HUES) + 1;
}

/** @param {MessageRow} row */
function recipients({ to, more_to: more }) {
	return to.join(", ") + (more ? ` and ${more} more` : "");
}

/**
 * The pieces of the text after its beginning.
 * @param {MessageRow} row
 * @param {Map<string, PieceRow>} pieces
 */
function piecesOf(row, pieces) {
	const texts = [];
	for (;;) {
		const piece = pieces.get(`${row.piece}.${texts.length}`);
		if (!piece) return texts;
		texts.push(piece.text);
	}
}

/**
 * @param {MessageRow} row
 * @param {WholeText | undefined} whole
 * @param {number} partialBytes the size of a text if only its beginning is shown; otherwise 0
 */
function describeNotes(row, whole, partialBytes) {
	const notes = [];
	if (row.open) notes.push(row.own ? "sending…" : "receiving…");
	if (row.open && partialBytes) notes.push(`${formatSize(partialBytes)} so far; only the beginning is shown.`);
	const failure = row.own ? "Not sent" : "Incomplete";
	if (row.error) notes.push(`${failure}: ${row.error}`);
	else if (row.status === "failed") notes.push(failure);
	if (row.cut) notes.push(`${row.cut.toLocaleString()} more characters were dropped because the room's log is full.`);
	if (row.trouble) notes.push(`The edit failed: ${row.trouble}`);
	if (whole?.more)
		notes.push(`${whole.more.toLocaleString()} more characters are not shown. The whole text is in room.events.`);
	return notes.join(" ");
}

/**
 * A text as one line, which the style sheet cuts.
 * @param {string} text
 */
export function oneLine(text) {
	return text.replace(/\s+/g, " ");
}
