// Chat: the texts of `lk.chat` as they grow, replies, edits and attachments.
import { image } from "./content.js";
import { h, inert, keyed, quoted, save, say, size } from "./dom.js";
import { handOver } from "./uploads.js";
import { outcome } from "./view.js";

/** So many messages stand in the page at first; more on request. */
const SHOWN = 150;
/** Larger images are only offered for download. */
const INLINE = 5 * 1024 * 1024;
/** Pixels from the end that still count as the end. */
const NEAR = 30;

/** @typedef {import("./sync.js").Row} Row */
/** @typedef {import("./sync.js").PartState} PartState */
/** @typedef {{ kind: "reply" | "edit", key: string, name: string, text: string }} About what the next message is about */
/** @typedef {{ key: string, removed: AbortController, element: HTMLElement, waiting: Promise<void> }} Attached a file, and what the kernel calls it */

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function chat({ ask, follow, signal }) {
	const { element: said, report } = outcome();
	/** @type {PartState} */
	let last = { values: {}, rows: {} };
	let shown = SHOWN;

	// The messages

	/** Whole texts that have been asked for, by message, and of which edit. @type {Map<string, { piece: string, text: string, more: number }>} */
	const wholes = new Map();
	let stays = true; // at the end, as messages come
	let newest = "";
	/** @type {Set<string>} */
	const unseen = new Set();
	const older = h("button", { type: "button", class: "lknb-chat-older", hidden: true, onclick: showOlder });
	const list = h("div", { class: "lknb-chat-messages" });
	const empty = h("p", { class: "lknb-empty" });
	const log = h(
		"div",
		{ class: "lknb-scroll lknb-chat-log", role: "log", tabIndex: 0, "aria-label": "Messages", "aria-live": "polite" },
		older,
		empty,
		list,
	);
	const jump = h("button", { type: "button", class: "lknb-chat-jump", hidden: true, onclick: toEnd });
	const note = h("p", { class: "lknb-note", hidden: true });
	log.addEventListener(
		"scroll",
		() => {
			stays = atEnd();
			if (stays) seen();
		},
		{ signal },
	);
	const watch = new ResizeObserver(() => stays && end());
	watch.observe(log);
	watch.observe(list);
	const near = new IntersectionObserver((entries) => {
		for (const entry of entries) {
			if (entry.isIntersecting) arrived.get(/** @type {HTMLElement} */ (entry.target))?.();
		}
	});
	/** What to do once an element is in sight. @type {WeakMap<HTMLElement, () => void>} */
	const arrived = new WeakMap();
	signal.addEventListener("abort", () => {
		watch.disconnect();
		near.disconnect();
	});

	function atEnd() {
		return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
	}
	function end() {
		log.scrollTop = log.scrollHeight;
	}
	function toEnd() {
		stays = true;
		end();
		seen();
	}
	function seen() {
		unseen.clear();
		jump.hidden = true;
	}
	function showOlder() {
		const height = log.scrollHeight;
		shown += SHOWN;
		draw(last);
		log.scrollTop += log.scrollHeight - height;
	}

	/** @param {PartState} state */
	function draw(state) {
		last = state;
		const { values } = state;
		const all = [...(state.rows.messages ?? new Map())];
		/** @type {[string, Row][]} */
		const some = all.slice(-shown);
		const pieces = state.rows.pieces ?? new Map();
		/** @type {[string, any][]} */
		const entries = [];
		let day = "";
		for (const [key, message] of some) {
			const on = dayOf(message.time);
			if (on !== day) entries.push([`day ${key}`, on]);
			day = on;
			entries.push([key, message]);
		}
		keyed(list, entries, make, fill);
		if (elements.size > some.length) {
			const here = new Set(some.map(([key]) => key));
			for (const key of elements.keys()) if (!here.has(key)) elements.delete(key) && wholes.delete(key);
		}
		for (const [key, message] of some) {
			const element = elements.get(key);
			if (element && (message.open || pieces.has(`${message.piece}.0`) || wholes.has(key)))
				text(element, key, message, pieces, values);
		}
		arrivals(some);
		older.hidden = all.length <= some.length;
		say(older, `Show older messages (${all.length - some.length} more)`);
		empty.hidden = all.length > 0;
		say(
			empty,
			values.people === undefined
				? "Waiting for the kernel"
				: 'Nobody has written yet. Write below, or room.send_text("hello") in a cell.',
		);
		const notes = [];
		if (values.state && values.state !== "connected")
			notes.push(`The room is ${values.state}: nothing can be sent ${values.state === "closed" ? "any more" : "now"}.`);
		if (values.gone) notes.push(`${values.gone.toLocaleString()} older messages have been let go.`);
		if (values.unreadable) notes.push(`${values.unreadable.toLocaleString()} chat packets could not be read.`);
		note.hidden = notes.length === 0;
		say(note, notes.join(" "));
		if (stays) end();
		recipients(values.people ?? []);
		about();
	}

	/** @param {[string, Row][]} some */
	function arrivals(some) {
		const before = newest;
		newest = some.at(-1)?.[0] ?? "";
		const at = some.findIndex(([key]) => key === before);
		if (!before || newest === before) return;
		for (const [key, message] of some.slice(at + 1)) {
			if (message.own) stays = true;
			else unseen.add(key);
		}
		if (stays) seen();
		jump.hidden = unseen.size === 0;
		say(jump, unseen.size === 1 ? "1 new message ↓" : `${unseen.size} new messages ↓`);
	}

	/** @type {Map<string, HTMLElement>} */
	const elements = new Map();

	/** @param {string} key */
	function make(key) {
		if (key.startsWith("day ")) return h("h4", { class: "lknb-chat-day" });
		const element = h(
			"article",
			{ class: "lknb-chat-message", tabIndex: -1 },
			h("header", null),
			h("div", { class: "lknb-chat-quote" }),
			h("div", { class: "lknb-chat-said", dir: "auto" }),
			h("p", { class: "lknb-chat-state" }),
			h("ul", { class: "lknb-chat-files" }),
			h("div", { class: "lknb-chat-does" }),
		);
		elements.set(key, element);
		return element;
	}

	/**
	 * @param {HTMLElement} element
	 * @param {any} message
	 * @param {string} key
	 */
	function fill(element, message, key) {
		if (typeof message === "string") {
			say(element, message);
			return;
		}
		const [head, quote, , , files, does] = /** @type {HTMLElement[]} */ ([...element.children]);
		element.dataset.status = message.status;
		element.dataset.own = String(message.own);
		// What grows is read out when it has ended.
		element.setAttribute("aria-busy", String(message.open));
		const to = message.to.length ? [" to ", quoted(several(message)), " only"] : [];
		const told = JSON.stringify([message.name, message.sender, message.to, message.edited]);
		if (head.dataset.told !== told) {
			head.dataset.told = told;
			head.replaceChildren(
				h("strong", { title: message.sender ?? "" }, quoted(message.name)),
				...(message.own ? [h("span", null, " (you)")] : []),
				...(to.length ? [h("span", null, ...to)] : []),
				h(
					"time",
					{ dateTime: new Date(message.time).toISOString(), title: new Date(message.time).toLocaleString() },
					time(message.time),
				),
				...(message.edited ? [h("span", { class: "lknb-chat-tag" }, "edited")] : []),
			);
		}
		const answered = JSON.stringify(message.reply);
		if (quote.dataset.told !== answered) {
			quote.dataset.told = answered;
			quote.replaceChildren(...(message.reply ? quotation(message.reply) : []));
		}
		text(element, key, message, last.rows.pieces ?? new Map(), last.values);
		keyed(
			files,
			message.files.map((/** @type {Row} */ file) => [file.id, file]),
			() => fileElement(),
			(row, file) => fileFill(row, file, key, message.own),
		);
		const may = `${message.can_reply} ${message.can_edit}`;
		if (does.dataset.told !== may) {
			does.dataset.told = may;
			does.replaceChildren(
				...(message.can_reply ? [h("button", { type: "button", onclick: () => choose("reply", key) }, "Reply")] : []),
				...(message.can_edit ? [h("button", { type: "button", onclick: () => choose("edit", key) }, "Edit")] : []),
			);
		}
	}

	/** @param {Row} reply */
	function quotation(reply) {
		const inside = [reply.name ? quoted(`${reply.name}: `, "lknb-chat-who") : "", quoted(oneLine(reply.text))];
		if (!reply.key) return [h("span", null, "In reply to ", ...inside)];
		const show = () => {
			const target = elements.get(reply.key);
			if (!target?.isConnected) return;
			target.scrollIntoView({ block: "nearest" });
			target.focus({ preventScroll: true });
		};
		return [
			h(
				"button",
				{ type: "button", "aria-label": "Go to the message that this one answers", onclick: show },
				...inside,
			),
		];
	}

	/**
	 * The text as far as it is here, and how it is with it.
	 * @param {HTMLElement} element
	 * @param {string} key
	 * @param {Row} message
	 * @param {Map<string, Row>} pieces
	 * @param {Record<string, any>} values
	 */
	function text(element, key, message, pieces, values) {
		const [, , place, state] = /** @type {HTMLElement[]} */ ([...element.children]);
		const whole = wholes.get(key);
		const isWhole = whole !== undefined && whole.piece === message.piece && !message.open;
		const parts = [isWhole ? whole.text : message.text];
		for (let number = 0; !isWhole && pieces.has(`${message.piece}.${number}`); number += 1) {
			parts.push(/** @type {Row} */ (pieces.get(`${message.piece}.${number}`)).text);
		}
		while (place.childElementCount > parts.length) place.lastElementChild?.remove();
		parts.forEach((part, at) => {
			if (!place.children[at]) place.append(h("span", null));
			say(/** @type {HTMLElement} */ (place.children[at]), part);
		});
		place.dataset.whole = String(isWhole);
		place.hidden = !message.text;
		place.tabIndex = isWhole ? 0 : -1;
		const here = values.head + (parts.length - 1) * values.each;
		const bytes = values.growing?.[key] ?? message.size;
		const parted = !isWhole && (message.open ? bytes > 4 * here : message.length > here);
		const notes = [];
		if (message.open) notes.push(message.own ? "sending…" : "under way…");
		if (message.open && parted) notes.push(`${size(bytes)} so far, of which the beginning is shown.`);
		if (message.error) notes.push(`${message.own ? "Not sent" : "Broke off"}: ${message.error}`);
		else if (message.status === "failed") notes.push(message.own ? "Not sent" : "Broke off");
		if (message.cut)
			notes.push(`${message.cut.toLocaleString()} more characters have been let go, as the room's log is bounded.`);
		if (message.trouble) notes.push(`The edit did not come through: ${message.trouble}`);
		if (isWhole && whole.more)
			notes.push(`${whole.more.toLocaleString()} more characters are not shown: the text is in room.events.`);
		const offer = !message.open && parted;
		const told = JSON.stringify([notes, offer]);
		if (state.dataset.told === told) return;
		state.dataset.told = told;
		state.hidden = notes.length === 0 && !offer;
		const show = async () => {
			const answer = await report(ask("read", { key }));
			if (!answer) return;
			wholes.set(key, { piece: message.piece, text: answer.value.text, more: answer.value.more });
			draw(last);
		};
		state.replaceChildren(
			quoted(notes.join(" ")),
			...(offer ? [h("button", { type: "button", onclick: show }, `Show whole (${size(message.size)})`)] : []),
		);
	}

	// Files

	function fileElement() {
		return h("li", null, h("span", null), h("span", null), h("div", null), h("div", { class: "lknb-chat-image" }));
	}

	/**
	 * @param {HTMLElement} row
	 * @param {Row} file
	 * @param {string} key
	 * @param {boolean} own
	 */
	function fileFill(row, file, key, own) {
		const [name, how, place, picture] = /** @type {HTMLElement[]} */ ([...row.children]);
		if (!name.firstChild) name.append(quoted(file.name));
		say(/** @type {HTMLElement} */ (name.firstChild), file.name);
		say(how, fileState(file, own));
		row.dataset.status = file.status;
		if (String(file.there) === place.dataset.there) return;
		place.dataset.there = String(file.there);
		if (!file.there) {
			place.replaceChildren();
			return;
		}
		const load = h("button", { type: "button", "aria-label": `Download ${inert(file.name)}` }, "Download");
		load.addEventListener("click", async () => {
			load.disabled = true;
			const content = await report(whole(key, file, (done) => say(load, `${Math.floor((100 * done) / file.size)} %`)));
			load.disabled = false;
			say(load, "Download");
			if (content && !signal.aborted) save(file.name, /** @type {any} */ (content));
		});
		place.append(load);
		if (file.type && file.size <= INLINE) {
			arrived.set(picture, async () => {
				near.unobserve(picture);
				const content = await whole(key, file, () => undefined).catch(() => undefined);
				if (content) picture.append(image(/** @type {any} */ (content), file.type, `Image ${file.name}`));
			});
			near.observe(picture);
		}
	}

	/**
	 * @param {string} key
	 * @param {Row} file
	 * @param {(done: number) => void} progress
	 */
	async function whole(key, file, progress) {
		/** @type {any[]} */
		const parts = [];
		for (let at = 0; at < file.size && !signal.aborted; ) {
			const { buffer } = await ask("file", { key, id: file.id, at });
			if (!buffer?.byteLength) throw new Error(`${file.name} could not be read to its end. Try again.`);
			parts.push(buffer);
			at += buffer.byteLength;
			progress(at);
		}
		return new Blob(parts);
	}

	// The composer

	/** @type {About | null} */
	let next = null;
	/** @type {Attached[]} */
	let attached = [];
	const box = h("textarea", { rows: 2, "aria-label": "Message", placeholder: "Write a message", maxLength: 1_000_000 });
	const to = h("select", { "aria-label": "To" }, h("option", { value: "" }, "everybody"));
	const toLabel = h("label", null, "To ", to);
	const aboutText = h("span", null);
	const stop = h("button", { type: "button", onclick: () => choose(null) }, "Cancel");
	const aboutLine = h("p", { class: "lknb-chat-about", hidden: true }, aboutText, stop);
	const chosen = h("ul", { class: "lknb-chat-files lknb-chat-chosen" });
	const files = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files to attach" });
	const attach = h("button", { type: "button", onclick: () => files.click() }, "Attach…");
	const button = h("button", { type: "submit", class: "lknb-chat-send" }, "Send");
	const form = h(
		"form",
		{ class: "lknb-chat-compose", "aria-label": "New message" },
		aboutLine,
		box,
		chosen,
		h("div", { class: "lknb-bar" }, toLabel, attach, files, button),
	);
	box.addEventListener("keydown", (event) => {
		// Shift+Enter would run the cell.
		event.stopPropagation();
		if (event.key === "Escape" && next) choose(null);
		if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
		event.preventDefault();
		send();
	});
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		send();
	});
	files.addEventListener("change", () => {
		for (const file of files.files ?? []) add(file);
		files.value = "";
	});

	/** @type {string} */
	let listed = "";
	/** @param {[string, string][]} people */
	function recipients(people) {
		const now = JSON.stringify(people);
		if (now === listed || document.activeElement === to) return;
		listed = now;
		const was = to.value;
		const options = people.map(([who, name]) => h("option", { value: who }, name === who ? who : `${name} (${who})`));
		if (was && !people.some(([who]) => who === was)) options.push(h("option", { value: was }, `${was} (has left)`));
		to.replaceChildren(h("option", { value: "" }, "everybody"), ...options);
		to.value = was;
	}

	/**
	 * @param {"reply" | "edit" | null} kind
	 * @param {string} [key]
	 */
	async function choose(kind, key = "") {
		const message = last.rows.messages?.get(key);
		if (next?.kind === "edit" && kind !== "edit") box.value = "";
		next = kind && message ? { kind, key, name: message.name, text: oneLine(message.text) } : null;
		about();
		box.focus();
		if (next?.kind !== "edit") return;
		const answer = await report(ask("read", { key }));
		if (answer && next?.key === key) box.value = answer.value.text;
	}

	function about() {
		aboutLine.hidden = next === null;
		// An edit goes to those who have the message.
		toLabel.hidden = attach.hidden = next?.kind === "edit";
		say(button, next?.kind === "edit" ? "Save edit" : "Send");
		if (next) say(aboutText, next.kind === "edit" ? "Editing your message" : `Reply to ${next.name}: ${next.text}`);
	}

	/** @param {File} file */
	function add(file) {
		const how = h("span", null, size(file.size));
		const drop = h("button", { type: "button", "aria-label": `Remove ${inert(file.name)}` }, "Remove");
		/** @type {Attached} */
		const one = {
			key: "",
			removed: new AbortController(),
			element: h("li", null, quoted(file.name), how, drop),
			waiting: Promise.resolve(),
		};
		drop.addEventListener("click", () => {
			remove(one);
			one.removed.abort();
			if (one.key) report(ask("discard", { key: one.key }));
			box.focus();
		});
		attached.push(one);
		chosen.append(one.element);
		one.waiting = handOver(ask, file, one.removed.signal, (done) => {
			say(how, done < file.size ? `${size(done)} of ${size(file.size)}` : size(file.size));
		}).then(
			(key) => {
				one.key = key;
			},
			(error) => {
				if (one.removed.signal.aborted) return;
				remove(one);
				report(Promise.reject(error));
			},
		);
	}

	/** @param {Attached} one */
	function remove(one) {
		attached = attached.filter((other) => other !== one);
		one.element.remove();
	}

	async function send() {
		const sending = attached;
		await Promise.all(sending.map((one) => one.waiting));
		const text = box.value;
		const at = next;
		const went = sending.filter((one) => attached.includes(one));
		if (!text.trim() && (went.length === 0 || at?.kind === "edit")) return;
		const args = {
			text,
			to: to.value,
			reply_to: at?.kind === "reply" ? at.key : "",
			edits: at?.kind === "edit" ? at.key : "",
			files: at?.kind === "edit" ? [] : went.map((one) => one.key),
		};
		box.value = "";
		next = null;
		about();
		if (at?.kind !== "edit") for (const one of went) remove(one);
		if (await report(ask("send", args))) return;
		// What was not sent is there to be sent again, unless something else has been begun.
		if (at?.kind !== "edit") {
			attached = [...went, ...attached];
			chosen.prepend(...went.map((one) => one.element));
		}
		if (box.value || next) return;
		box.value = text;
		next = at;
		about();
	}

	follow(draw);
	return h("div", { class: "lknb-chat" }, h("div", { class: "lknb-chat-frame" }, log, jump), note, form, said);
}

/**
 * @param {Row} file
 * @param {boolean} own
 */
function fileState(file, own) {
	if (file.status === "missing") return own ? "is not sent" : "has not arrived";
	if (file.status === "open")
		return `${size(file.transferred)}${file.size ? ` of ${size(file.size)}` : ""}, under way…`;
	const how = file.gone ? "let go, as the room's log is bounded" : "";
	return [size(file.size), file.status === "ok" ? how : `${file.status}: ${file.error ?? ""}`]
		.filter(Boolean)
		.join(", ");
}

/** @param {Row} message */
function several(message) {
	return message.to.join(", ") + (message.more_to ? ` and ${message.more_to} more` : "");
}

/** @param {string} text */
function oneLine(text) {
	const line = text.replace(/\s+/g, " ");
	return line.length > 140 ? `${line.slice(0, 140)}…` : line;
}

/** @param {number} at milliseconds since 1970 */
function time(at) {
	return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** @param {number} at milliseconds since 1970 */
function dayOf(at) {
	return new Date(at).toLocaleDateString([], { weekday: "long", year: "numeric", month: "long", day: "numeric" });
}
