"""Another user of this machine, as a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

NOBODY = 65534

_THIEF = f"""
import os, socket, sys, time
os.setuid({NOBODY})
address, family = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3])
print("waiting", flush=True)
while True:
    try:
        listener = socket.create_server(address, family=family, dualstack_ipv6=family == socket.AF_INET6)
        break
    except OSError:
        time.sleep(0.001)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    print("connected", flush=True)
    connection.settimeout(1)
    try:
        while received := connection.recv(65536):
            print(received, flush=True)
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{{}}")
    except OSError:
        pass
    connection.close()
"""


class Thief:
    """A process of another user that listens on a port as soon as it is free, and notes everything that it receives."""

    def __init__(self, port: int, host: str) -> None:
        family = str(int(socket.AF_INET6 if ":" in host else socket.AF_INET))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _THIEF, host, str(port), family], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "waiting\n"

    def wait(self) -> None:
        """Wait until it listens."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    def end(self) -> str:
        """End it, and return what it received since it listens."""
        self._process.kill()
        return self._process.communicate(timeout=10)[0]


@contextlib.contextmanager
def a_thief(port: int, host: str = "127.0.0.1") -> Iterator[Thief]:
    """Run a thief that waits for this port."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can be another user")
    thief = Thief(port, host)
    try:
        yield thief
    finally:
        thief.end()
