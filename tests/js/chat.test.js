// The chat: growing messages, replies, edits, files, and writing a message.
import assert from "node:assert/strict";
import { test } from "node:test";
import { downloads, isHarmless, mount, NASTY, press, scrollIntoSight, setHeight, settle, type } from "./page.js";
import { attachment, chatState, message } from "./states.js";

const { chat } = await import("../../lknb/widgets/chat.js");

const submit = (/** @type {HTMLElement} */ form) => form.dispatchEvent(new Event("submit", { cancelable: true }));

test("an empty chat says what to do", () => {
	const view = mount(chat);
	assert.equal(view.text(".lknb-empty"), "Waiting for the kernel");
	view.draw(chatState({}));
	assert.match(view.text(".lknb-empty"), /^No messages yet/);
	view.draw(chatState({ 1: message({ text: "hi" }) }));
	assert.equal(view.find(".lknb-empty").hidden, true);
});

test("text from the room is never markup", () => {
	const view = mount(chat);
	const files = [attachment({ id: NASTY, name: NASTY })];
	const reply = { key: null, name: NASTY, text: NASTY };
	const row = message({ text: NASTY, name: NASTY, sender: NASTY, to: [NASTY], reply, files, trouble: NASTY });
	view.draw(chatState({ 1: row }, {}, { people: [[NASTY, NASTY]] }));
	assert.ok(isHarmless(view.element));
	assert.match(view.element.textContent, /<script>/);
});

test("a message shows its author and recipients, and that it was edited", () => {
	const view = mount(chat);
	view.draw(chatState({ 1: message({ name: "Alice", own: true, to: ["bob", "carol"], more_to: 3, edited: true }) }));
	assert.match(view.text("header"), /^Alice \(you\) to bob, carol and 3 more only.*edited$/);
	assert.equal(view.find("article").dataset.own, "true");
});

test("each day starts with its date", () => {
	const view = mount(chat);
	const day = 24 * 3600 * 1000;
	const time = message({}).time;
	view.draw(chatState({ 1: message({ time }), 2: message({ time }), 3: message({ time: time + day }) }));
	assert.equal(view.all(".lknb-chat-day").length, 2);
});

test("a growing text keeps its elements", () => {
	const view = mount(chat);
	const open = message({ text: "It g", open: true, status: "open", length: 4 });
	view.draw(chatState({ 1: open }));
	const first = view.find(".lknb-chat-text").firstChild;
	view.draw(chatState({ 1: open }, { "1.0": "rows", 1.1: "." }));
	assert.equal(view.text(".lknb-chat-text"), "It grows.");
	assert.equal(view.find(".lknb-chat-text").firstChild, first);
	assert.equal(view.find("article").getAttribute("aria-busy"), "true");
	assert.match(view.text(".lknb-chat-state"), /receiving/);
	view.draw(chatState({ 1: message({ text: "It g", length: 9 }) }, { "1.0": "rows", 1.1: "." }));
	assert.equal(view.find(".lknb-chat-state").hidden, true);
	assert.equal(view.find("article").getAttribute("aria-busy"), "false");
});

test("the rest of a long text is shown on request, until the message is edited", async () => {
	const view = mount(chat);
	view.draw(chatState({ 1: message({ text: "long", length: 11 }) }));
	view.button("Show all (4 B)").click();
	assert.deepEqual([view.asked[0].action, view.asked[0].args], ["read", { key: "1" }]);
	view.asked[0].answer({ text: "long enough", more: 5 });
	await settle();
	assert.equal(view.text(".lknb-chat-text"), "long enough");
	assert.match(view.text(".lknb-chat-state"), /5 more characters are not shown/);
	view.draw(chatState({ 1: message({ text: "new", length: 3, piece: "2", edited: true }) }));
	assert.equal(view.text(".lknb-chat-text"), "new");
	assert.match(view.text("header"), /edited/);
});

test("a failed message says why", () => {
	const view = mount(chat);
	view.draw(
		chatState({
			1: message({ own: true, status: "failed", error: "no such recipient" }),
			2: message({ status: "failed" }),
			3: message({ trouble: "the stream was aborted", cut: 7 }),
		}),
	);
	const [own, other, edited] = view.all(".lknb-chat-state").map((each) => each.textContent);
	assert.equal(own, "Not sent: no such recipient");
	assert.equal(other, "Incomplete");
	assert.match(edited, /7 more characters were dropped.*The edit failed: the stream was aborted/);
});

test("problems of the room are noted below the messages", () => {
	const view = mount(chat);
	view.draw(chatState({}, {}, { state: "closed", dropped: 2, unreadable: 1 }));
	assert.equal(
		view.text(".lknb-note"),
		"The room is closed. You can no longer send messages. 2 older messages were dropped. 1 chat packets could not be read.",
	);
	view.draw(chatState({}));
	assert.equal(view.find(".lknb-note").hidden, true);
});

