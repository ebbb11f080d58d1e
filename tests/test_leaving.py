"""Leaving a room loses nothing that was sent, and the watchdog names a handler that blocks the loop."""

from __future__ import annotations

import os
import time
from asyncio import wait_for
from collections.abc import Callable
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually, slow_work

import lknb
from lknb.loop import LOOP

Peer = Callable[..., PlainPeer]


def test_close_delivers_what_was_sent(alice: lknb.Room, bob: lknb.Room) -> None:
    files = alice.listen("bytes")
    content = os.urandom(1_500_000)
    bob.send_bytes(content, name="last.bin")
    bob.close()
    received = files.next(timeout=30)
    assert received.status == "ok"
    assert received.data.data == content


def test_close_is_quick_without_pending_data(alice: lknb.Room, bob: lknb.Room) -> None:
    began = time.monotonic()
    bob.close()
    assert time.monotonic() - began < 10, "flushing waits for half a minute"


def test_closing_waits_for_no_confirmation_of_what_was_confirmed(alice: lknb.Room, bob: lknb.Room) -> None:
    sent = alice.send_text("hello")
    alice.close()
    assert sent.status == "ok"


@pytest.mark.slow("waits for a receiver that does not answer")
def test_what_was_not_confirmed_is_failed_and_the_cell_is_told(alice: lknb.Room, peer: Peer) -> None:
    dave = peer("dave")
    eventually(lambda: "dave" in alice.participants)
    dave.pause()
    with pytest.warns(RuntimeWarning, match=r"closed before 1 message \(7 B\) had been confirmed") as told, alice:
        sent = alice.send_text("unheard")
    assert told[0].filename == __file__, "the warning names the cell's line"
    assert sent.status == "failed"
    assert "before 'dave' had confirmed it" in (sent.error or "")


def test_interrupted_close_leaves_at_once(alice: lknb.Room, peer: Peer) -> None:
    dave = peer("dave")
    eventually(lambda: "dave" in alice.participants)
    dave.pause()
    sent = alice.send_text("unheard")
    closing = LOOP.submit(alice._connection.close())
    eventually(lambda: alice.state == "closed")
    closing.cancel()
    eventually(lambda: sent.status == "failed")
    alice.rejoin()
    assert alice.state == "connected"


def test_connecting_waits_only_so_long_for_the_previous_connection(alice: lknb.Room, peer: Peer) -> None:
    dave = peer("dave")
    eventually(lambda: "dave" in alice.participants)
    dave.pause()
    alice.send_text("unheard")
    closing = LOOP.submit(alice._connection.close())
    eventually(lambda: alice.state == "closed")
    with pytest.raises(lknb.ConnectError, match="still delivering what it sent"):
        lknb.connect(alice.name, "alice", timeout=0.5)
    closing.cancel()
    LOOP.run(wait_for(alice._connection.left, 10), "left")


def test_another_connection_replaces_one_that_is_still_delivering(
    alice: lknb.Room, peer: Peer, join: Callable[..., lknb.Room]
) -> None:
    dave = peer("dave")
    eventually(lambda: "dave" in alice.participants)
    dave.pause()
    sent = alice.send_text("unheard")
    again = join("alice", metadata="another", timeout=4)
    assert (alice.state, again.state, sent.status) == ("closed", "connected", "failed")


@pytest.mark.slow("blocks the loop for 6 s")
@pytest.mark.parametrize("returned", [False, True], ids=["async", "returned coroutine"])
def test_watchdog_names_async_handler_that_blocks_loop(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str], returned: bool
) -> None:
    async def blocks(data: bytes) -> None:
        slow_work(6)  # what an async handler must not do

    def careless(data: bytes) -> Any:
        return blocks(data)

    blocks.__name__ = "careless"
    bob.on_data("work")(careless if returned else blocks)
    alice.publish_data(b"go", topic="work")
    shown = ""

    def said() -> bool:
        nonlocal shown
        shown += capsys.readouterr().err
        return "Make it a plain `def`" in shown

    eventually(said)
    assert "async handler careless has blocked lknb's event loop" in shown
    assert f'File "{__file__}", line' in shown
    eventually(lambda: not bob.handlers[0].running)
