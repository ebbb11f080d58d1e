"""`Channel`: keeps a widget's browsers up to date, and runs the actions that they call.

From the kernel: `state` (a number, and for each part a snapshot or the changes), `taken` and `reply` for a call, and
`forgotten` to a browser that the kernel no longer knows, which then sends `hello` again.
From a browser: `hello` (requests snapshots), `shows` (the parts in view), `ack` (of a state's number), `do` (a call),
`bye`, and `removed` (the notebook no longer has the widget's output). A browser that has missed a state, or receives
changes of a part that it does not have, sends `hello` again. While no browser shows anything, nothing is sent.

All browsers receive all messages. So a part is sent whole if one that shows it does not have it, and the others replace
theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from lknb.credentials import scrub
from lknb.errors import LknbError
from lknb.loop import LOOP
from lknb.widgets.part import Json, Part

EVERY = 0.11
"""Seconds between two states while a browser keeps up: about nine per second, whatever the rate of events."""

UNACKNOWLEDGED = 0.5
"""Seconds between two states while none does: browsers are slow or gone, or a cell keeps the kernel busy."""

_AHEAD = 2  # states that may be unacknowledged while a browser still counts as keeping up
_BROWSERS = 64
_BEHIND = 50  # a browser this many states behind another one is considered gone: pages close without notice
_logger = logging.getLogger("lknb")

Send = Callable[[Json, list[bytes]], None]


@dataclass
class _Browser:
    acknowledged: int
    shows: frozenset[str] = frozenset()
    has: set[str] = field(default_factory=set)  # the parts that were sent whole, and all their changes since


class Channel:
    """Connects the parts of one widget with the browsers that show it.

    Args:
        send: sends a message to all browsers.
        parts: the parts to show.
        removed: called when the notebook no longer has the widget's output, and no other browser shows it.
    """

    def __init__(self, send: Send, parts: Sequence[Part], removed: Callable[[], object] = lambda: None) -> None:
        self._send = send
        self._removed = removed
        self._parts = {part.name: part for part in parts}
        self._browsers: dict[str, _Browser] = {}
        self._stale: set[str] = set(self._parts)
        self._number = 0
        self._last = 0.0
        self._due = False
        self._open = True
        self._poll: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Send what has changed, soon. Cheap, and safe from any thread."""
        if not self._due and self._open:
            self._due = True
            LOOP.loop.call_soon_threadsafe(self._schedule)

    def close(self) -> None:
        """Stop sending."""
        self._open = False
        self._browsers.clear()

    def received(self, message: Any, buffers: Sequence[Any] = ()) -> None:
        """Handle a message from a browser. Safe from any thread."""
        if not isinstance(message, dict) or not self._open:
            return
        if message.get("type") == "do":
            # Sent before the action runs, so that a browser can tell a busy kernel from a slow answer.
            self._send({"type": "taken", "id": message.get("id")}, [])
            LOOP.submit(self._run_action(message, [bytes(each) for each in buffers]))
        elif message.get("type") == "removed":
            if not self._in_view():
                self._removed()
        else:
            LOOP.loop.call_soon_threadsafe(self._handle, message)

    # On the loop thread

    def _handle(self, message: Json) -> None:
        if not self._open:
            return  # closed in the meantime
        kind, who = message.get("type"), str(message.get("browser"))[:64]
        browser = self._browsers.pop(who, None)
        if kind == "bye":
            return
        if kind == "hello":
            browser = _Browser(self._number)
        if browser is None:
            if kind in ("ack", "shows"):
                self._send({"type": "forgotten", "browser": who}, [])
            return
        self._browsers[who] = browser  # the most recently active browser comes last
        while len(self._browsers) > _BROWSERS:
            self._browsers.pop(next(iter(self._browsers)))
        if kind == "ack" and isinstance(message.get("number"), int):
            browser.acknowledged = min(message["number"], self._number)
            for other, each in list(self._browsers.items()):
                if each.acknowledged < browser.acknowledged - _BEHIND:
                    del self._browsers[other]
        elif kind in ("hello", "shows"):
            named = message.get("parts")
            shows = frozenset(name for name in self._parts if isinstance(named, list) and name in named)
            self._stale |= shows - browser.has
            browser.shows = shows
            if self._stale & shows:
                self.changed()

    def _in_view(self) -> frozenset[str]:
        # A copy, here and below, because `close` may be called from any thread.
        return frozenset().union(*(browser.shows for browser in list(self._browsers.values())))

    def _schedule(self) -> None:
        LOOP.loop.call_later(max(0.0, self._last + self._pause() - monotonic()), self._flush)

    def _pause(self) -> float:
        acknowledged = max((browser.acknowledged for browser in list(self._browsers.values())), default=self._number)
        return EVERY if self._number - acknowledged <= _AHEAD else UNACKNOWLEDGED

    def _flush(self) -> None:
        self._due = False
        if not self._open:
            return
        parts: dict[str, Json] = {}
        polls: list[float] = []
        in_view = self._in_view()
        for browser in list(self._browsers.values()):
            browser.has &= in_view  # changes of the others are not sent
        for name in sorted(in_view):
            part = self._parts[name]
            is_stale = name in self._stale
            try:
                update = part.whole() if is_stale else part.changes()
            except Exception:
                # One part's failure must not stop the others. It gets a snapshot next time.
                _logger.exception("The widget's part %s could not be shown", name)
                self._stale.add(name)
                continue
            if is_stale:
                self._stale.discard(name)
                for browser in list(self._browsers.values()):
                    browser.has.add(name)
            if update:
                parts[name] = update
            if part.poll_after is not None:
                polls.append(part.poll_after)
            if any(rows.waiting for rows in part.rows.values()):
                polls.append(EVERY)
        if parts:
            self._number += 1
            self._last = monotonic()
            self._send({"type": "state", "number": self._number, "parts": parts}, [])
        # Only one poll is scheduled: one for each flush would add up to constant polling.
        if self._poll is not None:
            self._poll.cancel()
        self._poll = LOOP.loop.call_later(max(0.0, min(polls) - EVERY), self.changed) if polls else None

    async def _run_action(self, message: Json, buffers: list[bytes]) -> None:
        answer: Json = {"type": "reply", "id": message.get("id")}
        out: list[bytes] = []
        try:
            part = self._parts.get(str(message.get("part")))
            action = part.actions.get(str(message.get("action"))) if part else None
            if action is None:
                raise LknbError("This widget has no such action. If lknb was updated, reload the page.")
            named = message.get("args") or {}
            if not isinstance(named, dict):
                raise TypeError(f"The arguments of an action must be named, not a {type(named).__name__}.")
            args = dict(named)
            if buffers:
                args["buffer"] = buffers[0]
            value = await action(**args)
            if isinstance(value, dict) and isinstance(value.get("buffer"), bytes):
                value = dict(value)
                out.append(value.pop("buffer"))
            answer["value"] = value
        except (LknbError, ValueError, TypeError, OSError, LookupError) as error:
            answer["error"] = scrub(str(error) or type(error).__name__)
        except Exception as error:
            _logger.exception("A widget's action failed")
            answer["error"] = scrub(f"{type(error).__name__}: {error}")
        if self._open:
            self._send(answer, out)
