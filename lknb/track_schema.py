"""What the frames of a data track are, as its publisher declares it: their encoding, and a schema."""

from __future__ import annotations

from dataclasses import dataclass

from lknb.public import public

SCHEMA_ENCODINGS = {
    "protobuf": 1,
    "flatbuffer": 2,
    "ros1msg": 3,
    "ros2msg": 4,
    "ros2idl": 5,
    "omgidl": 6,
    "jsonschema": 7,
}
"""LiveKit's encodings of schemas, by the names that MCAP has for them."""

FRAME_ENCODINGS = {"ros1": 1, "cdr": 2, "protobuf": 3, "flatbuffer": 4, "cbor": 5, "msgpack": 6, "json": 7}
"""LiveKit's encodings of frames, by the names that MCAP has for them."""

NEED_SCHEMA = ("ros1", "cdr", "protobuf", "flatbuffer")
"""The encodings of frames that nobody can read without a schema: LiveKit refuses them without one."""

CUSTOM_LIMIT = 25
"""Characters of the name of another encoding."""

DEFINITION_LIMIT = 64_000
"""Bytes of a schema's definition."""


@public
@dataclass(frozen=True)
class DataTrackSchema:
    """The schema of a data track's frames.

    Attributes:
        name: its name, such as the name of the message type.
        encoding: the language that defines it: `protobuf`, `flatbuffer`, `ros1msg`, `ros2msg`, `ros2idl`, `omgidl`,
            `jsonschema`, or another one of at most 25 characters.
        definition: its text; "" for the schema of another participant's track, until it is fetched with
            `room.data_track_schema(track)`.
    """

    name: str
    encoding: str
    definition: str = ""


def name_of(encoding: int, custom: str, known: dict[str, int]) -> str | None:
    """An encoding's name; None if there is none."""
    return custom or next((name for name, number in known.items() if number == encoding), None)
