"""Which Python values JSON can express, and how. Only their type decides, never the methods that they happen to have.

numpy, pandas, polars and pyarrow are optional and never imported here: a value can be theirs only once they are loaded.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from decimal import Decimal
from typing import Any

import pydantic.dataclasses
import pydantic_core

DEEPEST = 200
"""Levels of lists and dicts inside each other. Receivers on lknb refuse deeper JSON."""

# Receivers on lknb read integers of up to 4,300 digits, which is Python's own limit.
_LARGEST = 10**4300

# The units of numpy's timedelta64 in attoseconds. Months and years have no fixed length.
_ATTOSECONDS = {"as": 1, "fs": 10**3, "ps": 10**6, "ns": 10**9, "us": 10**12, "ms": 10**15, "s": 10**18}
_ATTOSECONDS |= {"m": 60 * 10**18, "h": 3600 * 10**18, "D": 86_400 * 10**18, "W": 604_800 * 10**18}

_UNKNOWN = object()


class _UnfitError(Exception):
    """A value that JSON cannot express, and where in the payload it is."""

    def __init__(self, value: Any, why: str) -> None:
        super().__init__(why)
        self.kind, self.why, self.path = type(value).__name__, why, ""


def jsonable(value: Any) -> Any:
    """`value` as JSON's types: None, bool, int, float, str, lists, and dicts with str keys.

    Lists and dicts are new objects, so later changes to `value` do not reach them.

    Raises:
        TypeError: for a value that JSON cannot express; the message says which part, and what to send instead.
    """
    try:
        return _plain(value, 0)
    except _UnfitError as unfit:
        path = unfit.path if len(unfit.path) <= 80 else unfit.path[:80] + "..."
        where = f"{unfit.kind} at {path}: " if path else ""
        raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {where}{unfit.why}") from None


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):  # before str and int, which an Enum may also be
        return _plain(value.value, depth)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _finite(float(value))
    if depth > DEEPEST:
        raise _UnfitError(value, f"it contains itself, or is nested more than {DEEPEST} levels deep.")
    for library, convert in _LIBRARIES.items():
        if library in sys.modules:
            converted = convert(sys.modules[library], value, depth)
            if converted is not _UNKNOWN:
                return converted
    return _builtin(value, depth)


def _builtin(value: Any, depth: int) -> Any:
    """A value of the standard library's types or of pydantic's, or of a class derived from one of them."""
    if isinstance(value, Mapping):
        return _dict(value, value.items(), depth)
    if isinstance(value, dt.datetime | dt.time):
        return _iso(value.isoformat())
    if isinstance(value, pathlib.PurePath):
        return _text(str(value))
    if isinstance(value, complex):
        raise _UnfitError(value, "JSON has no complex numbers. Send the real and the imaginary part as two numbers.")
    if isinstance(value, bytes | bytearray | memoryview):
        raise _UnfitError(value, "JSON has no bytes. Use send_bytes, or send base64.b64encode(...).decode().")
    if isinstance(value, Decimal) and not value.is_finite():
        raise _UnfitError(value, f"JSON has no {value}. Send None or a text instead.")
    if isinstance(value, pydantic.BaseModel) or pydantic.dataclasses.is_pydantic_dataclass(type(value)):
        return _plain(_model(value, depth), depth)  # once more, because a model may write NaN
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _dict(value, ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value)), depth)
    if isinstance(value, Sequence | Set | ValuesView):
        return _list(value, depth)
    if isinstance(value, Iterator):
        raise _UnfitError(value, "an iterator can be read only once. Send list(...) of it.")
    return _by_pydantic(value)


def _model(value: Any, depth: int) -> Any:
    """A pydantic model or dataclass as it writes itself, with its aliases and its own serializers."""
    refused: list[_UnfitError] = []

    def other_types(part: Any) -> Any:
        try:
            return _plain(part, depth + 1)
        except _UnfitError as unfit:
            unfit.path = "[...]"  # pydantic does not say in which field
            refused.append(unfit)
            raise

    try:
        return pydantic_core.from_json(pydantic_core.to_json(value, fallback=other_types, inf_nan_mode="constants"))
    except ValueError as error:  # pydantic's own errors; it wraps those of `other_types`
        raise (refused or [_UnfitError(value, f"{str(error).splitlines()[0]}.")])[0] from None


def _by_pydantic(value: Any) -> Any:
    """Timedelta, Decimal, UUID, addresses and the like, as pydantic writes them and reads them back."""
    try:
        return pydantic_core.to_jsonable_python(value)
    except pydantic_core.PydanticSerializationError:
        raise _UnfitError(
            value, "this type has no form in JSON. Convert it to numbers, text, lists or dicts first."
        ) from None


def _dict(owner: Any, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for key, value in items:
        name = _key(owner, key)
        if name in written:
            raise _UnfitError(owner, f"two of its keys are {name!r} in JSON. Rename one of them.")
        try:
            written[name] = _plain(value, depth + 1)
        except _UnfitError as unfit:
            unfit.path = f"[{key!r:.60}]{unfit.path}"
            raise
    return written


def _key(owner: Any, key: Any) -> str:
    """A dict's key as text: str, and what has exactly one text, such as numbers and dates."""
    if isinstance(key, str) and not isinstance(key, enum.Enum):
        return _text(key)
    try:
        plain = None if isinstance(key, Mapping | Sequence | Set) else _plain(key, 0)
    except _UnfitError:
        plain = None
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, str | int | float):
        return str(plain)
    raise _UnfitError(owner, f"JSON has no key {key!r:.60}. Keys must be str, numbers, dates or times.")


