"""Tables of a room's data: HTML in a notebook, text in a terminal, all of it escaped."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterable, Sequence
from typing import Any

from lknb.inert import inert_line
from lknb.public import public

_WIDEST = 60


@public
class Table:
    """Rows under headings, displayed as a table in a notebook or a terminal.

    Attributes:
        columns: the headings.
        rows: a tuple for each row.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        empty: str = "Nothing yet.",
        note: str = "",
    ) -> None:
        self.columns = tuple(columns)
        self.rows = [tuple(row) for row in rows]
        self._empty = empty
        self._note = note

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __repr__(self) -> str:
        if not self.rows:
            return self._empty
        cells = self._cells()
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        notes = [self._note] if self._note else []
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:], *notes])

    def _cells(self) -> list[list[str]]:
        return [list(self.columns), *([plain(value) for value in row] for row in self.rows)]

    def blocks(self) -> list[str | list[list[str]]]:
        """The same as text for a page: a list of rows, the headings first, and lines of text."""
        if not self.rows:
            return [self._empty]
        return [self._cells(), *([self._note] if self._note else [])]

    def _repr_html_(self) -> str:
        if not self.rows:
            return room_html(f"<em>{html.escape(self._empty)}</em>")
        head = "".join(f'<th scope="col" style="text-align: left">{html.escape(each)}</th>' for each in self.columns)
        body = "".join("<tr>" + "".join(_cell(plain(value)) for value in row) + "</tr>" for row in self.rows)
        note = f"<p><em>{html.escape(self._note)}</em></p>" if self._note else ""
        return room_html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}")


def room_html(escaped: str) -> str:
    """HTML with text from a room, in which no front end typesets mathematics: `$` is what somebody wrote."""
    # The classes of MathJax 3 and later (JupyterLab), and of MathJax 2 (nbconvert).
    return f'<div class="mathjax_ignore tex2jax_ignore">{escaped}</div>'


def plain(value: Any) -> str:
    """`value` as one short line, without characters that control a terminal or the text direction."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        value = value.astimezone().strftime("%Y-%m-%d %H:%M:%S")  # local, as all times that are shown
    text = inert_line(str(value)[: 4 * _WIDEST])
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def time_of_day(moment: dt.datetime, *, milliseconds: bool = False) -> str:
    """Hours, minutes and seconds in this machine's time zone."""
    local = moment.astimezone()
    return local.strftime("%H:%M:%S.%f")[:-3] if milliseconds else local.strftime("%H:%M:%S")


def _cell(text: str) -> str:
    # Without this, a long word such as compact JSON pushes the following columns off the page.
    long = any(len(word) > 30 for word in text.split())
    style = "text-align: left; overflow-wrap: anywhere" if long else "text-align: left"
    return f'<td style="{style}">{html.escape(text)}</td>'
