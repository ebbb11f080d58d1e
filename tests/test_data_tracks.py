"""Data tracks: publishing, late joiners, subscriptions while someone listens, and frames that arrive unchanged."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import server

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]

EVERY_BYTE = bytes(range(256))


def push_until(push: Callable[..., Any], arrived: Callable[..., Any]) -> Any:
    """Push frames until one arrives: the SDK does not report when a subscription has reached the server."""

    def attempt() -> Any:
        push()
        return arrived()

    return eventually(attempt)


def names(room: lknb.Room) -> list[tuple[str, str, bool]]:
    return [(track.publisher, track.name, track.subscribed) for track in room.data_tracks]


def test_plain_peer_receives_frames(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    track = alice.publish_data_track("lidar")
    assert plain.wait("track_published", publisher="alice", name="lidar")["uses_e2ee"] is False
    plain.call("subscribe_data_track", name="lidar", buffer_size=64)
    push_until(lambda: track.push(EVERY_BYTE, timestamp=2**63 + 7), lambda: plain.seen("frame"))
    frame = plain.wait("frame")
    assert (frame["data"], frame["timestamp"], frame["publisher"]) == (EVERY_BYTE, 2**63 + 7, "alice")
    push_until(lambda: track.push(bytearray(b"no time")), lambda: plain.seen("frame", data=b"no time"))
    assert plain.wait("frame", data=b"no time")["timestamp"] is None
    assert track.pushed == len(alice.events.filter("data_track", topic="lidar", direction="out", status="ok"))


def test_handler_receives_frames_from_plain_peer(alice: lknb.Room, peer: Peers) -> None:
    heard: queue.Queue[tuple[bytes, int | None, str]] = queue.Queue()

    @alice.on_data_track("lidar")
    def frame(data: bytes, event: lknb.Event, sender: str) -> None:
        heard.put((data, event.timestamp, sender))

    plain = peer()
    plain.call("publish_data_track", name="lidar")
    plain.call("publish_data_track", name="sonar")
    eventually(lambda: names(alice) == [("peer", "lidar", True), ("peer", "sonar", False)])
    push_until(lambda: plain.call("push", name="lidar", data=EVERY_BYTE, timestamp=12), lambda: not heard.empty())
    assert heard.get(timeout=1) == (EVERY_BYTE, 12, "peer")


def test_late_joiner_finds_existing_track(join: Join, peer: Peers) -> None:
    plain = peer()
    plain.call("publish_data_track", name="old")
    room = join("late")
    eventually(lambda: names(room) == [("peer", "old", False)])
    eventually(lambda: room.participants["peer"].data_tracks == ("old",))
    inbox = room.listen("data_track", topic="old")
    push_until(lambda: plain.call("push", name="old", data=b"x"), lambda: len(inbox))
    assert inbox.next().data == b"x"


def test_subscription_lasts_while_someone_listens(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.publish_data_track("lidar")
    eventually(lambda: names(bob) == [("alice", "lidar", False)])

    @bob.on_data_track("lidar")
    def frame(data: bytes) -> None: ...

    inbox = bob.listen("data_track", topic="lidar")
    eventually(lambda: names(bob) == [("alice", "lidar", True)])
    other = bob.listen("data_track", topic="sonar")
    somebody_else = bob.listen("data_track", sender="carol")
    bob.off(frame)
    everything = bob.listen()
    inbox.close()
    bob.publish_data(b"a round trip to the loop, so that all of this is done")
    assert names(bob) == [("alice", "lidar", True)]
    everything.close()
    eventually(lambda: names(bob) == [("alice", "lidar", False)])
    other.close()
    somebody_else.close()


def test_lknb_rooms_exchange_frames(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data_track", topic="imu", sender="alice")
    track = alice.publish_data_track("imu")
    push_until(lambda: track.push(b"warm-up"), lambda: len(inbox))
    # Any frame can get lost; the more packets it needs, the more likely.
    large = bytes(range(256)) * 400
    got: list[lknb.Event] = []

    def arrived() -> bool:
        track.push(large, timestamp=1)
        with contextlib.suppress(TimeoutError):  # wait after each frame, so that a busy machine keeps up
            got.append(inbox.next(timeout=0.3))
        return bool(got) and got[-1].timestamp == 1

    eventually(arrived, within=30)
    event = got[-1]
    assert (event.data, event.size, event.sender, event.topic) == (large, 102_400, "alice", "imu")


def test_dropped_frames_are_counted(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data_track", topic="burst")
    track = alice.publish_data_track("burst")
    push_until(lambda: track.push(b"warm-up"), lambda: len(inbox))
    pushed, refused = track.pushed, track.refused
    taken: list[bool] = []
    deadline = time.monotonic() + 20
    while taken.count(False) < 100 and time.monotonic() < deadline:
        taken += [track.push(bytes(10_000)) for _ in range(100)]
    assert taken.count(False) >= 100
    assert (track.refused - refused, track.pushed - pushed) == (taken.count(False), taken.count(True))
    dropped = alice.events.filter("data_track", status="dropped")
    assert len(dropped) == track.refused
    assert all(event.error for event in dropped)
    assert f"{track.refused:,} refused" in repr(track)


def test_publishing_again_returns_same_track(alice: lknb.Room) -> None:
    track = alice.publish_data_track("imu")
    assert alice.publish_data_track("imu") is track
    assert alice.publish_data_track("other") is not track
    assert alice.participants["alice"].data_tracks == ("imu", "other")


def test_others_see_track_unpublished(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    plain = peer()
    track = alice.publish_data_track("imu")
    eventually(lambda: names(bob))
    plain.wait("track_published", name="imu")
    alice.unpublish_data_track(track)
    eventually(lambda: not names(bob))
    plain.wait("track_unpublished", name="imu", publisher="alice")
    with pytest.raises(lknb.StreamError, match=r"'imu' is no longer published\. Publish it again"):
        track.push(b"x")
    with pytest.raises(lknb.StreamError, match="does not publish a data track 'imu'"):
        alice.unpublish_data_track("imu")
    assert alice.participants["alice"].data_tracks == ()


def test_name_can_be_published_again_after_unpublishing(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data_track", topic="imu")
    for round_ in (b"first", b"second"):
        track = alice.publish_data_track("imu")
        push_until(lambda track=track, data=round_: track.push(data), lambda data=round_: inbox_has(inbox, data))
        alice.unpublish_data_track("imu")


def test_unpublish_frees_name_immediately(alice: lknb.Room, bob: lknb.Room) -> None:
    """The server may not have processed the unpublish when the name is published again."""
    for _ in range(100):
        alice.publish_data_track("imu")
        alice.unpublish_data_track("imu")
    assert alice.participants["alice"].data_tracks == ()


def inbox_has(inbox: lknb.Inbox, data: bytes) -> bool:
    while len(inbox):
        if inbox.next().data == data:
            return True
    return False


def test_unpublished_track_of_peer_disappears(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    inbox = alice.listen("data_track")
    plain.call("publish_data_track", name="lidar")
    eventually(lambda: names(alice) == [("peer", "lidar", True)])
    plain.call("unpublish_data_track", name="lidar")
    eventually(lambda: names(alice) == [])
    eventually(lambda: alice.participants["peer"].data_tracks == ())
    plain.call("publish_data_track", name="lidar")
    push_until(lambda: plain.call("push", name="lidar", data=b"again"), lambda: len(inbox))
    assert inbox.next().data == b"again"
    plain.close()
    eventually(lambda: names(alice) == [])


@pytest.mark.parametrize(("name", "error"), [("", ValueError), ("n" * 257, ValueError), (7, TypeError)])
def test_publish_rejects_invalid_names(alice: lknb.Room, name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="name must"):
        alice.publish_data_track(name)


def test_push_rejects_non_bytes_frame(alice: lknb.Room) -> None:
    track = alice.publish_data_track("imu")
    with pytest.raises(TypeError, match="payload must be bytes, not str"):
        track.push("text")  # type: ignore[arg-type]
    with pytest.raises(lknb.PayloadTooLargeError, match="Use send_bytes") as refused:
        track.push(bytes(1_000_001))
    assert (refused.value.size, refused.value.limit) == (1_000_001, 1_000_000)
    assert (track.pushed, track.refused) == (0, 0)
    assert not alice.events.filter("data_track")


def test_push_fails_in_closed_room(alice: lknb.Room) -> None:
    track = alice.publish_data_track("imu")
    alice.close()
    with pytest.raises(lknb.NotConnectedError, match="closed"):
        track.push(b"x")


def test_publish_without_grant_is_denied(
    alice: lknb.Room, livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    mute = token("mute", can_publish_data=False)
    with (
        lknb.connect(room_name, url=livekit.url, token=mute) as room,
        pytest.raises(lknb.PermissionDeniedError, match="Publishing a data track needs the grant 'canPublishData'"),
    ):
        room.publish_data_track("imu")
    assert names(alice) == []


def test_push_rejects_empty_frame(alice: lknb.Room) -> None:
    track = alice.publish_data_track("imu")
    with pytest.raises(ValueError, match="at least one byte"):
        track.push(b"")
    assert track.pushed == 0


def test_subscribe_without_grant_is_denied(
    livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    with lknb.connect(room_name, url=livekit.url, token=token("blind", can_subscribe=False)) as room:
        with pytest.raises(lknb.PermissionDeniedError, match="canSubscribe"):
            room.on_data_track("imu")(lambda data: None)
        with pytest.raises(lknb.PermissionDeniedError, match="canSubscribe"):
            room.listen("data_track")
        room.listen()  # everything except frames arrives without that grant
