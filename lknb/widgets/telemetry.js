// Telemetry: numbers in packets and data tracks as live lines and as a live table.
import { Chart, newBatches } from "./chart.js";
import { h, KeyedList, quoted, setText } from "./dom.js";
import { grouped, hues, Plots, sourceName } from "./plots.js";
import { SampleStore } from "./sample_store.js";
import { followTheme } from "./theme.js";
import { loadUplot } from "./uplot.js";
import { Outcome, widget } from "./view.js";

/** @import { LinesConfig } from "./plots.js" */
/** @import { TelemetryPart, TelemetryValues } from "./rows.js" */
/** @import { PartState } from "./sync.js" */
/** @import { Context } from "./view.js" */

/** Fields drawn until the user chooses some. */
const FIRST_FIELDS = 8;

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
		this.form = new Choice("Show as", { lines: "Lines", table: "Table" }, () => this.redraw());
		this.axes = new Choice("Axes", { own: "Own axes", one: "One axis" }, () => {
			this.isChosen = true;
			this.redraw();
		});
		this.isChosen = false;
		this.reset = h(
			"button",
			{ type: "button", hidden: true, onclick: () => this.plots.zoomTo(undefined) },
			"Reset zoom",
		);
		this.fields = new FieldChoice(() => this.redraw());
		this.sources = h("p", { class: "lknb-sources lknb-note", hidden: true });
		this.counts = h("span", { class: "lknb-counts" }, "Waiting for the kernel");
		this.pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => this.togglePause() }, "Pause");
		const clear = h("button", { type: "button", onclick: () => outcome.report(ask("clear")) }, "Clear");
		clear.title = "Start over. The room's log keeps its events.";
		this.trouble = h("p", { class: "lknb-note lknb-undecoded", role: "status", hidden: true });
		this.empty = h("p", { class: "lknb-empty" });
		this.place = h("div", { class: "lknb-chart", role: "region", "aria-label": "Table", hidden: true });
		this.lines = placeOfLines();
		this.element = h(
			"div",
			{ class: "lknb-telemetry" },
			h("div", { class: "lknb-bar" }, this.form.element, this.axes.element, this.pause, clear, this.reset, this.counts),
			this.fields.element,
			this.sources,
			outcome.element,
			this.trouble,
			this.empty,
			this.lines,
			this.place,
		);
		this.chart = new Chart(this.place, {
			load,
			hello: () => store.hello(),
			fail: (message) => outcome.fail(message),
		});
		this.plots = new Plots(this.lines, {
			load,
			fail: (message) => outcome.fail(message),
			zoomed: (isZoomed) => {
				this.reset.hidden = !isZoomed;
			},
		});
		/** @type {SampleStore | undefined} */
		this.samples = undefined;
		/** The number of the last batch in the samples; -1 to start with a snapshot. */
		this.done = 0;
		this.askedAt = -1;
		signal.addEventListener("abort", () => this.end());
		followTheme(() => this.recolor(), signal);
		// Load it before there is anything to draw: when samples arrive, a cell may keep the kernel busy.
		loadUplot(load, document).catch(() => undefined);
		follow((state) => this.draw(state));
	}

	end() {
		this.chart.end();
		this.plots.end();
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
		setText(this.empty, hasNumbers ? "No field is selected." : describeWaiting(values));
		const isTable = this.form.value === "table";
		this.place.hidden = !this.empty.hidden || !isTable;
		this.lines.hidden = !this.empty.hidden || isTable;
		this.axes.element.hidden = this.lines.hidden || fields.length < 2;
		this.sources.hidden = this.lines.hidden || values.sources.length < 2;
		if (this.signal.aborted) return;
		if (!this.isPaused && !isTable) this.takeBatches(state);
		if (!this.lines.hidden) this.drawLines(values, fields);
		if (this.place.hidden) return;
		const config = { fields, isDark: isDark(this.element) };
		this.chart.show(state, config, this.isPaused);
	}

	/** @param {PartState<TelemetryPart>} state */
	takeBatches({ values, rows }) {
		const batches = newBatches(rows.batches, this.done);
		if (batches === undefined) {
			if (this.askedAt !== this.done) this.store.hello();
			this.askedAt = this.done;
			return;
		}
		this.samples ??= new SampleStore(values.window);
		for (const [number, batch] of batches) {
			this.samples.add(batch);
			this.done = number;
		}
	}

	/**
	 * @param {TelemetryValues} values
	 * @param {string[]} chosen
	 */
	drawLines({ fields, units, sources }, chosen) {
		if (!this.samples?.count) return;
		const samples = this.samples.samples(fields.length);
		const axes = this.isChosen ? /** @type {"own" | "one"} */ (this.axes.value) : "auto";
		/** @type {LinesConfig} */
		const config = { fields, units, sources, chosen, axes };
		if (!this.isChosen) this.axes.press(grouped(samples, config).length > 1 ? "own" : "one");
		const colors = hues(this.lines);
		this.fields.color(sources.length > 1 ? [] : colors);
		const named = sources.slice(0, 12).map((_, index) => [
			h("span", {
				class: "lknb-swatch",
				style: `background: ${colors[index % colors.length]}`,
				"aria-hidden": "true",
			}),
			" ",
			quoted(sourceName(sources, index)),
			" ",
		]);
		const key = JSON.stringify([sources, colors]);
		if (key !== this.sources.dataset.key) this.sources.replaceChildren(...named.flat());
		this.sources.dataset.key = key;
		this.plots.show(samples, config);
	}

	recolor() {
		this.plots.recolor();
		this.redraw();
	}

	togglePause() {
		this.isPaused = !this.isPaused;
		this.pause.setAttribute("aria-pressed", String(this.isPaused));
		setText(this.pause, this.isPaused ? "Resume" : "Pause");
		// A snapshot has the samples that arrived during the pause.
		if (!this.isPaused) this.store.hello();
		this.redraw();
	}
}

