"""The one daemon thread whose asyncio loop owns every SDK object, and how the rest of the program waits for it.

A cell that computes for a minute blocks the kernel's loop, not this one: handlers still run and feeds still update.
Cells wait with `LoopThread.run`, other event loops with `LoopThread.wait`; both run the same coroutines.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import sys
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from types import FrameType
from typing import Any, Generic, TypeVar

from lknb.errors import LknbError
from lknb.replies import Reply, awaited

T = TypeVar("T")

_STOP_WITHIN = 1.0

_UNFINISHED: set[asyncio.Task[Any]] = set()

_calling_loop: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("lknb_calling_loop", default=None)


class LoopThread:
    """A daemon thread that runs one asyncio loop for the life of the process; started on first use."""

    def __init__(self) -> None:
        # Guards the start, so that two threads that connect at the same time share one loop.
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running.

        Raises:
            LknbError: in a forked child, which has neither the thread nor the SDK.
        """
        self.refuse_forked()
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    self._start()
        assert self._loop is not None
        return self._loop

    def _start(self) -> None:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._serve, args=(loop,), name="lknb", daemon=True)
        thread.start()
        self._thread = thread
        self._loop = loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def is_running(self) -> bool:
        """Whether the thread has been started and not stopped."""
        return self._thread is not None

    def stop(self) -> None:
        """End the thread; the next use starts another one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None and self._pid == os.getpid():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_STOP_WITHIN)

    def frame(self) -> FrameType | None:
        """The stack frame that the loop thread is executing now."""
        return sys._current_frames().get(self._thread.ident or 0) if self._thread is not None else None

    def is_current(self) -> bool:
        """Whether the caller runs on the loop thread, as every async handler does."""
        return threading.current_thread() is self._thread

    def refuse_forked(self) -> None:
        """Raise in a forked child, where waiting would never end."""
        if self._pid != os.getpid():
            raise LknbError(
                "This process was forked from one that uses lknb, and a LiveKit connection cannot be used across "
                "fork(). Start the worker with the 'spawn' method, and connect inside it."
            )

    def refuse_here(self, name: str, instead: str | None = None) -> None:
        """Raise if waiting would never end: on the loop thread, which would wait for itself, or in a forked child."""
        self.refuse_forked()
        if self.is_current():
            raise LknbError(
                f"{name}() blocks, and this code runs on lknb's own event loop, as every async handler does: it would "
                f"wait for itself. Use `{instead or f'await room.aio.{name}(...)'}` here, or make the handler a plain "
                "`def`."
            )

    def submit(self, coro: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start `coro` on the loop, in a copy of the caller's context, so that its output goes to the caller's cell."""
        try:
            loop = self.loop
        except LknbError:
            coro.close()
            raise
        return asyncio.run_coroutine_threadsafe(coro, loop)

    def run(
        self,
        work: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]],
        name: str,
        instead: str | None = None,
        undo: Callable[[T], Coroutine[Any, Any, Any]] | None = None,
    ) -> T:
        """Wait for a coroutine from any thread except the loop's own. An interrupt cancels it.

        Args:
            work: the coroutine to run on the loop, or a function that returns it. The loop calls the function, so that
                no interrupt can leave a coroutine that nobody awaits.
            name: the method's name in the error message.
            instead: the call that the error message recommends; `await room.aio.NAME(...)` if not given.
            undo: called with the result if the coroutine ends well although an interrupt has ended the wait for it.

        Raises:
            LknbError: if called on the loop thread or in a forked child.
        """
        running: _Running[T] | None = None
        try:
            self.refuse_here(name, instead)
            running = _Running(work, self.loop)
            running.ended.wait()
            return running.result()
        except BaseException:
            if running is not None:
                running.cancel(undo)
            elif not callable(work):
                work.close()
            raise

    async def steps(self, steps: Coroutine[Any, Any, T]) -> T:
        """Await code that awaits replies, from any event loop; cancelling the waiter cancels it."""
        token = None if self.is_current() else _calling_loop.set(asyncio.get_running_loop())
        try:
            return await awaited(steps)
        finally:
            if token is not None:
                _calling_loop.reset(token)

    async def wait(self, coro: Coroutine[Any, Any, T]) -> T:
        """Await `coro` from any event loop; cancelling the waiter cancels it."""
        if self.is_current():
            return await coro
        token = _calling_loop.set(asyncio.get_running_loop())
        try:
            future = self.submit(coro)
        finally:
            _calling_loop.reset(token)
        return await asyncio.wrap_future(future)


