"""Data packets: single messages of up to 64 kB, reliable or lossy.

See https://docs.livekit.io/home/client/data/packets/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from livekit import rtc

from lknb.connection import Connection
from lknb.errors import LknbError, PayloadTooLargeError
from lknb.event import Event
from lknb.events import EventLog
from lknb.sdk import PublishDataError

PACKET_LIMIT = 64_000
"""Bytes of payload and envelope together that the SDK's data channels take."""

_ENVELOPE = 60


class Packets:
    """Sends and receives the data packets of one connection."""

    def __init__(self, connection: Connection, log: EventLog) -> None:
        self._connection = connection
        self._log = log
        # In order, and one at a time: more in flight is slower, because each waits on every event of the process.
        self._turn = asyncio.Lock()
        connection.on("data_received", self._arrived)

    async def publish_data(
        self,
        payload: bytes | bytearray | memoryview | str,
        *,
        topic: str = "",
        reliable: bool = True,
        to: str | Iterable[str] | None = None,
    ) -> Event:
        """Send one packet. Packets of one participant arrive in the order of these calls, when reliable.

        About 2,000 a second is what the SDK carries: to move more, put many samples into one packet.

        Args:
            payload: bytes, or a str that is sent as UTF-8. At most 64,000 bytes with the envelope; LiveKit advises at
                most 15 KiB for reliable packets and 1,300 bytes for lossy ones, which larger are lost as a whole.
            topic: receivers listen by topic.
            reliable: False sends once, without order or repetition.
            to: an identity or several; None for everybody.

        Raises:
            NotConnectedError, UnknownParticipantError, PermissionDeniedError, PayloadTooLargeError
        """
        if isinstance(payload, str):
            payload = payload.encode()
        elif not isinstance(payload, bytes | bytearray | memoryview):
            raise TypeError(
                f"A packet is bytes or str, not {type(payload).__name__}. Use json.dumps(...) for JSON values."
            )
        data = bytes(payload)
        if not isinstance(topic, str):
            raise TypeError(f"A topic is a str, not {type(topic).__name__}.")
        self._connection.require("canPublishData", "Sending packets")
        recipients = await self._connection.presence.recipients(to)
        envelope = _ENVELOPE + sum(len(each.encode()) + 4 for each in (topic, self._connection.identity, *recipients))
        if len(data) + envelope > PACKET_LIMIT:
            raise PayloadTooLargeError(
                "The packet",
                len(data),
                max(0, PACKET_LIMIT - envelope),
                "Use send_bytes or send_text, which take any length.",
            )
        event = Event(
            "data",
            "out",
            sender=self._connection.identity,
            to=tuple(recipients),
            topic=topic,
            data=data,
            size=len(data),
            reliable=reliable,
        )
        async with self._turn:
            try:
                await self._connection.call(
                    self._connection.local.publish_data(
                        data, topic=topic, reliable=reliable, destination_identities=recipients
                    ),
                    "publish_data",
                    limit=10.0,
                )
            except BaseException as error:
                event.status, event.error = "failed", str(error) or type(error).__name__
                if isinstance(error, PublishDataError):
                    event.error = error.message
                self._log.add(event)
                if isinstance(error, PublishDataError):
                    raise LknbError(f"The packet was not sent: {event.error}.") from None
                raise
        self._log.add(event)
        return event

    def _arrived(self, packet: rtc.DataPacket, *_: Any) -> None:
        self._log.add(
            Event(
                "data",
                "in",
                # None when a server API sent it, or somebody whom the server has not announced yet.
                sender=packet.participant.identity if packet.participant is not None else None,
                topic=packet.topic or "",
                data=packet.data,
                size=len(packet.data),
                reliable=packet.kind == rtc.DataPacketKind.KIND_RELIABLE,
            )
        )
