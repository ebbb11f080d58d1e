"""Who serves what, for which cell: handlers of events and of remote methods, and how they are run.

A handler belongs to the cell that wrote it: running the cell again replaces it, what it prints goes to that cell, and
its exceptions are shown there. Each handler gets its events one after the other, in order, apart from all others.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import inspect
import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lknb.credentials import scrub
from lknb.errors import LknbError, StreamError, did_you_mean
from lknb.events import Event, EventLog, Interest, now, weight
from lknb.loop import LOOP

Where = Literal["worker", "main"]

_OFFERED = ("data", "event", "sender")
_WAITING_LIMIT = 10_000
_WAITING_BYTES = 64 * 1024 * 1024
_STREAMS_AT_ONCE = 64  # that one synchronous handler reads side by side, each on a thread; more wait
_IDLE_SECONDS = 5.0
_PACKAGE = str(Path(__file__).parent) + os.sep


@dataclass(frozen=True)
class Cell:
    """A run of a notebook cell: its id in the notebook, and the id of this execution of it."""

    id: str
    execution: str


def current_cell() -> Cell | None:
    """The cell that is running, when the front end says which it is."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell: Any = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    try:
        parent = shell.get_parent()
        return Cell(parent["metadata"]["cellId"], parent["header"]["msg_id"])
    except (AttributeError, KeyError, TypeError):
        return None  # a terminal, or a front end that does not name its cells


@dataclass(eq=False)
class Handler:
    """A function that serves events of one interest, or calls of one method.

    Attributes:
        kind: the kind of event, or `rpc`.
        topic: the topic, track or method; None for every topic.
        function: what the user wrote.
        cell: the run of the cell that wrote it.
        calls: how often it has been called.
        errors: how often it raised.
        dropped: events it was too slow to get.
        running: calls under way now.
        last_run: when it last began, aware.
    """

    kind: str
    topic: str | None
    function: Callable[..., Any]
    interest: Interest
    streams: bool = False
    where: Where = "worker"
    concurrency: int = 1
    max_size: int | None = None
    cell: Cell | None = field(default_factory=current_cell)
    calls: int = 0
    errors: int = 0
    dropped: int = 0
    running: int = 0
    last_run: dt.datetime | None = None

    def __post_init__(self) -> None:
        if self.where not in ("worker", "main"):
            raise ValueError(f'thread= is "worker" or "main", not {self.where!r}.')
        self._context = contextvars.copy_context()
        self._is_async = is_async(self.function)
        self._wanted = () if self.kind == "rpc" else wanted(self.function)
        self._main_loop = _main_loop() if self.where == "main" else None
        self._workers = Workers(_STREAMS_AT_ONCE if self.streams else self.concurrency, self.name)
        self._waiting: deque[tuple[Event, int]] = deque()
        self._waiting_bytes = 0
        self._drain: asyncio.Task[None] | None = None
        self._show_again = 0.0
        self._not_shown = 0
        self.active = True

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def __repr__(self) -> str:
        topic = "every topic" if self.topic is None else repr(self.topic)
        counts = f"{self.calls:,} calls, {self.errors:,} errors"
        dropped = f", {self.dropped:,} dropped" if self.dropped else ""
        return f"<Handler {self.name} of {self.kind} {topic}: {counts}{dropped}>"

    def replaces(self, other: Handler) -> bool:
        """Whether registering this one ends `other`: an older run of its cell wrote it, or it is the same function."""
        if self.kind == other.kind == "rpc" and self.topic == other.topic:
            return True
        if self.cell is not None and other.cell is not None:
            # What else the earlier run wrote goes when this one has succeeded: see `_cell_ended`.
            rerun = self.cell.id == other.cell.id and self.cell.execution != other.cell.execution
            return rerun and (self.kind, self.topic) == (other.kind, other.topic)
        return (self.kind, self.topic, _label(self.function)) == (other.kind, other.topic, _label(other.function))

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, where and in whose context it belongs, and return what it returns."""
        self.calls += 1
        self.running += 1
        self.last_run = now()
        # A copy each time: a context that another call has entered cannot be entered again.
        context = self._context.copy()
        try:
            if self._main_loop is not None:
                return await _run_on(self._main_loop, context, self.function, args, kwargs)
            if self._is_async:
                calling = _contained(self.function, args, kwargs)
                return await asyncio.get_running_loop().create_task(calling, context=context)
            return await self._workers.run(lambda: context.run(self.function, *args, **kwargs))
        finally:
            self.running -= 1

    def offer(self, event: Event) -> None:
        """Queue an event for the function; called on the loop thread."""
        if not self.active:
            return
        size = weight(event)[0]
        self._waiting.append((event, size))
        self._waiting_bytes += size
        while len(self._waiting) > 1 and (len(self._waiting) > _WAITING_LIMIT or self._waiting_bytes > _WAITING_BYTES):
            self._waiting_bytes -= self._waiting.popleft()[1]
            self.dropped += 1
            if self.dropped == 1:
                self.say(f"{self!r} cannot keep up: its oldest events are dropped from now on, and counted.")
        if self._drain is None:
            self._drain = asyncio.get_running_loop().create_task(self._run_waiting())

    async def _run_waiting(self) -> None:
        try:
            while self._waiting:
                event, size = self._waiting.popleft()
                self._waiting_bytes -= size
                await self.serve(event, event.data)
        finally:
            self._drain = None

    async def serve(self, event: Event, data: Any) -> None:
        """Call the function for one event, and show what it raises."""
        offered = {"data": data, "event": event, "sender": event.sender}
        try:
            await self.run(**{name: offered[name] for name in self._wanted})
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """Count an exception and show its traceback in the cell, at most one a second."""
        self.errors += 1
        at = time.monotonic()
        if at < self._show_again:
            self._not_shown += 1
            if self._not_shown == 1:
                LOOP.loop.call_later(self._show_again - at, self._count_not_shown)
            return
        self._show_again = at + 1.0
        self.say(f"Handler {self.name} of {self.kind} failed:\n{format_error(error)}".rstrip("\n"))

    def _count_not_shown(self) -> None:
        count, self._not_shown = self._not_shown, 0
        self.say(f"Handler {self.name} of {self.kind} failed {count:,} more times within a second, not shown.")

    def say(self, text: str) -> None:
        """Write to the standard error of the cell that the handler belongs to."""
        self._context.copy().run(_write, text)

    def inform(self, show: Callable[[], None]) -> None:
        """Call `show` in the context of the handler's cell, so that what it displays appears there."""
        self._context.copy().run(show)

    def stop(self) -> None:
        """Serve nothing more; a call under way is left to finish."""
        self.active = False
        if self.kind != "connection":  # else it could never hear that the room was closed
            self._waiting.clear()
            self._waiting_bytes = 0
        self._workers.stop()


