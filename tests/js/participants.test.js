// The participants with their state, and editing this participant's own state.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { isHarmless, mount, NASTY, press, settle, type } from "./page.js";
import { editable, participantsState, person } from "./states.js";

const { participants } = await import("../../lknb/widgets/participants.js");

const alice = () => person({ identity: "alice", you: true });
const submit = (/** @type {HTMLElement} */ form) => form.dispatchEvent(new Event("submit", { cancelable: true }));

/** A view for alice with these attributes. */
function own(/** @type {Record<string, string>} */ attributes = {}, more = {}) {
	const view = mount(participants);
	const draw = (/** @type {Record<string, string>} */ now, /** @type {any} */ values = more) =>
		view.draw(
			participantsState(
				{ alice: alice() },
				values,
				Object.fromEntries(Object.entries(now).map(([key, value]) => [key, { value, changed: 0 }])),
			),
		);
	draw(attributes);
	return { ...view, draw };
}

test("a participant alone in the room learns how others join", () => {
	const view = mount(participants);
	assert.equal(view.text(".lknb-counts"), "Waiting for the kernel");
	view.draw(participantsState({ alice: alice() }));
	assert.equal(view.text(".lknb-empty"), "Nobody else is here. Join the room from another notebook or application.");
	view.draw(participantsState({ alice: alice(), bob: person() }));
	assert.equal(view.find(".lknb-empty").hidden, true);
});

test("this participant comes first, and participants who have left come last", () => {
	const view = mount(participants);
	view.draw(
		participantsState({
			gone: { identity: "gone", name: "", left: 1 },
			late: person({ identity: "late", joined: 3000 }),
			early: person({ identity: "early", joined: 2000 }),
			alice: person({ identity: "alice", you: true, joined: 4000 }),
		}),
	);
	assert.equal(view.text(".lknb-identity"), "alice | early | late | gone");
});

test("a participant shows name, state, attributes, metadata, tracks and permissions", () => {
	const view = mount(participants);
	const bob = person({
		name: "Bob",
		quality: "poor",
		attributes: [{ key: "mood", text: "fine", more: false, changed: 0 }],
		more_attributes: 2,
		metadata: { text: '{"role": "guide"}', more: false },
		tracks: ["imu", "gps"],
		more_tracks: 1,
		permissions: { canPublishData: true, canSubscribe: true, hidden: true },
	});
	view.draw(participantsState({ bob }));
	const shown = view.text(".lknb-person");
	for (const part of [
		"bobBob",
		"since 12:00:00, connection poor",
		"moodfine",
		"and 2 more attributes",
		'role: "guide"',
		"data tracks: imu, gps and 1 more",
		"may not change own state; hidden",
	]) {
		assert.ok(shown.includes(part), `${part} in ${shown}`);
	}
});

test("a change is marked and highlighted once", () => {
	const view = mount(participants);
	const mood = { key: "mood", text: "curious", more: false, changed: Date.now() };
	view.draw(participantsState({ bob: person({ attributes: [mood] }) }));
	const line = view.find(".lknb-attributes > div");
	assert.match(line.textContent, /^moodcuriouschanged \d\d:\d\d:\d\d$/);
	assert.ok(line.classList.contains("lknb-changed"));
	line.classList.remove("lknb-changed");
	view.draw(participantsState({ bob: person({ attributes: [{ ...mood }] }) }));
	assert.equal(line.classList.contains("lknb-changed"), false);
	view.draw(
		participantsState({ bob: person({ attributes: [{ key: "mood", changed: mood.changed, deleted: true }] }) }),
	);
	assert.match(line.textContent, /^mooddeleted \d\d:\d\d:\d\d$/);
});

test("an old change is marked but not highlighted, as when the page comes back into sight", () => {
	const view = mount(participants);
	const mood = { key: "mood", text: "curious", more: false, changed: new Date(2026, 0, 1, 9, 5, 7).getTime() };
	view.draw(participantsState({ bob: person({ attributes: [mood] }) }));
	const line = view.find(".lknb-attributes > div");
	assert.equal(line.textContent, "moodcuriouschanged 09:05:07");
	assert.equal(line.classList.contains("lknb-changed"), false);
});

