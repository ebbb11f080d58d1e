"""How one coroutine method becomes two: a blocking one for cells, and an awaitable one for any event loop.

The systems are written once, as coroutines of the loop thread. `Room` and `AioRoom` list the same methods, derived by
`blocking` and `awaitable`, with the signature and the docstring of the original.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from lknb.loop import LOOP

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


def blocking(
    system: str, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]
) -> Callable[Concatenate[Any, P], T]:
    """A method that runs the coroutine of `self._<system>` on the loop thread and waits for it."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return LOOP.run(method(getattr(self, f"_{system}"), *args, **kwargs), method.__name__)

    # With __wrapped__ in place, inspect would take the blocking method for the coroutine function it waits for.
    call.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]
    del call.__wrapped__
    return call


def awaitable(
    system: str, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A method that runs the coroutine of `self._<system>` on the loop thread; awaited from any event loop."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await LOOP.wait(method(getattr(self, f"_{system}"), *args, **kwargs))

    return call


def opening(
    system: str, method: Callable[Concatenate[Any, P], T], writer: Callable[[T], R]
) -> Callable[Concatenate[Any, P], R]:
    """A method that returns what `self._<system>` opens, as a `writer` for the caller's kind of code."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return writer(method(getattr(self, f"_{system}"), *args, **kwargs))

    return call
