// One participant: identity, state, attributes, metadata, data tracks and permissions, with recent changes.
import { copyable, parseContainer, tree } from "./content.js";
import { formatSeconds, h, KeyedList, opener, quoted, setText } from "./dom.js";
import { Mark } from "./mark.js";

/** @import { AttributeRow, Beginning, LeftRow, ParticipantsPart, PersonRow } from "./rows.js" */
/** @import { Ask, Outcome } from "./view.js" */

/** What a participant may do. @type {[grant: string, what: string][]} */
const GRANTS = [
	["canPublishData", "publish data"],
	["canSubscribe", "subscribe"],
	["canUpdateOwnMetadata", "change own state"],
	["canPublish", "publish audio and video"],
];

/** What a participant usually may do, by grant. @typedef {Record<string, boolean>} Usual */

/**
 * What a participant usually may do: only what differs is said of each one. Many applications publish no audio and video,
 * so the usual there is what most do.
 * @param {Record<string, boolean>[]} everybody
 * @returns {Usual}
 */
export function usualPermissions(everybody) {
	const canPublish = 2 * everybody.filter((each) => each.canPublish).length >= everybody.length;
	return { canPublishData: true, canSubscribe: true, canUpdateOwnMetadata: true, canPublish };
}

/**
 * The usual permissions in words.
 * @param {Usual} usual
 */
export function describeUsual(usual) {
	return GRANTS.filter(([grant]) => usual[grant])
		.map(([, what]) => what)
		.join(", ");
}

/** The element stays while the participant changes, and keeps what the user has folded or selected. */
export class Person {
	/**
	 * @param {string} identity
	 * @param {Ask<ParticipantsPart>} ask
	 * @param {Outcome} outcome
	 */
	constructor(identity, ask, outcome) {
		this.identity = quoted("", "lknb-identity");
		this.isCompact = false;
		this.isOpen = false;
		this.opener = opener(() => this.toggle());
		this.short = h("span", { class: "lknb-person-short" });
		this.name = quoted("");
		this.you = h("span", null, "(you)");
		this.facts = h("span", { class: "lknb-faint" });
		this.nameMark = new Mark();
		const attributes = h("dl", { class: "lknb-attributes" });
		/** @type {KeyedList<AttributeRow, Attribute>} */
		this.attributes = new KeyedList(attributes, (key) => new Attribute(key));
		this.moreAttributes = h("p", { class: "lknb-faint" });
		this.metadata = new Metadata(identity, ask, outcome);
		this.tracks = h("p");
		this.permissions = h("p", { class: "lknb-faint" });
		this.permissionsMark = new Mark();
		this.body = h(
			"div",
			null,
			attributes,
			this.moreAttributes,
			this.metadata.element,
			this.tracks,
			h("div", { class: "lknb-marked" }, this.permissions, this.permissionsMark.element),
		);
		this.head = h(
			"div",
			{ class: "lknb-person-head" },
			h("span", { class: "lknb-person-who" }, this.identity, this.name, this.you),
			this.facts,
			this.nameMark.element,
		);
		this.element = h("li", { class: "lknb-person" }, this.head, this.body);
		/** @type {PersonRow | LeftRow | undefined} */
		this.row = undefined;
		/** @type {Usual} */
		this.usual = {};
	}

	/**
	 * @param {boolean} isCompact whether to show one line until the user opens it, because there are many
	 * @param {Usual} usual
	 */
	arrange(isCompact, usual) {
		this.usual = usual;
		this.drawPermissions();
		this.isCompact = isCompact;
		this.element.dataset.compact = String(isCompact);
		if (isCompact && !this.opener.isConnected) {
			this.head.prepend(this.opener);
			this.head.append(this.short);
		} else if (!isCompact) {
			this.opener.remove();
			this.short.remove();
		}
		this.opener.setAttribute("aria-expanded", String(this.isOpen));
		this.body.hidden = isCompact && !this.isOpen;
	}

	toggle() {
		this.isOpen = !this.isOpen;
		this.arrange(this.isCompact, this.usual);
	}

	drawPermissions() {
		const { row } = this;
		setText(this.permissions, row && !("left" in row) ? describePermissions(row.permissions, this.usual) : "");
	}

	/** @param {PersonRow | LeftRow} row */
	fill(row) {
		const hasLeft = "left" in row;
		this.row = row;
		this.element.dataset.left = hasLeft ? "yes" : "";
		setText(this.identity, row.identity);
		setText(this.name, row.name === row.identity ? "" : row.name);
		this.you.hidden = hasLeft || !row.you;
		if (hasLeft) this.clear(row.left);
		else this.fillState(row);
	}

