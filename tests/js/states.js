// Plausible rows and values from a kernel. A test overrides the ones that matter to it.

/** @import * as Rows from "../../lknb/widgets/rows.js" */
/** @import { Part, PartState } from "../../lknb/widgets/sync.js" */

const NOON = new Date(2027, 0, 15, 12, 0, 0).getTime();

/**
 * @template Row
 * @param {Record<string, Row>} rows
 */
const mapOf = (rows) => new Map(Object.entries(rows));

/** @param {Partial<Rows.WholeEvent>} [more] @returns {Rows.WholeEvent} */
export const event = (more) => ({
	time: NOON,
	direction: "in",
	kind: "text",
	sender: "bob",
	to: [],
	topic: "greetings",
	size: 5,
	transferred: 5,
	status: "ok",
	error: null,
	duration: 0.25,
	reliable: null,
	content: "text",
	preview: "hello",
	value_error: null,
	more: false,
	...more,
});

/** @param {Record<string, Rows.EventRow>} events @param {Partial<Rows.FeedValues>} [more] @returns {PartState<Rows.FeedPart>} */
export const feedState = (events, more) => ({
	values: {
		evicted: 0,
		matched: Object.keys(events).length,
		skipped: 0,
		rate: 0,
		filter: {},
		only: { kinds: [], topic: null, sender: null },
		kinds: ["text", "data"],
		senders: ["bob"],
		limit: 200,
		...more,
	},
	rows: { events: mapOf(events) },
});

/** @param {Partial<Rows.MessageRow>} more @returns {Rows.MessageRow} */
export const message = (more) => {
	const text = more.text ?? "";
	return {
		time: NOON,
		sender: "bob",
		name: "bob",
		own: false,
		to: [],
		more_to: 0,
		text,
		length: text.length,
		cut: 0,
		piece: "1",
		size: text.length,
		open: false,
		status: "ok",
		error: null,
		trouble: null,
		edited: false,
		can_reply: true,
		can_edit: false,
		reply: null,
		files: [],
		...more,
	};
};

/** @param {Partial<Rows.AttachmentRow>} [more] @returns {Rows.AttachmentRow} */
export const attachment = (more) => ({
	id: "f",
	name: "a.txt",
	size: 9,
	transferred: 9,
	status: "ok",
	error: null,
	available: true,
	evicted: false,
	type: null,
	...more,
});

/**
 * @param {Record<string, Rows.MessageRow>} messages
 * @param {Record<string, string>} [pieces]
 * @param {Partial<Rows.ChatValues>} [more]
 * @returns {PartState<Rows.ChatPart>}
 */
export const chatState = (messages, pieces = {}, more = {}) => ({
	values: {
		state: "connected",
		people: [["bob", "bob"]],
		more_people: 0,
		growing: {},
		head_length: 4,
		piece_length: 4,
		text_limit: 1_000_000,
		dropped: 0,
		unreadable: 0,
		...more,
	},
	rows: {
		messages: mapOf(messages),
		pieces: new Map(Object.entries(pieces).map(([key, text]) => [key, { text }])),
	},
});

/** @param {Partial<Rows.PersonRow>} [more] @returns {Rows.PersonRow} */
export const person = (more) => ({
	identity: "bob",
	name: "",
	you: false,
	kind: "standard",
	state: "active",
	joined: NOON,
	quality: "unknown",
	permissions: { canPublishData: true, canSubscribe: true },
	tracks: [],
	more_tracks: 0,
	attributes: [],
	more_attributes: 0,
	metadata: { text: "", more: false },
	changed: {},
	...more,
});

/** @param {string} [text] @param {boolean} [more] @param {number} [checksum] @returns {Rows.EditableText} */
export const editable = (text = "", more = false, checksum = 0) => ({ text, more, checksum });

/**
 * @param {Record<string, Rows.PersonRow | Rows.LeftRow>} people
 * @param {Partial<Rows.ParticipantsValues>} [more]
 * @param {Record<string, Rows.OwnAttributeRow>} [mine]
 * @returns {PartState<Rows.ParticipantsPart>}
 */
export const participantsState = (people, more = {}, mine = {}) => ({
	values: {
		identity: "alice",
		state: "connected",
		total: Object.keys(people).length,
		matching: Object.values(people).filter((row) => !("left" in row)).length,
		filter: "",
		name: "Alice",
		metadata: editable(),
		room_metadata: { ...editable(), changed: 0 },
		refused: "",
		room_refused: "",
		attributes: Object.keys(mine).length,
		size: 0,
		limit: 65_536,
		...more,
	},
	rows: { people: mapOf(people), mine: mapOf(mine) },
});

/** @param {Partial<Rows.CallRow>} [more] @returns {Rows.CallRow} */
export const call = (more) => ({
	time: NOON,
	to: "bob",
	method: "add",
	payload: "null",
	raw: false,
	answer: "1",
	status: "ok",
	code: "",
	name: "",
	message: "",
	data: "",
	duration: 1,
	elapsed: null,
	more: false,
	cut: false,
	...more,
});

/** @param {Partial<Rows.MethodRow>} [more] @returns {Rows.MethodRow} */
export const method = (more) => ({
	method: "add",
	function: "add",
	calls: 0,
	errors: 0,
	failed: 0,
	running: 0,
	waiting: 0,
	last: null,
	took: null,
	mean: null,
	longest: null,
	callers: [],
	...more,
});

/**
 * @param {Record<string, Rows.CallRow>} calls
 * @param {Partial<Rows.RpcValues>} [more]
 * @param {Record<string, Rows.MethodRow>} [served]
 * @returns {PartState<Rows.RpcPart>}
 */
