"""Runs users' functions: on daemon threads, on lknb's loop, or on the kernel's main thread."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from lknb.errors import LknbError

_IDLE_SECONDS = 5.0


class Workers:
    """Daemon threads for functions that may block, started when needed and ended when idle.

    The standard library's pool joins its threads when the interpreter ends, so a handler that sleeps for an hour would
    delay the kernel's shutdown by as much.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = f"lknb-{name}"
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # Protects the two counts, and keeps a thread from ending while a job is queued for it.
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call `function` on a thread of the pool, waiting for a free one."""
        loop = asyncio.get_running_loop()
        job = Job(function, loop, loop.create_future())
        self.start(job.do)
        return await job.future

    def start(self, job: Callable[[], None]) -> None:
        """Call `job`, which raises nothing, on a thread of the pool as soon as one is free; safe from any thread."""
        with self._lock:
            if self._free:
                self._free -= 1
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._jobs.put(job)

    def stop(self) -> None:
        """End idle threads now, and busy threads after their call."""
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
                        continue  # a job has just arrived
                    self._threads -= 1
                    self._free = max(0, self._free - 1)
                    return
            if job is None:
                with self._lock:
                    if not self._jobs.empty():
                        continue  # jobs accepted before `stop` still run
                    self._threads -= 1
                    self._free = max(0, self._free - 1)
                return
            job()
            with self._lock:
                # No thread is reserved for jobs that were queued while all threads were busy.
                if self._jobs.empty():
                    self._free += 1


@dataclass(slots=True)
class Job:
    """A call, and the future on another loop that receives its outcome."""

    function: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def do(self) -> None:
        """Make the call on this thread, and settle the future on its loop."""
        if self.future.cancelled():
            return
        try:
            result, error = self.function(), None
        except BaseException as raised:  # also SystemExit, which must not end the thread without an outcome
            result, error = None, raised
        try:
            self.loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            pass  # the loop is closed, so nothing waits for the outcome

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


def main_loop() -> asyncio.AbstractEventLoop:
    """The event loop of the kernel's main thread, for handlers that must run there."""
    if threading.current_thread() is threading.main_thread():
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            pass
    raise LknbError(
        'thread="main" needs a notebook kernel: it runs the handler on the main thread between cells. '
        "Register it from a cell, or omit thread=."
    )


async def run_on(loop: asyncio.AbstractEventLoop, function: Callable[[], Any]) -> Any:
    """Call `function` on another thread's loop, outside its tasks."""
    here = asyncio.get_running_loop()
    done: asyncio.Future[Any] = here.create_future()
    loop.call_soon_threadsafe(Job(function, here, done).do)
    return await done


async def await_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context) -> Any:
    """Run `coroutine` as a task of `loop`, which may be another thread's, in `context`."""
    here = asyncio.get_running_loop()
    if loop is here:
        return await here.create_task(coroutine, context=context)
    done: asyncio.Future[Any] = here.create_future()

    def start() -> None:
        task = loop.create_task(coroutine, context=context)
        task.add_done_callback(lambda ended: Job(ended.result, here, done).do())

    loop.call_soon_threadsafe(start)
    return await done
