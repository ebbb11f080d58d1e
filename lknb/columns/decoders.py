"""The formats that `room.decode` knows: each makes a function that reads a payload, within the limits of `limits.py`.

Nothing in a payload is ever executed, and no format is guessed.
"""

from __future__ import annotations

import functools
import inspect
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pydantic_core

from lknb import checks
from lknb.columns.arrow import read_table
from lknb.columns.cdr import cdr_reader
from lknb.columns.limits import DEEPEST, LARGEST, UNPACKED, VALUES
from lknb.columns.structs import struct_layout
from lknb.decoding import DECODED_KINDS, Declared, Decoder, UndecodableError
from lknb.errors import did_you_mean
from lknb.event import Kind
from lknb.functions import is_async, is_generator, name_of

FORMATS = ("json", "arrow", "msgpack", "cbor", "cdr")
"""The formats with a name. The others are a struct's format, a class of messages and a function."""

_PIP = 'pip install "lknb[decoders]"'
# A packet is smaller. A larger map with keys other than text could be made of keys that all collide.
_ANY_KEYS = 65_536
_LONGEST_NUMBER = 128  # bytes of an integer in CBOR: larger ones take long to convert

Read = Callable[[bytes], Any]


class Format(NamedTuple):
    """How payloads are read: what it is called, the function that does it, and the bytes of a payload at most."""

    name: str
    read: Read
    largest: int
    declared: Declared | None = None


def make_decoder(topic: str, form: Any, names: Any, kind: Any, definition: Any) -> Decoder:
    """The decoder for the arguments of `Room.decode`, which are checked here."""
    topic = checks.topic(topic)
    kind = check_kind(kind)
    listed = _names(names)
    if definition is not None and form != "cdr":
        raise TypeError('definition= is for the format "cdr".')
    if listed and (not isinstance(form, str) or form in FORMATS):
        raise TypeError('names= is for the values of a struct, such as "<dff".')
    called, read, largest, declared = make_format(form, listed, definition)
    return Decoder(topic, kind, called, listed, read, largest, declared)


def check_kind(kind: Any) -> Kind | None:
    """The kind of events to decode, or None for all that have a format of their own."""
    if kind is None:
        return None
    found = checks.kinds(checks.text(kind, "kind")) or frozenset()
    if not found <= DECODED_KINDS:
        raise ValueError(f"kind must be {', '.join(sorted(DECODED_KINDS))}, or None for all of these, not {kind!r}.")
    return next(iter(found))


def make_format(form: Any, names: Sequence[str] = (), definition: str | None = None) -> Format:
    """How to read a format.

    Args:
        form: the name of a format, a struct's format, a class of protobuf messages, or a function of the bytes.
        names: the names of a struct's values.
        definition: the text of the ROS 2 message definition, for "cdr".

    Raises:
        TypeError: for a format of another type, and for a function that could never run.
        ValueError: for a text that is no format, and for a definition that cannot be read.
        ImportError: if the format needs a package that is not installed.
    """
    if isinstance(form, str):
        if form == "cdr":
            text = checks.text(definition, "definition", "It is the text of the ROS 2 message definition.")
            return Format(form, cdr_reader(text), LARGEST, ("cdr", ("message", "ros2msg", text.encode())))
        if form in FORMATS:
            read, largest = _BY_NAME[form]()
            # JSON and Arrow are recognized by their content.
            return Format(form, read, largest, (form, None) if form in ("msgpack", "cbor") else None)
        return Format(form, _struct(form, names), LARGEST)
    if _is_message_class(form):
        name = form.DESCRIPTOR.full_name
        schema = (name, "protobuf", _file_descriptors(form.DESCRIPTOR.file))
        return Format(name, functools.partial(_protobuf, form), LARGEST, ("protobuf", schema))
    if not callable(form):
        raise TypeError(
            f'format must be {", ".join(FORMATS)}, the format of a struct such as "<dff", a class of protobuf '
            f"messages, or a function that gets the bytes, not {type(form).__name__}."
        )
    return Format(name_of(form), _function(form), UNPACKED)


