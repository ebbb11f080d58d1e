"""The embedded livekit-server: found or built, run on loopback, shared by this user's kernels, stopped when unused.

    binary.py          finds the binary, or installs it: golang.py builds it, release.py downloads it
    livekit_config.py  the configuration that keeps the server on loopback
    lifecycle.py       starts and stops the server, and reports its status
    state_file.py      the server's record, in memory and on disk
    owner.py           who listens on the server's port: this user, or another one of this machine
    api.py             the calls of the server's HTTP API that running it needs
    watch.py           the process that stops the server when its rooms are empty
    log.py             the server's log
    paths.py           directories and locks
    os_errors.py       what the operating system refused, in words
    process.py         processes
    command.py         commands with a time limit

Environment: `LKNB_SERVER` (the binary to use), `LKNB_SERVER_IDLE` (seconds without participants before the server
stops), `LKNB_CACHE_DIR` (directory of the binary) and `LKNB_STATE_DIR` (directory of the running server's files).
"""

from __future__ import annotations

from lknb.server.command import Progress
from lknb.server.lifecycle import ensure, install, participants, status, stop
from lknb.server.log import follow, log_tail
from lknb.server.owner import check_ours, is_ours
from lknb.server.state_file import RunningServer

__all__ = [
    "Progress",
    "RunningServer",
    "check_ours",
    "ensure",
    "follow",
    "install",
    "is_ours",
    "log_tail",
    "participants",
    "status",
    "stop",
]
