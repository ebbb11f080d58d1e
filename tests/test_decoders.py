"""Decoders: payloads of a plain peer as values, in every format, and what broken and hostile payloads become."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import io
import json
import pickle
import queue
import random
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import cbor2
import msgpack
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2, timestamp_pb2
from IPython.core.error import UsageError
from peers import PlainPeer
from shells import Shell
from waiting import eventually

import lknb
from lknb import values
from lknb.columns.decoders import make_format
from lknb.columns.limits import DEEPEST, LARGEST, UNPACKED, VALUES
from lknb.decoding import Decoders, UndecodableError
from lknb.event import Event, amend
from lknb.event_table import MOST_FIELDS
from lknb.events import EventLog
from lknb.loop import LOOP
from lknb.widgets.feed import FeedPart
from lknb.widgets.telemetry import TelemetryPart

Peer = Callable[..., PlainPeer]

IMU = """\
std_msgs/Header header  # when and where
geometry_msgs/Quaternion orientation
float64[9] covariance
uint8[] raw
string[] names
int16[<=3] few
bool ON=1
bool calibrated true
===
MSG: geometry_msgs/Quaternion
float64 x 0
float64 w 1
"""
IMU_SHOWN = """\
std_msgs/Header header
	builtin_interfaces/Time stamp
		int32 sec
		uint32 nanosec
	string frame_id
geometry_msgs/Quaternion orientation
	float64 x 0
	float64 w 1
