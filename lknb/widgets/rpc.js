// RPC: call a method of a participant, and see the calls and the methods of this notebook.
import { CallForm } from "./call_form.js";
import { Calls, describeError } from "./calls.js";
import { formatDuration, h } from "./dom.js";
import { ServedMethods } from "./served_methods.js";
import { Outcome } from "./view.js";

/** @import { RpcPart } from "./rows.js" */
/** @import { CallRequest } from "./call_form.js" */
/** @import { Context } from "./view.js" */

/**
 * @param {Context<RpcPart>} context
 * @returns {HTMLElement}
 */
export function rpc({ ask, follow, signal, store }) {
	const outcome = new Outcome();
	const form = new CallForm(store.browser, call);
	const calls = new Calls({ ask, outcome, repeat: (row) => form.repeat(row) });
	const served = new ServedMethods();
	let started = 0;
	let answered = 0;

	/** @param {CallRequest} request */
	async function call(request) {
		const number = ++started;
		outcome.show(`Calling ${request.method} at ${request.to}.`);
		const answer = await outcome.report(ask("call", request));
		if (!answer || signal.aborted) return;
		const { key, row } = answer.value;
		const subject = `${row.method} at ${row.to}`;
		const duration = formatDuration(row.duration);
		if (row.status === "ok") outcome.show(`${subject} answered after ${duration}.`);
		else outcome.fail(`${subject} failed with ${describeError(row)} after ${duration}.`);
		// A slow answer must not close that of a later call.
		if (number < answered) return;
		answered = number;
		calls.present(key, row);
	}

	follow(({ values, rows }) => {
		form.draw(values);
		calls.draw(rows.calls);
		served.draw(rows.served);
	});
	calls.tickUntil(signal);
	return h(
		"div",
		{ class: "lknb-rpc" },
		form.element,
		outcome.element,
		h("h3", null, "Calls of this notebook"),
		calls.element,
		h("h3", null, "Methods that this notebook serves"),
		served.elements,
	);
}