def _list(items: Iterable[Any], depth: int) -> list[Any]:
    if isinstance(items, list):  # columns of numbers are long, and need no look at each of them in Python
        kinds = set(map(type, items))
        if kinds == {float} and all(map(math.isfinite, items)):
            return list(items)
        if kinds == {int} and max(items) < _LARGEST and min(items) > -_LARGEST:
            return list(items)
    written = []
    for index, value in enumerate(items):
        try:
            written.append(_plain(value, depth + 1))
        except _UnfitError as unfit:
            unfit.path = f"[{index}]{unfit.path}"
            raise
    return written


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = f"U+{ord(value[error.start]):04X}"
            raise _UnfitError(
                value, f"it contains {half}, half of a surrogate pair, which UTF-8 cannot encode. Remove it."
            ) from None
    return str(value)


def _integer(value: int) -> int:
    if not -_LARGEST < value < _LARGEST:
        raise _UnfitError(value, "it has more than 4,300 digits. Send it as text, such as hex(...).")
    return int(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity"
        raise _UnfitError(value, f"JSON has no {name}. Send None or a text instead.")
    return value


def _iso(text: str) -> str:
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _duration(attoseconds: int) -> str:
    """A duration as ISO text: as for a timedelta, or with all its digits if it is finer."""
    microseconds, rest = divmod(attoseconds, 10**12)
    if not rest and abs(microseconds) < 10**20:
        return str(pydantic_core.to_jsonable_python(dt.timedelta(microseconds=microseconds)))
    seconds, fraction = divmod(abs(attoseconds), 10**18)
    digits = f"{fraction:018}".rstrip("0")
    return f"{'-' * (attoseconds < 0)}PT{seconds}{'.' * bool(digits)}{digits}S"


# The optional libraries. Each function gets the library, and returns _UNKNOWN for a value of somebody else's.


def _numpy(numpy: Any, value: Any, depth: int) -> Any:
    if value is numpy.ma.masked:
        return None
    if isinstance(value, numpy.ndarray):
        if not value.ndim:
            return _plain(value[()], depth)
        # Times and records have no Python type that keeps all of them, so they are converted one by one.
        return _list(value.tolist() if value.dtype.kind in "biuf" else value, depth)
    if not isinstance(value, numpy.generic):
        return _UNKNOWN
    if isinstance(value, numpy.datetime64 | numpy.timedelta64):
        return None if numpy.isnat(value) else _numpy_time(numpy, value)
    if isinstance(value, numpy.bool_ | numpy.integer):
        return value.item()
    if isinstance(value, numpy.floating):
        return _finite(float(value))
    if isinstance(value, numpy.complexfloating):
        return _builtin(complex(value), depth)
    if isinstance(value, numpy.void) and value.dtype.names:
        return _dict(value, ((name, value[name]) for name in value.dtype.names), depth)
    return _builtin(bytes(value), depth) if isinstance(value, numpy.void) else _UNKNOWN


def _numpy_time(numpy: Any, value: Any) -> str:
    unit, step = numpy.datetime_data(value.dtype)
    if isinstance(value, numpy.datetime64):
        # ISO readers want minutes and seconds; numpy would stop at the hour.
        text = str(numpy.datetime_as_string(value, unit="s" if unit in ("h", "m") else unit))
        return text.rstrip("0").removesuffix(".") if "." in text else text
    if unit not in _ATTOSECONDS:
        raise _UnfitError(value, f"a timedelta64 in {unit!r} has no fixed length. Convert it to seconds or days first.")
    return _duration(int(value.astype(numpy.int64)) * step * _ATTOSECONDS[unit])


def _pandas(pandas: Any, value: Any, depth: int) -> Any:
    if value is pandas.NaT or value is pandas.NA:
        return None
    if isinstance(value, pandas.Timestamp):
        return _iso(value.isoformat())
    if isinstance(value, pandas.Timedelta):
        return _numpy_time(sys.modules["numpy"], value.asm8)
    if isinstance(value, pandas.DataFrame):
        _refuse_index(pandas, value, "reset_index()", "reset_index(drop=True)")
        columns = [_pandas_column(value.iloc[:, index]) for index in range(value.shape[1])]
        names = [_key(value, name) for name in value.columns]
        if len(set(names)) < len(names):
            raise _UnfitError(value, "two of its columns have the same name. Rename one of them.")
        return _list([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)], depth)
    if isinstance(value, pandas.Series):
        _refuse_index(pandas, value, "to_dict()", "to_list()")
        return _list(_pandas_column(value), depth)
    if isinstance(value, pandas.Index | pandas.api.extensions.ExtensionArray):
        return _list(_pandas_column(value), depth)
    return _UNKNOWN