class Handlers:
    """The handlers of one room. Registering, removing and offering are safe from any thread."""

    def __init__(self, log: EventLog) -> None:
        self._lock = threading.Lock()
        self._all: tuple[Handler, ...] = ()
        self._on_change: list[Callable[[Handler, bool], None]] = []
        log.subscribe(self._dispatch)

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def on_change(self, callback: Callable[[Handler, bool], None]) -> None:
        """Call `callback(handler, added)` after each registration and removal."""
        self._on_change.append(callback)

    def add(self, handler: Handler) -> None:
        """Register a handler, in place of those that it replaces."""
        _watch_cells(self)
        with self._lock:
            replaced = [other for other in self._all if handler.replaces(other)]
            self._all = (*(other for other in self._all if other not in replaced), handler)
        # The new one first: a method that both serve must not go unserved in between.
        self._tell(handler, added=True)
        for other in replaced:
            self._ended(other)

    def remove(self, target: Callable[..., Any] | str | Handler) -> int:
        """End the handlers that are `target`: a handler, a function, or a name or topic; returns how many.

        Raises:
            TypeError: for None, which would fit every handler of every topic.
        """
        if target is None:
            raise TypeError("Say what to end: a handler, a function, or a name or topic.")
        return self.remove_if(
            lambda each: target is each or target == each.function or target in (each.name, each.topic)
        )

    def remove_if(self, condition: Callable[[Handler], bool]) -> int:
        """End the handlers for which `condition` holds; returns how many."""
        with self._lock:
            gone = [each for each in self._all if condition(each)]
            self._all = tuple(each for each in self._all if each not in gone)
        for each in gone:
            self._ended(each)
        return len(gone)

    def matching(self, event: Event) -> list[Handler]:
        """Those that want this event."""
        return [each for each in self._all if each.kind != "rpc" and each.interest.covers(event)]

    def _ended(self, handler: Handler) -> None:
        handler.stop()
        self._tell(handler, added=False)

    def _tell(self, handler: Handler, *, added: bool) -> None:
        for callback in self._on_change:
            callback(handler, added)

    def _dispatch(self, event: Event) -> None:
        # An open stream is offered by who reads it, and a broken one is in the log, not a message.
        if event.status != "ok":
            return
        for handler in self.matching(event):
            if handler.streams:
                continue
            if LOOP.is_current():
                handler.offer(event)
            else:
                LOOP.loop.call_soon_threadsafe(handler.offer, event)


