"""An HTTP proxy on loopback: it takes every host for this machine, so that names which nobody knows can be reached."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Proxy:
    """Forwards `CONNECT` and absolute URLs.

    Args:
        refuse: the status line with which it answers every request instead, such as "403 Forbidden".
        credentials: `user:password` that requests have to come with.
    """

    def __init__(self, *, refuse: str | None = None, credentials: str | None = None) -> None:
        self.requests: list[str] = []
        self._refuse = refuse
        self._credentials = credentials
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{credentials + '@' if credentials else ''}{self.address}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(65536)):
                    return
                head += data
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split()
            self.requests.append(f"{method} {target}")
            refusal = self._refuse
            if self._credentials and base64.b64encode(self._credentials.encode()) not in head:
                refusal = "407 Proxy Authentication Required"
            if refusal:
                client.sendall(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            port = int(target.rsplit(":", 1)[1]) if method == "CONNECT" else urlsplit(target).port
            with socket.create_connection(("127.0.0.1", port or 80)) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    server.sendall(head)
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
