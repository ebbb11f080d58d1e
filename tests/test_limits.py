"""What one hostile participant cannot do: fill the memory, or hold up the others."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from peers import PeerError, PlainPeer
from waiting import eventually

import lknb
from lknb import connect_options
from lknb.event import weight
from lknb.inbox import Inbox
from lknb.interest import Interest
from lknb.systems import rpc, streams
from lknb.systems.data_tracks import MAX_TRACKS

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
    assert "over the limit of 67.1 MB per stream; connect with a larger max_stream_size=" in (refused.error or "")


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


MOST = 100


@pytest.fixture
def _few_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow fewer open streams, so that a test can open them all."""
    assert streams.MAX_OPEN_STREAMS == 4096
    monkeypatch.setattr(streams, "MAX_OPEN_STREAMS", MOST)


@pytest.mark.usefixtures("_few_streams")
def test_streams_that_never_end_are_limited_for_each_sender(alice: lknb.Room, peer: Peer) -> None:
    evil, honest = peer("evil"), peer("honest")
    for _ in range(MOST + 10):
        evil.call("open_text", topic="endless")
    eventually(lambda: len(alice.events.filter("text", status="dropped")) == 10)
    assert len(alice.events.filter("text", status="open")) == MOST
    assert (
        alice.events.filter("text", status="dropped")[-1].error
        == "'evil' has 100 other text streams open, which is the limit"
    )
    texts = alice.listen("text", sender="honest")
    honest.call("send_text", text="hello")
    assert texts.next(timeout=10).data == "hello"


@pytest.mark.usefixtures("_few_streams")
def test_sender_may_open_streams_again_when_others_have_ended(alice: lknb.Room, peer: Peer) -> None:
    evil = peer("evil")
    handles = [evil.call("open_text", topic="many") for _ in range(MOST)]
    eventually(lambda: len(alice.events.filter("text", status="open")) == MOST)
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


def test_calls_that_wait_for_their_turn_are_limited_for_each_caller(
    alice: lknb.Room, bob: lknb.Room, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "MAX_WAITING", 3)
    end = threading.Event()

    @alice.rpc("slow", concurrency=1)
    def slow() -> int:
        end.wait(60)
        return 1

    carol = join("carol")
    with ThreadPoolExecutor(5) as threads:
        calls = [threads.submit(bob.perform_rpc, "alice", "slow", timeout=60) for _ in range(4)]
        eventually(lambda: len(alice.events.filter("rpc", sender="bob", status="open")) == 4)
        try:
            with pytest.raises(lknb.RpcError, match="3 other calls of 'slow' by 'bob' are waiting") as refused:
                bob.perform_rpc("alice", "slow", timeout=10)
            assert (refused.value.code, refused.value.name) == (429, "TOO_MANY_CALLS")
            assert alice.events.filter("rpc")[-1].status == "failed"
            honest = threads.submit(carol.perform_rpc, "alice", "slow", timeout=60)
            eventually(lambda: alice.events.filter("rpc", sender="carol", status="open"))
        finally:
            end.set()
        assert [call.result(30) for call in [*calls, honest]] == [1] * 5


def test_payloads_of_calls_that_wait_are_limited_in_bytes(
    alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "MAX_WAITING_SIZE", 25_000)
    end = threading.Event()

    @alice.rpc("slow", concurrency=1)
    def slow(text: str) -> int:
        end.wait(60)
        return len(text)

    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(bob.perform_rpc, "alice", "slow", "x" * 10_000, timeout=60) for _ in range(3)]
        eventually(lambda: len(alice.events.filter("rpc", status="open")) == 3)
        try:
            with pytest.raises(lknb.RpcError, match="429 TOO_MANY_CALLS"):
                bob.perform_rpc("alice", "slow", "x" * 10_000, timeout=10)
        finally:
            end.set()
        assert [call.result(30) for call in calls] == [10_000] * 3


def test_json_of_too_many_parts_is_refused(alice: lknb.Room, peer: Peer) -> None:
    @alice.rpc("count")
    def count(values: list[list[int]]) -> int:
        return len(values)

    evil = peer("evil")
    payload = "[" + "[]," * 1_000_000 + "[]]"
    with pytest.raises(PeerError, match="more than 1,000,000 objects and arrays"):
        evil.call("perform_rpc", to="alice", method="count", payload=payload)
    assert evil.call("perform_rpc", to="alice", method="count", payload="[[], []]") == "2"


