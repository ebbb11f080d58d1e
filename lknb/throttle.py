"""`Throttle`: at most one report a second, and a count of those that were held back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from lknb.loop import LOOP

EVERY = 1.0
"""Seconds between two reports."""


class Throttle:
    """Lets one report a second through and counts the others. Safe from any thread.

    Args:
        held_back: called with the number of reports held back, at the end of a second in which there were any.
    """

    def __init__(self, held_back: Callable[[int], None]) -> None:
        self._held_back = held_back
        self._quiet_until = 0.0
        self._count = 0
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether to show a report now. If not, it is counted."""
        with self._lock:
            at = monotonic()
            if at >= self._quiet_until and not self._count:
                self._quiet_until = at + EVERY
                return True
            self._count += 1
            if self._count > 1:
                return False
            wait = max(0.0, self._quiet_until - at)
        LOOP.loop.call_soon_threadsafe(LOOP.loop.call_later, wait, self.flush)
        return False

    def flush(self) -> None:
        """Pass on the number of reports held back so far, if any."""
        with self._lock:
            count, self._count = self._count, 0
            if count:
                self._quiet_until = 0.0
        if count:
            self._held_back(count)