class Workers:
    """Daemon threads for functions that may block, started when needed and ended when idle.

    The standard library's pool joins its threads when the interpreter ends, so that a handler that sleeps for an hour
    would hold the kernel's shutdown up for as long.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = f"lknb-{name}"
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Protects the two counts, and keeps a thread from ending while a job is put for it.
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call `function` on a thread of the pool, waiting for a free one."""
        loop = asyncio.get_running_loop()
        job = _Job(function, loop, loop.create_future())
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
class _Job:
    function: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def do(self) -> None:
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


class Pieces:
    """The pieces of an open stream, for a handler that takes them as they come.

    Iterate it (`for` in a synchronous handler, `async for` in an asynchronous one). A stream that breaks off raises
    `StreamError` after the pieces that did arrive.
    """

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._ended = False
        self._error: str | None = None
        self._changed = threading.Condition()
        self._arrival = asyncio.Event()

    def put(self, piece: Any) -> None:
        """Add a piece; called on the loop thread, as is `end`."""
        with self._changed:
            self._items.append(piece)
            self._changed.notify_all()
        self._arrival.set()

    def end(self, error: str | None) -> None:
        """Say that no more will come."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()
        self._arrival.set()

    def _take(self) -> tuple[bool, Any]:
        if self._items:
            return True, self._items.popleft()
        if self._ended and self._error:
            raise StreamError(self._error)
        return False, None

    def __iter__(self) -> Iterator[Any]:
        while True:
            with self._changed:
                found, piece = self._take()
                while not found and not self._ended:
                    self._changed.wait(1.0)
                    found, piece = self._take()
            if not found:
                return
            yield piece

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            self._arrival.clear()
            with self._changed:
                found, piece = self._take()
                ended = self._ended
            if found:
                yield piece
            elif ended:
                return
            else:
                await self._arrival.wait()


def wanted(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names among data, event and sender that `function` takes.

    Raises:
        TypeError: for a parameter that is none of them and has no default.
    """
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            return _OFFERED
        if (
            name not in _OFFERED
            and parameter.default is parameter.empty
            and parameter.kind is not parameter.VAR_POSITIONAL
        ):
            raise TypeError(
                f"The handler's parameter {name!r} is none of data, event, sender{did_you_mean(name, _OFFERED)} "
                "A handler takes those of the three that it names, for example `def handler(data, sender):`."
            )
    return tuple(name for name in _OFFERED if name in parameters)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def format_error(error: BaseException) -> str:
    """A traceback that begins at the user's own code, names cells as the notebook does, and holds no escapes."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    text = name_cells("".join(lines))
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in scrub(text)
    )


def name_cells(text: str) -> str:
    """A traceback's text with cells called what the notebook calls them."""
    if "IPython" not in sys.modules:
        return text
    from IPython import get_ipython

    shell: Any = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    names: Mapping[str, int] = getattr(getattr(shell, "compile", None), "_filename_map", {})
    for filename, number in names.items():
        text = text.replace(f'File "{filename}"', f"Cell In[{number}]")
    return text


def _write(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _label(function: Callable[..., Any]) -> tuple[Any, Any]:
    return getattr(function, "__module__", None), getattr(function, "__qualname__", repr(function))


def _main_loop() -> asyncio.AbstractEventLoop:
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


async def _run_on(
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
            task = loop.create_task(_contained(function, args, kwargs), context=context)
            task.add_done_callback(lambda ended: _Job(ended.result, here, done).do())
        else:
            _Job(lambda: context.run(function, *args, **kwargs), here, done).do()

    loop.call_soon_threadsafe(call)
    return await done


async def _contained(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Await `function`, but let no sys.exit() in it end the event loop and with it every room."""
    try:
        return await function(*args, **kwargs)
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the handler raised {type(error).__name__}") from error


_watched: list[Handlers] = []
_watching = False


def _watch_cells(handlers: Handlers) -> None:
    """Have a cell that ran again drop the handlers that it no longer writes."""
    global _watching
    if handlers not in _watched:
        _watched.append(handlers)
    if _watching or "IPython" not in sys.modules:
        return
    from IPython import get_ipython

    shell: Any = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    if shell is not None:
        shell.events.register("post_run_cell", _cell_ended)
        _watching = True


def _cell_ended(result: Any) -> None:
    cell = current_cell()
    # A cell that failed may not have come to its handlers: the old ones stay.
    if cell is None or not result.success:
        return
    for handlers in _watched:
        handlers.remove_if(
            lambda each: each.cell is not None and each.cell.id == cell.id and each.cell.execution != cell.execution
        )


def every_handler() -> list[Handler]:
    """The handlers of all open rooms."""
    return [each for handlers in list(_watched) for each in handlers]


def forget(handlers: Handlers) -> None:
    """Stop watching a closed room's handlers."""
    handlers.remove_if(lambda each: True)
    if handlers in _watched:
        _watched.remove(handlers)
