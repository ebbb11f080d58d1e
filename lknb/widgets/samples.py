"""Samples: the numbers in a payload as rows of named fields.

Formats: JSON, Arrow IPC, lines of plain numbers, structs, and whatever a user's decoder reads.
Everything is bounded, and nothing in a payload is ever executed: no pickle, no eval.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lknb import values
from lknb.columns import arrow
from lknb.columns.limits import LARGEST
from lknb.columns.structs import struct_layout
from lknb.decoding import UndecodableError
from lknb.event import Event

Row = dict[str, Any]
"""One sample: numbers by the name of their field. A time may also be a datetime or an ISO text."""

Decoder = str | tuple[str, str | Sequence[str]] | Callable[[bytes], Any]
"""How to read payloads: a struct format, a struct format and the names of its values, or a function of the bytes."""

DEEPEST = 8
"""Levels of nested objects and lists that are searched."""

WIDEST = 128
"""Numbers in one sample at most."""

LONGEST = 10_000
"""Samples from one payload at most: the last ones."""

_NAME = 80
_LONGEST_INT = 2**53


def make_decoder(decoder: Decoder | None = None, names: Sequence[str] = ()) -> Callable[[Any], list[Row]]:
    """A function that turns a payload (bytes, a str, or a dict) into rows.

    Args:
        decoder: how to read payloads; None detects JSON, Arrow IPC and plain numbers.
        names: the names of a struct's values, if `decoder` does not contain them.

    Raises:
        TypeError: for a decoder of another type.
        ValueError: for an invalid struct format, or a different number of names than values.
    """
    if decoder is None:
        return detect_rows
    if callable(decoder):
        return lambda payload: rows_from_decoder(decoder(_bytes(payload)))
    if not isinstance(decoder, str) and not (isinstance(decoder, tuple) and len(decoder) == 2):
        raise TypeError(
            'decoder must be the format of a struct such as "<dff", a tuple of that and the names of its values, or a '
            f"function that gets the bytes, not {type(decoder).__name__}."
        )
    form, called = (decoder, list(names)) if isinstance(decoder, str) else (decoder[0], decoder[1])
    return _struct_decoder(form, called.split() if isinstance(called, str) else list(called))


def detect_rows(payload: Any) -> list[Row]:
    """The rows in JSON, Arrow IPC or plain numbers.

    Raises:
        UndecodableError: for another format, a payload without numbers, or one that is too large.
    """
    if isinstance(payload, Mapping):
        return _filled(json_rows(payload), "an object without numbers")
    data = _bytes(payload)
    if data.startswith((arrow.FILE, arrow.STREAM)):
        return _filled(arrow_rows(data), "an Arrow table without numbers")
    try:
        text = data.decode().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    except UnicodeDecodeError:
        raise UndecodableError(
            'bytes that are neither JSON nor Arrow: specify how to read them, for example decoder="<dff"'
        ) from None
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except RecursionError:
            raise UndecodableError("JSON that is nested too deeply") from None
        except ValueError as error:
            raise UndecodableError(f"not valid JSON: {error}"[:200]) from None
        return _filled(json_rows(value), "JSON without numbers")
    return _filled(plain_rows(text), "text that is neither JSON nor numbers")


def rows_from_decoder(value: Any) -> list[Row]:
    """The rows in a decoder's return value: a dict of numbers or of columns, a list of dicts, a table, or None.

    Raises:
        UndecodableError: for anything else.
    """
    if value is None:
        return []
    for method, args in (("to_pydict", ()), ("to_dict", ("list",))):  # Arrow's and pandas' tables
        if hasattr(value, method):
            value = getattr(value, method)(*args)
            break
    if isinstance(value, Mapping):
        columns = {str(name): _listed(column) for name, column in value.items()}
        if any(isinstance(column, list) for column in columns.values()):
            return _from_columns(columns)
        return _filled(json_rows(columns), "a decoder's dict without numbers")
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        rows = list(value)
        if all(isinstance(row, Mapping) for row in rows):
            return _filled(json_rows(rows), "a decoder's rows without numbers") if rows else []
    raise UndecodableError(f"the decoder returned {type(value).__name__}, not a dict, a list of dicts or columns")


def rows_from_value(event: Event) -> list[Row]:
    """The rows in what the topic's decoder makes of an event: in dicts, tables, messages and lists of these.

    Raises:
        UndecodableError: for a payload that the decoder could not read, and for a value without numbers.
    """
    value = event.value
    if event.value_error is not None:
        raise UndecodableError(event.value_error)
    if hasattr(value, "to_pydict") or hasattr(value, "to_dict"):
        return rows_from_decoder(value)
    return _filled(json_rows(values.builtin(value, WIDEST * LONGEST)), "a value without numbers")


def json_rows(value: Any) -> list[Row]:
    """The rows in a JSON value: one for an object, one for each object or list in a list."""
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        return [row for each in value[-LONGEST:] for row in [_flat(each)] if row]
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, list) and inner and all(isinstance(each, dict) for each in inner):
                # Values next to the samples apply to each of them.
                common = _flat({other: each for other, each in value.items() if other != name})
                return [{**common, **_flat(each, f"{name}.")} for each in inner[-LONGEST:]]
    row = _flat(value if isinstance(value, list | Mapping) else {"value": value})
    return [row] if row else []


def plain_rows(text: str) -> list[Row]:
    """The rows in lines of numbers with commas, semicolons, tabs or spaces between them; a first line may name them.

    An empty cell is a missing value. In lines with commas, semicolons or tabs, text is left out, as it is in JSON.

    Raises:
        UndecodableError: for lines that can be read in more than one way.
    """
    lines = _cells(text)
    if not lines:
        return []
    has_names = len(lines) > 1 and all(_parsed(cell) is None for cell in lines[0])
    width = len(lines[0])
    names = lines.pop(0) if has_names else ["value" if width == 1 else ""] * width
    names = [name or str(index) for index, name in enumerate(names)]
    if len(set(names)) < width:
        raise UndecodableError("two columns with the same name: say how to read them with decoder=")
    rows = []
    for cells in lines:
        if len(cells) != width:
            raise UndecodableError(f"lines with {width} and {len(cells)} values: say how to read them with decoder=")
        numbers = [_parsed(cell) for cell in cells]
        values = [cell if number is None else number for cell, number in zip(cells, numbers, strict=True)]
        rows.append(_flat(dict(zip(names, values, strict=True))))
    return [row for row in rows if row]


def _cells(text: str) -> list[list[str]]:
    """The cells of each line, by the text's one separator; none of a text without numbers."""
    if all(_parsed(part) is None for part in re.split(r"[,;\s\"]", text)):
        return []
    separators = [mark for mark in ",;\t" if mark in text]
    lines = [line for line in text.splitlines()[: LONGEST + 1] if line.strip(" ")]
    if not separators:
        rows = [line.split() for line in lines]
        # Words around a number are a sentence. Only the first of several lines may be words: the names.
        return [] if any(_parsed(cell) is None for row in rows[1:] or rows for cell in row) else rows
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separators[0])]
    except csv.Error as error:
        raise UndecodableError(f"not valid CSV: {error}"[:200]) from None
    parts = [cell.split() for row in rows for cell in row]
    if {",", ";"} <= {*separators} or any(len(each) > 1 and None not in map(_parsed, each) for each in parts):
        raise UndecodableError(
            "numbers with two kinds of separators, as in 1,5;2,5: say how to read them with decoder="
        )
    return rows


