"""The newest rows of a stream of tables, as columns: no Python object for a row.

Small tables wait in a list until there are enough to join them, so that rows which come one by one are not kept one by
one. Tables of different columns stay apart until somebody reads.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Any, NamedTuple

from lknb.arrow import pyarrow

RECEIVED, SENDER = "received", "sender"
"""The columns that are added: when a row arrived, by this machine's clock, and its sender's identity."""

_JOIN = 64


class _Part(NamedTuple):
    table: Any
    received: int  # microseconds since 1970
    sender: str


class Window:
    """The newest rows, at most `most`. Safe from any thread.

    Attributes:
        total: number of rows that were added in all.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = 0
        self._pa = pyarrow()
        self._lock = threading.Lock()
        self._parts: list[_Part] = []  # the newest, not joined yet
        self._joined: deque[Any] = deque()
        self._rows = 0

    def __len__(self) -> int:
        return min(self._rows, self.most)

    def add(self, table: Any, received: int, sender: str) -> None:
        """Add the rows of a table, which came at this time from this identity."""
        with self._lock:
            self._parts.append(_Part(table, received, sender))
            self._rows += table.num_rows
            self.total += table.num_rows
            if len(self._parts) >= _JOIN:
                self._join()
            while self._joined and self._rows - self._joined[0].num_rows >= self.most:
                self._rows -= self._joined.popleft().num_rows

    def clear(self) -> None:
        """Forget the rows."""
        with self._lock:
            self._parts.clear()
            self._joined.clear()
            self._rows = 0

    def last(self) -> dict[str, Any] | None:
        """The newest row, by name."""
        with self._lock:
            table = self._parts[-1].table if self._parts else self._joined[-1] if self._joined else None
            sender = self._parts[-1].sender if self._parts else None
        if table is None:
            return None
        (row,) = table.slice(table.num_rows - 1).to_pylist()
        return row if sender is None else {**row, _free(row, SENDER): sender}

    def table(self) -> Any:
        """The rows as a `pyarrow.Table`. Columns that some rows do not have are null there."""
        with self._lock:
            self._join()
            joined, rows = list(self._joined), self._rows
        if not joined:
            return self._pa.table({})
        try:
            table = self._pa.concat_tables(joined, promote_options="permissive")
        except (self._pa.ArrowInvalid, self._pa.ArrowTypeError):
            table = self._pa.concat_tables(_same_types(self._pa, joined), promote_options="permissive")
        return table.slice(max(0, rows - self.most))

    def _join(self) -> None:
        """Join the newest tables that follow each other and have the same columns."""
        parts, self._parts = self._parts, []
        for _, group in itertools.groupby(parts, lambda part: part.table.schema.remove_metadata()):
            self._joined.append(self._with_origin(list(group)))
        # Joined tables of few rows are joined again, so that their number does not grow with that of the packets.
        while len(self._joined) > 1:
            last, before = self._joined[-1], self._joined[-2]
            if before.num_rows > 2 * last.num_rows or not before.schema.equals(last.schema):
                break
            self._joined.pop()
            self._joined[-1] = self._pa.concat_tables([before, last]).combine_chunks()

    def _with_origin(self, parts: list[_Part]) -> Any:
        pa = self._pa
        table = pa.concat_tables([part.table.replace_schema_metadata(None) for part in parts]).combine_chunks()
        times = [pa.repeat(pa.scalar(part.received, pa.timestamp("us", "UTC")), part.table.num_rows) for part in parts]
        senders = [pa.repeat(pa.scalar(part.sender), part.table.num_rows) for part in parts]
        names = table.column_names
        table = table.append_column(_free(names, RECEIVED), pa.concat_arrays(times))
        return table.append_column(_free(names, SENDER), pa.concat_arrays(senders))


def _free(names: Any, name: str) -> str:
    """`name`, or a longer one if the rows have a column of that name."""
    while name in names:
        name += "_"
    return name


def _same_types(pa: Any, tables: list[Any]) -> list[Any]:
    """The tables with one type for each column: numbers as floats, what differs otherwise as text."""
    types: dict[str, set[Any]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, set()).add(field.type)

    def is_number(kind: Any) -> bool:
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))

    def with_types(table: Any) -> Any:
        for at, field in enumerate(table.schema):
            kinds = {kind for kind in types[field.name] if not pa.types.is_null(kind)}
            if len(kinds) < 2:
                continue
            column = table.column(at)
            if all(map(is_number, kinds)):
                column = column.cast(pa.float64(), safe=False)
            else:
                column = pa.array([_text(each) for each in column], pa.string())
            table = table.set_column(at, field.name, column)
        return table

    return [with_types(table) for table in tables]


def _text(scalar: Any) -> str | None:
    return str(scalar.as_py()) if scalar.is_valid else None
