// Files on their way from the page to the kernel, in pieces; the kernel sends them to the room.

/** @import { UploadAnswers } from "./rows.js" */
/** @import { Ask } from "./view.js" */

/** Bytes of a file that one message between page and kernel carries. */
const PIECE = 1024 * 1024;

/**
 * Upload a file; resolves with the kernel's key for it. When `signal` aborts, the kernel discards what it has.
 * @param {Ask<{ values: object, rows: object, answers: UploadAnswers }>} ask
 * @param {File} file
 * @param {AbortSignal} signal
 * @param {(done: number) => void} progress called with the bytes uploaded so far
 * @returns {Promise<string>}
 */
export async function upload(ask, file, signal, progress) {
	const { value: key } = await ask("begin", { name: file.name, size: file.size });
	for (let at = 0; at < file.size && !signal.aborted; at += PIECE) {
		const piece = await file.slice(at, at + PIECE).arrayBuffer();
		await ask("upload", { key, at }, [piece]);
		progress(at + piece.byteLength);
	}
	if (!signal.aborted) return key;
	await ask("discard", { key });
	throw new Error(`${file.name} was not sent: its upload was stopped.`);
}
