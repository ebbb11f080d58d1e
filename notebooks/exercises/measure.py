"""Checks for measure-a-room.ipynb, with a made-up table and the room's own log."""

from __future__ import annotations

from typing import Any

from . import Verdict, check, not_yet, right, shown, variable

_ENOUGH = 10


@check
def check_1() -> Verdict:
    """Check that `in_time` returns the share of messages within a limit by system; lost ones are not in time."""
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
        return not_yet(f"`in_time` returned {shown(found)}; return a Series, for example from `groupby(...).mean()`.")
    shares = found.to_dict()
    if set(shares) != set(expected):
        return not_yet(f"the index of the Series is {shown(list(shares))}; it must be the names of the systems.")
    if all(abs(shares[system] - share) < 1e-9 for system, share in expected.items()):
        return right("late and lost messages both count as not in time.")
    return not_yet(
        "packets took 10, 30, 50 and 51 ms; one frame of a track took 5 ms, and one was lost. The shares within 50 ms "
        f"are {shown(expected)}, but `in_time` returned {shown(_rounded(shares))}.{_reason(shares)}"
    )


def _rounded(shares: dict[str, Any]) -> dict[str, Any]:
    return {system: round(share, 3) if isinstance(share, float) else share for system, share in shares.items()}


def _reason(shares: dict[str, Any]) -> str:
    if shares["packet"] in (3, 75):
        return " A share is between 0 and 1."
    if shares["track"] == 1:
        return " A lost message has no time, so it is not in time either."
    if shares == {"packet": 0.5, "track": 0.5}:
        return " 50 ms is within 50 ms."
    return " `table['ms'] <= limit` is True or False in each row, and the mean of these values is a share."


@check
def check_2() -> Verdict:
    """Check that `metadata_ms` holds the times of metadata changes that really happened."""
    alice, bob, times = variable("alice"), variable("bob"), variable("metadata_ms")
    try:
        numbers = [float(each) for each in times]
    except (TypeError, ValueError):
        lost = isinstance(times, list) and None in times
        hint = " None is a change that bob did not get: setting the same text again is not a change." if lost else ""
        return not_yet(f"`metadata_ms` is {shown(times)}; it must be a list of numbers.{hint}")
    if len(numbers) < _ENOUGH:
        return not_yet(f"`metadata_ms` has {len(numbers)} times; at least {_ENOUGH} are needed.")
    received = [
        event
        for event in bob.events.filter("participant_metadata", sender=alice.identity, direction="in")
        if event.data
    ]
    if len(received) < len(numbers):
        return not_yet(
            f"`metadata_ms` has {len(numbers)} times, but bob received only {len(received)} changes of alice's "
            "metadata. Setting the same text again is not a change."
        )
    if any(not each > 0 for each in numbers):
        return not_yet(f"one time is {shown(min(numbers))}; each must be above 0. A lost message is None, not a time.")
    middle = sorted(numbers)[len(numbers) // 2]
    if middle < 0.2:
        return not_yet(f"the median is {middle:.4f}. Is that in seconds? Use milliseconds.")
    return right(f"{len(numbers)} changes were timed, each until bob received it.")
