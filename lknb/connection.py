"""One participant's membership of one room: joining, being seen at once, reconnecting, and leaving.

The SDK reconnects by itself. After a resume nothing has changed; after a full reconnect the session is a new one, and
what the SDK leaves undone is done here: open writers and pending calls fail, state is written again, and a `loss`
event says what may be missing. When the SDK gives up, lknb joins anew, with a fresh token, for ten minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from livekit import rtc

from lknb import server, server_api
from lknb.credentials import Credentials, Secret
from lknb.errors import (
    ConnectError,
    DeliveryTimeoutError,
    LknbError,
    NotConnectedError,
    PermissionDeniedError,
    ServerError,
    UnknownParticipantError,
)
from lknb.event import Event, now
from lknb.events import EventLog
from lknb.handshake import handshake
from lknb.participants import Participants, snapshot
from lknb.sdk import SdkRoom

T = TypeVar("T")

State = Literal["connected", "reconnecting", "closed"]

RETRY_FOR = 600.0
"""Seconds for which lknb goes on trying after the SDK gave up."""

_RETRY_PAUSE = 10.0
# How long before `reconnecting` the link may already have been dead: the SDK notices after 12 to 15 s.
_UNNOTICED = dt.timedelta(seconds=20)
# A participant on a plain SDK is announced up to 3 s after it joined.
_LATE_JOINER = 3.5
_LATE_JOINER_IF_ASKED = 0.5
_ANNOUNCE_WITHIN = 3.0
_TOLD_WITHIN = 0.3
_TOLD_LATE = 3.5
_LEAVE_WITHIN = 3.0
# A call this long ago may have left data in the SDK's buffers.
_MAY_BE_UNSENT = 60.0
_CALL_LIMIT = 30.0

_FINAL = {
    rtc.DisconnectReason.DUPLICATE_IDENTITY: "another participant joined with the same identity",
    rtc.DisconnectReason.PARTICIPANT_REMOVED: "this participant was removed from the room",
    rtc.DisconnectReason.ROOM_DELETED: "the room was deleted",
    rtc.DisconnectReason.ROOM_CLOSED: "the room was closed",
}


class Connection:
    """The connection of one room in this kernel; lives on the loop thread.

    Args:
        room: the room's name.
        identity: this participant's.
        name: its display name, or None.
        attributes: its initial attributes.
        metadata: its initial metadata, or None.
        credentials: how to reach the server.
        timeout: seconds for joining.
        log: where everything is recorded.
    """

    def __init__(
        self,
        room: str,
        identity: str,
        credentials: Credentials,
        timeout: float,
        log: EventLog,
        *,
        name: str | None = None,
        attributes: Mapping[str, str] | None = None,
        metadata: str | None = None,
    ) -> None:
        self.room = room
        self.identity = identity
        self.name = name
        self.attributes = dict(attributes or {})
        self.metadata = metadata
        self.credentials = credentials
        self.log = log
        self.state: State = "reconnecting"
        self.state_reason = "joining for the first time"
        self.participants = Participants()
        self.data_tracks_of: Callable[[str], tuple[str, ...]] = lambda identity: ()
        self._timeout = timeout
        self._sdk: SdkRoom | None = None
        self._sids: tuple[str, str] = ("", "")
        self._callbacks: dict[str, list[Callable[..., None]]] = {}
        self._on_lost: list[Callable[[str], None]] = []
        self._on_closed: list[Callable[[], None]] = []
        self._on_restored: list[Callable[[bool], Awaitable[None]]] = []
        # The bounds of the SDK calls under way in this session.
        self._calls: set[asyncio.Timeout] = set()
        self._changed = asyncio.Event()
        self._last_heard = now()
        self._last_call = -_MAY_BE_UNSENT
        self._down_since: dt.datetime | None = None
        self._retrying: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = 0
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once nothing of this connection is in the room any more."""

    # What the systems use

    @property
    def sdk(self) -> SdkRoom:
        """The SDK's room, connected.

        Raises:
            NotConnectedError: while it is not; a call that the SDK accepts then may be lost without a word.
        """
        if self.state != "connected" or self._sdk is None:
            raise self.not_connected()
        return self._sdk

    @property
    def local(self) -> rtc.LocalParticipant:
        """The SDK's local participant, connected; raises like `sdk`."""
        return self.sdk.local_participant

    def not_connected(self) -> NotConnectedError:
        """Why nothing can be sent now."""
        if self.state == "closed":
            return NotConnectedError(
                f"Room {self.room!r} is closed ({self.state_reason}); nothing was sent. Join again with "
                f"room.rejoin() or lknb.connect({self.room!r})."
            )
        return NotConnectedError(
            f"Room {self.room!r} is reconnecting ({self.state_reason}); nothing was sent. room.state and the "
            "'connection' events tell when it is back."
        )

    def on(self, event: str, callback: Callable[..., None]) -> None:
        """Call `callback` for each SDK event of this name, over all reconnects."""
        self._callbacks.setdefault(event, []).append(callback)

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call `callback(why)` when the session has ended for good: what was under way in it is lost."""
        self._on_lost.append(callback)

    def on_closed(self, callback: Callable[[], None]) -> None:
        """Call `callback()` once the room is closed, by whomever."""
        self._on_closed.append(callback)

    def on_restored(self, callback: Callable[[bool], Awaitable[None]]) -> None:
        """Await `callback(anew)` when a new session has begun; `anew` means with a new SDK room."""
        self._on_restored.append(callback)

    def require(self, grant: str, action: str) -> None:
        """Raise PermissionDeniedError, before anything is sent, when this participant lacks `grant`."""
        permissions = self.local.permissions
        granted = {
            "canPublishData": permissions.can_publish_data,
            "canUpdateOwnMetadata": permissions.can_update_metadata,
            "canSubscribe": permissions.can_subscribe,
        }
        if not granted[grant]:
            raise PermissionDeniedError(grant, action)

    def require_to_hear(self, grant: str, action: str) -> None:
        """Raise PermissionDeniedError when `action`, which is to begin whenever the room is connected, never will."""
        me = self.participants.get(self.identity)
        if me is not None and not me.permissions[grant]:
            raise PermissionDeniedError(grant, action)

    async def call(self, awaitable: Awaitable[T], what: str, limit: float = _CALL_LIMIT) -> T:
        """Await an SDK call, but not past the end of this session nor for more than `limit` seconds.

        Raises:
            NotConnectedError: when the session ended first, or the connection is down at the limit.
            DeliveryTimeoutError: past the limit.
        """
        self._last_call = time.monotonic()
        bound = asyncio.timeout(limit)
        self._calls.add(bound)
        try:
            async with bound:
                return await awaitable
        except TimeoutError:
            if bound in self._calls and self.state == "connected":
                raise DeliveryTimeoutError(
                    f"{what} did not finish within {limit:g} s: the connection may have stalled. Try again; "
                    "room.close() and room.rejoin() make a new connection."
                ) from None
            raise self.lost_during(what) from None
        finally:
            self._calls.discard(bound)

    def lost_during(self, what: str) -> NotConnectedError:
        """What a call is told that was under way when its session ended."""
        return NotConnectedError(
            f"The connection to room {self.room!r} was lost during {what}; whether it arrived is not known."
        )

    async def is_interrupted(self) -> bool:
        """Whether the connection is down, or is being found to be just now."""
        return await self._until(lambda: self.state != "connected", _TOLD_WITHIN)

    async def _until(self, condition: Callable[[], bool], within: float) -> bool:
        """Whether `condition` comes true within so many seconds; looked at after each news of the room."""
        deadline = time.monotonic() + within
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
        return True

    async def recipients(self, to: str | Iterable[str] | None) -> list[str]:
        """The identities to send to; an empty list means everybody.

        Somebody unknown is given a moment to appear.

        Raises:
            UnknownParticipantError: when somebody is not there.
            ValueError: for an empty list, which LiveKit would take for everybody.
        """
        if to is None:
            return []
        wanted = [to] if isinstance(to, str) else list(to)
        if not wanted:
            raise ValueError("to=[] names nobody. Leave to out to send to everybody.")
        for identity in wanted:
            await self.find(identity)
        return wanted

    async def find(self, identity: str) -> None:
        """Wait a moment for `identity` to be in the room, ready to receive.

        Raises:
            UnknownParticipantError: when they are not there by then.
        """
        if not isinstance(identity, str):
            raise TypeError(f"An identity is a string, not {type(identity).__name__}: {identity!r}.")
        if identity == self.identity:
            raise ValueError(f"{identity!r} is this participant itself; LiveKit sends nothing back to the sender.")
        if self._ready(identity):
            return
        limit = _LATE_JOINER
        if self.credentials.can_mint:
            # The server knows who is there before it tells, and sends to them: asking it spares most of the wait.
            present = await server_api.identities(self.credentials, self.room)
            if present is not None:
                if identity in present:
                    return
                limit = _LATE_JOINER_IF_ASKED
        await self._until(lambda: self._ready(identity), limit)
        # Who has joined but is slow to become active is there: the server holds reliable data for them.
        if identity not in self.sdk.remote_participants:
            raise UnknownParticipantError(identity, self.sdk.remote_participants, self.room)

    def _ready(self, identity: str) -> bool:
        participant = self.sdk.remote_participants.get(identity)
        return participant is not None and participant.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE

    @property
    def room_metadata(self) -> str:
        """The room's metadata, as last heard of."""
        return self._sdk.metadata if self._sdk is not None else ""

    def start(self, coro: Any) -> asyncio.Task[Any]:
        """Run a coroutine in the background, referenced until it ends."""
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def heard(self) -> None:
        """Note that something came in: the link was alive until now."""
        self._last_heard = now()

    # Joining and leaving

    async def open(self) -> None:
        """Join the room and be visible to those in it.

        Raises:
            ConnectError: with the cause and the next step.
        """
        try:
            await self._join(self._timeout)
        except BaseException:
            self._set_state("closed", "joining failed")
            raise
        self._set_state("connected", "joined")

    async def reopen(self) -> None:
        """Join again after `close`, with the same identity; what this participant had set is set again.

        Raises:
            ConnectError, ServerError: when it cannot be joined; the room stays closed.
            NotConnectedError: when it was closed meanwhile.
        """
        self.left = asyncio.get_running_loop().create_future()
        self._retrying = asyncio.current_task()
        self._set_state("reconnecting", "joining again")
        try:
            if self.credentials.embedded:
                self.credentials = of_server(await asyncio.to_thread(server.ensure))
            await self._join(self._timeout)
            await self._begin_session(anew=True, reason="joined again")
        except BaseException as error:
            closed, self._retrying = self.state == "closed", None
            await asyncio.shield(self.close("joining again failed"))
            if closed and isinstance(error, asyncio.CancelledError):
                raise self.not_connected() from None
            raise
        finally:
            self._retrying = None

    async def _join(self, timeout: float) -> None:
        token = self.credentials.token or self._mint()
        sdk = SdkRoom(
            on_event=lambda *args: self._sdk_event(sdk, *args),
            on_text_stream=lambda reader, sender: self._stream_opened(sdk, "text_stream", reader, sender),
            on_byte_stream=lambda reader, sender: self._stream_opened(sdk, "byte_stream", reader, sender),
        )
        # In place before the handshake: what the server tells first, as who publishes which track, comes with its end.
        self._sdk = sdk
        try:
            await handshake(sdk, self.credentials.url, token, self.room, timeout)
        except BaseException:
            self._sdk = None
            raise
        self._sids = (sdk.local_participant.sid, self._sids[1] or sdk.server_sid)
        self.identity = sdk.local_participant.identity
        self.heard()
        self.refresh()
        await self._announce(sdk)

    def _mint(self) -> Secret:
        # The initial state goes with the token, so that it is there when the others first see us; a large one would
        # make the token too long for an HTTP header, and is set after joining.
        initial = {"name": self.name, "attributes": self.attributes or None, "metadata": self.metadata}
        return self.credentials.mint(self.room, self.identity, initial if len(str(initial)) < 4096 else {})

    async def _announce(self, sdk: SdkRoom) -> bool:
        """Make the others see us now: the server sends a change of attributes at once, and our state with it.

        Deleting a key that is not there changes nothing, and is sent all the same. Returns whether the server has
        answered; who may not do that is announced by the server in its own time.
        """
        if not sdk.local_participant.permissions.can_update_metadata:
            return False
        try:
            await asyncio.wait_for(sdk.local_participant.set_attributes({"lknb": ""}), _ANNOUNCE_WITHIN)
        except TimeoutError:
            return False
        return True

    async def close(self, reason: str = "closed by this notebook", flush_within: float = 30.0) -> None:
        """Leave the room, when what was sent is on its way; safe to call at any time, and twice."""
        self._closing += 1
        connected = self.state == "connected"
        sdk, self._sdk = self._sdk, None
        self._keep_token(sdk)
        if self._retrying is not None and self._retrying is not asyncio.current_task():
            self._retrying.cancel()
        if self.state != "closed":
            self._set_state("closed", reason)
        self._end_session(reason)
        try:
            if connected and sdk is not None and time.monotonic() - self._last_call < _MAY_BE_UNSENT:
                await sdk.flush(flush_within)
        finally:
            if sdk is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(sdk.disconnect()), _LEAVE_WITHIN)
            for task in list(self._tasks):
                if task is not asyncio.current_task():
                    task.cancel()
            self._closing -= 1
            if not self._closing and not self.left.done():
                self.left.set_result(None)

    # What the SDK tells

    def _sdk_event(self, sdk: SdkRoom, event: str, *args: Any) -> None:
        if sdk is not self._sdk:
            return  # left already, or replaced
        if event == "reconnecting":
            self._interrupted()
        elif event == "reconnected":
            self.start(self._reconnected())
        elif event == "disconnected":
            self._disconnected(args[0])
        else:
            self.heard()
            if event != "data_received":  # the only one that is frequent, and it changes nobody
                self.refresh()
                if self.state == "connected" and self._is_new_session():
                    self.start(self._rebuilt())  # told later than we waited for it
                if event in ("room_updated", "room_sid_changed"):
                    self._notice_room(sdk.server_sid)
            self._tell(event, *args)
            self._note(event, *args)

    def _stream_opened(self, sdk: SdkRoom, event: str, reader: Any, sender: str) -> None:
        if sdk is not self._sdk:
            reader.close()
            return
        self.heard()
        self._tell(event, reader, sender)

    def _tell(self, event: str, *args: Any) -> None:
        for callback in self._callbacks.get(event, ()):
            callback(*args)

    def _note(self, event: str, *args: Any) -> None:
        """Record what happens to participants."""
        change = {
            "participant_connected": "joined",
            "participant_active": "active",
            "participant_disconnected": "left",
            "participant_permissions_changed": "permissions",
            "participant_name_changed": "name",
        }.get(event)
        if change is None or not args or args[0] is None:
            return
        who = args[0]
        details: dict[str, Any] = {"change": change, "name": who.name}
        if change == "permissions" and who.identity in self.participants:
            details["permissions"] = dict(self.participants[who.identity].permissions)
        direction: Literal["in", "out"] = "out" if who.identity == self.identity else "in"
        self.log.add(Event("participant", direction, sender=who.identity, topic=change, data=details))

    def refresh(self) -> None:
        """Take a new snapshot of everybody."""
        if self._sdk is None or not self._sdk.isconnected():
            return
        everybody: list[tuple[Any, bool]] = [(self._sdk.local_participant, True)]
        everybody += [(each, False) for each in list(self._sdk.remote_participants.values())]
        self.participants.replace(
            {
                each.identity: snapshot(each, self.data_tracks_of(each.identity), is_local=is_local)
                for each, is_local in everybody
            }
        )
        self._changed.set()

    # Reconnecting

    def _set_state(self, state: State, reason: str) -> None:
        changed = state != self.state
        self.state, self.state_reason = state, reason
        if changed:
            self.log.add(Event("connection", "in", topic=state, data={"state": state, "reason": reason}))
            self._changed.set()
            if state == "closed":
                for callback in self._on_closed:
                    callback()

    def _interrupted(self) -> None:
        self._down_since = self._down_since or max(self._last_heard, now() - _UNNOTICED)
        self._set_state("reconnecting", "the SDK lost the connection")
        if self.credentials.embedded:
            self.start(self._revive_server())

    async def _revive_server(self) -> None:
        # Same ports, same key: when it is up again the SDK comes back by itself.
        with contextlib.suppress(ServerError):
            await asyncio.to_thread(server.ensure)

    async def _reconnected(self) -> None:
        sdk = self._sdk
        if sdk is None:
            return
        # After a resume the session is the old one; otherwise its new id comes with the next news of ourselves, which
        # is up to 3 s late, or at once when we ask for some.
        asked = await self._announce(sdk)
        if await self._until(self._is_new_session, _TOLD_WITHIN if asked else _TOLD_LATE):
            await self._rebuilt()
        elif self.state == "reconnecting":
            self._down_since = None
            self._set_state("connected", "resumed; nothing was lost")

    def _is_new_session(self) -> bool:
        return self._sdk is not None and self._sdk.isconnected() and self._sdk.local_participant.sid != self._sids[0]

    def _notice_room(self, sid: str) -> bool:
        """Take note of the room's id, and record when it is another room of the same name."""
        before = self._sids[1]
        if not sid or sid == before:
            return False
        self._sids = (self._sids[0], sid)
        if before and self.state == "connected":
            self._record_loss(self._last_heard, another_room=True)
        return bool(before)

    def _record_loss(self, since: dt.datetime, *, another_room: bool) -> None:
        self.log.add(
            Event(
                "loss",
                "in",
                topic="reconnect",
                data={"from": since, "until": now(), "another_room": another_room},
                error="the room was created anew" if another_room else "what was sent meanwhile may be missing",
            )
        )

    async def _rebuilt(self) -> None:
        self._end_session("the connection was rebuilt")
        await self._begin_session(anew=False)

    def _end_session(self, why: str) -> None:
        calls, self._calls = self._calls, set()
        for bound in calls:
            # Past its time at once: the call ends with TimeoutError, and is no longer among ours.
            bound.reschedule(asyncio.get_running_loop().time())
        for callback in self._on_lost:
            callback(why)

    async def _begin_session(self, *, anew: bool, reason: str = "reconnected") -> None:
        sdk = self._sdk
        if sdk is None:
            return
        self._sids = (sdk.local_participant.sid, self._sids[1])
        if not anew:
            self.refresh()
        # The SDK's own id of the room is up to 5 s behind after a reconnect.
        sid = await server_api.room_sid(self.credentials, self.room) if self.credentials.can_mint else None
        another_room = self._notice_room(sid or sdk.server_sid)
        since, self._down_since = self._down_since, None
        self._set_state("connected", reason)
        self._record_loss(since or self._last_heard, another_room=another_room)
        for callback in self._on_restored:
            try:
                await callback(anew)
            except LknbError as error:
                self.log.add(Event("connection", "in", topic="restore", status="failed", error=str(error)))

    def _disconnected(self, reason: Any) -> None:
        if self.state == "closed":
            return
        self._down_since = self._down_since or max(self._last_heard, now() - _UNNOTICED)
        name = rtc.DisconnectReason.Name(reason) if reason in rtc.DisconnectReason.values() else str(reason)
        final = _FINAL.get(reason)
        self._end_session(final or f"the connection was lost: {name}")
        if final:
            self.start(self.close(final))
            return
        self._set_state("reconnecting", f"the SDK gave up ({name})")
        self._retrying = self.start(self._rejoin())

    async def _rejoin(self) -> None:
        """Join anew until it works, for ten minutes."""
        old, self._sdk = self._sdk, None
        self._keep_token(old)
        begun, attempt = time.monotonic(), 0
        while time.monotonic() - begun < RETRY_FOR:
            attempt += 1
            try:
                if self.credentials.embedded:
                    self.credentials = of_server(await asyncio.to_thread(server.ensure))
                await self._join(max(self._timeout, 5.0))
            except (ConnectError, ServerError) as error:
                refused = "refused the token" in str(error)
                if refused and not self.credentials.can_mint:
                    await self.close(str(error))
                    return
                self._set_state("reconnecting", f"attempt {attempt} failed: {error}")
                pause = min(_RETRY_PAUSE, 0.25 * 2**attempt)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, no secret
                continue
            await self._begin_session(anew=True)
            self._retrying = None
            return
        await self.close(f"the server could not be reached for {RETRY_FOR / 60:g} minutes")

    def _keep_token(self, sdk: SdkRoom | None) -> None:
        """Join with the server's last refreshed token from now on: it lives longer than the one we were given."""
        if sdk is not None and self.credentials.token is not None:
            self.credentials = Credentials(self.credentials.url, token=sdk.latest_token or self.credentials.token)


def of_server(running: server.RunningServer) -> Credentials:
    """The credentials of the embedded server."""
    return Credentials(running.url, running.api_key, Secret(running.api_secret), embedded=True)
