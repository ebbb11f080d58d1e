"""What text and byte streams share: opening, writing, reading to the end, limits, breaking off, and cancelling."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Literal

from lknb.connection import Connection
from lknb.errors import LknbError, NotConnectedError, PayloadTooLargeError, StreamError
from lknb.event import Event
from lknb.events import EventLog
from lknb.files import safe_name
from lknb.handlers import Handler, Handlers
from lknb.loop import LOOP
from lknb.progress import size as readable
from lknb.sdk import StreamError as SdkStreamError
from lknb.systems.pieces import Pieces

MAX_STREAM_SIZE = 64 * 1024 * 1024
"""What a stream may hold before its receiver ends it, unless set."""

HEADER_LIMIT = 15_000
PIECE = 128 * 1024
"""What is given to the SDK at once of a stream that is written: bytes, or characters."""
CANCELLED = "cancelled here"
# A stream whose end was lost while its sender stayed would be waited for as long as the room is open.
IDLE_LIMIT = 3600.0
_CLOSE_WITHIN = 5.0
_AWAITABLE = "async with room.aio.stream_text(...) as out:` with `await out.write(...)"
# Each stream comes out of the SDK on a task of its own, so that of two short ones the second may overtake the first.
_IN_ORDER_WITHIN = 0.25
_SLICES = 25
# An adaptive floor: on a link with 20 % loss a megabyte takes two minutes.
_SLOWEST = 4_000


def patience(size: int) -> float:
    """The seconds that sending `size` bytes may take."""
    return 30.0 + size / _SLOWEST


def string_attributes(attributes: dict[str, str] | None) -> dict[str, str]:
    """Stream attributes, checked: LiveKit carries strings.

    Raises:
        TypeError: for a key or value that is no str.
    """
    for key, value in (attributes or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"Stream attributes are strings: {key!r}: {value!r}. Use str() or json.dumps().")
    return dict(attributes or {})


def check_header(topic: str, attributes: dict[str, str], recipients: list[str], *more: str) -> None:
    """Raise PayloadTooLargeError when a stream's header would not fit into its one packet."""
    if not isinstance(topic, str):
        raise TypeError(f"A topic is a str, not {type(topic).__name__}.")
    parts = [topic, *more, *recipients, *attributes.keys(), *attributes.values()]
    size = sum(len(part.encode()) + 8 for part in parts) + 120
    if size > HEADER_LIMIT:
        raise PayloadTooLargeError(
            "The stream's header (topic, recipients and attributes)",
            size,
            HEADER_LIMIT,
            "Put the rest into the payload.",
        )


def stopped_by(error: BaseException) -> str:
    """What the receivers of a stream are told of why it broke off: no text of ours, which could say too much."""
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return "was interrupted"
    return f"stopped with {type(error).__name__}"


def opened_by(reader: Any, sender: str, kind: Literal["text", "bytes"], reply_to: str | None = None) -> Event:
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
    )


Latest = dict[tuple[str | None, str], "asyncio.Future[None]"]
"""Of each sender and topic, the end of the stream that was opened last."""


