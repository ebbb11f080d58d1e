"""Feed: every event of a room as it happens, newest first, to filter, open, copy and download."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from lknb import checks
from lknb.defaults import TELEMETRY_WINDOW
from lknb.event import KINDS, Event, Kind
from lknb.interest import Interest
from lknb.participants import Participant
from lknb.public import public
from lknb.tables import Table, time_of_day
from lknb.widgets.content import event_row, is_decoded, preview, whole_event
from lknb.widgets.download import as_csv, as_json
from lknb.widgets.modules import bundled
from lknb.widgets.part import STATIC_ROWS, Part, RoomPart, Rows, drop_payloads
from lknb.widgets.rate import RollingRate
from lknb.widgets.rows import EventRow, FeedDownload, FeedFilter, FeedValues, WholeEvent
from lknb.widgets.widget import RoomWidget

if TYPE_CHECKING:
    from lknb.room import Room
    from lknb.widgets.samples import Decoder
    from lknb.widgets.telemetry import Telemetry

KEPT = 500
_SENDERS = 50
_BURST = 60
_RATE_SPAN = 1.0
_RATE_POLL = 0.3


class FeedPart(RoomPart):
    """The events of one room that pass a filter.

    Args:
        room: the room to show.
        kind: only this kind, or these.
        topic: only this topic, method or track name.
        sender: only from this identity.
    """

    name = "feed"
    title = "Newest events"
    tab = "Feed"

    def __init__(
        self,
        room: Room,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
    ) -> None:
        super().__init__(room)
        self.only = Interest.of(kind, topic, sender)
        self._filter: FeedFilter = {}
        # An event, or only its row once the log has evicted the event.
        self._shown: Rows[Event | EventRow] = Rows(_row, limit=KEPT, burst=_BURST)
        self.rows = {"events": self._shown}
        self.actions = {"filter": self.filter, "read": self.read, "download": self.download, "clear": self.clear}
        self._matched = 0
        self._open: set[int] = set()  # the counted events that come again when they end
        self._senders: dict[str, None] = {}
        self._cleared = 0  # the number of the newest event at the last `clear`
        self._rate = RollingRate(_RATE_SPAN)
        self._unwant: Callable[[], None] = lambda: None
        self._unwatch: Callable[[], None] = lambda: None

    @property
    def poll_after(self) -> float | None:
        """While there is a rate, because no event announces that it falls."""
        return _RATE_POLL if self._rate.per_second(_RATE_SPAN) else None

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log."""
        super().start(changed)
        self._follow(self._happened)
        if self.only.kinds is not None and "data_track" in self.only.kinds:
            self._unwant = self.room.events.want(self.only)
        self._unwatch = self.room.events.decoders.watch(self._decoders_changed)
        self._refill()

    def stop(self) -> None:
        """Stop following."""
        super().stop()
        self._unwant()
        self._unwatch()

    def look(self) -> None:
        """Update the rate."""
        self._rate.add(self._matched)

    def values(self) -> FeedValues:
        """Counters, the rate, and the filter that all browsers share."""
        return {
            "evicted": self.room.events.evicted,
            "matched": self._matched,
            "skipped": self._shown.skipped,
            "rate": self._rate.per_second(_RATE_SPAN),
            "filter": self._filter,
            "only": {"kinds": sorted(self.only.kinds or ()), "topic": self.only.topic, "sender": self.only.sender},
            "kinds": list(KINDS),
            "senders": sorted(self._senders.copy()),
            "limit": KEPT,
        }

    def remember(self, other: Part) -> None:
        """Keep the filter that the user chose before the cell ran again."""
        if isinstance(other, FeedPart):
            self._filter = other._filter
            self._refill()

    def _happened(self, event: Event) -> None:
        if event.sender is not None and event.sender not in self._senders and len(self._senders) < _SENDERS:
            self._senders[event.sender] = None
        if self._passes(event):
            key = str(event.number)
            self._matched += key not in self._shown and event.number not in self._open
            self._shown.put(key, event)
            if event.status == "open":
                self._open.add(event.number)
        if event.status != "open":
            self._open.discard(event.number)
        oldest = self._oldest_after_eviction()
        if oldest is not None:
            drop_payloads(self._shown, oldest, event_row)
        self.changed()

    def _decoders_changed(self) -> None:
        for key, _ in self._shown.items():
            self._shown.touch(key)
        self.changed()

    def _passes(self, event: Event) -> bool:
        return event.number > self._cleared and self.only.matches(event) and self._matches_filter(event)

    def _matches_filter(self, event: Event) -> bool:
        wanted = self._filter
        if not wanted:
            return True
        if "kinds" in wanted and event.kind not in wanted["kinds"]:
            return False
        if "senders" in wanted and event.sender not in wanted["senders"]:
            return False
        if "topic" in wanted and wanted["topic"].lower() not in event.topic.lower():
            return False
        if text := wanted.get("text", "").lower():
            value = preview(event) if is_decoded(event) else None
            texts = (event.text(), value, event.error, event.value_error, event.topic, event.sender)
            searched = " ".join(filter(None, texts))
            return text in searched.lower()
        return True

    def _refill(self) -> None:
        self._shown.clear()
        events = self.room.events[:]
        newest = dict.fromkeys(each.sender for each in reversed(events) if each.sender is not None)
        self._senders = dict.fromkeys(list(newest)[:_SENDERS])
        matching = [event for event in events if self._passes(event)]
        for event in matching[-KEPT:]:
            self._shown.put(str(event.number), event)
        self._matched = len(matching)
        self._open = {event.number for event in matching if event.status == "open"}
        self._rate.clear()
        self.changed()

    # What a browser may call

    async def filter(
        self, kinds: Sequence[str] = (), senders: Sequence[str] = (), topic: str = "", text: str = ""
    ) -> None:
        """Show only events of these kinds, from these senders, whose topic and content contain these texts."""
        checks.kinds(kinds or None)
        chosen: FeedFilter = {}
        if kinds:
            chosen["kinds"] = [str(each) for each in kinds]
        if senders:
            chosen["senders"] = [str(each) for each in senders]
        if topic:
            chosen["topic"] = str(topic)
        if text:
            chosen["text"] = str(text)
        self._filter = chosen
        self._refill()

    async def clear(self) -> None:
        """Show only what happens from now on. The room's log keeps everything."""
        newest = self.room.events[-1:]
        self._cleared = newest[0].number if len(newest) else 0
        self._refill()

    async def read(self, number: str) -> WholeEvent:
        """One event with its payload, up to a megabyte."""
        event = self._shown.get(number)
        if isinstance(event, Event):
            return await asyncio.to_thread(whole_event, event)
        raise LookupError("The room's log has evicted this event. Only its row is left.")

    async def download(self, form: str = "json") -> FeedDownload:
        """The matching events in the log as JSON lines or CSV, the newest eight megabytes; `left` counts the others."""
        events = [event for event in self.room.events[:] if self._passes(event)]
        write, extension = (as_csv, "csv") if form == "csv" else (as_json, "jsonl")
        content, left = await asyncio.to_thread(write, events)
        return {"name": f"{self.room.name}-events.{extension}", "left": left, "buffer": content}

    # As a table

    def table(self, rows: int = STATIC_ROWS) -> Table:
        """The newest matching events."""
        newest = [event for event in self.room.events[:] if self._passes(event)][-rows:]
        return Table(
            ("time", "", "kind", "from", "topic", "bytes", "status", "what"),
            [
                (
                    time_of_day(event.time, milliseconds=True),
                    event.direction,
                    event.kind,
                    event.sender or "",
                    event.topic,
                    "" if event.size is None else f"{event.size:,}",
                    _status(event),
                    preview(event),
                )
                for event in reversed(newest)
            ],
            empty="No events yet. Send something, or wait until somebody else does.",
        )

    def tables(self) -> list[tuple[str, Table]]:
        """The newest events."""
        return [(self.title, self.table())]


