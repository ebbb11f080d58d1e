"""Checks for state.ipynb. They call the reader's functions in a room and check the state as another participant."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import lknb
from exercises import Verdict, check, not_yet, open_room, right, shown, variable

WITHIN = 5.0
"""Seconds for the reader's functions to follow a change."""

_SEEN = 10.0  # seconds for another participant to receive a change, on a busy machine

_exams = itertools.count(1)


@check
def check_1() -> Verdict:
    """Check that `raise_hand` sets one attribute of its room and that `lower_hand` deletes only this one."""
    raise_hand, lower_hand, alice = variable("raise_hand"), variable("lower_hand"), open_room("alice")
    if (verdict := _not_a_function(raise_hand=raise_hand, lower_hand=lower_hand)) is not None:
        return verdict
    with (
        lknb.connect(alice.name, identity="examiner", attributes={"status": "examining"}) as examiner,
        lknb.connect(alice.name, identity="witness") as witness,
    ):
        if (failure := _failure(lower_hand, examiner)) is not None:
            return not_yet(
                f'`lower_hand` failed with {failure} while no hand was up. Setting the attribute to `""` deletes it, '
                "and does nothing if it is not set."
            )
        before = alice.attributes.get("hand")
        if (failure := _failure(raise_hand, examiner)) is not None:
            return not_yet(f"`raise_hand` failed with {failure}.")
        hand = examiner.attributes.get("hand")
        if hand is None and alice.attributes.get("hand") != before:
            return not_yet("alice's hand moved instead. Use the room that the function gets.")
        if hand is None:
            return not_yet(
                f"after `raise_hand` the attributes are {shown(dict(examiner.attributes))}. Set one: "
                '`room.attributes["hand"] = ...`.'
            )
        if hand != "up":
            return not_yet(f'the attribute `hand` is {shown(hand)}; it must be "up".')
        if not _becomes_true(lambda: _attributes(witness, "examiner").get("hand") == "up", _SEEN):
            return not_yet("another participant does not see the hand.")
        if (failure := _failure(lower_hand, examiner)) is not None:
            return not_yet(f"`lower_hand` failed with {failure} while the hand was up.")
        hand = examiner.attributes.get("hand")
        if hand is not None:
            return not_yet(
                f"after `lower_hand`, the attribute `hand` still exists with the value {shown(hand)}. Delete it: "
                'set it to `""`.'
            )
        if examiner.attributes.get("status") != "examining":
            return not_yet("another attribute, `status`, is gone too. Delete only `hand`.")
        if not _becomes_true(lambda: "hand" not in _attributes(witness, "examiner"), _SEEN):
            return not_yet("another participant still sees the hand.")
    return right("another participant saw the hand go up, and saw its attribute disappear.")


@check
def check_2() -> Verdict:
    """Check that `raised` lists whose hands are up, its own included, without an error for participants without one."""
    raised, alice = variable("raised"), open_room("alice")
    if (verdict := _not_a_function(raised=raised)) is not None:
        return verdict
    with (
        lknb.connect(alice.name, identity="examiner", attributes={"hand": "up"}) as examiner,
        lknb.connect(alice.name, identity="anna", attributes={"hand": "up"}),
        lknb.connect(alice.name, identity="idler", attributes={"hand": "down"}),
    ):
        if not _becomes_true(lambda: all(_attributes(examiner, who).get("hand") for who in ("anna", "idler")), _SEEN):
            return not_yet("the check could not see its own participants in time. Run it again.")
        expected = sorted(who for who, each in examiner.participants.items() if each.attributes.get("hand") == "up")
        try:
            answer = raised(examiner)
        except KeyError as error:
            return not_yet(
                f"`raised` failed with KeyError: {error}. Not everybody has the attribute: `attributes.get(...)` then "
                "returns None."
            )
        except Exception as error:
            return not_yet(f"`raised` failed with {_named(error)}.")
        if isinstance(answer, set | tuple | dict) or (answer and not isinstance(answer, list)):
            kind = type(answer).__name__
            return not_yet(f"`raised` returned {shown(answer)}, of the type {kind}. Return a sorted list.")
        if answer == expected:
            return right(f"the hands of {', '.join(expected)} are up, and participants without a hand caused no error.")
        if not answer:
            return not_yet(f"`raised` returned {shown(answer)}, but the hands of {', '.join(expected)} are up.")
        if not all(isinstance(each, str) for each in answer):
            return not_yet(f"`raised` returned {shown(answer)}. Return identities, which are the keys.")
        if sorted(answer) == expected:
            return not_yet(f"these are the right identities, but in the order {shown(answer)}: use `sorted(...)`.")
        if "idler" in answer:
            return not_yet('idler is in the list, but has the attribute `hand` set to "down". Compare with "up".')
        if "examiner" not in answer:
            return not_yet(
                "the room's own participant has a hand up too, but is missing. `room.participants` has everybody; "
                "`room.remote_participants` has only the others."
            )
    return not_yet(f"`raised` returned {shown(answer)} instead of {shown(expected)}.")