class ArrowColumns(NamedTuple):
    """The numbers of Arrow IPC.

    Attributes:
        rows: the number of samples.
        columns: the numbers of each field, NaN for a missing one.
        times: the seconds since 1970 in fields of times.
        units: the units of fields that name them, in the field's metadata `unit`.
    """

    rows: int
    columns: dict[str, array[float]]
    times: dict[str, array[float]]
    units: dict[str, str]


def is_arrow(payload: Any) -> bool:
    """Whether a payload begins like Arrow IPC."""
    return isinstance(payload, bytes) and payload.startswith((arrow.FILE, arrow.STREAM))


def arrow_columns(data: bytes) -> ArrowColumns:
    """The numbers of Arrow IPC, as a stream or a file: without a Python object for each.

    Raises:
        UndecodableError: for anything else, without numbers, or without pyarrow.
    """
    table = arrow.read_table(data)
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = pa.types
    numeric = (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal)
    columns: dict[str, array[float]] = {}
    times: dict[str, array[float]] = {}
    units: dict[str, str] = {}
    try:
        for _ in range(DEEPEST):
            if not any(kinds.is_struct(field.type) for field in table.schema):
                break
            table = table.flatten()
        table = table.slice(max(0, table.num_rows - LONGEST))
        for field, column in zip(table.schema, table.columns, strict=True):
            name, kind = field.name[:_NAME], field.type
            if kinds.is_timestamp(kind):
                micros = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
                times[name] = _floats(pc.divide(micros.cast(pa.float64()), 1e6))
            elif any(is_kind(kind) for is_kind in numeric):
                if len(columns) >= WIDEST:
                    continue
                columns[name] = _floats(column.cast(pa.float64(), safe=False))
                if field.metadata and b"unit" in field.metadata:
                    units[name] = field.metadata[b"unit"][:_NAME].decode(errors="replace")
    except (pa.ArrowException, ValueError, OSError, LookupError, TypeError) as error:
        raise UndecodableError(f"not valid Arrow IPC: {error}"[:200]) from None
    if not columns or not table.num_rows:
        raise UndecodableError("an Arrow table without numbers")
    return ArrowColumns(table.num_rows, columns, times, units)


