"""A process that stops the embedded server when its rooms have been empty for a while, and ends with it.

livekit-server cannot do this itself, and the kernel that started it may have ended. Run as
`python -m lknb.server.watch STATE_DIRECTORY SECONDS`. The process runs for a long time, so it imports little.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lknb.errors import ServerError
from lknb.server import api, log, paths, process, state_file


def watch(state: Path, idle: float) -> None:
    """Wait until the server of this directory ends, or end it when it has been idle for `idle` seconds."""
    server = state_file.read(state)
    if server is None:
        return
    pause = min(max(idle / 20, 0.1), 15.0)
    wanted = state_file.last_wanted(state)
    since = time.monotonic()  # does not advance while the machine sleeps
    while _runs(server):
        time.sleep(pause)
        try:
            log.cut(state)
            if state_file.last_wanted(state) != wanted or _in_use(server):
                wanted = state_file.last_wanted(state)
                since = time.monotonic()
            elif time.monotonic() - since >= idle and _ended_unwanted(state, server, wanted):
                return
        except OSError:
            continue  # the directory is gone, or the machine has too many open files; the next round tries again


def _runs(server: state_file.Record) -> bool:
    try:
        return server.alive
    except OSError:
        return True  # the machine has too many open files, which says nothing about the server


def _in_use(server: state_file.Record) -> bool:
    # No answer counts as idle: a server that does not answer for that long is of no use.
    return any((api.participants(server) or {}).values())


def _ended_unwanted(state: Path, server: state_file.Record, wanted: int) -> bool:
    """End the server, unless it was wanted again in the meantime. Under the lock, no process can want it."""
    try:
        with paths.locked(state / state_file.LOCK, timeout=60):
            if state_file.last_wanted(state) != wanted or _in_use(server):
                return False
            process.end(server.pid, server.born)
            return True
    except ServerError:
        return False  # the lock is busy; the next round tries again


if __name__ == "__main__":
    watch(Path(sys.argv[1]), float(sys.argv[2]))
