"""Publishing samples: many to a packet, numbered, over reliable packets or a data track."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, get_args

from lknb import checks
from lknb.columns.packing import Packer
from lknb.columns.tables import Compression
from lknb.defaults import COMPRESSIONS
from lknb.errors import LknbError, StreamError
from lknb.live import Live
from lknb.loop import LOOP, keep, on_loop
from lknb.participants import Participant
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.replies import Turns, awaited, wait
from lknb.systems import Systems
from lknb.systems.data_tracks import LocalDataTrack

Via = Literal["packets", "data_track"]
VIAS: tuple[str, ...] = get_args(Via)

INTERVAL = 0.02
"""Seconds that a sample waits at most for others in its packet."""

Send = Callable[[bytes], Coroutine[Any, Any, bool]]
Close = Callable[[], Coroutine[Any, Any, None]]


@public
class SamplePublisher(Live, ReadOnly):
    """Publishes samples: `push` collects them into packets of about 8 kB, and sends those.

    Each packet is an Arrow stream, so any peer with an Arrow library reads it. The packets are numbered, so receivers
    with `room.samples` count what is missing. Use it from any thread; in async handlers,
    `await publisher.aio.push(...)`. As a context manager, it is closed at the end of the block.

    Attributes:
        topic: the topic, or the data track's name.
        via: `packets` or `data_track`.
        pushed: number of samples pushed.
        sent: number of samples that the SDK accepted.
        dropped: number of samples that could not be sent.
        packets: number of packets sent.
    """

    _instead = "Use its topic, via, pushed, sent, dropped and packets."
    _counted = frozenset({"pushed", "sent", "dropped", "packets"})

    def __init__(self, topic: str, via: Via, send: Send, close: Close, packer: Packer, every: float) -> None:
        self.topic = topic
        self.via = via
        self.pushed = self.sent = self.dropped = self.packets = 0
        self._send = send
        self._end = close
        self._packer = packer
        self._interval = every
        # One at a time, so that packets leave in the order of their numbers.
        self._turn = Turns(1)
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._failure: LknbError | None = None
        self.aio = AioSamplePublisher(self)
        self._fix()

    def __repr__(self) -> str:
        dropped = f", {self.dropped:,} dropped" if self.dropped else ""
        closed = ", closed" if self._is_closed else ""
        return f"<SamplePublisher {self.topic!r} via {self.via}: {self.sent:,} samples sent{dropped}{closed}>"

    def __enter__(self) -> SamplePublisher:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def push(self, table: Any = None, /, **values: Any) -> None:
        """Add samples: one, with a value for each name, or columns of equal length, or a table.

        They are sent when they fill a packet, or after the interval. Numbers are sent as float64, unless they come in
        typed columns; a column keeps its type.

        Args:
            table: a DataFrame, an Arrow table or anything else that `send_table` takes.
            values: a value for each name, or a column for each.

        Raises:
            NotConnectedError: while the room is closed or reconnecting; the samples of the packet are dropped.
            PermissionDeniedError: without the grant canPublishData.
            SendError: if the SDK refused a packet.
            StreamError: if the publisher is closed, or its data track is not published any more.
            TypeError: for a mixture of single values and columns, and for what is not a table.
            ValueError: for columns of different lengths, and for values that Arrow cannot express.

        Examples:
            >>> imu = room.publish_samples("imu")
            >>> imu.push(t=0.1, x=1.5, y=-0.2)
            >>> imu.push(x=array_x, y=array_y)
            >>> imu.push(frame)
        """
        LOOP.refuse_here("push", "await publisher.aio.push(...)")
        wait(self._push(table, values))

    def flush(self) -> None:
        """Send what is still collected now. Raises like `push`."""
        LOOP.refuse_here("flush", "await publisher.aio.flush()")
        wait(self._flush())

    def close(self) -> None:
        """Send what is still collected, and end; a data track is unpublished. Closing it again does nothing."""
        LOOP.refuse_here("close", "await publisher.aio.close()")
        wait(self._close())

    # Steps, which await replies only

    async def _push(self, table: Any, values: dict[str, Any]) -> None:
        if self._is_closed:
            raise StreamError(f"The publisher of {self.topic!r} is closed. Make another one with room.publish_samples.")
        self._raise_failure()
        if (table is None) == (not values):
            raise TypeError("Push either a table, or values by name: push(x=1.5) or push(frame).")
        await self._turn.take()
        try:
            before = self._packer.rows
            if table is None:
                self._packer.add(values)
            else:
                self._packer.add_table(table)
            self.pushed += self._packer.rows - before
            await self._send_packets(everything=self._interval == 0)
            if self._packer.rows and self._timer is None:
                self._start_timer()
        finally:
            self._turn.give_back()

    async def _flush(self) -> None:
        self._raise_failure()
        await self._turn.take()
        try:
            await self._send_packets(everything=True)
        finally:
            self._turn.give_back()

    async def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._flush()
        finally:
            await on_loop(self._end)

    async def _send_packets(self, *, everything: bool) -> None:
        for packet, rows in self._packer.packets(everything=everything):
            try:
                accepted = await self._send(packet)
            except BaseException:
                self.dropped += rows
                raise
            if accepted:
                self.sent += rows
                self.packets += 1
            else:
                self.dropped += rows

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _start_timer(self) -> None:
        def start() -> None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, flush)

        def flush() -> None:
            self._timer = None
            keep(self._flush_late())

        LOOP.loop.call_soon_threadsafe(start)

    async def _flush_late(self) -> None:
        try:
            await awaited(self._flush())
        except LknbError as error:
            self._failure = error  # the next push raises it


class AioSamplePublisher:
    """The awaitable methods of a `SamplePublisher`, for any event loop and for async handlers."""

    def __init__(self, publisher: SamplePublisher) -> None:
        self._publisher = publisher

    async def push(self, table: Any = None, /, **values: Any) -> None:
        """Add samples; see `SamplePublisher.push`."""
        await LOOP.steps(self._publisher._push(table, values))

    async def flush(self) -> None:
        """Send what is still collected now."""
        await LOOP.steps(self._publisher._flush())

    async def close(self) -> None:
        """Send what is still collected, and end."""
        await LOOP.steps(self._publisher._close())

    async def __aenter__(self) -> SamplePublisher:
        return self._publisher

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


class SamplePublishers:
    """Makes the publishers of one room's samples."""

    def __init__(self, systems: Systems) -> None:
        self._systems = systems

    async def publish_samples(
        self,
        topic: str,
        *,
        via: Via = "packets",
        to: str | Participant | Iterable[str | Participant] | None = None,
        interval: float | dt.timedelta = INTERVAL,
        compression: Compression | None = None,
    ) -> SamplePublisher:
        """Publish samples, such as a sensor's, many to a packet: 100,000 values a second and more.

        Args:
            topic: the topic, or the name of the data track.
            via: "packets" sends reliable data packets, of which none is lost; "data_track" sends frames of a data
                track, which are lost rather than late.
            to: an identity, a `Participant`, or several in a list; None for everybody. Data tracks are for everybody.
            interval: seconds that a sample waits at most for others in its packet; 0 sends each push at once.
            compression: how Arrow compresses columns: "zstd", "lz4", or None. What compresses well, such as slow
                signals, gets more samples into a packet.

        Returns:
            The publisher: `push` takes single samples, columns and tables.

        Raises:
            NotConnectedError: while the room is closed or reconnecting.
            UnknownParticipantError: if a recipient is not in the room.
            PermissionDeniedError: without the grant canPublishData.
            StreamError: if the data track cannot be published.
            SendError: if the SDK refused to publish the data track.
            DeliveryTimeoutError: if the SDK did not publish the data track in time.
            TypeError: for an argument of another type.
            ValueError: for an unknown `via` or compression, a negative interval, and `to` with a data track.
            ImportError: without pyarrow.

        Examples:
            >>> with room.publish_samples("imu") as imu:
            ...     for t, x in readings:
            ...         imu.push(t=t, x=x)
        """
        checks.choice(via, "via", VIAS)
        if compression is not None:
            checks.choice(compression, "compression", COMPRESSIONS)
        every = checks.seconds(interval, "interval", least=0)
        packer = Packer(compression)
        systems = self._systems
        if via == "data_track":
            if to is not None:
                raise ValueError('Data tracks are for everybody: leave out to=, or use via="packets".')
            return _over_track(
                await systems.data_tracks.publish_data_track(topic, encoding="arrow"), systems, packer, every
            )
        topic = checks.topic(topic)
        systems.connection.require("canPublishData", "Publishing samples")
        recipients = await systems.connection.presence.recipients(to) or None

        async def send(packet: bytes) -> bool:
            await systems.packets.publish_data(packet, topic=topic, to=recipients)
            return True

        async def close() -> None:
            """Packets need no end."""

        return SamplePublisher(topic, via, send, close, packer, every)


def _over_track(track: LocalDataTrack, systems: Systems, packer: Packer, every: float) -> SamplePublisher:
    async def send(packet: bytes) -> bool:
        return track.push(packet)

    async def close() -> None:
        await systems.data_tracks.unpublish_data_track(track)

    return SamplePublisher(track.name, "data_track", send, close, packer, every)
