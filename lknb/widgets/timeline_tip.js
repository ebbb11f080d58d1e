// What a timeline says about the event under the pointer, or the one that is selected.
import { formatDuration, formatSize, formatTime, h, quoted } from "./dom.js";
import { NOTHING, titleOf } from "./timeline_kinds.js";
import { laneName } from "./timeline_layout.js";
import { OPEN } from "./timeline_store.js";

/** @import { TimelineValues } from "./rows.js" */
/** @import { Kinds } from "./timeline_kinds.js" */
/** @import { Hit } from "./timeline_layout.js" */
/** @import { EventStore } from "./timeline_store.js" */

/**
 * Who, what, when, how long and how much, line by line.
 * @param {EventStore} store
 * @param {Kinds} kinds
 * @param {TimelineValues} values
 * @param {Hit} hit
 * @param {number} now
 * @returns {HTMLElement[]}
 */
export function describeEvent(store, kinds, values, { index, count, bytes }, now) {
	const { time, duration, lane, other, topic, code } = store.columns;
	const kind = kinds.kind(code[index]);
	const to = other[index] === NOTHING ? "" : laneName(values.lanes, other[index]);
	const name = topic[index] === NOTHING ? "(one of many topics)" : values.topics[topic[index]];
	const what = count > 1 ? `${count.toLocaleString()} ${kinds.group(code[index]).noun[1]}` : titleOf(kind);
	const lasts = duration[index];
	const size = count > 1 ? bytes : store.sizeOf(index);
	const when = [count > 1 ? `around ${formatTime(time[index])}` : formatTime(time[index])];
	if (lasts === OPEN) when.push(`for ${formatDuration((now - time[index]) / 1000)} so far`);
	else if (lasts >= 0) when.push(`took ${formatDuration(lasts / 1000)}`);
	if (size !== undefined && (size > 0 || count === 1)) when.push(formatSize(size));
	const lines = [
		h("div", null, quoted(laneName(values.lanes, lane[index]), "lknb-identity"), to && " → ", to && quoted(to)),
		h("div", null, what, name ? ": " : "", name ? quoted(name) : ""),
		h("div", { class: "lknb-faint" }, when.join(", ")),
	];
	const status = kinds.status(code[index]);
	if (status !== "ok")
		lines.push(h("div", { class: "lknb-timeline-status", "data-status": status }, STATUS[status] ?? status));
	return lines;
}

/** @type {Record<string, string>} */
const STATUS = { open: "in progress", failed: "✕ failed", dropped: "✕ dropped" };
