// The messages of a chat. Only the newest ones are in the page, and the newest one stays in view.
import { h, KeyedList, onceVisible, setText, textView } from "./dom.js";
import { Message } from "./message.js";

/** @import { ChatPart, MessageRow } from "./rows.js" */
/** @import { PartState } from "./sync.js" */

/** Messages that are in the page at first, and that each request adds. */
const PAGE = 150;
/** Pixels from the end within which the user counts as being at the end. */
const NEAR_END = 30;

/** The list of messages. */
export class Messages {
	/** @param {Omit<import("./message.js").ChatActions, "focus" | "redraw" | "whenVisible">} actions */
	constructor(actions) {
		/** @type {PartState<ChatPart> | undefined} */
		this.state = undefined;
		this.limit = PAGE;
		this.arrivals = new Arrivals(() => this.scrollToEnd());
		this.older = h("button", {
			type: "button",
			class: "lknb-chat-older",
			hidden: true,
			onclick: () => this.showOlder(),
		});
		this.empty = h("p", { class: "lknb-empty" }, "Waiting for the kernel");
		const list = h("div", { class: "lknb-chat-messages" });
		this.log = h(
			"div",
			{ class: "lknb-scroll lknb-chat-log", role: "log", tabIndex: 0, "aria-label": "Messages", "aria-live": "polite" },
			this.older,
			this.empty,
			list,
		);
		this.element = h("div", { class: "lknb-chat-frame" }, this.log, this.arrivals.element);
		const { signal } = actions;
		/** @type {import("./message.js").ChatActions} */
		const all = {
			...actions,
			focus: (key) => this.focus(key),
			redraw: () => this.state && this.draw(this.state),
			whenVisible: onceVisible(signal),
		};
		/** @type {KeyedList<MessageRow | string, ReturnType<typeof textView> | Message>} */
		this.list = new KeyedList(list, (key, item) =>
			typeof item === "string" ? textView(h("h4", { class: "lknb-chat-day" })) : new Message(key, all),
		);
		this.height = 0;
		this.log.addEventListener("scroll", () => this.scrolled(), { signal });
		const resized = new ResizeObserver(() => {
			this.height = this.log.clientHeight;
			if (this.arrivals.isFollowing) this.scrollToEnd();
		});
		resized.observe(this.log);
		resized.observe(list);
		signal.addEventListener("abort", () => resized.disconnect());
	}

	/** @param {PartState<ChatPart>} state */
	draw(state) {
		this.state = state;
		const { messages, pieces } = state.rows;
		const shown = [...messages].slice(-this.limit);
		this.list.draw(withDays(shown));
		for (const [key] of shown) this.message(key)?.drawText(pieces, state.values);
		this.arrivals.update(shown);
		const left = messages.size - shown.length;
		this.older.hidden = left <= 0;
		setText(this.older, `Show older messages (${left} more)`);
		this.empty.hidden = messages.size > 0;
		setText(this.empty, 'No messages yet. Write one below, or run room.send_text("hello") in a cell.');
		if (this.arrivals.isFollowing) this.scrollToEnd();
	}

	/** @param {string} key */
	message(key) {
		const view = this.list.get(key);
		return view instanceof Message ? view : undefined;
	}

	/** @param {string} key */
	focus(key) {
		const element = this.message(key)?.element;
		element?.scrollIntoView({ block: "nearest" });
		element?.focus({ preventScroll: true });
	}

	/** Add older messages above the visible ones, which stay in place. */
	showOlder() {
		if (!this.state) return;
		const height = this.log.scrollHeight;
		this.limit += PAGE;
		this.draw(this.state);
		this.log.scrollTop += this.log.scrollHeight - height;
	}

	scrolled() {
		// A list that is hidden, shown or resized is scrolled by the browser, not by the user.
		if (this.log.clientHeight === this.height) this.arrivals.scrolled(this.isAtEnd());
	}

	isAtEnd() {
		return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END;
	}

	scrollToEnd() {
		this.log.scrollTop = this.log.scrollHeight;
	}
}

/** Follows the newest message, or counts new messages while the user reads older ones. */
class Arrivals {
	/** @param {() => void} scrollToEnd */
	constructor(scrollToEnd) {
		this.isFollowing = true;
		this.newest = "";
		/** @type {Set<string>} */
		this.unseen = new Set();
		const jump = () => {
			this.follow();
			scrollToEnd();
		};
		this.element = h("button", { type: "button", class: "lknb-chat-jump", hidden: true, onclick: jump });
	}

	follow() {
		this.isFollowing = true;
		this.unseen.clear();
		this.element.hidden = true;
	}

	/** @param {boolean} isAtEnd */
	scrolled(isAtEnd) {
		if (isAtEnd) this.follow();
		else this.isFollowing = false;
	}

	/** @param {[key: string, row: MessageRow][]} shown */
	update(shown) {
		const before = this.newest;
		this.newest = shown.at(-1)?.[0] ?? "";
		if (!before || this.newest === before) return;
		const index = shown.findIndex(([key]) => key === before);
		for (const [key, row] of shown.slice(index + 1)) {
			if (row.own) this.isFollowing = true;
			else this.unseen.add(key);
		}
		if (this.isFollowing) this.follow();
		const { size } = this.unseen;
		this.element.hidden = size === 0;
		setText(this.element, size === 1 ? "1 new message ↓" : `${size} new messages ↓`);
	}
}

/**
 * The messages, with the date above the first one of each day.
 * @param {[key: string, row: MessageRow][]} messages
 */
function withDays(messages) {
	/** @type {[key: string, item: MessageRow | string][]} */
	const entries = [];
	let before = "";
	for (const [key, row] of messages) {
		const day = dayName(row.time);
		if (day !== before) entries.push([`day ${key}`, day]);
		before = day;
		entries.push([key, row]);
	}
	return entries;
}

/** @param {number} time milliseconds since 1970 */
function dayName(time) {
	return new Date(time).toLocaleDateString([], { weekday: "long", year: "numeric", month: "long", day: "numeric" });
}
