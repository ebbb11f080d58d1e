"""Tables in byte streams, as Arrow: every peer with an Arrow library reads them, and types survive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from lknb import checks
from lknb.arrow import pyarrow
from lknb.arrow.formats import ARROW_STREAM
from lknb.arrow.frames import Frame, frame
from lknb.defaults import COMPRESSIONS, TABLES
from lknb.event import Event
from lknb.participants import Participant
from lknb.systems.byte_streams import ByteStreams

Compression = Literal["zstd", "lz4"]

# A table up to this size is packed as a whole before it is sent, so that its size is known.
_AT_ONCE = 64_000_000


class Tables:
    """Sends tables in one room's byte streams."""

    def __init__(self, streams: ByteStreams) -> None:
        self._streams = streams

    async def send_table(
        self,
        table: Any,
        *,
        topic: str = TABLES,
        to: str | Participant | Iterable[str | Participant] | None = None,
        name: str | None = None,
        attributes: Mapping[str, str] | None = None,
        compression: Compression | None = "zstd",
        progress: bool = True,
    ) -> Event:
        """Send a table as an Arrow IPC stream, in a byte stream that every peer with an Arrow library can read.

        Types survive: times with zones, categories, decimals, nested lists, nulls, durations, the index of pandas. A
        table of more than 64 MB, and one whose rows are read while they are sent (a `pyarrow.RecordBatchReader`), goes
        out batch by batch, so that it need not be in memory twice. See `send_bytes` for what else holds for byte
        streams.

        Args:
            table: a DataFrame of pandas or polars, a table, batch or reader of pyarrow, a dict of columns, a list of
                dicts, or any object with `__arrow_c_stream__`.
            topic: receivers listen by topic.
            to: an identity, a `Participant`, or several in a list; None for everybody.
            name: a file name for the receivers; `table.arrows` if not given.
            attributes: strings sent with the stream; at most 15,000 bytes together with the topic.
            compression: how Arrow compresses columns: "zstd", "lz4", or None. Arrow's JavaScript library reads only
                uncompressed tables unless it is given a codec.
            progress: whether to show the progress of a long transfer.

        Returns:
            The event in the log, with size and duration.

        Raises:
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            UnknownParticipantError: if a recipient is not in the room.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if topic, recipients, name and attributes exceed 15,000 bytes.
            StreamError: if the SDK refused the stream, or it was aborted or cancelled.
            DeliveryTimeoutError: if the SDK did not send the table in time.
            TypeError: for what is not a table, and for other arguments of another type.
            ValueError: for columns of the same name or of different lengths, for values that Arrow cannot express, for
                an unknown compression, for an empty `to`, and for this participant's own identity in it.
            ImportError: without pyarrow.

        Examples:
            >>> room.send_table(frame, topic="results", to="bob")
            >>> room.send_table({"t": times, "x": values})
        """
        if compression is not None:
            checks.choice(compression, "compression", COMPRESSIONS)
        found = await asyncio.to_thread(frame, table)
        pieces = _packed(found, compression)
        content: bytes | Iterator[bytes] = pieces
        if found.size is not None and found.size <= _AT_ONCE:
            content = await asyncio.to_thread(b"".join, pieces)
        return await self._streams.send_content(
            content,
            topic=topic,
            to=to,
            name="table.arrows" if name is None else name,
            mime_type=ARROW_STREAM,
            attributes=attributes,
            progress=progress,
        )


def _packed(found: Frame, compression: str | None) -> Iterator[bytes]:
    """The bytes of an Arrow IPC stream, a piece for each batch."""
    pa = pyarrow()
    sink = _Pieces()
    with pa.ipc.new_stream(
        pa.PythonFile(sink, "w"), found.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        for batch in found:
            writer.write_batch(batch)
            yield sink.take()
    yield sink.take()


class _Pieces:
    """A file to write to, whose content so far is taken away."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(self._written[-1])

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken, self._written = b"".join(self._written), []
        return taken
