// Panel: a room in tabs, with its connection's state above them.
import { chat } from "./chat.js";
import { h, say } from "./dom.js";
import { feed } from "./feed.js";
import { participants } from "./participants.js";
import { rpc } from "./rpc.js";
import { telemetry } from "./telemetry.js";
import { transfers } from "./transfers.js";
import { widget } from "./view.js";

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
	const head = h("p", { class: "lknb-head" });
	contexts.panel.follow(({ values }) =>
		say(head, values.room ? `${values.identity} in ${values.room}: ${values.state}` : "Waiting for the kernel"),
	);
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
		const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
		if (at < 0 || !step) return;
		const next = names[(at + step + names.length) % names.length];
		choose(next);
		pages.get(next)?.tab.focus();
	});
	bar.hidden = names.length < 2;
	choose(names[0]);
	return h("div", null, head, bar, place);
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
