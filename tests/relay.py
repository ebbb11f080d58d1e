"""A TCP relay in front of the server's signalling: it can delay answers, stall, and cut and refuse connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

from waiting import slow_work


class Relay:
    """Listens on loopback and forwards everything to the server at `url`."""

    def __init__(self, url: str, *, hold_back: float = 0.0) -> None:
        self._target = ("127.0.0.1", urlsplit(url).port or 0)
        self._hold_back = hold_back
        self._open: list[socket.socket] = []
        self._refusing = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.refuse()
        self.go_on()
        self._listener.close()

    def refuse(self) -> None:
        """Cut all connections and refuse new ones."""
        self._refusing = True
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def allow(self) -> None:
        """Accept new connections again."""
        self._refusing = False

    def stall(self) -> None:
        """Hold back everything, without closing a connection: a cable was pulled."""
        self._flowing.clear()

    def go_on(self) -> None:
        """Pass on what was held back, and everything after it."""
        self._flowing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            if self._refusing:
                for each in (client, server):
                    each.close()
                continue
            threading.Thread(target=self._pump, args=(client, server, 0.0), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self._hold_back), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, hold_back: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if hold_back:
                    slow_work(hold_back)
                    hold_back = 0.0
                self._flowing.wait()
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
