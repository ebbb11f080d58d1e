"""What cells have made and keeps working after them (handlers, widgets, links), and the one rule for when it ends.

When a cell runs again, what its earlier run made ends: at once where the new run makes the same thing, and otherwise
when the new run has ended without an error. A run that failed may not have reached what the earlier one made.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from lknb.cells import Cell, watch_cells
from lknb.public import public


class Belonging(Protocol):
    """Something that a cell has made."""

    cell: Cell | None
    """The run of the cell that made it; None where the front end does not name its cells."""

    def replaces(self, other: Any) -> bool:
        """Whether making this one ends `other`, of the same kind."""


T = TypeVar("T", bound=Belonging)

# Guards the set, and the things of each owner.
_lock = threading.RLock()
_owners: weakref.WeakSet[Belongings[Any]] = weakref.WeakSet()


@public
class Belongings(Generic[T]):
    """The active things of one kind in one room, oldest first. Safe from any thread.

    Args:
        end: ends a thing that was taken out: because another one replaces it, or its cell ran again.
        begin: called with each new thing, before those that it replaces end.
    """

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
        """Add a thing in place of those that it replaces."""
        watch_cells(_cell_ended)
        with _lock:
            replaced = [other for other in self._things if thing.replaces(other)]
            self._things = (*(other for other in self._things if other not in replaced), thing)
        self._begin(thing)
        for other in replaced:
            self._end(other)

    def remove(self, thing: T) -> None:
        """Take out a thing that ends by itself; one that is not there is ignored."""
        with _lock:
            self._things = tuple(other for other in self._things if other is not thing)

    def end_if(self, condition: Callable[[T], bool]) -> int:
        """Take out and end the things for which `condition` holds; returns how many."""
        with _lock:
            ended = [thing for thing in self._things if condition(thing)]
            self._things = tuple(thing for thing in self._things if thing not in ended)
        for thing in ended:
            self._end(thing)
        return len(ended)


def everything() -> Iterator[Any]:
    """What all cells have made and is still active, in all rooms."""
    with _lock:
        owners = list(_owners)
    for owner in owners:
        yield from owner


def _cell_ended(cell: Cell) -> None:
    with _lock:
        owners = list(_owners)
    for owner in owners:
        owner.end_if(lambda thing: cell.ran_again(thing.cell))
