"""Three minutes of everything at once: memory, files, threads and the SDK's subscriptions stay where they are."""

from __future__ import annotations

import gc
import os
import threading
import time

import psutil
import pytest

import lknb
from lknb import sdk

pytestmark = [pytest.mark.faults("runs for three minutes"), pytest.mark.timeout(400)]

SECONDS = 180
GROWTH = 40 * 1024 * 1024


def test_long_traffic_leaves_nothing_behind(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.rpc("echo")(lambda payload: payload)
    bob.on_text("chat")(lambda data: None)
    track, frames = alice.publish_data_track("imu"), bob.listen("data_track", max_events=100)
    me = psutil.Process()
    samples: list[tuple[int, int, int, int]] = []

    def traffic() -> None:
        alice.send_text("hello", topic="chat")
        alice.send_bytes(os.urandom(20_000), progress=False)
        assert alice.perform_rpc("bob", "echo", {"n": 1}) == {"n": 1}
        for _ in range(20):
            alice.publish_data(bytes(500))
            track.push(bytes(100))

    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        traffic()
        if time.monotonic() - began > SECONDS / 2 and len(samples) < 1:  # the logs are full by then
            gc.collect()
            samples.append((me.memory_info().rss, me.num_fds(), threading.active_count(), sdk.subscription_count()))
    gc.collect()
    memory, files, threads, subscriptions = samples[0]
    assert me.memory_info().rss - memory < GROWTH
    assert me.num_fds() <= files + 5
    assert threading.active_count() <= threads + 3
    assert sdk.subscription_count() <= subscriptions + 3
    frames.close()
