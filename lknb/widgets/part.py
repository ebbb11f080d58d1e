"""`Part`: the kernel's side of a widget's subject. It has rows by key, single values, and actions for a browser.

A part knows nothing of messages and browsers: `Channel` asks it for a snapshot, or for what has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from lknb.event import Event, Kind
from lknb.widgets.rows import PeopleValues

if TYPE_CHECKING:
    from lknb.room import Room

T = TypeVar("T")
Row = TypeVar("Row", bound=Mapping[str, object])

Json = dict[str, Any]
"""A message between kernel and browser. Its rows and values have the types of `rows.py`."""

STATIC_ROWS = 25
"""Rows of a table in a saved notebook."""

_PEOPLE = 500

Action = Callable[..., Coroutine[Any, Any, Any]]


class Rows(Generic[T]):
    """Rows by key, oldest first, and which of them browsers do not have yet. Safe from any thread.

    Args:
        describe: makes the row for an item. Called when the row is sent, not when the item changes.
        limit: the number of rows to keep; the oldest are dropped first.
        burst: the number of new rows to send in one batch, the newest first; the others wait. Everything unless given.
            A row that browsers already have is sent as soon as it changes.
    """

    def __init__(self, describe: Callable[[T], Mapping[str, object]], limit: int, burst: int | None = None) -> None:
        self._describe = describe
        self._limit, self._burst = limit, limit if burst is None else burst
        self._items: dict[str, T] = {}
        self._changed: dict[str, None] = {}
        self._dropped: dict[str, None] = {}
        # The rows that browsers have: only these need to be removed there, however many come and go in between.
        self._sent: set[str] = set()
        self._lock = threading.Lock()
        self.skipped = 0
        """Rows dropped before they were sent, since the last `clear`: too many came, or no browser showed them."""

    @property
    def waiting(self) -> bool:
        """Whether there are more rows to send."""
        return bool(self._changed)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def items(self) -> list[tuple[str, T]]:
        """All keys and items, oldest first."""
        with self._lock:
            return list(self._items.items())

    def get(self, key: str) -> T | None:
        """The item with this key, if any."""
        return self._items.get(key)

    def put(self, key: str, item: T) -> None:
        """Append an item, or replace the one with this key."""
        with self._lock:
            self._items[key] = item
            # Moved to the end, so that the newest changes are last.
            self._changed.pop(key, None)
            self._changed[key] = None
            self._restore(key)
            while len(self._items) > self._limit:
                oldest = next(iter(self._items))
                self.skipped += oldest not in self._sent
                self._drop(oldest)

    def swap_oldest(self, replacement: Callable[[T], T | None]) -> None:
        """Swap the oldest items for their `replacement`, as long as it has one. Quick if the first one has none."""
        with self._lock:
            for key, item in self._items.items():
                other = replacement(item)
                if other is None:
                    break
                self._items[key] = other

    def touch(self, key: str) -> None:
        """Send the row of an item again, if it is still there."""
        with self._lock:
            if key in self._items:
                self._changed[key] = None

    def drop(self, key: str) -> None:
        """Remove an item."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Remove all items, and reset `skipped`."""
        with self._lock:
            for key in list(self._items):
                self._drop(key)
            self.skipped = 0

    def replace(self, items: Mapping[str, T]) -> None:
        """Replace all items by these, in this order. Only those that differ are sent again."""
        with self._lock:
            for key in [key for key in self._items if key not in items]:
                self._drop(key)
            for key, item in items.items():
                if key not in self._items or self._items[key] != item:
                    self._items[key] = item
                    self._changed[key] = None
                    self._restore(key)

    def whole(self) -> list[tuple[str, Mapping[str, object]]]:
        """All rows. They count as sent."""
        with self._lock:
            items = list(self._items.items())
            self._changed.clear()
            self._dropped.clear()
            self._sent = set(self._items)
        return [(key, self._describe(item)) for key, item in items]

    def changes(self) -> tuple[list[tuple[str, Mapping[str, object]]], list[str]]:
        """The rows changed and the keys dropped since the last call. `waiting` tells whether there are more."""
        with self._lock:
            new = [key for key in self._changed if key not in self._sent]
            later = dict.fromkeys(new[: -self._burst])
            items = [(key, self._items[key]) for key in self._changed if key not in later]
            dropped = list(self._dropped)
            self._changed = later
            self._dropped.clear()
            self._sent.update(key for key, _ in items)
        return [(key, self._describe(item)) for key, item in items], dropped

    def _drop(self, key: str) -> None:
        if self._items.pop(key, None) is None:
            return
        self._changed.pop(key, None)
        if key in self._sent:
            self._sent.discard(key)
            self._dropped[key] = None

    def _restore(self, key: str) -> None:
        """Treat a row that was dropped and came back before browsers knew as one that they still have."""
        if key in self._dropped:
            del self._dropped[key]
            self._sent.add(key)


