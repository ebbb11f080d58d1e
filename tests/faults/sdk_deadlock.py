"""Shows a deadlock of LiveKit's SDK, without lknb. Run it to try another version of the SDK.

A byte stream is under way when the link stalls and the server then ends. The SDK reports neither `reconnecting` nor
`disconnected`, and stays connected for ever. The cause, in its `rtc_engine`: `publish_data` holds a read lock while it
waits for room in the data channel's queue, and the task that reconnects first waits for the write lock. On a dead link
there is never room again. lknb notices it with its own heartbeat, and joins again.

    python tests/faults/sdk_deadlock.py [RUNS]
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from livekit import rtc

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers import mint
from servers import KEY, SECRET, a_server

SIZE = 5_000_000
REPORTED_WITHIN = 30.0


async def send(room: rtc.Room) -> None:
    """Send random bytes piece by piece, until they are all sent or the SDK refuses."""
    data = os.urandom(SIZE)
    writer = await room.local_participant.stream_bytes("big.bin", total_size=SIZE)
    for at in range(0, SIZE, 128 * 1024):
        await writer.write(data[at : at + 128 * 1024])
    await writer.aclose()


async def one_run(url: str, signal_server: Callable[[signal.Signals], None]) -> str:
    """Stall and kill the server while bytes are under way; return what the SDK reported."""
    room, other = rtc.Room(), rtc.Room()
    reported: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def report(what: str) -> None:
        if not reported.done():
            reported.set_result(what)

    room.on("reconnecting", lambda: report("reconnecting"))
    room.on("disconnected", lambda reason: report("disconnected"))
    await room.connect(url, mint(KEY, SECRET, "deadlock", "alice"))
    await other.connect(url, mint(KEY, SECRET, "deadlock", "bob"))
    sending = asyncio.ensure_future(send(room))
    await asyncio.sleep(0.3)
    signal_server(signal.SIGSTOP)
    await asyncio.sleep(1.0)  # the queue is full by now
    signal_server(signal.SIGKILL)
    try:
        return await asyncio.wait_for(reported, REPORTED_WITHIN)
    except TimeoutError:
        return "nothing: deadlocked"
    finally:
        sending.cancel()


async def main(runs: int) -> None:
    print(f"livekit {version('livekit')}")
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as folder, a_server(Path(folder)) as url:

            def signal_server(which: signal.Signals, folder: str = folder) -> None:
                subprocess.run(["pkill", f"-{which.name[3:]}", "-f", folder], check=True)

            print(f"run {number}: the SDK reported {await one_run(url, signal_server)}", flush=True)


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3), 600))
