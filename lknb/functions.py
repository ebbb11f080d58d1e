"""Users' functions before they run: which parameters they take, and which of them could never run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def name_of(function: Callable[..., Any]) -> str:
    """The function's name; that of its type for a callable object."""
    return str(getattr(function, "__name__", type(function).__name__))


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` returns a coroutine. A class is not async: calling it makes an object."""
    if isinstance(function, type):
        return False
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def signature_of(function: Callable[..., Any], *, eval_str: bool = False) -> inspect.Signature:
    """The parameters of `function`.

    Args:
        function: what the user passed.
        eval_str: evaluate type hints that are written as text.

    Raises:
        TypeError: for an object that cannot be called, one whose parameters Python does not know, and a generator
            function: a call would not run its code.
    """
    if not callable(function):
        raise TypeError(f"A handler must be a function, not {type(function).__name__}.")
    name = name_of(function)
    if is_generator(function):
        raise TypeError(
            f"{name} contains `yield`, so calling it would not run its code. Use `return`, and collect several values "
            "in a list."
        )
    try:
        return inspect.signature(function, eval_str=eval_str)
    except ValueError:  # some functions written in C
        raise TypeError(
            f"Python does not know the parameters of {name}. Wrap it in a function that declares them, for example "
            f"`lambda data: {name}(data)`."
        ) from None


def is_generator(function: Callable[..., Any]) -> bool:
    """Whether calling `function` returns a generator, without running its code."""
    called = function
    while isinstance(called, functools.partial | staticmethod):
        called = called.func if isinstance(called, functools.partial) else called.__func__
    candidates = [called] if isinstance(called, type) else [called, getattr(called, "__call__", None)]  # noqa: B004
    for each in candidates:
        code = getattr(each, "__code__", None)
        # A generator of types.coroutine can be awaited.
        awaitable = code is not None and code.co_flags & inspect.CO_ITERABLE_COROUTINE
        if (inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each)) and not awaitable:
            return True
    return False
