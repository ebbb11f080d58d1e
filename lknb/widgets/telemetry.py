"""Telemetry: numbers in packets and data tracks as live lines and as a live table, over a rolling window.

The browser draws lines with uPlot, which lknb contains, and the table with perspective, from perspective-python. Both
run in the page: the kernel only pushes new samples, so lines keep moving while a cell computes.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import math
import sys
import threading
from array import array
from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import TYPE_CHECKING, Any

from lknb import checks
from lknb.decoding import UndecodableError
from lknb.defaults import TELEMETRY_WINDOW
from lknb.errors import LknbError
from lknb.event import Event, Kind, decoder_of
from lknb.inert import inert, inert_line
from lknb.interest import Interest
from lknb.participants import Participant
from lknb.public import public
from lknb.tables import Table, plain, time_of_day
from lknb.widgets.modules import bundled
from lknb.widgets.part import Json, RoomPart, Rows
from lknb.widgets.rate import RollingRate
from lknb.widgets.rows import BatchRow, Library, TelemetryValues
from lknb.widgets.samples import (
    ArrowColumns,
    Decoder,
    Row,
    arrow_columns,
    is_arrow,
    make_decoder,
    rows_from_value,
    seconds,
)
from lknb.widgets.telemetry_window import TelemetryWindow
from lknb.widgets.widget import RoomWidget

if TYPE_CHECKING:
    from lknb.room import Room

WIDEST_WINDOW = 200_000
"""Samples in a window at most."""

FIELDS = 64
"""Fields that are shown. Further fields are counted, and some are named."""

SOURCES = 256
"""Pairs of sender and topic that are distinguished."""

RATE = 600_000
"""Bytes per second sent to browsers at most. Above it, only every second sample is sent, every third, and so on."""

SNAPSHOT = 2_000_000
"""Bytes of a snapshot at most. From a larger window, a browser that joins later receives the newest samples."""

_UPLOT = Path(__file__).parent / "uplot"
_KINDS: frozenset[Kind] = frozenset({"data", "data_track"})
_RESERVED = ("time", "sender", "topic")
_INTERNAL = ("psp_", "__")  # perspective's own columns
_VALUE = 8 * 4 / 3  # bytes of a number in base64
_STATIC = 10
_FIELDS_STATIC = 8
_FAR = 7.3e9  # the year 2201
_LATE = 60.0  # seconds of difference after which a sender's own clock is set again
_EXACT = 2**53
_RATE_SPAN = 1.0
_RATE_POLL = 0.3


class TelemetryPart(RoomPart):
    """The numbers in one room's packets and frames, over a rolling window.

    Args:
        room: the room to show.
        fields: only these fields, or the fields below them; all if none are given.
        kind: only this kind of event, or these; packets and frames if None.
        topic: only this topic or track name.
        sender: only from this identity.
        decoder: how to read payloads, see `samples.Decoder`; None uses what `room.decode` has set for their topic, and
            otherwise detects the format.
        window: how many samples to keep and show.
        time: the field with a sample's own time; None uses the time of arrival.
        subscribe: whether to subscribe to data tracks immediately, instead of when a browser first shows this.

    Raises:
        TypeError: for a field that is not a str.
        ValueError: for an unknown kind, a window out of range, or an invalid struct format.
    """

    name = "telemetry"
    title = "Telemetry"
    tab = "Telemetry"

    def __init__(
        self,
        room: Room,
        *fields: str,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
        decoder: Decoder | None = None,
        window: int = TELEMETRY_WINDOW,
        time: str | None = None,
        subscribe: bool = False,
    ) -> None:
        super().__init__(room)
        window = checks.whole(window, "window", " of samples", most=WIDEST_WINDOW)
        for field in fields:
            checks.text(field, "The name of a field")
        if time is not None:
            checks.text(time, "time", "It names the field with a sample's time.")
        self._interest = Interest.of(_KINDS if kind is None else kind, topic, sender)
        named_by_struct = isinstance(decoder, str) and fields
        self._decode = make_decoder(decoder, fields if named_by_struct else ())
        self._of_topic = decoder is None
        self._only, self._time, self._window, self._subscribe = fields, time, window, subscribe
        self._batches: Rows[BatchRow] = Rows(lambda row: row, limit=16)
        self.rows = {"batches": self._batches}
        self.actions = {"plotter": self.plotter, "library": self.library, "clear": self.clear}
        # Events come from the loop thread, and from any thread that pushes a frame.
        self._lock = threading.RLock()
        self._samples = TelemetryWindow(window)
        self._fields: dict[str, None] = {}
        self._refused: dict[str, None] = {}
        self._sources: dict[tuple[str, str], int] = {}
        self._clocks: dict[int, float] = {}
        self._arrivals: dict[int, float] = {}
        self._units: dict[str, str] = {}
        self._total = self._sent_total = self._thinned = 0
        self._undecoded, self._reason = 0, ""
        self._batch = 0
        self._sent_fields = 0
        self._flushed = 0.0
        self._rate = RollingRate(_RATE_SPAN)
        self._early: set[int] | None = None
        self._end: list[Callable[[], None]] = []
        self._wants = False

    @property
    def poll_after(self) -> float | None:
        """While there is a rate, because no event announces that it falls."""
        return _RATE_POLL if self._rate.per_second(_RATE_SPAN) else None

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log, starting with the events that it already has."""
        super().start(changed)
        self._early = set()
        self._end.append(self.room.events.subscribe(self._happened))
        with self._lock:
            early, self._early = self._early, None
            for event in [each for each in self.room.events[:] if self._covers(each)][-self._window :]:
                if event.number not in early:
                    self._take(event)
        if self._subscribe:
            self._want()

    def stop(self) -> None:
        """Stop following."""
        with self._lock:
            self._wants = True  # otherwise a snapshot in progress would subscribe again
            while self._end:
                self._end.pop()()

    def _want(self) -> None:
        with self._lock:
            if not self._wants:
                self._wants = True
                self._end.append(self.room.events.want(self._interest))

    # Receiving

    def _covers(self, event: Event) -> bool:
        return event.status == "ok" and self._interest.matches(event)

    def _happened(self, event: Event) -> None:
        if not self._covers(event):
            return
        with self._lock:
            if self._early is not None:
                self._early.add(event.number)
            self._take(event)
        self.changed()

    def _take(self, event: Event) -> None:
        try:
            if self._of_topic and is_arrow(event.data) and decoder_of(event) is None:
                self._take_columns(event, arrow_columns(event.data))
                return
            rows = rows_from_value(event) if self._of_topic and decoder_of(event) else self._decode(event.data)
            timed = [self._split(row, event) for row in rows]
            if rows and not any(row for _, row in timed):
                raise UndecodableError("no numbers")
        except UndecodableError as error:
            self._failed(event, str(error))
            return
        except Exception as error:  # a user's decoder may raise anything
            self._failed(event, f"{type(error).__name__}: {error}")
            return
        source = self._source(event.sender or "", event.topic)
        arrival = event.time.timestamp()
        self._sort_in(source, arrival, [(time, row) for time, row in timed if row])

    def _take_columns(self, event: Event, table: ArrowColumns) -> None:
        columns = {}
        for field, column in table.columns.items():
            name = None if field == self._time else self._named(field)
            if name is not None:
                columns[name] = column
                if field in table.units:
                    self._units[name] = inert_line(table.units[field])
        if not columns:
            raise UndecodableError("no numbers")
        source, arrival = self._source(event.sender or "", event.topic), event.time.timestamp()
        own: Any = table.times.get(self._time or "") or table.columns.get(self._time or "")
        moments = self._spread(source, arrival, table.rows)
        if own is not None:
            moments = [
                spread if (time := seconds(each)) is None else self._moment(source, time, arrival)
                for each, spread in zip(own, moments, strict=True)
            ]
        self._samples.add_columns(array("d", [moment * 1000 for moment in moments]), source, columns)
        self._total += table.rows

    def _failed(self, event: Event, reason: str) -> None:
        self._undecoded += 1
        source = f"{event.kind} {event.topic!r} from {event.sender or 'the server'}"
        self._reason = inert_line(f"{source[:120]}: {reason[:300]}")

    def _split(self, row: Row, event: Event) -> tuple[float | None, Row]:
        """A sample's own time in seconds, and its numbers by the names of their columns."""
        time = None
        if self._time is not None:
            time = seconds(row.get(self._time))
            if time is None and self._time == "timestamp" and event.timestamp is not None:
                time = seconds(event.timestamp)
        named: Row = {}
        for field, value in row.items():
            if field == self._time or not isinstance(value, int | float):
                continue
            name = self._named(field)
            if name is not None:
                named[name] = value
        return time, named

    def _named(self, field: str) -> str | None:
        """The column of a field; None if it is not shown."""
        if self._only and not any(field == each or field.startswith(f"{each}.") for each in self._only):
            return None
        name = _column_name(field)
        if name not in self._fields:
            if len(self._fields) >= FIELDS:
                if len(self._refused) < 1000:
                    self._refused[name] = None
                return None
            self._fields[name] = None
        return name

    def _sort_in(self, source: int, arrival: float, timed: list[tuple[float | None, Row]]) -> None:
        spread = self._spread(source, arrival, len(timed))
        for at, (time, row) in zip(spread, timed, strict=True):
            moment = at if time is None else self._moment(source, time, arrival)
            self._samples.add(moment * 1000, source, row)
        self._total += len(timed)

    def _spread(self, source: int, arrival: float, count: int) -> list[float]:
        """The times of a packet's samples, as if they had been taken since the packet before it."""
        before = self._arrivals.get(source, arrival)
        self._arrivals[source] = arrival
        if count == 1:
            return [arrival]
        since = arrival - min(1.0, max(0.0, arrival - before))
        step = (arrival - since) / max(1, count)
        return [since + step * index for index in range(1, count + 1)]

    def _moment(self, source: int, time: float, arrival: float) -> float:
        """A sample's own time in seconds since 1970. A clock with its own start is set at its first sample."""
        if time > 1e8:
            return time if time < _FAR else arrival
        begin = self._clocks.get(source)
        if begin is None or abs(begin + time - arrival) > _LATE:
            begin = self._clocks[source] = arrival - time
        return begin + time

    def _source(self, sender: str, topic: str) -> int:
        key = (sender[:200], topic[:200])
        if key not in self._sources:
            if len(self._sources) >= SOURCES:
                key = ("others", "")
            self._sources.setdefault(key, len(self._sources))
        return self._sources[key]

    # Sending

    def look(self) -> None:
        """Update the rate."""
        with self._lock:
            self._rate.add(self._total)

    def values(self) -> TelemetryValues:
        """Fields, sources, counters, and what could not be shown."""
        with self._lock:
            return {
                "fields": list(self._fields),
                "units": [self._units.get(name, "") for name in self._fields],
                "sources": list(self._sources),
                "total": self._total,
                "rate": self._rate.per_second(_RATE_SPAN),
                "window": self._window,
                "thinned": self._thinned,
                "undecoded": self._undecoded,
                "reason": self._reason,
                "refused": (len(self._refused), list(self._refused)[:5]),
                "only": {"fields": list(self._only), "topic": self._interest.topic},
            }

    def whole(self) -> Json:
        """The window as one batch, and the single values."""
        self._want()
        with self._lock:
            self._batches.clear()
            self._add_batch(len(self._samples), snapshot=True, room=SNAPSHOT)
            return super().whole()

    def changes(self) -> Json | None:
        """The new samples as one batch, thinned out if there are too many, and what else has changed."""
        self.look()  # before the rate decides whether it is quiet
        with self._lock:
            if len(self._fields) != self._sent_fields:
                # A table in the browser keeps the columns that it was created with.
                self._add_batch(len(self._samples), snapshot=True, room=SNAPSHOT)
            elif new := min(self._total - self._sent_total, len(self._samples)):
                elapsed = min(1.0, max(0.1, monotonic() - self._flushed))
                self._add_batch(new, snapshot=False, room=RATE * elapsed)
            elif self._thinned and not self._rate.per_second(_RATE_SPAN):
                # After a burst there is time for what was left out.
                self._thinned = 0
                self._add_batch(len(self._samples), snapshot=True, room=SNAPSHOT)
            return super().changes()

    def _add_batch(self, count: int, *, snapshot: bool, room: float) -> None:
        most = max(1, int(room / (_VALUE * (len(self._fields) + 1) + 3)))
        step = 1
        if count > most:
            if snapshot:
                count = most
            else:
                step = -(-count // most)
        self._batch += 1
        times, sources, columns = self._samples.columns(count, self._fields)
        if step > 1:
            every = slice((count - 1) % step, None, step)  # the newest one in any case
            times, sources, columns = times[every], sources[every], [column[every] for column in columns]
            self._thinned += count - len(times)
        self._batches.put(str(self._batch), packed(times, sources, columns, snapshot=snapshot))
        self._sent_total, self._sent_fields, self._flushed = self._total, len(self._fields), monotonic()

    # What a browser may call

    async def plotter(self) -> Library:
        """UPlot's module and style, which a page needs once for lines."""
        return await asyncio.to_thread(_plotter)

    async def library(self) -> Library:
        """Perspective's module and style, which a page needs once for the table.

        Raises:
            LknbError: if perspective-python is missing or incomplete.
        """
        return await asyncio.to_thread(_library)

    async def clear(self) -> None:
        """Start over: forget the samples and fields so far. The room's log keeps its events."""
        with self._lock:
            self._samples.clear()
            for known in (self._fields, self._refused, self._sources, self._clocks, self._arrivals):
                known.clear()
            self._undecoded = self._thinned = 0
            self._reason = ""
            self._sent_fields = -1
        self.changed()

    # As tables

    def tables(self) -> list[tuple[str, Table]]:
        """A summary of each field over the window, and the newest samples."""
        with self._lock:
            fields, sources = list(self._fields), list(self._sources)
            times, origins, columns = self._samples.columns(len(self._samples), fields)
            refused, undecoded, reason = list(self._refused), self._undecoded, self._reason
        notes = []
        if undecoded:
            notes.append(f"{undecoded:,} could not be decoded. The last: {reason}.")
        if refused:
            notes.append(
                f"{len(refused):,} fields beyond {FIELDS} are not shown, such as {', '.join(map(plain, refused[:5]))}."
            )
        empty = " ".join(
            [
                'No numbers yet. Send JSON such as {"x": 1.5} with room.publish_data, or push frames to a data track.',
                *notes,
            ]
        )
        found: dict[tuple[int, str], list[float]] = {}
        for name, column in zip(fields, columns, strict=True):
            for source, value in zip(origins, column, strict=True):
                if not math.isnan(value):
                    found.setdefault((source, name), []).append(value)
        shown = list(found.items())[:FIELDS]
        if len(found) > len(shown):
            notes.append(f"{len(found) - len(shown):,} more rows are not shown.")
        summary = Table(
            ("field", "from", "topic", "last", "min", "mean", "max", "samples"),
            [
                (name, *sources[source], *map(_brief, (each[-1], min(each), fmean(each), max(each))), f"{len(each):,}")
                for (source, name), each in shown
            ],
            empty=empty,
            note=" ".join(notes),
        )
        tables = [(self.title, summary)]
        if times:
            few = fields[:_FIELDS_STATIC]
            more = f"{len(fields) - len(few)} more fields are not shown." if len(fields) > len(few) else ""
            newest = sorted(range(max(0, len(times) - _STATIC), len(times)), key=times.__getitem__, reverse=True)
            rows = [
                (
                    _time_of_sample(times[at]),
                    *sources[origins[at]],
                    *(_brief(column[at]) for column in columns[: len(few)]),
                )
                for at in newest
            ]
            tables.append(("Newest samples", Table(("time", "from", "topic", *map(plain, few)), rows, note=more)))
        return tables


@public
class Telemetry(RoomWidget):
    """Numbers in packets and data tracks as live lines and as a live table.

    Args:
        room: the room to show.
        fields: only these fields, or the fields below them; all if none are given.
        options: `kind`, `topic`, `sender`, `decoder`, `window` and `time`, as for `Feed.plot`.

    Raises:
        ValueError: for an unknown kind, a window out of range, or an invalid struct format.
    """

    _esm = bundled("telemetry")

    def __init__(self, room: Room, *fields: str, **options: Any) -> None:
        super().__init__(room, [TelemetryPart(room, *fields, subscribe=True, **options)])


def packed(times: array[float], sources: array[int], columns: list[array[float]], *, snapshot: bool) -> BatchRow:
    """Samples as columns: little-endian numbers in base64, times in milliseconds, NaN for a missing value."""
    return {
        "count": len(times),
        "time": _base64(times),
        "source": _base64(sources),
        "columns": [_base64(column) for column in columns],
        "snapshot": snapshot,
    }


@functools.lru_cache(maxsize=1_000)
def _column_name(name: str) -> str:
    """A field's name as a column: control and direction characters escaped, and different from all reserved names."""
    name = "".join(f"\\u{ord(char):04x}" if char in "\t\n\r" else char for char in inert(name))
    return f"{name} (field)" if name in _RESERVED or name.startswith(_INTERNAL) else name


def _base64(numbers: array[Any]) -> str:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


def _plotter() -> Library:
    return {
        "style": (_UPLOT / "uPlot.min.css").read_text(encoding="utf-8"),
        "buffer": (_UPLOT / "uPlot.esm.js").read_bytes(),
    }


def _library() -> Library:
    spec = importlib.util.find_spec("perspective")
    for place in (spec and spec.submodule_search_locations) or ():
        static = Path(place) / "widget" / "static"
        try:
            return {
                "style": (static / "perspective-anywidget.css").read_text(encoding="utf-8"),
                "buffer": (static / "perspective-anywidget.js").read_bytes(),
            }
        except FileNotFoundError:
            continue
    raise LknbError('The table needs perspective-python 5.6: pip install "perspective-python>=5.6,<6".')


def _brief(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{int(value):,}" if value.is_integer() and abs(value) < _EXACT else f"{value:.6g}"


def _time_of_sample(time: float) -> str:
    try:
        return time_of_day(datetime.fromtimestamp(time / 1000, UTC), milliseconds=True)
    except (ValueError, OverflowError, OSError):
        return f"{time / 1000:.6g} s"
