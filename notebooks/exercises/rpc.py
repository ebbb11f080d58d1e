"""Checks for rpc.ipynb. They join the notebook's room, call its methods, and serve the methods that it calls."""

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
"""Seconds that one of the reader's methods may take."""

_LAZY = 1.5
"""Seconds that a late method of the examiner takes: clearly more than 0.3 s and the time for the answer."""

_chairs = itertools.count(1)
_runs = itertools.count(1)


@check
def check_1() -> Verdict:
    """Check that `fahrenheit` computes, refuses anything but numbers, and serves only alice and examiner."""
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
                    return not_yet("the answer is `null`: that is the answer of a function without `return`.")
                if not isinstance(answer, int | float) or abs(answer - expected) > 0.01:
                    return not_yet(f"{celsius} °C must give the number {expected}, but the answer is {shown(answer)}.")
        answer, error = _call(examiner, "fahrenheit", {"celsius": "warm"})
        if error is None:
            return not_yet(f'the text "warm" was answered with {shown(answer)}. Use the type hint `celsius: float`.')
        if error.code != 400:
            return not_yet(
                f'the text "warm" reached the function, which failed with {error.code}. With the type hint '
                "`celsius: float`, lknb refuses it with 400 before that."
            )
        answer, error = _call(stranger, "fahrenheit", {"celsius": 0})
        if error is None:
            return not_yet(
                f'a stranger called it too and got {shown(answer)}. Name the callers: `callers=["alice", "examiner"]`.'
            )
        if error.code != 403:
            return not_yet(f"a stranger's call ended with {error.code} instead of 403. Use `callers=`.")
    return right("the results are right, a text is refused with 400, and a stranger with 403.")


def _why_not_converted(error: lknb.RpcError, who: str, celsius: float) -> str:
    if error.code == 1400:
        return (
            'the house does not serve "fahrenheit". Put `@house.rpc("fahrenheit")` above the function, and run '
            "its cell again."
        )
    if error.code == 403:
        return f"{who} may not call it. Allow both alice and examiner: `callers` takes a list."
    if error.code == 400 and isinstance(celsius, float):
        return (
            f"{celsius} was refused with 400: {error.message}. A number can have a fraction: use the type hint `float`."
        )
    if error.code == 400:
        return (
            f'`{{"celsius": {celsius}}}` was refused with 400: {error.message}. The argument must be named `celsius`.'
        )
    if error.code == 1500:
        return f'the function failed for `{{"celsius": {celsius}}}`; the traceback is below the exercise\'s cell.'
    return f'`{{"celsius": {celsius}}}` ended with {error.code} {error.name}: {error.message}'


@check
def check_2() -> Verdict:
    """Check that `reserve` gives each chair to one caller, and names its owner to others with 602."""
    house = open_room("house")
    chair, other = f"chair {next(_chairs)}", f"chair {next(_chairs)}"  # new chairs in each run
    with (
        lknb.connect(house.name, identity="examiner") as examiner,
        lknb.connect(house.name, identity="rival") as rival,
    ):
        answer, error = _call(examiner, "reserve", {"chair": chair})
        if error is not None and error.code == 1400:
            return not_yet('the house does not serve "reserve". Keep the name and the line `@house.rpc("reserve")`.')
        if error is not None:
            return not_yet(f"the first caller to ask for a chair got {error.code} {error.name}: {error.message}")
        if answer != "Yours.":
            return not_yet(f'the first caller to ask for a chair got {shown(answer)} instead of "Yours."')
        answer, error = _call(rival, "reserve", {"chair": chair})
        if error is None and answer == "Yours.":
            return not_yet(
                "two callers got the same chair. Store each chair's owner in `chairs`, and look there first."
            )
        if error is None:
            return not_yet(
                f"the second caller got the answer {shown(answer)}, but must get an error: "
                "`raise lknb.RpcError(602, ...)`."
            )
        if error.code == 1500:
            return not_yet(
                "the second caller got 1500, the code for any other exception, and did not learn who has the chair. "
                "Raise `lknb.RpcError(602, ...)` with a message. The traceback is below the exercise's cell."
            )
        if error.code != 602:
            return not_yet(f"the second caller got the code {error.code} ({error.message}) instead of 602.")
        if "examiner" not in error.message:
            return not_yet(
                f"the code 602 is right, but the message does not name the chair's owner: {shown(error.message)}."
            )
        answer, error = _call(examiner, "reserve", {"chair": chair})
        if error is not None:
            return not_yet(f'the owner asked again and got {error.code}: {error.message} Answer "Yours." to the owner.')
        answer, error = _call(rival, "reserve", {"chair": other})
        if error is not None or answer != "Yours.":
            got = shown(answer) if error is None else f"{error.code}: {error.message}"
            return not_yet(f'another chair, which was free, was answered with {got} instead of "Yours."')
    return right("each chair has one owner, and the second caller gets a clear code and message.")


