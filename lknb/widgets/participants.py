"""Participants: everybody in the room with their state. This participant's own state can be edited."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from lknb.errors import PermissionDeniedError
from lknb.event import Event, Kind
from lknb.participants import Participant
from lknb.systems.state import ATTRIBUTES_LIMIT
from lknb.tables import Table
from lknb.widgets.content import TEXT_LIMIT
from lknb.widgets.part import RoomPart, Rows
from lknb.widgets.rows import (
    AttributeRow,
    Beginning,
    Confirmation,
    EditableText,
    LeftRow,
    OwnAttributeRow,
    ParticipantsValues,
    PersonChanges,
    PersonRow,
)

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 200
"""Participants that are shown; a filter finds the others."""

MARKED = 8.0
"""Seconds for which a change is marked, and for which a participant who has left is still shown."""

_ATTRIBUTES = 50
_VALUE = 200
_METADATA = 1_000
_EDITABLE = 20_000
_MARKS = 1_000
_LEFT = 20
# Connection quality changes, and marks expire, without an event.
_POLL = 1.0


class ParticipantsPart(RoomPart):
    """Everybody in the room, their recent changes, and the state that this participant may edit.

    Args:
        room: the room to show.
    """

    name = "participants"
    title = "Participants"
    tab = "Participants"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._people: Rows[PersonRow | LeftRow] = Rows(lambda row: row, limit=KEPT + _LEFT)
        self._mine: Rows[OwnAttributeRow] = Rows(lambda row: row, limit=KEPT)
        self.rows = {"people": self._people, "mine": self._mine}
        self.actions = {
            "filter": self.filter,
            "read": self.read,
            "set_attribute": self.set_attribute,
            "delete_attribute": self.delete_attribute,
            "set_name": self.set_name,
            "set_metadata": self.set_metadata,
            "set_room_metadata": self.set_room_metadata,
        }
        self._filter = ""
        self._matching = 0
        # Recent changes by identity, kind and key, and participants who have left. Each with two times: monotonic, for
        # when to forget it, and wall clock, which is shown.
        self._marks: deque[tuple[float, float, str, str, str]] = deque(maxlen=_MARKS)
        self._left: deque[tuple[float, float, str, str]] = deque(maxlen=_LEFT)

    @property
    def poll_after(self) -> float | None:
        """Always: see `_POLL`."""
        return _POLL

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log."""
        super().start(changed)
        kinds: tuple[Kind, ...] = ("attributes", "participant_metadata", "room_metadata", "participant", "connection")
        self._follow(self._happened, kinds)

    def _happened(self, event: Event) -> None:
        since, at, who = time.monotonic(), time.time(), event.sender or ""
        if event.kind == "attributes":
            self._marks.extend((since, at, who, "attributes", key) for key in event.data)
        elif event.kind == "participant" and event.topic == "left":
            self._left.append((since, at, who, str(event.data.get("name") or "")))
        else:
            what = "metadata" if event.kind == "participant_metadata" else event.topic or event.kind
            self._marks.append((since, at, who, what, ""))
        self.changed()

    def values(self) -> ParticipantsValues:
        """Counters, this participant's name and metadata, the room's metadata, and whether they may be set."""
        room, mine = self.room, self._me()
        marks = self._marked().get("", {})
        return {
            "identity": room.identity,
            "state": room.state,
            "total": len(room.participants),
            "matching": self._matching,
            "filter": self._filter,
            "name": mine.name if mine else "",
            "metadata": _editable(mine.metadata if mine else ""),
            "room_metadata": {**_editable(room.metadata), "changed": marks.get(("room_metadata", ""), 0)},
            "refused": self._refusal("canUpdateOwnMetadata", "Changing this participant's own state"),
            "room_refused": self._refusal("roomAdmin", "Setting the room's metadata"),
            "attributes": len(mine.attributes) if mine else 0,
            "size": _size(mine.attributes) if mine else 0,
            "limit": ATTRIBUTES_LIMIT,
        }

    def _me(self) -> Participant | None:
        return self.room.participants.get(self.room.identity)

    def _refusal(self, grant: str, what: str) -> str:
        """Why this participant may not do `what`; "" if it may."""
        mine = self._me()
        if grant == "roomAdmin":
            allowed = self.room.local_participant.is_admin
        else:
            allowed = mine is None or mine.permissions.get(grant, True)
        return "" if allowed else str(PermissionDeniedError(grant, what))

    # Sending

    def look(self) -> None:
        """Update everybody's state, and which changes are still marked."""
        since = time.monotonic() - MARKED
        for old in (self._marks, self._left):
            while old and old[0][0] < since:
                old.popleft()
        people: dict[str, PersonRow | LeftRow] = {}
        everybody = list(self.room.participants.values())
        matching = [each for each in everybody if self._matches(each)]
        self._matching = len(matching)
        matching.sort(key=lambda each: not each.is_local)  # this participant first, the others in their order
        marked = self._marked()
        for each in matching[:KEPT]:
            people[each.identity] = person_row(each, marked.get(each.identity, {}))
        for _, at, identity, name in list(self._left):
            if identity not in self.room.participants and self._filter in f"{identity} {name}".lower():
                people.setdefault(identity, {"identity": identity[:_VALUE], "name": name[:_VALUE], "left": at * 1000})
        self._people.replace(people)
        mine, marks = self._me(), marked.get(self.room.identity, {})
        attributes = sorted(mine.attributes.items())[:KEPT] if mine else []
        # Not cut, because they can be edited. LiveKit carries at most 64 KiB of them in total.
        own: dict[str, OwnAttributeRow] = {
            key: {"value": value, "changed": marks.get(("attributes", key), 0)} for key, value in attributes
        }
        self._mine.replace(own)

    def _matches(self, who: Participant) -> bool:
        if not self._filter:
            return True
        texts = [who.identity, who.name, who.kind, who.metadata, *who.data_tracks]
        texts += [f"{key}={value}" for key, value in who.attributes.items()]
        return any(self._filter in each.lower() for each in texts)

    def _marked(self) -> dict[str, dict[tuple[str, str], float]]:
        """The time of each recent change in milliseconds, by identity ("" for the room), then by kind and key."""
        marked: dict[str, dict[tuple[str, str], float]] = {}
        for _, at, who, kind, key in list(self._marks):  # a copy, because events come on any thread
            marked.setdefault(who, {})[kind, key] = at * 1000
        return marked

    # What a browser may call

    async def filter(self, text: str = "") -> None:
        """Show only participants whose identity, name, kind or state contains this text."""
        self._filter = str(text).lower()
        self.changed()

    async def read(self, identity: str = "", key: str | None = None) -> Beginning:
        """A participant's metadata or one attribute; without an identity, the room's metadata. Up to the limit."""
        return _beginning(self._text(identity, key), TEXT_LIMIT)

    def _text(self, identity: str, key: str | None) -> str:
        if not identity:
            return self.room.metadata
        who = self.room.participants.get(str(identity))
        if who is None:
            raise LookupError("This participant has left the room.")
        if key is None:
            return who.metadata
        if key not in who.attributes:
            raise LookupError("This attribute has been deleted.")
        return who.attributes[key]

    async def set_attribute(self, key: str, value: str) -> Confirmation:
        """Set one of this participant's attributes."""
        if not key:
            raise ValueError("An attribute needs a key.")
        if value == "":
            raise ValueError(
                "LiveKit treats an empty value as a deleted attribute. Enter a value, or delete the attribute."
            )
        return await self._confirmed(self.room.aio.local_participant.set_attributes({key: value}))

    async def delete_attribute(self, key: str) -> Confirmation:
        """Delete one of this participant's attributes."""
        if key not in self.room.attributes:
            raise LookupError("This attribute no longer exists.")
        return await self._confirmed(self.room.aio.local_participant.set_attributes({key: ""}))

    async def set_name(self, text: str) -> Confirmation:
        """Set this participant's name."""
        return await self._confirmed(self.room.aio.local_participant.set_name(text))

    async def set_metadata(self, text: str) -> Confirmation:
        """Set this participant's metadata."""
        return await self._confirmed(self.room.aio.local_participant.set_metadata(text))

    async def set_room_metadata(self, text: str) -> Confirmation:
        """Set the room's metadata."""
        return await self._confirmed(self.room.aio.set_metadata(text))

    async def _confirmed(self, writing: Coroutine[Any, Any, None]) -> Confirmation:
        await writing
        self.changed()
        return {"confirmed": time.time() * 1000}

    # As tables

    def tables(self) -> list[tuple[str, Table]]:
        """Everybody, and the room's metadata, if any."""
        tables = [(self.title, self.room.participants.table(live=self.room.state != "closed"))]
        if self.room.metadata:
            tables.append(("The room", Table(("metadata",), [(self.room.metadata,)])))
        return tables


