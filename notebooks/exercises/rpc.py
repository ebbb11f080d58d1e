"""The checks of `rpc.ipynb`: they join its room, call what it serves, and serve what it calls."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from collections.abc import Callable
from typing import Any

import lknb
from exercises import Verdict, check, not_yet, open_room, right, shown, variable

PATIENCE = 3.0
"""Seconds that a method of the reader's may take."""

_LAZY = 1.5
"""Seconds that a method of the examiner's takes when it is to be late: clearly more than 0.3 s and the way back."""

_chairs = itertools.count(1)
_runs = itertools.count(1)


@check
def check_1() -> Verdict:
    """`fahrenheit` computes, refuses what is no number, and is served to alice and examiner alone."""
    house, alice = open_room("house"), open_room("alice")
    with (
        lknb.connect(house.name, identity="examiner") as examiner,
        lknb.connect(house.name, identity="stranger") as stranger,
    ):
        for who in (examiner, alice):
            for celsius, expected in ((100, 212), (36.6, 97.88), (-40, -40)):
                answer, error = _call(who, "fahrenheit", {"celsius": celsius})
                if error is not None:
                    return not_yet(_why_not_converted(error, who.identity, celsius))
                if answer is None:
                    return not_yet("the answer is `null`, which is what a function without `return` answers with.")
                if not isinstance(answer, int | float) or abs(answer - expected) > 0.01:
                    return not_yet(f"{celsius} °C are the number {expected} in °F, but the answer is {shown(answer)}.")
        answer, error = _call(examiner, "fahrenheit", {"celsius": "warm"})
        if error is None:
            return not_yet(f'the text "warm" was answered with {shown(answer)}. Say `celsius: float` in the function.')
        if error.code != 400:
            return not_yet(
                f'the text "warm" got as far as the function, which failed: {error.code}. With the hint '
                "`celsius: float` it would be refused with 400 before."
            )
        answer, error = _call(stranger, "fahrenheit", {"celsius": 0})
        if error is None:
            return not_yet(
                f"a stranger called it too, and got {shown(answer)}. Name who may call: "
                '`callers=["alice", "examiner"]`.'
            )
        if error.code != 403:
            return not_yet(f"a stranger's call ended with {error.code}, and 403 was expected: use `callers=`.")
    return right("it computes, a text is kept out with 400, and a stranger with 403.")


def _why_not_converted(error: lknb.RpcError, who: str, celsius: float) -> str:
    if error.code == 1400:
        return (
            'the house does not serve "fahrenheit". Put `@house.rpc("fahrenheit")` above the function, and run '
            "its cell again."
        )
    if error.code == 403:
        return f"{who} may not call it. Both alice and examiner may: `callers` takes a list."
    if error.code == 400 and isinstance(celsius, float):
        return f"{celsius} was refused with 400: {error.message}. A number may have a fraction: the hint is `float`."
    if error.code == 400:
        return f'`{{"celsius": {celsius}}}` was refused with 400: {error.message}. The argument is called `celsius`.'
    if error.code == 1500:
        return f'the function failed for `{{"celsius": {celsius}}}`: its traceback stands below the exercise\'s cell.'
    return f'`{{"celsius": {celsius}}}` ended with {error.code} {error.name}: {error.message}'


@check
def check_2() -> Verdict:
    """`reserve` gives each chair to one caller, and tells the others with 602 who has it."""
    house = open_room("house")
    chair, other = f"chair {next(_chairs)}", f"chair {next(_chairs)}"  # new ones each time the check is run
    with (
        lknb.connect(house.name, identity="examiner") as examiner,
        lknb.connect(house.name, identity="rival") as rival,
    ):
        answer, error = _call(examiner, "reserve", {"chair": chair})
        if error is not None and error.code == 1400:
            return not_yet('the house does not serve "reserve". Keep the name and the line `@house.rpc("reserve")`.')
        if error is not None:
            return not_yet(f"the first who asked for a chair got {error.code} {error.name}: {error.message}")
        if answer != "Yours.":
            return not_yet(f'the first who asked for a chair got {shown(answer)}, and "Yours." was expected.')
        answer, error = _call(rival, "reserve", {"chair": chair})
        if error is None and answer == "Yours.":
            return not_yet("two callers got the same chair. Keep in `chairs` who has which, and look there first.")
        if error is None:
            return not_yet(
                f"the second caller got {shown(answer)} as an answer, as if all were well. An error is raised: "
                "`raise lknb.RpcError(602, ...)`."
            )
        if error.code == 1500:
            return not_yet(
                "the second caller got 1500, which is what any exception becomes, and no word of who has the chair. "
                "Raise `lknb.RpcError(602, ...)` with a message; the traceback stands below the exercise's cell."
            )
        if error.code != 602:
            return not_yet(f"the second caller got the code {error.code} ({error.message}), and 602 was expected.")
        if "examiner" not in error.message:
            return not_yet(f"602 is right, but its message does not name who has the chair: {shown(error.message)}.")
        answer, error = _call(examiner, "reserve", {"chair": chair})
        if error is not None:
            return not_yet(f"who asked again for their own chair got {error.code}: {error.message} It is theirs.")
        answer, error = _call(rival, "reserve", {"chair": other})
        if error is not None or answer != "Yours.":
            got = shown(answer) if error is None else f"{error.code}: {error.message}"
            return not_yet(f'another chair, which nobody had, was answered with {got}, and "Yours." was expected.')
    return right("one chair, one owner, and whoever comes second learns from code and message what to do.")


