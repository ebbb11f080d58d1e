"""One record for all that happens in a room: `Event`, the bounded log of them, and listening to it.

Handlers, inboxes, feeds and DataFrames are all readers of the log, and none of them is special.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, overload

from lknb.errors import did_you_mean
from lknb.tables import Table

if TYPE_CHECKING:
    import pandas
    import pyarrow

Kind = Literal[
    "text",
    "bytes",
    "rpc",
    "data",
    "track",
    "attributes",
    "metadata",
    "room_metadata",
    "participant",
    "connection",
    "loss",
]
Direction = Literal["in", "out"]
Status = Literal["open", "ok", "failed", "dropped"]

KINDS: tuple[str, ...] = Kind.__args__  # type: ignore[attr-defined]

# The state of the room is news whoever changed it; of messages, a participant listens to those of others.
STATE_KINDS = frozenset({"attributes", "metadata", "room_metadata", "participant", "connection", "loss"})

MAX_EVENTS = 10_000
MAX_BYTES = 64 * 1024 * 1024
# Files on disk that the log keeps readable; beyond it the oldest events go.
MAX_SPOOLED = 4 * 1024 * 1024 * 1024
_SHOWN = 50  # of a log that is displayed
_OVERHEAD = 600  # an Event's own objects, roughly

_numbers = itertools.count(1)
_logger = logging.getLogger("lknb")


def now() -> dt.datetime:
    """The current time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


