"""State that the server keeps and late joiners receive: attributes, metadata, names.

lknb confirms every write, because the SDK returns normally even from a write that the server refused.
See https://docs.livekit.io/transport/data/state/.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from livekit import rtc

from lknb import checks, server_api
from lknb.connection import Connection
from lknb.credentials import read_token
from lknb.errors import ConnectError, NotConnectedError, PayloadTooLargeError, PermissionDeniedError, StateError
from lknb.event import Event
from lknb.events import EventLog
from lknb.heartbeat import ODD
from lknb.live import Live
from lknb.loop import LOOP
from lknb.public import public

ATTRIBUTES_LIMIT = 64 * 1024
METADATA_LIMIT = 512 * 1024
NAME_LIMIT = 256
_CONFIRM_WITHIN = 6.0


class ParticipantState:
    """Reads and writes the state of one connection's participant."""

    def __init__(self, connection: Connection, log: EventLog) -> None:
        self._connection = connection
        self._log = log
        # One write at a time: with attributes, the SDK also sends name and metadata from its cache.
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        # The state of this participant when the connection was last interrupted: what this notebook has set, and what
        # others have changed since.
        self._attributes: dict[str, str] = {}
        self._metadata = ""
        self._name = ""
        connection.on("participant_attributes_changed", self._attributes_changed)
        connection.on("participant_metadata_changed", self._metadata_changed)
        connection.on("participant_name_changed", lambda *_: self._changed.set())
        connection.on_interrupted(self._interrupted)
        connection.on_restored(self._restored)

    async def set_attributes(self, attributes: Mapping[str, str]) -> None:
        """Change attributes of this participant. Other keys keep their values; the value "" deletes a key.

        Returns when the server has confirmed the change. For more than a few changes a second, use packets instead.
        See https://docs.livekit.io/transport/data/state/.

        Args:
            attributes: a dict of strings; afterwards, all of this participant's keys and values may have at most 64 KiB
                together.

        Raises:
            PermissionDeniedError: without the grant canUpdateOwnMetadata.
            PayloadTooLargeError: if all attributes together would exceed 64 KiB.
            StateError: if the server did not confirm the change within 6 s.
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            TypeError: for anything except a dict of strings.
            ValueError: for text that UTF-8 cannot encode.

        Examples:
            >>> room.local_participant.set_attributes({"status": "ready", "round": "3"})
            >>> room.local_participant.set_attributes({"round": ""})
            >>> room.attributes["status"]
            'ready'
        """
        wanted = check_attributes(attributes, ATTRIBUTES_LIMIT)
        if not wanted:
            return
        self._connection.require("canUpdateOwnMetadata", "Setting attributes")
        async with self._writing:
            # The server checks each update alone, but the limit is meant for the total.
            check_attributes({**self._connection.local.attributes, **wanted}, ATTRIBUTES_LIMIT)
            await self._write(
                lambda: self._connection.local.set_attributes(wanted),
                lambda: all(self._connection.local.attributes.get(key, "") == value for key, value in wanted.items()),
                "The attributes " + ", ".join(map(repr, wanted)),
            )

    async def adopt(self, attributes: Mapping[str, str], metadata: str | None, name: str | None) -> None:
        """Write the parts of the initial state that the token did not set."""
        local = self._connection.local
        missing = {key: value for key, value in attributes.items() if local.attributes.get(key, "") != value}
        if missing:
            await self.set_attributes(missing)
        if metadata and local.metadata != metadata:
            await self.set_metadata(metadata)
        if name and local.name != name:
            await self.set_name(name)

    async def set_metadata(self, metadata: str) -> None:
        """Set this participant's metadata, at most 512 KiB. LiveKit cannot clear it afterwards.

        See https://docs.livekit.io/transport/data/state/.

        Raises:
            PermissionDeniedError: without the grant canUpdateOwnMetadata.
            PayloadTooLargeError: if the metadata exceeds 512 KiB.
            StateError: if the server did not confirm the change within 6 s, or if it would clear the metadata.
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            TypeError: for metadata that is not a str.
            ValueError: for text that UTF-8 cannot encode.
        """
        check_text(metadata, "metadata", METADATA_LIMIT)
        self._connection.require("canUpdateOwnMetadata", "Setting metadata")
        async with self._writing:
            if not metadata and self._connection.local.metadata:
                raise StateError(
                    'LiveKit cannot clear metadata once it is set. Use a value for "nothing", such as "{}".'
                )
            await self._write(
                lambda: self._connection.local.set_metadata(metadata),
                lambda: self._connection.local.metadata == metadata,
                "The metadata",
            )

    async def set_name(self, name: str) -> None:
        """Set this participant's display name, at most 256 bytes. LiveKit cannot clear it afterwards.

        Raises:
            PermissionDeniedError: without the grant canUpdateOwnMetadata.
            PayloadTooLargeError: if the name exceeds 256 bytes.
            StateError: if the server did not confirm the change within 6 s, or if it would clear the name.
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            TypeError: for a name that is not a str.
            ValueError: for text that UTF-8 cannot encode.
        """
        check_text(name, "name", NAME_LIMIT)
        self._connection.require("canUpdateOwnMetadata", "Setting the name")
        async with self._writing:
            if not name and self._connection.local.name:
                raise StateError("LiveKit cannot clear a name once it is set. Choose another one.")
            await self._write(
                lambda: self._connection.local.set_name(name),
                lambda: self._connection.local.name == name,
                "The name",
            )
        self._connection.presence.refresh()

    async def _write(self, send: Callable[[], Any], done: Callable[[], bool], what: str) -> None:
        async def sent() -> None:
            with contextlib.suppress(TimeoutError):
                await self._connection.call(send(), f"setting {what[0].lower()}{what[1:]}", limit=_CONFIRM_WITHIN)

        # The SDK's call may stall for 5 s after the server has applied the change, so wait for the value instead. If
        # the value is the same as before, only the end of the call shows that the server received it.
        was_set = done()
        sending = self._connection.start(sent())
        sending.add_done_callback(lambda task: task.cancelled() or task.exception())
        while not sending.done() and (was_set or not done()):
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait((sending, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
        if sending.done():
            sending.result()
        await self._confirmed(done, what)

    async def _confirmed(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _CONFIRM_WITHIN
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise StateError(
                    f"{what}: sent, but not confirmed by the server within {_CONFIRM_WITHIN:g} s. {self._why()}"
                )
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
            _ = self._connection.sdk  # raises NotConnectedError if the connection was lost
            self._connection.require_still("canUpdateOwnMetadata", what)

    def _why(self) -> str:
        """Why the server may not have confirmed a change, and what to do."""
        if self._connection.reconnecting.heartbeat.silence >= ODD:
            return (
                "Nothing comes from the server any more: the connection has stalled. The change may or may not have "
                "taken effect. Wait until room.state is 'connected' again, then read the value back."
            )
        return "The server silently refuses values over its limits. Read the value back to check it."

    def _attributes_changed(self, changed: dict[str, str], participant: rtc.Participant, *_: Any) -> None:
        self._changed.set()
        size = sum(len(key.encode()) + len(value.encode()) for key, value in changed.items())
        self._log.add(
            Event(
                "attributes",
                self._direction(participant),
                sender=participant.identity,
                data=dict(sorted(changed.items())),  # the SDK passes them in any order
                size=size,
            )
        )

    def _metadata_changed(self, participant: rtc.Participant, old: str, new: str, *_: Any) -> None:
        self._changed.set()
        self._log.add(
            Event(
                "participant_metadata",
                self._direction(participant),
                sender=participant.identity,
                data=new,
                size=len(new.encode()),
            )
        )

    def _direction(self, participant: rtc.Participant) -> Any:
        return "out" if participant.identity == self._connection.identity else "in"

    def _interrupted(self, local: rtc.LocalParticipant) -> None:
        self._attributes, self._metadata, self._name = dict(local.attributes), local.metadata, local.name

    async def _restored(self, anew: bool) -> None:
        """Write into a new session what it lacks of this participant's state.

        A session begins with the state in its token. Only what is still as in the token is lost; the rest has been
        changed by others since.
        """
        token = self._connection.session_token
        assert token is not None
        begun = read_token(token)
        try:
            local = self._connection.local
            lost = {
                key: self._attributes.get(key, "")
                for key in {*self._attributes, *begun.attributes}
                if local.attributes.get(key, "") == begun.attributes.get(key, "") != self._attributes.get(key, "")
            }
            if lost:
                await self.set_attributes(lost)
            if self._metadata and local.metadata == begun.metadata != self._metadata:
                await self.set_metadata(self._metadata)
            if self._name and local.name == begun.name != self._name:
                await self.set_name(self._name)
        except NotConnectedError:
            return  # lost again; the next session restores the state


class RoomState:
    """Reads and writes the state of one connection's room, through the server's API."""

    def __init__(self, connection: Connection, log: EventLog) -> None:
        self._connection = connection
        self._log = log
        self._writing = asyncio.Lock()
        connection.on("room_metadata_changed", self._metadata_changed)

    @property
    def is_admin(self) -> bool:
        """Whether this participant may use the server's API for this room."""
        credentials = self._connection.credentials
        if credentials.can_mint:
            return True
        assert credentials.token is not None
        try:
            return bool(read_token(credentials.token).grants.get("roomAdmin"))
        except ConnectError:
            return False

    async def set_metadata(self, metadata: str) -> None:
        """Set the room's metadata, at most 512 KiB, through the server's API.

        Args:
            metadata: the new metadata, often JSON; "" clears it.

        Raises:
            TypeError: if it is not a str.
            ValueError: for text that UTF-8 cannot encode.
            PermissionDeniedError: without an API key and secret, or a token with the grant roomAdmin.
            PayloadTooLargeError: if it exceeds 512 KiB.
            StateError: if the server refused it, did not answer, or did not confirm it.
            NotConnectedError: if the room is closed or reconnecting.
            DeliveryTimeoutError: if the server's API did not answer in time.
        """
        check_text(metadata, "metadata", METADATA_LIMIT)
        _ = self._connection.sdk  # raises NotConnectedError
        if not self.is_admin:
            raise PermissionDeniedError("roomAdmin", "Setting the room's metadata")
        async with self._writing:
            await self._connection.call(self._update(metadata), "set_metadata", limit=_CONFIRM_WITHIN)
            # Raises NotConnectedError if the connection is lost.
            confirmed = await self._connection.until(lambda: self._connection.sdk.metadata == metadata, _CONFIRM_WITHIN)
        if not confirmed:
            raise StateError(
                f"The room's metadata was sent, but the server did not confirm it within {_CONFIRM_WITHIN:g} s. "
                "Read room.metadata for its current value."
            )

    async def _update(self, metadata: str) -> None:
        import aiohttp
        from livekit import api

        request = api.UpdateRoomMetadataRequest(room=self._connection.room, metadata=metadata)
        try:
            async with server_api.client(self._connection.credentials, self._connection.room) as server:
                await server.room.update_room_metadata(request)
        except api.ServerError as error:
            if error.code in ("permission_denied", "unauthenticated"):
                raise PermissionDeniedError("roomAdmin", "Setting the room's metadata") from None
            raise StateError(f"The server refused the room's metadata: {error.message}.") from None
        except (OSError, aiohttp.ClientError) as error:
            raise StateError(f"The server's API could not be reached: {error}.") from None

    def _metadata_changed(self, old: str, new: str, *_: Any) -> None:
        self._log.add(Event("room_metadata", "in", data=new, size=len(new.encode())))


def check_text(text: Any, what: str, limit: int) -> None:
    """Check metadata or a name.

    Raises:
        TypeError: if it is not a str.
        ValueError: if UTF-8 cannot encode it.
        PayloadTooLargeError: if it exceeds `limit` bytes.
    """
    size = len(checks.text(text, what, "Use json.dumps(...) for JSON values.").encode())
    if size > limit:
        raise PayloadTooLargeError(f"The {what}", size, limit, "Keep a reference here, and send the data as a stream.")


def check_attributes(attributes: Any, limit: int) -> dict[str, str]:
    """Check attributes before they are sent, and return a copy.

    Raises:
        TypeError: for anything except a mapping from str to str, and for an empty key.
        ValueError: for text that UTF-8 cannot encode.
        PayloadTooLargeError: for more than `limit` bytes in total.
    """
    checked = checks.attributes(attributes)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in checked.items() if value)
    if size > limit:
        raise PayloadTooLargeError(
            "The total size of this participant's attributes",
            size,
            limit,
            "Delete some, or send the data as a stream and keep only a reference here.",
        )
    return checked


@public
class Attributes(Live, MutableMapping[str, str]):
    """This participant's attributes as a mapping that is always current. The server confirms each write.

    Writing raises the errors of `set_attributes`. Deleting a key deletes it for everybody.
    """

    _instead = "Use dict(room.attributes)."

    def __init__(self, state: ParticipantState, current: Callable[[], Mapping[str, str]]) -> None:
        self._state = state
        self._current = current

    def __getitem__(self, key: str) -> str:
        return self._current()[key]

    def __setitem__(self, key: str, value: str) -> None:
        LOOP.run(lambda: self._state.set_attributes({key: value}), "set_attributes")

    def __delitem__(self, key: str) -> None:
        if key not in self._current():
            raise KeyError(key)
        LOOP.run(lambda: self._state.set_attributes({key: ""}), "set_attributes")

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several attributes with one message and one confirmation."""
        try:
            wanted = dict(*args, **kwargs)
        except (TypeError, ValueError):  # neither a mapping nor pairs
            wanted = checks.attributes(args[0] if args else None)
        LOOP.run(lambda: self._state.set_attributes(wanted), "set_attributes")

    def clear(self) -> None:
        """Delete all attributes with one message."""
        keys = list(self._current())
        if keys:
            LOOP.run(lambda: self._state.set_attributes(dict.fromkeys(keys, "")), "set_attributes")

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def __repr__(self) -> str:
        return f"Attributes({dict(self._current())!r})"
