"""The checks of `state.ipynb`: they join rooms, have the reader's functions change state, and look from another end."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import lknb
from exercises import Verdict, check, not_yet, open_room, right, shown, variable

WITHIN = 5.0
"""Seconds for the reader's functions to follow a change."""

_SEEN = 10.0  # seconds for a change to be seen by another participant, on a busy machine

_exams = itertools.count(1)


@check
def check_1() -> Verdict:
    """`raise_hand` sets one attribute of the room that it is given, `lower_hand` deletes it, and nothing else."""
    raise_hand, lower_hand, alice = variable("raise_hand"), variable("lower_hand"), open_room("alice")
    if (verdict := _no_function(raise_hand=raise_hand, lower_hand=lower_hand)) is not None:
        return verdict
    with (
        lknb.connect(alice.name, identity="examiner", attributes={"status": "examining"}) as examiner,
        lknb.connect(alice.name, identity="witness") as witness,
    ):
        if (failure := _failure(lower_hand, examiner)) is not None:
            return not_yet(
                f'`lower_hand` failed with {failure} while no hand was up. Setting the attribute to `""` deletes it, '
                "and does nothing if it is not there."
            )
        before = alice.attributes.get("hand")
        if (failure := _failure(raise_hand, examiner)) is not None:
            return not_yet(f"`raise_hand` failed with {failure}.")
        hand = examiner.attributes.get("hand")
        if hand is None and alice.attributes.get("hand") != before:
            return not_yet("it was alice's hand that moved. Use the room that the function is given.")
        if hand is None:
            return not_yet(
                f"after `raise_hand` the attributes are {shown(dict(examiner.attributes))}. Set one: "
                '`room.attributes["hand"] = ...`.'
            )
        if hand != "up":
            return not_yet(f'the attribute `hand` is {shown(hand)}, and "up" was expected.')
        if not _comes_true(lambda: _attributes(witness, "examiner").get("hand") == "up", _SEEN):
            return not_yet("another participant has not seen the hand.")
        if (failure := _failure(lower_hand, examiner)) is not None:
            return not_yet(f"`lower_hand` failed with {failure} while the hand was up.")
        hand = examiner.attributes.get("hand")
        if hand is not None:
            return not_yet(
                f"after `lower_hand` there still is an attribute `hand`, with the value {shown(hand)}. Delete it: set "
                'it to `""`.'
            )
        if examiner.attributes.get("status") != "examining":
            return not_yet("another attribute, `status`, is gone too. Delete only `hand`.")
        if not _comes_true(lambda: "hand" not in _attributes(witness, "examiner"), _SEEN):
            return not_yet("another participant still sees the hand.")
    return right("another participant has seen the hand go up, and its attribute go.")


@check
def check_2() -> Verdict:
    """`raised` lists whose hands are up, oneself included, and stumbles over nobody who has none."""
    raised, alice = variable("raised"), open_room("alice")
    if (verdict := _no_function(raised=raised)) is not None:
        return verdict
    with (
        lknb.connect(alice.name, identity="examiner", attributes={"hand": "up"}) as examiner,
        lknb.connect(alice.name, identity="anna", attributes={"hand": "up"}),
        lknb.connect(alice.name, identity="idler", attributes={"hand": "down"}),
    ):
        if not _comes_true(lambda: all(_attributes(examiner, who).get("hand") for who in ("anna", "idler")), _SEEN):
            return not_yet("the check could not see its own participants in time. Run it again.")
        expected = sorted(who for who, each in examiner.participants.items() if each.attributes.get("hand") == "up")
        try:
            answer = raised(examiner)
        except KeyError as error:
            return not_yet(
                f"it failed with KeyError: {error}. Not everybody has the attribute: `attributes.get(...)` gives None "
                "then."
            )
        except Exception as error:
            return not_yet(f"it failed with {_named(error)}.")
        if isinstance(answer, set | tuple | dict) or (answer and not isinstance(answer, list)):
            kind = type(answer).__name__
            return not_yet(f"it returned {shown(answer)}, of the type {kind}. A sorted list was expected.")
        if answer == expected:
            return right(f"hands are up at {', '.join(expected)}, and nobody stumbled over those without a hand.")
        if not answer:
            return not_yet(f"it returned {shown(answer)}, while the hands of {', '.join(expected)} were up.")
        if not all(isinstance(each, str) for each in answer):
            return not_yet(f"it returned {shown(answer)}. Identities were expected, which are the keys.")
        if sorted(answer) == expected:
            return not_yet(f"these are the right ones, but in the order {shown(answer)}: use `sorted(...)`.")
        if "idler" in answer:
            return not_yet('idler is in the list, whose attribute `hand` is "down". Compare with "up".')
        if "examiner" not in answer:
            return not_yet(
                "the participant whose room it is has a hand up too, and is missing. `room.participants` has "
                "everybody, `room.remote_participants` the others."
            )
    return not_yet(f"it returned {shown(answer)}, and {shown(expected)} was expected.")


