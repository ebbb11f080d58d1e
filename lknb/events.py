"""Sequences of events: `EventLog`, the bounded log of a room, and `Events`, the result of a filter or slice.

Handlers, inboxes, feeds and DataFrames all read the same log.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from lknb import checks, event_table, values
from lknb.decoding import DECODED_KINDS, Decoders
from lknb.event import (
    DIRECTIONS,
    KINDS,
    STATUSES,
    Direction,
    Event,
    Kind,
    Status,
    amend,
    decoder_of,
    set_decoders,
    set_ended,
    weight,
)
from lknb.interest import Interest
from lknb.live import Live
from lknb.participants import Participant
from lknb.public import public
from lknb.sql import EVENTS, Database, names
from lknb.tables import Table

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

MAX_EVENTS = 10_000
MAX_BYTES = 64 * 1024 * 1024
# Bytes of received files kept on disk; beyond this, the oldest events are evicted.
MAX_SPOOLED = 4 * 1024 * 1024 * 1024
_logger = logging.getLogger("lknb")


class LazyEvents(Sequence[Event]):
    """Events that are made when they are needed, such as those in a file."""

    @abstractmethod
    def where(self, interest: Interest, condition: Callable[[Event], bool]) -> LazyEvents:
        """The events of this interest for which `condition`, which is called without their payloads, is true."""

    @abstractmethod
    def decoded_topics(self) -> list[str]:
        """The topics that have a decoder."""


@public
class Events(Sequence[Event]):
    """A sequence of events, oldest first, with filters and tables."""

    _shown = 50  # rows when it is displayed

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events: Sequence[Event] = list(events)

    @staticmethod
    def of(events: Sequence[Event]) -> Events:
        """The events of a sequence that is not copied, such as one that reads them from a file when they are needed."""
        made = Events()
        made._events = events
        return made

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
        return Events.of(events[index]) if isinstance(index, slice) else events[index]

    def __repr__(self) -> str:
        lines = [f"<{self._count()}>", *(f"  {event!r}" for event in self._snapshot()[-10:])]
        if len(self) > 10:
            lines.insert(1, f"  ... {len(self) - 10} older")
        return "\n".join(lines)

    def _count(self) -> str:
        return f"{len(self)} events"

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
            for event in events[-self._shown :]
        ]
        more = len(events) > self._shown
        note = f"The newest {self._shown} of {len(events):,}; to_pandas() has all." if more else ""
        columns = ("time", "kind", "direction", "sender", "to", "topic", "data", "bytes", "status")
        return Table(columns, rows, empty="No events.", note=note)._repr_html_()

    def filter(
        self,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
        *,
        direction: Direction | None = None,
        status: Status | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> Events:
        """The events that match every argument.

        Args:
            kind: one kind or several.
            topic: the exact topic, method or track name.
            sender: an identity or a `Participant`.
            direction: `in` or `out`.
            status: `open`, `ok`, `failed` or `dropped`.
            since: a timezone-aware datetime; only events that started then or later.
            until: a timezone-aware datetime; only events that started before.

        Raises:
            TypeError: for an argument of another type.
            ValueError: for an unknown kind, direction or status, and for a datetime without a timezone.

        Examples:
            >>> frame = room.events.filter("rpc", direction="in").to_pandas()
            >>> room.events.filter(["text", "bytes"], status="failed")
        """
        interest = Interest.of(kind, topic, sender)
        if direction is not None:
            checks.choice(direction, "direction", DIRECTIONS)
        if status is not None:
            checks.choice(status, "status", STATUSES)
        for argument, moment in (("since", since), ("until", until)):
            if moment is not None:
                checks.moment(moment, argument)

        def wanted(event: Event) -> bool:
            return (
                (direction is None or event.direction == direction)
                and (status is None or event.status == status)
                and (since is None or event.time >= since)
                and (until is None or event.time < until)
            )

        events = self._snapshot()
        if isinstance(events, LazyEvents):
            return Events.of(events.where(interest, wanted))
        return Events(event for event in events if interest.matches(event) and wanted(event))

    def columns(self) -> dict[str, list[Any]]:
        """The events as columns of plain Python values, with the names and the order of `to_pandas`."""
        return event_table.columns(self._snapshot())

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame with a row for each event. Times are timezone-aware, sizes in bytes, durations in seconds.

        `text` contains text (dicts as JSON, a file's name), `data` the raw payloads of packets and frames. If topics
        have a decoder (see `Room.decode`), the fields of their values are columns such as `value.x`, at most 64;
        `value_more` counts those of an event without a column, and `value_error` says why a payload was not read.

        Raises:
            ImportError: without pandas (`pip install "lknb[data]"`).
        """
        return event_table.to_pandas(self._snapshot())

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table with the columns of `to_pandas`.

        Raises:
            ImportError: without pyarrow (`pip install "lknb[data]"`).
        """
        return self._batches().read_all()

    def to_polars(self) -> polars.DataFrame:
        """A `polars.DataFrame` with the columns of `to_pandas`.

        Raises:
            ImportError: without polars, or without pyarrow (`pip install "lknb[data]"`).
        """
        try:
            import polars
        except ImportError as error:
            raise ImportError("to_polars() needs polars: pip install polars") from error
        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The columns of `to_arrow`, batch by batch, for what takes Arrow: DuckDB by name, `pyarrow.table(run)`."""
        return self._batches().__arrow_c_stream__(requested_schema)

    def sql(self, query: str) -> pandas.DataFrame:
        """Ask DuckDB, with the events as the table `events`, which has the columns of `to_arrow`.

        Each topic with a decoder (see `Room.decode`) is a table too, named after the topic, with the columns `time`,
        `sender`, `direction` and `kind`, and the fields of its values. A name that is not a plain word needs double
        quotes. Events of any number take little memory: DuckDB moves to the disk what is too large.

        Args:
            query: the query, in DuckDB's SQL.

        Raises:
            ValueError: for a query that fails; the message has the tables with their columns.
            TypeError: for a query that is not a str.
            ImportError: without DuckDB (`pip install "lknb[sql]"`), pandas or pyarrow (`pip install "lknb[data]"`).

        Examples:
            >>> room.events.sql("select sender, count(*) from events group by sender")

        See https://duckdb.org/docs/stable/sql/introduction.
        """
        database = self._database()
        try:
            return database.ask(query)
        finally:
            database.close()

    def _database(self) -> Database:
        return Database(self._tables())

    def _tables(self) -> Iterator[tuple[str, Any]]:
        yield EVENTS, self._batches()
        for topic, name in names(self._decoded_topics()).items():
            yield name, event_table.topic_batches(self.filter(DECODED_KINDS, topic)._snapshot())

    def _batches(self) -> Any:
        return event_table.batches(self._snapshot(), decoded=bool(self._decoded_topics()))

    def _decoded_topics(self) -> list[str]:
        """The topics that have a decoder."""
        events = self._snapshot()
        if isinstance(events, LazyEvents):
            return events.decoded_topics()
        return list(dict.fromkeys(event.topic for event in events if decoder_of(event)))


