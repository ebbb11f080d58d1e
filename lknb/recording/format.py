"""The layout of a recording: its channels, their JSON, and events as rows and back. docs/recording.md describes it.

The payload of an event lies in a channel of its own, byte for byte, in the message directly before the event's row. So
a reader needs no index: it keeps the messages that have the sequence of the row that comes next.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic_core

from lknb.arrow import ipc
from lknb.event import KINDS, STATUSES, Event, amend
from lknb.participants import Participant, ReadOnly

FORMAT = "1"
"""The version of this layout. It changes when a reader of the one before would misread a file."""

EVENTS = "lknb/events"
"""The channel of events that have ended, and of those that need no end: each as one row."""

OPEN = "lknb/open"
"""The channel of streams and calls that have begun. The row in `EVENTS` with the same number replaces it."""

REVISED = "lknb/revised"
"""The channel of events that turned out to have failed after they had ended well. A row replaces the earlier one."""

PIECES = "lknb/pieces"
"""The channel of the pieces of streams, with the time of each."""

STATE = "lknb/state"
"""The channel of the room's state: all of it at the start and now and then, and each change."""

BEGIN, END = "lknb", "lknb/end"
"""The names of the metadata: of the room and the recorder at the start, and of the counts at the end."""

Form = Literal["text", "json", "bytes", "file"]
"""How a payload becomes `event.data`: text and bytes as they are, JSON as Python values; JSON that describes a file."""

_JSON_AT_MOST = 1024 * 1024  # bytes of a payload that is looked at: JSON takes a multiple of its size in memory
_LOSS_TIMES = ("from", "until")


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload or an answer: its bytes, and how they become a value."""

    content: bytes
    form: Form

    @property
    def encoding(self) -> str:
        """The encoding of the channel: `json` for a JSON object, `arrow` for Arrow IPC, else `text` or `bytes`."""
        content = self.content
        if content.startswith(ipc.STREAM):
            return "arrow"
        if content[:1] == b"{" and len(content) <= _JSON_AT_MOST:
            try:
                pydantic_core.from_json(content, allow_inf_nan=False)
            except ValueError:
                pass
            else:
                return "json"
        return "bytes" if self.form == "bytes" else "text"


def payload_of(event: Event, request: str | None) -> Payload | None:
    """The payload of an event, if it has one that is not a file. `request` is a call's own text, if it is known."""
    data = event.data
    if event.kind == "rpc":
        return _text_of(data, request, raw=bool(event.raw))
    if event.kind == "text" and isinstance(data, str):
        return Payload(data.encode(errors="replace"), "text")
    if event.kind in ("data", "data_track") and isinstance(data, bytes):
        return Payload(data, "bytes")
    return None


def answer_of(event: Event, answer: str | None) -> Payload | None:
    """The answer to a call, if there is one. `answer` is its own text, if it is known."""
    if answer is None and event.result is None:
        return None
    return _text_of(event.result, answer, raw=bool(event.raw))


def _text_of(value: Any, text: str | None, *, raw: bool) -> Payload | None:
    """The text of a call's payload or answer; made from the value if the text itself is not known."""
    if value is None and raw:
        return None
    if text is None:
        text = value if raw and isinstance(value, str) else pydantic_core.to_json(value, fallback=str).decode()
    # A payload that could not be read is kept as its text. The JSON of a text has quotes, so it differs from the text.
    form: Form = "text" if isinstance(value, str) and (raw or text == value) else "json"
    return Payload(text.encode(errors="replace"), form)


def row_of(event: Event, clock: float, **more: Any) -> bytes:
    """An event as the JSON of its row, without payload and answer: `more` says where they are."""
    inline = event.kind not in ("text", "bytes", "rpc", "data", "data_track")
    return to_json(
        {
            "number": event.number,
            "id": event.id,
            "time": event.time.isoformat(),
            "clock": clock,
            "kind": event.kind,
            "direction": event.direction,
            "sender": event.sender,
            "to": event.to,
            "topic": event.topic,
            "data": _inline(event.data) if inline else None,
            "size": event.size,
            "transferred": event.transferred,
            "pieces": event.pieces,
            "first_after": event.first_after,
            "attributes": event.attributes,
            "status": event.status,
            "error": event.error,
            "duration": event.duration,
            "timestamp": event.timestamp,
            "reliable": event.reliable,
            "raw": event.raw,
            "reply_to": event.reply_to,
            "edits": event.edits,
            "version": event.version,
            "attachments": event.attachments,
            "name": event.name,
            "mime_type": event.mime_type,
            **more,
        }
    )


