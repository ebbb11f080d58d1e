"""Checks for keep-a-room.ipynb. They try the reader's functions with rooms and recordings of their own."""

from __future__ import annotations

import functools
import itertools
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import lknb
from exercises import Verdict, check, not_yet, open_room, right, shown, variable

SPEED = 10

_ATTEMPTS = 2  # a busy machine may be late
_IDLE = 1.0  # seconds for a handler's last call to end, on a busy machine
_SAME = 0.002  # seconds between two results that count as equal

_exams = itertools.count(1)


class _OnPurposeError(Exception):
    """What `work` raises in the second part of the first check."""


@check
def check_1() -> Verdict:
    """Check that `keep` records what `work` does, returns the finished recording, and finishes it if `work` fails."""
    keep, alice = variable("keep"), open_room("alice")
    if (verdict := _not_a_function(keep=keep)) is not None:
        return verdict
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        lknb.connect(_exam(alice), identity="examiner") as examiner,
    ):
        try:
            return _kept(keep, examiner, Path(folder, "kept.mcap")) or _kept_after_an_error(
                keep, examiner, Path(folder, "failed.mcap")
            )
        finally:
            for recorder in list(examiner.recorders):
                recorder.stop()


def _kept(keep: Callable[..., Any], examiner: lknb.Room, path: Path) -> Verdict | None:
    """Return the verdict on `keep` for a function that works, or None if it is right."""
    calls: list[int] = []  # how many recordings were in progress

    def work() -> None:
        calls.append(len(examiner.recorders))
        examiner.send_text("first", topic="exam")
        examiner.publish_data(b"second", topic="exam")

    try:
        answer = keep(examiner, path, work)
    except Exception as error:
        return not_yet(f"`keep` failed with {_named(error)}.")
    if len(calls) != 1:
        return not_yet(f"`work` was called {len(calls)} times. Call it once: `work()`.")
    if calls == [0]:
        return not_yet("when `work` was called, nothing was being recorded. Call it in `with room.record(path):`.")
    if examiner.recorders:
        return not_yet("the room is still being recorded. `with room.record(path):` stops at the end of its block.")
    if isinstance(answer, lknb.Recorder):
        return not_yet("`keep` returned the recorder. Open its file with `lknb.open_recording(path)`, and return that.")
    if not path.exists():
        return not_yet("there is no file at `path`. Record to it: `room.record(path)`.")
    if not isinstance(answer, lknb.Recording):
        return not_yet(f"`keep` returned {shown(answer)}. Return the recording: `lknb.open_recording(path)`.")
    with answer:
        if answer.path.resolve() != path.resolve():
            return not_yet(f"`keep` returned another recording, {shown(answer.path.name)} instead of `{path.name}`.")
        try:
            kept = [(event.kind, event.data) for event in answer.filter(topic="exam")]
        except lknb.RecordingError:
            return not_yet("the recording is closed. Return it open.")
        if not answer.complete:
            return not_yet(
                "the recording was opened before it was finished: its `complete` is False. Open it below the `with` "
                "block, not in it."
            )
    for kind, data in (("text", "first"), ("data", b"second")):
        if (kind, data) not in kept:
            return not_yet(
                f"`work` sent {shown(data)} as {kind}, but the recording has {shown(kept)}. Record everything."
            )
    return None


def _kept_after_an_error(keep: Callable[..., Any], examiner: lknb.Room, path: Path) -> Verdict:
    """Return the verdict on `keep` for a function that fails."""

    def work() -> None:
        examiner.send_text("last words", topic="exam")
        raise _OnPurposeError("on purpose")

    try:
        answer = keep(examiner, path, work)
    except _OnPurposeError:
        pass
    except Exception as error:
        return not_yet(f"`work` raised an exception, and `keep` failed with another one, {_named(error)}.")
    else:
        if isinstance(answer, lknb.Recording):
            answer.close()
        return not_yet("`work` raised an exception, but `keep` did not. Do not catch it.")
    if examiner.recorders:
        return not_yet(
            "`work` raised an exception, and the room is still being recorded. `with room.record(path):` stops also "
            "then."
        )
    with lknb.open_recording(path) as run:
        if "last words" not in [event.data for event in run.filter("text")]:
            return not_yet("`work` sent a text and then raised an exception, and the text is not in the recording.")
    return right("the recording has all that was sent, is finished, and stays whole when the work fails.")


