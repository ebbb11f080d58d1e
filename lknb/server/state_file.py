"""What is known about the embedded server: `RunningServer` for callers, `Record` on disk for all processes."""

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
    """An embedded server that runs.

    Attributes:
        url: its WebSocket URL, on 127.0.0.1.
        api_key: the key that tokens for it name.
        api_secret: the secret that they are signed with; not in the repr.
        pid: its process.
        version: of livekit-server, such as "1.13.5".
        started_at: when it was started, with time zone.
        log: its log file; `log_tail()` reads it.
    """

    url: str
    api_key: str
    api_secret: str = field(repr=False)
    pid: int
    version: str
    started_at: datetime
    log: Path


@dataclass(frozen=True)
class Record:
    """The server that was started last. It stays when that has ended, so that the next one takes its ports and keys."""

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

    @property
    def alive(self) -> bool:
        """Whether its process is there, and not another one that has its pid now."""
        return process.alive(self.pid, self.born)

    @property
    def watched(self) -> bool:
        """Whether the process that stops it when idle is there."""
        return process.alive(self.watch_pid, self.watch_born)

    def public(self, state: Path) -> RunningServer:
        """The same for callers."""
        return RunningServer(
            url=f"ws://127.0.0.1:{self.http_port}",
            api_key=self.api_key,
            api_secret=self.api_secret,
            pid=self.pid,
            version=self.version,
            started_at=datetime.fromisoformat(self.started_at),
            log=state / LOG,
        )


def read(state: Path) -> Record | None:
    """The record in a state directory; None if there is none, or none that can be understood."""
    try:
        known = json.loads((state / RECORD).read_text(encoding="utf-8"))
        record = Record(**known)
        datetime.fromisoformat(record.started_at)
    except (OSError, ValueError, TypeError):
        return None
    well_typed = all(type(getattr(record, item.name)).__name__ == item.type for item in fields(Record))
    return record if well_typed else None


def write(state: Path, record: Record) -> None:
    """Keep the record."""
    paths.write_private(state / RECORD, json.dumps(asdict(record), indent=1))


def touch(state: Path) -> None:
    """Note that the server is wanted now; the watcher counts its idle time from here."""
    os.utime(state / RECORD)


def last_wanted(state: Path) -> int:
    """When that was last noted, to be compared with an earlier answer only."""
    try:
        return (state / RECORD).stat().st_mtime_ns
    except OSError:
        return 0
