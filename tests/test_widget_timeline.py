"""The timeline on the kernel's side: columns for a browser, recordings, and the static picture."""

from __future__ import annotations

import base64
import datetime as dt
import math
import threading
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from waiting import eventually

import lknb
from lknb.event import KINDS, Event, now
from lknb.loop import LOOP
from lknb.tables import Table
from lknb.widgets import timeline, timeline_picture
from lknb.widgets.timeline import Timeline, TimelinePart
from lknb.widgets.timeline_columns import LANES, NOTHING, OPEN, TOPICS, EventColumns, Mark
from lknb.widgets.timeline_picture import PICTURED, Picture, summary

NASTY = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e\x1b[31m'
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def started() -> Iterator[Callable[..., TimelinePart]]:
    """Start parts that follow their rooms or read their recordings."""
    parts: list[TimelinePart] = []

    def start(shown: Any) -> TimelinePart:
        parts.append(TimelinePart(shown))
        parts[-1].start(lambda: None)
        return parts[-1]

    yield start
    for part in parts:
        part.stop()


@pytest.fixture
def recorded(alice: lknb.Room, bob: lknb.Room, tmp_path: Path) -> lknb.Recording:
    """A recording of a text, a call and a change of state."""
    inbox = alice.listen("attributes")
    with alice.record(tmp_path / "run.mcap") as recorder:
        bob.attributes["mood"] = "curious"
        inbox.next(timeout=10)
        alice.send_text("hello", topic="lk.chat")
        with pytest.raises(lknb.RpcError):
            alice.perform_rpc("bob", "missing")
    return lknb.open_recording(recorder.path)


def unpacked(count: int, data: bytes) -> dict[int, Mark]:
    """Packed events by their position."""
    columns, at = [], 0
    for kind in "dIIIfHHHB":
        size = count * array(kind).itemsize
        columns.append(array(kind, data[at : at + size]))
        at += size
    assert at == len(data)
    time, positions, *rest = columns
    return dict(zip(positions, map(Mark, time, *rest), strict=True))


def batches(update: Any) -> list[dict[str, Any]]:
    """The batches in a snapshot or in changes."""
    found = (update.get("rows") or update.get("put") or {}).get("batches", []) if update else []
    return [batch for _, batch in found]


def marks(update: Any) -> dict[int, Mark]:
    """The events in a snapshot or in changes."""
    (batch,) = batches(update)
    return unpacked(batch["count"], base64.b64decode(batch["columns"]))


def all_marks(part: TimelinePart) -> list[Mark]:
    return list(marks(part.whole()).values())


def happened(room: lknb.Room, kind: Any = "data", sender: str | None = "bob", **more: Any) -> Event:
    """Add an event, without the server."""
    return room.events.add(Event(kind, "in", sender=sender, **{"topic": "imu", "data": b"1", "size": 1, **more}))


def test_streams_calls_packets_and_state_have_lanes_times_and_sizes(
    alice: lknb.Room, bob: lknb.Room, started: Callable[..., TimelinePart]
) -> None:
    @bob.rpc("add")
    def add(a: int, b: int) -> int:
        return a + b

    part = started(alice)
    before = now().timestamp() * 1000
    alice.send_text("hello", topic="lk.chat")
    bob.publish_data(b"12345", topic="imu")
    assert alice.perform_rpc("bob", "add", {"a": 1, "b": 2}) == 3
    bob.attributes["mood"] = "curious"
    eventually(lambda: {"data", "attributes"} <= {each.kind for each in alice.events})
    update = part.whole()
    lanes, topics = update["set"]["lanes"], update["set"]["topics"]
    found = {each.kind: each for each in marks(update).values()}
    assert lanes[:2] == ["", alice.identity]
    assert (lanes[found["text"].lane], topics[found["text"].topic]) == ("alice", "lk.chat")
    assert (lanes[found["data"].lane], found["data"].bytes) == ("bob", 5)
    assert (lanes[found["rpc"].lane], lanes[found["rpc"].other]) == ("alice", "bob")
    assert lanes[found["attributes"].lane] == "bob"
    assert found["rpc"].duration > 0
    assert math.isnan(found["data"].duration)
    assert all(before - 1 <= found[kind].time <= update["set"]["now"] for kind in ("text", "data", "rpc"))


def test_a_stream_is_open_until_it_ends_and_then_changes_in_place(
    alice: lknb.Room, started: Callable[..., TimelinePart]
) -> None:
    part = started(alice)
    part.whole()
    with alice.stream_text(topic="llm") as out:
        (position,) = opened = marks(part.changes())
        assert (opened[position].duration, opened[position].status) == (OPEN, "open")
        assert part.poll_after
        out.write("hello")
        assert marks(part.changes())[position].bytes == 5  # it grows
    ended = marks(part.changes())
    assert list(ended) == [position]
    assert ended[position].status == "ok"
    assert ended[position].duration >= 0
    assert part.poll_after is None


def test_a_packet_that_turns_out_lost_changes_in_place(alice: lknb.Room, started: Callable[..., TimelinePart]) -> None:
    part = started(alice)
    event = happened(alice)
    part.whole()
    alice.events.revise(event, "nobody confirmed it")
    (mark,) = marks(part.changes()).values()
    assert mark.status == "failed"
    # A browser that has missed this loads it with what comes next.
    answer = LOOP.run(lambda: part.events(start=part.values()["total"]), "events")
    assert [each.status for each in unpacked(answer["count"], answer["buffer"]).values()] == ["failed"]


def test_losses_and_outages_last(alice: lknb.Room, started: Callable[..., TimelinePart]) -> None:
    part = started(alice)
    since = now()
    part.whole()
    alice.events.add(Event("connection", "in", topic="reconnecting", time=since))
    assert marks(part.changes()).popitem()[1].duration == OPEN
    data = {"from": since - dt.timedelta(seconds=3), "until": since, "another_room": False}
    alice.events.add(Event("loss", "in", topic="reconnect", data=data, error="may be missing"))
    alice.events.add(Event("connection", "in", topic="connected", time=since + dt.timedelta(seconds=2)))
    outage, loss, connected = marks(part.changes()).values()
    assert (outage.kind, round(outage.duration)) == ("connection", 2000)
    assert (loss.kind, round(loss.duration), round(since.timestamp() * 1000 - loss.time)) == ("loss", 3000, 3000)
    assert math.isnan(connected.duration)


def test_a_browser_loads_what_a_snapshot_or_a_batch_is_too_small_for(
    alice: lknb.Room, started: Callable[..., TimelinePart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "SNAPSHOT", 3)
    monkeypatch.setattr(timeline, "CHUNK", 4)
    monkeypatch.setattr(timeline, "_BURST", 5)
    part = started(alice)
    part.whole()
    first = part.values()["total"]
    for _ in range(6):
        happened(alice)
    number = part.values()["batch"]
    assert batches(part.changes()) == []
    assert part.values()["batch"] == number + 1  # by which a browser knows that something is missing
    assert batches(part.whole()) == []
    answer = LOOP.run(lambda: part.events(start=first), "events")
    assert list(unpacked(answer["count"], answer["buffer"])) == [first, first + 1, first + 2, first + 3]
    assert answer["next"] == first + 4
    answer = LOOP.run(lambda: part.events(start=first + 4, again=[first, 10**9, -1]), "events")
    assert list(unpacked(answer["count"], answer["buffer"])) == [first, first + 4, first + 5]
    assert (answer["next"], answer["batch"]) == (None, part.values()["batch"])


@pytest.mark.parametrize("arguments", [{"start": "1"}, {"again": 5}, {"again": ["1"]}])
def test_positions_from_a_browser_are_checked(
    alice: lknb.Room, started: Callable[..., TimelinePart], arguments: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        LOOP.run(lambda: started(alice).events(**arguments), "events")


def test_only_the_newest_events_stay_and_the_others_are_counted(
    alice: lknb.Room, started: Callable[..., TimelinePart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "KEPT", 50)
    monkeypatch.setattr("lknb.widgets.timeline_columns._SPARE", 10)
    for number in range(80):
        happened(alice, topic=f"before {number}")
    part = started(alice)
    for number in range(200):
        happened(alice, topic=f"after {number}")
    values = part.values()
    found = all_marks(part)
    assert 50 <= len(found) < 60
    assert values["topics"][found[-1].topic] == "after 199"
    assert len(alice.events) == values["left_out"] + len(found)
    assert len(part._positions) == len(found)


def test_what_happens_while_the_log_is_read_is_there_once(
    alice: lknb.Room, started: Callable[..., TimelinePart]
) -> None:
    going = threading.Event()

    def send() -> None:
        for _ in range(2_000):
            happened(alice)
            going.set()

    sending = threading.Thread(target=send)
    sending.start()
    going.wait(10)
    part = started(alice)
    sending.join()
    keys = [mark.key for mark in all_marks(part)]
    assert sorted(keys) == sorted(event.number for event in alice.events)


def test_a_flood_of_names_shares_a_lane_and_topics_are_bounded(
    alice: lknb.Room, started: Callable[..., TimelinePart]
) -> None:
    part = started(alice)
    for number in range(TOPICS + 200):
        happened(alice, sender=f"{number}" * 200, topic=f"topic {number}")
    values = part.values()
    assert (len(values["lanes"]), values["others"], len(values["topics"])) == (LANES, True, TOPICS)
    assert max(map(len, values["lanes"])) <= 120
    last = all_marks(part)[-1]
    assert (last.lane, last.topic) == (LANES, NOTHING)


def test_reading_returns_the_payload_until_the_log_has_evicted_it(
    alice: lknb.Room, started: Callable[..., TimelinePart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alice.events, "_max_events", 5)
    part = started(alice)
    event = happened(alice, data=b'{"x": 1}')

    def read(key: Any) -> Any:
        return LOOP.run(lambda: part.read(key), "read")

    assert read(event.number)["preview"] == '{"x": 1}'
    for _ in range(5):
        happened(alice)
    with pytest.raises(LookupError, match="evicted"):
        read(event.number)
    with pytest.raises(TypeError, match="whole number"):
        read("1")
    assert event.number in {mark.key for mark in all_marks(part)}  # its mark stays


def test_a_live_room_has_no_state_of_a_moment(alice: lknb.Room, started: Callable[..., TimelinePart]) -> None:
    with pytest.raises(lknb.LknbError, match="Only a recording"):
        LOOP.run(lambda: started(alice).state_at(1.0), "state_at")


# Recordings


def test_a_recording_is_read_by_a_thread_and_can_be_opened(
    recorded: lknb.Recording, started: Callable[..., TimelinePart]
) -> None:
    part = started(recorded)
    eventually(lambda: part.values()["loading"] is None)
    values = part.values()
    begin, end = values["recorded"] or (0.0, 0.0)
    found = list(marks(part.whole()).values())
    assert (values["live"], values["room"], values["left_out"]) == (False, recorded.room, 0)
    assert len(found) == len(recorded)
    assert end - begin == pytest.approx(recorded.duration * 1000, abs=200)
    (text,) = (each for each in found if each.kind == "text")
    assert begin <= text.time <= end
    assert LOOP.run(lambda: part.read(text.key), "read")["preview"] == "hello"
    assert any(each.kind == "rpc" and each.status == "failed" for each in found)


def test_a_recording_tells_the_state_at_the_cursor(
    recorded: lknb.Recording, started: Callable[..., TimelinePart]
) -> None:
    part = started(recorded)
    state = LOOP.run(lambda: part.state_at(recorded.end.timestamp() * 1000), "state_at")
    people = {each["identity"]: each for each in state["people"]}
    assert set(people) == {"alice", "bob"}
    assert people["bob"]["attributes"] == [("mood", {"text": "curious", "more": False})]
    first = LOOP.run(lambda: part.state_at(-1e300), "state_at")  # a time of any size is one of the recording
    assert first["time"] == pytest.approx(recorded.start.timestamp() * 1000, abs=1)


def test_of_a_long_recording_the_newest_events_are_read(
    recorded: lknb.Recording, started: Callable[..., TimelinePart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "KEPT", 2)
    part = started(recorded)
    eventually(lambda: part.values()["loading"] is None)
    assert part.values()["left_out"] == len(recorded) - 2
    assert [each.key for each in all_marks(part)] == [len(recorded) - 2, len(recorded) - 1]


def test_a_recording_that_cannot_be_read_says_why(
    recorded: lknb.Recording, started: Callable[..., TimelinePart]
) -> None:
    recorded.close()
    part = started(recorded)
    eventually(lambda: part.values()["loading"] is None)
    assert "cannot be read completely" in part.values()["trouble"]


# What stays


def sample(*, count: int, lanes: int = 3) -> tuple[list[Mark], list[str]]:
    """Events of every kind, some of them failed, some at once."""
    columns = EventColumns(count + 5_000, "alice")
    begin = dt.datetime(2027, 1, 15, 12, tzinfo=dt.UTC)
    kinds: list[Any] = ["text", "bytes", "rpc", "data", "data", "data_track", "attributes", "participant"]
    for index in range(count):
        event = Event(
            kinds[index % len(kinds)],
            "in",
            sender=f"person {index * 7 % lanes} {NASTY}",
            to=(f"person {index % lanes} {NASTY}",),
            topic=NASTY,
            status="failed" if index % 11 == 0 else "ok",
            duration=index % 5 / 3 if index % len(kinds) < 3 else None,
            time=begin + dt.timedelta(seconds=index * 600 / count),
            size=10,
        )
        columns.add(event, index)
    return list(columns), columns.lanes.all()


@pytest.mark.parametrize(("count", "lanes"), [(0, 1), (1, 1), (500, 4), (30_000, 60)])
def test_the_picture_is_well_formed_escaped_and_bounded(count: int, lanes: int) -> None:
    found, names = sample(count=count, lanes=lanes)
    picture = Picture(found, names, [NASTY], left_out=count and 7)
    text = picture._repr_html_()
    assert len(text) <= timeline_picture.LIMIT + 500
    assert "<script" not in text
    assert "<img" not in text
    assert "\u202e" not in text
    if not count:
        assert "No events yet" in text
        return
    assert "7 older events are left out" in text
    root = ElementTree.fromstring(text[: text.index("</svg>") + 6])
    labels = [each.text or "" for each in root.iter(f"{SVG}text")]
    assert sum(each.startswith("person") for each in labels) == min(lanes, PICTURED)
    assert {"text", "calls", "packets"} <= set(labels) or count == 1
    colours = {each.get("fill") for each in root.iter(f"{SVG}path")}
    assert timeline_picture._COLORS["failed"] in colours


def test_the_picture_shows_calls_between_lanes_and_bands_over_them() -> None:
    columns = EventColumns(100, "alice")
    begin = dt.datetime(2027, 1, 15, 12, tzinfo=dt.UTC)
    columns.add(Event("rpc", "out", sender="alice", to=("bob",), topic="add", duration=1.0, time=begin), 1)
    columns.add(Event("text", "in", sender="bob", duration=0.5, time=begin + dt.timedelta(seconds=4)), 2)
    data = {"from": begin + dt.timedelta(seconds=1), "until": begin + dt.timedelta(seconds=2)}
    columns.add(Event("loss", "in", data=data, error="missing", time=begin + dt.timedelta(seconds=2)), 3)
    text = Picture(columns, columns.lanes.all(), [""])._repr_html_()
    root = ElementTree.fromstring(text)
    lines = [each.get("d") for each in root.iter(f"{SVG}path") if each.get("stroke") == timeline_picture._COLORS["rpc"]]
    assert len(lines) == 1
    assert str(lines[0]).count("V") == 1
    assert [each for each in root.iter(f"{SVG}path") if each.get("fill-opacity") == ".16"]


def test_the_table_counts_what_each_participant_did() -> None:
    found, names = sample(count=80, lanes=2)
    table = summary(found, names)
    assert isinstance(table, Table)
    assert sum(int(row[4] or 0) for row in table) == 20  # packets
    assert "<script" not in table._repr_html_()


def test_a_closed_timeline_leaves_its_picture(alice: lknb.Room) -> None:
    happened(alice, sender=NASTY, topic=NASTY)
    shown = alice.timeline()
    assert list(alice.widgets) == [shown]
    shown.close()
    assert list(alice.widgets) == []
    assert "<svg" in shown.html()
    assert "<script" not in shown.html()
    assert "alice in" in repr(shown)
    assert "\x1b" not in repr(shown)


def test_a_timeline_of_a_recording_is_a_widget_too(recorded: lknb.Recording) -> None:
    shown = Timeline(recorded)
    eventually(lambda: shown.parts[0].values()["loading"] is None)
    assert "events recorded" in repr(shown)
    assert "<svg" in shown.html()
    shown.close()
    assert not shown.active


def test_the_panel_has_a_timeline(alice: lknb.Room) -> None:
    assert [part.name for part in alice.panel("timeline").parts] == ["panel", "timeline"]


def test_every_kind_has_a_form_in_the_page() -> None:
    text = (Path(timeline.__file__).parent / "timeline_kinds.js").read_text()
    assert all(f'"{kind}"' in text for kind in KINDS)
