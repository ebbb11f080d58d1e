"""Sends an event once more: the one function behind `event.resend`, and behind replays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lknb.event import Event
from lknb.files import ReceivedFile
from lknb.participants import Participant

if TYPE_CHECKING:
    from lknb.room import AioRoom, Room

To = str | Participant | Iterable[str | Participant] | None

SENT_KINDS = ("text", "bytes", "data", "data_track", "attributes", "participant_metadata", "room_metadata", "rpc")
"""The kinds of events that can be sent."""

_IN_MEMORY = 4 * 1024 * 1024
_PIECE = 128 * 1024
_OWN = "lknb."  # attributes of a stream that lknb adds


class SkippedError(Exception):
    """An event that a replay does not send; the message says why."""


def why_not(event: Event, *, calls: bool) -> str | None:
    """Why an event is not sent again; None if it is."""
    if event.kind not in SENT_KINDS:
        return "it is not a message"
    if event.kind == "rpc":
        return None if calls else "calls have effects: calls=True makes them"
    if event.status == "dropped" or (event.status == "failed" and event.kind not in ("text", "bytes")):
        return f"it was not sent: {event.error}"
    if event.kind == "bytes" and not isinstance(event.data, ReceivedFile):
        return f"its content is not there: {event.error or 'files were not recorded'}"
    if event.kind == "text" and not isinstance(event.data, str):
        return f"its text is not there: {event.error}"
    return None


def stream_attributes(event: Event) -> dict[str, str]:
    """A stream's attributes, without those that lknb adds."""
    return {key: value for key, value in event.attributes.items() if not key.startswith(_OWN)}


async def resend(room: Room, event: Event, to: To = None, texts: Mapping[str, Event] | None = None) -> Event | None:
    """Send one event again, through `room`; return the new event, if sending makes one.

    Args:
        room: the room to send to, as its participant.
        event: what to send.
        to: the recipients; None for everybody, and for a call for the participant that was called.
        texts: texts that were sent again before, by the ids of the recorded ones: replies and edits refer to these.

    Raises:
        ValueError: for an event that cannot be sent, such as one of kind `participant`.
        LknbError: what the method that sends it raises.
    """
    reason = why_not(event, calls=True)
    if reason is not None:
        raise ValueError(f"This event cannot be sent again, because {reason}: {event!r}")
    aio = room.aio
    if event.kind == "text":
        return await aio.send_text(event.data, to=to, **text_options(event, texts))
    if event.kind == "bytes":
        return await _send_file(aio, event, to)
    if event.kind == "data":
        return await aio.publish_data(event.data, topic=event.topic, reliable=event.reliable is not False, to=to)
    if event.kind == "data_track":
        track = await aio.publish_data_track(event.topic)
        track.push(event.data, event.timestamp)
        return None
    if event.kind == "attributes":
        await aio.local_participant.set_attributes(event.data)
    elif event.kind == "participant_metadata":
        await aio.local_participant.set_metadata(event.data)
    elif event.kind == "room_metadata":
        await aio.set_metadata(event.data)
    else:
        await aio.perform_rpc(_callee(event, to), event.topic, event.data, raw=bool(event.raw))
    return None


def text_options(event: Event, texts: Mapping[str, Event] | None) -> dict[str, Any]:
    """The arguments of `send_text` that are not the text."""
    known = texts or {}
    reply_to = known.get(event.reply_to or "")
    edits = known.get(event.edits or "")
    return {
        "topic": event.topic,
        "attributes": stream_attributes(event),
        "reply_to": reply_to,
        "edits": edits,
    }


def _callee(event: Event, to: To) -> str | Participant:
    if to is None:
        if not event.to:
            raise ValueError("The event does not say whom the call was for. Pass to=.")
        return event.to[0]
    if isinstance(to, str | Participant):
        return to
    several = list(to)
    if len(several) != 1:
        raise ValueError(f"A call has one recipient, and to= has {len(several)}.")
    return several[0]


async def _send_file(aio: AioRoom, event: Event, to: To) -> Event:
    file: ReceivedFile = event.data
    options: dict[str, Any] = {
        "topic": event.topic,
        "to": to,
        "mime_type": file.mime_type,
        "attributes": stream_attributes(event),
    }
    if file.size <= _IN_MEMORY:
        return await aio.send_bytes(file.data, name=file.name, progress=False, **options)
    async with aio.stream_bytes(file.name, total_size=file.size, **options) as out:
        for at in range(0, file.size, _PIECE):
            await out.write(file.piece(at, _PIECE))
    return out.event
