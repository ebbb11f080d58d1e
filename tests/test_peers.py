"""Two plain peers exchange all six kinds of messages on a real server: the basis for the other tests."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from livekit import api
from peers import PeerError, PlainPeer, mint
from waiting import eventually

from lknb import server


@pytest.fixture
def pair(peer: Callable[..., PlainPeer]) -> tuple[PlainPeer, PlainPeer]:
    """Return alice and bob, who see each other."""
    alice, bob = peer("alice"), peer("bob")
    alice.call("wait_participant", identity="bob")
    bob.call("wait_participant", identity="alice")
    return alice, bob


Pair = tuple[PlainPeer, PlainPeer]


def test_plain_peers_exchange_text(pair: Pair) -> None:
    alice, bob = pair
    sent = alice.call("send_text", text="Grüße ☃", topic="chat", to=["bob"], attributes={"lang": "de"})
    event = bob.wait("text", topic="chat")
    assert event["text"] == "Grüße ☃"
    assert (event["sender"], event["stream_id"], event["error"]) == ("alice", sent["stream_id"], None)
    assert event["attributes"] == {"lang": "de"}


def test_long_text_is_reported_as_hash(pair: Pair) -> None:
    alice, bob = pair
    sent = alice.call("send_text", random_size=300_000, seed=7, topic="long")
    event = bob.wait("text", topic="long")
    assert (event["size"], event["sha256"]) == (300_000, sent["sha256"])
    assert event["text"] == {"size": 300_000, "sha256": sent["sha256"]}


def test_text_is_reported_in_pieces(pair: Pair) -> None:
    alice, bob = pair
    bob.call("watch_chunks", topics=["llm"])
    handle = alice.call("open_text", topic="llm", attributes={"model": "m"})
    assert bob.wait("text_open", topic="llm")["attributes"] == {"model": "m"}
    for word in ("one ", "two ", "three"):
        alice.call("write_text", handle=handle, text=word)
        bob.wait("text_chunk", text=word)
    bob.expect_none("text", topic="llm", within=0.1)
    alice.call("close_text", handle=handle, attributes={"tokens": "3"})
    event = bob.wait("text", topic="llm", text="one two three", chunks=3)
    assert event["attributes"] == {"model": "m", "tokens": "3"}


def test_aborted_text_is_reported(pair: Pair) -> None:
    alice, bob = pair
    bob.call("watch_chunks", topics=["llm"])
    handle = alice.call("open_text", topic="llm")
    alice.call("write_text", handle=handle, text="half a ")
    bob.wait("text_chunk", text="half a ")
    alice.call("disconnect")
    event = bob.wait("text", topic="llm")
    assert event["text"] == "half a "
    assert event["error"]


def test_plain_peers_exchange_bytes(pair: Pair, tmp_path: Path) -> None:
    alice, bob = pair
    alice.call("send_bytes", data=b"\0\1\2", topic="blobs", name="three.bin", mime_type="application/x-three")
    event = bob.wait("bytes", topic="blobs", name="three.bin", mime_type="application/x-three")
    assert event["data"] == b"\0\1\2"

    sent = alice.call("send_bytes", random_size=1_000_000, seed=1, topic="big", attributes={"a": "b"}, timeout=60)
    event = bob.wait("bytes", topic="big", timeout=60)
    assert (event["size"], event["sha256"], event["b64"]) == (1_000_000, sent["sha256"], None)
    assert event["attributes"] == {"a": "b"}

    file = tmp_path / "notes.txt"
    file.write_text("remember")
    alice.call("send_file", path=str(file), topic="files", to=["bob"])
    assert bob.wait("bytes", topic="files", name="notes.txt", mime_type="text/plain")["data"] == b"remember"

    handle = alice.call("open_bytes", name="log", total_size=8, topic="stream")
    assert bob.wait("bytes_open", topic="stream")["total_size"] == 8
    alice.call("write_bytes", handle=handle, data=b"1234")
    alice.call("write_bytes", handle=handle, data=b"5678")
    alice.call("close_bytes", handle=handle)
    assert bob.wait("bytes", topic="stream")["sha256"] == hashlib.sha256(b"12345678").hexdigest()


def test_plain_peers_call_each_other(pair: Pair) -> None:
    alice, bob = pair
    bob.call("register_rpc", method="echo")
    bob.call("register_rpc", method="hello", mode="reply", text="hi")
    bob.call("register_rpc", method="nap", mode="sleep", seconds=0.6, text="rested")
    bob.call("register_rpc", method="crash", mode="raise")
    bob.call("register_rpc", method="refuse", mode="rpc_error", code=4711, message="no", data='{"why": 1}')
    bob.call("register_rpc", method="nothing", mode="none")

    def call(method: str, payload: str = "x", **options: Any) -> Any:
        return alice.call("perform_rpc", to="bob", method=method, payload=payload, **options)

    assert call("echo", '{"a": 1}') == '{"a": 1}'
    assert bob.wait("rpc_called", method="echo")["caller"] == "alice"
    assert call("hello") == "hi"
    assert call("nothing") == ""
    with pytest.raises(PeerError, match="1500"):
        call("crash")
    with pytest.raises(PeerError) as refused:
        call("refuse")
    assert (refused.value.code, refused.value.message, refused.value.data) == (4711, "no", '{"why": 1}')
    with pytest.raises(PeerError) as unknown:
        call("unheard")
    assert unknown.value.code == 1400

    naps = [alice.start("perform_rpc", to="bob", method="nap", payload="") for _ in range(4)]
    began = time.monotonic()
    assert [nap.result(10) for nap in naps] == ["rested"] * 4
    assert time.monotonic() - began < 2, "commands are to run at the same time"

    bob.call("unregister_rpc", method="hello")
    with pytest.raises(PeerError, match="1400"):
        call("hello")


def test_plain_peers_exchange_packets(pair: Pair) -> None:
    alice, bob = pair
    for reliable in (True, False):
        sent = 0
        while not bob.seen("data", topic="imu", reliable=reliable) and sent < (1 if reliable else 500):
            alice.call("publish_data", data=b"\xff\0", topic="imu", reliable=reliable, to=["bob"])
            sent += 1
        assert bob.wait("data", topic="imu", sender="alice", reliable=reliable)["data"] == b"\xff\0"
    alice.call("publish_many", count=50, size=200, topic="many", interval=0.002)
    received = [bob.wait("data", topic="many", size=200)["data"] for _ in range(50)]
    assert [int.from_bytes(data[:8], "big") for data in received] == list(range(50))
    alice.call("publish_data", random_size=60_000, topic="big")
    assert bob.wait("data", topic="big", size=60_000)["b64"] is None
    with pytest.raises(PeerError, match="PublishDataError"):
        alice.call("publish_data", random_size=65_000)


def test_plain_peers_exchange_frames(pair: Pair) -> None:
    alice, bob = pair
    alice.call("publish_data_track", name="lidar")
    bob.wait("track_published", publisher="alice", name="lidar")
    bob.call("subscribe_data_track", name="lidar", buffer_size=64)

    def arrives() -> object:  # the SDK does not report when the subscription has reached the server
        alice.call("push", name="lidar", data=b"frame", timestamp=1)
        return bob.seen("frame", track="lidar")

    eventually(arrives)
    assert bob.wait("frame", track="lidar", publisher="alice")["data"] == b"frame"
    pushed = alice.call("push_many", name="lidar", count=50, size=100, interval=0.01)
    assert pushed["pushed"] + sum(pushed["refused"].values()) == 50
    assert bob.wait("frame", size=100, timestamp=lambda microseconds: microseconds > 1e15)
    alice.call("unpublish_data_track", name="lidar")
    bob.wait("track_unpublished", publisher="alice", name="lidar")
    bob.wait("frames_end", track="lidar")

    bob.call("auto_subscribe")
    alice.call("publish_data_track", name="sonar")
    bob.wait("track_published", name="sonar")
    alice.start("push_many", name="sonar", count=1000, interval=0.02)
    bob.wait("frame", track="sonar", timeout=20)


def test_plain_peers_see_state_changes(pair: Pair, livekit: server.RunningServer, room_name: str) -> None:
    alice, bob = pair
    alice.call("set_attributes", attributes={"mood": "fine"})
    assert bob.wait("attributes", identity="alice", changed={"mood": "fine"})
    alice.call("set_metadata", metadata="m")
    bob.wait("metadata", identity="alice", new="m")
    alice.call("set_name", name="Alice L.")
    bob.wait("name", identity="alice", new="Alice L.")
    seen = bob.call("participants")["alice"]
    assert (seen["attributes"], seen["metadata"], seen["name"]) == ({"ready": "1", "mood": "fine"}, "m", "Alice L.")
    assert alice.call("local")["permissions"]["can_update_metadata"] is True

    async def set_room_metadata() -> None:
        async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as lkapi:
            await lkapi.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=room_name, metadata="r"))

    asyncio.run(set_room_metadata())
    bob.wait("room_metadata", new="r")
    assert bob.call("room_info")["metadata"] == "r"


def test_plain_peers_see_joins_and_leaves(pair: Pair, peer: Callable[..., PlainPeer]) -> None:
    _, bob = pair
    carol = peer("carol", announce=False, name="Carol", attributes={"k": "v"})
    bob.wait("participant_connected", identity="carol", name="Carol")
    bob.wait("participant_active", identity="carol")
    carol.close()
    assert not carol.running
    bob.wait("participant_disconnected", identity="carol", reason="CLIENT_INITIATED")
    with pytest.raises(PeerError, match="PeerDied"):
        carol.call("local")

    peer("bob")
    bob.wait("disconnected", reason="DUPLICATE_IDENTITY")


def test_plain_peer_reconnects(pair: Pair) -> None:
    alice, bob = pair
    alice.call("simulate", scenario="full_reconnect")
    alice.wait("reconnecting", timeout=20)
    alice.wait("reconnected", timeout=20)
    alice.call("publish_data", data=b"again", topic="after")
    bob.wait("data", topic="after")


def test_driver_keeps_its_promises(pair: Pair, livekit: server.RunningServer, room_name: str) -> None:
    alice, bob = pair
    with pytest.raises(AssertionError, match=r"(?s)nothing within.*attributes \d+.*'changed': {'ready': '1'}"):
        bob.wait("data", topic="never", timeout=0.1)
    with pytest.raises(PeerError, match="unknown command"):
        bob.call("dance")
    with pytest.raises(PeerError, match="TypeError"):
        bob.call("send_text", txt="?")
    bob.pause()
    with pytest.raises(TimeoutError, match="local"):
        bob.call("local", timeout=0.2)
    bob.resume()
    assert bob.call("local")["identity"] == "bob"
    bob.kill()
    assert not bob.running
    with pytest.raises(AssertionError, match="ended with -9"):
        bob.wait("data")
    alice.call("exit", code=3)
    with pytest.raises(PeerError, match="ended with 3"):
        alice.call("local")
    refused = PlainPeer(livekit.url, mint(livekit.api_key, "x" * 32, room_name, "mallory"))
    with refused, pytest.raises(PeerError, match="ConnectError"):
        refused.connect()
