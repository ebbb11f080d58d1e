"""Outages of every kind: the room notices, comes back, and loses nothing without saying so."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounting import Sender, arrived, unaccounted
from bad_link import BadLink, a_bad_link
from peers import PlainPeer, mint
from servers import KEY, SECRET
from waiting import eventually, slow_work

import lknb

pytestmark = [pytest.mark.faults("waits for outages of up to 40 s"), pytest.mark.timeout(300)]

Outage = Callable[[BadLink, PlainPeer], None]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[BadLink]:
    with a_bad_link(tmp_path) as link:
        yield link


@pytest.fixture
def alice(link: BadLink) -> Iterator[lknb.Room]:
    """Yield a participant behind the bad link."""
    room = lknb.connect("outage", "alice", **link.options)
    yield room
    link.loss = link.delay = 0.0
    link.mend()
    room.close()


@pytest.fixture
def dave(link: BadLink, alice: lknb.Room) -> Iterator[PlainPeer]:
    """Yield a plain peer on a good link, present for alice."""
    with link.spared() as url:
        peer = joined(url, "dave")
    eventually(lambda: "dave" in alice.participants)
    yield peer
    peer.close()


def joined(url: str, identity: str) -> PlainPeer:
    token = mint(KEY, SECRET, "outage", identity, can_update_own_metadata=True)
    return PlainPeer(url, token).connect()


def cut(seconds: float) -> Outage:
    def outage(link: BadLink, peer: PlainPeer) -> None:
        link.cut()
        slow_work(seconds)
        link.mend()

    return outage


def stopped(seconds: float) -> Outage:
    def outage(link: BadLink, peer: PlainPeer) -> None:
        link.server.signal(signal.SIGSTOP)
        slow_work(seconds)
        link.server.signal(signal.SIGCONT)

    return outage


def killed(seconds: float) -> Outage:
    def outage(link: BadLink, peer: PlainPeer) -> None:
        link.server.kill()
        slow_work(seconds)
        link.server.start()

    return outage


def ended(link: BadLink, peer: PlainPeer) -> None:
    link.server.end()
    link.server.start()


OUTAGES = {
    "link cut for 3 s": cut(3),
    "link cut for 15 s": cut(15),
    "link cut for 40 s": cut(40),
    "server stopped for 5 s": stopped(5),
    "server stopped for 20 s": stopped(20),
    "server stopped for 30 s": stopped(30),
    "server killed": killed(0),
    "server killed for 4 s": killed(4),
    "server killed for 30 s": killed(30),
    "server ended": ended,
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_nothing_is_lost_without_a_word(link: BadLink, alice: lknb.Room, dave: PlainPeer, outage: Outage) -> None:
    with Sender(alice, dave) as sender:
        slow_work(3.0)
        outage(link, dave)
        eventually(lambda: alice.state == "connected", within=90)
        slow_work(5.0)

    # Another one, because dave's SDK gives up after 20 s.
    with link.spared() as url, joined(url, "erin") as erin:
        eventually(lambda: "erin" in alice.participants, within=20)
        alice.send_text("after the outage")
        erin.wait("text", text="after the outage", timeout=20)
    assert unaccounted(alice, sender, arrived(dave)) == []


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_nothing_sent_to_a_peer_that_is_gone_is_lost_without_a_word(
    alice: lknb.Room, dave: PlainPeer, how: str
) -> None:
    with Sender(alice, dave) as sender:
        slow_work(3.0)
        if how == "killed":
            dave.kill()
        else:
            dave.pause()
        eventually(lambda: "dave" not in alice.participants, within=60)
    if how == "frozen":
        dave.resume()
        slow_work(2.0)
    assert unaccounted(alice, sender, arrived(dave)) == []


@pytest.mark.parametrize("seconds", [0, 4, 20])
@pytest.mark.parametrize("moment", [0.2, 0.5])
def test_room_comes_back_after_the_server_was_killed_under_a_byte_stream(
    link: BadLink, alice: lknb.Room, dave: PlainPeer, seconds: float, moment: float
) -> None:
    changes = alice.listen("connection")

    def send() -> None:
        with pytest.raises(lknb.LknbError):
            alice.send_bytes(os.urandom(40_000_000), progress=False)

    sending = threading.Thread(target=send)
    sending.start()
    eventually(lambda: alice.events.filter("bytes", status="open"))
    slow_work(moment)
    link.server.kill()
    assert changes.next(timeout=15).topic == "reconnecting"
    slow_work(seconds)
    link.server.start()
    eventually(lambda: alice.state == "connected", within=60)
    sending.join(20)
    assert not sending.is_alive()
    assert alice.events.filter("bytes")[-1].status == "failed"
    with joined(link.server.url, "erin") as erin:
        eventually(lambda: "erin" in alice.participants, within=20)
        alice.send_text("here again")
        erin.wait("text", text="here again", timeout=30)


@pytest.mark.parametrize(
    ("loss", "delay", "size"), [(0.0, 0.05, 1_000_000), (0.05, 0.025, 100_000), (0.2, 0.05, 100_000)]
)
def test_closing_delivers_or_says_what_it_did_not(
    link: BadLink, alice: lknb.Room, dave: PlainPeer, loss: float, delay: float, size: int
) -> None:
    link.loss, link.delay = loss, delay
    sent = {"file": alice.send_bytes(os.urandom(size), name="file", progress=False)}
    sent |= {f"text {number}": alice.send_text(f"text {number}") for number in range(10)}
    alice.close()
    eventually(lambda: not [each for each in dave.seen("bytes_open") if not dave.seen("bytes")], within=20)
    received = {each["text"] for each in dave.seen("text") if not each["error"]}
    received |= {each["name"] for each in dave.seen("bytes") if each["size"] == size}
    assert [name for name, event in sent.items() if event.status == "ok" and name not in received] == []
    assert {event.status for event in sent.values()} == {"ok"}
