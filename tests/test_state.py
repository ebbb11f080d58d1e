"""State: attributes, metadata, names and room metadata, confirmed by the server and visible to all participants."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable
from typing import Any

import pytest
from livekit import api
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import server

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]


# Attributes


def test_attributes_are_mapping(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.attributes["status"] = "ready"
    assert alice.attributes["status"] == "ready"
    alice.attributes.update({"a": "1", "b": "Grüße ☃"}, c="3")
    assert dict(alice.attributes) == {"status": "ready", "a": "1", "b": "Grüße ☃", "c": "3"}
    assert (len(alice.attributes), sorted(alice.attributes), "a" in alice.attributes) == (
        4,
        ["a", "b", "c", "status"],
        True,
    )
    del alice.attributes["a"]
    assert "a" not in alice.attributes
    with pytest.raises(KeyError):
        del alice.attributes["a"]
    with pytest.raises(KeyError):
        alice.attributes["a"]
    assert alice.attributes.pop("b") == "Grüße ☃"
    assert alice.attributes.setdefault("c", "4") == "3"
    assert repr(alice.attributes) in (
        "Attributes({'status': 'ready', 'c': '3'})",
        "Attributes({'c': '3', 'status': 'ready'})",
    )
    eventually(lambda: bob.participants["alice"].attributes == {"status": "ready", "c": "3"})
    alice.attributes.clear()
    assert (dict(alice.attributes), len(alice.attributes)) == ({}, 0)
    alice.attributes.clear()
    eventually(lambda: bob.participants["alice"].attributes == {})


def test_confirmed_attribute_is_on_server(alice: lknb.Room, livekit: server.RunningServer, room_name: str) -> None:
    alice.local_participant.set_attributes({"status": "ready", "level": "1"})

    async def ask() -> dict[str, str]:
        async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as lkapi:
            wanted = api.RoomParticipantIdentity(room=room_name, identity="alice")
            return dict((await lkapi.room.get_participant(wanted)).attributes)

    assert asyncio.run(ask()) == {"status": "ready", "level": "1"}


def test_plain_peer_receives_attributes(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("wait_participant", identity="alice")
    alice.local_participant.set_attributes({"status": "ready", "level": "1"})
    got = plain.wait("attributes", identity="alice", changed={"status": "ready", "level": "1"})
    assert got["attributes"] == {"status": "ready", "level": "1"}
    alice.local_participant.set_attributes({"level": ""})
    assert plain.wait("attributes", identity="alice", changed={"level": ""})["attributes"] == {"status": "ready"}


def test_receives_attributes_from_plain_peer(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    # Includes the attribute that announces the peer.
    eventually(lambda: (seen := alice.participants.get("peer")) and seen.attributes)
    inbox, heard = alice.listen("attributes", sender="peer"), queue.Queue[tuple[dict[str, str], str]]()

    @alice.on_attributes(sender="peer")
    def changed(data: dict[str, str], sender: str) -> None:
        heard.put((data, sender))

    plain.call("set_attributes", attributes={"mood": "fine", "level": "1"})
    event = inbox.next()
    assert (event.data, event.sender, event.direction) == ({"mood": "fine", "level": "1"}, "peer", "in")
    assert heard.get(timeout=10) == ({"mood": "fine", "level": "1"}, "peer")
    plain.call("set_attributes", attributes={"mood": "", "level": "2"})
    assert inbox.next().data == {"mood": "", "level": "2"}
    assert alice.participants["peer"].attributes == {"ready": "1", "level": "2"}


def test_own_change_is_event(alice: lknb.Room) -> None:
    inbox = alice.listen("attributes")
    alice.attributes["status"] = "ready"
    event = inbox.next()
    assert (event.data, event.sender, event.direction) == ({"status": "ready"}, "alice", "out")


def test_joining_causes_no_attribute_events(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.attributes["first"] = "1"
    eventually(lambda: alice.events.filter("attributes"))
    assert [event.data for event in alice.events.filter("attributes")] == [{"first": "1"}]
    assert [event.data for event in bob.events.filter("attributes")] == [{"first": "1"}]


def test_concurrent_changes_are_all_applied(alice: lknb.Room, bob: lknb.Room) -> None:
    async def main() -> None:
        await asyncio.gather(
            *(alice.aio.local_participant.set_attributes({f"k{number}": str(number)}) for number in range(10))
        )

    asyncio.run(main())
    wanted = {f"k{number}": str(number) for number in range(10)}
    assert dict(alice.attributes) == wanted
    eventually(lambda: bob.participants["alice"].attributes == wanted)


@pytest.mark.parametrize(
    "attributes", [{"n": 1}, {1: "n"}, {"n": None}, {"n": b"x"}, {"": "no key"}], ids=lambda value: repr(value)
)
def test_attributes_must_be_strings(alice: lknb.Room, attributes: Any) -> None:
    with pytest.raises(TypeError, match=r"Attributes must be strings: .* Use str\(\) or json\.dumps"):
        alice.local_participant.set_attributes(attributes)
    assert dict(alice.attributes) == {}


def test_limit_applies_to_all_attributes_together(alice: lknb.Room) -> None:
    alice.attributes["a"] = "x" * 40_000
    with pytest.raises(lknb.PayloadTooLargeError, match="total size of this participant's attributes is") as refused:
        alice.attributes["b"] = "y" * 40_000
    assert (refused.value.size, refused.value.limit) == (80_002, 65_536)
    assert set(alice.attributes) == {"a"}
    alice.attributes["a"] = "z" * 60_000  # replaces the old value in the size limit
    assert len(alice.attributes["a"]) == 60_000


def test_largest_attributes_are_accepted(alice: lknb.Room, bob: lknb.Room) -> None:
    with pytest.raises(lknb.PayloadTooLargeError):
        alice.attributes["a"] = "x" * 65_536
    alice.attributes["a"] = "x" * 65_535
    eventually(lambda: len(bob.participants["alice"].attributes.get("a", "")) == 65_535)


# Metadata and names


def test_metadata_travels_both_ways(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("wait_participant", identity="alice")
    heard: queue.Queue[tuple[str, str]] = queue.Queue()

    @bob.on_participant_metadata()
    def changed(data: str, sender: str) -> None:
        heard.put((sender, data))

    alice.local_participant.set_metadata('{"grüße": "☃"}')
    assert alice.local_participant.metadata == '{"grüße": "☃"}'
    plain.wait("metadata", identity="alice", old="", new='{"grüße": "☃"}')
    assert heard.get(timeout=10) == ("alice", '{"grüße": "☃"}')
    plain.call("set_metadata", metadata="mine")
    assert heard.get(timeout=10) == ("peer", "mine")
    assert (bob.participants["alice"].metadata, bob.participants["peer"].metadata) == ('{"grüße": "☃"}', "mine")


def test_names_travel_both_ways(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("wait_participant", identity="alice")
    names = bob.listen("participant", topic="name")
    alice.local_participant.set_name("Alice ☃")
    assert alice.participants["alice"].name == "Alice ☃"
    plain.wait("name", identity="alice", new="Alice ☃")
    event = names.next()
    assert (event.sender, event.data["name"]) == ("alice", "Alice ☃")
    plain.call("set_name", name="Peer")
    eventually(lambda: (seen := bob.participants.get("peer")) and seen.name == "Peer")


def test_attributes_metadata_and_name_do_not_overwrite_each_other(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.local_participant.set_attributes({"a": "1"})
    alice.local_participant.set_metadata("m")
    alice.local_participant.set_name("Alice")
    alice.local_participant.set_attributes({"b": "2"})
    eventually(lambda: bob.participants["alice"].attributes == {"a": "1", "b": "2"})
    seen = bob.participants["alice"]
    assert (seen.metadata, seen.name) == ("m", "Alice")


def test_clearing_metadata_or_name_is_refused(alice: lknb.Room) -> None:
    alice.local_participant.set_metadata("")  # nothing to clear
    alice.local_participant.set_metadata("m")
    with pytest.raises(lknb.StateError, match=r'cannot clear metadata.*such as "\{\}"'):
        alice.local_participant.set_metadata("")
    assert alice.local_participant.metadata == "m"
    alice.local_participant.set_name("Alice")
    with pytest.raises(lknb.StateError, match="cannot clear a name"):
        alice.local_participant.set_name("")


def test_metadata_and_name_sizes_are_limited(alice: lknb.Room) -> None:
    with pytest.raises(lknb.PayloadTooLargeError, match="The metadata is 524,289 bytes; the limit is 524,288"):
        alice.local_participant.set_metadata("x" * (512 * 1024 + 1))
    with pytest.raises(lknb.PayloadTooLargeError, match="The name is 258 bytes"):
        alice.local_participant.set_name("é" * 129)
    with pytest.raises(TypeError, match=r"metadata must be a str, not dict\. Use json\.dumps"):
        alice.local_participant.set_metadata({"a": 1})  # type: ignore[arg-type]


def test_largest_name_and_metadata_are_accepted(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.local_participant.set_name("é" * 128)
    alice.local_participant.set_metadata("x" * 60_000)
    eventually(lambda: (len(bob.participants["alice"].name), len(bob.participants["alice"].metadata)) == (128, 60_000))


# The room's metadata


def test_all_participants_see_room_metadata(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    plain = peer()
    heard: queue.Queue[str] = queue.Queue()

    @bob.on_room_metadata()
    def changed(data: str) -> None:
        heard.put(data)

    alice.set_metadata("stage ☃")
    assert alice.metadata == "stage ☃"
    plain.wait("room_metadata", new="stage ☃")
    assert heard.get(timeout=10) == "stage ☃"
    alice.set_metadata("")
    assert heard.get(timeout=10) == ""
    assert bob.metadata == ""


def test_room_metadata_needs_grant(
    alice: lknb.Room, livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    with (
        lknb.connect(room_name, url=livekit.url, token=token("dave")) as room,
        pytest.raises(lknb.PermissionDeniedError, match="Setting the room's metadata needs the grant 'roomAdmin'"),
    ):
        room.set_metadata("mine")
    assert alice.metadata == ""


def test_token_with_grant_sets_room_metadata(
    alice: lknb.Room, livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    with lknb.connect(room_name, url=livekit.url, token=token("admin", room_admin=True)) as room:
        room.set_metadata("mine")
        assert room.metadata == "mine"
    eventually(lambda: alice.metadata == "mine")


# Initial state, late joiners, and participants who left


def test_others_see_initial_state_immediately(alice: lknb.Room, join: Join) -> None:
    joined = alice.listen("participant", topic="joined")
    join("carol", name="Carol", attributes={"role": "tester"}, metadata="m")
    assert joined.next().sender == "carol"
    seen = alice.participants["carol"]
    assert (seen.name, seen.attributes, seen.metadata) == ("Carol", {"role": "tester"}, "m")


def test_large_initial_state_is_accepted(alice: lknb.Room, join: Join) -> None:
    attributes = {"large": "x" * 30_000, "small": "y"}
    carol = join("carol", name="Carol", attributes=attributes, metadata="m" * 20_000)
    assert (dict(carol.attributes), carol.local_participant.metadata) == (attributes, "m" * 20_000)

    def seen() -> bool:
        there = alice.participants.get("carol")
        return there is not None and (there.name, there.attributes, there.metadata) == (
            "Carol",
            attributes,
            "m" * 20_000,
        )

    eventually(seen)


def test_state_is_readable_after_joining(alice: lknb.Room, peer: Peers, join: Join) -> None:
    plain = peer()
    plain.call("set_attributes", attributes={"mood": "fine"})
    plain.call("set_metadata", metadata="m")
    plain.call("set_name", name="Peer")
    alice.local_participant.set_attributes({"status": "ready"})
    alice.set_metadata("stage")
    eventually(lambda: "peer" in alice.participants and alice.participants["peer"].name == "Peer")
    late = join("late")
    assert late.participants["alice"].attributes == {"status": "ready"}
    there = late.participants["peer"]
    assert (there.attributes, there.metadata, there.name) == ({"ready": "1", "mood": "fine"}, "m", "Peer")
    assert late.metadata == "stage"


def test_state_disappears_with_participant(alice: lknb.Room, bob: lknb.Room, join: Join) -> None:
    bob.local_participant.set_attributes({"status": "ready"})
    bob.close()
    eventually(lambda: "bob" not in alice.participants)
    again = join("bob")
    assert dict(again.attributes) == {}
    eventually(lambda: "bob" in alice.participants)
    assert alice.participants["bob"].attributes == {}


# Without the grant


def test_state_change_without_grant_is_denied(
    alice: lknb.Room, livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    fixed = token("fixed", can_update_own_metadata=False, attributes={"role": "guest"}, metadata="m", name="Guest")
    with lknb.connect(room_name, url=livekit.url, token=fixed) as room:
        changes: list[Callable[[], None]] = [
            lambda: room.local_participant.set_attributes({"role": "boss"}),
            lambda: room.attributes.update(role="boss"),
            lambda: room.local_participant.set_metadata("boss"),
            lambda: room.local_participant.set_name("Boss"),
        ]
        for change in changes:
            with pytest.raises(lknb.PermissionDeniedError, match="needs the grant 'canUpdateOwnMetadata'"):
                change()
        assert (dict(room.attributes), room.local_participant.metadata) == ({"role": "guest"}, "m")
        seen = eventually(lambda: alice.participants.get("fixed"))
        assert (seen.attributes, seen.metadata, seen.name) == ({"role": "guest"}, "m", "Guest")


def test_initial_state_without_grant_is_error(
    livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    fixed = token("fixed", can_update_own_metadata=False)
    with pytest.raises(lknb.PermissionDeniedError, match="canUpdateOwnMetadata"):
        lknb.connect(room_name, url=livekit.url, token=fixed, attributes={"role": "boss"})


def test_closed_room_rejects_state_changes(alice: lknb.Room) -> None:
    alice.close()
    changes: list[Callable[[], None]] = [
        lambda: alice.local_participant.set_attributes({"a": "b"}),
        lambda: alice.local_participant.set_metadata("m"),
        lambda: alice.local_participant.set_name("n"),
        lambda: alice.set_metadata("r"),
    ]
    for change in changes:
        with pytest.raises(lknb.NotConnectedError, match="closed"):
            change()


def test_write_returns_once_server_confirms(alice: lknb.Room) -> None:
    # The SDK's own call stalls for 5 s in about one of ten consecutive writes.
    for number in range(30):
        begun = time.monotonic()
        alice.attributes["level"] = str(number)
        assert time.monotonic() - begun < 3
