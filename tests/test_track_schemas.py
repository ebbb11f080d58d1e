"""What a data track's frames are: declared by its publisher, read by the others, kept over reconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from livekit.rtc._proto.room_pb2 import SimulateScenarioKind
from waiting import eventually

import lknb
from lknb import server
from lknb.loop import LOOP

Join = Callable[..., lknb.Room]

POINT = lknb.DataTrackSchema("Point", "jsonschema", '{"type": "object", "properties": {"x": {"type": "number"}}}')


def track_of(room: lknb.Room, name: str) -> lknb.RemoteDataTrack:
    """Return the track of this name, once it is there."""
    return eventually(lambda: next((each for each in room.data_tracks if each.name == name), None))


def test_encoding_and_schema_are_seen_by_the_others(alice: lknb.Room, bob: lknb.Room) -> None:
    local = alice.publish_data_track("pose", encoding="json", schema=POINT)
    assert (local.encoding, local.schema) == ("json", POINT)
    track = track_of(bob, "pose")
    assert (track.encoding, track.schema) == ("json", lknb.DataTrackSchema("Point", "jsonschema"))
    assert bob.data_track_schema(track) == POINT
    assert asyncio.run(bob.aio.data_track_schema(track)) == POINT


@pytest.mark.parametrize("encoding", ["json", "cbor", "msgpack", "my own"])
def test_encodings_that_describe_themselves_need_no_schema(alice: lknb.Room, bob: lknb.Room, encoding: str) -> None:
    alice.publish_data_track("t", encoding=encoding)
    assert track_of(bob, "t").encoding == encoding


@pytest.mark.parametrize(
    ("encoding", "language"),
    [
        ("json", "jsonschema"),
        ("protobuf", "protobuf"),
        ("flatbuffer", "flatbuffer"),
        ("ros1", "ros1msg"),
        ("cdr", "ros2msg"),
        ("cdr", "ros2idl"),
        ("cdr", "omgidl"),
        ("my own", "my own"),
    ],
)
def test_schemas_of_every_language_are_read(alice: lknb.Room, bob: lknb.Room, encoding: str, language: str) -> None:
    alice.publish_data_track("t", encoding=encoding, schema=lknb.DataTrackSchema("S", language, "float64 x"))
    track = track_of(bob, "t")
    assert (track.encoding, track.schema) == (encoding, lknb.DataTrackSchema("S", language))
    assert bob.data_track_schema(track).definition == "float64 x"


def test_schema_that_does_not_fit_its_encoding_is_refused(alice: lknb.Room) -> None:
    with pytest.raises(lknb.SendError, match="incompatible"):
        alice.publish_data_track("t", encoding="cdr", schema=POINT)


def test_track_without_a_declaration_has_none(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.publish_data_track("t")
    track = track_of(bob, "t")
    assert (track.encoding, track.schema) == (None, None)
    with pytest.raises(lknb.StreamError, match="declares no schema"):
        bob.data_track_schema(track)


def test_late_joiner_sees_the_declaration(alice: lknb.Room, join: Join) -> None:
    alice.publish_data_track("pose", encoding="json", schema=POINT)
    carol = join("carol")
    assert carol.data_track_schema(track_of(carol, "pose")) == POINT


def test_samples_over_a_track_are_declared_as_arrow(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.publish_samples("imu", via="data_track")
    assert track_of(bob, "imu").encoding == "arrow"


def test_declaration_survives_a_full_reconnect(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.publish_data_track("pose", encoding="json", schema=POINT)
    before = track_of(bob, "pose")
    changes = alice.listen("connection")
    full = SimulateScenarioKind.Value("SIMULATE_FULL_RECONNECT")
    LOOP.run(alice._connection.sdk.simulate_scenario(full), "simulate")
    assert changes.next(timeout=10).topic == "reconnecting"
    assert changes.next(timeout=30).topic == "connected"
    eventually(lambda: track_of(bob, "pose").encoding == before.encoding == "json")

    def is_kept() -> bool:
        try:
            return bob.data_track_schema(track_of(bob, "pose")) == POINT
        except lknb.StreamError:
            return False

    eventually(is_kept)


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "encoding": ({"encoding": "x" * 26}, ValueError, "encoding must be one of ros1"),
    "no encoding": ({"encoding": ""}, ValueError, "encoding must be one of ros1"),
    "schema alone": ({"schema": POINT}, ValueError, "needs the encoding of the frames"),
    "encoding alone": ({"encoding": "cdr"}, ValueError, "cannot be read without a schema"),
    "a number": ({"encoding": 7}, TypeError, "encoding"),
    "a text": ({"schema": "float64 x"}, TypeError, "schema must be a lknb.DataTrackSchema"),
    "language": ({"schema": lknb.DataTrackSchema("S", "x" * 26, "")}, ValueError, "schema.encoding must be one of"),
    "name": ({"schema": lknb.DataTrackSchema("", "jsonschema", "{}")}, ValueError, "schema.name"),
    "size": (
        {"schema": lknb.DataTrackSchema("S", "jsonschema", "x" * 64_001)},
        lknb.PayloadTooLargeError,
        "the limit is 64,000",
    ),
}


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_declarations_are_errors(
    alice: lknb.Room, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        alice.publish_data_track("t", **arguments)


def test_track_keeps_its_declaration(alice: lknb.Room) -> None:
    track = alice.publish_data_track("t", encoding="json")
    assert alice.publish_data_track("t") is alice.publish_data_track("t", encoding="json") is track
    with pytest.raises(ValueError, match="published with another declaration"):
        alice.publish_data_track("t", encoding="cbor")


@pytest.fixture
def without_schemas(own_server: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[server.RunningServer]:
    """A server that keeps no schemas."""
    running = server.ensure(config={"enable_participant_data_blob": False})
    yield running
    server.stop()


def test_server_that_keeps_no_schemas_is_named(without_schemas: server.RunningServer) -> None:
    arguments: dict[str, Any] = {
        "url": without_schemas.url,
        "api_key": without_schemas.api_key,
        "api_secret": without_schemas.api_secret,
    }
    with lknb.connect("schemas", "alice", **arguments) as alice:
        with pytest.raises(lknb.SendError, match="enable_participant_data_blob"):
            alice.publish_data_track("t", encoding="json", schema=POINT)
        assert alice.publish_data_track("t", encoding="json").encoding == "json"
