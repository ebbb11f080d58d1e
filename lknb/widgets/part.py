"""What a widget shows, on the kernel's side: rows by key and single values, and what a browser may ask to be done.

A part knows nothing of messages and browsers; `Channel` asks it for the whole truth or for what has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from lknb.event import Event
from lknb.tables import Table

if TYPE_CHECKING:
    from lknb.room import Room

T = TypeVar("T")
Json = dict[str, Any]

WHOLE = 1_000_000
"""Characters of a text, or bytes of a payload, that a browser gets when it asks for the whole of it."""

IMAGE_LIMIT = 20_000_000
"""Bytes of an image that a browser may display."""

STATIC_ROWS = 25
"""Rows of a table that stays in a saved notebook."""

Action = Callable[..., Coroutine[Any, Any, Any]]


class Rows(Generic[T]):
    """Rows by key, oldest first, and which of them a browser has not been told of. Safe from any thread.

    Args:
        describe: makes what the browser gets of an item; called when it is sent, not when it changes.
        limit: how many are kept; the oldest go first.
        burst: how many new ones are told at once, the newest first; the others wait. All unless given. What browsers
            have already is told at once when it changes.
    """

    def __init__(self, describe: Callable[[T], Json], limit: int, burst: int | None = None) -> None:
        self._describe = describe
        self._limit, self._burst = limit, limit if burst is None else burst
        self._items: dict[str, T] = {}
        self._changed: dict[str, None] = {}
        self._dropped: dict[str, None] = {}
        # What browsers have: nothing else needs to be taken back, also while nobody looks and the rows come and go.
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self.skipped = 0
        """How many went, since the last `clear`, before a browser was told: too many came, or nobody looked."""

    @property
    def waiting(self) -> bool:
        """Whether there is more to tell."""
        return bool(self._changed)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def items(self) -> list[tuple[str, T]]:
        """What is kept, oldest first."""
        with self._lock:
            return list(self._items.items())

    def get(self, key: str) -> T | None:
        """The item of this key."""
        return self._items.get(key)

    def put(self, key: str, item: T) -> None:
        """Add an item at the end, or change one where it is."""
        with self._lock:
            self._items[key] = item
            # To the end, so that the newest are the last.
            self._changed.pop(key, None)
            self._changed[key] = None
            self._keep(key)
            while len(self._items) > self._limit:
                oldest = next(iter(self._items))
                self.skipped += oldest not in self._told
                self._drop(oldest)

    def swap(self, key: str, item: T) -> None:
        """Keep another item in place of one that is told the same, if it is still there."""
        with self._lock:
            if key in self._items:
                self._items[key] = item

    def touch(self, key: str) -> None:
        """Have an item told again, if it is still there."""
        with self._lock:
            if key in self._items:
                self._changed[key] = None

    def drop(self, key: str) -> None:
        """Remove an item."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Remove all items, and begin to count anew."""
        with self._lock:
            for key in list(self._items):
                self._drop(key)
            self.skipped = 0

    def replace(self, items: Mapping[str, T]) -> None:
        """Make these the items, in this order; those that are equal to what is there already are not told again."""
        with self._lock:
            for key in [key for key in self._items if key not in items]:
                self._drop(key)
            for key, item in items.items():
                if key not in self._items or self._items[key] != item:
                    self._items[key] = item
                    self._changed[key] = None
                    self._keep(key)

    def whole(self) -> list[tuple[str, Json]]:
        """All rows; a browser that gets them has been told everything."""
        with self._lock:
            items = list(self._items.items())
            self._changed.clear()
            self._dropped.clear()
            self._told = set(self._items)
        return [(key, self._describe(item)) for key, item in items]

    def changes(self) -> tuple[list[tuple[str, Json]], list[str]]:
        """The rows that have changed and the keys that are gone, since last time. `waiting` says if there is more."""
        with self._lock:
            new = [key for key in self._changed if key not in self._told]
            later = dict.fromkeys(new[: -self._burst])
            items = [(key, self._items[key]) for key in self._changed if key not in later]
            dropped = list(self._dropped)
            self._changed = later
            self._dropped.clear()
            self._told.update(key for key, _ in items)
        return [(key, self._describe(item)) for key, item in items], dropped

    def _drop(self, key: str) -> None:
        if self._items.pop(key, None) is None:
            return
        self._changed.pop(key, None)
        if key in self._told:
            self._told.discard(key)
            self._dropped[key] = None

    def _keep(self, key: str) -> None:
        if key in self._dropped:
            del self._dropped[key]
            self._told.add(key)


def keep_rows_only(rows: Rows[Event | Json], oldest: int, describe: Callable[[Event], Json]) -> None:
    """Keep of the events before number `oldest`, which the room's log has let go, their rows and no payloads."""
    for key, item in rows.items():
        if isinstance(item, Event):
            if item.number >= oldest:
                break
            if item.status != "open":
                rows.swap(key, describe(item))


class Part:
    """One subject of a room, as a browser shows it.

    A subclass fills `rows`, overrides `values`, and lists in `actions` the coroutines that a browser may call by
    name; their arguments come from the browser and are data like any other.

    Attributes:
        name: what the browser's side calls it: the name of its module.
        title: for people.
        rows: the lists of rows by name.
        actions: what a browser may ask for; a coroutine function each, run on the loop thread. What it returns is the
            answer: JSON, with bytes under "buffer" if there are any. What it raises is shown.
        again: seconds after which to look for changes that no event announces; None while there can be none.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, room: Room) -> None:
        self.room = room
        self.rows: dict[str, Rows[Any]] = {}
        self.actions: dict[str, Action] = {}
        self.again: float | None = None
        self._told: Json = {}
        self.changed: Callable[[], None] = lambda: None
        self._evicted = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to follow the room, and call `changed` (cheap, from any thread) when there is something to tell."""
        self.changed = changed

    def _follow(self, reader: Callable[[Event], None]) -> None:
        """Call `reader` with each event of the room's log from now on, until `stop`."""
        self._unsubscribe = self.room.events.subscribe(reader)

    def _log_has_let_go(self) -> int | None:
        """The log's oldest event by number, when the log has let older ones go since this was last asked."""
        log = self.room.events
        if log.evicted == self._evicted:
            return None
        self._evicted = log.evicted
        return log[0].number

    def stop(self) -> None:
        """Follow no longer; `html` and `text` still say how things are."""
        self._unsubscribe()

    def values(self) -> Json:
        """The single values by name, as JSON."""
        return {}

    def tables(self) -> list[tuple[str, Table]]:
        """How things are now as tables with titles, for a saved notebook and for a terminal."""
        raise NotImplementedError

    def look(self) -> None:
        """Look at what changes without an event; called before anything is told."""

    def whole(self) -> Json:
        """All there is to tell: `set` and `rows`."""
        self.look()
        self._told = self.values()
        return {"set": self._told, "rows": {name: rows.whole() for name, rows in self.rows.items()}}

    def changes(self) -> Json | None:
        """What has changed since the last time: those of `set`, `put` and `drop` that are not empty; None for none."""
        self.look()
        told: Json = {"put": {}, "drop": {}}
        for name, rows in self.rows.items():
            put, dropped = rows.changes()
            if put:
                told["put"][name] = put
            if dropped:
                told["drop"][name] = dropped
        values = self.values()  # after the rows, whose `skipped` may be among them
        told["set"] = {name: value for name, value in values.items() if self._told.get(name, self) != value}
        self._told = values
        return {key: value for key, value in told.items() if value} or None
