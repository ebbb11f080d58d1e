"""Writes events as files that other programs read: Parquet, CSV, JSON Lines; in batches, and nothing is overwritten."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import math
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, overload

from lknb import checks, event_table
from lknb.columns.samples import as_table, rows_of
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
_LOOKED_AT = 20

Columns = tuple[Any, Iterator[Any]]
"""A schema of Arrow, and its batches."""


def export(events: Events, folder: Path, format: str) -> list[Path]:
    """Write events into a folder; see `Recording.export`."""
    checks.choice(format, "format", FORMATS)
    pa = event_table.pyarrow("export()")
    kinds, topics = _sorted(events)
    decoded = bool(events._decoded_topics())
    tables: list[tuple[str, Callable[[], Columns]]] = [
        (kind, partial(_rows, each, decoded)) for kind, each in kinds.items()
    ]
    for (kind, topic), each in topics.items():
        if _is_numbers(each):
            # Whole topics in the names, which may be like paths.
            name = f"{kind}-{topic}".replace("/", "_").replace("\\", "_")
            tables.append((name, partial(_numbers, pa, each)))
    planned = list(_named(folder, tables, format))
    folder.mkdir(parents=True, exist_ok=True)
    # A dangling link is in the way too.
    taken = next((path for path, _ in planned if os.path.lexists(path)), None)
    if taken is not None:
        raise FileExistsError(f"{str(taken)!r} exists, and nothing is overwritten. Export to another folder.")
    written: list[Path] = []
    try:
        for path, make in planned:
            schema, batches = make()
            with path.open("xb") as file:
                written.append(path)  # from here on the file is this export's, and it may be removed
                _write(file, format, schema, batches)
        files = (event.data for event in kinds.get("bytes", ()) if isinstance(event.data, ReceivedFile))
        written += (file.save(folder / FILES) for file in files)
    except BaseException:
        for path in written:  # so that the same call can be made again
            path.unlink(missing_ok=True)
        raise
    return written


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


def _rows(events: Sequence[Event], decoded: bool) -> Columns:
    reader = event_table.batches(events, decoded=decoded)
    return reader.schema, iter(reader)


def _is_numbers(events: Sequence[Event]) -> bool:
    """Whether most of the first payloads of a topic can be read as rows."""
    looked_at = events[:_LOOKED_AT]
    readable = 0
    for event in looked_at:
        with contextlib.suppress(TableError, TypeError):
            readable += bool(rows_of(event))
    return 2 * readable > len(looked_at)


def _numbers(pa: Any, events: Sequence[Event]) -> Columns:
    """The rows in the payloads of a topic. Read twice: the columns of all of them have to be known first."""
    schema: Any = None
    for table in _tables(pa, events):
        if schema is None or not schema.equals(table.schema):
            schema = table.schema if schema is None else _unified(pa, schema, table.schema)
    schema = pa.schema([]) if schema is None else schema

    def made() -> Iterator[Any]:
        for table in _tables(pa, events):
            alike = pa.concat_tables([schema.empty_table(), _as_text(pa, table, schema)], promote_options="permissive")
            yield from alike.combine_chunks().to_batches()

    return schema, made()


def _tables(pa: Any, events: Sequence[Event]) -> Iterator[Any]:
    """The rows of events as tables of about 10,000. An event whose payload has no rows is in the file of its kind."""
    waiting: list[tuple[Event, list[Any]]] = []
    rows = 0
    for event in events:
        with contextlib.suppress(TableError, TypeError):
            found = rows_of(event)
            if not isinstance(found, list):
                yield from _as_tables(pa, waiting)
                waiting, rows = [], 0
                yield _with_origin(pa, found, [event.time] * found.num_rows, [event.sender] * found.num_rows)
                continue
            waiting.append((event, found))
            rows += len(found)
        if rows >= _ROWS:
            yield from _as_tables(pa, waiting)
            waiting, rows = [], 0
    yield from _as_tables(pa, waiting)


def _as_tables(pa: Any, waiting: list[tuple[Event, list[Any]]]) -> Iterator[Any]:
    """The rows of several events as one table; as one for each event if they do not fit together."""
    if not waiting:
        return
    table = _joined([row for _, rows in waiting for row in rows])
    if table is not None:
        times = [event.time for event, rows in waiting for _ in rows]
        senders = [event.sender for event, rows in waiting for _ in rows]
        yield _with_origin(pa, table, times, senders)
    elif len(waiting) > 1:
        for each in waiting:
            yield from _as_tables(pa, [each])


def _joined(rows: list[Any]) -> Any:
    """Rows as a table, with lists and objects as text if they fit into no column; None if nothing fits."""
    with contextlib.suppress(TableError):
        return as_table(rows)
    with contextlib.suppress(TableError):
        return as_table([{name: _simple(value) for name, value in row.items()} for row in rows])
    return None


def _simple(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | bytes) else _json(value)


def _with_origin(pa: Any, table: Any, times: list[Any], senders: list[Any]) -> Any:
    columns = {"time": pa.array(times, pa.timestamp("us", "UTC")), "sender": pa.array(senders, pa.string())}
    for name, column in zip(table.column_names, table.columns, strict=True):
        free = name
        while free in columns:
            free += "_"
        columns[free] = _plain_column(pa, column)
    return pa.table(columns)


def _plain_column(pa: Any, column: Any) -> Any:
    """A column in a type that every format has; as text if it has none of these."""
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        return _plain_column(pa, column.cast(kind.value_type))
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_string(kind):
        return column
    if types.is_binary(kind) or types.is_timestamp(kind) or types.is_date(kind):
        return column
    if types.is_large_string(kind) or str(kind) == "string_view":
        return column.cast(pa.string())
    if types.is_large_binary(kind) or str(kind) == "binary_view":
        return column.cast(pa.binary())
    if types.is_list(kind) and (types.is_integer(kind.value_type) or types.is_floating(kind.value_type)):
        return column
    return pa.array([None if each is None else _json(each) for each in column.to_pylist()], pa.string())


def _json(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode(errors="replace").decode()


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


def _as_text(pa: Any, table: Any, schema: Any) -> Any:
    """The table with text in the columns that are text in other tables."""
    for at, field in enumerate(table.schema):
        if pa.types.is_string(schema.field(field.name).type) and not pa.types.is_string(field.type):
            texts = [None if each is None else _json(each) for each in table.column(at).to_pylist()]
            table = table.set_column(at, field.name, pa.array(texts, pa.string()))
    return table


def _write(file: IO[bytes], format: str, schema: Any, batches: Iterator[Any]) -> None:
    if format == "parquet":
        _parquet(file, schema, batches)
    else:
        # Python's own writers, because other programs guess types from the texts: 0.0, not 0, for a float.
        write = _csv if format == "csv" else _jsonl
        with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            write(text, schema, batches)


def _parquet(file: IO[bytes], schema: Any, batches: Iterator[Any]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _columns(schema: Any) -> list[str]:
    """The names of the columns: those of bytes say that they are base64, and no two differ only in case.

    A reader of JSON would lose one of two equal names, and DuckDB refuses names that differ only in case.
    """
    names: dict[str, str] = {}
    for field in schema:
        name = f"{field.name}_base64" if str(field.type) == "binary" else field.name
        while name.casefold() in names:
            name += "_"
        names[name.casefold()] = name
    return list(names.values())


def _csv(file: IO[str], schema: Any, batches: Iterator[Any]) -> None:
    # With this end of a line, a lone carriage return in a text is quoted, before Python 3.13 too.
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(_columns(schema))
    for batch in batches:
        columns = [list(map(_cell, column.to_pylist())) for column in batch.columns]
        writer.writerows(zip(*columns, strict=True))


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return _plain(value)


def _jsonl(file: IO[str], schema: Any, batches: Iterator[Any]) -> None:
    names = _columns(schema)
    for batch in batches:
        columns = [list(map(_plain, column.to_pylist())) for column in batch.columns]
        for row in zip(*columns, strict=True):
            file.write(json.dumps(dict(zip(names, row, strict=True)), default=str) + "\n")


def _plain(value: Any) -> Any:
    """A value as JSON has it. It has neither NaN nor infinity."""
    if isinstance(value, bytes):
        return _base64(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
