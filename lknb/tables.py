"""Tables of a room's data: HTML in a notebook, text in a terminal, all of it escaped."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterable, Sequence
from typing import Any

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
        cells = [self.columns, *([plain(value) for value in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        notes = [self._note] if self._note else []
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:], *notes])

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<em>{html.escape(self._empty)}</em>"
        head = "".join(f'<th scope="col" style="text-align: left">{html.escape(each)}</th>' for each in self.columns)
        body = "".join("<tr>" + "".join(_cell(plain(value)) for value in row) + "</tr>" for row in self.rows)
        note = f"<p><em>{html.escape(self._note)}</em></p>" if self._note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def plain(value: Any) -> str:
    """`value` as one short line, without characters that control a terminal or the text direction."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, dt.datetime):
        text = value.isoformat(" ", "seconds")
    else:
        text = str(value)
    text = "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in text[: 4 * _WIDEST])
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _cell(text: str) -> str:
    # Without this, a long word such as compact JSON pushes the following columns off the page.
    long = any(len(word) > 30 for word in text.split())
    style = "text-align: left; overflow-wrap: anywhere" if long else "text-align: left"
    return f'<td style="{style}">{html.escape(text)}</td>'
