"""Remote method calls: JSON in, JSON out, checked against the handler's type hints.

See https://docs.livekit.io/home/client/data/rpc/.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from types import GenericAlias
from typing import Any

import pydantic
import pydantic_core
from livekit import rtc

from lknb.connection import Connection
from lknb.errors import PayloadTooLargeError, RpcError, did_you_mean
from lknb.events import Event, EventLog, Interest
from lknb.handlers import Handler, Handlers
from lknb.loop import LOOP

PAYLOAD_LIMIT = 15 * 1024 * 1024
"""Bytes of a request or an answer that lknb accepts; peers older than RPC v2 take 15 KiB."""

METHOD_LIMIT = 64
CONCURRENCY = 8
"""Calls of one method that run at once, unless set; more wait for their turn, within their deadlines."""

# The SDK waits this long for the peer to acknowledge a call, and takes it off the handler's deadline.
_ROUND_TRIP = 7.0
# The shortest deadline that the SDK can put on the wire; shorter ones end here, give or take the way there and back.
_SHORTEST = 1.0
_TRANSIT = 0.05
_IN_FLIGHT = 64
_NO_ANSWER = (1501, 1503, 1505)
_MESSAGE_LIMIT = 256
_WHOLE_PAYLOAD = "payload"
_CALLER = "caller"


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
                the time, RECIPIENT_DISCONNECTED (1503) when the peer left, CONNECTION_TIMEOUT (1501) when it does not
                react for 7 s, or what the handler raised.
            UnknownParticipantError: when nobody of that identity is there.
            NotConnectedError, PermissionDeniedError, PayloadTooLargeError
        """
        if not timeout > 0:
            raise ValueError(f"timeout is a positive number of seconds, not {timeout!r}.")
        _check_method(method)
        request = _raw_payload(payload) if raw else encode(payload)
        self._connection.require("canPublishData", "Calling a remote method")
        await self._connection.find(to)
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
            limit = timeout + (_TRANSIT if timeout < _SHORTEST else _ROUND_TRIP + 5.0)
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
        where: Any,
    ) -> None:
        """Register a function as a method of this participant; see `Room.rpc`."""
        _check_method(name)
        if concurrency < 1:
            raise ValueError(f"concurrency is at least 1, not {concurrency}.")
        handler = Handler("rpc", name, function, Interest.of("rpc", name), where=where, concurrency=concurrency)
        allowed = None if callers is None else frozenset([callers] if isinstance(callers, str) else callers)
        self._methods[name] = Method(handler, allowed, Arguments(name, function, raw=raw), self._log, self._connection)
        self._handlers.add(handler)

    def _handlers_changed(self, handler: Handler, added: bool) -> None:
        if handler.kind == "rpc":
            LOOP.loop.call_soon_threadsafe(self._sync, handler.topic or "")

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
        except RpcError as error:
            failure = error
        except Exception as error:
            # The text stays here: a stranger in the room shall not read our paths and values.
            self.handler.failed(error)
            self._log.finish(event, "failed", f"{type(error).__name__} in the handler")
            raise rtc.RpcError(1500, "Application error in method handler") from None
        else:
            self._log.finish(event)
            return answer
        self._log.finish(event, "failed", str(failure))
        raise rtc.RpcError(failure.code, _cut(failure.message), failure.data)

    async def _run(self, call: rtc.RpcInvocationData, event: Event) -> str:
        if self._callers is not None and call.caller_identity not in self._callers:
            raise RpcError(RpcError.FORBIDDEN, f"{call.caller_identity!r} may not call {call.method!r}.")
        args, kwargs = self._arguments.of(call)
        async with self._turns:
            result = await self.handler.run(*args, **kwargs)
        event.result = result
        answer = result if self._arguments.raw and isinstance(result, str) else encode(result)
        if len(answer.encode()) > PAYLOAD_LIMIT:
            raise RpcError(1504, f"The answer of {call.method!r} is over {PAYLOAD_LIMIT:,} bytes.")
        return answer


