"""The commands of a benchmark's participant with lknb: plain calls on the main thread, handlers as plain functions."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import payloads
from worker import ACK_WITHIN, JOINING, ack_within, compute, in_flight

import lknb

# Samples that are pushed at once, as numpy columns.
_BLOCK = 10_000


class Lknb:
    """A participant."""

    def __init__(self, room: str, identity: str, peer: str) -> None:
        self._name = room
        self._identity = identity
        self._peer = peer
        self._rooms: list[lknb.Room] = []
        self._received = itertools.count(1)
        # The largest stream of --large.
        self._room = lknb.connect(room, identity=identity, max_stream_size=2 * 100 * payloads.MB)
        self._acks = self._room.listen("data", topic="ack")
        self._serve(self._room)

    def _serve(self, room: lknb.Room) -> None:
        @room.on_bytes("bench")
        def file(data: lknb.ReceivedFile) -> None:
            assert data.data
            self._ack()

        @room.on_text("bench")
        def text(data: str) -> None:
            assert data
            self._ack()

        @room.on_table("tables")
        def table(data: Any) -> None:
            assert len(data.to_pandas())
            self._ack()

        @room.on_data("bench")
        def packet(data: bytes) -> None:
            if self._is_last(data):
                self._ack()

        @room.rpc("echo", raw=True)
        def echo(payload: str) -> str:
            return payload

        @room.rpc("echo_async", raw=True)
        async def echo_async(payload: str) -> str:
            return payload

    def _ack(self) -> None:
        self._room.publish_data(repr(time.monotonic()).encode(), topic="ack")

    def _is_last(self, data: bytes) -> bool:
        last = next(self._received) == payloads.count_of(data)
        if last:
            self._received = itertools.count(1)
        return last

    def _acked(self, begun: float, size: int = 0) -> float:
        """Seconds until the peer had received everything."""
        event = self._acks.next(ack_within(size))
        return float(event.data) - begun

    # Streams

    def bytes(self, size: int, content: str = "random", count: int = 1) -> list[float]:
        """Seconds of each of `count` byte streams, one after the other."""
        data = payloads.content(content, size)
        took = []
        for _ in range(count):
            begun = time.monotonic()
            self._room.send_bytes(data, topic="bench", progress=False)
            took.append(self._acked(begun, size))
        return took

    def text(self, size: int, count: int = 1) -> list[float]:
        """Seconds of each of `count` text streams, one after the other."""
        text = payloads.random_text(size)
        took = []
        for _ in range(count):
            begun = time.monotonic()
            self._room.send_text(text, topic="bench")
            took.append(self._acked(begun, size))
        return took

    def table(self, rows: int) -> float:
        """Seconds until the peer has this DataFrame."""
        frame = payloads.sensor_log(rows)
        begun = time.monotonic()
        self._room.send_table(frame, topic="tables", progress=False)
        return self._acked(begun)

    # Packets

    def packets(self, count: int) -> float:
        """Seconds for `count` packets of 100 bytes, one after the other."""
        packet = payloads.packet(count)
        begun = time.monotonic()
        for _ in range(count):
            self._room.publish_data(packet, topic="bench")
        return self._acked(begun)

    def packets_in_flight(self, count: int, most: int) -> float:
        """Seconds for `count` packets of 100 bytes from an event loop, with `most` of them in flight."""
        packet = payloads.packet(count)
        begun = time.monotonic()
        asyncio.run(in_flight(count, most, lambda: self._room.aio.publish_data(packet, topic="bench")))
        return self._acked(begun)

    def rooms(self, count: int) -> None:
        """Join further rooms until there are so many."""
        numbers = itertools.count(len(self._rooms))

        async def join() -> None:
            room = await lknb.aio.connect(f"{self._name}-{next(numbers)}", identity=self._identity)
            self._rooms.append(room)

            @room.on_data("bench")
            async def packet(data: bytes) -> None:
                if self._is_last(data):
                    await self._room.aio.publish_data(repr(time.monotonic()).encode(), topic="ack")

        asyncio.run(in_flight(count - len(self._rooms), JOINING, join))

    def packets_to_rooms(self, count: int) -> float:
        """Seconds for `count` packets of 100 bytes to each room, to all rooms at once, in each one after the other."""
        packet = payloads.packet(count * len(self._rooms))

        async def send(room: lknb.Room) -> None:
            for _ in range(count):
                await room.aio.publish_data(packet, topic="bench")

        async def send_all() -> None:
            await asyncio.gather(*map(send, self._rooms))

        begun = time.monotonic()
        asyncio.run(send_all())
        return self._acked(begun)

    # Samples

    def flood(self, rate: int) -> None:
        """Send packets at this rate, or as many as go, until `ebb`."""
        packet = payloads.packet(1)
        self._ebb = threading.Event()

        def send() -> None:
            begun, sent = time.monotonic(), 0
            while not self._ebb.is_set():
                self._room.publish_data(packet, topic="flood")
                sent += 1
                self._ebb.wait(max(0.0, begun + sent / rate - time.monotonic()))

        self._flood = threading.Thread(target=send, daemon=True)
        self._flood.start()

    def ebb(self) -> None:
        """End the flood."""
        self._ebb.set()
        self._flood.join()

    def record(self) -> None:
        """Record the room to a temporary file from now on."""
        self._folder = tempfile.TemporaryDirectory(prefix="lknb-bench-")
        self._recorder = self._room.record(Path(self._folder.name) / "run.mcap")

    def stop_recording(self) -> None:
        """Finish the recording, and remove its file."""
        self._recorder.stop()
        assert not self._recorder.dropped
        self._folder.cleanup()

    def collect(self, plot: bool) -> None:
        """Keep samples from now on, and plot them too."""
        self._samples = self._room.samples("samples")
        self._plot = self._room.feed(topic="samples").plot() if plot else None

    def collected(self, rows: int) -> float:
        """The time when there are so many."""
        self._samples.wait(rows, ACK_WITHIN)
        end = time.monotonic()
        self._samples.close()
        if self._plot is not None:
            self._plot.close()
        return end

    def samples(self, rows: int, slow: bool) -> float:
        """Publish so many samples of four columns, in blocks, and return the time when it started."""
        columns = payloads.samples(rows, slow=slow)
        blocks = [
            {name: column[begin : begin + _BLOCK] for name, column in columns.items()}
            for begin in range(0, rows, _BLOCK)
        ]
        with self._room.publish_samples("samples", compression="zstd" if slow else None) as publisher:
            begun = time.monotonic()
            for block in blocks:
                publisher.push(**block)
        return begun

    # Calls

    def rpc(self, count: int, method: str) -> list[float]:
        """Seconds of each of `count` calls, one at a time."""
        took = []
        for _ in range(count):
            begun = time.monotonic()
            self._room.perform_rpc(self._peer, method, payloads.CALL, raw=True)
            took.append(time.monotonic() - begun)
        return took

    def rpc_in_flight(self, count: int, most: int) -> float:
        """Seconds for `count` calls from an event loop, with `most` of them in flight."""
        begun = time.monotonic()
        call = self._room.aio.perform_rpc
        asyncio.run(in_flight(count, most, lambda: call(self._peer, "echo_async", payloads.CALL, raw=True)))
        return time.monotonic() - begun

    def busy(self, seconds: float) -> None:
        """Compute on the main thread, as a cell would."""
        compute(seconds)

    # Joining

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
        """Join another participant, and return the unix time when joining started."""
        begun = time.time()
        self._guest = lknb.connect(self._name, identity=identity)
        return begun

    def dismiss(self) -> None:
        """Let it leave."""
        self._guest.close()

    def close(self) -> None:
        """Leave all rooms."""
        for room in (*self._rooms, self._room):
            room.close()
