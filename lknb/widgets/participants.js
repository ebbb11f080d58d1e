// Participants: who is here with their state, live; what is one's own can be edited.
import { copyable, parsed, tree } from "./content.js";
import { clock, h, keyed, quoted, say } from "./dom.js";
import { outcome } from "./view.js";

/** @typedef {import("./sync.js").Row} Row */
/** @typedef {{ text: string, more: boolean }} Text */

const MAY = {
	canPublishData: "publish data",
	canSubscribe: "subscribe",
	canUpdateOwnMetadata: "change their own state",
	canPublish: "publish audio and video",
};

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function participants({ ask, follow, signal }) {
	const { element: said, report } = outcome();
	const search = h("input", {
		type: "search",
		"aria-label": "Filter participants",
		placeholder: "identity, name or state",
		spellcheck: false,
	});
	const counts = h("span", { class: "lknb-counts", role: "status" });
	const people = h("ul", { class: "lknb-people" });
	const scroll = h(
		"div",
		{ class: "lknb-people-scroll", role: "region", tabIndex: 0, "aria-label": "Participants" },
		people,
	);
	const empty = h("p", { class: "lknb-empty" });
	let asked = 0;
	search.addEventListener(
		"input",
		() => {
			clearTimeout(asked);
			asked = /** @type {any} */ (setTimeout(() => report(ask("filter", { text: search.value })), 250));
		},
		{ signal },
	);

	const own = ownState(ask);
	const room = textEditor(
		"Metadata of the room",
		() => ask("read"),
		(text) => ask("set_room_metadata", { text }),
	);
	const roomBox = h(
		"details",
		{ class: "lknb-box", open: true },
		h("summary", null, "Metadata of the room, which everybody sees"),
		room.element,
	);

	follow(({ values, rows }) => {
		if (values.total === undefined) {
			say(counts, "Waiting for the kernel");
			return;
		}
		if (document.activeElement !== search && search.value.toLowerCase() !== values.filter) search.value = values.filter;
		const shown = [...(rows.people ?? [])].sort(([, one], [, other]) => order(one, other));
		keyed(people, shown, card, (element, row) => cards.get(element)?.(row));
		say(counts, counted(values, shown));
		const alone = values.total < 2 && !values.filter;
		empty.hidden = shown.length > 0 && !alone;
		say(
			empty,
			alone
				? "Nobody else is here. Join the room from another notebook or application."
				: "Nobody here fits this filter.",
		);
		own.draw(values, rows.mine ?? new Map());
		room.draw(values.roomMetadata, values.roomRefused, values.roomMetadata.changed);
	});

	/** @type {WeakMap<HTMLElement, (row: Row) => void>} */
	const cards = new WeakMap();

	/** @param {string} key */
	function card(key) {
		const element = h("li", { class: "lknb-person" });
		cards.set(element, person(element, key, ask, report));
		return element;
	}

	return h("div", null, h("div", { class: "lknb-bar" }, search, counts), said, scroll, empty, own.element, roomBox);
}

/**
 * Oneself first, those who have left last, the others by when they came.
 * @param {Row} one
 * @param {Row} other
 */
function order(one, other) {
	const rank = (/** @type {Row} */ row) => (row.left ? 2 : row.you ? 0 : 1);
	return rank(one) - rank(other) || (one.joined ?? 0) - (other.joined ?? 0) || (one.identity < other.identity ? -1 : 1);
}

/**
 * @param {Record<string, any>} values
 * @param {[string, Row][]} shown
 */
function counted(values, shown) {
	const here = shown.filter(([, row]) => !row.left).length;
	const parts = [`${values.total.toLocaleString()} here`];
	if (values.filter) parts.push(`${values.matching.toLocaleString()} fit the filter`);
	if (values.matching > here)
		parts.push(`${(values.matching - here).toLocaleString()} more not shown: filter for them`);
	if (values.state !== "connected") parts.push(`${values.state}: as it was before`);
	return parts.join(", ");
}

/** @param {number} time */
function seconds(time) {
	return clock(time).slice(0, 8);
}

