"""Which functions handlers and methods accept: each of them runs, or is refused when it is registered."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import queue
import threading
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually

import lknb

Peer = Callable[..., PlainPeer]


def plainly_decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a decorator makes that knows nothing of async functions."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


# What is awaitable is awaited

got: queue.Queue[Any] = queue.Queue()


@pytest.fixture(autouse=True)
def _empty() -> None:
    while not got.empty():
        got.get()


async def put(data: Any) -> Any:
    await asyncio.sleep(0)
    got.put((data, threading.current_thread().name))
    return data


class Puts:
    async def __call__(self, data: Any) -> Any:
        return await put(data)

    async def method(self, data: Any) -> Any:
        return await put(data)

    @staticmethod
    async def static(data: Any) -> Any:
        return await put(data)


class Awaitable:
    """A class: calling it makes an object, which can be awaited."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __await__(self) -> Any:
        return put(self.data).__await__()

    async def __call__(self) -> None:
        """Not what a call of the class calls."""


@types.coroutine
def put_by_yielding(data: Any) -> Any:
    return (yield from put(data).__await__())


async def forgets_await(data: Any) -> Any:
    return put(data)


AWAITABLE = {
    "a lambda that returns a coroutine": lambda data: put(data),
    "an async function under a plain decorator": plainly_decorated(put),
    "an async function that forgets await": forgets_await,
    "a partial": functools.partial(put),
    "a partial of an object": functools.partial(Puts()),
    "an object": Puts(),
    "a bound method": Puts().method,
    "a static method": staticmethod(Puts.static),
    "a class": Awaitable,
    "a generator that can be awaited": put_by_yielding,
    "an async function": put,
}


@pytest.mark.parametrize("function", AWAITABLE.values(), ids=AWAITABLE.keys())
def test_what_a_handler_returns_is_awaited_on_lknbs_loop(
    alice: lknb.Room, bob: lknb.Room, function: Callable[..., Any]
) -> None:
    bob.on_text("t")(function)
    bob.rpc("m")(function)
    alice.send_text("x", topic="t")
    assert got.get(timeout=5) == ("x", "lknb")
    assert alice.perform_rpc("bob", "m", {"data": 3}) == 3
    assert got.get(timeout=5) == (3, "lknb")


def test_a_handler_may_return_what_the_awaitable_room_gives(alice: lknb.Room, bob: lknb.Room) -> None:
    answers = alice.listen("text", topic="answers")
    bob.on_data("t")(lambda data, sender: bob.aio.send_text(data.decode(), topic="answers", to=sender))
    alice.publish_data(b"1", topic="t")
    assert answers.next().data == "1"


def test_what_is_awaited_may_fail_and_is_counted(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(data: bytes) -> None:
        raise KeyError(data)

    bob.on_data("t")(lambda data: fails(data))
    alice.publish_data(b"1", topic="t")
    eventually(lambda: bob.handlers[0].errors == 1)
    assert "KeyError: b'1'" in capsys.readouterr().err


def test_what_is_awaited_keeps_its_turn(alice: lknb.Room, bob: lknb.Room) -> None:
    order: list[bytes] = []

    async def slower_first(data: bytes) -> None:
        await asyncio.sleep(0.1 if data == b"0" else 0)
        order.append(data)

    bob.on_data("t")(lambda data: slower_first(data))
    for number in range(3):
        alice.publish_data(b"%d" % number, topic="t")
    eventually(lambda: order == [b"0", b"1", b"2"])


@pytest.mark.parametrize("function", AWAITABLE.values(), ids=AWAITABLE.keys())
def test_what_a_handler_for_the_main_thread_returns_is_awaited_there(
    alice: lknb.Room, bob: lknb.Room, function: Callable[..., Any]
) -> None:
    async def cell() -> None:
        bob.on_text("t", thread="main")(function)
        bob.rpc("m", thread="main")(function)
        await alice.aio.send_text("x", topic="t")
        assert await alice.aio.perform_rpc("bob", "m", {"data": 3}) == 3
        assert sorted([await asyncio.to_thread(got.get, timeout=5) for _ in range(2)], key=str) == [
            ("x", "MainThread"),
            (3, "MainThread"),
        ]

    asyncio.run(cell())


async def put_pieces(data: AsyncIterator[str]) -> None:
    async for piece in data:
        got.put((piece, threading.current_thread().name))
    got.put("end")


@pytest.mark.parametrize("thread", ["worker", "main"])
@pytest.mark.parametrize("function", [put_pieces, lambda data: put_pieces(data)], ids=["async", "returned"])
def test_an_open_stream_is_read_on_the_loop_that_it_asks_for(
    alice: lknb.Room, peer: Peer, thread: Any, function: Callable[..., Any]
) -> None:
    plain = peer()
    name = "MainThread" if thread == "main" else "lknb"

    def talk() -> None:
        handle = plain.call("open_text", topic="t")
        for word in ("one ", "two "):
            plain.call("write_text", handle=handle, text=word)
            assert got.get(timeout=5) == (word, name)
        plain.call("close_text", handle=handle)
        assert got.get(timeout=5) == "end"

    async def cell() -> None:
        alice.on_text("t", stream=True, thread=thread)(function)
        await asyncio.to_thread(talk)

    asyncio.run(cell())


def test_reading_a_stream_with_for_in_an_async_handler_is_an_error_and_stops_no_room(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str]
) -> None:
    @bob.on_text("t", stream=True)
    async def careless(data: Iterator[str]) -> None:
        for piece in data:
            got.put(piece)

    alice.send_text("x", topic="t")
    eventually(lambda: bob.handlers[0].errors == 1)
    assert "`async for`" in capsys.readouterr().err
    assert got.empty()