	/** @param {PersonRow} row */
	fillState(row) {
		setText(this.facts, describeFacts(row));
		this.nameMark.show(row.changed.name ?? 0);
		this.attributes.draw(row.attributes.map((attribute) => [attribute.key, attribute]));
		const left = row.more_attributes;
		setText(this.moreAttributes, left ? `and ${left} more attributes, in room.participants` : "");
		this.metadata.fill(row.metadata, row.changed.metadata ?? 0);
		const more = row.more_tracks ? ` and ${row.more_tracks} more` : "";
		setText(this.tracks, row.tracks.length ? `data tracks: ${row.tracks.join(", ")}${more}` : "");
		const pairs = row.attributes.filter(({ deleted }) => !deleted).map(({ key, text }) => `${key}: ${text}`);
		this.short.replaceChildren(quoted(pairs.join(", ")));
		this.permissionsMark.show(row.changed.permissions ?? 0);
	}

	/** @param {number} time when they left */
	clear(time) {
		setText(this.facts, `left at ${formatSeconds(time)}`);
		this.attributes.draw([]);
		this.metadata.fill({ text: "", more: false }, 0);
		for (const element of [this.moreAttributes, this.tracks, this.permissions, this.short]) setText(element, "");
		for (const mark of [this.nameMark, this.permissionsMark]) mark.show(0);
	}
}

/** One attribute of a participant. */
class Attribute {
	/** @param {string} key */
	constructor(key) {
		this.value = quoted("", "lknb-code");
		this.mark = new Mark();
		this.element = h("div", null, h("dt", null, quoted(key, "lknb-key")), h("dd", null, this.value, this.mark.element));
	}

	/** @param {AttributeRow} row */
	fill({ text, more, changed, deleted }) {
		setText(this.value, deleted ? "" : `${text}${more ? "…" : ""}`);
		this.mark.show(changed, deleted ? "deleted" : "changed", this.element);
	}
}

/** A participant's metadata: a tree if it is JSON. Long metadata is cut until the user requests all of it. */
class Metadata {
	/**
	 * @param {string} identity
	 * @param {Ask<ParticipantsPart>} ask
	 * @param {Outcome} outcome
	 */
	constructor(identity, ask, outcome) {
		this.identity = identity;
		this.ask = ask;
		this.outcome = outcome;
		this.content = h("div", { class: "lknb-metadata" });
		this.mark = new Mark();
		this.element = h("div", { class: "lknb-marked" }, this.content, this.mark.element);
		this.drawn = "";
	}

	/**
	 * @param {Beginning} metadata
	 * @param {number} changed
	 */
	fill({ text, more }, changed) {
		this.mark.show(changed);
		const drawn = JSON.stringify([text, more]);
		if (drawn === this.drawn) return;
		this.drawn = drawn;
		this.content.replaceChildren(...(text ? this.body(text, more) : []));
	}

	/**
	 * @param {string} text
	 * @param {boolean} more
	 */
	body(text, more) {
		const value = more ? undefined : parseContainer(text);
		const shown = value ? tree(value) : h("span", { class: "lknb-code" }, quoted(text + (more ? "…" : "")));
		const label = h("span", { class: "lknb-faint" }, "metadata");
		if (!more) return [label, shown];
		const showAll = async () => {
			const answer = await this.outcome.report(this.ask("read", { identity: this.identity }));
			if (answer) shown.replaceChildren(copyable(answer.value.text, "text"), answer.value.more ? "…" : "");
		};
		return [label, shown, h("button", { type: "button", onclick: showAll }, "Show all")];
	}
}

/** @param {PersonRow} row */
function describeFacts({ kind, state, joined, quality }) {
	const parts = [
		kind === "standard" ? "" : kind,
		state === "active" ? "" : state,
		joined ? `since ${formatSeconds(joined)}` : "",
		quality === "unknown" ? "" : `connection ${quality}`,
	];
	return parts.filter(Boolean).join(", ");
}

/**
 * What differs from what is usual.
 * @param {Record<string, boolean>} permissions
 * @param {Usual} usual
 */
function describePermissions(permissions, usual) {
	const listed = (/** @type {boolean} */ given) =>
		GRANTS.filter(([grant]) => Boolean(permissions[grant]) === given && usual[grant] === !given)
			.map(([, what]) => what)
			.join(", ");
	const [may, mayNot] = [listed(true), listed(false)];
	const parts = [may && `may ${may}`, mayNot && `may not ${mayNot}`, permissions.hidden && "hidden"];
	return parts.filter(Boolean).join("; ");
}
