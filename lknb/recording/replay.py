"""`Replay`: sends what a recording has, in its order and at its times."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from lknb import checks
from lknb.belongings import Belongings
from lknb.cells import Cell, shell
from lknb.credentials import scrub
from lknb.errors import DeliveryTimeoutError, LknbError, NotConnectedError, StreamError
from lknb.event import Event
from lknb.events import Events
from lknb.inert import inert_line
from lknb.live import Live
from lknb.loop import LOOP, keep
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.recording.clock import Clock
from lknb.recording.reader import Piece
from lknb.recording.resend import SkippedError, To, resend, text_options, why_not
from lknb.tables import Table

if TYPE_CHECKING:
    from lknb.room import Room
    from lknb.systems.data_tracks import LocalDataTrack

ReplayState = Literal["running", "paused", "finished", "stopped", "failed"]

_AHEAD = 200  # events that are read at a time
_WAITING = 500  # events of one sender and kind that wait to be sent
_ERRORS = 20
_LATENESS = 10_000
_TEXTS = 10_000
_STOP_WITHIN = 15.0
_RECONNECT_WITHIN = 60.0
_SHOWN = 1000
_SUBSCRIBE = 0.5

replays: Belongings[Replay] = Belongings(end=lambda replay: replay.end())
"""The replays that run in this kernel."""


@public
class Lateness(NamedTuple):
    """How late events were sent: seconds between when each was due and when sending it began.

    Attributes:
        p50: the median.
        p99: the 99th percentile.
        max: the longest.
    """

    p50: float
    p99: float
    max: float


class Stage(Protocol):
    """Who sends the events of a replay."""

    async def begin(self) -> None:
        """Prepare what is needed at the start."""

    async def happened(self, event: Event) -> bool:
        """Do what an event says of a participant; False if there is nothing to do."""

    async def sender(self, event: Event) -> tuple[Room, To]:
        """The room that sends an event, and to whom.

        Raises:
            SkippedError: if nobody can.
        """

    async def end(self) -> None:
        """Undo what `begin` and `happened` have made."""


class OneRoom:
    """A stage on which one participant sends everything."""

    def __init__(self, room: Room, to: To, tracks: Iterable[str]) -> None:
        self._room, self._to = room, to
        self._tracks = tracks
        self._published: list[LocalDataTrack] = []

    async def begin(self) -> None:
        """Publish the data tracks, so that others have subscribed when the first frame comes."""
        self._published = await publish(self._room, self._tracks)

    async def happened(self, event: Event) -> bool:
        """Others come and go in the recording only."""
        return False

    async def sender(self, event: Event) -> tuple[Room, To]:
        """This room; calls go to whom they went, unless `to` says otherwise."""
        if event.kind == "room_metadata" and not self._room.local_participant.is_admin:
            raise SkippedError("setting the room's metadata needs an API key, or the grant roomAdmin")
        if event.kind == "rpc" and self._to is None and self._room.identity in event.to:
            raise SkippedError("it was a call of this participant's own method: pass to=")
        return self._room, self._to

    async def end(self) -> None:
        """Unpublish the data tracks that the replay has published, when their last frames have gone out."""
        if any(track.pushed for track in self._published):
            await asyncio.sleep(_SUBSCRIBE)
        for track in self._published:
            with contextlib.suppress(LknbError):
                await self._room.aio.unpublish_data_track(track)


async def publish(room: Room, names: Iterable[str]) -> list[LocalDataTrack]:
    """Publish data tracks, and give others a moment to subscribe; return those that were not published before."""
    before = set(room.participants[room.identity].data_tracks) if room.identity in room.participants else set()
    published = [await room.aio.publish_data_track(name) for name in names if name not in before]
    if published:
        await asyncio.sleep(_SUBSCRIBE)
    return published


@public
class Replay(Live, ReadOnly):
    """A recording that is being sent again, in the background; `Recording.replay` starts it.

    For each sender and kind, events begin in their order. Streams that came piece by piece are written so again.
    It ends with its last event, with `stop`, when its cell runs again, and when its room is closed.

    Attributes:
        sent: events sent.
        skipped: events that were not sent, by reason.
        failed: events that could not be sent.
        errors: why, for the last 20.
        error: why the replay itself has failed; None unless it has.
        aio: `wait` and `stop` as coroutines.
    """

    _instead = "Start another one with recording.replay(...)."
    _counted = frozenset({"sent", "failed", "error", "speed"})

    def __init__(
        self,
        events: Events,
        stage: Stage,
        pieces: Callable[[Event], list[Piece]],
        *,
        origin: dt.datetime,
        duration: float,
        speed: float | None,
        calls: bool,
        cell: Cell | None,
    ) -> None:
        self.sent = self.failed = 0
        self.skipped: Counter[str] = Counter()
        self.errors: deque[str] = deque(maxlen=_ERRORS)
        self.error: str | None = None
        self.aio = AioReplay(self)
        self.cell = cell
        self.duration = duration
        self._events, self._stage, self._pieces = events, stage, pieces
        self._origin, self._calls = origin, calls
        self._clock = Clock(speed)
        self._state: ReplayState = "running"
        self._late: deque[float] = deque(maxlen=_LATENESS)
        self._lanes: dict[tuple[str | None, str], _Lane] = {}
        self._texts: OrderedDict[str, Event] = OrderedDict()
        self._streams: set[asyncio.Task[None]] = set()
        self._changed: tuple[Callable[[], None], ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._at_end = 0.0
        self._fix()

    def start(self) -> None:
        """Begin; call this on the loop thread."""
        self._ended = asyncio.get_running_loop().create_future()
        self._task = keep(self._run())

    # For users

    @property
    def state(self) -> ReplayState:
        """`running`, `paused`, `finished`, `stopped`, or `failed`."""
        return "paused" if self._state == "running" and self._clock.paused else self._state

    @property
    def position(self) -> float:
        """Seconds from the start of the recording to what is being sent."""
        return min(self._clock.now, self.duration) if self._state == "running" else self._at_end

    @property
    def speed(self) -> float | None:
        """How many seconds of the recording pass in a second; None for as fast as it goes. Assign it to change it."""
        return self._clock.speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        checked = check_speed(speed)
        LOOP.loop.call_soon_threadsafe(self._clock.set_speed, checked)

    @property
    def lateness(self) -> Lateness | None:
        """How late events were sent, over the last 10,000; None before the first, and without a speed."""
        late = sorted(self._late)
        if not late:
            return None
        return Lateness(late[len(late) // 2], late[min(len(late) - 1, int(0.99 * len(late)))], late[-1])

    def pause(self) -> None:
        """Stop sending until `resume` or `step`; streams that are open stay open."""
        LOOP.loop.call_soon_threadsafe(self._clock.pause)
        self._tell()

    def resume(self) -> None:
        """Go on after `pause`."""
        LOOP.loop.call_soon_threadsafe(self._clock.resume)
        self._tell()

    def step(self) -> None:
        """Send the next event, or the next piece of a stream, while it is paused."""
        LOOP.loop.call_soon_threadsafe(self._clock.step)

    def stop(self) -> None:
        """End it: streams that are open are aborted, and what it has published ends. Does nothing once it has ended.

        Raises:
            DeliveryTimeoutError: if it does not end within 15 s.
        """
        LOOP.refuse_here("stop", "await replay.aio.stop()")
        LOOP.run(self._stop, "stop", "await replay.aio.stop()")

    def wait(self, timeout: float | None = None) -> Replay:
        """Wait until it has ended, and return the object itself.

        Args:
            timeout: seconds to wait; None waits for as long as it takes.

        Raises:
            DeliveryTimeoutError: if it has not ended in time; also a `TimeoutError`. It goes on.
            LknbError: if the replay has failed; `error` says why.
        """
        LOOP.refuse_here("wait", "await replay.aio.wait(...)")
        LOOP.run(lambda: self._wait(timeout), "wait", "await replay.aio.wait(...)")
        return self

    def __repr__(self) -> str:
        skipped = self.skipped.total()
        counts = [f"{self.sent:,} sent"]
        counts += [f"{skipped:,} skipped"] if skipped else []
        counts += [f"{self.failed:,} failed"] if self.failed else []
        at = f"{self.position:.1f} of {self.duration:.1f} s"
        why = f" ({self.error})" if self.error else ""
        return inert_line(f"<Replay {self.state}{why}: {at}, {', '.join(counts)}>")

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def table(self) -> Table:
        """What it has sent and skipped, and how late."""
        late = self.lateness
        rows: list[tuple[str, Any]] = [
            ("state", self.state if self.error is None else f"{self.state}: {self.error}"),
            ("position", f"{self.position:.1f} of {self.duration:.1f} s"),
            ("speed", "as fast as it goes" if self.speed is None else f"{self.speed:g}"),
            ("sent", f"{self.sent:,}"),
            *((f"skipped: {reason}", f"{count:,}") for reason, count in self.skipped.most_common()),
            ("failed", f"{self.failed:,}"),
        ]
        if late is not None:
            rows.append(
                ("late", f"p50 {late.p50 * 1e3:.1f} ms, p99 {late.p99 * 1e3:.1f} ms, max {late.max * 1e3:.1f} ms")
            )
        rows += [("error", each) for each in self.errors]
        return Table(("what", "value"), rows)

    def _ipython_display_(self, **_: Any) -> None:
        ipython = shell()
        if hasattr(ipython, "kernel"):
            from lknb.widgets.replay import ReplayView

            ReplayView(self)._ipython_display_()
        else:
            print(repr(self))

    def _display_(self) -> Any:
        """What marimo shows if the replay is a cell's last line."""
        from lknb.widgets.replay import ReplayView

        return ReplayView(self)

    # For its widget and its owner

    def replaces(self, other: Replay) -> bool:
        """Whether this one ends `other`, which an earlier run of its cell began."""
        return self.cell is not None and self.cell.ran_again(other.cell)

    def end(self) -> None:
        """End it soon, from any thread."""
        LOOP.submit(self._stop())

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed()`, from any thread, when something has changed. Returns a function that ends this."""
        self._changed = (*self._changed, changed)

        def unwatch() -> None:
            self._changed = tuple(each for each in self._changed if each is not changed)

        return unwatch

    def _tell(self) -> None:
        for changed in self._changed:
            changed()

    # On the loop

    async def _run(self) -> None:
        try:
            await self._stage.begin()
            self._clock.begin()
            async for event in _ahead(self._events):
                await self._take(event)
            for lane in self._lanes.values():
                await lane.drain()
            while self._streams:
                await asyncio.wait(set(self._streams))
            self._finish("finished")
        except asyncio.CancelledError:
            self._finish("stopped" if self._failure is None else "failed", self._failure)
        except Exception as error:
            self._finish("failed", error)
        finally:
            for task in [*self._streams, *(lane.task for lane in self._lanes.values())]:
                task.cancel()
            await asyncio.gather(*self._streams, *(lane.task for lane in self._lanes.values()), return_exceptions=True)
            try:
                await self._stage.end()
            finally:
                replays.remove(self)
                assert self._ended is not None
                if not self._ended.done():
                    self._ended.set_result(None)
                self._tell()

    def _finish(self, state: ReplayState, error: Exception | None = None) -> None:
        self._at_end = self.duration if state == "finished" else min(self._clock.now, self.duration)
        self.error = None if error is None else scrub(f"{type(error).__name__}: {error}")
        self._state = state

    async def _take(self, event: Event) -> None:
        """Send an event when it is due, in order for its sender and kind."""
        due = (event.time - self._origin).total_seconds()
        reason = why_not(event, calls=self._calls)
        if reason is not None and event.kind != "participant":
            self._skip(reason)
            return
        late = await self._clock.until(due)
        if event.kind == "participant":
            for (sender, _), lane in self._lanes.items():
                if sender == event.sender:
                    await lane.drain()  # what it has sent before it leaves
            if not await self._stage.happened(event):
                self._skip(reason or "")
            return
        key = (event.sender, event.kind)
        if key not in self._lanes:
            self._lanes[key] = _Lane(self._send)
        lane = self._lanes[key]
        await lane.put(event, time.monotonic() - late)
        if self.speed is None:
            await lane.drain()

    async def _send(self, event: Event, due: float) -> None:
        try:
            room, to = await self._stage.sender(event)
            await _connected(room)
            if self.speed is not None:
                self._late.append(time.monotonic() - due)
            is_streamed = event.kind == "text" and event.pieces > 1
            pieces = await asyncio.to_thread(self._pieces, event) if is_streamed else []
            if len(pieces) > 1:
                await self._stream(room, event, pieces, to)
            else:
                sent = await resend(room, event, to, self._texts)
                if sent is not None and event.kind == "text":
                    self._remember(event, sent)
            self.sent += 1
        except SkippedError as reason:
            self._skip(str(reason))
        except Exception as error:  # the events after it are still to be sent
            self._fail(event, error)
        self._tell()

    async def _stream(self, room: Room, event: Event, pieces: list[Piece], to: To) -> None:
        """Open a stream, and write its pieces at their times while other events are sent."""
        stream = room.aio.stream_text(to=to, **text_options(event, self._texts))
        out = await stream.__aenter__()
        self._remember(event, out.event)
        start = (event.time - self._origin).total_seconds()

        async def write() -> None:
            error: BaseException | None = None
            try:
                for piece in pieces:
                    await self._clock.until(start + piece.at)
                    await out.write(piece.text or "")
                if event.status != "ok":
                    error = StreamError(event.error or "it was not finished")
            except BaseException as failure:
                error = failure
                if isinstance(failure, LknbError):
                    self._fail(event, failure)
                elif not isinstance(failure, asyncio.CancelledError):
                    raise
            finally:
                with contextlib.suppress(LknbError):
                    await stream.__aexit__(None if error is None else type(error), error, None)

        task = asyncio.ensure_future(write())
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        if self.speed is None:
            await task

    def _remember(self, event: Event, sent: Event) -> None:
        """Remember a text, which replies and edits may refer to."""
        self._texts[event.id] = sent
        while len(self._texts) > _TEXTS:
            self._texts.popitem(last=False)

    def _skip(self, reason: str) -> None:
        self.skipped[reason] += 1

    def _fail(self, event: Event, error: Exception) -> None:
        self.failed += 1
        what = f"{event.kind} {event.topic!r}" if event.topic else event.kind
        self.errors.append(inert_line(scrub(f"{what}: {type(error).__name__}: {error}"))[:500])
        if isinstance(error, RoomClosedError) and self._task is not None and not self._task.done():
            self._failure = error
            self._task.cancel()  # nothing that follows could be sent either

    async def _stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            done, _ = await asyncio.wait((self._task,), timeout=_STOP_WITHIN)
            if not done:
                raise DeliveryTimeoutError(f"The replay did not end within {_STOP_WITHIN:g} s: {self!r}.")

    async def _wait(self, timeout: float | None) -> None:
        assert self._ended is not None
        within = checks.seconds_or_none(timeout)
        try:
            await asyncio.wait_for(asyncio.shield(self._ended), within)
        except TimeoutError:
            raise DeliveryTimeoutError(f"The replay has not ended within {within:g} s: {self!r}.") from None
        if self._state == "failed":
            raise LknbError(f"The replay has failed: {self.error}")


class RoomClosedError(NotConnectedError):
    """The room of a replay was closed."""


async def _connected(room: Room) -> None:
    """Wait while the room reconnects.

    Raises:
        NotConnectedError: if it is closed.
    """
    if room.state == "reconnecting":
        await room._connection.until(lambda: room.state != "reconnecting", _RECONNECT_WITHIN)
    if room.state == "closed":
        raise RoomClosedError(f"Room {room.name!r} was closed ({room.state_reason}), so the replay has ended.")


class _Lane:
    """The events of one sender and kind, sent one after the other."""

    def __init__(self, send: Callable[[Event, float], Any]) -> None:
        self._waiting: asyncio.Queue[tuple[Event, float]] = asyncio.Queue(_WAITING)
        self._send = send
        self.task = asyncio.ensure_future(self._work())

    async def put(self, event: Event, due: float) -> None:
        """Send an event after those before it; waits if too many do."""
        await self._waiting.put((event, due))

    async def drain(self) -> None:
        """Wait until everything is sent."""
        await self._waiting.join()

    async def _work(self) -> None:
        while True:
            event, due = await self._waiting.get()
            try:
                await self._send(event, due)
            finally:
                self._waiting.task_done()


@public
class AioReplay(Live, ReadOnly):
    """`replay.aio`: the replay for code on an event loop."""

    _instead = Replay._instead

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._fix()

    async def wait(self, timeout: float | None = None) -> Replay:
        """Wait until it has ended; see `Replay.wait`."""
        await LOOP.wait(self._replay._wait(timeout))
        return self._replay

    async def stop(self) -> None:
        """End it; see `Replay.stop`."""
        await LOOP.wait(self._replay._stop())


async def _ahead(events: Events) -> AsyncIterator[Event]:
    """The events, read from the file on another thread, some ahead of when they are needed."""
    iterator = iter(events)

    def read() -> list[Event]:
        return [event for _, event in zip(range(_AHEAD), iterator, strict=False)]

    reading = asyncio.ensure_future(asyncio.to_thread(read))
    try:
        while batch := await reading:
            reading = asyncio.ensure_future(asyncio.to_thread(read))
            for event in batch:
                yield event
    finally:
        reading.cancel()


def check_speed(speed: Any) -> float | None:
    """A speed above 0, or None.

    Raises:
        ValueError: for any other number.
        TypeError: for anything else.
    """
    if speed is None:
        return None
    if isinstance(speed, bool) or not isinstance(speed, int | float):
        raise TypeError(f"speed must be a number, or None for as fast as it goes, not {type(speed).__name__}.")
    if not 0 < speed < math.inf:
        raise ValueError(f"speed must be above 0, or None for as fast as it goes, not {speed!r}.")
    return float(speed)


def plan(events: Iterable[Event], origin: dt.datetime, *, calls: bool) -> Table:
    """What a replay would send, and what it would skip: a row for each event, the first 1,000."""
    rows: list[Sequence[Any]] = []
    counts: Counter[str] = Counter()
    for event in events:
        reason = why_not(event, calls=calls)
        counts["sent" if reason is None else "skipped"] += 1
        if len(rows) < _SHOWN:
            at = f"{(event.time - origin).total_seconds():.3f}"
            rows.append((at, event.kind, event.sender, event.topic, event.size, "send" if reason is None else reason))
    more = f" The first {_SHOWN:,} of {counts.total():,}." if counts.total() > _SHOWN else ""
    note = f"{counts['sent']:,} would be sent, {counts['skipped']:,} skipped.{more}"
    return Table(("at", "kind", "sender", "topic", "bytes", "what"), rows, empty="Nothing to send.", note=note)
