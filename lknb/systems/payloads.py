"""Payloads of remote method calls: Python values as JSON text, and back, within limits."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core

from lknb.errors import PayloadTooLargeError, RpcError

PAYLOAD_LIMIT = 15 * 1024 * 1024
"""Maximum bytes of a request or an answer in lknb. Peers older than RPC v2 accept 15 KiB."""

ERROR_MESSAGE_LIMIT = 256
"""Maximum bytes of an error's message in LiveKit."""

ERROR_DATA_LIMIT = 15 * 1024
"""Maximum bytes of an error's data in LiveKit."""


def encode(value: Any) -> str:
    """`value` as JSON text. Dataclasses, dates, numpy arrays and numbers, and pydantic models are converted.

    Raises:
        TypeError: for a value that JSON cannot express.
        PayloadTooLargeError: if the text exceeds 15 MiB.
    """
    try:
        text = pydantic_core.to_json(value, fallback=_jsonable, inf_nan_mode="constants").decode()
        if "NaN" in text or "Infinity" in text:
            json.loads(text, parse_constant=_no_constant)  # raises for a number, not for text inside a string
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        if "UnicodeEncodeError" in reason:
            reason = "it contains half of a surrogate pair, which UTF-8 cannot encode."
        raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {reason}") from None
    if len(text.encode()) > PAYLOAD_LIMIT:
        raise PayloadTooLargeError(
            "The payload",
            len(text.encode()),
            PAYLOAD_LIMIT,
            "Send it with send_bytes, and name that stream in the call.",
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
    """JSON text as Python values; the empty text is None.

    Raises:
        ValueError: for text that is not JSON, or is nested too deeply.
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
        RpcError: INVALID_RESPONSE, with the text as `data`, if the answer is not JSON.
    """
    try:
        return decode(text)
    except ValueError:
        raise RpcError(
            RpcError.INVALID_RESPONSE,
            f"{method!r} answered with text that is not JSON. Use raw=True for methods that answer in plain text.",
            text,
        ) from None


def cut(message: str) -> str:
    """Shorten an error's message to LiveKit's limit."""
    if len(message.encode()) <= ERROR_MESSAGE_LIMIT:
        return message
    return message.encode()[: ERROR_MESSAGE_LIMIT - 4].decode(errors="ignore") + " ..."
