"""Reports an async handler that blocks lknb's loop, which serves every room."""

from __future__ import annotations

import threading
import time
from types import FrameType

from lknb.cells import name_cells
from lknb.handlers import Handler
from lknb.loop import LOOP

LIMIT = 2.0
"""Seconds that the loop may be blocked before a handler is reported."""

_PAUSE = 0.5


_watcher: threading.Thread | None = None


def watch() -> None:
    """Watch the loop for as long as it runs."""
    global _watcher
    if _watcher is None or not _watcher.is_alive():
        _watcher = threading.Thread(target=_watch, name="lknb watchdog", daemon=True)
        _watcher.start()


def _watch() -> None:
    while LOOP.is_running():
        answered = threading.Event()
        LOOP.loop.call_soon_threadsafe(answered.set)
        if not answered.wait(LIMIT) and LOOP.is_running():
            _report()
            while not answered.wait(LIMIT) and LOOP.is_running():
                pass
        time.sleep(_PAUSE)


def _report() -> None:
    frame: FrameType | None = LOOP.frame()
    at = frame
    while frame is not None and at is not None:
        if frame.f_code is Handler.awaiting.__code__:
            handler: Handler = frame.f_locals["self"]
            where = name_cells(f'File "{at.f_code.co_filename}", line {at.f_lineno}')
            handler.say(
                f"The async handler {handler.name} has blocked lknb's event loop for {LIMIT:g} s ({where}): every room "
                "is stalled. Make it a plain `def`, which runs on its own thread, or await slow calls."
            )
            return
        at, frame = frame, frame.f_back
