"""A bad link between participants and a livekit-server, for an ordinary user: a UDP proxy and a TCP relay.

The server announces 127.0.0.2 as its address, where the proxy listens; it passes packets on to 127.0.0.1, where the
server is. Both directions have the same delay and loss.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from relay import Relay
from servers import KEY, SECRET, Server

_ANNOUNCED = "127.0.0.2"

Address = tuple[str, int]


class BadLink:
    """The link to one server. Its attributes may be changed at any time, and do not affect spared participants.

    Attributes:
        server: the server.
        delay: seconds that a packet takes, one way.
        loss: the share of packets that are lost, from 0 to 1.
        options: for `lknb.connect`.
    """

    def __init__(self, folder: Path) -> None:
        self.delay = self.loss = 0.0
        self.server = Server(folder, rtc={"node_ip": _ANNOUNCED, "use_ice_lite": True})
        self.server.start()
        self._relay = Relay(self.server.url)
        self.options: dict[str, Any] = {"url": self._relay.url, "api_key": KEY, "api_secret": SECRET}
        self._is_cut = False
        self._sparing = False
        self._spared: set[Address] = set()
        self._random = random.Random(1)
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind((_ANNOUNCED, self.server.udp_port))
        self._clients: dict[Address, socket.socket] = {}
        self._waiting: list[tuple[float, int, socket.socket, bytes, Address | None]] = []
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Pull the cable: nothing passes any more, and nothing says so."""
        self._is_cut = True
        self._relay.stall()

    def mend(self) -> None:
        """Plug the cable in again."""
        self._is_cut = False
        self._relay.go_on()

    @contextlib.contextmanager
    def spared(self) -> Iterator[str]:
        """Give the URL for participants who join in this block: they have a good link."""
        self._sparing = True
        try:
            yield self.server.url
        finally:
            self._sparing = False

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for each in (self._front, *self._clients.values()):
            each.close()
        self._selector.close()
        self._relay.__exit__(None, None, None)
        with contextlib.suppress(OSError):
            self.server.kill()

    def _run(self) -> None:
        while not self._ended.is_set():
            wait = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else 0.05
            for key, _ in self._selector.select(min(wait, 0.05)):
                with contextlib.suppress(OSError):  # the server is down
                    self._receive(key.fileobj, key.data)
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, target, data, address = heapq.heappop(self._waiting)
                with contextlib.suppress(OSError):
                    target.sendto(data, address) if address else target.send(data)

    def _receive(self, source: Any, client: Address | None) -> None:
        if client is not None:
            self._pass(source.recv(65536), client, self._front, client)
            return
        data, client = self._front.recvfrom(65536)
        if client not in self._clients:
            back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            back.connect(("127.0.0.1", self.server.udp_port))
            self._selector.register(back, selectors.EVENT_READ, client)
            self._clients[client] = back
            if self._sparing:
                self._spared.add(client)
        self._pass(data, client, self._clients[client], None)

    def _pass(self, data: bytes, client: Address, target: socket.socket, address: Address | None) -> None:
        delay = 0.0
        if client not in self._spared:
            if self._is_cut or self._random.random() < self.loss:
                return
            delay = self.delay
        heapq.heappush(self._waiting, (time.monotonic() + delay, next(self._numbers), target, data, address))


@contextlib.contextmanager
def a_bad_link(folder: Path) -> Iterator[BadLink]:
    """Run a server behind a link that is good until it is made bad."""
    with contextlib.closing(BadLink(folder)) as link:
        yield link
