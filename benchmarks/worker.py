"""One participant of a benchmark, in its own process: `worker.py plain|lknb ROOM IDENTITY PEER`.

Reads one JSON command per line from stdin, such as `{"do": "packets", "count": 1000}`, and prints the result as JSON.
The commands exist twice: with the plain LiveKit SDK, whose loop runs on the main thread as in LiveKit's examples, and
with lknb as a cell uses it. LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET name the server.

A receiver sends a packet with the topic `ack` when it has received a whole stream or series of packets. A measurement
ends when that packet arrives, so data that was sent but not delivered does not count.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

SEED = 20261123
ACK_WITHIN = 60.0
PAYLOAD = "x" * 100
LAST = b"!"

Json = dict[str, Any]


def random_bytes(size: int) -> bytes:
    """Bytes that cannot be compressed."""
    return random.Random(SEED).randbytes(size)


def random_text(size: int) -> str:
    """Text that can hardly be compressed."""
    return base64.b64encode(random_bytes(size * 3 // 4)).decode()


def packet(number: int, count: int) -> bytes:
    """A packet of 100 bytes; the last of a series is marked."""
    return (LAST if number == count - 1 else b".") + number.to_bytes(8, "big") + b"\0" * 91


def compute(seconds: float) -> None:
    """Keep the interpreter busy, as a cell that computes does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def reply(value: Any) -> None:
    """Answer the command that was read last."""
    print(json.dumps(value), flush=True)


class Lknb:
    """The commands with lknb: plain calls on the main thread, handlers as plain functions."""

    def __init__(self, room: str, identity: str, peer: str) -> None:
        import lknb

        self._connect = lknb.connect
        self._name = room
        self._peer = peer
        self._room = lknb.connect(room, identity=identity)
        self._acks = self._room.listen("data", topic="ack")
        self._arrivals: Any = None
        self._serve()

    def _serve(self) -> None:
        room = self._room

        @room.on_bytes("bench")
        @room.on_text("bench")
        def whole() -> None:
            room.publish_data(b"ack", topic="ack")

        @room.on_data("bench")
        def each(data: bytes) -> None:
            if data[:1] == LAST:
                room.publish_data(b"ack", topic="ack")

        @room.rpc("echo", raw=True)
        def echo(payload: str) -> str:
            return payload

    def bytes(self, size: int) -> float:
        """Seconds for one byte stream."""
        data = random_bytes(size)
        begun = time.perf_counter()
        self._room.send_bytes(data, topic="bench", progress=False)
        self._acks.next(ACK_WITHIN)
        return time.perf_counter() - begun

    def text(self, size: int) -> float:
        """Seconds for one text stream."""
        text = random_text(size)
        begun = time.perf_counter()
        self._room.send_text(text, topic="bench")
        self._acks.next(ACK_WITHIN)
        return time.perf_counter() - begun

    def packets(self, count: int) -> float:
        """Seconds for `count` packets of 100 bytes, one after the other."""
        packets = [packet(number, count) for number in range(count)]
        begun = time.perf_counter()
        for each in packets:
            self._room.publish_data(each, topic="bench")
        self._acks.next(ACK_WITHIN)
        return time.perf_counter() - begun

    def rpc(self, count: int) -> list[float]:
        """Milliseconds of each of `count` calls, one at a time."""
        took = []
        for _ in range(count):
            begun = time.perf_counter()
            self._room.perform_rpc(self._peer, "echo", PAYLOAD, raw=True)
            took.append(1000 * (time.perf_counter() - begun))
        return took

    def watch(self) -> None:
        """Record arrivals from now on."""
        self._arrivals = self._room.listen("participant")

    def seen(self, identity: str) -> float:
        """The unix time when this participant was first seen."""
        while (event := self._arrivals.next(ACK_WITHIN)).sender != identity:
            pass
        self._arrivals.close()
        return float(event.time.timestamp())

    def guest(self, identity: str) -> float:
        """Join another participant, which stays, and return the unix time when joining started."""
        begun = time.time()
        self._connect(self._name, identity=identity)
        return begun

    def busy(self, seconds: float) -> None:
        """Compute on the main thread, as a cell would."""
        compute(seconds)

    def close(self) -> None:
        """Leave the room."""
        self._room.close()


