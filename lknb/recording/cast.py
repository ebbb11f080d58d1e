"""`Cast`: a stage on which each recorded participant is played by a participant of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lknb import server, server_api
from lknb.connection import of_server
from lknb.credentials import Secret, find
from lknb.errors import ConnectError, LknbError, PermissionDeniedError
from lknb.event import Event
from lknb.participants import Participant
from lknb.recording.replay import publish
from lknb.recording.resend import SkippedError, To

if TYPE_CHECKING:
    from lknb.room import Room

Connect = Callable[..., Awaitable["Room"]]

MOST = 64
"""Participants that one replay joins at most."""


class Cast:
    """Joins a room as the recorded participants, when they were there.

    Args:
        name: the room to join.
        connect: `lknb.aio.connect`.
        options: more arguments of it, such as `url`.
        there: who was there at the start.
        arriving: who a participant is when it arrives, by its event.
        tracks: the data tracks of each identity.
        to: the recipients of everything; None for the recorded ones, as far as they are there.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        options: Mapping[str, Any],
        there: Iterable[Participant],
        arriving: Callable[[Event], Participant | None],
        tracks: Mapping[str, list[str]],
        to: To,
    ) -> None:
        self._name, self._connect, self._options = name, connect, dict(options)
        self._there, self._arriving, self._tracks, self._to = list(there), arriving, tracks, to
        self.rooms: dict[str, Room] = {}

    async def begin(self) -> None:
        """Join as everybody who was there at the start.

        Raises:
            ConnectError: if one of them cannot join, or is in the room already.
            PermissionDeniedError: without an API key.
            ValueError: for more than 64 participants.
        """
        present = await self._present()
        taken = sorted({each.identity for each in self._there} & present)
        if taken:
            raise ConnectError(
                f"{', '.join(map(repr, taken))} is in room {self._name!r} already, and would be evicted. Replay into "
                "another room, or close that connection first."
            )
        if len(self._there) > MOST:
            raise ValueError(f"The recording has {len(self._there):,} participants at its start; the limit is {MOST}.")
        await asyncio.gather(*map(self._join, self._there))

    async def _present(self) -> set[str]:
        options = self._options
        secrets = {key: Secret(options[key]) if options.get(key) else None for key in ("token", "api_secret")}
        found = find(options.get("url"), secrets["token"], options.get("api_key"), secrets["api_secret"])
        credentials = of_server(await asyncio.to_thread(server.ensure)) if found is None else found
        if not credentials.can_mint:
            raise PermissionDeniedError("an API key", "Joining as several participants")
        return await server_api.identities(credentials, self._name) or set()

    async def _join(self, who: Participant) -> Room:
        known = self.rooms.get(who.identity)
        if known is not None:
            return known
        if len(self.rooms) >= MOST:
            raise SkippedError(f"more than {MOST} participants")
        room = await self._connect(
            self._name,
            who.identity,
            name=who.name or None,
            attributes=dict(who.attributes),
            metadata=who.metadata or None,
            **self._options,
        )
        self.rooms[who.identity] = room
        await publish(room, self._tracks.get(who.identity, ()))
        return room

    async def happened(self, event: Event) -> bool:
        """Join or leave with the recorded participant."""
        identity = event.sender or ""
        if event.topic == "left":
            room = self.rooms.pop(identity, None)
            if room is not None:
                await room.aio.close()
            return True
        if event.topic in ("joined", "active"):
            who = self._arriving(event)
            if who is not None:
                await self._join(who)
            return True
        return False

    async def sender(self, event: Event) -> tuple[Room, To]:
        """The room of the event's sender, and the recorded recipients that are there."""
        if event.sender is None or event.kind == "room_metadata":
            if event.kind != "room_metadata" or not self.rooms:
                raise SkippedError("no participant sent it")
            return next(iter(self.rooms.values())), None
        room = self.rooms.get(event.sender)
        if room is None:
            who = self._arriving(event)
            room = await self._join(who or _unknown(event.sender))
        if self._to is not None or not event.to:
            return room, self._to
        here = [each for each in event.to if each in self.rooms or each in room.participants]
        if not here:
            raise SkippedError("its recipients are not there")
        return room, here

    async def end(self) -> None:
        """Leave with all of them."""
        rooms, self.rooms = list(self.rooms.values()), {}

        async def leave(room: Room) -> None:
            with contextlib.suppress(LknbError):
                await room.aio.close()

        await asyncio.gather(*map(leave, rooms))


def _unknown(identity: str) -> Participant:
    """A participant of which the recording has nothing but its identity."""
    return Participant(identity, "", "", {}, "standard", "active", None, "unknown", {}, (), False, "")
