"""A room's chat as LiveKit's components show it: the events of a topic, folded into messages."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from lknb.event import Event

# What LiveKit's components sent before there were text streams, and send next to them for servers up to 1.8.2.
PACKET_TOPICS = frozenset({"lk-chat-topic", "lk-chat-update-topic"})
_FILES = 50  # of a message, over all its edits; more are messages by themselves


@dataclass(eq=False)
class Message:
    """One message, as it is after all edits of it so far.

    Attributes:
        first: the event that it began with.
        said: the event whose text it has now; another one than `first` after an edit.
        id: what replies and edits name it by.
        edited: whether it has been edited.
        trouble: why its last edit failed.
        attachments: the ids of the byte streams that belong to it.
        files: those of them that have begun, by id.
        cut: how many characters of its text have been let go.
    """

    first: Event
    said: Event
    id: str
    edited: bool = False
    trouble: str | None = None
    attachments: tuple[str, ...] = ()
    files: dict[str, Event] = field(default_factory=dict)
    cut: int = 0
    _packet: str | None = None
    _before: tuple[Event, str | None, bool, int] | None = None

    @property
    def key(self) -> str:
        """Unique in this kernel."""
        return str(self.first.number)

    @property
    def own(self) -> bool:
        """Whether this participant sent it."""
        return self.first.direction == "out"

    @property
    def open(self) -> bool:
        """Whether its text or one of its files is under way."""
        return self.said.status == "open" or any(file.status == "open" for file in self.files.values())

    @property
    def is_text(self) -> bool:
        """Whether it is a text stream, which can be answered and edited, and no packet or lone file."""
        return self.said.kind == "text"

    def text(self) -> str:
        """What it says; of a text that is under way, what has arrived."""
        if self._packet is not None:
            return self._packet
        return str(self.said.so_far() or "") if self.is_text else ""

    def _say(self, event: Event, packet: str | None = None) -> None:
        self._before = (self.said, self._packet, self.edited, self.cut)
        self.said, self._packet, self.edited, self.cut, self.trouble = event, packet, True, 0, None

    def _take_back(self, error: str | None) -> None:
        if self._before is not None:
            (self.said, self._packet, self.edited, self.cut), self._before = self._before, None
            self.trouble = error

    def _let_go(self, number: int, most: int) -> None:
        """Keep of the event of this number no file, and of its text at most so many characters."""
        said, first = self.said, self.first
        if said.number == number:
            text = self.text()
            self.cut = max(0, len(text) - most)
            self.said = replace(said, data=text[:most] if self.is_text else None)
            if self._packet is not None:
                self._packet = text[:most]
        if first.number == number:
            self.first = self.said if first is said else replace(first, data=None)
        if self._before is not None and self._before[0].number == number:
            before, packet, edited, _ = self._before
            text = str(before.data or "") if packet is None else packet
            before = replace(before, data=text[:most] if before.kind == "text" else None)
            self._before = (before, packet and packet[:most], edited, max(0, len(text) - most))
        for each, file in self.files.items():
            if file.number == number:
                self.files[each] = replace(file, data=None)


class Conversation:
    """The newest messages of one topic, oldest first.

    A later text of the same sender with the same id takes the place of the earlier one, whether its header says that
    it is an edit or not, as in LiveKit's components.

    Attributes:
        gone: how many older messages have been let go.
        unreadable: how many chat packets were none that LiveKit's components send.
    """

    def __init__(self, topic: str, limit: int) -> None:
        self.topic = topic
        self.gone = self.unreadable = 0
        self._limit = limit
        self._messages: dict[str, Message] = {}
        self._by_id: dict[tuple[str | None, str], Message] = {}
        self._attached: dict[tuple[str | None, str], Message] = {}
        # Whose events still have their payloads, by the events' numbers; and those that outlast their place in the log.
        self._whole: dict[int, tuple[Message, Event]] = {}
        self._late: dict[int, tuple[Message, Event]] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, key: str) -> Message | None:
        """The message of this key."""
        return self._messages.get(key)

    def all(self) -> list[Message]:
        """Every message that is kept."""
        return list(self._messages.values())

    def with_id(self, stream_id: str) -> Message | None:
        """The newest message that replies name by this id."""
        return next((each for each in reversed(self.all()) if each.id == stream_id), None)

    def take(self, event: Event) -> tuple[Message | None, list[str]]:
        """Take an event, also again when it has ended.

        Returns:
            The message that it made or changed, if any, and the keys of those that are gone because of it.
        """
        message: Message | None = None
        gone: list[str] = []
        if event.kind == "text" and event.topic == self.topic:
            message, gone = self._text(event)
        elif event.kind == "bytes" and event.topic == self.topic:
            message, gone = self._file(event)
        elif event.kind == "data" and event.topic in PACKET_TOPICS:
            message, gone = self._take_packet(event)
        if message is not None and event.number not in self._late:
            self._whole[event.number] = (message, event)
        return message, gone

    def let_go(self, oldest: int, most: int) -> list[Message]:
        """Keep no payload of events before number `oldest` but `most` characters of each text.

        Returns:
            The messages that have changed because of it.
        """
        while self._whole and (number := next(iter(self._whole))) < oldest:
            self._late[number] = self._whole.pop(number)
        ended = [number for number, (_, event) in self._late.items() if event.status != "open"]
        changed = []
        for number in ended:
            message, _ = self._late.pop(number)
            message._let_go(number, most)
            changed.append(message)
        return changed

    def _text(self, event: Event) -> tuple[Message, list[str]]:
        message = self._by_id.get((event.sender, event.id))
        gone: list[str] = []
        if message is None:
            message = Message(event, event, event.id, edited=event.edits is not None)
            gone += self._add(message)
        elif event.number > message.said.number:
            message._say(event)
        if event is message.said and event.status == "failed" and event is not message.first:
            message._take_back(event.error)
        for each in event.attachments:
            if each in message.attachments or len(message.attachments) >= _FILES:
                continue
            message.attachments += (each,)
            # A file that was faster than its text has been a message by itself.
            alone = self._attached.get((event.sender, each))
            if alone is not None and alone is not message:
                message.files.update(alone.files)
                for file in alone.files.values():
                    for known in (self._whole, self._late):
                        if file.number in known:
                            known[file.number] = (message, file)
                gone += self._remove(alone)
            self._attached[event.sender, each] = message
        return message, gone

    def _file(self, event: Event) -> tuple[Message, list[str]]:
        message = self._attached.get((event.sender, event.id))
        gone: list[str] = []
        if message is None:
            message = Message(event, event, event.id, attachments=(event.id,))
            self._attached[event.sender, event.id] = message
            gone = self._add(message)
        message.files[event.id] = event
        return message, gone

    def _take_packet(self, event: Event) -> tuple[Message | None, list[str]]:
        told = _parsed(event.data)
        if told is None:
            self.unreadable += 1
            return None, []
        if told.get("ignoreLegacy") is True:
            return None, []  # a text stream says the same
        stream_id = told["id"] if isinstance(told.get("id"), str) else event.id
        message = self._by_id.get((event.sender, stream_id))
        if message is not None:
            if event is not message.said:
                message._say(event, told["message"])
            return message, []
        message = Message(event, event, stream_id, edited="editTimestamp" in told, _packet=told["message"])
        return message, self._add(message)

    def _add(self, message: Message) -> list[str]:
        self._messages[message.key] = message
        self._by_id[message.first.sender, message.id] = message
        gone = []
        while len(self._messages) > self._limit:
            gone += self._remove(next(iter(self._messages.values())))
            self.gone += 1
        return gone

    def _remove(self, message: Message) -> list[str]:
        del self._messages[message.key]
        sender = message.first.sender
        if self._by_id.get((sender, message.id)) is message:
            del self._by_id[sender, message.id]
        for each in message.attachments:
            if self._attached.get((sender, each)) is message:
                del self._attached[sender, each]
        return [message.key]


def _parsed(payload: Any) -> dict[str, Any] | None:
    try:
        told = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("message"), str) else None
