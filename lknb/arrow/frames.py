"""What Python has for tables, as Arrow: DataFrames of pandas and polars, Arrow's own, columns in a dict, rows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lknb.arrow import pyarrow

TAKEN = (
    "Pass a DataFrame of pandas or polars, an Arrow table, a dict of columns of equal length, a list of dicts, or any "
    "object with __arrow_c_stream__."
)
_BATCH = 4_000_000  # bytes of a record batch, about


class Frame:
    """A table on its way out: its schema, and its record batches, which may be read only once.

    Attributes:
        schema: the `pyarrow.Schema`.
        size: the bytes in memory; None if the batches are made while they are read.
    """

    def __init__(self, schema: Any, batches: Iterable[Any], size: int | None) -> None:
        self.schema = schema
        self.size = size
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


def frame(table: Any) -> Frame:
    """Any table as Arrow. Types, categories, time zones and a pandas index stay as they are.

    Raises:
        TypeError: for anything that is not a table.
        ValueError: for columns of the same name, of different lengths, or with values that Arrow cannot express.
        ImportError: without pyarrow.
    """
    pa = pyarrow()
    try:
        found = _arrow(pa, table)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        reason = "; ".join(map(str, error.args))[:300].rstrip(".")
        raise ValueError(
            f"This {type(table).__name__} cannot be sent as a table: {reason}. Columns must be equally long, and each "
            "of one type: convert a column of mixed objects to text."
        ) from None
    names = Counter(found.schema.names)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(
            f"Several columns are called {', '.join(map(repr, twice[:5]))}. Rename them: receivers could not tell "
            "them apart."
        )
    found = _without_views(pa, found)
    if isinstance(found, pa.RecordBatchReader):
        return Frame(found.schema, found, None)
    rows = max(1, int(_BATCH / max(1.0, found.nbytes / max(1, found.num_rows))))
    return Frame(found.schema, found.to_batches(max_chunksize=rows), found.nbytes)


def _arrow(pa: Any, table: Any) -> Any:
    if isinstance(table, pa.Table | pa.RecordBatchReader):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    pandas, polars, numpy = (sys.modules.get(name) for name in ("pandas", "polars", "numpy"))
    if polars is not None and isinstance(table, polars.LazyFrame):
        raise TypeError("A polars.LazyFrame has no rows yet: send frame.collect().")
    if pandas is not None and isinstance(table, pandas.Series):
        table = table.to_frame(name="value" if table.name is None else table.name)
    if pandas is not None and isinstance(table, pandas.DataFrame):
        if not table.columns.is_unique:
            return _Named([str(name) for name in table.columns])
        return pa.Table.from_pandas(table)
    if hasattr(table, "__arrow_c_stream__"):
        return pa.table(table) if _has_rows(table) else pa.RecordBatchReader.from_stream(table)
    if numpy is not None and isinstance(table, numpy.ndarray) and table.dtype.names:
        return pa.table({name: table[name] for name in table.dtype.names})
    if isinstance(table, Mapping) and table and all(map(_is_column, table.values())):
        return pa.table({str(name): column for name, column in table.items()})
    if isinstance(table, list | tuple) and table and all(isinstance(row, Mapping) for row in table):
        names = dict.fromkeys(str(name) for row in table for name in row)
        return pa.table({name: pa.array([row.get(name) for row in table]) for name in names})
    raise TypeError(f"{type(table).__name__} is not a table. {TAKEN}")


class _Named:
    """The names of a DataFrame's columns, some of which are the same."""

    def __init__(self, names: list[str]) -> None:
        self.schema = self
        self.names = names


def _has_rows(table: Any) -> bool:
    """Whether the rows are in memory already, so that their number is known."""
    return hasattr(table, "__len__") or hasattr(table, "height")


def _is_column(values: Any) -> bool:
    return hasattr(values, "__len__") and not isinstance(values, str | bytes | Mapping)


def _without_views(pa: Any, table: Any) -> Any:
    """The same table without Arrow's views of text, which older readers do not know."""
    fields = []
    for field in table.schema:
        if pa.types.is_string_view(field.type):
            field = field.with_type(pa.large_string())
        elif pa.types.is_binary_view(field.type):
            field = field.with_type(pa.large_binary())
        fields.append(field)
    schema = pa.schema(fields, table.schema.metadata)
    return table if schema == table.schema else table.cast(schema)
