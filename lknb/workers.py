"""Where a user's function runs: on daemon threads, on lknb's loop, or on the kernel's main thread."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lknb.errors import LknbError

_IDLE_SECONDS = 5.0


class Workers:
    """Daemon threads for functions that may block, started when needed and ended when idle.

    The standard library's pool joins its threads when the interpreter ends, so that a handler that sleeps for an hour
    would hold the kernel's shutdown up for as long.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = f"lknb-{name}"
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # Protects the two counts, and keeps a thread from ending while a job is put for it.
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call `function` on a thread of the pool, waiting for a free one."""
        loop = asyncio.get_running_loop()
        job = Job(function, loop, loop.create_future())
        with self._lock:
            if self._free:
                self._free -= 1
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._jobs.put(job)
        return await job.future

    def stop(self) -> None:
        """Let idle threads end; busy ones end after their call."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if not self._jobs.empty():
                        continue  # one came just now
                    self._threads -= 1
                    self._free = max(0, self._free - 1)
                    return
            if job is None:
                with self._lock:
                    if not self._jobs.empty():
                        continue  # calls that were accepted before the end are made
                    self._threads -= 1
                    self._free = max(0, self._free - 1)
                return
            job.do()
            with self._lock:
                # Jobs that waited because all threads were busy have nobody promised to them.
                if self._jobs.empty():
                    self._free += 1


@dataclass(slots=True)
class Job:
    """A call, and the future on another loop that gets its outcome."""

    function: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def do(self) -> None:
        """Make the call here, and settle the future there."""
        if self.future.cancelled():
            return
        try:
            result, error = self.function(), None
        except BaseException as raised:  # also SystemExit: a handler's sys.exit() must not end the thread unanswered
            result, error = None, raised
        try:
            self.loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            pass  # the loop is gone, and with it everybody who waited

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            self.future.set_exception(error)
        else:
            wrapped = RuntimeError(f"the handler raised {type(error).__name__}")
            wrapped.__cause__ = error
            self.future.set_exception(wrapped)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def main_loop() -> asyncio.AbstractEventLoop:
    """The event loop of the kernel's main thread, for handlers that must run there."""
    if threading.current_thread() is threading.main_thread():
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            pass
    raise LknbError(
        'thread="main" needs a notebook kernel: it runs the handler on the main thread between cells. '
        "Register it from a cell, or leave thread= out."
    )


async def run_on(
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call `function` on another thread's loop."""
    here = asyncio.get_running_loop()
    done: asyncio.Future[Any] = here.create_future()

    def call() -> None:
        if is_async(function):
            task = loop.create_task(contained(function, args, kwargs), context=context)
            task.add_done_callback(lambda ended: Job(ended.result, here, done).do())
        else:
            Job(lambda: context.run(function, *args, **kwargs), here, done).do()

    loop.call_soon_threadsafe(call)
    return await done


async def contained(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Await `function`, but let no sys.exit() in it end the event loop and with it every room."""
    try:
        return await function(*args, **kwargs)
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the handler raised {type(error).__name__}") from error
