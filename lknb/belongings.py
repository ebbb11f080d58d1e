"""Objects that outlive the cells that made them (handlers, widgets, links), and the one rule for when they end.

When a cell runs again, the objects of its earlier run end: immediately if the new run replaces them, otherwise when the
new run succeeds. After a failed run they stay, because it may not have reached the code that makes them again. marimo
ends them before the new run. An object that no cell made stays until somebody ends it, or its room is closed.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from lknb.cells import Cell, watch_cells
from lknb.live import Live
from lknb.marimo_cells import when_cell_ends
from lknb.public import public


class Belonging(Protocol):
    """An object that a cell made."""

    cell: Cell | None
    """The run of the cell that made it; None without IPython, or if the front end sends no cell ids."""

    def replaces(self, other: Any) -> bool:
        """Whether adding this object ends `other`, of the same kind."""


T = TypeVar("T", bound=Belonging)

# Guards the set, and the objects of each owner.
_lock = threading.RLock()
_owners: weakref.WeakSet[Belongings[Any]] = weakref.WeakSet()


@public
class Belongings(Live, Generic[T]):
    """The active objects of one kind in one room, oldest first. Safe to use from any thread.

    Args:
        end: called to end an object, such as one that another object replaces or whose cell ran again.
        begin: called with each new object, before the objects that it replaces end.
    """

    _instead = "Use list(...) of it."

    def __init__(self, end: Callable[[T], Any], begin: Callable[[T], Any] = lambda thing: None) -> None:
        self._end, self._begin = end, begin
        self._things: tuple[T, ...] = ()
        with _lock:
            _owners.add(self)

    def __iter__(self) -> Iterator[T]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def __repr__(self) -> str:
        return "\n".join([f"<{len(self)} active>", *(f"  {thing!r}" for thing in self._things)])

    def add(self, thing: T) -> None:
        """Add an object, and end those that it replaces."""
        watch_cells(_cell_ended)
        known = weakref.ref(thing)  # an object that has ended need not stay until its cell runs again
        when_cell_ends(lambda: self.end_if(lambda each: each is known()))
        with _lock:
            replaced = [other for other in self._things if thing.replaces(other)]
            self._things = (*(other for other in self._things if other not in replaced), thing)
        self._begin(thing)
        for other in replaced:
            self._end(other)

    def remove(self, thing: T) -> None:
        """Remove an object that ends by itself. Does nothing if it is not present."""
        with _lock:
            self._things = tuple(other for other in self._things if other is not thing)

    def end_if(self, condition: Callable[[T], bool]) -> int:
        """Remove and end the objects for which `condition` is true; return their number."""
        with _lock:
            ended = [thing for thing in self._things if condition(thing)]
            self._things = tuple(thing for thing in self._things if thing not in ended)
        for thing in ended:
            self._end(thing)
        return len(ended)


def _cell_ended(cell: Cell) -> None:
    with _lock:
        owners = list(_owners)
    for owner in owners:
        owner.end_if(lambda thing: cell.ran_again(thing.cell))
