// The RPC console: calling methods, the list of calls, and the methods that this notebook serves.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isHarmless, mount, NASTY, press, settle, type } from "./page.js";
import { call, method, rpcState } from "./states.js";

const { rpc } = await import("../../lknb/widgets/rpc.js");

/** A console. Its timer ends with the test. */
function console_(/** @type {import("node:test").TestContext} */ t) {
	const view = mount(rpc);
	t.after(view.end);
	const form = view.find("form");
	const submit = () => form.dispatchEvent(new Event("submit", { cancelable: true }));
	form.requestSubmit = submit;
	return { ...view, submit };
}

test("an empty console says what to do", (t) => {
	const view = console_(t);
	assert.equal(view.button("Call").disabled, true);
	view.draw(rpcState({}, { people: [] }));
	assert.match(view.text(".lknb-note"), /Nobody else is in the room.*lknb\.connect\("studio", "bob"\)/);
	assert.equal(view.button("Call").disabled, true);
	assert.match(view.text(".lknb-empty"), /No calls yet.*No methods yet\. Write @room\.rpc/);
	assert.equal(view.find(".lknb-rpc-calls").hidden, true);
	view.draw(rpcState({}));
	assert.equal(view.find(".lknb-note").hidden, true);
	assert.equal(view.button("Call").disabled, false);
});

test("the hint explains why a participant may be missing", (t) => {
	const view = console_(t);
	view.draw(rpcState({}, { connected: false }));
	assert.match(view.text(".lknb-note"), /not connected to the room/);
	view.draw(rpcState({}, { more_people: 3 }));
	assert.match(view.text(".lknb-note"), /3 more participants are not listed/);
});

test("a call has the form's values", (t) => {
	const view = console_(t);
	view.draw(rpcState({}, { people: [["bob", "Bob"]] }));
	view.find("select").value = "bob";
	type(view.field("Method"), "add");
	type(view.field("Payload"), '{"a": 1}');
	type(view.field("Timeout"), "2.5");
	press(view.field("Payload"), "Enter", { ctrlKey: true });
	assert.deepEqual(view.asked[0].args, { to: "bob", method: "add", payload: '{"a": 1}', raw: false, timeout: 2.5 });
	assert.equal(view.text("form + .lknb-outcome"), "Calling add at bob…");
});

test("a payload that is not JSON is marked and not sent", (t) => {
	const view = console_(t);
	view.draw(rpcState({}));
	const payload = view.field("Payload");
	type(payload, "[1,]");
	assert.notEqual(payload.getAttribute("aria-invalid"), "true", "not while the user types");
	view.submit();
	assert.equal(view.asked.length, 0);
	assert.equal(payload.getAttribute("aria-invalid"), "true");
	assert.match(
		view.text("form .lknb-outcome"),
		/this is not valid JSON\. Line 1, column 3: a comma is not allowed before \]/,
	);
	assert.deepEqual([payload.selectionStart, payload.selectionEnd], [2, 3]);
	type(payload, "[1]");
	assert.equal(payload.getAttribute("aria-invalid"), "false");
	assert.equal(view.text("form .lknb-outcome"), "");
});

test("plain text is sent unchanged", (t) => {
	const view = console_(t);
	view.draw(rpcState({}));
	type(view.field("Payload,"), "{");
	view.find("input[type=checkbox]").checked = true;
	view.submit();
	assert.deepEqual([view.asked[0].args.payload, view.asked[0].args.raw], ["{", true]);
});

test("the form has the kernel's default timeout and limits", (t) => {
	const view = console_(t);
	view.draw(rpcState({}, { timeout: 7, timeout_limit: 99, method_limit: 5 }));
	assert.deepEqual([view.field("Timeout").value, view.field("Timeout").max], ["7", "99"]);
	assert.equal(view.field("Method").maxLength, 5);
	type(view.field("Timeout"), "2");
	view.draw(rpcState({}));
	assert.equal(view.field("Timeout").value, "2", "the user's timeout stays");
});

