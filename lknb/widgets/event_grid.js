// The events of a feed as a table: sorted, with columns to resize, to be read by mouse and by keys.
import { contentLine } from "./content.js";
import { formatSize, formatTime, h, opener, quoted, setText, toggleOnClick } from "./dom.js";
import { WindowedRows } from "./windowed.js";

/** @import { EventRow } from "./rows.js" */

/** @typedef {[number: string, event: EventRow]} Entry */
/** @typedef {(event: EventRow) => string | number} SortKey */

/** Pixels, as in `lknb.css`. */
const ROW_HEIGHT = 25;
const MIN_WIDTH = 24;
/** Pixels by which a key changes a column's width. */
const STEP = 16;
/** @type {{ name: string, title: string, width: number, key: SortKey }[]} width 0 for the rest of the space */
const COLUMNS = [
	{ name: "time", title: "Time", width: 94, key: (event) => event.time },
	{ name: "direction", title: "", width: 26, key: (event) => event.direction },
	{ name: "kind", title: "Kind", width: 118, key: (event) => event.kind },
	{ name: "sender", title: "From", width: 110, key: (event) => event.sender ?? "" },
	{ name: "topic", title: "Topic", width: 110, key: (event) => event.topic },
	{ name: "size", title: "Size", width: 72, key: (event) => event.size ?? -1 },
	{ name: "content", title: "Content", width: 0, key: (event) => event.preview },
];

let grids = 0;

export class EventGrid {
	/**
	 * @param {(number: string) => void} open called with the event that the user opens; "" when the user closes it
	 * @param {AbortSignal} signal
	 */
	constructor(open, signal) {
		this.open = open;
		this.id = `lknb-events-${grids++}`;
		this.selected = "";
		this.opened = "";
		/** The column of the head that the keys act on; -1 while they act on rows. */
		this.column = -1;
		/** @type {{ column: number, isDescending: boolean } | undefined} undefined for newest first */
		this.sorting = undefined;
		/** @type {Map<string, EventRow>} */
		this.events = new Map();
		this.heads = COLUMNS.map((_, index) => new Head(this, index));
		const heads = this.heads.map(({ element }) => element);
		this.table = h(
			"table",
			{ class: "lknb-feed", role: "grid", tabIndex: 0, "aria-label": "Events", "aria-rowcount": "1" },
			h(
				"colgroup",
				null,
				this.heads.map(({ width }) => width),
			),
			h("thead", null, h("tr", { "aria-rowindex": "1" }, heads)),
		);
		this.empty = h("p", { class: "lknb-empty", hidden: true });
		this.newest = h(
			"button",
			{ type: "button", class: "lknb-newest", hidden: true, tabIndex: -1, onclick: () => this.follow() },
			"↑ Newest",
		);
		this.scroller = h("div", { class: "lknb-scroll" }, this.table, this.empty);
		this.element = h("div", { class: "lknb-feed-list" }, this.scroller, this.newest);
		/** @type {WindowedRows<EventRow, Row>} */
		this.rows = new WindowedRows(this.scroller, this.table, ROW_HEIGHT, (number) => new Row(this, number), signal);
		this.scroller.addEventListener("scroll", () => this.scrolled(), { signal, passive: true });
		this.table.addEventListener("keydown", (event) => this.keyPressed(event));
	}

	/** @param {Map<string, EventRow>} events */
	draw(events) {
		this.events = events;
		this.rows.draw(this.sorted(), this.selected);
		this.table.setAttribute("aria-rowcount", String(events.size + 1));
		this.mark();
		this.scrolled();
	}

	/** @returns {Entry[]} */
	sorted() {
		const entries = [...this.events];
		// By number, because a row that waited during a burst arrives after newer ones.
		entries.sort(([one], [other]) => Number(other) - Number(one));
		if (!this.sorting) return entries;
		const { key } = COLUMNS[this.sorting.column];
		const sign = this.sorting.isDescending ? -1 : 1;
		return entries.sort(([, one], [, other]) => sign * compare(key(one), key(other)));
	}

	/** @param {number} column */
	sort(column) {
		const before = this.sorting?.column === column ? this.sorting : undefined;
		// A third time, the newest come first again.
		this.sorting = before?.isDescending ? undefined : { column, isDescending: Boolean(before) };
		for (const head of this.heads) head.draw(this.sorting);
		this.draw(this.events);
	}

