"""What text and byte streams share: writing, reading to the end, limits, aborting and cancelling."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

from lknb.connection import Connection
from lknb.errors import (
    DeliveryTimeoutError,
    LknbError,
    NotConnectedError,
    PayloadTooLargeError,
    PermissionDeniedError,
    StreamError,
)
from lknb.event import Event, add_piece, amend, set_partial
from lknb.events import EventLog
from lknb.files import safe_name
from lknb.handlers import Handler, Handlers
from lknb.live import Live
from lknb.loop import LOOP, keep
from lknb.progress import size as readable
from lknb.public import public
from lknb.sdk import TOO_LARGE
from lknb.sdk import StreamError as SdkStreamError
from lknb.systems.pieces import Backlog, Pieces
from lknb.systems.sending import INTERRUPTED, refused

Piece = TypeVar("Piece", str, bytes)
Writer = TypeVar("Writer")

HEADER_LIMIT = 15_000
PIECE = 128 * 1024
"""The largest piece of a stream in one call of the SDK: bytes, or characters."""

CANCELLED = "cancelled here"
SENDER_INTERRUPTED = "the sender was interrupted"
# If a stream's end is lost but its sender stays, the reader would otherwise wait as long as the room is open.
IDLE_LIMIT = 3600.0
MAX_OPEN_STREAMS = 4096
"""Maximum text streams, and byte streams, that one sender may have open: more than a busy machine leaves waiting."""

MAX_BACKLOG = 256 * 1024 * 1024
"""Maximum bytes that wait for one handler of open streams, unless one stream may be larger."""

MAX_LIVE = 1_000
"""Maximum streams that wait for one handler of open streams, or run in it."""

_CLOSE_WITHIN = 5.0
_AWAITABLE = "async with room.aio.stream_text(...) as out:` with `await out.write(...)"
# The SDK delivers each stream in its own task, so the second of two short streams may overtake the first.
_IN_ORDER_WITHIN = 0.25
_SLICES = 25
_BASE_LIMIT = 30.0
# Bytes per second on the slowest link: with 20 % loss, a megabyte takes two minutes.
_SLOWEST = 4_000


def time_limit(size: int) -> float:
    """Maximum seconds for sending `size` bytes."""
    return _BASE_LIMIT + size / _SLOWEST


def check_header(topic: str, attributes: dict[str, str], recipients: list[str], *more: str) -> None:
    """Check that a stream's header fits into its one packet.

    Raises:
        PayloadTooLargeError: if the header exceeds 15,000 bytes.
    """
    parts = [topic, *more, *recipients, *attributes.keys(), *attributes.values()]
    size = sum(len(part.encode()) + 8 for part in parts) + 120
    if size > HEADER_LIMIT:
        raise PayloadTooLargeError(
            "The stream's header (topic, recipients and attributes)",
            size,
            HEADER_LIMIT,
            "Put the rest into the payload.",
        )


def reason_to_send(error: BaseException) -> str:
    """The reason sent to receivers when a stream aborts: the error's type alone, since its text could leak data."""
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return SENDER_INTERRUPTED
    return f"the sender stopped with {type(error).__name__}"


def incoming_event(reader: Any, sender: str, kind: Literal["text", "bytes"], reply_to: str | None = None) -> Event:
    """The event of a stream that a peer has just opened."""
    info = reader.info
    return Event(
        kind,
        "in",
        sender=sender or None,
        topic=info.topic,
        size=info.size or None,
        attributes=dict(info.attributes or {}),
        status="open",
        reply_to=reply_to,
        id=info.stream_id,
        name=safe_name(info.name) if kind == "bytes" else None,
        mime_type=info.mime_type if kind == "bytes" else None,
    )


@dataclass
class Open:
    """The open streams of one sender: how many, and how many of their bytes have arrived."""

    count: int = 0
    size: int = 0


