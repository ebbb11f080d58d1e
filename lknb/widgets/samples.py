"""Samples: the numbers in a payload, found by themselves, as rows of named fields.

JSON, Arrow IPC, plain numbers with commas or spaces between them, structs, and whatever a decoder of the user's reads.
Everything is bounded, and nothing in a payload is ever executed: no pickle, no eval.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
"""One sample: numbers by the name of their field; a time may also be a datetime or an ISO text."""

Decoder = str | tuple[str, str | Sequence[str]] | Callable[[bytes], Any]
"""How payloads are read: a struct's format, that and the names of its values, or a function that gets the bytes."""

DEEPEST = 8
"""Levels of objects and lists that are looked into."""

WIDEST = 128
"""Numbers that are taken of one sample."""

LONGEST = 10_000
"""Samples that are taken of one payload: the last ones."""

LARGEST = 1_000_000
"""Bytes of a payload that is decoded; a data track's frame has no more."""

UNPACKED = 32_000_000
"""Bytes that compressed Arrow may unpack to: a packet can hold gigabytes of zeros."""

_NAME = 80
_ARROW_FILE, _ARROW_STREAM = b"ARROW1", b"\xff\xff\xff\xff"


class UndecodableError(ValueError):
    """A payload in which no numbers can be found; the message says why."""


def reader(decoder: Decoder | None = None, names: Sequence[str] = ()) -> Callable[[Any], list[Row]]:
    """The function that makes rows of a payload: bytes, a str, or a dict.

    Args:
        decoder: how payloads are read; None finds out whether they are JSON, Arrow IPC or plain numbers.
        names: what a struct's values are called, where `decoder` does not say.

    Raises:
        TypeError: for a decoder of another type.
        ValueError: for a struct's format that does not exist, or names that are not as many as its values.
    """
    if decoder is None:
        return found
    if callable(decoder):
        return lambda payload: given(decoder(_bytes(payload)))
    if not isinstance(decoder, str) and not (isinstance(decoder, tuple) and len(decoder) == 2):
        raise TypeError(
            'decoder must be the format of a struct such as "<dff", a tuple of that and the names of its values, or a '
            f"function that gets the bytes, not {type(decoder).__name__}."
        )
    form, called = (decoder, list(names)) if isinstance(decoder, str) else (decoder[0], decoder[1])
    return _struct_reader(form, called.split() if isinstance(called, str) else list(called))


