"""Presence: who is in the room, finding recipients, and becoming visible to the others immediately."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from livekit import rtc

from lknb import checks, server_api
from lknb.errors import UnknownParticipantError
from lknb.event import Direction, Event
from lknb.loop import on_loop
from lknb.participants import Participant, Participants, snapshot

if TYPE_CHECKING:
    from lknb.connection import Connection

# The server announces a participant that does not use lknb up to 3 s after it joined.
_LATE_JOINER = 3.5
_LATE_JOINER_UNKNOWN_TO_SERVER = 0.5
_ANNOUNCE_WITHIN = 3.0

# The kinds of participants that run one of LiveKit's SDKs, which answers calls.
_ANSWERING = {rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD, rtc.ParticipantKind.PARTICIPANT_KIND_AGENT}
_ASKED = 3

_CHANGES = {
    "participant_connected": "joined",
    "participant_active": "active",
    "participant_disconnected": "left",
    "participant_permissions_changed": "permissions",
    "participant_name_changed": "name",
}


class Presence:
    """The participants of one connection's room.

    Attributes:
        participants: a snapshot of everybody in the room.
        data_tracks_of: returns the names of the data tracks that an identity publishes; set by `DataTracks`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.participants = Participants()
        self.data_tracks_of: Callable[[str], tuple[str, ...]] = lambda identity: ()

    async def recipients(self, to: str | Participant | Iterable[str | Participant] | None) -> list[str]:
        """The identities to send to; an empty list means everybody. Waits briefly for an unknown identity.

        Raises:
            UnknownParticipantError: if one of them is not in the room.
            TypeError: for anything except identities and participants.
            ValueError: for an empty list, which LiveKit would treat as everybody.
        """
        identities = checks.identities(to, "to", "to send to everybody") or ()
        for identity in identities:
            await self.find(identity)
        return list(identities)

    async def recipients_here(self, to: str | Participant | Iterable[str | Participant] | None) -> list[str]:
        """Like `recipients`, for any thread; awaits replies only."""
        identities = checks.identities(to, "to", "to send to everybody") or ()
        if all(map(self._is_ready, identities)):
            return list(identities)
        return await on_loop(lambda: self.recipients(identities))

    async def find_here(self, identity: str) -> None:
        """Like `find`, for any thread; awaits replies only."""
        if not self._is_ready(identity):
            await on_loop(lambda: self.find(identity))

    async def find(self, identity: str) -> None:
        """Wait briefly until `identity` is in the room and ready to receive.

        Raises:
            UnknownParticipantError: if it is not in the room by then.
        """
        connection = self._connection
        if identity == connection.identity:
            raise own_messages(identity)
        if self._is_ready(identity):
            return
        limit = _LATE_JOINER
        if connection.credentials.can_mint:
            # The server knows its participants, and delivers to them, before it announces them. Its API saves the wait.
            present = await server_api.identities(connection.credentials, connection.room)
            if present is not None:
                if identity in present:
                    return
                limit = _LATE_JOINER_UNKNOWN_TO_SERVER
        await connection.until(lambda: self._is_ready(identity), limit)
        # A participant that has joined but is slow to become active counts: the server holds reliable data for it.
        if identity not in connection.sdk.remote_participants:
            raise UnknownParticipantError(identity, connection.sdk.remote_participants, connection.room)

    def _is_ready(self, identity: str) -> bool:
        participant = self._connection.sdk.remote_participants.get(identity)
        return participant is not None and participant.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE

    async def only_unannounced(self) -> str | None:
        """The only participant that may send data and is not announced yet; None without one, or if there are several.

        Asks the server's API, which knows participants up to 3 s before the SDK does.
        """
        connection = self._connection
        present = await server_api.identities(connection.credentials, connection.room, sending=True)
        known = {connection.identity, *(connection.session.remote_participants if connection.session else ())}
        unannounced = (present or set()) - known
        return unannounced.pop() if len(unannounced) == 1 else None

    def receivers(self) -> set[str]:
        """The others who receive what is sent to everybody, by identity. The SDK learns up to 3 s late who comes."""
        sdk = self._connection.session
        everybody = list(sdk.remote_participants.values()) if sdk is not None else []
        return {each.identity for each in everybody if each.kind in _ANSWERING and each.permissions.can_subscribe}

    async def receivers_now(self) -> set[str] | None:
        """The same, by the server's API; None without an API key, or without an answer."""
        connection = self._connection
        if not connection.credentials.can_mint:
            return None
        present = await server_api.participants(connection.credentials, connection.room)
        if present is None:
            return None
        others = (each for each in present if each.identity != connection.identity and not each.permission.hidden)
        return {each.identity for each in others if each.kind in _ANSWERING and each.permission.can_subscribe}

    async def somebody_answers(self, within: float) -> bool:
        """Whether data gets to one of the others and back within `within` seconds; true if nobody can answer."""
        sdk, others = self._connection.session, sorted(self.receivers())[:_ASKED]
        if sdk is None or not others or not sdk.local_participant.permissions.can_publish_data:
            return True
        asking = [asyncio.ensure_future(sdk.has_received_all(each, within)) for each in others]
        try:
            for answer in asyncio.as_completed(asking, timeout=within):
                if await answer:
                    return True
        except TimeoutError:
            pass
        finally:
            for each in asking:
                each.cancel()
        return False

    async def announce(self, within: float = _ANNOUNCE_WITHIN) -> bool:
        """Announce this participant immediately; returns whether the server answered in time, within 3 s at most.

        The server broadcasts an attribute change, with the participant's state, without its usual delay. Deleting a
        missing key changes nothing, but is broadcast too. Without the grant to change attributes, the server announces
        the participant after the usual delay.
        """
        sdk = self._connection.session
        if sdk is None or not sdk.local_participant.permissions.can_update_metadata:
            return False
        try:
            await asyncio.wait_for(sdk.local_participant.set_attributes({"lknb": ""}), min(within, _ANNOUNCE_WITHIN))
        except TimeoutError:
            return False
        return True

    def refresh(self) -> None:
        """Take a new snapshot of everybody."""
        sdk = self._connection.session
        if sdk is None or not sdk.isconnected():
            return
        everybody: list[tuple[Any, bool]] = [(sdk.local_participant, True)]
        everybody += [(each, False) for each in list(sdk.remote_participants.values())]
        self.participants.replace(
            {
                each.identity: snapshot(each, self.data_tracks_of(each.identity), is_local=is_local)
                for each, is_local in everybody
            }
        )
        self._connection.changed.set()

    def record(self, sdk_event: str, *args: Any) -> None:
        """Add an event to the log for a participant that joined, left or changed, and for what may be lost with it."""
        change = _CHANGES.get(sdk_event)
        if change is None or not args or args[0] is None:
            return
        who = args[0]
        losses = self._connection.reconnecting.losses
        if change == "joined":
            losses.came(who)
        elif change == "left":
            losses.left(who)
        details: dict[str, Any] = {"change": change, "name": who.name}
        if change == "permissions" and who.identity in self.participants:
            details["permissions"] = dict(self.participants[who.identity].permissions)
        direction: Direction = "out" if who.identity == self._connection.identity else "in"
        self._connection.log.add(Event("participant", direction, sender=who.identity, topic=change, data=details))


def own_messages(identity: str) -> ValueError:
    """The error for sending to oneself, and for listening to oneself."""
    return ValueError(f"{identity!r} is this participant. LiveKit does not deliver a message to its sender.")
