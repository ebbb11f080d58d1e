// The elements of a timeline: the names of the lanes, the canvases beside them, and what is read about an event.
import { h, quoted } from "./dom.js";
import { HEAD } from "./timeline_draw.js";
import { heightOf, laneName } from "./timeline_layout.js";

/** @import { TimelineValues } from "./rows.js" */
/** @import { Controls } from "./timeline_controls.js" */
/** @import { Lane } from "./timeline_layout.js" */

const KEYS =
	"Timeline. Left and right go to the events of a lane, up and down to other lanes, Enter opens an event, " +
	"plus and minus zoom, Shift with left and right moves, Home shows everything, End follows.";

export class Stage {
	/**
	 * @param {Controls} controls
	 * @param {HTMLElement} outcome
	 * @param {HTMLElement} details
	 * @param {HTMLElement} state
	 */
	constructor(controls, outcome, details, state) {
		this.head = h("canvas", { class: "lknb-timeline-head lknb-picture", "aria-hidden": "true" });
		this.canvas = h("canvas", { class: "lknb-timeline-canvas lknb-picture", "aria-hidden": "true" });
		this.corner = h("div", { class: "lknb-timeline-corner lknb-number", title: "The time in sight" });
		this.list = h("div", null);
		this.names = h("div", { class: "lknb-timeline-names" }, this.list);
		this.plot = h("div", { class: "lknb-timeline-plot" }, this.canvas);
		this.scroller = h("div", { class: "lknb-timeline-scroll" }, this.names, this.plot);
		this.tip = h("div", { class: "lknb-timeline-tip", role: "status", hidden: true });
		this.empty = h("p", { class: "lknb-empty" }, "Waiting for the kernel");
		this.view = h(
			"div",
			{ class: "lknb-timeline-view", role: "group", tabIndex: 0, "aria-label": KEYS },
			h("div", { class: "lknb-timeline-top" }, this.corner, this.head),
			this.scroller,
			this.empty,
			this.tip,
		);
		details.classList.add("lknb-timeline-details");
		const side = h("div", { class: "lknb-timeline-side" }, details, state);
		this.element = h(
			"div",
			{ class: "lknb-timeline" },
			controls.element,
			outcome,
			h("div", { class: "lknb-timeline-body" }, this.view, side),
			controls.legend,
		);
		this.named = "";
		this.tipped = "";
	}

	/**
	 * Write the names of the lanes beside them.
	 * @param {Lane[]} lanes
	 * @param {TimelineValues} values
	 */
	name(lanes, { lanes: names, identity, recorded }) {
		const shown = JSON.stringify([lanes, names]);
		if (shown === this.named) return;
		this.named = shown;
		this.plot.style.height = `${heightOf(lanes)}px`;
		this.list.replaceChildren(
			...lanes.map(({ lane, top, height }) => {
				const name = laneName(names, lane);
				const isOwn = names[lane] === identity && lane > 0;
				return h(
					"div",
					{ class: "lknb-timeline-name", style: `top: ${top}px; height: ${height}px`, title: name },
					quoted(name, lane > 0 ? "lknb-identity" : "lknb-faint"),
					isOwn && h("span", { class: "lknb-faint" }, recorded ? "recorder" : "you"),
				);
			}),
		);
	}

	/**
	 * Show this much of the lanes, and the names of those that are scrolled to.
	 * @param {number} height
	 */
	resize(height) {
		for (const element of [this.scroller, this.names]) element.style.height = `${height}px`;
		this.list.style.transform = `translateY(${-this.scroller.scrollTop}px)`;
	}

	hideTip() {
		this.tip.hidden = true;
	}

	/**
	 * Describe an event beside a point.
	 * @param {string} key changes when the description does
	 * @param {() => HTMLElement[]} describe
	 * @param {{ x: number, y: number }} at pixels of the canvas
	 */
	showTip(key, describe, at) {
		this.tip.hidden = false;
		if (key !== this.tipped) this.tip.replaceChildren(...describe());
		this.tipped = key;
		const { offsetWidth: wide, offsetHeight: high } = this.tip;
		const x = this.names.offsetWidth + at.x;
		const y = HEAD + at.y;
		this.tip.style.left = `${Math.max(0, Math.min(x + 14, this.view.clientWidth - wide - 4))}px`;
		const isBelow = y + 18 + high < this.view.clientHeight || y - high - 12 < 0;
		this.tip.style.top = `${isBelow ? y + 18 : y - high - 12}px`;
	}
}
