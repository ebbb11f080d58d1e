"""Text from a room is shown without hidden characters, and with those that a script or an emoji needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lknb.inert import inert, inert_line

# Both sides: `tests/js/inert.test.js` reads the same file.
TEXTS = json.loads((Path(__file__).parent / "inert_texts.json").read_text())


@pytest.mark.parametrize("example", TEXTS, ids=[each["what"] for each in TEXTS])
def test_hidden_characters_are_shown_unless_needed(example: dict[str, str]) -> None:
    assert inert(example["text"]) == example["shown"]


def test_a_line_has_no_line_ends_and_no_lone_surrogates() -> None:
    line = inert_line("a\nb\tc\ud83d")
    assert line == r"a b c\ud83d"
    line.encode()
