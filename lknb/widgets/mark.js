// A note of when something has changed, and its highlight.
import { formatSeconds, h, setText } from "./dom.js";

/** Empty while nothing has just changed. */
export class Mark {
	constructor() {
		this.element = h("span", { class: "lknb-mark" });
	}

	/**
	 * Show when something has changed, and light up the element around it.
	 * @param {number} time milliseconds since 1970; 0 when it has not just changed
	 * @param {string} [what]
	 * @param {HTMLElement | null} [around]
	 */
	show(time, what = "changed", around = this.element.parentElement) {
		setText(this.element, time ? `${what} ${formatSeconds(time)}` : "");
		if (time && around) highlight(around, time);
	}
}

/**
 * Light up an element once for a change at this time.
 * @param {HTMLElement} element
 * @param {number} time
 */
function highlight(element, time) {
	if (element.dataset.changed === String(time)) return;
	element.dataset.changed = String(time);
	element.classList.remove("lknb-changed");
	void element.offsetWidth; // or the animation would not start again
	element.classList.add("lknb-changed");
}
