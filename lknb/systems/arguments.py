"""A handler's arguments, made from a remote call's payload and checked against the handler's type hints."""

from __future__ import annotations

import copy
import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from types import GenericAlias
from typing import Annotated, Any

import pydantic
import pydantic_core
from livekit import rtc
from pydantic.fields import FieldInfo

from lknb.errors import RpcError, did_you_mean
from lknb.functions import signature_of
from lknb.systems.payloads import ERROR_DATA_LIMIT, PAYLOAD_LIMIT, cut, decode

_WHOLE_PAYLOAD = "payload"
_CALLER = "caller"
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments:
    """Makes a handler's arguments from a call's payload, and checks them against the type hints.

    A JSON object becomes keyword arguments. An array becomes positional arguments if the function takes several.
    Anything else becomes the only argument. A parameter named `caller` receives the caller's identity. If `payload` is
    the only other parameter, it receives the whole payload.

    A function in the form of LiveKit's SDK, with one parameter of the type `rtc.RpcInvocationData`, receives the SDK's
    object, and exchanges plain text as it would there.

    Raises:
        TypeError: for a type hint that JSON cannot be checked against or that is not defined, a function that could
            never run, and, with `raw`, one that requires several arguments.
    """

    def __init__(self, method: str, function: Callable[..., Any], *, raw: bool) -> None:
        self._method = method
        self._signature = _signature(method, function)
        self._parameters = list(self._signature.parameters.values())
        plain = [each for each in self._parameters if each.kind not in _VARIABLE]
        named = [each for each in plain if each.name != _CALLER]
        self._takes_caller = len(named) < len(plain)
        self._takes_call = _takes_call(method, named)
        self.raw = raw or self._takes_call
        self._first = named[0].name if named else None
        required = [each.name for each in named if each.default is each.empty]
        if self.raw and len(required) > 1:
            raise TypeError(
                f"With raw=True, {method!r} receives one text, but its function requires {', '.join(required)}."
            )
        # A parameter's name in JSON is its own, unless a pydantic Field gives it an alias.
        self._names = [_alias(each) for each in named]
        self._by_position = [_alias(each) for each in named if each.kind is not each.KEYWORD_ONLY]
        self._whole = self._names == [_WHOLE_PAYLOAD]
        # Arguments for `*rest` and `**rest` are checked as a list and a dict, under names that callers never see.
        self._rest: str | None = None
        self._options: str | None = None
        # The model's fields get generated names: pydantic reserves some names, and refuses those with an underscore.
        self._fields: dict[str, str] = {}
        fields: dict[str, Any] = {}
        for index, each in enumerate([] if self._takes_call else self._parameters):
            if each.name == _CALLER and each.kind not in _VARIABLE:
                continue
            name, alias = each.name, _alias(each)
            hint: Any = Any if each.annotation is each.empty else each.annotation
            default: Any = ... if each.default is each.empty else each.default
            if each.kind is each.VAR_POSITIONAL:
                name = alias = self._rest = f"*{each.name}"
                hint, default = GenericAlias(list, (hint,)), ()
            elif each.kind is each.VAR_KEYWORD:
                name = alias = self._options = f"**{each.name}"
                hint, default = GenericAlias(dict, (str, hint)), {}
            elif isinstance(default, FieldInfo):
                hint, default = Annotated[hint, default], ...
            field = pydantic.Field(alias=alias) if default is ... else pydantic.Field(default, alias=alias)
            self._fields[name] = f"field_{index}"
            fields[f"field_{index}"] = (hint, field)
        self._model = self._made(fields, getattr(function, "__module__", None) or __name__)
        # Defaults that a Field gives; those of the signature are left to the function.
        signature_has = {each.name for each in self._parameters if _has_plain_default(each)}
        self._field_defaults = {
            name
            for name, field in self._fields.items()
            if name not in signature_has and not self._model.model_fields[field].is_required() and name[0] != "*"
        }
        self._optional = signature_has | self._field_defaults

    def _made(self, fields: dict[str, Any], module: str) -> type[pydantic.BaseModel]:
        config = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=False, validate_default=False)
        name = "Arguments"
        try:
            # Names in quotes inside a hint, such as list["Order"], are looked up in the function's module.
            model: type[pydantic.BaseModel] = pydantic.create_model(
                name, __config__=config, __module__=module, **fields
            )
            model.model_rebuild()
        except NameError as error:
            raise _undefined(self._method, error) from None
        except pydantic.errors.PydanticUserError as error:
            reason = str(error).splitlines()[0].split(" Set `arbitrary_types_allowed")[0]
            valid = "Use JSON's types, dataclasses, TypedDicts or pydantic models."
            if error.code == "typed-dict-version":
                reason = "pydantic cannot read a TypedDict from typing before Python 3.12."
                valid = "Write: from typing_extensions import TypedDict."
            raise TypeError(
                f"The parameters of {self._method!r} have a type that JSON cannot be checked against: {reason} {valid}"
            ) from None
        return model

    def read(self, text: str) -> Any:
        """A call's payload as Python values; with `raw` the unchanged text.

        Raises:
            RpcError: for a payload that is too large, or is not JSON.
        """
        if len(text.encode()) > PAYLOAD_LIMIT:
            raise RpcError(1402, f"The payload of {self._method!r} exceeds {PAYLOAD_LIMIT:,} bytes.")
        if self.raw:
            return text
        try:
            return decode(text)
        except ValueError as error:
            raise self._invalid(f"the payload {error}") from None

    def of(self, payload: Any, call: rtc.RpcInvocationData) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments for one call, whose payload `read` has read.

        Raises:
            RpcError: INVALID_ARGUMENTS, with a message for the caller, if the payload does not match.
        """
        if self.raw:
            argument = call if self._takes_call else payload
            values = {self._first: argument} if self._first else {self._rest: [argument]} if self._rest else {}
            return self._arranged(values, call.caller_identity)
        model = self._validated(self._by_name(payload))
        values = {
            name: getattr(model, field)
            for name, field in self._fields.items()
            if field in model.model_fields_set or name in self._field_defaults
        }
        return self._arranged(values, call.caller_identity)

    def _validated(self, given: dict[str, Any]) -> pydantic.BaseModel:
        """The model of these arguments, with whole numbers such as 3.0 as int where a hint asks for an int."""
        copied = False
        while True:
            try:
                # Validated as JSON text: even strict checking then accepts a date or a UUID written as a string.
                return self._model.model_validate_json(pydantic_core.to_json(given))
            except pydantic.ValidationError as error:
                if not copied:  # the log keeps the payload as it came
                    given, copied = copy.deepcopy(given), True
                replaced = [_replaced(given, each["loc"], each["input"]) for each in _problems(error)]
                if not any(replaced):  # each round leaves fewer floats, so this ends
                    raise self._refused(error) from None

    def _arranged(self, values: dict[str, Any], caller: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """`values` in the order and form of the function's parameters; missing ones keep their defaults."""
        rest = values.pop(self._rest, ()) if self._rest else ()
        options = values.pop(self._options, {}) if self._options else {}
        arguments: OrderedDict[str, Any] = OrderedDict()
        for each in self._signature.parameters.values():
            by_position = each.kind is each.POSITIONAL_ONLY or (rest and each.kind is each.POSITIONAL_OR_KEYWORD)
            if each.kind is each.VAR_POSITIONAL:
                if rest:
                    arguments[each.name] = rest
            elif each.kind is each.VAR_KEYWORD:
                arguments[each.name] = options
            elif each.name == _CALLER:
                arguments[each.name] = caller
            elif each.name in values:
                arguments[each.name] = values[each.name]
            elif by_position:
                arguments[each.name] = each.default
        bound = inspect.BoundArguments(self._signature, arguments)
        return bound.args, bound.kwargs

    def _by_name(self, payload: Any) -> dict[str, Any]:
        if self._whole:
            return {} if payload is None and _WHOLE_PAYLOAD in self._optional else {_WHOLE_PAYLOAD: payload}
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
        # `caller` is never taken from the payload. Left among the known ones, it is refused.
        own = {*self._names, _CALLER} if self._takes_caller else {*self._names}
        known = {name: value for name, value in payload.items() if name in own}
        return {**known, self._options: {name: value for name, value in payload.items() if name not in known}}

    def _refused(self, error: pydantic.ValidationError) -> RpcError:
        # Only the argument and the problem: pydantic's own text would repeat the input and link to its documentation.
        problems = []
        for each in _problems(error):
            where = ".".join(str(part) for part in each["loc"])
            hint = did_you_mean(where, self._names).rstrip(".") if each["type"] == "extra_forbidden" else ""
            text = {"missing": "is missing", "extra_forbidden": "is not one of its arguments" + hint}.get(
                each["type"], each["msg"][:1].lower() + each["msg"][1:]
            )
            problems.append({"argument": where, "problem": text})
        summary = "; ".join(f"{each['argument']}: {each['problem']}" for each in problems)
        return self._invalid(summary, json.dumps(problems)[:ERROR_DATA_LIMIT])

    def _invalid(self, why: str, data: str | None = None) -> RpcError:
        return RpcError(RpcError.INVALID_ARGUMENTS, cut(f"{self._method}: {why}"), data)


