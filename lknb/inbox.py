"""`Inbox`: received events of one interest, collected in order until they are read."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic
from typing import Any

from lknb import checks
from lknb.errors import DeliveryTimeoutError, NotConnectedError
from lknb.event import Event, weight
from lknb.events import MAX_BYTES, MAX_EVENTS, MAX_SPOOLED, EventLog
from lknb.interest import Interest
from lknb.live import Live
from lknb.loop import LOOP
from lknb.public import public
from lknb.read_only import ReadOnly

TIMEOUT = 10.0
"""Default number of seconds to wait for an event."""


@public
class Inbox(Live, ReadOnly):
    """The events received since `room.listen` that match its arguments, in order. Each is read once.

    Iterate over it (`for`, or `async for` on any event loop), or read one event with `next`. At most 10,000 events,
    64 MiB in memory and 4 GiB of files on disk wait to be read; beyond that the oldest are dropped and counted.
    Iteration waits for events, and ends when the inbox or the room is closed and everything has been read.

    Attributes:
        aio: `next` as a coroutine, for code on an event loop.
        dropped: number of unread events that were dropped.
    """

    _instead = "Read its events with next(), and use those."
    _counted = frozenset({"dropped"})

    def __init__(
        self,
        log: EventLog,
        interest: Interest,
        *,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        max_spooled: int = MAX_SPOOLED,
    ) -> None:
        self.interest = interest
        self.dropped = 0
        self.aio = AioInbox(self)
        self._max_events = checks.whole(max_events, "max_events")
        self._max_bytes = checks.whole(max_bytes, "max_bytes", checks.BYTES)
        self._max_spooled = max_spooled
        self._items: deque[tuple[Event, int, int]] = deque()
        self._bytes = self._spooled = 0
        self._closed = False
        # Guards the items and what they take; notified on every arrival and on close.
        self._changed = threading.Condition()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        # The log refers to an inbox weakly, so an inbox is freed when no variable refers to it any more.
        arrived = weakref.WeakMethod(self._arrived)
        unsubscribe = log.subscribe(lambda event: _pass_on(arrived, event))
        self._end = weakref.finalize(self, _end, unsubscribe, log.want(interest))
        self._end.atexit = False
        self._fix()

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        what = "/".join(sorted(self.interest.kinds)) if self.interest.kinds else "everything"
        topic = f" topic={self.interest.topic!r}" if self.interest.topic is not None else ""
        dropped = f", {self.dropped:,} dropped" if self.dropped else ""
        return f"<Inbox {what}{topic}: {len(self)} waiting{dropped}{', closed' if self._closed else ''}>"

    def __enter__(self) -> Inbox:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _arrived(self, event: Event) -> None:
        if event.status == "open" or not self.interest.receives(event):
            return
        memory, disk = weight(event)
        with self._changed:
            if self._closed:
                return
            self._items.append((event, memory, disk))
            self._bytes += memory
            self._spooled += disk
            while len(self._items) > 1 and (
                len(self._items) > self._max_events
                or self._bytes > self._max_bytes
                or self._spooled > self._max_spooled
            ):
                self._take()
                self.dropped += 1
            self._wake()

    def _wake(self) -> None:
        self._changed.notify_all()
        waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(_resolve, future)
            except RuntimeError:
                pass  # the waiter's loop is closed, so nothing waits any more

    def _take(self) -> Event | None:
        if self._items:
            event, memory, disk = self._items.popleft()
            self._bytes -= memory
            self._spooled -= disk
            return event
        return None

    def next(self, timeout: float | dt.timedelta | None = TIMEOUT) -> Event:
        """The next event, in order of arrival.

        Args:
            timeout: seconds to wait for it, or a timedelta; 0 does not wait, None waits as long as the room is open.

        Raises:
            DeliveryTimeoutError: if none arrived in time; also a `TimeoutError`.
            NotConnectedError: if the inbox or the room is closed and nothing is left to read.

        Examples:
            >>> inbox = room.listen("text", topic="lk.chat")
            >>> event = inbox.next(timeout=5)
            >>> print(event.sender, event.data)
        """
        LOOP.refuse_here("next", "await inbox.aio.next(...)` or `async for event in inbox")
        within = checks.seconds_or_none(timeout)
        deadline = None if within is None else monotonic() + within
        with self._changed:
            while (event := self._take()) is None:
                self._refuse_closed()
                left = 1.0 if deadline is None else deadline - monotonic()
                if left <= 0:
                    raise DeliveryTimeoutError(self._nothing_arrived(within))
                # In slices, so that Ctrl-C works on every platform.
                self._changed.wait(min(left, 1.0))
            return event

    async def _next(self, timeout: float | dt.timedelta | None) -> Event:
        LOOP.refuse_forked()
        within = checks.seconds_or_none(timeout)
        loop = asyncio.get_running_loop()
        deadline = None if within is None else monotonic() + within
        while True:
            with self._changed:
                if (event := self._take()) is not None:
                    return event
                self._refuse_closed()
                arrival: asyncio.Future[None] = loop.create_future()
                self._waiters.append((loop, arrival))
            left = None if deadline is None else deadline - monotonic()
            try:
                await asyncio.wait_for(arrival, left)
            except TimeoutError:
                raise DeliveryTimeoutError(self._nothing_arrived(within)) from None
            finally:
                with self._changed:
                    self._waiters = [waiter for waiter in self._waiters if waiter[1] is not arrival]

    def _nothing_arrived(self, timeout: float | None) -> str:
        return f"No event arrived within {timeout:g} s: {self!r}."

    def _refuse_closed(self) -> None:
        if self._closed:
            raise NotConnectedError("This inbox is closed and empty. Open another one with room.listen(...).")

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        try:
            return self.next(timeout=None)
        except NotConnectedError:
            raise StopIteration from None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self._next(None)
        except NotConnectedError:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Stop listening. Events that have arrived can still be read."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._wake()
        self._end()


@public
class AioInbox(Live, ReadOnly):
    """`inbox.aio`: the inbox for code on an event loop."""

    _instead = "Read its events with next(), and use those."

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._fix()

    async def next(self, timeout: float | dt.timedelta | None = TIMEOUT) -> Event:
        """The next event; see `Inbox.next`."""
        return await self._inbox._next(timeout)


def _pass_on(arrived: weakref.WeakMethod[Any], event: Event) -> None:
    take = arrived()
    if take is not None:
        take(event)


def _end(unsubscribe: Callable[[], None], withdraw: Callable[[], None]) -> None:
    unsubscribe()
    withdraw()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
