// Feed: every event as it happens, newest in view, to filter, open, copy and download.
import { content, details } from "./content.js";
import { clock, h, keyed, quoted, save, say, size } from "./dom.js";
import { outcome, widget } from "./view.js";

/** So many rows stand in the page; the kernel has more. */
const SHOWN = 200;

/**
 * @param {import("./view.js").Context} context
 * @returns {HTMLElement}
 */
export function feed({ ask, follow, signal }) {
	let paused = false;
	/** @type {Map<string, import("./sync.js").Row>} */
	let held = new Map();
	const { element: said, report } = outcome();
	const counts = h("span", { class: "lknb-counts" });
	const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
	const kind = h("select", { "aria-label": "Kind" }, h("option", { value: "" }, "all kinds"));
	const topic = field("Topic", "topic");
	const sender = field("Sender", "sender");
	const text = field("Text", "text in it");
	const filters = [kind, topic, sender, text];
	const table = h(
		"table",
		{ class: "lknb-feed" },
		h(
			"thead",
			null,
			h(
				"tr",
				null,
				...["Time", "", "Kind", "From", "Topic", "Size", "Content"].map((name) => h("th", { scope: "col" }, name)),
			),
		),
	);
	const empty = h("p", { class: "lknb-empty" });
	const scroll = h("div", { class: "lknb-scroll", role: "region", tabIndex: 0, "aria-label": "Events" }, table, empty);

	let asked = 0;
	const filter = () => {
		clearTimeout(asked);
		asked = /** @type {any} */ (
			setTimeout(() => {
				report(ask("filter", { kind: kind.value, topic: topic.value, sender: sender.value, text: text.value }));
			}, 250)
		);
	};
	for (const each of filters) each.addEventListener("input", filter, { signal });
	pause.addEventListener("click", () => {
		paused = !paused;
		pause.setAttribute("aria-pressed", String(paused));
		say(pause, paused ? "Resume" : "Pause");
		if (!paused) draw(last);
	});
	const clear = h("button", { type: "button", onclick: () => report(ask("clear")) }, "Clear");
	const download = (/** @type {string} */ form, /** @type {string} */ label) =>
		h(
			"button",
			{
				type: "button",
				title: `Download the fitting events as ${label}`,
				onclick: async () => {
					const answer = await report(ask("download", { form }));
					if (answer) save(answer.value.name, answer.buffer ?? "");
				},
			},
			label,
		);

	/** @type {import("./sync.js").PartState} */
	let last = { values: {}, rows: {} };
	const draw = (/** @type {import("./sync.js").PartState} */ state) => {
		last = state;
		const { values } = state;
		if (values.kinds && kind.options.length === 1)
			kind.append(...values.kinds.map((/** @type {string} */ name) => h("option", { value: name }, name)));
		// Another view's filter shows here too, but not while somebody types.
		if (values.filter && !filters.includes(/** @type {any} */ (document.activeElement))) {
			for (const [input, name] of /** @type {const} */ ([
				[kind, "kind"],
				[topic, "topic"],
				[sender, "sender"],
				[text, "text"],
			])) {
				if (input.value !== (values.filter[name] ?? "")) input.value = values.filter[name] ?? "";
			}
		}
		say(counts, counted(values, paused));
		if (!paused) held = new Map(state.rows.events ?? []);
		const newest = [...held].slice(-SHOWN).reverse();
		keyed(table, newest, entry, fill);
		empty.hidden = newest.length > 0;
		say(
			empty,
			Object.keys(values.filter ?? {}).length
				? "No event fits this filter."
				: "Nothing has happened yet. Send something, or wait for somebody who does.",
		);
	};
	follow(draw);

	/** @param {string} key */
	function entry(key) {
		const row = h("tr");
		const element = h("tbody", null, row);
		row.addEventListener("click", (event) => {
			const chosen = window.getSelection()?.toString();
			if (!chosen && !(event.target instanceof HTMLButtonElement)) open(element, key);
		});
		return element;
	}

	/**
	 * @param {HTMLTableSectionElement} element
	 * @param {import("./sync.js").Row} event
	 * @param {string} key
	 */
	function fill(element, event, key) {
		element.dataset.status = event.status;
		element.dataset.kind = event.kind;
		const arrow = event.direction === "in" ? "←" : "→";
		const expanded = String(element.rows.length > 1);
		const opener = h(
			"button",
			{
				type: "button",
				class: "lknb-open",
				"aria-expanded": expanded,
				"aria-label": "Open",
				onclick: () => open(element, key),
			},
			"▸",
		);
		element.rows[0].replaceChildren(
			h("td", { class: "lknb-time" }, clock(event.time)),
			h("td", { title: event.direction === "in" ? "received" : "sent" }, arrow),
			h("td", null, event.kind),
			h("td", null, quoted(event.sender ?? "", "lknb-short")),
			h("td", null, quoted(event.topic, "lknb-short")),
			h("td", { class: "lknb-number" }, progress(event)),
			h("td", { class: "lknb-content" }, opener, ...trouble(event), content(event)),
		);
	}

	/**
	 * @param {HTMLTableSectionElement} element
	 * @param {string} key
	 */
	async function open(element, key) {
		const opener = element.querySelector(".lknb-open");
		const event = held.get(key);
		opener?.setAttribute("aria-expanded", String(element.rows.length < 2));
		if (element.rows.length > 1) {
			element.rows[1].remove();
			return;
		}
		if (!event) return;
		const place = h("td", { colspan: "7" }, details(event));
		element.append(h("tr", { class: "lknb-opened" }, place));
		if (!event.more && event.status !== "open" && !event.size) return;
		const answer = await report(ask("read", { number: key }));
		if (answer) place.replaceChildren(details(answer.value, answer.buffer));
	}

	return h(
		"div",
		null,
		h(
			"div",
			{ class: "lknb-bar" },
			pause,
			clear,
			kind,
			topic,
			sender,
			text,
			download("json", "JSON"),
			download("csv", "CSV"),
			counts,
		),
		said,
		scroll,
	);
}

/** @param {import("./sync.js").Row} event */
function progress(event) {
	if (event.status === "open" && event.transferred)
		return `${size(event.transferred)}${event.size ? ` of ${size(event.size)}` : ""}`;
	return size(event.size);
}

/** @param {import("./sync.js").Row} event */
function trouble(event) {
	if (event.status === "ok") return [];
	const told = event.status === "open" ? "under way" : event.status;
	return [h("strong", { class: "lknb-trouble" }, told), event.error ? quoted(event.error, "lknb-error") : ""];
}

/**
 * @param {Record<string, any>} values
 * @param {boolean} paused
 */
function counted(values, paused) {
	if (values.total === undefined) return "Waiting for the kernel";
	const parts = [`${values.matched.toLocaleString()} events`, `${values.rate.toLocaleString()} per second`];
	if (values.skipped) parts.push(`${values.skipped.toLocaleString()} not shown one by one`);
	if (values.evicted) parts.push(`${values.evicted.toLocaleString()} let go from the log`);
	if (paused) parts.push("paused");
	return parts.join(", ");
}

/**
 * @param {string} label
 * @param {string} placeholder
 */
function field(label, placeholder) {
	return h("input", { type: "search", "aria-label": label, placeholder, spellcheck: false });
}

export default widget(
	"Feed of the room",
	() => ["feed"],
	(contexts) => feed(contexts.feed),
);
