// The transfers: what is shown of each one, its actions, and sending a file.
import assert from "node:assert/strict";
import { test } from "node:test";
import { downloads, isHarmless, mount, NASTY, scrollIntoSight, settle } from "./page.js";
import { transfer, transfersState } from "./states.js";

const { transfers } = await import("../../lknb/widgets/transfers.js");
const { formatRemaining } = await import("../../lknb/widgets/transfer.js");

const OUTCOME = ".lknb-send + .lknb-outcome";
const ended = () => transfer({ status: "ok", transferred: 1000, duration: 2, rate: null, left: null });

test("an empty list says what to do", () => {
	const view = mount(transfers);
	view.draw(transfersState({}));
	assert.match(view.text(".lknb-empty"), /^No file has been sent or received/);
	assert.equal(view.find(".lknb-empty").hidden, false);
	view.draw(transfersState({ 1: transfer() }));
	assert.equal(view.find(".lknb-empty").hidden, true);
});

test("a transfer in progress shows bytes, rate and remaining time", () => {
	const view = mount(transfers);
	view.draw(transfersState({ 1: transfer() }));
	assert.match(view.text("li"), /← log\.binfrom bob, topic logs, 12:00:00250 B of 1\.0 kB, 100 B\/s, 8 s left/);
	assert.equal(view.find("li progress").value, 250);
	assert.equal(view.find("li progress").hidden, false);
	view.draw(transfersState({ 1: transfer({ rate: 0, left: null }) }));
	assert.match(view.text("li"), /250 B of 1\.0 kB, stalled/);
});

test("an ended transfer shows duration, rate and verification", () => {
	const view = mount(transfers);
	view.draw(transfersState({ 1: { ...ended(), file: true, verified: true } }));
	assert.match(view.text("li"), /1\.0 kB received in 2\.0 s, 500 B\/s, SHA-256 verified/);
	view.draw(transfersState({ 1: { ...ended(), file: true } }));
	assert.match(view.text("li"), /no SHA-256 to verify/);
});

test("an outgoing file names its recipients", () => {
	const view = mount(transfers);
	view.draw(
		transfersState({
			1: transfer({ direction: "out", to: ["bob", "carol"], recipients: 5 }),
			2: transfer({ direction: "out", topic: "" }),
		}),
	);
	assert.equal(
		view.text(".lknb-transfer-facts"),
		"to everybody, 12:00:00 | to bob, carol and 3 more, topic logs, 12:00:00",
	);
});

test("an element stays the same while its transfer moves and ends, and keeps the focus", () => {
	const view = mount(transfers);
	view.draw(transfersState({ 1: transfer() }));
	const before = view.find("li");
	view.button("Cancel: log.bin").focus();
	view.draw(transfersState({ 1: transfer({ status: "failed", error: "the stream was aborted" }) }));
	assert.equal(view.find("li"), before);
	assert.match(before.textContent, /failed.*the stream was aborted/);
	assert.equal(view.find("li progress").hidden, true);
	assert.equal(document.activeElement, before);
});

test("cancelling is confirmed, and so is a transfer that had already ended", async () => {
	const view = mount(transfers);
	view.draw(transfersState({ 1: transfer() }));
	const cancel = view.button("Cancel: log.bin");
	cancel.click();
	assert.equal(cancel.disabled, true);
	view.asked[0].answer(true);
	await settle();
	assert.equal(view.text(OUTCOME), "log.bin was cancelled.");
	cancel.click();
	view.asked[1].answer(false);
	await settle();
	assert.equal(view.text(OUTCOME), "log.bin had already ended.");
});

test("while the kernel is too busy to cancel, the user learns how to stop the sending", () => {
	const view = mount(transfers);
	const state = transfersState({ 1: transfer({ direction: "out" }) });
	view.draw(state);
	view.button("Cancel: log.bin").click();
	view.store.waiting = 1;
	view.draw(state);
	assert.match(view.text(OUTCOME), /If a cell is sending log\.bin, interrupt the cell to stop it/);
});

test("a file is downloaded in pieces, up to the limit", async () => {
	const view = mount(transfers);
	view.draw(transfersState({ 1: { ...ended(), file: true, size: 1500 } }));
	downloads.length = 0;
	view.button("Download: log.bin").click();
	view.asked[0].answer({}, new DataView(new ArrayBuffer(1000)));
	await settle();
	assert.equal(view.text(OUTCOME), "Downloading log.bin: 1.0 kB of 1.5 kB");
	assert.deepEqual(view.asked[1].args, { key: "1", at: 1000 });
	view.asked[1].answer({}, new DataView(new ArrayBuffer(500)));
	await settle();
	assert.deepEqual([downloads[0].name, downloads[0].content.size], ["log.bin", 1500]);
	view.draw(transfersState({ 1: { ...ended(), file: true } }, { download_limit: 10 }));
	assert.equal(view.button("Download: log.bin").hidden, true);
});

test("a file is saved to the kernel's folder", async () => {
	const view = mount(transfers);
	view.draw(transfersState({ 1: { ...ended(), file: true } }));
	view.button("Save to folder: log.bin").click();
	view.asked[0].answer({ path: "work/log.bin" });
	await settle();
	assert.equal(view.text(OUTCOME), "Saved as work/log.bin");
	view.draw(transfersState({ 1: { ...ended(), file: true, saved: "work/log.bin" } }));
	assert.match(view.text("li .lknb-note"), /Saved as work\/log\.bin/);
});