test("only permissions that differ from what is usual are listed", () => {
	const view = mount(participants);
	const usual = { canPublishData: true, canSubscribe: true, canUpdateOwnMetadata: true, canPublish: false };
	view.draw(
		participantsState({
			alice: person({ identity: "alice", permissions: usual }),
			bob: person({ identity: "bob", permissions: { ...usual, canPublishData: false } }),
			carol: person({ identity: "carol", permissions: { ...usual, canPublish: true, hidden: true } }),
		}),
	);
	const shown = view.all(".lknb-person").map((card) => card.querySelector(".lknb-marked:last-child p").textContent);
	assert.deepEqual(shown, ["", "may not publish data", "may publish audio and video; hidden"]);
	assert.equal(
		view.text(".lknb-usual"),
		"Everybody may publish data, subscribe, change own state, unless stated otherwise.",
	);
});

test("many participants are lines that open", () => {
	const view = mount(participants);
	const attributes = [{ key: "seat", text: "12", more: false, changed: 0 }];
	const everybody = Object.fromEntries(
		Array.from({ length: 50 }, (_, index) => [
			`p${index}`,
			person({ identity: `p${index}`, joined: index, attributes }),
		]),
	);
	view.draw(participantsState(everybody));
	const [first] = view.all(".lknb-person");
	assert.equal(first.querySelector(".lknb-person-short").textContent, "seat: 12");
	const body = first.querySelector(".lknb-attributes").parentElement;
	assert.equal(body.hidden, true);
	first.querySelector("button").click();
	assert.equal(body.hidden, false);
	view.draw(participantsState({ p0: everybody.p0 }));
	assert.equal(first.querySelector("button[aria-expanded]"), null);
	assert.equal(body.hidden, false);
});

test("own state and the room's metadata are folded, and stay as the user leaves them", () => {
	const view = own({ mood: "fine" });
	const boxes = view.all(".lknb-box");
	assert.deepEqual(
		boxes.map((box) => box.open),
		[false, false],
	);
	boxes[0].open = true;
	view.draw({ mood: "better" });
	assert.deepEqual(
		boxes.map((box) => box.open),
		[true, false],
	);
});

test("a participant who has left is shown with name and time only", () => {
	const view = mount(participants);
	const attributes = [{ key: "mood", text: "fine", more: false, changed: 0 }];
	view.draw(participantsState({ bob: person({ name: "Bob", attributes, metadata: { text: "x", more: false } }) }));
	const left = new Date(2027, 0, 1, 9, 5, 7).getTime();
	view.draw(participantsState({ bob: { identity: "bob", name: "Bob", left } }));
	assert.equal(view.text(".lknb-person"), "bobBob(you)left at 09:05:07");
	assert.equal(view.find(".lknb-person-who > span").hidden, true);
});

test("the rest of long metadata is shown on request", async () => {
	const view = mount(participants);
	view.draw(participantsState({ bob: person({ metadata: { text: "begins", more: true } }) }));
	assert.match(view.text(".lknb-metadata"), /begins…/);
	view.button("Show all").click();
	assert.deepEqual(view.asked[0].args, { identity: "bob" });
	view.asked[0].answer({ text: "begins and ends", more: false });
	await settle();
	assert.match(view.text(".lknb-metadata"), /begins and ends/);
});

test("metadata that the user has unfolded stays unfolded", () => {
	const view = mount(participants);
	const metadata = { text: '{"a": {"b": {"c": {"d": 1}}}}', more: false };
	view.draw(participantsState({ bob: person({ metadata }) }));
	const branches = view.all(".lknb-metadata details");
	view.draw(participantsState({ bob: person({ metadata: { ...metadata }, quality: "good" }) }));
	assert.deepEqual(view.all(".lknb-metadata details"), branches);
});

