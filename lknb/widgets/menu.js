// A menu of checkboxes that unfolds below its label.
import { h, KeyedList, quoted, setText } from "./dom.js";

/** Chooses several of some names; none chosen stands for all. */
export class Menu {
	/**
	 * @param {string} label such as "Kinds"
	 * @param {() => void} changed
	 * @param {AbortSignal} signal
	 */
	constructor(label, changed, signal) {
		this.label = label;
		this.changed = changed;
		/** @type {Set<string>} */
		this.chosen = new Set();
		this.summary = h("summary");
		const options = h("div", { class: "lknb-menu-options", role: "group", "aria-label": label });
		this.element = h("details", { class: "lknb-menu" }, this.summary, options);
		/** @type {KeyedList<string, Option>} */
		this.options = new KeyedList(options, (name) => new Option(name, (isChosen) => this.choose(name, isChosen)));
		this.drawSummary();
		const close = (/** @type {Event} */ event) => {
			if (this.element.open && event.target instanceof Node && !event.composedPath().includes(this.element))
				this.element.open = false;
		};
		document.addEventListener("pointerdown", close, { signal });
		this.element.addEventListener("focusout", ({ relatedTarget }) => {
			if (relatedTarget instanceof Node && !this.element.contains(relatedTarget)) this.element.open = false;
		});
		this.element.addEventListener("keydown", (event) => {
			if (event.key !== "Escape" || !this.element.open) return;
			event.stopPropagation();
			this.element.open = false;
			this.summary.focus();
		});
	}

	/**
	 * Offer these names, and those that are chosen already.
	 * @param {string[]} names
	 */
	offer(names) {
		const offered = [...new Set([...names, ...this.chosen])];
		this.options.draw(offered.map((name) => [name, name]));
		for (const option of this.options.views()) option.box.checked = this.chosen.has(option.name);
		this.element.hidden = offered.length === 0;
	}

	/** @param {string[]} names */
	set(names) {
		this.chosen = new Set(names);
		this.offer(this.options.views().map(({ name }) => name));
		this.drawSummary();
	}

	/**
	 * @param {string} name
	 * @param {boolean} isChosen
	 */
	choose(name, isChosen) {
		if (isChosen) this.chosen.add(name);
		else this.chosen.delete(name);
		this.drawSummary();
		this.changed();
	}

	drawSummary() {
		const { size } = this.chosen;
		const names = size === 0 ? "all" : size === 1 ? [...this.chosen][0] : `${size} of them`;
		setText(this.summary, `${this.label}: ${names}`);
		this.element.dataset.chosen = String(size > 0);
	}
}

class Option {
	/**
	 * @param {string} name
	 * @param {(isChosen: boolean) => void} choose
	 */
	constructor(name, choose) {
		this.name = name;
		this.box = h("input", { type: "checkbox", onchange: () => choose(this.box.checked) });
		this.element = h("label", null, this.box, quoted(name));
	}

	fill() {}
}
