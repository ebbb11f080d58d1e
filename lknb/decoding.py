"""`Decoder`: how the payloads of a topic are read, and `Decoders`: those of one room's log.

`columns/decoders.py` says what a format means. Here is which decoder an event has, and what becomes of its value: it is
made when somebody first asks for it, and kept within bounds.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lknb.belongings import Belongings
from lknb.cells import Cell, current_cell
from lknb.event import Decoded, Event, Kind, keep_decoded, kept_decoded, now
from lknb.inert import inert_line
from lknb.live import Live
from lknb.public import public
from lknb.read_only import ReadOnly

DECODED_KINDS: frozenset[Kind] = frozenset({"data", "data_track", "text", "bytes"})
"""The kinds whose payloads have a format of their own."""

_KEPT = 10_000  # values kept at a time
_KEPT_BYTES = 64 * 1024 * 1024
_PARSED = 16  # a value takes some times the bytes of its payload
_OVERHEAD = 500
_REASON = 300

Declared = tuple[str, tuple[str, str, bytes] | None]
"""What payloads are for other programs: MCAP's name of their encoding; a schema's name, encoding and definition."""


class UndecodableError(ValueError):
    """A payload that cannot be read. The message says why."""


@public
@dataclass(eq=False)
class Decoder(Live, ReadOnly):
    """How the payloads of a topic are read; `room.decode` makes it.

    Attributes:
        topic: the topic, or the name of the data track.
        kind: the only kind of events it reads; None for packets, frames, texts and byte streams.
        format: the struct's format, the format's name, or the name of the message class or function.
        names: the names of a struct's values.
        cell: the run of the cell that made it.
        since: when it was made, timezone-aware.
        decoded: number of events that it has read. An event is read when its value is first needed.
        failed: number of events that it could not read.
        last_error: why it could not read the last of these.
    """

    _instead = "Use its attributes, such as topic and format."
    _counted = frozenset({"decoded", "failed", "last_error"})

    topic: str
    kind: Kind | None
    format: str
    names: tuple[str, ...]
    read: Callable[[bytes], Any] = field(repr=False)
    largest: int = field(repr=False)
    declared: Declared | None = field(default=None, repr=False)
    cell: Cell | None = field(default_factory=current_cell)
    since: dt.datetime = field(default_factory=now)
    decoded: int = 0
    failed: int = 0
    last_error: str | None = None

    def __post_init__(self) -> None:
        self._fix()

    def __repr__(self) -> str:
        kind = f" of kind {self.kind}" if self.kind else ""
        names = f" with {', '.join(self.names)}" if self.names else ""
        last = f", the last because: {self.last_error}" if self.last_error else ""
        counts = f"{self.decoded:,} read, {self.failed:,} not{last}"
        return f"<Decoder of {self.topic!r}{kind} as {self.format!r}{names}: {counts}>"

    def replaces(self, other: Decoder) -> bool:
        """Whether this one ends `other`: a topic, or a kind of a topic, has one decoder."""
        return (self.topic, self.kind) == (other.topic, other.kind)


class Decoders:
    """The decoders of one room's log, and the values that they have made. Safe from any thread."""

    def __init__(self) -> None:
        self._active: Belongings[Decoder] = Belongings(end=self._changed, begin=self._changed)
        self._by_topic: dict[tuple[str, Kind | None], Decoder] = {}
        self._watchers: tuple[Callable[[], None], ...] = ()
        # Guards the counts of the decoders, and the values that are kept.
        self._lock = threading.Lock()
        self._kept: deque[tuple[Decoded, int]] = deque()
        self._bytes = 0

    def __iter__(self) -> Iterator[Decoder]:
        return iter(self._active)

    def add(self, decoder: Decoder) -> None:
        """Read the events of a topic with this decoder from now on, those in the log too."""
        self._active.add(decoder)

    def end(self, topic: str, kind: Kind | None) -> int:
        """End the decoders of this topic, or only the one of this kind; return their number."""
        return self._active.end_if(lambda each: each.topic == topic and kind in (None, each.kind))

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed()`, from any thread, after each change. Returns a function that ends this."""
        with self._lock:
            self._watchers = (*self._watchers, changed)

        def unwatch() -> None:
            with self._lock:
                self._watchers = tuple(each for each in self._watchers if each is not changed)

        return unwatch

    def _changed(self, decoder: Decoder) -> None:
        self._by_topic = {(each.topic, each.kind): each for each in self._active}
        for changed in self._watchers:
            changed()

    def of(self, event: Event) -> Decoder | None:
        """The decoder that reads this event, if any: that of its kind, or else that of its topic."""
        known = self._by_topic
        if not known or event.kind not in DECODED_KINDS:
            return None
        return known.get((event.topic, event.kind)) or known.get((event.topic, None))

    def decoded(self, event: Event) -> tuple[Any, str | None] | None:
        """The value that this event's decoder makes of its payload, and why there is none; None without a decoder."""
        decoder = self.of(event)
        if decoder is None:
            return None
        known = kept_decoded(event)
        if known is not None and known.decoder is decoder:
            value = known.value  # before the check, because another thread may give it up at any time
            if known.is_kept:
                return value, known.error
        elif event.status == "open" or event.data is None:
            return None, None
        else:
            known = None
        value, error = _read(decoder, event)
        return self._keep(event, Decoded(decoder, value, error), is_new=known is None)

    def _keep(self, event: Event, made: Decoded, *, is_new: bool) -> tuple[Any, str | None]:
        found = made.value, made.error
        size = _OVERHEAD + max(_PARSED * (event.size or 0), _size_of(made.value))
        with self._lock:
            known = kept_decoded(event)
            if known is not None and known.decoder is made.decoder and known.is_kept:
                return known.value, known.error  # another thread was faster
            if is_new:
                made.decoder.decoded += made.error is None
                made.decoder.failed += made.error is not None
                made.decoder.last_error = made.error or made.decoder.last_error
            keep_decoded(event, made)
            self._kept.append((made, size))
            self._bytes += size
            while len(self._kept) > 1 and (len(self._kept) > _KEPT or self._bytes > _KEPT_BYTES):
                oldest, freed = self._kept.popleft()
                oldest.forget()
                self._bytes -= freed
        return found


def _read(decoder: Decoder, event: Event) -> tuple[Any, str | None]:
    try:
        return decoder.read(_payload(event, decoder.largest)), None
    except UndecodableError as error:
        return None, inert_line(str(error)[:_REASON])
    except KeyboardInterrupt:
        if threading.current_thread() is threading.main_thread():
            raise  # the user interrupts a decoder that takes too long
        return None, "KeyboardInterrupt"
    except BaseException as error:  # a user's function may raise anything, and may run on the loop thread
        return None, inert_line(f"{type(error).__name__}: {error}"[:_REASON])


def _payload(event: Event, largest: int) -> bytes:
    data = event.data
    size = event.size if isinstance(data, str) else len(data)
    if size is not None and size > largest:
        raise UndecodableError(f"{size:,} bytes; the limit is {largest:,}")
    if isinstance(data, bytes):
        return data
    return data.encode(errors="replace") if isinstance(data, str) else bytes(data.data)


def _size_of(value: Any) -> int:
    """The bytes of an array or a table, which may take more than its payload lets expect."""
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0
