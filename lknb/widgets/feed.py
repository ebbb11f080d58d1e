"""Feed: every event of a room as it happens, newest in view, to filter, open, copy and download."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from lknb import checks
from lknb.defaults import TELEMETRY_WINDOW
from lknb.event import KINDS, Event, Kind
from lknb.interest import Interest
from lknb.participants import Participant
from lknb.public import public
from lknb.tables import Table
from lknb.widgets.modules import bundled
from lknb.widgets.part import IMAGE_LIMIT, STATIC_ROWS, WHOLE, Json, Part, Rows, keep_rows_only
from lknb.widgets.widget import RoomWidget

if TYPE_CHECKING:
    from lknb.room import Room
    from lknb.widgets.samples import Decoder
    from lknb.widgets.telemetry import Telemetry

KEPT = 200
_BURST = 60
_PREVIEW = 400
_FILE = 8_000_000
_RATE_OVER = 1.0


class FeedPart(Part):
    """The events of one room that pass a filter.

    Args:
        room: whose.
        kind: only this kind, or these.
        topic: only this topic, method or track name.
        sender: only from this identity.
    """

    name = "feed"
    title = "Newest events"

    def __init__(
        self,
        room: Room,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
    ) -> None:
        super().__init__(room)
        self.only = Interest.of(kind, topic, sender)
        self._filter: dict[str, str] = {}
        # An event, or its row alone once the log has let the event go.
        self._shown: Rows[Event | Json] = Rows(_row, limit=KEPT, burst=_BURST)
        self.rows = {"events": self._shown}
        self.actions = {"filter": self.filter, "read": self.read, "download": self.download, "clear": self.clear}
        self._matched = 0
        self._open: set[int] = set()  # the counted ones that come again when they end
        self._cleared = 0  # the number of the newest event when it was cleared
        self._counts: deque[tuple[float, int]] = deque(maxlen=32)
        self._unwant: Callable[[], None] = lambda: None

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log."""
        super().start(changed)
        self._follow(self._happened)
        if self.only.kinds is not None and "data_track" in self.only.kinds:
            self._unwant = self.room.events.want(self.only)
        self._refill()

    def stop(self) -> None:
        """Follow no longer."""
        super().stop()
        self._unwant()

    def values(self) -> Json:
        """Counters, the rate, and the filter that all browsers share."""
        log = self.room.events
        return {
            "total": log.total,
            "evicted": log.evicted,
            "matched": self._matched,
            "skipped": self._shown.skipped,
            "rate": self._rate(),
            "filter": self._filter,
            "only": {"kinds": sorted(self.only.kinds or ()), "topic": self.only.topic, "sender": self.only.sender},
            "kinds": list(KINDS),
            "limit": KEPT,
        }

    def _rate(self) -> float:
        at = monotonic()
        self._counts.append((at, self._matched))
        while len(self._counts) > 2 and at - self._counts[1][0] >= _RATE_OVER:
            self._counts.popleft()
        then, count = self._counts[0]
        rate = (self._matched - count) / max(at - then, _RATE_OVER)
        # An event tells of a rate that rises; that it falls is to be looked for.
        self.again = 0.3 if rate else None
        return round(rate, 1 if rate < 100 else 0)

    def _happened(self, event: Event) -> None:
        if self._passes(event):
            key = str(event.number)
            self._matched += key not in self._shown and event.number not in self._open
            self._shown.put(key, event)
            if event.status == "open":
                self._open.add(event.number)
        if event.status != "open":
            self._open.discard(event.number)
        self._let_go()
        self.changed()

    def _let_go(self) -> None:
        """Keep no payload that the log has let go."""
        oldest = self._log_has_let_go()
        if oldest is not None:
            keep_rows_only(self._shown, oldest, described)

    def _passes(self, event: Event) -> bool:
        return event.number > self._cleared and self.only.matches(event) and (not self._filter or self._wanted(event))

    def _wanted(self, event: Event) -> bool:
        wanted = self._filter
        if wanted.get("kind") and event.kind != wanted["kind"]:
            return False
        if wanted.get("topic") and wanted["topic"].lower() not in event.topic.lower():
            return False
        if wanted.get("sender") and wanted["sender"].lower() not in (event.sender or "").lower():
            return False
        if text := wanted.get("text", "").lower():
            found = " ".join(filter(None, (event.text(), event.error, event.topic, event.sender)))
            return text in found.lower()
        return True

    def _refill(self) -> None:
        self._shown.clear()
        fitting = [event for event in self.room.events[:] if self._passes(event)]
        for event in fitting[-KEPT:]:
            self._shown.put(str(event.number), event)
        self._matched = len(fitting)
        self._open = {event.number for event in fitting if event.status == "open"}
        self._counts.clear()
        self.changed()

    # What a browser may ask for

    async def filter(self, kind: str = "", topic: str = "", sender: str = "", text: str = "") -> None:
        """Show only events of this kind whose topic, sender and content contain these texts."""
        checks.kinds(kind or None)
        wanted = {"kind": kind, "topic": topic, "sender": sender, "text": text}
        self._filter = {name: str(value) for name, value in wanted.items() if value}
        self._refill()

    async def clear(self) -> None:
        """Show only what happens from now on; the room's log keeps everything."""
        log = self.room.events[-1:]
        self._cleared = log[0].number if len(log) else 0
        self._refill()

    async def read(self, number: str) -> Json:
        """The whole of one event, up to a megabyte."""
        event = self._shown.get(number)
        if isinstance(event, Event):
            return await asyncio.to_thread(whole, event)
        raise LookupError("The room's log has let this event go; what its row shows is all that is left.")

    async def download(self, form: str = "json") -> Json:
        """The log's fitting events as JSON lines or CSV: the newest eight megabytes; `left` counts the others."""
        events = [event for event in self.room.events[:] if self._passes(event)]
        extension, line = ("csv", _csv_line) if form == "csv" else ("jsonl", _json_line)
        lines = await asyncio.to_thread(_newest_lines, events, line)
        left = len(events) - len(lines)
        if form == "csv":
            lines.insert(0, _csv(_COLUMNS))
        return {"name": f"{self.room.name}-events.{extension}", "left": left, "buffer": b"".join(lines)}

    def table(self, rows: int = STATIC_ROWS) -> Table:
        """The newest fitting events."""
        newest = [event for event in self.room.events[:] if self._passes(event)][-rows:]
        return Table(
            ("time", "", "kind", "from", "topic", "bytes", "status", "what"),
            [
                (
                    event.time.astimezone().strftime("%H:%M:%S.%f")[:-3],
                    event.direction,
                    event.kind,
                    event.sender or "",
                    event.topic,
                    "" if event.size is None else f"{event.size:,}",
                    event.status if not event.error else f"{event.status}: {event.error}",
                    _preview(event)["preview"],
                )
                for event in reversed(newest)
            ],
            empty="Nothing has happened yet. Send something, or wait for somebody who does.",
        )

    def tables(self) -> list[tuple[str, Table]]:
        """The newest events."""
        return [(self.title, self.table())]