/** The element for the plots. */
function placeOfLines() {
	return h("div", {
		class: "lknb-lines",
		role: "group",
		"aria-label": "Lines. Arrow keys read values, plus and minus zoom, Escape shows everything.",
		title: "Drag to zoom, or turn the wheel with Ctrl. Double-click to show everything.",
		tabIndex: 0,
		hidden: true,
	});
}

/** A choice between two forms, as buttons. */
class Choice {
	/**
	 * @param {string} label
	 * @param {Record<string, string>} titles of the values
	 * @param {() => void} changed
	 */
	constructor(label, titles, changed) {
		this.changed = changed;
		[this.value] = Object.keys(titles);
		this.buttons = new Map(
			Object.entries(titles).map(([value, title]) => [
				value,
				h("button", { type: "button", "aria-pressed": "false", onclick: () => this.choose(value) }, title),
			]),
		);
		this.element = h("div", { class: "lknb-group", role: "group", "aria-label": label }, [...this.buttons.values()]);
		this.press(this.value);
	}

	/** @param {string} value */
	choose(value) {
		this.press(value);
		this.changed();
	}

	/** @param {string} value */
	press(value) {
		this.value = value;
		for (const [each, button] of this.buttons) button.setAttribute("aria-pressed", String(each === value));
	}
}

/** The choice of fields to draw. A choice is kept while its field is gone. */
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

	/**
	 * Give each field's box the colour of its line.
	 * @param {string[]} colors
	 */
	color(colors) {
		for (const [index, box] of [...this.element.querySelectorAll("input")].entries())
			box.style.accentColor = colors.length ? colors[index % colors.length] : "";
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

/** @param {HTMLElement} element */
function isDark(element) {
	// Jupyter sets this before the new colours apply.
	const light = document.body.dataset.jpThemeLight;
	if (light) return light === "false";
	const [red, green, blue] = (getComputedStyle(element).color.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);
	// Light text means a dark background.
	return red * 0.3 + green * 0.6 + blue * 0.1 > 127;
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
	if (thinned) parts.push(`${thinned.toLocaleString()} skipped in the chart`);
	if (isPaused) parts.push("paused");
	return parts.join(", ");
}

/** @param {TelemetryValues} values */
function describeTrouble({ undecoded, reason, refused: [count, names] }) {
	const parts = [];
	if (undecoded) parts.push(`${undecoded.toLocaleString()} could not be decoded. The last: ${reason}.`);
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
