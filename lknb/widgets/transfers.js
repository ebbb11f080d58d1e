// Transfers: every byte stream, both directions, with progress; to cancel, save and look at, and files to send.
import { image } from "./content.js";
import { clock, h, keyed, lasted, quoted, save, say, size } from "./dom.js";
import { handOver } from "./uploads.js";
import { outcome } from "./view.js";

/** @typedef {import("./sync.js").Row} Row */

/** So many rows stand in the page besides those under way; the kernel has more. */
const SHOWN = 60;
/** Images up to this many bytes are fetched when they come into view, larger ones when asked for. */
const AT_ONCE = 1_000_000;

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function transfers({ ask, follow, signal, store }) {
	const { element: said, report } = outcome();
	const list = h("ul", { class: "lknb-transfers", "aria-label": "Transfers" });
	const empty = h("p", { class: "lknb-empty" }, "No file has been sent or received. Choose one above and send it.");
	const more = h("p", { class: "lknb-note" });
	const scroll = h("div", { class: "lknb-scroll", role: "region", tabIndex: 0, "aria-label": "Transfers" });
	scroll.append(list, empty, more);
	const sending = sender(ask, report, said, signal);

	/** @type {Record<string, any>} */
	let values = {};
	/** @type {WeakMap<Element, (row: Row) => void>} */
	const fills = new WeakMap();
	/** @type {WeakMap<Element, () => void>} */
	const looks = new WeakMap();
	/** The names of what goes out and was asked to be cancelled, while there is no answer. @type {Map<string, string>} */
	const asked = new Map();
	const watch = new IntersectionObserver((entries) => {
		for (const { isIntersecting, target } of entries) {
			if (!isIntersecting) continue;
			watch.unobserve(target);
			looks.get(target)?.();
		}
	});
	signal.addEventListener("abort", () => watch.disconnect());

	follow((state) => {
		values = state.values;
		sending.draw(values);
		// A cell that sends keeps the kernel from hearing that it shall stop; only an interrupt reaches it.
		for (const name of store.waiting ? asked.values() : [])
			say(said, `The kernel is busy. If it is its cell that sends ${name}, interrupt the cell to stop it.`);
		const newest = [...(state.rows.transfers ?? [])].reverse();
		const shown = newest.filter(([, row], index) => index < SHOWN || row.status === "open");
		keyed(list, shown, entry, (element, row) => fills.get(element)?.(row));
		empty.hidden = shown.length > 0 || values.total === undefined;
		const older = (values.total ?? 0) - shown.length;
		more.hidden = older <= 0;
		say(more, `${older.toLocaleString()} older ${older === 1 ? "one is" : "ones are"} not shown.`);
	});

	/**
	 * @param {string} key
	 * @param {Row} first
	 */
	function entry(key, first) {
		/** @type {Row} */
		let row = first;
		const bar = h("progress", { "aria-label": `Progress of ${first.name}` });
		const told = h("span", { class: "lknb-number" });
		const trouble = h("p", { class: "lknb-transfer-error" });
		const saved = h("p", { class: "lknb-note" });
		const picture = h("div", { class: "lknb-transfer-image" });
		const button = (/** @type {string} */ label, /** @type {() => any} */ onclick) =>
			h("button", { type: "button", onclick, "aria-label": `${label}: ${first.name}` }, label);
		const cancel = button("Cancel", async () => {
			cancel.disabled = true;
			if (row.direction === "out") asked.set(key, row.name);
			const answer = await report(ask("cancel", { key }));
			asked.delete(key);
			cancel.disabled = false;
			if (answer) say(said, answer.value ? `${row.name} was cancelled.` : `${row.name} had ended already.`);
		});
		const download = button("Download", async () => {
			download.disabled = true;
			await report(fetched());
			download.disabled = false;
		});
		const keep = button("Save to folder", async () => {
			keep.disabled = true;
			const answer = await report(ask("save", { key }));
			keep.disabled = false;
			if (answer) say(said, `Saved as ${answer.value.path}`);
		});
		const show = button("Show image", () => look());
		const element = h(
			"li",
			{ class: "lknb-transfer", tabIndex: -1 },
			h("div", { class: "lknb-transfer-head" }, ...heading(first)),
			h(
				"div",
				{ class: "lknb-transfer-state" },
				bar,
				told,
				h("span", { class: "lknb-transfer-buttons" }, cancel, show, download, keep),
			),
			trouble,
			saved,
			picture,
		);

		async function fetched() {
			/** @type {DataView[]} */
			const pieces = [];
			for (let at = 0; at < row.size; ) {
				const { buffer } = await ask("piece", { key, at });
				if (!buffer?.byteLength) throw new Error(`${row.name} could not be read to its end. Try again.`);
				pieces.push(buffer);
				at += buffer.byteLength;
				if (row.size > values.piece) say(said, `Downloading ${row.name}: ${size(at)} of ${size(row.size)}`);
				if (signal.aborted) return;
			}
			save(row.name, /** @type {any} */ (new Blob(/** @type {any} */ (pieces))));
			say(said, `${row.name} was given to the browser to download.`);
		}

		let looked = false;
		async function look() {
			if (looked) return;
			looked = true;
			try {
				const { value, buffer } = await ask("image", { key });
				if (buffer) picture.replaceChildren(image(buffer, value.type, row.name));
			} catch (error) {
				looked = false;
				report(Promise.reject(error));
			}
			show.hidden = looked;
		}

		fills.set(element, (now) => {
			row = now;
			const isOpen = row.status === "open";
			element.dataset.status = row.status;
			bar.hidden = !isOpen;
			if (row.size) {
				bar.max = row.size;
				bar.value = Math.min(row.transferred, row.size);
			}
			say(told, isOpen ? underWay(row) : ended(row));
			trouble.hidden = !row.error;
			trouble.replaceChildren(h("strong", { class: "lknb-trouble" }, row.status), quoted(row.error ?? ""));
			say(saved, row.saved ? `Saved as ${row.saved}` : "");
			saved.hidden = !row.saved;
			if (!isOpen && document.activeElement === cancel) element.focus();
			cancel.hidden = !isOpen;
			keep.hidden = !row.file;
			download.hidden = !row.file || row.size > values.downloadLimit;
			show.hidden = !row.image || looked;
			if (row.image && !looked && row.size <= AT_ONCE) {
				looks.set(element, look);
				watch.observe(element);
			}
		});
		return element;
	}

	return h("div", null, sending.element, said, scroll);
}

