"""Broken connections: resumes, full reconnects, a killed server, and giving up."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from livekit import api
from livekit.rtc._proto.room_pb2 import SimulateScenarioKind
from relay import Relay
from waiting import eventually

import lknb
from lknb import server
from lknb.loop import LOOP

Join = Callable[..., lknb.Room]


def simulate(room: lknb.Room, scenario: str) -> None:
    """Make the SDK simulate a connection failure."""
    sdk = room._connection.sdk
    LOOP.run(sdk.simulate_scenario(SimulateScenarioKind.Value(f"SIMULATE_{scenario}")), "simulate")


def through_one_failure(room: lknb.Room, scenario: str) -> None:
    """Break the connection and wait until it is restored."""
    changes = room.listen("connection")
    simulate(room, scenario)
    assert changes.next(timeout=10).topic == "reconnecting"
    assert changes.next(timeout=30).topic == "connected"
    changes.close()


def frames_arrive(publisher: lknb.LocalDataTrack, inbox: lknb.Inbox, payload: bytes) -> bool:
    """Push until a frame arrives: frames are lossy, and a subscription takes a moment."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        publisher.push(payload)
        try:
            if inbox.next(timeout=0.2).data == payload:
                return True
        except TimeoutError:
            continue
    return False


def sees_now(room: lknb.Room, other: lknb.Room) -> lknb.Participant | None:
    """Return what `room` knows about `other`, or None if that belongs to an earlier session."""
    seen = room.participants.get(other.identity)
    return seen if seen is not None and seen.sid == other.participants[other.identity].sid else None


@pytest.mark.slow("waits for the SDK to reconnect")
def test_resume_changes_nothing(alice: lknb.Room, bob: lknb.Room) -> None:
    @alice.rpc("echo")
    def echo(payload: object) -> object:
        return payload

    texts = bob.listen("text", topic="story")
    with alice.stream_text(topic="story") as out:
        out.write("before, ")
        eventually(lambda: any(each.transferred for each in bob.events.filter("text", status="open")))
        through_one_failure(alice, "SIGNAL_RECONNECT")
        out.write("after")
    assert texts.next(timeout=10).data == "before, after"
    assert bob.perform_rpc("alice", "echo", "still here") == "still here"
    assert len(alice.events.filter("loss")) == 0


def test_full_reconnect_restores_handlers_tracks_and_state(alice: lknb.Room, bob: lknb.Room) -> None:
    heard: list[bytes] = []

    @alice.on_data("note")
    def note(data: bytes) -> None:
        heard.append(data)

    @alice.rpc("echo")
    def echo(payload: object) -> object:
        return payload

    alice.attributes["status"] = "ready"
    alice.local_participant.set_metadata("mine")
    of_alice, of_bob = alice.publish_data_track("a"), bob.publish_data_track("b")
    at_alice, at_bob = alice.listen("data_track", topic="b"), bob.listen("data_track", topic="a")
    assert frames_arrive(of_alice, at_bob, b"1")
    assert frames_arrive(of_bob, at_alice, b"2")

    through_one_failure(alice, "FULL_RECONNECT")
    eventually(lambda: sees_now(bob, alice) and "bob" in alice.participants)

    bob.publish_data(b"after", topic="note", to="alice")
    eventually(lambda: heard == [b"after"])
    assert bob.perform_rpc("alice", "echo", [1]) == [1]
    assert frames_arrive(of_alice, at_bob, b"3")
    assert frames_arrive(of_bob, at_alice, b"4")
    eventually(
        lambda: (
            (bob.participants["alice"].attributes, bob.participants["alice"].metadata) == ({"status": "ready"}, "mine")
        )
    )


def update(livekit: server.RunningServer, room: lknb.Room, **changes: Any) -> None:
    """Change a participant by the server's API, as a backend does, and wait until its room knows."""

    async def send() -> None:
        async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as lkapi:
            await lkapi.room.update_participant(
                api.UpdateParticipantRequest(room=room.name, identity=room.identity, **changes)
            )

    asyncio.run(send())


def own_state(room: lknb.Room) -> tuple[dict[str, str], str, str]:
    me = room.participants[room.identity]
    return dict(me.attributes), me.metadata, me.name


