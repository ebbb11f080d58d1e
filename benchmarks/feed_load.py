"""Measures what a flood of events costs the page and the kernel while a feed, a plot and a panel are shown.

Events are added to the room's log in the kernel, as fast as `--rates` say. The page counts its frames and long tasks,
and clicks a button of the feed every 400 ms. Prints one line for each rate.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.lab import Notebook, lab_of_its_own

FLOOD = """
import json, threading, time
from lknb.event import Event

class Flood:
    def __init__(self, rate):
        self.rate, self.count, self.cpu = rate, 0, 0.0
        self.ending = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        payload = json.dumps({"x": 1.5, "y": -0.25}).encode()
        begun, last = time.perf_counter(), 0
        while not self.ending.is_set():
            due = int((time.perf_counter() - begun) * self.rate)
            cpu = time.thread_time()
            for _ in range(min(due - self.count, 500)):
                room.events.add(Event("data", "in", sender="bob", topic="imu", data=payload, size=24, reliable=True))
                self.count += 1
            self.cpu += time.thread_time() - cpu
            time.sleep(0.002)
"""
VIEWS = {"panel": "room.panel('feed', 'chat')", "plot": "feed.plot()"}
WATCH = """() => {
    const seen = (window.seen = { frames: 0, longest: 0, long: 0, clicks: [] });
    new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) {
            seen.long += duration;
            seen.longest = Math.max(seen.longest, duration);
        }
    }).observe({ type: "longtask" });
    const frame = () => { seen.frames += 1; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
}"""


def measure(book: Notebook, rate: int, seconds: float) -> dict[str, float]:
    """The page's and the kernel's figures at `rate` events a second."""
    page = book.page
    book.set_cell(5, f"flood = Flood({rate})")
    book.run(5)
    time.sleep(3)
    page.evaluate(WATCH)
    button = book.output(2).locator(".lknb-bar button").first  # Pause, Resume
    begun = time.monotonic()
    waits = []
    while time.monotonic() - begun < seconds:
        at = time.perf_counter()
        button.evaluate("(button) => new Promise((done) => { button.click(); requestAnimationFrame(() => done()); })")
        waits.append((time.perf_counter() - at) * 1000)
        time.sleep(0.4)
    took = time.monotonic() - begun
    seen = page.evaluate("window.seen")
    book.set_cell(6, "import json; flood.ending.set(); print(json.dumps([flood.count, flood.cpu]))")
    book.run(6)
    count, cpu = json.loads(book.output(6).inner_text())
    return {
        "frames/s": seen["frames"] / took,
        "longest task ms": seen["longest"],
        "in long tasks %": seen["long"] / took / 10,
        "click ms p50": median(waits),
        "click ms max": max(waits),
        "events/s": count / (took + 3.5),
        "kernel us/event": cpu / max(1, count) * 1e6,
    }


def main() -> int:
    """Measure each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", nargs="+", type=int, default=[0, 900, 10_000])
    parser.add_argument("--views", nargs="*", choices=VIEWS, default=list(VIEWS), help="beside the feed")
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    with lab_of_its_own() as lab:
        lab.page.set_viewport_size({"width": 1280, "height": 1500})
        cells = ["import lknb\nroom = lknb.connect('load', 'alice');", FLOOD]
        shown = ["feed = room.feed(); feed", *(VIEWS[each] if each in args.views else "0" for each in VIEWS)]
        book = lab.notebook(*cells, *shown, "0", "0")
        book.run(0, 1, 2, 3, 4)
        for rate in args.rates:
            figures = measure(book, rate, args.seconds)
            print(f"{rate:>6} events/s: " + ", ".join(f"{name} {value:,.1f}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
