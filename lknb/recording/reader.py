"""`RecordingFile`: the events in an MCAP file, read when they are needed, also if the file was cut off anywhere.

The file is walked from its start, without its index: a file that a killed kernel left has none. One pass over the
chunks then notes where each row is, in 12 bytes for an event. A chunk that is damaged is skipped, and counted.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import struct
import threading
import weakref
import zlib
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lz4.frame
import pydantic_core
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Header, Metadata, Schema
from mcap.writer import MCAP0_MAGIC

from lknb.errors import RecordingError
from lknb.event import Event, amend
from lknb.files import FilePart, ReceivedFile
from lknb.interest import Interest
from lknb.public import public
from lknb.recording.format import BEGIN, EVENTS, OPEN, PIECES, REVISED, event_of, to_json

_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_CHUNK = struct.Struct("<QQQII")  # first time, last time, bytes unpacked, checksum, length of the compression's name
_WINDOW = 64 * 1024
_CACHE = 64 * 1024 * 1024
_LARGEST_CHUNK = 1024 * 1024 * 1024
_LARGEST_RECORD = 64 * 1024 * 1024  # bytes of a record outside of chunks that is read as a whole
_PLAIN = 1024 * 1024  # bytes of messages outside of chunks that are read at a time
_OFFSET = 34  # bits of an offset in a chunk
_MOST_OFFSET = (1 << _OFFSET) - 1
_MALFORMED = (struct.error, ValueError, McapError)
_ROWS = (EVENTS, OPEN, REVISED)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Chunk(NamedTuple):
    """Where a chunk is in the file, and how it is packed."""

    at: int
    length: int
    compression: str
    size: int
    checksum: int
    first: int
    last: int


class Attachment(NamedTuple):
    """Where the bytes of an attachment are in the file."""

    at: int
    size: int
    media_type: str


@public
@dataclass(frozen=True)
class Piece:
    """A piece of a stream.

    Attributes:
        at: seconds from the stream's start to the piece.
        size: its bytes.
        text: its text; None for a byte stream.
        count: how many pieces it stands for: after 10,000, those of a second are recorded together.
    """

    at: float
    size: int
    text: str | None = None
    count: int = 1


class _Descriptor:
    """The open file, closed when neither its recording nor one of its files refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self.number)


