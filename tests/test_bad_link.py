"""The bad link that other tests use does what it says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_link import BadLink, a_bad_link
from servers import KEY, SECRET
from waiting import slow_work

import lknb

pytestmark = pytest.mark.slow("runs servers behind a proxy, and waits for outages")


@pytest.fixture
def link(tmp_path: Path) -> Iterator[BadLink]:
    with a_bad_link(tmp_path) as link:
        yield link


@pytest.fixture
def pair(link: BadLink) -> Iterator[tuple[lknb.Room, lknb.Room]]:
    """Yield alice behind the bad link, and bob on a good one."""
    alice = lknb.connect("studio", "alice", **link.options)
    with link.spared() as url:
        bob = lknb.connect("studio", "bob", url=url, api_key=KEY, api_secret=SECRET)
    yield alice, bob
    link.loss = link.delay = 0.0
    link.mend()
    alice.close()
    bob.close()


def test_delay_is_the_round_trip_of_a_call(link: BadLink, pair: tuple[lknb.Room, lknb.Room]) -> None:
    alice, bob = pair
    bob.rpc("ping")(lambda: None)
    alice.perform_rpc("bob", "ping")
    link.delay = 0.1
    began = time.monotonic()
    alice.perform_rpc("bob", "ping")
    assert time.monotonic() - began > 0.2


def test_a_short_cut_loses_nothing(link: BadLink, pair: tuple[lknb.Room, lknb.Room]) -> None:
    alice, bob = pair
    texts = bob.listen("text")
    link.cut()
    alice.send_text("held back")
    slow_work(3.0)
    assert not texts
    link.mend()
    assert texts.next(timeout=20).data == "held back"
    assert alice.state == "connected"
    assert not alice.events.filter("loss")


@pytest.mark.parametrize(("loss", "delay", "size"), [(0.0, 0.05, 1_000_000), (0.05, 0.025, 100_000)])
def test_closing_delivers_what_was_accepted(
    link: BadLink, pair: tuple[lknb.Room, lknb.Room], loss: float, delay: float, size: int
) -> None:
    alice, bob = pair
    files, texts = bob.listen("bytes"), bob.listen("text")
    link.loss, link.delay = loss, delay
    sent = [alice.send_bytes(os.urandom(size), progress=False)]
    sent += [alice.send_text(f"text {number}") for number in range(10)]
    alice.close()
    assert {event.status for event in sent} == {"ok"}
    assert files.next(timeout=10).size == size
    assert [texts.next(timeout=10).data for _ in range(10)] == [f"text {number}" for number in range(10)]
