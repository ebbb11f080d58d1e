"""Breaking off a stream that is under way: `room.cancel(event)`."""

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
from lknb.sdk import subscription_count
from lknb.systems.streams import CANCELLED, PIECE

Peers = Callable[..., PlainPeer]

LONG = 40_000_000  # takes ten seconds and more


def noise(size: int) -> bytes:
    """Bytes that no compression makes smaller."""
    return random.Random(size).randbytes(size)


def in_thread(function: Callable[..., Any], *args: Any, **options: Any) -> Future[Any]:
    """What becomes of a call that blocks."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args, **options))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def under_way(room: lknb.Room, kind: lknb.Kind) -> lknb.Event:
    """The open stream of this kind, once some of it has moved."""
    return eventually(lambda: [each for each in room.events.filter(kind, status="open") if each.transferred])[0]


# Incoming


def test_an_incoming_file_ends_here_and_the_connection_goes_on(alice: lknb.Room, peer: Peers) -> None:
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


def test_an_incoming_text_keeps_what_had_arrived(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    handle = plain.call("open_text", topic="llm")
    plain.call("write_text", handle=handle, text="half a ")
    event = under_way(alice, "text")
    assert alice.cancel(event) is True
    assert (event.status, event.error, event.data) == ("failed", "cancelled here", "half a ")


def test_an_incoming_stream_is_cancelled_before_its_first_piece(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("open_bytes", name="log.bin", topic="logs")
    event = eventually(lambda: alice.events.filter("bytes"))[0]
    assert alice.cancel(event) is True
    assert (event.status, event.transferred) == ("failed", 0)


@pytest.mark.parametrize("kind", ["text", "bytes"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_live_handlers_iterator_ends_with_an_error(
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


def test_a_handler_cancels_the_stream_that_it_gets(alice: lknb.Room, bob: lknb.Room) -> None:
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
def test_the_next_write_of_a_cancelled_stream_raises(
    alice: lknb.Room, bob: lknb.Room, peer: Peers, kind: lknb.Kind
) -> None:
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


def test_a_block_whose_stream_was_cancelled_does_not_end_as_if_all_had_arrived(alice: lknb.Room) -> None:
    def write() -> None:
        with alice.stream_bytes("log.bin") as out:
            out.write(b"all that there was")
            alice.cancel(out.event)

    with pytest.raises(lknb.StreamError, match="cancelled here"):
        write()


@pytest.mark.parametrize("how", ["send_file", "send_bytes"])
def test_a_file_on_its_way_out_is_cancelled(
    alice: lknb.Room, bob: lknb.Room, peer: Peers, folder: Path, how: str
) -> None:
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


def test_one_long_write_is_cancelled(alice: lknb.Room, bob: lknb.Room) -> None:
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


def test_a_write_goes_no_further_when_its_stream_broke_off_between_two_pieces(alice: lknb.Room) -> None:
    def write() -> None:
        with alice.stream_bytes("big.bin") as out:
            stream = out._writer._opened
            stream._progress = lambda done: stream._end("failed", CANCELLED)  # the moment that a cancel rarely meets
            out.write(bytes(3 * PIECE))

    with pytest.raises(lknb.StreamError, match=f"cancelled here, after {PIECE:,} bytes"):
        write()


def test_a_text_that_waits_for_its_next_piece_is_cancelled(alice: lknb.Room, peer: Peers) -> None:
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


def test_a_text_from_an_async_iterable_is_cancelled(alice: lknb.Room, bob: lknb.Room) -> None:
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


def test_what_has_ended_is_left_as_it_is(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("bytes")
    sent = alice.send_bytes(b"whole")
    assert alice.cancel(sent) is False
    received = inbox.next()
    assert bob.cancel(received) is False
    assert (sent.status, received.status) == ("ok", "ok")


def test_cancelling_twice_says_that_it_had_ended(alice: lknb.Room) -> None:
    with pytest.raises(lknb.StreamError), alice.stream_text() as out:
        assert [alice.cancel(out.event), alice.cancel(out.event)] == [True, False]


def test_what_is_sent_in_one_call_says_so(alice: lknb.Room) -> None:
    cancelling: list[asyncio.Future[Any]] = []

    def begun(event: lknb.Event) -> None:
        if event.status == "open":  # on the loop's thread, so that the cancelling begins before the SDK can answer
            cancelling.append(asyncio.ensure_future(alice.aio.cancel(event)))

    unsubscribe = alice.events.subscribe(begun)
    alice.send_text("x" * 1_000_000)
    unsubscribe()
    raised = eventually(lambda: cancelling[0].done() and cancelling[0].exception())
    assert isinstance(raised, lknb.StreamError)
    assert "in a single call, which cannot be cancelled" in str(raised)


@pytest.mark.parametrize("what", ["an id", None])
def test_what_is_no_event(alice: lknb.Room, what: Any) -> None:
    with pytest.raises(TypeError, match="takes the event of a text or byte stream"):
        alice.cancel(what)


def test_what_is_no_stream(alice: lknb.Room) -> None:
    sent = alice.publish_data("packet")
    event = sent if isinstance(sent, lknb.Event) else alice.events.filter("data")[0]
    with pytest.raises(TypeError, match="not one of kind 'data'"):
        alice.cancel(event)


def test_the_stream_of_another_room(alice: lknb.Room, bob: lknb.Room) -> None:
    with alice.stream_text() as out, pytest.raises(lknb.StreamError, match="does not belong to this room"):
        bob.cancel(out.event)


def test_cancelling_blocks_and_says_so_where_that_would_never_end(alice: lknb.Room, bob: lknb.Room) -> None:
    said: queue.Queue[str] = queue.Queue()

    @alice.on_text(stream=True)
    async def refuse(data: AsyncIterator[str], event: lknb.Event) -> None:
        try:
            alice.cancel(event)
        except lknb.LknbError as error:
            said.put(str(error))

    with bob.stream_text():
        assert "await room.aio.cancel(...)" in said.get(timeout=10)


# The name of a stream that is under way


def test_both_sides_know_the_name_while_the_stream_is_open(alice: lknb.Room, bob: lknb.Room) -> None:
    with alice.stream_bytes("../measurements.csv") as out:
        event = eventually(lambda: bob.events.filter("bytes"))[0]
        assert (out.event.name, event.name, event.status) == ("../measurements.csv", "measurements.csv", "open")
        assert event.text() == "measurements.csv"
    assert alice.send_text("no file").name is None
