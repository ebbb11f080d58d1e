"""Text streams: text of any length, whole or piece by piece.

See https://docs.livekit.io/transport/data/text-streams/.
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lknb import checks
from lknb.connection import Connection
from lknb.defaults import CHAT, MAX_STREAM_SIZE
from lknb.event import Event, add_piece, amend, set_partial
from lknb.events import EventLog
from lknb.files import open_regular
from lknb.handlers import Handlers
from lknb.loop import from_calling_loop, on_loop
from lknb.participants import Participant
from lknb.replies import awaited
from lknb.sdk import TextHeader, header_of, open_text
from lknb.systems.sending import recording, refusals_as
from lknb.systems.streams import (
    AsyncStreamWriter,
    IncomingStream,
    OutgoingStream,
    Sink,
    Streams,
    check_header,
    incoming_event,
    time_limit,
)
from lknb.workers import Workers

SendFile = Callable[..., Awaitable[Event]]
_Recipients = str | Participant | Iterable[str | Participant] | None


@dataclass(frozen=True)
class _Message:
    """What a caller says of a text, except for the text itself; see `TextStreams.send_text`."""

    topic: str
    to: _Recipients
    attributes: Mapping[str, str] | None
    reply_to: str | Event | None
    edits: str | Event | None


class OutgoingText(OutgoingStream[str]):
    """An open outgoing text stream. Its event keeps the text, up to 64 MiB."""

    def __init__(self, streams: Streams, event: Event, sdk_writer: Any) -> None:
        super().__init__(streams, event, sdk_writer)
        self._pieces: list[str] = []
        set_partial(event, self._payload)

    def _checked(self, piece: Any) -> str:
        return _piece(piece)

    def _size(self, piece: str) -> int:
        return len(piece.encode())

    def _keep(self, piece: str) -> None:
        if self.event.transferred <= MAX_STREAM_SIZE:
            self._pieces.append(piece)

    def _payload(self) -> str:
        return "".join(self._pieces)


class TextSink(Sink[str]):
    """Joins the pieces of an incoming text."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def keep(self, piece: str) -> int:
        """Keep a piece, and return its size in bytes."""
        self._pieces.append(piece)
        return len(piece.encode())

    def payload(self) -> str:
        """The text."""
        return "".join(self._pieces)

    def partial(self) -> str:
        """The text so far."""
        return self.payload()


