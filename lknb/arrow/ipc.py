"""Arrow IPC from a room: checked before it takes memory, and before anybody follows its offsets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from lknb.arrow import pyarrow
from lknb.errors import TableError

FILE, STREAM = b"ARROW1", b"\xff\xff\xff\xff"
"""The bytes with which an Arrow IPC file and a stream begin."""


def read_batches(data: Any, max_size: int) -> Iterator[Any]:
    """The record batches in Arrow IPC, a stream or a file, one after the other. The first item is the schema.

    Args:
        data: bytes, or a buffer of them such as a memory map.
        max_size: bytes that all batches may take together, unpacked.

    Raises:
        TableError: for anything else, and for a table that takes more.
        ImportError: without pyarrow.
    """
    pa = pyarrow()

    buffer = pa.py_buffer(data)
    try:
        # A file is a stream between a marker and a footer. Read as a stream, it needs no offsets from the footer.
        stream = buffer[8:] if buffer[: len(FILE)].to_pybytes() == FILE else buffer
        size = 0
        for message in pa.ipc.MessageReader.open_stream(stream):
            size += _unpacked(message)
            _check_size(size, max_size)
        reader = pa.ipc.open_stream(stream)
        for column in reader.schema:
            _check_type(pa, column.type)
        yield reader.schema
        size = 0
        for batch in reader:
            # The sender chose the offsets and lengths in it.
            batch.validate(full=True)
            size += sum(_repeated(pa, column) for column in batch.columns)
            _check_size(size, max_size)
            yield batch
    except TableError:
        raise
    except (pa.ArrowException, ValueError, OSError, LookupError, TypeError, struct.error) as error:
        raise TableError(f"not valid Arrow IPC: {error}"[:200]) from None


def read_table(data: Any, max_size: int) -> Any:
    """The table in Arrow IPC, as a `pyarrow.Table`; see `read_batches`."""
    batches = read_batches(data, max_size)
    schema = next(batches)
    return pyarrow().Table.from_batches(batches, schema)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TableError(f"Arrow that unpacks to more than {limit:,} bytes, which is the limit")


def _check_type(pa: Any, kind: Any) -> None:
    """Refuse the few types whose values can be the same ones any number of times, and which nobody sends by default."""
    kind = _stored(pa, kind)
    repeats = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind) or pa.types.is_run_end_encoded(kind)
    if repeats or (pa.types.is_dictionary(kind) and _is_nested(pa, kind.value_type)):
        raise TableError(f"Arrow of the type {kind}, which lknb does not read"[:200])
    for index in range(kind.num_fields):
        _check_type(pa, kind.field(index).type)


def _is_nested(pa: Any, kind: Any) -> bool:
    kind = _stored(pa, kind)
    return bool(kind.num_fields) or pa.types.is_dictionary(kind) or _is_view(pa, kind)


def _is_view(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _stored(pa: Any, kind: Any) -> Any:
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind


def _repeated(pa: Any, array: Any) -> int:
    """The bytes of texts that an array can use more than once, counted as often as it uses them."""
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if isinstance(array, pa.DictionaryArray):
        texts = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)
        if not any(is_text(kind.value_type) for is_text in texts):
            return 0
        lengths = pa.compute.binary_length(array.dictionary).cast(pa.int64())
        return int(pa.compute.sum(lengths.take(array.indices)).as_py() or 0)
    if _is_view(pa, kind):
        views = array.buffers()[1]
        lengths = memoryview(views).cast("B").cast("i")[::4] if views is not None and views.size >= 16 else ()
        return sum(lengths)
    if pa.types.is_map(kind):
        return _repeated(pa, array.keys) + _repeated(pa, array.items)
    if isinstance(array, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        return _repeated(pa, array.values)
    return sum(_repeated(pa, array.field(index)) for index in range(kind.num_fields))


def _unpacked(message: Any) -> int:
    """The bytes that an Arrow IPC message unpacks to: the sizes that its buffers announce, and that Arrow allocates.

    A column whose values take no bytes counts with its length: a few bytes can announce any number of nulls.

    pyarrow only reports them after it has allocated them, so they are read from the message's FlatBuffer. The numbers
    are those of the fields in Message.fbs of the Arrow format.
    """
    if message.body is None:
        return 0
    head, body = message.metadata.to_pybytes(), message.body

    def number(form: str, at: int) -> int:
        if at < 0:
            raise TableError("not valid Arrow IPC: an offset before its beginning")
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
    elif message.type != "record batch":
        return int(body.size)
    nodes, buffers = field(batch, 1), field(batch, 2)
    lengths = 0
    if nodes:
        first = follow(nodes)
        count = number("<I", first)
        lengths = max((number("<q", first + 4 + 16 * index) for index in range(count)), default=0)
    if not buffers or not field(batch, 3):  # not compressed
        return max(int(body.size), lengths)
    first, total = follow(buffers), 0
    for at in range(first + 4, first + 4 + 16 * number("<I", first), 16):
        start, length = number("<q", at), number("<q", at + 8)
        if length >= 8:
            if not 0 <= start <= body.size - 8:
                raise TableError("not valid Arrow IPC: a buffer outside of its body")
            total += max(length, struct.unpack("<q", body[start : start + 8].to_pybytes())[0])
    return max(total, lengths)
