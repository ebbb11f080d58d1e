// Chat: the messages of `lk.chat` while they are written, with replies, edits and attachments.
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
		composer.draw(state.values);
	});
	return h("div", { class: "lknb-chat" }, messages.element, note, composer.element, outcome.element);
}

/** @param {ChatValues} values */
function describeTrouble({ state, dropped, unreadable }) {
	const notes = [];
	if (state === "closed") notes.push("The room is closed. You can no longer send messages.");
	else if (state !== "connected") notes.push(`The room is ${state}. You cannot send messages now.`);
	if (dropped) notes.push(`${dropped.toLocaleString()} older messages were dropped.`);
	if (unreadable) notes.push(`${unreadable.toLocaleString()} chat packets could not be read.`);
	return notes.join(" ");
}
