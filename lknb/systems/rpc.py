"""Remote method calls: JSON in, JSON out, checked against the handler's type hints.

See https://docs.livekit.io/home/client/data/rpc/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from livekit import rtc

from lknb.connection import Connection
from lknb.errors import RpcError
from lknb.event import Event
from lknb.events import EventLog
from lknb.handlers import Handler, Handlers
from lknb.interest import Interest
from lknb.loop import LOOP
from lknb.systems.arguments import Arguments
from lknb.systems.payloads import PAYLOAD_LIMIT, cut, decode_answer, encode

METHOD_LIMIT = 64
CONCURRENCY = 8
"""Calls of one method that run at once, unless set; more wait for their turn, within their deadlines."""

# The SDK waits this long for the peer to acknowledge a call, and takes it off the handler's deadline.
_ROUND_TRIP = 7.0
# The shortest deadline that the SDK can put on the wire; shorter ones end here, give or take the way there and back.
_SHORTEST = 1.0
_TRANSIT = 0.25
# What a call and its answer may take on the worst of links, on top of the handler's time.
_SLOW_WAY = 4.0
_IN_FLIGHT = 64
_DATA_LIMIT = 15 * 1024
_NO_ANSWER = (1501, 1503, 1505)


class Rpc:
    """Calls and serves the remote methods of one connection."""

    def __init__(self, connection: Connection, log: EventLog, handlers: Handlers) -> None:
        self._connection = connection
        self._log = log
        self._handlers = handlers
        self._methods: dict[str, Method] = {}
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT)
        connection.on_restored(self._restored)
        handlers.on_change(self._handlers_changed)

    # Calling

    async def perform_rpc(
        self,
        to: str,
        method: str,
        payload: Any = None,
        *,
        timeout: float = 10.0,
        raw: bool = False,
    ) -> Any:
        """Call a method that another participant serves, and return its answer.

        Args:
            to: the identity of who serves it.
            method: its name.
            payload: what JSON can say; a dict becomes the arguments of an lknb handler.
            timeout: the seconds that the handler has for its answer.
            raw: send `payload`, a str, as it is, and return the answer as a str.

        Raises:
            RpcError: UNSUPPORTED_METHOD (1400) at once when the peer does not serve it, RESPONSE_TIMEOUT (1502) past
                the time, RECIPIENT_DISCONNECTED (1503) when the peer left, CONNECTION_TIMEOUT (1501) when it has not
                reacted for 7 s, or what the handler raised. A peer that is stalled costs at most 4 s more than
                `timeout`.
            UnknownParticipantError: when nobody of that identity is there.
            NotConnectedError, PermissionDeniedError, PayloadTooLargeError
        """
        if not timeout > 0:
            raise ValueError(f"timeout is a positive number of seconds, not {timeout!r}.")
        _check_method(method)
        request = _raw_payload(payload) if raw else encode(payload)
        self._connection.require("canPublishData", "Calling a remote method")
        await self._connection.presence.find(to)
        event = Event(
            "rpc",
            "out",
            sender=self._connection.identity,
            to=(to,),
            topic=method,
            data=payload,
            size=len(request.encode()),
            status="open",
        )
        self._log.add(event)
        try:
            answer = await self._perform(to, method, request, timeout)
            result = answer if raw else decode_answer(method, answer)
        except BaseException as error:
            if isinstance(error, RpcError):
                _note(error, event)
            self._log.finish(event, "failed", str(error) or type(error).__name__)
            raise
        event.result = result
        self._log.finish(event)
        return result

    async def _perform(self, to: str, method: str, request: str, timeout: float) -> str:
        async with self._in_flight:
            calling = self._connection.local.perform_rpc(
                destination_identity=to,
                method=method,
                payload=request,
                response_timeout=timeout + _ROUND_TRIP,
                max_round_trip_latency=_ROUND_TRIP,
            )
            # The SDK cuts the handler off after max(response_timeout - 7 s, 1 s); below a second we count ourselves.
            limit = timeout + (_TRANSIT if timeout < _SHORTEST else _SLOW_WAY)
            failure: RpcError
            try:
                return await self._connection.call(calling, f"calling {method!r}", limit=limit)
            except rtc.RpcError as error:
                if error.code in _NO_ANSWER and await self._connection.is_interrupted():
                    # When its own session ends, the SDK says that everybody has left.
                    raise self._connection.lost_during(f"calling {method!r}") from None
                failure = self._explain(error, to, method, timeout)
            except TimeoutError:
                failure = RpcError(1502, f"{to!r} did not answer {method!r} within {timeout:g} s.")
        raise failure

    def _explain(self, error: rtc.RpcError, to: str, method: str, timeout: float) -> RpcError:
        message = {
            1400: f"{to!r} does not serve a method {method!r}.",
            1501: f"{to!r} did not react to {method!r} within {_ROUND_TRIP:g} s; it may be gone or stalled.",
            1502: f"{to!r} did not answer {method!r} within {timeout:g} s.",
            1503: f"{to!r} left the room before it answered {method!r}.",
            1500: f"{method!r} failed at {to!r}; the cause is shown there.",
        }.get(error.code, error.message)
        return RpcError(error.code, message, error.data or None)

    # Serving

    def serve(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        callers: str | Iterable[str] | None,
        concurrency: int,
        raw: bool,
        thread: Any,
    ) -> None:
        """Register a function as a method of this participant; see `Room.rpc`."""
        _check_method(name)
        if concurrency < 1:
            raise ValueError(f"concurrency is at least 1, not {concurrency}.")
        handler = Handler("rpc", name, function, Interest.of("rpc", name), thread=thread, concurrency=concurrency)
        allowed = None if callers is None else frozenset([callers] if isinstance(callers, str) else callers)
        self._methods[name] = Method(handler, allowed, Arguments(name, function, raw=raw), self._log, self._connection)
        self._handlers.add(handler)

    def _handlers_changed(self, handler: Handler, added: bool) -> None:
        if handler.kind != "rpc":
            return
        name = handler.topic or ""
        if LOOP.is_current():
            self._sync(name)
        else:
            # Waited for: who decorates a function may be called the moment after.
            LOOP.run(self._synced(name), "rpc")

    async def _synced(self, name: str) -> None:
        self._sync(name)

    def _sync(self, name: str) -> None:
        """Have the SDK serve `name` exactly while a handler for it is registered."""
        method = self._methods.get(name)
        if method is not None and not method.handler.active:
            del self._methods[name]
            method = None
        if self._connection.state != "connected":
            return  # registered when the next session begins
        if method is not None:
            self._register(name)
        else:
            self._connection.local.unregister_rpc_method(name)

    def _register(self, name: str) -> None:
        self._connection.local.register_rpc_method(name, self._invoked)

    async def _invoked(self, call: rtc.RpcInvocationData) -> str:
        method = self._methods.get(call.method)
        if method is None:
            raise rtc.RpcError(1400, RpcError.NAMES[1400])
        return await method.answer(call)

    async def _restored(self, anew: bool) -> None:
        for name in self._methods:
            self._register(name)


class Method:
    """A served method: who may call it, how its arguments are made, and what becomes of its answer."""

    def __init__(
        self,
        handler: Handler,
        callers: frozenset[str] | None,
        arguments: Arguments,
        log: EventLog,
        connection: Connection,
    ) -> None:
        self.handler = handler
        self._callers = callers
        self._arguments = arguments
        self._log = log
        self._connection = connection
        # For the async ones: a synchronous call goes on past its timeout, and is counted by its thread.
        self._turns = asyncio.Semaphore(handler.concurrency)

    async def answer(self, call: rtc.RpcInvocationData) -> str:
        """Run the handler for one call; what it raises becomes the error that the caller gets."""
        event = Event(
            "rpc",
            "in",
            sender=call.caller_identity,
            to=(self._connection.identity,),
            topic=call.method,
            data=call.payload,
            size=len(call.payload.encode()),
            status="open",
        )
        self._log.add(event)
        failure: RpcError
        try:
            answer = await self._run(call, event)
        except asyncio.CancelledError:
            self._log.finish(event, "failed", "the caller's time was up, or the room was closed")
            raise
        except (RpcError, rtc.RpcError) as error:
            failure = self._carried(error)
        except Exception as error:
            # The text stays here: a stranger in the room shall not read our paths and values.
            self.handler.failed(error)
            event.attributes = {"code": "1500"}
            self._log.finish(event, "failed", f"{type(error).__name__} in the handler")
            raise rtc.RpcError(1500, "Application error in method handler") from None
        else:
            self._log.finish(event)
            return answer
        _note(failure, event)
        self._log.finish(event, "failed", str(failure))
        raise rtc.RpcError(failure.code, failure.message, failure.data)

    def _carried(self, error: RpcError | rtc.RpcError) -> RpcError:
        """A handler's error as LiveKit carries it; with one that it does not, the caller would wait until its end."""
        try:
            if not isinstance(error.code, int) or not 0 <= error.code < 2**32:
                raise TypeError(f"An RpcError's code is a whole number from 0 to 2**32 - 1, not {error.code!r}.")
            data = error.data if error.data is None or isinstance(error.data, str) else encode(error.data)
            if data is not None and len(data.encode()) > _DATA_LIMIT:
                self.handler.say(f"The data of an RpcError of {self.handler.name} is over 15 KiB, and was left out.")
                data = None
            return RpcError(error.code, cut(error.message), data)
        except Exception as unfit:
            self.handler.failed(unfit)
            return RpcError(1500, "Application error in method handler")

    async def _run(self, call: rtc.RpcInvocationData, event: Event) -> str:
        if self._callers is not None and call.caller_identity not in self._callers:
            raise RpcError(RpcError.FORBIDDEN, f"{call.caller_identity!r} may not call {call.method!r}.")
        event.data = self._arguments.read(call.payload)
        args, kwargs = self._arguments.of(event.data, call.caller_identity)
        async with self._turns:
            result = await self.handler.run(*args, **kwargs)
        answer = result if self._arguments.raw and isinstance(result, str) else encode(result)
        event.result = result
        if len(answer.encode()) > PAYLOAD_LIMIT:
            raise RpcError(1504, f"The answer of {call.method!r} is over {PAYLOAD_LIMIT:,} bytes.")
        return answer


def _note(error: RpcError, event: Event) -> None:
    """Keep of an error what programs read: its code, and as much of its data as LiveKit carries."""
    event.attributes = {"code": str(error.code)}
    if error.data:
        event.attributes["data"] = str(error.data)[:_DATA_LIMIT]


def _raw_payload(payload: Any) -> str:
    if payload is None:
        return ""
    if not isinstance(payload, str):
        raise TypeError(f"With raw=True the payload is a str, not {type(payload).__name__}.")
    return payload


def _check_method(method: Any) -> None:
    if not isinstance(method, str) or not 1 <= len(method.encode()) <= METHOD_LIMIT:
        raise ValueError(f"A method's name has 1 to {METHOD_LIMIT} bytes: {method!r:.80}.")