class Streams:
    """The text or the byte streams of one connection.

    Args:
        connection: the room's connection.
        log: the room's event log.
        handlers: the room's handlers.
        max_size: maximum bytes of an incoming stream.

    Attributes:
        outgoing: the streams being written.
        incoming: the streams being read.
        latest: for each sender and topic, a future that is done when the stream opened last has ended.
        open_by: for each sender, how many streams it has open, and how many bytes of them have arrived.
        backlogs: for each handler of open streams, what waits for it.
        max_open: the most bytes that one sender's open streams may have together, in units of the limit for one stream.
    """

    max_open: ClassVar[int]

    def __init__(self, connection: Connection, log: EventLog, handlers: Handlers, max_size: int) -> None:
        self.connection = connection
        self.log = log
        self.handlers = handlers
        self.max_size = max_size
        self.outgoing: set[OutgoingStream[Any]] = set()
        self.incoming: set[IncomingStream[Any]] = set()
        self.latest: dict[tuple[str | None, str], asyncio.Future[None]] = {}
        self.open_by: dict[str | None, Open] = {}
        self.backlogs: weakref.WeakKeyDictionary[Handler, Backlog] = weakref.WeakKeyDictionary()
        connection.on_lost(self._lost)
        connection.on_permissions(self._permissions_changed)

    def find(self, event: Event) -> OutgoingStream[Any] | IncomingStream[Any] | None:
        """The open stream of this event, if there is one."""
        streams: list[OutgoingStream[Any] | IncomingStream[Any]] = [*self.outgoing, *self.incoming]
        return next((each for each in streams if each.event is event), None)

    async def opened(self, opening: Coroutine[Any, Any, Writer], what: str) -> Writer:
        """The SDK's writer that `opening` opens. If nobody waits for it any more, it is closed as soon as it is open.

        Raises:
            NotConnectedError: if the connection is lost.
            DeliveryTimeoutError: if the SDK does not open it in time.
        """
        task = keep(opening)
        try:
            return await self.connection.call(asyncio.shield(task), what)
        except BaseException:
            task.add_done_callback(_close_unused)
            raise

    def admits(self, reader: Any, event: Event) -> bool:
        """Whether this new stream may be read. One too many of its sender is closed, and its event dropped."""
        opened = self.open_by.setdefault(event.sender, Open())
        if opened.count < MAX_OPEN_STREAMS:
            opened.count += 1
            return True
        reader.close()
        what = "text" if event.kind == "text" else "byte"
        error = f"{event.sender!r} has {MAX_OPEN_STREAMS:,} other {what} streams open, which is the limit"
        amend(event, status="dropped", error=error)
        self.log.add(event)
        return False

    def _lost(self, why: str) -> None:
        for stream in list(self.outgoing):
            stream.lost(why)

    def _permissions_changed(self) -> None:
        if not self.connection.may("canPublishData"):
            for stream in list(self.outgoing):
                stream.deny()


