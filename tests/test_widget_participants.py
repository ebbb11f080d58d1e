"""The participants on the kernel's side: their state, recent changes, and editing this participant's own state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import server
from lknb.loop import LOOP
from lknb.widgets import participants
from lknb.widgets.part import Json
from lknb.widgets.participants import ParticipantsPart

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]


class Watched:
    """A part as a browser sees it."""

    def __init__(self, room: lknb.Room) -> None:
        self.part = ParticipantsPart(room)
        self.part.start(lambda: None)
        snapshot = self.part.whole()
        self.values: Json = dict(snapshot["set"])
        self.rows = {name: dict(rows) for name, rows in snapshot["rows"].items()}

    def look(self) -> Json | None:
        changes = self.part.changes()
        if changes:
            self.values.update(changes.get("set", {}))
            for name, keys in changes.get("drop", {}).items():
                for key in keys:
                    self.rows[name].pop(key, None)
            for name, rows in changes.get("put", {}).items():
                self.rows[name].update(rows)
        return changes

    def person(self, identity: str) -> Json:
        self.look()
        return self.rows["people"].get(identity) or {}

    def attribute(self, identity: str, key: str) -> Json:
        found = [each for each in self.person(identity).get("attributes", ()) if each["key"] == key]
        return found[0] if found else {}

    def do(self, action: str, **args: Any) -> Any:
        return LOOP.run(self.part.actions[action](**args), action)


@pytest.fixture
def watch() -> Iterator[Callable[[lknb.Room], Watched]]:
    watched: list[Watched] = []

    def start(room: lknb.Room) -> Watched:
        watched.append(Watched(room))
        return watched[-1]

    yield start
    for each in watched:
        each.part.stop()


Watch = Callable[[lknb.Room], Watched]


def test_participants_are_shown_with_their_state(alice: lknb.Room, peer: Peers, watch: Watch) -> None:
    plain = peer("carol", name="Carol C.", metadata='{"role": "guide"}', attributes={"mood": "fine"})
    plain.call("publish_data_track", name="imu")
    watched = watch(alice)
    eventually(lambda: watched.person("carol").get("tracks") == ["imu"])
    carol, me = watched.person("carol"), watched.person("alice")
    assert (carol["name"], carol["kind"], carol["you"], me["you"]) == ("Carol C.", "standard", False, True)
    assert carol["metadata"] == {"text": '{"role": "guide"}', "more": False}
    assert watched.attribute("carol", "mood")["text"] == "fine"
    assert carol["permissions"]["canUpdateOwnMetadata"] is True
    assert carol["joined"] > 1e12
    assert watched.values["total"] == 2


def test_changed_attribute_is_marked_for_a_while(
    alice: lknb.Room, peer: Peers, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = peer("carol", attributes={"mood": "fine", "level": "1"})
    eventually(lambda: "carol" in alice.participants)
    watched = watch(alice)
    plain.call("set_attributes", attributes={"level": "2"})
    # The value changes before the event arrives.
    eventually(lambda: (level := watched.attribute("carol", "level")).get("text") == "2" and level["changed"] > 1e12)
    assert watched.attribute("carol", "mood")["changed"] == 0
    plain.call("set_attributes", attributes={"level": ""})
    eventually(lambda: watched.attribute("carol", "level").get("deleted"))
    monkeypatch.setattr(participants, "MARKED", 0.0)
    eventually(lambda: not watched.attribute("carol", "level"))


def test_changed_metadata_and_names_are_marked(alice: lknb.Room, bob: lknb.Room, watch: Watch) -> None:
    watched = watch(alice)
    bob.local_participant.set_metadata("new")
    bob.local_participant.set_name("Robert")
    eventually(lambda: {"metadata", "name"} <= watched.person("bob")["changed"].keys())
    bob.set_metadata("for all")

    def metadata() -> Json:
        watched.look()
        return watched.values["room_metadata"]  # type: ignore[no-any-return]

    eventually(lambda: metadata()["text"] == "for all" and metadata()["changed"] > 1e12)


def test_participant_who_left_is_shown_for_a_while(
    alice: lknb.Room, bob: lknb.Room, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = watch(alice)
    bob.close()
    eventually(lambda: watched.person("bob").get("left"))
    assert watched.values["total"] == 1
    monkeypatch.setattr(participants, "MARKED", 0.0)
    eventually(lambda: not watched.person("bob"))


def test_clock_that_is_set_back_does_not_keep_participants_who_left(
    alice: lknb.Room, bob: lknb.Room, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = watch(alice)
    bob.close()
    eventually(lambda: watched.person("bob").get("left"))
    monkeypatch.setattr(participants, "time", SimpleNamespace(time=lambda: 0.0, monotonic=time.monotonic))
    monkeypatch.setattr(participants, "MARKED", 0.0)
    eventually(lambda: not watched.person("bob"))


def test_unchanged_participants_are_not_sent_again(
    alice: lknb.Room, bob: lknb.Room, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lknb.participants._QUALITIES", {})  # the server changes them at any time
    watched = watch(alice)
    eventually(lambda: all(watched.person(each).get("state") == "active" for each in ("alice", "bob")))
    assert watched.look() is None
    bob.local_participant.set_attributes({"mood": "fine"})
    changes = eventually(watched.look)
    assert [key for key, _ in changes["put"]["people"]] == ["bob"]


def test_shown_participants_are_limited_and_filtered(
    alice: lknb.Room, bob: lknb.Room, join: Join, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    join("carol", attributes={"role": "Guide"})
    eventually(lambda: alice.participants.get("carol") and alice.participants["carol"].attributes)
    monkeypatch.setattr(participants, "KEPT", 2)
    watched = watch(alice)
    assert list(watched.rows["people"]) == ["alice", "bob"]
    assert (watched.values["total"], watched.values["matching"]) == (3, 3)
    watched.do("filter", text="ROLE=guide")
    watched.look()
    assert list(watched.rows["people"]) == ["carol"]
    assert (watched.values["total"], watched.values["matching"], watched.values["filter"]) == (3, 1, "role=guide")


def test_long_values_are_cut_and_read_on_request(alice: lknb.Room, bob: lknb.Room, watch: Watch) -> None:
    watched = watch(alice)
    bob.local_participant.set_metadata("m" * 100_000)
    bob.local_participant.set_attributes({"long": "x" * 60_000})
    eventually(lambda: watched.person("bob")["metadata"]["more"] and watched.attribute("bob", "long"))
    assert len(watched.attribute("bob", "long")["text"]) == 200
    assert watched.do("read", identity="bob")["text"] == "m" * 100_000
    assert watched.do("read", identity="bob", key="long")["text"] == "x" * 60_000
    with pytest.raises(LookupError, match="has left the room"):
        watched.do("read", identity="nobody")


def test_edits_are_confirmed_by_the_server(alice: lknb.Room, peer: Peers, watch: Watch) -> None:
    plain = peer()
    plain.call("wait_participant", identity="alice")
    watched = watch(alice)
    assert watched.do("set_attribute", key="mood", value="fine")["confirmed"] > 1e12
    plain.wait("attributes", identity="alice", changed={"mood": "fine"})
    watched.look()
    assert watched.rows["mine"]["mood"]["value"] == "fine"
    watched.do("delete_attribute", key="mood")
    plain.wait("attributes", identity="alice", changed={"mood": ""})
    watched.look()
    assert watched.rows["mine"] == {}
    watched.do("set_name", text="Alice L.")
    watched.do("set_metadata", text='{"a": 1}')
    watched.do("set_room_metadata", text="for all")

    def seen() -> tuple[str, str]:
        alice_there = plain.call("participants")["alice"]
        return alice_there["name"], alice_there["metadata"]

    eventually(lambda: seen() == ("Alice L.", '{"a": 1}'))
    eventually(lambda: plain.call("room_info")["metadata"] == "for all")
    watched.look()
    assert (watched.values["name"], watched.values["metadata"]["text"]) == ("Alice L.", '{"a": 1}')


@pytest.mark.parametrize(
    ("action", "args", "error", "match"),
    [
        ("set_attribute", {"key": "a", "value": "x" * 70_000}, lknb.PayloadTooLargeError, "65,536"),
        ("set_attribute", {"key": "a", "value": ""}, ValueError, "or delete the attribute"),
        ("set_attribute", {"key": "", "value": "1"}, ValueError, "needs a key"),
        ("set_attribute", {"key": "a", "value": {}}, TypeError, "strings"),
        ("delete_attribute", {"key": "a"}, LookupError, "no longer exists"),
        ("set_name", {"text": "x" * 300}, lknb.PayloadTooLargeError, "256"),
        ("set_metadata", {"text": 5}, TypeError, "metadata must be a str"),
        ("set_metadata", {"text": ""}, lknb.StateError, "cannot clear"),
    ],
    ids=["too large", "empty", "no key", "no string", "gone", "long name", "no text", "cleared"],
)
def test_invalid_edits_say_why(
    join: Join, watch: Watch, action: str, args: Json, error: type[Exception], match: str
) -> None:
    alice = join("alice", metadata="something")
    with pytest.raises(error, match=match):
        watch(alice).do(action, **args)
    assert dict(alice.attributes) == {}


def test_missing_grants_are_shown_before_editing(
    join: Join, token: Callable[..., str], livekit: server.RunningServer, watch: Watch
) -> None:
    dave = join("dave", token=token("dave", can_update_own_metadata=False), url=livekit.url)
    watched = watch(dave)
    assert "'canUpdateOwnMetadata'" in watched.values["refused"]
    assert "'roomAdmin'" in watched.values["room_refused"]
    for action, args in (("set_attribute", {"key": "a", "value": "1"}), ("set_room_metadata", {"text": "x"})):
        with pytest.raises(lknb.PermissionDeniedError):
            watched.do(action, **args)
    erin = watch(join("erin", token=token("erin", can_update_own_metadata=True, room_admin=True), url=livekit.url))
    assert (erin.values["refused"], erin.values["room_refused"]) == ("", "")


def test_static_table_shows_participants_and_room_metadata(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.local_participant.set_attributes({"mood": "curious"})
    alice.set_metadata("for all")
    eventually(lambda: alice.participants["bob"].attributes)
    shown = repr(alice.panel("participants"))
    for part in ("alice (you)", "bob", "mood=curious", "for all"):
        assert part in shown
