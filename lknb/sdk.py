"""The SDK's room, extended for lknb. Only this module and `ffi.py` use the SDK's private names.

`make test-sdks` checks it against livekit 1.1.21 and 1.2.1, and the dependency is pinned below the next minor version.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.data_stream_pb2 import StreamTextOptions, TextStreamInfo
from livekit.rtc._proto.ffi_pb2 import FfiRequest
from livekit.rtc._proto.room_pb2 import ByteStreamOpened, DataPacketKind, RoomEvent, TextStreamOpened
from livekit.rtc._proto.rpc_pb2 import RpcMethodInvocationEvent, RpcMethodInvocationResponseRequest
from livekit.rtc._utils import get_address
from livekit.rtc.participant import PublishDataError, PublishDataTrackError

from lknb import log_severity
from lknb.credentials import Secret, quiet_sdk_log
from lknb.ffi import RequestError, dispatcher
from lknb.proxies import sdk_uses_proxy_for, until_free
from lknb.replies import Reply, awaited
from lknb.track_schema import FRAME_ENCODINGS, SCHEMA_ENCODINGS, DataTrackSchema, name_of

T = TypeVar("T")

StreamOpened = Callable[[Any, str], None]
EventReceived = Callable[..., None]

StreamError = rtc.StreamError

Declared = tuple[str | None, DataTrackSchema | None]
"""The encoding of a data track's frames, and their schema."""

TOO_LARGE = "stream payload exceeds maximum size"
"""The SDK's words for a stream, a call or an answer over `max_stream_size`."""

__all__ = [
    "QUEUE",
    "TOO_LARGE",
    "CallRefused",
    "PublishDataError",
    "PublishDataTrackError",
    "RequestError",
    "SchemaError",
    "SdkRoom",
    "Signs",
    "StreamError",
    "TextHeader",
    "header_of",
    "open_bytes",
    "open_text",
    "subscription_count",
]

_UPDATE = TextStreamInfo.OperationType.UPDATE

_LAST_CALLBACKS = 0.05
QUEUE = 64 * 1024
"""Bytes of reliable data that may wait in the SDK's queue when a send returns."""

# libwebrtc closes a data channel with more than 16 MB in its queue.
_STALLED_QUEUE = 8 * 1024 * 1024
# How long a closing room waits for handlers that do not end when they are cancelled.
_UNWIND_WITHIN = 2.0
_ARRIVED = "lknb.arrived"  # a method that nobody registers
_UNANSWERED = {rtc.RpcError.ErrorCode.CONNECTION_TIMEOUT, rtc.RpcError.ErrorCode.SEND_FAILED}
_GONE = {rtc.RpcError.ErrorCode.RECIPIENT_DISCONNECTED, rtc.RpcError.ErrorCode.RECIPIENT_NOT_FOUND}


@atexit.register
def _let_callbacks_end() -> None:
    """Pause after the SDK's own clean-up, so that its threads can finish their calls into Python.

    A thread that calls into Python while the interpreter shuts down aborts the process. This function is registered
    before the clean-up, so it runs after it.
    """
    if FfiClient._instance is not None:
        time.sleep(_LAST_CALLBACKS)


class _EveryTopic(dict[str, StreamOpened]):
    """A table of stream handlers with one handler for every topic. The SDK looks it up with `.get(topic)`."""

    def __init__(self, handler: StreamOpened) -> None:
        self._handler = handler

    def get(self, topic: str, default: Any = None) -> Any:
        return super().get(topic, self._handler)


class TextHeader(NamedTuple):
    """The fields of a text stream's header that the SDK's own methods neither send nor expose.

    Attributes:
        id: the stream's id; for an edit, the id of the text that it replaces.
        reply_to: the id of the stream that this one replies to.
        version: the number of the edit; None if it is not an edit.
        attachments: the ids of the byte streams attached to it.
    """

    id: str
    reply_to: str | None = None
    version: int | None = None
    attachments: tuple[str, ...] = ()