@public
class Feed(RoomWidget):
    """Every event of a room as it happens, newest first.

    Args:
        room: whose.
        kind: only this kind of event, or these.
        topic: only this topic, method or track name.
        sender: only from this identity.

    Raises:
        ValueError: for a kind that does not exist.
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
        """The numbers in what this feed shows, as live lines and as a live table.

        Fields are found by themselves in JSON (numbers in nested objects get dotted names, objects in a list are
        several samples), in Arrow IPC and in plain numbers. A feed of all kinds plots packets and data tracks.

        Args:
            fields: only these fields, or those below them; all if none.
            decoder: how other payloads are read: a struct's format such as "<dff", whose values get the names in
                `fields`; that and all its names as a tuple; or a function that gets the bytes and returns a dict, a
                list of dicts, or columns. It is called for each message as it comes, and should be quick.
            window: how many of the newest samples are kept and shown, at most 200,000.
            time: the field with a sample's own time: seconds, milli-, micro- or nanoseconds since 1970, seconds since
                a start of the sender's own, or an ISO text; "timestamp" is also that of a data track's frame. None
                takes the time of arrival, and spreads the samples of one packet over the time since the one before.

        Raises:
            ValueError: for a window or a struct's format that does not exist.
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


def described(event: Event) -> Json:
    """An event as a row: what is short, and a preview of its payload."""
    return {
        "time": event.time.timestamp() * 1000,
        "direction": event.direction,
        "kind": event.kind,
        "sender": event.sender,
        "to": list(event.to[:20]),
        "topic": event.topic,
        "size": event.size,
        "transferred": event.transferred,
        "status": event.status,
        "error": event.error and event.error[:_PREVIEW],
        "duration": event.duration,
        "reliable": event.reliable,
        **_preview(event),
    }


