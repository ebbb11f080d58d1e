"""An IPython shell in the tests' process, without history; it raises a cell's exceptions to the test."""

from __future__ import annotations

import atexit
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.history import HistoryAccessor, HistoryManager
from IPython.core.interactiveshell import InteractiveShell

_runs = itertools.count(1)


class Shell(InteractiveShell):
    """Runs cells like a notebook's kernel, with the cell's id and its code as typed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._parent: dict[str, Any] = {}

    def get_parent(self) -> dict[str, Any]:
        return self._parent

    def cell(self, code: str, id: str | None = None) -> Any:
        """Run a cell and return its result; raise its exception."""
        metadata = {} if id is None else {"cellId": id}
        header = {"msg_id": f"run-{next(_runs)}"}
        self._parent = {"header": header, "metadata": metadata, "content": {"code": code}}
        result = self.run_cell(code, store_history=True)
        result.raise_error()
        return result.result

    def showtraceback(self, *args: Any, **kwargs: Any) -> None:
        """Show nothing: `cell` raises the error."""

    def show_usage_error(self, exc: Any) -> None:
        """Show nothing: `cell` raises the error."""

    def complete_at_end(self, code: str) -> list[str]:
        """Return the completions offered at the end of `code`."""
        with provisionalcompleter():
            return [each.text for each in self.Completer.completions(code, len(code))]


@contextmanager
def a_shell() -> Iterator[Shell]:
    """Yield the one shell of this process, which `get_ipython()` returns."""
    patch = pytest.MonkeyPatch()
    for owner in (HistoryManager, HistoryAccessor):
        patch.setattr(owner, "enabled", False)  # otherwise each shell leaves an open database and a thread
    Shell.clear_instance()
    shell = Shell.instance()
    patch.setattr(shell.displayhook, "flush", lambda: None)  # otherwise every shell runs a full garbage collection
    try:
        yield shell
    finally:
        shell.run_line_magic("unload_ext", "lknb")
        shell.atexit_operations()
        atexit.unregister(shell.atexit_operations)
        shell.restore_sys_module_state()
        Shell.clear_instance()
        patch.undo()
