// Uploads files from the page to the kernel, in pieces. The kernel sends them to the room.

/** @import { UploadAnswers } from "./rows.js" */
/** @import { Ask } from "./view.js" */

/**
 * Upload a file, and return the kernel's key for it. If `signal` aborts, the kernel discards the file.
 * @param {Ask<{ values: object, rows: object, answers: UploadAnswers }>} ask
 * @param {File} file
 * @param {AbortSignal} signal
 * @param {(done: number) => void} progress called with the bytes uploaded so far
 * @returns {Promise<string>}
 */
export async function upload(ask, file, signal, progress) {
	const { key, piece } = (await ask("begin", { name: file.name, size: file.size })).value;
	for (let at = 0; at < file.size && !signal.aborted; at += piece) {
		const content = await file.slice(at, at + piece).arrayBuffer();
		await ask("upload", { key, at }, [content]);
		progress(at + content.byteLength);
	}
	if (!signal.aborted) return key;
	await ask("discard", { key });
	throw new Error(`${file.name} was not sent because its upload was stopped.`);
}