def _row(item: Event | Json) -> Json:
    return described(item) if isinstance(item, Event) else item


def _preview(event: Event) -> Json:
    """The beginning of the payload, what it is (`text`, `json`, `hex` or `image`), and whether there is more."""
    if event.kind == "bytes" and event.data is not None:
        file = event.data
        kind = "image" if file.image_type else "file"
        return {"content": kind, "preview": f"{file.name} ({file.mime_type})"[:_PREVIEW], "more": kind == "image"}
    content, text = content_of(event)
    return {"content": content, "preview": text[:_PREVIEW], "more": len(text) > _PREVIEW}


def content_of(event: Event) -> tuple[str, str]:
    """What the payload is (`text`, `json` or `hex`), and it as text."""
    if isinstance(event.data, bytes):
        text = event.text()
        if text is None or any(not (char.isprintable() or char in "\r\n\t") for char in text[:200]):
            return "hex", event.data[:WHOLE].hex(" ")
    else:
        text = event.text() or ""
    if event.kind == "rpc" and event.result is not None:
        answer = event.result if isinstance(event.result, str) else json.dumps(event.result, default=str)
        text = f"{text} \N{RIGHTWARDS ARROW} {answer}"
    return ("json" if text[:1] in "{[" and text else "text"), text


def whole(event: Event) -> Json:
    """All of an event's payload, up to a megabyte, for a browser that has opened it."""
    row = described(event)
    row["attributes"] = event.attributes
    if row["content"] == "image":
        file = event.data
        if file.size <= IMAGE_LIMIT:
            return {**row, "type": file.image_type, "buffer": file.data}
    text = content_of(event)[1]
    if row["content"] not in ("image", "file"):
        row["preview"] = text[:WHOLE]
        row["more"] = len(text) > WHOLE
    if event.result is not None:
        answer = event.result if isinstance(event.result, str) else json.dumps(event.result, default=str)
        row["result"] = answer[:WHOLE]
    return row


_COLUMNS = ("time", "kind", "direction", "sender", "to", "topic", "data", "size", "status", "error", "duration", "id")


def _line(event: Event) -> Json:
    values = (
        event.time.astimezone(dt.UTC).isoformat(),
        event.kind,
        event.direction,
        event.sender,
        list(event.to),
        event.topic,
        content_of(event)[1] if event.kind != "bytes" else event.text(),
        event.size,
        event.status,
        event.error,
        event.duration,
        event.id,
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _newest_lines(events: Sequence[Event], line: Callable[[Event], bytes]) -> list[bytes]:
    """As many lines as a browser gets at once, of the newest events, oldest first."""
    lines: list[bytes] = []
    size = 0
    for event in reversed(events):
        lines.append(line(event))
        size += len(lines[-1])
        if size > _FILE and len(lines) > 1:
            lines.pop()
            break
    return lines[::-1]


def _json_line(event: Event) -> bytes:
    return json.dumps(_line(event), ensure_ascii=False).encode(errors="replace") + b"\n"


def _csv_line(event: Event) -> bytes:
    return _csv([_cell(value) for value in _line(event).values()])


def _csv(cells: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(errors="replace")


def _cell(value: Any) -> Any:
    """A value for a spreadsheet, which would take a text that begins like this for a formula."""
    if isinstance(value, list):
        value = ", ".join(value)
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") and value else value
