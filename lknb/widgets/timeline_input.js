// Mouse, wheel, touch and keys of a timeline.
import { STRIP } from "./timeline_draw.js";
import { panned } from "./timeline_layout.js";

/** @import { Timeline } from "./timeline.js" */

/** Pixels after which a press becomes a drag. */
const DRAG = 4;

export class Input {
	/**
	 * @param {Timeline} timeline
	 * @param {AbortSignal} signal
	 */
	constructor(timeline, signal) {
		this.timeline = timeline;
		/** @type {{ x: number, window: [number, number], isDrag: boolean, isHead: boolean } | undefined} */
		this.pressed = undefined;
		const { canvas, head, view } = timeline.stage;
		for (const [target, isHead] of /** @type {[HTMLElement, boolean][]} */ ([
			[canvas, false],
			[head, true],
		])) {
			// biome-ignore format: pairs
			target.addEventListener("pointerdown", (event) => this.press(event, isHead), { signal });
			target.addEventListener("pointermove", (event) => this.move(event, isHead), { signal });
			target.addEventListener("pointerup", (event) => this.release(event, isHead), { signal });
			target.addEventListener("pointercancel", () => this.leave(), { signal });
			target.addEventListener("pointerleave", () => this.leave(), { signal });
			target.addEventListener("dblclick", () => timeline.setMode("all"), { signal });
		}
		view.addEventListener("wheel", (event) => this.wheel(event), { signal, passive: false });
		view.addEventListener("keydown", (event) => this.key(event), { signal });
		view.addEventListener("blur", () => this.leave(), { signal });
	}

	/** @param {MouseEvent} event */
	point(event) {
		const box = this.timeline.stage.canvas.getBoundingClientRect();
		return { x: event.clientX - box.left, y: event.clientY - box.top };
	}

	/** @param {number} x pixels of the lanes */
	timeAt(x) {
		const [from, to] = this.timeline.sight.window;
		return from + ((to - from) * x) / Math.max(1, this.timeline.stage.plot.clientWidth);
	}

	/**
	 * @param {PointerEvent} event
	 * @param {boolean} isHead
	 */
	press(event, isHead) {
		if (event.button !== 0) return;
		const { x } = this.point(event);
		const inStrip = isHead && event.offsetY < STRIP;
		this.pressed = { x, window: this.timeline.sight.window, isDrag: false, isHead: inStrip };
		/** @type {HTMLElement} */ (event.target).setPointerCapture?.(event.pointerId);
		if (inStrip) this.moveWindow(x);
	}

	/** Move the window to a place of the strip with all of the time. @param {number} x */
	moveWindow(x) {
		const { timeline } = this;
		const [first, last] = timeline.range();
		const [from, to] = timeline.sight.window;
		const at = first + ((last - first) * x) / Math.max(1, timeline.stage.plot.clientWidth);
		timeline.pan(at - (from + to) / 2);
	}

	/**
	 * @param {PointerEvent} event
	 * @param {boolean} isHead
	 */
	move(event, isHead) {
		const { timeline, pressed } = this;
		const { x, y } = this.point(event);
		if (pressed && (pressed.isDrag || Math.abs(x - pressed.x) > DRAG)) {
			pressed.isDrag = true;
			timeline.hit = undefined;
			timeline.pointer = undefined;
			if (pressed.isHead) this.moveWindow(x);
			else {
				const [from, to] = pressed.window;
				const by = ((pressed.x - x) * (to - from)) / Math.max(1, timeline.stage.plot.clientWidth);
				timeline.sight.stand(panned(pressed.window, by, timeline.range()));
				timeline.redraw();
			}
			return;
		}
		timeline.pointer = isHead && event.offsetY < STRIP ? undefined : this.timeAt(x);
		timeline.at = { x, y };
		timeline.hit = isHead ? undefined : timeline.find(x, y + timeline.stage.scroller.scrollTop);
		timeline.stage.canvas.style.cursor = timeline.hit ? "pointer" : "";
		timeline.redraw();
	}

	/**
	 * @param {PointerEvent} event
	 * @param {boolean} isHead
	 */
	release(event, isHead) {
		const { timeline, pressed } = this;
		this.pressed = undefined;
		if (!pressed || pressed.isDrag || pressed.isHead) return;
		const { x, y } = this.point(event);
		const hit = isHead ? undefined : timeline.find(x, y + timeline.stage.scroller.scrollTop);
		timeline.stage.view.focus({ preventScroll: true });
		if (hit) {
			timeline.lane = timeline.store.columns.lane[hit.index];
			timeline.open(hit.index);
			timeline.hit = undefined; // the details say more
		} else {
			timeline.selected = undefined;
			timeline.lane = undefined;
		}
		timeline.moveCursor(this.timeAt(x));
	}

	leave() {
		const { timeline } = this;
		timeline.hit = undefined;
		timeline.at = undefined;
		timeline.pointer = undefined;
		timeline.redraw();
	}

	/** @param {WheelEvent} event */
	wheel(event) {
		const { timeline } = this;
		const across = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
		const unit = event.deltaMode === 1 ? 16 : 1;
		if (event.ctrlKey || event.metaKey) {
			event.preventDefault();
			const factor = 1.0015 ** (event.deltaY * unit);
			const isAtEnd = timeline.sight.mode === "follow";
			timeline.zoom(Math.min(4, Math.max(0.25, factor)), isAtEnd ? undefined : this.timeAt(this.point(event).x));
		} else if (Math.abs(across) > Math.abs(event.deltaY) || event.shiftKey) {
			event.preventDefault();
			const [from, to] = timeline.sight.window;
			timeline.pan((across * unit * (to - from)) / Math.max(1, timeline.stage.plot.clientWidth));
		} // else the wheel scrolls the lanes, and the notebook
	}

	/** @param {KeyboardEvent} event */
	key(event) {
		const { timeline } = this;
		if (event.ctrlKey || event.metaKey || event.altKey || event.target !== timeline.stage.view) return;
		const [from, to] = timeline.sight.window;
		const part = (to - from) / 10;
		/** @type {Record<string, () => void>} */
		const keys = {
			ArrowLeft: () => (event.shiftKey ? timeline.pan(-part) : timeline.step(-1)),
			ArrowRight: () => (event.shiftKey ? timeline.pan(part) : timeline.step(1)),
			ArrowUp: () => timeline.stepLane(-1),
			ArrowDown: () => timeline.stepLane(1),
			PageUp: () => timeline.pan(-8 * part),
			PageDown: () => timeline.pan(8 * part),
			Home: () => timeline.setMode("all"),
			End: () => timeline.setMode(timeline.values?.live ? "follow" : "all"),
			"+": () => timeline.zoom(0.7, this.center()),
			"=": () => timeline.zoom(0.7, this.center()),
			"-": () => timeline.zoom(1 / 0.7, this.center()),
			Enter: () => this.openSelected(),
			" ": () => this.openSelected(),
			Escape: () => timeline.close(),
		};
		if (!Object.hasOwn(keys, event.key)) return;
		event.preventDefault();
		event.stopPropagation();
		keys[event.key]();
	}

	/** The time to zoom at: that of the selected event, if it is in sight. */
	center() {
		const { timeline } = this;
		const index = timeline.selectedIndex();
		const time = index === undefined ? timeline.cursor : timeline.store.columns.time[index];
		const [from, to] = timeline.sight.window;
		return time !== undefined && time >= from && time <= to ? time : undefined;
	}

	openSelected() {
		const index = this.timeline.selectedIndex();
		if (index !== undefined) this.timeline.open(index);
	}
}
