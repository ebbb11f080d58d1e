"""Waiting for a condition, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


# `...`, because a lambda in a loop binds the loop's variables as defaults.
def eventually(condition: Callable[..., T | None], within: float = 10.0, what: str = "") -> T:
    """Wait until `condition()` is true, and return what it gave; fail when it is not in time."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or condition}"
        time.sleep(0.005)  # a poll, bounded by the deadline
