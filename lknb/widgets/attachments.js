// A file of a chat message: how it arrives, its download, and its image.
import { image } from "./content.js";
import { formatSize, h, offerDownload, quoted, setText } from "./dom.js";

/** @import { AttachmentRow } from "./rows.js" */
/** @import { ChatActions } from "./message.js" */

/** Bytes of an image that is shown in the chat; larger ones can only be downloaded. */
const LARGEST_IMAGE = 5 * 1024 * 1024;

export class AttachmentView {
	/**
	 * @param {string} message the key of the message
	 * @param {boolean} isOwn whether this participant sends it
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
		this.isThere = false;
	}

	/** @param {AttachmentRow} file */
	fill(file) {
		setText(this.name, file.name);
		setText(this.state, describe(file, this.isOwn));
		this.element.dataset.status = file.status;
		if (Boolean(file.there) === this.isThere) return;
		this.isThere = Boolean(file.there);
		this.download.replaceChildren(...(file.there ? [this.downloadButton(file)] : []));
		const { type, size } = file;
		if (file.there && type && (size ?? 0) <= LARGEST_IMAGE) {
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
			if (!buffer?.byteLength) throw new Error(`${name} could not be read to its end. Try again.`);
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
function describe({ status, size, transferred, gone, error }, isOwn) {
	if (status === "missing") return isOwn ? "not sent" : "not received";
	if (status === "open") return `${formatSize(transferred)}${size ? ` of ${formatSize(size)}` : ""}, under way…`;
	const parts = [formatSize(size)];
	if (status !== "ok") parts.push(`${status}: ${error ?? ""}`);
	else if (gone) parts.push("dropped, as the room's log is bounded");
	return parts.filter(Boolean).join(", ");
}