def _names(names: Any) -> tuple[str, ...]:
    given = names.replace(",", " ").split() if isinstance(names, str) else names
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise TypeError(f'names must be a list of str, such as ["t", "x", "y"], not {type(names).__name__}.')
    listed = tuple(checks.text(name, "A name in names") for name in given)
    twice = next((name for index, name in enumerate(listed) if name in listed[:index]), None)
    if twice is not None:
        raise ValueError(f"names contains {twice!r} twice.")
    return listed


# Structs


def _struct(form: str, names: Sequence[str]) -> Read:
    try:
        layout, count = struct_layout(form, names)
    except ValueError as error:
        if form[:1].isalpha() and len(form) > 1:  # a misspelt name rather than a struct
            close = did_you_mean(form, FORMATS)
            raise ValueError(
                f"{form!r} is neither one of {', '.join(FORMATS)} nor the format of a struct{close}"
            ) from error
        raise

    def one(values: tuple[Any, ...]) -> Any:
        if names:
            return dict(zip(names, values, strict=True))
        return values if count > 1 else values[0]

    def read(payload: bytes) -> Any:
        size = len(payload)
        if not size or size % layout.size:
            raise UndecodableError(f"{size:,} bytes are not a multiple of the {layout.size:,} bytes of {form!r}")
        structs = size // layout.size
        if structs == 1:
            return one(layout.unpack(payload))
        _check_count(structs * count)
        return [one(values) for values in layout.iter_unpack(payload)]

    return read


# Text, and binary formats like it


def _json() -> tuple[Read, int]:
    def read(payload: bytes) -> Any:
        try:
            value = pydantic_core.from_json(payload.removeprefix(b"\xef\xbb\xbf"), cache_strings="none")
        except ValueError as error:
            if "recursion limit" in str(error):
                raise UndecodableError(f"JSON nested more than {DEEPEST} levels deep") from None
            raise UndecodableError(f"not valid JSON: {error}") from None
        _check_tree(value, len(payload))
        return value

    return read, LARGEST


def _msgpack() -> tuple[Read, int]:
    try:
        import msgpack
    except ImportError as error:
        raise ImportError(f'The format "msgpack" needs msgpack: {_PIP}') from error

    def read(payload: bytes) -> Any:
        try:
            value = msgpack.unpackb(payload, timestamp=3, strict_map_key=False)
        except Exception as error:  # its errors have no common class
            raise UndecodableError(f"not valid MessagePack: {str(error) or type(error).__name__}") from None
        _check_tree(value, len(payload))
        return value

    return read, LARGEST


def _cbor() -> tuple[Read, int]:
    try:
        import cbor2
    except ImportError as error:
        raise ImportError(f'The format "cbor" needs cbor2: {_PIP}') from error

    def as_tag(tag: int) -> Callable[[Any, bool], Any]:
        return lambda value, immutable: cbor2.CBORTag(tag, value)

    def integer(tag: int) -> Callable[[Any, bool], Any]:
        def convert(value: Any, immutable: bool) -> Any:
            # Not as a key: integers of any size can be made to collide.
            if immutable or not isinstance(value, bytes) or len(value) > _LONGEST_NUMBER:
                return cbor2.CBORTag(tag, value)
            number = int.from_bytes(value, "big")
            return number if tag == 2 else -1 - number

        return convert

    def fraction(value: Any, immutable: bool) -> Any:
        match value:
            case [int(exponent), int(mantissa)] if abs(exponent) <= 6144 and mantissa.bit_length() <= 1024:
                return Decimal(mantissa).scaleb(exponent)
        return cbor2.CBORTag(4, value)

    # These refer to other parts, which can make a small payload huge or endless, compile a pattern, parse a mail, or
    # compute with numbers of any length.
    tags: Mapping[int, Any] = {tag: as_tag(tag) for tag in (5, 25, 28, 29, 30, 35, 36, 256)}
    tags = {**tags, 2: integer(2), 3: integer(3), 4: fraction}

    def read(payload: bytes) -> Any:
        is_strict = len(payload) > _ANY_KEYS
        stream = io.BytesIO(payload)
        try:
            decoder = cbor2.CBORDecoder(
                stream,
                max_depth=DEEPEST,
                semantic_decoders=tags,
                strict_hashable_types=is_strict,
                str_errors="replace",
            )
            value = decoder.decode()
        except Exception as error:
            reason = str(error.__cause__ or error) or type(error).__name__
            raise UndecodableError(f"not valid CBOR: {reason}") from None
        if stream.read(1):
            raise UndecodableError("not valid CBOR: more bytes follow after the value")
        _check_tree(value, len(payload))
        return value

    return read, LARGEST


