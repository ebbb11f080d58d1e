// Transfers: every byte stream, both directions, with progress; to cancel, save and look at, and files to send.
import { h, KeyedList, onceVisible, setText } from "./dom.js";
import { FileSender } from "./file_sender.js";
import { Transfer } from "./transfer.js";
import { Outcome } from "./view.js";

/** @import { TransferRow, TransfersPart } from "./rows.js" */
/** @import { Context } from "./view.js" */

/** Rows in the page besides those under way; the kernel has more. */
const MAX_ROWS = 60;

/**
 * @param {Context<TransfersPart>} context
 * @returns {HTMLElement}
 */
export function transfers({ ask, follow, signal, store }) {
	const outcome = new Outcome();
	const sender = new FileSender(ask, outcome, signal);
	const list = h("ul", { class: "lknb-transfers", "aria-label": "Transfers" });
	const empty = h(
		"p",
		{ class: "lknb-empty", hidden: true },
		"No file has been sent or received. Choose one above and send it.",
	);
	const more = h("p", { class: "lknb-note", hidden: true });
	/** The names of the outgoing files that the user has asked to cancel, by key, until there is an answer. @type {Map<string, string>} */
	const cancelling = new Map();
	const actions = { ask, outcome, signal, cancelling, whenVisible: onceVisible(signal) };
	/** @type {KeyedList<TransferRow, Transfer>} */
	const rows = new KeyedList(list, (key, row) => new Transfer(key, row, actions));

	follow((state) => {
		const { values } = state;
		sender.draw(values);
		// While a cell sends, the kernel receives no request to stop: only an interrupt reaches it.
		for (const name of store.waiting ? cancelling.values() : [])
			outcome.show(`The kernel is busy. If its cell is sending ${name}, interrupt the cell to stop it.`);
		const shown = [...state.rows.transfers]
			.reverse()
			.filter(([, row], index) => index < MAX_ROWS || row.status === "open");
		rows.draw(shown);
		for (const transfer of rows.views()) transfer.setLimits(values);
		empty.hidden = shown.length > 0;
		const older = values.total - shown.length;
		more.hidden = older <= 0;
		setText(more, `${older.toLocaleString()} older ${older === 1 ? "one is" : "ones are"} not shown.`);
	});

	const scroll = h("div", { class: "lknb-scroll", role: "region", tabIndex: 0, "aria-label": "Transfers" });
	scroll.append(list, empty, more);
	return h("div", null, sender.element, outcome.element, scroll);
}