/**
 * Fills what shows one participant, keeping what somebody has folded or selected in it.
 * @param {HTMLElement} element
 * @param {string} key
 * @param {import("./view.js").Context["ask"]} ask
 * @param {(doing: Promise<any>) => Promise<any>} report
 * @returns {(row: Row) => void}
 */
function person(element, key, ask, report) {
	const identity = quoted("", "lknb-identity");
	const name = quoted("");
	const you = h("span", null, "(you)");
	const facts = h("span", { class: "lknb-faint" });
	const nameMark = mark();
	const attributes = h("dl", { class: "lknb-attributes" });
	const moreAttributes = h("p", { class: "lknb-faint" });
	const metadata = h("div", { class: "lknb-metadata" });
	const metadataMark = mark();
	const tracks = h("p");
	const permissions = h("p", { class: "lknb-faint" });
	const permissionsMark = mark();
	element.append(
		h("p", { class: "lknb-person-head" }, identity, name, you, facts, nameMark.element),
		attributes,
		moreAttributes,
		h("div", { class: "lknb-marked" }, metadata, metadataMark.element),
		tracks,
		h("div", { class: "lknb-marked" }, permissions, permissionsMark.element),
	);
	let shownMetadata = "";

	/** @param {Text | undefined} text */
	const showMetadata = (text) => {
		const told = JSON.stringify(text ?? null);
		if (told === shownMetadata) return;
		shownMetadata = told;
		metadata.replaceChildren();
		if (!text?.text) return;
		const value = text.more ? undefined : parsed(text.text);
		const body =
			value === undefined ? h("span", { class: "lknb-code" }, quoted(text.text + (text.more ? "…" : ""))) : tree(value);
		metadata.append(h("span", { class: "lknb-faint" }, "metadata"), body);
		if (!text.more) return;
		metadata.append(
			h(
				"button",
				{
					type: "button",
					onclick: async () => {
						const answer = await report(ask("read", { identity: key }));
						if (answer) body.replaceChildren(copyable(answer.value.text.slice(0, 1_000_000), "text"));
					},
				},
				"Show all",
			),
		);
	};

	return (row) => {
		element.dataset.left = row.left ? "yes" : "";
		say(identity, row.identity);
		say(name, row.name && row.name !== row.identity ? row.name : "");
		you.hidden = !row.you;
		if (row.left) {
			say(facts, `left at ${seconds(row.left)}`);
			for (const each of [attributes, metadata]) each.replaceChildren();
			shownMetadata = "";
			for (const each of [moreAttributes, tracks, permissions]) say(each, "");
			for (const each of [nameMark, metadataMark, permissionsMark]) each.show(0);
			return;
		}
		const told = [row.kind === "standard" ? "" : row.kind, row.state === "active" ? "" : row.state];
		if (row.joined) told.push(`since ${seconds(row.joined)}`);
		told.push(row.quality === "unknown" ? "" : `connection ${row.quality}`);
		say(facts, told.filter(Boolean).join(", "));
		nameMark.show(row.changed.name ?? 0);
		keyed(
			attributes,
			new Map(row.attributes.map((/** @type {Row} */ each) => [each.key, each])),
			attribute,
			fillAttribute,
		);
		say(
			moreAttributes,
			row.moreAttributes ? `and ${row.moreAttributes} more attributes, which room.participants has` : "",
		);
		showMetadata(row.metadata);
		metadataMark.show(row.changed.metadata ?? 0);
		const more = row.moreTracks ? ` and ${row.moreTracks} more` : "";
		say(tracks, row.tracks.length ? `data tracks: ${row.tracks.join(", ")}${more}` : "");
		say(permissions, permitted(row.permissions));
		permissionsMark.show(row.changed.permissions ?? 0);
	};

	/** @param {string} name */
	function attribute(name) {
		const line = h(
			"div",
			null,
			h("dt", null, quoted(name, "lknb-key")),
			h("dd", null, quoted("", "lknb-code"), mark().element),
		);
		return line;
	}

	/**
	 * @param {HTMLElement} line
	 * @param {Row} each
	 */
	function fillAttribute(line, each) {
		const [value, note] = /** @type {HTMLCollectionOf<HTMLElement>} */ (line.children[1].children);
		say(value, each.deleted ? "" : each.text + (each.more ? "…" : ""));
		showMark(note, each.changed, each.deleted ? "deleted" : "changed");
		if (each.changed) highlight(line, each.changed);
	}
}

