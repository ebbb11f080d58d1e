"""One participant of a benchmark, in its own process: `worker.py plain|lknb ROOM IDENTITY PEER`.

Reads one JSON command per line from stdin, such as `{"do": "packets", "count": 1000}`, and prints the result as JSON.
The commands exist twice: `plain_worker.py` has them with the plain LiveKit SDK, whose loop runs on the main thread as
in LiveKit's examples, and `lknb_worker.py` with lknb as a cell uses it. LIVEKIT_URL, LIVEKIT_API_KEY and
LIVEKIT_API_SECRET name the server.

When a receiver has received the whole of something, it sends a packet with the topic `ack` that contains the time. A
measurement ends at that time, so data that was sent but not delivered does not count, and the way back does not either.
The processes of a machine share the clock `time.monotonic`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

ACK_WITHIN = 60.0
JOINING = 4
"""Rooms that are joined at the same time."""

_SLOWEST = 100_000  # bytes a second


def ack_within(size: int) -> float:
    """Seconds to wait for the acknowledgement of so many bytes."""
    return ACK_WITHIN + size / _SLOWEST


async def in_flight(count: int, most: int, one: Callable[[], Awaitable[Any]]) -> None:
    """Await `one()` so many times, with `most` of them in flight."""
    numbers = iter(range(count))

    async def work() -> None:
        for _ in numbers:
            await one()

    await asyncio.gather(*(work() for _ in range(most)))


def compute(seconds: float) -> None:
    """Keep the interpreter busy, as a cell that computes does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def reply(value: Any) -> None:
    """Answer the command that was read last."""
    print(json.dumps(value), flush=True)


def serve_lknb(arguments: list[str]) -> None:
    """Serve commands one after the other on the main thread."""
    from lknb_worker import Lknb

    worker = Lknb(*arguments)
    reply("ready")
    for line in sys.stdin:
        command = json.loads(line)
        do: Callable[..., Any] = getattr(worker, command.pop("do"))
        reply(do(**command))


async def serve_plain(arguments: list[str]) -> None:
    """Serve commands one after the other on the loop of the main thread."""
    from plain_worker import Plain

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
