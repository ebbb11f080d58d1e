"""The other participant in tests: uses only the plain `livekit` SDK, in its own process.

It reads one JSON command per line from stdin, `{"id": 1, "cmd": "send_text", "args": {...}}`, and answers on stdout
with `{"id": 1, "ok": result}` or `{"id": 1, "error": {"type", "message", "code", "data"}}`. Commands run concurrently;
each is a method of `Commands`. All that the room delivers is printed unasked: `{"event": kind, "at": unix time, ...}`.

No big payload goes through stdout: text over 64 KiB is printed as `{"size", "sha256"}`, bytes over 48 KiB with
`"b64": null`. The log of the SDK goes to stderr. The process ends when its stdin does. `peers.py` drives it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import inspect
import json
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TextIO

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.data_stream_pb2 import TextStreamInfo
from livekit.rtc._proto.ffi_pb2 import FfiRequest
from livekit.rtc._proto.room_pb2 import TextStreamOpened

# The line protocol owns the real stdout; other output (a native library, a stray print) goes to stderr.
OUT: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

MAX_TEXT = 64 * 1024
MAX_BYTES = 48 * 1024  # 64 KiB as base64

Json = dict[str, Any]


def send_line(message: Json) -> None:
    line = json.dumps(message)
    if len(line) > MAX_TEXT:
        line = json.dumps(shorten(message))
    try:
        OUT.write(line + "\n")
        OUT.flush()
    except BrokenPipeError:
        os._exit(1)


def shorten(value: Any) -> Any:
    """Return the structure with every long string replaced by its size and hash."""
    if isinstance(value, str):
        raw = value.encode()
        return value if len(raw) <= MAX_TEXT else {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    if isinstance(value, dict):
        return {key: shorten(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shorten(item) for item in value]
    return value


def emit(kind: str, **fields: Any) -> None:
    send_line({"event": kind, "at": time.time(), **fields})


def summary(data: bytes) -> Json:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def blob(data: bytes) -> Json:
    return {"b64": base64.b64encode(data).decode() if len(data) <= MAX_BYTES else None, **summary(data)}


def payload_bytes(b64: str | None, random_size: int | None, seed: int) -> bytes:
    if random_size is not None:
        return random.Random(seed).randbytes(random_size)
    return base64.b64decode(b64 or "")


def payload_text(text: str | None, random_size: int | None, seed: int) -> str:
    if random_size is not None:
        raw = random.Random(seed).randbytes(random_size * 3 // 4 + 3)
        return base64.b64encode(raw).decode()[:random_size]
    return text or ""


def numbered(index: int, size: int) -> bytes:
    """Return a payload that holds its index in a series: 8 bytes of index, then zeros."""
    return index.to_bytes(8, "big").ljust(size, b"\0")


def describe(participant: rtc.Participant) -> Json:
    return {
        "identity": participant.identity,
        "sid": participant.sid,
        "name": participant.name,
        "metadata": participant.metadata,
        "attributes": participant.attributes,
        "state": rtc.ParticipantState.Name(participant.state).removeprefix("PARTICIPANT_STATE_").lower(),
    }


def grants(participant: rtc.Participant) -> dict[str, bool]:
    names = ("can_subscribe", "can_publish", "can_publish_data", "can_update_metadata", "hidden")
    return {name: getattr(participant.permissions, name) for name in names}


def describe_error(error: BaseException) -> Json:
    return {
        "type": type(error).__name__,
        "message": str(error),
        "code": int(error.code) if isinstance(error, rtc.RpcError) else None,
        "data": error.data if isinstance(error, rtc.RpcError) else None,
    }


async def pace(start: float, index: int, interval: float) -> None:
    """Wait until the item at `index` is due; without an interval, only yield to other tasks."""
    await asyncio.sleep(max(0.0, start + index * interval - time.monotonic()) if interval else 0)


class EveryTopic(dict[str, Any]):
    """Replaces `Room._text_stream_handlers`, which the SDK (1.2.1) reads with `.get(topic)`: handles every topic."""

    def __init__(self, handler: Callable[[Any, str], None]) -> None:
        super().__init__()
        self._handler = handler

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, self._handler)


class Room(rtc.Room):
    """Prints the header fields that the SDK's readers lack, as `text_header`."""

    def _handle_text_stream_opened(self, opened: TextStreamOpened) -> None:
        info = opened.reader.info
        emit(
            "text_header",
            sender=opened.participant_identity,
            topic=info.topic,
            stream_id=info.stream_id,
            operation=TextStreamInfo.OperationType.Name(info.operation_type),
            version=info.version,
            reply_to=info.reply_to_stream_id or None,
            attachments=list(info.attached_stream_ids),
        )
        super()._handle_text_stream_opened(opened)