def _floats(column: Any) -> array[float]:
    """An Arrow column of float64 as an array, NaN for what cannot be drawn."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.combine_chunks().fill_null(math.nan)
    if isinstance(values, pa.ChunkedArray):  # older versions return one without chunks as it is
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], pa.float64())
    values = pc.if_else(pc.is_finite(values), values, math.nan)
    floats = array("d")
    begin = values.offset * 8
    floats.frombytes(memoryview(values.buffers()[1])[begin : begin + len(values) * 8] if len(values) else b"")
    return floats


def arrow_rows(data: bytes) -> list[Row]:
    """The rows of Arrow IPC, as a stream or a file; a time is a datetime.

    Raises:
        UndecodableError: for anything else, or without pyarrow.
    """
    table = arrow_columns(data)
    columns: dict[str, Any] = dict(table.columns)
    for name, times in table.times.items():
        columns[name] = [None if math.isnan(each) else dt.datetime.fromtimestamp(each, dt.UTC) for each in times]
    return _from_columns({name: list(column) for name, column in columns.items()})


def seconds(value: Any) -> float | None:
    """A sample's own time in seconds, from a number, a datetime, or an ISO text; None for anything else.

    Numbers too large for seconds since 1970 are read as milli-, micro- or nanoseconds.
    """
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value[:40])
        except ValueError:
            return None
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=value.tzinfo or dt.UTC).timestamp()
    number = _number(value)
    if number is None:
        return None
    for limit, unit in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)):
        if abs(number) >= limit:
            return number / unit
    return float(number)


def _struct_decoder(form: str, names: list[str]) -> Callable[[Any], list[Row]]:
    layout, count = struct_layout(form, names)
    called = [name[:_NAME] for name in names or [str(index) for index in range(count)]]

    def read(payload: Any) -> list[Row]:
        data = _bytes(payload)
        if not data or len(data) % layout.size:
            raise UndecodableError(f"{len(data):,} bytes are not a multiple of the {layout.size} bytes of {form!r}")
        last = data[-LONGEST * layout.size :]
        rows = (zip(called, map(_number, values), strict=True) for values in layout.iter_unpack(last))
        return [{name: number for name, number in row if number is not None} for row in rows]

    return read


def _bytes(payload: Any) -> bytes:
    data = payload.encode() if isinstance(payload, str) else payload
    if not isinstance(data, bytes):
        raise UndecodableError(f"{type(payload).__name__} instead of bytes")
    if len(data) > LARGEST:
        raise UndecodableError(f"{len(data):,} bytes; the limit is {LARGEST:,}")
    return data


def _filled(rows: list[Row], otherwise: str) -> list[Row]:
    if not rows:
        raise UndecodableError(otherwise)
    return rows


def _flat(value: Any, prefix: str = "") -> Row:
    """The numbers in `value` by dotted names."""
    if not prefix and type(value) is dict and len(value) <= WIDEST and all(map(_is_plain_number, value.values())):
        return {str(name)[:_NAME]: number for name, number in value.items()}
    row: Row = {}
    for name, number in _leaves(value, prefix, 0):
        row[name[:_NAME]] = number
        if len(row) >= WIDEST:
            break
    return row


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping | list | tuple):
        if depth >= DEEPEST:
            return
        entries = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in entries:
            yield from _leaves(inner, f"{name}{'.' if depth else ''}{key}", depth + 1)
    elif isinstance(value, str):
        # Kept because one field may be a time. A text of another length is not a time.
        if 10 <= len(value) <= 40 and value[4:5] == "-" and value[:4].isdigit():
            yield name or "value", value
    elif isinstance(value, dt.datetime):
        yield name or "value", value
    else:
        number = _number(value)
        if number is not None:
            yield name or "value", number


def _is_plain_number(value: Any) -> bool:
    """Whether `_number` returns this value unchanged. For most messages, this saves the long way."""
    return (type(value) is float and math.isfinite(value)) or (
        type(value) is int and -_LONGEST_INT < value < _LONGEST_INT
    )


def _number(value: Any) -> int | float | None:
    """A finite number; None for anything else, text included."""
    if isinstance(value, str | bytes):
        return None
    try:
        if isinstance(value, bool):
            return int(value)
        number = value if isinstance(value, int | float) else float(value)
        # A number too large for a column cannot be drawn.
        return number if math.isfinite(float(number)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _parsed(cell: str) -> float | None:
    try:
        # Numbers as spreadsheets write them, without Python's own "1_000", "nan" and "infinity".
        return _number(float(cell)) if cell[-1:] in "0123456789." and "_" not in cell else None
    except ValueError:
        return None


def _listed(column: Any) -> Any:
    """A column of any type as a list; a single value unchanged."""
    if hasattr(column, "tolist"):  # NumPy's, which need not be installed
        column = column.tolist()
    return list(column) if isinstance(column, Sequence) and not isinstance(column, str | bytes) else column


def _from_columns(columns: Mapping[str, Any]) -> list[Row]:
    length = max(len(column) for column in columns.values() if isinstance(column, list))
    rows: list[Row] = [{} for _ in range(min(length, LONGEST))]
    for name, column in list(columns.items())[:WIDEST]:
        name = name[:_NAME]
        if isinstance(column, list):
            # From the end, because the last rows of too long a column are kept.
            for row, value in zip(reversed(rows), reversed(column), strict=False):
                _keep(row, name, value)
        else:
            for row in rows:
                _keep(row, name, column)
    return _filled([row for row in rows if row], "columns without numbers")


def _keep(row: Row, name: str, value: Any) -> None:
    if isinstance(value, dt.datetime):
        row[name] = value
    elif (number := _number(value)) is not None:
        row[name] = number
