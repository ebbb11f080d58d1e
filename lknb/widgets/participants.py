"""Participants: who is here with their state, live; what is one's own can be edited."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from lknb.errors import PermissionDeniedError
from lknb.event import Event
from lknb.participants import Participant
from lknb.systems.state import ATTRIBUTES_LIMIT
from lknb.tables import Table
from lknb.widgets.part import Json, Part, Rows

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 200
"""Participants that are told of; a filter finds the others."""

MARKED = 8.0
"""Seconds for which a change is marked, and for which somebody who has left is still shown."""

_ATTRIBUTES = 50
_VALUE = 200
_METADATA = 1_000
_EDITED = 20_000
_MARKS = 1_000
_LEFT = 20
# A connection's quality changes without an event, and marks end without one.
_LOOK_EVERY = 1.0


class ParticipantsPart(Part):
    """Everybody in the room, what has just changed of them, and the state that this participant may edit.

    Args:
        room: whose.
    """

    name = "participants"
    title = "Participants"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._people: Rows[Json] = Rows(dict, limit=KEPT + _LEFT)
        self._mine: Rows[Json] = Rows(dict, limit=KEPT)
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
        self.again = _LOOK_EVERY
        self._filter = ""
        self._matching = 0
        # What changed, by identity, kind of event and key, and who has left: since when by a clock that nobody sets,
        # for when to forget it, and by that of the wall, which is shown.
        self._marks: deque[tuple[float, float, str, str, str]] = deque(maxlen=_MARKS)
        self._left: deque[tuple[float, float, str, str]] = deque(maxlen=_LEFT)

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log."""
        super().start(changed)
        self._follow(self._happened)

    def _happened(self, event: Event) -> None:
        if event.kind not in ("attributes", "participant_metadata", "room_metadata", "participant", "connection"):
            return
        since, at, who = time.monotonic(), time.time(), event.sender or ""
        if event.kind == "attributes":
            self._marks.extend((since, at, who, "attributes", key) for key in event.data)
        elif event.kind == "participant" and event.topic == "left":
            self._left.append((since, at, who, str(event.data.get("name") or "")))
        else:
            what = "metadata" if event.kind == "participant_metadata" else event.topic or event.kind
            self._marks.append((since, at, who, what, ""))
        self.changed()

    def values(self) -> Json:
        """The counts, this participant's own name and metadata, the room's, and whether they may be set."""
        room, mine = self.room, self._me()
        marks = self._marked().get("", {})
        return {
            "identity": room.identity,
            "state": room.state,
            "total": len(room.participants),
            "matching": self._matching,
            "filter": self._filter,
            "name": mine.name if mine else "",
            "metadata": _edited(mine.metadata if mine else ""),
            "roomMetadata": {**_edited(room.metadata), "changed": marks.get(("room_metadata", ""), 0)},
            "refused": self._refusal("canUpdateOwnMetadata", "Changing one's own state"),
            "roomRefused": self._refusal("roomAdmin", "Setting the room's metadata"),
            "attributes": len(mine.attributes) if mine else 0,
            "size": _size(mine.attributes) if mine else 0,
            "limit": ATTRIBUTES_LIMIT,
        }

    def _me(self) -> Participant | None:
        return self.room.participants.get(self.room.identity)

    def _refusal(self, grant: str, what: str) -> str:
        """Why this participant may not do `what`; "" when it may."""
        mine = self._me()
        if grant == "roomAdmin":
            allowed = self.room.local_participant.is_admin
        else:
            allowed = mine is None or mine.permissions.get(grant, True)
        return "" if allowed else str(PermissionDeniedError(grant, what))

    # What there is to see

    def look(self) -> None:
        """Everybody as they are now, and what of them is still marked."""
        since = time.monotonic() - MARKED
        for old in (self._marks, self._left):
            while old and old[0][0] < since:
                old.popleft()
        people: dict[str, Json] = {}
        everybody = list(self.room.participants.values())
        matching = [each for each in everybody if self._fits(each)]
        self._matching = len(matching)
        matching.sort(key=lambda each: not each.is_local)  # oneself first, the others as they are
        marked = self._marked()
        for each in matching[:KEPT]:
            people[each.identity] = described(each, marked.get(each.identity, {}))
        for _, at, identity, name in list(self._left):
            if identity not in self.room.participants and self._filter in f"{identity} {name}".lower():
                people.setdefault(identity, {"identity": identity[:_VALUE], "name": name[:_VALUE], "left": at * 1000})
        self._people.replace(people)
        mine, marks = self._me(), marked.get(self.room.identity, {})
        attributes = sorted(mine.attributes.items())[:KEPT] if mine else []
        # Not cut: LiveKit carries no more than 64 KiB of them in all, and what is cut cannot be edited.
        own = {key: {"value": value, "changed": marks.get(("attributes", key), 0)} for key, value in attributes}
        self._mine.replace(own)

    def _fits(self, who: Participant) -> bool:
        if not self._filter:
            return True
        told = [who.identity, who.name, who.kind, who.metadata, *who.data_tracks]
        told += [f"{key}={value}" for key, value in who.attributes.items()]
        return any(self._filter in each.lower() for each in told)

    def _marked(self) -> dict[str, dict[tuple[str, str], float]]:
        """When what has changed, in milliseconds: by identity ("" for the room itself), then by kind and key."""
        marked: dict[str, dict[tuple[str, str], float]] = {}
        for _, at, who, kind, key in list(self._marks):  # a copy, since events come on any thread
            marked.setdefault(who, {})[kind, key] = at * 1000
        return marked

    # What a browser may ask for

    async def filter(self, text: str = "") -> None:
        """Show only those in whose identity, name, kind or state this text is."""
        self._filter = str(text).lower()
        self.changed()

    async def read(self, identity: str = "", key: str | None = None) -> Json:
        """Somebody's metadata in full, or one attribute; the room's metadata without an identity."""
        if not identity:
            return {"text": self.room.metadata}
        who = self.room.participants.get(str(identity))
        if who is None:
            raise LookupError("They have left the room.")
        if key is None:
            return {"text": who.metadata}
        if key not in who.attributes:
            raise LookupError("This attribute has been deleted.")
        return {"text": who.attributes[key]}

    async def set_attribute(self, key: str, value: str) -> Json:
        """Set one of this participant's attributes."""
        if not key:
            raise ValueError("An attribute needs a key.")
        if value == "":
            raise ValueError("LiveKit takes an empty value for a deleted attribute. Write a value, or delete it.")
        return await self._confirmed(self.room.aio.local_participant.set_attributes({key: value}))

    async def delete_attribute(self, key: str) -> Json:
        """Delete one of this participant's attributes."""
        if key not in self.room.attributes:
            raise LookupError("This attribute is not there any more.")
        return await self._confirmed(self.room.aio.local_participant.set_attributes({key: ""}))

    async def set_name(self, text: str) -> Json:
        """Set this participant's name."""
        return await self._confirmed(self.room.aio.local_participant.set_name(text))

    async def set_metadata(self, text: str) -> Json:
        """Set this participant's metadata."""
        return await self._confirmed(self.room.aio.local_participant.set_metadata(text))

    async def set_room_metadata(self, text: str) -> Json:
        """Set the room's metadata."""
        return await self._confirmed(self.room.aio.set_metadata(text))

    async def _confirmed(self, writing: Coroutine[Any, Any, None]) -> Json:
        await writing
        self.changed()
        return {"confirmed": time.time() * 1000}

    # As tables

    def tables(self) -> list[tuple[str, Table]]:
        """Everybody, and the room's metadata if it has any."""
        tables = [(self.title, self.room.participants.table())]
        if self.room.metadata:
            tables.append(("The room", Table(("metadata",), [(self.room.metadata,)])))
        return tables


