"""Objects of lknb in other people's code: DataFrames, dataclasses' helpers, copies, pickles, sets and JSON."""

from __future__ import annotations

import copy
import dataclasses
import json
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import ipywidgets
import pandas as pd
import pytest
from waiting import eventually

import lknb
from lknb.event import KINDS, Event


def through_pickle(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, through_pickle]


@pytest.fixture
def busy(alice: lknb.Room, bob: lknb.Room) -> lknb.Room:
    """Bob's room, with events of most kinds in its log."""
    bob.rpc("add")(lambda a: a + 1)
    alice.attributes["mood"] = "good"
    alice.local_participant.set_metadata("{}")
    alice.send_text("hello", topic="chat")
    alice.send_bytes(b"content", topic="files", name="a.bin")
    alice.publish_data(b"\x00", topic="imu")
    alice.perform_rpc("bob", "add", {"a": 1})
    alice.send_text("", topic="chat")
    eventually(lambda: {"text", "bytes", "data", "rpc", "attributes"} <= {each.kind for each in bob.events})
    eventually(lambda: len(bob.events.filter(["text", "bytes"], status="ok")) == 3)
    return bob


# Events


def test_dataframe_of_events_has_their_fields(busy: lknb.Room) -> None:
    for events in (list(busy.events), busy.events[:], busy.events):
        frame = pd.DataFrame(events)
        assert list(frame.columns) == [each.name for each in dataclasses.fields(Event)]
        assert not [name for name in frame.columns if name.startswith("_")]
        assert len(frame) == len(events)
        assert set(frame["kind"]) <= set(KINDS)


def test_events_become_dicts_and_json(busy: lknb.Room) -> None:
    dicts = [dataclasses.asdict(event) for event in busy.events]
    rows = json.loads(json.dumps(dicts, default=str))
    chat = next(row for row in rows if row["data"] == "hello")
    assert (chat["kind"], chat["topic"], chat["sender"]) == ("text", "chat", "alice")
    assert next(row for row in dicts if row["kind"] == "bytes")["data"].data == b"content"


@pytest.mark.parametrize("copied", COPIES)
def test_events_can_be_copied(busy: lknb.Room, copied: Callable[[Any], Any]) -> None:
    events = busy.events[:]
    twins = copied(events)
    assert isinstance(twins, lknb.Events)
    for event, twin in zip(events, twins, strict=True):
        assert repr(twin) == repr(event)
        for each in dataclasses.fields(Event):
            if not isinstance(event.data, lknb.ReceivedFile) or each.name != "data":
                assert getattr(twin, each.name) == getattr(event, each.name)
    assert twins.to_pandas().equals(events.to_pandas())


def test_copied_file_keeps_its_content(busy: lknb.Room) -> None:
    file = busy.events.filter("bytes")[-1].data
    for copied in COPIES:
        twin = copied(file)
        assert (twin.data, twin.name, twin.sender, twin.sha256, twin.verified) == (
            b"content",
            "a.bin",
            "alice",
            file.sha256,
            True,
        )
    assert len({file, file}) == 1


def test_copy_of_an_open_event_is_a_snapshot(alice: lknb.Room, bob: lknb.Room) -> None:
    twins: list[Event] = []
    with alice.stream_text(topic="chat") as out:
        out.write("so far")
        event = eventually(lambda: [each for each in bob.events.filter("text", status="open") if each.so_far()])[0]
        for copied in COPIES:
            twins.append(twin := copied(event))
            assert (twin.status, twin.data, twin.so_far()) == ("open", "so far", "so far")
            assert twin.elapsed == pytest.approx(event.elapsed, abs=1)
    eventually(lambda: event.status == "ok")
    assert {twin.status for twin in twins} == {"open"}


def test_events_are_told_apart_in_a_set(busy: lknb.Room) -> None:
    assert len(set(busy.events)) == len(busy.events)
    assert set(busy.events) == set(busy.events[:])
    changed = dataclasses.replace(busy.events[0], topic="other")
    assert (changed.topic, changed.kind) == ("other", busy.events[0].kind)


def kinds(events: lknb.Events) -> list[str]:
    return [event.kind for event in events]


@pytest.mark.slow("a process of its own")
def test_events_reach_another_process(busy: lknb.Room) -> None:
    events = busy.events[:]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(kinds, events).result(60) == kinds(events)


# Participants


def test_dataframe_of_participants_has_their_fields(busy: lknb.Room) -> None:
    frame = pd.DataFrame(list(busy.participants.values())).set_index("identity")
    assert frame.loc["alice", "attributes"] == {"mood": "good"}
    assert set(frame.index) == {"alice", "bob"}


@pytest.mark.parametrize("copied", COPIES)
def test_participants_can_be_copied(busy: lknb.Room, copied: Callable[[Any], Any]) -> None:
    assert copied(busy.participants["alice"]) == busy.participants["alice"]
    assert copied(dict(busy.participants)) == dict(busy.participants)
    assert dict(copied(busy.participants)) == dict(busy.participants)
    assert copied(busy.participants["alice"].attributes) == {"mood": "good"}


