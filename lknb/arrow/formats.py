"""Files of tables as Arrow: Arrow IPC, Parquet, CSV and JSON Lines, told apart by first bytes, type and name.

Each reader counts the bytes that the table takes, because a small file can hold gigabytes. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from lknb.arrow import ipc, pyarrow
from lknb.errors import TableError

ARROW_STREAM = "application/vnd.apache.arrow.stream"
"""The MIME type of an Arrow IPC stream, in which `send_table` sends."""

MAX_TABLE = 1_000_000_000
"""Bytes that a received table may take, unpacked, unless the caller says otherwise."""

_PARQUET = b"PAR1"
_BY_TYPE = {
    ARROW_STREAM: "arrow",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.parquet": "parquet",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/x-ndjson": "json",
    "application/x-jsonlines": "json",
    "application/jsonlines": "json",
    "application/jsonl": "json",
}
_BY_SUFFIX = {
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
}
_ROWS = 1024  # of a batch of Parquet whose texts lie inside lists or structs
_COLUMNS = 10_000
_CELL = 8  # bytes that a cell takes at least


def format_of(head: bytes, mime_type: str, name: str) -> str | None:
    """The format of a table, `arrow`, `parquet`, `csv`, `tsv` or `json`; None for anything else.

    Args:
        head: its first bytes, eight at least.
        mime_type: the type that the sender claims.
        name: the sender's name for it.
    """
    if head.startswith((ipc.FILE, ipc.STREAM)):
        return "arrow"
    if head.startswith(_PARQUET):
        return "parquet"
    kind = _BY_TYPE.get(mime_type.partition(";")[0].strip().lower()) or _BY_SUFFIX.get(PurePath(name).suffix.lower())
    return None if kind in ("arrow", "parquet") else kind  # their first bytes would say so


def batches(data: Any, format: str, max_size: int) -> Iterator[Any]:
    """The record batches of a file of this format, one after the other. The first item is the schema.

    Raises:
        TableError: for content of another format, and for a table that takes more than `max_size` bytes.
        ImportError: without pyarrow.
    """
    if format == "arrow":
        yield from ipc.read_batches(data, max_size)
        return
    pa = pyarrow()
    what = {"parquet": "Parquet", "json": "JSON Lines"}.get(format, "CSV")
    try:
        schema, found = _READERS[format](pa, pa.py_buffer(data), max_size)
        yield schema
        size = 0
        for batch in found:
            size += batch.get_total_buffer_size()
            _check(size, max_size)
            yield batch
    except TableError:
        raise
    except (pa.ArrowException, ValueError, OSError, LookupError, TypeError, RecursionError) as error:
        raise TableError(f"not valid {what}: {error}"[:300]) from None


def _check(size: int, max_size: int) -> None:
    if size > max_size:
        raise TableError(f"a table of more than {max_size:,} bytes, which is the limit; max_size= sets another")


def _parquet(pa: Any, buffer: Any, max_size: int) -> tuple[Any, Iterator[Any]]:
    import pyarrow.parquet as pq

    source = pa.BufferReader(buffer)
    # Texts stay in their dictionaries, where each counts once, until it is known how long they are in all.
    schema = pq.read_schema(source)
    texts = [field.name for field in schema if _is_text(pa, field.type)]
    _check(len(schema) * _CELL, _COLUMNS * _CELL)
    source.seek(0)
    file = pq.ParquetFile(source, read_dictionary=texts)
    _check(file.metadata.num_rows, max_size)
    nested = any(pa.types.is_nested(field.type) for field in schema)

    def read() -> Iterator[Any]:
        total = 0
        for batch in file.iter_batches(batch_size=_ROWS if nested else 64 * _ROWS):
            columns = []
            for field, column in zip(schema, batch.columns, strict=True):
                total += column.nbytes
                if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(field.type):
                    lengths = pa.compute.binary_length(column.dictionary).cast(pa.int64())
                    total += pa.compute.sum(lengths.take(column.indices)).as_py() or 0
                    _check(total, max_size)
                    column = column.cast(field.type)
                columns.append(column)
            _check(total, max_size)
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return schema, read()


def _is_text(pa: Any, kind: Any) -> bool:
    types = pa.types
    return any(each(kind) for each in (types.is_string, types.is_binary, types.is_large_string, types.is_large_binary))


def _separated(mark: str) -> Callable[[Any, Any, int], tuple[Any, Iterator[Any]]]:
    def read(pa: Any, buffer: Any, max_size: int) -> tuple[Any, Iterator[Any]]:
        import pyarrow.csv as pc

        _check(buffer.size, max_size)
        options = pc.ParseOptions(delimiter=mark, newlines_in_values=True)
        table = pc.read_csv(pa.BufferReader(buffer), parse_options=options)
        _check(table.nbytes, max_size)
        return _unique(table.schema), iter(table.to_batches())

    return read


def _json(pa: Any, buffer: Any, max_size: int) -> tuple[Any, Iterator[Any]]:
    _check(buffer.size, max_size)
    rows, names = [], {}
    for number, line in enumerate(memoryview(buffer).tobytes().splitlines(), 1):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict):
            raise TableError(f"not valid JSON Lines: line {number} is not an object")
        rows.append(row)
        names.update(dict.fromkeys(row))
        _check(len(names) * _CELL, _COLUMNS * _CELL)
        _check(len(names) * len(rows) * _CELL, max_size)
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    return table.schema, iter(table.to_batches())


def _unique(schema: Any) -> Any:
    if len({*schema.names}) < len(schema.names):
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        raise TableError(f"not valid CSV: several columns are called {', '.join(map(repr, twice[:5]))}")
    return schema


_READERS = {"parquet": _parquet, "csv": _separated(","), "tsv": _separated("\t"), "json": _json}