Reader = Callable[[Event], None]
Part = Literal["piece", "request", "answer"]
"""What passes the wire: a piece of a stream, or the text of a call's payload or answer."""

WireReader = Callable[[Event, Part, str | bytes], None]


@public
class EventLog(Live, Events):
    """The newest events of a room: at most 10,000 events, 64 MiB in memory and 4 GiB of received files on disk.

    Attributes:
        evicted: how many older events were removed to stay within these limits.
        decoders: how the payloads of its events are read; `room.decode` sets them.
    """

    _instead = "Use room.events[:], which has the events as they are now, or list(room.events)."

    def __init__(
        self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES, max_spooled: int = MAX_SPOOLED
    ) -> None:
        self.decoders = Decoders()
        self._kept: deque[tuple[Event, int, int]] = deque()
        self._max_events, self._max_bytes, self._max_spooled = max_events, max_bytes, max_spooled
        self._open: dict[int, int] = {}  # how many events had been added before each open one
        self._bytes = self._spooled = 0
        self._total = 0
        # Events come from the loop thread and from any thread that pushes a frame; any thread reads the log.
        # Re-entrant: an inbox may be garbage-collected at any point, and then unsubscribes.
        self._lock = threading.RLock()
        self._readers: tuple[tuple[Reader, Collection[str]], ...] = ()
        self._readers_of: dict[str, tuple[Reader, ...]] = {}
        self._wire_readers: tuple[WireReader, ...] = ()
        self._interests: tuple[Interest, ...] = ()
        self._interests_changed: Callable[[], Any] = lambda: None

    @property
    def evicted(self) -> int:
        """How many older events were removed to stay within the limits."""
        return self._total - len(self._kept)

    @property
    def total(self) -> int:
        """How many events were ever added."""
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
            return Events.of(self._snapshot()[index])
        with self._lock:
            return self._kept[index][0]

    def _count(self) -> str:
        evicted = f", {self.evicted:,} older ones evicted" if self.evicted else ""
        return super()._count() + evicted

    def _decoded_topics(self) -> list[str]:
        return list(dict.fromkeys(decoder.topic for decoder in self.decoders))

    def add(self, event: Event) -> Event:
        """Append an event and pass it to the readers."""
        set_decoders(event, self.decoders)
        memory, disk = weight(event)
        with self._lock:
            self._kept.append((event, memory, disk))
            if event.status == "open":
                self._open[event.number] = self._total
            self._bytes += memory
            self._spooled += disk
            self._total += 1
            self._trim()
        self._notify(event)
        return event

    def finish(self, event: Event, status: Status = "ok", error: str | None = None) -> None:
        """End an open event, and pass it to the readers again."""
        set_ended(event, status, error)
        memory, disk = weight(event)
        with self._lock:
            index = self._open.pop(event.number, -1) - self.evicted
            if index >= 0:  # else it was evicted, and no longer counts
                _, old_memory, old_disk = self._kept[index]
                self._kept[index] = (event, memory, disk)
                self._bytes += memory - old_memory
                self._spooled += disk - old_disk
            self._trim()
        self._notify(event)

    def revise(self, event: Event, error: str) -> None:
        """Mark an event as failed that had ended well, and pass it to the readers again."""
        amend(event, error=error, status="failed")
        self._notify(event)

    def _trim(self) -> None:
        while len(self._kept) > 1 and (
            len(self._kept) > self._max_events or self._bytes > self._max_bytes or self._spooled > self._max_spooled
        ):
            _, memory, disk = self._kept.popleft()
            self._bytes -= memory
            self._spooled -= disk

    def _notify(self, event: Event) -> None:
        for reader in self._readers_of.get(event.kind, ()):
            try:
                reader(event)
            except Exception:  # a failing reader must not keep the event from the others
                _logger.exception("A reader of the event log failed")

    def passed(self, event: Event, part: Part, content: str | bytes) -> None:
        """Pass what was sent or received of an open event to those who read it as it is on the wire."""
        for reader in self._wire_readers:
            try:
                reader(event, part, content)
            except Exception:
                _logger.exception("A reader of the wire failed")

    def subscribe_wire(self, reader: WireReader) -> Callable[[], None]:
        """Call `reader` with the pieces of streams and the texts of calls, between the two calls of `subscribe`.

        Returns a function that unsubscribes.
        """
        with self._lock:
            self._wire_readers = (*self._wire_readers, reader)

        def unsubscribe() -> None:
            with self._lock:
                self._wire_readers = tuple(other for other in self._wire_readers if other is not reader)

        return unsubscribe

    def want(self, interest: Interest) -> Callable[[], None]:
        """Have the room receive these events, even if they need a subscription, as data tracks do.

        Returns a function that withdraws the interest.
        """
        with self._lock:
            self._interests = (*self._interests, interest)
        self._interests_changed()

        def withdraw() -> None:
            with self._lock:
                kept = list(self._interests)
                if interest in kept:
                    kept.remove(interest)
                self._interests = tuple(kept)
            self._interests_changed()

        return withdraw

    @property
    def interests(self) -> tuple[Interest, ...]:
        """The interests passed to `want` that have not been withdrawn."""
        return self._interests

    def on_interests(self, callback: Callable[[], Any]) -> None:
        """Call `callback()`, from any thread, when `interests` have changed."""
        self._interests_changed = callback

    def subscribe(self, reader: Reader, kinds: Collection[Kind] | None = None) -> Callable[[], None]:
        """Call `reader` with each event, or each of these kinds, as it is added, and again when an open event ends.

        Returns a function that unsubscribes.
        """
        subscription = (reader, KINDS if kinds is None else kinds)
        with self._lock:
            self._set_readers((*self._readers, subscription))

        def unsubscribe() -> None:
            with self._lock:
                self._set_readers(tuple(other for other in self._readers if other is not subscription))

        return unsubscribe

    def _set_readers(self, readers: tuple[tuple[Reader, Collection[str]], ...]) -> None:
        self._readers = readers
        # Replaced as a whole, because `_notify` reads it without the lock.
        self._readers_of = {kind: tuple(reader for reader, kinds in readers if kind in kinds) for kind in KINDS}


def _preview(event: Event) -> str:
    if decoder_of(event) is not None and event.status != "open":
        error = event.value_error
        return values.as_json(event.value, 400)[:200] if error is None else f"not decoded: {error}"
    text = event.text()
    return repr(event.data)[:200] if text is None and event.data is not None else text or ""
