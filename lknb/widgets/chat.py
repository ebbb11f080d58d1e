"""Chat: the messages of `lk.chat` while they are written, with replies, edits and attachments."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lknb.defaults import CHAT
from lknb.event import Event
from lknb.files import ReceivedFile
from lknb.tables import Table, time_of_day
from lknb.widgets.content import TEXT_LIMIT
from lknb.widgets.conversation import PACKET_TOPICS, Conversation, Message
from lknb.widgets.part import STATIC_ROWS, Json, RoomPart, Rows, people_values
from lknb.widgets.rows import AttachmentRow, ChatValues, FilePiece, MessageRow, MessageText, PieceRow, QuoteRow
from lknb.widgets.uploads import PIECE as FILE_PIECE
from lknb.widgets.uploads import Uploads

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 500
_POLL = 0.15
# A row has the beginning of its text. More of it follows in pieces, of which only the last one changes while the text
# grows. The browser requests the rest of longer texts.
_HEAD = 2_000
_PIECE = 4_000
_PIECES = 5
_ALL_PIECES = 100
_SENT = _HEAD + _PIECES * _PIECE  # characters sent without a request, and kept when the log has evicted the text
_UPLOAD_IDLE = 600.0  # an attached file waits this many seconds for its message
_QUOTE = 140
_SHOWN_IMAGE = 5 * 1024 * 1024  # bytes of an image that is shown in the chat; larger ones can be downloaded


class ChatPart(RoomPart):
    """The chat of one room, compatible with LiveKit's chat components."""

    name = "chat"
    title = "Chat"
    tab = "Chat"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._chat = Conversation(CHAT, KEPT)
        # Events come on any thread.
        self._lock = threading.RLock()
        self._open: dict[str, Message] = {}
        self._sent_length: dict[str, int] = {}  # of the open ones, characters of the beginning that were sent
        self._names: dict[str, str] = {}
        self._uploads = Uploads(_UPLOAD_IDLE)
        self._shown: Rows[Message] = Rows(self._row, limit=KEPT)
        self._pieces: Rows[str] = Rows(_piece_row, limit=_ALL_PIECES)
        self.rows = {"messages": self._shown, "pieces": self._pieces}
        self.actions = {
            "send": self.send,
            "read": self.read,
            "file": self.file,
            **self._uploads.actions,
        }

    @property
    def poll_after(self) -> float | None:
        """While a text or a file is in progress."""
        return _POLL if self._open else None

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log."""
        super().start(changed)
        with self._lock:  # so that new events come after those in the log
            self._follow(self._happened)
            for event in self.room.events[:]:
                self._happened(event)

    def stop(self) -> None:
        """Stop following, and remove the files that were not sent."""
        super().stop()
        self._uploads.clear()

    def _happened(self, event: Event) -> None:
        with self._lock:
            if event.topic == self._chat.topic or event.topic in PACKET_TOPICS:
                message, dropped = self._chat.add(event)
                for key in dropped:
                    self._shown.drop(key)
                    self._open.pop(key, None)
                    self._sent_length.pop(key, None)
                if message is not None:
                    self._show(message)
                self.changed()
            elif event.kind in ("participant", "connection"):
                self.changed()
            self._drop_evicted()

    def _drop_evicted(self) -> None:
        """Drop files and cut texts that the log, which is bounded in bytes, has evicted."""
        oldest = self._oldest_after_eviction()
        if oldest is None:
            return
        for message in self._chat.drop_payloads(oldest, _SENT):
            self._shown.touch(message.key)
            self.changed()

    def _show(self, message: Message) -> None:
        if message.open:
            self._open[message.key] = message
        else:
            self._open.pop(message.key, None)
            self._sent_length.pop(message.key, None)
        self._update_pieces(message)
        self._shown.put(message.key, message)

    def _update_pieces(self, message: Message) -> None:
        """Cut the text after its beginning into pieces. Pieces that have not changed are not sent again."""
        if message.current.status == "open" and message.current.transferred > 8 * _SENT:
            return  # all of its pieces are complete
        text = message.text()
        for number, at in enumerate(range(_HEAD, min(len(text), _SENT), _PIECE)):
            key = f"{message.current.number}.{number}"
            piece = text[at : at + _PIECE]
            if self._pieces.get(key) != piece:
                self._pieces.put(key, piece)

    # Sending

    def look(self) -> None:
        """Update the open texts and files."""
        for message in list(self._open.values()):
            self._update_pieces(message)
            if message.files or self._sent_length.get(message.key, 0) < _HEAD:
                self._shown.touch(message.key)

    def values(self) -> ChatValues:
        """Recipients, limits, and what is not shown."""
        return {
            **people_values(self.room),
            "state": self.room.state,
            "growing": {key: message.current.transferred for key, message in list(self._open.items())},
            "head_length": _HEAD,
            "piece_length": _PIECE,
            "text_limit": TEXT_LIMIT,
            "dropped": self._chat.dropped,
            "unreadable": self._chat.unreadable,
        }

    def _name(self, identity: str | None) -> str:
        """A participant's name, even after they have left."""
        if identity is None:
            return "the server"
        who = self.room.participants.get(identity)
        if who is not None:
            if len(self._names) >= 2 * KEPT:
                self._names.clear()
            self._names[identity] = who.name or identity
        return self._names.get(identity, identity)

    def _row(self, message: Message) -> MessageRow:
        current = message.current
        status = current.status  # before the text, so that the text of an ended message is complete
        text = message.text()
        if message.key in self._open:
            self._sent_length[message.key] = len(text) if status == "open" else _HEAD
        return {
            "time": message.first.time.timestamp() * 1000,
            "sender": message.first.sender,
            "name": self._name(message.first.sender),
            "own": message.own,
            "to": [self._name(who) for who in message.first.to[:5]],
            "more_to": max(0, len(message.first.to) - 5),
            "text": text[:_HEAD],
            "length": len(text),
            "cut": message.cut,
            "piece": str(current.number),
            "size": (current.size or 0) if status != "open" else current.transferred,
            "open": status == "open",
            "status": status,
            "error": current.error if status == "failed" else None,
            "trouble": message.trouble,
            "edited": message.edited,
            "can_reply": message.is_text and status == "ok",
            "can_edit": message.is_text and message.own and status == "ok" and not message.cut,
            "reply": self._quote(current.reply_to) if current.reply_to else None,
            "files": [self._file_row(each, message.files.get(each)) for each in message.attachments],
        }

    def _quote(self, stream_id: str) -> QuoteRow:
        answered = self._chat.with_id(stream_id)
        if answered is None:
            return {"key": None, "name": "", "text": "a message that is not shown here"}
        text = answered.text()
        return {
            "key": answered.key,
            "name": self._name(answered.first.sender),
            "text": text[:_QUOTE] + ("\N{HORIZONTAL ELLIPSIS}" if len(text) > _QUOTE else ""),
        }

    def _file_row(self, stream_id: str, event: Event | None) -> AttachmentRow:
        if event is None:
            return {"id": stream_id, "name": "a file", "status": "missing"}
        file = event.data if isinstance(event.data, ReceivedFile) else None
        return {
            "id": stream_id,
            "name": event.name or "unnamed",
            "size": event.size,
            "transferred": event.transferred,
            "status": event.status,
            "error": event.error,
            "available": file is not None,
            "evicted": event.direction == "in" and event.status == "ok" and file is None,
            "type": file.image_type if file and file.size <= _SHOWN_IMAGE else None,
        }

    # What a browser may call

    async def send(
        self, text: str = "", to: str = "", reply_to: str = "", edits: str = "", files: list[str] | None = None
    ) -> None:
        """Send a message with uploaded files, or edit a message, which keeps its recipients."""
        if not isinstance(text, str) or len(text) > TEXT_LIMIT:
            raise ValueError(f"A message here has at most {TEXT_LIMIT:,} characters. room.send_text takes any length.")
        uploads = [self._uploads.complete(each) for each in files or ()]
        if not text and not uploads:
            raise ValueError("There is nothing to send. Write a message or attach a file.")
        options: Json = {"attachments": [upload.path for upload in uploads], "progress": False}
        if edits:
            options["edits"] = self._message(edits).current
        if reply_to:
            options["reply_to"] = self._message(reply_to).id
        if to and not edits:
            options["to"] = str(to)
        # LiveKit's components do not show a message without text, not even its files.
        text = text or ", ".join(upload.path.name for upload in uploads)
        await self.room.aio.send_text(text, topic=CHAT, **options)
        for each in files or ():
            self._uploads.remove(each)

    def _message(self, key: Any) -> Message:
        message = self._chat.get(str(key))
        if message is None:
            raise LookupError("This message is no longer in the chat.")
        return message

    async def read(self, key: str) -> MessageText:
        """The text of one message, up to the limit."""
        text = self._message(key).text()
        return {"text": text[:TEXT_LIMIT], "more": max(0, len(text) - TEXT_LIMIT)}

    async def file(self, key: str, id: str, at: int = 0) -> FilePiece:
        """The piece of a received attachment that starts at the offset `at`."""
        event = self._message(key).files.get(str(id))
        if event is None or not isinstance(event.data, ReceivedFile):
            raise LookupError("This file was not received, or the room's log has evicted it.")
        if not isinstance(at, int) or not 0 <= at <= event.data.size:
            raise ValueError("at= must be an offset in the file.")
        return {"buffer": await asyncio.to_thread(event.data.piece, at, FILE_PIECE)}

    # As a table

    def tables(self) -> list[tuple[str, Table]]:
        """The newest messages."""
        with self._lock:
            newest = self._chat.all()[-STATIC_ROWS:]
        table = Table(
            ("time", "from", "to", "message", "files"),
            [
                (
                    time_of_day(message.first.time),
                    self._name(message.first.sender) + (" (you)" if message.own else ""),
                    ", ".join(self._name(who) for who in message.first.to),
                    _brief(message),
                    ", ".join(event.name or "unnamed" for event in message.files.values()),
                )
                for message in newest
            ],
            empty='No messages yet. Write one, for example room.send_text("hello").',
        )
        return [(self.title, table)]


def _piece_row(text: str) -> PieceRow:
    return {"text": text}


def _brief(message: Message) -> str:
    text = message.text()
    notes = ["edited"] if message.edited else []
    if message.current.status != "ok":
        notes.append("in progress" if message.open else f"{message.current.status}: {message.current.error}")
    return text[:400] + (f" ({', '.join(notes)})" if notes else "")