float64[9] covariance
uint8[] raw
string[] names
int16[<=3] few
bool calibrated
"""
IMU_VALUE = {
    "header": {"stamp": {"sec": 5, "nanosec": 6}, "frame_id": "base"},
    "orientation": {"x": 0.5, "w": 1.0},
    "covariance": [float(number) for number in range(9)],
    "raw": b"abc",
    "names": ["a", "bcd"],
    "few": [1, -2],
    "calibrated": True,
}


def imu_cdr(order: str = "<") -> bytes:
    """The message above, as a peer on ROS 2 writes it."""
    out = bytearray()

    def put(form: str, *numbers: Any) -> None:
        out.extend(bytes(-len(out) % struct.calcsize(form[-1])))
        out.extend(struct.pack(order + form, *numbers))

    def text(content: bytes) -> None:
        put("I", len(content) + 1)
        out.extend(content + b"\0")

    put("i", 5)
    put("I", 6)
    text(b"base")
    put("d", 0.5)
    put("d", 1.0)
    put("9d", *range(9))
    put("I", 3)
    out.extend(b"abc")
    put("I", 2)
    text(b"a")
    text(b"bcd")
    put("I", 2)
    put("2h", 1, -2)
    put("?", True)
    return bytes([0, order == "<", 0, 0]) + bytes(out)


def message_class() -> Any:
    """A class of protobuf messages, as protoc generates it for a user's .proto file."""
    file = descriptor_pb2.FileDescriptorProto(name="robot.proto", package="robot", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    kind = file.enum_type.add(name="Mode")
    kind.value.add(name="IDLE", number=0)
    kind.value.add(name="MOVING", number=1)
    pose = file.message_type.add(name="Pose")
    types = descriptor_pb2.FieldDescriptorProto
    pose.field.add(name="x", number=1, type=types.TYPE_DOUBLE, label=types.LABEL_OPTIONAL)
    pose.field.add(name="joints", number=2, type=types.TYPE_FLOAT, label=types.LABEL_REPEATED)
    pose.field.add(name="mode", number=3, type=types.TYPE_ENUM, type_name=".robot.Mode", label=types.LABEL_OPTIONAL)
    pose.field.add(
        name="at", number=4, type=types.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp", label=types.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("robot.Pose"))


def ipc(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def read(form: Any, payload: bytes, **options: Any) -> Any:
    return make_format(form, **options).read(payload)


def reading(form: Any) -> tuple[str, tuple[str, ...], Any, int]:
    """Return the arguments of a Decoder that say how it reads."""
    called, function, largest, _ = make_format(form)
    return called, (), function, largest


def returning(value: Any) -> tuple[str, tuple[str, ...], Any, int]:
    return reading(lambda payload: value)


def packet(data: bytes, topic: str = "imu") -> Event:
    return Event("data", "in", "peer", topic=topic, data=data, size=len(data))


# Every format, from a plain peer


def test_values_of_every_format_from_a_plain_peer(alice: lknb.Room, peer: Peer) -> None:
    pose_class = message_class()
    pose = pose_class(x=1.5, joints=[1, 2], mode=1)
    table = pa.table({"t": [0.0, 0.5], "name": ["a", "b"]})
    tree: dict[Any, Any] = {"x": 1.5, "on": True, "list": [1, None, "z"], "deep": {"raw": "b"}}
    cases: list[tuple[str, Any, dict[str, Any], bytes, Any]] = [
        ("struct", "<dff", {"names": ["t", "x", "y"]}, struct.pack("<dff", 1, 2, 3), {"t": 1.0, "x": 2.0, "y": 3.0}),
        ("one", "<d", {}, struct.pack("<d", 1.5), 1.5),
        ("unnamed", ">hB", {}, struct.pack(">hB", -2, 3), (-2, 3)),
        ("several", "<h", {"names": "x"}, struct.pack("<2h", 1, 2), [{"x": 1}, {"x": 2}]),
        ("json", "json", {}, json.dumps(tree).encode(), tree),
        ("msgpack", "msgpack", {}, msgpack.packb({**tree, 1: b"raw"}), {**tree, 1: b"raw"}),
        ("cbor", "cbor", {}, cbor2.dumps({**tree, 1: b"raw"}), {**tree, 1: b"raw"}),
        ("arrow", "arrow", {}, ipc(table, compression="zstd"), table),
        ("pose", pose_class, {}, pose.SerializeToString(), pose),
        ("cdr", "cdr", {"definition": IMU}, imu_cdr(), IMU_VALUE),
        ("big-endian", "cdr", {"definition": IMU_SHOWN}, imu_cdr(">"), IMU_VALUE),
        ("function", lambda payload: payload.decode().split(","), {}, b"1,2", ["1", "2"]),
    ]
    bob = peer("bob")
    inbox = alice.listen("data")
    for topic, form, options, payload, _ in cases:
        alice.decode(topic, form, **options)
        bob.call("publish_data", data=payload, topic=topic)
    got = {event.topic: event for event in (inbox.next() for _ in cases)}
    for topic, _, _, payload, value in cases:
        event = got[topic]
        assert (event.value_error, event.data, event.status) == (None, payload, "ok"), topic
        assert event.value == value, topic
    assert [(each.topic, each.decoded, each.failed) for each in alice.decoders] == [(case[0], 1, 0) for case in cases]


def test_data_track_text_and_bytes_are_decoded(alice: lknb.Room, peer: Peer) -> None:
    bob = peer("bob")
    alice.decode("all", "json")
    with alice.listen("data_track", topic="all") as frames:
        bob.call("send_text", text='{"kind": "text"}', topic="all")
        bob.call("send_bytes", data=b'{"kind": "bytes"}', topic="all", name="a.json")
        bob.call("publish_data_track", name="all")

        def got() -> dict[str, Event]:
            return {event.kind: event for event in alice.events.filter(topic="all", status="ok")}

        def all_came() -> bool:
            if not len(frames):
                bob.call("push", name="all", data=b'{"kind": "data_track"}')
            return set(got()) == {"data_track", "text", "bytes"}

        eventually(all_came)
    assert {kind: event.value for kind, event in got().items()} == {kind: {"kind": kind} for kind in got()}
    assert isinstance(got()["bytes"].data, lknb.ReceivedFile)


def test_sent_events_have_values_too(alice: lknb.Room) -> None:
    alice.decode("imu", "<h")
    alice.publish_data(struct.pack("<h", 7), topic="imu")
    (event,) = alice.events.filter("data", direction="out")
    assert event.value == 7


# Which events, and when


def test_decoder_applies_to_events_in_the_log_until_it_ends(alice: lknb.Room) -> None:
    alice.publish_data(b'{"x": 1}', topic="imu")
    event = alice.events.filter("data")[0]
    assert (event.value, event.value_error) == (None, None)
    made = alice.decode("imu", "json")
    assert (event.value, alice.decoders) == ({"x": 1}, (made,))
    alice.decode("imu", None)
    assert (event.value, event.value_error, alice.decoders) == (None, None, ())


def test_another_decoder_replaces_the_first(alice: lknb.Room) -> None:
    alice.publish_data(b"12345678", topic="imu")
    event = alice.events.filter("data")[0]
    alice.decode("imu", "json")
    assert event.value == 12345678
    alice.decode("imu", "<q")
    assert event.value == struct.unpack("<q", b"12345678")[0]
    assert [each.format for each in alice.decoders] == ["<q"]


def test_decoder_of_a_kind_comes_before_one_of_the_topic() -> None:
    log = EventLog()
    made = [log.add(Event("data", "in", topic="t", data=b"1")), log.add(Event("text", "in", topic="t", data="1"))]
    log.decoders.add(lknb.Decoder("t", None, *reading("json")))
    log.decoders.add(lknb.Decoder("t", "text", *reading(lambda payload: payload)))
    assert [event.value for event in made] == [1, b"1"]
    log.decoders.end("t", "text")
    assert [event.value for event in made] == [1, 1]
    assert len(list(log.decoders)) == 1


def test_other_kinds_keep_their_own_values(alice: lknb.Room) -> None:
    alice.decode("joined", "json")
    alice.attributes["mood"] = "fine"
    alice.send_text("not json", topic="chat")
    alice.publish_data(b"x", topic="other")
    found = {event.kind: event for event in alice.events}
    assert found["attributes"].value == {"mood": "fine"}
    assert found["text"].value == "not json"
    assert found["data"].value is None
    assert all(event.value_error is None for event in alice.events)


def test_open_stream_has_no_value_yet() -> None:
    log = EventLog()
    log.decoders.add(lknb.Decoder("t", None, *reading("json")))
    event = log.add(Event("text", "in", "peer", topic="t", status="open"))
    assert (event.value, event.value_error) == (None, None)
    amend(event, data='{"x": 1}', size=8)
    log.finish(event)
    assert event.value == {"x": 1}


def test_copies_have_no_decoder(alice: lknb.Room) -> None:
    alice.decode("imu", "json")
    alice.publish_data(b"1", topic="imu")
    event = alice.events.filter("data")[0]
    assert event.value == 1
    for made in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert (made.data, made.value) == (b"1", None)
    assert "value" not in dataclasses.asdict(event)


def test_running_a_cell_again_replaces_its_decoders(alice: lknb.Room, shell: Shell) -> None:
    shell.user_ns["room"] = alice
    shell.cell('room.decode("a", "json"); room.decode("b", "json")', id="one")
    shell.cell('room.decode("c", "json")', id="two")
    assert [each.topic for each in alice.decoders] == ["a", "b", "c"]
    shell.cell('room.decode("a", "<d")', id="one")
    assert [(each.topic, each.format) for each in alice.decoders] == [("c", "json"), ("a", "<d")]


def test_decoders_remain_after_the_room_is_closed(alice: lknb.Room) -> None:
    alice.decode("imu", "json")
    alice.publish_data(b"[1]", topic="imu")
    alice.close()
    assert alice.events.filter("data")[0].value == [1]
    alice.decode("imu", lambda payload: len(payload))
    assert alice.events.filter("data")[0].value == 3


# Payloads that cannot be read


def test_broken_payload_is_a_row_with_its_reason(alice: lknb.Room, peer: Peer) -> None:
    bob = peer("bob")
    inbox = alice.listen("data")
    decoder = alice.decode("imu", "<dff", names=["t", "x", "y"])
    for payload in (b"broken", struct.pack("<dff", 1, 2, 3)):
        bob.call("publish_data", data=payload, topic="imu")
    broken, whole = inbox.next(), inbox.next()
    assert (broken.status, broken.error, broken.value, broken.data) == ("ok", None, None, b"broken")
    assert broken.value_error == "6 bytes are not a multiple of the 16 bytes of '<dff'"
    assert (whole.value_error, whole.value) == (None, {"t": 1.0, "x": 2.0, "y": 3.0})
    assert (decoder.decoded, decoder.failed, decoder.last_error) == (1, 1, broken.value_error)
    assert "1 read, 1 not, the last because: 6 bytes" in repr(decoder)
    row = next(row for row in alice.feed(topic="imu").table() if row[5] == "6")
    assert row[6] == f"not decoded: {broken.value_error}"
    assert "not decoded: 6 bytes" in alice.events.filter("data")._repr_html_()


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), RecursionError(), MemoryError(), GeneratorExit()]
)
def test_function_that_raises_fails_only_its_event(error: BaseException) -> None:
    def fail(payload: bytes) -> Any:
        raise error

    log = EventLog()
    log.decoders.add(lknb.Decoder("imu", None, "fail", (), make_format(fail).read, 100))
    event = log.add(packet(b"x"))
    asked: queue.Queue[Any] = queue.Queue()
    LOOP.run(lambda: _ask(event, asked), "ask")
    value, reason = asked.get(timeout=5)
    assert value is None
    assert reason.startswith(type(error).__name__)


