"""Payloads as browsers show them: previews, texts and images. `content.js` draws them: a new type goes into both."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, cast

from lknb import values
from lknb.event import Event, decoder_of
from lknb.files import ReceivedFile
from lknb.widgets.rows import Content, EventRow, WholeEvent

TEXT_LIMIT = 1_000_000
"""Characters of a text, or bytes of a payload, that a browser receives when it asks for all of it."""

IMAGE_LIMIT = 20_000_000
"""Bytes of an image that a browser may show."""

_PREVIEW = 400
_RECIPIENTS = 20


def event_row(event: Event) -> EventRow:
    """An event as a row, with a preview of its payload."""
    error = event.value_error
    content, text = _preview(event)
    return {
        "time": event.time.timestamp() * 1000,
        "direction": event.direction,
        "kind": event.kind,
        "sender": event.sender,
        "to": list(event.to[:_RECIPIENTS]),
        "topic": event.topic,
        "size": event.size,
        "transferred": event.transferred,
        "status": event.status,
        "error": event.error and event.error[:_PREVIEW],
        "duration": event.duration,
        "reliable": event.reliable,
        "content": content,
        "preview": text[:_PREVIEW],
        "value_error": error,
        "more": content == "image" or len(text) > _PREVIEW,
    }


def preview(event: Event) -> str:
    """The beginning of an event's payload as text."""
    return _preview(event)[1][:_PREVIEW]


def whole_event(event: Event) -> WholeEvent:
    """An event with its payload, up to the limits, for a browser that has opened it."""
    row = cast(WholeEvent, event_row(event))  # its other keys are optional
    row["attributes"] = event.attributes
    if is_decoded(event):
        row["value"] = values.as_json(event.value)[:TEXT_LIMIT]
    row["content"], text = _raw_preview(event)
    row["preview"] = text[:TEXT_LIMIT]
    row["more"] = row["content"] == "image" or len(text) > TEXT_LIMIT
    if row["content"] == "image":
        file = event.data
        if file.size <= IMAGE_LIMIT:
            row["type"], row["buffer"] = file.image_type, file.data
            return row
    if event.result is not None:
        row["result"] = _answer(event.result)[:TEXT_LIMIT]
    return row


def is_decoded(event: Event) -> bool:
    """Whether the topic has a decoder that could read this event."""
    return decoder_of(event) is not None and event.status != "open" and event.value_error is None


def content_of(event: Event) -> tuple[Content, str]:
    """What the payload is (`text`, `json` or `hex`), and the payload as text."""
    if isinstance(event.data, bytes):
        text = event.text()
        if text is None or any(_is_binary(char) for char in text[:200]):
            return "hex", event.data[:TEXT_LIMIT].hex(" ")
    else:
        text = event.text() or ""
    if event.kind == "rpc" and event.result is not None:
        text = f"{text} \N{RIGHTWARDS ARROW} {_answer(event.result)}"
    return ("json" if text[:1] in ("{", "[") else "text"), text


def _preview(event: Event) -> tuple[Content, str]:
    if is_decoded(event):
        text = values.as_json(event.value, 2 * _PREVIEW)
        return ("json" if text[:1] in ("{", "[") else "text"), text
    return _raw_preview(event)


def _raw_preview(event: Event) -> tuple[Content, str]:
    file = event.data
    if event.kind == "bytes" and isinstance(file, ReceivedFile):
        return ("image" if file.image_type else "file"), f"{file.name} ({file.mime_type})"
    return content_of(event)


def _is_binary(char: str) -> bool:
    """Whether no text contains this character: a control character, or a code point without a meaning."""
    return char not in "\r\n\t" and unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs")


def _answer(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, default=str)