class Plain:
    """The commands with the plain SDK."""

    def __init__(self, room: str, identity: str, peer: str) -> None:
        self._name = room
        self._identity = identity
        self._peer = peer
        self._acks: asyncio.Queue[None] = asyncio.Queue()
        self._arrivals: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._guests: list[Any] = []

    async def join(self) -> None:
        """Join with the options that lknb uses too."""
        from livekit import rtc

        room = self._room = rtc.Room()
        room.on("data_received", self._packet)
        room.on("participant_connected", lambda who: self._arrivals.put_nowait((who.identity, time.time())))
        room.register_byte_stream_handler("bench", lambda reader, _: self._start(self._read_bytes(reader)))
        room.register_text_stream_handler("bench", lambda reader, _: self._start(self._read_text(reader)))
        await self._connect(room, self._identity)

        async def echo(call: rtc.RpcInvocationData) -> str:
            return str(call.payload)

        room.local_participant.register_rpc_method("echo", echo)

    async def _connect(self, room: Any, identity: str) -> None:
        from livekit import api, rtc

        token = api.AccessToken(os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"]).with_identity(identity)
        grants = api.VideoGrants(room_join=True, room=self._name, can_update_own_metadata=True)
        gather_once = rtc.RtcConfiguration(continual_gathering_policy=rtc.ContinualGatheringPolicy.GATHER_ONCE)
        options = rtc.RoomOptions(rtc_config=gather_once)
        await room.connect(os.environ["LIVEKIT_URL"], token.with_grants(grants).to_jwt(), options)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _packet(self, received: Any) -> None:
        if received.topic == "ack":
            self._acks.put_nowait(None)
        elif received.data[:1] == LAST:
            self._start(self._ack())

    async def _ack(self) -> None:
        await self._room.local_participant.publish_data(b"ack", topic="ack")

    async def _read_bytes(self, reader: Any) -> None:
        chunks = [chunk async for chunk in reader]
        b"".join(chunks)
        await self._ack()

    async def _read_text(self, reader: Any) -> None:
        await reader.read_all()
        await self._ack()

    async def _acked(self) -> None:
        await asyncio.wait_for(self._acks.get(), ACK_WITHIN)

    async def bytes(self, size: int) -> float:
        data = random_bytes(size)
        begun = time.perf_counter()
        await self._room.local_participant.send_bytes(data, topic="bench")
        await self._acked()
        return time.perf_counter() - begun

    async def text(self, size: int) -> float:
        text = random_text(size)
        begun = time.perf_counter()
        await self._room.local_participant.send_text(text, topic="bench")
        await self._acked()
        return time.perf_counter() - begun

    async def packets(self, count: int) -> float:
        packets = [packet(number, count) for number in range(count)]
        begun = time.perf_counter()
        for each in packets:
            await self._room.local_participant.publish_data(each, topic="bench")
        await self._acked()
        return time.perf_counter() - begun

    async def rpc(self, count: int) -> list[float]:
        took = []
        for _ in range(count):
            begun = time.perf_counter()
            await self._room.local_participant.perform_rpc(
                destination_identity=self._peer, method="echo", payload=PAYLOAD, response_timeout=17.0
            )
            took.append(1000 * (time.perf_counter() - begun))
        return took

    async def watch(self) -> None:
        while not self._arrivals.empty():
            self._arrivals.get_nowait()

    async def seen(self, identity: str) -> float:
        while (arrival := await asyncio.wait_for(self._arrivals.get(), ACK_WITHIN))[0] != identity:
            pass
        return arrival[1]

    async def guest(self, identity: str) -> float:
        from livekit import rtc

        room = rtc.Room()
        begun = time.time()
        await self._connect(room, identity)
        self._guests.append(room)
        return begun

    async def busy(self, seconds: float) -> None:
        compute(seconds)

    async def close(self) -> None:
        for room in (*self._guests, self._room):
            await room.disconnect()


def serve_lknb(arguments: list[str]) -> None:
    """Serve commands one after the other on the main thread."""
    worker = Lknb(*arguments)
    reply("ready")
    for line in sys.stdin:
        command = json.loads(line)
        do: Callable[..., Any] = getattr(worker, command.pop("do"))
        reply(do(**command))


async def serve_plain(arguments: list[str]) -> None:
    """Serve commands one after the other on the loop of the main thread."""
    worker = Plain(*arguments)
    await worker.join()
    reply("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        do: Callable[..., Any] = getattr(worker, command.pop("do"))
        reply(await do(**command))


if __name__ == "__main__":
    side, *rest = sys.argv[1:]
    if side == "plain":
        asyncio.run(serve_plain(rest))
    else:
        serve_lknb(rest)
