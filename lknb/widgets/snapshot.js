// A copy of what a view shows, without what needs a kernel: as elements, or as JSON to save with a notebook.

/**
 * A text, or an element with its attributes and children.
 * @typedef {string | [tag: string, attributes: Record<string, string>, ...children: SavedNode[]]} SavedNode
 */

/** What needs a kernel, is not visible, or says how the connection was. */
const LEFT_OUT =
	"button, select, input, textarea, form, label, progress, canvas, svg, style, datalist, img, .lknb-chart, .lknb-box, " +
	".lknb-menu, .lknb-grip, .lknb-usual, [hidden], [aria-hidden=true], [role=status]";
/** Buttons with a text of the view: they become plain text. */
const TEXT_BUTTONS =
	"th > button, .lknb-chat-quote > button, [role=tab][aria-selected=true], .lknb-timeline-legend > [aria-pressed=true]";
/** Canvases whose picture is kept. It covers what is behind it, so that it can be read in another theme, too. */
const PICTURES = "canvas.lknb-picture";
const ATTRIBUTES = ["class", "style", "colspan", "dir", "open"];
const MAX_ROWS = 40;
const MAX_NODES = 1_500;
const MAX_LENGTH = 200;

/**
 * A copy of a view without controls.
 * @param {HTMLElement} root
 */
export function staticCopy(root) {
	// In a document of its own, where images are not loaded: their addresses no longer exist.
	const copy = document.implementation.createHTMLDocument("").importNode(root, true);
	for (const button of copy.querySelectorAll(TEXT_BUTTONS)) {
		const text = document.createElement("span");
		text.className = button.className;
		text.append(...button.childNodes);
		button.replaceWith(text);
	}
	const canvases = /** @type {NodeListOf<HTMLCanvasElement>} */ (root.querySelectorAll(PICTURES));
	for (const [index, place] of copy.querySelectorAll(PICTURES).entries()) place.replaceWith(pictureOf(canvases[index]));
	for (const element of copy.querySelectorAll(LEFT_OUT)) element.remove();
	for (const list of copy.querySelectorAll("table, ul, .lknb-chat-messages")) shorten(list);
	return copy;
}

/**
 * An element that looks like a canvas.
 * @param {HTMLCanvasElement} canvas
 */
function pictureOf(canvas) {
	const picture = document.createElement("div");
	picture.style.width = canvas.style.width;
	picture.style.height = canvas.style.height;
	if (canvas.width && canvas.height) picture.style.background = `url("${canvas.toDataURL()}") 0 0 / 100% 100%`;
	return picture;
}

/**
 * Keep the rows that a page can show without the view: of a chat the last ones, else the first ones.
 * @param {Element} list
 */
function shorten(list) {
	const rows = [...list.children].filter((row) => !["THEAD", "COLGROUP"].includes(row.tagName));
	const isChat = list.classList.contains("lknb-chat-messages");
	for (const row of isChat ? rows.slice(0, -MAX_ROWS) : rows.slice(MAX_ROWS)) row.remove();
}

/**
 * The rules of a style sheet that apply to a copy, as text.
 * @param {string} css
 * @param {Element} copy
 */
export function usedStyle(css, copy) {
	const sheet = new CSSStyleSheet();
	sheet.replaceSync(css);
	const applies = (/** @type {string} */ selector) => {
		const plain = selector.replace(/::[\w-]+/g, "");
		return !/:(hover|focus|disabled)/.test(plain) && (copy.matches(plain) || copy.querySelector(plain) !== null);
	};
	/** @type {(rules: CSSRuleList) => string[]} */
	const used = (rules) =>
		[...rules].flatMap((rule) => {
			if (rule instanceof CSSStyleRule) return applies(rule.selectorText) ? [rule.cssText] : [];
			const inner = rule instanceof CSSGroupingRule ? used(rule.cssRules) : [];
			return inner.length ? [`${rule.cssText.slice(0, rule.cssText.indexOf("{"))}{${inner.join("")}}`] : [];
		});
	return used(sheet.cssRules).join("\n");
}

/**
 * An element as JSON, with long texts cut.
 * @param {Element} element
 * @returns {SavedNode}
 */
export function packed(element) {
	let count = 0;
	/** @type {(element: Element) => SavedNode} */
	const pack = (each) => {
		count += 1;
		/** @type {Record<string, string>} */
		const attributes = {};
		for (const { name, value } of each.attributes) {
			if (value && (ATTRIBUTES.includes(name) || name.startsWith("data-"))) attributes[name] = value;
		}
		/** @type {SavedNode[]} */
		const children = [];
		for (const child of each.childNodes) {
			if (count >= MAX_NODES) break;
			if (child.nodeType === 1) children.push(pack(/** @type {Element} */ (child)));
			else if (child.textContent) children.push(child.textContent.slice(0, MAX_LENGTH));
		}
		return [each.tagName.toLowerCase(), attributes, ...children];
	};
	return pack(element);
}
