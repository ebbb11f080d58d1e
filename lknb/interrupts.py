"""Holds interrupts back while code runs that must not end in the middle.

Ctrl-C raises KeyboardInterrupt anywhere in the main thread's code. Between two lines that record an event, it would
leave the log half changed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any


class Uninterrupted:
    """A block of the main thread that no interrupt ends: one that comes is raised at its end, or where it waits.

    Other threads are not interrupted anyway.
    """

    def __enter__(self) -> Uninterrupted:
        self._came: tuple[int, FrameType | None] | None = None
        self._handler: Any = None
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._hold)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let interrupts through while this block waits."""
        self._release()
        try:
            yield
        finally:
            if self._handler is not None:
                signal.signal(signal.SIGINT, self._hold)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._came = number, frame

    def _release(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            came, self._came = self._came, None
            if came is not None:
                self._handler(*came)