class Commands:
    """One participant; its public coroutines are the commands."""

    def __init__(self) -> None:
        self._room: rtc.Room | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._text_writers: dict[str, rtc.TextStreamWriter] = {}
        self._byte_writers: dict[str, rtc.ByteStreamWriter] = {}
        self._published: dict[str, rtc.LocalDataTrack] = {}
        self._tracks: dict[tuple[str, str], rtc.RemoteDataTrack] = {}  # by publisher and name
        self._track_names: dict[str, tuple[str, str]] = {}  # sid -> publisher and name, of every track seen so far
        self._auto_subscribe = False
        self._auto_buffer_size: int | None = None
        self._chunk_topics: set[str] | None = set()  # None: every topic
        self._rpc: dict[str, Callable[[rtc.RpcInvocationData], Coroutine[Any, Any, str | None]]] = {}

    @property
    def _joined(self) -> rtc.Room:
        if self._room is None:
            raise RuntimeError("not connected")
        return self._room

    @property
    def _me(self) -> rtc.LocalParticipant:
        return self._joined.local_participant

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- joining and leaving

    async def connect(
        self,
        url: str,
        token: str,
        announce: bool = False,
        encryption_key: str | None = None,
        connect_timeout: float | None = None,
    ) -> Json:
        """Join. `announce` sets an attribute immediately, so that the others see us now instead of up to 3 s later."""
        if self._room is not None:
            raise RuntimeError("already connected, or connecting")
        options = rtc.RoomOptions(
            rtc_config=rtc.RtcConfiguration(continual_gathering_policy=rtc.ContinualGatheringPolicy.GATHER_ONCE),
            connect_timeout=connect_timeout,
        )
        if encryption_key is not None:
            options.encryption = rtc.E2EEOptions(rtc.KeyProviderOptions(shared_key=encryption_key.encode()))
        room = self._room = Room()
        self._watch(room)
        try:
            await room.connect(url, token, options)
        except BaseException:
            self._room = None
            raise
        for method, handler in self._rpc.items():
            room.local_participant.register_rpc_method(method, handler)
        if announce:
            await room.local_participant.set_attributes({"ready": "1"})
        return {"identity": room.local_participant.identity, "room": room.name, "sid": await room.sid}

    async def disconnect(self) -> None:
        room = self._joined
        await room.disconnect()
        self._forget(room)

    def _forget(self, room: rtc.Room) -> None:
        if self._room is not room:
            return
        self._room = None
        for subscription in self._subscriptions.values():
            subscription.cancel()
        for table in (self._subscriptions, self._tracks, self._published, self._text_writers, self._byte_writers):
            table.clear()

    def _watch(self, room: rtc.Room) -> None:
        """Print every event of the room. Call it before connecting, so that nothing is missed."""

        def participant(kind: str) -> None:
            room.on(f"participant_{kind}", lambda who: emit(f"participant_{kind}", **describe(who)))  # type: ignore[arg-type]

        participant("connected")
        participant("active")

        @room.on("participant_disconnected")
        def _(who: rtc.RemoteParticipant) -> None:
            reason = who.disconnect_reason
            name = None if reason is None else rtc.DisconnectReason.Name(reason)
            emit("participant_disconnected", **describe(who), reason=name)

        @room.on("participant_attributes_changed")
        def _(changed: dict[str, str], who: rtc.Participant) -> None:
            emit("attributes", identity=who.identity, changed=changed, attributes=who.attributes)

        @room.on("participant_metadata_changed")
        def _(who: rtc.Participant, old: str, new: str) -> None:
            emit("metadata", identity=who.identity, old=old, new=new)

        @room.on("participant_name_changed")
        def _(who: rtc.Participant, old: str, new: str) -> None:
            emit("name", identity=who.identity, old=old, new=new)

        @room.on("room_metadata_changed")
        def _(old: str, new: str) -> None:
            emit("room_metadata", old=old, new=new)

        @room.on("participant_permissions_changed")
        def _(who: rtc.Participant) -> None:
            emit("permissions", identity=who.identity, **grants(who))

        @room.on("data_received")
        def _(packet: rtc.DataPacket) -> None:
            emit(
                "data",
                topic=packet.topic or "",
                sender=packet.participant.identity if packet.participant else None,
                reliable=packet.kind == rtc.DataPacketKind.KIND_RELIABLE,
                **blob(packet.data),
            )

        @room.on("data_track_published")
        def _(track: rtc.RemoteDataTrack) -> None:
            key = (track.publisher_identity, track.info.name)
            self._tracks[key] = track
            self._track_names[track.info.sid] = key
            info = track.info
            emit("track_published", publisher=key[0], name=info.name, sid=info.sid, uses_e2ee=info.uses_e2ee)
            if self._auto_subscribe:
                self._subscribe(key, self._auto_buffer_size)

        @room.on("data_track_unpublished")
        def _(sid: str) -> None:
            publisher, name = self._track_names.get(sid, (None, None))  # the SDK reports only the sid
            known = self._tracks.get((publisher or "", name or ""))
            if known is not None and known.info.sid == sid:  # otherwise it has been published again
                del self._tracks[known.publisher_identity, known.info.name]
            emit("track_unpublished", sid=sid, publisher=publisher, name=name)

        @room.on("reconnecting")
        def _() -> None:
            emit("reconnecting")

        @room.on("reconnected")
        def _() -> None:
            emit("reconnected")

        @room.on("disconnected")
        def _(reason: rtc.DisconnectReason.ValueType) -> None:
            emit("disconnected", reason=rtc.DisconnectReason.Name(reason), code=int(reason))
            self._forget(room)

        room._text_stream_handlers = EveryTopic(lambda reader, sender: self._take(self._read_text, reader, sender))
        room._byte_stream_handlers = EveryTopic(lambda reader, sender: self._take(self._read_bytes, reader, sender))

    def _take(self, read: Callable[[Any, str], Coroutine[Any, Any, None]], reader: Any, sender: str) -> None:
        self._spawn(read(reader, sender))

    def _wants_chunks(self, topic: str) -> bool:
        return self._chunk_topics is None or topic in self._chunk_topics

    # -- streams

    async def watch_chunks(self, topics: list[str] | None = None) -> None:
        """Print the pieces of text streams as `text_chunk` and the progress of byte streams as `bytes_chunk`."""
        self._chunk_topics = None if topics is None else set(topics)

    async def _read_text(self, reader: rtc.TextStreamReader, sender: str) -> None:
        info = reader.info
        head = {"topic": info.topic, "sender": sender, "stream_id": info.stream_id}
        emit("text_open", **head, attributes=dict(info.attributes or {}), total_size=info.size or None)
        pieces: list[str] = []
        error: str | None = None
        try:
            async for piece in reader:
                pieces.append(piece)
                if self._wants_chunks(info.topic):
                    emit("text_chunk", **head, index=len(pieces) - 1, text=piece)
        except rtc.StreamError as problem:
            error = str(problem)
        finally:
            reader.close()
        text = "".join(pieces)
        emit(
            "text",
            **head,
            text=text,
            **summary(text.encode()),
            attributes=dict(info.attributes or {}),
            attachments=info.attachments,
            chunks=len(pieces),
            error=error,
        )

    async def _read_bytes(self, reader: rtc.ByteStreamReader, sender: str) -> None:
        info = reader.info
        head = {
            "topic": info.topic,
            "sender": sender,
            "stream_id": info.stream_id,
            "name": info.name,
            "mime_type": info.mime_type,
            "total_size": info.size or None,
        }
        emit("bytes_open", **head, attributes=dict(info.attributes or {}))
        digest = hashlib.sha256()
        kept = bytearray()  # the content, while it is small enough to print
        size = chunks = 0
        error: str | None = None
        try:
            async for piece in reader:
                digest.update(piece)
                size += len(piece)
                chunks += 1
                if size <= MAX_BYTES:
                    kept += piece
                if self._wants_chunks(info.topic):
                    emit("bytes_chunk", **head, index=chunks - 1, received=size)
        except rtc.StreamError as problem:
            error = str(problem)
        finally:
            reader.close()
        emit(
            "bytes",
            **head,
            size=size,
            sha256=digest.hexdigest(),
            b64=base64.b64encode(kept).decode() if size <= MAX_BYTES else None,
            attributes=dict(info.attributes or {}),
            chunks=chunks,
            error=error,
        )

    async def send_text(
        self,
        text: str | None = None,
        topic: str = "",
        to: list[str] | None = None,
        attributes: dict[str, str] | None = None,
        reply_to: str | None = None,
        compress: bool = True,
        random_size: int | None = None,
        seed: int = 0,
        times: int = 1,
    ) -> Json:
        content = payload_text(text, random_size, seed) * times
        info = await self._me.send_text(
            content,
            topic=topic,
            destination_identities=to,
            attributes=attributes,
            reply_to_id=reply_to,
            compress=compress,
        )
        return {"stream_id": info.stream_id, **summary(content.encode())}

    async def send_text_as(self, text: str, operation: str = "CREATE", **header: Any) -> Json:
        """Send text with a header that the SDK's methods cannot send; `header` holds fields of StreamTextOptions."""
        request = FfiRequest()
        request.send_text.local_participant_handle = self._me._ffi_handle.handle
        request.send_text.text = text
        options = request.send_text.options
        options.sender_identity = self._me.identity
        options.operation_type = TextStreamInfo.OperationType.Value(operation)
        for name, value in header.items():
            if isinstance(value, list):
                getattr(options, name).extend(value)
            else:
                setattr(options, name, value)
        done = await self._request(request, "send_text")
        return {"stream_id": done.send_text.info.stream_id}

    async def send_chat_message(self, message: str, edits: Json | None = None) -> Json:
        """Do what JavaScript's `sendChatMessage` and `editChatMessage` do; return the value for `edits`."""
        request = FfiRequest()
        if edits is None:
            request.send_chat_message.local_participant_handle = self._me._ffi_handle.handle
            request.send_chat_message.message = message
        else:
            request.edit_chat_message.local_participant_handle = self._me._ffi_handle.handle
            request.edit_chat_message.edit_text = message
            request.edit_chat_message.original_message.id = edits["id"]
            request.edit_chat_message.original_message.timestamp = edits["timestamp"]
            request.edit_chat_message.original_message.message = ""
        done = await self._request(request, "send_chat_message", "chat_message")
        sent = done.chat_message.chat_message
        return {"id": sent.id, "timestamp": sent.timestamp}

    async def _request(self, request: FfiRequest, answer: str, callback: str = "") -> Any:
        queue = FfiClient.instance.queue.subscribe()
        try:
            number = getattr(FfiClient.instance.request(request), answer).async_id
            return await queue.wait_for(
                lambda event: (
                    event.WhichOneof("message") == (callback or answer)
                    and getattr(event, callback or answer).async_id == number
                )
            )
        finally:
            FfiClient.instance.queue.unsubscribe(queue)

    async def open_text(
        self,
        topic: str = "",
        to: list[str] | None = None,
        attributes: dict[str, str] | None = None,
        reply_to: str | None = None,
        stream_id: str | None = None,
    ) -> str:
        """Open a text stream; the returned handle is the stream's id."""
        writer = await self._me.stream_text(
            topic=topic, destination_identities=to, attributes=attributes, reply_to_id=reply_to, stream_id=stream_id
        )
        self._text_writers[writer.info.stream_id] = writer
        return writer.info.stream_id

    async def write_text(self, handle: str, text: str) -> None:
        await self._text_writers[handle].write(text)

    async def close_text(self, handle: str, reason: str = "", attributes: dict[str, str] | None = None) -> None:
        await self._text_writers.pop(handle).aclose(reason=reason, attributes=attributes)

    async def send_bytes(
        self,
        b64: str | None = None,
        topic: str = "",
        name: str | None = None,
        mime_type: str | None = None,
        to: list[str] | None = None,
        attributes: dict[str, str] | None = None,
        compress: bool = True,
        stream_id: str | None = None,
        random_size: int | None = None,
        seed: int = 0,
    ) -> Json:
        content = payload_bytes(b64, random_size, seed)
        info = await self._me.send_bytes(
            content,
            topic=topic,
            name=name,
            mime_type=mime_type,
            destination_identities=to,
            attributes=attributes,
            compress=compress,
            stream_id=stream_id,
        )
        return {"stream_id": info.stream_id, **summary(content)}

    async def send_file(
        self,
        path: str,
        topic: str = "",
        to: list[str] | None = None,
        attributes: dict[str, str] | None = None,
        compress: bool = True,
    ) -> Json:
        info = await self._me.send_file(
            path, topic=topic, destination_identities=to, attributes=attributes, compress=compress
        )
        return {"stream_id": info.stream_id, "name": info.name, "mime_type": info.mime_type, "size": info.size}

    async def open_bytes(
        self,
        name: str,
        total_size: int | None = None,
        mime_type: str = "application/octet-stream",
        topic: str = "",
        to: list[str] | None = None,
        attributes: dict[str, str] | None = None,
        stream_id: str | None = None,
    ) -> str:
        """Open a byte stream; the returned handle is the stream's id."""
        writer = await self._me.stream_bytes(
            name,
            total_size=total_size,
            mime_type=mime_type,
            topic=topic,
            destination_identities=to,
            attributes=attributes,
            stream_id=stream_id,
        )
        self._byte_writers[writer.info.stream_id] = writer
        return writer.info.stream_id

    async def write_bytes(
        self, handle: str, b64: str | None = None, random_size: int | None = None, seed: int = 0
    ) -> Json:
        content = payload_bytes(b64, random_size, seed)
        await self._byte_writers[handle].write(content)
        return summary(content)

    async def close_bytes(self, handle: str, reason: str = "", attributes: dict[str, str] | None = None) -> None:
        await self._byte_writers.pop(handle).aclose(reason=reason, attributes=attributes)

    # -- remote method calls

    async def perform_rpc(
        self,
        to: str,
        method: str,
        payload: str | None = None,
        response_timeout: float | None = None,
        max_round_trip_latency: float | None = None,
        random_size: int | None = None,
        seed: int = 0,
        times: int = 1,
    ) -> str:
        return await self._me.perform_rpc(
            destination_identity=to,
            method=method,
            payload=payload_text(payload, random_size, seed) * times,
            response_timeout=response_timeout,
            max_round_trip_latency=max_round_trip_latency,
        )

    async def register_rpc(
        self,
        method: str,
        mode: str = "echo",
        text: str | None = None,
        seconds: float = 0,
        code: int = 2000,
        message: str = "refused by the plain peer",
        data: str | None = None,
        times: int = 1,
    ) -> None:
        """Serve a method; also works before connecting.

        Modes: `echo`; `reply` with `text`, repeated `times` times; `sleep` for `seconds`, then reply with `text` or the
        payload; `raise` an ordinary exception that says `message`; `rpc_error` with `code`, `message`, `data`; `none`,
        which returns None.
        """
        if mode not in ("echo", "reply", "sleep", "raise", "rpc_error", "none"):
            raise ValueError(f"unknown mode {mode!r}")

        async def serve(call: rtc.RpcInvocationData) -> str | None:
            head = {"method": method, "caller": call.caller_identity, "request_id": call.request_id}
            emit("rpc_called", **head, payload=call.payload, response_timeout=call.response_timeout)
            if mode == "raise":
                raise RuntimeError(message)
            if mode == "rpc_error":
                raise rtc.RpcError(code, message, data)
            if mode == "none":
                return None
            if mode == "sleep":
                try:
                    await asyncio.sleep(seconds)
                except asyncio.CancelledError:
                    reason = call.cancel_reason
                    emit("rpc_cancelled", **head, reason=None if reason is None else int(reason))
                    raise
            return call.payload if text is None else text * times

        self._rpc[method] = serve
        if self._room is not None and self._room.isconnected():
            self._me.register_rpc_method(method, serve)

    async def unregister_rpc(self, method: str) -> None:
        self._rpc.pop(method, None)
        self._me.unregister_rpc_method(method)

    # -- packets

    async def publish_data(
        self,
        b64: str | None = None,
        topic: str = "",
        reliable: bool = True,
        to: list[str] | None = None,
        random_size: int | None = None,
        seed: int = 0,
    ) -> Json:
        content = payload_bytes(b64, random_size, seed)
        await self._me.publish_data(content, reliable=reliable, destination_identities=to or [], topic=topic)
        return summary(content)

    async def publish_many(
        self,
        count: int,
        size: int = 100,
        topic: str = "",
        reliable: bool = True,
        interval: float = 0,
        to: list[str] | None = None,
    ) -> Json:
        """Publish `count` packets one after the other; the first 8 bytes of each are its index, big-endian."""
        start = time.monotonic()
        for index in range(count):
            await pace(start, index, interval)
            await self._me.publish_data(
                numbered(index, size), reliable=reliable, destination_identities=to or [], topic=topic
            )
        return {"sent": count, "seconds": time.monotonic() - start}

    # -- data tracks

    async def publish_data_track(self, name: str) -> Json:
        track = self._published[name] = await self._me.publish_data_track(name=name)
        return {"name": track.info.name, "sid": track.info.sid}

    async def unpublish_data_track(self, name: str) -> None:
        await self._published.pop(name).unpublish()

    async def push(
        self,
        name: str,
        b64: str | None = None,
        timestamp: int | None = None,
        random_size: int | None = None,
        seed: int = 0,
    ) -> Json:
        """Push one frame; the SDK can refuse it or lose it."""
        content = payload_bytes(b64, random_size, seed)
        with contextlib.suppress(rtc.PushFrameError):
            self._published[name].try_push(rtc.DataTrackFrame(content, timestamp))
        return summary(content)

    async def push_many(self, name: str, count: int, size: int = 100, interval: float = 0) -> Json:
        """Push `count` frames; the first 8 bytes of each are its index, its timestamp is the wall clock in µs."""
        track = self._published[name]
        start = time.monotonic()
        refused: dict[str, int] = {}
        for index in range(count):
            await pace(start, index, interval)
            try:
                track.try_push(rtc.DataTrackFrame(numbered(index, size), time.time_ns() // 1000))
            except rtc.PushFrameError as error:
                refused[str(error)] = refused.get(str(error), 0) + 1
        return {"pushed": count - sum(refused.values()), "refused": refused, "seconds": time.monotonic() - start}

    async def auto_subscribe(self, on: bool = True, buffer_size: int | None = None) -> None:
        """Subscribe to every existing data track, and to new ones as they appear."""
        self._auto_subscribe, self._auto_buffer_size = on, buffer_size
        for key in self._tracks if on else ():
            if key not in self._subscriptions:
                self._subscribe(key, buffer_size)

    async def subscribe_data_track(
        self, name: str, publisher: str | None = None, buffer_size: int | None = None, timeout: float = 10
    ) -> Json:
        """Subscribe once the track exists. The SDK does not report when the server has processed it."""
        deadline = time.monotonic() + timeout
        while True:
            for key, track in self._tracks.items():
                if key[1] == name and publisher in (None, key[0]):
                    self._subscribe(key, buffer_size)
                    return {"publisher": key[0], "name": name, "sid": track.info.sid}
            if time.monotonic() > deadline:
                raise TimeoutError(f"no data track {name!r}; there are {sorted(self._tracks)}")
            await asyncio.sleep(0.01)

    async def unsubscribe_data_track(self, name: str, publisher: str) -> None:
        self._subscriptions.pop((publisher, name)).cancel()

    def _subscribe(self, key: tuple[str, str], buffer_size: int | None) -> None:
        before = self._subscriptions.pop(key, None)
        if before is not None:
            before.cancel()
        stream = self._tracks[key].subscribe(buffer_size=buffer_size)
        self._subscriptions[key] = self._spawn(self._read_frames(key, stream))

    async def _read_frames(self, key: tuple[str, str], stream: rtc.DataTrackStream) -> None:
        publisher, name = key
        error: str | None = None
        try:
            async for frame in stream:
                emit("frame", track=name, publisher=publisher, timestamp=frame.user_timestamp, **blob(frame.payload))
        except rtc.SubscribeDataTrackError as problem:
            error = str(problem)
        finally:
            stream.close()
            if self._subscriptions.get(key) is asyncio.current_task():
                del self._subscriptions[key]
        emit("frames_end", track=name, publisher=publisher, error=error)

    # -- state

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        """Returns without an error if the server refuses (SDK 1.2.1): check `local` or a peer."""
        await self._me.set_attributes(attributes)

    async def set_metadata(self, metadata: str) -> None:
        await self._me.set_metadata(metadata)

    async def set_name(self, name: str) -> None:
        await self._me.set_name(name)

    async def participants(self) -> dict[str, Json]:
        """Return the other participants by identity."""
        return {identity: describe(who) for identity, who in self._joined.remote_participants.items()}

    async def wait_participant(self, identity: str, state: str = "active", timeout: float = 10) -> Json:
        """Wait until a participant in that state is visible, whether already present or joining."""
        deadline = time.monotonic() + timeout
        while True:
            who = self._joined.remote_participants.get(identity)
            if who is not None and describe(who)["state"] == state:
                return describe(who)
            if time.monotonic() > deadline:
                there = {name: describe(who)["state"] for name, who in self._joined.remote_participants.items()}
                raise TimeoutError(f"{identity!r} is not {state} after {timeout} s; there are {there}")
            await asyncio.sleep(0.005)

    async def local(self) -> Json:
        return {**describe(self._me), "permissions": grants(self._me)}

    async def room_info(self) -> Json:
        room = self._joined
        return {"name": room.name, "sid": await room.sid, "metadata": room.metadata, "connected": room.isconnected()}

    # -- trouble

    async def simulate(self, scenario: str) -> None:
        """Simulate a `SimulateScenarioKind` of the SDK: `full_reconnect`, `signal_reconnect`, `server_leave`, ..."""
        await self._joined.simulate_scenario(rtc.SimulateScenarioKind.Value(f"SIMULATE_{scenario.upper()}"))


async def execute(commands: Commands, request: Json) -> None:
    number, name, args = request["id"], request["cmd"], request.get("args", {})
    try:
        if name == "exit":  # like a crash: nobody is notified
            send_line({"id": number, "ok": None})
            os._exit(args.get("code", 0))
        command = None if name.startswith("_") else getattr(commands, name, None)
        if not inspect.iscoroutinefunction(command):
            raise ValueError(f"unknown command {name!r}")
        send_line({"id": number, "ok": await command(**args)})
    except Exception as error:
        send_line({"id": number, "error": describe_error(error)})


async def main() -> None:
    loop = asyncio.get_running_loop()
    commands = Commands()
    running: set[asyncio.Task[None]] = set()

    def begin(request: Json) -> None:
        task = loop.create_task(execute(commands, request))
        running.add(task)
        task.add_done_callback(running.discard)

    def read_stdin() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(begin, json.loads(line))
        os._exit(0)

    threading.Thread(target=read_stdin, daemon=True).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end this process
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("PLAIN_PEER_LOG", "WARNING"),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    asyncio.run(main())
