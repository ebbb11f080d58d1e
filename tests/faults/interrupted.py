"""Interrupts one call at random moments, as Ctrl-C does, and prints what was left open. Run by test_interrupts.py.

python tests/faults/interrupted.py CALL TIMES
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import lknb

sys.path.insert(0, str(Path(__file__).parents[1]))
from waiting import slow_work

LONGEST = 0.08
MAIN = threading.main_thread().ident or 0

alice, bob = lknb.connect("interrupts", "alice"), lknb.connect("interrupts", "bob")


@bob.rpc("echo")
def echo(payload: object) -> object:
    return payload


def stream_text() -> None:
    with alice.stream_text(topic="story") as out:
        for _ in range(5):
            out.write("once upon a time")


def stream_bytes() -> None:
    with alice.stream_bytes("data") as out:
        for _ in range(5):
            out.write(bytes(100_000))


def send_file() -> None:
    alice.send_file(FILE.name, progress=False)


def connect() -> None:
    lknb.connect("interrupts", "carol", timeout=5).close()


def rejoin() -> None:
    alice.close()
    alice.rejoin()


CALLS: dict[str, Callable[[], object]] = {
    "send_text": lambda: alice.send_text("hello"),
    "send_text of pieces": lambda: alice.send_text("piece " for _ in range(20)),
    "stream_text": stream_text,
    "stream_bytes": stream_bytes,
    "send_bytes": lambda: alice.send_bytes(os.urandom(300_000), progress=False),
    "send_file": send_file,
    "publish_data": lambda: alice.publish_data(bytes(1_000)),
    "perform_rpc": lambda: alice.perform_rpc("bob", "echo", [1]),
    "set_attributes": lambda: alice.attributes.update({"key": str(random.random())}),
    "set_metadata": lambda: alice.local_participant.set_metadata(str(random.random())),
    "data tracks": lambda: (alice.publish_data_track("imu"), alice.unpublish_data_track("imu")),
    "connect": connect,
    "close": lambda: alice.close(),
    "rejoin": rejoin,
    "next": lambda: alice.listen("text").next(timeout=0.1),
}


def interrupted(call: Callable[[], object]) -> None:
    """Call it, and interrupt it at a random moment."""
    delay, fired = random.uniform(0, LONGEST), threading.Event()

    def interrupt() -> None:
        slow_work(delay)
        signal.pthread_kill(MAIN, signal.SIGINT)
        fired.set()

    try:
        threading.Thread(target=interrupt).start()
        call()
        fired.wait()
        slow_work(0.01)
    except (KeyboardInterrupt, lknb.LknbError):
        pass
    while not fired.is_set():
        try:
            fired.wait()
        except KeyboardInterrupt:
            pass


def everything_works() -> None:
    deadline = time.monotonic() + 10
    # A rejoin that was interrupted closes the room a moment later.
    while alice.state == "reconnecting" and time.monotonic() < deadline:
        slow_work(0.01)
    if alice.state == "closed":
        alice.rejoin()
    alice.send_text("still here", topic="check")
    assert alice.perform_rpc("bob", "echo", 7, timeout=5) == 7


def left_open() -> list[str]:
    rooms = [room.identity for room in lknb.rooms() if room.identity not in ("alice", "bob")]
    return rooms + [repr(event) for room in (alice, bob) for event in room.events if event.status == "open"]


def main(name: str, times: int) -> None:
    for _ in range(times):
        interrupted(CALLS[name])
        try:
            slow_work(0.01)
            everything_works()
        except KeyboardInterrupt:  # it came late
            everything_works()
    deadline = time.monotonic() + 10
    while left_open() and time.monotonic() < deadline:
        slow_work(0.05)
    print("left open:", left_open())
    for room in lknb.rooms():
        room.close()


if __name__ == "__main__":
    random.seed(sys.argv[1])
    with tempfile.NamedTemporaryFile() as FILE:
        FILE.write(os.urandom(1_000_000))
        FILE.flush()
        main(sys.argv[1], int(sys.argv[2]))