	/** Show the newest events, and all that follow. */
	follow() {
		this.select("");
		this.scroller.scrollTop = 0;
		this.rows.render();
		this.scrolled();
	}

	scrolled() {
		this.newest.hidden = this.scroller.scrollTop < ROW_HEIGHT || this.sorting !== undefined;
	}

	/** @param {string} number */
	select(number) {
		this.selected = number;
		this.column = -1;
		const index = this.rows.indexOf(number);
		if (index >= 0) this.rows.scrollTo(index);
		this.mark();
	}

	/** @param {string} number */
	toggle(number) {
		this.select(number);
		this.show(this.opened === number ? "" : number);
	}

	/** @param {string} number */
	show(number) {
		this.opened = number;
		this.mark();
		this.open(number);
	}

	/** Say which row is selected and which one is open. */
	mark() {
		for (const row of this.rows.list.views()) row.mark(this.selected, this.opened);
		for (const [index, head] of this.heads.entries()) head.element.dataset.active = String(index === this.column);
		const active =
			this.column >= 0 ? this.heads[this.column].element : this.rows.list.get(this.selected)?.element.firstElementChild;
		if (active) this.table.setAttribute("aria-activedescendant", active.id);
		else this.table.removeAttribute("aria-activedescendant");
	}

	/** @param {KeyboardEvent} event */
	keyPressed(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		const isOfButton = event.target instanceof HTMLButtonElement && (event.key === "Enter" || event.key === " ");
		if (isOfButton || !(this.column >= 0 ? this.keyInHead(event) : this.keyInRows(event))) return;
		event.preventDefault();
		event.stopPropagation();
	}

	/**
	 * @param {KeyboardEvent} event
	 * @returns {boolean} whether the key has a meaning
	 */
	keyInRows({ key }) {
		const { items, inSight } = this.rows;
		const now = this.rows.indexOf(this.selected);
		const last = items.length - 1;
		/** @type {Record<string, number>} */
		const moves = {
			ArrowDown: Math.min(last, now + 1),
			ArrowUp: now - 1,
			PageDown: Math.min(last, now + inSight),
			PageUp: Math.max(0, now - inSight),
			Home: 0,
			End: last,
		};
		if (key === "Enter" || key === " ") {
			if (now >= 0) this.toggle(this.selected);
		} else if (key === "Escape") {
			if (this.opened) this.show("");
			else if (this.selected) this.select("");
			else return false;
		} else if (!(key in moves)) return false;
		else if (moves[key] < 0) this.enterHead();
		else if (last >= 0) this.move(items[moves[key]][0]);
		return true;
	}

	/** @param {string} number */
	move(number) {
		this.select(number);
		if (this.opened) this.show(number);
	}

	enterHead() {
		this.column = 0;
		this.mark();
	}

	/**
	 * @param {KeyboardEvent} event
	 * @returns {boolean} whether the key has a meaning
	 */
	keyInHead({ key, shiftKey }) {
		const sideways = key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : 0;
		if (sideways && shiftKey) this.heads[this.column].resizeBy(sideways * STEP);
		else if (sideways) this.column = Math.max(0, Math.min(COLUMNS.length - 1, this.column + sideways));
		else if (key === "Enter" || key === " ") this.sort(this.column);
		else if (key === "ArrowDown" || key === "Escape") this.column = -1;
		else return false;
		if (key === "ArrowDown" && this.rows.items.length) this.move(this.rows.items[0][0]);
		this.mark();
		return true;
	}
}

/** A column's head: its title sorts, and its end is dragged to resize the column. */
class Head {
	/**
	 * @param {EventGrid} grid
	 * @param {number} index
	 */
	constructor(grid, index) {
		const { name, title, width } = COLUMNS[index];
		this.width = h("col", { class: `lknb-column-${name}` });
		if (width) this.width.style.width = `${width}px`;
		this.arrow = h("span", { "aria-hidden": "true" });
		const sort = h(
			"button",
			{
				type: "button",
				tabIndex: -1,
				...(title ? {} : { "aria-label": "Direction" }),
				onclick: () => grid.sort(index),
			},
			title,
			this.arrow,
		);
		const grip = h("span", {
			class: "lknb-grip",
			onpointerdown: (/** @type {PointerEvent} */ event) => this.drag(event),
		});
		this.element = h(
			"th",
			{ scope: "col", class: `lknb-column-${name}`, "aria-sort": "none" },
			sort,
			width ? grip : "",
		);
		this.element.id = `${grid.id}-${name}`;
		this.index = index;
	}