def test_participants_become_dicts_json_and_members_of_sets(busy: lknb.Room) -> None:
    alice = busy.participants["alice"]
    assert dataclasses.asdict(alice)["attributes"] == {"mood": "good"}
    assert json.loads(json.dumps(dataclasses.asdict(alice), default=str))["permissions"]["canPublishData"] is True
    assert json.dumps(alice.attributes) == '{"mood": "good"}'
    assert json.loads(json.dumps(dict(busy.participants), default=lambda each: dataclasses.asdict(each)["identity"]))
    assert {alice, copy.deepcopy(alice)} == {alice}
    assert {**alice.attributes, "x": "y"} == {"mood": "good", "x": "y"}


def test_participant_snapshot_cannot_be_changed(busy: lknb.Room) -> None:
    attributes: Any = busy.participants["alice"].attributes
    changes: list[Callable[[], Any]] = [
        lambda: attributes.__setitem__("a", "b"),
        lambda: attributes.__delitem__("mood"),
        lambda: attributes.update(a="b"),
        lambda: attributes.setdefault("a", "b"),
        lambda: attributes.pop("mood"),
        lambda: attributes.popitem(),
        lambda: attributes.clear(),
        lambda: attributes.__ior__({"a": "b"}),
    ]
    for change in changes:
        with pytest.raises(TypeError, match=r"snapshot of a participant cannot be changed.* room\.attributes"):
            change()
    assert attributes == {"mood": "good"}


# Errors


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize(
    "error",
    [
        lknb.LknbError("why"),
        lknb.ConnectError("why"),
        lknb.NotConnectedError("why"),
        lknb.UnknownParticipantError("bobb", ["bob"], "studio"),
        lknb.PermissionDeniedError("canPublishData", "Sending"),
        lknb.PayloadTooLargeError("The payload", 10, 5, "Send less."),
        lknb.SendError("why"),
        lknb.DeliveryTimeoutError("why"),
        lknb.StateError("why"),
        lknb.RpcError(2001, "why", "data"),
        lknb.StreamError("why"),
        lknb.ServerError("why"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_copied(error: lknb.LknbError, copied: Callable[[Any], Any]) -> None:
    error.add_note("while testing")
    twin = copied(error)
    assert type(twin) is type(error)
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
    assert twin.__notes__ == error.__notes__


def refuse() -> None:
    raise lknb.UnknownParticipantError("bobb", ["bob"], "studio")


@pytest.mark.slow("a process of its own")
def test_error_returns_from_another_process() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(lknb.UnknownParticipantError, match="did you mean 'bob'") as caught:
            pool.submit(refuse).result(60)
        assert (caught.value.identity, caught.value.present) == ("bobb", ["bob"])


# Everything else


def test_tables_and_remote_tracks_can_be_copied(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.publish_data_track("imu")
    track = eventually(lambda: bob.data_tracks)[0]
    table = bob.participants.table()
    for copied in COPIES:
        assert copied(track) == track
        assert repr(copied(table)) == repr(table)
    assert list(pd.DataFrame(table.rows, columns=table.columns)["identity"])
    assert list(pd.DataFrame(bob.data_tracks)["name"]) == ["imu"]
    assert {track, copy.copy(track)} == {track}


def test_live_objects_refuse_and_say_what_to_use(alice: lknb.Room, bob: lknb.Room) -> None:
    def show(data: str) -> None: ...

    alice.on_text("chat")(show)
    inbox = alice.listen("text")
    live = {
        alice: r"Room is live, .* room\.events\[:\], dict\(room\.attributes\), .* lknb\.connect",
        alice.aio: r"join that room where you need it",
        alice.events: r"EventLog is live, .* Use room\.events\[:\], .* or list\(room\.events\)",
        alice.local_participant: r"Use room\.participants\[room\.identity\]",
        alice.aio.local_participant: r"Use room\.participants\[room\.identity\]",
        inbox: r"Inbox is live, .* Read its events with next\(\)",
        inbox.aio: r"Read its events with next\(\)",
        alice.handlers[0]: r"Handler is live, .* dataclasses\.asdict",
        alice.publish_data_track("imu"): r"LocalDataTrack is live, .* name, pushed and refused",
        alice.stream_text(topic="chat"): r"StreamWriter is live, .* where it was opened",
        alice.widgets: r"Use list\(\.\.\.\) of it",
        alice.link(ipywidgets.IntSlider(), "volume"): r"Make another one with room\.link",
        alice.feed(): r"Feed is live, .* Make another one",
    }
    for copied in COPIES:
        for thing, instead in live.items():
            with pytest.raises(TypeError, match=instead):
                copied(thing)
        with pytest.raises(TypeError, match=r"Attributes is live, .* Use dict\(room\.attributes\)"):
            copied(alice.attributes)
        with pytest.raises(TypeError, match="Room is live"):
            copied({"room": [alice]}) if copied is not copy.copy else copied(alice)


def test_suggestions_of_the_refusals_work(alice: lknb.Room, bob: lknb.Room) -> None:
    def show(data: str) -> None: ...

    alice.on_text("chat")(show)
    alice.attributes["mood"] = "good"
    assert pickle.loads(pickle.dumps(dict(alice.attributes))) == {"mood": "good"}
    assert json.dumps(alice.attributes, default=dict) == '{"mood": "good"}'
    me = alice.participants[alice.identity]
    assert pickle.loads(pickle.dumps(me)).attributes == {"mood": "good"}
    frame = pd.DataFrame(list(alice.handlers))
    assert (frame.loc[0, "topic"], frame.loc[0, "calls"]) == ("chat", 0)
    assert len({alice, alice.handlers[0], alice.aio}) == 3
