"""Accounts for everything that a participant sends during an outage: it arrived, failed, or lies within a loss."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator

from peers import PlainPeer
from waiting import slow_work

import lknb

FILE = 1_000_000


class Sender:
    """Sends numbered packets, texts, calls and one file to `peer`, until it is stopped.

    Attributes:
        sent: the events, with the text or the name by which the peer knows them.
    """

    def __init__(self, room: lknb.Room, peer: PlainPeer) -> None:
        self._room, self._peer = room, peer
        self.sent: list[tuple[str, lknb.Event]] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._packets),
            threading.Thread(target=self._texts),
            threading.Thread(target=self._file),
        ]

    def __enter__(self) -> Sender:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(60)
            assert not each.is_alive(), "a send hangs"

    def _packets(self) -> None:
        for number in self._numbers(0.05):
            name = f"packet {number}"
            self._send(name, functools.partial(self._room.publish_data, name, topic="numbered"))

    def _texts(self) -> None:
        for number in self._numbers(0.4):
            name = f"text {number}"
            self._send(name, functools.partial(self._room.send_text, name, topic="numbered"))

    def _file(self) -> None:
        for number in self._numbers(3.0):
            content = os.urandom(FILE)
            name = f"file {number}"
            self._send(name, functools.partial(self._room.send_bytes, content, name=name, progress=False))

    def _numbers(self, pause: float) -> Iterator[int]:
        number = 0
        while not self._stop.is_set():
            yield number
            number += 1
            slow_work(pause)

    def _send(self, name: str, send: Callable[[], lknb.Event]) -> None:
        present = self._peer.identity in self._room.participants
        with contextlib.suppress(lknb.LknbError):  # the caller is told
            event = send()
            if present:
                self.sent.append((name, event))


def arrived(peer: PlainPeer) -> set[str]:
    """Return the names of everything that the peer has received whole."""
    packets = {base64.b64decode(each["b64"]).decode() for each in peer.seen("data")}
    texts = {each["text"] for each in peer.seen("text") if not each["error"]}
    files = {each["name"] for each in peer.seen("bytes") if each["size"] == FILE}
    return packets | texts | files


def unaccounted(room: lknb.Room, sender: Sender, received: set[str]) -> list[str]:
    """Return what was lost without a word: it did not arrive, its event is `ok`, and no loss covers its time."""
    losses = [(loss.data["from"], loss.data["until"]) for loss in room.events.filter("loss")]
    return [
        f"{name} at {event.time:%X.%f}"
        for name, event in sender.sent
        if name not in received
        and event.status == "ok"
        and not any(begin <= event.time <= end for begin, end in losses)
    ]
