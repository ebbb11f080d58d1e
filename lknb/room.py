"""`Room`: what a notebook holds of a LiveKit room, and `room.aio`, the same for code on an event loop."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from lknb.cells import Cell, shell, unwatch, watch_cells
from lknb.connection import Connection
from lknb.connection import State as ConnectionState
from lknb.events import MAX_BYTES, MAX_EVENTS, EventLog
from lknb.handlers import Handler, Handlers, Where, forget
from lknb.inbox import Inbox
from lknb.interest import Interest
from lknb.loop import LOOP
from lknb.participants import Participant, Participants
from lknb.sync_async import awaitable, blocking, opening
from lknb.systems.byte_streams import ByteStreams
from lknb.systems.data_tracks import DataTracks, RemoteDataTrack
from lknb.systems.packets import Packets
from lknb.systems.rpc import CONCURRENCY, Rpc
from lknb.systems.state import Attributes, State
from lknb.systems.streams import AsyncStreamWriter, OpenStreams, StreamWriter
from lknb.systems.text_streams import TextStreams

if TYPE_CHECKING:
    import traitlets

    from lknb.widgets.feed import Feed
    from lknb.widgets.link import Link
    from lknb.widgets.panel import Panel
    from lknb.widgets.widget import RoomWidget

F = TypeVar("F", bound=Callable[..., Any])


def _as_it_is(writer: AsyncStreamWriter) -> AsyncStreamWriter:
    return writer


class AioRoom:
    """`room.aio`: the blocking methods of a room as coroutines, to be awaited from any event loop.

    Async handlers need these: they run on lknb's own loop, where blocking would wait for itself.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._text = room._text
        self._bytes = room._bytes
        self._streams = room._streams
        self._packets = room._packets
        self._tracks = room._tracks
        self._state = room._state
        self._rpc = room._rpc

    send_text = awaitable("text", TextStreams.send_text)
    send_file = awaitable("bytes", ByteStreams.send_file)
    send_bytes = awaitable("bytes", ByteStreams.send_bytes)
    cancel = awaitable("streams", OpenStreams.cancel)
    perform_rpc = awaitable("rpc", Rpc.perform_rpc)
    publish_data = awaitable("packets", Packets.publish_data)
    publish_data_track = awaitable("tracks", DataTracks.publish_data_track)
    unpublish_data_track = awaitable("tracks", DataTracks.unpublish_data_track)
    set_attributes = awaitable("state", State.set_attributes)
    set_metadata = awaitable("state", State.set_metadata)
    set_name = awaitable("state", State.set_name)
    set_room_metadata = awaitable("state", State.set_metadata)

    stream_text = opening("text", TextStreams.stream_text, _as_it_is)
    stream_bytes = opening("bytes", ByteStreams.stream_bytes, _as_it_is)

    async def close(self) -> None:
        """Leave the room; see `Room.close`."""
        await LOOP.wait(self._room._connection.close())

    async def rejoin(self) -> None:
        """Join a room again that was closed; see `Room.rejoin`."""
        await LOOP.wait(self._room._join_again())

    def __repr__(self) -> str:
        return f"<aio of {self._room!r}>"


