"""Reconnecting: completes what the SDK leaves undone when it reconnects, and joins again when it gives up.

After a resume, nothing has changed. After a full reconnect, the session is new: open writers and pending calls fail,
state is written again, and a `loss` event reports what may be missing. When the SDK gives up, or does not notice that
the link is dead, lknb tries to join again with a new token for ten minutes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from typing import TYPE_CHECKING, Any

from livekit import rtc

from lknb import server, server_api
from lknb.credentials import scrub
from lknb.errors import ConnectError, LknbError, ServerError
from lknb.event import Event, now
from lknb.heartbeat import ODD, Heartbeat
from lknb.losses import Losses

if TYPE_CHECKING:
    from lknb.connection import Connection

RETRY_FOR = 600.0
"""Seconds for which lknb tries to join again after the SDK has given up."""

_RETRY_PAUSE = 10.0
# Looks without a sign of life. The SDK itself gives up waiting after 12 to 15.
_DEAD = 20
# Seconds that the SDK gets for its ten attempts to reconnect, which take about 25.
_SDK_ATTEMPTS = 45.0
_LOOK_AT_SERVER = 0.25
# Seconds in which a resumed link must show that it works.
_PROOF_WITHIN = 6.0
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
        session_began: when the present session began.
        heartbeat: whether the link is alive.
        losses: records the `loss` events.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.room_sid = ""
        self.retrying: asyncio.Task[None] | None = None
        self.restoring = False
        self._asking: asyncio.Task[None] | None = None
        self.heartbeat = Heartbeat(self._silent, connection.is_sending)
        self.losses = Losses(connection.log)
        self.session_began = now()
        self._session_sid = ""
        self._down_since: dt.datetime | None = None
        self._lost_since = self._alive_until()

    def joined(self) -> None:
        """Note the ids of the new session, and follow its link."""
        sdk = self._connection.session
        assert sdk is not None
        if self._session_sid:  # a loss begins with the end of the session before
            self._down_since = self._down_since or self._alive_until()
        self._session_sid, self.session_began = sdk.local_participant.sid, now()
        self.room_sid = self.room_sid or sdk.server_sid
        self.heartbeat.begin(sdk)

    def closed(self) -> None:
        """Note that the room has been closed: if it is joined again, the loss begins now at the latest."""
        self._down_since = self._down_since or now()
        self.heartbeat.end()

    def _alive_until(self) -> dt.datetime:
        """The time since when messages may be lost, if the link is dead now."""
        return self.heartbeat.heard - self.heartbeat.unsent

    # What the heartbeat reports

    def _silent(self, looks: int) -> None:
        """Nothing has come over the link for some time: find out whether the session is gone."""
        if self._connection.state != "connected":
            return
        if looks >= _DEAD:
            self._take_over("nothing came over the link any more")
        elif looks >= ODD and (self._asking is None or self._asking.done()):
            self._asking = self._connection.start(self._leave_if_gone())

    async def _leave_if_gone(self) -> None:
        if await self._is_gone() and self._connection.state == "connected":
            self._take_over("the server does not know this session any more")

    async def _is_gone(self) -> bool:
        """Whether the server has ended, or does not list this participant any more."""
        connection = self._connection
        credentials = connection.credentials
        if await self._server_ended() or await server_api.has_ended(credentials.url):
            return True
        if not credentials.can_mint:
            return False
        present = await server_api.identities(credentials, connection.room)
        return present is not None and connection.identity not in present

    def _take_over(self, why: str) -> None:
        """Leave the SDK's session, which does not recover by itself, and join again."""
        connection = self._connection
        if connection.state == "closed" or self.retrying is not None:
            return
        self._down_since = self._down_since or self._alive_until()
        connection.set_state("reconnecting", why)
        connection.end_session(f"the connection was lost: {why}")
        if (session := connection.drop_session()) is not None:
            connection.leave_behind(session)
        self.retrying = connection.start(self._retry_joining())

    # What the SDK reports

    def interrupted(self) -> None:
        """The SDK lost the connection, and tries to resume it."""
        connection = self._connection
        self._down_since = self._down_since or self._alive_until()
        connection.set_state("reconnecting", "the SDK lost the connection")
        connection.start(self._bound_attempts(connection.session))

    async def _bound_attempts(self, session: Any) -> None:
        """Let the SDK try, unless its session cannot come back, and not for ever."""
        connection = self._connection
        deadline = time.monotonic() + _SDK_ATTEMPTS
        why = "the SDK did not reconnect in time"
        while time.monotonic() < deadline and connection.session is session and connection.state == "reconnecting":
            if await self._server_ended():
                why = "the embedded server has ended"
                break
            await asyncio.sleep(_LOOK_AT_SERVER)
        if connection.session is session and connection.state == "reconnecting":
            self._take_over(why)

    async def _server_ended(self) -> bool:
        """Whether the embedded server that this session is on has ended.

        The next one has another key. Whoever listens on its port instead would get this participant's token.
        """
        credentials = self._connection.credentials
        if not credentials.embedded:
            return False
        return not await asyncio.to_thread(server.is_ours, credentials.url, credentials.api_key)

    async def reconnected(self) -> None:
        """The SDK has reconnected: find out whether it resumed the session or began a new one, and whether it works."""
        connection, session = self._connection, self._connection.session
        if session is None:
            return
        if await self._server_ended():
            self._take_over("the embedded server has ended")
            return
        # A new session's id arrives with this participant's next update: immediately if announced, else up to 3 s late.
        announced = await connection.presence.announce()
        if await connection.until(self._is_new_session, _SIGN_IF_ANNOUNCED if announced else _SIGN_UNANNOUNCED):
            await self._rebuilt()
        elif connection.state == "reconnecting" and connection.session is session:
            if await connection.presence.somebody_answers(_PROOF_WITHIN):
                self._down_since = None
                connection.set_state("connected", "resumed; nothing was lost")
            else:
                self._take_over("the SDK resumed a link that delivers nothing")

    def updated(self, sdk_event: str) -> None:
        """Another SDK event: it may be the sign of a new session or a new room."""
        connection = self._connection
        if connection.state == "connected" and self._is_new_session():
            connection.start(self._rebuilt())  # the sign arrived after `reconnected` stopped waiting for it
        # While the connection is down, the old id is what the next session's is compared with.
        elif sdk_event in ("room_updated", "room_sid_changed") and connection.state == "connected":
            assert connection.session is not None
            if self._note_room_sid(connection.session.server_sid):
                self.losses.of_connection(self._lost_since, another_room=True)

    def disconnected(self, reason: Any) -> None:
        """The SDK gave up, or the server ended the session."""
        connection = self._connection
        if connection.state == "closed":
            return
        self._down_since = self._down_since or self._alive_until()
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
        self._session_sid, self.session_began = sdk.local_participant.sid, now()
        if not anew:
            connection.presence.refresh()
        # The SDK's own id of the room is up to 5 s behind after a reconnect.
        credentials = connection.credentials
        sid = await server_api.room_sid(credentials, connection.room) if credentials.can_mint else None
        another_room = self._note_room_sid(sid or sdk.server_sid)
        self._lost_since, self._down_since = self._down_since or self._alive_until(), None
        self.restoring = True
        connection.set_state("connected", reason)
        self.losses.of_connection(self._lost_since, another_room=another_room)
        for callback in connection.restored_callbacks:
            try:
                await callback(anew)
            except Exception as error:
                reason = _reason(error)
                connection.log.add(Event("connection", "in", topic="restore", status="failed", error=reason))
        self.restoring = connection.state != "connected" or connection.session is not sdk

    def _note_room_sid(self, sid: str) -> bool:
        """Note the room's id; returns whether it is a new room of the same name."""
        before = self.room_sid
        if not sid or sid == before:
            return False
        self.room_sid = sid
        return bool(before)

    # Joining again

    async def _retry_joining(self) -> None:
        """Try to join again, for ten minutes."""
        connection = self._connection
        begun, attempt = time.monotonic(), 0
        while time.monotonic() - begun < RETRY_FOR:
            attempt += 1
            if (session := connection.drop_session()) is not None:
                connection.leave_behind(session)
            try:
                await connection.join_again()
                await self.begin_session(anew=True)
            except Exception as error:
                refused = any(part in str(error) for part in ("refused the token", "refused the join"))
                if refused and not connection.credentials.can_mint:
                    await connection.close(str(error))
                    return
                self._note_failure(attempt, error)
                pause = min(_RETRY_PAUSE, 0.25 * 2**attempt)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, no secret
                continue
            if self.retrying is asyncio.current_task():  # the new session may be lost already
                self.retrying = None
            return
        await connection.close(f"the server could not be reached for {RETRY_FOR / 60:g} minutes")

    def _note_failure(self, attempt: int, error: Exception) -> None:
        """Keep the reason of a failed attempt; an unexpected one is recorded, the first time."""
        connection, reason = self._connection, _reason(error)
        if not isinstance(error, ConnectError | ServerError) and reason not in connection.state_reason:
            connection.log.add(Event("connection", "in", topic="rejoin", status="failed", error=reason))
        connection.set_state("reconnecting", f"attempt {attempt} failed: {reason}")


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, LknbError) else scrub(f"{type(error).__name__}: {error}")