class RecordingFile:
    """An MCAP file as events. Safe from any thread.

    Args:
        path: the file.

    Attributes:
        path: the file.
        complete: whether the file was finished: it ends with its index.
        is_own: whether lknb wrote it; the messages of others become `data` events.
        metadata: the file's metadata, by name.
        damaged: chunks that could not be read.

    Raises:
        RecordingError: if the file is not MCAP.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: _Descriptor | None = _Descriptor(path)
        self._size = os.fstat(self._file.number).st_size
        self.complete = False
        self.metadata: dict[str, dict[str, str]] = {}
        self.is_own = False
        self.damaged = 0
        self._damaged: set[int] = set()
        self._chunks: list[Chunk] = []
        self._attachments: dict[str, Attachment] = {}
        self._channels: dict[int, Channel] = {}
        self._schemas: dict[int, Schema] = {}
        # Guards the index, and the chunks in memory.
        self._lock = threading.RLock()
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()
        self._unpacked_bytes = 0
        self._index: _Index | None = None
        self._scan()

    # The records of the file

    def _scan(self) -> None:
        if self._read(0, len(MCAP0_MAGIC)) != MCAP0_MAGIC:
            raise RecordingError(
                f"{str(self.path)!r} is not a recording: it does not begin as MCAP does. room.record() makes one."
            )
        at = len(MCAP0_MAGIC)
        window, begin = b"", 0
        plain: tuple[int, int] | None = None
        while at + _HEAD.size <= self._size:
            if not begin <= at <= begin + len(window) - _HEAD.size:
                window, begin = self._read(at, _WINDOW), at
                if len(window) < _HEAD.size:
                    break
            opcode, length = _HEAD.unpack_from(window, at - begin)
            body = at + _HEAD.size
            end = body + length
            if opcode == 0 or end > self._size:
                break
            if opcode == Opcode.MESSAGE:
                plain = (plain[0] if plain else at, end)
                if end - plain[0] >= _PLAIN:
                    self._add_plain(plain)
                    plain = None
            else:
                self._add_plain(plain)
                plain = None
                try:
                    self._record(opcode, body, length)
                except _MALFORMED:
                    break  # what follows cannot be trusted either
            at = end
            if opcode == Opcode.FOOTER:
                self.complete = self._read(at, len(MCAP0_MAGIC)) == MCAP0_MAGIC
                break
        self._add_plain(plain)

    def _record(self, opcode: int, at: int, length: int) -> None:
        if opcode == Opcode.CHUNK:
            self._chunks.append(self._chunk_at(at, length))
        elif opcode == Opcode.ATTACHMENT:
            self._attachment(at, length)
        elif opcode in (Opcode.HEADER, Opcode.METADATA, Opcode.CHANNEL, Opcode.SCHEMA) and length <= _LARGEST_RECORD:
            stream = ReadDataStream(io.BytesIO(self._read(at, length)))
            if opcode == Opcode.HEADER:
                self.is_own = Header.read(stream).profile == "lknb"
            elif opcode == Opcode.METADATA:
                found = Metadata.read(stream)
                self.metadata[found.name] = found.metadata
                self.is_own = self.is_own or found.name == BEGIN
            elif opcode == Opcode.CHANNEL:
                channel = Channel.read(stream)
                self._channels[channel.id] = channel
            else:
                schema = Schema.read(stream)
                self._schemas[schema.id] = schema

    def _chunk_at(self, at: int, length: int) -> Chunk:
        head = self._read(at, _CHUNK.size + 64)
        first, last, size, checksum, named = _CHUNK.unpack_from(head)
        if named > 32:
            raise ValueError("a compression without a name")
        compression = head[_CHUNK.size : _CHUNK.size + named].decode()
        (packed,) = struct.unpack_from("<Q", head, _CHUNK.size + named)
        begin = at + _CHUNK.size + named + 8
        if begin + packed > at + length:
            raise ValueError("a chunk longer than its record")
        return Chunk(begin, packed, compression, size, checksum, first, last)

    def _add_plain(self, plain: tuple[int, int] | None) -> None:
        """Treat messages outside of chunks as a chunk that is not packed."""
        if plain:
            begin, end = plain
            self._chunks.append(Chunk(begin, end - begin, "", end - begin, 0, 0, 0))

    def _attachment(self, at: int, length: int) -> None:
        head = self._read(at, min(length, _WINDOW))
        (named,) = struct.unpack_from("<I", head, 16)
        name = head[20 : 20 + named].decode()
        (typed,) = struct.unpack_from("<I", head, 20 + named)
        media_type = head[24 + named : 24 + named + typed].decode()
        (size,) = struct.unpack_from("<Q", head, 24 + named + typed)
        begin = at + 32 + named + typed
        if begin + size + 4 > at + length:
            raise ValueError("an attachment longer than its record")
        self._attachments[name] = Attachment(begin, size, media_type)

    def _read(self, at: int, count: int) -> bytes:
        file = self._file
        return FilePart(file.number, 0, self._size, "", file).read(at, count)

    # The messages of a chunk

    def _chunk(self, number: int) -> bytes:
        """The messages of a chunk, unpacked; none of a damaged one."""
        with self._lock:
            data = self._unpacked.get(number)
            if data is not None:
                self._unpacked.move_to_end(number)
                return data
        data = self._unpack(number)
        with self._lock:
            if number not in self._unpacked:
                self._unpacked[number] = data
                self._unpacked_bytes += len(data)
                while self._unpacked_bytes > _CACHE and len(self._unpacked) > 1:
                    self._unpacked_bytes -= len(self._unpacked.popitem(last=False)[1])
        return data

    def _unpack(self, number: int) -> bytes:
        chunk = self._chunks[number]
        try:
            if chunk.size > _LARGEST_CHUNK:
                raise ValueError("too large")
            packed = self._read(chunk.at, chunk.length)
            if chunk.compression == "zstd":
                if zstandard.frame_content_size(packed) > chunk.size:
                    raise ValueError("a frame larger than the chunk")
                data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=chunk.size)
            elif chunk.compression == "lz4":
                data = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=chunk.size)
            elif not chunk.compression:
                data = packed
            else:
                raise ValueError("unknown compression")
            if len(data) != chunk.size or (chunk.checksum and zlib.crc32(data) != chunk.checksum):
                raise ValueError("damaged")
            return data
        except (ValueError, RuntimeError, zstandard.ZstdError):
            with self._lock:
                self._damaged.add(number)
                self.damaged = len(self._damaged)
            return b""

    def _channel_or_schema(self, data: bytes, at: int, opcode: int, length: int) -> None:
        stream = ReadDataStream(io.BytesIO(data[at : at + length]))
        if opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            self._channels[channel.id] = channel
        else:
            schema = Schema.read(stream)
            self._schemas[schema.id] = schema

    # The index

    @property
    def index(self) -> _Index:
        """Where the rows are; made by one pass over the file, when it is first needed."""
        with self._lock:
            if self._index is None:
                self._index = self._indexed()
            return self._index

    def _indexed(self) -> _Index:
        index = _Index()
        for number in range(len(self._chunks)):
            try:
                self._index_chunk(index, number, self._unpack(number))
            except _MALFORMED:
                self._damaged.add(number)
        self.damaged = len(self._damaged)
        index.finish()
        return index

    def _index_chunk(self, index: _Index, number: int, data: bytes) -> None:
        base = number << _OFFSET
        size = len(data)
        at = 0
        group, of_group = 0, -1
        payloads: list[int] = []
        roles = index.roles
        while at + _HEAD.size <= size:
            opcode, length = _HEAD.unpack_from(data, at)
            if opcode == Opcode.MESSAGE and at + _MESSAGE.size <= size:
                _, _, channel, sequence, time, _ = _MESSAGE.unpack_from(data, at)
                role = roles.get(channel)
                if role is None:
                    if of_group != sequence:
                        group, of_group = at, sequence
                    payloads.append(channel)
                    if not self.is_own:
                        index.add(base | at, sequence)
                elif role in _ROWS:
                    place = base | (group if of_group == sequence else at)
                    of_group = -1
                    index.row(role, place, sequence)
                    if role == EVENTS:  # the others repeat payloads
                        index.payloads.update(payloads)
                    payloads.clear()
                elif role == PIECES:
                    index.piece(base | at, sequence)
                else:
                    index.state(base | at, time)
            elif opcode in (Opcode.CHANNEL, Opcode.SCHEMA):
                self._channel_or_schema(data, at + _HEAD.size, opcode, length)
                if self.is_own:
                    roles.update(
                        (each.id, each.topic) for each in self._channels.values() if each.topic.startswith("lknb/")
                    )
            at += _HEAD.size + length
        if not self.is_own:
            index.payloads.update(payloads)

    # Events

    def __len__(self) -> int:
        return len(self.index.rows)

    def prefilter(self, interest: Interest) -> Callable[[int], bool]:
        """Whether the event at a position may be of this interest, by the text of its row: much faster than reading."""
        wanted: list[tuple[bytes, ...]] = []
        if interest.kinds is not None:
            wanted.append(tuple(_field("kind", kind) for kind in interest.kinds))
        for name in ("topic", "sender"):
            text = getattr(interest, name)
            # A row with text that is not valid Unicode has escapes for all letters beyond ASCII.
            if text is not None and text.isascii():
                wanted.append((_field(name, text),))

        def may_match(position: int) -> bool:
            row = self._row(position)[0]
            return all(any(field in row for field in each) for each in wanted)

        return may_match if wanted and self.is_own else lambda position: True

    def _row(self, position: int, contents: dict[str, bytes] | None = None) -> tuple[bytes, int]:
        """The JSON of the row at a position, and its sequence. Puts payloads into `contents`, by channel."""
        place = self.index.rows[position]
        data = self._chunk(place >> _OFFSET)
        at = place & _MOST_OFFSET
        roles = self.index.roles
        _, length, channel, sequence, _, _ = _MESSAGE.unpack_from(data, at)
        while roles.get(channel) not in _ROWS:
            if contents is not None and channel not in roles:
                contents[self._channels[channel].topic] = data[at + _MESSAGE.size : at + _HEAD.size + length]
            at += _HEAD.size + length
            _, length, channel, sequence, _, _ = _MESSAGE.unpack_from(data, at)
        return data[at + _MESSAGE.size : at + _HEAD.size + length], sequence

    def event(self, position: int, *, payload: bool = True) -> Event:
        """The event at this position, in order of their beginning; without `payload` only its other fields.

        Raises:
            RecordingError: if the row cannot be read as an event.
        """
        if not self.is_own:
            return self._foreign(position, payload=payload)
        contents: dict[str, bytes] = {}
        try:
            row, sequence = self._row(position, contents if payload else None)
            return self._event(pydantic_core.from_json(row), contents, sequence)
        except (ValueError, TypeError, KeyError, AttributeError, struct.error) as error:
            raise RecordingError(f"{str(self.path)!r}: event {position:,} cannot be read: {error}") from None

    def _event(self, row: Mapping[str, Any], contents: Mapping[str, bytes], sequence: int) -> Event:
        data = self._value(row["payload"], contents)
        result = self._value(row["answer"], contents)
        event = event_of(row, data, result)
        if event.status == "open" and event.kind == "text":
            pieces = self.index.pieces.get(sequence, ())
            amend(event, data="".join(piece.text or "" for piece in map(self._piece, pieces)))
        return event

    def _value(self, place: Mapping[str, str] | None, contents: Mapping[str, bytes]) -> Any:
        content = contents.get(place["channel"]) if place else None
        if place is None or content is None:
            return None
        form = place["form"]
        if form == "bytes":
            return content
        if form == "file":
            return self._received(pydantic_core.from_json(content))
        text = content.decode(errors="replace")
        if form == "text":
            return text
        try:
            return pydantic_core.from_json(text) if text else None
        except ValueError:
            return text

    def _received(self, described: Mapping[str, Any]) -> ReceivedFile | None:
        place = self._attachments.get(described["attachment"])
        if place is None:
            return None
        file = self._file
        part = FilePart(file.number, place.at, place.size, described["sha256"], file)
        return ReceivedFile(
            part,
            name=described["name"],
            mime_type=described["mime_type"],
            sender=described["sender"],
            attributes=described["attributes"],
            verified=described["verified"],
        )

    def _foreign(self, position: int, *, payload: bool) -> Event:
        place = self.index.rows[position]
        data = self._chunk(place >> _OFFSET)
        at = place & _MOST_OFFSET
        _, length, channel, sequence, time, _ = _MESSAGE.unpack_from(data, at)
        known = self._channels.get(channel)
        content = data[at + _MESSAGE.size : at + _HEAD.size + length]
        return Event(
            "data",
            "in",
            sender=known.metadata.get("sender") if known else None,
            topic=known.topic if known else str(channel),
            data=content if payload else None,
            size=len(content),
            number=position + 1,
            id=f"{channel}-{sequence}-{position + 1}",
            time=moment(time),
        )

    # Pieces and state

    def pieces(self, number: int) -> list[Piece]:
        """The pieces of the stream with this number, if there were several."""
        return [self._piece(place) for place in self.index.pieces.get(number & 0xFFFFFFFF, ())]

    def _piece(self, place: int) -> Piece:
        row = self._json(place, at=float, size=int, text=str | None, count=int)
        return Piece(row["at"], row["size"], row["text"], row["count"])

    def states(self, until: int) -> list[Mapping[str, Any]]:
        """The last whole state at `until`, in nanoseconds since 1970, and the changes after it, oldest first."""
        found: list[Mapping[str, Any]] = []
        places, times = self.index.states, self.index.state_times
        for index in reversed(range(len(places))):
            if times[index] > until and index:
                continue
            row = self._state(places[index])
            found.append(row)
            if row["whole"]:
                break
        return found[::-1]

    def every_state(self) -> Iterator[Mapping[str, Any]]:
        """All rows of the state."""
        return map(self._state, self.index.states)

    def _state(self, place: int) -> Mapping[str, Any]:
        row = self._json(place, whole=bool, metadata=str | None, participants=dict)
        if not all(isinstance(each, dict | None) for each in row["participants"].values()):
            raise self._unreadable("a row of the state")
        return row

    def _json(self, place: int, **fields: Any) -> dict[str, Any]:
        """The JSON of the message at a place, which has at least these fields of these types."""
        data = self._chunk(place >> _OFFSET)
        at = place & _MOST_OFFSET
        _, length = _HEAD.unpack_from(data, at)
        try:
            row = pydantic_core.from_json(data[at + _MESSAGE.size : at + _HEAD.size + length])
        except ValueError:
            row = None
        if isinstance(row, dict) and all(isinstance(row.get(name), kind) for name, kind in fields.items()):
            return row
        raise self._unreadable("a message of lknb's own")

    def _unreadable(self, what: str) -> RecordingError:
        return RecordingError(f"{str(self.path)!r}: {what} is not what lknb writes. Was the file changed?")

    # About the file

    @property
    def channels(self) -> dict[int, Channel]:
        """The channels of payloads, by id."""
        roles = self.index.roles
        return {number: each for number, each in self._channels.items() if number not in roles}

    @property
    def schemas(self) -> Mapping[int, Schema]:
        """The schemas of channels, by id."""
        return self._schemas

    @property
    def span(self) -> tuple[dt.datetime, dt.datetime] | None:
        """The times of the first and of the last message; None without one."""
        times = [(each.first, each.last) for each in self._chunks if each.last]
        if not times:
            positions = (self.event(each, payload=False).time for each in (0, len(self) - 1) if len(self))
            found = list(positions)
            return (min(found), max(found)) if found else None
        return moment(min(first for first, _ in times)), moment(max(last for _, last in times))

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._size

    @property
    def attachments(self) -> Mapping[str, Attachment]:
        """The attachments, by name."""
        return self._attachments

    def check_open(self) -> None:
        """Raise RecordingError if the file was closed."""
        _ = self._file

    @property
    def _file(self) -> _Descriptor:
        opened = self._opened
        if opened is None:
            raise RecordingError("This recording is closed. Open it again with lknb.open_recording.")
        return opened

    def close(self) -> None:
        """Close the file. Events that were read stay, and so do their files: they keep it open until they are gone."""
        with self._lock:
            self._opened = None
            self._unpacked.clear()
            self._unpacked_bytes = 0


def _field(name: str, value: str) -> bytes:
    return b'"' + name.encode() + b'":' + to_json(value)


class _Index:
    """Where the rows of a file are: each place is a chunk's number and an offset in the unpacked chunk.

    Attributes:
        roles: lknb's own channels, by their ids.
        rows: the place of each event, in order of their beginning.
        pieces: the places of the pieces of streams, by the streams' numbers.
        states: the places of the rows of the state.
        state_times: the times of these.
        payloads: the number of messages in each other channel.
    """

    def __init__(self) -> None:
        self.roles: dict[int, str] = {}
        self.rows = array("Q")
        self.pieces: dict[int, array[int]] = {}
        self.states = array("Q")
        self.state_times = array("Q")
        self.payloads: Counter[int] = Counter()
        self._numbers: array[int] = array("I")
        self._open: dict[int, int] = {}

    def add(self, place: int, number: int) -> None:
        """Add an event."""
        self.rows.append(place)
        self._numbers.append(number)

    def row(self, role: str, place: int, number: int) -> None:
        """Add the row of an event, or replace the one that it has."""
        if role == OPEN:
            self._open[number] = len(self.rows)
            self.add(place, number)
        elif role == EVENTS:
            known = self._open.pop(number, None)
            if known is None:
                self.add(place, number)
            else:
                self.rows[known] = place
        else:
            known = next((each for each in reversed(range(len(self.rows))) if self._numbers[each] == number), None)
            if known is None:
                self.add(place, number)
            else:
                self.rows[known] = place

    def piece(self, place: int, number: int) -> None:
        """Add a piece of a stream."""
        self.pieces.setdefault(number, array("Q")).append(place)

    def state(self, place: int, time: int) -> None:
        """Add a row of the state."""
        self.states.append(place)
        self.state_times.append(time)

    def finish(self) -> None:
        """Give up what only the pass over the file needs."""
        del self._numbers, self._open


def moment(nanoseconds: int) -> dt.datetime:
    """Nanoseconds since 1970 as a datetime in UTC, to the microsecond."""
    return _EPOCH + dt.timedelta(microseconds=nanoseconds // 1000)
