"""`RecordingWriter`: writes a recording, so that what has been flushed can be read whatever happens next.

A chunk is closed only after a row, so it has the payload of each of its rows. What could not be written as a whole is
cut off again: the file always ends with a whole record.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from mcap.opcode import Opcode
from mcap.records import AttachmentIndex, MessageIndex
from mcap.writer import LIBRARY_IDENTIFIER, CompressionType, Writer

from lknb.event import Event
from lknb.files import ReceivedFile
from lknb.recording.format import (
    BEGIN,
    END,
    EVENT_SCHEMA,
    EVENTS,
    OPEN,
    PIECE_SCHEMA,
    PIECES,
    REVISED,
    STATE,
    STATE_SCHEMA,
    Payload,
    nanoseconds,
    published_at,
    row_of,
    to_json,
)

CHUNK = 1024 * 1024
"""Bytes of rows and payloads after which a chunk is written, compressed."""

MAX_CHANNELS = 4096
"""Channels for payloads at most. Those of further topics and senders share one for each kind and direction."""

_LONGEST_TOPIC = 1024
_COPY = 1024 * 1024
_NEVER = 2**62
_MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_MESSAGE_HEAD = _MESSAGE.size - 9


class Declared(NamedTuple):
    """What a payload is, by a declaration: its encoding, and a schema as MCAP has it."""

    encoding: str
    schema: tuple[str, str, bytes] | None = None


class Output:
    """A new file that only grows by whole flushes.

    Attributes:
        size: bytes written, including those that wait for `flush`.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        self._buffer = bytearray()
        self._whole = 0
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append bytes, at the next flush."""
        self._buffer += data
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """The position at which the next byte goes."""
        return self.size

    def flush(self) -> None:
        """Write what waits; all of it, or nothing.

        Raises:
            OSError: if the file cannot take it.
        """
        buffer, self._buffer = self._buffer, bytearray()
        self._append(iter((buffer,)))

    def append(self, pieces: Iterator[bytes]) -> None:
        """Write what waits, and then these pieces one after the other; all of them, or none.

        Raises:
            OSError: if the file cannot take it.
        """
        self.flush()
        self._append(pieces)

    def _append(self, pieces: Iterator[bytes | bytearray]) -> None:
        written = 0
        try:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    count = os.write(self._file, rest)
                    written += count
                    rest = rest[count:]
        except BaseException:
            os.ftruncate(self._file, self._whole)
            os.lseek(self._file, self._whole, os.SEEK_SET)
            self.size = self._whole
            raise
        self._whole += written
        self.size = self._whole

    def is_at(self, path: Path) -> bool:
        """Whether `path` still leads to this file."""
        try:
            return os.path.samestat(os.fstat(self._file), path.stat())
        except OSError:
            return False

    def close(self) -> None:
        """Close the file, once."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


class _Inside:
    """What lknb does inside mcap's writer; every use of its private names is here.

    Its own methods take a message apart into eight writes, and need all of an attachment in memory.

    Args:
        writer: the writer.
        output: where it writes.
    """

    def __init__(self, writer: Writer, output: Output) -> None:
        private: Any = writer
        self._writer, self._output = writer, output
        self._chunk = private._Writer__chunk_builder
        self._statistics = private._Writer__statistics
        self._attachments: list[AttachmentIndex] = private._Writer__attachment_indexes

    def add_message(self, channel: int, time: int, data: bytes, published: int, sequence: int) -> None:
        """Add a message to the chunk that is being filled."""
        chunk, statistics = self._chunk, self._statistics
        index = chunk.message_indices.get(channel)
        if index is None:
            index = chunk.message_indices[channel] = MessageIndex(channel, [])
        index.records.append((time, chunk.record_writer.count))
        head = _MESSAGE.pack(Opcode.MESSAGE, _MESSAGE_HEAD + len(data), channel, sequence, time, published)
        chunk.record_writer.write(head + data)
        chunk.message_start_time = min(time, chunk.message_start_time) if chunk.num_messages else time
        chunk.message_end_time = max(time, chunk.message_end_time)
        chunk.num_messages += 1
        first = statistics.message_start_time if statistics.message_count else time
        statistics.message_start_time = min(time, first)
        statistics.message_end_time = max(time, statistics.message_end_time)
        statistics.channel_message_counts[channel] += 1
        statistics.message_count += 1

    def add_attachment(self, time: int, name: str, media_type: str, size: int, pieces: Iterator[bytes]) -> None:
        """Write an attachment of `size` bytes piece by piece.

        Raises:
            OSError: if the file cannot take it; then nothing of it is left.
        """
        self._writer.flush()
        begin = self._output.size
        head = struct.pack("<QQ", time, time) + _prefixed(name) + _prefixed(media_type) + struct.pack("<Q", size)
        length = len(head) + size + 4
        self._output.append(_attachment(head, length, pieces))
        self._attachments.append(AttachmentIndex(begin, 9 + length, time, time, size, name, media_type))
        self._statistics.attachment_count += 1


