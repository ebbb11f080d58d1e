// A table of any length whose rows in sight are the only ones in the page. All rows have the same height.
import { h, hasFocus, KeyedList } from "./dom.js";

/** @template Item @typedef {import("./dom.js").ItemView<Item>} ItemView */

/** Rows above and below the ones in sight that are in the page too, so that scrolling shows no gaps. */
const OVERSCAN = 6;
/** Pixels of a list that has no layout yet. */
const UNKNOWN_HEIGHT = 300;

/**
 * The rows of a table inside of a scrolling element.
 * @template Item
 * @template {ItemView<Item>} View
 */
export class WindowedRows {
	/**
	 * @param {HTMLElement} scroller
	 * @param {HTMLTableElement} table with its head, which stays in sight
	 * @param {number} rowHeight pixels
	 * @param {(key: string, item: Item) => View} make
	 * @param {AbortSignal} signal
	 */
	constructor(scroller, table, rowHeight, make, signal) {
		this.scroller = scroller;
		this.table = table;
		this.rowHeight = rowHeight;
		/** @type {[key: string, item: Item][]} */
		this.items = [];
		/** @type {Map<string, number> | undefined} */
		this.places = undefined;
		this.above = h("tbody", { "aria-hidden": "true" }, h("tr", null));
		this.below = h("tbody", { "aria-hidden": "true" }, h("tr", null));
		table.append(this.above);
		/** @type {KeyedList<Item, View>} */
		this.list = new KeyedList(table, make);
		table.append(this.below);
		this.isScrolling = false;
		scroller.addEventListener("scroll", () => this.scrolled(), { signal, passive: true });
		const resized = new ResizeObserver(() => this.render());
		resized.observe(scroller);
		signal.addEventListener("abort", () => resized.disconnect());
	}

	/** Once for each frame, however many events the browser sends. */
	scrolled() {
		if (this.isScrolling) return;
		this.isScrolling = true;
		requestAnimationFrame(() => {
			this.isScrolling = false;
			this.render();
		});
	}

	/** The first row that is fully in sight. */
	get first() {
		return Math.ceil(this.scroller.scrollTop / this.rowHeight);
	}

	/** How many rows are fully in sight. */
	get inSight() {
		const head = this.table.tHead?.offsetHeight ?? 0;
		return Math.max(1, Math.floor(((this.scroller.clientHeight || UNKNOWN_HEIGHT) - head) / this.rowHeight));
	}

	/**
	 * Show these rows. The row with the key `steady` stays where it is; without one, so do the rows in sight, unless they
	 * are the first ones.
	 * @param {[key: string, item: Item][]} items
	 * @param {string} [steady]
	 */
	draw(items, steady = "") {
		const top = this.scroller.scrollTop;
		const before = this.indexOf(steady) >= 0 ? this.indexOf(steady) : top ? this.first : -1;
		const kept = before >= 0 ? this.items.slice(before, before + this.inSight).map(([key]) => key) : [];
		this.items = items;
		this.places = undefined;
		const index = kept.findIndex((key) => this.indexOf(key) >= 0);
		const moved = index < 0 ? 0 : this.indexOf(kept[index]) - (before + index);
		this.setHeights();
		if (moved) this.scroller.scrollTop = top + moved * this.rowHeight;
		this.render();
	}

	/** @param {string} key */
	indexOf(key) {
		this.places ??= new Map(this.items.map(([each], index) => [each, index]));
		return this.places.get(key) ?? -1;
	}

	/** @param {number} index */
	scrollTo(index) {
		const { first, inSight, rowHeight } = this;
		if (index < first) this.scroller.scrollTop = index * rowHeight;
		else if (index >= first + inSight) this.scroller.scrollTop = (index - inSight + 1) * rowHeight;
		this.render();
	}

	/** The part of the rows that is in the page. */
	range() {
		const from = Math.max(0, Math.min(this.first - 1, this.items.length - this.inSight) - OVERSCAN);
		return { from, to: Math.min(this.items.length, from + this.inSight + 2 * OVERSCAN + 1) };
	}

	setHeights() {
		const { from, to } = this.range();
		const height = (/** @type {HTMLElement} */ element, /** @type {number} */ rows) => {
			const now = `${rows * this.rowHeight}px`;
			const row = /** @type {HTMLElement} */ (element.firstElementChild);
			if (row.style.height !== now) row.style.height = now;
			element.hidden = rows === 0;
		};
		height(this.above, from);
		height(this.below, this.items.length - to);
	}

	/** Draw the rows in sight. */
	render() {
		const hadFocus = hasFocus(this.table);
		const { from, to } = this.range();
		this.setHeights();
		this.list.draw(this.items.slice(from, to));
		for (let index = from; index < to; index++) {
			this.list.get(this.items[index][0])?.element.firstElementChild?.setAttribute("aria-rowindex", String(index + 2));
		}
		// The row with the focus may have left the page.
		if (hadFocus && !hasFocus(this.table)) this.table.focus({ preventScroll: true });
	}
}
