"""Reconnecting: completes what the SDK leaves undone when it reconnects, and joins again when it gives up.

After a resume, nothing has changed. After a full reconnect, the session is new: open writers and pending calls fail,
state is written again, and a `loss` event reports what may be missing. When the SDK gives up, lknb tries to join again
with a new token for ten minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import time
from typing import TYPE_CHECKING, Any

from livekit import rtc

from lknb import server, server_api
from lknb.errors import ConnectError, LknbError, ServerError
from lknb.event import Event, now

if TYPE_CHECKING:
    from lknb.connection import Connection

RETRY_FOR = 600.0
"""Seconds for which lknb tries to join again after the SDK has given up."""

_RETRY_PAUSE = 10.0
# The connection may have been dead this long before the SDK reports `reconnecting`: it notices after 12 to 15 s.
_UNNOTICED = dt.timedelta(seconds=20)
# Seconds to wait for the sign of a new session, if the server answered the announcement and if it did not.
_SIGN_IF_ANNOUNCED = 0.3
_SIGN_UNANNOUNCED = 3.5

_FINAL = {
    rtc.DisconnectReason.DUPLICATE_IDENTITY: "another participant joined with the same identity",
    rtc.DisconnectReason.PARTICIPANT_REMOVED: "this participant was removed from the room",
    rtc.DisconnectReason.ROOM_DELETED: "the room was deleted",
    rtc.DisconnectReason.ROOM_CLOSED: "the room was closed",
}


class Reconnecting:
    """Follows one connection from session to session.

    Attributes:
        room_sid: LiveKit's id of the room; a different one means a new room of the same name.
        retrying: the task that joins again, if there is one.
        restoring: whether a new session still lacks what the systems restore.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.room_sid = ""
        self.retrying: asyncio.Task[None] | None = None
        self.restoring = False
        self._session_sid = ""
        self._last_received = now()
        self._down_since: dt.datetime | None = None

    def note_received(self) -> None:
        """Note that something was received: the connection was alive until now."""
        self._last_received = now()

    def joined(self) -> None:
        """Note the ids of the new session."""
        sdk = self._connection.session
        assert sdk is not None
        self._session_sid = sdk.local_participant.sid
        self.room_sid = self.room_sid or sdk.server_sid
        self.note_received()

    # What the SDK reports

    def interrupted(self) -> None:
        """The SDK lost the connection, and tries to resume it."""
        self._down_since = self._down_since or max(self._last_received, now() - _UNNOTICED)
        self._connection.set_state("reconnecting", "the SDK lost the connection")
        if self._connection.credentials.embedded:
            self._connection.start(self._revive_server())

    async def _revive_server(self) -> None:
        # The server starts with the same ports and keys, so the SDK reconnects by itself.
        with contextlib.suppress(ServerError):
            await asyncio.to_thread(server.ensure)

    async def reconnected(self) -> None:
        """The SDK has reconnected: find out whether it resumed the session or began a new one."""
        connection = self._connection
        if connection.session is None:
            return
        # A new session's id arrives with this participant's next update: immediately if announced, else up to 3 s late.
        announced = await connection.presence.announce()
        if await connection.until(self._is_new_session, _SIGN_IF_ANNOUNCED if announced else _SIGN_UNANNOUNCED):
            await self._rebuilt()
        elif connection.state == "reconnecting":
            self._down_since = None
            connection.set_state("connected", "resumed; nothing was lost")

    def updated(self, sdk_event: str) -> None:
        """Another SDK event: it may be the sign of a new session or a new room."""
        connection = self._connection
        if connection.state == "connected" and self._is_new_session():
            connection.start(self._rebuilt())  # the sign arrived after `reconnected` stopped waiting for it
        if sdk_event in ("room_updated", "room_sid_changed") and connection.session is not None:
            self._note_room_sid(connection.session.server_sid)

    def disconnected(self, reason: Any) -> None:
        """The SDK gave up, or the server ended the session."""
        connection = self._connection
        if connection.state == "closed":
            return
        self._down_since = self._down_since or max(self._last_received, now() - _UNNOTICED)
        name = rtc.DisconnectReason.Name(reason) if reason in rtc.DisconnectReason.values() else str(reason)
        final = _FINAL.get(reason)
        connection.end_session(final or f"the connection was lost: {name}")
        if final:
            connection.start(connection.close(final))
            return
        connection.set_state("reconnecting", f"the SDK gave up ({name})")
        self.retrying = connection.start(self._retry_joining())

    # New sessions

    def _is_new_session(self) -> bool:
        sdk = self._connection.session
        return sdk is not None and sdk.isconnected() and sdk.local_participant.sid != self._session_sid

    async def _rebuilt(self) -> None:
        self._connection.end_session("the connection was rebuilt")
        await self.begin_session(anew=False)

    async def begin_session(self, *, anew: bool, reason: str = "reconnected") -> None:
        """Make a new session usable: set the state, record the loss, and have the systems restore their state."""
        connection, sdk = self._connection, self._connection.session
        if sdk is None:
            return
        self._session_sid = sdk.local_participant.sid
        if not anew:
            connection.presence.refresh()
        # The SDK's own id of the room is up to 5 s behind after a reconnect.
        credentials = connection.credentials
        sid = await server_api.room_sid(credentials, connection.room) if credentials.can_mint else None
        another_room = self._note_room_sid(sid or sdk.server_sid)
        since, self._down_since = self._down_since, None
        self.restoring = True
        connection.set_state("connected", reason)
        self._record_loss(since or self._last_received, another_room=another_room)
        for callback in connection.restored_callbacks:
            try:
                await callback(anew)
            except LknbError as error:
                connection.log.add(Event("connection", "in", topic="restore", status="failed", error=str(error)))
        self.restoring = connection.state != "connected" or connection.session is not sdk

    def _note_room_sid(self, sid: str) -> bool:
        """Note the room's id, and record a loss if it is a new room of the same name; returns whether it is."""
        before = self.room_sid
        if not sid or sid == before:
            return False
        self.room_sid = sid
        if before and self._connection.state == "connected":
            self._record_loss(self._last_received, another_room=True)
        return bool(before)

    def _record_loss(self, since: dt.datetime, *, another_room: bool) -> None:
        self._connection.log.add(
            Event(
                "loss",
                "in",
                topic="reconnect",
                data={"from": since, "until": now(), "another_room": another_room},
                error="the room was recreated" if another_room else "messages sent in the meantime may be missing",
            )
        )

    # Joining again

    async def _retry_joining(self) -> None:
        """Try to join again, for ten minutes."""
        connection = self._connection
        connection.drop_session()
        begun, attempt = time.monotonic(), 0
        while time.monotonic() - begun < RETRY_FOR:
            attempt += 1
            try:
                await connection.join_again(max(connection.options.timeout, 5.0))
            except (ConnectError, ServerError) as error:
                refused = any(part in str(error) for part in ("refused the token", "refused the join"))
                if refused and not connection.credentials.can_mint:
                    await connection.close(str(error))
                    return
                connection.set_state("reconnecting", f"attempt {attempt} failed: {error}")
                pause = min(_RETRY_PAUSE, 0.25 * 2**attempt)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, no secret
                continue
            await self.begin_session(anew=True)
            self.retrying = None
            return
        await connection.close(f"the server could not be reached for {RETRY_FOR / 60:g} minutes")