class CallRefused(rtc.RpcError):
    """The answer to a call that failed. It frees the call's payload when the SDK sends it.

    The SDK keeps the error in a frame of the error's own traceback: a cycle, which keeps the payload in memory until
    the garbage collector finds it.
    """

    def _to_proto(self) -> Any:
        self.__traceback__ = self.__context__ = None
        return super()._to_proto()


class SchemaError(Exception):
    """The server does not keep a schema, or does not have it; the SDK's words."""


class Signs(NamedTuple):
    """What the SDK's statistics say of the link to the server.

    Attributes:
        received: packets and answers to connectivity checks that came in; stands still when the link is dead.
        bytes_sent: bytes that went out on the wire.
        bytes_accepted: bytes of messages that left the SDK's queue for the transport, which may still hold them.
        round_trip: the round-trip time in seconds.
    """

    received: int
    bytes_sent: int
    bytes_accepted: int
    round_trip: float


class SdkRoom(rtc.Room):
    """An `rtc.Room` that passes every event to one callback.

    Args:
        on_event: called with each event's name and arguments, including three events that the SDK does not emit.
            Faster than the SDK's emitter, which inspects the signature of every callback for every event.
            `data_received` has the sender's identity as a second argument, or None.
        on_text_stream: called with the reader of each text stream, of any topic, and the sender's identity.
        on_byte_stream: the same for byte streams.
        max_stream_size: the most bytes of an incoming stream, call or answer, unpacked. The SDK ends a larger one, but
            reports a larger call only to its caller.
    """

    def __init__(
        self,
        *,
        on_event: EventReceived,
        on_text_stream: StreamOpened,
        on_byte_stream: StreamOpened,
        max_stream_size: int,
    ) -> None:
        quiet_sdk_log()
        super().__init__(loop=asyncio.get_running_loop())
        self._on_event = on_event
        self._max_stream_size = max_stream_size
        self._url = ""
        self._proxy = contextlib.ExitStack()  # closed unless the SDK is connecting
        self._given_up = False
        self._opened: TextStreamInfo | None = None  # the text stream that is being delivered
        self._declared: Declared = (None, None)  # of the data track that is being announced
        self._packet_sender = ""  # the identity that the SDK's event gives for the packet that is being delivered

        def with_header(reader: Any, sender: str) -> None:
            if self._opened is not None:
                reader.header = _header(self._opened)
            on_text_stream(reader, sender)

        self._text_stream_handlers = _EveryTopic(with_header)
        self._byte_stream_handlers = _EveryTopic(on_byte_stream)

    def _resolve_first_sid(self, sid: str) -> None:
        if sid:  # livekit 1.1.21 keeps the first one only
            self._info.sid = sid
        super()._resolve_first_sid(sid)

    def emit(self, event: Any, *args: Any) -> None:
        """Called by the SDK for each event."""
        if event in ("reconnecting", "reconnected", "disconnected"):
            self._proxy.close()
        if event == "reconnecting":
            self._proxy.enter_context(sdk_uses_proxy_for(self._url))
        if event == "data_track_published":
            args[0].declared = self._declared
        if event == "data_received":
            participant = args[0].participant
            self._on_event(event, args[0], participant.identity if participant else self._packet_sender or None)
        else:
            self._on_event(event, *args)
        super().emit(event, *args)

    def _on_room_event(self, event: RoomEvent) -> None:
        name = event.WhichOneof("message")
        if name == "data_track_published":
            # The SDK's track does not have what its publisher declares of it.
            self._declared = _declared(event.data_track_published.track.info)
        if name == "data_packet_received":
            # The packet that the SDK emits has no sender while the SDK's room does not list the participant yet.
            self._packet_sender = event.data_packet_received.participant_identity
        super()._on_room_event(event)
        # The SDK does not emit these. The first two may show that the session or the room is new.
        if name in ("participants_updated", "room_sid_changed"):
            self._on_event(name)
        elif name == "chat_message":
            self._on_event(name, event.chat_message.message, event.chat_message.participant_identity)

    def _handle_text_stream_opened(self, opened: TextStreamOpened) -> None:
        # The SDK's reader does not expose what the text replies to, nor whether it is an edit.
        self._opened = opened.reader.info
        super()._handle_text_stream_opened(opened)
        reader = self._text_stream_readers.get(opened.reader.handle.id)
        if reader is not None:
            dispatcher().claim(reader._queue, ("text_stream_reader_event", opened.reader.handle.id))

    def _handle_byte_stream_opened(self, opened: ByteStreamOpened) -> None:
        super()._handle_byte_stream_opened(opened)
        reader = self._byte_stream_readers.get(opened.reader.handle.id)
        if reader is not None:
            dispatcher().claim(reader._queue, ("byte_stream_reader_event", opened.reader.handle.id))

    def _on_rpc_method_invocation(self, rpc_invocation: RpcMethodInvocationEvent) -> None:
        if self._local_participant is None or rpc_invocation.local_participant_handle != self._me:
            return
        task = self._loop.create_task(self._answer(rpc_invocation))
        self._rpc_invocation_tasks.add(task)
        task.add_done_callback(self._rpc_invocation_tasks.discard)

    async def _answer(self, invocation: RpcMethodInvocationEvent) -> None:
        """Answer a call: by its handler, or at its deadline, whether or not the handler ends then.

        The SDK does the same with two tasks more.
        """
        response = FfiRequest(
            rpc_method_invocation_response=RpcMethodInvocationResponseRequest(
                local_participant_handle=self._me, invocation_id=invocation.invocation_id
            )
        )
        is_open = True

        def respond(payload: str | None, error: rtc.RpcError | None = None) -> None:
            nonlocal is_open
            if not is_open:
                return
            is_open = False
            if error is None:
                response.rpc_method_invocation_response.payload = payload or ""
            else:
                response.rpc_method_invocation_response.error.CopyFrom(error._to_proto())
            with contextlib.suppress(AssertionError):  # the room has ended, and with it the call
                FfiClient.instance.request(response)

        def time_out() -> None:
            respond(None, rtc.RpcError._built_in(rtc.RpcError.ErrorCode.RESPONSE_TIMEOUT))
            if task is not None:
                task.cancel()

        task = asyncio.current_task()
        seconds = invocation.response_timeout_ms / 1000
        deadline = self._loop.call_later(seconds, time_out)
        call = rtc.RpcInvocationData(
            invocation.request_id,
            invocation.caller_identity,
            invocation.payload,
            seconds,
            method=invocation.method,
        )
        try:
            handler: Any = self.local_participant._rpc_handlers.get(call.method)
            if handler is None:
                raise rtc.RpcError._built_in(rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD)
            respond(await handler(call))
        except asyncio.CancelledError:
            respond(None, rtc.RpcError._built_in(rtc.RpcError.ErrorCode.RECIPIENT_DISCONNECTED))
            raise
        except rtc.RpcError as error:
            respond(None, error)
        finally:
            deadline.cancel()

    async def _drain_rpc_invocation_tasks(self) -> None:
        tasks = list(self._rpc_invocation_tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_UNWIND_WITHIN)

    async def join(self, url: str, token: Secret, attempt_timeout: float) -> None:
        """Connect. Never cancel this: the SDK kills the process some seconds later.

        Gathering candidates only once keeps three files open per connection instead of about thirty.
        """
        options = rtc.RoomOptions(
            connect_timeout=attempt_timeout,
            rtc_config=rtc.RtcConfiguration(
                continual_gathering_policy=rtc.ContinualGatheringPolicy.GATHER_ONCE,
            ),
            data_stream=rtc.DataStreamOptions(max_payload_byte_length=self._max_stream_size),
        )
        self._url = url
        await until_free(url)
        runtime = await _omit_verbose_log()
        if self._given_up:
            raise rtc.ConnectError("given up while other rooms were being joined")
        self._proxy.enter_context(sdk_uses_proxy_for(url))
        try:
            await self.connect(url, token.reveal(), options)
        finally:
            self._proxy.close()
            del runtime  # the room keeps it from now on
        assert self._ffi_handle is not None
        room = ("room_event", self._ffi_handle.handle)
        dispatcher().claim(self._ffi_queue, room, ("rpc_method_invocation", self._me))
        self.limit_queue()

    def give_up(self) -> None:
        """Let rooms that need another proxy join, although this one is still joining: nobody waits for it any more."""
        self._given_up = True
        self._proxy.close()

    async def disconnect(self, **options: Any) -> None:
        """Leave the room."""
        self._proxy.close()
        await super().disconnect(**options)

    # Requests, from any thread

    @property
    def _me(self) -> int:
        """The handle of this participant."""
        return int(self.local_participant._ffi_handle.handle)

    def publish_data(self, data: bytes, *, topic: str, reliable: bool, to: list[str]) -> Reply[None]:
        """Send a packet. Packets go out in the order of these calls, however many are on their way.

        Raises:
            RequestError: if this room has ended. Awaiting the reply raises PublishDataError if the SDK refuses.
        """
        request = FfiRequest()
        packet = request.publish_data
        packet.local_participant_handle = self._me
        packet.data_ptr = get_address(data)  # copied before the request returns
        packet.data_len = len(data)
        packet.reliable = reliable
        packet.topic = topic
        packet.destination_identities.extend(to)

        def read(answer: Any) -> None:
            if answer.error:
                raise PublishDataError(answer.error)

        return dispatcher().request("publish_data", request, read)

    def send_text(
        self, text: str, topic: str, to: list[str], attributes: dict[str, str], head: TextHeader
    ) -> Reply[None]:
        """Send text like the SDK's `send_text`, with the header fields of `head`.

        Raises:
            RequestError: if this room has ended. Awaiting the reply raises StreamError if the SDK refuses.
        """
        request = FfiRequest()
        request.send_text.local_participant_handle = self._me
        request.send_text.text = text
        request.send_text.options.CopyFrom(_options(self.local_participant, topic, to, attributes, head))
        request.send_text.options.compress = True
        return dispatcher().request("send_text", request, _no_stream_error)

    def send_bytes(
        self,
        data: bytes,
        *,
        id: str,
        name: str,
        mime_type: str,
        topic: str,
        to: list[str],
        attributes: dict[str, str],
    ) -> Reply[None]:
        """Send bytes like the SDK's `send_bytes`: compressed, if every receiver can unpack it.

        Raises:
            RequestError: if this room has ended. Awaiting the reply raises StreamError if the SDK refuses.
        """
        request = FfiRequest()
        request.send_bytes.local_participant_handle = self._me
        request.send_bytes.bytes = data
        options = request.send_bytes.options
        options.id, options.name, options.mime_type, options.topic = id, name, mime_type, topic
        options.destination_identities.extend(to)
        options.attributes.update(attributes)
        options.compress = True
        options.sender_identity = self.local_participant.identity
        return dispatcher().request("send_bytes", request, _no_stream_error)

    def publish_data_track(self, name: str, declared: Declared) -> Reply[rtc.LocalDataTrack]:
        """Publish a data track, and declare what its frames are.

        Raises:
            RequestError: if this room has ended. Awaiting the reply raises PublishDataTrackError if the SDK refuses.
        """
        request = FfiRequest()
        request.publish_data_track.local_participant_handle = self._me
        options = request.publish_data_track.options
        options.name = name
        encoding, schema = declared
        if encoding is not None:
            _set_encoding(options.frame_encoding, encoding, FRAME_ENCODINGS)
        if schema is not None:
            _set_schema(options.schema, schema)

        def read(answer: Any) -> rtc.LocalDataTrack:
            if answer.HasField("error"):
                raise PublishDataTrackError(answer.error.message)
            return rtc.LocalDataTrack(answer.track)

        return dispatcher().request("publish_data_track", request, read)

    def define_schema(self, schema: DataTrackSchema) -> Reply[None]:
        """Have the server keep a schema's definition. Awaiting the reply raises SchemaError if it does not."""
        request = FfiRequest()
        request.define_schema.local_participant_handle = self._me
        request.define_schema.definition = schema.definition
        _set_schema(request.define_schema.schema_id, schema)

        def read(answer: Any) -> None:
            if answer.error:
                raise SchemaError(answer.error)

        return dispatcher().request("define_schema", request, read)

    def get_schema(self, schema: DataTrackSchema, publisher: str) -> Reply[str]:
        """The definition of a schema of another participant. Awaiting the reply raises SchemaError without one."""
        request = FfiRequest()
        request.get_schema.local_participant_handle = self._me
        request.get_schema.participant_identity = publisher
        _set_schema(request.get_schema.schema_id, schema)

        def read(answer: Any) -> str:
            if answer.error:
                raise SchemaError(answer.error)
            return str(answer.definition)

        return dispatcher().request("get_schema", request, read)

    def perform_rpc(self, to: str, method: str, payload: str, timeout: float, round_trip: float) -> Reply[str]:
        """Call a method. `timeout` and `round_trip` are seconds, as in the SDK's `perform_rpc`.

        Raises:
            RequestError: if this room has ended. Awaiting the reply raises rtc.RpcError if the call fails.
        """
        request = FfiRequest()
        call = request.perform_rpc
        call.local_participant_handle = self._me
        call.destination_identity, call.method, call.payload = to, method, payload
        call.response_timeout_ms = int(timeout * 1000)
        call.max_round_trip_latency_ms = int(round_trip * 1000)

        def read(answer: Any) -> str:
            if answer.HasField("error"):
                raise rtc.RpcError._from_proto(answer.error)
            return str(answer.payload)

        return dispatcher().request("perform_rpc", request, read)

    # The link

    async def signs_of_life(self) -> Signs:
        """What the statistics say of the link. An idle link answers a connectivity check about every two seconds.

        Raises:
            RuntimeError: if there is no connection.
        """
        stats = await self.get_rtc_stats()
        every = [*stats.publisher_stats, *stats.subscriber_stats]
        pairs = [each.candidate_pair.candidate_pair for each in every if each.HasField("candidate_pair")]
        return Signs(
            sum(pair.responses_received + pair.requests_received + pair.packets_received for pair in pairs),
            sum(pair.bytes_sent for pair in pairs),
            sum(each.data_channel.dc.bytes_sent for each in every if each.HasField("data_channel")),
            max((pair.current_round_trip_time for pair in pairs if pair.nominated), default=0.0),
        )

    async def has_received_all(self, identity: str, within: float) -> bool | None:
        """Whether a participant confirms within `within` seconds that all reliable data sent to it so far has arrived.

        None if it leaves. Every SDK answers a call, even of a method that it does not have, and a call arrives after
        the data before it.
        """
        try:
            await _only(self.perform_rpc(identity, _ARRIVED, "", within, within))
        except rtc.RpcError as error:
            return None if error.code in _GONE else error.code not in _UNANSWERED
        except RequestError:
            return False
        return True

    def limit_queue(self, limit: int = QUEUE) -> None:
        """Have sends wait while more than `limit` bytes of reliable data are queued; by default the SDK takes 2 MB."""
        request = FfiRequest()
        threshold = request.set_data_channel_buffered_amount_low_threshold
        threshold.local_participant_handle = self.local_participant._ffi_handle.handle
        threshold.threshold = limit
        threshold.kind = DataPacketKind.KIND_RELIABLE
        FfiClient.instance.request(request)

    async def release_sends(self) -> None:
        """Have the sends that wait for room in the queue go on, because the SDK does not reconnect while one waits.

        tests/faults/sdk_deadlock.py shows it. The SDK looks at the limit when the next message comes, here a call to
        nobody; a packet would wait for the packets before it.
        """
        self.limit_queue(_STALLED_QUEUE)
        await self.has_received_all(_ARRIVED, within=1.0)

    @property
    def server_sid(self) -> str:
        """The room's id; a different id means another room of the same name."""
        return self._info.sid

    @property
    def latest_token(self) -> Secret | None:
        """The token in use; the server refreshes it from time to time."""
        return Secret(self._token) if self._token else None


