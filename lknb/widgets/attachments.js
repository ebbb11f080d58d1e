// A file of a chat message: its progress, its download, and its image.
import { image } from "./content.js";
import { formatSize, h, offerDownload, quoted, setText } from "./dom.js";

/** @import { AttachmentRow } from "./rows.js" */
/** @import { ChatActions } from "./message.js" */

export class AttachmentView {
	/**
	 * @param {string} message the key of the message
	 * @param {boolean} isOwn whether this participant sent the message
	 * @param {ChatActions} actions
	 */
	constructor(message, isOwn, { ask, outcome, signal, whenVisible }) {
		this.message = message;
		this.isOwn = isOwn;
		this.ask = ask;
		this.outcome = outcome;
		this.signal = signal;
		this.whenVisible = whenVisible;
		this.name = quoted("");
		this.state = h("span");
		this.download = h("div");
		this.picture = h("div", { class: "lknb-chat-image" });
		this.element = h("li", null, h("span", null, this.name), this.state, this.download, this.picture);
		this.isAvailable = false;
	}

	/** @param {AttachmentRow} file */
	fill(file) {
		setText(this.name, file.name);
		setText(this.state, describe(file, this.isOwn));
		this.element.dataset.status = file.status;
		if (Boolean(file.available) === this.isAvailable) return;
		this.isAvailable = Boolean(file.available);
		this.download.replaceChildren(...(file.available ? [this.downloadButton(file)] : []));
		const { type } = file;
		if (file.available && type) {
			this.whenVisible(this.picture, async () => {
				const content = await this.read(file, () => {}).catch(() => undefined);
				if (content) this.picture.append(image(content, type, `Image ${file.name}`));
			});
		}
	}

	/** @param {AttachmentRow} file */
	downloadButton(file) {
		const size = file.size ?? 0;
		const showProgress = (/** @type {number} */ done) => setText(button, `${Math.floor((100 * done) / size)} %`);
		const download = async () => {
			button.disabled = true;
			const content = await this.outcome.report(this.read(file, showProgress));
			button.disabled = false;
			setText(button, "Download");
			if (content && !this.signal.aborted) offerDownload(file.name, content);
		};
		const options = { type: "button", "aria-label": `Download ${file.name}`, onclick: download };
		const button = h("button", options, "Download");
		return button;
	}

	/**
	 * @param {AttachmentRow} file
	 * @param {(done: number) => void} progress
	 */
	async read({ id, name, size }, progress) {
		/** @type {BlobPart[]} */
		const parts = [];
		for (let at = 0; at < (size ?? 0) && !this.signal.aborted; ) {
			const { buffer } = await this.ask("file", { key: this.message, id, at });
			if (!buffer?.byteLength) throw new Error(`${name} could not be read completely. Try again.`);
			parts.push(buffer);
			at += buffer.byteLength;
			progress(at);
		}
		return new Blob(parts);
	}
}

/**
 * @param {AttachmentRow} file
 * @param {boolean} isOwn
 */
function describe({ status, size, transferred, evicted, error }, isOwn) {
	if (status === "missing") return isOwn ? "not sent" : "not received";
	if (status === "open") return `${formatSize(transferred)}${size ? ` of ${formatSize(size)}` : ""}, in progress…`;
	const parts = [formatSize(size)];
	if (status !== "ok") parts.push(`${status}: ${error ?? ""}`);
	else if (evicted) parts.push("dropped because the room's log is full");
	return parts.filter(Boolean).join(", ");
}