def _attachment(head: bytes, length: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield struct.pack("<BQ", Opcode.ATTACHMENT, length) + head
    digest = zlib.crc32(head)
    for piece in pieces:
        digest = zlib.crc32(piece, digest)
        yield piece
    yield struct.pack("<I", digest)


def _prefixed(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded


class RecordingWriter:
    """Writes one recording. Not safe from several threads.

    Args:
        path: the new file.
        about: the metadata of the room and of the recorder.
        library: what writes this file.
        declared: what the payload of an event is, if somebody has declared it.

    Attributes:
        events: number of events that are in the file.

    Raises:
        FileExistsError: if there is something at that path.
        OSError: if the file cannot be made.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, str],
        library: str,
        declared: Callable[[Event], Declared | None] = lambda event: None,
    ) -> None:
        self._output = Output(path)
        self._path = path
        self._declared = declared
        self._writer = Writer(cast(IO[Any], self._output), chunk_size=_NEVER, compression=CompressionType.ZSTD)
        self._inside = _Inside(self._writer, self._output)
        self._channels: dict[tuple[str, ...], tuple[int, str]] = {}
        self._names: set[str] = set()
        self._schemas: dict[tuple[str, str, bytes], int] = {}
        self._waiting = 0  # bytes in the chunk that is not written yet
        self._events_waiting = 0
        self.events = 0
        try:
            self._writer.start("lknb", f"{library} {LIBRARY_IDENTIFIER}")
            self._writer.add_metadata(BEGIN, dict(about))
            self._events, self._open, self._revised, self._pieces, self._state = (
                self._own_channel(name, title, schema)
                for name, title, schema in (
                    (EVENTS, "lknb.Event", EVENT_SCHEMA),
                    (OPEN, "lknb.Event", EVENT_SCHEMA),
                    (REVISED, "lknb.Event", EVENT_SCHEMA),
                    (PIECES, "lknb.Piece", PIECE_SCHEMA),
                    (STATE, "lknb.State", STATE_SCHEMA),
                )
            )
            self._output.flush()
        except BaseException:
            self._output.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of the file, and of what waits to be compressed."""
        return self._output.size + self._waiting

    def opened(self, event: Event, clock: float, payload: Payload | None) -> None:
        """Write that a stream or a call has begun."""
        place = self._write_payload(event, "payload", payload)
        # It may have ended since: another row follows.
        still = {"status": "open", "error": None, "duration": None, "elapsed": event.elapsed}
        row = row_of(event, clock, **still, payload=place, answer=None)
        self._message(self._open, event, row)
        self._close_full_chunk()

    def ended(
        self,
        event: Event,
        clock: float,
        payload: Payload | None,
        answer: Payload | None = None,
        *,
        is_again: bool = False,
    ) -> None:
        """Write an event with its payload and a call's answer; `is_again` if it changes one that was written before."""
        place = self._write_payload(event, "payload", payload)
        row = row_of(event, clock, payload=place, answer=self._write_payload(event, "answer", answer))
        self._message(self._revised if is_again else self._events, event, row)
        self._events_waiting += not is_again
        self._close_full_chunk()

    def piece(self, event: Event, at: float, size: int, count: int, text: str | None) -> None:
        """Write that pieces of a stream have come: `count` of them, of `size` bytes together, `at` seconds into it."""
        data = to_json({"number": event.number, "at": at, "size": size, "count": count, "text": text})
        self._add(self._pieces, nanoseconds(event.time) + int(at * 1e9), data, event.number)
        self._close_full_chunk()

    def state(self, time: int, state: Mapping[str, Any]) -> None:
        """Write the room's state, or a change of it, at `time` in nanoseconds since 1970."""
        self._add(self._state, time, to_json(state), 0)

    def attach(self, event: Event, file: ReceivedFile, pieces: Iterator[bytes]) -> Payload:
        """Write a file as an attachment, and return what stands for it as the payload of its event.

        Raises:
            OSError: if the file cannot take it.
        """
        name = f"{event.number}-{file.name}"
        time = nanoseconds(event.time)
        self.flush()
        self._inside.add_attachment(time, name, file.mime_type, file.size, pieces)
        described = {
            "attachment": name,
            "name": file.name,
            "mime_type": file.mime_type,
            "size": file.size,
            "sha256": file.sha256,
            "verified": file.verified,
            "sender": file.sender,
            "attributes": file.attributes,
        }
        return Payload(to_json(described), "file")

    def flush(self) -> None:
        """Write everything so far to the file.

        Raises:
            OSError: if the file cannot take it.
            FileNotFoundError: if the file is no longer at its path.
        """
        self._writer.flush()
        self._waiting = 0
        self.events += self._events_waiting
        self._events_waiting = 0
        if not self._output.is_at(self._path):
            raise FileNotFoundError(f"{self._path} was moved or deleted while it was written")

    def finish(self, about: Mapping[str, str]) -> None:
        """Write the counts and the index, and close the file.

        Raises:
            OSError: if the file cannot take it.
        """
        try:
            self.flush()
            self._writer.add_metadata(END, dict(about))
            self._writer.finish()
            self._output.flush()
        finally:
            self._output.close()

    def abandon(self) -> None:
        """Close the file as it is, without its index and without what waits."""
        self._waiting = 0
        self._output.close()

    def _write_payload(self, event: Event, part: str, payload: Payload | None) -> dict[str, str] | None:
        if payload is None:
            return None
        declared = self._declared(event) if part == "payload" else None
        channel, name = self._channel(event, part, declared or Declared(payload.encoding))
        self._message(channel, event, payload.content)
        return {"channel": name, "form": payload.form}

    def _message(self, channel: int, event: Event, data: bytes) -> None:
        self._add(channel, nanoseconds(event.time), data, event.number, published_at(event))

    def _add(self, channel: int, time: int, data: bytes, number: int, published: int | None = None) -> None:
        self._inside.add_message(channel, time, data, time if published is None else published, number & 0xFFFFFFFF)
        self._waiting += len(data)

    def _close_full_chunk(self) -> None:
        if self._waiting >= CHUNK:
            self.flush()

    def _own_channel(self, name: str, title: str, schema: bytes) -> int:
        self._names.add(name)
        return self._writer.register_channel(name, "json", self._schema((title, "jsonschema", schema)))

    def _schema(self, schema: tuple[str, str, bytes] | None) -> int:
        if schema is None:
            return 0
        if schema not in self._schemas:
            self._schemas[schema] = self._writer.register_schema(*schema)
        return self._schemas[schema]

    def _channel(self, event: Event, part: str, declared: Declared) -> tuple[int, str]:
        """The channel of the payloads that share all of this, and its name."""
        shown = (event.kind, event.topic, event.sender or "", event.direction)
        key = (*shown, part, declared.encoding, *map(str, declared.schema or ()))
        known = self._channels.get(key)
        if known is not None:
            return known
        # A peer chooses topics: each channel stays in memory until the end, and there are at most 65,535.
        if len(event.topic) > _LONGEST_TOPIC or len(self._channels) >= MAX_CHANNELS:
            if not event.topic and not event.sender:
                return self._register(key, shown, part, declared)
            return self._channel(_shared(event), part, Declared("bytes"))
        return self._register(key, shown, part, declared)

    def _register(self, key: tuple[str, ...], shown: tuple[str, ...], part: str, declared: Declared) -> tuple[int, str]:
        kind, topic, sender, direction = shown
        name = "/".join((kind, topic or "-", sender or "-", direction, *(() if part == "payload" else (part,))))
        # Several programs identify a channel by its name alone.
        unique = next(each for each in _variants(name, declared.encoding) if each not in self._names)
        self._names.add(unique)
        metadata = {"kind": kind, "topic": topic, "sender": sender, "direction": direction, "part": part}
        channel = self._writer.register_channel(unique, declared.encoding, self._schema(declared.schema), metadata)
        self._channels[key] = channel, unique
        return channel, unique


def _variants(name: str, encoding: str) -> Iterator[str]:
    yield name
    yield f"{name} ({encoding})"
    number = 2
    while True:
        yield f"{name} ({encoding} {number})"
        number += 1


def _shared(event: Event) -> Event:
    """An event that stands for all of its kind and direction, in the channel that they share."""
    return Event(event.kind, event.direction, id="shared", number=0, time=event.time)
