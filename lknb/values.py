"""Any Python value within bounds: as a tree that JSON can express, as one line of text, and as named fields.

A decoder may return anything. Only a value's type decides how it is read, and libraries are never imported here: a
value can be theirs only once they are loaded.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import sys
import types
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any, NamedTuple

DEEPEST = 32
"""Levels of dicts and lists inside each other that are read."""

NAME = 80
"""Characters of a field's name."""

_TEXT = 10_000  # characters of one text in a tree
_PART = 10  # characters that each part counts for, besides its text
_ITEMS = 1_000  # entries of one dict or list in a tree
_EXACT = 2**53  # larger integers are text in a tree, because JavaScript would round them
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


class Group(NamedTuple):
    """A value with parts: pairs of a name and a value, or values without names."""

    is_named: bool
    parts: list[Any]
    total: int


def group(value: Any, most: int) -> Group | None:
    """The first `most` parts of a dict, a list, an object with fields or a table; None for a single value."""
    if value is None or isinstance(value, str | int | float | bytes | bytearray):
        return None
    if isinstance(value, Mapping):
        return Group(True, [(str(key)[:NAME], value[key]) for key in islice(value, most)], len(value))
    names = getattr(value, "_fields", None)
    if isinstance(value, tuple) and isinstance(names, tuple):  # a named tuple
        return _named(zip(names, value, strict=True), most)
    if isinstance(value, list | tuple | deque | array | range | Set):
        return Group(False, list(islice(value, most)), len(value))
    if dataclasses.is_dataclass(type(value)):
        return _named(((each.name, getattr(value, each.name)) for each in dataclasses.fields(type(value))), most)
    if isinstance(value, types.SimpleNamespace):
        return _named(vars(value).items(), most)
    for module, read in _LIBRARIES.items():
        if module in sys.modules:
            found = read(sys.modules[module], value, most)
            if found is not None:
                return found
    if isinstance(value, Sequence) and not isinstance(value, memoryview):
        return Group(False, list(islice(value, most)), len(value))
    return None


def plain(value: Any, most: int = 500_000) -> Any:
    """`value` as a tree of dicts, lists, texts and numbers for people, with about `most` characters.

    What is left out is counted in it: `… 12 more`.
    """
    return _plain(value, [most], 0)


def as_json(value: Any, most: int = 500_000) -> str:
    """The tree of `plain` as JSON text."""
    return json.dumps(plain(value, most), ensure_ascii=False).encode(errors="replace").decode()


def fields(value: Any, longest: int) -> Iterator[tuple[str, Any]]:
    """The values in `value` by dotted names; "" is the name of a value without parts.

    Lists of numbers stay lists, other lists become JSON text. A list with more than `longest` items, and what is nested
    too deeply, comes as `LEFT_OUT`.
    """
    return _fields(value, "", longest, 0)


def builtin(value: Any, most: int) -> Any:
    """`value` as dicts, lists and single values, unchanged in what they are, with at most `most` parts."""
    return _builtin(value, [most], 0)


LEFT_OUT = object()
"""In place of a value that is too long or too deep for a field."""


def single(value: Any) -> Any:
    """A value without parts as None, bool, int, float, str, bytes or a datetime with a timezone; any other as text."""
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, bool | bytes):
        return value
    if isinstance(value, dt.datetime):
        # A moment only with a timezone.
        return value if value.tzinfo is not None else value.isoformat()
    if isinstance(value, str):
        return str(value).encode(errors="replace").decode()
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if "numpy" in sys.modules and isinstance(value, sys.modules["numpy"].generic) and value.dtype.kind in "biufSU":
        return value.item()
    return _described(value)


