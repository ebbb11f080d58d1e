"""`lknb.open_recording`: opens what `room.record` has kept."""

from __future__ import annotations

from pathlib import Path

from lknb import checks
from lknb.connecting import aio_connect
from lknb.public import public
from lknb.recording.recording import Recording


@public
def open_recording(path: str | Path) -> Recording:
    """Open a recording: an MCAP file that `room.record` has made, also one that was cut off, or one of another program.

    Events are read when they are needed.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it cannot be read.
        RecordingError: if it is not MCAP.
        TypeError: for a path that is none.

    Examples:
        >>> run = lknb.open_recording("run.mcap")
        >>> run.filter("text", topic="lk.chat").to_pandas()
        >>> run.state_at(12.5).participants["bob"].attributes
    """
    return Recording(checks.path(path, "path"), aio_connect)