class Room:
    """A room that this notebook has joined. Made by `lknb.connect`.

    All methods that send or ask block until it is done, and may be called from any thread; `room.aio` has the same
    ones as coroutines. Sending methods take `to`: an identity, several, or None for everybody. They raise
    `NotConnectedError` at once while the room reconnects, rather than writing into a connection that may lose it.

    Attributes:
        aio: the blocking methods as coroutines, for any event loop.
        attributes: this participant's attributes, a mutable mapping; each write is confirmed by the server.
        events: the log of all that happened, newest last.
    """

    def __init__(self, connection: Connection, log: EventLog, max_stream_size: int) -> None:
        self._connection = connection
        self._handlers = Handlers(log)
        self._widgets: list[RoomWidget] = []
        self._links: list[Link] = []
        self._inboxes: weakref.WeakSet[Inbox] = weakref.WeakSet()
        self._join_again: Callable[[], Coroutine[Any, Any, None]]  # set by who has joined it
        self._bytes = ByteStreams(connection, log, self._handlers, max_stream_size)
        self._text = TextStreams(connection, log, self._handlers, max_stream_size, self._bytes.send_attachment)
        self._streams = OpenStreams(log, self._text, self._bytes)
        self._rpc = Rpc(connection, log, self._handlers)
        self._packets = Packets(connection, log)
        self._tracks = DataTracks(connection, log, self._handlers)
        self._state = State(connection, log)
        self.events = log
        self.attributes = Attributes(self._state, self._own_attributes)
        self.aio = AioRoom(self)
        connection.on_closed(self._let_go)

    # What it is

    @property
    def name(self) -> str:
        """The room's name."""
        return self._connection.room

    @property
    def identity(self) -> str:
        """This participant's identity, unique in the room."""
        return self._connection.identity

    @property
    def state(self) -> ConnectionState:
        """`connected`, `reconnecting` or `closed`. `connection` events say why."""
        return self._connection.state

    @property
    def participants(self) -> Participants:
        """Everybody in the room by identity, this participant included."""
        return self._connection.participants

    @property
    def remote_participants(self) -> Mapping[str, Participant]:
        """Everybody else in the room by identity."""
        return {who: each for who, each in self.participants.items() if not each.is_local}

    @property
    def metadata(self) -> str:
        """This participant's metadata."""
        mine = self.participants.get(self.identity)
        return mine.metadata if mine else ""

    @property
    def room_metadata(self) -> str:
        """The room's metadata, which everybody sees."""
        return self._connection.room_metadata

    @property
    def data_tracks(self) -> list[RemoteDataTrack]:
        """The data tracks that others publish, those from before this participant joined included."""
        return self._tracks.tracks()

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The handlers registered now, with their calls and errors."""
        return tuple(self._handlers)

    def _own_attributes(self) -> Mapping[str, str]:
        mine = self.participants.get(self.identity)
        return mine.attributes if mine else {}

    def __repr__(self) -> str:
        state = self.state if self.state == "connected" else f"{self.state} ({self._connection.state_reason})"
        return f"<Room {self.name!r} as {self.identity!r}: {state}, {len(self.participants)} participants>"

    def _ipython_display_(self, **_: Any) -> None:
        ipython = shell()
        if hasattr(ipython, "kernel"):
            self.panel()._ipython_display_()
        else:
            print(repr(self))

    @property
    def state_reason(self) -> str:
        """Why `state` is what it is, in words."""
        return self._connection.state_reason

    # Send

    send_text = blocking("text", TextStreams.send_text)
    send_file = blocking("bytes", ByteStreams.send_file)
    send_bytes = blocking("bytes", ByteStreams.send_bytes)
    cancel = blocking("streams", OpenStreams.cancel)
    perform_rpc = blocking("rpc", Rpc.perform_rpc)
    publish_data = blocking("packets", Packets.publish_data)
    publish_data_track = blocking("tracks", DataTracks.publish_data_track)
    unpublish_data_track = blocking("tracks", DataTracks.unpublish_data_track)
    set_attributes = blocking("state", State.set_attributes)
    set_metadata = blocking("state", State.set_metadata)
    set_name = blocking("state", State.set_name)
    set_room_metadata = blocking("state", State.set_metadata)

    stream_text = opening("text", TextStreams.stream_text, StreamWriter)
    stream_bytes = opening("bytes", ByteStreams.stream_bytes, StreamWriter)

    # Receive

    def on_text(
        self,
        topic: str | None = None,
        *,
        sender: str | None = None,
        stream: bool = False,
        max_size: int | None = None,
        thread: Where = "worker",
    ) -> Callable[[F], F]:
        """Decorate a handler of text streams.

        A handler takes those of `data`, `event`, `sender` that it names. It may be a plain function, which runs in a
        thread of its own, or async, which runs on lknb's loop. It gets its events one after the other, in order.
        Running its cell again replaces it; what it prints and raises appears in its cell.

        Args:
            topic: only this topic; None for every topic.
            sender: only from this identity.
            stream: call the handler as soon as the stream opens, with an iterator of its pieces as `data` (an async
                iterator for an async handler); streams are then handled side by side.
            max_size: bytes that a stream may have; the room's limit if not given.
            thread: "main" runs the handler on the kernel's main thread, between cells, as plotting needs it.
        """
        return self._on("text", topic, sender, thread, streams=stream, max_size=max_size)

    def on_bytes(
        self,
        topic: str | None = None,
        *,
        sender: str | None = None,
        stream: bool = False,
        max_size: int | None = None,
        thread: Where = "worker",
    ) -> Callable[[F], F]:
        """Decorate a handler of byte streams: its `data` is a `ReceivedFile`. See `on_text` for the rest.

        Args:
            topic: only this topic; None for every topic.
            sender: only from this identity.
            stream: call the handler as soon as the stream opens, with an iterator of its chunks.
            max_size: bytes that a stream may have; the room's limit (64 MiB) if not given.
            thread: "main" runs the handler on the kernel's main thread.
        """
        return self._on("bytes", topic, sender, thread, streams=stream, max_size=max_size)

    def on_data(
        self, topic: str | None = None, *, sender: str | None = None, thread: Where = "worker"
    ) -> Callable[[F], F]:
        """Decorate a handler of data packets: its `data` is bytes. See `on_text`."""
        return self._on("data", topic, sender, thread)

    def on_data_track(
        self, name: str | None = None, *, sender: str | None = None, thread: Where = "worker"
    ) -> Callable[[F], F]:
        """Decorate a handler of data-track frames of this name, from any publisher; subscribes to them.

        Its `data` is bytes, `event.timestamp` the publisher's own. See `on_text`.
        """
        return self._on("data_track", name, sender, thread)

    def on_attributes(self, sender: str | None = None, *, thread: Where = "worker") -> Callable[[F], F]:
        """Decorate a handler of attribute changes: its `data` is a dict of the changed keys, "" for a deleted one."""
        return self._on("attributes", None, sender, thread)

    def on_participant_metadata(self, sender: str | None = None, *, thread: Where = "worker") -> Callable[[F], F]:
        """Decorate a handler of changes of a participant's metadata: its `data` is the new one."""
        return self._on("participant_metadata", None, sender, thread)

    def on_room_metadata(self, thread: Where = "worker") -> Callable[[F], F]:
        """Decorate a handler of changes of the room's metadata: its `data` is the new one."""
        return self._on("room_metadata", None, None, thread)

    def on_participant(self, sender: str | None = None, *, thread: Where = "worker") -> Callable[[F], F]:
        """Decorate a handler of arrivals and departures.

        `event.topic` says what: `joined`, `active`, `left`, `name` or `permissions`; `sender` who.
        """
        return self._on("participant", None, sender, thread)

    def on_connection(self, thread: Where = "worker") -> Callable[[F], F]:
        """Decorate a handler of this room's connection: `event.topic` is the new state, or `reconnect` for a loss."""
        return self._on("connection", None, None, thread, kinds=("connection", "loss"))

    def _on(
        self,
        kind: str,
        topic: str | None,
        sender: str | None,
        where: Where,
        *,
        streams: bool = False,
        max_size: int | None = None,
        kinds: Iterable[str] | None = None,
    ) -> Callable[[F], F]:
        if callable(topic) or callable(sender) or callable(where):
            raise TypeError(f"Write the decorator with parentheses: @room.on_{kind}().")
        if where not in ("worker", "main"):
            raise ValueError(f'thread= is "worker" or "main", not {where!r}.')

        def register(function: F) -> F:
            self._refuse_closed()
            if kind == "data_track":
                self._connection.require_to_hear("canSubscribe", "Receiving data tracks")
            interest = Interest.of(kinds or kind, topic, sender)
            self._handlers.add(
                Handler(kind, topic, function, interest, streams=streams, where=where, max_size=max_size)
            )
            return function

        return register

    def rpc(
        self,
        method: str,
        *,
        callers: str | Iterable[str] | None = None,
        concurrency: int = CONCURRENCY,
        raw: bool = False,
        thread: Where = "worker",
    ) -> Callable[[F], F]:
        """Decorate a function that serves a remote method.

        The call's JSON becomes the function's arguments, checked against its type hints; a parameter named `caller`
        gets the caller's identity, one named `payload` the whole payload. What it returns is the answer. An `RpcError`
        that it raises reaches the caller; anything else becomes code 1500, and its traceback is shown in the cell.

        Args:
            method: the name to call it by, at most 64 bytes.
            callers: an identity or several that may call; None for everybody.
            concurrency: how many calls run at once; more wait, within their deadlines.
            raw: give the payload as the str it is, and send a returned str as it is.
            thread: "main" runs the function on the kernel's main thread, between cells.

        Raises:
            TypeError: for a parameter whose type JSON cannot be checked against.
            PermissionDeniedError: without the grant canPublishData, which answering takes.
        """
        if callable(method):
            raise TypeError('Give the method a name: @room.rpc("add").')

        def register(function: F) -> F:
            self._refuse_closed()
            self._connection.require_to_hear("canPublishData", "Answering remote method calls")
            self._rpc.serve(method, function, callers=callers, concurrency=concurrency, raw=raw, where=thread)
            return function

        return register

    def off(self, handler: Callable[..., Any] | str | Handler) -> int:
        """End handlers: by the function, its name, its topic or method, or an entry of `room.handlers`.

        Returns:
            How many were ended.
        """
        return self._handlers.remove(handler)

    def listen(
        self,
        kind: str | Iterable[str] | None = None,
        topic: str | None = None,
        sender: str | None = None,
        *,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> Inbox:
        """Collect events from now on, to be read in order with `next` or a loop.

        Args:
            kind: one kind of event, several, or None for all.
            topic: only this topic, method or track name; None for every one.
            sender: only from this identity.
            max_events: how many unread ones are kept; the oldest are dropped and counted beyond.
            max_bytes: their bytes, likewise.

        Raises:
            ValueError: for a kind that does not exist.
            NotConnectedError: when the room is closed.
            PermissionDeniedError: for the frames of data tracks alone, without the grant canSubscribe.
        """
        self._refuse_closed()
        interest = Interest.of(kind, topic, sender)
        if interest.kinds == frozenset({"data_track"}):
            self._connection.require_to_hear("canSubscribe", "Receiving data tracks")
        ended = self._want_frames(interest)
        inbox = Inbox(self.events, interest, max_events=max_events, max_bytes=max_bytes, on_close=ended)
        self._inboxes.add(inbox)
        return inbox

    def _want_frames(self, interest: Interest) -> Callable[[], None]:
        """Subscribe to the data tracks that `interest` covers, if any; returns the way to end that, once."""
        if interest.kinds is not None and "data_track" not in interest.kinds:
            return lambda: None
        tracks = self._tracks  # and not the room: an inbox's end shall not keep it alive
        LOOP.loop.call_soon_threadsafe(tracks.want, interest)

        def ended() -> None:
            LOOP.loop.call_soon_threadsafe(tracks.unwant, interest)

        return ended

    def _refuse_closed(self) -> None:
        if self.state == "closed":
            raise self._connection.not_connected()

    # Look

    def feed(self, topic: str | None = None, kind: str | Iterable[str] | None = None) -> Feed:
        """A live table of the newest events; display it, or make it a cell's last line.

        Args:
            topic: only this topic, method or track name.
            kind: only this kind of event, or these.

        Raises:
            ValueError: for a kind that does not exist.
        """
        from lknb.widgets.feed import Feed  # here, because a room needs no widgets to be of use

        return Feed(self, topic, kind)

    def panel(self, *tabs: str) -> Panel:
        """The room in tabs, live; display it, or make it a cell's last line.

        Args:
            tabs: only these, of `participants`, `feed`, `chat`, `transfers`, `rpc` and `telemetry`.

        Raises:
            ValueError: for a tab that does not exist.
        """
        from lknb.widgets.panel import Panel

        return Panel(self, *tabs)

    def link(self, widget: traitlets.HasTraits, attribute: str, trait: str = "value", of: str | None = None) -> Link:
        """Keep a widget's trait and an attribute equal, from now on.

        This participant's own attribute follows the widget, at most five times a second and always to the last
        value, and the widget follows the attribute. If the attribute is set already, the widget takes its value;
        else the widget's value is written. Another participant's attribute (`of`) is only followed: whoever moves
        that widget moves it until the next change. While they are not there the widget keeps what it has.

        A str is the attribute as it is, and "" deletes it; numbers, bools, lists and dicts are JSON in it. A value
        that the trait does not take, because of its type or range, is told in the cell, and the widget keeps its
        own; what could not be written is told there too, and written when it can be. The link ends with `unlink`, when
        its cell runs again, when the widget is closed, and with the room.

        Args:
            widget: with the trait, such as an ipywidgets slider.
            attribute: the attribute's key.
            trait: the trait's name.
            of: the identity of another participant; None for one's own attribute.

        Raises:
            ValueError: for a trait that the widget does not have.
            TypeError: for an own attribute of a trait whose value JSON cannot carry.
            PermissionDeniedError: for an own attribute without the grant canUpdateOwnMetadata.
            NotConnectedError: when the room is closed.
        """
        from lknb.widgets.link import Link

        self._refuse_closed()
        link = Link(self, widget, attribute, trait, of)
        if link.of == self.identity:
            self._connection.require_to_hear("canUpdateOwnMetadata", "Linking an attribute of one's own")
        for other in [each for each in self._links if link.replaces(each)]:
            other.unlink()
        self._links.append(link)
        watch_cells(self._cell_ended)
        link.start()
        return link

    def _keep(self, widget: RoomWidget) -> None:
        """Close `widget` with the room, and in its place those that an earlier run of its cell has made."""
        for other in [each for each in self._widgets if widget.replaces(each)]:
            other.discard()
        self._widgets.append(widget)
        watch_cells(self._cell_ended)

    def _forget(self, widget: RoomWidget) -> None:
        if widget in self._widgets:
            self._widgets.remove(widget)
        if not self._widgets and self.state == "closed":  # with the panel that it was left with
            unwatch(self._cell_ended)

    def _cell_ended(self, cell: Cell) -> None:
        for widget in [each for each in self._widgets if cell.ran_again(each.cell)]:
            widget.discard()
        for link in [each for each in self._links if cell.ran_again(each.cell)]:
            link.unlink()

    # Leave

    def close(self) -> None:
        """Leave the room: handlers end, inboxes can still be read to their end. Closing twice is fine."""
        LOOP.run(self._connection.close(), "close")

    def rejoin(self) -> None:
        """Join again after the room was closed, as who this participant was; does nothing while it is open.

        This object works again with all that holds it: its log goes on, with a `loss` event for the time between, and
        the attributes, metadata, name and data tracks of this participant are set again. Handlers, inboxes and widgets
        ended with the closing: run their cells again.

        Raises:
            ConnectError: with the cause and the next step; the room stays closed.
            ServerError: when the embedded server cannot be had.
            LknbError: when another room of this kernel has taken this identity meanwhile.
        """
        LOOP.run(self._join_again(), "rejoin")

    def _let_go(self) -> None:
        # While the handlers are still there, which the static HTML tells of.
        for widget in list(self._widgets):
            widget.close()
        forget(self._handlers)
        for inbox in list(self._inboxes):
            inbox.close()
        for link in list(self._links):
            link.unlink()
        if not self._widgets:
            unwatch(self._cell_ended)

    def __enter__(self) -> Room:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Room:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aio.close()
