"""The private parts of the SDK that lknb relies on, so that a new version cannot change them unnoticed."""

from __future__ import annotations

import importlib.metadata
import inspect

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.data_stream_pb2 import StreamTextOptions, TextStreamInfo
from livekit.rtc._proto.room_pb2 import RoomEvent

from lknb.ffi import _UNUSED
from lknb.sdk import SdkRoom


def test_sdk_version_was_checked() -> None:
    version = importlib.metadata.version("livekit")
    assert version == "1.1.21" or version.startswith("1.2."), version


def test_sdk_looks_up_stream_handlers_with_get() -> None:
    for kind in ("text", "byte"):
        source = inspect.getsource(getattr(rtc.Room, f"_handle_{kind}_stream_opened"))
        assert f"self._{kind}_stream_handlers.get(topic)" in source


def test_sdk_room_emits_through_overridden_method() -> None:
    assert "self._on_room_event(event.room_event)" in inspect.getsource(rtc.Room._listen_task)
    assert "self.emit(" in inspect.getsource(rtc.Room._on_room_event)
    names = {field.name for field in RoomEvent.DESCRIPTOR.oneofs_by_name["message"].fields}
    assert {"participants_updated", "room_sid_changed"} <= names


def test_sdk_room_has_attributes_lknb_reads() -> None:
    source = inspect.getsource(rtc.Room.__init__)
    for name in ("_info", "_token", "_text_stream_handlers", "_byte_stream_handlers"):
        assert f"self.{name}" in source
    assert not hasattr(rtc.Room, "server_sid"), "lknb's own names would hide the SDK's"
    assert not hasattr(rtc.Room, "latest_token")
    assert SdkRoom.emit is not rtc.Room.emit


def test_text_header_has_fields_lknb_sets() -> None:
    fields = {field.name for field in StreamTextOptions.DESCRIPTOR.fields}
    assert {"id", "operation_type", "version", "reply_to_stream_id", "attached_stream_ids"} <= fields
    assert {"operation_type", "version", "reply_to_stream_id"} <= {
        each.name for each in TextStreamInfo.DESCRIPTOR.fields
    }
    opening = inspect.getsource(rtc.TextStreamWriter._send_header)
    assert "options.CopyFrom(self._options)" in opening
    assert "self._handle_text_stream_opened(" in inspect.getsource(rtc.Room._on_room_event)
    assert "chat_message" in {field.name for field in RoomEvent.DESCRIPTOR.oneofs_by_name["message"].fields}


def test_sdk_counts_readers_where_lknb_reads_them() -> None:
    assert "self._subscribers" in inspect.getsource(type(FfiClient.instance.queue).subscribe)


def test_sdk_keeps_library_where_lknb_finds_it() -> None:
    assert FfiClient.instance._ffi_lib.livekit_ffi_request
    assert "self._ffi_lib.livekit_ffi_request(" in inspect.getsource(FfiClient.request)


def test_the_event_of_a_packet_has_the_senders_identity() -> None:
    packet = RoomEvent.DESCRIPTOR.fields_by_name["data_packet_received"].message_type
    assert packet is not None
    assert "participant_identity" in packet.fields_by_name


def test_sdk_does_not_use_the_older_events_of_streams() -> None:
    source = inspect.getsource(rtc.Room._on_room_event)
    assert not [name for name in _UNUSED if name in source]
    assert {field.name for field in RoomEvent.DESCRIPTOR.oneofs_by_name["message"].fields} >= _UNUSED