def _close_unused(opening: asyncio.Task[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        keep(opening.result().aclose(reason=SENDER_INTERRUPTED))


class OpenStreams:
    """The open streams of one room, text and bytes."""

    def __init__(self, log: EventLog, *kinds: Streams) -> None:
        self._log = log
        self._kinds = kinds

    async def cancel(self, event: Event) -> bool:
        """Cancel an open text or byte stream, in either direction.

        An outgoing stream ends for its receivers too, and the call that sends it raises StreamError. An incoming
        stream ends only for this participant: its event becomes `failed` and, for text, keeps what arrived. LiveKit
        cannot notify the sender.

        Args:
            event: the stream's event, from the log, an inbox or the `event` of its writer.

        Returns:
            True if the stream was cancelled, False if it had already ended.

        Raises:
            TypeError: for anything except the event of a text or byte stream.
            StreamError: if the stream can no longer be cancelled, or does not belong to this room.
        """
        if not isinstance(event, Event) or event.kind not in ("text", "bytes"):
            what = f"one of kind {event.kind!r}" if isinstance(event, Event) else type(event).__name__
            raise TypeError(
                f"cancel() takes the event of a text or byte stream, not {what}. Find it with "
                'room.events.filter(["text", "bytes"], status="open").'
            )
        if event.status != "open":
            return False
        for kind in self._kinds:
            if stream := kind.find(event):
                await stream.cancel()
                return event.error == CANCELLED
        if any(each is event for each in self._log):
            raise StreamError(
                "This stream is sent in a single call of the SDK, which cannot be cancelled. Interrupt the cell that "
                "sends it to stop waiting; the SDK finishes it."
            )
        raise StreamError("This stream does not belong to this room. Cancel it with the room whose log contains it.")


# Receiving


class Sink(ABC, Generic[Piece]):
    """Collects the pieces of an incoming stream."""

    @abstractmethod
    def keep(self, piece: Piece) -> int:
        """Keep a piece, and return its size in bytes."""

    @abstractmethod
    def payload(self) -> Any:
        """The payload of a completely received stream.

        Raises:
            StreamError: if it differs from what was sent.
        """

    def partial(self) -> Any:
        """The payload so far, of an open or an incomplete stream."""
        return None

    def progress(self, transferred: int) -> None:
        """Show the number of bytes received."""

    def close(self) -> None:
        """Show that the stream has ended, and free what its event does not keep."""


class _EndedEarly(Exception):  # noqa: N818 - why a stream ended early; never raised to users
    """An incoming stream ended early; what arrived is kept."""


class IncomingStream(Generic[Piece]):
    """An open incoming stream: read to its end, within a byte limit, recorded, and passed to live handlers.

    The limit is the largest among its handlers: a handler's own `max_size`, else the room's. Handlers with a smaller
    limit do not receive the stream.
    """

    def __init__(self, streams: Streams, event: Event) -> None:
        self.event = event
        self._streams = streams
        self._reader: Any = None
        self._is_cancelled = False
        self._matching = streams.handlers.matching(event)
        limits = [streams.max_size if each.max_size is None else each.max_size for each in self._matching]
        self._limit = max(limits, default=streams.max_size)
        self._live: list[tuple[Handler, Pieces]] = []
        self._key = (event.sender, event.topic)
        self._ended = asyncio.get_running_loop().create_future()
        self._open = streams.open_by[event.sender]
        self._previous = streams.latest.get(self._key)
        streams.latest[self._key] = self._ended
        streams.log.add(event)
        for handler in self._matching:
            if handler.streams:
                self._serve_live(handler)

    @property
    def first_handler(self) -> Handler | None:
        """The handler whose cell shows the progress."""
        return self._matching[0] if self._matching else None

    def _serve_live(self, handler: Handler) -> None:
        backlog = self._streams.backlogs.setdefault(handler, Backlog())
        if backlog.streams >= MAX_LIVE:
            handler.drop("further streams")
            return
        pieces = Pieces(backlog)
        self._live.append((handler, pieces))
        self._streams.connection.start(handler.serve(self.event, pieces))

    async def receive(self, reader: Any, sink: Sink[Piece]) -> None:
        """Read the SDK's `reader` to the end, and record how the stream ended."""
        self._reader = reader
        self._streams.incoming.add(self)
        set_partial(self.event, sink.partial)
        data: Any = None
        error: str | None = None
        try:
            data, error = await self._read(reader, sink)
        except BaseException as stopped:
            closed = isinstance(stopped, asyncio.CancelledError)
            data = sink.partial()
            error = "the room was closed before the stream ended" if closed else type(stopped).__name__
            raise
        finally:
            # An open reader would stay in the SDK's queue for the life of the process.
            reader.close()
            amend(self.event, data=data)
            self._end(error)
            sink.close()

    async def _read(self, reader: Any, sink: Sink[Piece]) -> tuple[Any, str | None]:
        """Read to the end; return the payload, and an error if it is incomplete."""
        event = self.event
        try:
            await self._read_pieces(reader, sink)
            event.attributes.update(reader.info.attributes or {})
            if not self._is_cancelled:
                await self._wait_for_previous()
            if self._is_cancelled:
                raise _EndedEarly(CANCELLED)
            if event.size and event.transferred != event.size:
                raise _EndedEarly(f"{event.transferred:,} of {event.size:,} bytes arrived")
            amend(event, size=event.transferred)
            return sink.payload(), None
        except StreamError as invalid:  # too large, or different from what was sent: keep nothing
            return None, str(invalid)
        except _EndedEarly as ended:
            error = str(ended)
        except SdkStreamError as aborted:
            if aborted.description == TOO_LARGE:
                return None, str(self._too_large())
            # For a stream of known size, the SDK reports only that it is incomplete, whatever reason the sender gave.
            so_far = f" after {event.transferred:,} of {event.size:,} bytes" if event.size else ""
            error = f"the stream was aborted{so_far}: {aborted.description}"
        except TimeoutError:
            error = f"nothing arrived for {IDLE_LIMIT:g} s"
        except OSError as full:  # the temporary directory cannot hold it
            error = f"the bytes could not be stored: {full.strerror or full}"
        return sink.partial(), error

    async def _read_pieces(self, reader: Any, sink: Sink[Piece]) -> None:
        event, pieces = self.event, aiter(reader)
        self._check_limit(event.size or 0)
        while True:
            try:
                async with asyncio.timeout(IDLE_LIMIT):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            if self._is_cancelled:
                return
            size = sink.keep(piece)
            self._open.size += size
            add_piece(event, size)
            self._streams.log.passed(event, "piece", piece)
            self._check_limit(event.transferred)
            self._deliver(piece)
            sink.progress(event.transferred)

    def _check_limit(self, size: int) -> None:
        if size > self._limit:
            raise self._too_large()
        together = self._streams.max_open * max(self._limit, self._streams.max_size)
        if self._open.size > together:
            raise StreamError(
                f"the open streams of {self.event.sender!r} are over the limit of {readable(together)} in total"
            )

    def _too_large(self) -> StreamError:
        handler_may_raise_it = self._limit < self._streams.connection.options.largest_stream
        return StreamError(
            f"over the limit of {readable(self._limit)} per stream; "
            f"{'give the handler a larger max_size=, or ' if handler_may_raise_it else ''}"
            "connect with a larger max_stream_size="
        )

    def _deliver(self, piece: Piece) -> None:
        backlog = max(MAX_BACKLOG, self._limit)
        for handler, live in list(self._live):
            if not handler.takes(self.event.transferred):
                live.end(f"over the handler's limit of {readable(handler.max_size or 0)}")
            elif not live.put(piece, backlog):
                live.end(f"more than {readable(backlog)} wait for this handler")
                handler.drop("streams of which too much waits")
            else:
                continue
            self._live.remove((handler, live))

    async def _wait_for_previous(self) -> None:
        """Let the previous stream of this sender and topic end first, if it is ending now."""
        for _ in range(_SLICES):  # in slices, so that time in which this process is suspended does not count
            if self._previous is None or self._previous.done():
                return
            await asyncio.wait((self._previous,), timeout=_IN_ORDER_WITHIN / _SLICES)

    def _end(self, error: str | None) -> None:
        streams = self._streams
        streams.incoming.discard(self)
        self._open.count -= 1
        self._open.size -= self.event.transferred
        if not self._open.count:
            streams.open_by.pop(self.event.sender, None)
        streams.log.finish(self.event, "failed" if error else "ok", error)
        for _, live in self._live:
            live.end(error)
        self._ended.set_result(None)
        if streams.latest.get(self._key) is self._ended:
            del streams.latest[self._key]

    async def cancel(self) -> None:
        """Stop reading, and end the event."""
        self._is_cancelled = True
        self._reader.close()  # wakes the read that waits for the next piece
        await asyncio.wait((self._ended,), timeout=_CLOSE_WITHIN)


# Sending


class OutgoingStream(ABC, Generic[Piece]):
    """An open outgoing stream, on the loop thread. Its subclasses differ in the type of its pieces.

    Args:
        streams: the text or byte streams of the connection.
        event: its event, already in the log.
        sdk_writer: the SDK's writer.
        progress: called with the bytes sent so far.
    """

    def __init__(
        self,
        streams: Streams,
        event: Event,
        sdk_writer: Any,
        progress: Callable[[int], None] = lambda transferred: None,
    ) -> None:
        self.event = event
        self._streams = streams
        self._sdk_writer = sdk_writer
        self._progress = progress
        self._waits: set[asyncio.Timeout] = set()
        self._is_closing = False
        self._denied: PermissionDeniedError | None = None
        streams.outgoing.add(self)

    @abstractmethod
    def _checked(self, piece: Any) -> Piece:
        """A piece in the type that the SDK accepts.

        Raises:
            TypeError: for a piece of another type.
        """

    @abstractmethod
    def _size(self, piece: Piece) -> int:
        """The size of a piece in bytes."""

    def _keep(self, piece: Piece) -> None:
        """Keep a piece that was sent, for the event."""

    def _payload(self) -> Any:
        """The payload that the event keeps."""
        return None

    async def write(self, piece: Any) -> None:
        """Send a piece; wait while the connection is congested.

        Raises:
            StreamError: if the stream has ended or was aborted.
            PermissionDeniedError: if the grant canPublishData was taken away.
            NotConnectedError: if the connection is lost.
            DeliveryTimeoutError: if the SDK does not accept the piece in time.
            TypeError: for a piece of another type.
        """
        checked = self._checked(piece)
        self._refuse_ended()
        # The SDK sends what it has accepted even after the stream was aborted, so it gets one piece at a time.
        for at in range(0, len(checked), PIECE):
            self.refuse_aborted()  # it may have been aborted while the previous piece was being sent
            await self._write(checked[at : at + PIECE])

    async def _write(self, piece: Piece) -> None:
        size = self._size(piece)
        with self._failing("The stream was aborted"):
            async with self.until_cancelled():
                writing = self._sdk_writer.write(piece)
                await self._streams.connection.call(writing, "writing to a stream", limit=time_limit(size))
        add_piece(self.event, size)
        self._streams.log.passed(self.event, "piece", piece)
        self._keep(piece)
        self._progress(self.event.transferred)

    async def close(self, attributes: dict[str, str] | None = None) -> None:
        """End the stream. Its receivers then have the complete payload.

        Raises:
            StreamError: if the stream has ended or was aborted, or is not of the announced size.
            PermissionDeniedError: if the grant canPublishData was taken away.
            NotConnectedError: if the connection is lost.
            DeliveryTimeoutError: if the SDK does not end the stream in time.
        """
        self._refuse_ended()
        if self.event.size is not None and self.event.size != self.event.transferred:
            why = f"{self.event.transferred:,} of the {self.event.size:,} announced bytes were written"
            await self.abort(why)
            raise StreamError(f"The stream was aborted: {why}. Pass the actual total_size=, or omit it.")
        self._is_closing = True
        with self._failing("The stream could not be ended"):
            closing = self._sdk_writer.aclose(attributes=attributes)
            try:
                await self._streams.connection.call(closing, "ending a stream", limit=time_limit(0))
            except asyncio.CancelledError:
                self._end("failed", INTERRUPTED)
                raise
        amend(self.event, size=self.event.transferred)
        self._end("ok", None)

    @contextlib.contextmanager
    def _failing(self, failure: str) -> Iterator[None]:
        """Record the stream as failed if the SDK call in this block fails."""
        try:
            yield
        except SdkStreamError as error:
            self._end("failed", error.description)
            raise refused(failure, error) from None
        except (NotConnectedError, DeliveryTimeoutError) as error:
            self._end("failed", str(error))
            raise

    @contextlib.asynccontextmanager
    async def until_cancelled(self) -> AsyncIterator[None]:
        """Raise StreamError in this block when the stream is cancelled or aborted elsewhere."""
        wait = asyncio.timeout(None)
        try:
            async with wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if not wait.expired():
                raise
            raise self._aborted() from None

    async def cancel(self) -> None:
        """Cancel the stream, even while a write is waiting.

        Raises:
            StreamError: if its end is already being sent.
        """
        if self._is_closing:
            raise StreamError("This stream has been written completely and is ending: it is too late to cancel it.")
        await self.abort(CANCELLED, "the sender cancelled it")

    async def abort(self, why: str, reason_sent: str | None = None) -> None:
        """Abort the stream.

        Args:
            why: the error to record.
            reason_sent: the reason sent to the receivers, if it differs.
        """
        if self.event.status != "open":
            return
        self._end("failed", why)
        self._wake()  # the SDK ends a stream only after the write in progress
        closing = asyncio.ensure_future(self._sdk_writer.aclose(reason=reason_sent or why))
        with contextlib.suppress(Exception):  # the stream has failed already, for the recorded reason
            await asyncio.wait_for(asyncio.shield(closing), _CLOSE_WITHIN)

    async def abort_for(self, error: BaseException) -> None:
        """Abort the stream because its sender's code has raised `error`."""
        reason = reason_to_send(error)
        await self.abort(INTERRUPTED if reason == SENDER_INTERRUPTED else reason, reason)

    def deny(self) -> None:
        """Fail the stream: the grant to send was taken away, so receivers get neither the rest nor an end."""
        self._denied = PermissionDeniedError("canPublishData", "Sending a stream", taken=True)
        self._end("failed", str(self._denied))
        self._wake()

    def _wake(self) -> None:
        for wait in self._waits:
            wait.reschedule(asyncio.get_running_loop().time())

    def lost(self, why: str) -> None:
        """Fail the stream: its session has ended, so written data may not arrive."""
        self._end("failed", why)

    def _end(self, status: Literal["ok", "failed"], error: str | None) -> None:
        if self.event.status != "open":
            return
        self._streams.outgoing.discard(self)
        amend(self.event, data=self._payload())
        self._streams.log.finish(self.event, status, error)

    def _refuse_ended(self) -> None:
        self.refuse_aborted()
        if self._is_closing:
            raise StreamError("This stream has ended. Open another one.")

    def refuse_aborted(self) -> None:
        """Raise the reason if the stream was aborted: StreamError, or PermissionDeniedError."""
        if self.event.status == "failed":
            raise self._aborted()

    def _aborted(self) -> LknbError:
        if self._denied is not None:
            return self._denied
        if self.event.error == CANCELLED:
            return StreamError(f"This stream was {CANCELLED}, after {self.event.transferred:,} bytes.")
        return StreamError(f"This stream was aborted ({self.event.error}). Open another one.")


@public
class AsyncStreamWriter(Live):
    """Writes an outgoing stream from an event loop: use it with `async with`, and `await out.write(...)`."""

    _instead = "Write to it where it was opened; its event can be copied."

    def __init__(self, opening: Coroutine[Any, Any, OutgoingStream[Any]]) -> None:
        self._opening: Coroutine[Any, Any, OutgoingStream[Any]] | None = opening
        self._stream: OutgoingStream[Any] | None = None
        self._is_abandoned = False

    @property
    def event(self) -> Event:
        """The stream's event in the log."""
        return self._opened.event

    @property
    def _opened(self) -> OutgoingStream[Any]:
        if self._stream is None:
            raise StreamError("The stream is not open. Use it in `with ... as out:` (with room.aio: `async with`).")
        return self._stream

    async def __aenter__(self) -> AsyncStreamWriter:
        opening, self._opening = self._opening, None
        if opening is None:
            raise StreamError("This stream has already been used. Open another one.")
        self._stream = await LOOP.wait(opening)
        if self._is_abandoned:
            await LOOP.wait(self._abort_abandoned())
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            await LOOP.wait(self._opened.abort_for(error))
        elif self.event.status == "open":
            await LOOP.wait(self._opened.close())
        else:
            # The block must not end as if everything had arrived, even if it wrote nothing after the stream failed.
            self._opened.refuse_aborted()

    async def write(self, piece: Any) -> None:
        """Send a piece: a str for text, bytes for a byte stream. Waits while the connection is congested.

        Raises:
            StreamError: if the stream is not open, has ended or was aborted.
            PermissionDeniedError: if the grant canPublishData was taken away.
            NotConnectedError: if the connection is lost.
            DeliveryTimeoutError: if the SDK does not accept the piece in time.
            TypeError: for a piece of another type.
        """
        await LOOP.wait(self._opened.write(piece))

    async def close(self) -> None:
        """End the stream before the end of the block.

        Raises:
            StreamError: if the stream is not open, has ended or was aborted, or is not of the announced size.
            PermissionDeniedError: if the grant canPublishData was taken away.
            NotConnectedError: if the connection is lost.
            DeliveryTimeoutError: if the SDK does not end the stream in time.
        """
        await LOOP.wait(self._opened.close())

    def abandon(self) -> None:
        """Abort the stream, also if it is still being opened: nobody can write to it any more."""
        self._is_abandoned = True
        LOOP.submit(self._abort_abandoned())

    async def _abort_abandoned(self) -> None:
        if self._stream is not None:
            await self._stream.abort_for(asyncio.CancelledError())

    def __del__(self) -> None:
        if self._opening is not None:
            self._opening.close()


@public
class StreamWriter(Live):
    """Writes an outgoing stream from a cell: use it with `with`, and `out.write(...)`."""

    _instead = AsyncStreamWriter._instead

    def __init__(self, writer: AsyncStreamWriter) -> None:
        self._writer = writer

    @property
    def event(self) -> Event:
        """The stream's event in the log."""
        return self._writer.event

    def __enter__(self) -> StreamWriter:
        try:
            LOOP.run(self._writer.__aenter__, "stream", _AWAITABLE)
            return self
        except BaseException:
            self._writer.abandon()  # it may have been interrupted when the stream was already open
            raise

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        LOOP.run(lambda: self._writer.__aexit__(kind, error, trace), "stream", _AWAITABLE)

    def write(self, piece: Any) -> None:
        """Send a piece: a str for text, bytes for a byte stream. Waits while the connection is congested.

        Raises:
            StreamError: if the stream is not open, has ended or was aborted.
            PermissionDeniedError: if the grant canPublishData was taken away.
            NotConnectedError: if the connection is lost.
            DeliveryTimeoutError: if the SDK does not accept the piece in time.
            TypeError: for a piece of another type.
        """
        LOOP.run(lambda: self._writer.write(piece), "write", _AWAITABLE)

    def close(self) -> None:
        """End the stream before the end of the block.

        Raises:
            StreamError: if the stream is not open, has ended or was aborted, or is not of the announced size.
            PermissionDeniedError: if the grant canPublishData was taken away.
            NotConnectedError: if the connection is lost.
            DeliveryTimeoutError: if the SDK does not end the stream in time.
        """
        LOOP.run(self._writer.close, "close", _AWAITABLE)
