"""`Room`: a LiveKit room that a notebook has joined, and `room.aio`: its methods as coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar, overload

from lknb import checks, leaving
from lknb.arrow.formats import MAX_TABLE
from lknb.belongings import Belongings
from lknb.cells import shell
from lknb.columns.decoders import check_kind, make_decoder
from lknb.columns.publisher import SamplePublishers
from lknb.columns.samples import WIDEST, Samples
from lknb.columns.tables import Tables
from lknb.connection import ConnectionState
from lknb.decoding import Decoder
from lknb.defaults import RPC_CONCURRENCY, SAMPLES_WINDOW
from lknb.errors import LknbError
from lknb.event import STATE_KINDS, Event, Kind
from lknb.events import MAX_BYTES, MAX_EVENTS, EventLog
from lknb.handlers import THREADS, Handler, HandlerThread
from lknb.inbox import Inbox
from lknb.interest import Interest
from lknb.live import Live
from lknb.local_participant import AioLocalParticipant, LocalParticipant
from lknb.loop import LOOP
from lknb.participants import Participant, Participants
from lknb.presence import own_messages
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.recording.resend import resend
from lknb.sync_async import awaitable, awaitable_steps, blocking, blocking_steps, opening
from lknb.systems import Systems
from lknb.systems.byte_streams import ByteStreams
from lknb.systems.data_tracks import DataTracks, RemoteDataTrack
from lknb.systems.packets import Packets
from lknb.systems.rpc import METHOD_LIMIT, Rpc
from lknb.systems.state import Attributes, RoomState
from lknb.systems.streams import AsyncStreamWriter, OpenStreams, StreamWriter
from lknb.systems.text_streams import TextStreams

if TYPE_CHECKING:
    import traitlets

    from lknb.recording.recorder import Recorder
    from lknb.widgets.feed import Feed
    from lknb.widgets.link import Link
    from lknb.widgets.panel import Panel, Tab
    from lknb.widgets.timeline import Timeline
    from lknb.widgets.widget import LiveWidget

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")
Rejoin = Callable[["Room"], Coroutine[Any, Any, None]]


def _with_parentheses(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Raise a helpful error if a decorator factory is used without parentheses."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) == 1 and callable(args[0]) and not kwargs:
            raise TypeError(f"Write the decorator with parentheses: @room.{method.__name__}(...).")
        return method(self, *args, **kwargs)

    return call


def _unchanged(writer: AsyncStreamWriter) -> AsyncStreamWriter:
    return writer


@public
class AioRoom(Live, ReadOnly):
    """`room.aio`: the blocking methods of a room as coroutines; await them on any event loop.

    Async handlers need these: they run on lknb's own loop, where a blocking call would wait for itself.

    Attributes:
        local_participant: the methods of `room.local_participant` as coroutines.

    Examples:
        >>> @room.on_text("questions")
        ... async def reply(data: str, sender: str) -> None:
        ...     await room.aio.send_text(data.upper(), topic="answers", to=sender)
    """

    _instead = "Use room.name and room.identity, and join that room where you need it."

    def __init__(self, room: Room) -> None:
        self._room = room
        self._systems = room._systems
        self.local_participant = AioLocalParticipant(room._systems)
        self._fix()

    send_text = awaitable_steps(lambda systems: systems.text, TextStreams.send_text)
    send_file = awaitable(lambda systems: systems.bytes, ByteStreams.send_file)
    send_bytes = awaitable_steps(lambda systems: systems.bytes, ByteStreams.send_bytes)
    send_table = awaitable(lambda systems: Tables(systems.bytes), Tables.send_table)
    cancel = awaitable(lambda systems: systems.streams, OpenStreams.cancel)
    perform_rpc = awaitable_steps(lambda systems: systems.rpc, Rpc.perform_rpc)
    publish_data = awaitable_steps(lambda systems: systems.packets, Packets.publish_data)
    publish_samples = awaitable(lambda systems: SamplePublishers(systems), SamplePublishers.publish_samples)
    publish_data_track = awaitable(lambda systems: systems.data_tracks, DataTracks.publish_data_track)
    data_track_schema = awaitable(lambda systems: systems.data_tracks, DataTracks.data_track_schema)
    unpublish_data_track = awaitable(lambda systems: systems.data_tracks, DataTracks.unpublish_data_track)
    set_metadata = awaitable(lambda systems: systems.room_state, RoomState.set_metadata)

    stream_text = opening(lambda systems: systems.text, TextStreams.stream_text, _unchanged)
    stream_bytes = opening(lambda systems: systems.bytes, ByteStreams.stream_bytes, _unchanged)

    async def close(self) -> None:
        """Leave the room; see `Room.close`."""
        leaving.warn(self._room.name, await LOOP.wait(self._room._close()))

    async def record(
        self,
        path: str | Path | None = None,
        *,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
        files: bool = True,
    ) -> Recorder:
        """See `Room.record`."""
        return await asyncio.to_thread(self._room.record, path, kind=kind, topic=topic, sender=sender, files=files)

    async def rejoin(self) -> None:
        """Join a closed room again; see `Room.rejoin`."""
        await LOOP.wait(self._room._rejoin(self._room))

    async def resend(
        self, event: Event, *, to: str | Participant | Iterable[str | Participant] | None = None
    ) -> Event | None:
        """See `Room.resend`."""
        return await LOOP.wait(resend(self._room, _checked_event(event), to))

    def __repr__(self) -> str:
        return f"<aio of {self._room!r}>"


@public
class Room(Live, ReadOnly):
    """A room that this notebook has joined. `lknb.connect` returns it.

    Every method that sends or calls blocks until it has finished, and can be used from any thread; `room.aio` has the
    same methods as coroutines. Sending methods take `to`: an identity, several, or None for everybody. While the room
    is reconnecting, they raise `NotConnectedError` immediately instead of writing to a connection that may lose the
    data.

    Attributes:
        aio: the blocking methods as coroutines, for any event loop.
        local_participant: this notebook's participant: its name, metadata, attributes and permissions.
        events: the log of everything that happened in the room, newest last.
        widgets: the open widgets of this room.
        links: the active links of this room, made by `link`.
        recorders: the recordings in progress, made by `record`.
    """

    _awaitable: ClassVar[str] = "room.aio"
    _instead = (
        "Use its data: room.events[:], dict(room.attributes), dict(room.participants). "
        "In another process, join the room with lknb.connect(...)."
    )
    _write_instead = {  # noqa: RUF012 - declared as a ClassVar in the base class
        "attributes": 'Write room.attributes.update({...}) or room.attributes["key"] = "value".',
        "metadata": "Write room.set_metadata(...).",
        "name": "Join another room with lknb.connect(...).",
        "identity": "Join with another identity with lknb.connect(...).",
    }

    aio: AioRoom
    local_participant: LocalParticipant
    events: EventLog
    widgets: Belongings[LiveWidget]
    links: Belongings[Link]
    recorders: Belongings[Recorder]

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError('Join a room with lknb.connect("studio", identity="alice"), not with Room(...).')

    def _begin(self, systems: Systems, rejoin: Rejoin) -> None:
        self._systems = systems
        self._connection = systems.connection
        self._rejoin = rejoin
        self._inboxes: weakref.WeakSet[Inbox] = weakref.WeakSet()
        self._samples: weakref.WeakSet[Samples] = weakref.WeakSet()
        self.events = systems.log
        self.local_participant = LocalParticipant(systems)
        self.widgets = Belongings(end=lambda widget: widget.discard())
        self.links = Belongings(end=lambda link: link.unlink())
        self.recorders = Belongings(end=lambda recorder: recorder.finish())
        self.aio = AioRoom(self)
        systems.connection.on_closed(self._closed)
        self._fix()

    # The room

    @property
    def name(self) -> str:
        """The room's name."""
        return self._connection.room

    @property
    def sid(self) -> str:
        """LiveKit's id of the room; a recreated room has a new id."""
        return self._connection.reconnecting.room_sid

    @property
    def metadata(self) -> str:
        """The room's metadata, which all participants see; `set_metadata` changes it."""
        return self._connection.room_metadata

    @property
    def state(self) -> ConnectionState:
        """`connected`, `reconnecting` or `closed`. `connection` events record each change."""
        return self._connection.state

    @property
    def state_reason(self) -> str:
        """The reason for the current `state`, in words."""
        return self._connection.state_reason

    @property
    def participants(self) -> Participants:
        """Everybody in the room by identity, including this participant."""
        return self._connection.presence.participants

    @property
    def remote_participants(self) -> Mapping[str, Participant]:
        """Everybody else in the room by identity."""
        return {who: each for who, each in self.participants.items() if not each.is_local}

    @property
    def identity(self) -> str:
        """This participant's identity, unique in the room; short for `room.local_participant.identity`."""
        return self.local_participant.identity

    @property
    def attributes(self) -> Attributes:
        """This participant's attributes, a mutable mapping; short for `room.local_participant.attributes`.

        The server confirms each write.

        Examples:
            >>> room.attributes["status"] = "ready"
            >>> room.attributes.update(status="busy", task="plot")
            >>> del room.attributes["task"]
        """
        return self.local_participant.attributes

    @property
    def data_tracks(self) -> list[RemoteDataTrack]:
        """The data tracks that others publish, including those from before this participant joined."""
        return self._systems.data_tracks.tracks()

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The registered handlers, with counts of their calls and errors."""
        return tuple(self._systems.handlers)

    @property
    def decoders(self) -> tuple[Decoder, ...]:
        """How the payloads of topics are read, with counts of those that could not be: what `decode` has set."""
        return tuple(self.events.decoders)

    def __repr__(self) -> str:
        state = self.state if self.state == "connected" else f"{self.state} ({self._connection.state_reason})"
        return f"<Room {self.name!r} as {self.identity!r}: {state}, {len(self.participants)} participants>"

    def _ipython_display_(self, **_: Any) -> None:
        ipython = shell()
        if hasattr(ipython, "kernel"):
            self.panel()._ipython_display_()
        else:
            print(repr(self))

    def _display_(self) -> Any:
        """What marimo shows if the room is a cell's last line: the panel, which of a closed room is static."""
        panel = self.panel()
        if self.state == "closed":
            panel.close()
        return panel

    # Send

    send_text = blocking_steps(lambda systems: systems.text, TextStreams.send_text)
    send_file = blocking(lambda systems: systems.bytes, ByteStreams.send_file)
    send_bytes = blocking_steps(lambda systems: systems.bytes, ByteStreams.send_bytes)
    send_table = blocking(lambda systems: Tables(systems.bytes), Tables.send_table)
    cancel = blocking(lambda systems: systems.streams, OpenStreams.cancel)
    perform_rpc = blocking_steps(lambda systems: systems.rpc, Rpc.perform_rpc)
    publish_data = blocking_steps(lambda systems: systems.packets, Packets.publish_data)
    publish_samples = blocking(lambda systems: SamplePublishers(systems), SamplePublishers.publish_samples)
    publish_data_track = blocking(lambda systems: systems.data_tracks, DataTracks.publish_data_track)
    data_track_schema = blocking(lambda systems: systems.data_tracks, DataTracks.data_track_schema)
    unpublish_data_track = blocking(lambda systems: systems.data_tracks, DataTracks.unpublish_data_track)
    set_metadata = blocking(lambda systems: systems.room_state, RoomState.set_metadata)

    stream_text = opening(lambda systems: systems.text, TextStreams.stream_text, StreamWriter)
    stream_bytes = opening(lambda systems: systems.bytes, ByteStreams.stream_bytes, StreamWriter)

    # Receive

    @_with_parentheses
    def on_text(
        self,
        topic: str | None = None,
        *,
        sender: str | Participant | None = None,
        stream: bool = False,
        max_size: int | None = None,
        thread: HandlerThread = "worker",
    ) -> Callable[[F], F]:
        """Register a handler for text streams. Use as a decorator.

        A handler receives whichever of `data`, `event`, `sender` and `value` it declares as parameters; `value` is
        what the topic's decoder makes of `data`, see `decode`. A plain function runs
        on its own thread, an async function on lknb's loop. An awaitable that the function returns is awaited. A
        handler receives its events one at a time, in order. Running its cell again replaces it; its output and its
        exceptions appear in its cell.

        Args:
            topic: only this topic; None for every topic.
            sender: only from this participant, given as a `Participant` or as its identity.
            stream: call the handler as soon as a stream opens, with an iterator of its pieces as `data` (an async
                iterator for an async handler). Streams are then handled concurrently.
            max_size: maximum bytes of a stream; the room's limit if not given.
            thread: "main" runs the handler on the kernel's main thread, between cells, as plotting requires.

        Raises:
            TypeError: for a parameter other than data, event, sender and value, for a function that could never run,
                and for an argument of another type.
            NotConnectedError: if the room is closed.

        Examples:
            >>> @room.on_text("lk.chat")
            ... def show(data: str, sender: str) -> None:
            ...     print(f"{sender}: {data}")

        See https://docs.livekit.io/transport/data/text-streams/.
        """
        return self._on("text", topic, sender, thread, streams=stream, max_size=max_size)

    @_with_parentheses
    def on_bytes(
        self,
        topic: str | None = None,
        *,
        sender: str | Participant | None = None,
        stream: bool = False,
        max_size: int | None = None,
        thread: HandlerThread = "worker",
    ) -> Callable[[F], F]:
        """Register a handler for byte streams: its `data` is a `ReceivedFile`. See `on_text` for the rest.

        Args:
            topic: only this topic; None for every topic.
            sender: only from this participant, given as a `Participant` or as its identity.
            stream: call the handler as soon as a stream opens, with an iterator of its chunks.
            max_size: maximum bytes of a stream; the room's limit (64 MiB unless set) if not given.
            thread: "main" runs the handler on the kernel's main thread.

        Raises:
            TypeError: for a parameter other than data, event, sender and value, for a function that could never run,
                and for an argument of another type.
            NotConnectedError: if the room is closed.

        Examples:
            >>> @room.on_bytes("files")
            ... def keep(data: lknb.ReceivedFile) -> None:
            ...     data.save("downloads")
        """
        return self._on("bytes", topic, sender, thread, streams=stream, max_size=max_size)

    @_with_parentheses
    def on_table(
        self,
        topic: str | None = None,
        *,
        sender: str | Participant | None = None,
        max_size: int = MAX_TABLE,
        thread: HandlerThread = "worker",
    ) -> Callable[[F], F]:
        """Register a handler for tables: byte streams of Arrow IPC, Parquet, CSV or JSON Lines. See `on_text`.

        Its `data` is a `pyarrow.Table`, with `.to_pandas()`; `event.data` is the file, with `to_polars()` and
        `to_batches()`. A table that cannot be read is shown in the handler's cell, and counts as an error.

        Args:
            topic: only this topic; None for tables of every topic.
            sender: only from this participant, given as a `Participant` or as its identity.
            max_size: bytes that a table may take in memory, unpacked; 1 GB unless set.
            thread: "main" runs the handler on the kernel's main thread.

        Examples:
            >>> @room.on_table("results")
            ... def table(data):
            ...     print(data.to_pandas().describe())
        """
        max_size = checks.whole(max_size, "max_size", checks.BYTES)
        wanted = checks.wanted_topic(topic)
        return self._on(
            "bytes",
            wanted,
            sender,
            thread,
            read=lambda event: event.data.to_arrow(max_size=max_size),
            only=None if wanted is not None else lambda event: event.data.table_format is not None,
        )

    @_with_parentheses
    def on_data(
        self, topic: str | None = None, *, sender: str | Participant | None = None, thread: HandlerThread = "worker"
    ) -> Callable[[F], F]:
        """Register a handler for data packets: its `data` is bytes. See `on_text`.

        Examples:
            >>> @room.on_data("imu")
            ... def read(data: bytes, sender: str) -> None:
            ...     samples.append(json.loads(data))
        """
        return self._on("data", topic, sender, thread)

    @_with_parentheses
    def on_data_track(
        self, name: str | None = None, *, sender: str | Participant | None = None, thread: HandlerThread = "worker"
    ) -> Callable[[F], F]:
        """Register a handler for frames of data tracks of this name, from any publisher; subscribes to the tracks.

        Its `data` is bytes; `event.timestamp` is the publisher's own. See `on_text`.

        Raises:
            PermissionDeniedError: without the grant canSubscribe.
        """
        return self._on("data_track", checks.wanted_topic(name, "name"), sender, thread)

    @_with_parentheses
    def on_attributes(
        self, *, sender: str | Participant | None = None, thread: HandlerThread = "worker"
    ) -> Callable[[F], F]:
        """Register a handler for attribute changes: its `data` is a dict of the changed keys, "" for a deleted one."""
        return self._on("attributes", None, sender, thread)

    @_with_parentheses
    def on_participant_metadata(
        self, *, sender: str | Participant | None = None, thread: HandlerThread = "worker"
    ) -> Callable[[F], F]:
        """Register a handler for changes of a participant's metadata: its `data` is the new metadata."""
        return self._on("participant_metadata", None, sender, thread)

    @_with_parentheses
    def on_room_metadata(self, *, thread: HandlerThread = "worker") -> Callable[[F], F]:
        """Register a handler for changes of the room's metadata: its `data` is the new metadata."""
        return self._on("room_metadata", None, None, thread)

    @_with_parentheses
    def on_participant(
        self, *, sender: str | Participant | None = None, thread: HandlerThread = "worker"
    ) -> Callable[[F], F]:
        """Register a handler for participants that join, leave or change.

        `event.topic` is the change: `joined`, `active`, `left`, `name` or `permissions`; `sender` is the identity.
        """
        return self._on("participant", None, sender, thread)

    @_with_parentheses
    def on_connection(self, *, thread: HandlerThread = "worker") -> Callable[[F], F]:
        """Register a handler for this room's connection: `event.topic` is the new state, or `reconnect` for a loss."""
        return self._on("connection", None, None, thread, kinds=("connection", "loss"))

    def _on(
        self,
        kind: Kind,
        topic: str | None,
        sender: str | Participant | None,
        thread: HandlerThread,
        *,
        streams: bool = False,
        max_size: int | None = None,
        kinds: Iterable[Kind] | None = None,
        read: Callable[[Event], Any] | None = None,
        only: Callable[[Event], bool] | None = None,
    ) -> Callable[[F], F]:
        interest = self._interest(kinds or kind, topic, sender)
        streams = checks.flag(streams, "stream")
        checks.choice(thread, "thread", THREADS)
        if max_size is not None:
            max_size = checks.whole(max_size, "max_size", checks.BYTES)
            largest = self._connection.options.largest_stream
            if max_size > largest:
                raise ValueError(
                    f"max_size is {max_size:,} bytes, but this connection takes at most {largest:,} bytes in a stream. "
                    f"Connect with max_stream_size={max_size}."
                )

        def register(function: F) -> F:
            self._refuse_closed()
            if kind == "data_track":
                self._connection.require_for_later("canSubscribe", "Receiving data tracks")
            self._systems.handlers.add(
                Handler(
                    kind,
                    topic,
                    function,
                    interest,
                    streams=streams,
                    thread=thread,
                    max_size=max_size,
                    read=read,
                    only=only,
                )
            )
            return function

        return register

    def rpc(
        self,
        method: str,
        *,
        callers: str | Participant | Iterable[str | Participant] | None = None,
        concurrency: int = RPC_CONCURRENCY,
        raw: bool = False,
        thread: HandlerThread = "worker",
    ) -> Callable[[F], F]:
        """Serve a remote method with a function. Use as a decorator.

        The call's JSON payload becomes the function's arguments, checked against its type hints; a parameter named
        `caller` receives the caller's identity, one named `payload` the whole payload. The return value is the answer.
        A function for LiveKit's SDK, with one parameter `data: rtc.RpcInvocationData`, works as it is, with plain text.
        An `RpcError` reaches the caller; any other exception becomes code 1500, and its traceback appears in the cell.

        Args:
            method: the name to call it by, at most 64 bytes.
            callers: the participant or participants that may call, or their identities; None for everybody.
            concurrency: number of concurrent calls; further calls wait, within their time limits.
            raw: pass the payload as an unparsed str, and send a returned str unchanged.
            thread: "main" runs the function on the kernel's main thread, between cells.

        Raises:
            TypeError: for a parameter with a type that JSON cannot be checked against or that is not defined, for a
                function that could never run, and for an argument of another type.
            ValueError: for a method's name that is not 1 to 64 bytes long, for an empty `callers`, and for fewer than
                one concurrent call.
            PermissionDeniedError: without the grant canPublishData, which answering needs.
            NotConnectedError: if the room is closed.

        Examples:
            >>> @room.rpc("add")
            ... def add(a: int, b: int) -> int:
            ...     return a + b

        See https://docs.livekit.io/transport/data/rpc/.
        """
        if callable(method):
            raise TypeError('Give the method a name: @room.rpc("add").')
        method = checks.named(method, "method", METHOD_LIMIT)
        concurrency = checks.whole(concurrency, "concurrency", " of calls")
        raw = checks.flag(raw, "raw")
        checks.choice(thread, "thread", THREADS)
        # Here and not for each function: an iterator can be read only once.
        callers = checks.identities(callers, "callers", "to let everybody call")

        def register(function: F) -> F:
            self._refuse_closed()
            self._connection.require_for_later("canPublishData", "Answering remote method calls")
            self._systems.rpc.serve(method, function, callers=callers, concurrency=concurrency, raw=raw, thread=thread)
            return function

        return register

    def off(self, handler: Callable[..., Any] | str | Handler) -> int:
        """End handlers, given the function, its name, its topic or method, or an entry of `room.handlers`.

        Returns:
            The number of handlers that were ended.
        """
        return self._systems.handlers.remove(handler)

    def listen(
        self,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
        *,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> Inbox:
        """Collect events from now on. Read them in order with `next` or a loop.

        Args:
            kind: one kind of event, several, or None for all.
            topic: only this topic, method or track name; None for every one.
            sender: only from this participant, given as a `Participant` or as its identity.
            max_events: number of unread events to keep; beyond it, the oldest are dropped and counted.
            max_bytes: bytes of unread events to keep, likewise.

        Raises:
            TypeError: for an argument of another type.
            ValueError: for an unknown kind, and for limits below 1.
            NotConnectedError: if the room is closed.
            PermissionDeniedError: if only data tracks are requested, without the grant canSubscribe.

        Examples:
            >>> with room.listen("data", topic="imu") as inbox:
            ...     for event in inbox:
            ...         print(event.sender, event.data)
        """
        interest = self._interest(kind, topic, sender)
        self._refuse_closed()
        if interest.kinds == frozenset({"data_track"}):
            self._connection.require_for_later("canSubscribe", "Receiving data tracks")
        inbox = Inbox(self.events, interest, max_events=max_events, max_bytes=max_bytes)
        self._inboxes.add(inbox)
        return inbox

    def samples(self, topic: str, *, sender: str | Participant | None = None, window: int = SAMPLES_WINDOW) -> Samples:
        """Keep the newest samples of a topic as columns, from now on: those of `publish_samples`, and others.

        Packets of Arrow and of JSON are read, and others by the topic's decoder, see `decode`. It ends with `close`,
        when no variable refers to it any more, and when the room is closed; its samples can be read after that.

        Args:
            topic: the topic of the packets, or the name of the data track.
            sender: only from this participant, given as a `Participant` or as its identity.
            window: number of samples to keep.

        Raises:
            TypeError: for an argument of another type.
            ValueError: for a window below 1 or above 100 million.
            NotConnectedError: if the room is closed.
            ImportError: without pyarrow.

        Examples:
            >>> live = room.samples("imu")
            >>> live.wait(rows=1000).to_pandas().plot(x="t", y="x")
            >>> live.rate, live.gaps, live.latency
        """
        interest = self._interest(("data", "data_track"), checks.topic(topic), sender)
        window = checks.whole(window, "window", " of samples", most=WIDEST)
        self._refuse_closed()
        samples = Samples(self.events, interest, window)
        self._samples.add(samples)
        return samples

    @overload
    def decode(
        self,
        topic: str,
        format: str | type | Callable[[bytes], Any],
        *,
        names: Iterable[str] | str = (),
        kind: Kind | None = None,
        definition: str | None = None,
    ) -> Decoder: ...
    @overload
    def decode(self, topic: str, format: None, *, kind: Kind | None = None) -> None: ...
    def decode(
        self,
        topic: str,
        format: str | type | Callable[[bytes], Any] | None,
        *,
        names: Iterable[str] | str = (),
        kind: Kind | None = None,
        definition: str | None = None,
    ) -> Decoder | None:
        """Set how the payloads of a topic are read: then `event.value` has the value, and `event.data` still the bytes.

        It applies to all events of the topic, received and sent, those in the log too. Handlers with a parameter
        `value`, feeds, plots and tables of events use it. A payload that cannot be read has the value None and a
        reason in `event.value_error`; nothing is raised. Another call for the same topic replaces it, None ends it,
        and so does running the cell again without it.

        The formats, and the value of each:

        - the format of a struct, such as "<dff": with `names` a dict, otherwise a tuple, or the value if there is only
          one. A payload of several structs is a list of these.
        - "json", "msgpack", "cbor": dicts, lists, texts, numbers and times.
        - "arrow": a `pyarrow.Table`, from an Arrow IPC stream or file.
        - "cdr", with `definition`: a dict, from a message of ROS 2.
        - a class of protobuf messages: a message.
        - a function of the bytes: what it returns.

        A function must be quick and give the same result for the same bytes: it may run on any thread, more than once,
        and in any order. A payload has at most 1 MB, 250,000 values and 200 levels; Arrow has at most 32 MB unpacked,
        and a function gets at most 32 MB.

        Args:
            topic: the topic, or the name of the data track.
            format: how to read payloads; None ends what was set.
            names: the names of a struct's values.
            kind: only events of this kind: `data`, `data_track`, `text` or `bytes`; None for all of these. A decoder
                for a kind comes before one for all.
            definition: the text of the ROS 2 message definition, with those of nested types after lines of `===`, or
                as `ros2 interface show` prints it.

        Returns:
            The decoder, which counts what it could not read; None if `format` is.

        Raises:
            TypeError: for an argument of another type, and for a function that could never run.
            ValueError: for a text that is no format, a wrong number of names, a kind without payloads of its own, and
                a definition that cannot be read.
            ImportError: if the format needs a package that is not installed; the message has the command.

        Examples:
            >>> room.decode("imu", "<dff", names=["t", "x", "y"])
            >>> room.decode("pose", pose_pb2.Pose)
            >>> @room.on_data("imu")
            ... def follow(value: dict[str, float] | None) -> None:
            ...     print(value)
        """
        if format is None:
            self.events.decoders.end(checks.topic(topic), check_kind(kind))
            return None
        decoder = make_decoder(topic, format, names, kind, definition)
        self.events.decoders.add(decoder)
        return decoder

    def _interest(
        self, kind: str | Iterable[str] | None, topic: str | None, sender: str | Participant | None
    ) -> Interest:
        """A checked interest in what this participant can receive."""
        interest = Interest.of(kind, topic, sender)
        if interest.sender == self.identity and interest.kinds and not interest.kinds & STATE_KINDS:
            raise own_messages(self.identity)
        return interest

    def _refuse_closed(self) -> None:
        if self.state == "closed":
            raise self._connection.not_connected()

    # Look

    def feed(
        self,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
    ) -> Feed:
        """A live table of the newest events; display it, or make it a cell's last line.

        Args:
            kind: one kind of event, several, or None for all.
            topic: only this topic, method or track name.
            sender: only from this participant, given as a `Participant` or as its identity.

        Raises:
            ValueError: for an unknown kind.

        Examples:
            >>> room.feed("rpc")
            >>> room.feed(topic="imu").plot()
        """
        from lknb.widgets.feed import Feed  # here, because a room works without widgets

        return Feed(self, kind, topic, sender)

    def panel(self, *tabs: Tab) -> Panel:
        """The room in tabs, live; display it, or make it a cell's last line.

        Args:
            tabs: only these: `participants`, `feed`, `chat`, `transfers`, `rpc`, `telemetry`, `timeline`.

        Raises:
            ValueError: for an unknown tab.
        """
        from lknb.widgets.panel import Panel

        return Panel(self, *tabs)

    def timeline(self) -> Timeline:
        """What happens over time, live: a lane for each participant; display it, or make it a cell's last line.

        Streams and calls are bars from begin to end, packets and frames are density, changes of state are marks, and
        losses and interruptions are bands. It shows the events of the log, and those that follow.

        Examples:
            >>> room.timeline()
        """
        from lknb.widgets.timeline import Timeline

        return Timeline(self)

    def link(
        self, widget: traitlets.HasTraits, attribute: str, *, trait: str = "value", of: str | Participant | None = None
    ) -> Link:
        """Keep a widget's trait and an attribute in sync.

        This participant's own attribute follows the widget, and the widget follows the attribute. Changes of the widget
        are written at most five times a second; the last value is always written. If the attribute is already set, the
        widget takes its value; otherwise the widget's value is written. With `of`, the widget only follows another
        participant's attribute: a value set by hand lasts until the attribute changes. While that participant is not in
        the room, the widget keeps its value.

        A str is written unchanged, and "" deletes the attribute; numbers, bools, lists and dicts are written as JSON.
        If the trait rejects a value because of its type or range, the cell shows a warning and the widget keeps its
        value. A value that could not be written is reported there too, and written as soon as possible. The link ends
        with `unlink`, when its cell runs again, when the widget is closed, and when the room is closed.

        Args:
            widget: the widget with the trait, such as an ipywidgets slider.
            attribute: the attribute's key.
            trait: the trait's name.
            of: another participant, or its identity; None for this participant's own attribute.

        Raises:
            ValueError: for a trait that the widget does not have, and for an empty attribute or identity.
            TypeError: for anything except a widget, for an attribute that is not a str, and for a trait whose value
                JSON cannot represent, if it is to be written.
            PermissionDeniedError: for this participant's own attribute, without the grant canUpdateOwnMetadata.
            NotConnectedError: if the room is closed.

        Examples:
            >>> slider = ipywidgets.IntSlider()
            >>> room.link(slider, "volume")
        """
        from lknb.widgets.link import Link

        self._refuse_closed()
        link = Link(self, widget, attribute, trait, of)
        if link.of == self.identity:
            self._connection.require_for_later("canUpdateOwnMetadata", "Linking this participant's own attribute")
        self.links.add(link)
        link.start()
        return link

    # Keep

    def record(
        self,
        path: str | Path | None = None,
        *,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
        files: bool = True,
    ) -> Recorder:
        """Record what happens in this room from now on, to an MCAP file.

        The file has every event with all of its fields, payloads as they are on the wire, files, and the state of the
        room. `lknb.open_recording` opens it, and so does every program that reads MCAP. A participant sees what is sent
        to everybody and to itself: messages and calls between others are not in the file.

        What happened until half a second ago is in the file even if the kernel is killed. Recording does not slow the
        room down: events that come faster than they can be written are dropped, counted, and the file says how many.
        If the file cannot be written any more, the recording ends with an error in its cell, and the room goes on.

        It ends with its block, with `stop`, when its cell runs again, and when the room is closed.

        Args:
            path: the new file, or a folder for it; `recordings/ROOM-TIME.mcap` if not given. Folders are created, and
                a file is never overwritten.
            kind: only this kind of event, or these.
            topic: only this topic, method or track name.
            sender: only from this participant, given as a `Participant` or as its identity.
            files: whether to keep the content of byte streams.

        Raises:
            FileExistsError: if there is something at that path.
            OSError: if the file or its folder cannot be made.
            NotConnectedError: if the room is closed.
            TypeError: for an argument of another type.
            ValueError: for an unknown kind.

        Examples:
            >>> with room.record("run.mcap"):
            ...     room.send_text("hello")
            >>> run = lknb.open_recording("run.mcap")
        """
        from lknb.recording.start import start

        interest = Interest.of(kind, topic, sender)
        self._refuse_closed()
        recorder = start(self._systems, path, interest, files=checks.flag(files, "files"))
        self.recorders.add(recorder)
        recorder.when_ended(lambda: self.recorders.remove(recorder))
        return recorder

    def resend(
        self, event: Event, *, to: str | Participant | Iterable[str | Participant] | None = None
    ) -> Event | None:
        """Send an event once more: one of the log, or of a recording.

        A text, a file or a packet is sent with its topic, attributes and name, a frame on the data track of that name.
        Attributes and metadata become this participant's own. A call is made again; its answer is in the log.

        Args:
            event: what to send.
            to: the recipients; None for everybody, and for a call for the participant that was called.

        Returns:
            The new event for texts, byte streams and packets; None otherwise.

        Raises:
            TypeError: for anything except an event.
            ValueError: for an event that cannot be sent: of another kind, without its content, or dropped.
            LknbError: what the method that sends it raises.

        Examples:
            >>> room.resend(room.events.filter("text")[-1], to="bob")
        """
        return LOOP.run(lambda: resend(self, _checked_event(event), to), "resend")

    async def _stop_recorders(self) -> None:
        """Wait until the recordings are finished, after the room was left; those that fail have said so."""
        for recorder in self.recorders:
            with contextlib.suppress(LknbError):
                await recorder.aio.stop()

    # Leave

    def close(self) -> None:
        """Leave the room when everybody has what was sent. Handlers end; inboxes can still be read to their end.

        Waits until each receiver has confirmed the texts, byte streams and reliable packets: at most 30 s, and one more
        for each 4,000 bytes. Everything else becomes `failed` in its event, and a RuntimeWarning says how much that is.
        Interrupting it leaves at once. Closing a closed room does nothing.
        """
        leaving.warn(self.name, LOOP.run(self._close, "close"))

    async def _close(self) -> list[Event]:
        try:
            return await self._connection.close()
        finally:
            await self._stop_recorders()

    def rejoin(self) -> None:
        """Join again after the room was closed, with the same identity; does nothing while the room is open.

        The log continues, with a `loss` event for the time between, and this participant's attributes, metadata, name
        and data tracks are restored. Handlers, inboxes and widgets ended when the room closed: run their cells again.

        Raises:
            ConnectError: if the room cannot be joined, or another room of this kernel uses the identity now; the
                message gives the cause and the next step. The room stays closed.
            ServerError: if the embedded server cannot be started.
        """
        LOOP.run(lambda: self._rejoin(self), "rejoin")

    def _closed(self) -> None:
        # Before the handlers end, because the widgets' static HTML lists them.
        for widget in self.widgets:
            widget.close()
        self._systems.handlers.end()
        for inbox in list(self._inboxes):
            inbox.close()
        for samples in list(self._samples):
            samples.close()
        for link in self.links:
            link.unlink()
        # What is not delivered turns out while the room is being left.
        self._connection.left.add_done_callback(lambda _: self._finish_recorders())

    def _finish_recorders(self) -> None:
        for recorder in self.recorders:
            recorder.finish()

    def __enter__(self) -> Room:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not by `close`, so that a warning names the line of the `with`.
        leaving.warn(self.name, LOOP.run(self._close, "close"))

    async def __aenter__(self) -> Room:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leaving.warn(self.name, await LOOP.wait(self._close()))


def _checked_event(event: Any) -> Event:
    if not isinstance(event, Event):
        raise TypeError(f"event must be an event of room.events or of a recording, not {type(event).__name__}.")
    return event


# One text for both: the twins differ only in how they are called.
AioRoom.record.__doc__ = Room.record.__doc__
AioRoom.resend.__doc__ = Room.resend.__doc__


def joined_room(systems: Systems, rejoin: Rejoin) -> Room:
    """A `Room` of these systems; `rejoin(room)` joins it again after it was closed."""
    room = Room.__new__(Room)
    room._begin(systems, rejoin)
    return room