test("a small image is loaded when it is visible, a large one on request", async () => {
	const view = mount(transfers);
	const image = { ...ended(), name: "grey.png", file: true, image: true };
	view.draw(transfersState({ 1: image, 2: { ...image, size: 2_000_000 } }));
	const [large, small] = view.all("li");
	scrollIntoSight(large);
	scrollIntoSight(small);
	assert.deepEqual(
		view.asked.map(({ args }) => args.key),
		["1"],
	);
	view.asked[0].answer({ type: "image/png" }, new DataView(new ArrayBuffer(4)));
	await settle();
	assert.equal(small.querySelector("img").alt, "grey.png");
	large.querySelector("button:nth-child(2)").click();
	view.asked[1].refuse("It is gone.");
	await settle();
	assert.equal(view.text(OUTCOME), "It is gone.");
	assert.equal(large.querySelector("button:nth-child(2)").hidden, false);
});

test("text from the room is never markup", () => {
	const view = mount(transfers);
	const names = { name: NASTY, sender: NASTY, topic: NASTY, error: NASTY, saved: NASTY };
	view.draw(transfersState({ 1: transfer({ ...names, status: "failed" }) }, { people: [[NASTY, NASTY]] }));
	assert.ok(isHarmless(view.element));
	assert.match(view.element.textContent, /<script>/);
});

test("a recipient who leaves stays chosen", () => {
	const view = mount(transfers);
	view.draw(transfersState({}));
	const to = view.field("Recipient");
	to.value = "bob";
	view.draw(transfersState({}, { people: [["carol", ""]] }));
	assert.equal(to.value, "bob");
	assert.deepEqual(
		[...to.options].map((option) => option.textContent),
		["everybody", "carol", "bob (has left)"],
	);
});

test("transfers in progress are shown, however many newer ones there are", () => {
	const view = mount(transfers);
	const rows = Array.from({ length: 150 }, (_, index) => [`k${index}`, index ? ended() : transfer()]);
	view.draw(transfersState(Object.fromEntries(rows)));
	assert.equal(view.all("li").length, 61);
	assert.match(view.text(".lknb-scroll > .lknb-note"), /89 older transfers are not shown/);
});

/** Choose a file to send. */
function choose(/** @type {any} */ view, /** @type {File} */ file) {
	const input = view.field("File to send");
	Object.defineProperty(input, "files", { value: [file], configurable: true });
	input.dispatchEvent(new Event("change"));
}

test("a chosen file is uploaded and sent to its recipient", async () => {
	const view = mount(transfers);
	view.draw(transfersState({}));
	assert.equal(view.button("Send").disabled, true);
	choose(view, new File(["abc"], "a.txt"));
	view.field("Recipient").value = "bob";
	view.field("Topic").value = "tables";
	view.button("Send").click();
	view.asked[0].answer({ key: "7", piece: 1000 });
	await settle();
	view.asked[1].answer(3);
	await settle();
	assert.deepEqual([view.asked[2].action, view.asked[2].args], ["send", { key: "7", topic: "tables", to: "bob" }]);
	view.asked[2].answer();
	await settle();
	assert.equal(view.text(OUTCOME), "a.txt was sent to bob.");
	assert.equal(view.button("Send").disabled, false);
});

test("a file over the limit is refused before it is uploaded", () => {
	const view = mount(transfers);
	view.draw(transfersState({}, { upload_limit: 2 }));
	choose(view, new File(["abc"], "a.txt"));
	assert.match(view.text(OUTCOME), /a\.txt is 3 B\. From the browser, at most 2 B can be sent/);
	assert.equal(view.button("Send").disabled, true);
});

test("an upload can be stopped", async () => {
	const view = mount(transfers);
	view.draw(transfersState({}, { piece: 1 }));
	choose(view, new File(["abc"], "a.txt"));
	view.button("Send").click();
	assert.equal(view.find(".lknb-send progress").hidden, false);
	view.button("Stop").click();
	view.asked[0].answer({ key: "7", piece: 1000 });
	await settle();
	assert.deepEqual([view.asked[1].action, view.asked[1].args], ["discard", { key: "7" }]);
	view.asked[1].answer();
	await settle();
	assert.match(view.text(OUTCOME), /a\.txt was not sent because its upload was stopped/);
	assert.equal(view.find(".lknb-send progress").hidden, true);
});

test("the remaining time is rounded up", () => {
	assert.deepEqual([0.2, 8.1, 59.5, 61, 3600, 5000].map(formatRemaining), [
		"1 s",
		"9 s",
		"60 s",
		"2 min",
		"1 h 0 min",
		"1 h 24 min",
	]);
});

test("a small table shows its first rows by itself, as text", async () => {
	const value = {
		columns: ["x", NASTY],
		types: ["double", "string"],
		rows: [
			["1.5", NASTY],
			[null, "b"],
		],
		row_count: 1200,
		column_count: 2,
		size: 4096,
	};
	const view = mount(transfers);
	view.draw(transfersState({ 1: { ...ended(), name: "t.arrows", file: true, table: true } }));
	scrollIntoSight(view.find("li"));
	await settle();
	assert.equal(view.asked[0].action, "table");
	view.asked[0].answer(value);
	await settle();
	assert.match(view.text(".lknb-transfer-rows"), /The first 2 of 1,200 rows, 2 columns, 4\.1 kB in memory/);
	assert.equal(view.all(".lknb-transfer-rows td.lknb-figure").length, 1);
	assert.equal(view.text(".lknb-missing"), "null");
	assert.ok(isHarmless(view.element));
});
