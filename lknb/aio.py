"""`lknb.aio`: `connect` and `open_recording` for event loops. `room.aio` has the methods of a room as coroutines."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lknb import recordings
from lknb.connecting import aio_connect as connect
from lknb.recording.recording import Recording

__all__ = ["connect", "open_recording"]


async def open_recording(path: str | Path) -> Recording:
    """Open a recording, and find its events, without holding up the loop; see `lknb.open_recording`."""

    def opened() -> Recording:
        run = recordings.open_recording(path)
        len(run)  # the pass over the file
        return run

    return await asyncio.to_thread(opened)
