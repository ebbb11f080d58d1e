"""Telemetry: numbers in packets and data tracks as live lines and as a live table, over a rolling window.

The browser's side is perspective, out of the wheel of perspective-python. Its engine runs in the page: the kernel only
pushes what is new, so that lines go on moving while a cell computes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
import threading
from array import array
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from lknb import checks
from lknb.defaults import TELEMETRY_WINDOW
from lknb.errors import LknbError
from lknb.event import Event, Kind
from lknb.interest import Interest
from lknb.participants import Participant
from lknb.public import public
from lknb.tables import Table, plain
from lknb.widgets.modules import bundled
from lknb.widgets.part import Json, Part, Rows
from lknb.widgets.samples import Decoder, Row, UndecodableError, reader, seconds
from lknb.widgets.widget import RoomWidget

if TYPE_CHECKING:
    from lknb.room import Room

WIDEST_WINDOW = 200_000

FIELDS = 64
"""Fields that are shown; further ones are counted and named."""

SOURCES = 256
"""Senders and topics that are told apart."""

RATE = 600_000
"""Bytes a second that are sent to browsers at most. Beyond it every second sample is drawn, every third, ..."""

SNAPSHOT = 2_000_000
"""Bytes of a snapshot at most: of a long and wide window, a browser that comes later gets the newest."""

_KINDS: frozenset[Kind] = frozenset({"data", "data_track"})
_RESERVED = ("time", "sender", "topic")
_INTERNAL = ("psp_", "__")  # perspective's own columns
_VALUE = 8 * 4 / 3  # bytes of a number in base64
_STATIC = 10
_FIELDS_STATIC = 8
_FAR = 7.3e9  # the year 2201
_LATE = 60.0  # seconds after which a sender's own clock is set anew


class _Sample(NamedTuple):
    time: float  # milliseconds since 1970
    source: int
    row: Row


class TelemetryPart(Part):
    """The numbers in one room's packets and frames, over a rolling window.

    Args:
        room: whose.
        fields: only these fields, or those below them; all if none.
        kind: only this kind of event, or these; packets and frames if None.
        topic: only this topic or track name.
        sender: only from this identity.
        decoder: how payloads are read, see `samples.Decoder`; None finds out.
        window: how many samples are kept and shown.
        time: the field with a sample's own time; None takes the time of arrival.
        at_once: whether frames are subscribed to at once, and not only when a browser shows this.

    Raises:
        ValueError: for a kind, window or struct's format that does not exist.
    """

    name = "telemetry"
    title = "Telemetry"

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
        at_once: bool = False,
    ) -> None:
        super().__init__(room)
        window = checks.whole(window, "window", " of samples", most=WIDEST_WINDOW)
        for field in fields:
            checks.text(field, "The name of a field")
        if time is not None:
            checks.text(time, "time", "It names the field with a sample's time.")
        self._interest = Interest.of(_KINDS if kind is None else kind, topic, sender)
        named_by_struct = isinstance(decoder, str) and fields
        self._read = reader(decoder, fields if named_by_struct else ())
        self._only, self._time, self._window, self._at_once = fields, time, window, at_once
        self._batches: Rows[Json] = Rows(dict, limit=16)
        self.rows = {"batches": self._batches}
        self.actions = {"library": self.library, "clear": self.clear}
        # Events come from the loop thread, and from whichever thread pushes a frame.
        self._lock = threading.RLock()
        self._samples: deque[_Sample] = deque(maxlen=window)
        self._fields: dict[str, None] = {}
        self._refused: dict[str, None] = {}
        self._sources: dict[tuple[str, str], int] = {}
        self._clocks: dict[int, float] = {}
        self._arrivals: dict[int, float] = {}
        self._total = self._told_total = self._thinned = 0
        self._undecoded, self._reason = 0, ""
        self._batch = 0
        self._told_fields = 0
        self._flushed = 0.0
        self._counts: deque[tuple[float, int]] = deque(maxlen=32)
        self._early: set[int] | None = None
        self._end: list[Callable[[], None]] = []
        self._wants = False

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log, from what is in it already."""
        super().start(changed)
        self._early = set()
        self._end.append(self.room.events.subscribe(self._happened))
        with self._lock:
            early, self._early = self._early, None
            for event in [each for each in self.room.events[:] if self._covers(each)][-self._window :]:
                if event.number not in early:
                    self._take(event)
        if self._at_once:
            self._want()

    def stop(self) -> None:
        """Follow no longer."""
        with self._lock:
            self._wants = True  # or a snapshot that is being made would subscribe again
            while self._end:
                self._end.pop()()

    def _want(self) -> None:
        with self._lock:
            if not self._wants:
                self._wants = True
                self._end.append(self.room.events.want(self._interest))

    # What comes in

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
            rows = self._read(event.data)
            timed = [self._split(row, event) for row in rows]
            if rows and not any(row for _, row in timed):
                raise UndecodableError("no numbers")
        except UndecodableError as error:
            self._failed(event, str(error))
            return
        except Exception as error:  # a decoder of the user's may raise anything
            self._failed(event, f"{type(error).__name__}: {error}")
            return
        source = self._source(event.sender or "", event.topic)
        arrival = event.time.timestamp()
        self._sort_in(source, arrival, [(time, row) for time, row in timed if row])

    def _failed(self, event: Event, reason: str) -> None:
        self._undecoded += 1
        whose = f"{event.kind} {event.topic!r} from {event.sender or 'the server'}"
        said = f"{whose[:120]}: {reason[:300]}"
        self._reason = "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in said)

    def _split(self, row: Row, event: Event) -> tuple[float | None, Row]:
        """A sample's own time in seconds, and its numbers by the names that they are shown with."""
        time = None
        if self._time is not None:
            time = seconds(row.get(self._time))
            if time is None and self._time == "timestamp" and event.timestamp is not None:
                time = seconds(event.timestamp)
        named: Row = {}
        for name, value in row.items():
            if name == self._time or not isinstance(value, int | float):
                continue
            if self._only and not any(name == each or name.startswith(f"{each}.") for each in self._only):
                continue
            name = _shown(name)
            if name not in self._fields:
                if len(self._fields) >= FIELDS:
                    if len(self._refused) < 1000:
                        self._refused[name] = None
                    continue
                self._fields[name] = None
            named[name] = value
        return time, named

    def _sort_in(self, source: int, arrival: float, timed: list[tuple[float | None, Row]]) -> None:
        before = self._arrivals.get(source, arrival)
        # The samples of one packet were taken since the one before, as far as anybody knows.
        since = arrival - min(1.0, max(0.0, arrival - before))
        for index, (time, row) in enumerate(timed, 1):
            at = since + (arrival - since) * index / len(timed)
            if time is not None:
                at = self._placed(source, time, arrival)
            self._samples.append(_Sample(at * 1000, source, row))
        self._arrivals[source] = arrival
        self._total += len(timed)

    def _placed(self, source: int, time: float, arrival: float) -> float:
        """A sample's own time as a moment; of a clock that counts from a start of its own, by its first sample."""
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

    # What a browser is told

    def values(self) -> Json:
        """What has been found, and what has not."""
        with self._lock:
            return {
                "fields": list(self._fields),
                "sources": [list(source) for source in self._sources],
                "total": self._total,
                "rate": self._rate(),
                "window": self._window,
                "thinned": self._thinned,
                "undecoded": self._undecoded,
                "reason": self._reason,
                "refused": [len(self._refused), list(self._refused)[:5]],
                "only": {"fields": list(self._only), "topic": self._interest.topic},
            }

    def whole(self) -> Json:
        """The window as one batch, and the single values."""
        self._want()
        with self._lock:
            self._batches.clear()
            self._tell(list(self._samples), anew=True, room=SNAPSHOT)
            return super().whole()

    def changes(self) -> Json | None:
        """The samples since the last time as one batch, thinned out if they are too many, and what else changed."""
        with self._lock:
            if len(self._fields) != self._told_fields:
                # A table has the columns that it was made with.
                self._tell(list(self._samples), anew=True, room=SNAPSHOT)
            elif new := min(self._total - self._told_total, len(self._samples)):
                elapsed = min(1.0, max(0.1, monotonic() - self._flushed))
                self._tell([self._samples[index] for index in range(-new, 0)], anew=False, room=RATE * elapsed)
            return super().changes()

    def _tell(self, samples: list[_Sample], *, anew: bool, room: float) -> None:
        most = max(1, int(room / (_VALUE * (len(self._fields) + 1) + 3)))
        step = -(-len(samples) // most) if samples else 1
        if step > 1:
            kept = samples[-most:] if anew else samples[::-1][::step][::-1]
            if not anew:
                self._thinned += len(samples) - len(kept)
            samples = kept
        self._batch += 1
        batch = packed(samples, list(self._fields))
        self._batches.put(str(self._batch), {**batch, "anew": anew})
        self._told_total, self._told_fields, self._flushed = self._total, len(self._fields), monotonic()

    def _rate(self) -> float:
        at = monotonic()
        self._counts.append((at, self._total))
        while len(self._counts) > 2 and at - self._counts[1][0] >= 1.0:
            self._counts.popleft()
        then, count = self._counts[0]
        rate = (self._total - count) / max(at - then, 1.0)
        self.again = 0.3 if rate else None
        return round(rate, 1 if rate < 100 else 0)

    # What a browser may ask for

    async def library(self) -> Json:
        """Perspective's module and style, which a page needs once.

        Raises:
            LknbError: when perspective-python is not installed as it is meant to be.
        """
        return await asyncio.to_thread(_library)

    async def clear(self) -> None:
        """Begin anew: forget the samples and fields so far; the room's log keeps its events."""
        with self._lock:
            self._samples.clear()
            for known in (self._fields, self._refused, self._sources, self._clocks, self._arrivals):
                known.clear()
            self._undecoded = self._thinned = 0
            self._reason = ""
            self._told_fields = -1
        self.changed()

    # As tables

    def tables(self) -> list[tuple[str, Table]]:
        """What each field has been over the window, and the newest samples."""
        with self._lock:
            samples, fields = list(self._samples), list(self._fields)
            sources = list(self._sources)
            refused, undecoded, reason = list(self._refused), self._undecoded, self._reason
        notes = []
        if undecoded:
            notes.append(f"{undecoded:,} could not be decoded; the last: {reason}.")
        if refused:
            notes.append(
                f"{len(refused):,} fields beyond {FIELDS} are not shown, such as {', '.join(map(plain, refused[:5]))}."
            )
        empty = " ".join(
            ['No numbers yet. Send JSON such as {"x": 1.5} with publish_data, or frames of a data track.', *notes]
        )
        found: dict[tuple[int, str], list[float]] = {}
        for _, source, row in samples:
            for name, value in row.items():
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
        if samples:
            few = fields[:_FIELDS_STATIC]
            more = f"{len(fields) - len(few)} more fields are not shown." if len(fields) > len(few) else ""
            newest = sorted(samples[-_STATIC:], key=lambda sample: sample.time, reverse=True)
            rows = [
                (_clock(time), *sources[source], *(_brief(row.get(each)) for each in few))
                for time, source, row in newest
            ]
            tables.append(("Newest samples", Table(("time", "from", "topic", *map(plain, few)), rows, note=more)))
        return tables


@public
class Telemetry(RoomWidget):
    """Numbers in packets and data tracks as live lines and as a live table.

    Args:
        room: whose.
        fields: only these fields, or those below them; all if none.
        options: `topic`, `kind`, `decoder`, `window` and `time`, as for `Feed.plot`.

    Raises:
        ValueError: for a kind, window or struct's format that does not exist.
    """

    _esm = bundled("telemetry")

    def __init__(self, room: Room, *fields: str, **options: Any) -> None:
        super().__init__(room, [TelemetryPart(room, *fields, at_once=True, **options)])


def packed(samples: list[_Sample], fields: list[str]) -> Json:
    """Samples as columns: little-endian numbers in base64, times in milliseconds, NaN where there is none."""
    nan = math.nan
    return {
        "count": len(samples),
        "time": _base64(array("d", [sample.time for sample in samples])),
        "source": _base64(array("H", [sample.source for sample in samples])),
        "columns": [_base64(array("d", [sample.row.get(name, nan) for sample in samples])) for name in fields],
    }


def _shown(name: str) -> str:
    """A field's name as a column: what could turn text around is escaped, and no other column is called so."""
    name = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in name)
    return f"{name} (field)" if name in _RESERVED or name.startswith(_INTERNAL) else name


def _base64(numbers: array[Any]) -> str:
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


def _library() -> Json:
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
    raise LknbError('Lines and table need perspective-python 5.6: pip install "perspective-python>=5.6,<6".')


def _brief(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _clock(time: float) -> str:
    try:
        return datetime.fromtimestamp(time / 1000, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{time / 1000:.6g} s"
