"""Checks for the tutorials' exercises. Each one tries an answer in the room and reports the result in one line.

Each module beside this one belongs to one notebook. Its checks are functions like this:

    @check
    def check_1() -> Verdict:
        answer = variable("answer")  # set in the exercise's cell
        if answer != 3:
            return not_yet(f"`answer` is {shown(answer)}, but there were 3 messages.")
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
"""Seconds to wait for an answer while no handler is busy."""

_AT_MOST = 10.0  # seconds to wait for an answer while a handler is still busy, as on a slow machine

_NOTHING = object()


@dataclass(frozen=True, repr=False)
class Verdict:
    """The result of a check, displayed as one line: "Right: ..." or "Not yet: ...".

    Attributes:
        right: whether the answer is right.
        text: why the answer is right, or the actual result, the expected one and a hint; code is in backticks.
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
    """The notebook lacks something that a check needs; the message says how to get it."""


def right(text: str) -> Verdict:
    """Return the verdict on a right answer, with the reason."""
    return Verdict(True, text)


def not_yet(text: str) -> Verdict:
    """Return the verdict on a wrong answer: the actual result, the expected one, and a hint."""
    return Verdict(False, text)


def variable(name: str, default: Any = _NOTHING) -> Any:
    """Return the notebook's variable `name`, else `default`; without a default the check ends with "Not yet"."""
    ipython = get_ipython()
    value = default if ipython is None else ipython.user_ns.get(name, default)
    if value is _NOTHING:
        raise _UnreadyError(f"there is no `{name}` in this notebook. Run the cells above, and keep the name.")
    return value


def open_room(name: str) -> lknb.Room:
    """Return the open room in the notebook's variable `name`; without one the check ends with "Not yet"."""
    room = variable(name)
    if not isinstance(room, lknb.Room):
        raise _UnreadyError(f"`{name}` is {shown(room)}, not a room. Run the cell that joins.")
    if room.state != "connected":
        raise _UnreadyError(f"{name}'s room is {room.state}. Run the notebook again from its first cell.")
    return room


def why_silent(room: lknb.Room, kind: str, topic: str, advice: str = "send the answer to `sender`") -> str:
    """Return the likely reason why streams of this kind and topic had no effect."""
    serving = [each for each in room.handlers if each.kind == kind and each.topic in (topic, None)]
    if not serving:
        return (
            f'{room.identity} has no handler for it. Decorate a function with `@{room.identity}.on_{kind}("{topic}")`.'
        )
    if any(each.errors for each in serving):
        return "The handler raised an exception; the traceback is below the exercise's cell."
    if not any(each.calls for each in serving):
        return "The handler was not called. With `sender=` it handles only that sender."
    if any(each.running for each in serving):
        return "The handler was called and is still running."
    return f"The handler was called and raised no exception. Its return value is ignored: {advice}."


class Served:
    """A room's handlers for one kind and topic, while an examiner sends streams to them."""

    def __init__(self, examiner: lknb.Room, room: lknb.Room, kind: str, topic: str) -> None:
        self._examiner, self._room, self._kind, self._topic = examiner, room, kind, topic
        self._since = dt.datetime.now(dt.UTC)
        self._before = {each: each.calls for each in room.handlers}

    def wait(self, condition: Callable[[], bool]) -> bool:
        """Return whether `condition` becomes true within PATIENCE, counted from when no handler is busy."""
        latest = time.monotonic() + _AT_MOST
        deadline = time.monotonic() + PATIENCE
        while not condition():
            now = time.monotonic()
            if self._busy():
                deadline = now + PATIENCE
            if now > min(deadline, latest):
                return False
            time.sleep(0.02)
        return True

    def rest(self) -> None:
        """Wait until no handler is busy, so that no more results can follow."""
        deadline = time.monotonic() + _AT_MOST
        while self._busy() and time.monotonic() < deadline:
            time.sleep(0.02)

    def answered(self, topic: str | None = None) -> list[lknb.Event]:
        """Return the texts sent since the check began, according to the room's own log."""
        return list(self._room.events.filter("text", topic=topic, direction="out", since=self._since))

    def _busy(self) -> bool:
        """Return whether a handler is running, or has yet to be called for a stream that was sent."""
        sent = self._examiner.events.filter(self._kind, topic=self._topic, direction="out")
        for each in self._room.handlers:
            if each.kind == self._kind and each.topic in (self._topic, None):
                # Without `stream=True`, a handler is called only for streams that ended without an error.
                due = len(sent) if each.streams else len(sent.filter(status="ok"))
                if each.running or each.calls < self._before.get(each, 0) + due:
                    return True
        return False


class Answers(Served):
    """The texts that the examiner receives back, on every topic or only on `reply_topic`."""

    def __init__(
        self, examiner: lknb.Room, room: lknb.Room, kind: str, topic: str, *, reply_topic: str | None = None
    ) -> None:
        super().__init__(examiner, room, kind, topic)
        self._inbox = examiner.listen("text", topic=reply_topic, sender=room.identity)
        self._reply_topic, self._taken = reply_topic, 0

    def next(self) -> lknb.Event | None:
        """Return the next answer, or None if none arrived and none is expected any more."""
        return self.within(0) if self.wait(lambda: len(self._inbox) > 0) else None

    def within(self, seconds: float) -> lknb.Event | None:
        """Return an answer that arrives within `seconds`, or None; for answers that should not arrive."""
        try:
            event = self._inbox.next(timeout=seconds)
        except TimeoutError:
            return None
        self._taken += 1
        return event

    def _busy(self) -> bool:
        """Return the same, or whether a text was sent here and has not arrived yet."""
        sent = [each for each in self.answered(self._reply_topic) if not each.to or self._examiner.identity in each.to]
        return super()._busy() or sum(each.status == "ok" for each in sent) > self._taken + len(self._inbox)


def shown(value: object, limit: int = 60) -> str:
    """Return the repr of `value` in backticks, on one line and cut to `limit` characters."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    text = text.replace("`", "'")
    return f"`{text if len(text) <= limit else text[: limit - 1] + '…'}`"


def check(function: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Turn a check's exceptions into "Not yet" verdicts: a wrong answer must not fail the notebook's cell."""

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Verdict:
        try:
            return function(*args, **kwargs)
        except _UnreadyError as unready:
            return not_yet(str(unready))
        except Exception as error:
            return not_yet(f"the check ended with {type(error).__name__}: {error}")

    return bounded
