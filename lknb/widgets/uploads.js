// Files from the page to the kernel, in pieces, to be sent from there.

/** Bytes of a file that one message between page and kernel carries. */
const PIECE = 1024 * 1024;

/**
 * Hand a file over; resolves with what the kernel calls it. Aborted meanwhile, the kernel lets go of it.
 * @param {import("./view.js").Context["ask"]} ask
 * @param {File} file
 * @param {AbortSignal} signal
 * @param {(done: number) => void} moved
 * @returns {Promise<string>}
 */
export async function handOver(ask, file, signal, moved) {
	const { value: key } = await ask("begin", { name: file.name, size: file.size });
	for (let at = 0; at < file.size && !signal.aborted; at += PIECE) {
		const piece = await file.slice(at, at + PIECE).arrayBuffer();
		await ask("upload", { key, at }, [piece]);
		moved(at + piece.byteLength);
	}
	if (!signal.aborted) return key;
	await ask("discard", { key });
	throw new Error(`${file.name} was not sent: its upload was stopped.`);
}
