// One participant: identity, state, attributes, metadata, data tracks and permissions, with what has just changed.
import { copyable, parseContainer, tree } from "./content.js";
import { formatSeconds, h, KeyedList, quoted, setText } from "./dom.js";
import { Mark } from "./mark.js";

/** @import { AttributeRow, Beginning, LeftRow, ParticipantsPart, PersonRow } from "./rows.js" */
/** @import { Ask, Outcome } from "./view.js" */

/** Characters of metadata that are shown on request. */
const MAX_LENGTH = 1_000_000;

/** @type {[grant: string, what: string][]} */
const GRANTS = [
	["canPublishData", "publish data"],
	["canSubscribe", "subscribe"],
	["canUpdateOwnMetadata", "change their own state"],
	["canPublish", "publish audio and video"],
];

/** Keeps what the user has folded or selected in it while the participant changes. */
export class Person {
	/**
	 * @param {string} identity
	 * @param {Ask<ParticipantsPart>} ask
	 * @param {Outcome} outcome
	 */
	constructor(identity, ask, outcome) {
		this.identity = quoted("", "lknb-identity");
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
		this.element = h(
			"li",
			{ class: "lknb-person" },
			h("p", { class: "lknb-person-head" }, this.identity, this.name, this.you, this.facts, this.nameMark.element),
			attributes,
			this.moreAttributes,
			this.metadata.element,
			this.tracks,
			h("div", { class: "lknb-marked" }, this.permissions, this.permissionsMark.element),
		);
	}

	/** @param {PersonRow | LeftRow} row */
	fill(row) {
		const hasLeft = "left" in row;
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
		const left = row.moreAttributes;
		setText(this.moreAttributes, left ? `and ${left} more attributes: room.participants has them` : "");
		this.metadata.fill(row.metadata, row.changed.metadata ?? 0);
		const more = row.moreTracks ? ` and ${row.moreTracks} more` : "";
		setText(this.tracks, row.tracks.length ? `data tracks: ${row.tracks.join(", ")}${more}` : "");
		setText(this.permissions, describePermissions(row.permissions));
		this.permissionsMark.show(row.changed.permissions ?? 0);
	}

	/** @param {number} time when they left */
	clear(time) {
		setText(this.facts, `left at ${formatSeconds(time)}`);
		this.attributes.draw([]);
		this.metadata.fill({ text: "", more: false }, 0);
		for (const element of [this.moreAttributes, this.tracks, this.permissions]) setText(element, "");
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

/** A participant's metadata: as a tree if it is JSON, and only the beginning of a long one until asked for more. */
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
			if (answer) shown.replaceChildren(copyable(answer.value.text.slice(0, MAX_LENGTH), "text"));
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

/** @param {Record<string, boolean>} permissions */
function describePermissions(permissions) {
	const listed = (/** @type {boolean} */ given) =>
		GRANTS.filter(([grant]) => Boolean(permissions[grant]) === given)
			.map(([, what]) => what)
			.join(", ");
	const [may, mayNot] = [listed(true), listed(false)];
	const parts = [may && `may ${may}`, mayNot && `may not ${mayNot}`, permissions.hidden && "hidden"];
	return parts.filter(Boolean).join("; ");
}
