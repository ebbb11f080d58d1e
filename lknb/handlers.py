"""Handlers of events and of remote methods: registering them, and running them for their cells.

A handler belongs to the cell that registered it: running the cell again replaces it, and its output and exceptions
appear in that cell. Each handler receives its events one at a time, in order, independently of all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime as dt
import functools
import inspect
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lknb.belongings import Belongings
from lknb.cells import Cell, current_cell, format_error, shell
from lknb.errors import did_you_mean
from lknb.event import Event, decoder_of, now, weight
from lknb.events import MAX_SPOOLED, EventLog
from lknb.functions import is_async, name_of, signature_of
from lknb.interest import Interest
from lknb.live import Live
from lknb.loop import LOOP
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.throttle import Throttle
from lknb.workers import Workers, await_on, main_loop, run_on

HandlerThread = Literal["worker", "main"]
THREADS: tuple[str, ...] = get_args(HandlerThread)

_OFFERED = ("data", "event", "sender", "value")
_WAITING_LIMIT = 10_000
_WAITING_BYTES = 64 * 1024 * 1024
_NOT_GLOBAL = "Variables that a handler assigns belong to the call. To change one of the notebook, declare it `global`."
_STREAMS_AT_ONCE = 64  # streams that one synchronous handler reads concurrently, a thread each; more wait


@public
@dataclass(eq=False)
class Handler(Live, ReadOnly):
    """A function that receives matching events, or serves the calls of one method.

    Attributes:
        kind: the kind of event, or `rpc`.
        topic: the topic, track or method; None for every topic.
        function: the user's function.
        read: makes the function's `data` of an event, on a worker thread; None passes the event's own.
        only: whether the function gets an event; None for every one that its interest matches.
        cell: the run of the cell that registered it.
        since: when it was registered, timezone-aware.
        calls: number of calls.
        errors: number of calls that raised. An RpcError does not count: it is a method's answer.
        dropped: number of events dropped because the handler could not keep up.
        running: number of calls in progress.
        last_run: when the last call started, timezone-aware.
        last_duration: seconds that the last completed call took; None before the first has completed.
        max_duration: seconds that the longest call took.
    """

    _instead = "Use its attributes, such as name, calls and errors; dataclasses.asdict(...) has all of them."
    _counted = frozenset(
        {"calls", "errors", "dropped", "running", "last_run", "last_duration", "max_duration", "active"}
    )

    kind: str
    topic: str | None
    function: Callable[..., Any]
    interest: Interest
    streams: bool = False
    thread: HandlerThread = "worker"
    concurrency: int = 1
    max_size: int | None = None
    read: Callable[[Event], Any] | None = None
    only: Callable[[Event], bool] | None = None
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
        self._context = contextvars.copy_context()
        self._is_async = is_async(self.function)
        self._signature = inspect.Signature() if self.kind == "rpc" else event_signature(self.function)
        parameters = self._signature.parameters
        if self.streams and "value" in parameters:
            raise TypeError("A handler with stream=True runs before there is a value. Declare data, event or sender.")
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        self._takes_value = not self.streams and ("value" in parameters or takes_all)
        self._main_loop = main_loop() if self.thread == "main" else None
        self._workers = Workers(_STREAMS_AT_ONCE if self.streams else self.concurrency, self.name)
        self._waiting: deque[tuple[Event, int, int]] = deque()
        self._waiting_bytes = self._waiting_files = 0
        # Events come from several threads, and go to the function's.
        self._lock = threading.Lock()
        self._draining = False
        self._task: asyncio.Task[None] | None = None
        self._reports = Throttle(self._count_not_shown)
        self._seconds = 0.0
        self.active = True
        self._fix()

    @property
    def name(self) -> str:
        """The function's name."""
        return name_of(self.function)

    @property
    def mean_duration(self) -> float | None:
        """Mean seconds per call; None before the first has completed."""
        ended = self.calls - self.running
        return self._seconds / ended if ended else None

    def __repr__(self) -> str:
        topic = "every topic" if self.topic is None else repr(self.topic)
        counts = f"{self.calls:,} calls, {self.errors:,} errors"
        dropped = f", {self.dropped:,} dropped" if self.dropped else ""
        return f"<Handler {self.name} of {self.kind} {topic}: {counts}{dropped}>"

    def replaces(self, other: Handler) -> bool:
        """Whether registering this one ends `other`, from an earlier run of its cell or with the same function."""
        if self.kind == other.kind == "rpc" and self.topic == other.topic:
            return True
        if self.cell is not None and other.cell is not None:
            # All other handlers of the earlier run end when this run has succeeded: see `belongings`.
            return self.cell.ran_again(other.cell) and (self.kind, self.topic) == (other.kind, other.topic)
        if (self.kind, self.interest) != (other.kind, other.interest):
            return False
        if shell() is None:
            return bool(self.function == other.function)  # a program may have many functions of the same name
        return _label(self.function) == _label(other.function)

    def takes(self, size: int) -> bool:
        """Whether a stream of this many bytes is within this handler's own limit."""
        return self.max_size is None or size <= self.max_size

    async def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function on its thread and in its cell's context, await what it returns, and return the result.

        Raises:
            RuntimeError: if the function's own code was cancelled. A CancelledError means that the caller was.
            TypeError: for a function that returns a generator, whose code has not run.
        """
        return await self._run(lambda: self.function(*args, **kwargs))

    async def _run(self, function: Callable[[], Any]) -> Any:
        # A copy for each call: two calls cannot enter the same context at the same time.
        context = self._context.copy()
        with self._counted_call():
            try:
                result = await self._call(lambda: context.run(function))
                if inspect.isawaitable(result):
                    loop = self._main_loop or asyncio.get_running_loop()
                    result = await await_on(loop, self.awaiting(result), context)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                raise RuntimeError("the handler raised CancelledError") from error
            return self._finished(result)

    def _run_here(self, function: Callable[[], Any]) -> None:
        """Call `function` on this thread, in its cell's context, as `run` does."""
        context = self._context.copy()
        with self._counted_call():
            try:
                result = context.run(function)
                if inspect.isawaitable(result):
                    result = context.run(LOOP.submit, self._awaiting_uncancelled(result)).result()
            except (asyncio.CancelledError, StopIteration) as error:
                raise RuntimeError(f"the handler raised {type(error).__name__}") from error
            except Exception:
                raise
            except BaseException as error:  # such as SystemExit, which must not end the thread
                raise RuntimeError(f"the handler raised {type(error).__name__}") from error
            self._finished(result)

    @contextlib.contextmanager
    def _counted_call(self) -> Iterator[None]:
        self.last_run = now()
        self.running += 1
        self.calls += 1
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self._seconds += seconds
            self.max_duration = max(seconds, self.max_duration or 0.0)
            self.running -= 1
            self.last_duration = seconds  # set last: other threads wait for it

    def _finished(self, result: Any) -> Any:
        if inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise TypeError(f"{self.name} returned a generator, whose code has not run. Return a list instead.")
        return result

    async def _call(self, function: Callable[[], Any]) -> Any:
        if self._is_async:
            return function()  # makes the coroutine; nothing runs yet
        if self._main_loop is not None:
            return await run_on(self._main_loop, function)
        return await self._workers.run(function)

    async def awaiting(self, result: Any) -> Any:
        """Await what the function returned, for as long as it is awaitable.

        Raises:
            RuntimeError: for sys.exit(), which would end the event loop and every room, and for other exceptions that
                `except Exception` does not catch.
        """
        try:
            while inspect.isawaitable(result):
                result = await result
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            raise RuntimeError(f"the handler raised {type(error).__name__}") from error
        return result

    async def _awaiting_uncancelled(self, result: Any) -> Any:
        try:
            return await self.awaiting(result)
        except asyncio.CancelledError as error:  # by the function's own code: nobody else knows of this task
            raise RuntimeError("the handler raised CancelledError") from error

    def offer(self, event: Event) -> None:
        """Queue an event for the function; safe from any thread."""
        if not self.active:
            return
        memory, disk = weight(event)
        dropped = 0
        with self._lock:
            self._waiting.append((event, memory, disk))
            self._waiting_bytes += memory
            self._waiting_files += disk
            while len(self._waiting) > 1 and self._waiting_too_much():
                self._take()
                dropped += 1
            begin, self._draining = not self._draining, True
        for _ in range(dropped):
            self.drop("its oldest events")
        if not begin:
            return
        if not self._is_async and self._main_loop is None:
            self._workers.start(self._drain_here)
        elif LOOP.is_current():
            self._start_task()
        else:
            LOOP.loop.call_soon_threadsafe(self._start_task)

    def _waiting_too_much(self) -> bool:
        return (
            len(self._waiting) > _WAITING_LIMIT
            or self._waiting_bytes > _WAITING_BYTES
            or self._waiting_files > MAX_SPOOLED
        )

    def _take(self) -> Event:
        event, memory, disk = self._waiting.popleft()
        self._waiting_bytes -= memory
        self._waiting_files -= disk
        return event

    def drop(self, what: str) -> None:
        """Count an event that is dropped because the function cannot keep up, and say so at the first one."""
        self.dropped += 1
        if self.dropped == 1:
            self.say(f"{self!r} cannot keep up. From now on {what} are dropped and counted.")

    def _next(self) -> Event | None:
        with self._lock:
            if self._waiting:
                return self._take()
            self._draining = False
            return None

    def _drain_here(self) -> None:
        while (event := self._next()) is not None:
            try:
                self._run_here(functools.partial(self._called_with_value, event))
            except Exception as error:
                self.failed(error)

    def _start_task(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._drain_on_loop())

    async def _drain_on_loop(self) -> None:
        try:
            while (event := self._next()) is not None:
                await self.serve(event, event.data)
        finally:
            self._task, self._draining = None, False

    async def serve(self, event: Event, data: Any) -> None:
        """Call the function for one event, and show its exception, if any."""
        value = None
        try:
            # Reading and decoding may take long, so not on the loop, where an async function itself runs.
            if self.read is not None:
                data = await self._workers.run(functools.partial(self.read, event))
            if self._takes_value:
                is_decoded = decoder_of(event) is not None
                value = await self._workers.run(lambda: event.value) if is_decoded else event.value
            await self._run(lambda: self._called(event, data, value))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.failed(error)

    def _called(self, event: Event, data: Any, value: Any) -> Any:
        offered = {"data": data, "event": event, "sender": event.sender, "value": value}
        arguments = event_arguments(self._signature, offered)
        return self.function(*arguments.args, **arguments.kwargs)

    def _called_with_value(self, event: Event) -> Any:
        data = event.data if self.read is None else self.read(event)
        return self._called(event, data, event.value if self._takes_value else None)

    def failed(self, error: BaseException) -> None:
        """Count an exception, and show its traceback in the cell, at most once a second."""
        if self._reports.allows():
            hint = _NOT_GLOBAL if isinstance(error, UnboundLocalError) else ""
            self.say(f"Handler {self.name} of {self.kind} failed:\n{format_error(error)}{hint}".rstrip("\n"))
        self.errors += 1  # set last: other threads that wait for it expect the output to be there

    def _count_not_shown(self, count: int) -> None:
        self.say(f"Handler {self.name} of {self.kind} failed {count:,} more times within a second, not shown.")

    def say(self, text: str) -> None:
        """Write to the standard error of the cell that the handler belongs to."""
        self._context.copy().run(_write, text)

    def inform(self, show: Callable[[], None]) -> None:
        """Call `show` in the context of the handler's cell, so that its output appears there."""
        self._context.copy().run(show)

    def stop(self) -> None:
        """Stop serving; a call in progress finishes."""
        self.active = False
        if self.kind != "connection":  # it must still receive the event that the room was closed
            with self._lock:
                self._waiting.clear()
                self._waiting_bytes = self._waiting_files = 0
        self._workers.stop()
        self._reports.flush()


