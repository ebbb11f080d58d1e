"""Requests from any thread, and the events that answer them, against the real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.ffi_pb2 import FfiRequest
from livekit.rtc._proto.room_pb2 import SimulateScenarioKind
from waiting import eventually

import lknb
from lknb import server
from lknb.ffi import RequestError, dispatcher
from lknb.loop import LOOP
from lknb.sdk import subscription_count

Join = Callable[..., lknb.Room]


def simulate(room: lknb.Room, scenario: str) -> None:
    """Make the SDK simulate a connection failure."""
    sdk = room._connection.sdk
    LOOP.run(sdk.simulate_scenario(SimulateScenarioKind.Value(f"SIMULATE_{scenario}")), "simulate")


def test_packets_of_each_thread_arrive_in_order(alice: lknb.Room, bob: lknb.Room) -> None:
    threads, each = 32, 40
    inbox = bob.listen("data", topic="count")

    def send(thread: int) -> None:
        for number in range(each):
            alice.publish_data(f"{thread} {number}", topic="count")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(send, range(threads)))
    seen: dict[int, list[int]] = {}
    for _ in range(threads * each):
        thread, number = map(int, inbox.next(timeout=10).data.split())
        seen.setdefault(thread, []).append(number)
    assert seen == {thread: list(range(each)) for thread in range(threads)}


def test_packets_sent_at_once_arrive_in_order(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data", topic="count")

    async def send() -> None:
        await asyncio.gather(*(alice.aio.publish_data(str(number), topic="count") for number in range(500)))

    asyncio.run(send())
    assert [int(inbox.next(timeout=10).data) for _ in range(500)] == list(range(500))


@pytest.mark.parametrize("scenario", ["SIGNAL_RECONNECT", "FULL_RECONNECT"])
def test_each_send_of_32_threads_ends_though_the_room_reconnects(
    alice: lknb.Room, bob: lknb.Room, scenario: str
) -> None:
    @bob.rpc("echo")
    def echo(text: str) -> str:
        return text

    ended: list[str] = []
    stop = threading.Event()

    def send(thread: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                match thread % 4:
                    case 0:
                        alice.publish_data(str(number), topic="all")
                    case 1:
                        alice.send_text(str(number), topic="all")
                    case 2:
                        alice.send_bytes(bytes(100), topic="all")
                    case _:
                        assert alice.perform_rpc("bob", "echo", {"text": str(number)}) == str(number)
                ended.append("ok")
            except lknb.LknbError as error:
                ended.append(type(error).__name__)
                stop.wait(0.05)  # otherwise it asks again thousands of times while the room reconnects

    with ThreadPoolExecutor(32) as pool:
        for thread in range(32):
            pool.submit(send, thread)
        eventually(lambda: len(ended) > 200)
        simulate(alice, scenario)
        eventually(lambda: bool(alice.events.filter("connection", topic="reconnecting")))
        eventually(lambda: alice.state == "connected", 30)
        before = ended.count("ok")
        eventually(lambda: ended.count("ok") > before + 200, 60)
        stop.set()
    assert {*ended} <= {"ok", "NotConnectedError", "UnknownParticipantError", "RpcError"}
    assert not alice.events.filter(status="open", direction="out")


def test_cancelled_send_is_recorded_and_leaves_nothing_behind(alice: lknb.Room, bob: lknb.Room) -> None:
    running = threading.Event()

    @bob.rpc("slow")
    async def slow() -> None:
        running.set()
        await asyncio.sleep(60)

    async def call() -> None:
        task = asyncio.ensure_future(alice.aio.perform_rpc("bob", "slow", timeout=30))
        await asyncio.to_thread(running.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(call())
    (event,) = alice.events.filter("rpc", direction="out")
    assert (event.status, event.error) == ("failed", "interrupted; it may or may not have arrived")
    assert not dispatcher()._replies
    assert not alice._connection._calls


def test_request_with_a_handle_that_is_gone_is_refused(alice: lknb.Room) -> None:
    request = FfiRequest()
    request.send_text.local_participant_handle = 2**40
    request.send_text.text = "nobody sends this"
    request.send_text.options.topic = "t"
    with pytest.raises(RequestError, match="send_text"):
        dispatcher().request("send_text", request, lambda answer: answer)
    assert alice.send_text("still here").status == "ok"


def test_rooms_and_streams_end_their_subscriptions(alice: lknb.Room, bob: lknb.Room, join: Join) -> None:
    inbox = bob.listen("text")
    before = subscription_count()
    with join("carol") as carol:
        carol.send_text("hello")
        assert inbox.next(timeout=5).data == "hello"
    eventually(lambda: subscription_count() == before)


def test_room_of_the_plain_sdk_in_the_same_process_gets_its_events(
    alice: lknb.Room, livekit: server.RunningServer, token: Callable[..., str]
) -> None:
    async def exchange() -> tuple[bytes, str]:
        came: asyncio.Queue[bytes] = asyncio.Queue()
        room = rtc.Room()
        room.on("data_received", lambda packet: came.put_nowait(packet.data))
        await room.connect(livekit.url, token("plain"))
        try:
            await alice.aio.publish_data(b"to the plain room", topic="t")
            data = await asyncio.wait_for(came.get(), 10)
            with alice.listen("text", topic="t") as inbox:
                await room.local_participant.send_text("to lknb", topic="t")
                return data, (await asyncio.wait_for(anext(aiter(inbox)), 10)).data
        finally:
            await room.disconnect()

    assert asyncio.run(exchange()) == (b"to the plain room", "to lknb")


def test_queue_that_was_there_before_keeps_its_subscribers(alice: lknb.Room) -> None:
    assert FfiClient.instance.queue is dispatcher()
