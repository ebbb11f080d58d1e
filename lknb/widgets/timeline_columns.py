"""The events of a timeline as columns of numbers: packed, they go to a browser by the ten thousand.

`timeline_store.js` unpacks them. Texts (identities, topics) are numbered, and each goes to the browser once.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lknb.event import DIRECTIONS, KINDS, STATUSES, Event

LANES = 200
"""Participants with a lane of their own. The last lane has all others."""

TOPICS = 1000
"""Topics that are distinguished."""

NOTHING = 0xFFFF
"""In place of a lane or a topic that an event does not have, or that is not among those distinguished."""

OPEN = -1.0
"""In place of the duration of what has not ended."""

ROOM = 0
"""The lane of what no participant sent."""

_UNKNOWN = 0xFFFFFFFF  # in place of a size
_TEXT = 120  # characters of an identity or a topic
_FOREVER = 1e11  # milliseconds: three years, because a file may claim any duration
_SPARE = 4096  # events that are removed at once, because the columns move then

# As they are packed: wide numbers first, so that all of them are aligned in the browser.
_COLUMNS = (
    ("time", "d"),  # when it began, in milliseconds since 1970
    ("key", "I"),  # by which the kernel finds the event
    ("size", "I"),
    ("duration", "f"),  # milliseconds; NaN if it has none
    ("lane", "H"),  # of the sender
    ("other", "H"),  # of the only recipient
    ("topic", "H"),
    ("code", "B"),  # kind, direction and status
)


# No kind has the name of a direction or of a status.
_CODES = {
    **{name: number for number, name in enumerate(KINDS)},
    **{name: number << 4 for number, name in enumerate(DIRECTIONS)},
    **{name: number << 5 for number, name in enumerate(STATUSES)},
}


class Mark(NamedTuple):
    """One event as numbers, in the order of the columns."""

    time: float
    key: int
    size: int
    duration: float
    lane: int
    other: int
    topic: int
    code: int

    @property
    def kind(self) -> str:
        """The kind of the event."""
        return kind_of(self.code)

    @property
    def status(self) -> str:
        """The status of the event."""
        return status_of(self.code)

    @property
    def bytes(self) -> int:
        """The size of its payload; 0 if it is not known."""
        return 0 if self.size == _UNKNOWN else self.size


def kind_of(code: int) -> str:
    """The kind in the code of an event."""
    return KINDS[code & 0xF]


def status_of(code: int) -> str:
    """The status in the code of an event."""
    return STATUSES[code >> 5]


class Names:
    """Texts by number.

    Args:
        most: how many are distinguished.
        first: the texts with the first numbers.
    """

    def __init__(self, most: int, *first: str) -> None:
        self._most = most
        self._numbers = {each: number for number, each in enumerate(first)}
        self.has_more = False

    def number(self, text: str, otherwise: int) -> int:
        """The number of a text; `otherwise` if there are too many."""
        found = self._numbers.get(text)
        if found is None:
            text = text[:_TEXT]
            if text in self._numbers:
                return self._numbers[text]
            if len(self._numbers) >= self._most:
                self.has_more = True
                return otherwise
            found = self._numbers[text] = len(self._numbers)
        return found

    def all(self) -> list[str]:
        """The texts, in the order of their numbers."""
        return list(self._numbers)


class EventColumns:
    """The newest events as numbers. Each has a position: how many came before it.

    Args:
        most: how many to keep.
        own: the identity of this participant, which has the first lane of all participants.

    Attributes:
        first: the position of the oldest event.
        count: how many events there are.
        lanes: the identities by the number of their lane; the lane of the room is "".
        topics: the topics by their number.
    """

    def __init__(self, most: int, own: str) -> None:
        self._most = most
        self.first = 0
        self.count = 0
        self.lanes, self.topics = Names(LANES, "", own), Names(TOPICS, "")
        self._columns: dict[str, array[Any]] = {name: array(kind) for name, kind in _COLUMNS}
        self._appends = [column.append for column in self._columns.values()]

    @property
    def total(self) -> int:
        """How many events were ever added."""
        return self.first + self.count

    def add(self, event: Event, key: int) -> int:
        """Add an event, and return its position."""
        for append, value in zip(self._appends, self._mark(event, key), strict=True):
            append(value)
        self.count += 1
        surplus = self.count - self._most
        if surplus >= _SPARE:
            for column in self._columns.values():
                del column[:surplus]
            self.first += surplus
            self.count -= surplus
        return self.first + self.count - 1

    def amend(self, position: int, event: Event) -> bool:
        """Describe an event again that has changed; whether it is still here and differs."""
        index = position - self.first
        if index < 0:
            return False
        before = self._at(index)
        now = self._mark(event, before.key)
        if repr(now) == repr(before):  # NaN differs from itself
            return False
        for column, value in zip(self._columns.values(), now, strict=True):
            column[index] = value
        return True

    def begin(self, position: int) -> None:
        """Have an event that was just added last until `end`."""
        self._columns["duration"][position - self.first] = OPEN

    def end(self, position: int, time: float) -> bool:
        """Set when an event ended that has no end of its own; whether it is still here."""
        index = position - self.first
        if index >= 0:
            self._columns["duration"][index] = max(0.0, time - self._columns["time"][index])
        return index >= 0

    def __iter__(self) -> Iterator[Mark]:
        return map(Mark._make, zip(*(column[:] for column in self._columns.values()), strict=True))

    def packed(self, positions: Iterable[int]) -> tuple[int, bytes]:
        """How many of these events are still here, and they, column by column. The first column is their positions."""
        if isinstance(positions, range) and positions.step == 1:
            start, stop = max(positions.start, self.first), min(positions.stop, self.total)
            kept = array("I", range(start, max(start, stop)))
            part = slice(start - self.first, start - self.first + len(kept))
            columns = [column[part] for column in self._columns.values()]
        else:
            kept = array("I", (each for each in positions if self.first <= each < self.total))
            columns = [
                array(column.typecode, (column[each - self.first] for each in kept))
                for column in self._columns.values()
            ]
        # After the column with the widest numbers.
        return len(kept), b"".join(_little_endian(each) for each in (columns[0], kept, *columns[1:]))

    def _mark(self, event: Event, key: int) -> Mark:
        begin, duration = span(event)
        size = event.transferred if event.status == "open" and event.transferred else event.size
        return Mark(
            begin,
            key,
            _UNKNOWN if size is None else min(size, _UNKNOWN - 1),
            duration,
            ROOM if event.sender is None else self._lane(event.sender),
            self._lane(event.to[0]) if len(event.to) == 1 else NOTHING,
            self.topics.number(event.topic, NOTHING),
            _CODES[event.kind] | _CODES[event.direction] | _CODES[event.status],
        )

    def _at(self, index: int) -> Mark:
        return Mark._make(column[index] for column in self._columns.values())

    def _lane(self, identity: str) -> int:
        return self.lanes.number(identity, LANES)


def span(event: Event) -> tuple[float, float]:
    """When an event began, in milliseconds since 1970, and how many it took: `OPEN`, or NaN without a duration."""
    begin = event.time.timestamp() * 1000
    if event.status == "open":
        return begin, OPEN
    if event.duration is not None:
        return begin, _single(min(max(0.0, event.duration * 1000), _FOREVER))
    if event.kind == "loss" and isinstance(event.data, dict):
        since, until = event.data.get("from"), event.data.get("until")
        if isinstance(since, dt.datetime) and isinstance(until, dt.datetime):
            return since.timestamp() * 1000, _single(max(0.0, (until - since).total_seconds() * 1000))
    return begin, math.nan


def _single(number: float) -> float:
    """A number as a column of 32 bits keeps it, so that it equals what is there."""
    return float(array("f", [number])[0])


def _little_endian(column: array[Any]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()
