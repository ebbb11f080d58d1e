"""The checks of the tutorials' exercises: each tries an answer in the room, and says in one line how it went.

A module beside this one belongs to one notebook. Its checks are functions like this:

    @check
    def check_1() -> Verdict:
        answer = variable("answer")  # what the exercise's cell has made
        if answer != 3:
            return not_yet(f"`answer` is {shown(answer)}, and there were 3 messages.")
        return right("all 3 messages were counted.")
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from IPython import get_ipython

_NOTHING = object()


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check says; as a cell's last line, one line: "Right: ..." or "Not yet: ...".

    Attributes:
        right: whether the answer is right.
        text: why, or what was seen, what was expected and a hint; `code` stands between backticks.
    """

    right: bool
    text: str

    @property
    def _word(self) -> str:
        return "Right" if self.right else "Not yet"

    @property
    def _line(self) -> str:
        return " ".join(self.text.split())

    def __repr__(self) -> str:
        return f"{self._word}: {self._line}"

    def _repr_html_(self) -> str:
        colour = "var(--jp-success-color1, #2e7d32)" if self.right else "var(--jp-warn-color1, #b26a00)"
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self._line))
        return f'<div><b style="color: {colour}">{self._word}:</b> {text}</div>'


class _MissingError(Exception):
    """A variable that an exercise should have made is not there."""


def right(text: str) -> Verdict:
    """The answer is right, and why."""
    return Verdict(True, text)


def not_yet(text: str) -> Verdict:
    """The answer is not right yet: what was seen, what was expected, and a hint."""
    return Verdict(False, text)


def variable(name: str, default: Any = _NOTHING) -> Any:
    """What the notebook calls `name`; if nothing, `default`, or without one the check ends with "Not yet"."""
    ipython = get_ipython()
    value = default if ipython is None else ipython.user_ns.get(name, default)
    if value is _NOTHING:
        raise _MissingError(name)
    return value


def shown(value: object, limit: int = 60) -> str:
    """`value` as the reader would see it, on one line, between backticks, and not too long."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    text = text.replace("`", "'")
    return f"`{text if len(text) <= limit else text[: limit - 1] + '…'}`"


def check(function: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Make what the check raises part of what it says: a wrong answer is no error of the notebook."""

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Verdict:
        try:
            return function(*args, **kwargs)
        except _MissingError as missing:
            return not_yet(f"there is no `{missing}` in this notebook. Run the cells above, and keep the name.")
        except Exception as error:
            return not_yet(f"the check ended with {type(error).__name__}: {error}")

    return bounded
