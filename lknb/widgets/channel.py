"""How a widget's browsers are kept up to date: snapshots, numbered batches, acknowledgements, and calls back.

From the kernel: `state` (a number, and for each part either everything or what changed), `taken` and `reply` to a call,
`forgotten` (to a browser that had long not been heard; it says hello again).
From a browser: `hello` (tell me everything), `shows` (the parts that are in view), `ack` (of a number), `do` (a call),
`bye`. Any browser that has missed something says hello again. While nobody looks, nothing is sent.
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
"""Seconds between two states while a browser keeps up: about nine a second, whatever the rate of events."""

UNHEARD = 0.5
"""Seconds between two while none does: it is slow or gone, or the kernel is busy with a cell and cannot hear it."""

_AHEAD = 2
_BROWSERS = 64
_BEHIND = 500  # states: who is so many behind another browser is gone, as pages go without a word
_logger = logging.getLogger("lknb")

Send = Callable[[Json, list[bytes]], None]


@dataclass
class _Browser:
    shows: frozenset[str] = field(default_factory=frozenset)
    acknowledged: int = 0


class Channel:
    """Connects the parts of one widget with the browsers that show it.

    Args:
        send: gives a message to all browsers.
        parts: what there is to tell.
    """

    def __init__(self, send: Send, parts: Sequence[Part]) -> None:
        self._send = send
        self._parts = {part.name: part for part in parts}
        self._browsers: dict[str, _Browser] = {}
        self._stale: set[str] = set(self._parts)
        self._number = 0
        self._last = 0.0
        self._due = False
        self._open = True
        self._look: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """There is something to tell, soon. Cheap, and safe from any thread."""
        if not self._due and self._open:
            self._due = True
            LOOP.loop.call_soon_threadsafe(self._schedule)

    def close(self) -> None:
        """Send nothing more."""
        self._open = False
        self._browsers.clear()

    def received(self, message: Any, buffers: Sequence[Any] = ()) -> None:
        """Take a message from a browser, on whatever thread it came."""
        if not isinstance(message, dict) or not self._open:
            return
        if message.get("type") == "do":
            # Said before anything is done, so that a browser can tell a busy kernel from a slow answer.
            self._send({"type": "taken", "id": message.get("id")}, [])
            LOOP.submit(self._do(message, [bytes(each) for each in buffers]))
        else:
            LOOP.loop.call_soon_threadsafe(self._heard, message)

    # On the loop thread

    def _heard(self, message: Json) -> None:
        if not self._open:
            return  # closed while this was on its way to the loop
        kind, who = message.get("type"), str(message.get("browser"))[:64]
        browser = self._browsers.pop(who, None)
        if kind == "bye":
            return
        if kind == "hello":
            browser = _Browser(acknowledged=self._number)
        if browser is None:
            if kind in ("ack", "shows"):
                self._send({"type": "forgotten", "browser": who}, [])
            return
        self._browsers[who] = browser  # who was heard last is the last
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
            # What nobody looked at was not told of, and needs to be told whole.
            self._stale |= shows if kind == "hello" else shows - self._in_view()
            browser.shows = shows
            if self._stale & shows:
                self.changed()

    def _in_view(self) -> frozenset[str]:
        # A copy, here and below, since `close` may come from any thread.
        return frozenset().union(*(browser.shows for browser in list(self._browsers.values())))

    def _schedule(self) -> None:
        LOOP.loop.call_later(max(0.0, self._last + self._pause() - monotonic()), self._flush)

    def _pause(self) -> float:
        heard = max((browser.acknowledged for browser in list(self._browsers.values())), default=self._number)
        return EVERY if self._number - heard <= _AHEAD else UNHEARD

    def _flush(self) -> None:
        self._due = False
        if not self._open:
            return
        parts: dict[str, Json] = {}
        again: list[float] = []
        for name in sorted(self._in_view()):
            part = self._parts[name]
            try:
                told = part.whole() if name in self._stale else part.changes()
            except Exception:
                # One part's fault shall not stop the others; it is told whole the next time.
                _logger.exception("The widget's part %s could not be shown", name)
                self._stale.add(name)
                continue
            self._stale.discard(name)
            if told:
                parts[name] = told
            if part.again is not None:
                again.append(part.again)
            if any(rows.waiting for rows in part.rows.values()):
                again.append(EVERY)
        if parts:
            self._number += 1
            self._last = monotonic()
            self._send({"type": "state", "number": self._number, "parts": parts}, [])
        # One look ahead: with one for each flush they would add up to a look at every moment.
        if self._look is not None:
            self._look.cancel()
        self._look = LOOP.loop.call_later(max(0.0, min(again) - EVERY), self.changed) if again else None

    async def _do(self, message: Json, buffers: list[bytes]) -> None:
        answer: Json = {"type": "reply", "id": message.get("id")}
        out: list[bytes] = []
        try:
            part = self._parts.get(str(message.get("part")))
            action = part.actions.get(str(message.get("action"))) if part else None
            if action is None:
                raise LknbError("This widget has no such action. Reload the page if lknb was updated meanwhile.")
            given = message.get("args") or {}
            if not isinstance(given, dict):
                raise TypeError(f"The arguments of an action have names; {type(given).__name__} has none.")
            args = dict(given)
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
