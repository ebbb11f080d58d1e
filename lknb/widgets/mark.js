// A mark that shows when something has changed, and highlights it.
import { formatSeconds, h, setText } from "./dom.js";

/** Milliseconds for which a change is new. */
const RECENT = 2_000;

/** Empty unless something has just changed. */
export class Mark {
	constructor() {
		this.element = h("span", { class: "lknb-mark" });
	}

	/**
	 * Show when something has changed, and highlight the element around it.
	 * @param {number} time milliseconds since 1970; 0 if it has not just changed
	 * @param {string} [what]
	 * @param {HTMLElement | null} [around]
	 */
	show(time, what = "changed", around = this.element.parentElement) {
		setText(this.element, time ? `${what} ${formatSeconds(time)}` : "");
		if (time && around) highlight(around, time);
	}
}

/**
 * Highlight an element once for a change at this time, unless it is old: the page may have been out of sight.
 * @param {HTMLElement} element
 * @param {number} time
 */
function highlight(element, time) {
	if (element.dataset.changed === String(time)) return;
	element.dataset.changed = String(time);
	element.classList.remove("lknb-changed");
	if (Math.abs(Date.now() - time) > RECENT) return;
	void element.offsetWidth; // otherwise the animation would not start again
	element.classList.add("lknb-changed");
	// An element that is hidden and shown again would start it again.
	setTimeout(() => element.classList.remove("lknb-changed"), RECENT);
}