def person_row(who: Participant, marks: Mapping[tuple[str, str], float]) -> PersonRow:
    """A participant as a row, with the times of recent changes. Long texts are cut, and marked as cut."""
    attributes: list[AttributeRow] = [
        {
            "key": key[:_VALUE],
            "changed": marks.get(("attributes", key), 0),
            "text": value[:_VALUE],
            "more": len(value) > _VALUE,
        }
        for key, value in sorted(who.attributes.items())[:_ATTRIBUTES]
    ]
    deleted = [key for kind, key in marks if kind == "attributes" and key not in who.attributes]
    for key in deleted[:_ATTRIBUTES]:
        attributes.append({"key": key[:_VALUE], "changed": marks["attributes", key], "deleted": True})
    changed: PersonChanges = {}
    if ("name", "") in marks:
        changed["name"] = marks["name", ""]
    if ("metadata", "") in marks:
        changed["metadata"] = marks["metadata", ""]
    if ("permissions", "") in marks:
        changed["permissions"] = marks["permissions", ""]
    return {
        "identity": who.identity,
        "name": who.name[:_VALUE],
        "you": who.is_local,
        "kind": who.kind,
        "state": who.state,
        "joined": who.joined_at.timestamp() * 1000 if who.joined_at else None,
        "quality": who.quality,
        "permissions": dict(who.permissions),
        "tracks": [name[:_VALUE] for name in who.data_tracks[:_ATTRIBUTES]],
        "more_tracks": max(0, len(who.data_tracks) - _ATTRIBUTES),
        "attributes": attributes,
        "more_attributes": max(0, len(who.attributes) - _ATTRIBUTES),
        "metadata": _beginning(who.metadata, _METADATA),
        "changed": changed,
    }


def _beginning(text: str, limit: int) -> Beginning:
    return {"text": text[:limit], "more": len(text) > limit}


def _editable(text: str) -> EditableText:
    """The beginning of a text that may be edited, and a checksum of the whole text."""
    return {**_beginning(text, _EDITABLE), "checksum": zlib.crc32(text.encode(errors="replace"))}


def _size(attributes: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in attributes.items())
