"""A line with a transfer's progress: bytes, rate and time left. Appears only after half a second."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

from lknb.inert import inert_line
from lknb.tables import room_html

APPEARS_AFTER = 0.5
_EVERY = 0.25


class Progress:
    """Shows the progress of one transfer, in the cell or terminal whose context calls `update`.

    Args:
        label: what is transferred, as plain text.
        total: its size in bytes, if known.
    """

    def __init__(self, label: str, total: int | None) -> None:
        self._label = label
        self._total = total
        self._begun = self._shown = time.monotonic()
        self._line: Any = None

    def update(self, done: int) -> None:
        """Report the bytes transferred so far. Cheap: the line changes at most four times a second."""
        at = time.monotonic()
        if at - self._begun >= APPEARS_AFTER and at - self._shown >= _EVERY:
            self._shown = at
            self._show(self.describe(done, at - self._begun))

    def close(self, done: int, error: str | None = None) -> None:
        """Show the final line, if a line was shown before."""
        if self._line is None:
            return
        seconds = time.monotonic() - self._begun
        outcome = f"failed after {size(done)}: {error}" if error else f"{size(done)} in {seconds:.1f} s"
        self._show(f"{self._label}: {outcome} ({size(done / seconds)}/s)", last=True)

    def describe(self, done: int, seconds: float) -> str:
        """The progress line for `done` bytes after `seconds`."""
        rate = done / seconds if seconds else 0.0
        if not self._total:
            return f"{self._label}: {size(done)} ({size(rate)}/s)"
        left = f", {(self._total - done) / rate:.0f} s left" if rate else ""
        return f"{self._label}: {size(done)} of {size(self._total)}, {done / self._total:.0%} ({size(rate)}/s{left})"

    def _show(self, line: str, *, last: bool = False) -> None:
        kernel = _display()
        line = inert_line(line)
        if kernel is not None:
            bundle = {"text/plain": line, "text/html": room_html(f"<code>{html.escape(line)}</code>")}
            if self._line is None:
                self._line = kernel(bundle, raw=True, display_id=True)
            else:
                self._line.update(bundle, raw=True)
        elif sys.stderr.isatty():
            self._line = line
            sys.stderr.write(f"\r{line:<100}" + ("\n" if last else ""))
            sys.stderr.flush()


def _display() -> Any:
    """IPython's display function in a kernel; None elsewhere."""
    if "ipykernel" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    return display if get_ipython() is not None else None


def size(count: float) -> str:
    """Format a number of bytes in a readable unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
