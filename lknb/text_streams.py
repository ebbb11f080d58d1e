"""Text streams: text of any length, whole or piece by piece.

See https://docs.livekit.io/home/client/data/text-streams/.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from lknb.connection import Connection
from lknb.errors import StreamError
from lknb.events import Event, EventLog
from lknb.handlers import Handlers
from lknb.loop import from_calling_loop
from lknb.sdk import StreamError as SdkStreamError
from lknb.streams import (
    AsyncStreamWriter,
    Streams,
    WriterOnLoop,
    check_header,
    opened_by,
    patience,
    stopped_by,
    string_attributes,
)
from lknb.workers import Workers

CHAT = "lk.chat"


class TextStreams(Streams):
    """Sends and receives the text streams of one connection."""

    def __init__(self, connection: Connection, log: EventLog, handlers: Handlers, max_size: int) -> None:
        super().__init__(connection, log, handlers, max_size)
        connection.on("text_stream", self._arrived)

    async def send_text(
        self,
        text: str | Iterable[str] | AsyncIterable[str],
        *,
        topic: str = CHAT,
        to: str | Iterable[str] | None = None,
        attributes: dict[str, str] | None = None,
        reply_to: str | Event | None = None,
    ) -> Event:
        """Send text of any length; an iterable of str is streamed piece by piece as it comes.

        Having been sent says nothing about having arrived: LiveKit does not confirm streams.

        Args:
            text: a str, or an iterable or async iterable of str.
            topic: receivers listen by topic; `lk.chat` is what LiveKit's chat components use.
            to: an identity or several; None for everybody.
            attributes: strings that travel with the stream; with the topic at most 15,000 bytes.
            reply_to: the id of the text stream that this answers, or its event.

        Returns:
            The event in the log; its `id` is the stream's id.

        Raises:
            NotConnectedError, UnknownParticipantError, PermissionDeniedError, PayloadTooLargeError, StreamError
        """
        if isinstance(text, bytes | bytearray | memoryview) or not isinstance(text, str | Iterable | AsyncIterable):
            raise TypeError(f"send_text takes a str or an iterable of str, not {type(text).__name__}.")
        if not isinstance(text, str):
            return await self._send_pieces(text, topic=topic, to=to, attributes=attributes, reply_to=reply_to)
        event, recipients = await self._prepare(topic, to, attributes, reply_to)
        size = len(text.encode())
        event.data, event.size = text, size
        self._log.add(event)
        try:
            info = await self._connection.call(
                self._connection.local.send_text(
                    text,
                    topic=topic,
                    destination_identities=recipients,
                    attributes=event.attributes,
                    reply_to_id=event.reply_to,
                ),
                "send_text",
                limit=patience(size),
            )
        except BaseException as error:
            raise _ended(self._log, event, error) from None
        event.id, event.transferred = info.stream_id, size
        self._log.finish(event)
        return event

    async def _send_pieces(self, pieces: Any, **options: Any) -> Event:
        writer = await self._open(**options)
        try:
            async for piece in _each(pieces):
                await writer.write(piece)
        except BaseException as error:
            await writer.abort(f"the sender {stopped_by(error)}")
            raise
        await writer.close()
        return writer.event

    def stream_text(
        self,
        *,
        topic: str = CHAT,
        to: str | Iterable[str] | None = None,
        attributes: dict[str, str] | None = None,
        reply_to: str | Event | None = None,
    ) -> AsyncStreamWriter:
        """Open a text stream to write to piece by piece, as a context manager.

        Leaving the block ends the stream; an exception in it tells the receivers that the stream broke off.

        Args:
            topic: receivers listen by topic.
            to: an identity or several; None for everybody.
            attributes: strings that travel with the stream.
            reply_to: the id of the text stream that this answers, or its event.

        Raises:
            NotConnectedError, UnknownParticipantError, PermissionDeniedError, PayloadTooLargeError, StreamError
        """
        return AsyncStreamWriter(self._open(topic=topic, to=to, attributes=attributes, reply_to=reply_to))

    async def _open(
        self,
        *,
        topic: str,
        to: str | Iterable[str] | None,
        attributes: dict[str, str] | None,
        reply_to: str | Event | None,
    ) -> WriterOnLoop:
        event, recipients = await self._prepare(topic, to, attributes, reply_to)
        opening = self._connection.local.stream_text(
            topic=topic,
            destination_identities=recipients,
            attributes=event.attributes,
            reply_to_id=event.reply_to,
        )
        try:
            sdk_writer = await self._connection.call(opening, "stream_text")
        except SdkStreamError as error:
            raise StreamError(f"The text stream could not be opened: {error.description}.") from None
        event.id, event.data = sdk_writer.info.stream_id, ""
        self._log.add(event)
        return WriterOnLoop(self._connection, self._log, event, sdk_writer, self._writers, str)

    async def _prepare(
        self,
        topic: str,
        to: str | Iterable[str] | None,
        attributes: dict[str, str] | None,
        reply_to: str | Event | None,
    ) -> tuple[Event, list[str]]:
        self._connection.require("canPublishData", "Sending text")
        attributes = string_attributes(attributes)
        recipients = await self._connection.recipients(to)
        check_header(topic, attributes, recipients)
        event = Event(
            "text",
            "out",
            sender=self._connection.identity,
            to=tuple(recipients),
            topic=topic,
            attributes=attributes,
            status="open",
            reply_to=reply_to.id if isinstance(reply_to, Event) else reply_to,
        )
        return event, recipients

    def _arrived(self, reader: Any, sender: str, reply_to: str | None) -> None:
        event = opened_by(reader, sender, "text", reply_to)
        self._connection.start(self._receive(reader, event))

    async def _receive(self, reader: Any, event: Event) -> None:
        incoming = self._incoming(event)
        pieces: list[str] = []

        def keep(piece: str) -> int:
            pieces.append(piece)
            return len(piece.encode())

        def whole() -> str:
            return "".join(pieces)

        await incoming.receive(reader, keep, whole, partial=whole)


async def _each(pieces: Any) -> AsyncIterator[str]:
    """The pieces of an iterable that may be async, or synchronous and slow to give the next one."""
    if isinstance(pieces, AsyncIterable):
        async for piece in from_calling_loop(pieces):
            yield _checked(piece)
        return
    iterator, end = iter(pieces), object()
    context = contextvars.copy_context()
    # A generator may wait for a model or a file: not on the loop thread.
    worker = Workers(1, "send_text")
    try:
        while (piece := await worker.run(lambda: context.run(next, iterator, end))) is not end:
            yield _checked(piece)
    finally:
        worker.stop()


def _checked(piece: Any) -> str:
    if not isinstance(piece, str):
        raise TypeError(f"A text stream takes str, not {type(piece).__name__}: {piece!r:.60}.")
    return piece


def _ended(log: EventLog, event: Event, error: BaseException) -> BaseException:
    """Record that a send failed, and return what the caller shall see."""
    if isinstance(error, SdkStreamError):
        error = StreamError(f"The text was not sent: {error.description}.")
    log.finish(event, "failed", str(error) or type(error).__name__)
    return error
