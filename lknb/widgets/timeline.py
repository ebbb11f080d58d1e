"""Timeline: who did what when, a lane for each participant, of a live room or of a recording."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from time import time
from typing import TYPE_CHECKING

from lknb.errors import LknbError
from lknb.event import KINDS, STATUSES, Event
from lknb.public import public
from lknb.tables import Table
from lknb.widgets.content import whole_event
from lknb.widgets.modules import bundled
from lknb.widgets.part import Json, Part, Rows, Still
from lknb.widgets.rows import (
    Beginning,
    TimelineBatch,
    TimelineEvents,
    TimelinePerson,
    TimelineState,
    TimelineValues,
    WholeEvent,
)
from lknb.widgets.timeline_columns import EventColumns
from lknb.widgets.timeline_picture import Picture, summary
from lknb.widgets.timeline_source import Source, source_of
from lknb.widgets.widget import LiveWidget

if TYPE_CHECKING:
    from lknb.recording.recording import Recording
    from lknb.room import Room

KEPT = 100_000
"""The newest events that a timeline shows."""

SNAPSHOT = 20_000
"""The events that a snapshot contains: a browser that joins while a cell computes cannot load any. About 800 kB."""

CHUNK = 25_000
"""Events in one answer to a browser that loads them."""

_BURST = 8_000  # events in a batch; a browser loads what is more than that when it is ready for it
_POLL = 0.3
_REVISED = 1_000
_GROWING = 200  # open streams whose size is updated
_PEOPLE = 200
_ATTRIBUTES = 50
_TEXT = 500


class TimelinePart(Part):
    """The events of a room or of a recording over time.

    The columns of all events are here. A snapshot has those of all events if they are not too many, and batches bring
    what is new. By the number of the newest batch, a browser knows whether some are missing, and loads them.

    Args:
        shown: the room or the recording.
    """

    name = "timeline"
    title = "Timeline"
    tab = "Timeline"

    def __init__(self, shown: Room | Recording) -> None:
        super().__init__()
        self.source: Source = source_of(shown)
        self._batches: Rows[TimelineBatch] = Rows(lambda row: row, limit=16)
        self.rows = {"batches": self._batches}
        self.actions = {"events": self.events, "read": self.read, "state_at": self.state_at}
        # Events come from the loop thread, from any thread that pushes a frame, and from one that reads a file.
        self._lock = threading.RLock()
        self._columns = EventColumns(KEPT, self.source.identity)
        self._positions: dict[int, int] = {}  # by key
        self._open: dict[int, tuple[int, Event]] = {}
        self._outage: int | None = None  # the position of the outage that has not ended
        self._sent = {}
        self._sent_total = 0
        self._amended: dict[int, None] = {}
        # Of events that were not open: a browser that has missed their change does not ask for them again.
        self._revised: deque[int] = deque(maxlen=_REVISED)
        self._batch = 0

    @property
    def poll_after(self) -> float | None:
        """While streams grow, because no event announces that."""
        return _POLL if self._open and self.source.is_live else None

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the source, starting with what has already happened."""
        super().start(changed)
        self.source.start(self._take, changed, KEPT)

    def stop(self) -> None:
        """Stop following."""
        self.source.stop()

    def _take(self, key: int, event: Event) -> None:
        with self._lock:
            position = self._positions.get(key)
            if position is not None:
                if self._columns.amend(position, event):
                    self._amended[position] = None
                    if key not in self._open:
                        self._revised.append(position)
            else:
                position = self._columns.add(event, key)
                self._positions[key] = position
                if len(self._positions) > self._columns.count:
                    for old in list(islice(self._positions, len(self._positions) - self._columns.count)):
                        del self._positions[old]
                if event.kind == "connection" and event.status == "ok":
                    self._connection_changed(position, event)
            if event.status == "open":
                self._open[key] = position, event
            elif self._open:
                self._open.pop(key, None)
        self.changed()

    def _connection_changed(self, position: int, event: Event) -> None:
        """Make an interruption last until the connection changes again."""
        if self._outage is not None and self._columns.end(self._outage, event.time.timestamp() * 1000):
            self._amended[self._outage] = None
        is_outage = event.topic in ("reconnecting", "closed")
        self._outage = position if is_outage else None
        if is_outage:
            self._columns.begin(position)

    # Sending

    def look(self) -> None:
        """Update the sizes of streams that are in progress."""
        with self._lock:
            for position, event in islice(self._open.values(), _GROWING):
                if self._columns.amend(position, event):
                    self._amended[position] = None

    def values(self) -> TimelineValues:
        """The names of lanes, topics and kinds, and how much there is."""
        source = self.source
        with self._lock:
            return {
                "room": source.room,
                "identity": source.identity,
                "live": source.is_live,
                "recorded": source.recorded,
                "lanes": self._columns.lanes.all(),
                "others": self._columns.lanes.has_more,
                "topics": self._columns.topics.all(),
                "kinds": list(KINDS),
                "statuses": list(STATUSES),
                "first": self._columns.first,
                "total": self._columns.total,
                "left_out": source.left_out + self._columns.first,
                "batch": self._batch,
                "now": time() * 1000,
                "loading": None if source.loading is None else round(source.loading, 2),
                "trouble": source.trouble,
            }

    def whole(self) -> Json:
        """The single values, and the events if they are not too many. Otherwise the browser loads them."""
        with self._lock:
            self._batches.clear()
            self._next_batch()
            if self._columns.count <= SNAPSHOT:
                self._add_batch(range(self._columns.first, self._columns.total), whole=True)
            return super().whole()

    def changes(self) -> Json | None:
        """The events that are new or have changed as one batch, and what else has changed."""
        with self._lock:
            self.look()
            positions = [*self._amended, *range(max(self._sent_total, self._columns.first), self._columns.total)]
            if positions:
                self._next_batch()
            if 0 < len(positions) <= _BURST:
                self._add_batch(positions, whole=False)
            return super().changes()

    def _add_batch(self, positions: Iterable[int], *, whole: bool) -> None:
        count, columns = self._columns.packed(positions)
        row: TimelineBatch = {"count": count, "columns": b64encode(columns).decode(), "whole": whole}
        self._batches.put(str(self._batch), row)

    def _next_batch(self) -> None:
        self._batch += 1
        self._sent_total = self._columns.total
        self._amended.clear()

    # What a browser may call

    async def events(self, start: int = 0, again: Sequence[int] = ()) -> TimelineEvents:
        """The events from this position on, so many at once, and these, which were open when the browser got them."""
        if not isinstance(again, list | tuple) or not all(isinstance(each, int) for each in (start, *again)):
            raise TypeError("Positions are whole numbers. If lknb was updated, reload the page.")
        # Without a pause, so that no batch comes between this and its answer.
        with self._lock:
            start = max(start, self._columns.first)
            stop = min(start + CHUNK, self._columns.total)
            wanted = range(start, stop)
            changed = {*again[:CHUNK], *self._revised} - {*wanted} if start > self._columns.first else ()
            count, columns = self._columns.packed([*sorted(changed), *wanted] if changed else wanted)
            return {
                "count": count,
                "batch": self._batch,
                "next": stop if stop < self._columns.total else None,
                "buffer": columns,
            }

    async def read(self, key: int) -> WholeEvent:
        """One event with its payload, up to a megabyte."""
        if not isinstance(key, int):
            raise TypeError("An event is named by a whole number. If lknb was updated, reload the page.")
        return await asyncio.to_thread(lambda: whole_event(self.source.find(key)))

    async def state_at(self, time: float) -> TimelineState:
        """Who was there at a time, in milliseconds since 1970, with attributes and metadata, and the room's metadata.

        Raises:
            LknbError: for a live room, whose log has no state.
        """
        if not isinstance(time, int | float):
            raise TypeError("A time is a number. If lknb was updated, reload the page.")
        return await asyncio.to_thread(self._state_at, float(time))

    def _state_at(self, time: float) -> TimelineState:
        state = self.source.state_at(time)
        if state is None:
            raise LknbError("Only a recording has the state of a moment. Make one with room.record().")
        people: list[TimelinePerson] = [
            {
                "identity": identity,
                "name": each.name,
                "metadata": _beginning(each.metadata),
                "attributes": [(key, _beginning(text)) for key, text in islice(each.attributes.items(), _ATTRIBUTES)],
                "more_attributes": max(0, len(each.attributes) - _ATTRIBUTES),
            }
            for identity, each in islice(state.participants.items(), _PEOPLE)
        ]
        return {
            "time": state.time.timestamp() * 1000,
            "metadata": _beginning(state.metadata),
            "people": people,
            "more_people": max(0, len(state.participants) - _PEOPLE),
        }

    # As a picture and a table

    def tables(self) -> Sequence[tuple[str, Still]]:
        """A picture of the whole time, and what each participant did."""
        with self._lock:
            columns = self._columns
            marks, lanes, topics = list(columns), columns.lanes.all(), columns.topics.all()
        left_out = self.source.left_out + columns.first
        table: Table = summary(marks, lanes)
        return [(self.title, Picture(marks, lanes, topics, self.source.recorded, left_out)), ("Lanes", table)]


@public
class Timeline(LiveWidget):
    """What happened in a room over time: a lane for each participant, streams and calls as bars, the rest as marks.

    Args:
        shown: the room, or a recording.
    """

    _esm = bundled("timeline")
    _part: TimelinePart | None = None  # None during construction

    def __init__(self, shown: Room | Recording) -> None:
        self.shown = shown
        self._part = TimelinePart(shown)
        super().__init__(self._part.source.widgets, [self._part])

    def headline(self) -> str:
        """What is shown, in one line."""
        return self._part.source.headline() if self._part else ""


def picture(run: Recording, most: int) -> Picture:
    """The newest events of a recording, at most so many, as a picture that stands still."""
    columns = EventColumns(most, run.identity)
    left_out = max(0, len(run) - most)
    for position in range(left_out, len(run)):
        columns.add(run[position], position)
    recorded = run.start.timestamp() * 1000, run.end.timestamp() * 1000
    return Picture(list(columns), columns.lanes.all(), columns.topics.all(), recorded, left_out)


def _beginning(text: str) -> Beginning:
    return {"text": text[:_TEXT], "more": len(text) > _TEXT}
