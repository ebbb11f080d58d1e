"""Samples on their way out: rows and columns of one schema, packed into Arrow streams of one packet each.

Each packet is a whole Arrow IPC stream, so that any peer with an Arrow library reads it by itself. The metadata of its
schema numbers the packets of a publisher, and says when the first of its rows was pushed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from lknb.arrow import pyarrow
from lknb.arrow.frames import frame

SEQUENCE, PUBLISHER, CAPTURED = b"lknb.sequence", b"lknb.publisher", b"lknb.captured"
"""Metadata of a packet's schema: its number, from 0; the publisher's id; nanoseconds since 1970 of its first row."""

FULL = 8_000
"""Bytes of a packet that is sent before its interval is over, about: larger ones only take longer."""

_MOST = 256_000
_LEAST_RATIO = 0.05


class Packer:
    """Collects rows, and packs them.

    Attributes:
        sequence: the number of the next packet.
        rows: rows that are not packed yet.
        since: the time of `time.monotonic` of the first of these.
    """

    def __init__(self, compression: str | None) -> None:
        self._pa = pyarrow()
        self._options = self._pa.ipc.IpcWriteOptions(compression=compression)
        self._id = uuid.uuid4().hex.encode()
        self._names: tuple[str, ...] = ()
        self._lists: list[list[Any]] = []  # columns of single rows
        self._tables: list[Any] = []
        self._bytes = 0  # of the rows, about
        self._captured = 0
        self._schema: Any = None
        self._packet_bytes = FULL  # of rows in memory: more if they compress
        self.sequence = 0
        self.rows = 0
        self.since = 0.0

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a row, if the values are single, or columns of equal length.

        Raises:
            TypeError: for a mixture of both.
            ValueError: for columns of different lengths, and for values that Arrow cannot express.
        """
        columns = [hasattr(value, "__len__") and not isinstance(value, str | bytes) for value in values.values()]
        if not any(columns):
            self._begin()
            names = tuple(values)
            if names != self._names:
                self._end_lists()
                self._names, self._lists = names, [[] for _ in names]
            for column, value in zip(self._lists, values.values(), strict=True):
                column.append(value)
            self.rows += 1
            self._bytes += 8 * len(names)
        elif all(columns):
            self.add_table(dict(values))
        else:
            raise TypeError("Push either single values, or columns of equal length, but not both in one call.")

    def add_table(self, table: Any) -> None:
        """Add the rows of a table; see `frames.frame` for what is one, and for its errors."""
        found = frame(table)
        self._end_lists()
        for batch in found:
            if batch.num_rows:
                self._begin()
                self._tables.append(self._pa.Table.from_batches([batch]))
                self.rows += batch.num_rows
                self._bytes += batch.nbytes

    def is_full(self) -> bool:
        """Whether the rows make at least one packet."""
        return self._bytes >= self._packet_bytes

    def packets(self, *, everything: bool) -> Iterator[tuple[bytes, int]]:
        """Take full packets, and with `everything` the rest, each with its number of rows."""
        while self.rows and (everything or self.is_full()):
            self._end_lists()
            table = self._tables[0]
            most = max(1, int(self._packet_bytes / max(1.0, table.nbytes / table.num_rows)))
            # The next ones may be of the same schema, and fit into the same packet.
            while table.num_rows < most and len(self._tables) > 1 and self._tables[1].schema.equals(table.schema):
                table = self._pa.concat_tables([table, self._tables.pop(1)])
            taken, rest = table.slice(0, most), table.slice(most)
            if rest.num_rows:
                self._tables[0] = rest
            else:
                del self._tables[0]
            self.rows -= taken.num_rows
            self._bytes = sum(table.nbytes for table in self._tables)
            yield self._packed(taken), taken.num_rows
            if self.rows:
                self._captured = time.time_ns()

    def drop(self) -> int:
        """Forget the rows that are not packed; return their number."""
        dropped, self.rows, self._bytes = self.rows, 0, 0
        self._tables.clear()
        self._names, self._lists = (), []
        return dropped

    def _begin(self) -> None:
        if not self.rows:
            self._captured = time.time_ns()
            self.since = time.monotonic()

    def _end_lists(self) -> None:
        if not self._lists or not self._lists[0]:
            return
        arrays = [self._array(name, values) for name, values in zip(self._names, self._lists, strict=True)]
        table = self._pa.table(arrays, names=list(self._names))
        self._schema = table.schema
        self._tables.append(table)
        self._lists = [[] for _ in self._names]

    def _array(self, name: str, values: list[Any]) -> Any:
        pa = self._pa
        # A column keeps its type, so that a reader need not follow it from whole numbers to fractions and back.
        at = self._schema.get_field_index(name) if self._schema is not None else -1
        if at >= 0:
            try:
                return pa.array(values, self._schema.field(at).type)
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                pass
        try:
            array = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            self.drop()
            raise ValueError(f"The values of {name!r} cannot be sent: {str(error)[:200]}") from None
        return array.cast(pa.float64()) if pa.types.is_integer(array.type) and _fits(pa, array) else array

    def _packed(self, table: Any) -> bytes:
        marks = {
            SEQUENCE: str(self.sequence).encode(),
            PUBLISHER: self._id,
            CAPTURED: str(self._captured).encode(),
        }
        schema = table.schema.with_metadata({**(table.schema.metadata or {}), **marks})
        sink = self._pa.BufferOutputStream()
        with self._pa.ipc.new_stream(sink, schema, options=self._options) as writer:
            for batch in table.combine_chunks().to_batches():
                writer.write_batch(batch)
        self.sequence += 1
        packed: bytes = sink.getvalue().to_pybytes()
        # What compresses well goes with more rows into a packet of the same size.
        ratio = max(_LEAST_RATIO, len(packed) / max(1, table.nbytes))
        self._packet_bytes = int(min(_MOST, max(FULL, FULL / ratio)))
        return packed


def _fits(pa: Any, array: Any) -> bool:
    """Whether whole numbers are the same as floats."""
    import pyarrow.compute as pc

    bounds = pc.min_max(array).as_py()
    return all(each is None or abs(each) <= 2**53 for each in bounds.values())