/** @param {Record<string, boolean>} permissions */
function permitted(permissions) {
	const may = Object.entries(MAY)
		.filter(([grant]) => permissions[grant])
		.map(([, what]) => what);
	const not = Object.entries(MAY)
		.filter(([grant]) => !permissions[grant])
		.map(([, what]) => what);
	const parts = [
		may.length ? `may ${may.join(", ")}` : "",
		not.length ? `may not ${not.join(", ")}` : "",
		permissions.hidden ? "hidden" : "",
	];
	return parts.filter(Boolean).join("; ");
}

/** A note of when something has changed, empty while it has not just done so. */
function mark() {
	const element = h("span", { class: "lknb-mark" });
	return {
		element,
		/** @param {number} time */
		show(time) {
			showMark(element, time, "changed");
			if (time && element.parentElement) highlight(element.parentElement, time);
		},
	};
}

/**
 * @param {HTMLElement} element
 * @param {number} time
 * @param {string} what
 */
function showMark(element, time, what) {
	say(element, time ? `${what} ${seconds(time)}` : "");
}

/**
 * Have an element light up once for a change at this time.
 * @param {HTMLElement} element
 * @param {number} time
 */
function highlight(element, time) {
	if (element.dataset.changed === String(time)) return;
	element.dataset.changed = String(time);
	element.classList.remove("lknb-changed");
	void element.offsetWidth; // or the animation would not begin anew
	element.classList.add("lknb-changed");
}

/** What a textarea makes of a text, and gives back. @param {string} text */
function lines(text) {
	return text.replace(/\r\n?/g, "\n");
}

/**
 * A field whose text follows the room until somebody types, and keeps what is typed.
 * @param {string} label
 * @param {number} rows
 * @param {(text: string) => Promise<any>} set resolves when the server has confirmed
 * @param {HTMLElement[]} [others] more controls beside its own
 */
function editor(label, rows, set, others = []) {
	const input = h("textarea", { rows, "aria-label": label, spellcheck: false, dir: "auto" });
	const button = h("button", { type: "submit", "aria-label": `Set: ${label}` }, "Set");
	const back = h("button", { type: "button", "aria-label": `Do not change: ${label}`, hidden: true }, "Undo");
	const status = h("span", { class: "lknb-outcome", role: "status" });
	let base = "";
	let busy = false;
	let reason = "";
	const dirty = () => input.value !== base;
	const update = () => {
		back.hidden = !dirty() || busy;
		button.disabled = Boolean(reason) || !dirty();
		input.readOnly = Boolean(reason);
	};
	/** @param {Promise<any>} doing @param {string} done */
	const run = async (doing, done) => {
		busy = true;
		status.dataset.kind = "";
		say(status, "sent to the server");
		update();
		try {
			const answer = await doing;
			say(status, `${done} by the server ${seconds(answer.value.confirmed)}`);
			return true;
		} catch (error) {
			status.dataset.kind = "error";
			say(status, error instanceof Error ? error.message : error);
			return false;
		} finally {
			busy = false;
			update();
		}
	};
	const submit = async () => {
		const text = input.value;
		if (busy || reason || !dirty()) return;
		if (await run(set(text), "confirmed")) {
			base = text;
			if (document.activeElement === button) input.focus(); // which is about to be disabled
			update();
		}
	};
	input.addEventListener("input", () => {
		if (!busy && status.dataset.kind !== "meanwhile") say(status, "");
		update();
	});
	input.addEventListener("keydown", (event) => {
		if (event.key === "Enter") event.stopPropagation(); // with Shift or Ctrl it would run the cell
		if (event.key === "Escape" && dirty()) back.click();
		if (event.key !== "Enter" || event.isComposing || (rows === 1 ? event.shiftKey : !event.ctrlKey && !event.metaKey))
			return;
		event.preventDefault();
		submit();
	});
	back.addEventListener("click", () => {
		input.value = base;
		status.dataset.kind = "";
		say(status, "");
		update();
		input.focus();
	});
	const element = h(
		"form",
		{
			class: "lknb-editor",
			onsubmit: (/** @type {Event} */ event) => {
				event.preventDefault();
				submit();
			},
		},
		input,
		h("span", { class: "lknb-buttons" }, button, back, ...others),
		status,
	);
	return {
		element,
		input,
		status,
		dirty,
		run,
		/**
		 * Say what it is now in the room, and why it may not be changed.
		 * @param {string} text
		 * @param {string} refused
		 */
		draw(text, refused) {
			const now = lines(text);
			reason = refused;
			element.title = refused;
			if (now !== base) {
				if (!dirty()) input.value = now;
				else if (now !== input.value && !busy) {
					status.dataset.kind = "meanwhile";
					say(
						status,
						`changed meanwhile in the room, to ${now.length > 60 ? `${now.slice(0, 60)}…` : now || "nothing"}; what you type is kept`,
					);
				}
				base = now;
			}
			update();
		},
	};
}

