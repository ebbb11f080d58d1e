"""Code that waits for replies: on any thread, on any event loop, until it is interrupted or its time is over."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from lknb.interrupts import Uninterrupted
from lknb.replies import Reply, Turns, awaited, wait

Run = Callable[[Awaitable[str]], str]


async def both(first: Reply[str], second: Reply[str]) -> str:
    return await first + await second


def blocking(first: Reply[str], second: Reply[str]) -> str:
    return wait(both(first, second))


def on_a_loop(first: Reply[str], second: Reply[str]) -> str:
    return asyncio.run(awaited(both(first, second)))


FORMS = pytest.mark.parametrize("run", [blocking, on_a_loop])


def later(do: Callable[[], object]) -> None:
    timer = threading.Timer(0.05, do)
    timer.daemon = True
    timer.start()


@FORMS
def test_replies_from_another_thread_are_awaited_in_turn(run: Callable[..., str]) -> None:
    first, second = Reply[str](), Reply[str]()

    def settle() -> None:
        second.settle("b")
        first.settle("a")

    later(settle)
    assert run(first, second) == "ab"


@FORMS
def test_settled_replies_need_no_wait(run: Callable[..., str]) -> None:
    first, second = Reply[str](), Reply[str]()
    first.settle("a")
    second.settle("b")
    assert run(first, second) == "ab"


@FORMS
def test_first_outcome_stands(run: Callable[..., str]) -> None:
    first, second = Reply[str](), Reply[str](str.upper)
    for reply in (first, second):
        reply.settle("a")
        reply.settle("b")
        reply.fail(ValueError())
    assert run(first, second) == "aA"


@FORMS
def test_failure_is_raised_where_the_reply_is_awaited(run: Callable[..., str]) -> None:
    first, second = Reply[str](), Reply[str]()
    first.settle("a")
    later(lambda: second.fail(ValueError("refused")))
    with pytest.raises(ValueError, match="refused"):
        run(first, second)


@FORMS
def test_wait_ends_at_the_deadline(run: Callable[..., str]) -> None:
    first, second = Reply[str](), Reply[str]()
    first.deadline = monotonic() + 0.1
    with pytest.raises(TimeoutError):
        run(first, second)


def test_interrupt_ends_a_wait() -> None:
    caught: list[BaseException] = []

    async def steps() -> None:
        try:
            await Reply[None]()
        except BaseException as error:
            caught.append(error)
            raise

    later(lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        wait(steps())
    assert [type(each) for each in caught] == [KeyboardInterrupt]


def test_interrupt_comes_after_what_must_not_end_in_the_middle() -> None:
    done = []

    async def steps() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("recorded")

    with pytest.raises(KeyboardInterrupt):
        wait(steps())
    assert done == ["recorded"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_handlers_of_interrupts_are_put_back() -> None:
    came = []

    def note(number: int, frame: object) -> None:
        came.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        with Uninterrupted() as uninterrupted:
            signal.raise_signal(signal.SIGINT)
            assert not came
            with uninterrupted.waiting():
                assert came == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is note
    finally:
        signal.signal(signal.SIGINT, before)


def test_cancelled_task_stops_its_steps() -> None:
    caught: list[BaseException] = []

    async def steps() -> None:
        try:
            await Reply[None]()
        except BaseException as error:
            caught.append(error)
            raise

    async def main() -> None:
        task = asyncio.ensure_future(awaited(steps()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [type(each) for each in caught] == [asyncio.CancelledError]


def test_turns_are_limited_on_all_threads() -> None:
    turns, lock, running, most = Turns(3), threading.Lock(), 0, 0

    async def steps() -> None:
        nonlocal running, most
        await turns.take()
        with lock:
            running += 1
            most = max(most, running)
        pause = Reply[None]()
        threading.Timer(0.01, lambda: pause.settle(None)).start()
        await pause
        with lock:
            running -= 1
        turns.give_back()

    threads = [threading.Thread(target=lambda: wait(steps())) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (running, most) == (0, 3)


def test_turn_of_one_that_gave_up_goes_to_the_next() -> None:
    turns = Turns(1)

    async def main() -> None:
        await awaited(turns.take())
        gave_up = asyncio.ensure_future(awaited(turns.take()))
        following = asyncio.ensure_future(awaited(turns.take()))
        await asyncio.sleep(0.01)
        gave_up.cancel()
        await asyncio.wait([gave_up])
        turns.give_back()
        await asyncio.wait_for(following, 5)

    asyncio.run(main())
