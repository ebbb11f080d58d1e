"""Long runs leak nothing: no threads, SDK subscriptions, tasks or memory."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import psutil
from waiting import eventually

import lknb
from lknb.loop import LOOP
from lknb.sdk import subscription_count

CALLS, STREAMS, PACKETS = 4000, 2000, 4000


def tasks() -> int:
    async def count() -> int:
        return len(asyncio.all_tasks())

    return LOOP.run(count(), "tasks")


def work(alice: lknb.Room, calls: int, streams: int, packets: int) -> None:
    """Make this many of each, a few at a time, like a busy notebook."""

    async def main() -> None:
        turn = asyncio.Semaphore(8)

        async def once(make: Callable[[], object]) -> None:
            async with turn:
                await make()  # type: ignore[misc]

        await asyncio.gather(
            *(once(lambda: alice.aio.perform_rpc("bob", "echo", {"n": 1})) for _ in range(calls)),
            *(once(lambda: alice.aio.send_text("some words", topic="leak")) for _ in range(streams // 2)),
            *(once(lambda: alice.aio.send_bytes(b"x" * 500, topic="leak")) for _ in range(streams // 2)),
            *(once(lambda: alice.aio.publish_data(b"x" * 100, topic="leak")) for _ in range(packets)),
        )

    asyncio.run(main())


def test_ten_thousand_calls_streams_and_packets_leak_nothing(alice: lknb.Room, bob: lknb.Room) -> None:
    got = {"text": 0, "bytes": 0, "data": 0}

    @bob.rpc("echo")
    def echo(payload: object) -> object:
        return payload

    for kind in got:

        def count(event: lknb.Event) -> None:
            got[event.kind] += 1

        count.__qualname__ = f"count_{kind}"
        getattr(bob, f"on_{kind}")("leak")(count)

    def settled() -> bool:
        return all(event.status != "open" for event in bob.events) and not any(each.running for each in bob.handlers)

    # Fill the logs first, so that what they keep does not count as growth.
    for room in (alice, bob):
        room.events._max_events = 200
    work(alice, 200, 200, 200)
    eventually(settled)
    process = psutil.Process()
    gc.collect()
    before = (subscription_count(), tasks(), process.memory_info().rss)

    work(alice, CALLS, STREAMS, PACKETS)
    eventually(lambda: got == {"text": 100 + STREAMS // 2, "bytes": 100 + STREAMS // 2, "data": 200 + PACKETS}, 30)
    eventually(settled)
    gc.collect()
    grown = process.memory_info().rss - before[2]

    # A look at the statistics of the link takes one of each for a moment.
    eventually(lambda: subscription_count() <= before[0], what="subscriptions in the SDK")
    eventually(lambda: tasks() <= before[1], what="tasks on the loop")
    assert grown < 40 * 1024 * 1024, "memory"
    # Handler threads end after some idle seconds.
    eventually(lambda: not [each for each in threading.enumerate() if each.name.startswith("lknb-")], within=15)


def test_joining_and_leaving_leaks_nothing(alice: lknb.Room, room_name: str) -> None:
    def visit() -> None:
        with lknb.connect(room_name, "visitor") as room:
            room.listen("text")
            room.on_data("t")(lambda data: None)
            room.publish_data_track("imu")

    visit()
    gc.collect()
    process = psutil.Process()
    before = (subscription_count(), tasks(), process.num_fds(), threading.active_count())
    for _ in range(15):
        visit()
    gc.collect()
    eventually(lambda: subscription_count() <= before[0], what="subscriptions in the SDK")
    eventually(lambda: tasks() <= before[1], what="tasks on the loop")
    eventually(lambda: process.num_fds() <= before[2] + 3, what="open files")
    eventually(lambda: threading.active_count() <= before[3] + 2, what="threads")
