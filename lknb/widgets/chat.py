"""Chat: the texts of `lk.chat` as they grow, replies, edits and attachments."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from lknb.chat import PACKET_TOPICS, Conversation, Message
from lknb.events import Event
from lknb.files import ReceivedFile, safe_name
from lknb.streams import MAX_STREAM_SIZE
from lknb.tables import Table
from lknb.text_streams import CHAT
from lknb.widgets.part import Json, Part, Rows

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 500
_STATIC = 25
_AGAIN = 0.15
# A message's beginning goes with it. What follows goes in pieces, of which only the last one changes while the text
# grows; of the longest ones the rest is asked for.
_HEAD = 2_000
_PIECE = 4_000
_PIECES = 5
_ALL_PIECES = 100
_AFTER = _HEAD + _PIECES * _PIECE  # characters of a text that stay when the room's log has let it go
_WHOLE = 1_000_000
_PEOPLE = 200
_FILES = 8
_UPLOAD = 1024 * 1024
_FORGOTTEN = 600.0  # seconds after which a file that a page has handed over and not sent makes place for others
_QUOTE = 140


@dataclass
class _Upload:
    """A file that a browser is handing over."""

    folder: tempfile.TemporaryDirectory[str]
    path: Path
    size: int
    received: int = 0
    touched: float = field(default_factory=monotonic)


class ChatPart(Part):
    """The chat of one room: what LiveKit's own chat components send and show."""

    name = "chat"
    title = "Chat"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._chat = Conversation(CHAT, KEPT)
        # Events come on any thread.
        self._lock = threading.RLock()
        self._evicted = 0
        self._open: dict[str, Message] = {}
        self._told_of: dict[str, int] = {}  # of the open ones, how much of their beginning
        self._names: dict[str, str] = {}
        self._uploads: dict[str, _Upload] = {}
        self._shown: Rows[Message] = Rows(self._described, limit=KEPT, burst=KEPT)
        self._pieces: Rows[str] = Rows(lambda text: {"text": text}, limit=_ALL_PIECES)
        self.rows = {"messages": self._shown, "pieces": self._pieces}
        self.actions = {
            "send": self.send,
            "read": self.read,
            "file": self.file,
            "upload": self.upload,
            "discard": self.discard,
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
        for upload in list(self._uploads):
            self._let_go(upload)

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
        log = self.room.events
        if log.evicted == self._evicted:
            return
        self._evicted = log.evicted
        for message in self._chat.let_go(log[0].number, _AFTER):
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
        said, text = message.said, message.text()
        if message.key in self._open:
            self._told_of[message.key] = len(text) if said.status == "open" else _HEAD
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
            "size": said.size if said.status != "open" else said.transferred,
            "open": said.status == "open",
            "status": said.status,
            "error": said.error if said.status == "failed" else None,
            "trouble": message.trouble,
            "edited": message.edited,
            "can_reply": message.is_text and said.status == "ok",
            "can_edit": message.is_text and message.own and said.status == "ok" and not message.cut,
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
        if not isinstance(text, str) or len(text) > _WHOLE:
            raise ValueError(f"A message has at most {_WHOLE:,} characters here; room.send_text takes any length.")
        uploads = [self._uploaded(each) for each in files or ()]
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
            self._let_go(each)

    def _message(self, key: Any) -> Message:
        message = self._chat.get(str(key))
        if message is None:
            raise LookupError("That message is no longer in the chat.")
        return message

    async def read(self, key: str) -> Json:
        """The text of one message, up to a megabyte."""
        text = self._message(key).text()
        return {"text": text[:_WHOLE], "more": max(0, len(text) - _WHOLE)}

    async def file(self, key: str, id: str, at: int = 0) -> Json:
        """A piece of a file that somebody attached, at most a megabyte of it from `at` on."""
        event = self._message(key).files.get(str(id))
        if event is None or not isinstance(event.data, ReceivedFile):
            raise LookupError("This file has not arrived, or has been let go.")
        if not isinstance(at, int) or not 0 <= at <= event.data.size:
            raise ValueError("at= is a place in the file.")
        piece = await asyncio.to_thread(event.data.read, at, _UPLOAD)
        return {"name": event.data.name, "size": event.data.size, "buffer": piece}

    async def upload(self, id: str, name: str = "", size: int = 0, at: int = 0, buffer: bytes = b"") -> None:
        """Take the next piece of a file, at most a megabyte, to be sent with a message."""
        upload = self._uploads.get(id)
        if at == 0 and upload is None:
            self._forget()
            if len(self._uploads) >= _FILES:
                raise ValueError(f"At most {_FILES} files go with a message. Send them with several.")
            if not isinstance(size, int) or not 0 <= size <= MAX_STREAM_SIZE - sum(
                each.size for each in self._uploads.values()
            ):
                limit = MAX_STREAM_SIZE // 1024 // 1024
                raise ValueError(
                    f"The files of a message have at most {limit} MiB here; room.send_file takes any size."
                )
            folder = tempfile.TemporaryDirectory(prefix="lknb-chat-")
            upload = self._uploads[str(id)[:64]] = _Upload(folder, Path(folder.name) / safe_name(str(name)), size)
        if upload is None or at != upload.received or len(buffer) > min(_UPLOAD, upload.size - at):
            self._let_go(id)
            raise ValueError("This piece of the file is not the next one. Attach the file again.")
        await asyncio.to_thread(_append, upload.path, buffer)
        upload.received += len(buffer)
        upload.touched = monotonic()

    async def discard(self, id: str) -> None:
        """Let a file go that was attached and not sent."""
        self._let_go(id)

    def _uploaded(self, id: Any) -> _Upload:
        upload = self._uploads.get(str(id))
        if upload is None or upload.received != upload.size:
            raise LookupError("A file is not here yet. Wait until it is attached, or attach it again.")
        return upload

    def _forget(self) -> None:
        for each, upload in list(self._uploads.items()):
            if monotonic() - upload.touched > _FORGOTTEN:
                self._let_go(each)

    def _let_go(self, id: Any) -> None:
        upload = self._uploads.pop(str(id), None)
        if upload is not None:
            upload.folder.cleanup()

    # As it is now

    def tables(self) -> list[tuple[str, Table]]:
        """The newest messages."""
        with self._lock:
            newest = self._chat.all()[-_STATIC:]
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


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)


def _brief(message: Message) -> str:
    text = message.text()
    notes = ["edited"] if message.edited else []
    if message.said.status != "ok":
        notes.append("under way" if message.open else f"{message.said.status}: {message.said.error}")
    return text[:400] + (f" ({', '.join(notes)})" if notes else "")