def _arrow() -> tuple[Read, int]:
    try:
        import pyarrow  # noqa: F401 - only whether it is installed
    except ImportError as error:
        raise ImportError('The format "arrow" needs pyarrow: pip install "lknb[data]"') from error
    return read_table, UNPACKED


_BY_NAME: Mapping[str, Callable[[], tuple[Read, int]]] = {
    "json": _json,
    "arrow": _arrow,
    "msgpack": _msgpack,
    "cbor": _cbor,
}


# Messages and functions


def _is_message_class(form: Any) -> bool:
    library = sys.modules.get("google.protobuf.message")
    if not isinstance(form, type) or library is None or not issubclass(form, library.Message):
        return False
    if form is library.Message:
        raise TypeError("Pass the class of one message, such as Imu of imu_pb2, not Message itself.")
    return True


def _protobuf(message: Any, payload: bytes) -> Any:
    try:
        return message.FromString(payload)
    except Exception as error:
        raise UndecodableError(f"not a message {message.DESCRIPTOR.full_name}: {error}") from None


def _file_descriptors(file: Any) -> bytes:
    """The files that define a message, as a serialized FileDescriptorSet: what a file needs comes before it."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    found: dict[str, Any] = {}

    def collect(each: Any) -> None:
        if each.name not in found:
            for needed in each.dependencies:
                collect(needed)
            found[each.name] = each

    collect(file)
    files = FileDescriptorSet()
    for each in found.values():
        each.CopyToProto(files.file.add())
    return files.SerializeToString()


def _function(function: Callable[..., Any]) -> Read:
    name = name_of(function)
    if is_async(function):
        raise TypeError(f"{name} is async. A decoder is a plain function that gets the bytes and returns the value.")
    if is_generator(function):
        raise TypeError(f"{name} contains `yield`, so calling it would not run its code. Return a list instead.")
    try:
        inspect.signature(function).bind(b"")
    except ValueError:
        pass  # written in C, and may well take the bytes
    except TypeError:
        raise TypeError(f"{name} must be a function that gets the bytes as its only argument.") from None

    def read(payload: bytes) -> Any:
        value = function(payload)
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise UndecodableError(f"{name} returned something to await instead of the value")
        return value

    return read


# Limits


def _check_count(values: int) -> None:
    if values > VALUES:
        raise UndecodableError(f"{values:,} values; the limit is {VALUES:,}")


def _check_tree(value: Any, size: int) -> None:
    """Refuse a value with too many parts or too many levels; `size` bytes have no more of either."""
    if size <= DEEPEST:
        return
    level: list[Any] = [value]
    count = 0
    for _ in range(DEEPEST):
        level = [part for each in level for part in _parts(each)]
        count += len(level)
        _check_count(count)
        if not level:
            return
    raise UndecodableError(f"nested more than {DEEPEST} levels deep")


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif hasattr(value, "tag"):
        yield value.value