def _signature(method: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return signature_of(function, eval_str=True)
    except NameError as error:
        raise _undefined(method, error) from None


def _undefined(method: str, error: NameError) -> TypeError:
    return TypeError(
        f"A type hint of {method!r} names {error.name!r}, which is not defined where the function is. "
        "Define or import it first, outside of other functions."
    )


def _takes_call(method: str, parameters: list[inspect.Parameter]) -> bool:
    """Whether the function has the form of the SDK's handlers.

    Raises:
        TypeError: if it also takes arguments from the payload.
    """
    if not any(each.annotation is rtc.RpcInvocationData for each in parameters):
        return False
    if len(parameters) > 1:
        raise TypeError(
            f"The function of {method!r} has the SDK's RpcInvocationData beside other parameters. Make it the only "
            "parameter, or declare the arguments instead: def add(a: int, b: int, caller: str)."
        )
    return True


def _field_infos(parameter: inspect.Parameter) -> list[FieldInfo]:
    """The pydantic Fields of a parameter, the most significant first."""
    annotated = getattr(parameter.annotation, "__metadata__", ())
    return [each for each in (parameter.default, *reversed(annotated)) if isinstance(each, FieldInfo)]


def _alias(parameter: inspect.Parameter) -> str:
    """The name of a parameter in JSON."""
    return next((each.alias for each in _field_infos(parameter) if each.alias), parameter.name)


def _has_plain_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not parameter.empty and not isinstance(parameter.default, FieldInfo)


def _problems(error: pydantic.ValidationError) -> Iterable[Any]:
    return error.errors(include_url=False, include_context=False)


def _replaced(given: Any, location: tuple[Any, ...], number: Any) -> bool:
    """Replace a whole float at this location by an int, and say whether there was one."""
    if not isinstance(number, float) or not number.is_integer():
        return False
    owner: Any = None
    key: Any = None
    value = given
    for part in location:
        # All other parts of a location are pydantic's own names, such as those of a union's branches.
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and part in range(len(value))):
            owner, key, value = value, part, value[part]
    if owner is None or not isinstance(value, float):
        return False
    owner[key] = int(value)
    return True
