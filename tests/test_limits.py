"""What one hostile participant cannot do: fill the memory, or hold up the others."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psutil
import pytest
from peers import PeerError, PlainPeer
from waiting import eventually

import lknb
from lknb.systems.data_tracks import MAX_TRACKS
from lknb.systems.rpc import MAX_WAITING
from lknb.systems.streams import MAX_OPEN_STREAMS

Join = Callable[..., lknb.Room]
Peer = Callable[..., PlainPeer]

LETTERS = "a" * 1_000_000
ALLOWED = 400 * 1024 * 1024


class Peak:
    """The most memory that this process had since the object was made."""

    def __init__(self) -> None:
        self._before = psutil.Process().memory_info().rss
        self.growth = 0
        self._stop = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.growth = max(self.growth, psutil.Process().memory_info().rss - self._before)

    def stop(self) -> int:
        self._stop.set()
        return self.growth


@pytest.mark.slow("compresses 300 MB")
def test_compressed_call_does_not_fill_the_memory(alice: lknb.Room, peer: Peer) -> None:
    @alice.rpc("echo", raw=True)
    def echo(payload: str) -> str:
        return payload[:10]

    peak = Peak()
    evil = peer("evil")
    with pytest.raises(PeerError):
        evil.call("perform_rpc", to="alice", method="echo", payload=LETTERS, times=300, timeout=60)
    assert peak.stop() < ALLOWED
    assert evil.call("perform_rpc", to="alice", method="echo", payload="still here") == "still here"


@pytest.mark.slow("compresses 300 MB")
def test_compressed_text_over_the_limit_is_recorded_as_failed(alice: lknb.Room, peer: Peer) -> None:
    texts, peak = alice.listen("text"), Peak()
    peer("evil").call("send_text", text=LETTERS, times=300, timeout=60)
    refused = texts.next(timeout=30)
    assert peak.stop() < ALLOWED
    assert refused.status == "failed"
    assert "over the limit of 67.1 MB" in (refused.error or "")


def test_call_over_the_limit_of_payloads_is_not_kept(alice: lknb.Room, peer: Peer) -> None:
    @alice.rpc("echo", raw=True)
    def echo(payload: str) -> str:
        return payload

    with pytest.raises(PeerError, match="exceeds 15,728,640 bytes"):
        peer("evil").call("perform_rpc", to="alice", method="echo", payload=LETTERS, times=16, timeout=30)
    refused = alice.events.filter("rpc")[-1]
    assert (refused.status, refused.data) == ("failed", None)
    assert refused.size == 16_000_000


def test_handler_cannot_take_more_than_its_connection(alice: lknb.Room, join: Join) -> None:
    with pytest.raises(ValueError, match=r"Connect with max_stream_size=100000000"):
        alice.on_bytes("films", max_size=100_000_000)(lambda data: None)
    large = join("large", max_stream_size=100_000_000)
    large.on_bytes("films", max_size=100_000_000)(lambda data: None)
    assert [each.topic for each in large.handlers] == ["films"]


def test_streams_that_never_end_are_limited_for_each_sender(alice: lknb.Room, peer: Peer) -> None:
    evil, honest = peer("evil"), peer("honest")
    for _ in range(MAX_OPEN_STREAMS + 10):
        evil.call("open_text", topic="endless")
    eventually(lambda: len(alice.events.filter("text", status="dropped")) == 10)
    assert len(alice.events.filter("text", status="open")) == MAX_OPEN_STREAMS
    assert alice.events.filter("text", status="dropped")[-1].error == "'evil' has 256 other streams open"
    texts = alice.listen("text", sender="honest")
    honest.call("send_text", text="hello")
    assert texts.next(timeout=10).data == "hello"


def test_sender_may_open_streams_again_when_others_have_ended(alice: lknb.Room, peer: Peer) -> None:
    evil = peer("evil")
    handles = [evil.call("open_text", topic="many") for _ in range(MAX_OPEN_STREAMS)]
    eventually(lambda: len(alice.events.filter("text", status="open")) == MAX_OPEN_STREAMS)
    for handle in handles:
        evil.call("close_text", handle=handle)
    eventually(lambda: not alice.events.filter("text", status="open"))
    texts = alice.listen("text")
    evil.call("send_text", text="one more")
    assert texts.next(timeout=10).data == "one more"


@pytest.mark.slow("publishes hundreds of tracks")
def test_tracks_of_one_publisher_are_limited(alice: lknb.Room, peer: Peer) -> None:
    frames, evil = alice.listen("data_track"), peer("evil")
    for number in range(MAX_TRACKS + 3):
        evil.call("publish_data_track", name=f"track-{number}")
    eventually(lambda: len(alice.events.filter("data_track", status="dropped")) == 3, within=30)
    refused = alice.events.filter("data_track", status="dropped")
    assert {event.error for event in refused} == {"not subscribed: 'evil' publishes more than 256 data tracks"}
    assert sum(track.subscribed for track in alice.data_tracks) == MAX_TRACKS
    frames.close()


@pytest.mark.slow("makes a thousand calls")
def test_calls_that_wait_for_their_turn_are_limited(alice: lknb.Room, bob: lknb.Room) -> None:
    end = threading.Event()

    @alice.rpc("slow", concurrency=1)
    def slow() -> int:
        end.wait(60)
        return 1

    method = alice._systems.rpc._methods["slow"]
    method._waiting = MAX_WAITING  # as many calls as it takes minutes to make
    try:
        first = threading.Thread(target=lambda: bob.perform_rpc("alice", "slow", timeout=60))
        with pytest.raises(lknb.RpcError) as refused:
            bob.perform_rpc("alice", "slow", timeout=10)
        assert (refused.value.code, refused.value.name) == (429, "TOO_MANY_CALLS")
        assert alice.events.filter("rpc")[-1].status == "failed"
    finally:
        method._waiting = 0
        end.set()
    first.start()
    first.join(20)
    assert not first.is_alive()
