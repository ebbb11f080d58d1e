"""Leaving a room loses nothing that was sent, and a handler that blocks the loop is named."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from waiting import eventually

import lknb


def test_what_was_sent_arrives_although_the_sender_leaves_at_once(alice: lknb.Room, bob: lknb.Room) -> None:
    files = alice.listen("bytes")
    content = os.urandom(1_500_000)
    bob.send_bytes(content, name="last.bin")
    bob.close()
    received = files.next(timeout=30)
    assert received.status == "ok"
    assert received.data.data == content


def test_leaving_is_quick_when_nothing_is_on_its_way(alice: lknb.Room, bob: lknb.Room) -> None:
    began = time.monotonic()
    bob.close()
    assert time.monotonic() - began < 10, "flushing waits for half a minute"


@pytest.mark.parametrize("returned", [False, True], ids=["async", "returned coroutine"])
def test_an_async_handler_that_blocks_the_loop_is_named(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str], returned: bool
) -> None:
    async def blocks(data: bytes) -> None:
        time.sleep(6)  # noqa: ASYNC251 - what it must not do, and is told

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
