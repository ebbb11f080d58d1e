// The form that calls a method.
import { h, setText } from "./dom.js";
import { jsonFault } from "./json_fault.js";
import { RecipientSelect } from "./recipients.js";

/** @import { CallRow, RpcValues } from "./rows.js" */

/** @typedef {{ to: string, method: string, payload: string, raw: boolean, timeout: number }} CallRequest */

let forms = 0;

export class CallForm {
	/**
	 * @param {string} browser makes element ids unique in a page with several widgets
	 * @param {(request: CallRequest) => void} call
	 */
	constructor(browser, call) {
		this.call = call;
		const id = `lknb-rpc-${browser}-${forms++}`;
		this.to = new RecipientSelect({ required: true, onchange: () => this.drawMethods() }, false);
		/** @type {RpcValues["methods"]} */
		this.known = [];
		this.methods = h("datalist", { id: `${id}-methods` });
		this.offered = "";
		this.method = h("input", {
			type: "text",
			required: true,
			list: this.methods.id,
			spellcheck: false,
			autocomplete: "off",
			placeholder: "name",
		});
		this.timeout = h("input", { type: "number", min: "0.1", step: "any", required: true });
		const recheck = () => this.recheck();
		this.payload = h("textarea", {
			rows: 4,
			spellcheck: false,
			placeholder: '{"a": 1, "b": 2}',
			"aria-describedby": `${id}-fault`,
			oninput: recheck,
			onkeydown: (/** @type {KeyboardEvent} */ event) => this.keyPressed(event),
		});
		this.plain = h("input", { type: "checkbox", oninput: recheck });
		this.fault = h("p", { id: `${id}-fault`, class: "lknb-outcome", role: "status" });
		this.button = h("button", { type: "submit", class: "lknb-rpc-send" }, "Call");
		this.hint = h("p", { class: "lknb-note" });
		this.element = this.form();
		this.drawRecipients();
	}

	form() {
		const submit = (/** @type {Event} */ event) => {
			event.preventDefault();
			this.submit();
		};
		return h(
			"form",
			{ class: "lknb-rpc-form", onsubmit: submit, "aria-label": "Call a method" },
			h(
				"div",
				{ class: "lknb-rpc-fields" },
				h("label", null, "Participant", this.to.element),
				h("label", null, "Method", this.method),
				h("label", { class: "lknb-rpc-timeout" }, "Timeout in seconds", this.timeout),
			),
			h("label", null, "Payload, as JSON or empty", this.payload),
			this.fault,
			h(
				"div",
				{ class: "lknb-bar" },
				this.button,
				h("label", { class: "lknb-rpc-plain" }, this.plain, "Payload and answer are plain text"),
			),
			this.hint,
			this.methods,
		);
	}

	/** @param {RpcValues} values */
	draw(values) {
		this.method.maxLength = values.method_limit;
		this.timeout.max = String(values.timeout_limit);
		this.timeout.defaultValue = String(values.timeout);
		this.to.draw(values);
		this.drawRecipients();
		const hint = describeHint(values);
		this.hint.hidden = !hint;
		setText(this.hint, hint);
		this.known = values.methods;
		this.drawMethods();
	}

	/** Offer the methods that the chosen participant has answered; all known ones if there are none. */
	drawMethods() {
		const answered = this.known.filter(([, participants]) => participants.includes(this.to.value));
		const methods = (answered.length ? answered : this.known).map(([method]) => method);
		const offered = methods.join("\n");
		if (offered === this.offered) return;
		this.offered = offered;
		this.methods.replaceChildren(...methods.map((value) => h("option", { value })));
	}

	drawRecipients() {
		this.to.element.disabled = this.button.disabled = this.to.isEmpty;
	}

	/** @param {KeyboardEvent} event */
	keyPressed(event) {
		if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
		event.preventDefault();
		event.stopPropagation(); // otherwise it would also run the cell
		this.element.requestSubmit();
	}

	submit() {
		const fault = this.check();
		if (fault) {
			this.payload.focus();
			this.payload.setSelectionRange(fault.at, fault.at + 1);
			return;
		}
		const raw = this.plain.checked;
		this.call({
			to: this.to.value,
			method: this.method.value,
			payload: raw || this.payload.value.trim() ? this.payload.value : "",
			raw,
			timeout: this.timeout.valueAsNumber,
		});
	}

	/**
	 * Fill the form with an earlier call, and call again.
	 * @param {CallRow} row
	 */
	repeat(row) {
		this.to.choose(row.to);
		this.drawMethods();
		this.drawRecipients();
		this.method.value = row.method;
		this.plain.checked = row.raw;
		this.payload.value = row.payload === "null" && !row.raw ? "" : row.payload;
		this.element.requestSubmit();
	}

	/** Show where the payload is not valid JSON. */
	check() {
		const fault = this.plain.checked || !this.payload.value.trim() ? undefined : jsonFault(this.payload.value);
		this.payload.setAttribute("aria-invalid", String(fault !== undefined));
		this.fault.dataset.kind = fault ? "error" : "";
		setText(
			this.fault,
			fault ? `Not sent: this is not valid JSON. Line ${fault.line}, column ${fault.column}: ${fault.what}.` : "",
		);
		return fault;
	}

	/** Clear a fault as soon as it is fixed, but do not report one while the user types. */
	recheck() {
		if (this.payload.getAttribute("aria-invalid") === "true") this.check();
	}
}

/**
 * Explain why a participant may be missing from the list, and what to do about it.
 * @param {RpcValues} values
 */
function describeHint({ room, connected, people, more_people: more }) {
	if (!connected) return "This notebook is not connected to the room. You can call methods once it is connected.";
	if (more) return `${more} more participants are not listed. Call them from a cell.`;
	if (people.length) return "";
	return `Nobody else is in the room. To join it from another notebook: lknb.connect(${JSON.stringify(room)}, "bob").`;
}
