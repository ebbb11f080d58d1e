// How a timeline shows each kind of event: as bars, as density, as marks or as bands, and in which colour.

/** In place of a lane or a topic that an event does not have. */
export const NOTHING = 0xffff;
/** The lane of what no participant sent. */
export const ROOM = 0;

/** @typedef {"bar" | "density" | "mark" | "band"} Form */

/**
 * A group of kinds that look alike, and can be hidden.
 * @typedef {object} Group
 * @property {string} name
 * @property {string} label
 * @property {Form} form
 * @property {string[]} kinds
 * @property {string} color the name of a variable in `lknb.css`
 * @property {[one: string, many: string]} noun
 */

/** @type {Group[]} */
export const GROUPS = [
	{ name: "text", label: "Text", form: "bar", kinds: ["text"], color: "hue-1", noun: ["text", "texts"] },
	{ name: "bytes", label: "Files", form: "bar", kinds: ["bytes"], color: "hue-2", noun: ["file", "files"] },
	{ name: "rpc", label: "Calls", form: "bar", kinds: ["rpc"], color: "hue-3", noun: ["call", "calls"] },
	{ name: "data", label: "Packets", form: "density", kinds: ["data"], color: "hue-4", noun: ["packet", "packets"] },
	{
		name: "data_track",
		label: "Frames",
		form: "density",
		kinds: ["data_track"],
		color: "hue-5",
		noun: ["frame", "frames"],
	},
	{
		name: "state",
		label: "State",
		form: "mark",
		kinds: ["attributes", "participant_metadata", "room_metadata"],
		color: "hue-6",
		noun: ["change", "changes"],
	},
	{
		name: "people",
		label: "People",
		form: "mark",
		kinds: ["participant", "connection", "recording"],
		color: "faint",
		noun: ["change", "changes"],
	},
	{ name: "loss", label: "Losses", form: "band", kinds: ["loss"], color: "bad", noun: ["loss", "losses"] },
];

const PEOPLE = GROUPS[6];

/** What the codes of events mean: a kind, a direction and a status in one number. */
export class Kinds {
	/**
	 * @param {string[]} kinds by their number
	 * @param {string[]} statuses by their number
	 */
	constructor(kinds, statuses) {
		this.kinds = kinds;
		this.statuses = statuses;
		this.groups = kinds.map((kind) => GROUPS.find((group) => group.kinds.includes(kind)) ?? PEOPLE);
		this.call = kinds.indexOf("rpc");
		this.connection = kinds.indexOf("connection");
	}

	/** @param {number} code */
	kind(code) {
		return this.kinds[code & 15] ?? "";
	}

	/** @param {number} code */
	group(code) {
		return this.groups[code & 15] ?? PEOPLE;
	}

	/** @param {number} code */
	isBar(code) {
		return this.group(code).form === "bar";
	}

	/** @param {number} code */
	isCall(code) {
		return (code & 15) === this.call;
	}

	/** @param {number} code */
	isOut(code) {
		return (code & 16) !== 0;
	}

	/** @param {number} code */
	status(code) {
		return this.statuses[code >> 5] ?? "";
	}

	/** @param {number} code */
	isBad(code) {
		const status = this.status(code);
		return status === "failed" || status === "dropped";
	}

	/**
	 * How an event is shown: an outage is a change of the connection that lasts.
	 * @param {number} code
	 * @param {number} duration
	 * @returns {Form}
	 */
	form(code, duration) {
		return (code & 15) === this.connection && !Number.isNaN(duration) ? "band" : this.group(code).form;
	}
}

const TITLES = /** @type {Record<string, string>} */ ({
	text: "text",
	bytes: "file",
	rpc: "call",
	data: "packet",
	data_track: "frame",
	attributes: "attributes changed",
	participant_metadata: "metadata or name changed",
	room_metadata: "the room's metadata changed",
	participant: "participant",
	connection: "connection",
	loss: "messages may be missing",
	recording: "recording",
});

/** @param {string} kind */
export function titleOf(kind) {
	return TITLES[kind] ?? kind;
}