def come_back(room: lknb.Room, how: str) -> None:
    if how == "rejoin":
        room.close()
        room.rejoin()
    else:
        through_one_failure(room, "FULL_RECONNECT")


@pytest.mark.parametrize("how", ["full reconnect", "rejoin"])
def test_changes_by_others_survive_a_new_session(join: Join, livekit: server.RunningServer, how: str) -> None:
    room = join("carol", attributes={"status": "ready", "role": "host"}, metadata="mine", name="Carol")
    room.attributes["round"] = "1"
    update(livekit, room, attributes={"status": "busy", "role": ""}, metadata="theirs", name="Caroline")
    changed = ({"status": "busy", "round": "1"}, "theirs", "Caroline")
    eventually(lambda: own_state(room) == changed)
    come_back(room, how)
    eventually(lambda: own_state(room) == changed and not room._connection.reconnecting.restoring)
    room.attributes["after"] = "written last"
    assert own_state(room) == ({**changed[0], "after": "written last"}, "theirs", "Caroline")


def test_own_changes_and_deletions_survive_joining_again(join: Join) -> None:
    room = join("carol", attributes={"status": "ready", "role": "host"}, metadata="first", name="Carol")
    room.local_participant.set_attributes({"status": "done", "role": "", "x": "1"})
    room.local_participant.set_metadata("second")
    room.local_participant.set_name("Caro")
    come_back(room, "rejoin")
    eventually(lambda: own_state(room) == ({"status": "done", "x": "1"}, "second", "Caro"))


def test_what_others_change_in_a_new_session_before_it_is_restored_stays(
    join: Join, livekit: server.RunningServer
) -> None:
    room = join("carol", attributes={"status": "ready"})
    connection = room._connection

    async def changed_meanwhile(anew: bool) -> None:
        await asyncio.to_thread(update, livekit, room, attributes={"status": "kicked"}, metadata="theirs")
        seen = connection.presence.participants
        assert await connection.until(
            lambda: (seen["carol"].metadata, seen["carol"].attributes) == ("theirs", {"status": "kicked"}), 10
        )

    room.attributes["status"] = "busy"
    LOOP.run(_first(connection.restored_callbacks, changed_meanwhile), "first")
    come_back(room, "rejoin")
    eventually(lambda: own_state(room) == ({"status": "kicked"}, "theirs", ""))


async def _first(callbacks: list[Any], callback: Any) -> None:
    callbacks.insert(0, callback)


def test_full_reconnect_is_recorded_as_loss(alice: lknb.Room) -> None:
    losses = alice.listen("loss")
    through_one_failure(alice, "FULL_RECONNECT")
    loss = losses.next(timeout=5)
    assert 0 <= (loss.data["until"] - loss.data["from"]).total_seconds() < 30
    assert loss.data["another_room"] is False


def test_open_writer_fails_after_full_reconnect(alice: lknb.Room, bob: lknb.Room) -> None:
    texts = bob.listen("text")

    def tell() -> None:
        with alice.stream_text(topic="story") as out:
            out.write("once")
            eventually(lambda: [each.transferred for each in bob.events.filter("text")] == [4])
            through_one_failure(alice, "FULL_RECONNECT")
            out.write("more")

    with pytest.raises(lknb.StreamError, match="was aborted"):
        tell()
    assert alice.events.filter("text")[-1].status == "failed"
    broken = texts.next(timeout=10)
    assert (broken.status, broken.data) == ("failed", "once")


def test_pending_call_fails_when_session_ends(alice: lknb.Room, bob: lknb.Room) -> None:
    began, end = threading.Event(), threading.Event()

    @bob.rpc("wait")
    def wait() -> None:
        began.set()
        end.wait(30)

    failures: list[BaseException] = []

    def call() -> None:
        try:
            alice.perform_rpc("bob", "wait", timeout=25)
        except lknb.LknbError as error:
            failures.append(error)

    calling = threading.Thread(target=call)
    calling.start()
    assert began.wait(10)
    through_one_failure(alice, "FULL_RECONNECT")
    calling.join(5)
    end.set()
    assert isinstance(failures[0], lknb.NotConnectedError)
    assert "may or may not have taken effect" in str(failures[0])