export const rpcState = (calls, more = {}, served = {}) => ({
	values: {
		room: "studio",
		connected: true,
		people: [["bob", ""]],
		more_people: 0,
		methods: [],
		timeout: 10,
		timeout_limit: 600,
		method_limit: 64,
		text_limit: 1_000_000,
		...more,
	},
	rows: { calls: mapOf(calls), served: mapOf(served) },
});

/** @param {Partial<Rows.TransferRow>} [more] @returns {Rows.TransferRow} */
export const transfer = (more) => ({
	time: NOON,
	direction: "in",
	name: "log.bin",
	sender: "bob",
	to: [],
	recipients: 0,
	topic: "logs",
	size: 1000,
	transferred: 250,
	status: "open",
	error: null,
	duration: null,
	rate: 100,
	left: 7.5,
	file: false,
	verified: false,
	image: false,
	table: false,
	saved: null,
	...more,
});

/** @param {Record<string, Rows.TransferRow>} transfers @param {Partial<Rows.TransfersValues>} [more] @returns {PartState<Rows.TransfersPart>} */
export const transfersState = (transfers, more) => ({
	values: {
		people: [["bob", ""]],
		more_people: 0,
		total: Object.keys(transfers).length,
		piece: 1000,
		upload_limit: 1e6,
		download_limit: 1e6,
		preload_limit: 1e6,
		...more,
	},
	rows: { transfers: mapOf(transfers) },
});

/** @param {Float64Array | Uint16Array} numbers */
const base64 = (numbers) => Buffer.from(numbers.buffer).toString("base64");

/**
 * A batch with these times, and the values of each field.
 * @param {number[]} times
 * @param {number[][]} columns
 * @param {Partial<Rows.BatchRow> & { sources?: number[] }} [more]
 * @returns {Rows.BatchRow}
 */
export const batch = (times, columns, { sources = times.map(() => 0), ...more } = {}) => ({
	count: times.length,
	time: base64(Float64Array.from(times)),
	source: base64(Uint16Array.from(sources)),
	columns: columns.map((values) => base64(Float64Array.from(values))),
	snapshot: false,
	...more,
});

/** @param {Record<string, Rows.BatchRow>} batches @param {Partial<Rows.TelemetryValues>} [more] @returns {PartState<Rows.TelemetryPart>} */
export const telemetryState = (batches, more) => ({
	values: {
		fields: ["x", "y"],
		units: ["", ""],
		sources: [["bob", "imu"]],
		total: 1,
		rate: 0,
		window: 5000,
		thinned: 0,
		undecoded: 0,
		reason: "",
		refused: [0, []],
		only: { fields: [], topic: null },
		...more,
	},
	rows: { batches: mapOf(batches) },
});

const KINDS =
	"text bytes rpc data data_track attributes participant_metadata room_metadata participant connection loss recording".split(
		" ",
	);
const STATUSES = ["open", "ok", "failed", "dropped"];

/**
 * An event of a timeline, in words.
 * @typedef {object} TimelineEvent
 * @property {number} time
 * @property {string} [kind]
 * @property {string} [status]
 * @property {number} [position]
 * @property {number} [duration]
 * @property {number} [lane]
 * @property {number} [other]
 * @property {number} [topic]
 * @property {number} [size]
 */

/**
 * Events as the kernel packs them.
 * @param {TimelineEvent[]} events
 * @param {number} [first] the position of the first
 */
export function packedEvents(events, first = 0) {
	const column = (/** @type {any} */ Type, /** @type {(event: TimelineEvent, index: number) => number} */ of) =>
		new Uint8Array(Type.from(events.map(of)).buffer);
	const columns = [
		column(Float64Array, ({ time }) => time),
		column(Uint32Array, ({ position }, index) => position ?? first + index),
		column(Uint32Array, ({ position }, index) => 1000 + (position ?? first + index)),
		column(Uint32Array, ({ size = 10 }) => size),
		column(Float32Array, ({ duration = Number.NaN }) => duration),
		column(Uint16Array, ({ lane = 2 }) => lane),
		column(Uint16Array, ({ other = 0xffff }) => other),
		column(Uint16Array, ({ topic = 1 }) => topic),
		column(Uint8Array, ({ kind = "data", status = "ok" }) => KINDS.indexOf(kind) | (STATUSES.indexOf(status) << 5)),
	];
	return Buffer.concat(columns);
}

/** @param {TimelineEvent[]} events @param {number} [first] @returns {Rows.TimelineBatch} */
export const timelineBatch = (events, first = 0, whole = false) => ({
	count: events.length,
	columns: packedEvents(events, first).toString("base64"),
	whole,
});

/** @param {Record<string, Rows.TimelineBatch>} batches @param {Partial<Rows.TimelineValues>} [more] @returns {PartState<Rows.TimelinePart>} */
export const timelineState = (batches, more) => ({
	values: {
		room: "studio",
		identity: "alice",
		live: true,
		recorded: null,
		lanes: ["", "alice", "bob", "carol"],
		others: false,
		topics: ["", "imu"],
		kinds: KINDS,
		statuses: STATUSES,
		first: 0,
		total: Object.values(batches).reduce((sum, { count }) => sum + count, 0),
		left_out: 0,
		batch: Math.max(0, ...Object.keys(batches).map(Number)),
		now: NOON,
		loading: null,
		trouble: "",
		...more,
	},
	rows: { batches: mapOf(batches) },
});

/** @param {Partial<Rows.PanelValues>} [more] @returns {Rows.PanelValues} */
export const panelValues = (more) => ({
	room: "studio",
	identity: "alice",
	name: "Alice",
	state: "connected",
	reason: "connected",
	participants: 2,
	ended: [],
	recordings: [],
	...more,
});