def _plain(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= _PART
    found = group(value, min(_ITEMS, max(0, left[0] // _PART)))
    if found is None:
        shown = _shown(single(value), min(_TEXT, max(0, left[0])))
        left[0] -= len(shown) if isinstance(shown, str) else 0
        return shown
    if depth >= DEEPEST:
        return f"{_ELLIPSIS} nested too deeply"
    if found.is_named:
        tree: dict[str, Any] = {}
        for name, inner in _while(left, found.parts):
            left[0] -= len(name)
            tree[name] = _plain(inner, left, depth + 1)
        if found.total > len(tree):
            tree[_ELLIPSIS] = f"{found.total - len(tree):,} more"
        return tree
    items = [_plain(inner, left, depth + 1) for inner in _while(left, found.parts)]
    if found.total > len(items):
        items.append(f"{_ELLIPSIS} {found.total - len(items):,} more")
    return items


def _shown(value: Any, most: int) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < _EXACT else _digits(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        rest = f" {_ELLIPSIS} {len(value):,} bytes" if len(value) > most // 3 else ""
        return value[: most // 3].hex(" ") + rest
    text = value.isoformat() if isinstance(value, dt.datetime) else value
    return text if len(text) <= most else f"{text[:most]}{_ELLIPSIS} {len(text) - most:,} more characters"


def _fields(value: Any, name: str, longest: int, depth: int) -> Iterator[tuple[str, Any]]:
    found = group(value, longest + 1)
    if found is None:
        yield name, _fitting(single(value))
    elif depth >= DEEPEST or (not found.is_named and found.total > longest):
        yield name, LEFT_OUT
    elif found.is_named:
        for key, inner in found.parts:
            yield from _fields(inner, f"{name}.{key}", longest, depth + 1)
        if found.total > len(found.parts):
            yield name, LEFT_OUT
    else:
        numbers = [single(each) for each in found.parts]
        if all(type(each) in (int, float) for each in numbers):
            yield name, [_fitting(each) for each in numbers]
        else:
            yield name, as_json(found.parts)


def _fitting(value: Any) -> Any:
    """An integer that no 64-bit column can hold, as text."""
    return _digits(value) if type(value) is int and not -(2**63) <= value < 2**63 else value


def _builtin(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    found = group(value, max(0, left[0])) if depth < DEEPEST else None
    if found is None:
        return value
    if found.is_named:
        return {name: _builtin(inner, left, depth + 1) for name, inner in _while(left, found.parts)}
    return [_builtin(inner, left, depth + 1) for inner in _while(left, found.parts)]


def _while(left: list[int], parts: Iterable[Any]) -> Iterator[Any]:
    for part in parts:
        if left[0] <= 0:
            return
        yield part


def _digits(number: int) -> str:
    # Python refuses to write huge numbers in decimal, because that takes long.
    return str(number) if number.bit_length() <= 1024 else f"{hex(number)[:60]}{_ELLIPSIS}"


def _described(value: Any) -> str:
    try:
        text = (
            str(value)
            if "__str__" in {name for base in type(value).__mro__[:-1] for name in vars(base)}
            else repr(value)
        )
    except Exception as error:  # of a class of the user's
        text = f"{type(value).__name__}, whose repr failed: {type(error).__name__}"
    text = text[:200] + _ELLIPSIS if len(text) > 200 else text
    return text.encode(errors="replace").decode()


def _named(pairs: Iterable[tuple[Any, Any]], most: int) -> Group:
    every = list(pairs)
    return Group(True, [(str(name)[:NAME], value) for name, value in every[:most]], len(every))


# The types of libraries


def _of_protobuf(library: Any, value: Any, most: int) -> Group | None:
    if not isinstance(value, library.Message):
        # Its repeated fields and maps are sequences and mappings.
        return None
    name = value.DESCRIPTOR.full_name
    if name == "google.protobuf.Struct":
        return _named(((key, _json_value(each)) for key, each in value.fields.items()), most)
    if name == "google.protobuf.ListValue":
        return Group(False, [_json_value(each) for each in value.values[:most]], len(value.values))
    pairs = []
    for field in value.DESCRIPTOR.fields:
        if field.has_presence and not value.HasField(field.name):
            continue
        pairs.append((field.name, _of_field(field, getattr(value, field.name))))
    return _named(pairs, most)


def _of_field(field: Any, value: Any) -> Any:
    if field.enum_type is not None and isinstance(value, int):
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    kind = field.message_type.full_name if field.message_type is not None and hasattr(value, "DESCRIPTOR") else ""
    if kind == "google.protobuf.Value":
        return _json_value(value)
    if kind == "google.protobuf.Timestamp":
        try:
            return value.ToDatetime(dt.UTC)
        except (ValueError, OverflowError):
            return value
    if kind.startswith("google.protobuf.") and kind.endswith("Value") and kind != "google.protobuf.ListValue":
        return value.value  # such as DoubleValue
    return value


def _json_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    return None if kind in (None, "null_value") else getattr(value, kind)


def _of_arrow(library: Any, value: Any, most: int) -> Group | None:
    if isinstance(value, library.Table | library.RecordBatch):
        names = value.schema.names
        return Group(
            True, [(str(name)[:NAME], value.column(index)) for index, name in enumerate(names[:most])], len(names)
        )
    if isinstance(value, library.Array | library.ChunkedArray):
        return Group(False, value.slice(0, most).to_pylist(), len(value))
    return None


def _of_numpy(library: Any, value: Any, most: int) -> Group | None:
    if isinstance(value, library.ndarray) and value.ndim:
        return Group(False, value[:most].tolist(), len(value))
    return None


def _of_frames(library: Any, value: Any, most: int) -> Group | None:
    """The tables and columns of pandas and polars."""
    if isinstance(value, library.DataFrame):
        names = list(value.columns)
        return Group(True, [(str(name)[:NAME], value[name]) for name in names[:most]], len(names))
    if isinstance(value, library.Series):
        return Group(False, value[:most].to_list(), len(value))
    return None


_LIBRARIES: Mapping[str, Callable[[Any, Any, int], Group | None]] = {
    "google.protobuf.message": _of_protobuf,
    "pyarrow": _of_arrow,
    "numpy": _of_numpy,
    "pandas": _of_frames,
    "polars": _of_frames,
    "cbor2": lambda library, value, most: (
        _named((("tag", value.tag), ("value", value.value)), most) if isinstance(value, library.CBORTag) else None
    ),
}
