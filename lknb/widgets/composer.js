// Writing a chat message: its text, its recipient, what it answers or edits, and its attachments.
import { formatSize, h, quoted, setText } from "./dom.js";
import { oneLine } from "./message.js";
import { RecipientSelect } from "./recipients.js";
import { upload } from "./uploads.js";

/** @import { ChatPart, MessageRow } from "./rows.js" */
/** @import { Ask, Outcome } from "./view.js" */

/** Characters of a message, at most; longer texts are sent by a cell. */
const MAX_LENGTH = 1_000_000;

/** @typedef {{ kind: "reply" | "edit", key: string, name: string, text: string }} Subject what the next message is about */

export class Composer {
	/**
	 * @param {Ask<ChatPart>} ask
	 * @param {Outcome} outcome
	 */
	constructor(ask, outcome) {
		this.ask = ask;
		this.outcome = outcome;
		/** @type {Subject | undefined} */
		this.subject = undefined;
		this.attachments = new Attachments(ask, outcome, () => this.text.focus());
		this.text = h("textarea", {
			rows: 2,
			"aria-label": "Message",
			placeholder: "Write a message",
			maxLength: MAX_LENGTH,
			onkeydown: (/** @type {KeyboardEvent} */ event) => this.keyPressed(event),
		});
		this.to = new RecipientSelect({ "aria-label": "To" }, true);
		this.toLabel = h("label", null, "To ", this.to.element);
		this.subjectText = h("span", null);
		const cancel = h("button", { type: "button", onclick: () => this.setSubject(undefined) }, "Cancel");
		this.subjectLine = h("p", { class: "lknb-chat-about", hidden: true }, this.subjectText, cancel);
		this.button = h("button", { type: "submit", class: "lknb-chat-send" }, "Send");
		const { list, button: attach, input } = this.attachments;
		this.element = h(
			"form",
			{
				class: "lknb-chat-compose",
				"aria-label": "New message",
				onsubmit: (/** @type {Event} */ event) => {
					event.preventDefault();
					this.send();
				},
			},
			this.subjectLine,
			this.text,
			list,
			h("div", { class: "lknb-bar" }, this.toLabel, attach, input, this.button),
		);
		this.drawSubject();
	}

	/** @param {[identity: string, name: string][]} people */
	draw(people) {
		this.to.draw(people);
	}

	/** @param {KeyboardEvent} event */
	keyPressed(event) {
		event.stopPropagation(); // Shift+Enter would run the cell
		if (event.key === "Escape" && this.subject) this.setSubject(undefined);
		if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
		event.preventDefault();
		this.send();
	}

	/**
	 * @param {string} key
	 * @param {MessageRow} row
	 */
	reply(key, row) {
		this.setSubject({ kind: "reply", key, name: row.name, text: oneLine(row.text) });
	}

	/**
	 * @param {string} key
	 * @param {MessageRow} row
	 */
	async edit(key, row) {
		const subject = /** @type {const} */ ({ kind: "edit", key, name: row.name, text: oneLine(row.text) });
		this.setSubject(subject);
		const answer = await this.outcome.report(this.ask("read", { key }));
		if (answer && this.subject === subject) this.text.value = answer.value.text;
	}

	/** @param {Subject | undefined} subject */
	setSubject(subject) {
		// The text of an abandoned edit is not a message.
		if (this.subject?.kind === "edit" && subject?.kind !== "edit") this.text.value = "";
		this.subject = subject;
		this.drawSubject();
		this.text.focus();
	}

	drawSubject() {
		const { subject } = this;
		const isEdit = subject?.kind === "edit";
		this.subjectLine.hidden = !subject;
		// An edit goes to those who have the message, and cannot add files.
		this.toLabel.hidden = this.attachments.button.hidden = isEdit;
		setText(this.button, isEdit ? "Save edit" : "Send");
		if (subject)
			setText(this.subjectText, isEdit ? "Editing your message" : `Reply to ${subject.name}: ${subject.text}`);
	}

