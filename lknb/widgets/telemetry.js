// Telemetry: numbers in packets and data tracks as live lines and as a live table.
import { Chart } from "./chart.js";
import { h, KeyedList, quoted, setText } from "./dom.js";
import { loadPerspective } from "./perspective.js";
import { Outcome, widget } from "./view.js";

/** @import { TelemetryPart, TelemetryValues } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Context } from "./view.js" */

/** Fields drawn until the user chooses some. */
const FIRST_FIELDS = 8;
const THEME_ATTRIBUTES = ["class", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind", "theme"];

/**
 * @param {Context<TelemetryPart>} context
 * @returns {HTMLElement}
 */
export function telemetry(context) {
	return new Telemetry(context).element;
}

class Telemetry {
	/** @param {Context<TelemetryPart>} context */
	constructor({ ask, load, follow, signal, store }) {
		this.store = store;
		this.signal = signal;
		/** @type {PartState<TelemetryPart> | undefined} */
		this.state = undefined;
		this.isPaused = false;
		const outcome = new Outcome();
		this.form = new FormChoice(() => this.redraw());
		this.fields = new FieldChoice(() => this.redraw());
		this.counts = h("span", { class: "lknb-counts" }, "Waiting for the kernel");
		this.pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.togglePause() }, "Pause");
		const clear = h(
			"button",
			{
				type: "button",
				title: "Remove what is shown; the room's log keeps it",
				onclick: () => outcome.report(ask("clear")),
			},
			"Clear",
		);
		this.trouble = h("p", { class: "lknb-note lknb-undecoded", role: "status", hidden: true });
		this.empty = h("p", { class: "lknb-empty" });
		this.place = h("div", { class: "lknb-chart", role: "region", "aria-label": "Lines", hidden: true });
		this.element = h(
			"div",
			{ class: "lknb-telemetry" },
			h("div", { class: "lknb-bar" }, this.form.element, this.pause, clear, this.counts),
			this.fields.element,
			outcome.element,
			this.trouble,
			this.empty,
			this.place,
		);
		this.chart = new Chart(this.place, {
			load,
			hello: () => store.hello(),
			fail: (message) => outcome.fail(message),
		});
		signal.addEventListener("abort", () => this.chart.end());
		followTheme(() => this.redraw(), signal);
		// Before there is anything to draw: once samples come, the kernel may be busy with a cell and not answer.
		loadPerspective(load).catch(() => undefined);
		follow((state) => this.draw(state));
	}

	redraw() {
		if (this.state) this.draw(this.state);
	}

	/** @param {PartState<TelemetryPart>} state */
	draw(state) {
		this.state = state;
		const { values } = state;
		setText(this.counts, describeCounts(values, this.isPaused));
		this.fields.draw(values.fields);
		const trouble = describeTrouble(values);
		this.trouble.hidden = !trouble;
		setText(this.trouble, trouble);
		const fields = this.fields.chosen;
		const hasNumbers = values.total > 0 && values.fields.length > 0;
		this.empty.hidden = hasNumbers && fields.length > 0;
		setText(this.empty, hasNumbers ? "No field is chosen." : describeWaiting(values));
		this.place.hidden = !this.empty.hidden;
		this.place.setAttribute("aria-label", this.form.value === "lines" ? "Lines" : "Table");
		if (this.place.hidden || this.signal.aborted) return;
		const config = {
			form: this.form.value,
			fields,
			splitBy: differingColumns(values.sources),
			isDark: isDark(this.element),
		};
		this.chart.show(state, config, this.isPaused);
	}

	togglePause() {
		this.isPaused = !this.isPaused;
		this.pause.setAttribute("aria-pressed", String(this.isPaused));
		setText(this.pause, this.isPaused ? "Resume" : "Pause");
		// The next snapshot has what came meanwhile.
		if (!this.isPaused) this.store.hello();
		this.redraw();
	}
}

