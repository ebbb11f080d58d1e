"""Arguments: what can never work is refused by name, and what means the same is accepted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from peers import PlainPeer
from waiting import eventually

import lknb

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]

HALF = "caf\udce9"
"""Text as a file name has it that is not UTF-8."""


def me(room: lknb.Room) -> lknb.Participant:
    return room.participants[room.identity]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda room: room.on_data(["a", "b"]), TypeError, "topic must be a str, not list. It is one topic, or None"),
        (lambda room: room.on_data_track(["a"]), TypeError, "name must be a str, not list"),
        (lambda room: room.on_text("a", sender=["bob"]), TypeError, "sender must be an identity .* Pass one identity"),
        (lambda room: room.on_text("a", sender=room), TypeError, "sender must be an identity .* not Room"),
        (lambda room: room.on_text("a", sender=""), ValueError, "sender must be an identity, not an empty str"),
        (lambda room: room.on_text("a", sender=room.identity), ValueError, "'alice' is this participant"),
        (lambda room: room.on_text("a", max_size="64 MB"), TypeError, "max_size must be a whole number of bytes, such"),
        (lambda room: room.on_text("a", max_size=0), ValueError, "max_size must be .* at least 1, not 0"),
        (lambda room: room.on_text("a", max_size=True), TypeError, "max_size must be a whole number"),
        (lambda room: room.on_bytes("a", stream="no"), TypeError, "stream must be True or False, not 'no'"),
        (lambda room: room.on_bytes("a", thread="mian"), ValueError, 'thread must be "worker" or "main", not .*"?main'),
        (lambda room: room.listen("text", topic=["a"]), TypeError, "topic must be a str, not list"),
        (lambda room: room.listen(5), TypeError, "kind must be a kind of event, several in a list, or None for all"),
        (lambda room: room.listen([]), ValueError, r"kind=\[\] contains no kind of event"),
        (lambda room: room.listen([["text"]]), ValueError, "is not a kind of event"),
        (lambda room: room.listen("rpc", sender=room.identity), ValueError, "'alice' is this participant"),
        (lambda room: room.listen(max_events=0), ValueError, "max_events must be a whole number, and at least 1"),
        (lambda room: room.listen(max_bytes=1.5), ValueError, "max_bytes must be a whole number of bytes"),
        (lambda room: room.listen().next(float("nan")), ValueError, "timeout must be a number of seconds"),
        (lambda room: room.listen().next(float("inf")), ValueError, "or None to wait without a limit"),
        (lambda room: room.listen().next(-1), ValueError, "timeout must be a number of seconds, at least 0"),
        (lambda room: room.listen().next("5"), TypeError, "timeout must be a number of seconds"),
        (lambda room: room.events.filter(topic=5), TypeError, "topic must be a str, not int"),
        (lambda room: room.events.filter(direction="incoming"), ValueError, 'direction must be "in" or "out"'),
        (lambda room: room.events.filter(status="fialed"), ValueError, "'fialed'; did you mean 'failed'"),
        (lambda room: room.events.filter(since=dt.datetime(2026, 1, 1)), ValueError, "has no timezone"),  # noqa: DTZ001
        (lambda room: room.events.filter(since=5.0), TypeError, "since must be a timezone-aware datetime"),
        (lambda room: room.rpc(5), TypeError, "method must be a str, not int"),
        (lambda room: room.rpc("add", callers=[]), ValueError, r"callers=\[\] contains no identity"),
        (lambda room: room.rpc("add", callers=[5]), TypeError, "callers must be an identity"),
        (lambda room: room.rpc("add", concurrency=0), ValueError, "concurrency must be .* at least 1"),
        (lambda room: room.rpc("add", concurrency="8"), TypeError, "concurrency must be a whole number of calls"),
        (lambda room: room.rpc("add", raw="yes"), TypeError, "raw must be True or False"),
        (lambda room: room.rpc("add", thread=1), TypeError, "thread must be"),
        (lambda room: room.off(5), TypeError, "Specify what to end"),
        (lambda room: room.feed(topic=["a"]), TypeError, "topic must be a str"),
        (lambda room: room.feed("data").plot(window=0), ValueError, "window must be a whole number of samples"),
        (lambda room: room.feed("data").plot(decoder=5), TypeError, "decoder must be"),
        (lambda room: room.panel(["chat"]), TypeError, "A tab must be a str, not list"),
        (lambda room: room.perform_rpc("bob", "add", timeout=None), TypeError, "timeout must be a positive number"),
        (lambda room: room.perform_rpc("bob", "add", timeout=float("inf")), ValueError, "and at most 1,000,000"),
        (lambda room: room.perform_rpc("bob", "add", timeout=float("nan")), ValueError, "not nan"),
        (lambda room: room.perform_rpc("bob", "add", timeout=True), TypeError, "not True"),
        (
            lambda room: room.perform_rpc("bob", "add", timeout=np.timedelta64(5, "s")),
            TypeError,
            "Convert it to second",
        ),
        (lambda room: room.perform_rpc(["bob"], "add"), TypeError, "to must be an identity .* Pass one identity"),
        (lambda room: room.perform_rpc("bob", "add", 5, raw=True), TypeError, "payload must be a str, not int"),
        (lambda room: room.publish_data([1, 2, 3]), TypeError, r"payload must be bytes or str, not list. Use bytes\("),
        (lambda room: room.publish_data(np.zeros(3)), TypeError, r"not ndarray. Use .tobytes\(\)"),
        (lambda room: room.publish_data(b"x", reliable="no"), TypeError, "reliable must be True or False, not 'no'"),
        (lambda room: room.publish_data(b"x", to=5), TypeError, "to must be an identity .*, not int"),
        (lambda room: room.publish_data(b"x", to=b"bob"), TypeError, "to must be an identity .*, not bytes"),
        (lambda room: room.publish_data(b"x", to=["bob", 5]), TypeError, "to must be an identity .*, not int"),
        (lambda room: room.publish_data_track("t").push(b"x", 1.5), ValueError, "timestamp must be a whole number"),
        (lambda room: room.publish_data_track("t").push(b"x", -1), ValueError, "timestamp must be .* at least 0"),
        (lambda room: room.publish_data_track("t").push(b"x", dt.datetime.now(dt.UTC)), TypeError, "time_ns"),
        (lambda room: room.unpublish_data_track(5), TypeError, "track must be a str, not int. Or pass the track"),
        (lambda room: room.send_text("x", reply_to=5), TypeError, "reply_to must be the event of a text or its id"),
        (lambda room: room.send_text("x", reply_to=room.events[0]), ValueError, "reply_to must be the event of a text"),
        (lambda room: room.send_text("x", attachments=5), TypeError, "attachments must be a path"),
        (lambda room: room.send_text("x", attributes=[("a", "b")]), TypeError, "attributes must be a dict of strings"),
        (lambda room: room.send_text("x", progress="no"), TypeError, "progress must be True or False"),
        (lambda room: room.send_bytes(b"x", name=5), TypeError, "name must be a str, not int"),
        (lambda room: room.send_bytes(b"x", mime_type=b"image/png"), TypeError, "mime_type must be a str, not bytes"),
        (lambda room: room.stream_bytes(total_size="1 MB"), TypeError, "total_size must be a whole number of bytes"),
        (lambda room: room.stream_bytes(total_size=-1), ValueError, "total_size must be .* at least 0"),
        (lambda room: room.send_file(5), TypeError, "path must be a path .*, not int"),
        (lambda room: room.send_file("a\0b"), ValueError, "path contains a NUL character"),
        (lambda room: room.local_participant.set_attributes("a=b"), TypeError, "attributes must be a dict of strings"),
        (lambda room: room.local_participant.set_attributes(None), TypeError, "attributes must be a dict of strings"),
        (lambda room: room.attributes.update("a=b"), TypeError, "attributes must be a dict of strings"),
        (lambda room: room.attributes.update(None), TypeError, "attributes must be a dict of strings"),
        (lambda room: room.local_participant.set_metadata({}), TypeError, r"metadata must be a str, .* json.dumps"),
    ],
)
def test_an_argument_that_can_never_work_is_refused_by_name(
    alice: lknb.Room, call: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(alice)
    assert not alice.events.filter(direction="out"), "nothing was sent"


@pytest.mark.parametrize(
    "text",
    [
        {"type": "chat"},
        {"a", "b"},
        pd.DataFrame({"a": ["x"], "b": ["y"]}),
        pd.Series(["x"]),
        b"text",
        5,
        None,
        ["a", 5],
        ["a", b"b"],
    ],
    ids=lambda text: type(text).__name__,
)
def test_what_is_neither_text_nor_a_stream_of_text_is_not_sent(alice: lknb.Room, text: Any) -> None:
    with pytest.raises(TypeError, match="must be a str"):
        alice.send_text(text)
    assert not alice.events.filter("text")


@pytest.mark.parametrize("pieces", [["a", "b"], ("a", "b"), (each for each in "ab"), np.array(["a", "b"])])
def test_streams_of_text_are_sent(alice: lknb.Room, pieces: Any) -> None:
    assert alice.send_text(pieces).data == "ab"


def test_a_participant_stands_for_its_identity(alice: lknb.Room, bob: lknb.Room) -> None:
    them = alice.participants["bob"]
    got = bob.listen(["text", "data"])
    alice.send_text("to one", to=them)
    alice.publish_data(b"to several", to=[them, "bob"])
    assert {got.next(5).data for _ in range(2)} == {"to one", b"to several"}
    assert alice.events.filter("data")[0].to == ("bob",)

    @bob.rpc("add", callers=bob.participants["alice"])
    def add(a: int, b: int) -> int:
        return a + b

    assert alice.perform_rpc(them, "add", {"a": 1, "b": 2}) == 3
    heard = alice.listen("text", sender=them)
    bob.send_text("hello", to=me(alice))
    assert heard.next(5).data == "hello"
    assert len(alice.events.filter("text", sender=them)) == 1


def test_everybody_in_the_room_can_be_addressed_as_they_are_listed(alice: lknb.Room, bob: lknb.Room) -> None:
    assert alice.send_text("all of you", to=alice.remote_participants).to == ("bob",)


@pytest.mark.parametrize("timeout", [np.int64(5), np.float32(5), dt.timedelta(seconds=5), 5])
def test_seconds_are_any_number_or_a_timedelta(alice: lknb.Room, bob: lknb.Room, timeout: Any) -> None:
    bob.rpc("ping")(lambda: "pong")
    assert alice.perform_rpc("bob", "ping", timeout=timeout) == "pong"
    inbox = alice.listen()
    bob.send_text("hi")
    assert inbox.next(timeout).data == "hi"


def test_numbers_of_numpy_and_floats_without_a_fraction_are_sizes(alice: lknb.Room, bob: lknb.Room) -> None:
    texts: list[str] = []
    bob.on_text("t", max_size=np.int64(3))(  # type: ignore[arg-type]
        lambda data: texts.append(data)
    )
    bob.on_text("u", max_size=64e6)(  # type: ignore[arg-type]
        lambda data: texts.append(data)
    )
    alice.send_text("long", topic="t")
    alice.send_text("fit", topic="t")
    alice.send_text("large", topic="u")
    eventually(lambda: sorted(texts) == ["fit", "large"])
    assert alice.publish_data_track("t").push(b"x", np.uint64(2**64 - 1))  # type: ignore[arg-type]
    assert alice.publish_data(b"x", reliable=np.False_).reliable is False  # type: ignore[arg-type]


def test_waiting_no_time_takes_what_is_there(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = alice.listen("text")
    with pytest.raises(lknb.DeliveryTimeoutError):
        inbox.next(0)
    bob.send_text("hi")
    eventually(lambda: len(inbox) == 1)
    assert inbox.next(0).data == "hi"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"room": ""}, ValueError, "room must have 1 to 256 bytes, not 0"),
        ({"room": None}, TypeError, "room must be a str, not None"),
        ({"identity": "x" * 257}, ValueError, "identity must have 1 to 256 bytes, not 257"),
        ({"identity": HALF}, ValueError, r"identity contains U\+DCE9 at position 3"),
        ({"name": HALF}, ValueError, "name contains"),
        ({"metadata": HALF}, ValueError, "metadata contains"),
        ({"metadata": {}}, TypeError, "metadata must be a str, not dict. Use json.dumps"),
        ({"attributes": {"a": HALF}}, ValueError, r"attributes\['a'\] contains"),
        ({"attributes": "a=b"}, TypeError, "attributes must be a dict"),
        ({"timeout": "10"}, TypeError, "timeout must be a positive number of seconds"),
        ({"timeout": float("nan")}, ValueError, "timeout must be a positive number of seconds"),
        ({"max_stream_size": "64 MB"}, TypeError, "max_stream_size must be a whole number of bytes"),
        ({"url": 5}, TypeError, "url must be a str"),
    ],
)
def test_connect_refuses_what_can_never_work(
    room_name: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        lknb.connect(**{"room": room_name, **options})


@pytest.mark.parametrize("argument", ["token", "api_secret"])
@pytest.mark.parametrize("secret", [b"precious", "precious\udce9"])
def test_a_secret_that_is_no_text_is_not_shown(room_name: str, argument: str, secret: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{argument} (must|contains)") as refused:
        lknb.connect(room_name, url="ws://localhost:1", **{argument: secret})
    assert "precious" not in refused.exconly()
    trace = refused.value.__traceback__
    while trace is not None:
        if "lknb" in trace.tb_frame.f_code.co_filename and "tests" not in trace.tb_frame.f_code.co_filename:
            assert "precious" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


# Text that UTF-8 cannot encode


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda room: room.send_text(HALF), "text"),
        (lambda room: room.send_text([HALF]), "A piece of a text stream"),
        (lambda room: room.send_text("x", topic=HALF), "topic"),
        (lambda room: room.send_text("x", to=HALF), "to"),
        (lambda room: room.send_text("x", attributes={HALF: "x"}), "A key of attributes"),
        (lambda room: room.send_text("x", attributes={"k": HALF}), r"attributes\['k'\]"),
        (lambda room: room.send_text("x", reply_to=HALF), "reply_to"),
        (lambda room: room.send_text("x", edits=HALF), "edits"),
        (lambda room: room.send_bytes(b"x", name=HALF), "name"),
        (lambda room: room.send_bytes(b"x", mime_type=HALF), "mime_type"),
        (lambda room: room.publish_data(HALF), "payload"),
        (lambda room: room.publish_data(b"x", topic=HALF), "topic"),
        (lambda room: room.publish_data_track(HALF), "name"),
        (lambda room: room.perform_rpc("bob", HALF), "method"),
        (lambda room: room.perform_rpc("bob", "m", HALF, raw=True), "payload"),
        (lambda room: room.rpc(HALF), "method"),
        (lambda room: room.rpc("m", callers=HALF), "callers"),
        (lambda room: room.on_text(HALF), "topic"),
        (lambda room: room.listen(sender=HALF), "sender"),
        (lambda room: room.local_participant.set_attributes({"k": HALF}), r"attributes\['k'\]"),
        (lambda room: room.local_participant.set_name(HALF), "name"),
        (lambda room: room.local_participant.set_metadata(HALF), "metadata"),
        (lambda room: room.set_metadata(HALF), "metadata"),
    ],
)
def test_text_that_utf8_cannot_encode_is_refused_by_name(
    alice: lknb.Room, call: Callable[[lknb.Room], Any], argument: str
) -> None:
    with pytest.raises(ValueError, match=rf"{argument} contains U\+DCE9 at position 3, half of a surrogate pair"):
        call(alice)
    assert not alice.events.filter(direction="out")


def test_json_that_utf8_cannot_encode_is_refused(alice: lknb.Room, bob: lknb.Room) -> None:
    with pytest.raises(TypeError, match=r"cannot be sent as JSON: .* half of a surrogate pair"):
        alice.perform_rpc("bob", "m", {"name": HALF})


def test_a_piece_that_utf8_cannot_encode_aborts_the_stream(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("text")
    with pytest.raises(ValueError, match="A piece of a text stream contains"):
        alice.send_text(iter(["whole", "\ud83d"]))
    assert inbox.next(5).status == "failed"


def test_a_file_is_sent_under_a_readable_name(alice: lknb.Room, bob: lknb.Room, folder: Path) -> None:
    path = folder / f"{HALF}.csv"
    try:
        path.write_bytes(b"a,b\n")
    except OSError:
        pytest.skip("this file system has no such names")
    inbox = bob.listen("bytes")
    alice.send_file(path)
    alice.send_text("see", attachments=path)
    for _ in range(2):
        event = inbox.next(5)
        assert (event.name, event.data.data) == ("caf\N{REPLACEMENT CHARACTER}.csv", b"a,b\n")


def test_an_rpc_error_reaches_its_caller_whatever_its_message(alice: lknb.Room, bob: lknb.Room) -> None:
    @bob.rpc("read")
    def read() -> None:
        raise lknb.RpcError(404, f"no file {HALF}")

    with pytest.raises(lknb.RpcError, match="404 APPLICATION: no file caf\N{REPLACEMENT CHARACTER}"):
        alice.perform_rpc("bob", "read")


@pytest.mark.parametrize(("message", "data"), [(5, None), ("why", HALF)])
def test_an_rpc_error_that_cannot_travel_is_explained_in_the_cell(
    alice: lknb.Room, bob: lknb.Room, message: Any, data: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    @bob.rpc("fails")
    def fails() -> None:
        raise lknb.RpcError(404, message, data)

    with pytest.raises(lknb.RpcError) as caught:
        alice.perform_rpc("bob", "fails")
    assert caught.value.code == 1500
    assert "of an RpcError" in capsys.readouterr().err


def test_an_answer_that_utf8_cannot_encode_is_explained_in_the_cell(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str]
) -> None:
    bob.rpc("name", raw=True)(lambda payload: HALF)
    with pytest.raises(lknb.RpcError) as caught:
        alice.perform_rpc("bob", "name", raw=True)
    assert caught.value.code == 1500
    assert "The answer of 'name' contains U+DCE9" in capsys.readouterr().err


def test_nul_characters_are_text(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("text")
    alice.send_text("a\0b", topic="t\0", attributes={"k\0": "v\0"})
    event = inbox.next(5)
    assert (event.data, event.topic, event.attributes) == ("a\0b", "t\0", {"k\0": "v\0"})
    bob.rpc("m\0")(lambda payload: payload)
    assert alice.perform_rpc("bob", "m\0", "x\0") == "x\0"


# Assigning


def track_of(room: lknb.Room) -> lknb.LocalDataTrack:
    return room.publish_data_track("imu")


def handler_of(room: lknb.Room) -> lknb.Handler:
    room.on_text("t")(lambda data: None)
    return room.handlers[0]


@pytest.mark.parametrize(
    ("thing", "name", "message"),
    [
        (lambda room: room, "attributes", r"Write room.attributes.update\({...}\) or room.attributes\["),
        (lambda room: room, "metadata", r"Write room.set_metadata\(...\)"),
        (lambda room: room, "name", r"Join another room with lknb.connect"),
        (lambda room: room, "identity", r"Join with another identity with lknb.connect"),
        (lambda room: room, "events", "events of Room cannot be assigned"),
        (lambda room: room, "on_text", "on_text of Room cannot be assigned. It is a method: call it"),
        (lambda room: room, "attribtues", "Room has no attribute 'attribtues'; did you mean 'attributes'"),
        (lambda room: room.aio, "send_text", "It is a method"),
        (lambda room: room.local_participant, "attributes", r"Write room.attributes.update"),
        (lambda room: room.local_participant, "metadata", r"Write room.local_participant.set_metadata\(...\)"),
        (lambda room: room.local_participant, "name", r"Write room.local_participant.set_name\(...\)"),
        (lambda room: room.participants["alice"], "attributes", "cannot assign to field 'attributes'"),
        (lambda room: room.events[0], "data", "cannot assign to field 'data'"),
        (lambda room: room.events[0], "status", "cannot assign to field 'status'"),
        (lambda room: room.listen(), "interest", "interest of Inbox cannot be assigned"),
        (track_of, "name", "name of LocalDataTrack cannot be assigned"),
        (handler_of, "thread", "thread of Handler cannot be assigned"),
    ],
)
def test_assigning_says_what_to_write_instead(
    alice: lknb.Room, thing: Callable[[lknb.Room], Any], name: str, message: str
) -> None:
    changed = thing(alice)
    before = getattr(changed, name, None)
    with pytest.raises(AttributeError, match=message):
        setattr(changed, name, {"status": "ready"})
    assert getattr(changed, name, None) == before


def test_attributes_cannot_be_deleted(alice: lknb.Room) -> None:
    with pytest.raises(AttributeError, match="events of Room cannot be assigned"):
        del alice.events
