"""Text streams: text of any length, whole or piece by piece.

See https://docs.livekit.io/home/client/data/text-streams/.
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from lknb.connection import Connection
from lknb.errors import StreamError
from lknb.event import Event
from lknb.events import EventLog
from lknb.handlers import Handlers
from lknb.loop import from_calling_loop
from lknb.sdk import StreamError as SdkStreamError
from lknb.sdk import TextHeader, header_of, open_text, send_text
from lknb.systems.streams import (
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

SendFile = Callable[..., Awaitable[Event]]


class TextStreams(Streams):
    """Sends and receives the text streams of one connection, and receives the chat messages of older clients.

    Args:
        connection: the room's.
        log: where each stream is recorded.
        handlers: the room's.
        max_size: bytes that an incoming stream may have.
        send_file: `ByteStreams.send_attachment`, for what goes with a text.
    """

    def __init__(
        self, connection: Connection, log: EventLog, handlers: Handlers, max_size: int, send_file: SendFile
    ) -> None:
        super().__init__(connection, log, handlers, max_size)
        self._send_file = send_file
        connection.on("text_stream", self._arrived)
        connection.on("chat_message", self._chat_message)

    async def send_text(
        self,
        text: str | Iterable[str] | AsyncIterable[str],
        *,
        topic: str = CHAT,
        to: str | Iterable[str] | None = None,
        attributes: dict[str, str] | None = None,
        reply_to: str | Event | None = None,
        edits: str | Event | None = None,
        attachments: str | Path | Iterable[str | Path] = (),
        progress: bool = True,
    ) -> Event:
        """Send text of any length; an iterable of str is streamed piece by piece as it comes.

        Having been sent says nothing about having arrived: LiveKit does not confirm streams.

        Args:
            text: a str, or an iterable or async iterable of str.
            topic: receivers listen by topic; `lk.chat` is what LiveKit's chat components use.
            to: an identity or several; None for everybody.
            attributes: strings that travel with the stream; with the topic at most 15,000 bytes.
            reply_to: the id of the text stream that this answers, or its event.
            edits: a text that this participant has sent, as its event or its id: chat components show this text in
                its place. As far as it is in `room.events`, it brings its topic, what it answers and, unless `to` is
                given, its recipients.
            attachments: the path of a file or several, sent after the text, one after the other, as byte streams of
                the same topic whose ids the text names: how LiveKit's chat components attach files. Of a message
                with an empty text those show nothing, not even its files.
            progress: whether a long transfer of an attachment shows how it gets on.

        Returns:
            The event in the log; its `id` is the stream's id.

        Raises:
            NotConnectedError, UnknownParticipantError, PermissionDeniedError, PayloadTooLargeError, StreamError
            FileNotFoundError, IsADirectoryError: for an attachment, before anything is sent.
            ValueError: when `edits` is no text of this participant, or is still being sent.
        """
        if isinstance(text, bytes | bytearray | memoryview) or not isinstance(text, str | Iterable | AsyncIterable):
            raise TypeError(f"send_text takes a str or an iterable of str, not {type(text).__name__}.")
        files = await asyncio.to_thread(_files, attachments)
        event, recipients = await self._prepare(topic, to, attributes, reply_to, edits, tuple(files))
        if isinstance(text, str):
            await self._send_whole(text, event, recipients)
        else:
            await self._send_pieces(text, event, recipients)
        for stream_id, path in files.items():
            await self._send_file(path, topic=event.topic, to=recipients, stream_id=stream_id, progress=progress)
        return event

    async def _send_whole(self, text: str, event: Event, recipients: list[str]) -> None:
        size = len(text.encode())
        event.data, event.size = text, size
        self._log.add(event)
        try:
            await self._connection.call(
                send_text(self._connection.local, text, event.topic, recipients, event.attributes, _head(event)),
                "send_text",
                limit=patience(size),
            )
        except BaseException as error:
            raise _ended(self._log, event, error) from None
        event.transferred = size
        self._log.finish(event)

    async def _send_pieces(self, pieces: Any, event: Event, recipients: list[str]) -> None:
        writer = await self._open(event, recipients)
        try:
            async with writer.until_cancelled():
                async for piece in _each(pieces):
                    await writer.write(piece)
        except BaseException as error:
            await writer.abort(f"the sender {stopped_by(error)}")
            raise
        await writer.close()

    def stream_text(
        self,
        *,
        topic: str = CHAT,
        to: str | Iterable[str] | None = None,
        attributes: dict[str, str] | None = None,
        reply_to: str | Event | None = None,
        edits: str | Event | None = None,
    ) -> AsyncStreamWriter:
        """Open a text stream to write to piece by piece, as a context manager.

        Leaving the block ends the stream; an exception in it tells the receivers that the stream broke off.

        Args:
            topic: receivers listen by topic.
            to: an identity or several; None for everybody.
            attributes: strings that travel with the stream.
            reply_to: the id of the text stream that this answers, or its event.
            edits: a text that this participant has sent and that this one takes the place of; see `send_text`.

        Raises:
            NotConnectedError, UnknownParticipantError, PermissionDeniedError, PayloadTooLargeError, StreamError
            ValueError: when `edits` is no text of this participant, or is still being sent.
        """

        async def open_() -> WriterOnLoop:
            return await self._open(*await self._prepare(topic, to, attributes, reply_to, edits))

        return AsyncStreamWriter(open_())

    async def _open(self, event: Event, recipients: list[str]) -> WriterOnLoop:
        opening = open_text(self._connection.local, event.topic, recipients, event.attributes, _head(event))
        try:
            sdk_writer = await self._connection.call(opening, "stream_text")
        except SdkStreamError as error:
            raise StreamError(f"The text stream could not be opened: {error.description}.") from None
        event.data = ""
        self._log.add(event)
        return WriterOnLoop(self._connection, self._log, event, sdk_writer, self._writers, str)

    async def _prepare(
        self,
        topic: str,
        to: str | Iterable[str] | None,
        attributes: dict[str, str] | None,
        reply_to: str | Event | None,
        edits: str | Event | None = None,
        attachments: tuple[str, ...] = (),
    ) -> tuple[Event, list[str]]:
        self._connection.require("canPublishData", "Sending text")
        attributes = string_attributes(attributes)
        edited, version = self._edited(edits)
        if edited is not None:
            topic, to = edited.topic, edited.to or None if to is None else to
            reply_to = edited.reply_to if reply_to is None else reply_to
        recipients = await self._connection.presence.recipients(to)
        event = Event(
            "text",
            "out",
            sender=self._connection.identity,
            to=tuple(recipients),
            topic=topic,
            attributes=attributes,
            status="open",
            reply_to=reply_to.id if isinstance(reply_to, Event) else reply_to,
            version=version,
            attachments=attachments,
            id=(edits.id if isinstance(edits, Event) else edits) or str(uuid.uuid4()),
        )
        event.edits = None if edits is None else event.id
        check_header(topic, attributes, recipients, *attachments)
        return event, recipients

    def _edited(self, edits: str | Event | None) -> tuple[Event | None, int | None]:
        """Of a text that shall be edited: how it was last sent, if that is known, and the number of this edit."""
        if edits is None:
            return None, None
        if isinstance(edits, Event) and (edits.kind, edits.direction) != ("text", "out"):
            raise ValueError(f"Only texts that this participant has sent can be edited, not {edits!r}.")
        if not isinstance(edits, str | Event) or not edits:
            raise TypeError(f"edits= is the event of a text or its id, not {edits!r:.60}.")
        wanted = edits if isinstance(edits, str) else edits.id
        sent = [edits] if isinstance(edits, Event) else []
        sent += [each for each in self._log[:] if (each.kind, each.direction, each.id) == ("text", "out", wanted)]
        if any(each.status == "open" for each in sent):
            raise ValueError("This text is still being sent. Wait until it has ended, and edit it then.")
        return (sent[-1] if sent else None), 1 + max((each.version or 0 for each in sent), default=0)

    def _arrived(self, reader: Any, sender: str) -> None:
        head = header_of(reader)
        event = opened_by(reader, sender, "text", head.reply_to)
        event.attachments, event.version = head.attachments, head.version
        event.edits = None if head.version is None else event.id
        self._connection.start(self._receive(reader, event))

    def _chat_message(self, message: Any, sender: str) -> None:
        """Log what clients send that have chat messages of their own, by `sendChatMessage` and `editChatMessage`."""
        edit = message.HasField("edit_timestamp")
        size = len(message.message.encode())
        event = Event("text", "in", sender=sender or None, topic=CHAT, data=message.message, size=size, id=message.id)
        event.edits, event.transferred = event.id if edit else None, size
        self._log.add(event)

    async def _receive(self, reader: Any, event: Event) -> None:
        incoming = self._incoming(event)
        pieces: list[str] = []

        def keep(piece: str) -> int:
            pieces.append(piece)
            return len(piece.encode())

        def whole() -> str:
            return "".join(pieces)

        await incoming.receive(reader, keep, whole, partial=whole)


def _head(event: Event) -> TextHeader:
    return TextHeader(event.id, event.reply_to, event.version, event.attachments)


def _files(paths: str | Path | Iterable[str | Path]) -> dict[str, Path]:
    """Files that can be read, by the ids that their streams will have."""
    files = {}
    for each in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(each).expanduser()
        with path.open("rb"):
            files[str(uuid.uuid4())] = path
    return files


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
