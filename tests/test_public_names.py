"""The names that other people's notebooks rely on."""

from __future__ import annotations

import inspect
import subprocess
import sys

import lknb
from lknb.room import AioRoom, Room

ROOM = {
    "name",
    "identity",
    "state",
    "participants",
    "close",
    "aio",
    "events",
    "listen",
    "rpc",
    "attributes",
    "perform_rpc",
    "publish_data",
    "send_text",
    "stream_text",
    "send_file",
    "send_bytes",
    "stream_bytes",
    "publish_data_track",
    "set_attributes",
    "set_metadata",
    "set_name",
    "set_room_metadata",
    "on_text",
    "on_bytes",
    "on_data",
    "on_data_track",
    "on_attributes",
    "on_participant_metadata",
    "on_room_metadata",
    "on_participant",
    "on_connection",
}

ERRORS = {
    "LknbError",
    "ConnectError",
    "NotConnectedError",
    "UnknownParticipantError",
    "PermissionDeniedError",
    "PayloadTooLargeError",
    "StateError",
    "RpcError",
    "StreamError",
    "ServerError",
}


def test_the_promised_names_are_there(alice: lknb.Room) -> None:
    assert {"connect", "rooms", "aio", "Room", "Event", "Participant", *ERRORS} <= set(lknb.__all__)
    for name in lknb.__all__:
        assert getattr(lknb, name) is not None
    assert {name for name in ROOM if not hasattr(alice, name)} == set()


def test_every_error_is_an_lknb_error() -> None:
    assert all(issubclass(getattr(lknb, name), lknb.LknbError) for name in ERRORS)


def test_what_blocks_has_an_awaitable_twin_with_the_same_signature_and_words() -> None:
    for name in vars(AioRoom):
        if name.startswith("_"):
            continue
        twin, method = getattr(AioRoom, name), getattr(Room, name)
        assert not inspect.iscoroutinefunction(method), name
        if name not in ("close", "rejoin"):
            assert inspect.signature(twin).parameters.keys() == inspect.signature(method).parameters.keys(), name
            assert twin.__doc__ == method.__doc__, name


def test_everything_public_is_described() -> None:
    for owner in (lknb.Room, lknb.Inbox, lknb.EventLog, lknb.ReceivedFile, lknb.LocalDataTrack, lknb.Participant):
        for name, member in inspect.getmembers(owner):
            if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                assert (member.__doc__ or "").strip(), f"{owner.__name__}.{name}"


def test_importing_lknb_loads_neither_the_sdk_nor_ipython() -> None:
    heavy = ("livekit", "IPython", "asyncio", "pydantic")
    code = f"import sys, lknb; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(lknb, "conect")