class TextStreams(Streams):
    """Sends and receives the text streams of one connection, and receives the chat messages of older clients.

    Args:
        connection: the room's connection.
        log: the room's event log.
        handlers: the room's handlers.
        max_size: maximum bytes of an incoming stream.
        send_file: `ByteStreams.send_attachment`, which sends the files attached to a text.
    """

    max_open = 4

    def __init__(
        self, connection: Connection, log: EventLog, handlers: Handlers, max_size: int, send_file: SendFile
    ) -> None:
        super().__init__(connection, log, handlers, max_size)
        self._send_file = send_file
        connection.on("text_stream", self._opened)
        connection.on("chat_message", self._chat_message)

    async def send_text(
        self,
        text: str | Iterable[str] | AsyncIterable[str],
        *,
        topic: str = CHAT,
        to: str | Participant | Iterable[str | Participant] | None = None,
        attributes: Mapping[str, str] | None = None,
        reply_to: str | Event | None = None,
        edits: str | Event | None = None,
        attachments: str | Path | Iterable[str | Path] = (),
        progress: bool = True,
    ) -> Event:
        """Send text of any length. An iterable of str is streamed piece by piece.

        Returning does not mean that the text was delivered: LiveKit does not confirm streams.
        See https://docs.livekit.io/transport/data/text-streams/.

        Args:
            text: a str, or a list, generator or async generator of str.
            topic: receivers listen by topic; LiveKit's chat components use `lk.chat`.
            to: an identity, a `Participant`, or several in a list; None for everybody.
            attributes: strings sent with the stream; at most 15,000 bytes together with the topic.
            reply_to: the text stream that this one replies to, as its event or its id.
            edits: a text that this participant has sent, as its event or its id. Chat components show this text
                instead. If the original is still in `room.events`, its topic, `reply_to` and (unless `to` is given)
                recipients are reused.
            attachments: the path of a file or several. They are sent after the text, one after the other, as byte
                streams with the same topic; the text contains their ids. LiveKit's chat components attach files in this
                way. They do not show a message with an empty text, not even its files.
            progress: whether to show the progress of a long transfer of an attachment.

        Returns:
            The event in the log; its `id` is the stream's id.

        Raises:
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            UnknownParticipantError: if a recipient is not in the room.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if topic, recipients and attributes exceed 15,000 bytes.
            StreamError: if the SDK refused the stream, or it was aborted or cancelled.
            DeliveryTimeoutError: if the SDK did not send the text in time.
            FileNotFoundError: for a missing attachment, before anything is sent.
            IsADirectoryError: for an attachment that is a directory, before anything is sent.
            TypeError: for text of another type, such as a dict or a DataFrame, and for other arguments of another type.
            ValueError: if `edits` is not a text that this participant has sent, or is still being sent; for an empty
                `to`, or this participant's own identity in it; for text that UTF-8 cannot encode; for an attachment
                that is not a regular file, before anything is sent.

        Examples:
            >>> room.send_text("Hello, everybody!")
            >>> question = room.send_text("Ready?", topic="control", to="bob")
            >>> room.send_text("Are you ready?", edits=question)
            >>> room.send_text((token for token in model.generate(prompt)), topic="answers")
        """
        _check_text(text)
        progress = checks.flag(progress, "progress")
        if not isinstance(text, str) or attachments != ():
            message = _Message(topic, to, attributes, reply_to, edits)
            return await on_loop(lambda: self._send_with_files(text, message, attachments, progress))
        event, to = self._prepare(_Message(topic, to, attributes, reply_to, edits))
        _address(event, await self.connection.presence.recipients_here(to))
        await self._send_whole(text, event)
        return event

    async def _send_with_files(
        self,
        text: str | Iterable[str] | AsyncIterable[str],
        message: _Message,
        attachments: str | Path | Iterable[str | Path],
        progress: bool,
    ) -> Event:
        files = await asyncio.to_thread(_files, attachments)
        event, to = self._prepare(message, tuple(files))
        _address(event, await self.connection.presence.recipients(to))
        if isinstance(text, str):
            await awaited(self._send_whole(text, event))
        else:
            await self._send_pieces(text, event)
        for stream_id, path in files.items():
            await self._send_file(path, topic=event.topic, to=list(event.to), stream_id=stream_id, progress=progress)
        return event

    async def _send_whole(self, text: str, event: Event) -> None:
        """Send text in one call of the SDK; awaits replies only."""
        size = len(text.encode())
        amend(event, data=text, size=size)
        with recording(self.log, event, "The text was not sent"):
            await self.connection.request(
                lambda sdk: sdk.send_text(text, event.topic, list(event.to), event.attributes, _header(event)),
                "send_text",
                limit=time_limit(size),
            )
            self.connection.require_still("canPublishData", "Sending text")
            add_piece(event, size)

    async def _send_pieces(self, pieces: Any, event: Event) -> None:
        stream = await self._open(event)
        try:
            async with stream.until_cancelled():
                async for piece in _each(pieces):
                    await stream.write(piece)
        except BaseException as error:
            await stream.abort_for(error)
            raise
        await stream.close()

    def stream_text(
        self,
        *,
        topic: str = CHAT,
        to: str | Participant | Iterable[str | Participant] | None = None,
        attributes: Mapping[str, str] | None = None,
        reply_to: str | Event | None = None,
        edits: str | Event | None = None,
    ) -> AsyncStreamWriter:
        """Open a text stream to write to piece by piece, as a context manager.

        Leaving the block ends the stream. If the block raises, the stream is aborted for its receivers.
        See https://docs.livekit.io/transport/data/text-streams/.

        Args:
            topic: receivers listen by topic; LiveKit's chat components use `lk.chat`.
            to: an identity, a `Participant`, or several in a list; None for everybody.
            attributes: strings sent with the stream; at most 15,000 bytes together with the topic.
            reply_to: the text stream that this one replies to, as its event or its id.
            edits: a text that this participant has sent, which this one replaces; see `send_text`.

        Returns:
            The writer. Entering its block opens the stream, and raises the errors below.

        Raises:
            NotConnectedError: while the room is closed or reconnecting.
            UnknownParticipantError: if a recipient is not in the room.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if topic, recipients and attributes exceed 15,000 bytes.
            StreamError: if the SDK refused the stream.
            DeliveryTimeoutError: if the SDK did not open the stream in time.
            TypeError: for an argument of another type.
            ValueError: if `edits` is not a text that this participant has sent, or is still being sent; for an empty
                `to`, or this participant's own identity in it; for text that UTF-8 cannot encode.

        Examples:
            >>> with room.stream_text(topic="answers", to="bob") as out:
            ...     for token in model.generate(prompt):
            ...         out.write(token)
        """

        async def open_() -> OutgoingText:
            event, recipients = self._prepare(_Message(topic, to, attributes, reply_to, edits))
            _address(event, await self.connection.presence.recipients(recipients))
            return await self._open(event)

        return AsyncStreamWriter(open_())

    async def _open(self, event: Event) -> OutgoingText:
        opening = open_text(self.connection.local, event.topic, list(event.to), event.attributes, _header(event))
        with refusals_as("The text stream could not be opened"):
            sdk_writer = await self.opened(opening, "stream_text")
        amend(event, data="")
        self.log.add(event)
        return OutgoingText(self, event, sdk_writer)

    def _prepare(self, message: _Message, attachments: tuple[str, ...] = ()) -> tuple[Event, _Recipients]:
        """Check a message; return its event, and to whom it goes."""
        topic, to, edits = message.topic, message.to, message.edits
        checks.topic(topic)
        attributes = {} if message.attributes is None else checks.attributes(message.attributes)
        reply_to = checks.stream_id(message.reply_to, "reply_to")
        self.connection.require("canPublishData", "Sending text")
        edited, version = self._edited(edits)
        if edited is not None:
            topic, to = edited.topic, edited.to or None if to is None else to
            reply_to = edited.reply_to if reply_to is None else reply_to
        event = Event(
            "text",
            "out",
            sender=self.connection.identity,
            topic=topic,
            attributes=attributes,
            status="open",
            reply_to=reply_to,
            version=version,
            attachments=attachments,
            id=(edits.id if isinstance(edits, Event) else edits) or str(uuid.uuid4()),
        )
        if edits is not None:
            amend(event, edits=event.id)
        return event, to

    def _edited(self, edits: str | Event | None) -> tuple[Event | None, int | None]:
        """The most recent event for the text being edited, if known, and the number of this edit."""
        if edits is None:
            return None, None
        if isinstance(edits, Event) and (edits.kind, edits.direction) != ("text", "out"):
            raise ValueError(f"Only texts that this participant has sent can be edited, not {edits!r}.")
        wanted = checks.stream_id(edits, "edits")
        sent = [edits] if isinstance(edits, Event) else []
        sent += [each for each in self.log[:] if (each.kind, each.direction, each.id) == ("text", "out", wanted)]
        if any(each.status == "open" for each in sent):
            raise ValueError("This text is still being sent. Wait until it has ended, then edit it.")
        return (sent[-1] if sent else None), 1 + max((each.version or 0 for each in sent), default=0)

    def _opened(self, reader: Any, sender: str) -> None:
        header = header_of(reader)
        event = incoming_event(reader, sender, "text", header.reply_to)
        edits = None if header.version is None else event.id
        amend(event, attachments=header.attachments, version=header.version, edits=edits)
        if self.admits(reader, event):
            self.connection.start(self._receive(reader, event))

    async def _receive(self, reader: Any, event: Event) -> None:
        await IncomingStream[str](self, event).receive(reader, TextSink())

    def _chat_message(self, message: Any, sender: str) -> None:
        """Record a message of an older client, sent by `sendChatMessage` or `editChatMessage`."""
        edit = message.HasField("edit_timestamp")
        size = len(message.message.encode())
        event = Event("text", "in", sender=sender or None, topic=CHAT, data=message.message, size=size, id=message.id)
        amend(event, edits=event.id if edit else None, transferred=size)
        self.log.add(event)