async def _ask(event: Event, asked: queue.Queue[Any]) -> None:
    asked.put((event.value, event.value_error))


def test_reason_is_inert_and_short() -> None:
    def fail(payload: bytes) -> Any:
        raise ValueError("\x1b[31m\u202e" + "x" * 1000)

    log = EventLog()
    log.decoders.add(lknb.Decoder("imu", None, "fail", (), fail, 100))
    reason = log.add(packet(b"x")).value_error
    assert reason is not None
    assert reason.startswith("ValueError: \\u001b[31m\\u202exxx")
    assert len(reason) < 400


def test_every_cut_payload_is_read_or_refused() -> None:
    pose = message_class()
    whole: list[tuple[Any, dict[str, Any], bytes]] = [
        ("json", {}, json.dumps(IMU_VALUE, default=str).encode()),
        ("msgpack", {}, msgpack.packb({"a": [1, 2.5, "x" * 300, b"y" * 300, {"b": None}]})),
        ("cbor", {}, cbor2.dumps({"a": [1, 2.5, "x" * 300, dt.datetime.now(dt.UTC), {1, 2}]})),
        ("cdr", {"definition": IMU}, imu_cdr()),
        ("arrow", {}, ipc(pa.table({"t": [1.5] * 20, "s": ["a"] * 20}))),
        (pose, {}, pose(x=1.5, joints=[1, 2, 3]).SerializeToString()),
    ]
    dice = random.Random(7)
    for form, options, payload in whole:
        reader = make_format(form, **options).read
        for _ in range(300):
            broken = bytearray(payload[: dice.randrange(len(payload) + 1)])
            for _ in range(dice.randrange(3)):
                if broken:
                    broken[dice.randrange(len(broken))] = dice.randrange(256)
            try:
                value = reader(bytes(broken))
            except UndecodableError:
                continue
            json.loads(values.as_json(value, 2_000))
        for cut in (0, 1, len(payload) // 2, len(payload) - 1):
            if form is not pose:
                with pytest.raises(UndecodableError):
                    reader(payload[:cut])


BOMB = cbor2.dumps(2 ** (8 * 400_000))

HOSTILE: list[tuple[str, Any, dict[str, Any], bytes, str]] = [
    ("deep JSON", "json", {}, b"[" * 500_000, "200 levels"),
    ("wide JSON", "json", {}, b"[" + b"[]," * 300_000 + b"1]", "values; the limit is 250,000"),
    ("half a character", "json", {}, b'"\\ud800"', "not valid JSON"),
    ("a number of a million digits", "json", {}, b"1" * 900_000, "not valid JSON"),
    ("deep MessagePack", "msgpack", {}, b"\x91" * 900 + b"\1", "200 levels"),
    ("very deep MessagePack", "msgpack", {}, b"\x91" * 500_000, "MessagePack"),
    ("a length without a list", "msgpack", {}, b"\xdd\xff\xff\xff\xff", "exceeds"),
    ("wide MessagePack", "msgpack", {}, b"\xdd\0\4\xff\xff" + b"\x90" * 0x4FFFF, "the limit is 250,000"),
    ("more than a value", "msgpack", {}, b"\1\2", "extra"),
    ("deep CBOR", "cbor", {}, b"\x81" * 500_000, "200"),
    ("a length without an array", "cbor", {}, b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "CBOR"),
    ("a length without bytes", "cbor", {}, b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "CBOR"),
    ("more than a value", "cbor", {}, b"\1\2", "more bytes follow"),
    ("large map with integers as keys", "cbor", {}, cbor2.dumps(dict.fromkeys(range(30_000))), "text string or byte"),
    ("a list of four billion texts", "cdr", {"definition": "string[] a"}, b"\0\1\0\0" + b"\xff" * 4, "4,294,967,295"),
    ("a text of four billion bytes", "cdr", {"definition": "string a"}, b"\0\1\0\0" + b"\xff" * 4, "end before"),
    ("bytes beyond the end", "cdr", {"definition": "uint8[] a"}, b"\0\1\0\0\5\0\0\0abc", "end before"),
    ("bytes after the message", "cdr", {"definition": "uint8 a"}, b"\0\1\0\0" + bytes(9), "8 bytes more"),
    ("another encoding", "cdr", {"definition": "uint8 a"}, b"\0\7\0\0\0", "begins with 00 07 00 00"),
    ("too many numbers", "<b", {}, bytes(VALUES + 1), "250,001 values; the limit is 250,000"),
]


@pytest.mark.parametrize(("what", "form", "options", "payload", "reason"), HOSTILE, ids=[each[0] for each in HOSTILE])
def test_hostile_payload_is_refused(what: str, form: Any, options: dict[str, Any], payload: bytes, reason: str) -> None:
    reader = make_format(form, **options).read
    with pytest.raises(UndecodableError, match=reason):
        reader(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xd8\x1c\x81\xd8\x1d\0",  # a list that contains itself
        b"\xc4\x82\0" + BOMB,  # a decimal number of a million digits, which would take a quarter of a minute
        b"\xd8\x1e\x82" + BOMB + BOMB,  # a fraction of such numbers
        b"\xd8\x23\x78\x1e" + b"(a*)*" * 6,  # a regular expression
        b"\xd8\x24\x65hello",  # a mail
        b"\xa1" + b"\xc2\x49\1" + bytes(8) + b"\1",  # an integer of any size as a key
    ],
    ids=["loop", "decimal", "fraction", "pattern", "mail", "key"],
)
def test_cbor_tags_that_compute_stay_tags(payload: bytes) -> None:
    value = read("cbor", payload)
    tag = next(iter(value)) if isinstance(value, dict) else value
    assert type(tag) is cbor2.CBORTag
    assert len(values.as_json(value, 1_000)) < 3_000


