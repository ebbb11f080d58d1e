"""What the benchmark measures: an item is a method of `Side`, and what the table shows of its figures are `ROWS`."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any, Literal

from payloads import CONTENTS, KB, MB, TABLE_ROWS
from processes import Worker

PLAIN, LKNB, KEPT = "plain", "lknb", "lknb, log kept"

_PACKETS = 4_000
_WARM_UP = 800
_TEXTS = 200
_CALLS = 200
_CALLS_AT_ONCE = 1_000
_STREAMS = {1 * KB: 50, 100 * KB: 10, 4 * MB: 1, 100 * MB: 1}
_LONG_TEXT = 4 * MB
_FEW_ROOMS, _MANY_ROOMS = 10, 40
_SETTLES = 1.0
_FLOOD = 2_000
_FLOOD_CALLS = 400
_SAMPLES = {PLAIN: 3_000, LKNB: 200_000}
_VALUES = 4

Figures = dict[str, float]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        item: the item whose figures these are.
        title: what was measured.
        unit: the unit of the figures.
        plain: the name of the plain SDK's figure; "" if it has none.
        lknb: the name of lknb's figure.
        better: whether more is better, or less.
        base: the name of the figure of lknb's own that its figure is compared with, if not with the plain SDK's.
    """

    item: str
    title: str
    unit: str
    plain: str
    lknb: str
    better: Literal["more", "less"] = "more"
    base: str = ""


def _stream(content: str, size: int) -> Row:
    shown = f"{size // MB} MB" if size >= MB else f"{size // KB} kB"
    name = f"{content} {size}"
    unit, better = ("ms", "less") if size == min(_STREAMS) else ("MB/s", "more")
    return Row("bytes", f"byte stream, {content}, {shown}", unit, name, name, better)  # type: ignore[arg-type]


ROWS = [
    Row("packets", "packets of 100 B, one after the other", "/s", "rate", "rate"),
    Row("aio", "packets of 100 B, 64 in flight with `room.aio`; SDK: one after the other", "/s", "rate", "rate"),
    Row("text", "text of 100 B, one way, p50", "ms", "p50", "p50", "less"),
    Row("text", "text of 100 B, one way, p99", "ms", "p99", "p99", "less"),
    Row("rpc", "RPC, 100 B echo, async handler, p50", "ms", "p50", "async p50", "less"),
    Row("rpc", "RPC, 100 B echo, async handler, p99", "ms", "p99", "async p99", "less"),
    Row("rpc", "RPC, 100 B echo, sync handler; SDK: async, p50", "ms", "p50", "sync p50", "less"),
    Row("rpc", "RPC, 100 B echo, sync handler; SDK: async, p99", "ms", "p99", "sync p99", "less"),
    Row("calls", "RPC, 32 calls in flight", "/s", "rate", "rate"),
    *(_stream(content, size) for size in _STREAMS for content in CONTENTS),
    Row("long-text", "text of 4 MB, incompressible", "MB/s", "rate", "rate"),
    Row("rooms", "packets in 40 rooms of one process, in all", "/s", "many", "many"),
    Row("rooms", "the same as a share of what 10 rooms deliver", "%", "share", "share"),
    Row("table", "DataFrame, 100,000 × 6: `send_table`; SDK: CSV as text", "ms", "time", "time", "less"),
    Row("samples", "float64 values, random: `publish_samples`; SDK: JSON, 4 in a packet", "/s", "random", "random"),
    Row("samples", "the same with a plot, compared with lknb without", "/s", "", "random plotted", base="random"),
    Row("samples", 'float64 values, slow signals: with `compression="zstd"`; SDK: as above', "/s", "slow", "slow"),
    Row("samples", "the same with a plot, compared with lknb without", "/s", "", "slow plotted", base="slow"),
    Row(
        "recording",
        "RPC p50 while up to 2,000 packets a second arrive and are recorded; compared with lknb without recording",
        "ms",
        "",
        "recorded p50",
        "less",
        base="p50",
    ),
    Row("joining", "joining until the others see it", "ms", "time", "time", "less"),
    Row("busy", "RPC to a participant whose cell computes for 2 s", "ms", "time", "time", "less"),
]
ITEMS = list(dict.fromkeys(row.item for row in ROWS))


def _percentiles(seconds: list[float], prefix: str = "") -> Figures:
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {f"{prefix}p50": 1000 * statistics.median(ordered), f"{prefix}p99": 1000 * p99}


