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

import datetime as dt
import functools
import html
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from IPython import get_ipython

import lknb

PATIENCE = 2.0
"""Seconds that an answer may take when no handler has anything left to do."""

_AT_MOST = 10.0  # seconds that one is waited for while a handler is still at it, on a busy machine

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


class _UnreadyError(Exception):
    """What a check needs is not there, and how to get it."""


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
        raise _UnreadyError(f"there is no `{name}` in this notebook. Run the cells above, and keep the name.")
    return value


def open_room(name: str) -> lknb.Room:
    """The open room that the notebook calls `name`; if it is none, the check ends with "Not yet"."""
    room = variable(name)
    if not isinstance(room, lknb.Room):
        raise _UnreadyError(f"`{name}` is {shown(room)}, and no room any more. Run the cell that joins.")
    if room.state != "connected":
        raise _UnreadyError(f"{name}'s room is {room.state}. Run the notebook from its first cell on.")
    return room


def why_silent(room: lknb.Room, kind: str, topic: str, advice: str = "let it send the answer to `sender`") -> str:
    """What may be the reason that streams of this kind and topic came to nothing: no handler, or what it did."""
    serving = [each for each in room.handlers if each.kind == kind and each.topic in (topic, None)]
    if not serving:
        return (
            f'{room.identity} has no handler for it: decorate a function with `@{room.identity}.on_{kind}("{topic}")`.'
        )
    if any(each.errors for each in serving):
        return "The handler raised: its traceback stands below the exercise's cell."
    if not any(each.calls for each in serving):
        return "The handler was not called. With `sender=` it is for one sender alone."
    if any(each.running for each in serving):
        return "The handler was called, and is still running."
    return f"The handler was called, and raised nothing. What it returns goes nowhere: {advice}."


class Served:
    """What the handlers of a room, for streams of one kind and topic, make of those that an examiner sends."""

    def __init__(self, examiner: lknb.Room, room: lknb.Room, kind: str, topic: str) -> None:
        self._examiner, self._room, self._kind, self._topic = examiner, room, kind, topic
        self._since = dt.datetime.now(dt.UTC)
        self._before = {each: each.calls for each in room.handlers}

    def wait(self, condition: Callable[[], bool]) -> bool:
        """Whether `condition` comes true before PATIENCE is over, which begins when nothing is under way any more."""
        latest = time.monotonic() + _AT_MOST
        deadline = time.monotonic() + PATIENCE
        while not condition():
            now = time.monotonic()
            if self._under_way():
                deadline = now + PATIENCE
            if now > min(deadline, latest):
                return False
            time.sleep(0.02)
        return True

    def rest(self) -> None:
        """Wait until nothing is under way any more: then what was made of it so far is all."""
        deadline = time.monotonic() + _AT_MOST
        while self._under_way() and time.monotonic() < deadline:
            time.sleep(0.02)

    def answered(self, topic: str | None = None) -> list[lknb.Event]:
        """The texts that the room itself says it has sent since the check began."""
        return list(self._room.events.filter("text", topic=topic, direction="out", since=self._since))

    def _under_way(self) -> bool:
        """Whether a handler runs, or has not been called yet for what was sent."""
        sent = self._examiner.events.filter(self._kind, topic=self._topic, direction="out")
        for each in self._room.handlers:
            if each.kind == self._kind and each.topic in (self._topic, None):
                # One that does not stream is called when a stream has ended well.
                due = len(sent) if each.streams else len(sent.filter(status="ok"))
                if each.running or each.calls < self._before.get(each, 0) + due:
                    return True
        return False


class Answers(Served):
    """The texts that come back to the examiner, of every topic or of the one called `heard`."""

    def __init__(
        self, examiner: lknb.Room, room: lknb.Room, kind: str, topic: str, *, heard: str | None = None
    ) -> None:
        super().__init__(examiner, room, kind, topic)
        self._inbox = examiner.listen("text", topic=heard, sender=room.identity)
        self._heard, self._taken = heard, 0

    def next(self) -> lknb.Event | None:
        """The next one; None when none has come, and none is to be expected any more."""
        return self.within(0) if self.wait(lambda: len(self._inbox) > 0) else None

    def within(self, seconds: float) -> lknb.Event | None:
        """One that should not come; None when it has not come by then."""
        try:
            event = self._inbox.next(timeout=seconds)
        except TimeoutError:
            return None
        self._taken += 1
        return event

    def _under_way(self) -> bool:
        """The same, or whether a text has been sent here and is not there yet."""
        sent = [each for each in self.answered(self._heard) if not each.to or self._examiner.identity in each.to]
        return super()._under_way() or sum(each.status == "ok" for each in sent) > self._taken + len(self._inbox)


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
        except _UnreadyError as unready:
            return not_yet(str(unready))
        except Exception as error:
            return not_yet(f"the check ended with {type(error).__name__}: {error}")

    return bounded