/**
 * An editor of a text that may be too long to be sent with every change, and the text as a tree if it is JSON.
 * @param {string} label
 * @param {() => Promise<import("./sync.js").Answer>} read
 * @param {(text: string) => Promise<any>} set
 */
function textEditor(label, read, set) {
	const field = editor(label, 3, set);
	const note = mark();
	const why = h("p", { class: "lknb-faint" });
	const view = h("div");
	const whole = h("button", { type: "button", hidden: true }, "Load all of it to edit");
	/** The checksum of the text whose whole has been loaded. */
	let loaded = 0;
	let newest = 0;
	let full = "";
	let shown = "";
	whole.addEventListener("click", async () => {
		try {
			const of = newest;
			full = (await read()).value.text;
			loaded = of;
			whole.hidden = true;
			field.draw(full, "");
		} catch (error) {
			say(why, error instanceof Error ? error.message : error);
		}
	});
	return {
		element: h("div", { class: "lknb-text-editor" }, why, field.element, whole, h("div", null, note.element), view),
		/**
		 * @param {Text & { checksum: number }} text
		 * @param {string} refused
		 * @param {number} changed
		 */
		draw(text, refused, changed) {
			newest = text.checksum;
			const has = !text.more || loaded === newest;
			whole.hidden = has;
			say(why, refused);
			field.draw(
				has && text.more ? full : text.text,
				refused || (has ? "" : "This is the beginning. Load all of it to edit it."),
			);
			note.show(changed);
			if (text.text === shown) return;
			shown = text.text;
			const value = text.more ? undefined : parsed(text.text);
			view.replaceChildren(...(value === undefined ? [] : [tree(value)]));
		},
	};
}

/**
 * This participant's name, attributes and metadata, to be edited.
 * @param {import("./view.js").Context["ask"]} ask
 */