class Side:
    """The two participants of one side, and what is measured with them.

    Args:
        name: which side.
        large: whether streams of 100 MB are sent too.
    """

    def __init__(self, name: str, *, large: bool = False) -> None:
        self._kind = PLAIN if name == PLAIN else LKNB
        # Any value keeps the log; "" counts as none.
        self._environment = {"LKNB_SDK_LOG": "keep" if name == KEPT else ""}
        self._room = f"bench-{name.replace(', ', '-').replace(' ', '-')}"
        self._sizes = [size for size in _STREAMS if large or size <= 4 * MB]
        self._number = 0
        self._a, self._b = self._pair(self._room)

    def _pair(self, room: str) -> tuple[Worker, Worker]:
        b, a = (Worker(self._kind, room, *names, environment=self._environment) for names in (("b", "a"), ("a", "b")))
        return a, b

    def warm_up(self) -> None:
        """Do everything once: the first call of each kind is slower, for imports, routes and buffers."""
        self._a.do("bytes", size=100 * KB)
        self._a.do("text", size=100 * KB)
        self._a.do("packets", count=100)
        self._a.do("table", rows=100)
        self._values(1_000)
        self._calls(20)
        self._a.do("rpc_in_flight", count=50, most=32)

    def _in_packets(self, took: float) -> Figures:
        return {"rate": _PACKETS / took}

    def packets(self) -> Figures:
        """Packets a second, one after the other."""
        return self._in_packets(self._a.do("packets", count=_PACKETS))

    def aio(self) -> Figures:
        """Packets a second, as many in flight as is good for the side: with the SDK, more than one is slower."""
        if self._kind == PLAIN:
            return self.packets()
        return self._in_packets(self._a.do("packets_in_flight", count=_PACKETS, most=64))

    def text(self) -> Figures:
        """Milliseconds from sending a short text until the handler has it."""
        return _percentiles(self._a.do("text", size=100, count=_TEXTS))

    def _calls(self, count: int) -> Figures:
        if self._kind == PLAIN:
            return _percentiles(self._a.do("rpc", count=count))
        asynchronous = self._a.do("rpc", count=count, method="echo_async")
        synchronous = self._a.do("rpc", count=count, method="echo")
        return _percentiles(asynchronous, "async ") | _percentiles(synchronous, "sync ")

    def rpc(self) -> Figures:
        """Milliseconds of a call."""
        return self._calls(_CALLS)

    def calls(self) -> Figures:
        """Calls a second."""
        return {"rate": _CALLS_AT_ONCE / self._a.do("rpc_in_flight", count=_CALLS_AT_ONCE, most=32)}

    def bytes(self) -> Figures:
        """Milliseconds or MB/s of byte streams of several kinds and sizes."""
        figures = {}
        for size in self._sizes:
            for content in CONTENTS:
                took = statistics.median(self._a.do("bytes", size=size, content=content, count=_STREAMS[size]))
                figures[f"{content} {size}"] = 1000 * took if size == min(_STREAMS) else size / MB / took
        return figures

    def long_text(self) -> Figures:
        """MB/s of a long text stream."""
        (took,) = self._a.do("text", size=_LONG_TEXT)
        return {"rate": _LONG_TEXT / MB / took}

    def rooms(self) -> Figures:
        """Packets a second in all, between two processes that are in a few rooms, and in many."""
        self._number += 1
        a, b = self._pair(f"{self._room}-{self._number}")
        rates = []
        for count in (_FEW_ROOMS, _MANY_ROOMS):
            b.send("rooms", count=count)
            a.do("rooms", count=count)
            b.wait()
            time.sleep(_SETTLES)
            a.do("packets_to_rooms", count=_WARM_UP // count)
            rates.append(_PACKETS / a.do("packets_to_rooms", count=_PACKETS // count))
        a.close()
        b.close()
        few, many = rates
        return {"few": few, "many": many, "share": 100 * many / few}

    def table(self) -> Figures:
        """Milliseconds until the receiver has a DataFrame."""
        return {"time": 1000 * self._a.do("table", rows=TABLE_ROWS)}

    def _values(self, rows: int, *, slow: bool = False, plot: bool = False) -> float:
        self._b.do("collect", plot=plot)
        self._b.send("collected", rows=rows)
        begun = self._a.do("samples", rows=rows, slow=slow)
        return _VALUES * rows / float(self._b.wait() - begun)

    def samples(self) -> Figures:
        """Values a second, in samples of four."""
        rows = _SAMPLES[self._kind]
        if self._kind == PLAIN:
            return {name: self._values(rows, slow=name == "slow") for name in ("random", "slow")}
        self._number += 1
        figures = {}
        for name in ("random", "slow"):
            for plot in (False, True) if self._number % 2 else (True, False):
                figures[f"{name} plotted" if plot else name] = self._values(rows, slow=name == "slow", plot=plot)
        return figures

    def recording(self) -> Figures:
        """Milliseconds of a call while packets arrive, without a recorder and with one."""
        if self._kind == PLAIN:
            return {}
        self._number += 1
        figures: Figures = {}
        for recorded in (False, True) if self._number % 2 else (True, False):
            if recorded:
                self._a.do("record")
            self._b.do("flood", rate=_FLOOD)
            took = self._a.do("rpc", count=_FLOOD_CALLS, method="echo_async")
            self._b.do("ebb")
            if recorded:
                self._a.do("stop_recording")
            figures |= _percentiles(took, "recorded " if recorded else "")
        return figures

    def joining(self) -> Figures:
        """Milliseconds from the start of joining until another participant sees the new one."""
        self._number += 1
        identity = f"guest-{self._number}"
        self._a.do("watch")
        begun = self._b.do("guest", identity=identity)
        seen = self._a.do("seen", identity=identity)
        self._b.do("dismiss")
        return {"time": 1000 * (seen - begun)}

    def busy(self) -> Figures:
        """Milliseconds of a call to a participant whose main thread computes for two seconds."""
        self._b.send("busy", seconds=2.0)
        time.sleep(0.3)  # so that the computation has started; this wait is not measured
        method: dict[str, Any] = {} if self._kind == PLAIN else {"method": "echo"}
        (took,) = self._a.do("rpc", count=1, **method)
        self._b.wait()
        return {"time": 1000 * took}

    def measure(self, item: str) -> Figures:
        """The figures of an item."""
        figures: Figures = getattr(self, item.replace("-", "_"))()
        return figures

    def close(self) -> None:
        """End both participants."""
        self._a.close()
        self._b.close()
