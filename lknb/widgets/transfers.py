"""Transfers: every byte stream, both directions, with progress; to cancel, save and look at, and files to send."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from lknb.event import Event
from lknb.files import ReceivedFile
from lknb.progress import size as readable
from lknb.systems.streams import MAX_STREAM_SIZE
from lknb.tables import Table
from lknb.widgets.part import IMAGE_LIMIT, STATIC_ROWS, Json, Part, Rows
from lknb.widgets.uploads import LIMIT, PIECE, Uploads

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 200
DOWNLOAD_LIMIT = MAX_STREAM_SIZE
_SHORT = 200
_LOOK_EVERY = 0.2
_PEOPLE = 500
_UPLOAD_IDLE = 60.0
_RATE_OVER = 3.0
_RATE_AFTER = 0.3


class _Speed:
    """How fast a stream has moved of late."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=64)
        self.rate: float | None = None

    def look(self, moved: int) -> bool:
        """Note how far it is; returns whether there is something new to tell."""
        at, before = monotonic(), (self._seen[-1][1] if self._seen else -1, self.rate)
        self._seen.append((at, moved))
        while len(self._seen) > 2 and at - self._seen[1][0] >= _RATE_OVER:
            self._seen.popleft()
        then, had = self._seen[0]
        if at - then >= _RATE_AFTER:
            self.rate = round((moved - had) / (at - then))
        return (moved, self.rate) != before


class TransfersPart(Part):
    """The byte streams of one room."""

    name = "transfers"
    title = "Transfers"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._uploads = Uploads(_UPLOAD_IDLE)
        self._shown: Rows[Event] = Rows(self._described, limit=KEPT)
        self.rows = {"transfers": self._shown}
        self.actions = {
            "cancel": self.cancel,
            "save": self.save,
            "piece": self.piece,
            "image": self.image,
            "send": self.send,
            **self._uploads.actions,
        }
        self._total = 0
        self._open: set[str] = set()
        self._speeds: dict[str, _Speed] = {}
        self._saved: dict[str, str] = {}

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log."""
        super().start(changed)
        self._follow(self._happened)
        for event in self.room.events.filter("bytes"):
            self._happened(event)

    def stop(self) -> None:
        """Follow no longer, and let go of what was not sent."""
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
        self._keep_no_more_than_the_log()

    def _keep_no_more_than_the_log(self) -> None:
        """What the log has let go shall not be kept on disk for the sake of a row."""
        oldest = self._log_has_let_go()
        if oldest is None:
            return
        for key, event in self._shown.items():
            if event.number < oldest and event.status != "open":
                self._shown.drop(key)
                self.changed()

    def values(self) -> Json:
        """Who can be sent to, how many there were, and the limits."""
        return {
            "people": sorted(self.room.remote_participants)[:_PEOPLE],
            "total": self._total,
            "piece": PIECE,
            "uploadLimit": LIMIT,
            "downloadLimit": DOWNLOAD_LIMIT,
            "imageLimit": IMAGE_LIMIT,
        }

    def look(self) -> None:
        """How far the open ones are."""
        open_ones = False
        for key, event in self._shown.items():
            if event.status == "open":
                open_ones = True
                if self._speeds.setdefault(key, _Speed()).look(event.transferred):
                    self._shown.touch(key)
        for key in list(self._speeds):
            shown = self._shown.get(key)
            if shown is None or shown.status != "open":
                del self._speeds[key]
        for key in list(self._saved):
            if key not in self._shown:
                del self._saved[key]
        self.again = _LOOK_EVERY if open_ones else None

    def _described(self, event: Event) -> Json:
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
            "saved": self._saved.get(str(event.number)),
        }

    # What a browser may ask for

    async def cancel(self, key: str) -> bool:
        """Break a transfer off; returns whether it was still under way."""
        return await self.room.aio.cancel(self._event(key))

    async def save(self, key: str) -> Json:
        """Save a file that arrived to the folder that the kernel works in; returns its path."""
        file = self._file(key)
        path = await asyncio.to_thread(lambda: file.save().resolve())
        self._saved[str(key)] = str(path)
        self._shown.touch(str(key))
        self.changed()
        return {"path": str(path)}

    async def piece(self, key: str, at: int = 0) -> Json:
        """A part of a file that arrived: at most a piece from `at` on."""
        file = self._file(key)
        if file.size > DOWNLOAD_LIMIT:
            raise ValueError(
                f"{file.name} is {readable(file.size)}; at most {readable(DOWNLOAD_LIMIT)} go through the browser. "
                "Save it to the kernel's folder."
            )
        if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at <= file.size:
            raise ValueError("at= is a place in the file.")
        return {"buffer": await asyncio.to_thread(file.piece, at, PIECE)}

    async def image(self, key: str) -> Json:
        """An image that is safe to display, with its type."""
        file = self._file(key)
        if file.image_type is None or file.size > IMAGE_LIMIT:
            raise ValueError(f"{file.name} is no image that can be shown here.")
        return {"type": file.image_type, "buffer": await asyncio.to_thread(lambda: file.data)}

    async def send(self, key: str, topic: str = "", to: str = "") -> Json:
        """Send a file that has been uploaded, to one identity or to everybody."""
        upload = self._uploads.whole(key)
        try:
            event = await self.room.aio.send_file(
                upload.path, topic=topic, to=to or None, name=upload.name or None, progress=False
            )
        finally:
            self._uploads.let_go(key)
        return {"size": event.size}

    def _event(self, key: Any) -> Event:
        event = self._shown.get(str(key))
        if event is None:
            raise LookupError("This transfer is no longer in the room's log.")
        return event

    def _file(self, key: Any) -> ReceivedFile:
        file = self._event(key).data
        if file is None:
            raise LookupError("There is no file: it has not arrived whole, or it was sent from here.")
        assert isinstance(file, ReceivedFile)
        return file

    def tables(self) -> list[tuple[str, Table]]:
        """The newest transfers."""
        newest = [event for event in self.room.events[:] if event.kind == "bytes"][-STATIC_ROWS:]
        rows = [
            (
                event.time.astimezone().strftime("%H:%M:%S"),
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


def _moved(event: Event) -> str:
    """The size; of what did not move whole, how much of it did."""
    if event.status == "ok" and event.size is not None:
        return readable(event.size)
    moved = readable(event.transferred)
    return moved if event.size is None else f"{moved} of {readable(event.size)}"
