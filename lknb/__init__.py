"""LiveKit rooms in a Jupyter notebook: text, bytes, remote methods, packets, data tracks and state, from cells.

`lknb.connect("studio", identity="alice")` joins a room; `help(lknb.Room)` lists what it can do. Importing this package
loads nothing: each name is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lknb import aio, server
    from lknb.belongings import Belongings
    from lknb.columns.publisher import SamplePublisher
    from lknb.columns.samples import Latency, Samples
    from lknb.connecting import connect, rooms
    from lknb.connection import ConnectionState
    from lknb.decoding import Decoder
    from lknb.errors import (
        ConnectError,
        DeliveryTimeoutError,
        LknbError,
        NotConnectedError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RecordingError,
        RpcError,
        SendError,
        ServerError,
        StateError,
        StreamError,
        TableError,
        UnknownParticipantError,
    )
    from lknb.event import Direction, Event, Kind, Status
    from lknb.events import EventLog, Events
    from lknb.files import ReceivedFile
    from lknb.handlers import Handler, HandlerThread
    from lknb.inbox import AioInbox, Inbox
    from lknb.local_participant import AioLocalParticipant, LocalParticipant
    from lknb.log_severity import SdkLog, sdk_log
    from lknb.participants import Participant, Participants
    from lknb.recording.reader import Piece
    from lknb.recording.recorder import AioRecorder, Recorder
    from lknb.recording.recording import RecordedState, Recording
    from lknb.recording.replay import AioReplay, Lateness, Replay
    from lknb.recordings import open_recording
    from lknb.room import AioRoom, Room
    from lknb.systems.data_tracks import LocalDataTrack, RemoteDataTrack
    from lknb.systems.state import Attributes
    from lknb.systems.streams import AsyncStreamWriter, StreamWriter
    from lknb.tables import Table
    from lknb.track_schema import DataTrackSchema
    from lknb.widgets.feed import Feed
    from lknb.widgets.link import Link
    from lknb.widgets.panel import Panel, Tab
    from lknb.widgets.replay import ReplayView
    from lknb.widgets.telemetry import Telemetry
    from lknb.widgets.timeline import Timeline

__version__ = "0.1.0"

_MODULES = {
    "connect": "connecting",
    "rooms": "connecting",
    "open_recording": "recordings",
    "Recording": "recording.recording",
    "RecordedState": "recording.recording",
    "Piece": "recording.reader",
    "Recorder": "recording.recorder",
    "AioRecorder": "recording.recorder",
    "Replay": "recording.replay",
    "ReplayView": "widgets.replay",
    "AioReplay": "recording.replay",
    "Lateness": "recording.replay",
    "sdk_log": "log_severity",
    "SdkLog": "log_severity",
    "Room": "room",
    "AioRoom": "room",
    "LocalParticipant": "local_participant",
    "AioLocalParticipant": "local_participant",
    "Participant": "participants",
    "Participants": "participants",
    "Event": "event",
    "Kind": "event",
    "Direction": "event",
    "Status": "event",
    "Events": "events",
    "EventLog": "events",
    "Inbox": "inbox",
    "AioInbox": "inbox",
    "Handler": "handlers",
    "HandlerThread": "handlers",
    "Decoder": "decoding",
    "ReceivedFile": "files",
    "Samples": "columns.samples",
    "Latency": "columns.samples",
    "SamplePublisher": "columns.publisher",
    "Attributes": "systems.state",
    "StreamWriter": "systems.streams",
    "AsyncStreamWriter": "systems.streams",
    "LocalDataTrack": "systems.data_tracks",
    "DataTrackSchema": "track_schema",
    "RemoteDataTrack": "systems.data_tracks",
    "ConnectionState": "connection",
    "Belongings": "belongings",
    "Feed": "widgets.feed",
    "Link": "widgets.link",
    "Panel": "widgets.panel",
    "Tab": "widgets.panel",
    "Telemetry": "widgets.telemetry",
    "Timeline": "widgets.timeline",
    "Table": "tables",
    "LknbError": "errors",
    "ConnectError": "errors",
    "NotConnectedError": "errors",
    "UnknownParticipantError": "errors",
    "PermissionDeniedError": "errors",
    "PayloadTooLargeError": "errors",
    "SendError": "errors",
    "DeliveryTimeoutError": "errors",
    "StateError": "errors",
    "RpcError": "errors",
    "StreamError": "errors",
    "TableError": "errors",
    "RecordingError": "errors",
    "ServerError": "errors",
}

__all__ = [
    "AioInbox",
    "AioLocalParticipant",
    "AioRecorder",
    "AioReplay",
    "AioRoom",
    "AsyncStreamWriter",
    "Attributes",
    "Belongings",
    "ConnectError",
    "ConnectionState",
    "DataTrackSchema",
    "Decoder",
    "DeliveryTimeoutError",
    "Direction",
    "Event",
    "EventLog",
    "Events",
    "Feed",
    "Handler",
    "HandlerThread",
    "Inbox",
    "Kind",
    "Latency",
    "Lateness",
    "Link",
    "LknbError",
    "LocalDataTrack",
    "LocalParticipant",
    "NotConnectedError",
    "Panel",
    "Participant",
    "Participants",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "Piece",
    "ReceivedFile",
    "RecordedState",
    "Recorder",
    "Recording",
    "RecordingError",
    "RemoteDataTrack",
    "Replay",
    "ReplayView",
    "Room",
    "RpcError",
    "SamplePublisher",
    "Samples",
    "SdkLog",
    "SendError",
    "ServerError",
    "StateError",
    "Status",
    "StreamError",
    "StreamWriter",
    "Tab",
    "Table",
    "TableError",
    "Telemetry",
    "Timeline",
    "UnknownParticipantError",
    "aio",
    "connect",
    "open_recording",
    "rooms",
    "sdk_log",
    "server",
]


def __getattr__(name: str) -> Any:
    if name in ("aio", "server"):
        return importlib.import_module(f"lknb.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'lknb' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lknb.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext lknb`: add `%lk` and `%%lk`. The SDK is loaded when a room is first joined."""
    from lknb.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext lknb`: remove the magics, and leave all rooms."""
    from lknb.magics import unload

    unload(shell)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
