"""Reports an async handler that blocks lknb's loop, which serves every room."""

from __future__ import annotations

import threading
import time
from types import FrameType

from lknb.belongings import everything
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
    at: FrameType | None = None
    while frame is not None:
        handler = _running(frame)
        if handler is not None:
            at = at or frame
            where = name_cells(f'File "{at.f_code.co_filename}", line {at.f_lineno}')
            handler.say(
                f"The async handler {handler.name} has blocked lknb's event loop for {LIMIT:g} s ({where}): every room "
                "is stalled. Make it a plain `def`, which runs on its own thread, or await slow calls."
            )
            return
        frame = frame.f_back


def _running(frame: FrameType) -> Handler | None:
    """The handler whose function this frame executes."""
    handlers = (each for each in everything() if isinstance(each, Handler))
    return next((each for each in handlers if getattr(each.function, "__code__", None) is frame.f_code), None)
