"""Byte streams: files and binary data, with progress on both sides.

See https://docs.livekit.io/transport/data/byte-streams/.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lknb import checks
from lknb.connection import Connection
from lknb.errors import StreamError
from lknb.event import Event, add_piece
from lknb.events import EventLog
from lknb.files import ReceivedFile, Spool, guess_type, open_regular
from lknb.handlers import Handler, Handlers
from lknb.loop import on_loop
from lknb.participants import Participant
from lknb.progress import Progress
from lknb.replies import awaited
from lknb.sdk import open_bytes
from lknb.systems.sending import recording, refusals_as
from lknb.systems.streams import (
    PIECE,
    AsyncStreamWriter,
    IncomingStream,
    OutgoingStream,
    Sink,
    Streams,
    check_header,
    incoming_event,
    time_limit,
)

DIGEST = "lknb.sha256"
"""The stream attribute with the payload's SHA-256 in hex: in the header of short streams, at the end of long ones."""

# The SDK compresses only what it sends in a single call, which cannot be cancelled. So payloads are sent in this way if
# they take less than half a second, or if they compress to less than this share. The limits: bytes on the wire of what
# does not compress, share, bytes in memory.
_ONE_CALL_WIRE = 768 * 1024
_COMPRESSES = 0.9
_ONE_CALL_SIZE = 256 * 1024 * 1024
_SAMPLE = 32 * 1024
_LOOKS_EVERY = 0.25


@dataclass(frozen=True)
class _Header:
    """The header of an outgoing stream, without the size."""

    id: str
    name: str
    mime_type: str
    topic: str
    to: str | Participant | Iterable[str | Participant] | None
    attributes: dict[str, str]

    @classmethod
    def of(
        cls,
        name: str,
        mime_type: str | None,
        topic: str,
        to: str | Participant | Iterable[str | Participant] | None,
        attributes: Mapping[str, str] | None = None,
        stream_id: str | None = None,
    ) -> _Header:
        """A header from checked arguments, with defaults for the id and the MIME type."""
        checks.text(name, "name")
        checks.topic(topic)
        mime_type = guess_type(name) if mime_type is None else checks.text(mime_type, "mime_type")
        attributes = {} if attributes is None else checks.attributes(attributes)
        return cls(stream_id or str(uuid.uuid4()), name, mime_type, topic, to, attributes)


class OutgoingBytes(OutgoingStream[bytes]):
    """An open outgoing byte stream."""

    def _checked(self, piece: Any) -> bytes:
        return checks.data(piece, "A piece of a byte stream")

    def _size(self, piece: bytes) -> int:
        return len(piece)


class FileSink(Sink[bytes]):
    """Spools an incoming byte stream, shows its progress, and makes a verified `ReceivedFile` from it.

    Args:
        info: the SDK's description of the stream.
        event: the stream's event.
        handler: the handler whose cell shows the progress.
    """

    def __init__(self, info: Any, event: Event, handler: Handler | None) -> None:
        self._info = info
        self._event = event
        self._handler = handler
        self._spool = Spool()
        self._line = Progress(f"Receiving {info.name}", event.size)

    def keep(self, piece: bytes) -> int:
        """Keep a piece, and return its size in bytes."""
        self._spool.write(piece)
        return len(piece)

    def payload(self) -> ReceivedFile:
        """The file.

        Raises:
            StreamError: if its SHA-256 differs from the sender's.
        """
        claimed = self._event.attributes.pop(DIGEST, None)  # set by lknb, not by the sender's code
        if claimed is not None and claimed != self._spool.sha256:
            raise StreamError("the content is not what was sent: its SHA-256 differs from the sender's")
        return ReceivedFile(
            self._spool,
            name=self._info.name,
            mime_type=self._info.mime_type,
            sender=self._event.sender or "",
            attributes=dict(self._event.attributes),
            verified=None if claimed is None else True,
        )

    def progress(self, transferred: int) -> None:
        """Show the number of bytes received."""
        if self._handler is not None:
            self._handler.inform(lambda: self._line.update(transferred))

    def close(self) -> None:
        """Show how the stream ended, and free the bytes unless the event keeps the file."""
        event = self._event
        if self._handler is not None:
            self._handler.inform(lambda: self._line.close(event.transferred, event.error))
        if event.data is None:
            self._spool.close()


