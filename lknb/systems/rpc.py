"""Remote method calls: JSON in, JSON out, checked against the handler's type hints.

See https://docs.livekit.io/transport/data/rpc/.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from livekit import rtc

from lknb import checks
from lknb.connection import Connection
from lknb.defaults import RPC_TIMEOUT
from lknb.errors import PermissionDeniedError, RpcError
from lknb.event import Event, amend, set_answer
from lknb.events import EventLog
from lknb.handlers import Handler, Handlers
from lknb.interest import Interest
from lknb.loop import LOOP, on_loop
from lknb.participants import Participant
from lknb.progress import size as readable
from lknb.replies import Turns
from lknb.sdk import TOO_LARGE, CallRefused
from lknb.systems.arguments import Arguments
from lknb.systems.json_values import jsonable
from lknb.systems.payloads import ERROR_DATA_LIMIT, PAYLOAD_LIMIT, cut, decode_answer, encode
from lknb.systems.sending import Outcome, recording

METHOD_LIMIT = 64

# The SDK waits this long for the peer to acknowledge a call, and subtracts it from the handler's deadline.
_ROUND_TRIP = 7.0
# What a call and its answer may take in addition to the handler's time: a moment, round trips, and the payload's way.
_TRANSIT = 0.25
_ROUND_TRIPS = 4
_BYTES_PER_SECOND = 1_000_000
_IN_FLIGHT = 64

MAX_WAITING = 256
"""Maximum calls of one participant that wait for their turn at one method."""

MAX_WAITING_SIZE = 4 * PAYLOAD_LIMIT
"""Maximum bytes of their payloads together."""

_NO_ANSWER = (1501, 1503, 1505)
_HANDLER_FAILED = "Application error in method handler"


class Rpc:
    """Calls and serves the remote methods of one connection."""

    def __init__(self, connection: Connection, log: EventLog, handlers: Handlers) -> None:
        self._connection = connection
        self._log = log
        self._handlers = handlers
        self._methods: dict[str, Method] = {}
        self._in_flight = Turns(_IN_FLIGHT)
        connection.on_restored(self._restored)
        handlers.on_change(self._handlers_changed)

    # Calling

    async def perform_rpc(
        self,
        to: str | Participant,
        method: str,
        payload: Any = None,
        *,
        timeout: float | dt.timedelta = RPC_TIMEOUT,
        raw: bool = False,
    ) -> Any:
        """Call a method that another participant serves, and return its answer.

        See https://docs.livekit.io/transport/data/rpc/.

        Args:
            to: the participant that serves it, or its identity.
            method: the method's name.
            payload: any value that JSON can express; a dict becomes the arguments of an lknb handler. Times are sent as
                ISO text, arrays and columns as lists, tables as a list of rows.
            timeout: the seconds that the handler has to answer, including the way of a large answer.
            raw: send `payload`, a str, unchanged, and return the answer as a str.

        Returns:
            The answer: JSON as Python values, or with `raw` the text.

        Raises:
            RpcError: with the code UNSUPPORTED_METHOD (1400), immediately, if the participant does not serve it;
                RESPONSE_TIMEOUT (1502) after the timeout; RECIPIENT_DISCONNECTED (1503) if the participant left;
                CONNECTION_TIMEOUT (1501) if it has not responded for 7 s; INVALID_RESPONSE (422) if the answer is not
                JSON; or the error that the handler raised. The call takes at most a transit longer than `timeout`:
                0.25 s, four round trips to the server, and a second for each megabyte of the payload.
            UnknownParticipantError: if no participant with that identity is in the room.
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if the payload exceeds 15 MiB.
            TypeError: for a payload that JSON cannot express or, with `raw`, is not a str, and for other arguments of
                another type.
            ValueError: for a timeout that is not positive, a method's name that is not 1 to 64 bytes long, and this
                participant's own identity.

        Examples:
            >>> @bob.rpc("add")
            ... def add(a: int, b: int) -> int:
            ...     return a + b
            >>> room.perform_rpc("bob", "add", {"a": 1, "b": 2})
            3
        """
        within = checks.seconds(timeout)
        event, request = await self._prepare(to, method, payload, raw=raw)
        await self._answer(event, request, within)
        return event.result

    async def call(
        self,
        to: str | Participant,
        method: str,
        payload: Any = None,
        *,
        timeout: float | dt.timedelta = RPC_TIMEOUT,
        raw: bool = False,
    ) -> Event:
        """Like `perform_rpc`, but return the call's event, whether it was answered or failed.

        Raises:
            UnknownParticipantError: if no participant with that identity is in the room. All errors here are raised
                before the call is made.
            NotConnectedError: while the room is closed or reconnecting.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if the payload exceeds 15 MiB.
            TypeError: for a payload that cannot be sent.
            ValueError: for a timeout, method or identity that cannot work.
        """
        within = checks.seconds(timeout)
        event, request = await self._prepare(to, method, payload, raw=raw)
        with contextlib.suppress(Exception):  # the event records the error
            await self._answer(event, request, within)
        return event

    async def _prepare(self, to: str | Participant, method: str, payload: Any, *, raw: bool) -> tuple[Event, str]:
        """Check a call; return its event and the text to send."""
        to = checks.identity(to, "to")
        checks.named(method, "method", METHOD_LIMIT)
        raw = checks.flag(raw, "raw")
        # The log keeps what is sent: later changes of the caller's own objects do not reach it.
        data = payload if raw else jsonable(payload)
        request = _raw_payload(payload) if raw else encode(data)
        self._connection.require("canPublishData", "Calling a remote method")
        await self._connection.presence.find_here(to)
        event = Event(
            "rpc",
            "out",
            sender=self._connection.identity,
            to=(to,),
            topic=method,
            data=data,
            size=len(request.encode()),
            status="open",
            raw=raw,
        )
        return event, request

    async def _answer(self, event: Event, request: str, timeout: float) -> None:
        """Perform a call, and put the answer into its event."""
        with recording(self._log, event):
            self._log.passed(event, "request", request)
            answer = await self._perform(event.to[0], event.topic, request, timeout)
            self._log.passed(event, "answer", answer)
            set_answer(event, answer if event.raw else decode_answer(event.topic, answer), len(answer))

    async def _perform(self, to: str, method: str, request: str, timeout: float) -> str:
        await self._in_flight.take()
        try:
            # Enforced here, too: the SDK sends no deadline below 1 s, and JavaScript peers do not stop their handlers.
            limit = timeout + self._transit(request)
            failure: RpcError
            try:
                return await self._connection.request(
                    lambda sdk: sdk.perform_rpc(to, method, request, timeout + _ROUND_TRIP, _ROUND_TRIP),
                    f"calling {method!r}",
                    limit=limit,
                    waits_for_others=True,
                )
            except rtc.RpcError as error:
                if error.code in _NO_ANSWER and await on_loop(self._connection.is_interrupted):
                    # When its own session ends, the SDK reports that all participants have left.
                    raise self._connection.lost_during(f"calling {method!r}") from None
                failure = self._explain(error, to, method, timeout)
            except TimeoutError:
                failure = RpcError(1502, f"{to!r} did not answer {method!r} within {timeout:g} s.")
        finally:
            self._in_flight.give_back()
        raise failure

    def _transit(self, request: str) -> float:
        round_trip = self._connection.reconnecting.heartbeat.round_trip
        return _TRANSIT + _ROUND_TRIPS * round_trip + len(request) / _BYTES_PER_SECOND

    def _explain(self, error: rtc.RpcError, to: str, method: str, timeout: float) -> RpcError:
        if TOO_LARGE in (error.data or ""):
            return self._too_large(error, to, method)
        message = {
            1400: f"{to!r} does not serve a method {method!r}.",
            1501: f"{to!r} did not respond to {method!r} within {_ROUND_TRIP:g} s; it may be gone or stalled.",
            1502: f"{to!r} did not answer {method!r} within {timeout:g} s.",
            1503: f"{to!r} left the room before it answered {method!r}.",
            1500: f"{method!r} failed at {to!r}, where the cause is shown.",
        }.get(error.code, error.message)
        return RpcError(error.code, message, error.data or None)

    def _too_large(self, error: rtc.RpcError, to: str, method: str) -> RpcError:
        if "request" in (error.data or ""):
            return RpcError(1402, f"{to!r} does not take a payload of this size. Send it as a byte stream.")
        limit = readable(self._connection.options.largest_stream)
        return RpcError(1504, f"The answer of {method!r} is over the limit of {limit} of this connection.")

    # Serving

    def serve(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        callers: str | Participant | Iterable[str | Participant] | None,
        concurrency: int,
        raw: bool,
        thread: Any,
    ) -> None:
        """Register a function as a method of this participant; see `Room.rpc`."""
        allowed = checks.identities(callers, "callers", "to let everybody call")
        handler = Handler("rpc", name, function, Interest.of("rpc", name), thread=thread, concurrency=concurrency)
        self._methods[name] = Method(handler, allowed, Arguments(name, function, raw=raw), self._log, self._connection)
        self._handlers.add(handler)

    def _handlers_changed(self, handler: Handler, added: bool) -> None:
        if handler.kind != "rpc":
            return
        name = handler.topic or ""
        if LOOP.is_current():
            self._sync(name)
        else:
            # Blocks, because the method may be called immediately afterwards.
            LOOP.run(lambda: self._synced(name), "rpc")

    async def _synced(self, name: str) -> None:
        self._sync(name)

    def _sync(self, name: str) -> None:
        """Register `name` with the SDK if a handler serves it, else unregister it."""
        method = self._methods.get(name)
        if method is not None and not method.handler.active:
            del self._methods[name]
            method = None
        if self._connection.state != "connected":
            return  # `_restored` registers it when the next session begins
        if method is not None:
            self._register(name)
        else:
            self._connection.local.unregister_rpc_method(name)

    def _register(self, name: str) -> None:
        self._connection.local.register_rpc_method(name, self._invoked)

    async def _invoked(self, call: rtc.RpcInvocationData) -> str:
        method = self._methods.get(call.method)
        if method is None:
            raise CallRefused(1400, RpcError.NAMES[1400])
        return await method.answer(call)

    async def _restored(self, anew: bool) -> None:
        for name in self._methods:
            self._register(name)


@dataclass
class Waiting:
    """The calls of one participant that wait for their turn: how many, and the bytes of their payloads."""

    count: int = 0
    size: int = 0


class Method:
    """A method that this participant serves: its handler, its permitted callers, and how it reads its arguments."""

    def __init__(
        self,
        handler: Handler,
        callers: tuple[str, ...] | None,
        arguments: Arguments,
        log: EventLog,
        connection: Connection,
    ) -> None:
        self.handler = handler
        self._callers = callers
        self._arguments = arguments
        self._log = log
        self._connection = connection
        # For async handlers. A synchronous one continues after its timeout, and its threads limit its concurrency.
        self._turns = asyncio.Semaphore(handler.concurrency)
        self._waiting: dict[str, Waiting] = {}

    async def answer(self, call: rtc.RpcInvocationData) -> str:
        """Run the handler for one call, and return its answer as text.

        Raises:
            rtc.RpcError: the error that the SDK sends to the caller.
        """
        event = Event(
            "rpc",
            "in",
            sender=call.caller_identity,
            to=(self._connection.identity,),
            topic=call.method,
            data=call.payload if len(call.payload) <= PAYLOAD_LIMIT else None,
            size=len(call.payload.encode()),
            status="open",
            raw=self._arguments.raw,
        )
        try:
            with recording(self._log, event) as outcome:
                self._log.passed(event, "request", call.payload)
                try:
                    self._refuse_silenced(call, outcome)
                    answer = await self._run(call, event)
                    self._refuse_silenced(call, outcome)
                    return answer
                except asyncio.CancelledError:
                    outcome.reason = "the call timed out, or the room was closed"
                    raise
                except (RpcError, rtc.RpcError) as error:
                    raise self._sendable(error) from None
                except Exception as error:
                    self.handler.failed(error)
                    outcome.reason = f"{type(error).__name__} in the handler"
                    # Without the error's text: it could leak local paths and values to the caller.
                    raise RpcError(1500, _HANDLER_FAILED) from None
        except RpcError as error:
            raise CallRefused(error.code, error.message, error.data) from None

    def _refuse_silenced(self, call: rtc.RpcInvocationData, outcome: Outcome) -> None:
        """End the call if this participant has lost the grant to send: the server drops whatever it answers."""
        if not self._connection.may("canPublishData"):
            why = PermissionDeniedError("canPublishData", f"Answering {call.method!r}")
            outcome.reason = str(why)
            self.handler.say(f"{call.caller_identity!r} gets no answer from {self.handler.name}. {why}")
            raise RpcError(RpcError.FORBIDDEN, "not permitted to answer")

    def _sendable(self, error: RpcError | rtc.RpcError) -> RpcError:
        """A handler's error as LiveKit can send it. An error that it cannot send would leave the caller waiting."""
        try:
            code = checks.whole(error.code, "The code of an RpcError", least=0, most=2**32 - 1)
            message = checks.readable(error.message, "The message of an RpcError")
            data = error.data if error.data is None or isinstance(error.data, str) else encode(jsonable(error.data))
            if data is not None:
                checks.text(data, "The data of an RpcError")
            if data is not None and len(data.encode()) > ERROR_DATA_LIMIT:
                self.handler.say(f"The data of an RpcError of {self.handler.name} exceeds 15 KiB and was omitted.")
                data = None
            return RpcError(code, cut(message), data)
        except Exception as unfit:
            self.handler.failed(unfit)
            return RpcError(1500, _HANDLER_FAILED)

    async def _run(self, call: rtc.RpcInvocationData, event: Event) -> str:
        if self._callers is not None and call.caller_identity not in self._callers:
            raise RpcError(RpcError.FORBIDDEN, f"{call.caller_identity!r} may not call {call.method!r}.")
        amend(event, data=self._arguments.read(call.payload))
        args, kwargs = self._arguments.of(event.data, call)
        async with self._turn(call.caller_identity, event.size or 0):
            result = await self.handler.run(*args, **kwargs)
        is_text = self._arguments.raw and isinstance(result, str)
        value = result if is_text else jsonable(result)
        answer = checks.text(value if is_text else encode(value), f"The answer of {call.method!r}")
        set_answer(event, value, len(answer))
        if len(answer.encode()) > PAYLOAD_LIMIT:
            raise RpcError(1504, f"The answer of {call.method!r} exceeds {PAYLOAD_LIMIT:,} bytes.")
        self._log.passed(event, "answer", answer)
        return answer

    @contextlib.asynccontextmanager
    async def _turn(self, caller: str, size: int) -> AsyncIterator[None]:
        """Wait for a turn, and keep it in this block.

        Raises:
            RpcError: TOO_MANY_CALLS if this caller has too many calls, or too many bytes, that wait.
        """
        waiting = self._waiting.setdefault(caller, Waiting())
        if waiting.count >= MAX_WAITING or (waiting.count and waiting.size + size > MAX_WAITING_SIZE):
            raise RpcError(
                RpcError.TOO_MANY_CALLS,
                f"{waiting.count} other calls of {self.handler.topic!r} by {caller!r} are waiting, with "
                f"{readable(waiting.size)} of payloads. Wait for their answers first.",
            )
        waiting.count += 1
        waiting.size += size
        try:
            await self._turns.acquire()
        finally:
            waiting.count -= 1
            waiting.size -= size
            if not waiting.count:
                del self._waiting[caller]
        try:
            yield
        finally:
            self._turns.release()


def _raw_payload(payload: Any) -> str:
    if payload is None:
        return ""
    return checks.text(payload, "payload", "With raw=True it is sent unchanged.")