@pytest.mark.slow("compresses 300 MB")
def test_compressed_answer_over_the_limit_is_an_error_that_names_it(alice: lknb.Room, peer: Peer) -> None:
    evil, peak = peer("evil"), Peak()
    evil.call("register_rpc", method="big", mode="reply", text=LETTERS, times=300)
    with pytest.raises(lknb.RpcError, match=r"1504 .* over the limit of 67.1 MB of this connection"):
        alice.perform_rpc("evil", "big", timeout=60)
    assert peak.stop() < ALLOWED


@pytest.mark.slow("compresses 480 MB")
def test_refused_calls_free_their_payloads_and_stay_in_the_log(alice: lknb.Room, peer: Peer) -> None:
    @alice.rpc("echo", raw=True)
    def echo(payload: str) -> str:
        return payload

    evil, before = peer("evil"), psutil.Process().memory_info().rss
    gc.disable()  # a call must not have to wait for the garbage collector
    try:
        for _ in range(8):
            with pytest.raises(PeerError, match="exceeds 15,728,640 bytes"):
                evil.call("perform_rpc", to="alice", method="echo", payload=LETTERS, times=60, timeout=60)
        eventually(lambda: psutil.Process().memory_info().rss - before < 240_000_000, within=20)
    finally:
        gc.enable()
    assert len(alice.events.filter("rpc", status="failed")) == 8


def test_stream_that_the_sdk_ends_at_the_limit_names_it(
    join: Join, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_options, "MAX_STREAM_SIZE", 100_000)
    alice = join("alice", max_stream_size=100_000)
    texts, evil = alice.listen("text"), peer("evil")
    handle = evil.call("open_text", topic="long")
    for _ in range(20):
        evil.call("write_text", handle=handle, text="a" * 10_000)
    ended = texts.next(timeout=20)
    assert ended.status == "failed"
    assert ended.error == "over the limit of 100.0 kB per stream; connect with a larger max_stream_size="


def test_streams_that_wait_for_a_live_handler_are_limited_in_bytes(
    alice: lknb.Room, peer: Peer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(streams, "MAX_BACKLOG", 50_000)
    monkeypatch.setattr(alice._systems.text, "max_size", 40_000)
    release = threading.Event()
    ended: list[str] = []

    @alice.on_text("live", stream=True)
    def slow(data: Iterator[str]) -> None:
        release.wait(60)
        try:
            ended.append(str(len("".join(data))))
        except lknb.StreamError as error:
            ended.append(str(error))

    evil = peer("evil")
    for _ in range(3):
        evil.call("send_text", text="a" * 20_000, topic="live", compress=False)
    handler = alice.handlers[0]
    eventually(lambda: handler.dropped == 1)
    assert "cannot keep up. From now on streams of which too much waits are dropped" in capsys.readouterr().err
    eventually(lambda: len(alice.events.filter("text", status="ok")) == 3)
    release.set()
    eventually(lambda: len(ended) == 3)
    assert sorted(ended) == ["20000", "20000", "more than 50.0 kB wait for this handler"]
    evil.call("send_text", text="a" * 20_000, topic="live", compress=False)
    eventually(lambda: ended[3:] == ["20000"])


def test_number_of_streams_that_wait_for_a_live_handler_is_limited(
    alice: lknb.Room, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_LIVE", 2)
    release = threading.Event()

    @alice.on_text("live", stream=True)
    def slow(data: Iterator[str]) -> None:
        release.wait(60)

    evil = peer("evil")
    for _ in range(5):
        evil.call("send_text", text="a", topic="live")
    handler = alice.handlers[0]
    eventually(lambda: handler.dropped == 3)
    assert handler.calls == 2
    release.set()


def test_unread_files_of_an_inbox_are_limited_on_disk(alice: lknb.Room, peer: Peer) -> None:
    inbox = Inbox(alice.events, Interest.of("bytes"), max_spooled=12_000_000)
    evil = peer("evil")
    for number in range(3):
        evil.call("send_bytes", data=b"a" * 5_000_000, topic="files", name=f"{number}.bin")
    eventually(lambda: inbox.dropped == 1, within=20)
    assert [inbox.next().name for _ in range(2)] == ["1.bin", "2.bin"]
    inbox.close()


def test_long_topics_count_in_the_size_of_the_log(alice: lknb.Room, peer: Peer) -> None:
    evil, inbox = peer("evil"), alice.listen("data")
    evil.call("publish_data", data=b"", topic="t" * 50_000)
    packet = inbox.next()
    assert len(packet.topic) == 50_000
    assert weight(packet)[0] > 50_000
