// Text from a room, made safe to show: characters that could hide or disguise something become visible.
// `inert.py` does the same in Python; `tests/inert_texts.json` has examples for both.

/** Control characters, separators and default-ignorable characters, which have no shape of their own. */
const HIDDEN =
	/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff\ufff0-\ufff8\p{Default_Ignorable_Code_Point}]|\p{Bidi_Control}|\r(?!\n)/gu;
const SPACE = "\u200b";
const NON_JOINER = "\u200c";
const JOINER = "\u200d";
const TAG = /^[\u{e0020}-\u{e007f}]/u;
/** A flag of a region: a black flag, and the region's letters as tags. */
const TAGGED_FLAG = /\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{1,6}\u{e007f}/gu;
const PICTOGRAPH = /^\p{Extended_Pictographic}/u;
/** What stands for itself: not an accent, an emoji's style or its skin tone. */
const BASE = /^(?!\p{Mn}|\p{Emoji_Modifier})./su;
const JOINING =
	/^(?=\p{L})[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Nko}\p{Script=Mandaic}\p{Script=Mongolian}\p{Script=Adlam}]/u;
/** Arabic letters that join only to the letter before them, or to none. */
const NOT_JOINING_ONWARDS =
	/^[\u0621-\u0625\u0627\u0629\u062f-\u0632\u0648\u0671-\u0677\u0688-\u0699\u06c0\u06c3-\u06cb\u06cd\u06cf\u06d2\u06d3\u06d5\u06ee\u06ef]/u;
const WITHOUT_SPACES = ["Khmer", "Thai", "Lao", "Myanmar", "Tibetan"].map(
	(script) => new RegExp(`^\\p{Script=${script}}`, "u"),
);
const WITH_VARIANTS = /^[\p{Sm}\p{Script=Han}\p{Script=Myanmar}]/u;
const MONGOLIAN_LETTER = /^(?=\p{L})\p{Script=Mongolian}/u;
/** Signs that remove a consonant's vowel, after or before which a joiner chooses the shape. */
const VIRAMA =
	/^[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e3a\u0eba\u0f84\u1039\u103a\u1714\u1715\u1734\u17d2\u1a60\u1b44\u1baa\u1bab\u1bf2\u1bf3\ua806\ua82c\ua8c4\ua953\ua9c0\uaaf6\uabed\u{11046}\u{11070}\u{1107f}\u{110b9}\u{11133}\u{11134}\u{111c0}\u{11235}\u{112ea}\u{1134d}\u{11442}\u{114c2}\u{115bf}\u{1163f}\u{116b6}\u{1172b}\u{11839}\u{1193d}\u{1193e}\u{119e0}\u{11a34}\u{11a47}\u{11a99}\u{11c3f}\u{11d44}\u{11d45}\u{11d97}]/u;

/**
 * Make text safe to show: hidden characters are shown as `\u200b`. Tabs and line ends stay, and so does what a script
 * or an emoji needs: joiners in Persian and Hindi words, in families and in flags.
 * @param {unknown} value
 */
export function inert(value) {
	const text = value === null || value === undefined ? "" : String(value);
	return text.replace(HIDDEN, (char, at) => (isNeeded(char, text, at) ? char : shown(char)));
}

/** @param {string} char */
function shown(char) {
	const code = /** @type {number} */ (char.codePointAt(0));
	return code <= 0xffff ? `\\u${code.toString(16).padStart(4, "0")}` : `\\u{${code.toString(16)}}`;
}

/**
 * Whether the hidden character here changes how the text beside it looks or breaks into lines.
 * @param {string} char
 * @param {string} text
 * @param {number} at
 */
function isNeeded(char, text, at) {
	const before = charBefore(text, at);
	const after = charAfter(text, at + char.length);
	if (!before) return char === JOINER && JOINING.test(after);
	if (char === JOINER || char === NON_JOINER) return isJoinerNeeded(char, before, base(text, at), after);
	if (char === SPACE) return WITHOUT_SPACES.some((script) => script.test(before) && script.test(after));
	if (TAG.test(char))
		return [...text.matchAll(TAGGED_FLAG)].some((flag) => flag.index < at && at < flag.index + flag[0].length);
	if (char === "\ufe0e" || char === "\ufe0f")
		return PICTOGRAPH.test(before) || (/[0-9#*]/.test(before) && after === "\u20e3");
	if (/^[\ufe00-\ufe0d\u{e0100}-\u{e01ef}]/u.test(char)) return WITH_VARIANTS.test(before);
	if (/^[\u180b-\u180f]/.test(char)) return MONGOLIAN_LETTER.test(before);
	return false;
}

/**
 * @param {string} char
 * @param {string} before the character before it
 * @param {string} base the last character before it that stands by itself
 * @param {string} after
 */
function isJoinerNeeded(char, before, base, after) {
	if (char === JOINER && PICTOGRAPH.test(base) && PICTOGRAPH.test(after)) return true;
	if (VIRAMA.test(before) || (VIRAMA.test(after) && /^\p{L}/u.test(before))) return true;
	const joinsOnwards = JOINING.test(base) && !NOT_JOINING_ONWARDS.test(base);
	return char === NON_JOINER ? joinsOnwards && JOINING.test(after) : joinsOnwards !== JOINING.test(after);
}

/**
 * @param {string} text
 * @param {number} at
 */
function base(text, at) {
	for (let steps = 0; steps < 4 && at > 0; steps++) {
		const char = charBefore(text, at);
		if (BASE.test(char)) return char;
		at -= char.length;
	}
	return "";
}

/**
 * @param {string} text
 * @param {number} at
 */
function charBefore(text, at) {
	const isPair = at > 1 && /[\ud800-\udbff][\udc00-\udfff]/.test(text.slice(at - 2, at));
	return text.slice(at - (isPair ? 2 : 1), at);
}

/**
 * @param {string} text
 * @param {number} at
 */
function charAfter(text, at) {
	const code = text.codePointAt(at);
	return code === undefined ? "" : String.fromCodePoint(code);
}