async def _omit_verbose_log() -> Any:
    """Have the native library omit its verbose log, if it is one that lknb knows; return what to keep while joining."""
    if log_severity.is_decided():
        return None
    request = ctypes.cast(FfiClient.instance._ffi_lib.livekit_ffi_request, ctypes.c_void_p).value
    severities = await asyncio.to_thread(log_severity.find, request or 0)
    return None if severities is None else log_severity.omit_verbose(severities, _runtime)


def _runtime() -> rtc.LocalAudioTrack:
    """A track that is never published: making one makes the runtime that a connection needs, too."""
    return rtc.LocalAudioTrack.create_audio_track("", rtc.AudioSource(48_000, 1, queue_size_ms=0))


def header_of(reader: Any) -> TextHeader:
    """The header of the text stream that `reader` reads."""
    header: TextHeader | None = getattr(reader, "header", None)
    return header or TextHeader(reader.info.stream_id, attachments=tuple(reader.info.attachments))


async def open_text(
    local: Any, topic: str, to: list[str], attributes: dict[str, str], head: TextHeader
) -> rtc.TextStreamWriter:
    """Open a stream like `local.stream_text`, with the header fields of `head`.

    Raises:
        StreamError: if the SDK refuses or fails to open it.
    """
    writer = _TextWriter(local, topic=topic)
    writer._options.CopyFrom(_options(local, topic, to, attributes, head))
    await writer._send_header()
    return writer


