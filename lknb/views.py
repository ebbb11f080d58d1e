"""Live tables of a room in a notebook: `room.feed()` and `room.panel()`, kept current where they were displayed."""

from __future__ import annotations

import contextvars
import html
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from lknb.cells import Cell, current_cell, shell
from lknb.events import Event, EventLog
from lknb.inbox import Interest
from lknb.loop import LOOP
from lknb.participants import Participants
from lknb.tables import Table, plain

_ROWS = 25
_PAUSE = 0.2
"""Seconds between two updates: five a second, whatever the rate of events."""


class Watched(Protocol):
    """What a view needs of a room."""

    events: EventLog

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def participants(self) -> Participants: ...  # noqa: D102
    def _show(self, view: View) -> None: ...


class View:
    """A part of a room that shows itself in a cell, and stays current until the cell runs again or the room closes.

    In a terminal it shows how things are now.
    """

    def __init__(self, room: Watched) -> None:
        self._room = room
        self._cell: Cell | None = current_cell()
        self._handle: Any = None
        self._context = contextvars.copy_context()
        self._due = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self.active = False

    def html(self) -> str:
        """How things are now, as HTML in which everything from the room is escaped."""
        raise NotImplementedError

    def __repr__(self) -> str:
        raise NotImplementedError

    def replaces(self, other: View) -> bool:
        """Whether showing this one ends `other`: an earlier run of the same cell showed it."""
        if self._cell is None or other._cell is None:
            return type(self) is type(other)
        return self._cell.id == other._cell.id and self._cell.execution != other._cell.execution

    def _ipython_display_(self) -> None:
        from IPython.display import display

        handle: Any = display(self._bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
        ipython = shell()
        if self.active or self._room.state == "closed" or not hasattr(ipython, "kernel"):
            return
        self._handle = handle
        self.active = True
        self._room._show(self)
        self._unsubscribe = self._room.events.subscribe(self._changed)

    def close(self) -> None:
        """Stop following; what is shown stays."""
        self._unsubscribe()
        self.active = False

    def _bundle(self) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def _changed(self, event: Event) -> None:
        if not self._due:
            self._due = True
            # Waits a little, so that a burst of events is one update.
            LOOP.loop.call_soon_threadsafe(LOOP.loop.call_later, _PAUSE, self._update)

    def _update(self) -> None:
        self._due = False
        if self.active:
            # The cell's own context, so that its output area is the one that is updated.
            self._context.copy().run(self._handle.update, self._bundle(), raw=True)
        if self._room.state == "closed":
            self.close()


class Feed(View):
    """The newest events of a room, newest first.

    Args:
        room: whose.
        topic: only this topic, method or track name.
        kind: only this kind, or these.
    """

    def __init__(self, room: Watched, topic: str | None = None, kind: Any = None) -> None:
        super().__init__(room)
        self._interest = Interest.of(kind, topic)

    def table(self, rows: int = _ROWS) -> Table:
        """The newest events as rows."""
        newest: deque[Event] = deque(maxlen=rows)
        kinds, topic = self._interest.kinds, self._interest.topic
        wanted = (
            event
            for event in reversed(self._room.events[:])
            if (kinds is None or event.kind in kinds) and (topic is None or event.topic == topic)
        )
        newest.extend(islice(wanted, rows))
        return Table(
            ("time", "", "kind", "from", "topic", "bytes", "status", "what"),
            [
                (
                    event.time.astimezone().strftime("%H:%M:%S.%f")[:-3],
                    "in" if event.direction == "in" else "out",
                    event.kind,
                    event.sender or "",
                    event.topic,
                    "" if event.size is None else f"{event.size:,}",
                    event.status if not event.error else f"{event.status}: {event.error}",
                    _preview(event),
                )
                for event in newest
            ],
            empty="Nothing has happened yet. Send something, or wait for somebody who does.",
        )

    def html(self) -> str:
        """The newest events as a table, with the room's state above it."""
        return f"<div>{html.escape(_headline(self._room))}</div>{self.table()._repr_html_()}"

    def __repr__(self) -> str:
        return f"{_headline(self._room)}\n{self.table()!r}"


class Panel(View):
    """A room at a glance: who is here, their state, and what has just happened."""

    def _tables(self) -> list[tuple[str, Table]]:
        everybody = self._room.participants.values()
        people = Table(
            ("identity", "name", "kind", "state", "quality", "since", "data tracks", "metadata"),
            [
                (
                    f"{each.identity} (you)" if each.is_local else each.identity,
                    each.name,
                    each.kind,
                    each.state,
                    each.quality,
                    each.joined_at.astimezone().strftime("%H:%M:%S") if each.joined_at else "",
                    ", ".join(each.data_tracks),
                    each.metadata,
                )
                for each in everybody
            ],
            empty="Nobody is here.",
        )
        attributes = Table(
            ("identity", "attribute", "value"),
            [(each.identity, key, value) for each in everybody for key, value in sorted(each.attributes.items())],
            empty="Nobody has set an attribute.",
        )
        return [
            ("Participants", people),
            ("Attributes", attributes),
            ("Newest events", Feed(self._room).table(8)),
        ]

    def html(self) -> str:
        """The tables under each other."""
        parts = [f"<div>{html.escape(_headline(self._room))}</div>"]
        parts += [f"<div><strong>{title}</strong></div>{table._repr_html_()}" for title, table in self._tables()]
        return "".join(parts)

    def __repr__(self) -> str:
        return "\n\n".join([_headline(self._room), *(f"{title}\n{table!r}" for title, table in self._tables())])


def _headline(room: Watched) -> str:
    gone = f", {room.events.evicted:,} older ones let go" if room.events.evicted else ""
    return plain(f"{room.identity} in {room.name}: {room.state}, {room.events.total:,} events{gone}")


def _preview(event: Event) -> str:
    text = event.text()
    if text is None:
        return event.data.hex(" ")[:60] if isinstance(event.data, bytes) else ""
    return text
