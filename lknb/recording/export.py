"""Writes events as files that other programs read: Parquet, CSV, JSON Lines; in batches, and nothing is overwritten."""

from __future__ import annotations

import base64
import contextlib
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

from lknb import checks, event_table
from lknb.columns.samples import table_of
from lknb.errors import TableError
from lknb.event import KINDS, Event
from lknb.events import Events
from lknb.files import ReceivedFile, safe_name

FORMATS = ("parquet", "csv", "jsonl")
FILES = "files"
"""The folder of received and sent files."""

_NUMBERS = ("data", "data_track")
_TOPICS = 1000  # topics that get a file of their own
_ROWS = 10_000  # rows of numbers in a batch
_LOOKED_AT = 5

Columns = tuple[Any, Iterator[Any]]
"""A schema of Arrow, and its batches."""


def export(events: Events, folder: Path, format: str) -> list[Path]:
    """Write events into a folder; see `Recording.export`."""
    checks.choice(format, "format", FORMATS)
    pa = event_table.pyarrow("export()")
    kinds, topics = _sorted(events)
    tables: list[tuple[str, Callable[[], Columns]]] = [(kind, partial(_rows, each)) for kind, each in kinds.items()]
    for (kind, topic), each in topics.items():
        if _is_numbers(each):
            # Whole topics in the names, which may be like paths.
            tables.append((f"{kind}-{topic}".replace("/", "_"), partial(_numbers, pa, each)))
    planned = list(_named(folder, tables, format))
    folder.mkdir(parents=True, exist_ok=True)
    taken = next((path for path, _ in planned if path.exists()), None)
    if taken is not None:
        raise FileExistsError(f"{str(taken)!r} exists, and nothing is overwritten. Export to another folder.")
    for path, make in planned:
        _write(pa, path, format, *make())
    files = (event.data for event in kinds.get("bytes", ()) if isinstance(event.data, ReceivedFile))
    return [*(path for path, _ in planned), *(file.save(folder / FILES) for file in files)]


class _Chosen(Sequence[Event]):
    """Some of the events, by their positions: read when they are needed."""

    def __init__(self, events: Sequence[Event], positions: Sequence[int]) -> None:
        self._events, self._positions = events, positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> _Chosen: ...
    def __getitem__(self, index: int | slice) -> Event | _Chosen:
        if isinstance(index, slice):
            return _Chosen(self._events, self._positions[index])
        return self._events[self._positions[index]]


def _sorted(events: Events) -> tuple[dict[str, _Chosen], dict[tuple[str, str], _Chosen]]:
    """The events of each kind that there are, and the packets and frames of each topic."""
    snapshot = events._snapshot()
    kinds: dict[str, array[int]] = {}
    topics: dict[tuple[str, str], array[int]] = {}
    for position, event in enumerate(snapshot):
        kinds.setdefault(event.kind, array("Q")).append(position)
        key = (event.kind, event.topic)
        if event.kind in _NUMBERS and (key in topics or len(topics) < _TOPICS):
            topics.setdefault(key, array("Q")).append(position)
    by_kind = {kind: _Chosen(snapshot, kinds[kind]) for kind in KINDS if kind in kinds}
    return by_kind, {key: _Chosen(snapshot, found) for key, found in sorted(topics.items())}


def _named(
    folder: Path, tables: Sequence[tuple[str, Callable[[], Columns]]], format: str
) -> Iterator[tuple[Path, Callable[[], Columns]]]:
    """The path of each table: its name as one safe path component, with a number if it is taken."""
    taken: set[str] = set()
    for name, make in tables:
        stem, number = safe_name(name), 1
        while (full := f"{stem}{'' if number == 1 else f' ({number})'}.{format}").casefold() in taken:
            number += 1
        taken.add(full.casefold())
        yield folder / full, make


def _rows(events: Sequence[Event]) -> Columns:
    reader = event_table.batches(events)
    return reader.schema, iter(reader)


def _is_numbers(events: Sequence[Event]) -> bool:
    """Whether the first payloads of a topic can be read as rows."""
    try:
        return all(table_of(event).num_columns for event in events[:_LOOKED_AT])
    except (TableError, TypeError):
        return False