async def open_bytes(
    local: Any,
    *,
    id: str,
    name: str,
    mime_type: str,
    topic: str,
    to: list[str],
    attributes: dict[str, str],
    total_size: int | None,
) -> rtc.ByteStreamWriter:
    """Open a stream like `local.stream_bytes`.

    Raises:
        StreamError: if the SDK refuses or fails to open it.
    """
    writer = _ByteWriter(
        local,
        name=name,
        topic=topic,
        attributes=attributes,
        stream_id=id,
        total_size=total_size,
        mime_type=mime_type,
        destination_identities=to,
    )
    await writer._send_header()
    return writer


class _QuickWriter:
    """Has a writer of the SDK wait for its own answers, instead of reading all events of the process."""

    async def _wait_for_callback(self, req: FfiRequest, callback_field: str, response_field: str) -> Any:
        try:
            answer = await _only(dispatcher().request(response_field, req, lambda answer: answer))
        except RequestError as error:
            raise StreamError(str(error)) from None
        _no_stream_error(answer)
        return SimpleNamespace(**{callback_field: answer})


class _TextWriter(_QuickWriter, rtc.TextStreamWriter):
    pass


class _ByteWriter(_QuickWriter, rtc.ByteStreamWriter):
    pass


async def _only(reply: Reply[T]) -> T:
    """Await a reply on the running loop."""

    async def steps() -> T:
        return await reply

    return await awaited(steps())


def _declared(info: Any) -> Declared:
    encoding = name_of(info.frame_encoding.well_known, info.frame_encoding.custom, FRAME_ENCODINGS)
    if not info.HasField("schema"):
        return encoding, None
    language = name_of(info.schema.encoding.well_known, info.schema.encoding.custom, SCHEMA_ENCODINGS)
    return encoding, DataTrackSchema(info.schema.name, language or "")


def _set_encoding(message: Any, name: str, known: dict[str, int]) -> None:
    if name in known:
        message.well_known = known[name]
    else:
        message.custom = name


def _set_schema(message: Any, schema: DataTrackSchema) -> None:
    message.name = schema.name
    _set_encoding(message.encoding, schema.encoding, SCHEMA_ENCODINGS)


def _no_stream_error(answer: Any) -> None:
    if answer.HasField("error"):
        raise StreamError(answer.error.description)


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
    """The number of readers of the SDK's event queue in this process. It grows if readers leak."""
    return dispatcher().subscription_count
