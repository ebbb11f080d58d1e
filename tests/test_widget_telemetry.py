"""Telemetry on the kernel's side: batches for a browser, and static tables."""

from __future__ import annotations

import base64
import json
import struct
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

import lknb
from lknb.event import Event
from lknb.loop import LOOP
from lknb.tables import Table
from lknb.widgets import telemetry
from lknb.widgets.telemetry import FIELDS, SOURCES, TelemetryPart

NASTY = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e\x1b[31m'


@pytest.fixture
def started() -> Iterator[Callable[..., TelemetryPart]]:
    """Start parts that follow their rooms: `started(room, "x", window=10)`."""
    parts: list[TelemetryPart] = []

    def start(room: lknb.Room, *fields: str, **options: Any) -> TelemetryPart:
        parts.append(TelemetryPart(room, *fields, **options))
        parts[-1].start(lambda: None)
        return parts[-1]

    yield start
    for part in parts:
        part.stop()


def batches(update: Any) -> list[dict[str, Any]]:
    """The batches in a snapshot or in changes."""
    found = (update.get("rows") or update.get("put") or {}).get("batches", []) if update else []
    return [batch for _, batch in found]


def changes(part: TelemetryPart) -> dict[str, Any]:
    """The changes since the last call, which must exist."""
    update = part.changes()
    assert update is not None
    return update


def numbers(text: str, kind: str = "d") -> list[float]:
    return list(array(kind, base64.b64decode(text)))


def happened(room: lknb.Room, data: Any, topic: str = "imu", sender: str = "bob", **more: Any) -> Event:
    """Add an incoming event, without the server."""
    return room.events.add(Event("data", "in", sender=sender, topic=topic, data=data, **more))


def test_packets_become_columns(alice: lknb.Room, bob: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    part = started(alice)
    assert part.whole()["set"]["fields"] == []
    for number in range(3):
        bob.publish_data(json.dumps({"accel": {"x": number}, "t": 0.5}), topic="imu")
    eventually(lambda: part.values()["total"] == 3)
    update = changes(part)
    assert update["set"]["fields"] == ["accel.x", "t"]
    assert update["set"]["sources"] == [("bob", "imu")]
    (batch,) = batches(update)
    assert batch["snapshot"]  # because there are fields that no table has yet
    assert [numbers(column) for column in batch["columns"]] == [[0, 1, 2], [0.5, 0.5, 0.5]]
    assert numbers(batch["source"], "H") == [0, 0, 0]
    assert abs(numbers(batch["time"])[-1] - datetime.now(UTC).timestamp() * 1000) < 60_000
    bob.publish_data('{"t": 0.75}', topic="imu")
    eventually(lambda: part.values()["total"] == 4)
    (batch,) = batches(part.changes())
    assert not batch["snapshot"]
    missing, given = (numbers(column)[0] for column in batch["columns"])
    assert missing != missing  # not a number
    assert given == 0.75


def test_data_tracks_are_subscribed_to_once_a_browser_looks(
    alice: lknb.Room, bob: lknb.Room, started: Callable[..., TelemetryPart]
) -> None:
    part = started(alice)
    track = bob.publish_data_track("lidar")
    eventually(lambda: alice.data_tracks)
    assert not alice.data_tracks[0].subscribed
    part.whole()
    eventually(lambda: alice.data_tracks[0].subscribed)

    def received() -> bool:
        track.push(struct.pack("<I", 5))
        return bool(part.values()["undecoded"])

    eventually(received)
    part.stop()
    eventually(lambda: not alice.data_tracks[0].subscribed)


def test_snapshot_after_stop_subscribes_to_nothing(alice: lknb.Room) -> None:
    part = TelemetryPart(alice)
    part.start(lambda: None)
    part.stop()
    part.whole()
    assert part._end == []


def test_feed_of_data_tracks_subscribes_and_plots(alice: lknb.Room, bob: lknb.Room) -> None:
    feed = alice.feed("data_track", "lidar")
    plot = feed.plot("near", "far", decoder="<ff", window=100)
    track = bob.publish_data_track("lidar")

    def received() -> bool:
        track.push(struct.pack("<ff", 0.5, 8.25))
        return "8.25" in repr(plot)

    eventually(received)
    assert "lidar" in repr(feed)
    plot.close()
    feed.close()
    eventually(lambda: not alice.data_tracks[0].subscribed)


def test_plot_includes_events_in_the_log(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    happened(alice, b'{"x": 1}')
    alice.publish_data('{"x": 2}', topic="imu")
    happened(alice, b'{"x": 3}', topic="other")
    part = started(alice, topic="imu")
    (batch,) = batches(part.whole())
    assert numbers(batch["columns"][0]) == [1, 2]


def test_window_keeps_the_newest_samples(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    part = started(alice, window=10)
    part.whole()
    for number in range(25):
        happened(alice, json.dumps({"x": number}).encode())
    (batch,) = batches(part.changes())
    assert numbers(batch["columns"][0]) == list(range(15, 25))
    assert part.values()["total"] == 25


def test_too_many_samples_are_thinned_out_and_counted(
    alice: lknb.Room, started: Callable[..., TelemetryPart], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = started(alice)
    happened(alice, b'{"x": 0}')
    part.whole()
    monkeypatch.setattr("lknb.widgets.telemetry.RATE", 10_000)
    happened(alice, json.dumps([{"x": number} for number in range(1, 1001)]).encode())
    update = changes(part)
    (batch,) = batches(update)
    kept = numbers(batch["columns"][0])
    assert 20 < len(kept) < 500
    assert kept[-1] == 1000
    assert update["set"]["thinned"] == 1000 - len(kept)


def test_samples_that_were_left_out_follow_when_it_is_quiet(
    alice: lknb.Room, started: Callable[..., TelemetryPart], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = started(alice)
    happened(alice, b'{"x": 0}')
    part.whole()
    monkeypatch.setattr("lknb.widgets.telemetry.RATE", 10_000)
    happened(alice, json.dumps([{"x": number} for number in range(1, 1001)]).encode())
    assert batches(part.changes())[0]["count"] < 500

    def complete() -> Any:
        part.look()
        changed = part.changes()
        return [each for each in batches(changed) if each["snapshot"]] if changed else None

    (batch,) = eventually(complete)
    assert numbers(batch["columns"][0]) == list(range(1001))
    assert part.values()["thinned"] == 0


def test_ten_thousand_samples_a_second_are_all_sent(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    part = started(alice, window=20_000)
    happened(alice, b'{"x": 0, "y": 0}')
    part.whole()
    for _ in range(9):
        happened(alice, json.dumps([{"x": number, "y": -number} for number in range(1111)]).encode())
        (batch,) = batches(part.changes())
        assert batch["count"] > 1000
    assert part.values()["total"] == 10_000


def test_samples_of_one_packet_are_spread_over_the_time_since_the_last(
    alice: lknb.Room, started: Callable[..., TelemetryPart]
) -> None:
    part = started(alice)
    happened(alice, b'{"x": 0}', time=datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC))
    happened(alice, b'[{"x": 1}, {"x": 2}]', time=datetime(2026, 1, 1, 12, 0, 0, 500_000, tzinfo=UTC))
    (batch,) = batches(part.whole())
    first, *rest = numbers(batch["time"])
    assert [time - first for time in rest] == [250, 500]


def test_time_can_be_a_field(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    arrived = datetime(2026, 1, 1, 12, tzinfo=UTC)
    part = started(alice, time="t")
    happened(alice, json.dumps([{"t": 5, "x": 1}, {"t": 5.25, "x": 2}]).encode(), time=arrived)
    happened(alice, json.dumps([{"t": 1_767_268_800_000, "x": 3}, {"t": 1e300, "x": 4}]).encode(), time=arrived)
    happened(alice, json.dumps({"t": "2026-01-01T12:00:07+00:00", "x": 5}).encode(), time=arrived)
    update = part.whole()
    assert update["set"]["fields"] == ["x"]
    begin = arrived.timestamp() * 1000
    assert [time - begin for time in numbers(batches(update)[0]["time"])] == [0, 250, 0, 0, 7000]


def test_time_can_be_a_frames_timestamp(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    part = started(alice, time="timestamp")
    happened(alice, b'{"x": 1}', timestamp=1_767_268_800_000_000)
    assert numbers(batches(part.whole())[0]["time"]) == [1_767_268_800_000]


def test_plot_of_chosen_fields(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    part = started(alice, "accel", "x")
    happened(alice, b'{"accel": {"x": 1, "y": 2}, "x": 3, "accelerated": 4, "time": 5}')
    assert part.whole()["set"]["fields"] == ["accel.x", "accel.y", "x"]


def test_fields_named_like_other_columns_are_renamed(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    part = started(alice)
    happened(alice, b'{"time": 1, "topic": 2, "psp_pkey": 3, "__ROW_PATH__": 4, "a\\u202eb\\n": 5}')
    fields = ["time (field)", "topic (field)", "psp_pkey (field)", "__ROW_PATH__ (field)", r"a\u202eb\u000a"]
    assert part.whole()["set"]["fields"] == fields


def test_fields_and_sources_are_bounded_and_reported(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    part = started(alice)
    happened(alice, json.dumps({f"f{number}": number for number in range(FIELDS + 3)}).encode())
    values = part.whole()["set"]
    assert len(values["fields"]) == FIELDS
    assert values["refused"] == (3, [f"f{FIELDS}", f"f{FIELDS + 1}", f"f{FIELDS + 2}"])
    assert "3 fields beyond" in repr(part.tables()[0][1])
    for number in range(SOURCES + 5):
        happened(alice, b'{"f1": 1}', sender=f"sender {number}")
    assert len(part.values()["sources"]) == SOURCES + 1
    assert part.values()["sources"][-1] == ("others", "")


def test_undecodable_payloads_are_counted_with_the_reason(
    alice: lknb.Room, started: Callable[..., TelemetryPart]
) -> None:
    def decoder(payload: bytes) -> dict[str, float]:
        return {"x": 1 / len(payload.strip())}

    part, other = started(alice, decoder=decoder), started(alice)
    happened(alice, b"   ")
    happened(alice, b"12345")
    assert part.values()["undecoded"] == 1
    assert "ZeroDivisionError" in part.values()["reason"]
    assert part.values()["fields"] == ["x"]
    happened(alice, b"nothing")
    assert "neither JSON nor numbers" in other.values()["reason"]
    assert "'imu' from bob" in other.values()["reason"]


def test_clear_starts_over(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    part = started(alice)
    happened(alice, b'{"x": 1}')
    part.whole()
    LOOP.run(part.actions["clear"](), "clear")
    (batch,) = batches(part.changes())
    assert batch["snapshot"]
    assert batch["count"] == 0
    happened(alice, b'{"y": 2}')
    assert changes(part)["set"]["fields"] == ["y"]


def test_uplot_is_the_one_of_its_package(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    answer = LOOP.run(started(alice).actions["plotter"](), "plotter")
    assert "u-over" in answer["style"]
    package = Path(__file__).parents[1] / "node_modules" / "uplot"
    if not package.is_dir():
        pytest.skip("npm has not installed the widgets' tools")
    for name in ("uPlot.esm.js", "uPlot.min.css"):
        assert (Path(telemetry.__file__).parent / "uplot" / name).read_bytes() == (package / "dist" / name).read_bytes()


def test_library_comes_from_the_wheel(alice: lknb.Room, started: Callable[..., TelemetryPart]) -> None:
    answer = LOOP.run(started(alice).actions["library"](), "library")
    assert len(answer["buffer"]) > 1_000_000
    assert "perspective-viewer" in answer["style"]


def test_static_tables_summarize_fields(alice: lknb.Room) -> None:
    plot = alice.feed(topic="imu").plot()
    assert "publish_data" in repr(plot)
    for number in range(5):
        happened(alice, json.dumps({"x": number / 2, NASTY: number}).encode())
    (_, summary), (_, newest) = plot.parts[0].tables()
    assert isinstance(summary, Table)
    assert isinstance(newest, Table)
    assert summary.rows[0] == ("x", "bob", "imu", "2", "0", "1", "2", "5")
    assert newest.rows[0][1:4] == ("bob", "imu", "2")
    happened(alice, NASTY, sender=NASTY)
    assert "could not be decoded" in repr(plot)
    assert "<script" not in plot.html()
    assert "<img" not in plot.html()
    for text in (plot.html(), repr(plot)):
        assert "\x1b" not in text
        assert "\u202e" not in text


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"window": 0}, ValueError),
        ({"window": "many"}, TypeError),
        ({"decoder": "<q!"}, ValueError),
        ({"time": 5}, TypeError),
    ],
)
def test_plot_rejects_invalid_options(alice: lknb.Room, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        alice.feed(topic="imu").plot(**options)


def test_plot_keeps_the_kind_of_its_feed(alice: lknb.Room) -> None:
    plot = alice.feed(kind="attributes").plot()
    alice.local_participant.set_attributes({"mood": "fine"})
    alice.events.add(Event("attributes", "in", sender="bob", data={"battery": 80}))
    eventually(lambda: "battery" in repr(plot))
    assert isinstance(plot.parts[0], TelemetryPart)
