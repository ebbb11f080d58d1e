"""The embedded server's state: `RunningServer` for callers, `Record` on disk for all processes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path

from lknb.server import paths, process

RECORD = "record.json"
CONFIG = "livekit.yaml"
LOG = "server.log"
LOCK = "lock"


@dataclass(frozen=True)
class RunningServer:
    """A running embedded server.

    Attributes:
        url: its WebSocket URL, on 127.0.0.1.
        api_key: its API key.
        api_secret: the secret that signs its tokens; not in the repr.
        pid: its process id.
        version: the version of livekit-server, such as "1.13.5".
        started_at: when it was started, timezone-aware.
        log: its log file; `log_tail()` reads it.
        config: where its further settings are from; None without any.
    """

    url: str
    api_key: str
    api_secret: str = field(repr=False)
    pid: int
    version: str
    started_at: datetime
    log: Path
    config: str | None = None


@dataclass(frozen=True)
class Record:
    """The server that was started last. Kept after it has ended, so that the next one uses the same ports."""

    http_port: int
    udp_port: int
    api_key: str
    api_secret: str = field(repr=False)
    pid: int
    born: str
    version: str
    started_at: str
    watch_pid: int
    watch_born: str
    config: str = ""  # identifies the user's settings
    config_from: str = ""

    @property
    def alive(self) -> bool:
        """Whether its process is alive, and not another one with the same pid."""
        return process.alive(self.pid, self.born)

    @property
    def watched(self) -> bool:
        """Whether the process that stops it when idle is alive."""
        return process.alive(self.watch_pid, self.watch_born)

    def public(self, state: Path) -> RunningServer:
        """The record as callers see it."""
        return RunningServer(
            url=f"ws://127.0.0.1:{self.http_port}",
            api_key=self.api_key,
            api_secret=self.api_secret,
            pid=self.pid,
            version=self.version,
            started_at=datetime.fromisoformat(self.started_at),
            log=state / LOG,
            config=self.config_from or None,
        )


def read(state: Path) -> Record | None:
    """The record in a state directory; None if it is missing or invalid.

    Raises:
        OSError: if it cannot be read.
    """
    try:
        known = json.loads((state / RECORD).read_text(encoding="utf-8"))
        record = Record(**known)
        datetime.fromisoformat(record.started_at)
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return None
    well_typed = all(type(getattr(record, item.name)).__name__ == item.type for item in fields(Record))
    return record if well_typed else None


def write(state: Path, record: Record) -> None:
    """Write the record to a state directory."""
    paths.write_private(state / RECORD, json.dumps(asdict(record), indent=1))


def touch(state: Path) -> None:
    """Mark the server as wanted now. The watcher counts its idle time from here."""
    os.utime(state / RECORD)


def last_wanted(state: Path) -> int:
    """When `touch` or `write` was last called; meaningful only compared with an earlier value."""
    try:
        return (state / RECORD).stat().st_mtime_ns
    except OSError:
        return 0
