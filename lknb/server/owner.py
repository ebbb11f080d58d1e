"""Who listens on the embedded server's port. Another user of this machine can take it when the server has ended.

Linux tells the user of each listening socket. Elsewhere, and in sandboxes that hide it, only the server's process is
checked.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import sys
import urllib.parse
from pathlib import Path

from lknb import settings
from lknb.errors import ConnectError
from lknb.server import state_file
from lknb.server.state_file import Record

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
# Bytes. Linux lists listening sockets first, and reading the whole table takes many milliseconds.
_LINE = 150


def _as_in_table(address: bytes) -> bytes:
    words = (address[at : at + 4] for at in range(0, len(address), 4))
    return b"".join(b"%08X" % int.from_bytes(word, sys.byteorder) for word in words)


_LOOPBACK = _as_in_table(socket.inet_aton("127.0.0.1"))
# The other addresses on which a socket gets connections to 127.0.0.1, the ones preferred by Linux first.
_OTHERS = tuple(map(_as_in_table, (bytes(10) + b"\xff\xff" + socket.inet_aton("127.0.0.1"), bytes(4), bytes(16))))


def is_ours(url: str, api_key: str | None = None) -> bool:
    """Whether the embedded server at `url` is alive, and its port belongs to this user. Takes less than 1 ms on Linux.

    On systems other than Linux, only the server's process is checked, and not who listens on its port.

    Args:
        url: the server's URL, as `ensure` returned it.
        api_key: the server's key, as `ensure` returned it: a server that was started later has another one. If not
            given, any server of this user at `url` will do.

    Returns:
        False also if that cannot be found out, for example because this process has too many open files.
    """
    try:
        known = state_file.read(settings.state_dir())
        return (
            known is not None
            and known.http_port == _port(url)
            and api_key in (None, known.api_key)
            and holds_port(known)
        )
    except OSError:
        return False


def check_ours(url: str) -> None:
    """Call this before a token is sent to the embedded server at `url`.

    Raises:
        ConnectError: if another user's process listens there, or none.
    """
    try:
        users = _listening(_port(url))
    except OSError as error:
        raise ConnectError(
            f"No token was sent to {url}, because lknb could not check who listens there: {error.strerror or error}. "
            "Close what this process no longer needs, such as rooms and files, then connect again."
        ) from error
    if users == {os.geteuid()} or (users is None and is_ours(url)):
        return
    if others := (users or set()) - {os.geteuid()}:
        raise ConnectError(
            f"Another user of this machine (user id {min(others)}) listens at {url}, where the embedded server was. "
            "No token was sent. Connect again: lknb then starts its server on another port."
        )
    raise ConnectError(f"The embedded server at {url} is no longer running. Connect again: lknb then starts it.")


def holds_port(server: Record) -> bool:
    """Whether a server's process is alive, and its port belongs to this user."""
    if not server.alive:
        return False
    users = _listening(server.http_port)
    return users is None or users == {os.geteuid()}


def _port(url: str) -> int:
    return urllib.parse.urlsplit(url).port or 0


def _listening(port: int) -> set[int] | None:
    """The users whose sockets get connections to 127.0.0.1:`port`; None if this system does not tell."""
    return _users(port) if _system_tells() else None


@functools.cache
def _system_tells() -> bool:
    """Whether this system shows who listens, tried with a socket of our own. Not every sandbox does."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        return _users(own.getsockname()[1]) == {os.geteuid()}


def _users(port: int) -> set[int]:
    # A line begins: number, local address and port, remote address and port, state (0A: listening), queues, timer,
    # retransmits, user id.
    listening = re.compile(rb" *\d+: ([0-9A-F]+):%04X [0-9A-F]+:0000 0A \S+ \S+ \S+ +(\d+) " % port)
    found: dict[bytes, set[int]] = {}
    for table in _TABLES:
        with (
            contextlib.suppress(FileNotFoundError, PermissionError),  # without IPv6, there is only one
            table.open("rb", buffering=_LINE) as lines,
        ):
            for each in filter(None, map(listening.match, lines)):
                if each[1] == _LOOPBACK:
                    return {int(each[2])}
                found.setdefault(each[1], set()).add(int(each[2]))
    return next((found[address] for address in _OTHERS if address in found), set())