def _inline(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    return {key: each.isoformat() if isinstance(each, dt.datetime) else each for key, each in data.items()}


def event_of(row: Mapping[str, Any], data: Any, result: Any) -> Event:
    """The event of a row, with its payload and answer as values. Its fields are those of the recorded event.

    Raises:
        ValueError: if the row is not one.
        TypeError: likewise.
        KeyError: if it lacks a field.
    """
    if row["kind"] not in KINDS or row["status"] not in STATUSES or row["direction"] not in ("in", "out"):
        raise ValueError(f"{row['kind']!r} {row['direction']!r} {row['status']!r} is not an event")
    inline = row["data"]
    if row["kind"] == "loss" and isinstance(inline, dict):
        inline = {key: _moment(each) if key in _LOSS_TIMES else each for key, each in inline.items()}
    event = Event(
        row["kind"],
        row["direction"],
        sender=row["sender"],
        to=tuple(row["to"]),
        topic=row["topic"],
        data=inline if data is None else data,
        size=row["size"],
        transferred=row["transferred"],
        pieces=row["pieces"],
        first_after=row["first_after"],
        attributes=row["attributes"],
        status=row["status"],
        error=row["error"],
        duration=row["duration"],
        result=result,
        timestamp=row["timestamp"],
        reliable=row["reliable"],
        raw=row["raw"],
        reply_to=row["reply_to"],
        edits=row["edits"],
        version=row["version"],
        attachments=tuple(row["attachments"]),
        name=row["name"],
        mime_type=row["mime_type"],
        number=row["number"],
        id=row["id"],
        time=_moment(row["time"]),
    )
    if event.status == "open":
        amend(event, _started=event._started - row.get("elapsed", 0.0))
    return event


def _moment(text: Any) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def participant_row(participant: Participant) -> dict[str, Any]:
    """A participant as JSON."""
    return {
        "name": participant.name,
        "metadata": participant.metadata,
        "attributes": participant.attributes,
        "kind": participant.kind,
        "state": participant.state,
        "joined_at": participant.joined_at.isoformat() if participant.joined_at else None,
        "permissions": participant.permissions,
        "data_tracks": participant.data_tracks,
        "is_local": participant.is_local,
        "sid": participant.sid,
    }


def participant_of(identity: str, row: Mapping[str, Any]) -> Participant:
    """The participant of a row of the state."""
    joined = row.get("joined_at")
    return Participant(
        identity=identity,
        name=row.get("name", ""),
        metadata=row.get("metadata", ""),
        attributes=ReadOnly(row.get("attributes", {})),
        kind=row.get("kind", "standard"),
        state=row.get("state", "unknown"),
        joined_at=_moment(joined) if joined else None,
        quality="unknown",
        permissions=ReadOnly(row.get("permissions", {})),
        data_tracks=tuple(row.get("data_tracks", ())),
        is_local=bool(row.get("is_local")),
        sid=row.get("sid", ""),
    )


def to_json(value: Any) -> bytes:
    """`value` as JSON. Text that UTF-8 cannot encode is escaped."""
    try:
        return pydantic_core.to_json(value)
    except (ValueError, TypeError):  # such as a lone surrogate
        return json.dumps(value, separators=(",", ":"), default=str).encode()


def nanoseconds(moment: dt.datetime) -> int:
    """Nanoseconds since 1970, exact to the microsecond that a datetime has."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

# The units in which senders count time since 1970, by the smallest timestamp that is one: those after September 2001.
_UNITS = ((10**18, 1), (10**15, 1000), (10**12, 10**6), (10**9, 10**9))
_LATEST = 2**63


def published_at(event: Event) -> int | None:
    """The sender's timestamp in nanoseconds since 1970, if the frame has one that counts from there in any unit."""
    if event.timestamp is None or event.timestamp >= _LATEST:
        return None
    return next((event.timestamp * unit for least, unit in _UNITS if event.timestamp >= least), None)


def _schema(title: str, properties: dict[str, Any]) -> bytes:
    return to_json({"title": title, "type": "object", "properties": properties})


_TEXT, _WHOLE, _NUMBER, _FLAG = ({"type": each} for each in ("string", "integer", "number", "boolean"))
_TEXTS = {"type": "array", "items": _TEXT}
_OBJECT: dict[str, Any] = {"type": "object"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": [schema["type"], "null"]}


_PLACE = {
    "type": ["object", "null"],
    "properties": {"channel": _TEXT, "form": {"enum": ["text", "json", "bytes", "file"]}},
}

EVENT_SCHEMA = _schema(
    "lknb.Event",
    {
        "number": _WHOLE,
        "id": _TEXT,
        "time": {"type": "string", "format": "date-time"},
        "clock": _NUMBER,
        "kind": {"enum": list(KINDS)},
        "direction": {"enum": ["in", "out"]},
        "sender": _or_null(_TEXT),
        "to": _TEXTS,
        "topic": _TEXT,
        "data": {},
        "size": _or_null(_WHOLE),
        "transferred": _WHOLE,
        "pieces": _WHOLE,
        "first_after": _or_null(_NUMBER),
        "attributes": _OBJECT,
        "status": {"enum": list(STATUSES)},
        "error": _or_null(_TEXT),
        "duration": _or_null(_NUMBER),
        "elapsed": _NUMBER,
        "timestamp": _or_null(_WHOLE),
        "reliable": _or_null(_FLAG),
        "raw": _or_null(_FLAG),
        "reply_to": _or_null(_TEXT),
        "edits": _or_null(_TEXT),
        "version": _or_null(_WHOLE),
        "attachments": _TEXTS,
        "name": _or_null(_TEXT),
        "mime_type": _or_null(_TEXT),
        "payload": _PLACE,
        "answer": _PLACE,
    },
)

PIECE_SCHEMA = _schema(
    "lknb.Piece", {"number": _WHOLE, "at": _NUMBER, "size": _WHOLE, "count": _WHOLE, "text": _or_null(_TEXT)}
)

STATE_SCHEMA = _schema(
    "lknb.State",
    {
        "time": {"type": "string", "format": "date-time"},
        "whole": _FLAG,
        "metadata": _or_null(_TEXT),
        "participants": {"type": "object", "additionalProperties": {"type": ["object", "null"]}},
    },
)
