"""The SDK's room with what lknb needs of it; every touch of the SDK's private parts is in this module.

Checked against livekit 1.2.1 by tests/test_sdk.py, and the dependency is pinned below the next minor version.
"""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.data_stream_pb2 import StreamTextOptions, TextStreamInfo
from livekit.rtc._proto.ffi_pb2 import FfiRequest
from livekit.rtc._proto.room_pb2 import RoomEvent, TextStreamOpened
from livekit.rtc.participant import PublishDataError, PublishDataTrackError

from lknb.credentials import Secret, quiet_sdk_log

StreamOpened = Callable[[Any, str], None]
EventReceived = Callable[..., None]

StreamError = rtc.StreamError

__all__ = [
    "PublishDataError",
    "PublishDataTrackError",
    "SdkRoom",
    "StreamError",
    "TextHeader",
    "Traffic",
    "header_of",
    "open_text",
    "send_text",
    "subscription_count",
]

_UPDATE = TextStreamInfo.OperationType.UPDATE

_LAST_CALLBACKS = 0.05
# The link counts as quiet when no more than keep-alives has gone out for so long.
_QUIET = 0.08
_QUIET_AFTER_TRAFFIC = 0.5
_KEEP_ALIVE = 600


@atexit.register
def _let_callbacks_end() -> None:
    """Registered before the SDK's own clean-up, and so run after it.

    Its threads may be about to call into Python. One that does so when the interpreter is already being taken down
    aborts the process; the pause lets them through before.
    """
    if FfiClient._instance is not None:
        time.sleep(_LAST_CALLBACKS)


class _EveryTopic(dict[str, StreamOpened]):
    """The SDK asks `.get(topic)` for a stream's handler: this one answers for every topic."""

    def __init__(self, handler: StreamOpened) -> None:
        self._handler = handler

    def get(self, topic: str, default: Any = None) -> Any:
        return super().get(topic, self._handler)


class TextHeader(NamedTuple):
    """What the header of a text stream says beyond what the SDK's own methods send and tell.

    Attributes:
        id: the stream's id; of an edit, that of the text it takes the place of.
        reply_to: the id of the stream that this one answers.
        version: counts the edits; None in what is no edit.
        attachments: the ids of the byte streams that belong to it.
    """

    id: str
    reply_to: str | None = None
    version: int | None = None
    attachments: tuple[str, ...] = ()


class Traffic(NamedTuple):
    """Bytes that have been sent, and the seconds of a round trip."""

    bytes_sent: int
    round_trip: float


