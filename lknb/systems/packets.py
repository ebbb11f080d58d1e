"""Data packets: single messages of up to 64 kB, reliable or lossy.

See https://docs.livekit.io/transport/data/packets/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from livekit import rtc

from lknb import checks
from lknb.connection import Connection
from lknb.errors import PayloadTooLargeError
from lknb.event import Event, amend
from lknb.events import EventLog
from lknb.participants import Participant
from lknb.systems.sending import recording

PACKET_LIMIT = 64_000
"""Maximum bytes of payload and envelope together in the SDK's data channels."""

_ENVELOPE = 60
_SEND_WITHIN = 10.0


class Packets:
    """Sends and receives the data packets of one connection."""

    def __init__(self, connection: Connection, log: EventLog) -> None:
        self._connection = connection
        self._log = log
        # Received packets that wait for the name of a sender, their own or that of a packet before them.
        self._unnamed: list[Event] = []
        self._naming = False
        connection.on("data_received", self._received)

    async def publish_data(
        self,
        payload: bytes | bytearray | memoryview | str,
        *,
        topic: str = "",
        reliable: bool = True,
        to: str | Participant | Iterable[str | Participant] | None = None,
    ) -> Event:
        """Send one packet. Reliable packets of one participant arrive in the order of these calls.

        A process sends a few thousand packets per second. To send more samples, use `publish_samples`.
        See https://docs.livekit.io/transport/data/packets/.

        Args:
            payload: bytes, or a str that is sent as UTF-8. At most 64,000 bytes including the envelope. LiveKit advises
                at most 15 KiB for reliable packets and at most 1,300 bytes for lossy ones: a larger packet is
                fragmented, and losing one fragment loses all of it.
            topic: receivers listen by topic.
            reliable: False sends the packet once, without ordering or retransmission.
            to: an identity, a `Participant`, or several in a list; None for everybody.

        Returns:
            The event in the log.

        Raises:
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            UnknownParticipantError: if a recipient is not in the room.
            PermissionDeniedError: without the grant canPublishData.
            PayloadTooLargeError: if payload and envelope exceed 64,000 bytes.
            SendError: if the SDK refused the packet.
            DeliveryTimeoutError: if the SDK did not accept the packet within 10 s.
            TypeError: for a payload that is neither bytes nor str, and for other arguments of another type.
            ValueError: for an empty `to`, this participant's own identity in it, and text that UTF-8 cannot encode.

        Examples:
            >>> room.publish_data('{"x": 1.5}', topic="position", reliable=False)
            >>> room.publish_data(struct.pack("<3f", 1.5, 2.5, 0.1), topic="imu", to="bob")
        """
        data = checks.data(payload, "payload", or_text=True)
        checks.topic(topic)
        reliable = checks.flag(reliable, "reliable")
        self._connection.require("canPublishData", "Sending packets")
        recipients = await self._connection.presence.recipients_here(to)
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
        with recording(self._log, event, "The packet was not sent"):
            await self._connection.request(
                lambda sdk: sdk.publish_data(data, topic=topic, reliable=reliable, to=recipients),
                "publish_data",
                limit=_SEND_WITHIN,
            )
            self._connection.require_still("canPublishData", "Sending packets")
        return event

    def _received(self, packet: rtc.DataPacket, sender: str | None) -> None:
        event = Event(
            "data",
            "in",
            sender=sender,
            topic=packet.topic or "",
            data=packet.data,
            size=len(packet.data),
            reliable=packet.kind == rtc.DataPacketKind.KIND_RELIABLE,
        )
        if self._naming:
            self._unnamed.append(event)
        elif sender is None and self._connection.credentials.can_mint:
            self._unnamed.append(event)
            self._naming = True
            self._connection.start(self._name_senders()).add_done_callback(self._stop_naming)
        else:
            self._log.add(event)

    async def _name_senders(self) -> None:
        """Deliver packets without a sender, and those behind them, when the server has said who it may be.

        The SDK names no sender for the server's API, and none for a participant that the server has not announced yet.
        """
        while self._unnamed:
            packets = len(self._unnamed)  # those that arrive during the request may have another sender
            sender = await self._connection.presence.only_unannounced()
            for event in self._unnamed[:packets]:
                amend(event, sender=event.sender or sender)
            self._deliver(packets)
        self._naming = False

    def _stop_naming(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # the room was closed
            self._naming = False
            self._deliver(len(self._unnamed))

    def _deliver(self, count: int) -> None:
        ready, self._unnamed = self._unnamed[:count], self._unnamed[count:]
        for event in ready:
            self._log.add(event)
