"""Two forms of one coroutine method: a blocking one for cells, and an awaitable one for any event loop.

The systems are written once, as coroutines for the loop thread, or, for what must be quick, as coroutines that await
replies only and run on the caller's thread (`replies.py`). `Room`, `LocalParticipant` and their awaitable twins
list the same methods, derived here with the parameters, the result and the docstring of the original. The first
argument picks the system: `blocking(lambda systems: systems.text, TextStreams.send_text)`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from lknb.loop import LOOP
from lknb.replies import wait

if TYPE_CHECKING:
    from lknb.systems import Systems

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")


def blocking(
    system: Callable[[Systems], S], method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
) -> Callable[Concatenate[Any, P], T]:
    """A method that runs the coroutine on the loop thread and waits for its result."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        instead = f"await {self._awaitable}.{method.__name__}(...)"
        return LOOP.run(lambda: method(system(self._systems), *args, **kwargs), method.__name__, instead)

    # With __wrapped__, inspect would mistake the blocking method for the coroutine function that it waits for.
    call.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    del call.__wrapped__
    return call


def awaitable(
    system: Callable[[Systems], S], method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A method that runs the coroutine on the loop thread; await it on any event loop."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await LOOP.wait(method(system(self._systems), *args, **kwargs))

    return call


def blocking_steps(
    system: Callable[[Systems], S], method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
) -> Callable[Concatenate[Any, P], T]:
    """The same for a coroutine that awaits replies only: it runs on the caller's thread."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        LOOP.refuse_here(method.__name__, f"await {self._awaitable}.{method.__name__}(...)")
        return wait(method(system(self._systems), *args, **kwargs))

    call.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    del call.__wrapped__
    return call


def awaitable_steps(
    system: Callable[[Systems], S], method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The same for a coroutine that awaits replies only: it runs on the caller's event loop."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        LOOP.refuse_forked()
        return await LOOP.steps(method(system(self._systems), *args, **kwargs))

    return call


def opening(
    system: Callable[[Systems], S], method: Callable[Concatenate[S, P], T], writer: Callable[[T], R]
) -> Callable[Concatenate[Any, P], R]:
    """A method that returns the stream that the system opens, wrapped in `writer` for the caller's kind of code."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return writer(method(system(self._systems), *args, **kwargs))

    if isinstance(writer, type):
        call.__signature__ = inspect.signature(call).replace(return_annotation=writer.__name__)  # type: ignore[attr-defined]
        call.__annotations__ = {**call.__annotations__, "return": writer.__name__}
        del call.__wrapped__
    return call
