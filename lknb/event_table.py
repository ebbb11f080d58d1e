"""The columns of a table of events, for pandas, Arrow and downloads. A column added to `COLUMNS` appears in all.

Events with a decoder add columns of their own, such as `value.x`: see `value_columns`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lknb import values
from lknb.event import Event, decoder_of

if TYPE_CHECKING:
    import pandas


class Column(NamedTuple):
    """One column: its name, its type (`time`, or a key of `_PANDAS`), and its value for an event."""

    name: str
    type: str
    value: Callable[[Event], Any]


COLUMNS = (
    Column("time", "time", lambda event: event.time),
    Column("kind", "category", lambda event: event.kind),
    Column("direction", "category", lambda event: event.direction),
    Column("sender", "text", lambda event: event.sender),
    Column("to", "texts", lambda event: list(event.to)),
    Column("topic", "text", lambda event: event.topic),
    Column("text", "text", lambda event: event.text()),
    Column("data", "bytes", lambda event: event.data if isinstance(event.data, bytes) else None),
    Column("result", "text", lambda event: None if event.result is None else _json(event.result)),
    Column("size", "integer", lambda event: event.size),
    Column("status", "category", lambda event: event.status),
    Column("error", "text", lambda event: event.error),
    Column("duration", "float", lambda event: event.duration),
    Column("first_after", "float", lambda event: event.first_after),
    Column("pieces", "integer", lambda event: event.pieces or None),
    Column("timestamp", "unsigned", lambda event: event.timestamp),
    Column("attributes", "text", lambda event: _json(event.attributes) if event.attributes else None),
    Column("id", "text", lambda event: event.id),
)

BATCH = 10_000
"""Events in a batch of Arrow."""

MOST_FIELDS = 64
"""Columns for the fields of decoded values at most. `value_more` counts the others."""

_LONGEST = 10_000  # items of a list in a cell
_ITEMS = 5_000_000  # items of all lists in a table, because the same packets may be small and unpack to much

# Types are explicit: pandas would guess another one for an empty column, and turn integers with gaps into floats,
# which cannot hold a timestamp in nanoseconds.
_PANDAS = {
    "category": "category",
    "text": "string",
    "texts": "object",
    "bytes": "object",
    "integer": "Int64",
    "unsigned": "UInt64",
    "float": "float64",
    "flag": "boolean",
    "integers": "object",
    "floats": "object",
}


def columns(events: Iterable[Event]) -> dict[str, list[Any]]:
    """The events as columns of plain Python values, a row for each event."""
    return {name: cells for name, _, cells in _columns(events)}


def _columns(events: Iterable[Event]) -> list[tuple[str, str, list[Any]]]:
    """The name, the type and the cells of each column."""
    events = list(events)
    fixed = [(column.name, column.type, [column.value(event) for event in events]) for column in COLUMNS]
    return fixed + value_columns(events)


def value_columns(events: Sequence[Event]) -> list[tuple[str, str, list[Any]]]:
    """The columns of decoded values: their names, types and cells; none if no event has a decoder.

    A field `x` of a value is `value.x`, a value without fields is `value`. `value_error` says why a payload could not
    be read, and `value_more` counts the fields of an event that have no column, if there are any: beyond 64 columns,
    lists that are too long, and fields with the name of another one.
    """
    if not any(decoder_of(event) for event in events):
        return []
    cells: dict[str, dict[int, Any]] = {}
    errors: list[str | None] = []
    more = [0] * len(events)
    items = 0
    for row, event in enumerate(events):
        error = event.value_error if decoder_of(event) else None
        errors.append(error)
        if error is not None or not decoder_of(event):
            continue
        for name, value in values.fields(event.value, _LONGEST):
            column = cells.get(name) if name in cells or len(cells) >= MOST_FIELDS else cells.setdefault(name, {})
            items += len(value) if isinstance(value, list) else 0
            if column is None or row in column or value is values.LEFT_OUT or items > _ITEMS:
                more[row] += 1
            else:
                column[row] = value
    found = [
        (f"value{name}", *_typed([column.get(row) for row in range(len(events))])) for name, column in cells.items()
    ]
    if any(more):
        found.append(("value_more", "integer", more))
    return [*found, ("value_error", "text", errors)]


def _typed(cells: list[Any]) -> tuple[str, list[Any]]:
    """The type that all cells of a column have, and the cells; JSON text if they have no type in common."""
    kinds = {_kind_of(cell) for cell in cells if cell is not None}
    if kinds <= {"integer", "float"} and kinds:
        kind = "float" if "float" in kinds else "integer"
    elif kinds <= {"integers", "floats"} and kinds:
        kind = "floats" if "floats" in kinds else "integers"
    elif len(kinds) == 1:
        kind = kinds.pop()
    else:
        return "text", [
            None if cell is None else cell if isinstance(cell, str) else values.as_json(cell) for cell in cells
        ]
    if kind == "float":
        return kind, [None if cell is None else float(cell) for cell in cells]
    if kind == "floats":
        return kind, [None if cell is None else [float(each) for each in cell] for cell in cells]
    return kind, cells


def _kind_of(cell: Any) -> str:
    if isinstance(cell, list):
        return "floats" if any(isinstance(each, float) for each in cell) else "integers"
    return _KINDS[type(cell)]


_KINDS = {bool: "flag", int: "integer", float: "float", str: "text", bytes: "bytes", dt.datetime: "time"}


def to_pandas(events: Iterable[Event]) -> pandas.DataFrame:
    """The events as a DataFrame; see `Events.to_pandas`."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError('to_pandas() needs pandas: pip install "lknb[data]"') from error
    frame = {}
    for name, kind, cells in _columns(events):
        if kind == "time":
            frame[name] = pandas.to_datetime(pandas.Series(cells, dtype="object"), utc=True)
        else:
            frame[name] = pandas.Series(cells, dtype=_PANDAS[kind])
    return pandas.DataFrame(frame)