test("the filter is sent once the user stops typing, and its counts are shown", () => {
	mock.timers.enable({ apis: ["setTimeout"] });
	try {
		const view = mount(participants);
		view.draw(participantsState({}));
		type(view.field("Filter participants"), "b");
		type(view.field("Filter participants"), "bo");
		mock.timers.tick(300);
		assert.deepEqual(
			view.asked.map(({ args }) => args),
			[{ text: "bo" }],
		);
		view.draw(participantsState({ bob: person() }, { filter: "bo", total: 1234, matching: 300 }));
		assert.equal(view.text(".lknb-counts"), "1,234 here, 300 match the filter, 299 not shown: use the filter");
		view.draw(participantsState({}, { filter: "bo", total: 1234 }));
		assert.equal(view.text(".lknb-empty"), "No participants match this filter.");
	} finally {
		mock.timers.reset();
	}
});

test("text from the room is never markup", () => {
	const view = mount(participants);
	const attributes = [{ key: NASTY, text: NASTY, more: false, changed: 0 }];
	const bob = person({
		identity: NASTY,
		name: NASTY,
		attributes,
		metadata: { text: NASTY, more: false },
		tracks: [NASTY],
	});
	const values = { name: NASTY, room_metadata: { ...editable(NASTY), changed: 0 } };
	view.draw(participantsState({ [NASTY]: bob }, values, { [NASTY]: { value: NASTY, changed: 0 } }));
	assert.ok(isHarmless(view.find(".lknb-people")));
	assert.equal(view.element.querySelector("script, img, a"), null);
});

test("an attribute is set with Enter, and the server's confirmation is shown", async () => {
	const view = own({ mood: "fine" });
	const field = view.field("Attribute mood");
	assert.equal(view.button("Set: Attribute mood").disabled, true, "nothing has changed yet");
	type(field, "curious");
	assert.equal(view.button("Set: Attribute mood").disabled, false);
	assert.equal(press(field, "Enter"), true);
	assert.deepEqual([view.asked[0].action, view.asked[0].args], ["set_attribute", { key: "mood", value: "curious" }]);
	const status = field.closest("form").querySelector("[role=status]");
	assert.equal(status.textContent, "Sent to the server…");
	view.asked[0].answer({ confirmed: new Date(2027, 0, 1, 9, 5, 7).getTime() });
	await settle();
	assert.equal(status.textContent, "Confirmed by the server at 09:05:07");
	assert.equal(view.button("Set: Attribute mood").disabled, true);
});

test("a rejected text stays in its field, with the reason", async () => {
	const view = own();
	const field = view.field("Your name");
	type(field, "x".repeat(300));
	submit(field.closest("form"));
	view.asked[0].refuse("At most 256 fit.");
	await settle();
	assert.equal(field.value.length, 300);
	const status = field.closest("form").querySelector("[role=status]");
	assert.equal(status.textContent, "At most 256 fit.");
	assert.equal(status.dataset.kind, "error");
});