def _numbers(pa: Any, events: Sequence[Event]) -> Columns:
    """The rows in the payloads of a topic. Read twice: the columns of all of them have to be known first."""
    schema: Any = None
    for table in _tables(pa, events):
        if schema is None or not schema.equals(table.schema):
            schema = table.schema if schema is None else _unified(pa, schema, table.schema)

    def made() -> Iterator[Any]:
        waiting: list[Any] = []
        rows = 0
        for table in _tables(pa, events):
            waiting.append(table)
            rows += table.num_rows
            if rows >= _ROWS:
                yield from _joined(pa, waiting, schema)
                waiting, rows = [], 0
        yield from _joined(pa, waiting, schema)

    return schema, made()


def _tables(pa: Any, events: Sequence[Event]) -> Iterator[Any]:
    for event in events:
        with contextlib.suppress(TableError, TypeError):  # the file of its kind has it, with its bytes
            table = table_of(event)
            columns = {
                "time": pa.repeat(pa.scalar(event.time, pa.timestamp("us", "UTC")), table.num_rows),
                "sender": pa.repeat(pa.scalar(event.sender, pa.string()), table.num_rows),
            }
            for name, column in zip(table.column_names, table.columns, strict=True):
                free = name
                while free in columns:
                    free += "_"
                columns[free] = column
            yield pa.table(columns)


def _unified(pa: Any, known: Any, schema: Any) -> Any:
    """The columns of both schemas. One that has different types becomes text, if no type has room for both."""
    try:
        return pa.unify_schemas([known, schema], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        types = {field.name: field.type for field in schema}
        for field in known:
            same = types.setdefault(field.name, field.type) == field.type
            types[field.name] = field.type if same else pa.string()
        return pa.schema(list(types.items()))


def _joined(pa: Any, tables: list[Any], schema: Any) -> Iterator[Any]:
    """The batches of tables, with all columns of `schema`."""
    if tables:
        alike = [_as_text(pa, table, schema) for table in tables]
        yield from pa.concat_tables([schema.empty_table(), *alike], promote_options="permissive").to_batches()


def _as_text(pa: Any, table: Any, schema: Any) -> Any:
    """The table with text in the columns that are text in other tables."""
    for at, field in enumerate(table.schema):
        if pa.types.is_string(schema.field(field.name).type) and not pa.types.is_string(field.type):
            texts = [None if each is None else str(each) for each in table.column(at).to_pylist()]
            table = table.set_column(at, field.name, pa.array(texts, pa.string()))
    return table


def _write(pa: Any, path: Path, format: str, schema: Any, batches: Iterator[Any]) -> None:
    """Write a table. A file that cannot be finished is removed."""
    with path.open("xb") as file:
        try:
            if format == "parquet":
                _parquet(file, schema, batches)
            elif format == "csv":
                _csv(pa, file, schema, batches)
            else:
                _jsonl(file, batches)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _parquet(file: Any, schema: Any, batches: Iterator[Any]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _csv(pa: Any, file: Any, schema: Any, batches: Iterator[Any]) -> None:
    from pyarrow import csv

    flat = pa.schema([_flat_field(pa, field) for field in schema])
    with csv.CSVWriter(file, flat) as writer:
        for batch in batches:
            writer.write_batch(pa.record_batch([_flat(pa, column) for column in batch.columns], schema=flat))


def _flat_field(pa: Any, field: Any) -> Any:
    if pa.types.is_binary(field.type):
        return pa.field(f"{field.name}_base64", pa.string())
    return pa.field(field.name, pa.string()) if pa.types.is_nested(field.type) else field


def _flat(pa: Any, column: Any) -> Any:
    """A column as CSV can have it: lists as JSON, bytes as base64."""
    if pa.types.is_binary(column.type):
        return pa.array([None if each is None else _base64(each) for each in column.to_pylist()], pa.string())
    if pa.types.is_nested(column.type):
        texts = [None if each is None else json.dumps(each, default=str) for each in column.to_pylist()]
        return pa.array(texts, pa.string())
    return column


def _jsonl(file: Any, batches: Iterator[Any]) -> None:
    for batch in batches:
        binary = {field.name for field in batch.schema if str(field.type) == "binary"}
        for row in batch.to_pylist():
            plain = {
                f"{name}_base64" if name in binary else name: _base64(each) if isinstance(each, bytes) else each
                for name, each in row.items()
            }
            file.write(json.dumps(plain, default=_text).encode() + b"\n")


def _text(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
