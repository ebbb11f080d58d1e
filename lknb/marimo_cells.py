"""Cells of marimo, which runs notebooks without IPython: what a cell made ends when marimo runs or deletes that cell.

marimo is optional: this module never imports it, and does nothing where it does not run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def in_marimo() -> bool:
    """Whether a cell of a marimo notebook runs on this thread."""
    return _registry() is not None


def when_cell_ends(end: Callable[[], object]) -> None:
    """Call `end` when marimo runs the current cell again, or deletes it. Does nothing if no cell of marimo runs."""
    registry = _registry()
    if registry is not None:
        registry.add(_Ending(end))


class _Ending:
    """An item of marimo's registry: it has these two methods, and is disposed of with its cell."""

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end

    def create(self, context: Any) -> None:
        """Do nothing: the object exists already."""

    def dispose(self, context: Any, deletion: bool) -> bool:
        """End the object, and tell marimo to forget this item."""
        self._end()
        return True


def _registry() -> Any:
    """Where marimo keeps what ends with its cells; None where no cell of marimo runs."""
    runtime = sys.modules.get("marimo._runtime.context")
    try:
        context = runtime.safe_get_context() if runtime else None
        return context.cell_lifecycle_registry if context is not None and context.cell_id is not None else None
    except AttributeError:
        return None  # another version of marimo; what its cells make then ends with the room
