"""Measure lknb against the plain LiveKit SDK, on this machine, in one run: `make bench`.

Each side has two participants, each in its own process, on one server that this starts. A round measures every item on
one side and then on the other, so that other load on the machine affects both. The table shows the medians of the
rounds. Absolute figures depend on the machine, the ratios much less.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MB = 1_000_000
SIDES = ("plain", "lknb")
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
WORKER = Path(__file__).with_name("worker.py")


class Worker:
    """One participant: a process of `worker.py`, or of another program that serves the same commands."""

    def __init__(
        self, side: str, room: str, identity: str, peer: str, *, program: Sequence[str] = (str(WORKER),)
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *program, side, room, identity, peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def send(self, do: str, **arguments: Any) -> None:
        """Send a command without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"A worker exited with code {self._process.wait()}.")
        return json.loads(line)

    def do(self, do: str, **arguments: Any) -> Any:
        """Send a command and return its answer."""
        self.send(do, **arguments)
        return self._answer()

    wait = _answer

    def close(self) -> None:
        """Leave the room and end the process."""
        self.do("close")
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(15)


class Side:
    """The two participants of one side, and what is measured with them."""

    def __init__(self, side: str, sizes: argparse.Namespace) -> None:
        self._side = side
        self._sizes = sizes
        self._guests = 0
        self._b = Worker(side, f"bench-{side}", "b", "a")
        self._a = Worker(side, f"bench-{side}", "a", "b")
        # The first call of each kind is slower: imports, routes, buffers.
        self._a.do("bytes", size=100_000)
        self._a.do("text", size=100_000)
        self._a.do("packets", count=100)
        self._a.do("rpc", count=20)

    def bytes(self) -> float:
        """MB/s of a byte stream of random data."""
        return float(self._sizes.stream / MB / self._a.do("bytes", size=self._sizes.stream))

    def text(self) -> float:
        """MB/s of a text stream that can hardly be compressed."""
        return float(self._sizes.stream / MB / self._a.do("text", size=self._sizes.stream))

    def packets(self) -> float:
        """Reliable packets of 100 bytes per second, one after the other."""
        return float(self._sizes.packets / self._a.do("packets", count=self._sizes.packets))

    def rpc(self) -> float:
        """Median milliseconds of a call that echoes 100 bytes."""
        times: list[float] = self._a.do("rpc", count=self._sizes.calls)
        return statistics.median(times)

    def visible(self) -> float:
        """Milliseconds from the start of joining until another participant sees the new one."""
        self._guests += 1
        identity = f"guest-{self._guests}"
        self._a.do("watch")
        began = self._b.do("guest", identity=identity)
        return float(1000 * (self._a.do("seen", identity=identity) - began))

    def busy(self) -> float:
        """Milliseconds of a call to a participant whose main thread computes for two seconds."""
        self._b.send("busy", seconds=2.0)
        time.sleep(0.3)  # so that the computation has started; this wait is not measured
        (took,) = self._a.do("rpc", count=1)
        self._b.wait()
        return float(took)

    def close(self) -> None:
        """End both participants."""
        self._a.close()
        self._b.close()


ITEMS = [
    ("bytes", "byte stream, random data", "MB/s", "ratio"),
    ("text", "text stream, incompressible", "MB/s", "ratio"),
    ("packets", "reliable packets, 100 B, one after the other", "/s", "ratio"),
    ("rpc", "RPC, 100 B echo, median", "ms", "difference"),
    ("visible", "joining until the others see it", "ms", "none"),
    ("busy", "RPC to a participant whose cell computes for 2 s", "ms", "none"),
]


def measure(sizes: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """The results of all rounds, by item and by side."""
    results: dict[str, dict[str, list[float]]] = {name: {side: [] for side in SIDES} for name, *_ in ITEMS}
    sides = {side: Side(side, sizes) for side in SIDES}
    for number in range(sizes.rounds):
        for name, *_ in ITEMS:
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                results[name][side].append(getattr(sides[side], name)())
        print(f"round {number + 1} of {sizes.rounds}", file=sys.stderr, flush=True)
    for each in sides.values():
        each.close()
    return results


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """The medians as a Markdown table."""
    lines = ["| What | Plain SDK | lknb | |", "| --- | ---: | ---: | ---: |"]
    for name, title, unit, compare in ITEMS:
        plain, ours = (statistics.median(results[name][side]) for side in SIDES)
        # Compared per round, so that a disturbance affects the ratio of one round only.
        pairs = list(zip(results[name]["plain"], results[name]["lknb"], strict=True))
        verdict = ""
        if compare == "ratio":
            verdict = f"× {statistics.median(b / a for a, b in pairs):.2f}"
        elif compare == "difference":
            verdict = f"{statistics.median(b - a for a, b in pairs):+.2f} ms"
        lines.append(f"| {title} | {number(plain)} {unit} | {number(ours)} {unit} | {verdict} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Format with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine() -> str:
    """The machine, and its load before the measurement."""
    python = f"{platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])}"
    today = dt.datetime.now().astimezone().date()
    return f"{today}, {os.cpu_count()} cores, {platform.system()}, {python}, load {os.getloadavg()[0]:.1f} before"


def write(path: Path, text: str) -> None:
    """Write `text` between the two markers of a Markdown file."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{path} has no {BEGIN} ... {END}.")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure lknb against the plain LiveKit SDK.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all items on both sides (%(default)s)")
    parser.add_argument("--stream", type=int, default=4 * MB, help="bytes of a stream (%(default)s)")
    parser.add_argument("--packets", type=int, default=2000, help="packets per round (%(default)s)")
    parser.add_argument("--calls", type=int, default=200, help="calls per round (%(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--write", type=Path, help=f"write the table to this file, between {BEGIN} and {END}")
    sizes = parser.parse_args()
    where = machine()

    from lknb import server

    with tempfile.TemporaryDirectory(prefix="lknb-bench-") as state:
        # A separate server, without the user's settings.
        os.environ["LKNB_STATE_DIR"] = state
        running = server.ensure()
        os.environ.update(
            LIVEKIT_URL=running.url, LIVEKIT_API_KEY=running.api_key, LIVEKIT_API_SECRET=running.api_secret
        )
        try:
            results = measure(sizes)
        finally:
            server.stop()
    if sizes.json:
        sizes.json.write_text(json.dumps(results, indent=1))
    text = f"{table(results)}\n\n{where}; medians of {sizes.rounds} rounds."
    print(text)
    if sizes.write:
        write(sizes.write, text)


if __name__ == "__main__":
    main()