def test_cbor_tags_that_are_harmless_become_values() -> None:
    when = dt.datetime(2027, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    tree = {"at": when, "big": -(2**100), "price": Decimal("1.50")}
    assert read("cbor", cbor2.dumps(tree)) == tree


def repeated(length: int, texts: list[str]) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(length, np.int8)), pa.array(texts))


@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(10**9),
        pa.ListArray.from_arrays(pa.array([0, 2**31 - 1], pa.int32()), pa.nulls(2**31 - 1)),
        repeated(10_000, ["x" * 900_000]),
        pa.array([["y"]] * 2, pa.list_view(pa.string())),
        pa.RunEndEncodedArray.from_arrays(pa.array([10**6], pa.int32()), pa.array(["x" * 1000])),
        np.zeros(10_000_000),
    ],
    ids=["nulls", "list of nulls", "dictionary", "views", "runs", "zeros"],
)
def test_arrow_that_would_unpack_to_gigabytes_is_refused(column: Any) -> None:
    options = {"compression": "zstd"} if isinstance(column, np.ndarray) else {}
    payload = ipc(pa.table({"a": column}), **options)
    assert len(payload) < LARGEST
    with pytest.raises(UndecodableError, match=r"32,000,000 bytes, which is the limit|does not read"):
        read("arrow", payload)


