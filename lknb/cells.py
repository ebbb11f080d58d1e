"""Notebook cells: the running cell, cell names in tracebacks, and how errors appear in a cell."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lknb.credentials import scrub
from lknb.inert import inert

_PACKAGE = str(Path(__file__).parent) + os.sep


def shell() -> Any:
    """The running IPython shell, or None. Does not import IPython."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()  # type: ignore[no-untyped-call, unused-ignore]


@dataclass(frozen=True)
class Cell:
    """A run of a notebook cell: the cell's id in the notebook, and the id of this execution."""

    id: str
    execution: str

    def ran_again(self, before: Cell | None) -> bool:
        """Whether this is another run of the same cell as `before`."""
        return before is not None and self.id == before.id and self.execution != before.execution


def current_cell() -> Cell | None:
    """The running cell; None if the front end sends no cell ids."""
    try:
        parent = shell().get_parent()
        return Cell(parent["metadata"]["cellId"], parent["header"]["msg_id"])
    except (AttributeError, KeyError, TypeError):
        return None  # a terminal, or a front end without cell ids


Watcher = Callable[[Cell], None]

_watchers: list[Watcher] = []
_watched: Any = None  # the shell whose cells are watched


def watch_cells(watcher: Watcher) -> None:
    """Call `watcher(cell)` after each cell that succeeds, if the front end sends cell ids."""
    global _watched
    if watcher not in _watchers:
        _watchers.append(watcher)
    ipython = shell()
    if ipython is not None and ipython is not _watched:
        unwatch_cells()
        ipython.events.register("post_run_cell", _cell_ended)
        _watched = ipython


def unwatch_cells() -> None:
    """Stop watching cells; called when the extension is unloaded."""
    global _watched
    if _watched is not None:
        _watched.events.unregister("post_run_cell", _cell_ended)
    _watched = None


def _cell_ended(result: Any) -> None:
    cell = current_cell()
    # A failed cell may not have reached the code that makes its objects again, so they stay.
    if cell is None or not result.success:
        return
    for watcher in list(_watchers):
        watcher(cell)


def format_error(error: BaseException) -> str:
    """Format a traceback: from the user's code on, with cells named as in the notebook, without control characters."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    text = name_cells("".join(lines))
    return inert(scrub(text))


def name_cells(text: str) -> str:
    """A traceback's text, with cells named as in the notebook."""
    names: Mapping[str, int] = getattr(getattr(shell(), "compile", None), "_filename_map", {})
    for filename, number in names.items():
        text = text.replace(f'File "{filename}"', f"Cell In[{number}]")
    return text
