"""Where a timeline's events come from: the log of a live room, or the file of a recording."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from lknb.belongings import Belongings
from lknb.errors import LknbError
from lknb.event import Event
from lknb.events import Events
from lknb.inert import inert_line
from lknb.tables import plain
from lknb.widgets.widget import room_headline

if TYPE_CHECKING:
    from lknb.recording.recording import RecordedState, Recording
    from lknb.room import Room

Take = Callable[[int, Event], None]
"""Takes an event, and the key by which `Source.find` finds it. Called again when the event has changed."""

# One for all recordings: a widget ends those that an earlier run of its cell made, whatever they show.
_of_recordings: Belongings[Any] = Belongings(end=lambda widget: widget.discard())
_logger = logging.getLogger("lknb")
_AT_ONCE = 0.5  # seconds


class Source(Protocol):
    """The events of a timeline.

    Attributes:
        room: the room's name.
        identity: who saw the events.
        widgets: the live widgets of the same owner.
        loading: how much of what is there has been read, from 0 to 1; None once all of it has.
        left_out: older events that are not read.
        trouble: why not all of it could be read; empty if it could.
        recorded: when a recording begins and ends, in milliseconds since 1970; None for a live room.
    """

    room: str
    identity: str
    widgets: Belongings[Any]
    loading: float | None
    left_out: int
    trouble: str
    recorded: tuple[float, float] | None

    @property
    def is_live(self) -> bool:
        """Whether more can happen."""

    def headline(self) -> str:
        """What it is, in one line."""

    def start(self, take: Take, changed: Callable[[], None], most: int) -> None:
        """Pass on the newest events, at most so many, and those that follow. `changed` says that loading goes on."""

    def stop(self) -> None:
        """Pass on no more."""

    def find(self, key: int) -> Event:
        """An event that was passed on.

        Raises:
            LookupError: if it is no longer there.
        """

    def state_at(self, time: float) -> RecordedState | None:
        """The state of the room at a time, in milliseconds since 1970; None if nobody has recorded it."""


class RoomSource:
    """The log of a room.

    Args:
        room: the room.
    """

    loading: float | None = None
    left_out = 0
    trouble = ""
    recorded: tuple[float, float] | None = None

    def __init__(self, room: Room) -> None:
        self._room = room
        self.room, self.identity, self.widgets = room.name, room.identity, room.widgets
        self._lock = threading.Lock()
        self._early: list[Event] | None = []
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def is_live(self) -> bool:
        """Whether the room is open."""
        return self._room.state != "closed"

    def headline(self) -> str:
        """The room, this participant, and the number of events."""
        return room_headline(self._room)

    def start(self, take: Take, changed: Callable[[], None], most: int) -> None:
        """Pass on the events of the log, then what happens."""
        self._take = take
        self._unsubscribe = self._room.events.subscribe(self._happened)
        kept = self._room.events[:]
        self.left_out = self._room.events.evicted + max(0, len(kept) - most)
        # Events that happen meanwhile wait: the thread that adds them must not.
        for event in kept[-most:]:
            take(event.number, event)
        while True:
            with self._lock:
                early, self._early = self._early, [] if self._early else None
            if not early:
                return
            for event in early:
                take(event.number, event)

    def _happened(self, event: Event) -> None:
        if self._early is not None:
            with self._lock:
                if self._early is not None:
                    self._early.append(event)
                    return
        self._take(event.number, event)

    def stop(self) -> None:
        """Unsubscribe from the log."""
        self._unsubscribe()

    def find(self, key: int) -> Event:
        """An event of the log."""
        for event in self._room.events[:]:
            if event.number == key:
                return event
        raise LookupError("The room's log has evicted this event. Only its mark is left.")

    def state_at(self, time: float) -> None:
        """None: a log has no state."""


class RecordingSource:
    """The file of a recording, which a thread reads.

    Args:
        run: the recording.
    """

    is_live = False

    def __init__(self, run: Recording) -> None:
        self._run = run
        self.room, self.identity, self.widgets = run.room, run.identity, _of_recordings
        self.recorded: tuple[float, float] | None = (run.start.timestamp() * 1000, run.end.timestamp() * 1000)
        self.loading: float | None = 0.0
        self.left_out = 0
        self.trouble = ""
        self._ended = threading.Event()

    def headline(self) -> str:
        """The room, who recorded it and when, and the number of events."""
        run = self._run
        times = " to ".join(f"{each.astimezone():%Y-%m-%d %H:%M:%S}" for each in (run.start, run.end))
        return f"{plain(f'{run.identity} in {run.room}')}, {times}: {len(run):,} events recorded"

    def start(self, take: Take, changed: Callable[[], None], most: int) -> None:
        """Have a thread read the file. A short one is read at once, so that it need not appear empty first."""
        reading = threading.Thread(target=self._read, args=(take, changed, most), name="lknb-timeline", daemon=True)
        reading.start()
        reading.join(_AT_ONCE)

    def _read(self, take: Take, changed: Callable[[], None], most: int) -> None:
        try:
            count = len(self._run)
            self.left_out = first = max(0, count - most)
            for index in range(first, count):
                if self._ended.is_set():
                    return
                self._read_one(index, take)
                self.loading = (index - first + 1) / (count - first)
        except Exception as error:  # the file may have been closed, or its disk may be gone
            self._failed(error)
        finally:
            self.loading = None
            changed()

    def _read_one(self, index: int, take: Take) -> None:
        try:
            take(index, self._run[index])
        except LknbError as error:  # a damaged part must not hide the others
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not self.trouble:
            _logger.warning("A timeline is incomplete: %s", error)
        self.trouble = inert_line(f"The recording cannot be read completely: {str(error) or type(error).__name__}")[
            :500
        ]

    def stop(self) -> None:
        """Stop reading."""
        self._ended.set()

    def find(self, key: int) -> Event:
        """An event of the recording."""
        if not 0 <= key < len(self._run):
            raise LookupError("The recording has no such event.")
        return self._run[key]

    def state_at(self, time: float) -> RecordedState:
        """The state of the room, as it was recorded."""
        begin, end = (each.timestamp() for each in (self._run.start, self._run.end))
        return self._run.state_at(min(max(time / 1000, begin), end) - begin)


def end_timelines(run: Recording) -> None:
    """End the timelines of a recording, which is about to be closed."""
    _of_recordings.end_if(lambda widget: widget.shown is run)


def source_of(shown: Room | Recording) -> Source:
    """The events of a room, or of a recording."""
    return RecordingSource(shown) if isinstance(shown, Events) else RoomSource(shown)