def found(payload: Any) -> list[Row]:
    """The rows in JSON, Arrow IPC or plain numbers.

    Raises:
        UndecodableError: when it is none of these, has no numbers, or is too large.
    """
    if isinstance(payload, Mapping):
        return _filled(json_rows(payload), "an object without numbers")
    data = _bytes(payload)
    if data.startswith((_ARROW_FILE, _ARROW_STREAM)):
        return _filled(arrow_rows(data), "an Arrow table without numbers")
    try:
        text = data.decode().strip().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    except UnicodeDecodeError:
        raise UndecodableError(
            'bytes that are neither JSON nor Arrow: say how to read them, e.g. decoder="<dff"'
        ) from None
    if text[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UndecodableError(f"not valid JSON: {error}"[:200]) from None
        return _filled(json_rows(value), "JSON without numbers")
    return _filled(plain_rows(text), "text that is neither JSON nor numbers")


def given(value: Any) -> list[Row]:
    """The rows in what a decoder returned: a dict of numbers or of columns, a list of dicts, a table, or None.

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


def json_rows(value: Any) -> list[Row]:
    """The rows in a JSON value: one for an object, one for each object or list in a list."""
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        return [row for each in value[-LONGEST:] for row in [_flat(each)] if row]
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, list) and inner and all(isinstance(each, dict) for each in inner):
                # What stands next to the samples is true of each of them.
                common = _flat({other: each for other, each in value.items() if other != name})
                return [{**common, **_flat(each, f"{name}.")} for each in inner[-LONGEST:]]
    row = _flat(value if isinstance(value, list | Mapping) else {"value": value})
    return [row] if row else []


def plain_rows(text: str) -> list[Row]:
    """The rows in lines of numbers with commas, semicolons or spaces between them; a first line may name them."""
    names: list[str] = []
    rows: list[Row] = []
    for number, line in enumerate(text.splitlines()[: LONGEST + 1]):
        cells = line.replace(",", " ").replace(";", " ").split()[:WIDEST]
        values = [_parsed(cell) for cell in cells]
        if None in values:
            if number or all(value is not None for value in values) or "\n" not in text:
                return []
            names = cells
            continue
        if len(names) != len(values):
            names = ["value"] if len(values) == 1 else [str(index) for index in range(len(values))]
        rows.append(dict(zip((name[:_NAME] for name in names), values, strict=True)))
    return [row for row in rows if row]


def arrow_rows(data: bytes) -> list[Row]:
    """The rows of Arrow IPC, as a stream or a file.

    Raises:
        UndecodableError: when it is none, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise UndecodableError('Arrow needs pyarrow: pip install "lknb[data]"') from None
    try:
        # A file is a stream between its mark and its footer; read as one, nothing comes from where a footer points.
        stream = pa.py_buffer(data)[8:] if data.startswith(_ARROW_FILE) else pa.py_buffer(data)
        size = sum(map(_unpacked, pa.ipc.MessageReader.open_stream(stream)))
        if size > UNPACKED:
            raise UndecodableError(f"Arrow that unpacks to {size:,} bytes, more than the {UNPACKED:,} that are taken")
        table = pa.ipc.open_stream(stream).read_all()
        # Pointers and lengths in it are the sender's.
        table.validate(full=True)
        for _ in range(DEEPEST):
            if not any(pa.types.is_struct(field.type) for field in table.schema):
                break
            table = table.flatten()
        kinds = pa.types
        numeric = (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal, kinds.is_timestamp)
        columns = {
            field.name: column.slice(max(0, table.num_rows - LONGEST)).to_pylist()
            for field, column in zip(table.schema, table.columns, strict=True)
            if any(is_kind(field.type) for is_kind in numeric)
        }
    except UndecodableError:
        raise
    except (pa.ArrowException, ValueError, OSError, LookupError, TypeError, struct.error) as error:
        raise UndecodableError(f"not valid Arrow IPC: {error}"[:200]) from None
    return _from_columns(columns) if columns else []


def seconds(value: Any) -> float | None:
    """A sample's own time in seconds, as it is given: a number, a datetime, or an ISO text. None if it is none.

    Numbers that can be no time since 1970 in seconds are taken for milli-, micro- or nanoseconds.
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


def _unpacked(message: Any) -> int:
    """The bytes that a message of Arrow IPC unpacks to, as its buffers announce and Arrow then allocates.

    That is not to be had from pyarrow before it is allocated, so it is read from the message's FlatBuffer: see
    Message.fbs of Arrow's format, whose tables' fields are numbered here.
    """
    if message.body is None:
        return 0
    head, body = message.metadata.to_pybytes(), message.body

    def number(form: str, at: int) -> int:
        if at < 0:
            raise UndecodableError("not valid Arrow IPC: an offset before its beginning")
        return int(struct.unpack_from(form, head, at)[0])

    def field(table: int, index: int) -> int:
        known = table - number("<i", table)
        inside = 4 + 2 * index < number("<H", known)
        offset = number("<H", known + 4 + 2 * index) if inside else 0
        return table + offset if offset else 0

    def follow(at: int) -> int:
        return at + number("<I", at)

    batch = follow(field(follow(0), 2))
    if message.type == "dictionary":
        batch = follow(field(batch, 1))
    buffers = field(batch, 2)
    if not buffers or not field(batch, 3):  # not compressed
        return int(body.size)
    first, total = follow(buffers), 0
    for at in range(first + 4, first + 4 + 16 * number("<I", first), 16):
        start, length = number("<q", at), number("<q", at + 8)
        if length >= 8:
            if not 0 <= start <= body.size - 8:
                raise UndecodableError("not valid Arrow IPC: a buffer outside of its body")
            total += max(length, struct.unpack("<q", body[start : start + 8].to_pybytes())[0])
    return total


def _struct_reader(form: str, names: list[str]) -> Callable[[Any], list[Row]]:
    try:
        layout = struct.Struct(form)
        values = layout.unpack(bytes(layout.size))
    except struct.error as error:
        raise ValueError(
            f'{form!r} is not a format of a struct: {error}. Write it like "<dff", see Python\'s struct module; '
            "or give a function that gets the bytes."
        ) from None
    if not values:
        raise ValueError(f"{form!r} has no values.")
    if names and len(names) != len(values):
        raise ValueError(f"{form!r} has {len(values)} values, and {len(names)} names were given: {', '.join(names)}.")
    called = [name[:_NAME] for name in names or [str(index) for index in range(len(values))]]

    def read(payload: Any) -> list[Row]:
        data = _bytes(payload)
        if not data or len(data) % layout.size:
            raise UndecodableError(f"{len(data):,} bytes are no multiple of the {layout.size} that {form!r} takes")
        last = data[-LONGEST * layout.size :]
        rows = (zip(called, map(_number, values), strict=True) for values in layout.iter_unpack(last))
        return [{name: number for name, number in row if number is not None} for row in rows]

    return read


def _bytes(payload: Any) -> bytes:
    data = payload.encode() if isinstance(payload, str) else payload
    if not isinstance(data, bytes):
        raise UndecodableError(f"{type(payload).__name__} instead of bytes")
    if len(data) > LARGEST:
        raise UndecodableError(f"{len(data):,} bytes, more than the {LARGEST:,} that are looked into")
    return data


def _filled(rows: list[Row], otherwise: str) -> list[Row]:
    if not rows:
        raise UndecodableError(otherwise)
    return rows


def _flat(value: Any, prefix: str = "") -> Row:
    """The numbers in `value` by dotted names."""
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
        # Kept for the one field that may be a time; a text of another length is none.
        if 10 <= len(value) <= 40 and value[4:5] == "-" and value[:4].isdigit():
            yield name or "value", value
    elif isinstance(value, dt.datetime):
        yield name or "value", value
    else:
        number = _number(value)
        if number is not None:
            yield name or "value", number


def _number(value: Any) -> int | float | None:
    """A finite number, or None; a text is none."""
    if isinstance(value, str | bytes):
        return None
    try:
        if isinstance(value, bool):
            return int(value)
        number = value if isinstance(value, int | float) else float(value)
        # Beyond what a column can hold there is nothing to draw.
        return number if math.isfinite(float(number)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _parsed(cell: str) -> float | None:
    try:
        # Numbers as spreadsheets write them: none of Python's own "1_000", "nan" or "infinity".
        return _number(float(cell)) if cell[-1:] in "0123456789." and "_" not in cell else None
    except ValueError:
        return None


def _listed(column: Any) -> Any:
    """A column as a list, whatever it is made of; a single value as it is."""
    if hasattr(column, "tolist"):  # NumPy's, which needs not be installed for that
        column = column.tolist()
    return list(column) if isinstance(column, Sequence) and not isinstance(column, str | bytes) else column


def _from_columns(columns: Mapping[str, Any]) -> list[Row]:
    length = max(len(column) for column in columns.values() if isinstance(column, list))
    rows: list[Row] = [{} for _ in range(min(length, LONGEST))]
    for name, column in list(columns.items())[:WIDEST]:
        name = name[:_NAME]
        if isinstance(column, list):
            # From the end: of columns that are longer than wanted, the last rows stay.
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
