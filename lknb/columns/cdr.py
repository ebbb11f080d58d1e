"""ROS 2 messages: payloads in CDR, read with the text of a message definition.

A definition is a `.msg` file. Definitions of nested types follow after lines of `===`, each with a first line
`MSG: package/Type`, as in recordings of ROS; or as deeper lines, as `ros2 interface show` prints them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lknb.columns.limits import VALUES
from lknb.decoding import UndecodableError

_FORMATS = {
    "bool": "?",
    "byte": "B",
    "char": "B",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_BYTES = frozenset({"byte", "char", "uint8"})

_BUILT_IN = """\
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
===
MSG: builtin_interfaces/Duration
int32 sec
uint32 nanosec
===
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
"""

_FIELD = re.compile(
    r"(?P<type>[A-Za-z][\w/]*)(<=\d+)?(?P<list>\[(?P<most><=)?(?P<count>\d*)\])?\s+(?P<name>[A-Za-z]\w*)(?P<rest>.*)$"
)
_SECTION = re.compile(r"^\s*={3,}\s*$", re.MULTILINE)
_NESTED = 32  # levels of types inside each other


@dataclass(frozen=True)
class _Field:
    name: str
    type: str
    is_list: bool
    count: int | None  # of a list with a fixed length


_Types = dict[str, list[_Field]]


def cdr_reader(definition: str) -> Callable[[bytes], dict[str, Any]]:
    """A function that reads a message in CDR as a dict; lists of bytes as bytes.

    Args:
        definition: the text of the message definition.

    Raises:
        ValueError: for a text that is not a message definition, or that lacks the definition of a type.
    """
    types: _Types = {}
    for section in _SECTION.split(_BUILT_IN):
        _define(section, types, "")
    for index, section in enumerate(_SECTION.split(definition)):
        if section.strip():
            _define(section, types, "" if index else _ROOT)
    if _ROOT not in types:
        raise ValueError("definition is empty. Pass the text of the message's .msg file.")
    _check(types, _ROOT, ())

    def read(payload: bytes) -> dict[str, Any]:
        return _Reader(payload, types).message()

    return read


_ROOT = "."


def _define(section: str, types: _Types, name: str) -> None:
    """Add the types in one section: its own one, and those whose fields follow as deeper lines."""
    lines = [line.split("#", 1)[0].rstrip() for line in section.expandtabs(4).splitlines()]
    lines = [line for line in lines if line.strip()]
    if lines and (head := re.fullmatch(r"MSG:\s+(\S+)", lines[0].strip())):
        lines = lines[1:]
        name = name or _short(head[1])
    if not name:
        raise ValueError("A part of the definition after === must begin with a line such as MSG: geometry_msgs/Point.")
    # The type whose fields each depth of indentation holds.
    open_types: list[tuple[int, str]] = [(-1, name)]
    types[name] = []
    last = ""
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if open_types[-1][0] == -1:
            open_types[-1] = (depth, name)
        if depth > open_types[-1][0]:
            open_types.append((depth, last))
            types[last] = []
        while depth < open_types[-1][0] and len(open_types) > 1:
            open_types.pop()
        owner = open_types[-1][1]
        found = _FIELD.fullmatch(line.strip())
        if found is None or not owner:
            raise ValueError(f"definition: {line.strip()[:80]!r} is not a field. Write it like float64 x.")
        if found["rest"].lstrip().startswith("="):  # a constant
            last = ""
            continue
        count = int(found["count"]) if found["count"] and not found["most"] else None
        package = owner.rpartition("/")[0]
        kind = found["type"]
        if kind not in _FORMATS and kind not in ("string", "wstring"):
            kind = _short(kind if "/" in kind or not package else f"{package}/{kind}")
        types[owner].append(_Field(found["name"], kind, bool(found["list"]), count))
        last = "" if kind in _FORMATS else kind


def _short(name: str) -> str:
    """`package/Type` of `package/msg/Type`."""
    package, _, kind = name.rpartition("/")
    return f"{package.removesuffix('/msg')}/{kind}" if package else kind


def _check(types: _Types, name: str, above: tuple[str, ...]) -> None:
    """Find each type, once and for all, and refuse what cannot be read."""
    if name in above or len(above) > _NESTED:
        raise ValueError(f"definition: {name} contains itself.")
    for index, field in enumerate(types[name]):
        if field.type == "wstring":
            raise ValueError(f"definition: {field.name} is a wstring, which systems write in different ways.")
        if field.type in _FORMATS or field.type == "string":
            continue
        kind = field.type
        if kind not in types:  # of another package, without its name
            ends = [each for each in types if each.rpartition("/")[2] == kind.rpartition("/")[2] and each != _ROOT]
            if len(ends) != 1 or "/" in kind:
                kind = kind.removeprefix("./")
                raise ValueError(
                    f"definition: the type {kind} of {field.name} is not defined. Add its definition after a line === "
                    f"and a line MSG: {kind}, or pass what `ros2 interface show` prints."
                )
            kind = ends[0]
            types[name][index] = _Field(field.name, kind, field.is_list, field.count)
        _check(types, kind, (*above, name))


class _Reader:
    """Reads one message. Every length is checked against what is left of the payload."""

    def __init__(self, payload: bytes, types: _Types) -> None:
        if len(payload) < 4 or payload[0] or payload[1] > 1:
            raise UndecodableError(f"not a message in CDR: it begins with {payload[:4].hex(' ') or 'nothing'}")
        self.payload, self.types = payload[4:], types  # positions count from the end of the header
        self.order = "<" if payload[1] else ">"
        self.at = 0
        self.left = VALUES

    def message(self) -> dict[str, Any]:
        value = self.struct(_ROOT)
        rest = len(self.payload) - self.at
        if rest > 3:  # up to three bytes fill the last four
            raise UndecodableError(f"{rest:,} bytes more than the message of this definition has")
        return value

    def struct(self, name: str) -> dict[str, Any]:
        fields = self.types[name]
        if not fields:
            self.take(1)  # an empty message has a byte
        return {field.name: self.field(field) for field in fields}

    def field(self, field: _Field) -> Any:
        if not field.is_list:
            return self.one(field.type)
        count = self.numbers("I", 4, 1)[0] if field.count is None else field.count
        form = _FORMATS.get(field.type)
        if field.type in _BYTES:
            return self.take(count)
        if form is not None:
            return list(self.numbers(form, struct.calcsize(form), count)) if count else []
        if count > len(self.payload) - self.at:  # each takes a byte or more
            raise UndecodableError(f"a list of {count:,} values in {len(self.payload):,} bytes")
        return [self.one(field.type) for _ in range(count)]

    def one(self, kind: str) -> Any:
        form = _FORMATS.get(kind)
        if form is not None:
            return self.numbers(form, struct.calcsize(form), 1)[0]
        if kind != "string":
            self.count(1)
            return self.struct(kind)
        self.count(1)
        length = self.numbers("I", 4, 1)[0]
        text = self.take(length)
        try:
            return text.removesuffix(b"\0").decode()
        except UnicodeDecodeError:
            raise UndecodableError("a text that is not UTF-8") from None

    def numbers(self, form: str, size: int, count: int) -> tuple[Any, ...]:
        self.count(count)
        self.at += -self.at % size
        return struct.unpack(f"{self.order}{count}{form}", self.take(size * count))

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.payload):
            raise UndecodableError(f"{len(self.payload):,} bytes, which end before the message does")
        found, self.at = self.payload[self.at : end], end
        return found

    def count(self, values: int) -> None:
        self.left -= values
        if self.left < 0:
            raise UndecodableError(f"more than {VALUES:,} values")
