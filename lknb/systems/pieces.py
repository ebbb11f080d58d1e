"""Pieces of an open stream, passed to a handler in any thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

from lknb.errors import StreamError
from lknb.loop import LOOP


class Backlog:
    """What waits for one handler: the pieces of all its streams that it has not taken yet. Safe from any thread.

    Attributes:
        streams: number of streams whose pieces the handler, or anybody to whom it passed them, can still take.
    """

    def __init__(self) -> None:
        self.streams = 0
        self._size = 0
        self._lock = threading.RLock()  # re-entrant: the garbage collector may end a stream's pieces at any point

    def add(self, size: int, limit: int) -> bool:
        """Count a piece, unless more than `limit` bytes would wait then."""
        with self._lock:
            if self._size + size > limit:
                return False
            self._size += size
            return True

    def count(self, streams: int, size: int) -> None:
        """Change both counts."""
        with self._lock:
            self.streams += streams
            self._size += size


class Pieces:
    """The pieces of an open stream, for a handler that receives them as they arrive.

    It is an iterator: `for` and `next` in a synchronous handler, `async for` in an asynchronous one.

    Raises:
        StreamError: from the iteration, after the pieces that arrived, if the stream failed; and from `for` in an async
            handler, where it would stop every room.
    """

    def __init__(self, backlog: Backlog) -> None:
        self._items: deque[Any] = deque()
        self._backlog = backlog
        backlog.count(1, 0)
        self._ended = False
        self._error: str | None = None
        self._changed = threading.Condition()
        # The async iterations: each waits on the loop of its own task.
        self._arrivals: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def __del__(self) -> None:
        self._backlog.count(-1, -sum(map(len, self._items)))

    def put(self, piece: Any, limit: int) -> bool:
        """Add a piece, unless more than `limit` bytes would wait for the handler.

        Call this and `end` on the loop thread.
        """
        if not self._backlog.add(len(piece), limit):
            return False
        with self._changed:
            self._items.append(piece)
            self._notify()
        return True

    def end(self, error: str | None) -> None:
        """End the iteration after the pieces added so far, with a StreamError if there was an error."""
        with self._changed:
            self._ended, self._error = True, error
            self._notify()

    def _notify(self) -> None:
        self._changed.notify_all()
        for loop, arrival in self._arrivals:
            with contextlib.suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(arrival.set)

    def _take(self) -> tuple[bool, Any]:
        if self._items:
            piece = self._items.popleft()
            self._backlog.count(0, -len(piece))
            return True, piece
        if self._ended and self._error:
            raise StreamError(self._error)
        return False, None

    def __iter__(self) -> Iterator[Any]:
        self._refuse_loop()
        return self

    def __next__(self) -> Any:
        self._refuse_loop()
        with self._changed:
            found, piece = self._take()
            while not found and not self._ended:
                self._changed.wait(1.0)
                found, piece = self._take()
        if not found:
            raise StopIteration
        return piece

    def _refuse_loop(self) -> None:
        if LOOP.is_current():
            raise StreamError("An async handler reads its pieces with `async for`: `for` would stop every room.")

    async def __aiter__(self) -> AsyncIterator[Any]:
        arrival = asyncio.Event()
        waiting = (asyncio.get_running_loop(), arrival)
        with self._changed:
            self._arrivals.append(waiting)
        try:
            while True:
                arrival.clear()
                with self._changed:
                    found, piece = self._take()
                    ended = self._ended
                if found:
                    yield piece
                elif ended:
                    return
                else:
                    await arrival.wait()
        finally:
            with self._changed:
                self._arrivals.remove(waiting)
