// Handing a file over to the kernel: in which pieces, and what becomes of one that is stopped.
import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";
import { upload } from "../../lknb/widgets/uploads.js";

const MEGABYTE = 1024 * 1024;

/** A kernel that answers everything, and what it was asked. */
function kernel() {
	/** @type {[string, Record<string, any>, number[]][]} */
	const asked = [];
	/** @param {string} action @param {Record<string, any>} [args] @param {ArrayBuffer[]} [buffers] */
	const ask = async (action, args = {}, buffers = []) => {
		asked.push([action, args, buffers.map((each) => each.byteLength)]);
		return { value: action === "begin" ? "7" : null };
	};
	return { asked, ask: /** @type {any} */ (ask) };
}

test("a file goes in pieces of a megabyte, in order", async () => {
	const { asked, ask } = kernel();
	/** @type {number[]} */
	const moved = [];
	const file = new File([new Uint8Array(2 * MEGABYTE + 5)], "data.bin");
	const key = await upload(ask, file, new AbortController().signal, (done) => moved.push(done));
	assert.equal(key, "7");
	assert.deepEqual(asked, [
		["begin", { name: "data.bin", size: 2 * MEGABYTE + 5 }, []],
		["upload", { key: "7", at: 0 }, [MEGABYTE]],
		["upload", { key: "7", at: MEGABYTE }, [MEGABYTE]],
		["upload", { key: "7", at: 2 * MEGABYTE }, [5]],
	]);
	assert.deepEqual(moved, [MEGABYTE, 2 * MEGABYTE, 2 * MEGABYTE + 5]);
});

test("an empty file is there at once", async () => {
	const { asked, ask } = kernel();
	await upload(ask, new File([], "empty"), new AbortController().signal, () => {});
	assert.deepEqual(asked, [["begin", { name: "empty", size: 0 }, []]]);
});

test("a file that is stopped on its way is let go by the kernel", async () => {
	const { asked, ask } = kernel();
	const stopping = new AbortController();
	const file = new File([new Uint8Array(3 * MEGABYTE)], "large.bin");
	const uploaded = upload(ask, file, stopping.signal, () => stopping.abort());
	await assert.rejects(uploaded, /large\.bin was not sent: its upload was stopped/);
	assert.deepEqual(
		asked.map(([action]) => action),
		["begin", "upload", "discard"],
	);
});