@public
class Feed(RoomWidget):
    """Every event of a room as it happens, newest first.

    Args:
        room: the room to show.
        kind: only this kind of event, or these.
        topic: only this topic, method or track name.
        sender: only from this identity.

    Raises:
        ValueError: for an unknown kind.
    """

    _esm = bundled("feed")

    def __init__(
        self,
        room: Room,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
    ) -> None:
        self._part = FeedPart(room, kind, topic, sender)
        super().__init__(room, [self._part])

    def table(self, rows: int = STATIC_ROWS) -> Table:
        """The newest events as rows, newest first."""
        return self._part.table(rows)

    def plot(
        self,
        *fields: str,
        decoder: Decoder | None = None,
        window: int = TELEMETRY_WINDOW,
        time: str | None = None,
    ) -> Telemetry:
        """The numbers in this feed's events, as live lines and as a live table.

        Fields are detected in JSON (numbers in nested objects get dotted names, objects in a list are several
        samples), in Arrow IPC and in plain numbers. Payloads of a topic with a decoder, see `Room.decode`, are read
        with that. A feed of all kinds plots packets and data tracks.

        Args:
            fields: only these fields, or the fields below them; all if none are given.
            decoder: how to read other payloads: a struct format such as "<dff", whose values get the names in
                `fields`; a tuple of a struct format and all its names; or a function that receives the bytes and
                returns a dict, a list of dicts, or columns. It is called for each message, and must be quick.
            window: how many of the newest samples to keep and show, at most 200,000.
            time: the field with a sample's own time: seconds, milli-, micro- or nanoseconds since 1970, seconds since
                the sender's own start, or an ISO text. "timestamp" also stands for the timestamp of a data track's
                frame. None uses the time of arrival, and spreads the samples of one packet over the time since the
                previous packet.

        Raises:
            ValueError: for a window out of range, or an invalid struct format.
        """
        from lknb.widgets.telemetry import Telemetry

        return Telemetry(
            self.room,
            *fields,
            kind=self._part.only.kinds,
            topic=self._part.only.topic,
            sender=self._part.only.sender,
            decoder=decoder,
            window=window,
            time=time,
        )


def _status(event: Event) -> str:
    if event.error:
        return f"{event.status}: {event.error}"
    return event.status if event.value_error is None else f"not decoded: {event.value_error}"


def _row(item: Event | EventRow) -> EventRow:
    return event_row(item) if isinstance(item, Event) else item