class Incoming:
    """One stream on its way in: read to its end whatever happens, within a byte limit, recorded and handed on.

    Args:
        max_size: the room's limit in bytes; a handler's own `max_size` goes before it. The stream is read up to the
            largest limit among its handlers, and those with a smaller one do not get it.
        latest: kept over all streams of a kind, for their order.
        under_way: where it is listed while it can be cancelled.
    """

    def __init__(
        self,
        connection: Connection,
        log: EventLog,
        handlers: Handlers,
        event: Event,
        max_size: int,
        latest: Latest,
        under_way: set[Incoming],
    ) -> None:
        self._log = log
        self.event = event
        self._under_way = under_way
        self._reader: Any = None
        self._is_cancelled = False
        self._connection = connection
        self._matching = handlers.matching(event)
        limits = [max_size if each.max_size is None else each.max_size for each in self._matching]
        self._limit = max(limits, default=max_size)
        self._live: list[tuple[Handler, Pieces]] = []
        self._latest = latest
        self._ended = asyncio.get_running_loop().create_future()
        self._before = latest.get(self._key)
        latest[self._key] = self._ended
        log.add(event)
        for handler in self._matching:
            if handler.streams:
                self._serve_live(handler)

    @property
    def first_handler(self) -> Handler | None:
        """The handler in whose cell progress belongs."""
        return self._matching[0] if self._matching else None

    @property
    def _key(self) -> tuple[str | None, str]:
        return (self.event.sender, self.event.topic)

    async def _let_pass(self) -> None:
        """Give the stream before this one, if its end is only on its way as well, the time to come first."""
        for _ in range(_SLICES):  # of time, since none counts in which this process stood still
            if self._before is None or self._before.done():
                return
            await asyncio.wait((self._before,), timeout=_IN_ORDER_WITHIN / _SLICES)

    def _serve_live(self, handler: Handler) -> None:
        pieces = Pieces()
        self._live.append((handler, pieces))
        self._connection.start(handler.serve(self.event, pieces))

    async def receive(
        self,
        reader: Any,
        keep: Callable[[Any], int],
        whole: Callable[[], Any],
        progress: Callable[[int], None] = lambda done: None,
        partial: Callable[[], Any] = lambda: None,
    ) -> None:
        """Read to the end.

        Args:
            reader: the SDK's.
            keep: takes a piece and returns its bytes.
            whole: makes the event's data at the end.
            progress: is told the bytes so far.
            partial: makes the event's data when the stream broke off.
        """
        event, error, broke_off = self.event, None, True
        event.grow(partial)
        self._reader = reader
        self._under_way.add(self)
        try:
            self._check(event.size or 0)
            pieces = aiter(reader)
            while True:
                try:
                    async with asyncio.timeout(IDLE_LIMIT):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    break
                if self._is_cancelled:
                    break
                event.transferred += keep(piece)
                self._check(event.transferred)
                for handler, live in list(self._live):
                    if handler.takes(event.transferred):
                        live.put(piece)
                    else:
                        live.end(f"over the handler's limit of {readable(handler.max_size or 0)}")
                        self._live.remove((handler, live))
                progress(event.transferred)
            event.attributes.update(reader.info.attributes or {})
            if not self._is_cancelled:
                await self._let_pass()
            if self._is_cancelled:
                error = CANCELLED
            elif event.size and event.transferred != event.size:
                error = f"{event.transferred:,} of {event.size:,} bytes arrived"
            else:
                event.size = event.transferred
                event.data = whole()
                broke_off = False
        except SdkStreamError as broken:
            # Of a stream with a size the SDK says only that it is incomplete, whatever the sender gave as the reason.
            so_far = f" after {event.transferred:,} of {event.size:,} bytes" if event.size else ""
            error = f"the stream broke off{so_far}: {broken.description}"
        except StreamError as refused:
            error, broke_off = str(refused), False
        except TimeoutError:
            error = f"nothing arrived for {IDLE_LIMIT:g} s"
        except asyncio.CancelledError:
            error = "the room was closed before the stream ended"
            raise
        except OSError as full:  # the temporary directory cannot take it
            error = f"the bytes could not be kept: {full.strerror or full}"
        finally:
            # An open reader would keep its place in the SDK's queue for the life of the process.
            reader.close()
            self._under_way.discard(self)
            if broke_off:
                event.data = partial()
            self._log.finish(event, "failed" if error else "ok", error)
            for _, live in self._live:
                live.end(error)
            self._ended.set_result(None)
            if self._latest.get(self._key) is self._ended:
                del self._latest[self._key]

    async def cancel(self) -> None:
        """Read no further, and end the event."""
        self._is_cancelled = True
        self._reader.close()  # wakes the read that waits for the next piece
        await asyncio.wait((self._ended,), timeout=_CLOSE_WITHIN)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise StreamError(
                f"over the limit of {readable(self._limit)} per stream; give the handler a larger max_size=, "
                "or connect with a larger max_stream_size="
            )


class Streams:
    """What the text and the byte streams of one connection have in common.

    Args:
        connection: the room's.
        log: where each stream is recorded.
        handlers: the room's.
        max_size: bytes that an incoming stream may have.
    """

    def __init__(self, connection: Connection, log: EventLog, handlers: Handlers, max_size: int) -> None:
        self._connection = connection
        self._log = log
        self._handlers = handlers
        self._max_size = max_size
        self._writers: set[WriterOnLoop] = set()
        self._readers: set[Incoming] = set()
        self._latest: Latest = {}
        connection.on_lost(self._lost)

    def _incoming(self, event: Event) -> Incoming:
        return Incoming(self._connection, self._log, self._handlers, event, self._max_size, self._latest, self._readers)

    def under_way(self, event: Event) -> WriterOnLoop | Incoming | None:
        """The open stream of this event."""
        streams: list[WriterOnLoop | Incoming] = [*self._writers, *self._readers]
        return next((each for each in streams if each.event is event), None)

    def _lost(self, why: str) -> None:
        for writer in list(self._writers):
            writer.lost(why)


