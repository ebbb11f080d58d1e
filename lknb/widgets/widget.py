"""What all widgets share, from their display to the static HTML that they leave; `RoomWidget`: that of a room."""

from __future__ import annotations

import html
import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from lknb.belongings import Belongings
from lknb.cells import Cell, current_cell, shell
from lknb.live import Live
from lknb.marimo_cells import in_marimo, when_cell_ends
from lknb.tables import plain, room_html
from lknb.widgets.channel import Channel
from lknb.widgets.modules import stylesheet
from lknb.widgets.part import Part, Still

if TYPE_CHECKING:
    from lknb.room import Room

MIME = "application/vnd.jupyter.widget-view+json"

# Of the static HTML: as compact as the live widgets, in the theme's colours.
_STATIC_STYLE = " ".join(
    f".lknb-static {rule}"
    for rule in (
        "{font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); max-height: 420px; overflow: auto}",
        "p {margin: 0 0 4px}",
        "summary {cursor: pointer; font-weight: 600; padding: 2px 0}",
        "table {table-layout: auto; border-collapse: collapse; font-size: 12px; margin: 0 0 6px; width: 100%}",
        ":is(th, td) {padding: 2px 6px; border-bottom: 1px solid var(--jp-border-color2, #8886); vertical-align: top}",
        "tr > :is(th, td) {background: none}",
        "thead th {background: var(--jp-layout-color2, #8882); position: sticky; top: 0}",
        "td {max-width: 36ch; white-space: nowrap; overflow: hidden; text-overflow: ellipsis}",
        "td:last-child {max-width: 44ch}",
    )
)


class LiveWidget(Live, anywidget.AnyWidget):
    """A live view of parts: a widget in a notebook, the current state as text in a terminal.

    It stays live until the cell that made it runs again, its owner ends it, or `close` is called. Then static HTML
    with its last state takes its place. marimo cannot change a finished cell's output, so there the page shows `final`.

    Args:
        widgets: the live widgets of the same owner. It adds itself, and ends those of an earlier run of its cell.
        parts: the parts to show.
        traits: the values of its synchronized traits.
    """

    _instead = "Make another one, such as room.panel(), in the cell that needs it."
    _css = stylesheet()
    active = False  # also during construction, and if that failed
    # Lines, and tables as lists of rows; empty while the widget is live.
    final: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, widgets: Belongings[Any], parts: Sequence[Part], **traits: Any) -> None:
        super().__init__(**traits)
        self._siblings = widgets
        self.parts = tuple(parts)
        self.cell: Cell | None = current_cell()
        self.active = True
        self._displays: list[tuple[Cell | None, Any]] = []
        self._channel = Channel(self._to_browsers, parts, self.close)
        self.on_msg(lambda widget, content, buffers: self._channel.received(content, buffers))
        for part in parts:
            part.start(self._channel.changed)
        for other in [each for each in widgets if self.replaces(each)]:
            for part, before in itertools.product(parts, other.parts):
                part.remember(before)
        self._in_marimo = in_marimo()
        when_cell_ends(self._cell_of_marimo_ended)
        widgets.add(self)

    def _to_browsers(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if self.comm is None:
            return
        if message["type"] == "state":
            # A saved notebook stores the last state under this id.
            message = {**message, "model": self.model_id}
        try:
            self.send(message, buffers)
        except UnicodeEncodeError:
            # Lone surrogates, which JSON from a peer can contain and a message cannot.
            self.send(json.loads(json.dumps(message, ensure_ascii=False).encode(errors="replace")), buffers)

    def replaces(self, other: LiveWidget) -> bool:
        """Whether this widget ends `other`, because an earlier run of the same cell made it."""
        return self.cell is not None and self.cell.ran_again(other.cell)

    # As HTML and as text

    def html(self) -> str:
        """The current state as HTML, in which everything from the room is escaped."""
        sections = [(html.escape(title), table._repr_html_()) for title, table in self._tables()]
        if len(sections) == 1:
            shown = [f"<p><strong>{title}</strong></p>{table}" for title, table in sections]
        else:  # folded but for the first one, as tabs are
            shown = [
                f"<details{' open' if index == 0 else ''}><summary>{title}</summary>{table}</details>"
                for index, (title, table) in enumerate(sections)
            ]
        head = f"<p>{html.escape(self.headline())}</p>"
        return room_html(f'<div class="lknb-static"><style>{_STATIC_STYLE}</style>{head}{"".join(shown)}</div>')

    def headline(self) -> str:
        """What the widget shows, in one line."""
        raise NotImplementedError

    def _tables(self) -> list[tuple[str, Still]]:
        return [each for part in self.parts for each in part.tables()]

    def __repr__(self) -> str:
        return "\n\n".join([self.headline(), *(f"{title}\n{table!r}" for title, table in self._tables())])

    # In a notebook

    def _bundle(self) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self), "text/html": self.html()}
        if self.active and self.comm is not None:
            bundle[MIME] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return bundle

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._bundle(), {}

    def _ipython_display_(self, **_: Any) -> None:
        from IPython.display import display

        ipython = shell()
        if not hasattr(ipython, "kernel"):
            print(repr(self))
            return
        handle: Any = display(self._bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
        if self.active:
            self._displays.append((current_cell(), handle))

    def close(self) -> None:
        """Stop following. Static HTML takes the widget's place."""
        self._finish(None)

    def discard(self) -> None:
        """Stop following because its cell has run again. Outputs of other cells become static."""
        self._finish(current_cell())

    def _cell_of_marimo_ended(self) -> None:
        self._in_marimo = False  # its output goes, so the page needs no last state
        self._finish(None)
        self._release()

    def _display_(self) -> Any:
        """What marimo shows: the widget, or HTML once its cell has run again."""
        import marimo

        return marimo.ui.anywidget(self) if self.comm is not None else marimo.Html(self.html())

    def _final(self) -> list[Any]:
        tables = [[title, *table.blocks()] for title, table in self._tables()]
        return [self.headline(), *(block for blocks in tables for block in blocks)]

    def _finish(self, again: Cell | None) -> None:
        if not self.active:
            return
        self.active = False
        self._channel.close()
        for part in self.parts:
            part.stop()
        self._siblings.remove(self)
        if self._in_marimo:
            self.final = self._final()
            return  # a page that is loaded later needs it too, until the cell runs again
        # The new output first: a front end that finds the comm closed shows an error instead.
        bundle = self._bundle() if self._displays else {}
        for cell, handle in self._displays:
            if again is None or cell is None or cell.id != again.id:
                # Identified by its display id, and sent by the cell that closes: when a notebook runs without a
                # browser, messages of earlier cells are ignored.
                handle.update(bundle, raw=True)
        self._displays.clear()
        self._release()

    def _release(self) -> None:
        layout = self.layout
        super().close()
        layout.close()  # a widget of its own, which nothing else uses


class RoomWidget(LiveWidget):
    """A live view of a room, which ends it when it is closed.

    Args:
        room: the room to show.
        parts: the parts to show.
        traits: the values of its synchronized traits.
    """

    def __init__(self, room: Room, parts: Sequence[Part], **traits: Any) -> None:
        self.room = room
        super().__init__(room.widgets, parts, **traits)

    def headline(self) -> str:
        """This participant, the room, the connection's state, and the number of events."""
        return room_headline(self.room)


def room_headline(room: Room) -> str:
    """This participant, the room, the connection's state, and the number of events, in one line."""
    evicted = f", {room.events.evicted:,} of them evicted" if room.events.evicted else ""
    return plain(f"{room.identity} in {room.name}: {room.state}, {room.events.total:,} events{evicted}")