@check
def check_3() -> Verdict:
    """`follow` starts with what is there, follows each change in the same dict, and works for late joiners."""
    follow, alice = variable("follow"), open_room("alice")
    if (verdict := _no_function(follow=follow)) is not None:
        return verdict
    exam = f"{alice.name}-exam-{next(_exams)}"  # without metadata at first
    with lknb.connect(exam, identity="host") as host, lknb.connect(exam, identity="early") as early:
        try:
            settings = follow(early)
        except Exception as error:
            hint = ' The text is `""` then, which is no JSON.' if isinstance(error, ValueError) else ""
            return not_yet(f"in a room without metadata it failed with {_named(error)}.{hint}")
        if not isinstance(settings, dict):
            return not_yet(f"it returned {shown(settings)}. Return the dict.")
        if settings:
            return not_yet(f"in a room without metadata it returned {shown(settings)}. An empty dict was expected.")
        _configure(host, '{"title": "Exam", "minutes": 45}', early)
        if not _comes_true(lambda: settings == {"title": "Exam", "minutes": 45}):
            seen = f"the room's metadata was set, and {WITHIN:g} s later the dict is {shown(settings)}."
            return not_yet(f"{seen} {_why_still(early)}")
        with lknb.connect(exam, identity="late") as late:
            try:
                of_late = follow(late)
            except Exception as error:
                return not_yet(f"for somebody who came late it failed with {_named(error)}.")
            if of_late != {"title": "Exam", "minutes": 45}:
                return not_yet(
                    f"somebody who came after the change got {shown(of_late)}. They hear of no change: begin with "
                    "`room.metadata`, which they have."
                )
            _configure(host, '{"title": "Break"}', early)
            for who, each in (("early", settings), ("late", of_late)):
                if not _comes_true(lambda each=each: each == {"title": "Break"}):
                    return not_yet(_why_not_followed(who, each))
    return right("it begins with what is there and follows each change, so who comes late has what the others have.")


def _why_still(room: lknb.Room) -> str:
    """Why a dict may have stayed as it was, by the handlers of the room."""
    handlers = [each for each in room.handlers if each.kind == "room_metadata"]
    if not handlers:
        return "Nothing is told of changes: register a handler with `@room.on_room_metadata()`."
    if any(each.errors for each in handlers):
        return "The handler raised: its traceback stands below the cell of the check."
    return "There is a handler: let it change this dict, and not make another one."


def _why_not_followed(who: str, settings: dict[str, Any]) -> str:
    if settings.get("title") == "Break":
        return (
            f"the new metadata has no `minutes`, but the dict is {shown(settings)}. `clear()` takes away what is no "
            "longer there."
        )
    return f"a later change did not get into the dict of the one who came {who}, which is {shown(settings)}."


def _configure(host: lknb.Room, text: str, other: lknb.Room) -> None:
    """Set the room's metadata, and wait until another participant has it."""
    host.set_metadata(text)
    if not _comes_true(lambda: other.metadata == text, _SEEN):
        raise lknb.StateError("the room's metadata did not come through in time. Run the check again.")


def _attributes(room: lknb.Room, who: str) -> dict[str, str]:
    """What `room` sees of somebody's attributes; nothing while they are not there."""
    participant = room.participants.get(who)
    return dict(participant.attributes) if participant is not None else {}


def _comes_true(condition: Callable[[], bool], within: float = WITHIN) -> bool:
    """Whether `condition` holds before the time is up."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _failure(function: Callable[..., Any], *args: Any) -> str | None:
    """What `function` raises, in words; None for nothing."""
    try:
        function(*args)
    except Exception as error:
        return _named(error)
    return None


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).rstrip('.')}"


def _no_function(**given: Any) -> Verdict | None:
    """The verdict on the first of the reader's functions that is none."""
    for name, value in given.items():
        if not callable(value):
            return not_yet(f"`{name}` is {shown(value)}, and not a function.")
    return None