test("new messages are counted while the user reads older ones", () => {
	const view = mount(chat);
	const log = view.find(".lknb-chat-log");
	const jump = view.find(".lknb-chat-jump");
	Object.defineProperty(log, "scrollHeight", { value: 1000 });
	setHeight(log, 100);
	view.draw(chatState({ 1: message({ text: "one" }) }));
	assert.equal(log.scrollTop, 1000);
	log.scrollTop = 0;
	log.dispatchEvent(new Event("scroll"));
	const three = { 1: message({ text: "one" }), 2: message({ text: "two" }), 3: message({ text: "three" }) };
	view.draw(chatState(three));
	assert.equal(log.scrollTop, 0);
	assert.match(jump.textContent, /2 new messages/);
	view.draw(chatState({ ...three, 4: message({ text: "mine", own: true }) }));
	assert.equal(log.scrollTop, 1000, "the user's own message is always shown");
	assert.equal(jump.hidden, true);
});

test("a list that was hidden is still at its end, although the browser has scrolled it", () => {
	const view = mount(chat);
	const log = view.find(".lknb-chat-log");
	Object.defineProperty(log, "scrollHeight", { value: 1000 });
	setHeight(log, 340);
	view.draw(chatState({ 1: message({ text: "one" }) }));
	setHeight(log, 0);
	log.scrollTop = 0;
	Object.defineProperty(log, "clientHeight", { value: 340, configurable: true });
	log.dispatchEvent(new Event("scroll"));
	setHeight(log, 340);
	assert.equal(log.scrollTop, 1000);
});

test("the button for new messages scrolls to the end", () => {
	const view = mount(chat);
	const log = view.find(".lknb-chat-log");
	Object.defineProperty(log, "scrollHeight", { value: 1000 });
	setHeight(log, 100);
	view.draw(chatState({ 1: message({ text: "one" }) }));
	log.scrollTop = 0;
	log.dispatchEvent(new Event("scroll"));
	view.draw(chatState({ 1: message({ text: "one" }), 2: message({ text: "two" }) }));
	view.find(".lknb-chat-jump").click();
	assert.equal(log.scrollTop, 1000);
	assert.equal(view.find(".lknb-chat-jump").hidden, true);
});

test("the newest messages are in the page, and older ones are added on request", () => {
	const view = mount(chat);
	const many = Array.from({ length: 160 }, (_, index) => [`m${index}`, message({ text: String(index) })]);
	view.draw(chatState(Object.fromEntries(many)));
	assert.equal(view.all("article").length, 150);
	view.button("Show older messages (10 more)").click();
	assert.equal(view.all("article").length, 160);
	assert.equal(view.find(".lknb-chat-older").hidden, true);
});

test("a quotation moves to the message that it quotes", () => {
	const view = mount(chat);
	const reply = { key: "1", name: "bob", text: "a\nquestion" };
	view.draw(chatState({ 1: message({ text: "a question" }), 2: message({ text: "an answer", reply }) }));
	const quote = view.button("Go to the answered message");
	assert.equal(quote.textContent, "bob: a question");
	view.find("article").scrollIntoView = () => {};
	quote.click();
	assert.equal(document.activeElement, view.find("article"));
});

test("Enter sends the message, Shift+Enter does not, and neither reaches Jupyter", () => {
	const view = mount(chat);
	view.draw(chatState({}));
	const box = view.field("Message");
	let reached = 0;
	view.element.addEventListener("keydown", () => reached++);
	type(box, "hello");
	assert.equal(press(box, "Enter", { shiftKey: true }), false);
	assert.equal(press(box, "Enter"), true);
	assert.equal(reached, 0);
	return settle().then(() => {
		assert.deepEqual(
			view.asked.map(({ args }) => args),
			[{ text: "hello", to: "", reply_to: "", edits: "", files: [] }],
		);
		assert.equal(box.value, "");
	});
});

test("a message has at most as many characters as the kernel accepts", () => {
	const view = mount(chat);
	view.draw(chatState({}, {}, { text_limit: 9 }));
	assert.equal(view.field("Message").maxLength, 9);
});

test("nothing is sent without text or files", async () => {
	const view = mount(chat);
	view.draw(chatState({}));
	type(view.field("Message"), " \n");
	submit(view.find("form"));
	await settle();
	assert.equal(view.asked.length, 0);
});

test("a message that could not be sent is restored, with the reason", async () => {
	const view = mount(chat);
	view.draw(chatState({ 1: message({ text: "Ready?" }) }));
	view.button("Reply").click();
	const box = view.field("Message");
	assert.equal(document.activeElement, box);
	type(box, "Yes.");
	submit(view.find("form"));
	await settle();
	assert.deepEqual(view.asked[0].args, { text: "Yes.", to: "", reply_to: "1", edits: "", files: [] });
	assert.equal(box.value, "");
	view.asked[0].refuse("The room is closed.");
	await settle();
	assert.equal(box.value, "Yes.");
	assert.equal(view.text(".lknb-outcome"), "The room is closed.");
	assert.equal(view.text(".lknb-chat-subject span"), "Reply to bob: Ready?");
});

