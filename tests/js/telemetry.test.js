import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";

const { unpacked } = await import("../../lknb/widgets/telemetry.js");

/** @param {Float64Array | Uint16Array} numbers */
const base64 = (numbers) => Buffer.from(numbers.buffer).toString("base64");

test("a batch becomes columns, with nothing where there is no number", () => {
	const batch = {
		count: 2,
		anew: true,
		time: base64(Float64Array.of(1000, 2000.5)),
		source: base64(Uint16Array.of(1, 7)),
		columns: [base64(Float64Array.of(1.5, Number.NaN)), base64(Float64Array.of(-1, 2 ** 53))],
	};
	assert.deepEqual(
		unpacked(
			batch,
			["x", "y"],
			[
				["alice", "imu"],
				["bob\u202e", "imu"],
			],
		),
		{ time: [1000, 2000.5], sender: ["bob\\u202e", ""], topic: ["imu", ""], x: [1.5, null], y: [-1, 2 ** 53] },
	);
});