def _address(event: Event, recipients: list[str]) -> None:
    """Set the recipients, and check that the header has room for them.

    Raises:
        PayloadTooLargeError: if the header exceeds 15,000 bytes.
    """
    amend(event, to=tuple(recipients))
    check_header(event.topic, event.attributes, recipients, *event.attachments)


def _header(event: Event) -> TextHeader:
    return TextHeader(event.id, event.reply_to, event.version, event.attachments)


def _files(paths: str | Path | Iterable[str | Path]) -> dict[str, Path]:
    """Check that the files can be read, and choose the ids of their streams."""
    files = {}
    for path in checks.paths(paths, "attachments"):
        with open_regular(path)[0]:
            files[str(uuid.uuid4())] = path
    return files


def _check_text(text: Any) -> None:
    """Check that `text` is a str or a stream of str, before anything is sent."""
    if isinstance(text, str):
        checks.text(text, "text")
    elif isinstance(text, list | tuple):
        for piece in text:
            _piece(piece)
    # Dicts and tables yield their keys, and sets have no order: joined, none of them is a text.
    elif (
        isinstance(text, bytes | bytearray | memoryview | Set)
        or hasattr(text, "keys")
        or not isinstance(text, Iterable | AsyncIterable)
    ):
        raise TypeError(
            f"text must be a str, or a list or generator of str, not {type(text).__name__}. Make text of JSON values "
            "with json.dumps, and send bytes with send_bytes."
        )


def _piece(piece: Any) -> str:
    return checks.text(piece, "A piece of a text stream")


async def _each(pieces: Any) -> AsyncIterator[Any]:
    """The pieces of an iterable, which may be async, or synchronous and slow to yield."""
    if isinstance(pieces, AsyncIterable):
        async for piece in from_calling_loop(pieces):
            yield piece
        return
    iterator, end = iter(pieces), object()
    context = contextvars.copy_context()
    # A generator may wait for a model or a file, so it does not run on the loop thread.
    worker = Workers(1, "send_text")
    try:
        while (piece := await worker.run(lambda: context.run(next, iterator, end))) is not end:
            yield piece
    finally:
        worker.stop()