class Arguments:
    """Makes a handler's arguments from a call's payload, checked against the type hints.

    A JSON object becomes keyword arguments; an array positional ones, where the function takes several; anything else
    the only one. A parameter named `caller` gets the caller's identity, one named `payload` the whole payload.

    Raises:
        TypeError: for hints that JSON cannot be checked against.
    """

    def __init__(self, method: str, function: Callable[..., Any], *, raw: bool) -> None:
        self.raw = raw
        self._method = method
        self._parameters = list(inspect.signature(function, eval_str=True).parameters.values())
        named = [each for each in self._parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
        self._names = [each.name for each in named if each.name != _CALLER]
        self._by_position = [each.name for each in named if each.kind is not each.KEYWORD_ONLY and each.name != _CALLER]
        self._whole = self._names == [_WHOLE_PAYLOAD]
        # What `*rest` and `**rest` take is checked as a list and a dict under names that no caller needs to know.
        self._rest: str | None = None
        self._options: str | None = None
        fields: dict[str, Any] = {}
        self._fields: dict[str, str] = {}
        for index, each in enumerate(self._parameters):
            if each.name == _CALLER:
                continue
            alias = each.name
            hint: Any = Any if each.annotation is each.empty else each.annotation
            default: Any = ... if each.default is each.empty else each.default
            if each.kind is each.VAR_POSITIONAL:
                alias = self._rest = f"*{each.name}"
                hint, default = GenericAlias(list, (hint,)), ()
            elif each.kind is each.VAR_KEYWORD:
                alias = self._options = f"**{each.name}"
                hint, default = GenericAlias(dict, (str, hint)), {}
            # Under names of our own: pydantic reserves some, and refuses those with an underscore.
            self._fields[alias] = f"field_{index}"
            fields[f"field_{index}"] = (hint, pydantic.Field(default, alias=alias))
        config = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=False, validate_default=False)
        try:
            self._model = pydantic.create_model(f"{method} arguments", __config__=config, **fields)
        except pydantic.errors.PydanticUserError as error:
            reason = str(error).splitlines()[0].split(" Set `arbitrary_types_allowed")[0]
            raise TypeError(
                f"The parameters of {method!r} have a type that JSON cannot be checked against: {reason} "
                "Use JSON's types, dataclasses, TypedDicts or pydantic models."
            ) from None

    def of(self, call: rtc.RpcInvocationData) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments for one call.

        Raises:
            RpcError: INVALID_ARGUMENTS, with a message for the caller.
        """
        if len(call.payload.encode()) > PAYLOAD_LIMIT:
            raise RpcError(1402, f"The payload of {self._method!r} is over {PAYLOAD_LIMIT:,} bytes.")
        if self.raw:
            return self._arranged({self._names[0]: call.payload} if self._names else {}, call.caller_identity)
        try:
            payload = decode(call.payload)
        except ValueError as error:
            raise self._invalid(f"the payload is not JSON ({error})") from None
        given = self._by_name(payload)
        try:
            # As JSON text, where strict checking still lets a date or a UUID be written as a string.
            model = self._model.model_validate_json(pydantic_core.to_json(given))
        except pydantic.ValidationError as error:
            raise self._refused(error, given) from None
        values = {
            alias: getattr(model, field) for alias, field in self._fields.items() if field in model.model_fields_set
        }
        return self._arranged(values, call.caller_identity)

    def _arranged(self, values: dict[str, Any], caller: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """`values` as the function takes them; what is not among them is left to its defaults."""
        rest = values.pop(self._rest, ()) if self._rest else ()
        options = values.pop(self._options, {}) if self._options else {}
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        for index, each in enumerate(self._parameters):
            if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                continue
            if each.name == _CALLER:
                values[_CALLER] = caller
            later = any(other.name in values or other.name == _CALLER for other in self._parameters[index + 1 :])
            by_position = each.kind is each.POSITIONAL_ONLY or (rest and each.kind is each.POSITIONAL_OR_KEYWORD)
            if by_position and (each.name in values or rest or later):
                positional.append(values.get(each.name, each.default))
            elif each.name in values:
                keywords[each.name] = values[each.name]
        return (*positional, *rest), {**options, **keywords}

    def _by_name(self, payload: Any) -> dict[str, Any]:
        if self._whole:
            return {_WHOLE_PAYLOAD: payload}
        if isinstance(payload, dict):
            return self._with_options(payload)
        if payload is None:
            return {}
        if len(self._names) == 1 and not self._rest:
            return {self._names[0]: payload}
        if not isinstance(payload, list):
            if self._names:
                raise self._invalid(f"it takes a JSON object with {', '.join(self._names)}")
            payload = [payload]
        fitting, rest = payload[: len(self._by_position)], payload[len(self._by_position) :]
        given: dict[str, Any] = dict(zip(self._by_position, fitting, strict=False))
        if rest and not self._rest:
            raise self._invalid(f"it takes at most {len(self._by_position)} arguments, not {len(payload)}")
        return {**given, self._rest: rest} if self._rest and rest else given

    def _with_options(self, payload: dict[str, Any]) -> dict[str, Any]:
        if self._options is None:
            return payload
        known = {name: value for name, value in payload.items() if name in self._names}
        return {**known, self._options: {name: value for name, value in payload.items() if name not in known}}

    def _refused(self, error: pydantic.ValidationError, given: Mapping[str, Any]) -> RpcError:
        # Only where and what: pydantic's own text would repeat the input and name its documentation.
        problems = []
        for each in error.errors(include_url=False, include_context=False, include_input=False):
            where = ".".join(str(part) for part in each["loc"])
            hint = did_you_mean(where, self._names).rstrip(".") if each["type"] == "extra_forbidden" else ""
            text = {"missing": "is missing", "extra_forbidden": "is not one of its arguments" + hint}.get(
                each["type"], each["msg"][:1].lower() + each["msg"][1:]
            )
            problems.append({"argument": where, "problem": text})
        summary = "; ".join(f"{each['argument']}: {each['problem']}" for each in problems)
        return self._invalid(summary, json.dumps(problems)[:15_000])

    def _invalid(self, why: str, data: str | None = None) -> RpcError:
        return RpcError(RpcError.INVALID_ARGUMENTS, _cut(f"{self._method}: {why}"), data)


def encode(value: Any) -> str:
    """`value` as JSON; dataclasses, dates, numpy numbers and pydantic models too.

    Raises:
        TypeError: for what JSON cannot say.
        PayloadTooLargeError: over 15 MiB.
    """
    try:
        text = pydantic_core.to_json(value, fallback=_jsonable, inf_nan_mode="constants").decode()
        if "NaN" in text or "Infinity" in text:
            json.loads(text, parse_constant=_no_constant)  # as a number, not inside a string
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {reason}") from None
    if len(text.encode()) > PAYLOAD_LIMIT:
        raise PayloadTooLargeError(
            "The payload", len(text.encode()), PAYLOAD_LIMIT, "Send it with send_bytes, and its name in the call."
        )
    return text


def _jsonable(value: Any) -> Any:
    for convert in ("tolist", "item"):  # numpy's arrays and numbers
        if hasattr(value, convert):
            return getattr(value, convert)()
    raise ValueError(f"{type(value).__name__} is not a JSON type")


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def decode(text: str) -> Any:
    """JSON as Python values; nothing at all is None.

    Raises:
        ValueError: for what is not JSON, or nested too deeply.
    """
    if not text:
        return None
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decode_answer(method: str, text: str) -> Any:
    """A method's answer as Python values.

    Raises:
        RpcError: INVALID_RESPONSE, with the text as `data`.
    """
    try:
        return decode(text)
    except ValueError:
        raise RpcError(
            RpcError.INVALID_RESPONSE,
            f"{method!r} answered with text that is not JSON. Use raw=True for methods that speak plain text.",
            text,
        ) from None


def _raw_payload(payload: Any) -> str:
    if payload is None:
        return ""
    if not isinstance(payload, str):
        raise TypeError(f"With raw=True the payload is a str, not {type(payload).__name__}.")
    return payload


def _check_method(method: Any) -> None:
    if not isinstance(method, str) or not 1 <= len(method.encode()) <= METHOD_LIMIT:
        raise ValueError(f"A method's name has 1 to {METHOD_LIMIT} bytes: {method!r:.80}.")


def _cut(message: str) -> str:
    """At most what LiveKit carries of an error's message."""
    if len(message.encode()) <= _MESSAGE_LIMIT:
        return message
    return message.encode()[: _MESSAGE_LIMIT - 4].decode(errors="ignore") + " ..."