def test_arrow_of_ordinary_types_is_read() -> None:
    table = pa.table(
        {
            "category": pa.array(["a", "b", None]).dictionary_encode(),
            "view": pa.array(["a text that is long enough", "b", None], pa.string_view()),
            "nested": pa.array([{"x": [1]}, {"x": []}, None]),
            "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int32())),
            "at": pa.array([dt.datetime(2027, 1, 1, tzinfo=dt.UTC)] * 3),
        }
    )
    assert read("arrow", ipc(table)).equals(table)
    assert read("arrow", ipc(table.slice(0, 0))).num_rows == 0


def test_payloads_over_the_limit_are_not_read() -> None:
    asked: list[int] = []
    log = EventLog()
    for topic, form in (("json", "json"), ("function", lambda payload: asked.append(len(payload)))):
        log.decoders.add(lknb.Decoder(topic, None, *reading(form)))
    large = log.add(packet(b" " * (LARGEST + 1), "json"))
    assert large.value_error == "1,000,001 bytes; the limit is 1,000,000"
    assert log.add(packet(b"x" * (LARGEST + 1), "function")).value_error is None
    assert log.add(packet(b"x" * (UNPACKED + 1), "function")).value_error is not None
    assert asked == [LARGEST + 1]


def test_values_in_memory_are_bounded() -> None:
    log = EventLog()
    calls: list[int] = []

    def big(payload: bytes) -> Any:
        calls.append(1)
        return np.zeros(1_000_000)  # 8 MB

    decoder = lknb.Decoder("imu", None, "big", (), big, 100)
    log.decoders.add(decoder)
    events = [log.add(packet(b"x")) for _ in range(20)]
    assert all(event.value is not None for event in events)
    assert log.decoders._bytes <= 64 * 1024 * 1024
    first = events[0].value  # made again, and counted once
    assert first is not None
    assert first is events[0].value
    assert (len(calls), decoder.decoded) == (21, 20)


def test_values_are_made_once_and_only_if_asked_for(alice: lknb.Room) -> None:
    calls: list[bytes] = []

    def parse(payload: bytes) -> list[bytes]:
        calls.append(payload)
        return [payload]

    alice.decode("imu", parse)
    for number in range(3):
        alice.publish_data(str(number), topic="imu")
    assert calls == []
    event = alice.events.filter("data")[1]
    assert event.value is event.value
    assert calls == [b"1"]


def test_threads_that_ask_at_once_share_one_value() -> None:
    log = EventLog()
    decoder = lknb.Decoder("imu", None, *reading(lambda payload: [payload]))
    log.decoders.add(decoder)
    events = [log.add(packet(b"x")) for _ in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: [event.value for event in events], range(8)))
    assert all(one is other for each in found[1:] for one, other in zip(found[0], each, strict=True))
    assert decoder.decoded == 200


def test_hostile_packets_stop_neither_handlers_nor_widgets(alice: lknb.Room, peer: Peer) -> None:
    hostile: dict[str, tuple[Any, dict[str, Any], bytes]] = {
        "json": ("json", {}, b"[" * 50_000),
        "msgpack": ("msgpack", {}, b"\x91" * 50_000),
        "cbor": ("cbor", {}, b"\x81" * 50_000),
        "arrow": ("arrow", {}, ipc(pa.table({"a": pa.nulls(10**9)}))),
        "cdr": ("cdr", {"definition": "string[] a"}, b"\0\1\0\0" + b"\xff" * 4),
        "pose": (message_class(), {}, b"\xff" * 50_000),
        "function": (lambda payload: payload[1_000_000], {}, b"x"),
    }
    bob = peer("bob")
    got: queue.Queue[Any] = queue.Queue()
    plot, feed = TelemetryPart(alice), FeedPart(alice)
    for part in (plot, feed):
        part.start(lambda: None)
    alice.on_data()(lambda value, event: got.put((event.topic, value, event.value_error)))
    for topic, (form, options, _) in hostile.items():
        alice.decode(topic, form, **options)
    for topic, (_, _, payload) in hostile.items():
        bob.call("publish_data", data=payload, topic=topic)
    bob.call("publish_data", data=b'{"x": 1}', topic="json")
    found = [got.get(timeout=10) for _ in range(len(hostile) + 1)]
    assert {topic for topic, value, error in found if value is None and error} == set(hostile)
    assert found[-1] == ("json", {"x": 1}, None)
    assert all(event.status == "ok" for event in alice.events.filter("data"))
    assert (plot.values()["undecoded"], plot.values()["fields"]) == (len(hostile), ["x"])
    rows = [row for _, row in feed.whole()["rows"]["events"] if row["kind"] == "data"]
    assert sum(row["value_error"] is not None for row in rows) == len(hostile)
    for part in (plot, feed):
        part.stop()