test("participants that are not listed are counted", (t) => {
	const view = console_(t);
	view.draw(rpcState({}, { more_people: 3 }));
	const [bob, more] = view.find("select").options;
	assert.deepEqual([bob.textContent, more.textContent], ["bob", "and 3 more: use a cell"]);
	assert.deepEqual([bob.disabled, more.disabled], [false, true]);
});

test("a recipient who leaves stays chosen", (t) => {
	const view = console_(t);
	view.draw(
		rpcState(
			{},
			{
				people: [
					["ann", "Ann"],
					["bob", ""],
				],
			},
		),
	);
	const to = view.find("select");
	to.value = "bob";
	view.draw(rpcState({}, { people: [["ann", "Ann"]] }));
	assert.equal(to.value, "bob");
	assert.equal(to.textContent, "Ann (ann)bob (has left)");
});

test("an answer opens when its call is listed", async (t) => {
	const view = console_(t);
	view.draw(rpcState({}));
	view.submit();
	view.asked[0].answer({ key: "1", row: call({ answer: '{"sum": 3}' }) });
	await settle();
	assert.equal(view.text("form + .lknb-outcome"), "add at bob answered after 1.0 s.");
	view.draw(rpcState({ 1: call({ answer: '{"sum": 3}' }) }));
	assert.match(view.text(".lknb-details"), /Answer after 1\.0 s.*sum: 3/);
});

test("a slow answer does not close the answer of a later call", async (t) => {
	const view = console_(t);
	const slow = call({ method: "slow", answer: '"late"' });
	const quick = call({ method: "quick", answer: '"soon"' });
	view.draw(rpcState({}));
	for (const name of ["slow", "quick"]) {
		type(view.field("Method"), name);
		view.submit();
	}
	view.draw(rpcState({ 1: slow, 2: quick }));
	view.asked[1].answer({ key: "2", row: quick });
	await settle();
	assert.match(view.text(".lknb-details"), /soon/);
	view.asked[0].answer({ key: "1", row: slow });
	await settle();
	assert.equal(view.all(".lknb-details").length, 1);
	assert.match(view.text(".lknb-details"), /soon/);
	assert.match(view.text("form + .lknb-outcome"), /slow at bob answered/);
});

test("an error shows its code, name, message and data", (t) => {
	const view = console_(t);
	const failed = { status: "failed", code: "2042", name: "APPLICATION", message: "not today", data: '{"until": 7}' };
	view.draw(rpcState({ 1: call(/** @type {any} */ (failed)) }));
	assert.match(view.text(".lknb-content"), /2042 APPLICATIONnot today/);
	view.button("Open").click();
	assert.match(view.text(".lknb-details"), /Error 2042 APPLICATION after 1\.0 s.*not today.*until: 7/);
});

test("a call in progress shows its duration so far", (t) => {
	const view = console_(t);
	view.draw(rpcState({ 1: call({ status: "open", elapsed: 4.2, duration: null }) }));
	assert.match(view.text(".lknb-rpc-calls .lknb-number"), /^4\.[2-9] s$/);
	assert.match(view.text(".lknb-content"), /in progress/);
});

test("an open call shows its answer when it ends, and keeps its elements", (t) => {
	const view = console_(t);
	view.draw(rpcState({ 1: call({ status: "open", duration: null }) }));
	view.button("Open").click();
	assert.match(view.text(".lknb-details"), /In progress\. The answer will appear here/);
	view.draw(rpcState({ 1: call() }));
	const details = view.find(".lknb-details");
	assert.match(details.textContent, /Answer/);
	view.draw(rpcState({ 1: call() }));
	assert.equal(view.find(".lknb-details"), details);
});

test("the rest of a long answer is loaded when its call is opened", async (t) => {
	const view = console_(t);
	view.draw(rpcState({ 1: call({ answer: '"begins', more: true }) }));
	view.button("Open").click();
	assert.match(view.text(".lknb-details"), /only the beginning/);
	view.asked[0].answer(call({ answer: '"begins and ends"' }));
	await settle();
	assert.match(view.text(".lknb-details"), /begins and ends/);
});

