"""The newest samples of telemetry as columns: a time, a source and numbers for each, without an object for a sample.

Samples that come one by one are appended to a chunk; a packet with many columns of them is a chunk by itself.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

NAN = math.nan
_CHUNK = 512


class Chunk:
    """Samples that arrived together.

    Attributes:
        times: milliseconds since 1970.
        sources: the index of each sample's source.
        columns: the numbers of each field, NaN where a sample has none.
    """

    __slots__ = ("columns", "sources", "times")

    def __init__(self, times: array[float], sources: array[int], columns: dict[str, array[float]]) -> None:
        self.times, self.sources, self.columns = times, sources, columns

    def __len__(self) -> int:
        return len(self.times)

    def append(self, time: float, source: int, row: Mapping[str, float]) -> None:
        """Add a sample."""
        columns, count = self.columns, len(self.times)
        self.times.append(time)
        self.sources.append(source)
        for name, value in row.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = nans(count)
            column.append(value)
        if len(row) < len(columns):
            for name, column in columns.items():
                if name not in row:
                    column.append(NAN)

    def column(self, name: str, start: int) -> array[float]:
        """A field's numbers from a sample on."""
        column = self.columns.get(name)
        return nans(len(self) - start) if column is None else column[start:] if start else column


class TelemetryWindow:
    """The newest samples, at most `most`.

    Attributes:
        total: samples that were added in all.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = 0
        self._chunks: deque[Chunk] = deque()
        self._rows = 0
        self._open: Chunk | None = None

    def __len__(self) -> int:
        return min(self._rows, self.most)

    def clear(self) -> None:
        """Forget the samples; `total` stays."""
        self._chunks.clear()
        self._open, self._rows = None, 0

    def add(self, time: float, source: int, row: Mapping[str, float]) -> None:
        """Add a sample: its time in milliseconds since 1970, and its numbers."""
        if self._open is None or len(self._open) >= _CHUNK:
            self._open = Chunk(array("d"), array("H"), {})
            self._chunks.append(self._open)
        self._open.append(time, source, row)
        self._added(1)

    def add_columns(self, times: array[float], source: int, columns: dict[str, array[float]]) -> None:
        """Add samples of one source as columns."""
        self._open = None
        self._chunks.append(Chunk(times, array("H", [source]) * len(times), columns))
        self._added(len(times))

    def _added(self, count: int) -> None:
        self.total += count
        self._rows += count
        while self._rows - len(self._chunks[0]) >= self.most:
            self._rows -= len(self._chunks.popleft())

    def newest(self, count: int) -> Iterator[tuple[Chunk, int]]:
        """The chunks with the newest `count` samples, in order, each with the index of the first of these."""
        left = min(count, len(self))
        found: list[tuple[Chunk, int]] = []
        for chunk in reversed(self._chunks):
            if left <= 0:
                break
            found.append((chunk, max(0, len(chunk) - left)))
            left -= len(chunk)
        return reversed(found)

    def columns(self, count: int, fields: Iterable[str]) -> tuple[array[float], array[int], list[array[float]]]:
        """The newest `count` samples: their times, their sources, and a column for each of these fields."""
        chunks = list(self.newest(count))
        times, sources = array("d"), array("H")
        for chunk, start in chunks:
            times.extend(chunk.times[start:])
            sources.extend(chunk.sources[start:])
        columns = []
        for name in fields:
            column = array("d")
            for chunk, start in chunks:
                column.extend(chunk.column(name, start))
            columns.append(column)
        return times, sources, columns


def nans(count: int) -> array[float]:
    """A column without numbers."""
    return array("d", [NAN]) * count
