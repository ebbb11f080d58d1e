// Text from a room is shown without hidden characters, and with those that a script or an emoji needs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { inert } = await import("../../lknb/widgets/inert.js");

/** Both sides: `tests/test_inert.py` reads the same file. @type {{ what: string, text: string, shown: string }[]} */
const texts = JSON.parse(readFileSync(new URL("../inert_texts.json", import.meta.url), "utf-8"));

for (const { what, text, shown } of texts) {
	test(`${what}: hidden characters are shown unless they are needed`, () => {
		assert.equal(inert(text), shown);
	});
}

test("a missing value becomes an empty text", () => {
	assert.equal(inert(null), "");
	assert.equal(inert(undefined), "");
	assert.equal(inert(0), "0");
});