def to_arrow(events: Sequence[Event]) -> Any:
    """The events as an Arrow table; see `Events.to_arrow`."""
    return batches(events).read_all()


def batches(events: Sequence[Event], *, decoded: bool = True) -> Any:
    """The events as Arrow, a batch of at most 10,000 at a time: for sequences that are larger than memory.

    The columns are those of `to_arrow`. Several batches of events that may be `decoded` are read twice: the columns of
    their values have to be known first.

    Raises:
        ImportError: without pyarrow.
    """
    return _reader(pyarrow("to_arrow()"), events, _columns, decoded=decoded)


def topic_batches(events: Sequence[Event]) -> Any:
    """The decoded values of events of one topic as Arrow: `time`, `sender`, `direction`, `kind`, and their fields."""
    return _reader(pyarrow("SQL"), events, topic_columns, decoded=True)


def topic_columns(events: Sequence[Event]) -> list[tuple[str, str, list[Any]]]:
    """The columns of `topic_batches`: a field `x` is `x`, and a value without fields is `value`."""
    fixed = [column for column in COLUMNS if column.name in ("time", "sender", "direction", "kind")]
    found = [(column.name, column.type, [column.value(event) for event in events]) for column in fixed]
    taken = {name for name, _, _ in found}
    for name, kind, cells in value_columns(events):
        short = name.removeprefix("value.") if name.startswith("value.") else name
        while short in taken:
            short += "_"
        taken.add(short)
        found.append((short, kind, cells))
    return found


def _reader(
    pa: Any,
    events: Sequence[Event],
    make: Callable[[Sequence[Event]], list[tuple[str, str, list[Any]]]],
    *,
    decoded: bool,
) -> Any:
    parts = [slice(at, at + BATCH) for at in range(0, len(events), BATCH)] or [slice(0, 0)]
    kinds = {name: kind for name, kind, _ in make(())}
    if decoded:
        for part in parts:
            for name, kind, cells in make(list(events[part])):
                kinds[name] = _common(kinds.get(name), kind, cells)
    fixed = len(make(()))
    names = _within_bounds(list(kinds), fixed)
    schema = pa.schema([(name, _type(pa, kinds.get(name) or "integer")) for name in names])

    def made() -> Iterator[Any]:
        for part in parts:
            chunk = list(events[part])
            found = {name: (kind, cells) for name, kind, cells in make(chunk)}
            if "value_more" in names:
                found["value_more"] = "integer", _more(found, set(names), len(chunk))
            arrays = []
            for name, field in zip(names, schema, strict=True):
                kind, cells = found.get(name, ("", [None] * len(chunk)))
                arrays.append(_array(pa, _converted(cells, kind, kinds.get(name) or kind), field.type))
            yield pa.record_batch(arrays, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, made())


def _within_bounds(names: list[str], fixed: int) -> list[str]:
    """The columns of a table: of the fields of values at most 64, and last what says of those that are left out."""
    fields = [name for name in names[fixed:] if name not in _LAST]
    last = [name for name in _LAST if name in names[fixed:] or (name == "value_more" and len(fields) > MOST_FIELDS)]
    return [*names[:fixed], *fields[:MOST_FIELDS], *last]


_LAST = ("value_more", "value_error")


def _more(found: dict[str, tuple[str, list[Any]]], names: set[str], rows: int) -> list[int]:
    """For each row, how many fields have no column."""
    counts = list(found.get("value_more", ("", [0] * rows))[1])
    for name, (_, cells) in found.items():
        if name not in names:
            counts = [count + (cell is not None) for count, cell in zip(counts, cells, strict=True)]
    return counts


def _array(pa: Any, cells: list[Any], kind: Any) -> Any:
    try:
        return pa.array(cells, kind)
    except UnicodeEncodeError:  # JSON can contain lone surrogates, and UTF-8 cannot
        return pa.array([each.encode(errors="replace").decode() if each else each for each in cells], kind)


_NUMBERS = {"integer": "float", "integers": "floats"}


def _common(known: str | None, kind: str, cells: Sequence[Any]) -> str:
    """The type of a column that has `known` in earlier batches, "" if it had no values, and `kind` in this one."""
    if all(cell is None for cell in cells):
        return known or ""
    if not known or kind == known:
        return kind
    if _NUMBERS.get(known) == kind or _NUMBERS.get(kind) == known:
        return _NUMBERS.get(known, known)
    return "text"


def _converted(cells: list[Any], kind: str, wanted: str) -> list[Any]:
    """The cells of a batch for a column of another type. Arrow itself refuses whole numbers that floats cannot hold."""
    if kind == wanted:
        return cells
    if wanted == "text":
        return [None if cell is None else cell if isinstance(cell, str) else values.as_json(cell) for cell in cells]
    if wanted == "float":
        return [None if cell is None else float(cell) for cell in cells]
    if wanted == "floats":
        return [None if cell is None else [float(each) for each in cell] for cell in cells]
    return cells


def pyarrow(what: str) -> Any:
    """The module, for `what`.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError(f'{what} needs pyarrow: pip install "lknb[data]"') from error
    return pa


def _type(pa: Any, kind: str) -> Any:
    types = {
        "time": pa.timestamp("us", tz="UTC"),
        "category": pa.string(),
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "bytes": pa.binary(),
        "integer": pa.int64(),
        "unsigned": pa.uint64(),
        "float": pa.float64(),
        "flag": pa.bool_(),
        "integers": pa.list_(pa.int64()),
        "floats": pa.list_(pa.float64()),
    }
    return types[kind]


def _json(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