class ByteStreams(Streams):
    """Sends and receives the byte streams of one connection."""

    max_open = 8  # more than for text, because larger files go to the disk

    def __init__(self, connection: Connection, log: EventLog, handlers: Handlers, max_size: int) -> None:
        super().__init__(connection, log, handlers, max_size)
        connection.on("byte_stream", self._opened)

    async def send_file(
        self,
        path: str | Path,
        *,
        topic: str = "",
        to: str | Participant | Iterable[str | Participant] | None = None,
        name: str | None = None,
        mime_type: str | None = None,
        attributes: Mapping[str, str] | None = None,
        progress: bool = True,
    ) -> Event:
        """Send a file of any size. It is read while it is sent, so it does not need to fit into memory.

        If it grows meanwhile, the bytes that it had at the start are sent.

        A transfer that takes more than half a second shows bytes, rate and time left. Interrupting it aborts the stream
        for its receivers too, unless the SDK sends it as a whole, which it finishes: content of up to 768 KiB, or of up
        to 256 MiB that compresses. They receive the content's SHA-256, and lknb verifies it.
        See https://docs.livekit.io/transport/data/byte-streams/.

        Args:
            path: the file.
            topic: receivers listen by topic.
            to: an identity, a `Participant`, or several in a list; None for everybody.
            name: the name that receivers see; the file's own if not given.
            mime_type: guessed from the name if not given.
            attributes: strings sent with the stream; at most 15,000 bytes together with the topic.
            progress: whether to show the progress of a long transfer.

        Returns:
            The event in the log, with size and duration.

        Raises:
            FileNotFoundError: if there is no such file.
            IsADirectoryError: for a directory.
            ValueError: for a device, a pipe and anything else that is not a regular file with a fixed size; for an
                empty `to`, this participant's own identity in it, and text that UTF-8 cannot encode.
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            UnknownParticipantError: if a recipient is not in the room.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if topic, recipients, names and attributes exceed 15,000 bytes.
            StreamError: if the SDK refused the stream, it was aborted or cancelled, or the file shrank while it was
                sent.
            DeliveryTimeoutError: if the SDK did not send the file in time.
            TypeError: for an argument of another type.
            ValueError: for an empty `to`, this participant's own identity in it, and text that UTF-8 cannot encode.

        Examples:
            >>> room.send_file("measurements.csv", topic="data", to="bob")
            >>> event = room.send_file("photo.jpg", attributes={"camera": "left"})
            >>> event.size, event.duration
        """
        file = checks.path(path, "path")
        progress = checks.flag(progress, "progress")
        own_name = checks.readable(file.name, "path")
        header = _Header.of(own_name if name is None else name, mime_type, topic, to, attributes)
        source, size = await asyncio.to_thread(open_regular, file)
        with source:
            return await self._send(source, size, header, progress)

    async def send_attachment(self, path: Path, *, topic: str, to: list[str], stream_id: str, progress: bool) -> Event:
        """Send a file with a stream id that a text stream refers to; see `send_file`."""
        header = _Header.of(checks.readable(path.name, "path"), None, topic, to or None, None, stream_id)
        source, size = await asyncio.to_thread(open_regular, path)
        with source:
            return await self._send(source, size, header, progress)

    async def send_bytes(
        self,
        data: bytes | bytearray | memoryview,
        *,
        topic: str = "",
        to: str | Participant | Iterable[str | Participant] | None = None,
        name: str | None = None,
        mime_type: str | None = None,
        attributes: Mapping[str, str] | None = None,
        progress: bool = True,
    ) -> Event:
        """Send bytes of any length as one byte stream; see `send_file`.

        See https://docs.livekit.io/transport/data/byte-streams/.

        Args:
            data: bytes, a bytearray or a memoryview.
            topic: receivers listen by topic.
            to: an identity, a `Participant`, or several in a list; None for everybody.
            name: a file name for the receivers.
            mime_type: guessed from the name if not given.
            attributes: strings sent with the stream; at most 15,000 bytes together with the topic.
            progress: whether to show the progress of a long transfer.

        Returns:
            The event in the log, with size and duration.

        Raises:
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            UnknownParticipantError: if a recipient is not in the room.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if topic, recipients, names and attributes exceed 15,000 bytes.
            StreamError: if the SDK refused the stream, or it was aborted or cancelled.
            DeliveryTimeoutError: if the SDK did not send the bytes in time.
            TypeError: for data that is not bytes, and for other arguments of another type.
            ValueError: for an empty `to`, this participant's own identity in it, and text that UTF-8 cannot encode.

        Examples:
            >>> room.send_bytes(array.tobytes(), topic="samples", to=["bob", "carol"])
            >>> room.send_bytes(png, name="plot.png", attributes={"run": "7"})
        """
        if isinstance(data, memoryview) and not data.c_contiguous:
            data = bytes(data)
        view = memoryview(checks.buffer(data, "data")).cast("B")
        progress = checks.flag(progress, "progress")
        header = _Header.of("unknown" if name is None else name, mime_type, topic, to, attributes)
        if len(view) <= _ONE_CALL_WIRE:
            return await self._send_whole(*_read_whole(_Buffer(view), len(view)), header)
        return await on_loop(lambda: self._send(_Buffer(view), len(view), header, progress))

    async def send_content(
        self,
        content: bytes | Iterator[bytes],
        *,
        topic: str,
        to: str | Participant | Iterable[str | Participant] | None,
        name: str,
        mime_type: str,
        attributes: Mapping[str, str] | None,
        progress: bool,
    ) -> Event:
        """Send bytes, or pieces of them that are made while they are sent; see `send_bytes`. Runs on the loop."""
        progress = checks.flag(progress, "progress")
        header = _Header.of(name, mime_type, topic, to, attributes)
        if isinstance(content, bytes):
            return await self._send(_Buffer(memoryview(content)), len(content), header, progress)
        line = Progress(f"Sending {header.name}", None) if progress else None
        return await self._send_pieces(_Joined(content), None, header, line)

    def stream_bytes(
        self,
        name: str = "unknown",
        *,
        topic: str = "",
        to: str | Participant | Iterable[str | Participant] | None = None,
        total_size: int | None = None,
        mime_type: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> AsyncStreamWriter:
        """Open a byte stream to write to piece by piece, as a context manager.

        Leaving the block ends the stream. If the block raises, the stream is aborted for its receivers.
        See https://docs.livekit.io/transport/data/byte-streams/.

        Args:
            name: a file name for the receivers.
            topic: receivers listen by topic.
            to: an identity, a `Participant`, or several in a list; None for everybody.
            total_size: the total size in bytes, if known. Receivers then see progress, and the stream fails if its
                size differs.
            mime_type: guessed from the name if not given.
            attributes: strings sent with the stream; at most 15,000 bytes together with the topic.

        Returns:
            The writer. Entering its block opens the stream, and raises the errors below.

        Raises:
            NotConnectedError: while the room is closed or reconnecting.
            UnknownParticipantError: if a recipient is not in the room.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if topic, recipients, names and attributes exceed 15,000 bytes.
            StreamError: if the SDK refused the stream.
            DeliveryTimeoutError: if the SDK did not open the stream in time.
            TypeError: for an argument of another type.
            ValueError: for an empty `to`, this participant's own identity in it, and text that UTF-8 cannot encode.

        Examples:
            >>> with room.stream_bytes("log.csv", topic="logs", to="bob") as out:
            ...     for row in rows:
            ...         out.write(row.encode())
        """
        if total_size is not None:
            total_size = checks.whole(total_size, "total_size", checks.BYTES, least=0)
        return AsyncStreamWriter(self._open(_Header.of(name, mime_type, topic, to, attributes), total_size))

    def _prepare(self, header: _Header, size: int | None, recipients: list[str]) -> Event:
        attributes = {**header.attributes, DIGEST: "0" * 64}
        check_header(header.topic, attributes, recipients, header.name, header.mime_type)
        return Event(
            "bytes",
            "out",
            sender=self.connection.identity,
            to=tuple(recipients),
            topic=header.topic,
            size=size,
            attributes=dict(header.attributes),
            status="open",
            name=header.name,
            mime_type=header.mime_type,
            id=header.id,
        )

    async def _send(self, source: Any, size: int, header: _Header, progress: bool) -> Event:
        line = Progress(f"Sending {header.name}", size) if progress else None
        if size <= _ONE_CALL_SIZE:
            wire = await asyncio.to_thread(_wire_size, source, size)
            if wire <= max(_ONE_CALL_WIRE, _COMPRESSES * size):
                # Nobody needs to follow what takes less than half a second.
                followed = line if wire > _ONE_CALL_WIRE else None
                whole = await asyncio.to_thread(_read_whole, source, size)
                with self._following(size, wire, followed):
                    return await awaited(self._send_whole(*whole, header))
        return await self._send_pieces(source, size, header, line)

    async def _send_whole(self, data: bytes, digest: str, header: _Header) -> Event:
        """Send bytes in one call of the SDK; awaits replies only."""
        self.connection.require("canPublishData", "Sending bytes")
        recipients = await self.connection.presence.recipients_here(header.to)
        event = self._prepare(header, len(data), recipients)
        event.attributes[DIGEST] = digest
        with recording(self.log, event, "The bytes were not sent"):
            await self.connection.request(
                lambda sdk: sdk.send_bytes(
                    data,
                    id=event.id,
                    name=header.name,
                    mime_type=header.mime_type,
                    topic=event.topic,
                    to=recipients,
                    attributes=event.attributes,
                ),
                "send_bytes",
                limit=time_limit(len(data)),
            )
            self.connection.require_still("canPublishData", "Sending bytes")
            add_piece(event, len(data))
            self.log.passed(event, "piece", data)
        return event

    @contextlib.contextmanager
    def _following(self, size: int, wire: float, line: Progress | None) -> Iterator[None]:
        """Show the progress of a payload that the SDK sends in one call, by what goes out on the wire meanwhile."""
        if line is None:
            yield
            return

        async def look() -> None:
            with contextlib.suppress(RuntimeError):  # there is no connection now, so the send ends too
                before = (await session.signs_of_life()).bytes_accepted
                while True:
                    await asyncio.sleep(_LOOKS_EVERY)
                    gone = (await session.signs_of_life()).bytes_accepted - before
                    line.update(int(size * min(0.99, max(0.0, gone / wire))))

        session = self.connection.sdk
        looking = asyncio.ensure_future(look())
        try:
            yield
        except BaseException as error:
            line.close(0, str(error) or type(error).__name__)
            raise
        else:
            line.close(size)
        finally:
            looking.cancel()

    async def _send_pieces(self, source: Any, size: int | None, header: _Header, line: Progress | None) -> Event:
        stream = await self._open(header, size, line.update if line else lambda transferred: None)
        event, digest = stream.event, hashlib.sha256()
        try:
            async with stream.until_cancelled():
                # Never beyond the size at the start: somebody may append to the file without end.
                while piece := await asyncio.to_thread(
                    source.read, PIECE if size is None else min(PIECE, size - event.transferred)
                ):
                    digest.update(piece)
                    await stream.write(piece)
            if size is not None and event.transferred != size:
                raise StreamError(f"The file changed while it was sent: {event.transferred:,} of {size:,} bytes.")
            event.attributes[DIGEST] = digest.hexdigest()
            await stream.close({DIGEST: digest.hexdigest()})
        except BaseException as error:
            if line:
                line.close(event.transferred, str(error) or type(error).__name__)
            await stream.abort_for(error)
            raise
        if line:
            line.close(event.transferred)
        return event

    async def _open(
        self,
        header: _Header,
        total_size: int | None,
        progress: Callable[[int], None] = lambda transferred: None,
    ) -> OutgoingBytes:
        self.connection.require("canPublishData", "Sending bytes")
        recipients = await self.connection.presence.recipients(header.to)
        event = self._prepare(header, total_size, recipients)
        opening = open_bytes(
            self.connection.local,
            id=event.id,
            name=header.name,
            mime_type=header.mime_type,
            topic=event.topic,
            to=recipients,
            attributes=event.attributes,
            total_size=total_size,
        )
        with refusals_as("The byte stream could not be opened"):
            sdk_writer = await self.opened(opening, "stream_bytes")
        self.log.add(event)
        return OutgoingBytes(self, event, sdk_writer, progress)

    def _opened(self, reader: Any, sender: str) -> None:
        event = incoming_event(reader, sender, "bytes")
        if self.admits(reader, event):
            self.connection.start(self._receive(reader, event))

    async def _receive(self, reader: Any, event: Event) -> None:
        stream = IncomingStream[bytes](self, event)
        await stream.receive(reader, FileSink(reader.info, event, stream.first_handler))


class _Joined:
    """Reads pieces, of any sizes, like a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, count: int) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        taken, self._rest = self._rest[:count], self._rest[count:]
        return bytes(taken)


class _Buffer:
    """Reads a buffer like a file, without copying it first."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def read(self, count: int) -> bytes:
        piece = bytes(self._view[self._at : self._at + count])
        self._at += len(piece)
        return piece

    def seek(self, at: int) -> None:
        self._at = at


def _read_whole(source: IO[bytes] | _Buffer, size: int) -> tuple[bytes, str]:
    """The content, and its SHA-256 in hex."""
    data = source.read(size)
    return data, hashlib.sha256(data).hexdigest()


def _wire_size(source: IO[bytes] | _Buffer, size: int) -> float:
    """Estimate from samples how many bytes `size` bytes of this content take on the wire."""
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
