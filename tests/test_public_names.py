"""The public names that notebooks rely on: exactly these, documented, and the same in both variants."""

from __future__ import annotations

import inspect
import io
import pydoc
import subprocess
import sys
from typing import Any

import pytest

import lknb

ERRORS = {
    "LknbError",
    "RecordingError",
    "ConnectError",
    "NotConnectedError",
    "UnknownParticipantError",
    "PermissionDeniedError",
    "PayloadTooLargeError",
    "SendError",
    "DeliveryTimeoutError",
    "StateError",
    "RpcError",
    "StreamError",
    "ServerError",
    "TableError",
}
LITERALS = {"Kind", "Direction", "Status", "ConnectionState", "HandlerThread", "Tab"}
EXPORTED = {
    *ERRORS,
    *LITERALS,
    "aio",
    "connect",
    "rooms",
    "sdk_log",
    "SdkLog",
    "server",
    "Room",
    "AioRoom",
    "LocalParticipant",
    "AioLocalParticipant",
    "Participant",
    "Participants",
    "Attributes",
    "Event",
    "Events",
    "EventLog",
    "Inbox",
    "AioInbox",
    "Handler",
    "Decoder",
    "Belongings",
    "ReceivedFile",
    "Replay",
    "AioReplay",
    "ReplayView",
    "Lateness",
    "Recorder",
    "AioRecorder",
    "open_recording",
    "Recording",
    "RecordedState",
    "Piece",
    "Samples",
    "Latency",
    "SamplePublisher",
    "StreamWriter",
    "AsyncStreamWriter",
    "LocalDataTrack",
    "DataTrackSchema",
    "RemoteDataTrack",
    "Table",
    "Feed",
    "Panel",
    "Telemetry",
    "Timeline",
    "Link",
}

SENDING = {
    "send_text",
    "stream_text",
    "send_file",
    "send_bytes",
    "send_table",
    "stream_bytes",
    "cancel",
    "perform_rpc",
    "publish_data",
    "publish_samples",
    "publish_data_track",
    "unpublish_data_track",
    "data_track_schema",
    "set_metadata",
    "record",
    "resend",
    "close",
    "rejoin",
}
ROOM = {
    *SENDING,
    "aio",
    "name",
    "sid",
    "metadata",
    "state",
    "state_reason",
    "participants",
    "remote_participants",
    "local_participant",
    "identity",
    "attributes",
    "data_tracks",
    "events",
    "handlers",
    "decode",
    "decoders",
    "widgets",
    "links",
    "recorders",
    "on_text",
    "on_bytes",
    "on_table",
    "on_data",
    "on_data_track",
    "on_attributes",
    "on_participant_metadata",
    "on_room_metadata",
    "on_participant",
    "on_connection",
    "rpc",
    "off",
    "listen",
    "samples",
    "feed",
    "panel",
    "timeline",
    "link",
}
CHANGING = {"set_attributes", "set_metadata", "set_name"}
LOCAL_PARTICIPANT = {*CHANGING, "identity", "name", "metadata", "attributes", "permissions", "sid", "is_admin"}

TWINS = [(lknb.Room, lknb.AioRoom), (lknb.LocalParticipant, lknb.AioLocalParticipant)]
MOST_USED = [
    lknb.connect,
    lknb.Room.send_text,
    lknb.Room.stream_text,
    lknb.Room.send_file,
    lknb.Room.send_bytes,
    lknb.Room.send_table,
    lknb.Room.publish_samples,
    lknb.Room.samples,
    lknb.Room.on_table,
    lknb.Room.perform_rpc,
    lknb.Room.publish_data,
    lknb.Room.publish_data_track,
    lknb.Room.on_text,
    lknb.Room.on_bytes,
    lknb.Room.on_data,
    lknb.Room.rpc,
    lknb.Room.listen,
    lknb.Room.decode,
    lknb.Room.feed,
    lknb.Room.attributes,
    lknb.Events.filter,
    lknb.Inbox.next,
]


def public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_exported_names_match_list() -> None:
    assert set(lknb.__all__) == EXPORTED
    assert {name for name in lknb.__all__ if getattr(lknb, name, None) is None} == set()


def test_room_members_match_list(alice: lknb.Room) -> None:
    assert public(alice) == ROOM
    assert public(alice.local_participant) == LOCAL_PARTICIPANT


def test_aio_has_every_blocking_method(alice: lknb.Room) -> None:
    assert public(alice.aio) == {*SENDING, "local_participant"}
    assert public(alice.aio.local_participant) == CHANGING


