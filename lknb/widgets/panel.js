// Panel: a room in tabs, with its connection's state above them.
import { chat } from "./chat.js";
import { h, quoted, say } from "./dom.js";
import { feed } from "./feed.js";
import { participants } from "./participants.js";
import { rpc } from "./rpc.js";
import { telemetry } from "./telemetry.js";
import { transfers } from "./transfers.js";
import { outcome, widget } from "./view.js";

/** @type {Record<string, { title: string, show: import("./view.js").Show }>} */
const TABS = {
	participants: { title: "Participants", show: participants },
	feed: { title: "Feed", show: feed },
	chat: { title: "Chat", show: chat },
	transfers: { title: "Transfers", show: transfers },
	rpc: { title: "RPC", show: rpc },
	telemetry: { title: "Telemetry", show: telemetry },
};

/**
 * @param {Record<string, import("./view.js").Context>} contexts
 * @param {(parts: string[]) => void} shows
 * @param {string[]} names
 */
function panel(contexts, shows, names) {
	const bar = h("div", { class: "lknb-tabs", role: "tablist", "aria-label": "Views of the room" });
	const place = h("div", { class: "lknb-pages" });
	/** @type {Map<string, { tab: HTMLElement, page: HTMLElement, filled: boolean }>} */
	const pages = new Map();
	const choose = (/** @type {string} */ name) => {
		for (const [other, { tab, page }] of pages) {
			const chosen = other === name;
			tab.setAttribute("aria-selected", String(chosen));
			tab.tabIndex = chosen ? 0 : -1;
			page.hidden = !chosen;
		}
		const chosen = /** @type {{ page: HTMLElement, filled: boolean }} */ (pages.get(name));
		if (!chosen.filled) {
			chosen.filled = true;
			chosen.page.append(TABS[name].show(contexts[name]));
		}
		shows(["panel", name]);
	};
	for (const name of names) {
		const tab = h("button", { type: "button", role: "tab", onclick: () => choose(name) }, TABS[name].title);
		const page = h("div", { role: "tabpanel", "aria-label": TABS[name].title, hidden: true });
		pages.set(name, { tab, page, filled: false });
		bar.append(tab);
		place.append(page);
	}
	bar.addEventListener("keydown", (event) => {
		const at = names.findIndex((name) => pages.get(name)?.tab === event.target);
		const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
		if (at < 0 || to === undefined) return;
		event.preventDefault(); // Home and End would move the page
		const next = names[(to + names.length) % names.length];
		choose(next);
		pages.get(next)?.tab.focus();
	});
	bar.hidden = names.length < 2;
	choose(names[0]);
	return h("div", null, head(contexts.panel), bar, place);
}

/**
 * Where and who this notebook is, how that is, and leaving or joining again.
 * @param {import("./view.js").Context} context
 */
function head({ ask, follow }) {
	const { element: said, report } = outcome();
	const state = h("span", { class: "lknb-state", role: "status" });
	const who = h("span", { class: "lknb-who" });
	const why = h("p", { class: "lknb-note", hidden: true });
	let closed = false;
	let doing = false;
	const button = h("button", {
		type: "button",
		async onclick() {
			if (doing) return;
			doing = true;
			// Not disabled, so that it keeps the focus.
			button.setAttribute("aria-disabled", "true");
			say(said, closed ? "Joining" : "Leaving");
			await report(ask(closed ? "rejoin" : "leave"));
			doing = false;
			button.removeAttribute("aria-disabled");
		},
	});
	button.hidden = true;
	follow(({ values }) => {
		if (values.state === undefined) {
			say(state, "Waiting for the kernel");
			return;
		}
		closed = values.state === "closed";
		state.dataset.state = values.state;
		say(state, values.state);
		const there = values.participants === null ? "" : `, ${values.participants} in the room`;
		const name = values.name ? ` (${values.name})` : "";
		if (who.dataset.text !== JSON.stringify(values)) {
			who.dataset.text = JSON.stringify(values);
			who.replaceChildren(quoted(values.identity), quoted(name), " in ", quoted(values.room), there);
		}
		const ended = values.ended.length ? ` Handlers have ended: ${values.ended.join(", ")}. Run their cells again.` : "";
		say(why, `${values.reason}.${ended}`);
		why.hidden = values.state === "connected" && !ended;
		say(button, closed ? "Rejoin" : "Leave");
		button.title = closed ? "Join the room again" : "Leave the room: handlers end, and you can join again here";
		button.hidden = false;
	});
	return h("div", { class: "lknb-head" }, h("div", { class: "lknb-bar" }, state, who, button), why, said);
}

export default widget(
	"The room",
	(model) => ["panel", ...model.get("tabs")],
	(contexts, shows) => {
		return panel(
			contexts,
			shows,
			Object.keys(contexts).filter((name) => name in TABS),
		);
	},
);
