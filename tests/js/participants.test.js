// The participants: who is shown with which state, and editing this participant's own.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { isHarmless, mount, NASTY, press, settle, type } from "./page.js";
import { editable, participantsState, person } from "./states.js";

const { participants } = await import("../../lknb/widgets/participants.js");

const alice = () => person({ identity: "alice", you: true });
const submit = (/** @type {HTMLElement} */ form) => form.dispatchEvent(new Event("submit", { cancelable: true }));

/** A view in which alice has these attributes. */
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

test("somebody alone is told how others join", () => {
	const view = mount(participants);
	assert.equal(view.text(".lknb-counts"), "Waiting for the kernel");
	view.draw(participantsState({ alice: alice() }));
	assert.equal(view.text(".lknb-empty"), "Nobody else is here. Join the room from another notebook or application.");
	view.draw(participantsState({ alice: alice(), bob: person() }));
	assert.equal(view.find(".lknb-empty").hidden, true);
});

test("this participant is first, and those who have left are last", () => {
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
		moreAttributes: 2,
		metadata: { text: '{"role": "guide"}', more: false },
		tracks: ["imu", "gps"],
		moreTracks: 1,
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
		"may publish data, subscribe; may not change their own state, publish audio and video; hidden",
	]) {
		assert.ok(shown.includes(part), `${part} in ${shown}`);
	}
});

test("a change is marked and highlighted once", () => {
	const view = mount(participants);
	const mood = { key: "mood", text: "curious", more: false, changed: new Date(2027, 0, 1, 9, 5, 7).getTime() };
	view.draw(participantsState({ bob: person({ attributes: [mood] }) }));
	const line = view.find(".lknb-attributes > div");
	assert.equal(line.textContent, "moodcuriouschanged 09:05:07");
	assert.ok(line.classList.contains("lknb-changed"));
	line.classList.remove("lknb-changed");
	view.draw(participantsState({ bob: person({ attributes: [{ ...mood }] }) }));
	assert.equal(line.classList.contains("lknb-changed"), false);
	view.draw(
		participantsState({ bob: person({ attributes: [{ key: "mood", changed: mood.changed, deleted: true }] }) }),
	);
	assert.equal(line.textContent, "mooddeleted 09:05:07");
});

test("of somebody who has left only the name and the time stay", () => {
	const view = mount(participants);
	const attributes = [{ key: "mood", text: "fine", more: false, changed: 0 }];
	view.draw(participantsState({ bob: person({ name: "Bob", attributes, metadata: { text: "x", more: false } }) }));
	const left = new Date(2027, 0, 1, 9, 5, 7).getTime();
	view.draw(participantsState({ bob: { identity: "bob", name: "Bob", left } }));
	assert.equal(view.text(".lknb-person"), "bobBob(you)left at 09:05:07");
	assert.equal(view.find(".lknb-person span").hidden, true);
});

test("the rest of long metadata is shown on request", async () => {
	const view = mount(participants);
	view.draw(participantsState({ bob: person({ metadata: { text: "begins", more: true } }) }));
	assert.match(view.text(".lknb-metadata"), /begins…/);
	view.button("Show all").click();
	assert.deepEqual(view.asked[0].args, { identity: "bob" });
	view.asked[0].answer({ text: "begins and ends" });
	await settle();
	assert.match(view.text(".lknb-metadata"), /begins and ends/);
});

test("what the user has unfolded in a participant stays unfolded", () => {
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
		assert.equal(view.text(".lknb-counts"), "1,234 here, 300 match the filter, 299 more not shown: filter for them");
		view.draw(participantsState({}, { filter: "bo", total: 1234 }));
		assert.equal(view.text(".lknb-empty"), "Nobody here matches this filter.");
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
	const values = { name: NASTY, roomMetadata: { ...editable(NASTY), changed: 0 } };
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
	assert.equal(status.textContent, "sent to the server");
	view.asked[0].answer({ confirmed: new Date(2027, 0, 1, 9, 5, 7).getTime() });
	await settle();
	assert.equal(status.textContent, "confirmed by the server 09:05:07");
	assert.equal(view.button("Set: Attribute mood").disabled, true);
});

test("a refused text stays in its field with the reason", async () => {
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

test("a field follows the room until somebody types, and keeps what is typed", () => {
	const view = own({ mood: "fine" });
	const field = view.field("Attribute mood");
	view.draw({ mood: "tired" });
	assert.equal(field.value, "tired");
	type(field, "curious");
	view.draw({ mood: "glad" });
	assert.equal(field.value, "curious");
	assert.match(field.closest("form").textContent, /changed meanwhile in the room, to glad; what you type is kept/);
	press(field, "Escape");
	assert.equal(field.value, "glad");
	assert.equal(view.button("Do not change: Attribute mood").hidden, true);
});

test("a text of several lines is set with Ctrl+Enter, and none of the keys reach Jupyter", () => {
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

test("an attribute that is deleted elsewhere goes, unless somebody types in it", () => {
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
	assert.match(view.element.textContent, /mood: deletion confirmed by the server 09:05:07/);
	assert.equal(document.activeElement, view.field("Key of a new attribute"));
});

test("a new attribute is added, and its fields are emptied for the next one", async () => {
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

test("a new attribute that somebody types meanwhile is kept", async () => {
	const view = own();
	const key = view.field("Key of a new attribute");
	type(key, "mood");
	submit(key.closest("form"));
	type(key, "next");
	view.asked[0].answer({ confirmed: 0 });
	await settle();
	assert.equal(key.value, "next");
});

test("without the grant nothing can be edited, and the reason is shown", () => {
	const view = own({ mood: "fine" }, { refused: "This needs the grant 'canUpdateOwnMetadata'.", roomRefused: "No." });
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
	view.button("Load all of it to edit").click();
	assert.deepEqual(view.asked[0].args, { identity: "alice" });
	view.asked[0].answer({ text: "begins and ends" });
	await settle();
	assert.deepEqual([field.value, field.readOnly], ["begins and ends", false]);
	view.draw({}, { metadata: editable("begins", true, 1) });
	assert.equal(field.value, "begins and ends");
	view.draw({}, { metadata: editable("begins anew", true, 2) });
	assert.equal(field.readOnly, true);
});

test("the bytes of all attributes are shown with their limit", () => {
	const view = own({ mood: "fine" }, { attributes: 3, size: 1234, limit: 65_536 });
	assert.match(view.text(".lknb-box"), /3 attributes, 1,234 of 65,536 bytes, 2 of them not shown/);
});
