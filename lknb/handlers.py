"""Who serves what, for which cell: handlers of events and of remote methods, and how they are run.

A handler belongs to the cell that wrote it: running the cell again replaces it, what it prints goes to that cell, and
its exceptions are shown there. Each handler gets its events one after the other, in order, apart from all others.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import inspect
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from lknb.cells import Cell, current_cell, format_error, watch_cells
from lknb.errors import did_you_mean
from lknb.event import Event, now, weight
from lknb.events import EventLog
from lknb.interest import Interest
from lknb.loop import LOOP
from lknb.workers import Workers, contained, is_async, main_loop, run_on

Where = Literal["worker", "main"]

_OFFERED = ("data", "event", "sender")
_WAITING_LIMIT = 10_000
_WAITING_BYTES = 64 * 1024 * 1024
_STREAMS_AT_ONCE = 64  # that one synchronous handler reads side by side, each on a thread; more wait


@dataclass(eq=False)
class Handler:
    """A function that serves events of one interest, or calls of one method.

    Attributes:
        kind: the kind of event, or `rpc`.
        topic: the topic, track or method; None for every topic.
        function: what the user wrote.
        cell: the run of the cell that wrote it.
        since: when it was registered, aware.
        calls: how often it has been called.
        errors: how often it raised; an RpcError is a method's answer, and not among them.
        dropped: events it was too slow to get.
        running: calls under way now.
        last_run: when it last began, aware.
        last_duration: the seconds that the call took that ended last; None before the first.
        max_duration: the seconds of the longest call.
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
    since: dt.datetime = field(default_factory=now)
    calls: int = 0
    errors: int = 0
    dropped: int = 0
    running: int = 0
    last_run: dt.datetime | None = None
    last_duration: float | None = None
    max_duration: float | None = None

    def __post_init__(self) -> None:
        if self.where not in ("worker", "main"):
            raise ValueError(f'thread= is "worker" or "main", not {self.where!r}.')
        self._context = contextvars.copy_context()
        self._is_async = is_async(self.function)
        self._wanted = () if self.kind == "rpc" else wanted(self.function)
        self._main_loop = main_loop() if self.where == "main" else None
        self._workers = Workers(_STREAMS_AT_ONCE if self.streams else self.concurrency, self.name)
        self._waiting: deque[tuple[Event, int]] = deque()
        self._waiting_bytes = 0
        self._drain: asyncio.Task[None] | None = None
        self._show_again = 0.0
        self._not_shown = 0
        self._seconds = 0.0
        self.active = True

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def mean_duration(self) -> float | None:
        """The seconds that a call took on average; None before the first has ended."""
        ended = self.calls - self.running
        return self._seconds / ended if ended else None

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
            return self.cell.ran_again(other.cell) and (self.kind, self.topic) == (other.kind, other.topic)
        same_interest = (self.kind, self.interest) == (other.kind, other.interest)
        return same_interest and _label(self.function) == _label(other.function)

    def takes(self, size: int) -> bool:
        """Whether a stream of so many bytes is within this handler's own limit."""
        return self.max_size is None or size <= self.max_size

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, where and in whose context it belongs, and return what it returns."""
        self.last_run = now()
        self.running += 1
        self.calls += 1
        # A copy each time: a context that another call has entered cannot be entered again.
        context = self._context.copy()
        started = time.monotonic()
        try:
            if self._main_loop is not None:
                return await run_on(self._main_loop, context, self.function, args, kwargs)
            if self._is_async:
                calling = contained(self.function, args, kwargs)
                return await asyncio.get_running_loop().create_task(calling, context=context)
            return await self._workers.run(lambda: context.run(self.function, *args, **kwargs))
        finally:
            seconds = time.monotonic() - started
            self._seconds += seconds
            self.max_duration = max(seconds, self.max_duration or 0.0)
            self.running -= 1
            self.last_duration = seconds  # the last of them, for those who wait on another thread

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
        if count:
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
        self._count_not_shown()


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
        _watch(self)
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
        return [each for each in self._all if each.kind != "rpc" and each.interest.receives(event)]

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
            if not handler.takes(event.size or 0):
                handler.say(f"{handler!r} does not get a stream of {event.size:,} bytes, over its max_size.")
                continue
            if LOOP.is_current():
                handler.offer(event)
            else:
                LOOP.loop.call_soon_threadsafe(handler.offer, event)


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


def _write(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _label(function: Callable[..., Any]) -> tuple[Any, ...]:
    """What a function that was written again shares with its former self, and with no other."""
    name = getattr(function, "__qualname__", repr(function))
    if inspect.ismethod(function):
        return function.__module__, name, id(function.__self__)  # the same method of another object is another one
    if name.endswith("<lambda>"):
        return function.__module__, name, getattr(function, "__code__", None)  # they all have this name
    return getattr(function, "__module__", None), name


_watched: list[Handlers] = []


def _watch(handlers: Handlers) -> None:
    """Have a cell that ran again drop the handlers that it no longer writes."""
    if handlers not in _watched:
        _watched.append(handlers)
    watch_cells(_cell_ended)


def _cell_ended(cell: Cell) -> None:
    for handlers in _watched:
        handlers.remove_if(lambda each: cell.ran_again(each.cell))


def every_handler() -> list[Handler]:
    """The handlers of all open rooms."""
    return [each for handlers in list(_watched) for each in handlers]


def forget(handlers: Handlers) -> None:
    """Stop watching a closed room's handlers."""
    handlers.remove_if(lambda each: True)
    if handlers in _watched:
        _watched.remove(handlers)
