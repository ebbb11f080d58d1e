"""The columns of a table of events, for pandas, Arrow and downloads. A column added to `COLUMNS` appears in all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from lknb.event import Event

if TYPE_CHECKING:
    import pandas
    import pyarrow


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
    Column("timestamp", "unsigned", lambda event: event.timestamp),
    Column("attributes", "text", lambda event: _json(event.attributes) if event.attributes else None),
    Column("id", "text", lambda event: event.id),
)

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
}


def columns(events: Iterable[Event]) -> dict[str, list[Any]]:
    """The events as columns of plain Python values, a row for each event."""
    events = list(events)
    return {column.name: [column.value(event) for event in events] for column in COLUMNS}


def to_pandas(events: Iterable[Event]) -> pandas.DataFrame:
    """The events as a DataFrame; see `Events.to_pandas`."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError('to_pandas() needs pandas: pip install "lknb[data]"') from error
    values = columns(events)
    frame = {}
    for column in COLUMNS:
        if column.type == "time":
            series = pandas.Series(values[column.name], dtype="object")
            frame[column.name] = pandas.to_datetime(series, utc=True)
        else:
            frame[column.name] = pandas.Series(values[column.name], dtype=_PANDAS[column.type])
    return pandas.DataFrame(frame)


def to_arrow(events: Iterable[Event]) -> pyarrow.Table:
    """The events as an Arrow table; see `Events.to_arrow`."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError('to_arrow() needs pyarrow: pip install "lknb[data]"') from error
    types = {
        "time": pa.timestamp("us", tz="UTC"),
        "category": pa.string(),
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "bytes": pa.binary(),
        "integer": pa.int64(),
        "unsigned": pa.uint64(),
        "float": pa.float64(),
    }
    values = columns(events)
    return pa.table({column.name: pa.array(values[column.name], types[column.type]) for column in COLUMNS})


def _json(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
