"""A timeline as a picture (SVG) for a saved notebook, and as a table of what each participant did.

`timeline_draw.js` draws the live one. Both show streams and calls as bars, packets and frames as density, changes of
state as marks, and losses and outages as bands.
"""

from __future__ import annotations

import datetime as dt
import html
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from lknb.inert import inert_line
from lknb.progress import size as readable
from lknb.tables import Table
from lknb.widgets.timeline_columns import LANES, NOTHING, OPEN, ROOM, Mark, kind_of, status_of

LIMIT = 120_000
"""Characters of a picture at most. With more to show, what lies close together is drawn as one."""

PICTURED = 24
"""Lanes in a picture. The others are counted."""

BARS = ("text", "bytes", "rpc")
DENSITY = ("data", "data_track")

_WIDTH, _LABEL, _RIGHT, _AXIS = 960.0, 120.0, 8.0, 24.0
_BAR, _TRACKS, _MARK, _DENSITY, _PAD = 8.0, 4, 10.0, 16.0, 4.0
_CALLS = 200
_MOST_BANDS = 100
_COARSEST = 512.0  # pixels
_LONGEST = 18  # characters of a label
# Of medium brightness, to be seen in light and in dark themes: as in lknb.css.
_COLORS = {
    "text": "#2f6fed",
    "bytes": "#b4690e",
    "rpc": "#8a3ffc",
    "data": "#12805c",
    "data_track": "#0f8b8d",
    "attributes": "#c2266e",
    "participant_metadata": "#c2266e",
    "room_metadata": "#c2266e",
    "failed": "#d33",
    "loss": "#d33",
    "outage": "#b26a00",
}
_NAMES = {
    "text": "text",
    "bytes": "files",
    "rpc": "calls",
    "data": "packets",
    "data_track": "frames",
    "attributes": "state",
    "failed": "failed or dropped",
    "loss": "loss",
    "outage": "not connected",
}
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, *(1000 * each for each in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900)))
_HOURS = (1800, 3600, 7200, 10800, 21600, 43200, 86400)

Boxes = dict[str, list[tuple[float, float, float, float]]]