test("a field follows the room until the user types, and then keeps the user's text", () => {
	const view = own({ mood: "fine" });
	const field = view.field("Attribute mood");
	view.draw({ mood: "tired" });
	assert.equal(field.value, "tired");
	type(field, "curious");
	view.draw({ mood: "glad" });
	assert.equal(field.value, "curious");
	assert.match(field.closest("form").textContent, /The room's text is now: glad\. Your text is kept/);
	press(field, "Escape");
	assert.equal(field.value, "glad");
	assert.equal(view.button("Undo: Attribute mood").hidden, true);
});

test("a text of several lines is set with Ctrl+Enter, and no key reaches Jupyter", () => {
	const view = own();
	const field = view.field("Your metadata");
	let reached = 0;
	view.element.addEventListener("keydown", () => reached++);
	type(field, "one\ntwo");
	assert.equal(press(field, "Enter"), false);
	assert.equal(view.asked.length, 0);
	press(field, "Enter", { ctrlKey: true });
	assert.deepEqual(view.asked[0].args, { text: "one\ntwo" });
	assert.equal(reached, 0);
});

test("an attribute that is deleted elsewhere disappears, unless the user is editing it", () => {
	const view = own({ mood: "fine", role: "host" });
	type(view.field("Attribute mood"), "curious");
	view.draw({});
	assert.equal(view.field("Attribute role"), undefined);
	assert.equal(view.field("Attribute mood").value, "curious");
	assert.equal(view.button("Delete attribute mood").disabled, true);
	press(view.field("Attribute mood"), "Escape");
	view.draw({});
	assert.equal(view.field("Attribute mood"), undefined);
});

test("a deletion moves the focus to the field for a new attribute", async () => {
	const view = own({ mood: "fine" });
	view.button("Delete attribute mood").click();
	assert.deepEqual(view.asked[0].args, { key: "mood" });
	view.draw({});
	view.asked[0].answer({ confirmed: new Date(2027, 0, 1, 9, 5, 7).getTime() });
	await settle();
	assert.equal(view.field("Attribute mood"), undefined);
	assert.match(view.element.textContent, /mood: deleted, confirmed by the server at 09:05:07/);
	assert.equal(document.activeElement, view.field("Key of a new attribute"));
});

test("a new attribute is added, and the fields are cleared for the next one", async () => {
	const view = own();
	const [key, value] = [view.field("Key of a new attribute"), view.field("Value of a new attribute")];
	type(key, "mood");
	type(value, "fine");
	submit(key.closest("form"));
	assert.deepEqual(view.asked[0].args, { key: "mood", value: "fine" });
	view.asked[0].answer({ confirmed: 0 });
	await settle();
	assert.deepEqual([key.value, value.value], ["", ""]);
	assert.match(view.element.textContent, /mood: confirmed by the server/);
});

test("a new attribute that the user types in the meantime is kept", async () => {
	const view = own();
	const key = view.field("Key of a new attribute");
	type(key, "mood");
	submit(key.closest("form"));
	type(key, "next");
	view.asked[0].answer({ confirmed: 0 });
	await settle();
	assert.equal(key.value, "next");
});

test("without the grant, nothing can be edited, and the reason is shown", () => {
	const view = own({ mood: "fine" }, { refused: "This needs the grant 'canUpdateOwnMetadata'.", room_refused: "No." });
	for (const name of ["Your name", "Your metadata", "Attribute mood", "Metadata of the room"]) {
		assert.equal(view.field(name).readOnly, true, name);
	}
	assert.equal(view.button("Add").disabled, true);
	assert.equal(view.button("Delete attribute mood").disabled, true);
	assert.match(view.text(".lknb-box"), /canUpdateOwnMetadata/);
});

test("long metadata is loaded before it can be edited, and again after it has changed", async () => {
	const view = own({}, { metadata: editable("begins", true, 1) });
	const field = view.field("Your metadata");
	assert.equal(field.readOnly, true);
	view.button("Load the whole text to edit it").click();
	assert.deepEqual(view.asked[0].args, { identity: "alice" });
	view.asked[0].answer({ text: "begins and ends", more: false });
	await settle();
	assert.deepEqual([field.value, field.readOnly], ["begins and ends", false]);
	view.draw({}, { metadata: editable("begins", true, 1) });
	assert.equal(field.value, "begins and ends");
	view.draw({}, { metadata: editable("begins differently", true, 2) });
	assert.equal(field.readOnly, true);
});

test("metadata over the limit cannot be edited", async () => {
	const view = own({}, { metadata: editable("begins", true, 1) });
	view.button("Load the whole text to edit it").click();
	view.asked[0].answer({ text: "begins", more: true });
	await settle();
	assert.match(view.text(".lknb-text-editor"), /too long to edit here/);
	assert.equal(view.field("Your metadata").readOnly, true);
});

test("the bytes of all attributes are shown with their limit", () => {
	const view = own({ mood: "fine" }, { attributes: 3, size: 1234, limit: 65_536 });
	assert.match(view.text(".lknb-box"), /3 attributes, 1,234 of 65,536 bytes, 2 of them not shown/);
});
