// Replay view: progress, what was sent and what not, and buttons to pause, step and stop.
import { h, hasFocus, setText } from "./dom.js";
import { inert } from "./inert.js";
import { Outcome, widget } from "./view.js";

/** @import { ReplayPart, ReplayValues } from "./rows.js" */
/** @import { Context } from "./view.js" */

const SPEEDS = [0.25, 0.5, 1, 2, 5, 10, 50];
const FASTEST = "max";

class ReplayControls {
	/** @param {Context<ReplayPart>} context */
	constructor({ ask, follow }) {
		this.ask = ask;
		this.outcome = new Outcome();
		this.state = h("span", { class: "lknb-state", role: "status" }, "Waiting for the kernel");
		this.bar = h("progress", { "aria-label": "How far the replay is" });
		this.time = h("span", { class: "lknb-number" });
		this.pause = h("button", { type: "button", onclick: () => this.run(this.isPaused ? "resume" : "pause") }, "Pause");
		this.step = h("button", { type: "button", onclick: () => this.run("step") }, "Step");
		this.step.title = "Send the next event, or the next piece of a stream";
		this.stop = h("button", { type: "button", onclick: () => this.run("stop_replay") }, "Stop");
		this.speed = h("select", { "aria-label": "Speed", onchange: () => this.setSpeed() });
		this.counts = h("p", { class: "lknb-note" });
		this.list = h("ul", { class: "lknb-replay-reasons", hidden: true });
		this.isPaused = false;
		const bar = h(
			"div",
			{ class: "lknb-bar" },
			this.state,
			this.pause,
			this.step,
			this.stop,
			this.speed,
			this.bar,
			this.time,
		);
		this.element = h("div", { class: "lknb-replay" }, bar, this.counts, this.list, this.outcome.element);
		follow(({ values }) => this.draw(values));
	}

	/** @param {"pause" | "resume" | "step" | "stop_replay"} action */
	run(action) {
		return this.outcome.report(this.ask(action));
	}

	setSpeed() {
		const { value } = this.speed;
		return this.outcome.report(this.ask("speed", { speed: value === FASTEST ? null : Number(value) }));
	}

	/** @param {ReplayValues} values */
	draw(values) {
		const { state, error, position, duration } = values;
		const isOver = !["running", "paused"].includes(state);
		this.isPaused = state === "paused";
		this.state.dataset.state = { running: "connected", paused: "reconnecting", failed: "closed" }[state] ?? "";
		setText(this.state, state);
		setText(this.pause, this.isPaused ? "Resume" : "Pause");
		// The focus must not be lost when the button is hidden.
		if (isOver && [this.pause, this.step, this.stop, this.speed].some(hasFocus)) this.element.focus();
		for (const each of [this.pause, this.stop, this.speed]) each.hidden = isOver;
		this.step.hidden = !this.isPaused;
		this.element.tabIndex = -1;
		this.bar.max = duration || 1;
		this.bar.value = Math.min(position, duration);
		setText(this.time, `${position.toFixed(1)} of ${duration.toFixed(1)} s`);
		this.drawSpeed(values.speed);
		setText(this.counts, describe(values));
		const reasons = [
			...(error ? [error] : []),
			...values.errors,
			...values.skipped.map(([reason, count]) => `${count.toLocaleString("en")} skipped: ${reason}`),
		];
		this.list.hidden = !reasons.length;
		this.list.replaceChildren(...reasons.map((each) => h("li", null, inert(each))));
	}

	/** @param {number | null} speed */
	drawSpeed(speed) {
		if (hasFocus(this.speed)) return;
		const known =
			speed === null || SPEEDS.includes(speed) ? SPEEDS : [...SPEEDS, speed].sort((one, other) => one - other);
		const options = [...known.map((each) => [String(each), `× ${each}`]), [FASTEST, "as fast as it goes"]];
		this.speed.replaceChildren(...options.map(([value, label]) => h("option", { value }, label)));
		this.speed.value = speed === null ? FASTEST : String(speed);
	}
}

/** @param {ReplayValues} values */
function describe({ sent, failed, late }) {
	const parts = [`${sent.toLocaleString("en")} sent`];
	if (failed) parts.push(`${failed.toLocaleString("en")} failed`);
	if (late) parts.push(`late by ${(late[0] * 1000).toFixed(1)} ms, at most ${(late[2] * 1000).toFixed(1)} ms`);
	return parts.join(", ");
}

export default widget(
	"Replay",
	() => ["replay"],
	({ replay }) => new ReplayControls(replay).element,
);