def _pandas_column(column: Any) -> list[Any]:
    """The values of a column, None for each that pandas calls missing: NA, NaT and its NaN."""
    missing = column.isna() if getattr(column, "nlevels", 1) == 1 else [False] * len(column)
    return [None if is_missing else value for value, is_missing in zip(column, missing, strict=True)]


def _refuse_index(pandas: Any, value: Any, keep: str, drop: str) -> None:
    """Refuse an index that is more than row numbers: its labels would be lost."""
    named = any(name is not None for name in value.index.names)
    if named or (len(value.index) and not pandas.api.types.is_integer_dtype(value.index.dtype)):
        raise _UnfitError(value, f"the labels of its index would be lost. Send {keep}, or {drop} without them.")


def _polars(polars: Any, value: Any, depth: int) -> Any:
    if isinstance(value, polars.Series):
        _refuse_nanoseconds(value, [value.dtype])
        return _list(value.to_list(), depth)
    if isinstance(value, polars.DataFrame):
        _refuse_nanoseconds(value, value.dtypes)
        return _list(value.to_dicts(), depth)
    if isinstance(value, polars.LazyFrame):
        raise _UnfitError(value, "it has not been computed yet. Send its collect().")
    return _UNKNOWN


def _refuse_nanoseconds(value: Any, types: Iterable[Any]) -> None:
    if any(getattr(each, "time_unit", None) == "ns" for each in types):
        raise _UnfitError(value, 'polars drops nanoseconds here. Use .dt.cast_time_unit("us") if that is intended.')


def _pyarrow(pyarrow: Any, value: Any, depth: int) -> Any:
    try:
        if isinstance(value, pyarrow.Table | pyarrow.RecordBatch):
            if len(set(value.schema.names)) < len(value.schema.names):
                raise _UnfitError(value, "two of its columns have the same name. Rename one of them.")
            return _list(value.to_pylist(), depth)
        if isinstance(value, pyarrow.Array | pyarrow.ChunkedArray):
            return _list(value.to_pylist(), depth)
        return _plain(value.as_py(), depth) if isinstance(value, pyarrow.Scalar) else _UNKNOWN
    except (ValueError, NotImplementedError) as error:  # such as nanoseconds without pandas
        raise _UnfitError(value, f"{error} Convert it first.") from None


_LIBRARIES = {"numpy": _numpy, "pandas": _pandas, "polars": _polars, "pyarrow": _pyarrow}
