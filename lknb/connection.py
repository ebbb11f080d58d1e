"""One participant's connection to one room: its state, its SDK calls, joining and leaving.

`presence.py` tracks who is in the room, `reconnecting.py` handles lost connections, and `handshake.py` joins.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal, TypeVar

from livekit import rtc

from lknb import leaving, server
from lknb.connect_options import ConnectOptions
from lknb.credentials import Credentials, Secret
from lknb.errors import DeliveryTimeoutError, LknbError, NotConnectedError, PermissionDeniedError
from lknb.event import Event
from lknb.events import EventLog
from lknb.handshake import handshake
from lknb.leaving import Unconfirmed, confirm
from lknb.loop import keep
from lknb.presence import Presence
from lknb.reconnecting import Reconnecting
from lknb.replies import Reply
from lknb.sdk import RequestError, SdkRoom

T = TypeVar("T")

ConnectionState = Literal["connected", "reconnecting", "closed"]

CLOSED_HERE = "closed by this notebook"

_INTERRUPTION_SHOWS_WITHIN = 0.3
_LEAVE_WITHIN = 3.0
_REJOIN_LEAST = 5.0
_ANNOUNCE_LEAST = 0.1
_CALL_LIMIT = 30.0
# A token with a larger initial state would be too long for an HTTP header.
_INITIAL_STATE_IN_TOKEN = 4096


class Connection:
    """The connection of one room in this kernel; lives on the loop thread.

    Attributes:
        options: the arguments of `connect`.
        log: the room's event log.
        room: the room's name.
        identity: this participant's identity.
        credentials: the current credentials; the server refreshes tokens.
        state: `connected`, `reconnecting` or `closed`.
        state_reason: the reason for the state, in words.
        presence: the participants in the room.
        reconnecting: handles a lost connection.
        session: the SDK's room, joined or joining; None between sessions.
        session_token: the token that the present session began with; it carries this participant's state.
        changed: set after each change in the room.
        left: done when this connection has left the room.
    """

    def __init__(self, options: ConnectOptions, log: EventLog) -> None:
        self.options = options
        self.log = log
        self.room = options.room
        self.identity = options.identity
        self.credentials = options.credentials
        self.state: ConnectionState = "reconnecting"
        self.state_reason = "joining for the first time"
        self.presence = Presence(self)
        self.session: SdkRoom | None = None
        self.session_token: Secret | None = None
        self.changed = asyncio.Event()
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.restored_callbacks: list[Callable[[bool], Awaitable[None]]] = []
        self._callbacks: dict[str, list[Callable[..., None]]] = {}
        self._interrupted_callbacks: list[Callable[[rtc.LocalParticipant], None]] = []
        self._lost_callbacks: list[Callable[[str], None]] = []
        self._closed_callbacks: list[Callable[[], None]] = []
        # The SDK calls in progress in this session, by what ends them: whether they wait for another participant.
        self._calls: dict[Callable[[], None], bool] = {}
        self._calls_lock = threading.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._leaving: asyncio.Task[list[Event]] | None = None
        self._hurry = asyncio.Event()
        self.reconnecting = Reconnecting(self)

    # For the systems

    @property
    def sdk(self) -> SdkRoom:
        """The SDK's room, connected.

        Raises:
            NotConnectedError: if it is not connected, when the SDK accepts calls but may lose them silently.
        """
        if self.state != "connected" or self.session is None:
            raise self.not_connected()
        return self.session

    @property
    def local(self) -> rtc.LocalParticipant:
        """The SDK's local participant, connected; raises like `sdk`."""
        return self.sdk.local_participant

    def not_connected(self) -> NotConnectedError:
        """The error that says why nothing can be sent now."""
        if self.state == "closed":
            return NotConnectedError(
                f"Room {self.room!r} is closed ({self.state_reason}); nothing was sent. Join again with "
                f"room.rejoin() or lknb.connect({self.room!r})."
            )
        return NotConnectedError(
            f"Room {self.room!r} is reconnecting ({self.state_reason}); nothing was sent. Try again when room.state "
            "is 'connected'; 'connection' events report each change."
        )

    def on(self, event: str, callback: Callable[..., None]) -> None:
        """Call `callback` for each SDK event of this name, across all reconnects."""
        self._callbacks.setdefault(event, []).append(callback)

    def on_interrupted(self, callback: Callable[[rtc.LocalParticipant], None]) -> None:
        """Call `callback(local_participant)` when a connected session is interrupted or left, with its last state."""
        self._interrupted_callbacks.append(callback)

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call `callback(why)` when a session has ended and everything in progress in it is lost."""
        self._lost_callbacks.append(callback)

    def on_closed(self, callback: Callable[[], None]) -> None:
        """Call `callback()` when the room has closed, whatever the cause."""
        self._closed_callbacks.append(callback)

    def on_restored(self, callback: Callable[[bool], Awaitable[None]]) -> None:
        """Await `callback(anew)` when a new session has begun; `anew` is true if it has a new SDK room."""
        self.restored_callbacks.append(callback)

    def require(self, grant: str, action: str) -> None:
        """Check that this participant has `grant` before anything is sent.

        Raises:
            PermissionDeniedError: if it does not.
        """
        _ = self.local  # raises NotConnectedError
        if not self.may(grant):
            raise PermissionDeniedError(grant, action)

    def require_still(self, grant: str, action: str) -> None:
        """Check after a send that this participant had `grant` until its end: the server drops data without a word.

        Raises:
            PermissionDeniedError: if the grant was taken away.
        """
        if not self.may(grant):
            raise PermissionDeniedError(grant, action, taken=True)

    def may(self, grant: str) -> bool:
        """Whether this participant has `grant` now; true between sessions."""
        if self.session is None or not self.session.isconnected():
            return True
        permissions = self.session.local_participant.permissions
        return bool(
            {
                "canPublishData": permissions.can_publish_data,
                "canUpdateOwnMetadata": permissions.can_update_metadata,
                "canSubscribe": permissions.can_subscribe,
            }[grant]
        )

    def on_permissions(self, callback: Callable[[], None]) -> None:
        """Call `callback()` when this participant's grants have changed."""

        def changed(participant: rtc.Participant, *_: Any) -> None:
            if participant.identity == self.identity:
                callback()

        self.on("participant_permissions_changed", changed)

    def require_for_later(self, grant: str, action: str) -> None:
        """Check the grant for an `action` that takes effect whenever the room is connected, even if it is not now.

        Raises:
            PermissionDeniedError: if this participant lacks `grant`.
        """
        me = self.presence.participants.get(self.identity)
        if me is not None and not me.permissions[grant]:
            raise PermissionDeniedError(grant, action)

    def is_sending(self) -> bool:
        """Whether a send is waiting for the SDK, whose queue is full then."""
        with self._calls_lock:
            return not all(self._calls.values())

    async def call(
        self, awaitable: Awaitable[T], what: str, limit: float = _CALL_LIMIT, *, waits_for_others: bool = False
    ) -> T:
        """Await an SDK call until this session ends, for at most `limit` seconds.

        With `waits_for_others`, it takes as long as another participant needs to answer.

        Raises:
            NotConnectedError: if the session ended first, or the connection is down at the limit.
            DeliveryTimeoutError: if the call did not finish within the limit.
        """
        bound = asyncio.timeout(limit)

        def end() -> None:
            bound.reschedule(asyncio.get_running_loop().time())

        with self._in_progress(end, waits_for_others):
            try:
                async with bound:
                    return await awaitable
            except TimeoutError:
                raise self._timed_out(end, what, limit) from None

    async def request(
        self,
        make: Callable[[SdkRoom], Reply[T]],
        what: str,
        limit: float = _CALL_LIMIT,
        *,
        waits_for_others: bool = False,
    ) -> T:
        """Make a request on this thread, and await its reply like `call`; awaits replies only.

        Raises:
            NotConnectedError: if there is no connection, if the session ended first, or if the connection is down at
                the limit.
            DeliveryTimeoutError: if there was no reply within the limit.
        """
        session = self.sdk
        try:
            reply = make(session)
        except RequestError:
            raise self.lost_during(what) from None
        reply.deadline = time.monotonic() + limit

        def end() -> None:
            reply.fail(TimeoutError())

        with self._in_progress(end, waits_for_others):
            if self.session is not session:  # it ended before `end_session` could know of this request
                raise self.lost_during(what)
            try:
                return await reply
            except TimeoutError:
                raise self._timed_out(end, what, limit) from None

    @contextlib.contextmanager
    def _in_progress(self, end: Callable[[], None], waits_for_others: bool) -> Iterator[None]:
        """Have `end` called if this session ends during this block."""
        with self._calls_lock:
            self._calls[end] = waits_for_others
        try:
            yield
        finally:
            with self._calls_lock:
                self._calls.pop(end, None)

    def _timed_out(self, end: Callable[[], None], what: str, limit: float) -> LknbError:
        """The error of a call that has not ended: at its limit, or because its session has ended."""
        with self._calls_lock:
            at_limit = end in self._calls
        if at_limit and self.state == "connected":
            return DeliveryTimeoutError(
                f"{what} did not finish within {limit:g} s; the connection may have stalled. It may or may not "
                "have taken effect. Check room.state, and try again."
            )
        return self.lost_during(what)

    def lost_during(self, what: str) -> NotConnectedError:
        """The error of a call that was in progress when its session ended."""
        return NotConnectedError(
            f"The connection to room {self.room!r} was lost during {what}, which may or may not have taken effect."
        )

    async def is_interrupted(self) -> bool:
        """Whether the connection is down, or goes down within 0.3 s."""
        return await self.until(lambda: self.state != "connected", _INTERRUPTION_SHOWS_WITHIN)

    async def until(self, condition: Callable[[], bool], within: float) -> bool:
        """Whether `condition` becomes true within `within` seconds; checked after each change in the room."""
        deadline = time.monotonic() + within
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), left)
        return True

    @property
    def room_metadata(self) -> str:
        """The room's metadata, as last received."""
        return self.session.metadata if self.session is not None else ""

    def start(self, coro: Any) -> asyncio.Task[Any]:
        """Run a coroutine in the background, and keep a reference to its task until it ends."""
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Joining

    async def open(self, deadline: float) -> None:
        """Join the room and become visible to the others, by the time `deadline` of `time.monotonic`.

        Raises:
            ConnectError: if the room cannot be joined; the message gives the cause and the next step.
        """
        try:
            await self._join(deadline)
        except BaseException:
            self.set_state("closed", "joining failed")
            raise
        self.set_state("connected", "joined")

    async def reopen(self, deadline: float) -> None:
        """Join again after `close`, with the same identity, and restore what this participant had set.

        Joins by the time `deadline` of `time.monotonic`.

        Raises:
            ConnectError: if the room cannot be joined; it stays closed.
            ServerError: if the embedded server cannot be started; the room stays closed.
            NotConnectedError: if the room is closed in the meantime.
        """
        self.left = asyncio.get_running_loop().create_future()
        self._leaving = None
        self._hurry.clear()
        self.reconnecting.retrying = asyncio.current_task()
        self.set_state("reconnecting", "joining again")
        try:
            await self.join_again(deadline)
            await self.reconnecting.begin_session(anew=True, reason="joined again")
        except BaseException as error:
            closed, self.reconnecting.retrying = self.state == "closed", None
            await asyncio.shield(self.close("joining again failed"))
            if closed and isinstance(error, asyncio.CancelledError):
                raise self.not_connected() from None
            raise
        finally:
            self.reconnecting.retrying = None

    async def join_again(self, deadline: float | None = None) -> None:
        """Join with a new SDK room; start the embedded server first if it is no longer running.

        Joins by the time `deadline` of `time.monotonic`; without one, in the time that `connect` had.

        Raises:
            ConnectError: if the room cannot be joined; the message gives the cause and the next step.
            ServerError: if the embedded server cannot be started.
        """
        if self.credentials.embedded:
            self.credentials = of_server(await asyncio.to_thread(server.ensure))
        await self._join(deadline or time.monotonic() + max(self.options.timeout, _REJOIN_LEAST))

    async def _join(self, deadline: float) -> None:
        token = self.credentials.token or self._mint()
        sdk = SdkRoom(
            on_event=lambda *args: self._sdk_event(sdk, *args),
            on_text_stream=lambda reader, sender: self._stream_opened(sdk, "text_stream", reader, sender),
            on_byte_stream=lambda reader, sender: self._stream_opened(sdk, "byte_stream", reader, sender),
            max_stream_size=self.options.largest_stream,
        )
        # Set before the handshake, which already delivers the first events, such as published tracks.
        self.session, self.session_token = sdk, token
        try:
            await handshake(sdk, self.credentials, token, self.room, deadline)
        except BaseException:
            self.session = None
            raise
        self.identity = sdk.local_participant.identity
        self.reconnecting.joined()
        self.presence.refresh()
        await self.presence.announce(max(_ANNOUNCE_LEAST, deadline - time.monotonic()))

    def _mint(self) -> Secret:
        # The token carries the initial state, so the others never see this participant without it. Large state is set
        # after joining.
        initial = self.options.initial_state
        fits = len(str(initial)) < _INITIAL_STATE_IN_TOKEN
        return self.credentials.mint(self.room, self.identity, initial if fits else {}, hidden=self.options.hidden)

    # Leaving

    async def close(self, reason: str = CLOSED_HERE, confirm_within: float = leaving.WITHIN) -> list[Event]:
        """Leave the room when everybody has what was sent. Safe to call at any time, and more than once.

        Cancelling it leaves the room at once.

        Args:
            reason: why, for `state_reason`.
            confirm_within: seconds to wait for confirmations, and more for large data.

        Returns:
            The events that were not confirmed; they are `failed`.
        """
        announced = self.presence.receivers() if self.state == "connected" else None
        self._note_interruption()
        sdk = self.drop_session()
        retrying = self.reconnecting.retrying
        if retrying is not None and retrying is not asyncio.current_task():
            retrying.cancel()
        if self.state != "closed":
            self.reconnecting.closed()
            self.set_state("closed", reason)
        self.end_session(reason)
        leaving = self._leaving
        if leaving is None or (sdk is not None and leaving.done()):
            leaving = self._leaving = keep(self._leave(sdk, announced, confirm_within))
        elif sdk is not None:
            self.leave_behind(sdk)
        elif leaving.done():
            return []
        try:
            return await asyncio.shield(leaving)
        except asyncio.CancelledError:
            self._hurry.set()
            raise

    async def _leave(self, sdk: SdkRoom | None, announced: set[str] | None, confirm_within: float) -> list[Event]:
        lost: list[Event] = []
        try:
            if sdk is not None and announced is not None:
                lost = await self._confirm(sdk, announced, confirm_within)
            if sdk is not None:
                # The SDK may never answer; the server notices that this participant is gone.
                await asyncio.wait((self.leave_behind(sdk),), timeout=_LEAVE_WITHIN)
        finally:
            for task in list(self._tasks):
                task.cancel()
            if not self.left.done():
                self.left.set_result(None)
        return lost

    async def _confirm(self, sdk: SdkRoom, announced: set[str], within: float) -> list[Event]:
        """Wait until everybody has what was sent; return what somebody may not have."""
        unconfirmed = Unconfirmed(self.log, self.reconnecting.session_began)
        if not unconfirmed.events:
            return []
        present = await self.presence.receivers_now()
        unconfirmed.wait_for(announced if present is None else present)
        await confirm(sdk, unconfirmed, within, self._hurry)
        return unconfirmed.fail()

    def leave_behind(self, sdk: SdkRoom) -> asyncio.Task[None]:
        """Have a session that is not used any more leave the room, however long the SDK takes for it."""
        return keep(sdk.disconnect())

    def drop_session(self) -> SdkRoom | None:
        """Stop using the SDK's room, but keep its token: the server's latest refresh outlives the original."""
        sdk, self.session = self.session, None
        self.reconnecting.heartbeat.end()
        if sdk is not None and self.credentials.token is not None:
            self.credentials = Credentials(self.credentials.url, token=sdk.latest_token or self.credentials.token)
        return sdk

    def end_session(self, why: str) -> None:
        """End the calls in progress, and call the `on_lost` callbacks."""
        with self._calls_lock:
            calls, self._calls = self._calls, {}
        for end in calls:
            end()  # it raises TimeoutError, and is no longer in `_calls`
        for callback in self._lost_callbacks:
            callback(why)

    def set_state(self, state: ConnectionState, reason: str) -> None:
        """Set the state and its reason, and record a change of state."""
        changed = state != self.state
        if changed:
            self._note_interruption()
        self.state, self.state_reason = state, reason
        if changed:
            self.log.add(Event("connection", "in", topic=state, data={"state": state, "reason": reason}))
            self.changed.set()
            if state == "closed":
                for callback in self._closed_callbacks:
                    callback()

    def _note_interruption(self) -> None:
        """If a session is connected, have the systems note its last state. The next one begins with its last token."""
        if self.state == "connected" and self.session is not None:
            self.session_token = self.session.latest_token or self.session_token
            if self.reconnecting.restoring:
                return  # the state noted at the last interruption is still the whole one
            for callback in self._interrupted_callbacks:
                callback(self.session.local_participant)

    # What the SDK reports

    def _sdk_event(self, sdk: SdkRoom, event: str, *args: Any) -> None:
        if sdk is not self.session:
            return  # this session has ended, or was replaced
        if event == "reconnecting":
            self.reconnecting.interrupted()
        elif event == "reconnected":
            self.start(self.reconnecting.reconnected())
        elif event == "disconnected":
            self.reconnecting.disconnected(args[0])
        else:
            if event != "data_received":  # the only frequent event, and it changes no participant
                self.presence.refresh()
                self.reconnecting.updated(event)
            self._notify(event, *args)
            self.presence.record(event, *args)

    def _stream_opened(self, sdk: SdkRoom, event: str, reader: Any, sender: str) -> None:
        if sdk is not self.session:
            reader.close()
            return
        self._notify(event, reader, sender)

    def _notify(self, event: str, *args: Any) -> None:
        for callback in self._callbacks.get(event, ()):
            callback(*args)


def of_server(running: server.RunningServer) -> Credentials:
    """The credentials of the embedded server."""
    return Credentials(running.url, running.api_key, Secret(running.api_secret), embedded=True)
