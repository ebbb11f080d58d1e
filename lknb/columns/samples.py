"""`room.samples`: the newest samples of a topic as columns, with their rate, gaps and latency."""

from __future__ import annotations

import json
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from lknb import checks
from lknb.arrow import ipc, pyarrow
from lknb.columns.limits import LARGEST, UNPACKED
from lknb.columns.packing import CAPTURED, PUBLISHER, SEQUENCE
from lknb.columns.window import Window
from lknb.errors import DeliveryTimeoutError, NotConnectedError, TableError
from lknb.event import Event, Kind, decoder_of
from lknb.events import EventLog
from lknb.inert import inert_line
from lknb.interest import Interest
from lknb.live import Live
from lknb.loop import LOOP
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.replies import Reply, wait
from lknb.sql import Database
from lknb.tables import Table, room_html
from lknb.workers import Workers

WIDEST = 100_000_000

_KINDS: frozenset[Kind] = frozenset({"data", "data_track"})
_WAITING = 10_000
_WAITING_BYTES = 64 * 1024 * 1024
_SENDERS = 256
_RATE_SPAN = 5.0
_LATENCIES = 1000
_LAST = 5
_FIELDS = 12


@public
class Latency(float):
    """Seconds from a sample's capture to its arrival: the median, as a number, over the newest packets.

    It is measured from the first sample of each packet, by the clocks of both machines: between machines whose clocks
    differ, so does it.

    Attributes:
        p99: the 99th percentile.
        max: the longest.
    """

    p99: float
    max: float

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        """The latency of these packets, at least one."""
        ordered = sorted(seconds)
        latency = cls(ordered[len(ordered) // 2])
        latency.p99, latency.max = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], ordered[-1]
        return latency


class _Numbers:
    """The packets of one publisher: which have come."""

    def __init__(self, publisher: bytes, first: int) -> None:
        self.publisher = publisher
        self.next = first

    def missing(self, number: int) -> int:
        """How many packets are missing before this one; -1 for one that was counted as missing and comes late."""
        if number < self.next:
            return -1
        missing, self.next = number - self.next, number + 1
        return missing


@public
class Samples(Live, ReadOnly):
    """The newest samples of a topic, as columns. `len` is their number; `to_pandas()` and the like read them.

    They are kept as Arrow, in the types that were sent, with two columns more: `received`, the time of arrival, and
    `sender`. Packets of Arrow and of JSON are read, and others by the topic's decoder, see `Room.decode`.

    Attributes:
        topic: the topic, or the data track's name.
        packets: number of packets.
        gaps: number of packets that are missing, by the numbers of `publish_samples`.
        undecoded: number of packets that could not be read.
        error: why the last of these could not be.
        dropped: number of packets that were not read because they came too fast.
    """

    _instead = "Use to_arrow(), to_pandas() or to_polars() for its rows."
    _counted = frozenset({"packets", "gaps", "undecoded", "error", "dropped"})

    def __init__(self, log: EventLog, interest: Interest, window: int) -> None:
        self.topic = interest.topic or ""
        self.packets = self.gaps = self.undecoded = self.dropped = 0
        self.error: str | None = None
        self._interest = interest
        self._window = Window(window)
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()
        self._event_bytes = 0
        self._reading = False
        self._workers = Workers(1, f"samples-{self.topic}")
        self._numbers: dict[tuple[str, str], _Numbers] = {}
        self._rates: deque[tuple[float, int]] = deque()
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._waiting: list[tuple[int, Reply[None]]] = []
        self._is_closed = False
        # The log refers to this weakly, so that it ends when no variable refers to it any more.
        arrived = weakref.WeakMethod(self._arrived)
        unsubscribe = log.subscribe(lambda event: _pass_on(arrived, event), _KINDS)
        self._end = weakref.finalize(self, _end, unsubscribe, log.want(interest))
        self._end.atexit = False
        self._fix()

    def __len__(self) -> int:
        return len(self._window)

    def __repr__(self) -> str:
        parts = [f"{len(self):,} samples"]
        if self.rate:
            parts.append(f"{self.rate:,.0f}/s")
        for count, what in ((self.gaps, "missing packets"), (self.undecoded, "not decoded"), (self.dropped, "dropped")):
            if count:
                parts.append(f"{count:,} {what}")
        return f"<Samples {self.topic!r}: {', '.join(parts)}{', closed' if self._is_closed else ''}>"

    def _repr_html_(self) -> str:
        newest = self.to_arrow().slice(max(0, len(self) - _LAST))
        names = newest.column_names[:_FIELDS]
        rows = [tuple(str(row[name]) for name in names) for row in newest.to_pylist()]
        empty = f"No samples of {self.topic!r} yet."
        counts = room_html(f"<p>{escape(inert_line(repr(self)))}</p>")
        return counts + Table(names or ["sample"], rows, empty=empty)._repr_html_()

    @property
    def aio(self) -> AioSamples:
        """Its awaitable methods, for any event loop and for async handlers."""
        return AioSamples(self)

    @property
    def total(self) -> int:
        """Number of samples that have arrived."""
        return self._window.total

    @property
    def latest(self) -> dict[str, Any] | None:
        """The newest sample, by the names of its columns; None before the first."""
        return self._window.last()

    @property
    def rate(self) -> float:
        """Samples a second, over the last 5 seconds; 0 when none came."""
        with self._lock:
            now = time.monotonic()
            while self._rates and now - self._rates[0][0] > _RATE_SPAN:
                self._rates.popleft()
            if not self._rates:
                return 0.0
            # Not less than a second, so that a first burst does not look like a high rate.
            return sum(rows for _, rows in self._rates) / max(1.0, now - self._rates[0][0])

    @property
    def latency(self) -> Latency | None:
        """Seconds from capture to arrival, over the newest 1,000 packets that say when; None without one."""
        with self._lock:
            seconds = list(self._latencies)
        return Latency.of(seconds) if seconds else None

    def to_arrow(self) -> Any:
        """The samples as a `pyarrow.Table`."""
        return self._window.table()

    def to_pandas(self) -> Any:
        """The samples as a `pandas.DataFrame`."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """The samples as a `polars.DataFrame`.

        Raises:
            ImportError: without polars.
        """
        try:
            import polars
        except ImportError:
            raise ImportError("This needs polars: pip install polars") from None
        return polars.from_arrow(self.to_arrow())

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The samples for everything that takes Arrow, such as `polars.DataFrame(samples)`."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def sql(self, query: str) -> Any:
        """Ask DuckDB, with the samples as the table `samples`; returns a `pandas.DataFrame`.

        Raises:
            ValueError: for a query that fails; the message has the table with its columns.
            TypeError: for a query that is not a str.
            ImportError: without DuckDB: `pip install "lknb[sql]"`.

        Examples:
            >>> live = room.samples("imu")
            >>> live.sql("select sender, avg(x) from samples group by sender")
        """
        database = Database([("samples", self.to_arrow())])
        try:
            return database.ask(query)
        finally:
            database.close()

    def wait(self, rows: int = 1, timeout: float | None = 10.0) -> Samples:
        """Wait until there are at least this many samples, and return the object itself.

        Args:
            rows: the number of samples, at most the window.
            timeout: seconds to wait; None waits as long as the room is open.

        Raises:
            DeliveryTimeoutError: if there are fewer in time; also a `TimeoutError`.
            NotConnectedError: if it or the room is closed first.
            ValueError: for more samples than the window has room for.
        """
        LOOP.refuse_here("wait", "await samples.aio.wait(...)")
        wait(self._wait(rows, timeout))
        return self

    def clear(self) -> None:
        """Forget the samples and counts so far."""
        self._window.clear()
        with self._lock:
            self.packets = self.gaps = self.undecoded = self.dropped = 0
            self.error = None
            self._rates.clear()
            self._latencies.clear()

    def close(self) -> None:
        """Take no more samples; those that have arrived can still be read."""
        self._end()
        with self._lock:
            self._is_closed = True
            waiting, self._waiting = self._waiting, []
        for _, reply in waiting:
            reply.fail(NotConnectedError(f"The samples of {self.topic!r} were closed before enough had arrived."))
        self._workers.stop()

    async def _wait(self, rows: int, timeout: float | None) -> None:
        rows = checks.whole(rows, "rows", " of samples")
        if rows > self._window.most:
            raise ValueError(f"rows= is {rows:,}, but this window has room for {self._window.most:,}: set window=.")
        within = checks.seconds_or_none(timeout)
        reply: Reply[None] = Reply()
        reply.deadline = None if within is None else time.monotonic() + within
        with self._lock:
            if len(self) >= rows:
                return
            if self._is_closed:
                raise NotConnectedError(f"The samples of {self.topic!r} are closed; {len(self):,} arrived.")
            self._waiting.append((rows, reply))
        try:
            await reply
        except TimeoutError:
            raise DeliveryTimeoutError(
                f"{len(self):,} of {rows:,} samples of {self.topic!r} arrived within {within:g} s: {self!r}."
            ) from None
        finally:
            with self._lock:
                self._waiting = [each for each in self._waiting if each[1] is not reply]

    # Receiving

    def _arrived(self, event: Event) -> None:
        if event.status != "ok" or not self._interest.receives(event):
            return
        with self._lock:
            if self._is_closed:
                return
            self._events.append(event)
            self._event_bytes += event.size or 0
            while len(self._events) > 1 and (len(self._events) > _WAITING or self._event_bytes > _WAITING_BYTES):
                self._event_bytes -= self._events.popleft().size or 0
                self.dropped += 1
            begin, self._reading = not self._reading, True
        if begin:
            # Reading takes a moment, so not on the loop.
            self._workers.start(self._read_waiting)

    def _read_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._events:
                    self._reading = False
                    return
                event = self._events.popleft()
                self._event_bytes -= event.size or 0
            try:
                table = table_of(event)
                if table.num_columns:
                    self._window.add(table, int(event.time.timestamp() * 1e6), event.sender or "")
            except Exception as error:
                with self._lock:
                    self.undecoded += 1
                    self.error = str(error)[:300]
                continue
            self._count(event, table)

    def _count(self, event: Event, table: Any) -> None:
        marks = table.schema.metadata or {}
        with self._lock:
            self.packets += 1
            self._rates.append((time.monotonic(), table.num_rows))
            if len(self._rates) > 10_000:
                self._rates.popleft()
            self._note_number(event, marks)
            captured = _whole(marks.get(CAPTURED))
            if captured is not None:
                self._latencies.append(event.time.timestamp() - captured / 1e9)
            ready = [reply for rows, reply in self._waiting if len(self) >= rows]
        for reply in ready:
            reply.settle(None)

    def _note_number(self, event: Event, marks: Mapping[bytes, bytes]) -> None:
        number, publisher = _whole(marks.get(SEQUENCE)), marks.get(PUBLISHER, b"")[:64]
        if number is None:
            return
        key = (event.sender or "", event.kind)
        known = self._numbers.get(key)
        if known is None or known.publisher != publisher:
            if known is None and len(self._numbers) >= _SENDERS:
                return
            known = self._numbers[key] = _Numbers(publisher, number)
        self.gaps = max(0, self.gaps + known.missing(number))


class AioSamples:
    """The awaitable methods of `Samples`, for any event loop and for async handlers."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    async def wait(self, rows: int = 1, timeout: float | None = 10.0) -> Samples:
        """Wait until there are at least this many samples; see `Samples.wait`."""
        await LOOP.steps(self._samples._wait(rows, timeout))
        return self._samples


def table_of(event: Event) -> Any:
    """The rows in a packet or a frame, as a `pyarrow.Table`.

    Raises:
        TableError: if there are none.
    """
    found = rows_of(event)
    return as_table(found) if isinstance(found, list) else found


def rows_of(event: Event) -> Any:
    """The rows in a packet or a frame: a list of dicts, or a `pyarrow.Table`.

    Raises:
        TableError: if there are none.
    """
    data = event.data
    if decoder_of(event) is not None:
        if event.value_error is not None:
            raise TableError(event.value_error)
        return _rows_in(event.value)
    if isinstance(data, bytes) and data.startswith((ipc.STREAM, ipc.FILE)):
        return ipc.read_table(data, UNPACKED)
    if len(data) > LARGEST:
        raise TableError(f"{len(data):,} bytes; the limit is {LARGEST:,}")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise TableError("neither Arrow nor JSON: say how to read it with room.decode") from None
    return _rows_in(value)


def _rows_in(value: Any) -> Any:
    if isinstance(value, pyarrow().Table):
        return value
    if isinstance(value, int | float | str | bool):
        value = {"value": value}
    rows = list(value) if isinstance(value, list | tuple) else [value]
    if rows and not any(isinstance(row, Mapping) for row in rows):
        rows = [{"value": row} for row in rows]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise TableError(f"{type(value).__name__} instead of an object of values, or a list of them")
    return rows


def as_table(rows: list[Mapping[Any, Any]]) -> Any:
    """Rows as a `pyarrow.Table`.

    Raises:
        TableError: for more than 1,000 names, and for values that have no column in common.
    """
    pa = pyarrow()
    names = dict.fromkeys(str(name) for row in rows for name in row)
    if len(names) > 1000:
        raise TableError(f"{len(names):,} names in one packet; the limit is 1,000")
    try:
        return pa.table({name: _column(pa, [row.get(name) for row in rows]) for name in names})
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise TableError(f"no columns: {str(error)[:200]}") from None


def _column(pa: Any, values: list[Any]) -> Any:
    if all(each is None or (isinstance(each, int | float) and not isinstance(each, bool)) for each in values):
        return pa.array([None if each is None else _float(each) for each in values], pa.float64())
    return pa.array(values)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _whole(text: bytes | None) -> int | None:
    return int(text) if text is not None and len(text) <= 20 and text.isdigit() else None


def _pass_on(arrived: weakref.WeakMethod[Any], event: Event) -> None:
    method = arrived()
    if method is not None:
        method(event)


def _end(unsubscribe: Callable[[], None], withdraw: Callable[[], None]) -> None:
    unsubscribe()
    withdraw()
