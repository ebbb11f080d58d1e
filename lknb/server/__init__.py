"""The embedded livekit-server: found or built, run on loopback, shared by this user's kernels, stopped when unused.

    binary.py      where the binary comes from, in order   (golang.py builds it, release.py downloads it)
    livekit_config.py  the configuration that keeps it on loopback
    lifecycle.py   ensure, status, stop: what the functions below do
    state_file.py  what is known about the server, in memory and on disk
    api.py         the few calls of its HTTP API that running it takes
    watch.py       the process that stops it once nobody is in a room
    log.py         its log, for people
    paths.py, process.py, command.py    directories and locks; processes; commands with a bound

Environment: `LKNB_SERVER` (a binary to use), `LKNB_SERVER_IDLE` (seconds without participants before it stops),
`LKNB_CACHE_DIR` and `LKNB_STATE_DIR` (where the binary is kept, and what belongs to the running server).
"""

from __future__ import annotations

from lknb.server.command import Progress
from lknb.server.lifecycle import ensure, install, participants, status, stop
from lknb.server.log import follow, log_tail
from lknb.server.state_file import RunningServer

__all__ = ["Progress", "RunningServer", "ensure", "follow", "install", "log_tail", "participants", "status", "stop"]