def drop_payloads(rows: Rows[Event | Row], oldest: int, describe: Callable[[Event], Row]) -> None:
    """Replace each event before number `oldest`, which the room's log has evicted, by its row, without the payload."""

    def without_payload(item: Event | Row) -> Event | Row | None:
        if not isinstance(item, Event):
            return item
        if item.number >= oldest:
            return None
        return item if item.status == "open" else describe(item)

    rows.swap_oldest(without_payload)


class Still(Protocol):
    """What stays when a widget has ended, such as a `Table`; everything in it is escaped."""

    def __repr__(self) -> str: ...

    def _repr_html_(self) -> str: ...

    def blocks(self) -> list[str | list[list[str]]]:
        """The same as text for a page: lines, and tables as lists of rows."""


class Part:
    """One subject of a room or of a recording, as a browser shows it.

    A subclass fills `rows`, overrides `values`, and lists in `actions` the coroutines that a browser may call by
    name. Their arguments come from the browser: treat them as untrusted data.

    Attributes:
        name: the name of its JavaScript module.
        title: the heading of its static table.
        tab: its label in the panel.
        rows: the lists of rows by name.
        actions: what a browser may call: a coroutine function each, run on the loop thread. The return value is the
            answer: JSON, with bytes under "buffer" if there are any. An exception's message is shown.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    tab: ClassVar[str] = ""

    def __init__(self) -> None:
        self.rows: dict[str, Rows[Any]] = {}
        self.actions: dict[str, Action] = {}
        self.changed: Callable[[], None] = lambda: None
        self._sent: Mapping[str, object] = {}

    @property
    def poll_after(self) -> float | None:
        """Seconds until the next look for changes that no event announces; None if there can be none."""
        return None

    def start(self, changed: Callable[[], None]) -> None:
        """Start to follow the source, and call `changed` (cheap, from any thread) when there is something to send."""
        self.changed = changed

    def remember(self, other: Part) -> None:
        """Keep what the user chose in `other`, which the cell showed before it ran again."""

    def stop(self) -> None:
        """Stop following. `tables` still returns the current state."""

    def values(self) -> Mapping[str, object]:
        """The single values by name, as JSON."""
        return {}

    def tables(self) -> Sequence[tuple[str, Still]]:
        """The current state as tables or pictures with titles, for a saved notebook and for a terminal."""
        raise NotImplementedError

    def look(self) -> None:
        """Update what changes without an event. Called before anything is sent."""

    def whole(self) -> Json:
        """A snapshot of everything: `set` and `rows`."""
        self.look()
        self._sent = self.values()
        return {"set": self._sent, "rows": {name: rows.whole() for name, rows in self.rows.items()}}

    def changes(self) -> Json | None:
        """What changed since the last call: `set`, `put` and `drop` unless empty; None if nothing changed."""
        self.look()
        changes: Json = {"put": {}, "drop": {}}
        for name, rows in self.rows.items():
            put, dropped = rows.changes()
            if put:
                changes["put"][name] = put
            if dropped:
                changes["drop"][name] = dropped
        values = self.values()  # after the rows, whose `skipped` may be one of the values
        changes["set"] = {name: value for name, value in values.items() if self._sent.get(name, self) != value}
        self._sent = values
        return {key: value for key, value in changes.items() if value} or None


class RoomPart(Part):
    """A part that shows something of a room.

    Args:
        room: the room to show.
    """

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.room = room
        self._evicted = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    def _follow(self, reader: Callable[[Event], None], kinds: Collection[Kind] | None = None) -> None:
        """Call `reader` with each new event of the room's log, or only of these kinds, until `stop`."""
        self._unsubscribe = self.room.events.subscribe(reader, kinds)

    def stop(self) -> None:
        """Stop following."""
        self._unsubscribe()

    def _oldest_after_eviction(self) -> int | None:
        """The number of the log's oldest event, if the log has evicted any since the last call."""
        log = self.room.events
        if log.evicted == self._evicted:
            return None
        self._evicted = log.evicted
        return log[0].number


def people_values(room: Room) -> PeopleValues:
    """The other participants, by identity, as all parts list them."""
    others = sorted((identity, each.name) for identity, each in room.remote_participants.items())
    return {"people": others[:_PEOPLE], "more_people": max(0, len(others) - _PEOPLE)}
