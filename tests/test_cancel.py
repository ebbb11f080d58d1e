"""Cancelling an open stream: `room.cancel(event)`."""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb.loop import LOOP
from lknb.sdk import subscription_count
from lknb.systems.streams import CANCELLED, PIECE

Peers = Callable[..., PlainPeer]

LONG = 40_000_000  # takes seconds


def noise(size: int) -> bytes:
    """Return incompressible bytes."""
    return random.Random(size).randbytes(size)


def in_thread(function: Callable[..., Any], *args: Any, **options: Any) -> Future[Any]:
    """Run a blocking call in a thread and return its future."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args, **options))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def under_way(room: lknb.Room, kind: lknb.Kind) -> lknb.Event:
    """Wait until part of a stream of this kind has moved, and return its event."""
    return eventually(lambda: [each for each in room.events.filter(kind, status="open") if each.transferred])[0]


# Incoming


def test_cancelling_incoming_file_keeps_room_connected(alice: lknb.Room, peer: Peers) -> None:
    inbox, plain = alice.listen("bytes"), peer()
    handle = plain.call("open_bytes", name="log.bin", total_size=100, topic="logs")
    plain.call("write_bytes", handle=handle, data=b"half")
    event = under_way(alice, "bytes")
    readers = subscription_count()
    assert alice.cancel(event) is True
    assert (event.status, event.error, event.data, event.transferred) == ("failed", "cancelled here", None, 4)
    assert inbox.next() is event
    eventually(lambda: subscription_count() < readers)
    plain.call("write_bytes", handle=handle, data=b"the sender does not know")
    plain.call("send_bytes", data=b"and on")
    assert inbox.next().data.data == b"and on"
    assert event.transferred == 4


def test_cancelled_incoming_text_keeps_received_part(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    handle = plain.call("open_text", topic="llm")
    plain.call("write_text", handle=handle, text="half a ")
    event = under_way(alice, "text")
    assert alice.cancel(event) is True
    assert (event.status, event.error, event.data) == ("failed", "cancelled here", "half a ")


def test_incoming_stream_can_be_cancelled_before_first_piece(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("open_bytes", name="log.bin", topic="logs")
    event = eventually(lambda: alice.events.filter("bytes"))[0]
    assert alice.cancel(event) is True
    assert (event.status, event.transferred) == ("failed", 0)


@pytest.mark.parametrize("kind", ["text", "bytes"])
@pytest.mark.parametrize("is_async", [False, True])
def test_cancelling_ends_stream_handlers_iterator_with_error(
    alice: lknb.Room, bob: lknb.Room, kind: lknb.Kind, is_async: bool
) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    on = alice.on_text if kind == "text" else alice.on_bytes

    if is_async:

        @on(stream=True)
        async def pieces_async(data: AsyncIterator[Any]) -> None:
            try:
                async for piece in data:
                    heard.put(piece)
            except lknb.StreamError as error:
                heard.put(str(error))
    else:

        @on(stream=True)
        def pieces(data: Iterator[Any]) -> None:
            try:
                for piece in data:
                    heard.put(piece)
            except lknb.StreamError as error:
                heard.put(str(error))

    with getattr(bob, f"stream_{kind}")(topic="live") as out:
        half = "half" if kind == "text" else b"half"
        out.write(half)
        assert heard.get(timeout=10) == half
        assert alice.cancel(alice.events.filter(kind)[0]) is True
        assert heard.get(timeout=10) == "cancelled here"
        out.write(half)


def test_handler_can_cancel_its_own_stream(alice: lknb.Room, bob: lknb.Room) -> None:
    cancelled: queue.Queue[bool] = queue.Queue()

    @alice.on_bytes(stream=True)
    async def refuse(data: AsyncIterator[bytes], event: lknb.Event) -> None:
        cancelled.put(await alice.aio.cancel(event))

    with bob.stream_bytes("log.bin") as out:
        assert cancelled.get(timeout=10) is True
        out.write(b"in vain")
    assert alice.events.filter("bytes")[0].error == "cancelled here"


# Outgoing


@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_write_to_cancelled_stream_raises(alice: lknb.Room, bob: lknb.Room, peer: Peers, kind: lknb.Kind) -> None:
    inbox, plain = bob.listen(kind), peer()

    def write() -> None:
        with getattr(alice, f"stream_{kind}")(topic="live") as out:
            out.write("half" if kind == "text" else b"half")
            eventually(lambda: bob.events.filter(kind))
            assert alice.cancel(out.event) is True
            assert (out.event.status, out.event.error) == ("failed", "cancelled here")
            out.write("more" if kind == "text" else b"more")

    with pytest.raises(lknb.StreamError, match="cancelled here, after 4 bytes"):
        write()
    event = inbox.next()
    assert event.status == "failed"
    assert "the sender cancelled it" in (event.error or "")
    assert "the sender cancelled it" in plain.wait(kind)["error"]


def test_with_block_raises_if_its_stream_was_cancelled(alice: lknb.Room) -> None:
    def write() -> None:
        with alice.stream_bytes("log.bin") as out:
            out.write(b"all that there was")
            alice.cancel(out.event)

    with pytest.raises(lknb.StreamError, match="cancelled here"):
        write()


@pytest.mark.slow("moves a megabyte or more")
@pytest.mark.parametrize("how", ["send_file", "send_bytes"])
def test_outgoing_file_can_be_cancelled(alice: lknb.Room, bob: lknb.Room, peer: Peers, folder: Path, how: str) -> None:
    inbox, plain = bob.listen("bytes"), peer()
    source: Any = noise(LONG)
    if how == "send_file":
        (folder / "big.bin").write_bytes(source)
        source = folder / "big.bin"
    sending = in_thread(getattr(alice, how), source, topic="files")
    event = under_way(alice, "bytes")
    assert alice.cancel(event) is True
    with pytest.raises(lknb.StreamError, match=r"cancelled here, after [\d,]+ bytes"):
        sending.result(30)
    assert (event.status, event.error) == ("failed", "cancelled here")
    assert inbox.next(timeout=30).status == "failed"
    assert plain.wait("bytes", topic="files", timeout=30)["error"]
    alice.send_bytes(b"and on")
    assert inbox.next().data.data == b"and on"


@pytest.mark.slow("moves a megabyte or more")
def test_long_write_can_be_cancelled(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("bytes")

    def write() -> None:
        with alice.stream_bytes("big.bin") as out:
            out.write(noise(LONG))

    writing = in_thread(write)
    eventually(lambda: any(each.transferred for each in bob.events.filter("bytes")))
    assert alice.cancel(alice.events.filter("bytes")[0]) is True
    with pytest.raises(lknb.StreamError, match="cancelled here"):
        writing.result(10)
    assert inbox.next(timeout=30).status == "failed"


def test_write_stops_if_stream_aborts_between_pieces(alice: lknb.Room) -> None:
    def write() -> None:
        with alice.stream_bytes("big.bin") as out:
            stream = out._writer._opened
            stream._progress = lambda done: stream._end("failed", CANCELLED)  # a moment that a real cancel rarely hits
            out.write(bytes(3 * PIECE))

    with pytest.raises(lknb.StreamError, match=f"cancelled here, after {PIECE:,} bytes"):
        write()


def test_text_waiting_for_next_piece_can_be_cancelled(alice: lknb.Room, peer: Peers) -> None:
    plain, go_on = peer(), threading.Event()

    def tokens() -> Iterator[str]:
        yield "half a "
        go_on.wait(30)
        yield "sentence"

    sending = in_thread(alice.send_text, tokens(), topic="llm")
    event = under_way(alice, "text")
    assert alice.cancel(event) is True
    try:
        with pytest.raises(lknb.StreamError, match="cancelled here, after 7 bytes"):
            sending.result(30)
    finally:
        go_on.set()
    got = plain.wait("text")
    assert got["text"] == "half a "
    assert "the sender cancelled it" in got["error"]


def test_text_from_async_iterable_can_be_cancelled(alice: lknb.Room, bob: lknb.Room) -> None:
    closed: list[str] = []

    async def tokens() -> AsyncIterator[str]:
        try:
            yield "half a "
            await asyncio.sleep(30)
        finally:
            closed.append("closed")

    async def main() -> None:
        sending = asyncio.create_task(alice.aio.send_text(tokens()))
        event = await asyncio.to_thread(under_way, alice, "text")
        assert await alice.aio.cancel(event) is True
        with pytest.raises(lknb.StreamError, match="cancelled here"):
            await asyncio.wait_for(sending, 30)

    asyncio.run(main())
    assert closed == ["closed"]


# What cannot be cancelled


def test_cancelling_finished_stream_changes_nothing(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("bytes")
    sent = alice.send_bytes(b"whole")
    assert alice.cancel(sent) is False
    received = inbox.next()
    assert bob.cancel(received) is False
    assert (sent.status, received.status) == ("ok", "ok")


def test_second_cancel_returns_false(alice: lknb.Room) -> None:
    with pytest.raises(lknb.StreamError), alice.stream_text() as out:
        assert [alice.cancel(out.event), alice.cancel(out.event)] == [True, False]


def test_cancel_refuses_messages_sent_in_one_call(alice: lknb.Room) -> None:
    refusals: list[BaseException | None] = []

    def begun(event: lknb.Event) -> None:
        if event.status == "open":
            refusals.append(LOOP.submit(alice.aio.cancel(event)).exception(10))

    unsubscribe = alice.events.subscribe(begun)
    alice.send_text("x" * 1_000_000)
    unsubscribe()
    (raised,) = refusals
    assert isinstance(raised, lknb.StreamError)
    assert "in a single call of the SDK, which cannot be cancelled" in str(raised)


@pytest.mark.parametrize("what", ["an id", None])
def test_cancel_rejects_non_events(alice: lknb.Room, what: Any) -> None:
    with pytest.raises(TypeError, match="takes the event of a text or byte stream"):
        alice.cancel(what)


def test_cancel_rejects_events_that_are_not_streams(alice: lknb.Room) -> None:
    sent = alice.publish_data("packet")
    event = sent if isinstance(sent, lknb.Event) else alice.events.filter("data")[0]
    with pytest.raises(TypeError, match="not one of kind 'data'"):
        alice.cancel(event)


def test_cancel_rejects_stream_of_another_room(alice: lknb.Room, bob: lknb.Room) -> None:
    with alice.stream_text() as out, pytest.raises(lknb.StreamError, match="does not belong to this room"):
        bob.cancel(out.event)


def test_blocking_cancel_in_async_handler_is_refused(alice: lknb.Room, bob: lknb.Room) -> None:
    said: queue.Queue[str] = queue.Queue()

    @alice.on_text(stream=True)
    async def refuse(data: AsyncIterator[str], event: lknb.Event) -> None:
        try:
            alice.cancel(event)
        except lknb.LknbError as error:
            said.put(str(error))

    with bob.stream_text():
        assert "await room.aio.cancel(...)" in said.get(timeout=10)


# The name of an open stream


def test_open_stream_shows_its_name_on_both_sides(alice: lknb.Room, bob: lknb.Room) -> None:
    with alice.stream_bytes("../measurements.csv") as out:
        event = eventually(lambda: bob.events.filter("bytes"))[0]
        assert (out.event.name, event.name, event.status) == ("../measurements.csv", "measurements.csv", "open")
        assert event.text() == "measurements.csv"
    assert alice.send_text("no file").name is None
