"""`Event`: one record for anything that happens in a room."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, get_args

from lknb.public import public

if TYPE_CHECKING:
    from lknb.decoding import Decoder, Decoders
    from lknb.room import Room

Kind = Literal[
    "text",
    "bytes",
    "rpc",
    "data",
    "data_track",
    "attributes",
    "participant_metadata",
    "room_metadata",
    "participant",
    "connection",
    "loss",
    "recording",
]
Direction = Literal["in", "out"]
Status = Literal["open", "ok", "failed", "dropped"]

KINDS: tuple[str, ...] = get_args(Kind)
DIRECTIONS: tuple[str, ...] = get_args(Direction)
STATUSES: tuple[str, ...] = get_args(Status)

# Listeners receive these kinds from every participant, including this one; other kinds only from others.
STATE_KINDS = frozenset(
    {"attributes", "participant_metadata", "room_metadata", "participant", "connection", "loss", "recording"}
)

# A payload without a format that the kind defines.
_RAW_KINDS = frozenset({"data", "data_track"})

_OVERHEAD = 600  # approximate bytes of an Event's own objects
_PARSED = 4  # a payload as Python objects takes some times the bytes of its JSON

_numbers = itertools.count(1)


def now() -> dt.datetime:
    """The current time in UTC, as a timezone-aware datetime."""
    return dt.datetime.now(dt.UTC)


class Decoded:
    """What a decoder made of an event's payload.

    Attributes:
        decoder: the decoder.
        value: the value.
        error: why there is none.
        is_kept: False once the value was given up, to be made again when somebody asks for it.
    """

    __slots__ = ("decoder", "error", "is_kept", "value")

    def __init__(self, decoder: Decoder, value: Any, error: str | None) -> None:
        self.decoder, self.value, self.error = decoder, value, error
        self.is_kept = True

    def forget(self) -> None:
        """Give up the value."""
        self.is_kept = False
        self.value = None


class _InProgress:
    """What an open event needs, and what decodes its payload. Copies and tables of events do not have it."""

    __slots__ = ("_answer_size", "_decoded", "_decoders", "_partial", "_started")

    _started: float
    _partial: Callable[[], Any] | None
    _answer_size: int
    _decoders: Decoders  # not set before the event is in a log
    _decoded: Decoded  # not set before somebody asks for the value

    def _begin(self, elapsed: float = 0.0) -> None:
        object.__setattr__(self, "_started", monotonic() - elapsed)
        object.__setattr__(self, "_partial", None)
        object.__setattr__(self, "_answer_size", 0)

    def _set_partial(self, partial: Callable[[], Any] | None) -> None:
        object.__setattr__(self, "_partial", partial)

    def _end(self) -> float:
        self._set_partial(None)
        return monotonic() - self._started


@public
@dataclass(slots=True, eq=False, frozen=True)
class Event(_InProgress):
    """Something that happened in a room: a record that everybody in this kernel shares, and that nobody can change.

    Attributes:
        kind: `text`, `bytes`, `rpc`, `data`, `data_track`, `attributes`, `participant_metadata`, `room_metadata`,
            `participant`, `connection`, `loss` or `recording`.
        direction: `in` or `out`, as seen by this participant.
        sender: the sender's identity; None if the server's API or the room itself is the source.
        to: the recipients' identities; empty for everybody.
        topic: the topic; the method for `rpc`, the track's name for `data_track`, the change for `participant`,
            `connection` and `recording`.
        data: str for `text` and metadata, `ReceivedFile` for `bytes`, bytes for `data` and `data_track`, a dict of the
            changed keys for `attributes` (a deleted key has the value ""), the payload for `rpc`, a dict of details
            for `participant`, `connection`, `loss` and `recording`.
        size: bytes of the payload; for an open stream, its announced size or None.
        transferred: bytes of a stream transferred so far.
        pieces: pieces of a stream transferred so far.
        first_after: seconds from a stream's start to its first piece; None before it.
        attributes: a stream's attributes; for a failed call, its error's `code` and, if any, `data`.
        status: `open` while a stream or call is in progress, then `ok` or `failed`; `dropped` if it was discarded.
        error: why it failed or was dropped.
        duration: seconds from start to end, for streams and calls.
        result: a call's answer.
        timestamp: a data track frame's own timestamp, in the sender's unit.
        reliable: for `data`, whether the packet was sent reliably.
        raw: for `rpc`, whether payload and answer are plain text instead of JSON.
        reply_to: the id of the text stream that this one replies to.
        edits: the id of the text that this one replaces. Valid only if both have the same sender.
        version: the sender's count of edits to this text.
        attachments: the ids of the byte streams attached to this text.
        name: a byte stream's file name; for an incoming stream, sanitized to one safe path component.
        mime_type: a byte stream's media type, as its sender claims it.
        id: the stream's id, or a number unique in this kernel.
        number: a sequence number, unique in this kernel.
        time: when it started, timezone-aware, by this machine's clock.
    """

    kind: Kind
    direction: Direction
    sender: str | None = None
    to: tuple[str, ...] = ()
    topic: str = ""
    data: Any = None
    size: int | None = None
    transferred: int = 0
    pieces: int = 0
    first_after: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    status: Status = "ok"
    error: str | None = None
    duration: float | None = None
    result: Any = None
    timestamp: int | None = None
    reliable: bool | None = None
    raw: bool | None = None
    reply_to: str | None = None
    edits: str | None = None
    version: int | None = None
    attachments: tuple[str, ...] = ()
    name: str | None = None
    mime_type: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    id: str = ""
    time: dt.datetime = field(default_factory=now)

    def __post_init__(self) -> None:
        if not self.id:
            amend(self, id=f"event-{self.number}")
        self._begin()

    # A copy is a snapshot: that of an open event never ends, and has the text transferred so far.

    def __getstate__(self) -> dict[str, Any]:
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**state, "data": self.so_far(), "elapsed": self.elapsed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        amend(self, **{each.name: state[each.name] for each in fields(self)})
        self._begin(state["elapsed"])

    def __repr__(self) -> str:
        parts: list[str] = [self.kind, self.direction]
        if self.topic:
            parts.append(f"topic={self.topic!r}")
        if self.sender is not None:
            parts.append(f"sender={self.sender!r}")
        if self.to:
            parts.append(f"to={list(self.to)!r}")
        if self.status != "ok":
            parts.append(self.status)
        if self.error:
            parts.append(f"error={self.error!r}")
        if self.size is not None:
            parts.append(f"{self.size:,} B")
        if self.data is not None:
            # repr() escapes control characters: a peer's data must not control the terminal.
            preview = repr(self.data if not isinstance(self.data, str | bytes) else self.data[:60])
            parts.append(preview if len(preview) <= 80 else preview[:77] + "...")
        return f"<Event {' '.join(parts)}>"

    @property
    def elapsed(self) -> float:
        """Seconds since it started; after it has ended, `duration`."""
        return monotonic() - self._started if self.duration is None else self.duration

    @property
    def value(self) -> Any:
        """The payload as a value: what the decoder of its topic makes of it; see `Room.decode`.

        Without a decoder, it is None for packets and frames, whose bytes can mean anything, and otherwise `data`. It is
        None for a payload that the decoder cannot read, too: `value_error` says why. Readers share the value, so do not
        change it. A copy of an event has no decoder.
        """
        decoded = _decoded(self)
        if decoded is not None:
            return decoded[0]
        return None if self.kind in _RAW_KINDS else self.data

    @property
    def value_error(self) -> str | None:
        """Why the decoder of its topic could not read the payload; None if it could, or if there is no decoder."""
        decoded = _decoded(self)
        return decoded[1] if decoded is not None else None

    def resend(self, room: Room, to: Any = None) -> Event | None:
        """Send this event once more, through `room`; see `Room.resend`. Async handlers await `room.aio.resend`."""
        return room.resend(self, to=to)

    def so_far(self) -> Any:
        """The payload; for an open text stream, the text transferred so far."""
        partial = self._partial
        return partial() if partial is not None and self.status == "open" else self.data

    def text(self) -> str | None:
        """The payload as text, or None: a string, UTF-8 bytes, or a dict as JSON; for a byte stream, its file name."""
        if self.kind == "bytes":
            return self.name
        if isinstance(self.data, str) or self.data is None:
            return self.data
        if isinstance(self.data, bytes):
            try:
                return self.data.decode()
            except UnicodeDecodeError:
                return None
        try:
            return json.dumps(self.data, default=str, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            return None


def amend(event: Event, **changes: Any) -> None:
    """Change fields of `event`, in this order. Only what records an event may: for everybody else it is read-only."""
    for name, value in changes.items():
        object.__setattr__(event, name, value)


def add_piece(event: Event, size: int) -> None:
    """Count a piece of `size` bytes of the stream of `event`."""
    if event.first_after is None:
        amend(event, first_after=event.elapsed)
    amend(event, transferred=event.transferred + size, pieces=event.pieces + 1)


def set_partial(event: Event, partial: Callable[[], Any]) -> None:
    """Have `event.so_far()` return `partial()` until the event ends."""
    event._set_partial(partial)


def set_decoders(event: Event, decoders: Decoders) -> None:
    """Have these decoders read the payload of `event`."""
    object.__setattr__(event, "_decoders", decoders)


def decoder_of(event: Event) -> Decoder | None:
    """The decoder that reads the payload of `event`, if any."""
    decoders: Decoders | None = getattr(event, "_decoders", None)
    return None if decoders is None else decoders.of(event)


def kept_decoded(event: Event) -> Decoded | None:
    """What `keep_decoded` has kept, if anything."""
    return getattr(event, "_decoded", None)


def keep_decoded(event: Event, decoded: Decoded) -> None:
    """Keep what a decoder made of the payload, for whoever asks next."""
    object.__setattr__(event, "_decoded", decoded)


def _decoded(event: Event) -> tuple[Any, str | None] | None:
    decoders: Decoders | None = getattr(event, "_decoders", None)
    return None if decoders is None else decoders.decoded(event)


def set_answer(event: Event, answer: Any, size: int) -> None:
    """Set the answer to a call, which took `size` bytes."""
    amend(event, result=answer)
    object.__setattr__(event, "_answer_size", size if isinstance(answer, str) else _PARSED * size)


def set_ended(event: Event, status: Status, error: str | None) -> None:
    """Set how and when `event` ended."""
    # The status last: other threads read it as "this event is complete".
    amend(event, duration=event._end(), error=error, status=status)


def end_of(event: Event) -> dt.datetime:
    """When an event ended: a packet and the like when it began, an open stream or call not before now."""
    if event.status != "open" and event.duration is None:
        return event.time
    return event.time + dt.timedelta(seconds=event.elapsed)


def weight(event: Event) -> tuple[int, int]:
    """Bytes needed to keep `event`: in memory, on disk."""
    data = event.data
    # A peer chooses the length of each of these.
    header = len(event.topic) + len(event.id) + len(event.name or "") + len(event.reply_to or "")
    header += sum(map(len, event.attachments)) + sum(len(key) + len(each) for key, each in event.attributes.items())
    memory = _OVERHEAD + header + event._answer_size
    if isinstance(data, str | bytes):
        return memory + len(data), 0
    if data is None:  # sent, failed, refused or only announced: its payload is not kept
        return memory, 0
    if event.kind == "bytes":
        return (memory, data.size) if data.on_disk else (memory + data.size, 0)
    return memory + _PARSED * (event.size or 0), 0
