// Draws a timeline on two canvases: all of the time and the axis above, the lanes below.
import { formatSeconds, h } from "./dom.js";
import { inert } from "./inert.js";
import { NOTHING } from "./timeline_kinds.js";
import { BAR, BAR_GAP, BIN, bins, DENSITY, longestLasting, MARK, ticks } from "./timeline_layout.js";
import { MAX_TRACKS, OPEN } from "./timeline_store.js";

/** @import { Group, Kinds } from "./timeline_kinds.js" */
/** @import { Frame, Lane } from "./timeline_layout.js" */
/** @import { EventStore } from "./timeline_store.js" */

/** Calls in sight above which only that under the pointer is connected with its handler. */
const MOST_LINKS = 250;
/** Pixels of a bar from which on it shows its topic. */
const NAMED = 34;
/** Pixels of the strip with all of the time, and of the axis below it. */
export const STRIP = 26;
export const HEAD = STRIP + 20;

/**
 * Everything that a picture depends on.
 * @typedef {object} Scene
 * @property {EventStore} store
 * @property {Kinds} kinds
 * @property {Set<string>} hidden the names of hidden groups
 * @property {string[]} topics
 * @property {Lane[]} lanes
 * @property {number} laneCount
 * @property {Frame} frame the window of time
 * @property {[number, number]} range all of the time
 * @property {number} now
 * @property {boolean} isLive
 * @property {number} scrolled pixels above those in sight
 * @property {number} height pixels in sight
 * @property {number | undefined} hovered the index of the event under the pointer
 * @property {number | undefined} selected
 * @property {number | undefined} pointer the time under the pointer
 * @property {number | undefined} cursor
 */

/** @typedef {Record<string, string>} Palette */
/** @typedef {{ bars: Uint32Array, bad: Uint8Array, most: number }} Overview how much happened in each column of the strip */

/**
 * The theme's colours as a canvas takes them.
 * @param {HTMLElement} place
 * @returns {Palette}
 */
export function paletteOf(place) {
	const probe = h("span", { hidden: true });
	place.append(probe);
	/** @type {Palette} */
	const palette = {};
	const names = ["text", "faint", "line", "back", "soft", "accent", "bad", "good", "warn"];
	for (const name of [...names, ...[1, 2, 3, 4, 5, 6].map((number) => `hue-${number}`)]) {
		palette[name] = resolved(probe, `var(--lknb-${name})`);
		palette[`${name}-strong`] = resolved(probe, `color-mix(in srgb, var(--lknb-${name}) 82%, var(--lknb-text))`);
		palette[`${name}-light`] = resolved(probe, `color-mix(in srgb, var(--lknb-${name}) 30%, var(--lknb-back))`);
	}
	palette.font = getComputedStyle(place).fontFamily;
	probe.remove();
	return palette;
}

/**
 * @param {HTMLElement} probe
 * @param {string} color
 */
function resolved(probe, color) {
	probe.style.color = color;
	return getComputedStyle(probe).color;
}

/**
 * Give a canvas its size in device pixels, and a context that draws in those of the page.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
export function prepare(canvas, width, height) {
	const ratio = Math.min(3, globalThis.devicePixelRatio || 1);
	const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
	if (canvas.width !== wide || canvas.height !== high) {
		canvas.width = wide;
		canvas.height = high;
		canvas.style.width = `${width}px`;
		canvas.style.height = `${height}px`;
	}
	const pen = canvas.getContext("2d");
	pen?.setTransform(ratio, 0, 0, ratio, 0, 0);
	pen?.clearRect(0, 0, width, height);
	return pen;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 */