def described(who: Participant, marks: Mapping[tuple[str, str], float]) -> Json:
    """A participant as a row, with when what has just changed; long texts are cut, and said to be."""
    attributes: list[Json] = [
        {"key": key[:_VALUE], "changed": marks.get(("attributes", key), 0), **_beginning(value, _VALUE)}
        for key, value in sorted(who.attributes.items())[:_ATTRIBUTES]
    ]
    deleted = [key for kind, key in marks if kind == "attributes" and key not in who.attributes]
    for key in deleted[:_ATTRIBUTES]:
        attributes.append({"key": key[:_VALUE], "changed": marks["attributes", key], "deleted": True})
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
        "moreTracks": max(0, len(who.data_tracks) - _ATTRIBUTES),
        "attributes": attributes,
        "moreAttributes": max(0, len(who.attributes) - _ATTRIBUTES),
        "metadata": _beginning(who.metadata, _METADATA),
        "changed": {kind: at for (kind, _), at in marks.items() if kind in ("name", "metadata", "permissions")},
    }


def _beginning(text: str, limit: int) -> Json:
    return {"text": text[:limit], "more": len(text) > limit}


def _edited(text: str) -> Json:
    """The beginning of a text that may be edited, and what tells its whole from that of another one."""
    return {**_beginning(text, _EDITED), "checksum": zlib.crc32(text.encode(errors="replace"))}


def _size(attributes: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in attributes.items())
