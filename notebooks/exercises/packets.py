"""Checks for packets-and-data-tracks.ipynb. An examiner joins the room, listens, and sends."""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import lknb

from . import Verdict, check, not_yet, right, shown, variable

_ROWS = 1000
_ADVISED = 15 * 1024
_PATIENCE = 3.0  # seconds to wait for the next packet
_HANDLED_WITHIN = 5.0  # seconds for bob to handle the packets of a series


@check
def check_1() -> Verdict:
    """Check that `send(columns)` sends a thousand rows as Arrow, in a few packets that are not too large."""
    import numpy as np

    send = variable("send")
    noise = np.random.default_rng()
    columns = {"t": np.arange(_ROWS) / 10, **{name: noise.normal(size=_ROWS) for name in ("temperature", "wind")}}
    before = dt.datetime.now(dt.UTC)
    with _examiner() as examiner:
        inbox = examiner.listen(("data", "data_track"), sender="alice")
        failure = _failure(send, {name: values.copy() for name, values in columns.items()})
        # alice's own log says how many packets to wait for.
        sent = variable("alice").events.filter(("data", "data_track"), direction="out", since=before)
        packets = [event for event in _collected(inbox, len(sent)) if event.topic == "climate"]
    if failure:
        return not_yet(f"`send(columns)` {failure}{_cure(failure)}")
    if not packets:
        return not_yet('no packet arrived on the topic `climate`. Use `alice.publish_data(..., topic="climate")`.')
    return _judged(packets, columns)


def _cure(failure: str) -> str:
    return " Put only some of the rows into each packet." if "PayloadTooLarge" in failure else ""


def _judged(packets: list[lknb.Event], columns: dict[str, Any]) -> Verdict:
    import numpy as np
    import pyarrow as pa

    largest = max(event.size or 0 for event in packets)
    tables = []
    for number, event in enumerate(packets, start=1):
        try:
            tables.append(pa.ipc.open_stream(event.data).read_all())
        except (pa.ArrowException, OSError, ValueError):
            begins = shown(bytes(event.data[:20]))
            return not_yet(
                f"packet {number} begins with {begins} and is not a complete Arrow stream. `pack` makes one."
            )
    found = pa.concat_tables([table.select(tables[0].column_names) for table in tables]) if _alike(tables) else None
    if found is None or set(found.column_names) != set(columns):
        names = ", ".join(tables[0].column_names) or "none"
        return not_yet(f"each packet needs the columns {', '.join(columns)}; the first one has: {names}.")
    if found.num_rows != _ROWS:
        hint = " Do the slices overlap?" if found.num_rows > _ROWS else " Did you send the last rows, too?"
        return not_yet(f"{found.num_rows:,} rows arrived instead of {_ROWS:,}.{hint}")
    if not all(np.array_equal(found[name].to_numpy(), values) for name, values in columns.items()):
        return not_yet("all rows arrived, but in another order or with other values.")
    if largest > _ADVISED:
        return not_yet(
            f"all rows arrived, but one packet has {largest:,} bytes; at most {_ADVISED:,} are advised. "
            "Put fewer rows into each packet."
        )
    # At 24 bytes per row, two packets of 15 KiB hold all rows; up to four allow round numbers of rows.
    if len(packets) > 4:
        return not_yet(f"all rows arrived, but in {len(packets):,} packets. Four are enough: put more rows into each.")
    return right(f"{_ROWS:,} rows arrived in {len(packets)} packets; the largest has {largest:,} bytes.")


def _alike(tables: list[Any]) -> bool:
    return all(set(table.column_names) == set(tables[0].column_names) for table in tables)


@check
def check_2() -> Verdict:
    """Check that bob's method `missing` counts the numbers of the newest series that did not arrive."""
    bob = variable("bob")
    with _examiner() as examiner:
        for name, lost in (("a series of 40", {3, 17, 18, 38, 39}), ("a second series of 25", {0, 24})):
            total = int(name.split()[-1])
            numbers = [number for number in range(total) if number not in lost]
            random.shuffle(numbers)
            calls = _calls(bob)
            examiner.publish_data(json.dumps({"start": total}), topic="series", to=bob.identity)
            for number in numbers:
                examiner.publish_data(json.dumps({"number": number}), topic="series", to=bob.identity)
            _wait_for_handlers(bob, calls, 1 + len(numbers))
            answer = _called_until(examiner, bob.identity, "missing", len(lost))
            if isinstance(answer, Exception):
                return not_yet(f"calling `missing` failed with {_brief(answer)} {_remedy(answer)}")
            if answer != len(lost):
                return not_yet(
                    f"`missing` returned {shown(answer)} for {name}, but {len(lost)} are missing."
                    f"{_raised(bob) or _reason(answer, lost, total)}"
                )
    return right("missing numbers are counted in any order, at both ends, and separately for each series.")


def _calls(bob: lknb.Room) -> dict[lknb.Handler, int]:
    """Return how often each packet handler has been called."""
    return {each: each.calls for each in bob.handlers if each.kind == "data" and each.topic == "series"}