# Arguments


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("imu", "jason"), {}, ValueError, r"neither one of json, .* did you mean 'json'"),
        (("imu", "<dqz"), {}, ValueError, "not a struct format"),
        (("imu", "<dff"), {"names": ["t"]}, ValueError, "3 values, but 1 names"),
        (("imu", "<ff"), {"names": ["t", "t"]}, ValueError, "'t' twice"),
        (("imu", "json"), {"names": ["t"]}, TypeError, "names= is for the values of a struct"),
        (("imu", "json"), {"definition": "x"}, TypeError, "definition= is for"),
        (("imu", "json"), {"kind": "rpc"}, ValueError, "kind must be bytes, data, data_track, text"),
        (("imu", "json"), {"kind": "dat"}, ValueError, "not a kind of event"),
        (("imu", "json"), {"kind": ["data"]}, TypeError, "kind must be a str"),
        (("imu", 5), {}, TypeError, "format must be json"),
        ((None, "json"), {}, TypeError, "topic must be a str"),
        ((["a"], "json"), {}, TypeError, "topic must be a str"),
        (("imu", "cdr"), {}, TypeError, "definition must be a str, not None"),
        (("imu", "cdr"), {"definition": "float64"}, ValueError, "'float64' is not a field"),
        (("imu", "cdr"), {"definition": "Point p"}, ValueError, "the type Point of p is not defined"),
        (("imu", "cdr"), {"definition": "wstring w"}, ValueError, "wstring"),
        (("imu", "cdr"), {"definition": ""}, ValueError, "definition is empty"),
        (("imu", "cdr"), {"definition": "a/B b\n===\nMSG: a/B\na/B b"}, ValueError, "contains itself"),
        (("imu", lambda: 1), {}, TypeError, "gets the bytes as its only argument"),
        (("imu", lambda payload: (yield)), {}, TypeError, "contains `yield`"),
    ],
)
def test_arguments_that_can_never_work_are_refused(
    alice: lknb.Room, arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        alice.decode(*arguments, **options)
    assert alice.decoders == ()


def test_async_functions_and_awaitables_are_refused(alice: lknb.Room) -> None:
    async def parse(payload: bytes) -> int:
        return 1

    with pytest.raises(TypeError, match="parse is async"):
        alice.decode("imu", parse)
    alice.decode("imu", lambda payload: parse(payload))
    alice.publish_data(b"1", topic="imu")
    assert "something to await" in (alice.events.filter("data")[0].value_error or "")


@pytest.mark.parametrize(("form", "module"), [("msgpack", "msgpack"), ("cbor", "cbor2"), ("arrow", "pyarrow")])
def test_missing_package_is_named_with_its_command(
    alice: lknb.Room, monkeypatch: pytest.MonkeyPatch, form: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'needs {module}: pip install "lknb\['):
        alice.decode("imu", form)


# Tables


def test_decoded_fields_are_columns(alice: lknb.Room) -> None:
    alice.decode("imu", "json")
    sent = [
        b'{"x": 1, "at": {"y": 0.5}, "name": "a"}',
        b'{"x": 2.5, "on": true, "list": [1, 2], "mixed": [1, "a"]}',
        b"?",
    ]
    for payload in sent:
        alice.publish_data(payload, topic="imu")
    alice.publish_data(b"other", topic="other")
    events = alice.events.filter("data")
    frame = events.to_pandas()
    new = [name for name in map(str, frame) if name.startswith("value")]
    assert new == ["value.x", "value.at.y", "value.name", "value.on", "value.list", "value.mixed", "value_error"]
    assert frame["value.x"].tolist()[:2] == [1.0, 2.5]
    assert (str(frame["value.x"].dtype), str(frame["value.on"].dtype)) == ("float64", "boolean")
    assert frame["value.mixed"][1] == '[1, "a"]'
    assert frame["value_error"].notna().tolist() == [False, False, True, False]
    table = events.to_arrow()
    assert table["value.x"].to_pylist() == [1.0, 2.5, None, None]
    assert table["value.list"].to_pylist() == [None, [1, 2], None, None]
    assert table.schema.field("value.list").type == pa.list_(pa.int64())
    assert list(events.columns()) == list(frame) == table.column_names
    alice.decode("imu", None)
    assert not [name for name in map(str, events.to_pandas()) if name.startswith("value")]


def test_columns_of_messages_tables_and_objects() -> None:
    log = EventLog()
    pose = message_class()
    now = dt.datetime(2027, 1, 2, tzinfo=dt.UTC)
    message = pose(joints=[1, 2], mode=1)
    message.at.FromDatetime(now)

    @dataclasses.dataclass
    class Point:
        x: float
        inner: Any

    found: dict[str, Any] = {
        "pose": message,
        "arrow": pa.table({"t": [1, 2], "y": [0.5, 1.5]}),
        "frame": pd.DataFrame({"f": [1, 2]}),
        "array": np.arange(3),
        "object": Point(1.0, b"raw"),
        "number": np.float32(0.5),
        "struct": struct_pb2.Struct(fields={"k": struct_pb2.Value(number_value=3)}),
    }
    for topic, value in found.items():
        log.decoders.add(lknb.Decoder(topic, None, *returning(value)))
        log.add(packet(b"", topic))
    table = log.to_arrow()
    rows = {row["topic"]: {key: each for key, each in row.items() if each is not None} for row in table.to_pylist()}
    cells = {topic: {k: v for k, v in row.items() if k.startswith("value")} for topic, row in rows.items()}
    assert cells["pose"] == {"value.x": 0.0, "value.joints": [1, 2], "value.mode": "MOVING", "value.at": now}
    assert cells["arrow"]["value.t"] == [1, 2]
    assert cells["frame"] == {"value.f": [1, 2]}
    assert cells["object"] == {"value.x": 1.0, "value.inner": b"raw"}
    assert cells["struct"] == {"value.k": 3.0}
    assert cells["array"] == {"value": "[0, 1, 2]"}  # a column of arrays and numbers is text
    assert cells["number"] == {"value": "0.5"}


def test_fields_beyond_the_columns_are_counted() -> None:
    log = EventLog()
    log.decoders.add(lknb.Decoder("imu", None, *reading("json")))
    log.add(packet(json.dumps({f"f{number}": number for number in range(100)}).encode()))
    log.add(packet(b'{"f1": 1, "a.b": 1, "a": {"b": 2}}'))
    log.add(packet(json.dumps({"f2": [0] * 20_000}).encode()))
    frame = log.to_pandas()
    assert len([name for name in map(str, frame) if name.startswith("value.")]) == MOST_FIELDS
    assert frame["value_more"].tolist() == [36, 2, 1]


def test_strange_values_have_columns_too() -> None:
    log = EventLog()
    strange: list[Any] = [
        {"big": 2**70, "nan": float("nan"), "text": "\ud800", "none": None, "set": {1}, "": 5, "x" * 500: 1},
        {"big": 1, "nan": 1.0, "text": "x", "local": dt.datetime.fromisoformat("2027-01-01"), "what": object},
    ]
    turns = iter(strange)
    log.decoders.add(lknb.Decoder("imu", None, "next", (), lambda payload: next(turns), 100))
    events = [log.add(packet(b"")) for _ in strange]
    assert all(event.value for event in events)
    table = log.to_arrow()
    assert table["value.big"].to_pylist() == [str(2**70), "1"]
    assert table["value.text"].to_pylist() == ["?", "x"]
    assert table["value.local"].to_pylist()[1] == "2027-01-01T00:00:00"
    log.to_pandas()


# Handlers


def test_handlers_receive_the_value(alice: lknb.Room, bob: lknb.Room) -> None:
    got: queue.Queue[Any] = queue.Queue()
    bob.decode("imu", "json")

    @bob.on_data("imu")
    def plain(value: Any, sender: str) -> None:
        got.put(("plain", value, sender))

    @bob.on_data("imu")
    async def on_the_loop(value: Any, event: lknb.Event) -> None:
        got.put(("async", value, event.value_error))

    @bob.on_data("imu")
    def without(data: bytes) -> None:
        got.put(("data", data))

    alice.publish_data(b'{"x": 1}', topic="imu")
    found = [got.get(timeout=5) for _ in range(3)]
    assert sorted(found, key=str) == [("async", {"x": 1}, None), ("data", b'{"x": 1}'), ("plain", {"x": 1}, "alice")]


def test_value_of_a_text_handler_without_decoder_is_the_text(alice: lknb.Room, bob: lknb.Room) -> None:
    got: queue.Queue[Any] = queue.Queue()
    bob.on_text("chat")(lambda value: got.put(value))
    alice.send_text("hello", topic="chat")
    assert got.get(timeout=5) == "hello"


def test_stream_handler_with_value_is_refused(alice: lknb.Room) -> None:
    with pytest.raises(TypeError, match="stream=True runs before there is a value"):
        alice.on_text("chat", stream=True)(lambda value: None)


# Widgets


def test_feed_shows_value_beside_payload(alice: lknb.Room) -> None:
    alice.publish_data(struct.pack("<hh", 1, 2), topic="imu")
    alice.publish_data(b"odd", topic="imu")
    part = FeedPart(alice, topic="imu")
    changes: list[int] = []
    part.start(lambda: changes.append(1))
    part.whole()
    before = len(changes)
    alice.decode("imu", "<hh", names="x,y")
    assert len(changes) > before
    rows = {row["size"]: (number, row) for number, row in part.changes()["put"]["events"]}  # type: ignore[index]
    number, good = rows[4]
    assert (good["content"], good["preview"], good["value_error"]) == ("json", '{"x": 1, "y": 2}', None)
    whole = LOOP.run(lambda: part.read(number), "read")
    assert json.loads(whole["value"]) == {"x": 1, "y": 2}
    assert (whole["content"], whole["preview"]) == ("hex", "01 00 02 00")
    _, odd = rows[3]
    assert (odd["preview"], odd["value_error"]) == ("odd", "3 bytes are not a multiple of the 4 bytes of '<hh'")
    LOOP.run(lambda: part.filter(text='"y": 2'), "filter")
    assert part.values()["matched"] == 1
    LOOP.run(lambda: part.filter(), "filter")
    lines = LOOP.run(lambda: part.download("json"), "download")["buffer"].decode().splitlines()
    assert [(json.loads(line)["value"], bool(json.loads(line)["value_error"])) for line in lines] == [
        ({"x": 1, "y": 2}, False),
        (None, True),
    ]
    part.stop()


def test_plot_uses_the_topics_decoder(alice: lknb.Room) -> None:
    alice.decode("imu", "<dff", names=["t", "x", "y"])
    pose = message_class()
    alice.decode("pose", pose)
    alice.publish_data(struct.pack("<dff", 1, 2, 3) * 2, topic="imu")
    alice.publish_data(b"odd", topic="imu")
    alice.publish_data(pose(x=1.5, joints=[4]).SerializeToString(), topic="pose")
    part = TelemetryPart(alice)
    part.start(lambda: None)
    found = part.values()
    assert (found["fields"], found["total"]) == (["t", "x", "y", "joints.0"], 3)
    assert found["undecoded"] == 1
    assert "not a multiple of the 16 bytes" in found["reason"]
    part.stop()


def test_decoder_argument_of_a_plot_comes_first(alice: lknb.Room) -> None:
    alice.decode("imu", "<d", names=["never"])
    alice.publish_data(struct.pack("<d", 1), topic="imu")
    part = TelemetryPart(alice, decoder=("<d", "mine"))
    part.start(lambda: None)
    assert part.values()["fields"] == ["mine"]
    part.stop()


def test_tree_of_a_value_is_bounded() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (
        {str(number): "x" * 20_000 for number in range(1_000)},
        [[number] * 100 for number in range(100_000)],
        {"table": pa.table({"a": pa.nulls(1_000_000)})},
        loop,
        [loop] * 10,
        b"x" * 10_000_000,
        10**5000,
        "\ud800\u202e",
    ):
        text = values.as_json(value)
        assert len(text) < 1_000_000
        json.loads(text)
    assert values.plain([1, 2, 3], 25) == [1, "… 2 more"]


# Magics


def test_decode_magic(alice: lknb.Room, shell: Shell) -> None:
    alice.publish_data(struct.pack("<dff", 1, 2, 3), topic="imu")
    event = alice.events.filter("data")[0]
    shell.cell("%lk decode imu <dff --names t,x,y")
    assert event.value == {"t": 1.0, "x": 2.0, "y": 3.0}
    shell.user_ns.update(parse=len, imu_msg="float32 x")
    shell.cell("%lk decode imu --var parse --kind data")
    assert event.value == 16
    shell.cell("%lk decode pose cdr --var imu_msg")
    listed = repr(shell.cell("%lk decode"))
    assert all(text in listed for text in ("<dff", "t, x, y", "len", "cdr"))
    shell.cell("%lk decode imu --off")
    assert (event.value, [each.topic for each in alice.decoders]) == (None, ["pose"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("imu", "give either a FORMAT"),
        ("imu json --var parse", "give either a FORMAT"),
        ("imu jason", "did you mean 'json'"),
        ("imu cdr", "cdr needs --var"),
        ("imu --var nothing", "nothing is None. To end a decoder, use --off"),
        ("imu json --off", "takes no format"),
        ("imu --off", "No decoder reads imu. Topics with one: none"),
        ("--off", "give the topic first"),
        ("imu json --names a", "names= is for the values of a struct"),
        ("imu json --kind rpc", "is not one of data"),
    ],
)
def test_decode_magic_explains_mistakes(alice: lknb.Room, shell: Shell, line: str, message: str) -> None:
    shell.user_ns.update(parse=len, nothing=None)
    with pytest.raises(UsageError, match=message):
        shell.cell(f"%lk decode {line}")


def test_on_magic_has_value(alice: lknb.Room, bob: lknb.Room, shell: Shell) -> None:
    got: queue.Queue[Any] = queue.Queue()
    shell.user_ns["got"] = got
    bob.decode("imu", "json")
    shell.cell("%%lk on data --topic imu\ngot.put(value)")
    alice.publish_data(b"[1]", topic="imu")
    assert got.get(timeout=5) == [1]


def test_completion_of_decode(alice: lknb.Room, shell: Shell) -> None:
    alice.publish_data(b"x", topic="imu")
    assert "imu" in shell.complete_at_end("%lk decode i")
    assert {"json", "msgpack", "cbor"} <= set(shell.complete_at_end("%lk decode imu "))


def test_decoders_have_no_decoder_of_an_event_without_a_log() -> None:
    assert Decoders().of(packet(b"x")) is None
    assert packet(b"x").value is None
    assert DEEPEST == 200
