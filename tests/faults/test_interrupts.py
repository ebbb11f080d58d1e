"""Every public call, interrupted at random moments: nothing hangs afterwards, and nothing is left open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lknb import server

SCRIPT = Path(__file__).with_name("interrupted.py")
CALLS = [
    "send_text",
    "send_text of pieces",
    "stream_text",
    "stream_bytes",
    "send_bytes",
    "send_file",
    "publish_data",
    "perform_rpc",
    "set_attributes",
    "set_metadata",
    "data tracks",
    "connect",
    "close",
    "rejoin",
    "next",
]

pytestmark = [pytest.mark.faults("interrupts fifty calls of each kind"), pytest.mark.timeout(300)]


@pytest.mark.parametrize("call", CALLS)
def test_interrupted_call_leaves_nothing_behind(livekit: server.RunningServer, call: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, call, "50"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "left open: []"
    for part in ("never retrieved", "never awaited", "was destroyed"):
        assert part not in done.stderr
