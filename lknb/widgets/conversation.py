"""A room's chat as LiveKit's components show it: the events of a topic, combined into messages."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from lknb.event import Event

# LiveKit's components sent packets before text streams existed, and still send both for servers up to 1.8.2.
PACKET_TOPICS = frozenset({"lk-chat-topic", "lk-chat-update-topic"})
_FILES = 50  # of one message, over all its edits; further files become messages of their own


@dataclass(eq=False)
class Message:
    """One message in its latest version.

    Attributes:
        first: the event that created it.
        current: the event with its current text; differs from `first` after an edit.
        id: the id that replies and edits refer to.
        edited: whether it has been edited.
        trouble: why its last edit failed.
        attachments: the ids of the byte streams attached to it.
        files: the streams among them that have started, by id.
        cut: the number of characters that were dropped from the end of its text.
    """

    first: Event
    current: Event
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
        """Whether its text or one of its files is in progress."""
        return self.current.status == "open" or any(file.status == "open" for file in self.files.values())

    @property
    def is_text(self) -> bool:
        """Whether it is a text stream, which can be answered and edited, and not a packet or only a file."""
        return self.current.kind == "text"

    def text(self) -> str:
        """Its text; for a text in progress, the characters received so far."""
        if self._packet is not None:
            return self._packet
        return str(self.current.so_far() or "") if self.is_text else ""

    def _edit(self, event: Event, packet: str | None = None) -> None:
        self._before = (self.current, self._packet, self.edited, self.cut)
        self.current, self._packet, self.edited, self.cut, self.trouble = event, packet, True, 0, None

    def _undo_edit(self, error: str | None) -> None:
        if self._before is not None:
            (self.current, self._packet, self.edited, self.cut), self._before = self._before, None
            self.trouble = error

    def _drop_payload(self, number: int, most: int) -> None:
        """Drop the file of the event with this number, and all but `most` characters of its text."""
        current, first = self.current, self.first
        if current.number == number:
            text = self.text()
            self.cut = max(0, len(text) - most)
            self.current = replace(current, data=text[:most] if self.is_text else None)
            if self._packet is not None:
                self._packet = text[:most]
        if first.number == number:
            self.first = self.current if first is current else replace(first, data=None)
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

    A later text from the same sender with the same id replaces the earlier one, whether or not its header marks it as
    an edit, as in LiveKit's components.

    Attributes:
        dropped: the number of older messages that were dropped.
        unreadable: the number of chat packets in a format that LiveKit's components do not send.
    """

    def __init__(self, topic: str, limit: int) -> None:
        self.topic = topic
        self.dropped = self.unreadable = 0
        self._limit = limit
        self._messages: dict[str, Message] = {}
        self._by_id: dict[tuple[str | None, str], Message] = {}
        self._attached: dict[tuple[str | None, str], Message] = {}
        # Messages whose events still have their payloads, by the events' numbers, and those that the log has evicted.
        self._with_payload: dict[int, tuple[Message, Event]] = {}
        self._evicted: dict[int, tuple[Message, Event]] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, key: str) -> Message | None:
        """The message with this key."""
        return self._messages.get(key)

    def all(self) -> list[Message]:
        """All messages."""
        return list(self._messages.values())

    def with_id(self, stream_id: str) -> Message | None:
        """The newest message with this id."""
        return next((each for each in reversed(self.all()) if each.id == stream_id), None)

    def add(self, event: Event) -> tuple[Message | None, list[str]]:
        """Add an event. A stream is added when it starts and when it ends.

        Returns:
            The message that the event created or changed, if any, and the keys of messages that it removed.
        """
        message: Message | None = None
        removed: list[str] = []
        if event.kind == "text" and event.topic == self.topic:
            message, removed = self._add_text(event)
        elif event.kind == "bytes" and event.topic == self.topic:
            message, removed = self._add_file(event)
        elif event.kind == "data" and event.topic in PACKET_TOPICS:
            message, removed = self._add_packet(event)
        if message is not None and event.number not in self._evicted:
            self._with_payload[event.number] = (message, event)
        return message, removed

    def drop_payloads(self, oldest: int, most: int) -> list[Message]:
        """Drop the payloads of events before number `oldest`, all but `most` characters of each text.

        Returns:
            The messages that have changed.
        """
        while self._with_payload and (number := next(iter(self._with_payload))) < oldest:
            self._evicted[number] = self._with_payload.pop(number)
        ended = [number for number, (_, event) in self._evicted.items() if event.status != "open"]
        changed = []
        for number in ended:
            message, _ = self._evicted.pop(number)
            message._drop_payload(number, most)
            changed.append(message)
        return changed

    def _add_text(self, event: Event) -> tuple[Message, list[str]]:
        message = self._by_id.get((event.sender, event.id))
        removed: list[str] = []
        if message is None:
            message = Message(event, event, event.id, edited=event.edits is not None)
            removed += self._append(message)
        elif event.number > message.current.number:
            message._edit(event)
        if event is message.current and event.status == "failed" and event is not message.first:
            message._undo_edit(event.error)
        for each in event.attachments:
            if each in message.attachments or len(message.attachments) >= _FILES:
                continue
            message.attachments += (each,)
            # A file that arrived before its text is a message of its own until now.
            alone = self._attached.get((event.sender, each))
            if alone is not None and alone is not message:
                message.files.update(alone.files)
                for file in alone.files.values():
                    for known in (self._with_payload, self._evicted):
                        if file.number in known:
                            known[file.number] = (message, file)
                removed += self._remove(alone)
            self._attached[event.sender, each] = message
        return message, removed

    def _add_file(self, event: Event) -> tuple[Message, list[str]]:
        message = self._attached.get((event.sender, event.id))
        removed: list[str] = []
        if message is None:
            message = Message(event, event, event.id, attachments=(event.id,))
            self._attached[event.sender, event.id] = message
            removed = self._append(message)
        message.files[event.id] = event
        return message, removed

    def _add_packet(self, event: Event) -> tuple[Message | None, list[str]]:
        packet = _parsed(event.data)
        if packet is None:
            self.unreadable += 1
            return None, []
        if packet.get("ignoreLegacy") is True:
            return None, []  # a text stream has the same message
        stream_id = packet["id"] if isinstance(packet.get("id"), str) else event.id
        message = self._by_id.get((event.sender, stream_id))
        if message is not None:
            if event is not message.current:
                message._edit(event, packet["message"])
            return message, []
        message = Message(event, event, stream_id, edited="editTimestamp" in packet, _packet=packet["message"])
        return message, self._append(message)

    def _append(self, message: Message) -> list[str]:
        self._messages[message.key] = message
        self._by_id[message.first.sender, message.id] = message
        removed = []
        while len(self._messages) > self._limit:
            removed += self._remove(next(iter(self._messages.values())))
            self.dropped += 1
        return removed

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
        packet = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return packet if isinstance(packet, dict) and isinstance(packet.get("message"), str) else None
