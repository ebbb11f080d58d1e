// The first place where a text is not JSON, and what would be right there.

/** @typedef {{ at: number, line: number, column: number, what: string }} Fault */

/**
 * Find where a text is not JSON; the messages of browsers differ, and do not all say it.
 * @param {string} text
 * @returns {Fault | undefined} undefined when it is JSON
 */
export function jsonFault(text) {
	try {
		JSON.parse(text);
		return undefined;
	} catch {
		let at = 0;
		let what = "this is not JSON, or nested too deeply";
		try {
			new Scanner(text).scan();
		} catch (error) {
			if (error instanceof FaultFound) ({ at, message: what } = error);
		}
		const before = text.slice(0, at).split("\n");
		return { at, line: before.length, column: /** @type {string} */ (before.at(-1)).length + 1, what };
	}
}

class FaultFound extends Error {
	/**
	 * @param {number} at
	 * @param {string} what
	 */
	constructor(at, what) {
		super(what);
		this.at = at;
	}
}

const SPACE = /[ \t\n\r]*/y;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.])/y;
const STRING_START = /"(?:[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;

/** Reads JSON up to the first place that is wrong. */
class Scanner {
	/** @param {string} text */
	constructor(text) {
		this.text = text;
		this.at = 0;
	}

	scan() {
		this.value();
		if (this.next() !== undefined) throw new FaultFound(this.at, "the value ends before this");
	}

	/** Skip white space and return the next character. */
	next() {
		this.take(SPACE);
		return this.text[this.at];
	}

	/**
	 * Move behind a match at this place.
	 * @param {RegExp} pattern
	 * @returns {boolean} whether it matched
	 */
	take(pattern) {
		pattern.lastIndex = this.at;
		const found = pattern.exec(this.text);
		if (found) this.at = pattern.lastIndex;
		return found !== null;
	}

	value() {
		const char = this.next();
		if (char === "{") this.list("}", () => this.member());
		else if (char === "[") this.list("]", () => this.value());
		else if (char === '"') this.string();
		else if (!this.take(SCALAR)) throw new FaultFound(this.at, expected(this.text.slice(this.at, this.at + 9)));
	}

	member() {
		const char = this.next();
		if (char === undefined) throw new FaultFound(this.at, "the text ends where a name was expected");
		if (char !== '"') throw new FaultFound(this.at, "a name in double quotes was expected");
		this.string();
		if (this.next() !== ":") throw new FaultFound(this.at, "a colon was expected after the name");
		this.at += 1;
		this.value();
	}

	/**
	 * @param {string} end
	 * @param {() => void} item
	 */
	list(end, item) {
		this.at += 1;
		if (this.next() === end) {
			this.at += 1;
			return;
		}
		for (;;) {
			item();
			const char = this.next();
			const comma = this.at;
			if (char !== "," && char !== end) {
				throw new FaultFound(
					this.at,
					`${char === undefined ? "the text ends where" : ""} a comma or ${end} was expected`.trim(),
				);
			}
			this.at += 1;
			if (char === end) return;
			if (this.next() === end) throw new FaultFound(comma, `no comma may stand before ${end}`);
		}
	}

	string() {
		const begin = this.at;
		this.take(STRING_START);
		const char = this.text[this.at];
		if (char === '"') this.at += 1;
		else if (char === undefined) throw new FaultFound(begin, "the string that begins here does not end");
		else if (char === "\\") throw new FaultFound(this.at, "there is no such escape; write \\\\ for a backslash");
		else throw new FaultFound(this.at, "line ends and control characters in a string must be escaped, such as \\n");
	}
}

/**
 * Describe what stands where a value should be.
 * @param {string} found
 */
function expected(found) {
	if (!found) return "the text ends where a value was expected";
	if (found[0] === "'") return "strings need double quotes";
	const word = /^(?:True|False|None|NaN|-?Infinity)\b/.exec(found)?.[0];
	if (word) return `JSON has no ${word}; it has true, false and null`;
	return "a value was expected";
}