class SdkRoom(rtc.Room):
    """An `rtc.Room` that hands all that happens to one place.

    Args:
        on_event: called with each SDK event's name and arguments, and with three names that the SDK does not emit. It
            replaces the SDK's emitter, which inspects the signature of every callback for every event.
        on_text_stream: called with the reader of each text stream, whatever its topic, and the sender's identity.
        on_byte_stream: the same for byte streams.
    """

    def __init__(
        self,
        *,
        on_event: EventReceived,
        on_text_stream: StreamOpened,
        on_byte_stream: StreamOpened,
    ) -> None:
        quiet_sdk_log()
        super().__init__(loop=asyncio.get_running_loop())
        self._on_event = on_event
        self._opened: TextStreamInfo | None = None  # the text stream that is being handed over

        def with_header(reader: Any, sender: str) -> None:
            if self._opened is not None:
                reader.header = _header(self._opened)
            on_text_stream(reader, sender)

        self._text_stream_handlers = _EveryTopic(with_header)
        self._byte_stream_handlers = _EveryTopic(on_byte_stream)

    def emit(self, event: Any, *args: Any) -> None:
        """Called by the SDK for each event."""
        self._on_event(event, *args)
        super().emit(event, *args)

    def _on_room_event(self, event: RoomEvent) -> None:
        super()._on_room_event(event)
        # The SDK keeps these to itself; they tell that a session, or the room, is a new one.
        name = event.WhichOneof("message")
        if name in ("participants_updated", "room_sid_changed"):
            self._on_event(name)
        elif name == "chat_message":
            self._on_event(name, event.chat_message.message, event.chat_message.participant_identity)

    def _handle_text_stream_opened(self, opened: TextStreamOpened) -> None:
        # On its way to the reader the SDK drops what this one answers, and whether it is an edit.
        self._opened = opened.reader.info
        super()._handle_text_stream_opened(opened)

    async def join(self, url: str, token: Secret, attempt_timeout: float) -> None:
        """Connect. Never cancel it: the SDK kills the process some seconds later.

        One-time gathering keeps three files open for a connection instead of about thirty.
        """
        options = rtc.RoomOptions(
            connect_timeout=attempt_timeout,
            rtc_config=rtc.RtcConfiguration(
                continual_gathering_policy=rtc.ContinualGatheringPolicy.GATHER_ONCE,
            ),
        )
        await self.connect(url, token.reveal(), options)

    async def traffic(self) -> Traffic:
        """What has gone over the wire so far. Raises RuntimeError when there is no connection."""
        stats = await self.get_rtc_stats()
        pairs = [
            each.candidate_pair.candidate_pair
            for each in (*stats.publisher_stats, *stats.subscriber_stats)
            if each.WhichOneof("stats") == "candidate_pair"
        ]
        return Traffic(
            sum(pair.bytes_sent for pair in pairs),
            max((pair.current_round_trip_time for pair in pairs if pair.nominated), default=0.0),
        )

    async def flush(self, within: float) -> None:
        """Wait until what the SDK has accepted has left: leaving drops the rest, as much as two megabytes of it.

        It has when nothing but keep-alives has gone out for two round trips; for longer when something was moving,
        since on a busy machine that pauses too.
        """
        deadline = time.monotonic() + within
        sent, quiet, quiet_since = -1, _QUIET, time.monotonic()
        unanswered = 0
        while time.monotonic() < deadline and unanswered < 3:  # a busy machine answers late, a dead link never
            try:
                traffic = await asyncio.wait_for(self.traffic(), 1.0)
            except TimeoutError:
                unanswered += 1
                continue
            except RuntimeError:
                return  # the connection is gone
            if traffic.bytes_sent - sent > _KEEP_ALIVE:
                quiet = _QUIET if sent < 0 else _QUIET_AFTER_TRAFFIC
                sent, quiet_since = traffic.bytes_sent, time.monotonic()
            elif time.monotonic() - quiet_since > max(quiet, 2 * traffic.round_trip):
                return
            await asyncio.sleep(_QUIET / 4)

    @property
    def server_sid(self) -> str:
        """The room's session id: another one means that it is another room of the same name."""
        return self._info.sid

    @property
    def latest_token(self) -> Secret | None:
        """The token in use; the server refreshes it from time to time."""
        return Secret(self._token) if self._token else None


def header_of(reader: Any) -> TextHeader:
    """What the header of the text stream that `reader` reads said."""
    header: TextHeader | None = getattr(reader, "header", None)
    return header or TextHeader(reader.info.stream_id, attachments=tuple(reader.info.attachments))


async def send_text(
    local: Any, text: str, topic: str, to: list[str], attributes: dict[str, str], head: TextHeader
) -> None:
    """`local.send_text`, which cannot say what `head` does. Raises StreamError."""
    request = FfiRequest()
    request.send_text.local_participant_handle = local._ffi_handle.handle
    request.send_text.text = text
    request.send_text.options.CopyFrom(_options(local, topic, to, attributes, head))
    request.send_text.options.compress = True
    queue = FfiClient.instance.queue.subscribe()
    try:
        answer = FfiClient.instance.request(request)
        done = await queue.wait_for(lambda event: event.send_text.async_id == answer.send_text.async_id)
    finally:
        FfiClient.instance.queue.unsubscribe(queue)
    if done.send_text.HasField("error"):
        raise StreamError(done.send_text.error.description)


async def open_text(
    local: Any, topic: str, to: list[str], attributes: dict[str, str], head: TextHeader
) -> rtc.TextStreamWriter:
    """`local.stream_text`, which cannot say what `head` does. Raises StreamError."""
    writer = rtc.TextStreamWriter(local, topic=topic)
    writer._options.CopyFrom(_options(local, topic, to, attributes, head))
    await writer._send_header()
    return writer


def _options(local: Any, topic: str, to: list[str], attributes: dict[str, str], head: TextHeader) -> StreamTextOptions:
    return StreamTextOptions(
        topic=topic,
        attributes=attributes,
        destination_identities=to,
        id=head.id,
        reply_to_stream_id=head.reply_to,
        operation_type=None if head.version is None else _UPDATE,
        version=head.version,
        attached_stream_ids=head.attachments,
        sender_identity=local.identity,
    )


def _header(info: TextStreamInfo) -> TextHeader:
    return TextHeader(
        info.stream_id,
        info.reply_to_stream_id or None,
        info.version if info.operation_type == _UPDATE else None,
        tuple(info.attached_stream_ids),
    )


def subscription_count() -> int:
    """How many readers the SDK's event queue has in this process: what a leak would show in."""
    return len(FfiClient.instance.queue._subscribers)
