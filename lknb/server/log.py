"""The server's log: limited on disk, and shown without tokens, secrets or terminal escapes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lknb.server import paths, state_file
from lknb.server.os_errors import STATE, explained

MOST = 5 * 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Bytes. More than 1,000 lines take.
_TAIL = 512 * 1024


@explained(STATE)
def log_tail(lines: int = 50) -> str:
    """The last `lines` lines of the server's log, even after it has ended; empty if it has never run.

    Tokens and secrets are replaced, and control characters removed.

    Raises:
        ServerError: if the log cannot be read.
    """
    state = paths.state_dir()
    return tail(state, lines)


def follow(lines: int = 50) -> Iterator[str]:
    """Yield the last `lines` lines of the log, then each new line as it is written. Never ends by itself.

    Raises:
        ServerError: if the log cannot be read.
    """
    with explained(STATE):
        yield from _followed(lines)


def _followed(lines: int) -> Iterator[str]:
    state = paths.state_dir()
    shown = tail(state, lines)
    path = state / state_file.LOG
    position = path.stat().st_size if path.exists() else 0
    yield from shown.splitlines()
    rest = b""
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < position:  # the log was emptied
            position, rest = 0, b""
        if size > position:
            with path.open("rb") as file:
                file.seek(position)
                new = file.read(_TAIL)
            position += len(new)
            *whole, rest = (rest + new).split(b"\n")
            yield from (_clean(state, line.decode(errors="replace")) for line in whole)
        else:
            time.sleep(0.2)


def tail(state: Path, lines: int) -> str:
    """`log_tail` for the given state directory."""
    try:
        with (state / state_file.LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            text = file.read(_TAIL).decode(errors="replace")
    except FileNotFoundError:
        return ""
    return _clean(state, "\n".join(text.splitlines()[-lines:] if lines > 0 else []))


def _clean(state: Path, text: str) -> str:
    from lknb.credentials import scrub  # here, because the watcher does not need it

    known = state_file.read(state)
    if known is not None:
        text = text.replace(known.api_secret, "<secret>")
    return _CONTROL.sub("", scrub(text))


def opened(state: Path) -> IO[bytes]:
    """Open the log for appending. Only the user can read it."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    return os.fdopen(os.open(state / state_file.LOG, flags, 0o600), "wb", buffering=0)


def cut(state: Path) -> None:
    """Empty the log in place if it exceeds `MOST` bytes. A server that appends to it continues at the start."""
    path = state / state_file.LOG
    try:
        if path.stat().st_size > MOST:
            os.truncate(path, 0)
    except FileNotFoundError:
        pass