# What cannot run is refused


def yields(data: Any) -> Iterator[Any]:
    yield data


async def yields_async(data: Any) -> AsyncIterator[Any]:
    yield data


class Yields:
    def __call__(self, data: Any) -> Iterator[Any]:
        yield data

    async def method(self, data: Any) -> AsyncIterator[Any]:
        yield data


GENERATORS = [yields, yields_async, functools.partial(yields), Yields(), Yields().method, staticmethod(yields)]


@pytest.mark.parametrize("function", GENERATORS)
def test_a_generator_function_is_refused(bob: lknb.Room, function: Callable[..., Any]) -> None:
    for decorator in (bob.on_data("t"), bob.on_text("t", stream=True), bob.rpc("m")):
        with pytest.raises(TypeError, match="contains `yield`, so calling it would not run its code"):
            decorator(function)
    assert bob.handlers == ()


def test_a_generator_that_is_returned_is_the_handlers_error(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str]
) -> None:
    bob.on_data("t")(lambda data: yields(data))
    bob.rpc("m")(plainly_decorated(yields_async))
    alice.publish_data(b"1", topic="t")
    with pytest.raises(lknb.RpcError, match="1500"):
        alice.perform_rpc("bob", "m", 1)
    eventually(lambda: [each.errors for each in bob.handlers] == [1, 1])
    assert capsys.readouterr().err.count("returned a generator, whose code has not run") == 2


@pytest.mark.parametrize("function", [1, None, "print", [len]])
def test_what_cannot_be_called_is_refused(bob: lknb.Room, function: Any) -> None:
    for decorator in (bob.on_data("t"), bob.rpc("m")):
        with pytest.raises(TypeError, match="A handler must be a function, not "):
            decorator(function)
    assert bob.handlers == ()


@pytest.mark.parametrize("function", [max, dict, functools.partial(max)])
def test_a_function_whose_parameters_nobody_knows_is_refused(bob: lknb.Room, function: Any) -> None:
    for decorator in (bob.on_data("t"), bob.rpc("m")):
        with pytest.raises(TypeError, match=r"Python does not know the parameters of .*\. Wrap it"):
            decorator(function)


@pytest.mark.parametrize("function", [print, lambda *args: got.put(args), lambda *data: got.put(data)])
def test_a_handler_that_would_receive_nothing_is_refused(bob: lknb.Room, function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"\*(args|data) would receive nothing\. Declare the ones it needs"):
        bob.on_data("t")(function)
    assert bob.handlers == ()


def test_a_raw_method_that_requires_two_arguments_is_refused(bob: lknb.Room) -> None:
    with pytest.raises(TypeError, match="With raw=True, 'm' receives one text, but its function requires a, b"):
        bob.rpc("m", raw=True)(lambda a, b, caller: a)


# What is accepted gets its arguments


def by_position(data: Any, sender: str, /) -> None:
    got.put((data, sender))


def by_position_after_a_default(extra: Any = 1, data: Any = None, /, sender: str = "") -> None:
    got.put((extra, data, sender))


def by_position_and_keywords(data: Any, /, **others: Any) -> None:
    got.put((data, sorted(others)))


def with_rest(data: Any, *rest: Any) -> None:
    got.put((data, rest))


def only_keywords(*args: Any, **kwargs: Any) -> None:
    got.put((args, sorted(kwargs)))


def by_keyword(*, sender: str, data: Any) -> None:
    got.put((data, sender))


@functools.singledispatch
def dispatched(data: Any) -> None:
    got.put(data)


def bound(room: str, data: Any) -> None:
    got.put((room, data))


class Record:
    def __init__(self, data: Any, sender: str) -> None:
        got.put((data, sender))


SERVED = {
    "by position": (by_position, ("x", "alice")),
    "by position after a default": (by_position_after_a_default, (1, "x", "alice")),
    "by position and keywords": (by_position_and_keywords, ("x", ["event", "sender", "value"])),
    "with the rest": (with_rest, ("x", ())),
    "only keywords": (only_keywords, ((), ["data", "event", "sender", "value"])),
    "by keyword": (by_keyword, ("x", "alice")),
    "dispatched": (dispatched, "x"),
    "a partial": (functools.partial(bound, "studio"), ("studio", "x")),
    "a class": (Record, ("x", "alice")),
}


