"""The commands of a benchmark's participant with the plain LiveKit SDK, see `lknb_worker.py`."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import time
from collections.abc import Coroutine
from typing import Any

import payloads
from livekit import api, rtc
from worker import ACK_WITHIN, JOINING, ack_within, compute, in_flight

Json = dict[str, Any]


class Plain:
    """A participant."""

    def __init__(self, room: str, identity: str, peer: str) -> None:
        self._name = room
        self._identity = identity
        self._peer = peer
        self._acks: asyncio.Queue[float] = asyncio.Queue()
        self._arrivals: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rooms: list[rtc.Room] = []
        self._received = 0
        self._samples: list[Json] = []
        self._wanted = 0
        self._enough = asyncio.Event()

    async def join(self) -> None:
        """Join with the options that lknb uses too."""
        room = self._room = rtc.Room()
        room.on("data_received", self._packet)
        room.on("participant_connected", lambda who: self._arrivals.put_nowait((who.identity, time.time())))
        room.register_byte_stream_handler("bench", lambda reader, _: self._start(self._read_bytes(reader)))
        room.register_text_stream_handler("bench", lambda reader, _: self._start(self._read_text(reader)))
        room.register_text_stream_handler("tables", lambda reader, _: self._start(self._read_table(reader)))
        await self._connect(room, self._name, self._identity)
        self._me = room.local_participant

        async def echo(call: rtc.RpcInvocationData) -> str:
            return str(call.payload)

        self._me.register_rpc_method("echo", echo)

    async def _connect(self, room: rtc.Room, name: str, identity: str) -> None:
        token = api.AccessToken(os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"]).with_identity(identity)
        grants = api.VideoGrants(room_join=True, room=name, can_update_own_metadata=True)
        gather_once = rtc.RtcConfiguration(continual_gathering_policy=rtc.ContinualGatheringPolicy.GATHER_ONCE)
        options = rtc.RoomOptions(rtc_config=gather_once)
        await room.connect(os.environ["LIVEKIT_URL"], token.with_grants(grants).to_jwt(), options)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _packet(self, received: rtc.DataPacket) -> None:
        if received.topic == "ack":
            self._acks.put_nowait(float(received.data))
        elif received.topic == "samples":
            self._samples.append(json.loads(received.data))
            if len(self._samples) == self._wanted:
                self._enough.set()
        else:
            self._received += 1
            if self._received == payloads.count_of(received.data):
                self._received = 0
                self._start(self._ack())

    async def _ack(self) -> None:
        await self._me.publish_data(repr(time.monotonic()).encode(), topic="ack")

    async def _read_bytes(self, reader: rtc.ByteStreamReader) -> None:
        chunks = [chunk async for chunk in reader]
        assert b"".join(chunks)
        await self._ack()

    async def _read_text(self, reader: rtc.TextStreamReader) -> None:
        assert await reader.read_all()
        await self._ack()

    async def _read_table(self, reader: rtc.TextStreamReader) -> None:
        import pandas as pd

        assert len(pd.read_csv(io.StringIO(await reader.read_all())))
        await self._ack()

    async def _acked(self, begun: float, size: int = 0) -> float:
        return await asyncio.wait_for(self._acks.get(), ack_within(size)) - begun

    # Streams

    async def bytes(self, size: int, content: str = "random", count: int = 1) -> list[float]:
        data = payloads.content(content, size)
        took = []
        for _ in range(count):
            begun = time.monotonic()
            await self._me.send_bytes(data, topic="bench")
            took.append(await self._acked(begun, size))
        return took

    async def text(self, size: int, count: int = 1) -> list[float]:
        text = payloads.random_text(size)
        took = []
        for _ in range(count):
            begun = time.monotonic()
            await self._me.send_text(text, topic="bench")
            took.append(await self._acked(begun, size))
        return took

    async def table(self, rows: int) -> float:
        frame = payloads.sensor_log(rows)
        begun = time.monotonic()
        await self._me.send_text(frame.to_csv(index=False), topic="tables")
        return await self._acked(begun)

    # Packets

    async def packets(self, count: int) -> float:
        packet = payloads.packet(count)
        begun = time.monotonic()
        for _ in range(count):
            await self._me.publish_data(packet, topic="bench")
        return await self._acked(begun)

    async def rooms(self, count: int) -> None:
        numbers = itertools.count(len(self._rooms))

        async def join() -> None:
            room = rtc.Room()
            room.on("data_received", self._packet)
            await self._connect(room, f"{self._name}-{next(numbers)}", self._identity)
            self._rooms.append(room)

        await in_flight(count - len(self._rooms), JOINING, join)

    async def packets_to_rooms(self, count: int) -> float:
        packet = payloads.packet(count * len(self._rooms))

        async def send(room: rtc.Room) -> None:
            for _ in range(count):
                await room.local_participant.publish_data(packet, topic="bench")

        begun = time.monotonic()
        await asyncio.gather(*map(send, self._rooms))
        return await self._acked(begun)

    # Samples

    async def collect(self, plot: bool = False) -> None:
        assert not plot
        self._samples.clear()
        self._wanted = 0
        self._enough.clear()

    async def collected(self, rows: int) -> float:
        self._wanted = rows
        if len(self._samples) < rows:
            await asyncio.wait_for(self._enough.wait(), ACK_WITHIN)
        return time.monotonic()

    async def samples(self, rows: int, slow: bool) -> float:
        packets = payloads.json_samples(rows, slow=slow)
        begun = time.monotonic()
        for each in packets:
            await self._me.publish_data(each, topic="samples")
        return begun

    # Calls

    async def _call(self) -> None:
        await self._me.perform_rpc(
            destination_identity=self._peer, method="echo", payload=payloads.CALL, response_timeout=17.0
        )

    async def rpc(self, count: int) -> list[float]:
        took = []
        for _ in range(count):
            begun = time.monotonic()
            await self._call()
            took.append(time.monotonic() - begun)
        return took

    async def rpc_in_flight(self, count: int, most: int) -> float:
        begun = time.monotonic()
        await in_flight(count, most, self._call)
        return time.monotonic() - begun

    async def busy(self, seconds: float) -> None:
        compute(seconds)

    # Joining

    async def watch(self) -> None:
        while not self._arrivals.empty():
            self._arrivals.get_nowait()

    async def seen(self, identity: str) -> float:
        while (arrival := await asyncio.wait_for(self._arrivals.get(), ACK_WITHIN))[0] != identity:
            pass
        return arrival[1]

    async def guest(self, identity: str) -> float:
        self._guest = rtc.Room()
        begun = time.time()
        await self._connect(self._guest, self._name, identity)
        return begun

    async def dismiss(self) -> None:
        await self._guest.disconnect()

    async def close(self) -> None:
        for room in (*self._rooms, self._room):
            await room.disconnect()