def test_removed_participant_does_not_rejoin(alice: lknb.Room, livekit: server.RunningServer) -> None:
    async def remove() -> None:
        async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as lkapi:
            await lkapi.room.remove_participant(api.RoomParticipantIdentity(room=alice.name, identity="alice"))

    asyncio.run(remove())
    eventually(lambda: alice.state == "closed")
    assert "was removed from the room" in repr(alice)


def test_sends_fail_immediately_while_reconnecting(livekit: server.RunningServer, bob: lknb.Room, join: Join) -> None:
    with Relay(livekit.url) as relay:
        carol = join("carol", url=relay.url, api_key=livekit.api_key, api_secret=livekit.api_secret)
        track = carol.publish_data_track("imu")
        relay.refuse()
        eventually(lambda: carol.state == "reconnecting", within=20)
        began = time.monotonic()
        with pytest.raises(lknb.NotConnectedError, match="is reconnecting"):
            carol.publish_data(b"lost?")
        with pytest.raises(lknb.NotConnectedError, match="is reconnecting"):
            track.push(b"lost?")
        assert time.monotonic() - began < 1
        carol.close()
        assert carol.state == "closed"


@pytest.mark.slow("waits until the SDK gives up reconnecting")
def test_room_rejoins_after_sdk_gives_up_unless_closed(
    livekit: server.RunningServer, bob: lknb.Room, room_name: str, join: Join
) -> None:
    with Relay(livekit.url) as relay:
        key = {"url": relay.url, "api_key": livekit.api_key, "api_secret": livekit.api_secret}
        carol, dave = join("carol", **key), join("dave", **key)

        @carol.rpc("echo")
        def echo(payload: object) -> object:
            return payload

        carol.attributes["status"] = "ready"
        track = carol.publish_data_track("imu")
        changes = carol.listen("connection")
        relay.refuse()

        assert changes.next(timeout=20).topic == "reconnecting"
        # The SDK's ten attempts take about 25 s.
        eventually(lambda: "attempt" in carol._connection.state_reason, within=45)
        dave.close()
        assert dave.state == "closed"

        relay.allow()
        eventually(lambda: carol.state == "connected", within=20)
        eventually(lambda: (seen := sees_now(bob, carol)) and seen.attributes == {"status": "ready"})
        assert bob.perform_rpc("carol", "echo", "back") == "back"
        assert frames_arrive(track, bob.listen("data_track", topic="imu"), b"frame")
        carol.close()


@pytest.fixture
def mortal_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[server.RunningServer]:
    """Yield a server for this test only, to be killed."""
    monkeypatch.setenv("LKNB_STATE_DIR", str(tmp_path / "mortal"))
    yield server.ensure()
    server.stop()


@pytest.mark.slow("waits for a server to start")
def test_room_reconnects_to_restarted_server(mortal_server: server.RunningServer) -> None:
    alice, bob = lknb.connect("phoenix", "alice"), lknb.connect("phoenix", "bob")
    try:

        @bob.rpc("echo")
        def echo(payload: object) -> object:
            return payload

        alice.attributes["status"] = "ready"
        losses = alice.listen("loss")
        os.kill(mortal_server.pid, signal.SIGKILL)

        # If the server is slow to report the new room, a second loss event reports it.
        while not losses.next(timeout=40).data["another_room"]:
            pass
        again = server.status()
        assert again is not None
        assert again.api_key != mortal_server.api_key
        eventually(lambda: bob.state == "connected" and "alice" in bob.participants, within=40)
        eventually(lambda: (seen := sees_now(bob, alice)) and seen.attributes == {"status": "ready"})
        assert alice.perform_rpc("bob", "echo", "hello") == "hello"
    finally:
        alice.close()
        bob.close()


def test_call_that_stalls_in_outage_raises(alice: lknb.Room) -> None:
    connection = alice._connection

    async def stalled() -> None:
        connection.state = "reconnecting"
        try:
            await connection.call(asyncio.sleep(5), "publish_data", limit=0.05)
        finally:
            connection.state = "connected"

    with pytest.raises(lknb.NotConnectedError, match="lost during publish_data"):
        LOOP.run(stalled(), "stalled")
