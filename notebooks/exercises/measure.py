"""Checks of measure-a-room.ipynb: tables that are made up, and the room's own log."""

from __future__ import annotations

from typing import Any

from . import Verdict, check, not_yet, right, shown, variable

_ENOUGH = 10


@check
def check_1() -> Verdict:
    """`in_time(measurements, limit)` is the share of messages within a limit, by system; a lost one is not in time."""
    import pandas as pd

    in_time = variable("in_time")
    if not callable(in_time):
        return not_yet(f"`in_time` cannot be called: it is {shown(in_time)}. Define it with `def`.")
    rows = [("packet", 10.0), ("packet", 30.0), ("packet", 50.0), ("packet", 51.0), ("track", 5.0), ("track", None)]
    table = pd.DataFrame(rows, columns=["system", "ms"]).assign(bytes=100, number=1)
    expected = {"packet": 0.75, "track": 0.5}
    try:
        found = in_time(table.copy(), 50)
    except Exception as error:
        return not_yet(f"`in_time` raised {type(error).__name__}: {str(error)[:200]}")
    if not isinstance(found, pd.Series):
        return not_yet(f"`in_time` returned {shown(found)}; expected was a Series, as `groupby(...).mean()` makes one.")
    shares = found.to_dict()
    if set(shares) != set(expected):
        return not_yet(f"the index of the Series is {shown(list(shares))}; expected were the names of the systems.")
    if all(abs(shares[system] - share) < 1e-9 for system, share in expected.items()):
        return right("late and lost messages both count as not in time.")
    return not_yet(
        "packets took 10, 30, 50 and 51 ms, one frame of a track 5 ms, and one was lost: within 50 ms are "
        f"{shown(expected)}, and `in_time` says {shown(_rounded(shares))}.{_reason(shares)}"
    )


def _rounded(shares: dict[str, Any]) -> dict[str, Any]:
    return {system: round(share, 3) if isinstance(share, float) else share for system, share in shares.items()}


def _reason(shares: dict[str, Any]) -> str:
    if shares["packet"] in (3, 75):
        return " A share is between 0 and 1."
    if shares["track"] == 1:
        return " The lost one has no time, and is not in time either."
    if shares == {"packet": 0.5, "track": 0.5}:
        return " 50 ms is within 50 ms."
    return " `table['ms'] <= limit` is True or False in each row, and the mean of these is a share."


@check
def check_2() -> Verdict:
    """`metadata_ms` are times that changes of metadata took, which really happened."""
    alice, bob, times = variable("alice"), variable("bob"), variable("metadata_ms")
    try:
        numbers = [float(each) for each in times]
    except (TypeError, ValueError):
        lost = isinstance(times, list) and None in times
        hint = " None stands for a change that bob has not seen: the same text again is no change." if lost else ""
        return not_yet(f"`metadata_ms` is {shown(times)}; expected was a list of numbers.{hint}")
    if len(numbers) < _ENOUGH:
        return not_yet(f"there are {len(numbers)} times; expected were at least {_ENOUGH}.")
    seen = [
        event
        for event in bob.events.filter("participant_metadata", sender=alice.identity, direction="in")
        if event.data
    ]
    if len(seen) < len(numbers):
        return not_yet(
            f"there are {len(numbers)} times, but bob has seen {len(seen)} changes of alice's metadata. "
            "Setting the same text again is no change."
        )
    if any(not each > 0 for each in numbers):
        return not_yet(
            f"a time is {shown(min(numbers))}; each should be above 0. A lost message is None, and not a time."
        )
    middle = sorted(numbers)[len(numbers) // 2]
    if middle < 0.2:
        return not_yet(f"the median is {middle:.4f}: is that in seconds? Expected were milliseconds.")
    return right(f"{len(numbers)} changes, and each was waited for at the other end.")
