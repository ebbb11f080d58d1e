"""Whether the link to the server is alive, by the SDK's statistics of it.

The SDK announces trouble late, after 12 to 15 s, and sometimes never. Its statistics show at once whether packets and
answers to connectivity checks still come in.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable

from lknb.event import now
from lknb.loop import keep
from lknb.sdk import QUEUE, SdkRoom, Signs

EVERY = 1.0
"""Seconds between two looks at the statistics."""

ODD = 3
"""Looks in a row that find nothing new: an idle link has up to two."""

_ANSWER_WITHIN = 2.0
# Data may be on its way, or wait for a repetition, for this long and for so many round trips.
_ON_ITS_WAY = 3.0
_ROUND_TRIPS = 10
# Repetitions and headers share the link with what waits in the queue.
_OVERHEAD = 1.5
_SLOWEST = 1_000.0  # bytes per second
_LONGEST = 60.0


class Heartbeat:
    """Follows the link of one session.

    Args:
        silent: called at each look that finds nothing new, with the number of such looks in a row.
        sending: returns whether a send is waiting for the SDK now.

    Attributes:
        heard: when the link was alive last, for sure.
        unsent: seconds before `heard` in which accepted data may still have been waiting here.
        silence: looks in a row that found nothing new; a link is silent for about two of them even if all is well.
        round_trip: seconds to the server and back, by the last look; 0 before the first.
    """

    def __init__(self, silent: Callable[[int], None], sending: Callable[[], bool]) -> None:
        self._silent = silent
        self._sending = sending
        self._watching: asyncio.Task[None] | None = None
        self._last: Signs | None = None
        self._looked = now()
        self._queued = 0.0
        self.heard = now()
        self.unsent = dt.timedelta(seconds=_ON_ITS_WAY)
        self.silence = 0
        self.round_trip = 0.0

    def begin(self, session: SdkRoom) -> None:
        """Follow a new session, which is alive now."""
        self.end()
        self._last, self._queued, self.silence = None, 0.0, 0
        self.heard = self._looked = now()
        self._watching = asyncio.get_running_loop().create_task(self._watch(session))

    def end(self) -> None:
        """Stop looking."""
        if self._watching is not None and self._watching is not asyncio.current_task():
            self._watching.cancel()
        self._watching = None

    async def _watch(self, session: SdkRoom) -> None:
        while self._watching is asyncio.current_task():
            if await self._look(session):
                if self.silence >= ODD:
                    session.limit_queue()
                self.silence = 0
            else:
                # Counted in looks: time for which this process was suspended says nothing about the link.
                self.silence += 1
                if self.silence == ODD:
                    keep(session.release_sends())
                self._silent(self.silence)
            await asyncio.sleep(EVERY)

    async def _look(self, session: SdkRoom) -> bool:
        """Whether anything came over the wire since the last look."""
        looked = now()
        signs: Signs | None = None
        # RuntimeError: there is no connection now.
        with contextlib.suppress(TimeoutError, RuntimeError):
            signs = await asyncio.wait_for(session.signs_of_life(), _ANSWER_WITHIN)
        if signs is None:
            return False
        last, self._last = self._last, signs
        self.round_trip = signs.round_trip
        before, self._looked = self._looked, looked
        if last is None:
            return True
        sent = max(0, signs.bytes_sent - last.bytes_sent)
        accepted = max(0, signs.bytes_accepted - last.bytes_accepted)
        self._queued = QUEUE if self._sending() else max(0.0, self._queued + accepted - sent)
        if signs.received <= last.received:  # less after the SDK has replaced the connection
            return False
        self.heard = before  # something came in since then; when exactly is not known
        rate = max(_SLOWEST, sent / max(EVERY, (looked - before).total_seconds()))
        seconds = _ON_ITS_WAY + _ROUND_TRIPS * signs.round_trip + _OVERHEAD * self._queued / rate
        self.unsent = dt.timedelta(seconds=min(_LONGEST, seconds))
        return True
