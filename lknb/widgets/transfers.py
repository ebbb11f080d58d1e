"""Transfers: byte streams in both directions, with progress. Cancel, save, download or view them, and send files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lknb.defaults import MAX_STREAM_SIZE
from lknb.event import Event
from lknb.files import ReceivedFile
from lknb.inert import inert_line
from lknb.progress import size as readable
from lknb.tables import Table, time_of_day
from lknb.widgets.content import IMAGE_LIMIT
from lknb.widgets.part import STATIC_ROWS, RoomPart, Rows, people_values
from lknb.widgets.rate import RollingRate
from lknb.widgets.rows import FilePiece, Image, SavedFile, TablePreview, TransferRow, TransfersValues
from lknb.widgets.uploads import LIMIT, PIECE, Uploads

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 200
DOWNLOAD_LIMIT = MAX_STREAM_SIZE
_PRELOAD_LIMIT = 1_000_000
TABLE_LIMIT = 50_000_000
"""Bytes of a file whose first rows are shown."""

TABLE_UNPACKED = 400_000_000
TABLE_ROWS = 20
TABLE_COLUMNS = 50
_CELL = 200
_LISTED = 20
_SHORT = 200
_POLL = 0.2
_UPLOAD_IDLE = 60.0
_RATE_SPAN = 3.0
_RATE_AFTER = 0.3


class _Speed:
    """The current speed of a stream."""

    def __init__(self) -> None:
        self._rate = RollingRate(_RATE_SPAN)
        self._moved = -1
        self.rate: int | None = None

    def update(self, moved: int) -> bool:
        """Record the bytes moved so far, and return whether they or the rate have changed."""
        before = self._moved, self.rate
        self._moved = moved
        self._rate.add(moved)
        if self._rate.elapsed >= _RATE_AFTER:
            self.rate = round(self._rate.per_second())
        return (moved, self.rate) != before


class TransfersPart(RoomPart):
    """The byte streams of one room."""

    name = "transfers"
    title = "Transfers"
    tab = "Transfers"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._uploads = Uploads(_UPLOAD_IDLE)
        self._shown: Rows[Event] = Rows(self._row, limit=KEPT)
        self.rows = {"transfers": self._shown}
        self.actions = {
            "cancel": self.cancel,
            "save": self.save,
            "piece": self.piece,
            "image": self.image,
            "table": self.table,
            "send": self.send,
            **self._uploads.actions,
        }
        self._total = 0
        self._open: set[str] = set()
        self._speeds: dict[str, _Speed] = {}
        self._saved: dict[str, str] = {}

    @property
    def poll_after(self) -> float | None:
        """While a transfer is in progress."""
        return _POLL if self._speeds else None

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log."""
        super().start(changed)
        self._follow(self._happened)
        for event in self.room.events.filter("bytes"):
            self._happened(event)

    def stop(self) -> None:
        """Stop following, and remove the files that were not sent."""
        super().stop()
        self._uploads.clear()

    def _happened(self, event: Event) -> None:
        if event.kind == "bytes":
            key = str(event.number)
            self._total += key not in self._shown and key not in self._open
            (self._open.add if event.status == "open" else self._open.discard)(key)
            self._shown.put(key, event)
            self.changed()
        elif event.kind == "participant":
            self.changed()
        self._drop_evicted()

    def _drop_evicted(self) -> None:
        """Drop the rows of evicted events, which would keep their files on disk."""
        oldest = self._oldest_after_eviction()
        if oldest is None:
            return
        for key, event in self._shown.items():
            if event.number < oldest and event.status != "open":
                self._shown.drop(key)
                self.changed()

    def values(self) -> TransfersValues:
        """Recipients, the number of transfers, and the limits."""
        return {
            **people_values(self.room),
            "total": self._total,
            "piece": PIECE,
            "upload_limit": LIMIT,
            "download_limit": DOWNLOAD_LIMIT,
            "preload_limit": _PRELOAD_LIMIT,
        }

    def look(self) -> None:
        """Update the progress of open transfers."""
        for key, event in self._shown.items():
            if event.status == "open" and self._speeds.setdefault(key, _Speed()).update(event.transferred):
                self._shown.touch(key)
        for key in list(self._speeds):
            shown = self._shown.get(key)
            if shown is None or shown.status != "open":
                del self._speeds[key]
        for key in list(self._saved):
            if key not in self._shown:
                del self._saved[key]

    def _row(self, event: Event) -> TransferRow:
        file = event.data
        speed = self._speeds.get(str(event.number))
        rate = speed.rate if speed and event.status == "open" else None
        left = (event.size - event.transferred) / rate if event.size and rate else None
        return {
            "time": event.time.timestamp() * 1000,
            "direction": event.direction,
            "name": (event.name or "")[:_SHORT],
            "sender": (event.sender or "")[:_SHORT],
            "to": [each[:_SHORT] for each in event.to[:20]],
            "recipients": len(event.to),
            "topic": event.topic[:_SHORT],
            "size": event.size,
            "transferred": event.transferred,
            "status": event.status,
            "error": event.error and event.error[:400],
            "duration": event.duration,
            "rate": rate,
            "left": None if left is None else max(0.0, round(left, 1)),
            "file": file is not None,
            "verified": file is not None and file.verified is True,
            "image": file is not None and file.size <= IMAGE_LIMIT and file.image_type is not None,
            "table": file is not None and file.size <= TABLE_LIMIT and file.table_format is not None,
            "saved": self._saved.get(str(event.number)),
        }

    # What a browser may call

    async def cancel(self, key: str) -> bool:
        """Cancel a transfer, and return whether it was still in progress."""
        return await self.room.aio.cancel(self._event(key))

    async def save(self, key: str) -> SavedFile:
        """Save a received file to the kernel's working directory."""
        file = self._file(key)
        path = await asyncio.to_thread(lambda: file.save().resolve())
        self._saved[str(key)] = str(path)
        self._shown.touch(str(key))
        self.changed()
        return {"path": str(path)}

    async def piece(self, key: str, at: int = 0) -> FilePiece:
        """The piece of a received file that starts at the offset `at`."""
        file = self._file(key)
        if file.size > DOWNLOAD_LIMIT:
            raise ValueError(
                f"{file.name} is {readable(file.size)}. At most {readable(DOWNLOAD_LIMIT)} can be downloaded. "
                "Save the file to the kernel's folder."
            )
        if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at <= file.size:
            raise ValueError("at= must be an offset in the file.")
        return {"buffer": await asyncio.to_thread(file.piece, at, PIECE)}

    async def image(self, key: str) -> Image:
        """An image that is safe to show, and its type."""
        file = self._file(key)
        if file.image_type is None or file.size > IMAGE_LIMIT:
            raise ValueError(f"{file.name} is not an image that can be shown here.")
        return {"type": file.image_type, "buffer": await asyncio.to_thread(lambda: file.data)}

    async def table(self, key: str) -> TablePreview:
        """The first rows of a table, as text, and how many rows and columns it has."""
        file = self._file(key)
        if file.table_format is None or file.size > TABLE_LIMIT:
            raise ValueError(f"{file.name} is not a table that can be shown here.")
        return await asyncio.to_thread(_first_rows, file)

    async def send(self, key: str, topic: str = "", to: str = "") -> None:
        """Send an uploaded file to one identity or to everybody."""
        upload = self._uploads.complete(key)
        try:
            await self.room.aio.send_file(
                upload.path, topic=topic, to=to or None, name=upload.name or None, progress=False
            )
        finally:
            self._uploads.remove(key)

    def _event(self, key: Any) -> Event:
        event = self._shown.get(str(key))
        if event is None:
            raise LookupError("This transfer is no longer in the room's log.")
        return event

    def _file(self, key: Any) -> ReceivedFile:
        file = self._event(key).data
        if file is None:
            raise LookupError("There is no file: it was not received completely, or this participant sent it.")
        assert isinstance(file, ReceivedFile)
        return file

    def tables(self) -> list[tuple[str, Table]]:
        """The newest transfers."""
        newest = [event for event in self.room.events[:] if event.kind == "bytes"][-STATIC_ROWS:]
        rows = [
            (
                time_of_day(event.time),
                event.direction,
                event.name or "",
                event.sender or "",
                ", ".join(event.to) or ("everybody" if event.direction == "out" else ""),
                event.topic,
                _moved(event),
                event.status if not event.error else f"{event.status}: {event.error}",
                "verified" if isinstance(event.data, ReceivedFile) and event.data.verified else "",
            )
            for event in reversed(newest)
        ]
        columns = ("time", "", "name", "from", "to", "topic", "size", "status", "SHA-256")
        empty = "No file has been sent or received. Send one with room.send_file(path)."
        return [(self.title, Table(columns, rows, empty=empty))]


