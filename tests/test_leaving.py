"""Leaving a room loses nothing that was sent, and the watchdog names a handler that blocks the loop."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from waiting import eventually, slow_work

import lknb


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