function ownState(ask) {
	const why = h("p", { class: "lknb-faint" });
	const name = editor("Your name", 1, (text) => ask("set_name", { text }));
	const metadata = textEditor(
		"Your metadata",
		() => ask("read", { identity: mine }),
		(text) => ask("set_metadata", { text }),
	);
	const list = h("div", { class: "lknb-mine" });
	const used = h("p", { class: "lknb-faint" });
	const newKey = h("input", {
		"aria-label": "Key of a new attribute",
		placeholder: "new key",
		spellcheck: false,
		autocomplete: "off",
	});
	const newValue = h("input", {
		"aria-label": "Value of a new attribute",
		placeholder: "value",
		spellcheck: false,
		autocomplete: "off",
	});
	const add = h("button", { type: "submit" }, "Add");
	const { element: added, report } = outcome();
	const adding = h(
		"form",
		{
			class: "lknb-adding",
			onkeydown: (/** @type {KeyboardEvent} */ event) => {
				if (event.key !== "Enter" || event.isComposing) return;
				event.stopPropagation(); // with Shift or Ctrl it would run the cell, and what is typed were gone
				if (event.target === add) return;
				event.preventDefault();
				adding.requestSubmit();
			},
			onsubmit: async (/** @type {Event} */ event) => {
				event.preventDefault();
				const [key, value] = [newKey.value, newValue.value];
				const answer = await report(ask("set_attribute", { key, value }));
				if (!answer) return;
				say(added, `${key}: confirmed by the server ${seconds(answer.value.confirmed)}`);
				// What has been typed since then is the next one.
				if (newKey.value === key && newValue.value === value) {
					newKey.value = newValue.value = "";
					newKey.focus();
				}
			},
		},
		newKey,
		newValue,
		add,
	);
	let mine = "";
	let redraw = () => {};
	let refused = "";
	/** @type {Map<string, { field: ReturnType<typeof editor>, note: ReturnType<typeof mark>, row: Row, gone: boolean }>} */
	const fields = new Map();

	/** @param {string} key */
	function line(key) {
		const remove = h("button", { type: "button", "aria-label": `Delete attribute ${key}` }, "Delete");
		const field = editor(`Attribute ${key}`, 1, (value) => ask("set_attribute", { key, value }), [remove]);
		const note = mark();
		remove.addEventListener("click", async () => {
			if (refused) return;
			if (await field.run(ask("delete_attribute", { key }), "deleted")) {
				const known = fields.get(key);
				if (known) known.row = {};
				redraw();
				say(added, `${key}: deletion confirmed by the server ${seconds(Date.now())}`);
				newKey.focus();
			}
		});
		fields.set(key, { field, note, row: {}, gone: false });
		return h("div", { class: "lknb-line-edit" }, h("span", null, quoted(key, "lknb-key"), note.element), field.element);
	}

	const element = h(
		"details",
		{ class: "lknb-box", open: true },
		h("summary", null, "Your own name, attributes and metadata"),
		why,
		h("div", { class: "lknb-line-edit" }, h("span", null, "Name"), name.element),
		list,
		h("div", { class: "lknb-line-edit" }, h("span", null, "New attribute"), adding),
		added,
		used,
		h("div", { class: "lknb-line-edit" }, h("span", null, "Metadata"), metadata.element),
	);

	return {
		element,
		/**
		 * @param {Record<string, any>} values
		 * @param {Map<string, Row>} rows
		 */
		draw(values, rows) {
			mine = values.identity;
			refused = values.refused;
			say(why, refused);
			name.draw(values.name, refused);
			metadata.draw(values.metadata, refused, 0);
			for (const each of [newKey, newValue, add]) {
				each.disabled = Boolean(refused);
				each.title = refused;
			}
			/** @type {[string, Row][]} */
			const entries = [...rows].map(([key, row]) => [key, { ...row }]); // new ones: what is refused may have changed
			redraw = () => this.draw(values, rows);
			for (const [key, known] of fields) {
				if (rows.has(key)) continue;
				// Deleted by somebody else: the line stays while there is something typed in it.
				if (known.field.dirty() && known.row.value !== undefined) {
					if (!known.gone) known.row = { ...known.row, value: "", changed: 0 };
					known.gone = true;
					entries.push([key, { ...known.row }]);
				} else fields.delete(key);
			}
			entries.sort(([one], [other]) => (one < other ? -1 : 1));
			keyed(list, entries, line, (_, row, key) => {
				const known = fields.get(key);
				if (!known) return;
				known.gone = !rows.has(key);
				known.row = row;
				known.field.draw(row.value, refused);
				known.note.show(row.changed);
				for (const button of known.field.element.querySelectorAll("button")) {
					if (button.type === "button" && button.textContent === "Delete")
						button.disabled = Boolean(refused) || known.gone;
				}
			});
			const left = values.attributes - rows.size;
			const more = left > 0 ? `, ${left} of them not shown: room.attributes has them` : "";
			const count = values.attributes === 1 ? "1 attribute" : `${values.attributes} attributes`;
			say(used, `${count}, ${values.size.toLocaleString()} of ${values.limit.toLocaleString()} bytes${more}`);
		},
	};
}
