"""Byte streams: files and binary data, with progress on both sides.

See https://docs.livekit.io/home/client/data/byte-streams/.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from lknb.connection import Connection
from lknb.errors import StreamError
from lknb.event import Event
from lknb.events import EventLog
from lknb.files import ReceivedFile, Spool, guess_type
from lknb.handlers import Handlers
from lknb.progress import Progress
from lknb.sdk import StreamError as SdkStreamError
from lknb.systems.streams import (
    PIECE,
    AsyncStreamWriter,
    Streams,
    WriterOnLoop,
    check_header,
    opened_by,
    patience,
    stopped_by,
    string_attributes,
)

DIGEST = "lknb.sha256"
"""The stream attribute with the payload's SHA-256 in hex: in the header of short streams, at the end of long ones."""

# The SDK sends a payload it knows whole in one call, compressed, but says nothing until it is through and cannot be
# stopped. So that is for what takes less than half a second: this many bytes on the wire, and not too many in memory.
_ONE_CALL_WIRE = 768 * 1024
_ONE_CALL_SIZE = 32 * 1024 * 1024
_SAMPLE = 32 * 1024


class ByteStreams(Streams):
    """Sends and receives the byte streams of one connection."""

    def __init__(self, connection: Connection, log: EventLog, handlers: Handlers, max_size: int) -> None:
        super().__init__(connection, log, handlers, max_size)
        connection.on("byte_stream", self._arrived)

    async def send_file(
        self,
        path: str | Path,
        *,
        topic: str = "",
        to: str | Iterable[str] | None = None,
        name: str | None = None,
        mime_type: str | None = None,
        attributes: dict[str, str] | None = None,
        progress: bool = True,
    ) -> Event:
        """Send a file. It is read as it is sent, so that its size does not matter to memory.

        A transfer of more than half a second shows bytes, rate and time left; an interrupt ends it, and the receivers
        are told. The receiver gets the SHA-256 of the content.

        Args:
            path: the file.
            topic: receivers listen by topic.
            to: an identity or several; None for everybody.
            name: the name that receivers see; the file's own if not given.
            mime_type: guessed from the name if not given.
            attributes: strings that travel with the stream.
            progress: whether a long transfer shows how it gets on.

        Returns:
            The event in the log, with size and duration.

        Raises:
            FileNotFoundError, IsADirectoryError, NotConnectedError, UnknownParticipantError, PermissionDeniedError,
            PayloadTooLargeError, StreamError
        """
        source, own_name, size = await asyncio.to_thread(_open_file, path)
        with source:
            options = self._options(name or own_name, mime_type, topic, to, attributes)
            return await self._send(source, size, options, progress)

    async def send_attachment(self, path: Path, *, topic: str, to: list[str], stream_id: str, progress: bool) -> Event:
        """Send a file under an id that a text stream has named; see `send_file`."""
        source, name, size = await asyncio.to_thread(_open_file, path)
        with source:
            options = self._options(name, None, topic, to or None, None, stream_id)
            return await self._send(source, size, options, progress)

    async def send_bytes(
        self,
        data: bytes | bytearray | memoryview,
        *,
        topic: str = "",
        to: str | Iterable[str] | None = None,
        name: str | None = None,
        mime_type: str | None = None,
        attributes: dict[str, str] | None = None,
        progress: bool = True,
    ) -> Event:
        """Send bytes of any length as one byte stream; see `send_file`.

        Args:
            data: bytes, or what has a buffer of them.
            topic: receivers listen by topic.
            to: an identity or several; None for everybody.
            name: a file name for the receivers.
            mime_type: guessed from the name if not given.
            attributes: strings that travel with the stream.
            progress: whether a long transfer shows how it gets on.

        Raises:
            NotConnectedError, UnknownParticipantError, PermissionDeniedError, PayloadTooLargeError, StreamError
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"send_bytes takes bytes, not {type(data).__name__}. Encode text with .encode().")
        view = memoryview(data).cast("B")
        options = self._options(name or "unknown", mime_type, topic, to, attributes)
        return await self._send(_Buffer(view), len(view), options, progress)

    def stream_bytes(
        self,
        name: str = "unknown",
        *,
        topic: str = "",
        to: str | Iterable[str] | None = None,
        total_size: int | None = None,
        mime_type: str | None = None,
        attributes: dict[str, str] | None = None,
    ) -> AsyncStreamWriter:
        """Open a byte stream to write to piece by piece, as a context manager.

        Leaving the block ends the stream; an exception in it tells the receivers that the stream broke off.

        Args:
            name: a file name for the receivers.
            topic: receivers listen by topic.
            to: an identity or several; None for everybody.
            total_size: the bytes to come, when known; the receiver then has progress, and fails on fewer or more.
            mime_type: guessed from the name if not given.
            attributes: strings that travel with the stream.

        Raises:
            NotConnectedError, UnknownParticipantError, PermissionDeniedError, PayloadTooLargeError, StreamError
        """
        return AsyncStreamWriter(self._open(self._options(name, mime_type, topic, to, attributes), total_size))

    @staticmethod
    def _options(
        name: str,
        mime_type: str | None,
        topic: str,
        to: Any,
        attributes: dict[str, str] | None,
        stream_id: str | None = None,
    ) -> dict[str, Any]:
        return {
            "id": stream_id or str(uuid.uuid4()),
            "name": name,
            "mime_type": mime_type or guess_type(name),
            "topic": topic,
            "to": to,
            "attributes": string_attributes(attributes),
        }

    async def _prepare(self, options: dict[str, Any], size: int | None) -> tuple[Event, list[str]]:
        self._connection.require("canPublishData", "Sending bytes")
        recipients = await self._connection.presence.recipients(options["to"])
        attributes = {**options["attributes"], DIGEST: "0" * 64}
        check_header(options["topic"], attributes, recipients, options["name"], options["mime_type"])
        event = Event(
            "bytes",
            "out",
            sender=self._connection.identity,
            to=tuple(recipients),
            topic=options["topic"],
            size=size,
            attributes=dict(options["attributes"]),
            status="open",
            name=options["name"],
            id=options["id"],
        )
        return event, recipients

    async def _send(self, source: Any, size: int, options: dict[str, Any], progress: bool) -> Event:
        if size <= _ONE_CALL_SIZE and await asyncio.to_thread(_wire_size, source, size) <= _ONE_CALL_WIRE:
            return await self._send_whole(await asyncio.to_thread(source.read), options)
        return await self._send_pieces(source, size, options, progress)

    async def _send_whole(self, data: bytes, options: dict[str, Any]) -> Event:
        event, recipients = await self._prepare(options, len(data))
        event.attributes[DIGEST] = hashlib.sha256(data).hexdigest()
        self._log.add(event)
        try:
            await self._connection.call(
                self._connection.local.send_bytes(
                    data,
                    topic=event.topic,
                    name=options["name"],
                    mime_type=options["mime_type"],
                    destination_identities=recipients,
                    attributes=event.attributes,
                    stream_id=event.id,
                ),
                "send_bytes",
                limit=patience(len(data)),
            )
        except BaseException as error:
            described = f"{error.description}." if isinstance(error, SdkStreamError) else str(error)
            self._log.finish(event, "failed", described or type(error).__name__)
            if isinstance(error, SdkStreamError):
                raise StreamError(f"The bytes were not sent: {described}") from None
            raise
        event.transferred = len(data)
        self._log.finish(event)
        return event

    async def _send_pieces(self, source: Any, size: int, options: dict[str, Any], progress: bool) -> Event:
        line = Progress(f"Sending {options['name']}", size) if progress else None
        writer = await self._open(options, size, line.update if line else lambda done: None)
        digest = hashlib.sha256()
        try:
            async with writer.until_cancelled():
                while piece := await asyncio.to_thread(source.read, PIECE):
                    digest.update(piece)
                    await writer.write(piece)
            if writer.event.transferred != size:
                raise StreamError(
                    f"The file changed while it was sent: {writer.event.transferred:,} of {size:,} bytes."
                )
            writer.event.attributes[DIGEST] = digest.hexdigest()
            await writer.close({DIGEST: digest.hexdigest()})
        except BaseException as error:
            reason = str(error) or type(error).__name__
            if line:
                line.close(writer.event.transferred, reason)
            await writer.abort(f"the sender {stopped_by(error)}")
            raise
        if line:
            line.close(size)
        return writer.event

    async def _open(
        self, options: dict[str, Any], total_size: int | None, progress: Callable[[int], None] = lambda done: None
    ) -> WriterOnLoop:
        event, recipients = await self._prepare(options, total_size)
        opening = self._connection.local.stream_bytes(
            options["name"],
            total_size=total_size,
            mime_type=options["mime_type"],
            topic=event.topic,
            destination_identities=recipients,
            attributes=event.attributes,
            stream_id=event.id,
        )
        try:
            sdk_writer = await self._connection.call(opening, "stream_bytes")
        except SdkStreamError as error:
            raise StreamError(f"The byte stream could not be opened: {error.description}.") from None
        self._log.add(event)
        return WriterOnLoop(self._connection, self._log, event, sdk_writer, self._writers, bytes, progress)

    def _arrived(self, reader: Any, sender: str) -> None:
        event = opened_by(reader, sender, "bytes")
        self._connection.start(self._receive(reader, event))

    async def _receive(self, reader: Any, event: Event) -> None:
        incoming = self._incoming(event)
        info = reader.info
        spool = Spool()
        line = Progress(f"Receiving {info.name}", event.size)
        handler = incoming.first_handler

        def keep(piece: bytes) -> int:
            spool.write(piece)
            return len(piece)

        def progress(done: int) -> None:
            if handler is not None:
                handler.inform(lambda: line.update(done))

        def whole() -> ReceivedFile:
            claimed = event.attributes.pop(DIGEST, None)  # ours, and none of the sender's own
            if claimed is not None and claimed != spool.sha256:
                raise StreamError("the content is not what was sent: its SHA-256 differs from the sender's")
            return ReceivedFile(
                spool,
                name=info.name,
                mime_type=info.mime_type,
                sender=event.sender or "",
                attributes=dict(event.attributes),
                verified=None if claimed is None else True,
            )

        try:
            await incoming.receive(reader, keep, whole, progress)
        finally:
            if handler is not None:
                handler.inform(lambda: line.close(event.transferred, event.error))
            if event.data is None:
                spool.close()


def _open_file(path: str | Path) -> tuple[IO[bytes], str, int]:
    file = Path(path).expanduser()
    return file.open("rb"), file.name, file.stat().st_size


class _Buffer:
    """A buffer that reads like a file, without copying it first."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        end = len(self._view) if count < 0 else self._at + count
        piece = bytes(self._view[self._at : end])
        self._at += len(piece)
        return piece

    def seek(self, at: int) -> None:
        self._at = at


def _wire_size(source: IO[bytes] | _Buffer, size: int) -> float:
    """About how many bytes `size` bytes of this content take on the wire, judged by samples from all over it."""
    if size <= _ONE_CALL_WIRE:
        return size
    taken = packed = 0
    for at in (0, size // 2, size - _SAMPLE):
        source.seek(at)
        sample = source.read(_SAMPLE)
        taken += len(sample)
        packed += len(zlib.compress(sample, 1))
    source.seek(0)
    return size * min(1.0, packed / max(1, taken))
