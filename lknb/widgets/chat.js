// Chat: the texts of `lk.chat` as they grow, replies, edits and attachments.
import { Composer } from "./composer.js";
import { h, setText } from "./dom.js";
import { Messages } from "./messages.js";
import { Outcome } from "./view.js";

/** @import { ChatPart, ChatValues } from "./rows.js" */
/** @import { Context } from "./view.js" */

/**
 * @param {Context<ChatPart>} context
 * @returns {HTMLElement}
 */
export function chat({ ask, follow, signal }) {
	const outcome = new Outcome();
	const composer = new Composer(ask, outcome);
	const messages = new Messages({
		ask,
		outcome,
		signal,
		reply: (key, row) => composer.reply(key, row),
		edit: (key, row) => composer.edit(key, row),
	});
	const note = h("p", { class: "lknb-note", hidden: true });
	follow((state) => {
		messages.draw(state);
		const notes = describeTrouble(state.values);
		note.hidden = !notes;
		setText(note, notes);
		composer.draw(state.values.people);
	});
	return h("div", { class: "lknb-chat" }, messages.element, note, composer.element, outcome.element);
}

/** @param {ChatValues} values */
function describeTrouble({ state, gone, unreadable }) {
	const notes = [];
	if (state === "closed") notes.push("The room is closed: nothing can be sent any more.");
	else if (state !== "connected") notes.push(`The room is ${state}: nothing can be sent now.`);
	if (gone) notes.push(`${gone.toLocaleString()} older messages were dropped.`);
	if (unreadable) notes.push(`${unreadable.toLocaleString()} chat packets could not be read.`);
	return notes.join(" ");
}