class Handlers:
    """The handlers of one room. Registering, removing and dispatching are safe from any thread."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        # Begin the new handler first, so that a method which both serve is never unserved.
        self._active: Belongings[Handler] = Belongings(end=self._ended, begin=self._added)
        self._on_change: list[Callable[[Handler, bool], None]] = []
        self._release: dict[Handler, Callable[[], None]] = {}
        log.subscribe(self._dispatch)

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._active)

    def __len__(self) -> int:
        return len(self._active)

    def on_change(self, callback: Callable[[Handler, bool], None]) -> None:
        """Call `callback(handler, added)` after each registration and removal."""
        self._on_change.append(callback)

    def add(self, handler: Handler) -> None:
        """Register a handler, and end those that it replaces."""
        self._active.add(handler)

    def remove(self, target: Callable[..., Any] | str | Handler) -> int:
        """End all handlers that match a handler, a function, a name or a topic; return their number.

        Raises:
            TypeError: for anything else, such as None, which would match every handler of every topic.
        """
        if not isinstance(target, str | Handler) and not callable(target):
            raise TypeError("Specify what to end: a handler, a function, a name or a topic.")
        return self._active.end_if(
            lambda each: target is each or target == each.function or target in (each.name, each.topic)
        )

    def end(self) -> None:
        """End all handlers."""
        self._active.end_if(lambda each: True)

    def matching(self, event: Event) -> list[Handler]:
        """The handlers that receive this event."""
        return [each for each in self._active if each.kind != "rpc" and each.interest.receives(event)]

    def _added(self, handler: Handler) -> None:
        if handler.kind == "data_track":
            self._release[handler] = self._log.want(handler.interest)
        self._notify(handler, added=True)

    def _ended(self, handler: Handler) -> None:
        handler.stop()
        release = self._release.pop(handler, None)
        if release is not None:
            release()
        self._notify(handler, added=False)

    def _notify(self, handler: Handler, *, added: bool) -> None:
        for callback in self._on_change:
            callback(handler, added)

    def _dispatch(self, event: Event) -> None:
        # An open stream is offered by its reader. A failed one is in the log, but is not a message.
        if event.status != "ok":
            return
        for handler in self.matching(event):
            if handler.streams or (handler.only is not None and not handler.only(event)):
                continue
            if not handler.takes(event.size or 0):
                handler.say(f"{handler!r} does not receive a stream of {event.size:,} bytes: it exceeds max_size.")
                continue
            handler.offer(event)


def event_signature(function: Callable[..., Any]) -> inspect.Signature:
    """The parameters of a handler of events, checked: each one is data, event, sender or value, or has a default.

    Raises:
        TypeError: for any other parameter, and for a function that cannot be a handler.
    """
    signature = signature_of(function)
    parameters = signature.parameters.values()
    for each in parameters:
        required = each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        if required and each.name not in _OFFERED:
            raise TypeError(
                f"The handler's parameter {each.name!r} is not one of data, event, sender, value"
                f"{did_you_mean(each.name, _OFFERED)} "
                "Declare only the ones it needs, for example `def handler(data, sender):`."
            )
    variable = next((each for each in parameters if each.kind is each.VAR_POSITIONAL), None)
    if variable and not event_arguments(signature, dict.fromkeys(_OFFERED)).arguments:
        raise TypeError(
            f"The handler's parameter *{variable.name} would receive nothing. Declare the ones it needs out of data, "
            f"event, sender, value, for example `lambda data: {name_of(function)}(data)`."
        )
    return signature


def event_arguments(signature: inspect.Signature, offered: dict[str, Any]) -> inspect.BoundArguments:
    """The arguments for one event: by position where Python allows it, which some decorators require."""
    undeclared = dict(offered)
    arguments: OrderedDict[str, Any] = OrderedDict()
    for each in signature.parameters.values():
        if each.kind is each.VAR_KEYWORD:
            arguments[each.name] = undeclared
        elif each.name in offered and each.kind is not each.VAR_POSITIONAL:
            arguments[each.name] = undeclared.pop(each.name)
        elif each.kind is each.POSITIONAL_ONLY:
            arguments[each.name] = each.default
    return inspect.BoundArguments(signature, arguments)


def _write(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _label(function: Callable[..., Any]) -> tuple[Any, ...]:
    """What a redefined function shares with its earlier definition, and with no other function."""
    name = getattr(function, "__qualname__", repr(function))
    if inspect.ismethod(function):
        return function.__module__, name, id(function.__self__)  # the same method of another object is another handler
    if name.endswith("<lambda>"):
        return function.__module__, name, getattr(function, "__code__", None)  # all lambdas have this name
    return getattr(function, "__module__", None), name
