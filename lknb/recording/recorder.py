"""`Recorder`: one more reader of a room's log, which writes it to a file on a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import sys
import threading
import time
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from lknb.cells import Cell, current_cell
from lknb.errors import DeliveryTimeoutError, RecordingError
from lknb.event import Event, now, weight
from lknb.events import MAX_EVENTS, MAX_SPOOLED, EventLog, Part
from lknb.files import ReceivedFile, Spool, guess_type, safe_name
from lknb.inert import inert_line
from lknb.interest import Interest
from lknb.live import Live
from lknb.loop import LOOP
from lknb.participants import Participant
from lknb.progress import size as readable
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.recording.format import Payload, answer_of, nanoseconds, participant_row, payload_of
from lknb.recording.writer import Declared, RecordingWriter
from lknb.tables import Table

RecorderState = Literal["recording", "stopping", "stopped", "failed"]

MAX_WAITING = 100_000
"""Events, pieces and texts that wait to be written, at most."""

MAX_WAITING_BYTES = 64 * 1024 * 1024

PIECES = 10_000
"""Pieces of a stream that are kept one by one. Later ones are joined, to one a second."""

_FLUSH_EVERY = 0.4
_LOOKS_EVERY = 1.0
_GATHERS = 0.25  # seconds in which events gather, so that the thread disturbs the others seldom
_AT_ONCE = 16  # events written before other threads get a turn
_TURN = 0.0003
_WHOLE_EVERY = 60.0
_STOP_WITHIN = 60.0
_STOP_AT_EXIT = 2.0
_FILES_KNOWN = 1000
_FORGET_AFTER = 60.0
_COPY = 1024 * 1024

_running: weakref.WeakSet[Recorder] = weakref.WeakSet()


@dataclass(frozen=True)
class Source:
    """What a recorder needs to know of its room.

    Attributes:
        log: the room's log.
        identity: this participant's identity.
        about: the room, and what records it, for the file's metadata.
        library: what writes the file.
        metadata: returns the room's metadata.
        participants: returns everybody in the room.
        declared: what an event's payload is, by a declaration.
    """

    log: EventLog
    identity: str
    about: Mapping[str, str]
    library: str
    metadata: Callable[[], str]
    participants: Callable[[], Mapping[str, Participant]]
    declared: Callable[[Event], Declared | None]


class _Parts:
    """What passes the wire of one open event, until the event ends."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.request: str | None = None
        self.answer: str | None = None
        self.file: Spool | None = None
        self.pieces = 0
        # Pieces that wait to be written together: their number, bytes and text, and when the last of them came.
        self.joined = self.joined_size = 0
        self.joined_text: list[str] = []
        self.joined_at = self.written_at = 0.0


_Item = tuple[Any, ...]


