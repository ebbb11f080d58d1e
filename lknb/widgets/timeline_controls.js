// The buttons above a timeline, and the kinds of events below it, which are also its legend.
import { h, setText } from "./dom.js";
import { GROUPS } from "./timeline_kinds.js";

/** @import { TimelineValues } from "./rows.js" */
/** @import { Timeline } from "./timeline.js" */
/** @import { Loader } from "./timeline_load.js" */

export class Controls {
	/** @param {Timeline} timeline */
	constructor(timeline) {
		this.timeline = timeline;
		const button = (/** @type {string} */ text, /** @type {string} */ title, /** @type {() => void} */ act) =>
			h("button", { type: "button", title, onclick: act }, text);
		this.follow = button("Follow", "Keep up with what happens (End)", () => {
			const { sight } = timeline;
			timeline.setMode(sight.mode === "follow" ? "still" : "follow");
		});
		this.all = button("All", "Show all of the time (Home, or a double click)", () => timeline.setMode("all"));
		const zoomIn = button("+", "Zoom in (+, or the wheel with Ctrl)", () => timeline.zoom(0.5));
		const zoomOut = button("−", "Zoom out (-, or the wheel with Ctrl)", () => timeline.zoom(2));
		zoomIn.setAttribute("aria-label", "Zoom in");
		zoomOut.setAttribute("aria-label", "Zoom out");
		this.counts = h("span", { class: "lknb-counts" }, "Waiting for the kernel");
		this.element = h("div", { class: "lknb-bar" }, this.follow, this.all, zoomOut, zoomIn, this.counts);
		this.legend = h("div", { class: "lknb-timeline-legend", role: "group", "aria-label": "Kinds of events" });
		this.buttons = new Map(
			GROUPS.map((group) => {
				const swatch = h("span", {
					class: "lknb-timeline-swatch",
					style: `background: var(--lknb-${group.color})`,
					"data-form": group.form,
				});
				const toggle = h(
					"button",
					{ type: "button", "aria-pressed": "true", hidden: true, onclick: () => this.toggle(group.name) },
					swatch,
					group.label,
				);
				return [group.name, toggle];
			}),
		);
		this.legend.append(...this.buttons.values());
		/** The version of the store whose kinds are offered. */
		this.version = -1;
	}

	/** @param {string} name */
	toggle(name) {
		const { hidden } = this.timeline;
		if (!hidden.delete(name)) hidden.add(name);
		this.buttons.get(name)?.setAttribute("aria-pressed", String(!hidden.has(name)));
		this.timeline.redraw();
	}

	/** @param {TimelineValues} values */
	draw(values) {
		const { sight, store, kinds, loader } = this.timeline;
		this.follow.hidden = !values.live;
		this.follow.setAttribute("aria-pressed", String(sight.mode === "follow"));
		this.all.setAttribute("aria-pressed", String(sight.mode === "all"));
		setText(this.counts, describeCounts(values, loader));
		if (store.version === this.version) return;
		this.version = store.version;
		const present = new Uint8Array(16);
		for (let index = 0; index < store.count; index += 1) present[store.columns.code[index] & 15] = 1;
		for (const [number, isThere] of present.entries()) {
			const button = isThere ? this.buttons.get(kinds.group(number).name) : undefined;
			if (button) button.hidden = false;
		}
	}
}

/**
 * @param {TimelineValues} values
 * @param {Loader} loader
 */
function describeCounts(values, { store, failed }) {
	const shown = store.count;
	const parts = [`${shown.toLocaleString()} ${shown === 1 ? "event" : "events"}`];
	if (values.loading !== null) parts.push(`reading ${Math.round(values.loading * 100)} %`);
	else if (values.total - values.first > shown + 2000) parts.push("loading");
	if (values.left_out) parts.push(`${values.left_out.toLocaleString()} older ones left out`);
	if (values.trouble || failed) parts.push(values.trouble || failed);
	return parts.join(" · ");
}