@check
def check_3() -> Verdict:
    """Check that `persistent` repeats a call that timed out, three calls at most, and lets other errors through."""
    persistent, alice = variable("persistent"), open_room("alice")
    if not callable(persistent):
        return not_yet(f"`persistent` is {shown(persistent)}, not a function.")
    if inspect.iscoroutinefunction(persistent):
        return not_yet("`persistent` is `async`, but the check calls it without `await`: write a plain function.")
    calls = {"late": 0, "never": 0, "strict": 0}
    run = next(_runs)  # new method names, so that a function still calling from an earlier run does not find them
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
        if (problem := _persistent_late(result, calls["late"])) is not None:
            return not_yet(problem)
        result = _bounded(lambda: persistent(alice, "examiner", f"never-{run}"))
        if result is None:
            return not_yet(
                f"`persistent` was still calling after {calls['never']} calls of a method that never answers."
            )
        if not _is_error(result, 1502):
            return not_yet(
                f"a method that never answers led to {_outcome(result)}. After the third call, let the error with the "
                "code 1502 through: `raise` it."
            )
        if calls["never"] != 3:
            return not_yet(f"a method that never answers was called {calls['never']} times instead of three times.")
        result = _bounded(lambda: persistent(alice, "examiner", f"strict-{run}"))
        if not _is_error(result, 603):
            return not_yet(
                f"an error with the code 603 led to {_outcome(result)}. Let every error except 1502 through."
            )
        if calls["strict"] != 1:
            return not_yet(
                f"a method that answers with the code 603 was called {calls['strict']} times. That is an answer: "
                "look at `error.code`, and call again only for 1502."
            )
    return right("it calls up to three times without an answer, and accepts every answer, including errors.")


def _persistent_late(result: _Result | None, calls: int) -> str | None:
    """Return the problem with calls of a method that answers the third time, or None."""
    if result is None:
        return f"`persistent` was still calling after {calls} calls of a method that answers the third time."
    if calls == 0 and _is_error(result, 400):
        return "the method was called without its payload. Pass on the `payload` that `persistent` gets."
    if calls == 0:
        return f"`persistent` did not call the given method; the result was {_outcome(result)}."
    value, error = result
    if error is None and calls == 1:
        return (
            f"`persistent` waited for an answer that took {_LAZY:g} s. Pass `timeout=0.3` to the call."
            if value == "here"
            else f"one call without an answer in time led to {_outcome(result)}. Call again, in a loop."
        )
    if _is_error(result, 1502):
        times = "once" if calls == 1 else f"{calls} times"
        return f"a method that answers the third time was called {times}, and then `persistent` raised the timeout."
    if error is not None:
        return f"a method that answers the third time led to {_outcome(result)}."
    if value != "here":
        return f'the third call was answered with "here", but `persistent` returned {shown(value)}. Return the answer.'
    return None


_Result = tuple[Any, BaseException | None]


def _bounded(call: Callable[[], Any], seconds: float = 10.0) -> _Result | None:
    """Return the result and the exception of `call`; None if it has not ended in time. It is not stopped."""
    results: list[_Result] = []

    def run() -> None:
        try:
            results.append((call(), None))
        except BaseException as error:  # whatever the reader's function raises is its outcome
            results.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else None


def _is_error(result: _Result | None, code: int) -> bool:
    return result is not None and isinstance(result[1], lknb.RpcError) and result[1].code == code


def _outcome(result: _Result | None) -> str:
    if result is None:
        return "no end in time"
    value, error = result
    if isinstance(error, lknb.RpcError):
        return f"the error {error.code} {error.name}"
    return f"the answer {shown(value)}" if error is None else f"{type(error).__name__}: {error}"


def _call(room: lknb.Room, method: str, payload: Any) -> tuple[Any, lknb.RpcError | None]:
    """Return the house's answer, or the error with which it answered."""
    try:
        return room.perform_rpc("house", method, payload, timeout=PATIENCE), None
    except lknb.RpcError as error:
        return None, error