def _wait_for_handlers(bob: lknb.Room, before: dict[lknb.Handler, int], count: int) -> None:
    """Wait for `count` calls of each handler: in between, a wrong `missing` may happen to be right."""
    deadline = time.monotonic() + _HANDLED_WITHIN
    while any(each.running or each.calls < before.get(each, 0) + count for each in _calls(bob)):
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)


def _called_until(examiner: lknb.Room, whom: str, method: str, expected: int) -> Any:
    """Call the method until it returns `expected` or time is up; return its last answer or error."""
    deadline = time.monotonic() + _HANDLED_WITHIN
    answer: Any
    while True:
        try:
            answer = examiner.perform_rpc(whom, method, timeout=3)
        except lknb.LknbError as error:
            answer = error
        if answer == expected or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


def _remedy(error: Exception) -> str:
    """Return advice on a failed call."""
    if isinstance(error, lknb.RpcError) and error.code == 1400:  # nobody serves it
        return 'Decorate the function with `@bob.rpc("missing")`, and run its cell.'
    return "If it raised an exception, the traceback is below the exercise's cell."


def _raised(room: lknb.Room) -> str:
    """Return a note if the packet handler raised an exception, else an empty string."""
    failed = any(each.kind == "data" and each.topic == "series" and each.errors for each in room.handlers)
    return " The packet handler raised an exception; the traceback is below the exercise's cell." if failed else ""


def _reason(answer: Any, lost: set[int], total: int) -> str:
    if not isinstance(answer, int):
        return " Return a number."
    if answer == 0:
        return " Keep the numbers that arrived, for example in a set."
    if answer == len(lost - {total - 1, total - 2}):
        return " The last numbers may be missing, too: the first packet says how many there are."
    if answer > total:
        return " Do you count each packet, in any order? A late packet is not lost."
    if total == 25:
        return " Clear the previous series' numbers when a new series starts."
    return " Packets arrive in any order, so a gap may close later."


@check
def check_3() -> Verdict:
    """Check that `tick(number)` pushes a frame with a timestamp in microseconds."""
    tick = variable("tick")
    with _examiner() as examiner:
        inbox = examiner.listen(("data", "data_track"), sender="alice")
        pushed: dict[str, int] = {}
        frames: list[lknb.Event] = []
        packets = 0
        number = 100
        # Until the examiner's subscription reaches the publisher, frames are dropped.
        deadline = time.monotonic() + 4
        while len(frames) < 5 and packets < 5 and time.monotonic() < deadline:
            number += 1
            pushed[str(number)] = time.time_ns() // 1000
            if failure := _failure(tick, number):
                return not_yet(f"`tick({number})` {failure}")
            time.sleep(0.03)
            for event in _collected(inbox, len(inbox)):
                packets += event.kind == "data" and event.topic == "clock"
                frames += [event] if event.kind == "data_track" and event.topic == "clock" else []
    if not frames:
        instead = "; packets arrived instead: `publish_data` sends packets" if packets else ""
        return not_yet(f"no frame arrived on the track `clock`{instead}. `clock.push(...)` sends a frame.")
    return _timed(frames[-1], pushed)


def _timed(frame: lknb.Event, pushed: dict[str, int]) -> Verdict:
    text = frame.text()
    if text not in pushed:
        return not_yet(
            f"a frame holds {shown(frame.data)}; it must hold the number as text, such as `{list(pushed)[-1]}`."
        )
    if frame.timestamp is None:
        return not_yet("the frame has no timestamp. Set it with `push(..., timestamp=...)`.")
    expected = pushed[text]
    if abs(frame.timestamp - expected) < 5e6:
        return right(f"frame {text} arrived with its time of measurement, to the microsecond.")
    for unit, scale in (("seconds", 1e-6), ("milliseconds", 1e-3), ("nanoseconds", 1e3)):
        if abs(frame.timestamp - expected * scale) < 5e6 * scale + 1:
            return not_yet(f"the timestamp {frame.timestamp} is in {unit}; it must be in microseconds.")
    return not_yet(f"the timestamp is {frame.timestamp}, but the time was {expected} microseconds since 1970.")


def _examiner() -> lknb.Room:
    return lknb.connect(variable("alice").name, identity="examiner")


def _collected(inbox: lknb.Inbox, count: int) -> list[lknb.Event]:
    """Return up to `count` events; stop after _PATIENCE seconds of silence."""
    found: list[lknb.Event] = []
    while len(found) < count:
        try:
            found.append(inbox.next(timeout=_PATIENCE))
        except TimeoutError:
            break
    return found


def _failure(function: Any, *args: Any, seconds: float = 8) -> str:
    """Call the reader's function; describe the failure, or return an empty string."""
    if not callable(function):
        return f"cannot be called: it is {shown(function)}. Define it with `def`."
    raised: list[BaseException] = []
    thread = threading.Thread(target=_called, args=(function, args, raised), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return f"had not returned after {seconds:g} s."
    return f"raised {_brief(raised[0])}" if raised else ""


def _called(function: Callable[..., Any], args: tuple[Any, ...], raised: list[BaseException]) -> None:
    try:
        function(*args)
    except BaseException as error:
        raised.append(error)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
