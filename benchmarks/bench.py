"""Measure lknb against the plain LiveKit SDK, on this machine, in one run: `make bench`.

Each side has two participants, each in its own process, on one server that this starts. A round measures every item on
one side and then on the other, so that other load on the machine affects both. The table shows the medians of the
rounds, their ratio, and the median of the ratios within each round with the least and the greatest. In a ratio, more
than 1 says that lknb is better. Absolute figures depend on the machine, the ratios much less.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from items import ITEMS, KEPT, LKNB, PLAIN, ROWS, Figures, Row, Side

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
OURS = {"reduced": [LKNB], "keep": [KEPT], "both": [LKNB, KEPT]}

# By item and side, the figures of each round.
Results = dict[str, dict[str, list[Figures]]]


def measure(items: list[str], names: list[str], rounds: int, *, large: bool) -> Results:
    """The figures of all rounds."""
    results: Results = {item: {name: [] for name in names} for item in items}
    sides = {name: Side(name, large=large) for name in names}
    for side in sides.values():
        side.warm_up()
    for number in range(rounds):
        begun = time.monotonic()
        for item in items:
            for name in names if number % 2 == 0 else reversed(names):
                results[item][name].append(sides[name].measure(item))
        print(f"round {number + 1} of {rounds}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    for side in sides.values():
        side.close()
    return results


def compare(row: Row, plain: list[float], ours: list[float]) -> tuple[float, list[float]]:
    """The ratio of medians, and the ratios of the rounds."""
    turned = -1 if row.better == "less" else 1
    of_medians = statistics.median(ours) / statistics.median(plain)
    # A disturbance affects the ratio of one round only.
    return of_medians**turned, [(b / a) ** turned for a, b in zip(plain, ours, strict=True)]


def table(results: Results, ours: list[str]) -> str:
    """The results as a Markdown table."""
    head = ["What", "Plain SDK"]
    for name in ours:
        head += [name, "Ratio of medians", "Median of ratios"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in ROWS:
        sides = results.get(row.item)
        if sides is None or row.lknb not in sides[ours[0]][0]:
            continue
        cells = [row.title]
        plain = [figures[row.plain] for figures in sides[PLAIN]] if row.plain else []
        cells.append(f"{number(statistics.median(plain))} {row.unit}" if plain else "–")
        for name in ours:
            values = [figures[row.lknb] for figures in sides[name]]
            base = [figures[row.base] for figures in sides[name]] if row.base else plain
            of_medians, by_round = compare(row, base, values)
            least, middle, most = (number(each(by_round)) for each in (min, statistics.median, max))
            cells += [
                f"{number(statistics.median(values))} {row.unit}",
                f"× {number(of_medians)}",
                f"× {middle} [{least} to {most}]",
            ]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


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
    parser.add_argument("--items", nargs="+", choices=ITEMS, default=ITEMS, metavar="ITEM", help=", ".join(ITEMS))
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all items on all sides (%(default)s)")
    parser.add_argument("--large", action="store_true", help="byte streams of 100 MB too, which takes many minutes")
    parser.add_argument(
        "--sdk-log",
        choices=OURS,
        default="reduced",
        help="LiveKit's verbose log with lknb; the plain SDK always writes it (%(default)s)",
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--write", type=Path, help=f"write the table to this file, between {BEGIN} and {END}")
    options = parser.parse_args()
    where = machine()
    ours = OURS[options.sdk_log]

    from lknb import server

    with tempfile.TemporaryDirectory(prefix="lknb-bench-") as state:
        # A separate server, without the user's settings.
        os.environ["LKNB_STATE_DIR"] = state
        running = server.ensure()
        os.environ.update(
            LIVEKIT_URL=running.url, LIVEKIT_API_KEY=running.api_key, LIVEKIT_API_SECRET=running.api_secret
        )
        try:
            results = measure(options.items, [PLAIN, *ours], options.rounds, large=options.large)
        finally:
            server.stop()
    if options.json:
        options.json.write_text(json.dumps({"where": where, "results": results}, indent=1))
    text = f"{table(results, ours)}\n\n{where}; {options.rounds} rounds."
    print(text)
    if options.write:
        write(options.write, text)


if __name__ == "__main__":
    main()