@check
def check_2() -> Verdict:
    """Check that `first_token` returns each sender's median time to the first piece of its answers that ended well."""
    first_token, alice = variable("first_token"), open_room("alice")
    if (verdict := _not_a_function(first_token=first_token)) is not None:
        return verdict
    with lknb.open_recording(_answers(alice.name)) as run:
        try:
            answer = first_token(run)
        except Exception as error:
            return not_yet(f"`first_token` failed with {_named(error)}.")
        texts = list(run.filter("text"))
    expected = _by_sender(texts, "answer", "ok", statistics.median)
    if not isinstance(answer, Mapping):
        return not_yet(f"`first_token` returned {shown(answer)}, of the type {type(answer).__name__}. Return a dict.")
    if set(answer) != set(expected):
        return not_yet(
            f"the keys are {shown(list(answer))}; they must be the senders of answers: {shown(list(expected))}."
        )
    try:
        found = {who: float(answer[who]) for who in expected}
    except (TypeError, ValueError):
        return not_yet(f"the values must be numbers of seconds, but the answer is {shown(answer)}.")
    if _equal(found, expected):
        return right(f"the medians are {_rounded(expected)}, and the answers that broke off do not count.")
    return not_yet(
        f"`first_token` returned {_rounded(found)} instead of {_rounded(expected)}. {_why_other(found, texts)}"
    )


def _why_other(found: Mapping[str, float], texts: list[lknb.Event]) -> str:
    """Return the likely reason for other times than expected."""
    median, mean = statistics.median, statistics.fmean
    reasons = {
        "These are means; a single slow answer changes them much. Use the median.": ("answer", "ok", mean),
        'Answers that broke off count, too. Those that ended well have the status "ok".': ("answer", None, median),
        'Texts on other topics count, too. Answers have the topic "answer".': (None, "ok", median),
        "These are the fastest ones.": ("answer", "ok", min),
        "These are the slowest ones.": ("answer", "ok", max),
    }
    for reason, way in reasons.items():
        if _equal(found, _by_sender(texts, *way)):
            return reason
    if _equal(found, _by_sender(texts, "answer", "ok", median, "duration")):
        return "These are the times until the last word. `first_after` has the time until the first one."
    if _equal({who: value / 1000 for who, value in found.items()}, _by_sender(texts, "answer", "ok", median)):
        return "Return seconds, not milliseconds."
    return "Take the median of `first_after`, of the texts on the topic `answer` that ended well."


def _by_sender(
    texts: list[lknb.Event],
    topic: str | None,
    status: str | None,
    middle: Callable[[list[float]], float],
    field: str = "first_after",
) -> dict[str, float]:
    """Return one number for each sender, of a field of the texts of this topic and status."""
    times: dict[str, list[float]] = {}
    for event in texts:
        if event.topic == (topic or event.topic) and event.status == (status or event.status):
            times.setdefault(event.sender or "", []).append(getattr(event, field) or 0.0)
    return {who: middle(times[who]) for who in sorted(times)}


def _equal(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    return set(first) == set(second) and all(abs(first[who] - second[who]) < _SAME for who in first)


def _rounded(times: Mapping[str, float]) -> str:
    return shown({who: round(value, 3) for who, value in times.items()}, limit=100)


@check
def check_3() -> Verdict:
    """Check that `try_out` replays into a room of its own, ten times as fast, until the handler has everything."""
    try_out, alice = variable("try_out"), open_room("alice")
    if (verdict := _not_a_function(try_out=try_out)) is not None:
        return verdict
    with lknb.open_recording(_drive(alice.name)) as run:
        recorded = [event.time.timestamp() for event in run.filter("data", topic="drive")]
        due = _usual(recorded) / SPEED
        for _ in range(_ATTEMPTS):
            times = _tried_out(try_out, run)
            if isinstance(times, Verdict):
                return times
            what = f"{recorded[-1] - recorded[0]:.1f} s of packets were replayed in {times[-1] - times[0]:.2f} s"
            if 0.5 * due < _usual(times) < 2 * due:
                return right(f"{what}, and the handler received all of them.")
    return not_yet(f"{what}. Use `speed={SPEED}`.")


def _usual(times: list[float]) -> float:
    """Return the median of the seconds between two times; a busy machine lengthens only some of them."""
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(times))


