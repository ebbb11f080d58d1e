"""The state of the magics: which open room is the current one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from lknb.event import Event
from lknb.magics.grammar import closest
from lknb.magics.scope import NO_VALUE

if TYPE_CHECKING:
    from lknb.room import Room

_NO_ROOM = "No room is open. Join one with: %lk connect ROOM --as IDENTITY"


class Session:
    """The current room of a shell, its variables, and the settings of the magics."""

    def __init__(self, shell: Any, settings: Any) -> None:
        self.shell = shell
        self.settings = settings
        self._chosen: Room | None = None

    def open_rooms(self) -> list[Room]:
        """The open rooms of this kernel. Before the first one is joined, this is empty and loads nothing."""
        import sys

        connecting = sys.modules.get("lknb.connecting")
        return connecting.rooms() if connecting is not None else []

    @property
    def current(self) -> Room | None:
        """The room that a magic joined or chose last; if there is none, or it is closed, the room joined last."""
        rooms = self.open_rooms()
        if self._chosen in rooms:
            return self._chosen
        return rooms[-1] if rooms else None

    @property
    def room(self) -> Room:
        """The current room.

        Raises:
            UsageError: if none is open.
        """
        if self.current is None:
            raise UsageError(_NO_ROOM)
        return self.current

    def choose(self, room: Room) -> None:
        """Make `room` the current one."""
        self._chosen = room

    def find(self, text: str) -> Room:
        """The open room named `identity@room`, or by its room or identity alone if that is unambiguous.

        Raises:
            UsageError: if no room, or more than one, matches; the message names the open rooms.
        """
        rooms = self.open_rooms()
        names = {f"{each.identity}@{each.name}": each for each in rooms}
        if text in names:
            return names[text]
        matching = [each for each in rooms if text in (each.name, each.identity)]
        if len(matching) == 1:
            return matching[0]
        if not rooms:
            raise UsageError(_NO_ROOM)
        what = "matches several rooms." if matching else f"is not open{closest(text, names) or '.'}"
        raise UsageError(f"{text} {what} Open: {', '.join(names)}.")

    def variable(self, name: str, scope: Mapping[str, Any]) -> Any:
        """The value of a variable of the function that called the magic, `scope`, or else of the notebook.

        Raises:
            UsageError: if neither has it, or the function has not assigned its own.
        """
        if scope.get(name) is NO_VALUE:
            raise UsageError(f"The function's own variable {name} has no value here. Assign it first.")
        for variables in (scope, self.shell.user_ns):
            if name in variables:
                return variables[name]
        raise UsageError(f"There is no variable {name}{closest(name, [*scope, *self.variables()]) or '.'}")

    def texts(self, *, sent: bool) -> list[str]:
        """The names of the variables that hold a text; with `sent`, only texts that were sent from here."""
        values = self.shell.user_ns
        return [
            name
            for name in self.variables()
            if isinstance(values[name], Event) and values[name].kind == "text"
            if values[name].direction == "out" or not sent
        ]

    def variables(self) -> list[str]:
        """The names of the user's variables."""
        hidden = self.shell.user_ns_hidden
        return [name for name in self.shell.user_ns if not name.startswith("_") and name not in hidden]