class _Running(Generic[T]):
    """A coroutine on its way on the loop, for another thread.

    Attributes:
        ended: settled when it has ended.
    """

    def __init__(
        self, work: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._work = work
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        self.ended: Reply[None] = Reply()
        self._failure: BaseException | None = None
        loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        try:
            coro = self._work() if callable(self._work) else self._work
            self._task = self._loop.create_task(coro)
        except BaseException as failure:
            self._failure = failure
            self.ended.settle(None)
        else:
            self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # the waiting thread raises it, unless it was interrupted and waits no more
        self.ended.settle(None)

    def result(self) -> T:
        """The result of the coroutine, which has ended."""
        if self._failure is not None:
            raise self._failure
        assert self._task is not None
        return self._task.result()

    def cancel(self, undo: Callable[[T], Coroutine[Any, Any, Any]] | None = None) -> None:
        """Cancel the coroutine, and undo it if it ends well nevertheless."""
        self._loop.call_soon_threadsafe(self._cancel, undo)

    def _cancel(self, undo: Callable[[T], Coroutine[Any, Any, Any]] | None) -> None:
        if self._task is None:
            return
        # Not at once: a task that has not begun would never run, not even what must run in any case.
        self._loop.call_soon(self._task.cancel)
        if undo is not None:

            def undo_result(task: asyncio.Task[T]) -> None:
                if not task.cancelled() and task.exception() is None:
                    keep(undo(task.result()))

            self._task.add_done_callback(undo_result)


LOOP = LoopThread()


async def on_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of the coroutine `work()`, which runs on lknb's loop; awaits replies only, see `replies.py`."""
    running = _Running(work, LOOP.loop)
    try:
        await running.ended
    except BaseException:
        running.cancel()
        raise
    return running.result()


def keep(coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task, and keep a reference until it ends: the loop itself keeps only a weak one."""
    task = asyncio.get_running_loop().create_task(coro)
    _UNFINISHED.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _UNFINISHED.discard(task)
    if not task.cancelled():
        task.exception()  # whoever still waits for the task gets it; otherwise nobody needs it


async def all_finished(within: float) -> None:
    """Wait for what `keep` has started, such as joins that were given up, for at most `within` seconds.

    If the loop stops first, the SDK tries to send its events to that loop for the rest of the process.
    """
    loop = asyncio.get_running_loop()
    while tasks := [each for each in _UNFINISHED if each.get_loop() is loop]:
        began = loop.time()
        _, pending = await asyncio.wait(tasks, timeout=within)
        within -= loop.time() - began
        if pending or within <= 0:
            return


async def from_calling_loop(items: AsyncIterable[T]) -> AsyncIterator[T]:
    """Iterate `items` on the event loop of the caller that passed them in, where their own connections live."""
    home = _calling_loop.get()
    iterator = aiter(items)
    if home is None or home is asyncio.get_running_loop():
        async for item in iterator:
            yield item
        return

    async def step() -> T:
        return await anext(iterator)

    while True:
        try:
            yield await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(step(), home))
        except StopAsyncIteration:
            return


def at_exit(coro_function: Any, seconds: float) -> None:
    """Run a coroutine function on the loop when the interpreter ends, for at most `seconds`."""

    def finish() -> None:
        if LOOP._loop is None or LOOP._pid != os.getpid():
            return
        future = LOOP.submit(coro_function())
        try:
            future.result(timeout=seconds)
        except (Exception, concurrent.futures.CancelledError):
            future.cancel()  # the process ends anyway, and the server notices that the participant is gone

    atexit.register(finish)
