"""`RoomWidget`: what all widgets of a room have in common, from being displayed to the static HTML that they leave."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anywidget

from lknb.cells import Cell, current_cell, shell
from lknb.live import Live
from lknb.tables import Table, plain
from lknb.widgets.channel import Channel
from lknb.widgets.modules import stylesheet
from lknb.widgets.part import Part

if TYPE_CHECKING:
    from lknb.room import Room

MIME = "application/vnd.jupyter.widget-view+json"


class RoomWidget(Live, anywidget.AnyWidget):
    """A live view of a room: in a notebook as a widget, in a terminal as how things are now.

    It stays current until the cell that showed it runs again, the room is closed, or `close`; then it leaves what it
    last showed as static HTML.

    Args:
        room: whose.
        parts: what it shows.
        traits: the values of its synchronized traits.
    """

    _instead = "Make another one, such as room.panel(), in the cell that needs it."
    _css = stylesheet()
    active = False  # also while it is being made, and when that failed

    def __init__(self, room: Room, parts: Sequence[Part], **traits: Any) -> None:
        super().__init__(**traits)
        self.room = room
        self.parts = tuple(parts)
        self.cell: Cell | None = current_cell()
        self.active = True
        self._displays: list[tuple[Cell | None, Any]] = []
        self._channel = Channel(self._tell, parts)
        self.on_msg(lambda widget, content, buffers: self._channel.received(content, buffers))
        for part in parts:
            part.start(self._channel.changed)
        room.widgets.add(self)

    def _tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if self.comm is None:
            return
        if message["type"] == "state":
            # A saved notebook finds by it what was last seen.
            message = {**message, "model": self.model_id}
        try:
            self.send(message, buffers)
        except UnicodeEncodeError:
            # Halves of surrogate pairs, which JSON of a peer's can hold, and no message carries.
            self.send(json.loads(json.dumps(message, ensure_ascii=False).encode(errors="replace")), buffers)

    def replaces(self, other: RoomWidget) -> bool:
        """Whether displaying this one ends `other`: an earlier run of the same cell made it."""
        if self.cell is None or other.cell is None:
            return type(self).__name__ == type(other).__name__  # each instance has a class of its own, for its traits
        return self.cell.ran_again(other.cell)

    # As HTML and as text

    def html(self) -> str:
        """How things are now, as HTML in which everything from the room is escaped."""
        parts = [f"<div>{html.escape(self.headline())}</div>"]
        for title, table in self._tables():
            parts.append(f"<div><strong>{html.escape(title)}</strong></div>{table._repr_html_()}")
        return "".join(parts)

    def headline(self) -> str:
        """Who is where, and how that is."""
        room = self.room
        gone = f", {room.events.evicted:,} older ones let go" if room.events.evicted else ""
        return plain(f"{room.identity} in {room.name}: {room.state}, {room.events.total:,} events{gone}")

    def _tables(self) -> list[tuple[str, Table]]:
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
        """Stop following. Where it is shown, static HTML takes its place."""
        self._finish(None)

    def discard(self) -> None:
        """Stop following, because its cell has run again: what that one showed is gone, other outputs become static."""
        self._finish(current_cell())

    def _finish(self, again: Cell | None) -> None:
        if not self.active:
            return
        self.active = False
        self._channel.close()
        for part in self.parts:
            part.stop()
        self.room.widgets.remove(self)
        # A front end that finds the comm closed before the new output would say that there is no model.
        bundle = self._bundle()
        for cell, handle in self._displays:
            if again is None or cell is None or cell.id != again.id:
                # Found by its display id, and said by the cell that closes: others than it are no longer listened to
                # when a notebook is run without a browser.
                handle.update(bundle, raw=True)
        self._displays.clear()
        layout = self.layout
        super().close()
        layout.close()  # a widget of its own, which nobody else has
