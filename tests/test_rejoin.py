"""Leaving a room and joining it again with the same object."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from waiting import eventually

import lknb
from lknb import server

Join = Callable[..., lknb.Room]


def test_rejoined_room_restores_state(bob: lknb.Room, join: Join, room_name: str) -> None:
    carol = join("carol", name="Carol", attributes={"role": "tester"})
    carol.attributes["mood"] = "curious"
    track = carol.publish_data_track("imu")
    frames = bob.listen("data_track", "imu")
    carol.close()
    eventually(lambda: "carol" not in bob.participants)
    carol.rejoin()
    assert carol.state == "connected"
    assert carol in lknb.rooms()
    assert lknb.connect(room_name, "carol", name="Carol", attributes={"role": "tester"}) is carol
    seen = eventually(lambda: bob.participants.get("carol"))
    eventually(lambda: dict(bob.participants["carol"].attributes) == {"role": "tester", "mood": "curious"})
    assert seen.name == "Carol"
    got = bob.listen("text")
    carol.send_text("here again")
    assert got.next().data == "here again"
    eventually(lambda: (track.push(b"frame"), len(frames))[1])
    states = [event.topic for event in carol.events.filter("connection")]
    assert states[-3:] == ["closed", "reconnecting", "connected"]
    assert carol.events.filter("loss")


def test_handlers_end_with_room_and_can_be_registered_again(alice: lknb.Room, bob: lknb.Room) -> None:
    @alice.rpc("add")
    def add(a: int, b: int) -> int:
        return a + b

    alice.close()
    assert alice.handlers == ()
    alice.rejoin()
    alice.rpc("add")(add)
    # Before bob knows the new session, a call goes to the old one and fails when bob learns that it has ended.
    sid = alice.participants["alice"].sid
    eventually(lambda: (seen := bob.participants.get("alice")) and seen.sid == sid)
    assert bob.perform_rpc("alice", "add", {"a": 1, "b": 2}) == 3


def test_rejoin_of_open_room_does_nothing(alice: lknb.Room) -> None:
    alice.rejoin()
    assert alice.state == "connected"
    assert not alice.events.filter("loss")


def test_rejoin_does_not_evict_participant_with_same_identity(alice: lknb.Room, join: Join) -> None:
    alice.close()
    other = join("alice")
    with pytest.raises(lknb.LknbError, match="already"):
        alice.rejoin()
    assert (other.state, alice.state) == ("connected", "closed")


def test_failed_rejoin_leaves_room_closed(livekit: server.RunningServer, join: Join, token: Callable[..., str]) -> None:
    room = join("dave", url=livekit.url, token=token("dave"))
    room.close()
    room._connection.credentials = type(room._connection.credentials)(
        "ws://127.0.0.1:9", token=room._connection.credentials.token
    )
    with pytest.raises(lknb.ConnectError):
        room.rejoin()
    assert room.state == "closed"
    with pytest.raises(lknb.NotConnectedError, match="rejoin"):
        room.send_text("late")