def test_every_error_derives_from_lknb_error() -> None:
    assert all(issubclass(getattr(lknb, name), lknb.LknbError) for name in ERRORS)
    assert issubclass(lknb.DeliveryTimeoutError, TimeoutError)


@pytest.mark.filterwarnings("ignore:Widget:DeprecationWarning")  # help() reads ipywidgets' deprecated attributes
@pytest.mark.parametrize("name", sorted(EXPORTED - LITERALS - {"aio", "server"}))
def test_help_shows_lknb_as_module(name: str) -> None:
    thing = getattr(lknb, name)
    assert thing.__module__ == "lknb"
    out = io.StringIO()
    pydoc.Helper(output=out).help(thing)
    assert "lknb." not in out.getvalue().splitlines()[0].replace(f"lknb.{name}", "")


@pytest.mark.parametrize(("owner", "twin"), TWINS)
def test_aio_methods_have_same_parameters_and_docstrings(owner: type, twin: type) -> None:
    for name in public(twin) - {"local_participant"}:
        blocking, awaited = getattr(owner, name), getattr(twin, name)
        assert not inspect.iscoroutinefunction(blocking), name
        assert inspect.iscoroutinefunction(awaited) or name.startswith("stream_"), name
        if name not in ("close", "rejoin"):
            assert inspect.signature(blocking).parameters == inspect.signature(awaited).parameters, name
            assert blocking.__doc__ == awaited.__doc__, name


def test_help_shows_return_type_of_both_variants() -> None:
    assert inspect.signature(lknb.Room.stream_text).return_annotation == "StreamWriter"
    assert inspect.signature(lknb.Room.stream_bytes).return_annotation == "StreamWriter"
    assert inspect.signature(lknb.AioRoom.stream_text).return_annotation == "AsyncStreamWriter"
    assert inspect.signature(lknb.Room.send_text).return_annotation == "Event"
    assert inspect.signature(lknb.connect).return_annotation == "Room"
    assert inspect.signature(lknb.aio.connect).parameters == inspect.signature(lknb.connect).parameters


def test_options_are_keyword_only() -> None:
    positional = {
        (name, parameter.name)
        for name in ROOM
        if callable(method := getattr(lknb.Room, name, None))
        for parameter in list(inspect.signature(method).parameters.values())[1:]
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is not parameter.empty
    }
    filters = {(name, what) for name in ("listen", "feed") for what in ("kind", "topic", "sender")}
    topics = {(name, "topic") for name in ("on_text", "on_bytes", "on_table", "on_data")}
    assert positional == {
        *filters,
        *topics,
        ("on_data_track", "name"),
        ("stream_bytes", "name"),
        ("perform_rpc", "payload"),
        ("record", "path"),
    }


def test_filters_take_kind_topic_sender() -> None:
    for method in (lknb.Room.listen, lknb.Room.feed, lknb.Events.filter):
        assert list(inspect.signature(method).parameters)[1:4] == ["kind", "topic", "sender"]


def test_topic_passed_as_kind_is_rejected_with_correction(alice: lknb.Room) -> None:
    for call in (alice.listen, alice.feed, alice.events.filter):
        with pytest.raises(ValueError, match=r"'imu' is not a kind .* write topic='imu'"):
            call("imu")  # type: ignore[arg-type]


def test_public_names_have_docstrings() -> None:
    for name in EXPORTED - LITERALS - {"aio", "server"}:
        owner = getattr(lknb, name)
        assert (owner.__doc__ or "").strip(), name
        for key, member in vars(owner).items() if inspect.isclass(owner) else ():
            if not key.startswith("_") and (callable(member) or isinstance(member, property)):
                assert (member.__doc__ or "").strip(), f"{name}.{key}"


@pytest.mark.parametrize("thing", MOST_USED, ids=lambda thing: getattr(thing, "__qualname__", "attributes"))
def test_common_calls_have_examples(thing: Any) -> None:
    assert ">>> " in (inspect.getdoc(thing) or "").partition("Examples:")[2]


def test_room_constructor_explains_connect() -> None:
    for arguments in ((), ("studio",)):
        with pytest.raises(TypeError, match=r"Join a room with lknb\.connect\("):
            lknb.Room(*arguments)


def test_importing_lknb_loads_neither_sdk_nor_ipython() -> None:
    heavy = ("livekit", "IPython", "asyncio", "pydantic")
    code = f"import sys, lknb; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]\n"


def test_unknown_name_raises_attribute_error() -> None:
    assert not hasattr(lknb, "conect")