@check
def check_3() -> Verdict:
    """`persistent` calls again after a timeout, three times at most, and lets other errors pass."""
    persistent, alice = variable("persistent"), open_room("alice")
    if not callable(persistent):
        return not_yet(f"`persistent` is {shown(persistent)}, and not a function.")
    if inspect.iscoroutinefunction(persistent):
        return not_yet("`persistent` is `async`, and is called without `await` here: write a plain function.")
    calls = {"late": 0, "never": 0, "strict": 0}
    run = next(_runs)  # a function that calls on and on from an earlier run does not find these methods
    with lknb.connect(alice.name, identity="examiner") as examiner:

        @examiner.rpc(f"late-{run}")
        async def late(word: str) -> str:
            calls["late"] += 1
            if calls["late"] < 3:
                await asyncio.sleep(_LAZY)
            return word

        @examiner.rpc(f"never-{run}")
        async def never() -> None:
            calls["never"] += 1
            await asyncio.sleep(_LAZY)

        @examiner.rpc(f"strict-{run}")
        async def strict() -> None:
            calls["strict"] += 1
            raise lknb.RpcError(603, "Not today.")

        result = _bounded(lambda: persistent(alice, "examiner", f"late-{run}", {"word": "here"}))
        if (said := _persistent_late(result, calls["late"])) is not None:
            return not_yet(said)
        result = _bounded(lambda: persistent(alice, "examiner", f"never-{run}"))
        if result is None:
            return not_yet(f"with a method that never answers it was still calling after {calls['never']} calls.")
        if not _is_error(result, 1502):
            return not_yet(
                f"a method that never answers came to {_told(result)}. After the third call the error with the code "
                "1502 is to go on: `raise` it."
            )
        if calls["never"] != 3:
            return not_yet(f"a method that never answers was called {calls['never']} times, and not three times.")
        result = _bounded(lambda: persistent(alice, "examiner", f"strict-{run}"))
        if not _is_error(result, 603):
            return not_yet(f"an error with the code 603 came to {_told(result)}. What is not 1502 is to go on.")
        if calls["strict"] != 1:
            return not_yet(
                f"a method that answers with the code 603 was called {calls['strict']} times. That is an answer: "
                "look at `error.code`, and call again for 1502 alone."
            )
    return right("it tried three times when there was no answer, and took every answer for one, errors too.")


def _persistent_late(result: _Result | None, calls: int) -> str | None:
    """What is wrong with the calls of a method that answers the third time; None for nothing."""
    if result is None:
        return f"it was still calling after {calls} calls of a method that answers the third time."
    if calls == 0 and _is_error(result, 400):
        return "the method was called without its payload. Give the call the `payload` that `persistent` gets."
    if calls == 0:
        return f"it did not call the method that it was given, and came to {_told(result)}."
    value, error = result
    if error is None and calls == 1:
        return (
            f"it waited for an answer that took {_LAZY:g} s. Give the call `timeout=0.3`."
            if value == "here"
            else f"it came to {_told(result)} after one call that got no answer in time. Call again, in a loop."
        )
    if _is_error(result, 1502):
        times = "once" if calls == 1 else f"{calls} times"
        return f"a method that answers the third time was called {times}, and the timeout went on to the caller."
    if error is not None:
        return f"a method that answers the third time came to {_told(result)}."
    if value != "here":
        return f'the third call was answered with "here", but it returned {shown(value)}. Return the answer.'
    return None


_Result = tuple[Any, BaseException | None]


def _bounded(call: Callable[[], Any], seconds: float = 10.0) -> _Result | None:
    """What `call` returned and raised; None when it has not ended in time, and is left alone."""
    results: list[_Result] = []

    def run() -> None:
        try:
            results.append((call(), None))
        except BaseException as error:  # whatever the reader's function raises is what it came to
            results.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else None


def _is_error(result: _Result | None, code: int) -> bool:
    return result is not None and isinstance(result[1], lknb.RpcError) and result[1].code == code


def _told(result: _Result | None) -> str:
    if result is None:
        return "no end in time"
    value, error = result
    if isinstance(error, lknb.RpcError):
        return f"the error {error.code} {error.name}"
    return f"the answer {shown(value)}" if error is None else f"{type(error).__name__}: {error}"


def _call(room: lknb.Room, method: str, payload: Any) -> tuple[Any, lknb.RpcError | None]:
    """The house's answer, or the error that it answered with."""
    try:
        return room.perform_rpc("house", method, payload, timeout=PATIENCE), None
    except lknb.RpcError as error:
        return None, error