test("a call runs again with its own recipient, method and payload", (t) => {
	const view = console_(t);
	view.draw(rpcState({ 1: call({ to: "carol", method: "plan", payload: '{"day":1}' }) }));
	view.button("Run again: plan at carol").click();
	return settle().then(() => {
		const { to, method, payload } = view.asked[0].args;
		assert.deepEqual([to, method, payload], ["carol", "plan", '{"day":1}']);
	});
});

test("a call with a cut payload does not run again", async (t) => {
	const view = console_(t);
	view.draw(rpcState({ 1: call({ more: true }) }));
	view.button("Run again: add at bob").click();
	view.asked[0].answer(call({ cut: true }));
	await settle();
	assert.match(view.text("form + .lknb-outcome"), /too large to call with from here/);
	assert.equal(view.asked.length, 1);
});

test("a served method shows its calls, errors and latency", (t) => {
	const view = console_(t);
	view.draw(rpcState({}, {}, { add: method() }));
	const cell = (/** @type {string} */ label) => view.text(`[data-label="${label}"]`);
	assert.deepEqual([cell("Method"), cell("Calls"), cell("Last run"), cell("Latency")], ["add", "0", "never", ""]);
	const busy = { calls: 3, failed: 2, errors: 1, running: 1, waiting: 4, took: 0.5, mean: 0.25, longest: 1 };
	view.draw(rpcState({}, {}, { add: method({ ...busy, callers: ["bob", "carol"] }) }));
	assert.equal(cell("Errors"), "2 (1 exceptions)");
	assert.equal(cell("Running"), "1 (4 waiting)");
	assert.equal(cell("Latency"), "250.0 ms mean, 1.0 s longest, 500.0 ms last");
	assert.equal(cell("Callers"), "bob, carol");
});

test("the name of a function is shown where it differs from the method", (t) => {
	const view = console_(t);
	view.draw(rpcState({}, {}, { add: method({ method: "add", function: "add" }) }));
	assert.equal(view.find(".lknb-rpc-served").dataset.functions, "false");
	view.draw(
		rpcState(
			{},
			{},
			{ add: method({ method: "add", function: "add" }), sub: method({ method: "sub", function: "minus" }) },
		),
	);
	assert.equal(view.find(".lknb-rpc-served").dataset.functions, "true");
	assert.equal(view.text('[data-label="Function"]'), " | minus");
});

test("the methods that the chosen participant has answered are offered", (t) => {
	const view = console_(t);
	const people = /** @type {[string, string][]} */ ([
		["bob", ""],
		["carol", ""],
	]);
	view.draw(
		rpcState(
			{},
			{
				people,
				methods: [
					["add", ["bob"]],
					["draw", ["carol"]],
					["own", []],
				],
			},
		),
	);
	const offered = () => view.all("datalist option").map((option) => option.value);
	assert.deepEqual(offered(), ["add"]);
	const select = view.field("Participant");
	select.value = "carol";
	select.dispatchEvent(new Event("change"));
	assert.deepEqual(offered(), ["draw"]);
	view.draw(
		rpcState(
			{},
			{
				people: [["dave", ""]],
				methods: [
					["add", ["bob"]],
					["draw", ["carol"]],
				],
			},
		),
	);
	select.value = "dave";
	select.dispatchEvent(new Event("change"));
	assert.deepEqual(offered(), ["add", "draw"]);
});

test("text from the room is never markup", (t) => {
	const view = console_(t);
	const row = call({ to: NASTY, method: NASTY, payload: NASTY, status: "failed", message: NASTY, data: NASTY });
	view.draw(
		rpcState(
			{ 1: row },
			{ people: [[NASTY, NASTY]], methods: [[NASTY, [NASTY]]] },
			{ [NASTY]: method({ method: NASTY }) },
		),
	);
	view.button("Open").click();
	assert.ok(isHarmless(view.element));
	assert.match(view.element.textContent, /<script>/);
});
