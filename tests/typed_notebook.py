"""User code for type checkers: `test_types.py` checks it with mypy and pyright; it never runs.

Each `assert_type` states what the checkers must find out; each `type: ignore` marks a mistake that they must find.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, assert_type

import lknb


def cells() -> None:
    room = lknb.connect("studio", identity="alice", attributes={"status": "ready"}, timeout=5)
    assert_type(room, lknb.Room)
    assert_type(room.send_text("hi", topic="lk.chat", to=["bob"]), lknb.Event)
    assert_type(room.stream_text(topic="llm"), lknb.StreamWriter)
    assert_type(room.send_file("photo.png", topic="files", to="bob"), lknb.Event)
    assert_type(room.stream_bytes("log.bin", total_size=3), lknb.StreamWriter)
    assert_type(room.perform_rpc("bob", "add", {"a": 1}, timeout=3), Any)
    assert_type(room.perform_rpc(room.participants["bob"], "add", timeout=dt.timedelta(seconds=3)), Any)
    assert_type(room.publish_data(b"...", topic="imu", reliable=False), lknb.Event)
    assert_type(room.publish_data(b"...", to=[*room.remote_participants.values(), "carol"]), lknb.Event)
    assert_type(room.publish_data_track("imu"), lknb.LocalDataTrack)
    assert_type(room.publish_data_track("imu").push(b"..."), bool)
    assert_type(room.local_participant, lknb.LocalParticipant)
    assert_type(room.local_participant.set_name("Alice"), None)
    assert_type(room.attributes, lknb.Attributes)
    assert_type(room.metadata, str)
    assert_type(room.state, lknb.ConnectionState)
    assert_type(room.listen("text", topic="lk.chat").next(timeout=5), lknb.Event)
    assert_type(next(room.listen(["text", "data"])), lknb.Event)
    assert_type(room.events.filter("rpc", direction="in"), lknb.Events)
    assert_type(room.feed("data", "imu").plot(), lknb.Telemetry)
    assert_type(room.timeline(), lknb.Timeline)
    assert_type(room.panel("chat"), lknb.Panel)
    assert_type(room.handlers, tuple[lknb.Handler, ...])
    assert_type(room.decode("imu", "<dff", names=["t", "x", "y"]), lknb.Decoder)
    assert_type(room.decode("gps", lambda payload: payload.decode(), kind="data"), lknb.Decoder)
    assert_type(room.decode("imu", None), None)
    assert_type(room.decoders, tuple[lknb.Decoder, ...])
    assert_type(room.events[0].value, Any)

    room.send_text("hi", tpoic="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    room.send_text(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    room.listen("imu")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    room.feed("imu")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    room.panel("tchat")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    lknb.connect("studio", idenity="alice")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def handlers(room: lknb.Room) -> None:
    @room.rpc("add")
    def add(a: int, b: int) -> int:
        return a + b

    @room.on_text("lk.chat", thread="main")
    def show(data: str, sender: str) -> None: ...

    assert_type(add(1, 2), int)
    assert_type(show("hi", "bob"), None)
    room.on_data("imu", thread="mian")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def coroutines() -> None:
    room = await lknb.aio.connect("studio", "bob")
    assert_type(room, lknb.Room)
    assert_type(await room.aio.send_text("hi", topic="lk.chat"), lknb.Event)
    assert_type(await room.aio.publish_data_track("imu"), lknb.LocalDataTrack)
    assert_type(await room.aio.perform_rpc("bob", "add"), Any)
    assert_type(room.aio.stream_text(topic="llm"), lknb.AsyncStreamWriter)
    assert_type(await room.listen("data").aio.next(timeout=5), lknb.Event)
    await room.aio.local_participant.set_metadata("{}")
    async for event in room.listen("data", topic="imu"):
        assert_type(event, lknb.Event)

    await room.aio.publish_data(b"x", topik="y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