class OpenStreams:
    """The streams of one room that are under way, text and bytes."""

    def __init__(self, log: EventLog, *kinds: Streams) -> None:
        self._log = log
        self._kinds = kinds

    async def cancel(self, event: Event) -> bool:
        """Break off a text or byte stream that is under way, in either direction.

        An outgoing one ends for its receivers too, and the call that is sending it raises StreamError. An incoming one
        ends here: its event is `failed`, with what had arrived if that is text. LiveKit has no way to tell the sender.

        Args:
            event: the stream's, from the log, an inbox or the `event` of what writes it.

        Returns:
            Whether it was broken off; False when it had ended already.

        Raises:
            TypeError: for what is no event of a text or byte stream.
            StreamError: when it cannot be broken off any more, or is not a stream of this room.
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
            if stream := kind.under_way(event):
                await stream.cancel()
                return event.error == CANCELLED
        if any(each is event for each in self._log):
            raise StreamError(
                "This stream is being sent in one call, which cannot be stopped: what is that small is through in "
                "less than a second."
            )
        raise StreamError("This stream is none of this room's. Cancel it with the room whose log it is in.")


class WriterOnLoop:
    """An open outgoing stream, on the loop thread."""

    def __init__(
        self,
        connection: Connection,
        log: EventLog,
        event: Event,
        sdk_writer: Any,
        open_writers: set[WriterOnLoop],
        accepts: type,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        self.event = event
        self._connection = connection
        self._log = log
        self._sdk_writer = sdk_writer
        self._open_writers = open_writers
        self._accepts = accepts
        self._progress = progress
        self._kept: list[str] = []
        self._bounds: set[asyncio.Timeout] = set()
        self._is_closing = False
        if accepts is str:
            event.grow(lambda: "".join(self._kept))
        open_writers.add(self)

    async def write(self, piece: Any) -> None:
        """Send a piece; waits while the connection is full."""
        if self._accepts is str:
            if not isinstance(piece, str):
                raise TypeError(f"A text stream takes str, not {type(piece).__name__}.")
        else:
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise TypeError(f"A byte stream takes bytes, not {type(piece).__name__}.")
            piece = bytes(piece)
        self._refuse_ended()
        # What the SDK has been given goes out, also after the stream was broken off: so not too much at once.
        for at in range(0, len(piece), PIECE):
            self.refuse_broken()  # as it may have been while the piece before was on its way
            await self._write(piece[at : at + PIECE])

    async def _write(self, piece: Any) -> None:
        count = len(piece.encode()) if self._accepts is str else len(piece)
        try:
            async with self.until_cancelled():
                await self._connection.call(self._sdk_writer.write(piece), "writing to a stream", limit=patience(count))
        except SdkStreamError as error:
            self._end("failed", error.description)
            raise StreamError(f"The stream broke off: {error.description}.") from None
        except (NotConnectedError, TimeoutError) as error:
            self._end("failed", str(error))
            raise
        self.event.transferred += count
        if self._accepts is str and self.event.transferred <= MAX_STREAM_SIZE:
            self._kept.append(piece)
        self._progress(self.event.transferred)

    async def close(self, attributes: dict[str, str] | None = None) -> None:
        """End the stream; the receivers get what was written as a whole."""
        self._refuse_ended()
        if self.event.size is not None and self.event.size != self.event.transferred:
            why = f"{self.event.transferred:,} of the {self.event.size:,} bytes announced were written"
            await self.abort(why)
            raise StreamError(f"The stream broke off: {why}. Give the true total_size=, or leave it out.")
        self._is_closing = True
        try:
            await self._connection.call(
                self._sdk_writer.aclose(attributes=attributes), "ending a stream", limit=patience(0)
            )
        except SdkStreamError as error:
            self._end("failed", error.description)
            raise StreamError(f"The stream could not be ended: {error.description}.") from None
        except (NotConnectedError, TimeoutError) as error:
            self._end("failed", str(error))
            raise
        self.event.size = self.event.transferred
        self._end("ok", None)

    @contextlib.asynccontextmanager
    async def until_cancelled(self) -> AsyncIterator[None]:
        """What waits in this block ends with StreamError when the stream is cancelled or broken off elsewhere."""
        bound = asyncio.timeout(None)
        try:
            async with bound:
                self._bounds.add(bound)
                try:
                    yield
                finally:
                    self._bounds.discard(bound)
        except TimeoutError:
            if not bound.expired():
                raise
            raise self._broken() from None

    async def cancel(self) -> None:
        """Break the stream off, whatever waits for it.

        Raises:
            StreamError: when its end is on its way.
        """
        if self._is_closing:
            raise StreamError("All of this stream has been written, and its end is on its way: too late to cancel it.")
        await self.abort(CANCELLED, "the sender cancelled it")

    async def abort(self, why: str, told: str | None = None) -> None:
        """Break the stream off, and tell the receivers that it did not end: the same, or what they are to be told."""
        if self.event.status != "open":
            return
        self._end("failed", why)
        # The SDK ends a stream only after the write that is under way.
        for bound in self._bounds:
            bound.reschedule(asyncio.get_running_loop().time())
        closing = asyncio.ensure_future(self._sdk_writer.aclose(reason=told or why))
        with contextlib.suppress(Exception):  # the stream has failed already, for the reason given
            await asyncio.wait_for(asyncio.shield(closing), _CLOSE_WITHIN)

    def lost(self, why: str) -> None:
        """The session has ended: what was written may not have arrived, and more would be lost."""
        self._end("failed", why)

    def _end(self, status: Literal["ok", "failed"], error: str | None) -> None:
        if self.event.status != "open":
            return
        self._open_writers.discard(self)
        if self._accepts is str:
            self.event.data = "".join(self._kept)
        self._log.finish(self.event, status, error)

    def _refuse_ended(self) -> None:
        self.refuse_broken()
        if self._is_closing:
            raise StreamError("This stream has ended. Open another one.")

    def refuse_broken(self) -> None:
        """Raise StreamError when the stream has broken off."""
        if self.event.status == "failed":
            raise self._broken()

    def _broken(self) -> StreamError:
        if self.event.error == CANCELLED:
            return StreamError(f"This stream was {CANCELLED}, after {self.event.transferred:,} bytes.")
        return StreamError(f"This stream has broken off ({self.event.error}). Open another one.")


class AsyncStreamWriter:
    """An outgoing stream for code on an event loop: `async with` it, and `await out.write(...)`."""

    def __init__(self, opening: Coroutine[Any, Any, WriterOnLoop]) -> None:
        self._opening: Coroutine[Any, Any, WriterOnLoop] | None = opening
        self._writer: WriterOnLoop | None = None

    @property
    def event(self) -> Event:
        """The stream's event in the log."""
        return self._opened.event

    @property
    def _opened(self) -> WriterOnLoop:
        if self._writer is None:
            raise LknbError("The stream is not open: use it in `with ... as out:` (`async with` for that of room.aio).")
        return self._writer

    async def __aenter__(self) -> AsyncStreamWriter:
        opening, self._opening = self._opening, None
        if opening is None:
            raise LknbError("This stream has been used already. Open another one.")
        self._writer = await LOOP.wait(opening)
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            await LOOP.wait(self._opened.abort(f"the sender {stopped_by(error)}"))
        elif self.event.status == "open":
            await LOOP.wait(self._opened.close())
        else:
            # Nothing after the loss was written, or the writing said so: the block must not end as if all had arrived.
            self._opened.refuse_broken()

    async def write(self, piece: Any) -> None:
        """Send a piece; waits while the connection is full.

        Raises:
            StreamError: after the stream has ended or broken off.
            NotConnectedError: when the connection was lost.
        """
        await LOOP.wait(self._opened.write(piece))

    async def close(self) -> None:
        """End the stream before the end of the block."""
        await LOOP.wait(self._opened.close())

    def __del__(self) -> None:
        if self._opening is not None:
            self._opening.close()


class StreamWriter:
    """An outgoing stream for a cell: `with` it, and `out.write(...)`."""

    def __init__(self, stream: AsyncStreamWriter) -> None:
        self._stream = stream

    @property
    def event(self) -> Event:
        """The stream's event in the log."""
        return self._stream.event

    def __enter__(self) -> StreamWriter:
        LOOP.run(self._stream.__aenter__(), "stream", _AWAITABLE)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        LOOP.run(self._stream.__aexit__(kind, error, trace), "stream", _AWAITABLE)

    def write(self, piece: Any) -> None:
        """Send a piece; waits while the connection is full.

        Raises:
            StreamError: after the stream has ended or broken off.
            NotConnectedError: when the connection was lost.
        """
        LOOP.run(self._stream.write(piece), "write", _AWAITABLE)

    def close(self) -> None:
        """End the stream before the end of the block."""
        LOOP.run(self._stream.close(), "close", _AWAITABLE)
