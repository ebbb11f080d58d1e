"""Recorders killed at random moments, and a minute of 10,000 events a second."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import slow_work

import lknb
from lknb import server
from lknb.event import Event
from lknb.events import EventLog
from lknb.interest import Interest
from lknb.recording.recorder import Recorder, Source

pytestmark = [pytest.mark.faults("kills recorders for some minutes"), pytest.mark.timeout(400)]

KILLS = 40

# Sends everything, and prints the number of each packet with the time, when it is in the log.
PROGRAM = """
import itertools, os, sys, time, lknb
room = lknb.connect(sys.argv[2], "alice")
bob = lknb.connect(sys.argv[2], "bob")
bob.rpc("echo")(lambda payload: payload)
room.record(sys.argv[1])
story = iter(range(10**9))
with room.stream_text(topic="story") as out:
    for number in itertools.count():
        room.publish_data(str(number), topic="count")
        print(number, time.monotonic(), flush=True)
        if number % 7 == 0:
            out.write(f"{next(story)} ")
        if number % 11 == 0:
            room.send_bytes(os.urandom(3000 * (number % 5)), name=f"{number}.bin", progress=False)
        if number % 13 == 0:
            room.perform_rpc("bob", "echo", {"payload": number})
        if number % 17 == 0:
            room.attributes["number"] = str(number)
"""


def test_a_recorder_killed_at_any_moment_leaves_what_is_older_than_a_second(
    livekit: server.RunningServer, room_name: str, tmp_path: Path
) -> None:
    moments = random.Random(7)
    for kill in range(KILLS):
        path = tmp_path / f"{kill}.mcap"
        command = [sys.executable, "-c", PROGRAM, str(path), f"{room_name}-{kill}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        first = process.stdout.readline()
        slow_work(moments.uniform(0.0, 2.5))
        killed = time.monotonic()
        process.kill()
        told = [
            line.split() for line in (first + process.stdout.read()).splitlines(keepends=True) if line[-1:] == b"\n"
        ]
        process.wait()
        with lknb.open_recording(path) as run:
            kept = [int(event.data) for event in run.filter("data")]
            assert kept == list(range(len(kept)))
            older = [int(number) for number, at in told if float(at) < killed - 1.0]
            assert len(kept) >= len(older), f"kill {kill}: {len(kept)} of {len(older)}"
            for event in run.filter("bytes", status="ok"):
                assert hashlib.sha256(event.data.data).hexdigest() == event.data.sha256
            for event in run.filter("rpc", status="ok"):
                assert event.result == event.data
            (story,) = run.filter("text")
            pieces = (story.data or "").split()
            assert pieces == [str(number) for number in range(len(pieces))]
            run.state_at(run.duration)


def test_ten_thousand_events_a_second_are_all_written_or_counted(tmp_path: Path) -> None:
    nothing: dict[str, lknb.Participant] = {}
    log = EventLog()
    source = Source(log, "alice", {}, "lknb", lambda: "", lambda: nothing, lambda event: None)
    recorder = Recorder(source, Interest(), tmp_path / "flood.mcap", files=True)
    recorder.start()
    began, added = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < 60:
        while added < elapsed * 10_000:
            log.add(Event("data", "in", sender="bob", topic="imu", data=b'{"t": %d}' % added, size=10))
            added += 1
        slow_work(0.002)
    path = recorder.stop()
    assert added > 500_000
    with lknb.open_recording(path) as run:
        assert len(run.filter("data")) + run.dropped == added
        assert run.dropped == recorder.dropped
