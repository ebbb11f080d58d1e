"""Text from a room, made safe to show: characters that could hide or disguise something become visible.

`widgets/inert.js` does the same in a browser; `tests/inert_texts.json` has examples for both.
"""

from __future__ import annotations

import re
import unicodedata

# Control characters, separators and the characters that Unicode calls default-ignorable: without a shape of their own.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]|\r(?!\n)"
)
_SPACE, _NON_JOINER, _JOINER = "\u200b", "\u200c", "\u200d"
_TAGGED_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")

# Scripts whose letters join, and those that write words without spaces, by the first words of their letters' names.
_JOINING = ("ARABIC LETTER", "SYRIAC LETTER", "NKO LETTER", "MANDAIC LETTER", "MONGOLIAN LETTER", "ADLAM ")
_WITHOUT_SPACES = ("KHMER", "THAI", "LAO", "MYANMAR", "TIBETAN")
# Arabic letters that join only to the letter before them, or to none.
_NOT_JOINING_ONWARDS = re.compile(
    "[\u0621-\u0625\u0627\u0629\u062f-\u0632\u0648\u0671-\u0677\u0688-\u0699\u06c0\u06c3-\u06cb\u06cd\u06cf\u06d2\u06d3"
    "\u06d5\u06ee\u06ef]"
)


def inert(value: object) -> str:
    r"""`value` as text without hidden characters; these are shown as `\u200b`. Tabs and line ends stay.

    So does what a script or an emoji needs: joiners in Persian and Hindi words, in families and in flags.
    """
    return _HIDDEN.sub(
        lambda found: found[0] if _is_needed(found.string, found.start()) else _shown(found[0]), str(value)
    )


def inert_line(value: object) -> str:
    """`value` as one line of inert text: tabs and line ends become spaces."""
    return inert(value).translate(_LINE_ENDS)


_LINE_ENDS = str.maketrans("\t\n\r", "   ")


def _shown(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\u{{{ord(char):x}}}"


def _is_needed(text: str, at: int) -> bool:
    """Whether the hidden character here changes how the text beside it looks or breaks into lines."""
    char = text[at]
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if not before:
        return char == _JOINER and _joins(after)
    if char in (_JOINER, _NON_JOINER):
        return _is_joiner_needed(char, text, at)
    if char == _SPACE:
        return any(_name(before).startswith(script) and _name(after).startswith(script) for script in _WITHOUT_SPACES)
    if "\U000e0020" <= char <= "\U000e007f":
        return any(flag.start() < at < flag.end() for flag in _TAGGED_FLAG.finditer(text, max(0, at - 7), at + 7))
    if char in "\ufe0e\ufe0f":
        return _is_pictograph(before) or (before in "0123456789#*" and after == "\u20e3")
    if "\ufe00" <= char <= "\ufe0d" or "\U000e0100" <= char <= "\U000e01ef":
        return unicodedata.category(before) == "Sm" or _name(before).startswith(("CJK", "MYANMAR"))
    if "\u180b" <= char <= "\u180f":
        return _name(before).startswith("MONGOLIAN LETTER")
    return False


def _is_joiner_needed(char: str, text: str, at: int) -> bool:
    before, after = text[at - 1], text[at + 1 : at + 2]
    base = _base(text, at)
    if char == _JOINER and _is_pictograph(base) and _is_pictograph(after):
        return True
    if _is_virama(before) or (_is_virama(after) and before.isalpha()):
        return True
    joins_onwards = _joins(base) and not _NOT_JOINING_ONWARDS.match(base)
    if char == _NON_JOINER:
        return joins_onwards and _joins(after)
    return joins_onwards != _joins(after)


def _base(text: str, at: int) -> str:
    """The last character before `at` that stands by itself: no accent, emoji style or skin tone."""
    for index in range(at - 1, max(-1, at - 5), -1):
        if unicodedata.category(text[index]) != "Mn" and not "\U0001f3fb" <= text[index] <= "\U0001f3ff":
            return text[index]
    return ""


def _name(char: str) -> str:
    return unicodedata.name(char, "") if char else ""


def _is_virama(char: str) -> bool:
    return bool(char) and unicodedata.combining(char) == 9


def _joins(char: str) -> bool:
    return _name(char).startswith(_JOINING)


def _is_pictograph(char: str) -> bool:
    # The range, because Python may not know the newest emoji.
    return bool(char) and (
        "\U0001f000" <= char <= "\U0001faff" or char in "\u203c\u2049\u2194\u2195" or unicodedata.category(char) == "So"
    )