	async send() {
		const uploaded = await this.attachments.uploaded();
		const text = this.text.value;
		const { subject } = this;
		const isEdit = subject?.kind === "edit";
		const files = isEdit ? [] : uploaded;
		if (!text.trim() && files.length === 0) return;
		this.text.value = "";
		this.subject = undefined;
		this.drawSubject();
		for (const file of files) this.attachments.remove(file);
		const sending = this.ask("send", {
			text,
			to: this.to.value,
			reply_to: subject?.kind === "reply" ? subject.key : "",
			edits: isEdit ? subject.key : "",
			files: files.map((file) => file.key),
		});
		if (await this.outcome.report(sending)) return;
		// Restore what was not sent, unless the user has begun something else.
		this.attachments.restore(files);
		if (this.text.value || this.subject) return;
		this.text.value = text;
		this.subject = subject;
		this.drawSubject();
	}
}

/** A file that is uploaded to the kernel, and sent with the message. */
class Attachment {
	/**
	 * @param {File} file
	 * @param {(attachment: Attachment) => void} remove
	 */
	constructor(file, remove) {
		/** The kernel's name for it, once it is uploaded. */
		this.key = "";
		this.file = file;
		this.removed = new AbortController();
		this.progress = h("span", null, formatSize(file.size));
		const button = h(
			"button",
			{ type: "button", "aria-label": `Remove ${file.name}`, onclick: () => remove(this) },
			"Remove",
		);
		this.element = h("li", null, quoted(file.name), this.progress, button);
		/** Settles when it is uploaded or has failed. */
		this.settled = Promise.resolve();
	}

	/** @param {number} done */
	showProgress(done) {
		const { size } = this.file;
		setText(this.progress, done < size ? `${formatSize(done)} of ${formatSize(size)}` : formatSize(size));
	}
}

/** The files that go with the next message. */
class Attachments {
	/**
	 * @param {Ask<ChatPart>} ask
	 * @param {Outcome} outcome
	 * @param {() => void} focusText
	 */
	constructor(ask, outcome, focusText) {
		this.ask = ask;
		this.outcome = outcome;
		this.focusText = focusText;
		/** @type {Attachment[]} */
		this.files = [];
		this.list = h("ul", { class: "lknb-chat-files lknb-chat-chosen" });
		this.input = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files to attach" });
		this.button = h("button", { type: "button", onclick: () => this.input.click() }, "Attach…");
		this.input.addEventListener("change", () => {
			for (const file of this.input.files ?? []) this.add(file);
			this.input.value = "";
		});
	}

	/** @param {File} file */
	add(file) {
		const attachment = new Attachment(file, (one) => this.discard(one));
		this.files.push(attachment);
		this.list.append(attachment.element);
		attachment.settled = this.upload(attachment);
	}

	/** @param {Attachment} attachment */
	async upload(attachment) {
		const { signal } = attachment.removed;
		try {
			attachment.key = await upload(this.ask, attachment.file, signal, (done) => attachment.showProgress(done));
		} catch (error) {
			if (signal.aborted) return;
			this.remove(attachment);
			this.outcome.fail(error);
		}
	}

	/** @param {Attachment} attachment */
	discard(attachment) {
		this.remove(attachment);
		attachment.removed.abort();
		if (attachment.key) this.outcome.report(this.ask("discard", { key: attachment.key }));
		this.focusText();
	}

	/** @param {Attachment} attachment */
	remove(attachment) {
		this.files = this.files.filter((file) => file !== attachment);
		attachment.element.remove();
	}

	/** @param {Attachment[]} files */
	restore(files) {
		this.files = [...files, ...this.files];
		this.list.prepend(...files.map((file) => file.element));
	}

	/** The files chosen so far, without those that failed or were removed meanwhile. */
	async uploaded() {
		const chosen = this.files;
		await Promise.all(chosen.map((file) => file.settled));
		return chosen.filter((file) => this.files.includes(file));
	}
}
