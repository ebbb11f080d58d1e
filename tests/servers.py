"""A livekit-server with a configuration of its own, for what the shared one does not do."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from waiting import eventually, slow_work

from lknb import server
from lknb.server import livekit_config

KEY, SECRET = "key", "a-secret-of-more-than-32-characters"


class Server:
    """A livekit-server that can be stopped, killed and started again, with the same ports and keys.

    Attributes:
        url: its URL.
        udp_port: its UDP port, on 127.0.0.1.
    """

    def __init__(self, folder: Path, **configuration: Any) -> None:
        self._port = livekit_config.free_port(socket.SOCK_STREAM)
        self.udp_port = livekit_config.free_port(socket.SOCK_DGRAM)
        self.url = f"ws://127.0.0.1:{self._port}"
        settings = json.loads(livekit_config.text(self._port, self.udp_port, KEY, SECRET))
        settings["rtc"] |= configuration.pop("rtc", {})
        self._folder = folder
        (folder / "livekit.yaml").write_text(json.dumps(settings | configuration))
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [server.install(), "--config", self._folder / "livekit.yaml"], stdout=log, stderr=log
            )
        eventually(self._is_up, within=20)

    def _is_up(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        return False

    def signal(self, which: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._child is not None
        self._child.send_signal(which)

    def kill(self) -> None:
        """End it without a word."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()

    def end(self) -> None:
        """End it as an administrator does; it does not wait for participants."""
        assert self._child is not None
        # The first signal makes it wait for its participants, the next one ends it.
        while self._is_running():
            self.signal(signal.SIGTERM)
            slow_work(0.3)

    def _is_running(self) -> bool:
        assert self._child is not None
        return self._child.poll() is None


@contextlib.contextmanager
def a_server(folder: Path, **configuration: Any) -> Iterator[str]:
    """Run a server with these settings, and give its URL."""
    with contextlib.closing(_Running(folder, **configuration)) as running:
        yield running.url


class _Running(Server):
    def __init__(self, folder: Path, **configuration: Any) -> None:
        super().__init__(folder, **configuration)
        self.start()

    def close(self) -> None:
        self.kill()
