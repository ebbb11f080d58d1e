"""Leaving a room without cutting off what was sent: waits until the receivers have it, and says what they do not have.

Leaving drops what waits in the SDK, on the link, and at the server for a slow receiver.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import warnings
from collections.abc import Iterable

from lknb.event import Event, end_of, now
from lknb.events import EventLog
from lknb.progress import size as readable
from lknb.sdk import SdkRoom

WITHIN = 30.0
"""Seconds for which closing waits, and one more for each 4,000 bytes that may be under way."""

_SLOWEST = 4_000
# What was sent longer ago has arrived, or its loss is recorded.
_RECENT = dt.timedelta(seconds=120)
# With a receiver that does not answer, give up after the link has been quiet for this long: even with 20 % loss and a
# round trip of 200 ms, repetitions are not further apart.
_QUIET = 8.0
_KEEP_ALIVE = 600  # bytes between two looks that are keep-alives, not traffic
_EVERY = 0.25


class Unconfirmed:
    """What was sent recently, and who has not confirmed it.

    Args:
        log: the room's event log.
        since: when the present session began.

    Attributes:
        events: what was sent.
        waiting: the identities that have not confirmed it.
    """

    def __init__(self, log: EventLog, since: dt.datetime) -> None:
        self._log = log
        self._present: frozenset[str] = frozenset()
        since = max(since, now() - _RECENT)
        self.events = [each for each in log[:] if _may_be_under_way(each) and end_of(each) >= since]
        self.waiting: set[str] = set()

    def wait_for(self, present: Iterable[str]) -> None:
        """Wait for those who are in the room."""
        self._present = frozenset(present)
        self.waiting = {identity for each in self.events for identity in self._receivers(each)}

    def answered(self, identity: str, confirmed: bool | None) -> None:
        """Note whether a receiver has confirmed; None if it has left, by itself or with a `loss` of its own."""
        if confirmed is not False:
            self.waiting.discard(identity)

    def _receivers(self, event: Event) -> frozenset[str]:
        return self._present & frozenset(event.to) if event.to else self._present

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(each.size or 0 for each in self.events)

    def fail(self) -> list[Event]:
        """Mark what somebody has not confirmed as failed, and return it."""
        lost = [each for each in self.events if self._receivers(each) & self.waiting]
        for event in lost:
            names = ", ".join(map(repr, sorted(self._receivers(event) & self.waiting)))
            self._log.revise(event, f"the room was closed before {names} had confirmed it; it may not have arrived")
        return lost


def _may_be_under_way(event: Event) -> bool:
    return (
        event.direction == "out"
        and event.status == "ok"
        and (event.kind in ("text", "bytes") or (event.kind == "data" and event.reliable is True))
    )


async def confirm(session: SdkRoom, unconfirmed: Unconfirmed, within: float, hurry: asyncio.Event) -> None:
    """Wait until every receiver has confirmed, the link has gone quiet, the time is over, or `hurry` is set."""
    within += unconfirmed.size / _SLOWEST
    asking = {asyncio.ensure_future(session.has_received_all(each, within)): each for each in unconfirmed.waiting}
    stopping = [asyncio.ensure_future(hurry.wait()), asyncio.ensure_future(_quiet(session))]
    deadline = time.monotonic() + within
    try:
        while asking and not any(each.done() for each in stopping) and (left := deadline - time.monotonic()) > 0:
            done, _ = await asyncio.wait([*asking, *stopping], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for answer in [each for each in asking if each in done]:
                identity = asking.pop(answer)
                if not answer.cancelled() and answer.exception() is None:
                    unconfirmed.answered(identity, answer.result())
    finally:
        for each in [*asking, *stopping]:
            each.cancel()


async def _quiet(session: SdkRoom) -> None:
    """Return when only keep-alives have gone out for a while, or nothing can be sent any more."""
    sent, quiet_since = -_KEEP_ALIVE, time.monotonic()
    while time.monotonic() - quiet_since < _QUIET:
        await asyncio.sleep(_EVERY)
        try:
            signs = await asyncio.wait_for(session.signs_of_life(), _QUIET)
        except (TimeoutError, RuntimeError):
            return
        if signs.bytes_sent - sent > _KEEP_ALIVE:
            sent, quiet_since = signs.bytes_sent, time.monotonic()


def warn(room: str, lost: list[Event]) -> None:
    """Tell the cell that closes a room what may not have arrived."""
    if lost:
        count = "1 message" if len(lost) == 1 else f"{len(lost):,} messages"
        size = readable(sum(each.size or 0 for each in lost))
        warnings.warn(
            f"Room {room!r} was closed before {count} ({size}) had been confirmed; their events are `failed`. "
            f"See room.events.filter(status='failed').",
            RuntimeWarning,
            stacklevel=3,
        )
