// Feed: every event as it happens, newest in view, to filter, open, copy and download.
import { content, details } from "./content.js";
import { clock, h, keyed, quoted, save, say, size } from "./dom.js";
import { outcome, widget } from "./view.js";

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

	/** @type {ReturnType<typeof setTimeout> | undefined} */
	let typing;
	let known = "{}";
	const filter = () => {
		clearTimeout(typing);
		typing = setTimeout(async () => {
			const wanted = { kind: kind.value, topic: topic.value, sender: sender.value, text: text.value };
			const mine = typing;
			await report(ask("filter", wanted));
			if (typing === mine) typing = undefined;
		}, 250);
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
					if (!answer) return;
					save(answer.value.name, answer.buffer ?? "");
					const { left } = answer.value;
					if (left) say(said, `${left.toLocaleString()} older events did not fit: room.events has them.`);
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
		const now = JSON.stringify(values.filter ?? {});
		if (now !== known && !typing && !filters.some((each) => each === document.activeElement)) {
			known = now;
			const inputs = { kind, topic, sender, text };
			for (const [name, input] of Object.entries(inputs)) input.value = values.filter[name] ?? "";
		}
		say(counts, counted(values, paused));
		if (!paused) held = new Map(state.rows.events ?? []);
		// By number: one that was left out when too many came, and has news now, comes late.
		const newest = [...held].sort(([a], [b]) => Number(b) - Number(a));
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
		const opener = h(
			"button",
			{
				type: "button",
				class: "lknb-open",
				"aria-expanded": "false",
				"aria-label": "Open",
				onclick: () => open(element, key),
			},
			"▸",
		);
		const row = h(
			"tr",
			null,
			...["lknb-time", "", "", "", "", "lknb-number"].map((kind) => h("td", { class: kind })),
			h("td", { class: "lknb-content" }, opener, h("span")),
		);
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
		const ended = element.dataset.status === "open" && event.status !== "open";
		element.dataset.status = event.status;
		element.dataset.kind = event.kind;
		const [time, way, kind, from, topic, much, what] = element.rows[0].cells;
		say(time, clock(event.time));
		say(way, event.direction === "in" ? "←" : "→");
		way.title = event.direction === "in" ? "received" : "sent";
		say(kind, event.kind);
		from.replaceChildren(quoted(event.sender ?? "", "lknb-short"));
		topic.replaceChildren(quoted(event.topic, "lknb-short"));
		say(much, progress(event));
		// The button beside it stays, with the focus that it may have.
		what.lastElementChild?.replaceChildren(...trouble(event), content(event));
		if (ended && element.rows.length > 1) fillDetails(element.rows[1].cells[0], event, key);
	}

	/**
	 * @param {HTMLTableSectionElement} element
	 * @param {string} key
	 */
	function open(element, key) {
		const event = held.get(key);
		const opened = element.rows.length > 1;
		element.querySelector(".lknb-open")?.setAttribute("aria-expanded", String(!opened));
		if (opened) {
			element.rows[1].remove();
		} else if (event) {
			const place = h("td", { colspan: "7" });
			element.append(h("tr", { class: "lknb-opened" }, place));
			fillDetails(place, event, key);
		}
	}

	/**
	 * @param {HTMLElement} place
	 * @param {import("./sync.js").Row} event
	 * @param {string} key
	 */
	async function fillDetails(place, event, key) {
		place.replaceChildren(details(event));
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
	if (values.matched > values.limit) parts.push(`the newest ${values.limit.toLocaleString()} are shown`);
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