@public
class Recorder(Live, ReadOnly):
    """A recording in progress; `room.record` starts it. Use it with `with`, or call `stop`.

    It ends with its block, with `stop`, when its cell runs again, and when the room is closed.

    Attributes:
        path: the file.
        count: events written.
        dropped: events that were not written because too many waited; the file says so too.
        error: why it failed; None unless it did.
        aio: `stop` as a coroutine, for code on an event loop.
    """

    _instead = "Open its file with lknb.open_recording(recorder.path)."
    _counted = frozenset({"count", "dropped", "error"})

    def __init__(self, source: Source, interest: Interest, path: Path, *, files: bool) -> None:
        self.path = path
        self.count = self.dropped = 0
        self.error: str | None = None
        self.aio = AioRecorder(self)
        self.cell: Cell | None = current_cell()
        self._source = source
        self._interest = interest
        self._files = files
        self._context = contextvars.copy_context()
        self._began = time.monotonic()
        self._seconds: float | None = None
        clocks = {"started": now().isoformat(), "monotonic": repr(self._began)}
        about = {**source.about, **clocks, **_filters(interest, files)}
        self._writer = RecordingWriter(path, about, source.library, source.declared)
        # Guards what waits, and its bytes.
        self._lock = threading.Lock()
        self._waiting: deque[tuple[_Item, int, int]] = deque()
        self._waiting_bytes = self._waiting_files = 0
        self._not_written: Counter[str] = Counter()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._release: Callable[[], None] = lambda: None
        self._stopping = False
        self._state: RecorderState = "recording"
        self._ended = threading.Event()
        self._on_end: tuple[Callable[[], None], ...] = ()
        # For the writing thread alone.
        self._parts: dict[int, _Parts] = {}
        self._attached: OrderedDict[int, Payload] = OrderedDict()
        self._sent: OrderedDict[int, None] = OrderedDict()
        self._flushed = self._whole = 0.0
        self._state_changed = self._has_told = False
        self._own: set[int] = set()
        self._size = self._writer.size
        self._fix()

    def start(self) -> None:
        """Begin to record."""
        log = self._source.log
        # First, so that the state is not older than the first event.
        unsubscribe = (log.subscribe(self._happened), log.subscribe_wire(self._passed), log.want(self._interest))
        self._release = functools.partial(_each, unsubscribe)
        self._write_state()
        self._note("started", {"file": self.path.name})
        _stop_at_exit()
        _running.add(self)
        thread = threading.Thread(target=self._run, name="lknb-recorder", daemon=True)
        thread.start()

    @property
    def state(self) -> RecorderState:
        """`recording`, `stopping` while the rest is written, `stopped`, or `failed`."""
        return self._state

    @property
    def size(self) -> int:
        """Bytes of the file so far."""
        return self._size

    @property
    def duration(self) -> float:
        """Seconds since it began; once it has ended, how long it recorded."""
        return time.monotonic() - self._began if self._seconds is None else self._seconds

    def __repr__(self) -> str:
        dropped = f", {self.dropped:,} dropped" if self.dropped else ""
        failed = f": {self.error}" if self.error else ""
        what = f"{self.count:,} events, {readable(self.size)}, {self.duration:.0f} s{dropped}"
        return inert_line(f"<Recorder {str(self.path)!r} {self.state}{failed}: {what}>")

    def _repr_html_(self) -> str:
        seconds = f"{self.duration:.0f} s"
        row = (self.path, self.state, self.count, readable(self.size), seconds, self.dropped, self.error)
        return Table(("file", "state", "events", "size", "time", "dropped", "error"), [row])._repr_html_()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except RecordingError:
            if error is None:
                raise

    async def __aenter__(self) -> Recorder:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.aio.stop()
        except RecordingError:
            if error is None:
                raise

    def replaces(self, other: Recorder) -> bool:
        """Whether this one ends `other`, which an earlier run of its cell began."""
        return self.cell is not None and self.cell.ran_again(other.cell)

    def stop(self) -> Path:
        """Write what waits, finish the file, and return its path. Does nothing more once it has stopped.

        Raises:
            RecordingError: if the recording has failed; what was written until then can be opened.
            DeliveryTimeoutError: if it cannot be finished within 60 s; it goes on in the background.
        """
        LOOP.refuse_here("stop", "await recorder.aio.stop()")
        self.finish()
        deadline = time.monotonic() + _STOP_WITHIN
        # In slices, so that Ctrl-C works on every platform.
        while not self._ended.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            self._refuse_late(deadline)
        return self._stopped()

    async def _stop(self) -> Path:
        self.finish()
        deadline = time.monotonic() + _STOP_WITHIN
        while not await asyncio.to_thread(self._ended.wait, 1.0):
            self._refuse_late(deadline)
        return self._stopped()

    def _refuse_late(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise DeliveryTimeoutError(
                f"{self.path} is not finished after {_STOP_WITHIN:g} s: {len(self._waiting):,} events wait for a slow "
                "disk. It goes on in the background; recorder.state says when it has stopped."
            )

    def _stopped(self) -> Path:
        if self._state == "failed":
            raise RecordingError(
                f"The recording {str(self.path)!r} ended early: {self.error}. lknb.open_recording reads what is in it."
            )
        return self.path

    def finish(self) -> None:
        """Take no more events, and finish the file in the background. Safe from any thread, and more than once."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
            if self._state == "recording":
                self._state = "stopping"
        self._release()
        self._hurry.set()
        self._wake.set()

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call `callback()`, from any thread, when the file is finished or has failed; at once if it has."""
        with self._lock:
            if not self._ended.is_set():
                self._on_end = (*self._on_end, callback)
                return
        callback()

    # From the log, on any thread

    def _happened(self, event: Event) -> None:
        if event.number in self._own:
            return
        self._follow_state(event)
        if self._interest.matches(event):
            self._put(("event", event, event.status == "open"), *weight(event))

    def _passed(self, event: Event, part: Part, content: str | bytes) -> None:
        if not self._interest.matches(event):
            return
        if event.kind == "bytes" and not (self._files and event.direction == "out"):
            # What is received is in the event when it ends.
            self._put(("piece", event, event.elapsed, len(content), None), 100)
        elif part == "piece":
            self._put(("piece", event, event.elapsed, len(content), content), len(content) + 100)
        else:
            self._put((part, event, content), len(content))

    def _follow_state(self, event: Event) -> None:
        """Record the change of the room's state that this event announces."""
        who = event.sender
        change: dict[str, Any] | None = None
        if event.kind == "room_metadata":
            change = {"metadata": event.data}
        elif event.kind == "attributes" and who is not None:
            change = {"participants": {who: {"attributes": event.data}}}
        elif event.kind == "participant_metadata" and who is not None:
            change = {"participants": {who: {"metadata": event.data}}}
        elif event.kind == "participant" and who is not None:
            there = self._source.participants().get(who)
            gone = event.topic == "left" or there is None
            change = {"participants": {who: None if gone else there}}
        elif event.kind == "connection" and event.topic == "connected":
            change = {"whole": True}
        if change is not None:
            self._put(("state", event.time, change), 500)

    def _put(self, item: _Item, memory: int, disk: int = 0) -> None:
        with self._lock:
            if self._stopping:
                return
            full = (
                len(self._waiting) >= MAX_WAITING
                or self._waiting_bytes + memory > MAX_WAITING_BYTES
                or self._waiting_files + disk > MAX_SPOOLED
            )
            if full and self._waiting:
                self._drop(*item)
                return
            self._waiting.append((item, memory, disk))
            self._waiting_bytes += memory
            self._waiting_files += disk
        if not self._wake.is_set():
            self._wake.set()

    def _drop(self, what: str, event: Any, *more: Any) -> None:
        if what == "event":
            (is_open,) = more
            self.dropped += not is_open  # the row of its end has everything
            self._not_written[event.kind] += not is_open
        elif what != "state":
            self._not_written["piece"] += 1
        else:
            self._whole, self._state_changed = 0.0, True  # the next whole state, which is due then, has it

    # On the writing thread

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stopping or self._waiting:
                self._wake.wait(_LOOKS_EVERY)
                self._hurry.wait(_GATHERS)
                self._wake.clear()
                self._write_waiting()
                self._look()
            self._note_dropped()
            self._end()
        except Exception as failure:
            error = failure
        self._close(error)

    def _write_waiting(self) -> None:
        written = 0
        while True:
            with self._lock:
                if not self._waiting:
                    return
                item, memory, disk = self._waiting.popleft()
                self._waiting_bytes -= memory
                self._waiting_files -= disk
            self._write(*item)
            written += 1
            if written % _AT_ONCE == 0:
                # Other threads get a turn, which would otherwise wait for 5 ms each time.
                self._hurry.wait(_TURN)
                self._flush_in_time()

    def _look(self) -> None:
        """What is due now and then."""
        self._note_dropped()
        self._flush_in_time()
        self._look_at_open()
        at = time.monotonic()
        if at - self._whole >= _WHOLE_EVERY and self._state_changed:
            self._write_state()

    def _flush_in_time(self) -> None:
        at = time.monotonic()
        if at - self._flushed >= _FLUSH_EVERY:
            self._flushed = at
            self._writer.flush()
            self._size = self._writer.size

    def _write(self, what: str, event: Any, *more: Any) -> None:
        if what == "event":
            (is_open,) = more
            if is_open:
                self._open(event)
            else:
                self._event(event)
        elif what == "piece":
            self._piece(event, *more)
        elif what == "state":
            self._write_change(event, *more)
        else:
            setattr(self._parts_of(event), what, more[0])

    def _parts_of(self, event: Event) -> _Parts:
        if event.number not in self._parts:
            self._parts[event.number] = _Parts(event)
        return self._parts[event.number]

    def _clock(self, event: Event) -> float:
        return round(event._started - self._began, 6)

    def _open(self, event: Event) -> None:
        self._parts_of(event)
        # It may have ended since: then its last row has the rest.
        payload = payload_of(event, None) if event.kind == "rpc" and event.status == "open" else None
        self._writer.opened(event, self._clock(event), payload)

    def _event(self, event: Event) -> None:
        parts = self._parts.pop(event.number, None) or _Parts(event)
        if parts.pieces > 1:  # the only piece is the payload
            self._write_joined(parts)
        payload = self._file(event, parts) if event.kind == "bytes" else payload_of(event, parts.request)
        answer = answer_of(event, parts.answer) if event.kind == "rpc" else None
        is_again = event.number in self._sent
        self._writer.ended(event, self._clock(event), payload, answer, is_again=is_again)
        self.count += not is_again
        if event.direction == "out" and not is_again:
            self._remember(event.number)

    def _remember(self, number: int) -> None:
        """Remember what was sent: when the room is left, it may turn out not to have been delivered."""
        self._sent[number] = None
        while len(self._sent) > MAX_EVENTS:
            self._sent.popitem(last=False)

    def _file(self, event: Event, parts: _Parts) -> Payload | None:
        """The file of a byte stream, attached unless it was before: what the recording says of it."""
        known = self._attached.get(event.number)
        if known is not None or not self._files:
            return known
        file: ReceivedFile | None = event.data if isinstance(event.data, ReceivedFile) else None
        if file is None and parts.file is not None and parts.file.size == event.size:
            file = ReceivedFile(
                parts.file,
                name=event.name or "",
                mime_type=event.mime_type or guess_type(event.name or ""),
                sender=event.sender or "",
                attributes=dict(event.attributes),
                verified=None,
            )
        if file is None:
            return None
        payload = self._writer.attach(event, file, _content(file))
        self._attached[event.number] = payload
        while len(self._attached) > _FILES_KNOWN:
            self._attached.popitem(last=False)
        return payload

    def _piece(self, event: Event, at: float, size: int, content: str | bytes | None) -> None:
        parts = self._parts_of(event)
        if isinstance(content, bytes):
            if parts.file is None:
                parts.file = Spool()
            parts.file.write(content)
        text = content if isinstance(content, str) else None
        if parts.joined and (parts.pieces <= PIECES or at - parts.written_at >= 1.0):
            self._write_joined(parts)
        parts.pieces += 1
        parts.joined_at = at
        parts.joined += 1
        parts.joined_size += len(text.encode()) if text is not None else size
        if text is not None:
            parts.joined_text.append(text)

    def _write_joined(self, parts: _Parts) -> None:
        if not parts.joined:
            return
        text = "".join(parts.joined_text) if parts.event.kind == "text" else None
        self._writer.piece(parts.event, round(parts.joined_at, 6), parts.joined_size, parts.joined, text)
        parts.joined = parts.joined_size = 0
        parts.joined_text.clear()
        parts.written_at = parts.joined_at

    def _look_at_open(self) -> None:
        """Write the last pieces of streams that have paused, and forget events whose end was dropped."""
        for number, parts in list(self._parts.items()):
            if parts.event.elapsed - parts.joined_at >= _FLUSH_EVERY:
                self._write_joined(parts)
            since = time.monotonic() - parts.event._started
            if parts.event.status != "open" and since > parts.event.elapsed + _FORGET_AFTER:
                del self._parts[number]

    def _write_state(self) -> None:
        self._whole, self._state_changed = time.monotonic(), False
        participants = {who: participant_row(each) for who, each in self._source.participants().items()}
        moment = now()
        self._writer.state(
            nanoseconds(moment),
            {
                "time": moment.isoformat(),
                "whole": True,
                "metadata": self._source.metadata(),
                "participants": participants,
            },
        )

    def _write_change(self, moment: Any, change: dict[str, Any]) -> None:
        if change.get("whole"):
            self._write_state()
            return
        self._state_changed = True
        participants = {
            who: participant_row(each) if isinstance(each, Participant) else each
            for who, each in change.get("participants", {}).items()
        }
        row = {
            "time": moment.isoformat(),
            "whole": False,
            "metadata": change.get("metadata"),
            "participants": participants,
        }
        self._writer.state(nanoseconds(moment), row)

    def _note(self, change: str, details: dict[str, Any], error: str | None = None) -> None:
        """Record what becomes of the recording, here and in the room's log."""
        event = Event(
            "recording",
            "out",
            sender=self._source.identity,
            topic=change,
            data={"change": change, **details},
            status="ok" if error is None else "failed",
            error=error,
        )
        if error is None and (self._interest.kinds is None or change == "dropped"):
            self._writer.ended(event, self._clock(event), None)
            self.count += 1
        self._own.add(event.number)
        self._source.log.add(event)
        self._own.discard(event.number)

    def _tell(self, what: str) -> None:
        """Say something about the recording in its cell."""
        self._context.copy().run(_say, f"The recording {str(self.path)!r} {what}")

    def _note_dropped(self) -> None:
        with self._lock:
            dropped, self._not_written = self._not_written, Counter()
        pieces = dropped.pop("piece", 0)
        kinds = {kind: count for kind, count in dropped.items() if count}
        if not kinds and not pieces:
            return
        details = {"count": sum(kinds.values()), "kinds": kinds, "pieces": pieces, "file": self.path.name}
        self._note("dropped", details)
        if not self._has_told:
            self._has_told = True
            self._tell("cannot keep up. What it does not write is counted: see recorder.dropped, and the recording.")

    def _end(self) -> None:
        for parts in self._parts.values():
            self._write_joined(parts)
        self._note("stopped", {"file": self.path.name, "count": self.count + 1, "dropped": self.dropped})
        self._writer.finish(
            {
                "stopped": now().isoformat(),
                "monotonic": repr(time.monotonic()),
                "count": str(self.count),
                "dropped": str(self.dropped),
            }
        )
        self._size = self._writer.size

    def _close(self, failure: BaseException | None) -> None:
        self._seconds = time.monotonic() - self._began
        if failure is not None:
            self.error = inert_line(_reason(failure))
            self.finish()
            with self._lock:
                lost = sum(item[0] == "event" and not item[2] for item, _, _ in self._waiting)
                self._waiting.clear()
                self._waiting_bytes = self._waiting_files = 0
            # What was not written whole is not in the file.
            self.dropped += lost + self.count - self._writer.events
            self._writer.abandon()
            self.count, self._size = self._writer.events, self._writer.size
        self._state = "stopped" if failure is None else "failed"
        for parts in self._parts.values():
            if parts.file is not None:
                parts.file.close()
        self._parts.clear()
        if self.error is not None:
            details = {"file": self.path.name, "count": self.count, "dropped": self.dropped}
            self._note("failed", details, self.error)
            self._tell(f"ended early: {self.error}. The room goes on.")
        with self._lock:
            self._ended.set()
            callbacks, self._on_end = self._on_end, ()
        _running.discard(self)
        for callback in callbacks:
            callback()


@public
class AioRecorder(Live, ReadOnly):
    """`recorder.aio`: the recorder for code on an event loop."""

    _instead = Recorder._instead

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._fix()

    async def stop(self) -> Path:
        """Write what waits, finish the file, and return its path; see `Recorder.stop`."""
        return await self._recorder._stop()


def _filters(interest: Interest, files: bool) -> dict[str, str]:
    return {
        "kinds": " ".join(sorted(interest.kinds or ())),
        "topic": interest.topic if interest.topic is not None else "*",
        "sender": interest.sender or "*",
        "files": "yes" if files else "no",
    }


def _content(file: ReceivedFile) -> Iterator[bytes]:
    for at in range(0, file.size, _COPY):
        yield file.piece(at, _COPY)


def _reason(failure: BaseException) -> str:
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.strerror[0].lower()}{failure.strerror[1:]}"
    return str(failure) or type(failure).__name__


def _each(functions: Iterable[Callable[[], None]]) -> None:
    for function in functions:
        function()


def _say(text: str) -> None:
    print(inert_line(text), file=sys.stderr, flush=True)


@functools.cache
def _stop_at_exit() -> None:
    # Registered after the rooms' own exit function, so it runs before the rooms are left.
    atexit.register(_stop_all)


def _stop_all() -> None:
    recorders = list(_running)
    for recorder in recorders:
        recorder.finish()
    deadline = time.monotonic() + _STOP_AT_EXIT
    for recorder in recorders:
        recorder._ended.wait(max(0.0, deadline - time.monotonic()))


def default_path(folder: Path, room: str) -> Path:
    """A new path in `folder` with the room's name and the time in UTC."""
    stem = f"{safe_name(room)}-{now():%Y%m%dT%H%M%SZ}"
    number = 1
    while (path := folder / f"{stem}{'' if number == 1 else f'-{number}'}.mcap").exists():
        number += 1
    return path