/** @param {Row} row */
function heading(row) {
	const incoming = row.direction === "in";
	const others = row.recipients - row.to.length;
	return [
		h(
			"span",
			{ class: "lknb-transfer-name" },
			h("span", { "aria-hidden": "true" }, incoming ? "← " : "→ "),
			quoted(row.name || "unnamed"),
		),
		h(
			"span",
			{ class: "lknb-transfer-facts" },
			incoming ? "from " : "to ",
			...(incoming ? [quoted(row.sender)] : row.to.length ? names(row.to) : ["everybody"]),
			others > 0 ? ` and ${others} more` : "",
			...(row.topic ? [", topic ", quoted(row.topic)] : []),
			`, ${clock(row.time).slice(0, 8)}`,
		),
	];
}

/** @param {string[]} identities */
function names(identities) {
	return identities.flatMap((each, index) => [index ? ", " : "", quoted(each)]);
}

/** @param {Row} row */
function underWay(row) {
	const parts = [row.size ? `${size(row.transferred)} of ${size(row.size)}` : size(row.transferred)];
	if (row.rate) parts.push(`${size(row.rate)}/s`);
	else if (row.rate === 0) parts.push("nothing moves just now");
	if (row.left !== null && row.left !== undefined) parts.push(`${remaining(row.left)} left`);
	return parts.join(", ");
}

