// Sending a file from the browser to the room.
import { formatSize, h } from "./dom.js";
import { RecipientSelect } from "./recipients.js";
import { upload } from "./uploads.js";

/** @import { TransfersPart, TransfersValues } from "./rows.js" */
/** @import { Ask, Outcome } from "./view.js" */

export class FileSender {
	/**
	 * @param {Ask<TransfersPart>} ask
	 * @param {Outcome} outcome
	 * @param {AbortSignal} signal
	 */
	constructor(ask, outcome, signal) {
		this.ask = ask;
		this.outcome = outcome;
		/** @type {TransfersValues | undefined} */
		this.values = undefined;
		this.isUploading = false;
		this.uploading = new AbortController();
		signal.addEventListener("abort", () => this.uploading.abort());
		this.file = h("input", { type: "file", "aria-label": "File to send", onchange: () => this.chosen() });
		this.to = new RecipientSelect({ "aria-label": "Recipient" }, true);
		this.topic = h("input", { type: "text", "aria-label": "Topic", placeholder: "topic", spellcheck: false });
		this.send = h("button", { type: "button", disabled: true, onclick: () => this.sendFile() }, "Send");
		this.stop = h("button", { type: "button", hidden: true, onclick: () => this.uploading.abort() }, "Stop");
		this.bar = h("progress", { hidden: true, "aria-label": "Progress of the upload" });
		this.element = h(
			"div",
			{ class: "lknb-bar lknb-send", role: "group", "aria-label": "Send a file" },
			this.file,
			h("label", null, "to ", this.to.element),
			this.topic,
			this.send,
			this.bar,
			this.stop,
		);
	}

	/** @param {TransfersValues} values */
	draw(values) {
		this.values = values;
		this.to.draw(values.people.map((identity) => [identity, identity]));
	}

	/** The chosen file; none when it is too large, which is shown. */
	fittingFile() {
		const file = this.file.files?.[0];
		const limit = this.values?.uploadLimit ?? Number.POSITIVE_INFINITY;
		if (!file || file.size <= limit) return file;
		this.outcome.fail(
			`${file.name} is ${formatSize(file.size)}; at most ${formatSize(limit)} go through the browser. ` +
				"A cell can send a file of any size: room.send_file(path).",
		);
		return undefined;
	}

	chosen() {
		const file = this.fittingFile();
		if (file) this.outcome.show("");
		this.send.disabled = this.isUploading || !file;
	}

	async sendFile() {
		const file = this.fittingFile();
		if (!file || this.isUploading) return;
		const [to, topic] = [this.to.value, this.topic.value];
		const key = await this.upload(file);
		if (key === undefined) return;
		this.outcome.show(`Sending ${file.name}`);
		const answer = await this.outcome.report(this.ask("send", { key, topic, to }));
		if (answer) this.outcome.show(`${file.name} was sent to ${to || "everybody"}.`);
	}

	/** @param {File} file */
	async upload(file) {
		this.isUploading = true;
		this.send.disabled = true;
		this.uploading = new AbortController();
		this.bar.max = file.size || 1;
		this.bar.value = 0;
		// A file of one piece is there at once.
		this.bar.hidden = this.stop.hidden = file.size <= (this.values?.piece ?? 0);
		const uploaded = upload(this.ask, file, this.uploading.signal, (done) => {
			this.bar.value = done;
			if (!this.bar.hidden)
				this.outcome.show(`Uploading ${file.name}: ${formatSize(done)} of ${formatSize(file.size)}`);
		});
		const key = await this.outcome.report(uploaded);
		this.isUploading = false;
		this.bar.hidden = this.stop.hidden = true;
		this.send.disabled = !this.file.files?.length;
		return key;
	}
}
