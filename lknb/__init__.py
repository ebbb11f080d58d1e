"""LiveKit rooms in a Jupyter notebook: text, bytes, remote methods, packets, data tracks and state, from cells.

`lknb.connect("studio", identity="alice")` joins a room; `help(lknb.Room)` says what it can do. Importing this package
loads nothing: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lknb import aio, server
    from lknb.connecting import connect, rooms
    from lknb.errors import (
        ConnectError,
        LknbError,
        NotConnectedError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RpcError,
        ServerError,
        StateError,
        StreamError,
        UnknownParticipantError,
    )
    from lknb.event import Event
    from lknb.events import EventLog, Events
    from lknb.files import ReceivedFile
    from lknb.handlers import Handler
    from lknb.inbox import Inbox
    from lknb.participants import Participant
    from lknb.room import Room
    from lknb.systems.data_tracks import LocalDataTrack, RemoteDataTrack

__version__ = "0.1.0"

_HOMES = {
    "connect": "connecting",
    "rooms": "connecting",
    "Room": "room",
    "Participant": "participants",
    "Event": "events",
    "EventLog": "events",
    "Events": "events",
    "Inbox": "inbox",
    "Handler": "handlers",
    "ReceivedFile": "files",
    "LocalDataTrack": "systems.data_tracks",
    "RemoteDataTrack": "systems.data_tracks",
    "LknbError": "errors",
    "ConnectError": "errors",
    "NotConnectedError": "errors",
    "UnknownParticipantError": "errors",
    "PermissionDeniedError": "errors",
    "PayloadTooLargeError": "errors",
    "StateError": "errors",
    "RpcError": "errors",
    "StreamError": "errors",
    "ServerError": "errors",
}

__all__ = [
    "ConnectError",
    "Event",
    "EventLog",
    "Events",
    "Handler",
    "Inbox",
    "LknbError",
    "LocalDataTrack",
    "NotConnectedError",
    "Participant",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "ReceivedFile",
    "RemoteDataTrack",
    "Room",
    "RpcError",
    "ServerError",
    "StateError",
    "StreamError",
    "UnknownParticipantError",
    "aio",
    "connect",
    "rooms",
    "server",
]


def __getattr__(name: str) -> Any:
    if name in ("aio", "server"):
        return importlib.import_module(f"lknb.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'lknb' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lknb.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext lknb`: adds `%lk` and `%%lk`. The SDK is loaded when a room is first joined."""
    from lknb.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext lknb`: takes the magics away, and leaves all rooms."""
    from lknb.magics import unload

    unload(shell)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