@check
def check_3() -> Verdict:
    """Check that `follow` starts with the current metadata, updates the same dict, and works for late joiners."""
    follow, alice = variable("follow"), open_room("alice")
    if (verdict := _not_a_function(follow=follow)) is not None:
        return verdict
    exam = f"{alice.name}-exam-{next(_exams)}"  # without metadata at first
    with lknb.connect(exam, identity="host") as host, lknb.connect(exam, identity="early") as early:
        try:
            settings = follow(early)
        except Exception as error:
            hint = ' The text is then `""`, which is not valid JSON.' if isinstance(error, ValueError) else ""
            return not_yet(f"in a room without metadata, `follow` failed with {_named(error)}.{hint}")
        if not isinstance(settings, dict):
            return not_yet(f"`follow` returned {shown(settings)}. Return the dict.")
        if settings:
            return not_yet(f"in a room without metadata, `follow` returned {shown(settings)}. Return an empty dict.")
        _configure(host, '{"title": "Exam", "minutes": 45}', early)
        if not _becomes_true(lambda: settings == {"title": "Exam", "minutes": 45}):
            seen = f"the room's metadata was set, but {WITHIN:g} s later the dict is {shown(settings)}."
            return not_yet(f"{seen} {_why_still(early)}")
        with lknb.connect(exam, identity="late") as late:
            try:
                late_settings = follow(late)
            except Exception as error:
                return not_yet(f"for a late joiner, `follow` failed with {_named(error)}.")
            if late_settings != {"title": "Exam", "minutes": 45}:
                return not_yet(
                    f"a participant who joined after the change got {shown(late_settings)}. Late joiners do not "
                    "receive the change: start with `room.metadata`."
                )
            _configure(host, '{"title": "Break"}', early)
            for who, each in (("early", settings), ("late", late_settings)):
                if not _becomes_true(lambda each=each: each == {"title": "Break"}):
                    return not_yet(_why_not_followed(who, each))
    return right(
        "it starts with the current metadata and follows each change, so late joiners have what the others have."
    )


def _why_still(room: lknb.Room) -> str:
    """Return the likely reason why a dict did not change, judging by the room's handlers."""
    handlers = [each for each in room.handlers if each.kind == "room_metadata"]
    if not handlers:
        return "Nothing handles changes: register a handler with `@room.on_room_metadata()`."
    if any(each.errors for each in handlers):
        return "The handler raised an exception; the traceback is below the check's cell."
    return "There is a handler, but it must change this dict and not create another one."


def _why_not_followed(who: str, settings: dict[str, Any]) -> str:
    if settings.get("title") == "Break":
        return f"the new metadata has no `minutes`, but the dict is {shown(settings)}. `clear()` removes old keys."
    return f"a later change is missing in the dict of the participant who joined {who}, which is {shown(settings)}."


def _configure(host: lknb.Room, text: str, other: lknb.Room) -> None:
    """Set the room's metadata, and wait until another participant receives it."""
    host.set_metadata(text)
    if not _becomes_true(lambda: other.metadata == text, _SEEN):
        raise lknb.StateError("The room's metadata did not arrive in time. Run the check again.")


def _attributes(room: lknb.Room, who: str) -> dict[str, str]:
    """Return the attributes that `room` sees of a participant; empty while the participant is absent."""
    participant = room.participants.get(who)
    return dict(participant.attributes) if participant is not None else {}


def _becomes_true(condition: Callable[[], bool], within: float = WITHIN) -> bool:
    """Return whether `condition` becomes true in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _failure(function: Callable[..., Any], *args: Any) -> str | None:
    """Call `function`; describe the exception that it raises, or return None."""
    try:
        function(*args)
    except Exception as error:
        return _named(error)
    return None


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).rstrip('.')}"


def _not_a_function(**given: Any) -> Verdict | None:
    """Return the verdict on the first of the reader's functions that cannot be called."""
    for name, value in given.items():
        if not callable(value):
            return not_yet(f"`{name}` is {shown(value)}, not a function.")
    return None