test("an edit starts from the whole text, and Escape cancels it", async () => {
	const view = mount(chat);
	view.draw(chatState({ 1: message({ text: "helo", own: true, can_edit: true }) }));
	view.button("Edit").click();
	view.asked[0].answer({ text: "helo world", more: 0 });
	await settle();
	const box = view.field("Message");
	assert.equal(box.value, "helo world");
	assert.ok(view.button("Save edit"));
	assert.equal(view.field("To").closest("label").hidden, true, "an edit keeps its recipients");
	press(box, "Escape");
	assert.equal(box.value, "");
	assert.ok(view.button("Send"));
});

test("a recipient who leaves stays chosen", () => {
	const view = mount(chat);
	view.draw(
		chatState(
			{},
			{},
			{
				people: [
					["bob", "Bob"],
					["carol", "carol"],
				],
			},
		),
	);
	const to = view.field("To");
	to.value = "bob";
	view.draw(chatState({}, {}, { people: [["carol", "carol"]] }));
	assert.equal(to.value, "bob");
	assert.deepEqual(
		[...to.options].map((option) => option.textContent),
		["everybody", "carol", "bob (has left)"],
	);
});

/** Choose files to attach. */
function attach(/** @type {any} */ view, /** @type {File[]} */ ...files) {
	const input = view.field("Files to attach");
	Object.defineProperty(input, "files", { value: files, configurable: true });
	input.dispatchEvent(new Event("change"));
}

test("a file is uploaded when it is chosen, and sent with the message", async () => {
	const view = mount(chat);
	view.draw(chatState({}));
	attach(view, new File(["abc"], "a.txt"));
	assert.match(view.text(".lknb-chat-chosen"), /a\.txt3 BRemove/);
	view.asked[0].answer({ key: "7", piece: 1000 });
	await settle();
	view.asked[1].answer(3);
	await settle();
	submit(view.find("form"));
	await settle();
	assert.deepEqual(
		view.asked.map(({ action }) => action),
		["begin", "upload", "send"],
	);
	assert.deepEqual(view.asked[2].args.files, ["7"]);
	assert.equal(view.text(".lknb-chat-chosen"), "");
	view.asked[2].refuse("The room is closed.");
	await settle();
	assert.match(view.text(".lknb-chat-chosen"), /a\.txt/, "it is kept for another try");
});

test("a removed file is not sent, and the kernel discards it", async () => {
	const view = mount(chat);
	view.draw(chatState({}));
	attach(view, new File([], "a.txt"));
	view.asked[0].answer({ key: "7", piece: 1000 });
	await settle();
	view.button("Remove a.txt").click();
	assert.deepEqual([view.asked[1].action, view.asked[1].args], ["discard", { key: "7" }]);
	assert.equal(view.all(".lknb-chat-chosen li").length, 0);
	assert.equal(document.activeElement, view.field("Message"));
});

test("a received file is downloaded in pieces", async () => {
	const view = mount(chat);
	view.draw(chatState({ 1: message({ text: "look", files: [attachment({ size: 6 })] }) }));
	downloads.length = 0;
	view.button("Download a.txt").click();
	for (const [index, at] of [0, 4].entries()) {
		assert.deepEqual(view.asked[index].args, { key: "1", id: "f", at });
		view.asked[index].answer({}, new DataView(new ArrayBuffer(at ? 2 : 4)));
		await settle();
	}
	assert.equal(downloads[0].name, "a.txt");
	assert.equal(downloads[0].content.size, 6);
});

test("an incomplete file is not saved, and a dropped file cannot be downloaded", async () => {
	const view = mount(chat);
	view.draw(chatState({ 1: message({ text: "look", files: [attachment()] }) }));
	downloads.length = 0;
	view.button("Download a.txt").click();
	view.asked[0].answer({});
	await settle();
	assert.match(view.text(".lknb-outcome"), /a\.txt could not be read completely/);
	assert.equal(downloads.length, 0);
	view.draw(chatState({ 1: message({ text: "look", files: [attachment({ available: false, evicted: true })] }) }));
	assert.equal(view.button("Download a.txt"), undefined);
	assert.match(view.text(".lknb-chat-files"), /dropped because the room's log is full/);
});

test("an image is loaded when it is visible", async () => {
	const view = mount(chat);
	view.draw(chatState({ 1: message({ files: [attachment({ name: "a.png", type: "image/png", size: 4 })] }) }));
	assert.equal(view.asked.length, 0);
	scrollIntoSight(view.find(".lknb-chat-image"));
	view.asked[0].answer({}, new DataView(new ArrayBuffer(4)));
	await settle();
	assert.equal(view.find("img").alt, "Image a.png");
});
