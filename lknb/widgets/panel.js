// Panel: a room in tabs, with its connection's state above them.
import { chat } from "./chat.js";
import { h, quoted, setText } from "./dom.js";
import { feed } from "./feed.js";
import { participants } from "./participants.js";
import { rpc } from "./rpc.js";
import { telemetry } from "./telemetry.js";
import { transfers } from "./transfers.js";
import { Outcome, widget } from "./view.js";

/** @import { PanelPart, PanelValues } from "./rows.js" */
/** @import { Context, Show } from "./view.js" */

/** @type {Record<string, { title: string, show: Show }>} */
const TABS = {
	participants: { title: "Participants", show: participants },
	feed: { title: "Feed", show: feed },
	chat: { title: "Chat", show: chat },
	transfers: { title: "Transfers", show: transfers },
	rpc: { title: "RPC", show: rpc },
	telemetry: { title: "Telemetry", show: telemetry },
};

/** The tabs and their pages. A page is made when it is first chosen. */
class Tabs {
	/**
	 * @param {string[]} names
	 * @param {(name: string) => HTMLElement} show
	 * @param {(name: string) => void} chosen
	 */
	constructor(names, show, chosen) {
		this.show = show;
		this.chosen = chosen;
		this.tabs = names.map((name) => {
			const { title } = TABS[name];
			const button = h("button", { type: "button", role: "tab", onclick: () => this.choose(name) }, title);
			const page = h("div", { role: "tabpanel", "aria-label": title, hidden: true });
			return { name, button, page };
		});
		this.bar = h(
			"div",
			{
				class: "lknb-tabs",
				role: "tablist",
				"aria-label": "Views of the room",
				hidden: names.length < 2,
				onkeydown: (/** @type {KeyboardEvent} */ event) => this.keyPressed(event),
			},
			this.tabs.map(({ button }) => button),
		);
		this.pages = h(
			"div",
			{ class: "lknb-pages" },
			this.tabs.map(({ page }) => page),
		);
		this.choose(names[0]);
	}

	/** @param {string} name */
	choose(name) {
		for (const tab of this.tabs) {
			const isChosen = tab.name === name;
			tab.button.setAttribute("aria-selected", String(isChosen));
			tab.button.tabIndex = isChosen ? 0 : -1;
			tab.page.hidden = !isChosen;
			if (isChosen && !tab.page.hasChildNodes()) tab.page.append(this.show(name));
		}
		this.chosen(name);
	}

	/** @param {KeyboardEvent} event */
	keyPressed(event) {
		const index = this.tabs.findIndex(({ button }) => button === event.target);
		const target = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: -1 }[event.key];
		if (index < 0 || target === undefined) return;
		event.preventDefault(); // Home and End would scroll the page
		const { name, button } = this.tabs[(target + this.tabs.length) % this.tabs.length];
		this.choose(name);
		button.focus();
	}
}

/** Where and who this notebook is, the state of its connection, and leaving or joining again. */
class Head {
	/** @param {Context<PanelPart>} context */
	constructor({ ask, follow }) {
		this.ask = ask;
		this.outcome = new Outcome();
		this.state = h("span", { class: "lknb-state", role: "status" }, "Waiting for the kernel");
		this.who = h("span", { class: "lknb-who" });
		this.drawn = "";
		this.why = h("p", { class: "lknb-note", hidden: true });
		this.button = h("button", { type: "button", hidden: true, onclick: () => this.leaveOrRejoin() });
		this.isClosed = false;
		this.isBusy = false;
		const bar = h("div", { class: "lknb-bar" }, this.state, this.who, this.button);
		this.element = h("div", { class: "lknb-head" }, bar, this.why, this.outcome.element);
		follow(({ values }) => this.draw(values));
	}

	async leaveOrRejoin() {
		if (this.isBusy) return;
		this.isBusy = true;
		// Not disabled, so that it keeps the focus.
		this.button.setAttribute("aria-disabled", "true");
		this.outcome.show(this.isClosed ? "Joining" : "Leaving");
		await this.outcome.report(this.ask(this.isClosed ? "rejoin" : "leave"));
		this.isBusy = false;
		this.button.removeAttribute("aria-disabled");
	}

	/** @param {PanelValues} values */
	draw(values) {
		const { state, reason, ended } = values;
		this.isClosed = state === "closed";
		this.state.dataset.state = state;
		setText(this.state, state);
		this.drawWho(values);
		const handlers = ended.length ? ` Handlers have ended: ${ended.join(", ")}. Run their cells again.` : "";
		setText(this.why, `${reason}.${handlers}`);
		this.why.hidden = state === "connected" && !handlers;
		setText(this.button, this.isClosed ? "Rejoin" : "Leave");
		this.button.title = this.isClosed
			? "Join the room again"
			: "Leave the room: handlers end, and you can join again here";
		this.button.hidden = false;
	}

	/** @param {PanelValues} values */
	drawWho({ identity, name, room, participants }) {
		const drawn = JSON.stringify([identity, name, room, participants]);
		if (drawn === this.drawn) return;
		this.drawn = drawn;
		const count = participants === null ? "" : `, ${participants} in the room`;
		this.who.replaceChildren(quoted(identity), quoted(name ? ` (${name})` : ""), " in ", quoted(room), count);
	}
}

export default widget(
	"The room",
	(model) => ["panel", ...model.get("tabs")],
	(contexts, setInView) => {
		const head = new Head(contexts.panel);
		const names = Object.keys(contexts).filter((name) => name in TABS);
		const tabs = new Tabs(
			names,
			(name) => TABS[name].show(contexts[name]),
			(name) => setInView(["panel", name]),
		);
		return h("div", null, head.element, tabs.bar, tabs.pages);
	},
);