@dataclass(slots=True, eq=False)
class Event:
    """Something that happened in a room.

    Attributes:
        kind: `text`, `bytes`, `rpc`, `data`, `track`, `attributes`, `metadata`, `room_metadata`, `participant`,
            `connection` or `loss`.
        direction: `in` or `out`, seen from this participant.
        sender: the identity it came from; None when a server API sent it, or the room itself.
        to: the identities it was sent to; empty for everybody.
        topic: the topic; for `rpc` the method, for `track` the track's name, for `participant` and `connection`
            what happened to it.
        data: str for `text` and metadata, `ReceivedFile` for `bytes`, bytes for `data` and `track`, the changed keys
            as a dict for `attributes` (a deleted one has the value ""), the payload for `rpc`, details as a dict for
            `participant`, `connection` and `loss`.
        size: the payload's bytes; while a stream is open, its announced size or None.
        transferred: the bytes of a stream that have moved so far.
        attributes: a stream's attributes; of a call that failed, the `code` of its error and, if any, the `data`.
        status: `open` while a stream or call is under way, then `ok` or `failed`; `dropped` when it was let go.
        error: why it failed or was dropped.
        duration: seconds from its beginning to its end, for streams and calls.
        result: the answer of a call.
        timestamp: the sender's own timestamp on a data track's frame, in the sender's unit.
        reliable: for `data`, whether it was sent reliably.
        reply_to: the id of the text stream that this one answers.
        edits: the id of the text that this one takes the place of; that counts only from the same sender.
        version: of a text that takes another's place, the sender's count of its edits.
        attachments: the ids of the byte streams that belong to this text.
        name: the file name of a byte stream, from its beginning; that of an incoming one as one safe path component.
        id: the stream's id, or a number of this kernel's.
        number: counts the events of this kernel, and is unique among them.
        time: when it began, aware, by this machine's clock.
    """

    kind: Kind
    direction: Direction
    sender: str | None = None
    to: tuple[str, ...] = ()
    topic: str = ""
    data: Any = None
    size: int | None = None
    transferred: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    status: Status = "ok"
    error: str | None = None
    duration: float | None = None
    result: Any = None
    timestamp: int | None = None
    reliable: bool | None = None
    reply_to: str | None = None
    edits: str | None = None
    version: int | None = None
    attachments: tuple[str, ...] = ()
    name: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    id: str = ""
    time: dt.datetime = field(default_factory=now)
    _started: float = field(default_factory=monotonic, repr=False)
    _partial: Callable[[], Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.id = self.id or f"event-{self.number}"

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
            # repr() escapes control characters, so that what a peer sent cannot steer a terminal.
            preview = repr(self.data if not isinstance(self.data, str | bytes) else self.data[:60])
            parts.append(preview if len(preview) <= 80 else preview[:77] + "...")
        return f"<Event {' '.join(parts)}>"

    def so_far(self) -> Any:
        """The payload; of a stream that is under way, what has moved of it, if that is text."""
        partial = self._partial
        return partial() if partial is not None and self.status == "open" else self.data

    def text(self) -> str | None:
        """The payload as text, where it is text: a string, UTF-8 bytes, a dict as JSON; of a byte stream its name."""
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


def weight(event: Event) -> tuple[int, int]:
    """The bytes that keeping `event` costs: in memory, on disk."""
    data = event.data
    if isinstance(data, str | bytes):
        return len(data) + _OVERHEAD, 0
    if event.kind == "bytes" and data is not None:
        return (_OVERHEAD, data.size) if data.on_disk else (data.size + _OVERHEAD, 0)
    if event.kind in ("text", "bytes"):
        return _OVERHEAD, 0  # sent, broken off, or announced: nothing of it is kept, however large
    size = event.size or 0
    if event.kind == "rpc":
        size += sum(map(len, event.attributes.values()))
    if isinstance(event.result, str):
        size += len(event.result)
    return size + _OVERHEAD, 0


class Events(Sequence[Event]):
    """A sequence of events, oldest first, with filters and tables."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events: Sequence[Event] = list(events)

    def _snapshot(self) -> Sequence[Event]:
        return self._events

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._snapshot())

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Events: ...
    def __getitem__(self, index: int | slice) -> Event | Events:
        events = self._snapshot()
        return Events(events[index]) if isinstance(index, slice) else events[index]

    def __repr__(self) -> str:
        lines = [f"<{len(self)} events>", *(f"  {event!r}" for event in self._snapshot()[-10:])]
        if len(self) > 10:
            lines.insert(1, f"  ... {len(self) - 10} before these")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        events = self._snapshot()
        rows = [
            (
                event.time,
                event.kind,
                event.direction,
                event.sender,
                ", ".join(event.to),
                event.topic,
                _preview(event),
                event.size,
                event.status if event.error is None else f"{event.status}: {event.error}",
            )
            for event in events[-_SHOWN:]
        ]
        note = f"The newest {_SHOWN} of {len(events):,}; to_pandas() has all." if len(events) > _SHOWN else ""
        columns = ("time", "kind", "direction", "sender", "to", "topic", "data", "bytes", "status")
        return Table(columns, rows, empty="No events.", note=note)._repr_html_()

    def filter(
        self,
        kind: str | Iterable[str] | None = None,
        topic: str | None = None,
        sender: str | None = None,
        direction: Direction | None = None,
        status: Status | None = None,
        since: dt.datetime | None = None,
    ) -> Events:
        """The events that match everything given.

        Args:
            kind: one kind, or several.
            topic: the exact topic, method or track name.
            sender: an identity.
            direction: `in` or `out`.
            status: `open`, `ok`, `failed` or `dropped`.
            since: an aware datetime; events that began then or later.

        Raises:
            ValueError: for a kind that does not exist.
        """
        kinds = checked_kinds(kind)
        return Events(
            event
            for event in self._snapshot()
            if (kinds is None or event.kind in kinds)
            and (topic is None or event.topic == topic)
            and (sender is None or event.sender == sender)
            and (direction is None or event.direction == direction)
            and (status is None or event.status == status)
            and (since is None or event.time >= since)
        )

    def columns(self) -> dict[str, list[Any]]:
        """The events as tidy columns, one row each: plain Python values, in the order of the table's columns."""
        events = self._snapshot()
        return {
            "time": [event.time for event in events],
            "kind": [event.kind for event in events],
            "direction": [event.direction for event in events],
            "sender": [event.sender for event in events],
            "to": [list(event.to) for event in events],
            "topic": [event.topic for event in events],
            "text": [event.text() for event in events],
            "data": [event.data if isinstance(event.data, bytes) else None for event in events],
            "result": [None if event.result is None else _json(event.result) for event in events],
            "size": [event.size for event in events],
            "status": [event.status for event in events],
            "error": [event.error for event in events],
            "duration": [event.duration for event in events],
            "timestamp": [event.timestamp for event in events],
            "attributes": [_json(event.attributes) if event.attributes else None for event in events],
            "id": [event.id for event in events],
        }

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame with a row for each event; `time` is aware, sizes are bytes, durations seconds.

        Text is in `text` (dicts as JSON, a file's name), raw payloads of packets and frames in `data`.

        Raises:
            ImportError: without pandas (`pip install "lknb[data]"`).
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError('to_pandas() needs pandas: pip install "lknb[data]"') from error
        # Said for each column, for two reasons: pandas would guess another type for an empty column or one of Nones,
        # and take integers with gaps for floats, which cannot hold a timestamp in nanoseconds.
        types = {"kind": "category", "direction": "category", "status": "category", "size": "Int64"}
        types |= {"timestamp": "UInt64", "duration": "float64", "to": "object", "data": "object"}
        columns = self.columns()
        times = pandas.to_datetime(pandas.Series(columns.pop("time"), dtype="object"), utc=True)
        frame = {name: pandas.Series(values, dtype=types.get(name, "string")) for name, values in columns.items()}
        return pandas.DataFrame({"time": times, **frame})

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table with the columns of `to_pandas`.

        Raises:
            ImportError: without pyarrow (`pip install "lknb[data]"`).
        """
        try:
            import pyarrow as pa
        except ImportError as error:
            raise ImportError('to_arrow() needs pyarrow: pip install "lknb[data]"') from error
        text, types = (
            pa.string(),
            {
                "time": pa.timestamp("us", tz="UTC"),
                "to": pa.list_(pa.string()),
                "data": pa.binary(),
                "size": pa.int64(),
                "duration": pa.float64(),
                "timestamp": pa.uint64(),
            },
        )
        columns = self.columns()
        return pa.table({name: pa.array(values, types.get(name, text)) for name, values in columns.items()})


Reader = Callable[[Event], None]


class EventLog(Events):
    """The newest events of a room: at most 10 000, 64 MiB in memory and 4 GiB of received files on disk.

    Attributes:
        evicted: how many older events have been let go to stay within that.
    """

    def __init__(
        self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES, max_spooled: int = MAX_SPOOLED
    ) -> None:
        self._kept: deque[tuple[Event, int, int]] = deque()
        self._max_events, self._max_bytes, self._max_spooled = max_events, max_bytes, max_spooled
        self._bytes = self._spooled = 0
        self._total = 0
        # Events come from the loop thread, and from whichever thread pushes a frame or reads the log.
        # Re-entrant: an inbox may be collected, and end its subscription, anywhere.
        self._lock = threading.RLock()
        self._readers: tuple[Reader, ...] = ()

    @property
    def evicted(self) -> int:
        """How many older events have been let go."""
        return self._total - len(self._kept)

    @property
    def total(self) -> int:
        """How many events there have been in all."""
        return self._total

    def _snapshot(self) -> list[Event]:
        with self._lock:
            return [event for event, _, _ in self._kept]

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Events: ...
    def __getitem__(self, index: int | slice) -> Event | Events:
        if isinstance(index, slice):
            return Events(self._snapshot()[index])
        with self._lock:
            return self._kept[index][0]

    def __repr__(self) -> str:
        gone = f", {self.evicted:,} older ones let go" if self.evicted else ""
        return super().__repr__().replace(" events>", f" events{gone}>", 1)

    def add(self, event: Event) -> Event:
        """Append an event and tell the readers."""
        memory, disk = weight(event)
        with self._lock:
            self._kept.append((event, memory, disk))
            self._bytes += memory
            self._spooled += disk
            self._total += 1
            self._trim()
        self._tell(event)
        return event

    def finish(self, event: Event, status: Status = "ok", error: str | None = None) -> None:
        """End an open event, and tell the readers once more."""
        event.duration = monotonic() - event._started
        event.error, event._partial = error, None
        event.status = status  # the last of them: other threads take it for the sign that all is there
        memory, disk = weight(event)
        with self._lock:
            # A stream ends near the end of the log; one that was evicted meanwhile is not found, and costs nothing.
            for index in range(len(self._kept) - 1, -1, -1):
                kept, old_memory, old_disk = self._kept[index]
                if kept is event:
                    self._kept[index] = (event, memory, disk)
                    self._bytes += memory - old_memory
                    self._spooled += disk - old_disk
                    break
            self._trim()
        self._tell(event)

    def _trim(self) -> None:
        while len(self._kept) > 1 and (
            len(self._kept) > self._max_events or self._bytes > self._max_bytes or self._spooled > self._max_spooled
        ):
            _, memory, disk = self._kept.popleft()
            self._bytes -= memory
            self._spooled -= disk

    def _tell(self, event: Event) -> None:
        for reader in self._readers:
            try:
                reader(event)
            except Exception:  # one reader's fault shall not keep the event from the others
                _logger.exception("A reader of the event log failed")

    def subscribe(self, reader: Reader) -> Callable[[], None]:
        """Call `reader` with each event as it is added, and again when an open one ends; returns the way to stop."""
        with self._lock:
            self._readers = (*self._readers, reader)

        def unsubscribe() -> None:
            with self._lock:
                self._readers = tuple(other for other in self._readers if other is not reader)

        return unsubscribe


def checked_kinds(kind: str | Iterable[str] | None) -> frozenset[str] | None:
    """One kind or several as a set; None, for all of them, stays None."""
    if kind is None:
        return None
    kinds = frozenset([kind] if isinstance(kind, str) else kind)
    for name in sorted(kinds):
        if name not in KINDS:
            raise ValueError(f"{name!r} is not a kind of event{did_you_mean(name, KINDS)} Kinds: {', '.join(KINDS)}.")
    return kinds


def _preview(event: Event) -> str:
    text = event.text()
    return repr(event.data)[:200] if text is None and event.data is not None else text or ""


def _json(value: Mapping[str, Any] | Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
