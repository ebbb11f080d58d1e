// Panel: a room in tabs, with the connection's state above them.
import { chat } from "./chat.js";
import { formatSize, h, quoted, setText } from "./dom.js";
import { feed } from "./feed.js";
import { inert } from "./inert.js";
import { participants } from "./participants.js";
import { rpc } from "./rpc.js";
import { telemetry } from "./telemetry.js";
import { timeline } from "./timeline.js";
import { transfers } from "./transfers.js";
import { Outcome, widget } from "./view.js";

/** @import { PanelPart, PanelValues } from "./rows.js" */
/** @import { Context, Show } from "./view.js" */

/** @type {Record<string, Show>} */
const TABS = { participants, feed, chat, transfers, rpc, telemetry, timeline };

/** The tabs and their pages. A page is created when it is first chosen. */
class Tabs {
	/**
	 * @param {[name: string, label: string][]} tabs
	 * @param {(name: string) => HTMLElement} show
	 * @param {(name: string) => void} chosen
	 */
	constructor(tabs, show, chosen) {
		this.show = show;
		this.chosen = chosen;
		this.tabs = tabs.map(([name, label]) => {
			const button = h("button", { type: "button", role: "tab", onclick: () => this.choose(name) }, label);
			const page = h("div", { role: "tabpanel", "aria-label": label, hidden: true });
			return { name, button, page };
		});
		this.bar = h(
			"div",
			{
				class: "lknb-tabs",
				role: "tablist",
				"aria-label": "Views of the room",
				hidden: tabs.length < 2,
				onkeydown: (/** @type {KeyboardEvent} */ event) => this.keyPressed(event),
			},
			this.tabs.map(({ button }) => button),
		);
		this.pages = h(
			"div",
			{ class: "lknb-pages" },
			this.tabs.map(({ page }) => page),
		);
		this.choose(tabs[0][0]);
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

/** Starts and stops recording, and shows for how long and how much. */
class RecordButton {
	/**
	 * @param {Context<PanelPart>["ask"]} ask
	 * @param {Outcome} outcome
	 */
	constructor(ask, outcome) {
		this.ask = ask;
		this.outcome = outcome;
		this.isRecording = false;
		this.isBusy = false;
		this.progress = h("span", { class: "lknb-recording lknb-number", hidden: true });
		this.button = h("button", { type: "button", hidden: true, onclick: () => this.toggle() });
	}

	async toggle() {
		if (this.isBusy) return;
		this.isBusy = true;
		this.button.setAttribute("aria-disabled", "true");
		this.outcome.show(this.isRecording ? "Finishing the file…" : "Starting to record…");
		if (this.isRecording) await this.outcome.report(this.ask("stop_recording"));
		else {
			const started = await this.outcome.report(this.ask("record"));
			if (started) this.outcome.show(`Recording to ${inert(started.value.file)}`);
		}
		this.isBusy = false;
		this.button.removeAttribute("aria-disabled");
	}

	/** @param {PanelValues} values */
	draw({ state, recordings }) {
		this.isRecording = recordings.length > 0;
		setText(this.button, this.isRecording ? "Stop recording" : "Record");
		this.button.title = this.isRecording
			? `Finish ${recordings.map(({ file }) => inert(file)).join(", ")}`
			: "Keep what happens from now on in a file in recordings/";
		this.button.hidden = state === "closed" && !this.isRecording;
		this.progress.hidden = !this.isRecording;
		if (!this.isRecording) return;
		const seconds = Math.max(...recordings.map((each) => each.seconds));
		const size = recordings.reduce((sum, each) => sum + each.size, 0);
		const dropped = recordings.reduce((sum, each) => sum + each.dropped, 0);
		const minutes = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
		const lost = dropped ? `, ${dropped.toLocaleString("en")} events dropped` : "";
		setText(this.progress, `${minutes}, ${formatSize(size)}${lost}`);
	}
}

/** The room, this participant, the connection's state, and buttons to record, to leave and to rejoin. */
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
		this.record = new RecordButton(ask, this.outcome);
		const { progress, button } = this.record;
		const bar = h("div", { class: "lknb-bar" }, this.state, this.who, progress, button, this.button);
		this.element = h("div", { class: "lknb-head" }, bar, this.why, this.outcome.element);
		follow(({ values }) => this.draw(values));
	}

	async leaveOrRejoin() {
		if (this.isBusy) return;
		this.isBusy = true;
		// Not disabled, so that it keeps the focus.
		this.button.setAttribute("aria-disabled", "true");
		this.outcome.show(this.isClosed ? "Rejoining…" : "Leaving…");
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
		this.record.draw(values);
		const handlers = ended.length ? ` These handlers have ended: ${ended.join(", ")}. Run their cells again.` : "";
		setText(this.why, `${reason}.${handlers}`);
		this.why.hidden = state === "connected" && !handlers;
		setText(this.button, this.isClosed ? "Rejoin" : "Leave");
		this.button.title = this.isClosed
			? "Join the room again"
			: "Leave the room. Handlers end, and you can rejoin here.";
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
	(contexts, setInView, model) => {
		const head = new Head(contexts.panel);
		/** @type {Record<string, string>} */
		const labels = model.get("labels");
		const tabs = new Tabs(
			model.get("tabs").map((/** @type {string} */ name) => [name, labels[name]]),
			(name) => TABS[name](contexts[name]),
			(name) => setInView(["panel", name]),
		);
		return h("div", null, head.element, tabs.bar, tabs.pages);
	},
);
