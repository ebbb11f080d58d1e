"""Payloads of remote method calls: JSON as text, and back, within limits."""

from __future__ import annotations

from typing import Any

import pydantic_core

from lknb.errors import PayloadTooLargeError, RpcError

PAYLOAD_LIMIT = 15 * 1024 * 1024
"""Maximum bytes of a request or an answer in lknb. Peers older than RPC v2 accept 15 KiB."""

MAX_CONTAINERS = 1_000_000
"""Maximum objects and arrays in received JSON: an empty one takes three bytes of text, and 70 in memory."""

_MAX_DEPTH = 200  # pydantic's limit

ERROR_MESSAGE_LIMIT = 256
"""Maximum bytes of an error's message in LiveKit."""

ERROR_DATA_LIMIT = 15 * 1024
"""Maximum bytes of an error's data in LiveKit."""


def encode(value: Any) -> str:
    """`value`, of JSON's types only, as JSON text; `json_values.jsonable` makes it of other values.

    Raises:
        PayloadTooLargeError: if the text exceeds 15 MiB.
    """
    text = pydantic_core.to_json(value)
    if len(text) > PAYLOAD_LIMIT:
        raise PayloadTooLargeError(
            "The payload", len(text), PAYLOAD_LIMIT, "Send it with send_bytes, and name that stream in the call."
        )
    return text.decode()


def decode(text: str) -> Any:
    """JSON text as Python values; the empty text is None.

    Raises:
        ValueError: for text that is not JSON, is nested too deeply, or has too many objects and arrays. Its message
            continues a sentence whose subject is the text.
    """
    if not text:
        return None
    if len(text) > MAX_CONTAINERS and text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise ValueError(f"has more than {MAX_CONTAINERS:,} objects and arrays")
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise ValueError(f"is JSON nested more than {_MAX_DEPTH} levels deep") from None
        raise ValueError(f"is not JSON: {error}") from None


def decode_answer(method: str, text: str) -> Any:
    """A method's answer as Python values.

    Raises:
        RpcError: INVALID_RESPONSE, with the text as `data`, if the answer is not JSON.
    """
    try:
        return decode(text)
    except ValueError as error:
        raise RpcError(
            RpcError.INVALID_RESPONSE,
            f"{method!r} answered with text that {error}. Use raw=True for methods that answer in plain text.",
            text,
        ) from None


def cut(message: str) -> str:
    """Shorten an error's message to LiveKit's limit."""
    if len(message.encode()) <= ERROR_MESSAGE_LIMIT:
        return message
    return message.encode()[: ERROR_MESSAGE_LIMIT - 4].decode(errors="ignore") + " ..."