class Picture:
    """All events of a timeline, from the first to the last.

    Args:
        marks: the events.
        lanes: the identities by the number of their lane.
        topics: the topics by their number.
        recorded: when a recording begins and ends; None for the time of the events.
        left_out: how many older events there are.
    """

    def __init__(
        self,
        marks: Iterable[Mark],
        lanes: Sequence[str],
        topics: Sequence[str],
        recorded: tuple[float, float] | None = None,
        left_out: int = 0,
    ) -> None:
        self._marks = sorted(marks, key=lambda mark: mark.time)
        self._names = [inert_line(each) for each in lanes]
        self._topics = topics
        self._left_out = left_out
        begin = min((mark.time for mark in self._marks), default=0.0)
        end = max((mark.time + max(0.0, _length(mark)) for mark in self._marks), default=0.0)
        if recorded is not None:
            begin, end = min(begin or recorded[0], recorded[0]), max(end, recorded[1])
        self._begin, self._end = begin, max(end, begin + 1.0)
        self._shown = self._most_active()
        self._bands = [mark for mark in self._marks if _is_band(mark)]
        self._lanes = {lane: _Lane() for lane in self._shown}
        for mark in self._marks:
            if mark.lane in self._lanes:
                self._lanes[mark.lane].add(mark)

    def __repr__(self) -> str:
        return "\n".join([self._sentence(), *self._notes()])

    def blocks(self) -> list[str | list[list[str]]]:
        """The same in words: when the events were, and what is left out."""
        return [self._sentence(), *self._notes()]

    def _sentence(self) -> str:
        if not self._marks:
            return "No events yet."
        first, last = (_moment(each).strftime("%Y-%m-%d %H:%M:%S") for each in (self._begin, self._end))
        return f"{len(self._marks):,} events from {first} to {last}."

    def _repr_html_(self) -> str:
        if not self._marks:
            return "<p><em>No events yet.</em></p>"
        step, text = 1.0, self._svg(1.0)
        while len(text) > LIMIT and step < _COARSEST:
            step = max(2 * step, round(step * len(text) / LIMIT))
            text = self._svg(step)
        notes = "".join(f"<p><em>{html.escape(each)}</em></p>" for each in self._notes())
        return text + notes

    def _notes(self) -> list[str]:
        notes = []
        if self._left_out:
            notes.append(f"{self._left_out:,} older events are left out.")
        hidden = len({mark.lane for mark in self._marks}) - len(self._shown)
        if hidden > 0:
            notes.append(f"{hidden:,} more participants are not in the picture.")
        return notes

    def _most_active(self) -> list[int]:
        """The lanes to show, in order."""
        counts = Counter(mark.lane for mark in self._marks)
        counts.update(mark.other for mark in self._marks if mark.kind == "rpc" and mark.other != NOTHING)
        return sorted(lane for lane, _ in counts.most_common(PICTURED))

    # Drawing

    def _x(self, time: float) -> float:
        return _LABEL + (time - self._begin) / (self._end - self._begin) * (_WIDTH - _LABEL - _RIGHT)

    def _svg(self, step: float) -> str:
        boxes: Boxes = {}
        lines: list[str] = []
        tops: dict[int, float] = {}
        tracks: dict[int, dict[int, float]] = {}  # where the bars of each call are
        top = _AXIS
        for lane, each in self._lanes.items():
            tops[lane] = top
            top = self._lane(each, top, step, boxes, tracks.setdefault(lane, {}))
        lines += self._calls(tops, tracks)
        bands = self._over_all(top)
        paths = "".join(
            f'<path fill="{_COLORS.get(name, "currentColor")}" d="{"".join(map(_box, each))}"/>'
            for name, each in boxes.items()
        )
        labels = "".join(
            f'<text x="4" y="{tops[lane] + 14:g}">{html.escape(self._name(lane))}</text>'
            f'<path stroke="currentColor" stroke-opacity=".2" d="M0 {tops[lane]:g}H{_WIDTH:g}"/>'
            for lane in self._shown
        )
        title = html.escape(self._sentence())
        legend, height = self._legend(boxes, top + 6)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" '
            'style="width: 100%; max-width: 1200px; height: auto; color: var(--jp-ui-font-color1, currentColor); '
            'font: 11px var(--jp-ui-font-family, system-ui, sans-serif)" fill="currentColor">'
            f"<title>Timeline: {title}</title>{bands}{self._axis(top)}{labels}{paths}"
            f'<path fill="none" stroke="{_COLORS["rpc"]}" stroke-opacity=".6" d="{"".join(lines)}"/>{legend}</svg>'
        )

    def _name(self, lane: int) -> str:
        name = "room" if lane == ROOM else "others" if lane >= min(LANES, len(self._names)) else self._names[lane]
        return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"

    def _lane(self, lane: _Lane, top: float, step: float, boxes: Boxes, of_calls: dict[int, float]) -> float:
        """Draw a lane, and return where the next one begins."""
        at = top + _PAD
        if lane.changes:
            self._changes(lane.changes, at, step, boxes)
            at += _MARK
        at += self._bars(lane.bars, at, step, boxes, of_calls) * (_BAR + 2)
        if lane.samples:
            self._density(lane.samples, at, max(2.0, step), boxes)
            at += _DENSITY
        return max(at + _PAD, top + 20)

    def _changes(self, marks: list[Mark], top: float, step: float, boxes: Boxes) -> None:
        drawn = -math.inf
        for mark in marks:
            x = self._x(mark.time)
            if x - drawn < max(3.0, step):
                continue
            drawn = x
            name = "failed" if mark.status in ("failed", "dropped") else _class_of(mark.kind)
            boxes.setdefault(name, []).append((x - 1.5, top, 3, _MARK - 2))

    def _bars(self, marks: list[Mark], top: float, step: float, boxes: Boxes, of_calls: dict[int, float]) -> int:
        """Draw bars, those at the same time below each other, and return how many tracks they need."""
        ends: list[float] = []
        drawn: dict[int, tuple[float, str]] = {}
        for mark in marks:
            end = mark.time + max(0.0, self._duration(mark))
            track = next((each for each, until in enumerate(ends) if until <= mark.time), len(ends))
            track = min(track, _TRACKS - 1)
            if track == len(ends):
                ends.append(end)
            ends[track] = max(ends[track], end)
            y = top + track * (_BAR + 2)
            if mark.kind == "rpc":
                of_calls[mark.key] = y + _BAR / 2
            x = self._x(mark.time)
            width = max(2.0, self._x(end) - x)
            name = "failed" if mark.status in ("failed", "dropped") else mark.kind
            until, before = drawn.get(track, (-math.inf, ""))
            if x + width < until + step and (name == before or name != "failed"):
                continue  # it would not be seen
            drawn[track] = (x + width, name)
            # What failed is higher, too, because colour must not be the only sign.
            more = 1.5 if name == "failed" else 0.0
            boxes.setdefault(name, []).append((x, y - more, width, _BAR + 2 * more))
        return len(ends)

    def _duration(self, mark: Mark) -> float:
        return self._end - mark.time if mark.duration == OPEN else _length(mark)

    def _density(self, marks: list[Mark], top: float, step: float, boxes: Boxes) -> None:
        bins: dict[tuple[int, str], int] = {}
        for mark in marks:
            name = mark.kind if mark.status == "ok" else "failed"
            key = int((self._x(mark.time) - _LABEL) / step), name
            bins[key] = bins.get(key, 0) + 1
        highest: Counter[int] = Counter()
        for (place, _), count in bins.items():
            highest[place] += count
        scale = (_DENSITY - 2) / math.sqrt(max(highest.values()))
        bottoms: dict[int, float] = {}
        for (place, name), count in sorted(bins.items()):
            height = max(2.0, math.sqrt(highest[place]) * scale * count / highest[place])
            bottom = bottoms.get(place, top + _DENSITY)
            bottoms[place] = bottom - height
            boxes.setdefault(name, []).append((_LABEL + place * step, bottom - height, max(1.5, step - 0.5), height))

    def _calls(self, tops: dict[int, float], tracks: dict[int, dict[int, float]]) -> list[str]:
        calls = [
            mark
            for lane in self._lanes.values()
            for mark in lane.bars
            if mark.kind == "rpc" and mark.other in tops and mark.other != mark.lane
        ]
        lines = []
        for mark in calls[:: max(1, -(-len(calls) // _CALLS))]:
            start = tracks.get(mark.lane, {}).get(mark.key)
            if start is not None:
                lines.append(f"M{self._x(mark.time):.1f} {start:g}V{tops[mark.other] + 10:g}")
        return lines

    def _over_all(self, bottom: float) -> str:
        """The bands over all lanes."""
        found = []
        for mark in self._bands[-_MOST_BANDS:]:
            x = self._x(mark.time)
            width = max(2.0, self._x(mark.time + self._duration(mark)) - x)
            color = _COLORS["loss" if mark.kind == "loss" else "outage"]
            found.append(
                f'<path fill="{color}" fill-opacity=".16" stroke="{color}" stroke-opacity=".5" '
                f'd="{_box((x, _AXIS, width, bottom - _AXIS))}"/>'
            )
        return "".join(found)

    def _axis(self, bottom: float) -> str:
        span = self._end - self._begin
        steps = (*_STEPS, *(1000 * each for each in _HOURS))
        step = next((each for each in steps if span / each <= 9), 86_400_000 * math.ceil(span / 9 / 86_400_000))
        pattern = "%H:%M:%S" if step >= 1000 else "%H:%M:%S.%f"
        if span > 36 * 3_600_000:
            pattern = "%m-%d %H:%M"
        ticks = []
        at = math.ceil(self._begin / step) * step
        while at <= self._end:
            text = _moment(at).strftime(pattern)
            text = text[:-3] if step < 1000 else text
            x = self._x(at)
            ticks.append(f'<path stroke="currentColor" stroke-opacity=".15" d="M{x:.1f} {_AXIS - 6:g}V{bottom:g}"/>')
            if x < _WIDTH - 40:
                ticks.append(f'<text x="{x + 3:.1f}" y="14" fill-opacity=".75">{text}</text>')
            at += step
        return "".join(ticks)

    def _legend(self, boxes: Boxes, top: float) -> tuple[str, float]:
        present = [name for name in _NAMES if name in boxes]
        outages = {"loss" if mark.kind == "loss" else "outage" for mark in self._bands}
        present += [name for name in ("loss", "outage") if name in outages]
        items, x = [], _LABEL
        for name in present:
            pale = ' fill-opacity=".35"' if name in ("loss", "outage") else ""
            items.append(
                f'<path fill="{_COLORS[name]}"{pale} d="{_box((x, top + 2, 9, 9))}"/>'
                f'<text x="{x + 13:g}" y="{top + 11:g}">{_NAMES[name]}</text>'
            )
            x += 30 + 6.2 * len(_NAMES[name])
        return "".join(items), top + 18


class _Lane:
    """The events of a lane, by how they are drawn, in the order of time."""

    def __init__(self) -> None:
        self.bars: list[Mark] = []
        self.samples: list[Mark] = []
        self.changes: list[Mark] = []

    def add(self, mark: Mark) -> None:
        """Add an event. A band is none of a lane."""
        kind = mark.kind
        if kind in BARS:
            self.bars.append(mark)
        elif kind in DENSITY:
            self.samples.append(mark)
        elif not _is_band(mark):
            self.changes.append(mark)


def summary(marks: Iterable[Mark], lanes: Sequence[str]) -> Table:
    """What each participant did: how many streams, calls, packets and changes, and how many of them failed."""
    alike: Counter[tuple[int, int]] = Counter()
    sizes: Counter[int] = Counter()
    for mark in marks:
        alike[mark.lane, mark.code] += 1
        sizes[mark.lane] += mark.bytes
    counts: dict[int, Counter[str]] = {}
    for (lane, code), count in alike.items():
        each = counts.setdefault(lane, Counter())
        each[_class_of(kind_of(code))] += count
        each["failed"] += count if status_of(code) in ("failed", "dropped") else 0
    rows = [
        (
            "(room)" if lane == ROOM else lanes[lane] if lane < len(lanes) else "(others)",
            *(f"{each[name]:,}" if each[name] else "" for name in (*BARS, *DENSITY, "attributes", "other", "failed")),
            readable(sizes[lane]),
        )
        for lane, each in sorted(counts.items())
    ]
    columns = ("who", "texts", "files", "calls", "packets", "frames", "state", "other", "failed", "bytes")
    return Table(columns, rows, empty="No events yet. Send something, or wait until somebody else does.")


def _class_of(kind: str) -> str:
    """The kinds that have one colour have one name."""
    if kind in (*BARS, *DENSITY):
        return kind
    return "attributes" if kind in ("attributes", "participant_metadata", "room_metadata") else "other"


def _is_band(mark: Mark) -> bool:
    return mark.kind == "loss" or (mark.kind == "connection" and not math.isnan(mark.duration))


def _length(mark: Mark) -> float:
    return 0.0 if math.isnan(mark.duration) else mark.duration


def _moment(time: float) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(time / 1000, dt.UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # a file may have any time
        return dt.datetime.fromtimestamp(0, dt.UTC)


def _box(box: tuple[float, float, float, float]) -> str:
    x, y, width, height = box
    return f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z"
