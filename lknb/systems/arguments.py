"""A handler's arguments, made from a remote call's payload and checked against the handler's type hints."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from types import GenericAlias
from typing import Any

import pydantic
import pydantic_core

from lknb.errors import RpcError, did_you_mean
from lknb.systems.payloads import ERROR_DATA_LIMIT, PAYLOAD_LIMIT, cut, decode

_WHOLE_PAYLOAD = "payload"
_CALLER = "caller"


class Arguments:
    """Makes a handler's arguments from a call's payload, and checks them against the type hints.

    A JSON object becomes keyword arguments. An array becomes positional arguments if the function takes several.
    Anything else becomes the only argument. A parameter named `caller` receives the caller's identity. If
    `payload` is the only other parameter, it receives the whole payload.

    Raises:
        TypeError: for a type hint that JSON cannot be checked against.
    """

    def __init__(self, method: str, function: Callable[..., Any], *, raw: bool) -> None:
        self.raw = raw
        self._method = method
        self._parameters = list(inspect.signature(function, eval_str=True).parameters.values())
        named = [each for each in self._parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
        self._names = [each.name for each in named if each.name != _CALLER]
        self._by_position = [each.name for each in named if each.kind is not each.KEYWORD_ONLY and each.name != _CALLER]
        self._whole = self._names == [_WHOLE_PAYLOAD]
        # Arguments for `*rest` and `**rest` are checked as a list and a dict, under names that callers never see.
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
            # Fields get generated names: pydantic reserves some names, and refuses those with an underscore.
            self._fields[alias] = f"field_{index}"
            fields[f"field_{index}"] = (hint, pydantic.Field(default, alias=alias))
        config = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=False, validate_default=False)
        try:
            self._model = pydantic.create_model("Arguments", __config__=config, **fields)
        except pydantic.errors.PydanticUserError as error:
            reason = str(error).splitlines()[0].split(" Set `arbitrary_types_allowed")[0]
            raise TypeError(
                f"The parameters of {method!r} have a type that JSON cannot be checked against: {reason} "
                "Use JSON's types, dataclasses, TypedDicts or pydantic models."
            ) from None

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
            raise self._invalid(f"the payload is not JSON ({error})") from None

    def of(self, payload: Any, caller: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments for one call.

        Raises:
            RpcError: INVALID_ARGUMENTS, with a message for the caller, if the payload does not match.
        """
        if self.raw:
            return self._arranged({self._names[0]: payload} if self._names else {}, caller)
        given = self._by_name(payload)
        try:
            # Validated as JSON text: even strict checking then accepts a date or a UUID written as a string.
            model = self._model.model_validate_json(pydantic_core.to_json(given))
        except pydantic.ValidationError as error:
            raise self._refused(error, given) from None
        values = {
            alias: getattr(model, field) for alias, field in self._fields.items() if field in model.model_fields_set
        }
        return self._arranged(values, caller)

    def _arranged(self, values: dict[str, Any], caller: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """`values` in the order and form of the function's parameters; missing ones keep their defaults."""
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
        # Only the argument and the problem: pydantic's own text would repeat the input and link to its documentation.
        problems = []
        for each in error.errors(include_url=False, include_context=False, include_input=False):
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