	/** @param {EventGrid["sorting"]} sorting */
	draw(sorting) {
		const isSorted = sorting?.column === this.index;
		const order = sorting?.isDescending ? "descending" : "ascending";
		this.element.setAttribute("aria-sort", isSorted ? order : "none");
		setText(this.arrow, isSorted ? (sorting?.isDescending ? " ↓" : " ↑") : "");
	}

	/** @param {PointerEvent} event */
	drag(event) {
		event.preventDefault();
		const grip = /** @type {HTMLElement} */ (event.target);
		grip.setPointerCapture(event.pointerId);
		const ending = new AbortController();
		const { signal } = ending;
		let at = event.clientX;
		const move = (/** @type {PointerEvent} */ { clientX }) => {
			this.resizeBy(clientX - at);
			at = clientX;
		};
		grip.addEventListener("pointermove", move, { signal });
		for (const end of ["pointerup", "pointercancel"]) grip.addEventListener(end, () => ending.abort(), { signal });
	}

	/** @param {number} pixels */
	resizeBy(pixels) {
		if (!this.width.style.width) return;
		this.width.style.width = `${Math.max(MIN_WIDTH, Number.parseFloat(this.width.style.width) + pixels)}px`;
	}
}

/** One event. */
class Row {
	/**
	 * @param {EventGrid} grid
	 * @param {string} number
	 */
	constructor(grid, number) {
		const toggle = () => grid.toggle(number);
		this.time = h("td", { class: "lknb-time" });
		this.direction = h("td", { class: "lknb-direction" });
		this.kind = h("span", { class: "lknb-kind" });
		this.sender = h("td");
		this.topic = h("td");
		this.size = h("td", { class: "lknb-number" });
		this.content = h("span");
		this.opener = opener(toggle);
		this.opener.tabIndex = -1; // the list is one tab stop
		const content = h("td", { class: "lknb-content" }, this.opener, this.content);
		this.row = h(
			"tr",
			null,
			this.time,
			this.direction,
			h("td", null, this.kind),
			this.sender,
			this.topic,
			this.size,
			content,
		);
		this.row.id = `${grid.id}-${number}`;
		for (const [index, cell] of [...this.row.children].entries())
			cell.classList.add(`lknb-column-${COLUMNS[index].name}`);
		toggleOnClick(this.row, toggle);
		this.number = number;
		this.element = h("tbody", null, this.row);
		this.mark(grid.selected, grid.opened);
	}

	/** @param {EventRow} event */
	fill(event) {
		this.element.dataset.status = event.status;
		this.element.dataset.kind = event.kind;
		this.element.dataset.direction = event.direction;
		setText(this.time, formatTime(event.time));
		setText(this.direction, event.direction === "in" ? "←" : "→");
		this.direction.title = event.direction === "in" ? "received" : "sent";
		this.direction.setAttribute("aria-label", this.direction.title);
		setText(this.kind, event.kind);
		this.sender.replaceChildren(quoted(event.sender));
		this.topic.replaceChildren(quoted(event.topic));
		setText(this.size, describeSize(event));
		this.content.replaceChildren(...trouble(event), contentLine(event));
	}

	/**
	 * @param {string} selected
	 * @param {string} opened
	 */
	mark(selected, opened) {
		this.row.setAttribute("aria-selected", String(selected === this.number));
		this.opener.setAttribute("aria-expanded", String(opened === this.number));
	}
}

/**
 * @param {string | number} one
 * @param {string | number} other
 */
function compare(one, other) {
	return one < other ? -1 : one > other ? 1 : 0;
}

/** @param {EventRow} event */
function describeSize({ status, size, transferred }) {
	if (status !== "open" || !transferred) return formatSize(size);
	return size ? `${formatSize(transferred)} of ${formatSize(size)}` : formatSize(transferred);
}

/** @param {EventRow} event */
function trouble({ status, error, value_error }) {
	if (status === "ok" && value_error)
		return [h("strong", { class: "lknb-trouble" }, "not decoded"), quoted(value_error, "lknb-error")];
	if (status === "ok") return [];
	const word = status === "open" ? "in progress" : status;
	return [h("strong", { class: "lknb-trouble" }, word), error ? quoted(error, "lknb-error") : ""];
}