/** @param {Row} row */
function ended(row) {
	if (row.status !== "ok") return row.size ? `${size(row.transferred)} of ${size(row.size)}` : size(row.transferred);
	const parts = [`${size(row.size)} ${row.direction === "in" ? "received" : "sent"} in ${lasted(row.duration)}`];
	if (row.duration > 0.5 && row.size) parts.push(`${size(Math.round(row.size / row.duration))}/s`);
	if (row.verified) parts.push("SHA-256 verified");
	else if (row.file) parts.push("no SHA-256 to compare with");
	return parts.join(", ");
}

/** @param {number} seconds */
export function remaining(seconds) {
	if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s`;
	const minutes = Math.ceil(seconds / 60);
	return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * The controls that send a file from this browser.
 * @param {import("./view.js").Context["ask"]} ask
 * @param {(doing: Promise<any>) => Promise<any>} report
 * @param {HTMLElement} said
 * @param {AbortSignal} signal
 */
function sender(ask, report, said, signal) {
	/** @type {Record<string, any>} */
	let values = {};
	const file = h("input", { type: "file", "aria-label": "File to send" });
	const to = h("select", { "aria-label": "Recipient" });
	const topic = h("input", { type: "text", "aria-label": "Topic", placeholder: "topic", spellcheck: false });
	const send = h("button", { type: "button", disabled: true, onclick: go }, "Send");
	const stop = h("button", { type: "button", hidden: true, onclick: () => stopping.abort() }, "Stop");
	const bar = h("progress", { hidden: true, "aria-label": "Progress of the upload" });
	let stopping = new AbortController();
	signal.addEventListener("abort", () => stopping.abort());
	let busy = false;

	const fits = () => {
		const chosen = file.files?.[0];
		if (chosen && chosen.size > values.uploadLimit) {
			report(
				Promise.reject(
					new Error(
						`${chosen.name} is ${size(chosen.size)}; at most ${size(values.uploadLimit)} go through the browser. ` +
							"A cell can send a file of any size: room.send_file(path).",
					),
				),
			);
			return undefined;
		}
		return chosen;
	};
	file.addEventListener("change", () => {
		const chosen = fits();
		if (chosen) report(Promise.resolve());
		send.disabled = busy || !chosen;
	});

	async function go() {
		const chosen = fits();
		if (!chosen || busy) return;
		busy = true;
		send.disabled = true;
		stopping = new AbortController();
		const whom = to.value;
		const where = topic.value;
		bar.max = chosen.size || 1;
		bar.value = 0;
		bar.hidden = stop.hidden = chosen.size <= values.piece;
		const uploaded = handOver(ask, chosen, stopping.signal, (done) => {
			bar.value = done;
			if (!bar.hidden) say(said, `Uploading ${chosen.name}: ${size(done)} of ${size(chosen.size)}`);
		});
		const key = await report(uploaded);
		busy = false;
		bar.hidden = true;
		stop.hidden = true;
		send.disabled = !file.files?.length;
		if (key === undefined) return;
		say(said, `Sending ${chosen.name}`);
		const answer = await report(ask("send", { key, topic: where, to: whom }));
		if (answer) say(said, `${chosen.name} was sent to ${whom || "everybody"}.`);
	}

	return {
		element: h(
			"div",
			{ class: "lknb-bar lknb-send", role: "group", "aria-label": "Send a file" },
			file,
			h("label", null, "to ", to),
			topic,
			send,
			bar,
			stop,
		),
		/** @param {Record<string, any>} now */
		draw(now) {
			values = now;
			const people = /** @type {string[]} */ (now.people ?? []);
			const entries = people.map((each) => /** @type {[string, string]} */ ([`@${each}`, each]));
			// Whoever was chosen stays chosen: what is for one shall not go to everybody because they have left.
			if (to.value && !people.includes(to.value)) entries.push([`@${to.value}`, `${to.value} (not here)`]);
			keyed(
				to,
				[/** @type {[string, string]} */ (["", "everybody"]), ...entries],
				(key) => h("option", { value: key.slice(1) }),
				(option, label) => say(option, label),
			);
		},
	};
}
