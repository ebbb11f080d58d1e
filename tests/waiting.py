"""Waiting in tests: for a condition, for nothing, and as slow as a user's code."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


# `...`, because a lambda in a loop binds the loop's variables as defaults.
def eventually(condition: Callable[..., T | None], within: float = 10.0, what: str = "") -> T:
    """Wait until `condition()` is true and return its value; fail if it is not true in time."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or condition}"
        time.sleep(0.005)  # a poll, bounded by the deadline


def remains(condition: Callable[..., object], seconds: float, what: str = "") -> None:
    """Fail if `condition()` becomes false within `seconds`: the way to show that nothing happens."""
    deadline = time.monotonic() + seconds
    while True:
        assert condition(), f"did not stay true for {seconds:g} s: {what or condition}"
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)


def slow_work(seconds: float) -> None:
    """Simulate work that takes this long: a handler, a cell, a person at a slider. Never a way to wait."""
    time.sleep(seconds)