def _first_rows(file: ReceivedFile) -> TablePreview:
    # Not `to_batches`: the browser shows how many rows there are.
    table = file.to_arrow(max_size=TABLE_UNPACKED)
    first = table.slice(0, TABLE_ROWS).select(range(min(TABLE_COLUMNS, table.num_columns)))
    return {
        "columns": [inert_line(name)[:_CELL] for name in first.column_names],
        "types": [inert_line(str(field.type))[:_CELL] for field in first.schema],
        "rows": [[_cell(column[row]) for column in first.columns] for row in range(first.num_rows)],
        "row_count": table.num_rows,
        "column_count": table.num_columns,
        "size": table.nbytes,
    }


def _cell(scalar: Any) -> str | None:
    return inert_line(_as_text(scalar)[: 2 * _CELL])[:_CELL] if scalar.is_valid else None


def _as_text(scalar: Any) -> str:
    """An Arrow value as text; of a long list only the beginning, without making Python objects of the rest."""
    values = getattr(scalar, "values", None)
    if values is None or callable(values):
        return str(scalar.as_py())
    shown = [_as_text(each) if each.is_valid else "null" for each in values[:_LISTED]]
    more = f", … ({len(values):,} values)" if len(values) > _LISTED else ""
    return f"[{', '.join(shown)}{more}]"


def _moved(event: Event) -> str:
    """The size; for an incomplete transfer, also the bytes that were transferred."""
    if event.status == "ok" and event.size is not None:
        return readable(event.size)
    moved = readable(event.transferred)
    return moved if event.size is None else f"{moved} of {readable(event.size)}"
