"""What an outage costs, and the `loss` events that say so: nothing is lost without one, or a failed event."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers import PlainPeer
from waiting import eventually, slow_work

import lknb
from lknb import server

Join = Callable[..., lknb.Room]
Peer = Callable[..., PlainPeer]


@pytest.fixture
def mortal_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[server.RunningServer]:
    """Yield a server for this test only, to be killed."""
    monkeypatch.setenv("LKNB_STATE_DIR", str(tmp_path / "mortal"))
    yield server.ensure()
    server.stop()


@pytest.fixture
def pair(mortal_server: server.RunningServer) -> Iterator[tuple[lknb.Room, lknb.Room]]:
    """Yield alice and bob in a room of that server."""
    alice, bob = lknb.connect("mortal", "alice"), lknb.connect("mortal", "bob")
    yield alice, bob
    alice.close()
    bob.close()


def covered(event: lknb.Event, room: lknb.Room) -> bool:
    """Return whether a loss of this room covers the time of an event, or the event says that it failed."""
    if event.status == "failed":
        return True
    return any(loss.data["from"] <= event.time <= loss.data["until"] for loss in room.events.filter("loss"))


@pytest.mark.slow("waits until a stalled link has ended")
def test_room_notices_what_the_sdk_does_not(
    mortal_server: server.RunningServer, pair: tuple[lknb.Room, lknb.Room]
) -> None:
    alice, bob = pair
    changes = alice.listen("connection")

    def send() -> None:
        with pytest.raises(lknb.LknbError):
            alice.send_bytes(os.urandom(8_000_000), progress=False)

    sending = threading.Thread(target=send)
    sending.start()
    eventually(lambda: any(each.transferred > 500_000 for each in alice.events.filter("bytes", status="open")))
    # The queue fills up while the server stands still. When it ends then, the SDK is in a deadlock.
    os.kill(mortal_server.pid, signal.SIGSTOP)
    slow_work(1.0)
    os.kill(mortal_server.pid, signal.SIGKILL)
    assert changes.next(timeout=20).topic == "reconnecting"
    assert changes.next(timeout=20).topic == "connected"
    sending.join(20)
    eventually(lambda: bob.state == "connected" and "alice" in bob.participants, within=30)
    texts = bob.listen("text")
    alice.send_text("here again")
    assert texts.next(timeout=10).data == "here again"


@pytest.mark.slow("lets the server stand still for longer than the SDK waits")
def test_sdk_resumes_after_a_stall_with_a_full_queue(
    mortal_server: server.RunningServer, pair: tuple[lknb.Room, lknb.Room]
) -> None:
    alice, bob = pair
    packets, stop = bob.listen("data", max_events=100_000), threading.Event()
    sent: list[lknb.Event] = []

    def send() -> None:
        while not stop.is_set():
            try:
                sent.append(alice.publish_data(os.urandom(2_000)))
            except lknb.LknbError:
                continue

    sending = threading.Thread(target=send)
    sending.start()
    eventually(lambda: len(sent) > 20)
    os.kill(mortal_server.pid, signal.SIGSTOP)
    slow_work(14.0)
    os.kill(mortal_server.pid, signal.SIGCONT)
    eventually(lambda: alice.state == bob.state == "connected", within=40)
    stop.set()
    sending.join(20)
    if not alice.events.filter("loss") and not bob.events.filter("loss"):
        eventually(lambda: {event.data for event in sent} <= {event.data for event in packets_of(bob)}, within=30)
    packets.close()


def packets_of(room: lknb.Room) -> lknb.Events:
    return room.events.filter("data", direction="in")


@pytest.mark.slow("waits for a server to start")
def test_loss_begins_before_what_was_sent_last(
    mortal_server: server.RunningServer, pair: tuple[lknb.Room, lknb.Room]
) -> None:
    alice, bob = pair
    last = [alice.send_text(f"text {number}") for number in range(20)]
    os.kill(mortal_server.pid, signal.SIGKILL)
    eventually(lambda: alice.events.filter("loss") and bob.events.filter("loss"), within=40)
    heard = {event.data for event in bob.events.filter("text")}
    assert all(covered(event, alice) for event in last if event.data not in heard)


@pytest.mark.slow("waits for a server to start")
def test_loss_says_that_the_room_is_another_one(
    mortal_server: server.RunningServer, pair: tuple[lknb.Room, lknb.Room]
) -> None:
    alice, _ = pair
    losses = alice.listen("loss")
    os.kill(mortal_server.pid, signal.SIGKILL)
    assert losses.next(timeout=40).data["another_room"] is True


@pytest.mark.slow("waits until the server notices that a peer is gone")
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_peer_that_goes_without_leaving_is_a_loss(alice: lknb.Room, peer: Peer, how: str) -> None:
    dave = peer("dave")
    dave.call("send_text", text="last words")
    eventually(lambda: alice.events.filter("text", sender="dave", status="ok"))
    losses = alice.listen("loss")
    if how == "killed":
        dave.kill()
    else:
        dave.pause()
    sent = alice.send_text("into nothing")
    loss = losses.next(timeout=60)
    assert loss.sender == "dave"
    assert loss.data["from"] <= sent.time <= loss.data["until"]
    assert "'dave' went without leaving" in (loss.error or "")


def test_peer_that_joins_again_without_leaving_is_a_loss(alice: lknb.Room, peer: Peer) -> None:
    losses, first = alice.listen("loss"), peer("dave")
    first.call("send_text", text="before")
    eventually(lambda: alice.events.filter("text", sender="dave", status="ok"))
    peer("dave")
    loss = losses.next(timeout=20)
    assert loss.sender == "dave"
    assert "joined again" in (loss.error or "")


def test_peer_that_leaves_is_no_loss(alice: lknb.Room, peer: Peer) -> None:
    dave = peer("dave")
    eventually(lambda: "dave" in alice.participants)
    dave.close()
    eventually(lambda: "dave" not in alice.participants)
    assert not alice.events.filter("loss")