@pytest.mark.parametrize(("function", "result"), SERVED.values(), ids=SERVED.keys())
def test_a_handler_gets_what_it_declares_however_it_declares_it(
    alice: lknb.Room, bob: lknb.Room, function: Callable[..., Any], result: Any
) -> None:
    bob.on_text("t")(function)
    alice.send_text("x", topic="t")
    assert got.get(timeout=5) == result


@dataclasses.dataclass
class Answer:
    value: int

    async def __call__(self) -> None:
        """Not what a call of the class calls."""


METHODS: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "a builtin by position": (len, "four", 4),
    "a partial": (functools.partial(pow, 2), {"exp": 5}, 32),
    "a bound method": ("a-b".replace, ["-", "+"], "a+b"),
    "dispatched": (functools.singledispatch(lambda a: a * 2), 2, 4),
    "a class": (Answer, 3, {"value": 3}),
    "the rest called caller": (lambda *caller: list(caller), [1, 2], [1, 2]),
    "the caller by position": (lambda caller, a=1, /, *, b: [caller, a, b], {"b": 2}, ["alice", 1, 2]),
}


@pytest.mark.parametrize(("function", "payload", "result"), METHODS.values(), ids=METHODS.keys())
def test_a_method_gets_its_arguments_however_it_declares_them(
    alice: lknb.Room, bob: lknb.Room, function: Callable[..., Any], payload: Any, result: Any
) -> None:
    bob.rpc("m")(function)
    assert alice.perform_rpc("bob", "m", payload) == result


@pytest.mark.parametrize("function", [lambda *texts: "+".join(texts), lambda text, /: text, lambda a, b="": a + b])
def test_a_raw_method_gets_its_text(alice: lknb.Room, bob: lknb.Room, function: Callable[..., Any]) -> None:
    bob.rpc("m", raw=True)(function)
    assert alice.perform_rpc("bob", "m", "text", raw=True) == "text"


# What its own code cancels is its own error


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def awaits_what_was_cancelled() -> None:
    task = asyncio.ensure_future(asyncio.sleep(1))
    task.cancel()
    await task


async def raises_cancelled() -> None:
    raise asyncio.CancelledError


def raises_cancelled_plainly() -> None:
    raise asyncio.CancelledError


class Stop(BaseException):
    pass


async def raises_what_is_no_exception() -> None:
    raise Stop


OWN = [
    cancels_itself,
    awaits_what_was_cancelled,
    raises_cancelled,
    raises_cancelled_plainly,
    raises_what_is_no_exception,
]


@pytest.mark.parametrize("fails", OWN)
@pytest.mark.parametrize("thread", ["worker", "main"])
def test_a_handler_that_cancels_fails_and_goes_on(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str], fails: Callable[[], Any], thread: Any
) -> None:
    def handler(data: bytes) -> Any:
        if data == b"last":
            got.put(data)
            return None
        return fails()

    async def cell() -> None:
        bob.on_data("t", thread=thread)(handler)
        for data in (b"1", b"2", b"last"):
            await alice.aio.publish_data(data, topic="t")
        assert await asyncio.to_thread(got.get, timeout=5) == b"last"

    asyncio.run(cell())
    handling = bob.handlers[0]
    assert (handling.calls, handling.errors) == (3, 2)
    shown = capsys.readouterr().err
    assert ("the handler raised Stop" if fails is OWN[-1] else "the handler raised CancelledError") in shown
    assert f"in {fails.__name__}\n" in shown


@pytest.mark.parametrize("fails", OWN)
def test_a_method_that_cancels_answers_that_it_failed(
    alice: lknb.Room, bob: lknb.Room, fails: Callable[[], Any]
) -> None:
    bob.rpc("m")(fails)
    with pytest.raises(lknb.RpcError, match="1500"):
        alice.perform_rpc("bob", "m", timeout=5)
    assert bob.handlers[0].errors == 1
    assert bob.events.filter("rpc")[0].error == "RuntimeError in the handler"


def test_a_method_that_times_out_is_cancelled_and_is_no_error_of_its_own(alice: lknb.Room, bob: lknb.Room) -> None:
    @bob.rpc("m")
    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            got.put("cancelled")
            raise

    with pytest.raises(lknb.RpcError, match="1502"):
        alice.perform_rpc("bob", "m", timeout=1)
    assert got.get(timeout=15) == "cancelled"
    eventually(lambda: bob.events.filter("rpc")[0].status == "failed")
    assert bob.handlers[0].errors == 0
    assert "timed out" in (bob.events.filter("rpc")[0].error or "")