def _tried_out(try_out: Callable[..., Any], run: lknb.Recording) -> Verdict | list[float]:
    """Return when the handler received each packet from `try_out`, or the verdict on what went wrong."""
    rooms: list[lknb.Room] = []
    collected: list[int] = []
    times: list[float] = []

    def install(room: lknb.Room) -> list[int]:
        rooms.append(room)

        @room.on_data("drive")
        def collect(data: bytes) -> None:
            times.append(time.monotonic())
            collected.append(json.loads(data)["number"])

        return collected

    before = list(lknb.rooms())
    left_open: list[lknb.Room] = []
    expected = [json.loads(event.data)["number"] for event in run.filter("data", topic="drive")]
    try:
        answer = try_out(run, install)
    except Exception as error:
        return not_yet(f"`try_out` failed with {_named(error)}.")
    finally:
        left_open += [room for room in lknb.rooms() if room not in before]
        for room in reversed(left_open):  # who sends has probably joined last, and leaves first
            room.close()
        for room in rooms:
            room.off("collect")
    if not rooms:
        return not_yet("`install` was not called. Call it with the room that receives the replay: `install(room)`.")
    if any(room is each for room in rooms for each in before):
        return not_yet(
            "the handler was installed in a room that was open before. Join a room of its own, and close it."
        )
    if len(rooms) > 1:
        return not_yet(f"`install` was called {len(rooms)} times. Call it once, for the participant that receives.")
    if not collected and rooms[0].events.filter("data", direction="out"):
        return not_yet(
            "the handler received nothing: nobody receives what it sends itself. Install the handler in one room, and "
            "replay into another one of the same name."
        )
    if left_open:
        return not_yet(f"{left_open[0].identity} is still in its room. `with lknb.connect(...) as room:` closes it.")
    _wait(lambda: len(collected) >= len(expected))
    if len(collected) < len(expected):
        return not_yet(
            f"the handler received {len(collected)} of {len(expected)} packets before its room was closed. Wait for "
            "the end of the replay, which another participant in the room sends, and for the last packet."
        )
    if collected != expected:
        return not_yet(f"the handler received {shown(collected)} instead of {shown(expected)}.")
    if answer != collected:
        return not_yet(f"`try_out` returned {shown(answer)} instead of what `install` returned, {shown(collected)}.")
    return times


# The recordings of the checks: each is made once, in a folder that is deleted when the kernel ends


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


def _new_path() -> Path:
    return Path(_folder().name, f"{next(_exams)}.mcap")


@functools.cache
def _answers(name: str) -> Path:
    """Return a recording of two models that answer in different times, and sometimes break off."""
    seconds = {"quick": (0.02, 0.12, 0.05), "slow": (0.1, 0.3, 0.15)}
    with lknb.connect(f"{name}-exam-{next(_exams)}", identity="judge") as judge:
        with judge.record(_new_path()) as recorder:
            models = [
                threading.Thread(target=_answer, args=(judge.name, who, delays), daemon=True)
                for who, delays in seconds.items()
            ]
            for model in models:
                model.start()
            for model in models:
                model.join(timeout=60)
            _wait(lambda: len(judge.events.filter("text", direction="in").filter(status="open")) == 0)
        return recorder.path


def _answer(room: str, who: str, delays: tuple[float, ...]) -> None:
    """Send answers as one model: some on the topic, one that breaks off, and one on another topic."""
    with lknb.connect(room, identity=who) as model:
        for delay in delays:
            model.send_text(_tokens(delay), topic="answer")
        try:
            model.send_text(_tokens(0.25, breaks=True), topic="answer")
        except _OnPurposeError:
            pass
        model.send_text(_tokens(0.2), topic="note")


def _tokens(delay: float, *, breaks: bool = False) -> Iterator[str]:
    time.sleep(delay)
    yield "It "
    if breaks:
        raise _OnPurposeError("out of memory")
    time.sleep(0.05)
    yield "depends."


@functools.cache
def _drive(name: str) -> Path:
    """Return a recording of packets from a sensor, two seconds long, with a text between them."""
    room = f"{name}-exam-{next(_exams)}"
    with lknb.connect(room, identity="listener") as listener, lknb.connect(room, identity="sensor") as sensor:
        inbox = listener.listen("data", topic="drive")
        with listener.record(_new_path()) as recorder:
            for number in range(8):
                sensor.publish_data(json.dumps({"number": number * number}), topic="drive")
                if number == 4:
                    sensor.send_text("Half of it.")
                time.sleep(0.3)
            for _ in range(8):
                inbox.next(timeout=10)
        return recorder.path


def _exam(alice: lknb.Room) -> str:
    return f"{alice.name}-exam-{next(_exams)}"


def _wait(condition: Callable[[], bool]) -> None:
    """Wait until `condition` is true, for a second at most."""
    deadline = time.monotonic() + _IDLE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).rstrip('.')}"


def _not_a_function(**given: Any) -> Verdict | None:
    """Return the verdict on the first of the reader's functions that cannot be called."""
    for name, value in given.items():
        if not callable(value):
            return not_yet(f"`{name}` is {shown(value)}, not a function.")
    return None
