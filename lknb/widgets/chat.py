"""Chat: the texts of `lk.chat` as they grow, replies, edits and attachments."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lknb.defaults import CHAT
from lknb.event import Event
from lknb.files import ReceivedFile
from lknb.tables import Table
from lknb.widgets.conversation import PACKET_TOPICS, Conversation, Message
from lknb.widgets.part import STATIC_ROWS, WHOLE, Json, Part, Rows
from lknb.widgets.uploads import PIECE as FILE_PIECE
from lknb.widgets.uploads import Uploads

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 500
_AGAIN = 0.15
# A message's beginning goes with it. What follows goes in pieces, of which only the last one changes while the text
# grows; of the longest ones the rest is asked for.
_HEAD = 2_000
_PIECE = 4_000
_PIECES = 5
_ALL_PIECES = 100
_AFTER = _HEAD + _PIECES * _PIECE  # characters of a text that stay when the room's log has let it go
_PEOPLE = 200
_ATTACHED = 600.0  # seconds that a file which has been attached waits for its message
_QUOTE = 140


class ChatPart(Part):
    """The chat of one room: what LiveKit's own chat components send and show."""

    name = "chat"
    title = "Chat"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._chat = Conversation(CHAT, KEPT)
        # Events come on any thread.
        self._lock = threading.RLock()
        self._open: dict[str, Message] = {}
        self._told_of: dict[str, int] = {}  # of the open ones, how much of their beginning
        self._names: dict[str, str] = {}
        self._uploads = Uploads(_ATTACHED)
        self._shown: Rows[Message] = Rows(self._described, limit=KEPT)
        self._pieces: Rows[str] = Rows(lambda text: {"text": text}, limit=_ALL_PIECES)
        self.rows = {"messages": self._shown, "pieces": self._pieces}
        self.actions = {
            "send": self.send,
            "read": self.read,
            "file": self.file,
            **self._uploads.actions,
        }

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log."""
        super().start(changed)
        with self._lock:  # what comes meanwhile comes after what was there before
            self._follow(self._happened)
            for event in self.room.events[:]:
                self._happened(event)

    def stop(self) -> None:
        """Follow no longer."""
        super().stop()
        self._uploads.clear()

    def _happened(self, event: Event) -> None:
        with self._lock:
            if event.topic == self._chat.topic or event.topic in PACKET_TOPICS:
                message, gone = self._chat.take(event)
                for key in gone:
                    self._shown.drop(key)
                    self._open.pop(key, None)
                    self._told_of.pop(key, None)
                if message is not None:
                    self._show(message)
                self.changed()
            elif event.kind in ("participant", "connection"):
                self.changed()
            self._keep_no_more_than_the_log()

    def _keep_no_more_than_the_log(self) -> None:
        """The log is bounded in bytes and in files on disk: what it has let go stays as the beginning of a text."""
        oldest = self._log_has_let_go()
        if oldest is None:
            return
        for message in self._chat.let_go(oldest, _AFTER):
            self._shown.touch(message.key)
            self.changed()

    def _show(self, message: Message) -> None:
        if message.open:
            self._open[message.key] = message
        else:
            self._open.pop(message.key, None)
            self._told_of.pop(message.key, None)
        self._cut(message)
        self._shown.put(message.key, message)

    def _cut(self, message: Message) -> None:
        """Put what follows a text's beginning into pieces, of which those that are as they were are not told again."""
        if message.said.status == "open" and message.said.transferred > 8 * (_HEAD + _PIECES * _PIECE):
            return  # all of its pieces have been cut
        text = message.text()
        for number, at in enumerate(range(_HEAD, min(len(text), _HEAD + _PIECES * _PIECE), _PIECE)):
            key = f"{message.said.number}.{number}"
            piece = text[at : at + _PIECE]
            if self._pieces.get(key) != piece:
                self._pieces.put(key, piece)

    # What there is to tell

    def look(self) -> None:
        """How far the open texts and files have got."""
        for message in list(self._open.values()):
            self._cut(message)
            if message.files or self._told_of.get(message.key, 0) < _HEAD:
                self._shown.touch(message.key)

    def values(self) -> Json:
        """Who is there, and what is not shown."""
        room = self.room
        self.again = _AGAIN if self._open else None
        people = [(who, each.name or who) for who, each in room.remote_participants.items()]
        return {
            "state": room.state,
            "people": sorted(people)[:_PEOPLE],
            "growing": {key: message.said.transferred for key, message in list(self._open.items())},
            "head": _HEAD,
            "each": _PIECE,
            "gone": self._chat.gone,
            "unreadable": self._chat.unreadable,
        }

    def _name(self, identity: str | None) -> str:
        """A participant's name, also after they have left."""
        if identity is None:
            return "the server"
        there = self.room.participants.get(identity)
        if there is not None:
            if len(self._names) >= 2 * KEPT:
                self._names.clear()
            self._names[identity] = there.name or identity
        return self._names.get(identity, identity)

    def _described(self, message: Message) -> Json:
        said = message.said
        status = said.status  # before the text, so that of what is said to have ended no end is missing
        text = message.text()
        if message.key in self._open:
            self._told_of[message.key] = len(text) if status == "open" else _HEAD
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
            "piece": str(said.number),
            "size": said.size if status != "open" else said.transferred,
            "open": status == "open",
            "status": status,
            "error": said.error if status == "failed" else None,
            "trouble": message.trouble,
            "edited": message.edited,
            "can_reply": message.is_text and status == "ok",
            "can_edit": message.is_text and message.own and status == "ok" and not message.cut,
            "reply": self._quote(said.reply_to) if said.reply_to else None,
            "files": [self._described_file(each, message.files.get(each)) for each in message.attachments],
        }

    def _quote(self, stream_id: str) -> Json:
        answered = self._chat.with_id(stream_id)
        if answered is None:
            return {"key": None, "name": "", "text": "a message that is not here"}
        text = answered.text()
        return {
            "key": answered.key,
            "name": self._name(answered.first.sender),
            "text": text[:_QUOTE] + ("\N{HORIZONTAL ELLIPSIS}" if len(text) > _QUOTE else ""),
        }

    def _described_file(self, stream_id: str, event: Event | None) -> Json:
        if event is None:
            return {"id": stream_id, "name": "a file", "status": "missing"}
        there = isinstance(event.data, ReceivedFile)
        return {
            "id": stream_id,
            "name": event.name or "unnamed",
            "size": event.size,
            "transferred": event.transferred,
            "status": event.status,
            "error": event.error,
            "there": there,
            "gone": event.direction == "in" and event.status == "ok" and not there,
            "type": event.data.image_type if there else None,
        }

    # What a browser may ask for

    async def send(
        self, text: str = "", to: str = "", reply_to: str = "", edits: str = "", files: list[str] | None = None
    ) -> None:
        """Send a message, with files that have been uploaded; or edit one, which keeps its recipients."""
        if not isinstance(text, str) or len(text) > WHOLE:
            raise ValueError(f"A message has at most {WHOLE:,} characters here; room.send_text takes any length.")
        uploads = [self._uploads.whole(each) for each in files or ()]
        if not text and not uploads:
            raise ValueError("There is nothing to send yet: write something, or attach a file.")
        options: Json = {"attachments": [upload.path for upload in uploads], "progress": False}
        if edits:
            options["edits"] = self._message(edits).said
        if reply_to:
            options["reply_to"] = self._message(reply_to).id
        if to and not edits:
            options["to"] = str(to)
        # Of a message without text LiveKit's components show nothing, not even its files.
        text = text or ", ".join(upload.path.name for upload in uploads)
        await self.room.aio.send_text(text, topic=CHAT, **options)
        for each in files or ():
            self._uploads.let_go(each)

    def _message(self, key: Any) -> Message:
        message = self._chat.get(str(key))
        if message is None:
            raise LookupError("That message is no longer in the chat.")
        return message

    async def read(self, key: str) -> Json:
        """The text of one message, up to a megabyte."""
        text = self._message(key).text()
        return {"text": text[:WHOLE], "more": max(0, len(text) - WHOLE)}

    async def file(self, key: str, id: str, at: int = 0) -> Json:
        """A piece of a file that somebody attached, at most a megabyte of it from `at` on."""
        event = self._message(key).files.get(str(id))
        if event is None or not isinstance(event.data, ReceivedFile):
            raise LookupError("This file has not arrived, or has been let go.")
        if not isinstance(at, int) or not 0 <= at <= event.data.size:
            raise ValueError("at= is a place in the file.")
        piece = await asyncio.to_thread(event.data.piece, at, FILE_PIECE)
        return {"name": event.data.name, "size": event.data.size, "buffer": piece}

    # As it is now

    def tables(self) -> list[tuple[str, Table]]:
        """The newest messages."""
        with self._lock:
            newest = self._chat.all()[-STATIC_ROWS:]
        table = Table(
            ("time", "from", "to", "message", "files"),
            [
                (
                    message.first.time.astimezone().strftime("%H:%M:%S"),
                    self._name(message.first.sender) + (" (you)" if message.own else ""),
                    ", ".join(self._name(who) for who in message.first.to),
                    _brief(message),
                    ", ".join(event.name or "unnamed" for event in message.files.values()),
                )
                for message in newest
            ],
            empty='Nobody has written yet. Write something, or room.send_text("hello").',
        )
        return [(self.title, table)]


def _brief(message: Message) -> str:
    text = message.text()
    notes = ["edited"] if message.edited else []
    if message.said.status != "ok":
        notes.append("under way" if message.open else f"{message.said.status}: {message.said.error}")
    return text[:400] + (f" ({', '.join(notes)})" if notes else "")