/** Lines or table. */
class FormChoice {
	/** @param {() => void} changed */
	constructor(changed) {
		this.changed = changed;
		/** @type {"lines" | "table"} */
		this.value = "lines";
		this.lines = h("button", { type: "button", "aria-pressed": "true", onclick: () => this.choose("lines") }, "Lines");
		this.table = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.choose("table") }, "Table");
		this.element = h("div", { class: "lknb-group", role: "group", "aria-label": "Show as" }, this.lines, this.table);
	}

	/** @param {"lines" | "table"} value */
	choose(value) {
		this.value = value;
		this.lines.setAttribute("aria-pressed", String(value === "lines"));
		this.table.setAttribute("aria-pressed", String(value === "table"));
		this.changed();
	}
}

/** The fields that can be drawn; the user's choices outlast a field that is gone for a while. */
class FieldChoice {
	/** @param {() => void} changed */
	constructor(changed) {
		this.element = h("div", { class: "lknb-fields", role: "group", "aria-label": "Fields" });
		/** @type {string[]} */
		this.names = [];
		/** @type {Map<string, boolean>} */
		this.choices = new Map();
		/** @type {KeyedList<string, { element: HTMLElement, fill(): void }>} */
		this.list = new KeyedList(this.element, (name) => {
			const choose = () => {
				this.choices.set(name, box.checked);
				changed();
			};
			const box = h("input", { type: "checkbox", checked: this.choices.get(name), onchange: choose });
			return { element: h("label", { class: "lknb-field" }, box, quoted(name)), fill() {} };
		});
	}

	get chosen() {
		return this.names.filter((name) => this.choices.get(name));
	}

	/** @param {string[]} names */
	draw(names) {
		this.names = names;
		for (const [index, name] of names.entries())
			if (!this.choices.has(name)) this.choices.set(name, index < FIRST_FIELDS);
		this.list.draw(names.map((name) => [name, name]));
	}
}

/**
 * Call `changed` whenever the page may have taken another theme.
 * @param {() => void} changed
 * @param {AbortSignal} signal
 */
function followTheme(changed, signal) {
	const observer = new MutationObserver(changed);
	for (const element of [document.body, document.documentElement])
		observer.observe(element, { attributeFilter: THEME_ATTRIBUTES });
	signal.addEventListener("abort", () => observer.disconnect());
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed, { signal });
}

/** @param {HTMLElement} element */
function isDark(element) {
	// Jupyter sets this before its new colours apply.
	const light = document.body.dataset.jpThemeLight;
	if (light) return light === "false";
	const [red, green, blue] = (getComputedStyle(element).color.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);
	// Light text is on a dark background.
	return red * 0.3 + green * 0.6 + blue * 0.1 > 127;
}

/**
 * The columns that tell the samples apart: sender, topic, both or none.
 * @param {[sender: string, topic: string][]} sources
 */
function differingColumns(sources) {
	const columns = [];
	if (new Set(sources.map(([sender]) => sender)).size > 1) columns.push("sender");
	if (new Set(sources.map(([, topic]) => topic)).size > 1) columns.push("topic");
	return columns;
}

/**
 * @param {TelemetryValues} values
 * @param {boolean} isPaused
 */
function describeCounts({ total, rate, window, thinned }, isPaused) {
	const parts = [
		`${total.toLocaleString()} ${total === 1 ? "sample" : "samples"}`,
		`${rate.toLocaleString()} per second`,
		`the newest ${window.toLocaleString()} are shown`,
	];
	if (thinned) parts.push(`${thinned.toLocaleString()} not drawn one by one`);
	if (isPaused) parts.push("paused");
	return parts.join(", ");
}

/** @param {TelemetryValues} values */
function describeTrouble({ undecoded, reason, refused: [count, names] }) {
	const parts = [];
	if (undecoded) parts.push(`${undecoded.toLocaleString()} could not be decoded; the last: ${reason}.`);
	if (count) parts.push(`${count.toLocaleString()} more fields are not shown, such as ${names.join(", ")}.`);
	return parts.join(" ");
}

/** @param {TelemetryValues} values */
function describeWaiting({ only }) {
	const fields = only.fields.length ? ` with the field ${only.fields.join(" or ")}` : "";
	const topic = only.topic ? ` on ${only.topic}` : "";
	return `No numbers yet${fields}${topic}. Send JSON such as {"x": 1.5} with room.publish_data, or push frames to a data track.`;
}

export default widget(
	"Telemetry of the room",
	() => ["telemetry"],
	({ telemetry: context }) => telemetry(context),
);
