"""`Throttle`: one report a second, and a count of the others."""

from __future__ import annotations

import time

from waiting import eventually

from lknb.throttle import EVERY, Throttle


def test_throttle_allows_one_report_and_counts_the_others() -> None:
    held_back: list[int] = []
    throttle = Throttle(held_back.append)
    began = time.monotonic()
    assert [throttle.allows() for _ in range(4)] == [True, False, False, False]
    eventually(lambda: held_back == [3])
    assert time.monotonic() - began >= EVERY * 0.9
    assert throttle.allows()


def test_flush_passes_the_count_on_immediately_and_only_once() -> None:
    held_back: list[int] = []
    throttle = Throttle(held_back.append)
    throttle.allows()
    throttle.flush()
    assert held_back == []
    throttle.allows()
    throttle.flush()
    throttle.flush()
    assert held_back == [1]
