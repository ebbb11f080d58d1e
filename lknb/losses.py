"""The `loss` events: in which time messages may have been lost, and with whom."""

from __future__ import annotations

import datetime as dt

from livekit import rtc

from lknb.event import Event, end_of, now
from lknb.events import EventLog

# The server announces that a participant is gone 12 to 25 s after its last sign of life.
_UNNOTICED = dt.timedelta(seconds=45)

_FROM_A_PEER = ("text", "bytes", "rpc", "data", "data_track", "attributes", "participant_metadata")

# Reasons of a participant that has left on purpose, or that somebody has made leave.
_LEFT = {
    rtc.DisconnectReason.CLIENT_INITIATED,
    rtc.DisconnectReason.PARTICIPANT_REMOVED,
    rtc.DisconnectReason.ROOM_DELETED,
    rtc.DisconnectReason.ROOM_CLOSED,
    rtc.DisconnectReason.SERVER_SHUTDOWN,
    rtc.DisconnectReason.USER_REJECTED,
}


class Losses:
    """Records the losses of one room.

    Args:
        log: the room's event log.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._replaced: dict[str, str] = {}  # the session of a participant that went for an unknown reason

    def of_connection(self, since: dt.datetime, *, another_room: bool) -> None:
        """Record that messages of this participant, in either direction, may be lost since then."""
        self._record(
            self._began(since),
            another_room=another_room,
            error="the room was recreated" if another_room else "messages sent in the meantime may be missing",
        )

    def left(self, participant: rtc.RemoteParticipant) -> None:
        """Record a loss if the participant went without leaving."""
        reason = participant.disconnect_reason
        if reason in _LEFT:
            return
        if not reason:  # the SDK gives none for a participant that joins again in the same moment
            self._replaced[participant.identity] = participant.sid
            return
        self._with(participant.identity, "went without leaving")

    def came(self, participant: rtc.RemoteParticipant) -> None:
        """Record a loss if the participant has joined again without having left."""
        before = self._replaced.pop(participant.identity, None)
        if before is not None and before != participant.sid:
            self._with(participant.identity, "joined again without having left")

    def _with(self, identity: str, how: str) -> None:
        since = max(self._last_heard(identity), now() - _UNNOTICED)
        self._record(
            self._began(since),
            another_room=False,
            sender=identity,
            error=f"{identity!r} {how}; messages to and from it in the meantime may be missing",
        )

    def _last_heard(self, identity: str) -> dt.datetime:
        """When something last came from a participant."""
        times = [heard for each in self._log[:] if (heard := _heard(each, identity)) is not None]
        return max(times, default=dt.datetime.min.replace(tzinfo=dt.UTC))

    def _began(self, since: dt.datetime) -> dt.datetime:
        """When the first of the streams that were being sent at `since` began."""
        return min(
            (
                each.time
                for each in self._log[:]
                if each.direction == "out" and each.kind in ("text", "bytes") and each.time < since <= end_of(each)
            ),
            default=since,
        )

    def _record(self, since: dt.datetime, *, another_room: bool, error: str, sender: str | None = None) -> None:
        data = {"from": since, "until": now(), "another_room": another_room}
        topic = "reconnect" if sender is None else "participant"
        self._log.add(Event("loss", "in", sender=sender, topic=topic, data=data, error=error))


def _heard(event: Event, identity: str) -> dt.datetime | None:
    """When this event shows that a participant was there; None if it does not."""
    if event.direction == "out":
        answered = event.kind == "rpc" and event.status == "ok" and event.to == (identity,)
        return end_of(event) if answered else None
    if event.sender != identity:
        return None
    if event.kind == "participant":
        return event.time if event.topic == "joined" else None  # the server may say "active" when it is gone
    if event.kind in ("text", "bytes") and event.status == "ok":
        return end_of(event)
    return event.time if event.kind in _FROM_A_PEER else None