export function drawLanes(pen, scene, palette) {
	const { frame, lanes, scrolled, height } = scene;
	pen.fillStyle = palette.back;
	pen.fillRect(0, 0, frame.width, height);
	pen.save();
	pen.translate(0, -scrolled);
	const bottom = scrolled + height;
	for (const [index, { top, height: high }] of lanes.entries()) {
		if (index % 2 === 0) continue;
		pen.fillStyle = palette.soft;
		pen.globalAlpha = 0.45;
		pen.fillRect(0, top, frame.width, high);
	}
	pen.globalAlpha = 1;
	drawGrid(pen, scene, palette, bottom);
	drawBands(pen, scene, palette, bottom);
	drawDensity(pen, scene, palette);
	drawChosenPackets(pen, scene, palette);
	drawBars(pen, scene, palette);
	drawMarks(pen, scene, palette);
	drawCursors(pen, scene, palette, bottom);
	pen.restore();
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 * @param {number} bottom
 */
function drawGrid(pen, { frame, lanes }, palette, bottom) {
	pen.fillStyle = palette.line;
	pen.globalAlpha = 0.55;
	for (const time of ticks(frame, 90).times) pen.fillRect(Math.round(frame.x(time)), 0, 1, bottom);
	pen.globalAlpha = 1;
	for (const { top, height } of lanes) pen.fillRect(0, top + height - 1, frame.width, 1);
}

/**
 * The ranks of the events that may be in sight.
 * @param {Scene} scene
 * @returns {[number, number]}
 */
function inSight({ store, frame, now }) {
	const margin = 12 / frame.scale;
	return [store.rank(frame.from - margin - longestLasting(store, now)), store.rank(frame.to + margin)];
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 * @param {number} bottom
 */
function drawBands(pen, scene, palette, bottom) {
	const { store, kinds, hidden, frame, now, lanes } = scene;
	const { time, duration, code, lane } = store.columns;
	const order = store.order();
	const [start, stop] = inSight(scene);
	for (let rank = start; rank < stop; rank += 1) {
		const index = order[rank];
		if (kinds.form(code[index], duration[index]) !== "band" || hidden.has(kinds.group(code[index]).name)) continue;
		const x = frame.x(time[index]);
		const width = Math.max(2, frame.x(store.endOf(index, now)) - x);
		if (x + width < 0) continue;
		const color = kinds.group(code[index]).name === "loss" ? palette.bad : palette.warn;
		drawBand(pen, Math.max(-10, x), Math.min(frame.width + 10, x + width), 0, bottom, color, 0.1);
		// A loss of one participant's messages is stronger in its lane.
		const own = lanes.find((each) => each.lane === lane[index] && each.lane);
		if (own)
			drawBand(pen, Math.max(-10, x), Math.min(frame.width + 10, x + width), own.top, own.top + own.height, color, 0.2);
		if (index === scene.hovered || index === scene.selected) {
			pen.strokeStyle = color;
			pen.lineWidth = 2;
			pen.strokeRect(x, 1, width, bottom - 2);
		}
	}
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {number} from
 * @param {number} to
 * @param {number} top
 * @param {number} bottom
 * @param {string} color
 * @param {number} strength
 */
function drawBand(pen, from, to, top, bottom, color, strength) {
	pen.save();
	pen.beginPath();
	pen.rect(from, top, to - from, bottom - top);
	pen.clip();
	pen.globalAlpha = strength;
	pen.fillStyle = color;
	pen.fillRect(from, top, to - from, bottom - top);
	pen.globalAlpha = Math.min(1, strength * 2);
	pen.strokeStyle = color;
	pen.lineWidth = 1;
	pen.beginPath();
	for (let x = from - (bottom - top) - ((from - (bottom - top)) % 8); x < to; x += 8) {
		pen.moveTo(x, bottom);
		pen.lineTo(x + (bottom - top), top);
	}
	pen.stroke();
	pen.globalAlpha = 0.7;
	pen.fillStyle = color;
	pen.fillRect(from, top, 1, bottom - top);
	pen.fillRect(to - 1, top, 1, bottom - top);
	pen.restore();
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 */
function drawDensity(pen, scene, palette) {
	const found = bins(scene.store, scene.kinds, scene.hidden, scene.frame, scene.laneCount);
	const colors = [palette["hue-4-strong"], palette["hue-5-strong"], palette.bad];
	for (const { lane, density } of rowsOf(scene).filter((row) => row !== undefined)) {
		const counts = found.get(lane);
		if (density < 0 || !counts) continue;
		const [packets, frames, lost] = counts;
		let most = 1;
		for (let at = 0; at < packets.length; at += 1) most = Math.max(most, packets[at] + frames[at] + lost[at]);
		const high = DENSITY - 5;
		for (let at = 0; at < packets.length; at += 1) {
			const all = packets[at] + frames[at] + lost[at];
			if (!all) continue;
			// Roots, so that a burst does not hide single packets.
			const height = Math.max(4, high * Math.sqrt(all / most));
			let bottom = density + DENSITY - 2;
			for (const [which, color] of colors.entries()) {
				const part = (height * counts[which][at]) / all;
				if (!part) continue;
				pen.fillStyle = color;
				pen.fillRect(at * BIN, bottom - Math.max(1, part), BIN - 0.5, Math.max(1, part));
				bottom -= part;
			}
		}
	}
}

/**
 * A frame around the packets under the pointer, and around the selected one.
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 */
function drawChosenPackets(pen, { store, kinds, frame, lanes, hovered, selected }, palette) {
	const { time, duration, code, lane } = store.columns;
	for (const index of [hovered, selected]) {
		if (index === undefined || kinds.form(code[index], duration[index]) !== "density") continue;
		const row = lanes.find((each) => each.lane === lane[index]);
		if (!row || row.density < 0) continue;
		pen.strokeStyle = index === selected ? palette.accent : palette.text;
		pen.lineWidth = index === selected ? 2 : 1;
		pen.strokeRect(frame.x(time[index]) - 3, row.density + 0.5, 6, DENSITY - 1);
	}
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 */
function drawBars(pen, scene, palette) {
	const { store, kinds, hidden, frame, laneCount } = scene;
	const { time, duration, code, lane, other } = store.columns;
	const order = store.order();
	const rows = rowsOf(scene);
	/** How far each track is drawn, and in which style: what would lie there as well is not drawn again. */
	const drawn = new Float64Array(laneCount * MAX_TRACKS).fill(Number.NEGATIVE_INFINITY);
	const styles = new Int16Array(laneCount * MAX_TRACKS).fill(-1);
	const [start, stop] = inSight(scene);
	/** @type {number[]} */
	const calls = [];
	for (let rank = start; rank < stop; rank += 1) {
		const index = order[rank];
		if (kinds.form(code[index], duration[index]) !== "bar" || lane[index] >= laneCount) continue;
		if (hidden.has(kinds.group(code[index]).name)) continue;
		const from = frame.x(time[index]);
		const to = frame.x(store.endOf(index, scene.now));
		const width = Math.max(3, to - from);
		if (from + width < 0) continue;
		const isLinked = kinds.isCall(code[index]) && other[index] < laneCount && other[index] !== lane[index];
		if (isLinked) calls.push(index);
		const places = [[lane[index], store.track[index]]];
		if (isLinked) places.push([other[index], store.otherTrack[index]]);
		for (const [place, [of, track]] of places.entries()) {
			const row = rows[of];
			if (!row) continue;
			const key = of * MAX_TRACKS + track;
			const style = (code[index] & 15) + (kinds.isBad(code[index]) ? 16 : 0);
			if (from + width <= drawn[key] + 1 && (styles[key] === style || style < 16)) continue;
			drawn[key] = from + width;
			styles[key] = style;
			const y = row.bars + track * (BAR + BAR_GAP);
			drawBar(pen, scene, palette, index, from, width, y, place === 1);
		}
	}
	drawLinks(pen, scene, palette, rowsOf(scene, true), calls);
}

/**
 * The lanes by their number.
 * @param {Scene} scene
 * @param {boolean} [isAll] whether also those that are not scrolled to
 */
function rowsOf({ lanes, laneCount, scrolled, height }, isAll = false) {
	/** @type {(Lane | undefined)[]} */
	const rows = new Array(laneCount);
	for (const each of lanes)
		if (isAll || (each.top < scrolled + height && each.top + each.height > scrolled)) rows[each.lane] = each;
	return rows;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 * @param {number} index
 * @param {number} from
 * @param {number} width
 * @param {number} y
 * @param {boolean} isHandler whether it is the handler's side of a call
 */
function drawBar(pen, scene, palette, index, from, width, y, isHandler) {
	const { store, kinds, topics, frame } = scene;
	const { code, topic, duration } = store.columns;
	const { color } = kinds.group(code[index]);
	const isBad = kinds.isBad(code[index]);
	const isOpen = duration[index] === OPEN;
	const left = Math.max(from, -4);
	const right = Math.min(from + width, frame.width + 4);
	if (right - left < 6) {
		pen.fillStyle = palette[isBad ? "bad" : `${color}-strong`];
		pen.globalAlpha = isHandler ? 0.6 : 1;
		// What failed is higher, because there is no room for a cross.
		pen.fillRect(left, y - (isBad ? 2 : 0), right - left, BAR + (isBad ? 4 : 0));
	} else {
		pen.fillStyle = palette[isBad ? "bad-light" : `${color}-light`];
		pen.globalAlpha = isHandler ? 0.6 : 1;
		pen.fillRect(left, y, right - left, BAR);
		pen.fillStyle = palette[isBad ? "bad" : `${color}-strong`];
		pen.fillRect(left, y, 3, BAR);
		pen.fillRect(left, y + BAR - 2, right - left, 2);
		if (isBad) drawCross(pen, right - 7, y + BAR / 2 - 1, palette.bad);
		if (isOpen) drawRunning(pen, palette[`${color}-strong`], right, y);
		pen.globalAlpha = 1;
		const room = right - left - (isBad ? 20 : 10);
		if (room > NAMED)
			drawText(pen, palette, inert(topics[topic[index]] || kinds.kind(code[index])), left + 6, y + 10, room);
	}
	pen.globalAlpha = 1;
	if (index === scene.hovered || index === scene.selected) {
		pen.strokeStyle = index === scene.selected ? palette.accent : palette.text;
		pen.lineWidth = index === scene.selected ? 2 : 1;
		pen.strokeRect(left - 0.5, y - 0.5, right - left + 1, BAR + 1);
	}
}

/**
 * The end of a bar that goes on.
 * @param {CanvasRenderingContext2D} pen
 * @param {string} color
 * @param {number} right
 * @param {number} y
 */
function drawRunning(pen, color, right, y) {
	pen.fillStyle = color;
	pen.beginPath();
	pen.moveTo(right, y);
	pen.lineTo(right + 6, y + BAR / 2);
	pen.lineTo(right, y + BAR);
	pen.fill();
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {number} x
 * @param {number} y
 * @param {string} color
 */
function drawCross(pen, x, y, color) {
	pen.strokeStyle = color;
	pen.lineWidth = 2;
	pen.beginPath();
	pen.moveTo(x - 3, y - 3);
	pen.lineTo(x + 3, y + 3);
	pen.moveTo(x + 3, y - 3);
	pen.lineTo(x - 3, y + 3);
	pen.stroke();
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Palette} palette
 * @param {string} text inert
 * @param {number} x
 * @param {number} y
 * @param {number} room pixels
 */
function drawText(pen, palette, text, x, y, room) {
	pen.font = `10.5px ${palette.font}`;
	pen.fillStyle = palette.text;
	let shown = text.slice(0, Math.ceil(room / 3));
	if (pen.measureText(shown).width > room) {
		while (shown && pen.measureText(`${shown}…`).width > room) shown = shown.slice(0, -1);
		shown = shown ? `${shown}…` : "";
	}
	pen.fillText(shown, x, y);
}

/**
 * Lines from callers to handlers, and back where the answer came.
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 * @param {(Lane | undefined)[]} rows
 * @param {number[]} calls
 */
function drawLinks(pen, scene, palette, rows, calls) {
	const { store, kinds, frame, hovered, selected } = scene;
	const { lane, other, code, time } = store.columns;
	const few = calls.length > MOST_LINKS ? calls.filter((index) => index === hovered || index === selected) : calls;
	for (const index of few) {
		const [caller, handler] = [rows[lane[index]], rows[other[index]]];
		if (!caller || !handler || other[index] === NOTHING) continue;
		const start = caller.bars + store.track[index] * (BAR + BAR_GAP);
		const end = handler.bars + store.otherTrack[index] * (BAR + BAR_GAP);
		const isDown = end > start;
		const isBad = kinds.isBad(code[index]);
		const color = palette[isBad ? "bad" : "hue-3-strong"];
		pen.strokeStyle = color;
		pen.globalAlpha = index === hovered || index === selected ? 1 : 0.7;
		pen.lineWidth = index === hovered || index === selected ? 2 : 1;
		const from = Math.round(frame.x(time[index])) + 0.5;
		line(pen, from, isDown ? start + BAR : start, from, isDown ? end : end + BAR, isBad ? [3, 3] : []);
		pen.fillStyle = color;
		pen.beginPath();
		const tip = isDown ? end : end + BAR;
		const back = isDown ? -5 : 5;
		pen.moveTo(from, tip);
		pen.lineTo(from - 3, tip + back);
		pen.lineTo(from + 3, tip + back);
		pen.fill();
		const until = Math.round(frame.x(store.endOf(index, scene.now))) - 0.5;
		const isAnswered = kinds.status(code[index]) === "ok";
		if (isAnswered && until - from > 6)
			line(pen, until, isDown ? start + BAR : start, until, isDown ? end : end + BAR, [2, 2]);
	}
	pen.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {number} x
 * @param {number} y
 * @param {number} toX
 * @param {number} toY
 * @param {number[]} dash
 */
function line(pen, x, y, toX, toY, dash) {
	pen.setLineDash(dash);
	pen.beginPath();
	pen.moveTo(x, y);
	pen.lineTo(toX, toY);
	pen.stroke();
	pen.setLineDash([]);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 */
function drawMarks(pen, scene, palette) {
	const { store, kinds, hidden, frame, laneCount, topics } = scene;
	const { time, duration, code, lane, topic } = store.columns;
	const order = store.order();
	const rows = rowsOf(scene);
	const drawn = new Float64Array(laneCount).fill(Number.NEGATIVE_INFINITY);
	const [start, stop] = inSight(scene);
	for (let rank = start; rank < stop; rank += 1) {
		const index = order[rank];
		const row = rows[lane[index]];
		if (!row || kinds.form(code[index], duration[index]) !== "mark") continue;
		const group = kinds.group(code[index]);
		if (hidden.has(group.name)) continue;
		const x = frame.x(time[index]);
		const isMarked = index === scene.hovered || index === scene.selected;
		if (x - drawn[lane[index]] < 1.5 && !isMarked) continue;
		drawn[lane[index]] = x;
		const y = row.marks + MARK / 2 - 1;
		drawMark(pen, group, topics[topic[index]] ?? "", kinds.isBad(code[index]), x, y, palette);
		if (!isMarked) continue;
		pen.strokeStyle = index === scene.selected ? palette.accent : palette.text;
		pen.lineWidth = index === scene.selected ? 2 : 1;
		pen.strokeRect(x - 6.5, y - 6.5, 13, 13);
	}
}

/**
 * A diamond for a state, a triangle that points right or left for who came or went, a square for the rest.
 * @param {CanvasRenderingContext2D} pen
 * @param {Group} group
 * @param {string} change
 * @param {boolean} isBad
 * @param {number} x
 * @param {number} y
 * @param {Palette} palette
 */
function drawMark(pen, group, change, isBad, x, y, palette) {
	if (isBad) {
		drawCross(pen, x, y, palette.bad);
		return;
	}
	pen.fillStyle = palette[`${group.color}-strong`];
	pen.beginPath();
	if (group.name === "state") {
		for (const [dx, dy] of [[0, -5], [5, 0], [0, 5], [-5, 0]]) pen.lineTo(x + dx, y + dy); // biome-ignore format: points
	} else if (change === "joined" || change === "active" || change === "connected") {
		for (const [dx, dy] of [[-4, -5], [4, 0], [-4, 5]]) pen.lineTo(x + dx, y + dy); // biome-ignore format: points
	} else if (change === "left") {
		for (const [dx, dy] of [[4, -5], [-4, 0], [4, 5]]) pen.lineTo(x + dx, y + dy); // biome-ignore format: points
	} else pen.rect(x - 3.5, y - 3.5, 7, 7);
	pen.fill();
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 * @param {number} bottom
 */
function drawCursors(pen, { frame, pointer, cursor, now, isLive }, palette, bottom) {
	if (isLive && now < frame.to) {
		pen.fillStyle = palette.good;
		pen.fillRect(Math.round(frame.x(now)), 0, 1, bottom);
	}
	if (pointer !== undefined) {
		pen.fillStyle = palette.faint;
		pen.globalAlpha = 0.5;
		pen.fillRect(Math.round(frame.x(pointer)), 0, 1, bottom);
		pen.globalAlpha = 1;
	}
	if (cursor !== undefined) {
		pen.fillStyle = palette.accent;
		pen.fillRect(Math.round(frame.x(cursor)) - 1, 0, 2, bottom);
	}
}

/**
 * The strip with all of the time, and the axis.
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 * @param {Overview} overview
 */
export function drawHead(pen, scene, palette, overview) {
	const { frame, range, now } = scene;
	pen.fillStyle = palette.soft;
	pen.fillRect(0, 0, frame.width, STRIP);
	const { bars, bad, most } = overview;
	for (let at = 0; at < bars.length; at += 1) {
		if (!bars[at]) continue;
		const high = Math.max(2, (STRIP - 6) * Math.sqrt(bars[at] / most));
		pen.fillStyle = palette[bad[at] ? "bad" : "faint"];
		pen.fillRect(at * BIN, STRIP - 2 - high, BIN - 0.5, high);
	}
	const scale = frame.width / (range[1] - range[0]);
	const from = Math.max(0, (frame.from - range[0]) * scale);
	const to = Math.min(frame.width, (frame.to - range[0]) * scale);
	pen.fillStyle = palette.back;
	pen.globalAlpha = 0.6;
	pen.fillRect(0, 0, from, STRIP);
	pen.fillRect(to, 0, frame.width - to, STRIP);
	pen.globalAlpha = 1;
	pen.strokeStyle = palette.accent;
	pen.lineWidth = 1.5;
	pen.strokeRect(from + 0.75, 0.75, Math.max(3, to - from - 1.5), STRIP - 1.5);
	drawAxis(pen, scene, palette, now);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Palette} palette
 * @param {number} now
 */
function drawAxis(pen, { frame, cursor, pointer, isLive }, palette, now) {
	const { times, step } = ticks(frame, 90);
	pen.font = `11px ${palette.font}`;
	pen.fillStyle = palette.faint;
	for (const time of times) {
		const x = Math.round(frame.x(time));
		pen.fillRect(x, STRIP, 1, 5);
		const text = tickText(time, step);
		if (x + 4 + pen.measureText(text).width <= frame.width) pen.fillText(text, x + 4, HEAD - 6);
	}
	if (isLive && now < frame.to) {
		pen.fillStyle = palette.good;
		pen.fillRect(Math.round(frame.x(now)), STRIP, 1, HEAD - STRIP);
	}
	for (const [time, color] of /** @type {[number | undefined, string][]} */ ([
		[pointer, palette.text],
		[cursor, palette.accent],
	])) {
		// biome-ignore format: pairs
		if (time === undefined || time < frame.from || time > frame.to) continue;
		const text = exactTime(time, frame.scale);
		const width = pen.measureText(text).width + 10;
		const x = Math.min(Math.max(0, frame.x(time) - width / 2), frame.width - width);
		pen.fillStyle = color;
		pen.fillRect(x, STRIP + 1, width, HEAD - STRIP - 2);
		pen.fillStyle = palette.back;
		pen.fillText(text, x + 5, HEAD - 6);
	}
}

/**
 * @param {number} time
 * @param {number} step between two ticks
 */
export function tickText(time, step) {
	if (step >= 86_400_000) {
		const date = new Date(time);
		return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
	}
	if (step >= 60_000) return formatSeconds(time).slice(0, 5);
	if (step >= 1000) return formatSeconds(time);
	return exactTime(time, 1 / step);
}

/**
 * A time, as exactly as a pixel shows it.
 * @param {number} time
 * @param {number} scale pixels of a millisecond
 */
export function exactTime(time, scale) {
	const digits = scale > 1 ? 4 : scale >= 0.02 ? 3 : scale > 0.002 ? 1 : 0;
	if (!digits) return formatSeconds(time);
	const part = (((time % 1000) + 1000) % 1000) / 1000;
	return `${formatSeconds(time)}.${String(Math.floor(part * 10 ** digits + 1e-6)).padStart(digits, "0")}`;
}

/** @param {number} number */
function two(number) {
	return String(number).padStart(2, "0");
}

/**
 * How much happened in each column of the strip.
 * @param {EventStore} store
 * @param {Kinds} kinds
 * @param {Set<string>} hidden
 * @param {[number, number]} range
 * @param {number} width
 * @returns {Overview}
 */
export function overviewOf(store, kinds, hidden, [first, last], width) {
	const columns = Math.ceil(width / BIN) + 1;
	const bars = new Uint32Array(columns);
	const bad = new Uint8Array(columns);
	const scale = width / (last - first) / BIN;
	const { time, code } = store.columns;
	let most = 1;
	for (let index = 0; index < store.count; index += 1) {
		const group = kinds.group(code[index]);
		if (hidden.has(group.name)) continue;
		const at = Math.floor((time[index] - first) * scale);
		if (!(at >= 0 && at < columns)) continue;
		bars[at] += 1;
		if (bars[at] > most) most = bars[at];
		if (group.form === "band" || kinds.isBad(code[index])) bad[at] = 1;
	}
	return { bars, bad, most };
}
