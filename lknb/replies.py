"""A reply that comes from another thread, and code that waits for replies on whichever thread calls it.

A send saves two thread changes if the caller's own thread makes the request, and the SDK's callback wakes it. Such a
method is a coroutine that awaits nothing but replies: `wait` runs it to its end on this thread, and `awaited` on the
caller's event loop. Both run the same code.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from time import monotonic
from typing import Any, Generic, TypeVar

from lknb.interrupts import Uninterrupted

T = TypeVar("T")

# Waiting in slices lets Ctrl-C through on platforms where a lock cannot be interrupted.
_SLICE = 1.0


class Reply(Generic[T]):
    """The outcome of something that another thread does: settled once, by any thread, and awaited once.

    Args:
        read: makes the awaited value of what came, on the thread that waits; it may raise.

    Attributes:
        deadline: the time of `time.monotonic` at which waiting ends with a TimeoutError; None waits without a limit.
    """

    __slots__ = ("__weakref__", "_error", "_guard", "_read", "_settled", "_value", "_wake", "deadline")

    def __init__(self, read: Callable[[Any], T] | None = None) -> None:
        self.deadline: float | None = None
        self._read = read
        self._guard = threading.Lock()
        self._wake: Callable[[], None] | None = None
        self._settled = False
        self._value: Any = None
        self._error: BaseException | None = None

    def settle(self, value: Any) -> None:
        """Set what has come; does nothing if something came before."""
        self._end(value, None)

    def fail(self, error: BaseException) -> None:
        """Have the wait raise `error`; does nothing if something came before."""
        self._end(None, error)

    def _end(self, value: Any, error: BaseException | None) -> None:
        with self._guard:
            if self._settled:
                return
            self._value, self._error, self._settled = value, error, True
            wake = self._wake
        if wake is not None:
            wake()

    def __await__(self) -> Generator[Reply[T], None, T]:
        if not self._settled:
            yield self
        if self._error is not None:
            raise self._error
        return self._value if self._read is None else self._read(self._value)

    def wait(self) -> None:
        """Wait on this thread until it is settled.

        Raises:
            TimeoutError: at the deadline.
        """
        came = threading.Lock()
        came.acquire()
        if self._wake_by(came.release):
            return
        while True:
            left = _SLICE if self.deadline is None else self.deadline - monotonic()
            if came.acquire(timeout=max(0.0, min(left, _SLICE))):
                return
            if self.deadline is not None and left <= _SLICE:
                raise TimeoutError

    def future(self) -> asyncio.Future[None]:
        """A future of the running loop that is done when it is settled, or raises TimeoutError at the deadline."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def done() -> None:
            if not future.done():
                future.set_result(None)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits
                loop.call_soon_threadsafe(done)

        if self._wake_by(wake):
            done()
        elif self.deadline is not None:
            timer = loop.call_later(self.deadline - monotonic(), _time_out, future)
            future.add_done_callback(lambda _: timer.cancel())
        return future

    def _wake_by(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called when it is settled; true if it is already."""
        with self._guard:
            self._wake = wake
            return self._settled


class Turns:
    """Lets at most `limit` be in progress at the same time, on any thread, in the order in which they ask."""

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._free = limit
        self._waiting: deque[Reply[None]] = deque()

    async def take(self) -> None:
        """Wait for a turn; awaits replies only."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            reply: Reply[None] = Reply()
            self._waiting.append(reply)
        try:
            await reply
        except BaseException:
            with self._lock:
                has_turn = reply not in self._waiting
                if not has_turn:
                    self._waiting.remove(reply)
            if has_turn:
                self.give_back()
            raise

    def give_back(self) -> None:
        """End a turn."""
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            if following is None:
                self._free += 1
        if following is not None:
            following.settle(None)


def _time_out(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def wait(steps: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits replies to its end on this thread. Only its waits can be interrupted."""
    with Uninterrupted() as uninterrupted:
        try:
            reply = steps.send(None)
            while True:
                try:
                    with uninterrupted.waiting():
                        reply.wait()
                except BaseException as error:
                    reply = steps.throw(error)
                else:
                    reply = steps.send(None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


async def awaited(steps: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits replies to its end on the running event loop."""
    try:
        reply = steps.send(None)
        while True:
            try:
                await reply.future()
            except BaseException as error:
                reply = steps.throw(error)
            else:
                reply = steps.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
