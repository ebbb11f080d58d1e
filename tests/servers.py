"""A livekit-server with a configuration of its own, for what the shared one does not do."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from waiting import eventually

from lknb import server
from lknb.server import livekit_config

KEY, SECRET = "key", "a-secret-of-more-than-32-characters"


@contextlib.contextmanager
def a_server(folder: Path, **configuration: Any) -> Iterator[str]:
    """Run a server with these settings, and give its URL."""
    port, udp_port = livekit_config.free_port(socket.SOCK_STREAM), livekit_config.free_port(socket.SOCK_DGRAM)
    settings = json.loads(livekit_config.text(port, udp_port, KEY, SECRET)) | configuration
    path = folder / "livekit.yaml"
    path.write_text(json.dumps(settings))

    def is_up() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        return False

    with (folder / "log").open("wb") as log:
        child = subprocess.Popen([server.install(), "--config", path], stdout=log, stderr=log)
    try:
        eventually(is_up, within=20)
        yield f"ws://127.0.0.1:{port}"
    finally:
        child.kill()
        child.wait()
