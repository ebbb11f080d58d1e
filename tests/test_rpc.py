"""Remote method calls: JSON both ways, arguments checked against hints, deadlines, errors, plain-SDK peers."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pydantic
import pytest
from livekit import rtc
from peers import PeerError, PlainPeer
from typing_extensions import TypedDict
from waiting import eventually, slow_work

import lknb
from lknb import server

Join = Callable[..., lknb.Room]
Peer = Callable[..., PlainPeer]


@pytest.fixture(scope="module")
def pair(livekit: server.RunningServer) -> Iterator[tuple[lknb.Room, lknb.Room]]:
    """Yield two participants on lknb in one kernel, for all tests that need nothing else."""
    with lknb.connect("rpc-pair", "alice") as alice, lknb.connect("rpc-pair", "bob") as bob:
        eventually(lambda: "bob" in alice.participants and "alice" in bob.participants)
        yield alice, bob


@pytest.fixture
def alice_calls(pair: tuple[lknb.Room, lknb.Room]) -> lknb.Room:
    return pair[0]


@pytest.fixture
def bob_serves(pair: tuple[lknb.Room, lknb.Room]) -> Iterator[lknb.Room]:
    room = pair[1]
    yield room
    for handler in room.handlers:
        room.off(handler)


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict):
    speed: float


class Order(pydantic.BaseModel):
    item: str
    count: int = pydantic.Field(ge=1)


# Payloads and results


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        2**53,
        "",
        "grüße 🎈 \u202e \x1b[31m",
        [],
        [1, "two", None],
        {},
        {"a": {"b": [1, {"c": None}]}, "ключ": "значение"},
    ],
)
def test_payload_and_result_are_json(alice_calls: lknb.Room, bob_serves: lknb.Room, value: Any) -> None:
    received = []

    @bob_serves.rpc("echo")
    def echo(payload: Any) -> Any:
        received.append(payload)
        return payload

    assert alice_calls.perform_rpc("bob", "echo", value) == value
    assert received == [value]


@pytest.mark.parametrize(
    ("result", "arrives"),
    [
        (Point(1, 2), {"x": 1, "y": 2}),
        (dt.date(2026, 11, 23), "2026-11-23"),
        (dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC), "2026-11-23T12:00:00Z"),
        (np.float64(0.5), 0.5),
        (np.int32(7), 7),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (Order(item="tea", count=2), {"item": "tea", "count": 2}),
        ((1, 2), [1, 2]),
        ("NaN", "NaN"),
    ],
)
def test_handler_can_return_json_values(
    alice_calls: lknb.Room, bob_serves: lknb.Room, result: Any, arrives: Any
) -> None:
    bob_serves.rpc("give")(lambda: result)
    assert alice_calls.perform_rpc("bob", "give") == arrives


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": np.float32("nan")}, np.array([np.nan]), object()])
def test_payload_that_is_not_json_serializable_is_rejected(
    alice_calls: lknb.Room, bob_serves: lknb.Room, value: Any
) -> None:
    with pytest.raises(TypeError, match="cannot be sent as JSON"):
        alice_calls.perform_rpc("bob", "echo", value)


def test_result_that_is_not_json_serializable_fails_in_handler(
    alice_calls: lknb.Room, bob_serves: lknb.Room, capsys: pytest.CaptureFixture[str]
) -> None:
    bob_serves.rpc("nan")(lambda: math.nan)
    with pytest.raises(lknb.RpcError) as caught:
        alice_calls.perform_rpc("bob", "nan")
    assert caught.value.code == 1500
    assert "TypeError: float cannot be sent as JSON" in capsys.readouterr().err


@pytest.mark.slow("moves a megabyte or more")
def test_megabyte_travels_both_ways(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("echo")(lambda payload: payload)
    value = {"values": list(range(150_000)), "text": "é" * 100_000}
    assert len(json.dumps(value, ensure_ascii=False).encode()) > 1_000_000
    assert alice_calls.perform_rpc("bob", "echo", value) == value


def test_raw_text_is_unchanged(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    @bob_serves.rpc("shout", raw=True)
    def shout(text: str, caller: str) -> str:
        return f"{caller}: {text.upper()}"

    assert alice_calls.perform_rpc("bob", "shout", "{not json", raw=True) == "alice: {NOT JSON"
    assert alice_calls.events.filter("rpc", topic="shout")[-1].raw is True


def test_raw_payload_must_be_str(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    with pytest.raises(TypeError, match="a str, not dict"):
        alice_calls.perform_rpc("bob", "shout", {}, raw=True)


def test_call_is_logged_on_both_sides(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("logged")(lambda a: a + 1)
    alice_calls.perform_rpc("bob", "logged", {"a": 1})
    out = alice_calls.events.filter("rpc", topic="logged")[-1]
    assert (out.direction, out.sender, out.to, out.data, out.result) == ("out", "alice", ("bob",), {"a": 1}, 2)
    received = eventually(lambda: bob_serves.events.filter("rpc", topic="logged", status="ok"))[-1]
    assert (received.direction, received.sender, received.to, received.result) == ("in", "alice", ("bob",), 2)
    assert received.data == {"a": 1}
    assert received.duration is not None
    assert out.duration is not None
    assert 0 <= received.duration <= out.duration < 5


# Arguments


def takes_two(a: int, b: int = 10) -> int:
    return a + b


def takes_hints(
    mode: Literal["slow", "fast"] = "slow",
    limit: int | None = 3,
    point: Point | None = None,
    options: Options | None = None,
    order: Order | None = None,
    day: dt.date | None = None,
    tags: list[str] | None = None,
) -> Any:
    return [mode, limit, point, options, order and order.count, day and day.year, tags]


def takes_positional_only(a: int = 1, b: int = 2, /, *, c: int = 3) -> list[int]:
    return [a, b, c]


def takes_any_number(*numbers: float) -> float:
    return sum(numbers)


def takes_first_and_rest(first: str, *rest: int) -> Any:
    return [first, list(rest)]


def takes_options(name: str, **options: int) -> Any:
    return [name, options]


def takes_a_list(numbers: list[int]) -> int:
    return len(numbers)


def takes_the_whole(payload: Any, caller: str) -> Any:
    return [caller, payload]


def takes_the_caller(a: int, caller: str, /) -> Any:
    return [a, caller]


@pytest.mark.parametrize(
    ("function", "payload", "result"),
    [
        (takes_two, {"a": 1, "b": 2}, 3),
        (takes_two, {"a": 1}, 11),
        (takes_two, [1, 2], 3),
        (takes_hints, {}, ["slow", 3, None, None, None, None, None]),
        (takes_hints, None, ["slow", 3, None, None, None, None, None]),
        (takes_hints, {"mode": "fast", "limit": None}, ["fast", None, None, None, None, None, None]),
        (takes_hints, {"point": {"x": 1}}, ["slow", 3, {"x": 1, "y": 0}, None, None, None, None]),
        (takes_hints, {"options": {"speed": 2}}, ["slow", 3, None, {"speed": 2.0}, None, None, None]),
        (takes_hints, {"order": {"item": "tea", "count": 2}}, ["slow", 3, None, None, 2, None, None]),
        (takes_hints, {"day": "2026-11-23"}, ["slow", 3, None, None, None, 2026, None]),
        (takes_hints, {"day": dt.date(2026, 11, 23)}, ["slow", 3, None, None, None, 2026, None]),
        (takes_positional_only, {"b": 5}, [1, 5, 3]),
        (takes_positional_only, {"a": 5, "c": 6}, [5, 2, 6]),
        (takes_positional_only, [7], [7, 2, 3]),
        (takes_any_number, [1, 2.5], 3.5),
        (takes_any_number, 4, 4.0),
        (takes_any_number, None, 0),
        (takes_first_and_rest, ["a", 1, 2], ["a", [1, 2]]),
        (takes_first_and_rest, {"first": "a"}, ["a", []]),
        (takes_options, {"name": "n", "x": 1}, ["n", {"x": 1}]),
        (takes_options, "n", ["n", {}]),
        (takes_a_list, [1, 2, 3], 3),
        (takes_a_list, {"numbers": [1]}, 1),
        (takes_the_whole, {"payload": 1}, ["alice", {"payload": 1}]),
        (takes_the_whole, None, ["alice", None]),
        (takes_the_caller, 1, [1, "alice"]),
    ],
)
def test_arguments_come_from_payload(
    alice_calls: lknb.Room, bob_serves: lknb.Room, function: Callable[..., Any], payload: Any, result: Any
) -> None:
    bob_serves.rpc("m")(function)
    assert alice_calls.perform_rpc("bob", "m", payload) == result


@pytest.mark.parametrize(
    ("function", "payload", "problem"),
    [
        (takes_two, {"b": 1}, "a: is missing"),
        (takes_two, {"a": 1, "bb": 2}, "bb: is not one of its arguments; did you mean 'b'?"),
        (takes_two, {"a": "1"}, "a: input should be a valid integer"),
        (takes_two, {"a": True}, "a: input should be a valid integer"),
        (takes_two, [1, 2, 3], "it takes at most 2 arguments, not 3"),
        (takes_two, 1, "it takes a JSON object with a, b"),
        (takes_hints, {"mode": "warp"}, "mode: input should be 'slow' or 'fast'"),
        (takes_hints, {"limit": 1.5}, "limit: input should be a valid integer"),
        (takes_hints, {"point": {"x": "1"}}, "point.x: input should be a valid integer"),
        (takes_hints, {"options": {}}, "options.speed: is missing"),
        (takes_hints, {"order": {"item": "tea", "count": 0}}, "order.count: input should be greater than or equal"),
        (takes_hints, {"day": "yesterday"}, "day: input should be a valid date"),
        (takes_hints, {"tags": ["a", 1]}, "tags.1: input should be a valid string"),
        (takes_any_number, [1, "2"], "*numbers.1: input should be a valid number"),
        (takes_options, {"name": "n", "x": "1"}, "**options.x: input should be a valid integer"),
        (takes_the_caller, {"a": 1, "caller": "mallory"}, "caller: is not one of its arguments"),
    ],
)
def test_wrong_arguments_are_explained_to_caller(
    alice_calls: lknb.Room, bob_serves: lknb.Room, function: Callable[..., Any], payload: Any, problem: str
) -> None:
    bob_serves.rpc("m")(function)
    with pytest.raises(lknb.RpcError) as caught:
        alice_calls.perform_rpc("bob", "m", payload)
    assert (caught.value.code, caught.value.name) == (400, "INVALID_ARGUMENTS")
    assert caught.value.message.startswith("m: ")
    assert problem in caught.value.message
    assert bob_serves.handlers[0].calls == 0


def test_argument_problems_are_sent_as_data(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("m")(takes_two)
    with pytest.raises(lknb.RpcError) as caught:
        alice_calls.perform_rpc("bob", "m", {"a": "secret-value"})
    assert json.loads(caught.value.data or "") == [{"argument": "a", "problem": "input should be a valid integer"}]


def test_invalid_json_payload_is_rejected(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("m")(takes_two)
    with pytest.raises(lknb.RpcError, match=r"400 INVALID_ARGUMENTS: m: the payload is not JSON"):
        alice_calls.perform_rpc("bob", "m", "{", raw=True)


def test_deeply_nested_json_is_rejected(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("m")(takes_the_whole)
    with pytest.raises(lknb.RpcError, match="400 INVALID_ARGUMENTS"):
        alice_calls.perform_rpc("bob", "m", "[" * 100_000, raw=True)


class Socket:
    """An object that JSON cannot represent."""


def test_type_hint_that_json_cannot_fill_is_rejected_at_registration(bob_serves: lknb.Room) -> None:
    def takes_a_socket(socket: Socket) -> None: ...

    takes_a_socket.__annotations__["socket"] = Socket
    with pytest.raises(TypeError, match=r"'m' have a type that JSON cannot be checked against: .*Socket.*\. Use JSON"):
        bob_serves.rpc("m")(takes_a_socket)
    assert bob_serves.handlers == ()


# Timeouts


@pytest.mark.slow("waits for the calls' timeouts")
@pytest.mark.parametrize("timeout", [0.9, 2.5])  # below and above the shortest timeout that the SDK supports
@pytest.mark.parametrize("kind", ["sync", "async", "plain"])
def test_timeout_limits_handler_time(join: Join, peer: Peer, timeout: float, kind: str) -> None:
    alice = join("alice")
    if kind == "plain":
        plain = peer("server")
        plain.call("register_rpc", method="quick", mode="sleep", seconds=timeout / 2, text='"done"')
        plain.call("register_rpc", method="slow", mode="sleep", seconds=timeout + 2, text='"done"')
    else:
        room = join("server")

        def serve(method: str, seconds: float) -> None:
            def sleep() -> str:
                slow_work(seconds)
                return "done"

            async def nap() -> str:
                await asyncio.sleep(seconds)
                return "done"

            room.rpc(method)(sleep if kind == "sync" else nap)

        serve("quick", timeout / 2)
        serve("slow", timeout + 2)
    assert alice.perform_rpc("server", "quick", timeout=timeout) == "done"
    began = time.monotonic()
    with pytest.raises(lknb.RpcError, match=f"did not answer 'slow' within {timeout:g} s") as caught:
        alice.perform_rpc("server", "slow", timeout=timeout)
    assert caught.value.code == 1502
    assert time.monotonic() - began > timeout - 0.05


def test_plain_caller_gets_requested_timeout(alice: lknb.Room, peer: Peer) -> None:
    carol = peer("carol")

    @alice.rpc("nap")
    async def nap(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    assert carol.call("perform_rpc", to="alice", method="nap", payload='{"seconds": 1.2}', response_timeout=15) == (
        '"done"'
    )


def test_async_handler_is_cancelled_after_timeout(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    cancelled = threading.Event()

    @bob_serves.rpc("endless")
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(lknb.RpcError, match="1502 RESPONSE_TIMEOUT"):
        alice_calls.perform_rpc("bob", "endless", timeout=1)
    assert cancelled.wait(5)


@pytest.mark.parametrize("timeout", [0, -1, math.nan])
def test_timeout_must_be_positive(alice_calls: lknb.Room, bob_serves: lknb.Room, timeout: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        alice_calls.perform_rpc("bob", "m", timeout=timeout)


# Errors


def test_rpc_error_reaches_caller_unchanged(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    @bob_serves.rpc("refuse")
    async def refuse() -> None:
        raise lknb.RpcError(2042, "not today", '{"until": "tomorrow"}')

    with pytest.raises(lknb.RpcError) as caught:
        alice_calls.perform_rpc("bob", "refuse")
    assert (caught.value.code, caught.value.message, caught.value.data) == (2042, "not today", '{"until": "tomorrow"}')
    for room in (alice_calls, bob_serves):
        noted = eventually(lambda room=room: room.events.filter("rpc", topic="refuse", status="failed"))[-1]
        assert noted.attributes == {"code": "2042", "data": '{"until": "tomorrow"}'}


def test_long_error_message_is_truncated(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    @bob_serves.rpc("refuse")
    def refuse() -> None:
        raise lknb.RpcError(2042, "ä" * 1000)

    with pytest.raises(lknb.RpcError) as caught:
        alice_calls.perform_rpc("bob", "refuse")
    assert caught.value.message == "ä" * 126 + " ..."
    assert len(caught.value.message.encode()) == 256


@pytest.mark.parametrize("is_async", [False, True])
def test_exception_text_is_hidden_from_caller(
    alice_calls: lknb.Room, bob_serves: lknb.Room, capsys: pytest.CaptureFixture[str], is_async: bool
) -> None:
    def fail() -> None:
        raise ValueError("the secret is 42")

    async def fail_async() -> None:
        fail()

    bob_serves.rpc("fail")(fail_async if is_async else fail)
    with pytest.raises(lknb.RpcError) as caught:
        alice_calls.perform_rpc("bob", "fail")
    assert caught.value.code == 1500
    assert "secret" not in f"{caught.value!r} {caught.value} {caught.value.data}"
    shown = capsys.readouterr().err
    assert "ValueError: the secret is 42" in shown
    assert "test_rpc.py" in shown
    assert bob_serves.handlers[0].errors == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_system_exit_in_handler_ends_nothing(alice_calls: lknb.Room, bob_serves: lknb.Room, is_async: bool) -> None:
    def leave() -> None:
        raise SystemExit(3)

    async def leave_async() -> None:
        raise SystemExit(3)

    bob_serves.rpc("exit")(leave_async if is_async else leave)
    bob_serves.rpc("ping")(lambda: "pong")
    with pytest.raises(lknb.RpcError, match="1500"):
        alice_calls.perform_rpc("bob", "exit")
    assert alice_calls.perform_rpc("bob", "ping") == "pong"


def test_unknown_participant_is_reported_soon(alice: lknb.Room, bob: lknb.Room) -> None:
    began = time.monotonic()
    with pytest.raises(lknb.UnknownParticipantError, match=r"did you mean 'bob'\? Present: 'bob'\."):
        alice.perform_rpc("bobb", "m")
    assert time.monotonic() - began < 6.5, "sooner than the SDK finds out that nobody reacts"


def test_unknown_method_fails_immediately(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    began = time.monotonic()
    with pytest.raises(lknb.RpcError, match="1400 UNSUPPORTED_METHOD: 'bob' does not serve a method 'nope'"):
        alice_calls.perform_rpc("bob", "nope")
    assert time.monotonic() - began < 5


def test_unlisted_callers_are_rejected(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("private", callers=["carol", "dave"])(lambda: "for carol")
    bob_serves.rpc("ours", callers="alice")(lambda: "for alice")
    with pytest.raises(lknb.RpcError, match="'alice' may not call 'private'") as caught:
        alice_calls.perform_rpc("bob", "private")
    assert (caught.value.code, caught.value.name) == (403, "FORBIDDEN")
    assert bob_serves.handlers[0].calls == 0
    assert alice_calls.perform_rpc("bob", "ours") == "for alice"


def test_call_fails_if_peer_leaves_while_handling(alice: lknb.Room, peer: Peer) -> None:
    carol = peer("carol")
    carol.call("register_rpc", method="never", mode="sleep", seconds=60)
    failures: list[Exception] = []

    def call() -> None:
        try:
            alice.perform_rpc("carol", "never", timeout=30)
        except Exception as error:
            failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    carol.wait("rpc_called")
    carol.call("disconnect")
    caller.join(10)
    assert not caller.is_alive()
    assert isinstance(failures[0], lknb.RpcError)
    assert failures[0].code == 1503
    assert alice.events.filter("rpc", topic="never")[-1].status == "failed"


def test_call_fails_if_room_closes(join: Join, peer: Peer) -> None:
    alice, carol = join("alice"), peer("carol")
    carol.call("register_rpc", method="never", mode="sleep", seconds=60)

    def close_when_called() -> None:
        carol.wait("rpc_called")
        alice.close()

    closing = threading.Thread(target=close_when_called)
    closing.start()
    with pytest.raises(lknb.NotConnectedError):
        alice.perform_rpc("carol", "never", timeout=30)
    closing.join(30)


def test_send_without_grant_is_denied(
    livekit: server.RunningServer, room_name: str, bob: lknb.Room, token: Callable[..., str]
) -> None:
    bob.rpc("m")(lambda: "called")
    with lknb.connect(room_name, url=livekit.url, token=token("mute", can_publish_data=False)) as mute:
        began = time.monotonic()
        with pytest.raises(lknb.PermissionDeniedError, match="canPublishData"):
            mute.perform_rpc("bob", "m")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(("name", "error"), [("", ValueError), ("m" * 65, ValueError), (None, TypeError)])
def test_rejects_invalid_method_names(
    alice_calls: lknb.Room, bob_serves: lknb.Room, name: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="method must"):
        alice_calls.perform_rpc("bob", name)
    with pytest.raises(error, match="method must"):
        bob_serves.rpc(name)(takes_two)


def test_call_to_own_identity_is_refused(alice_calls: lknb.Room) -> None:
    with pytest.raises(ValueError, match="is this participant"):
        alice_calls.perform_rpc("alice", "m")


# Registering


def test_registering_again_replaces_method(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("m")(lambda: "first")
    bob_serves.rpc("m")(lambda: "second")
    assert alice_calls.perform_rpc("bob", "m") == "second"
    assert len(bob_serves.handlers) == 1


def test_off_removes_method(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("m")(takes_two)
    assert alice_calls.perform_rpc("bob", "m", [1, 2]) == 3
    assert bob_serves.off(takes_two) == 1
    with pytest.raises(lknb.RpcError, match="1400 UNSUPPORTED_METHOD"):
        alice_calls.perform_rpc("bob", "m", [1, 2])


def test_waiting_calls_are_answered_after_method_is_replaced(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    release, begun = threading.Event(), threading.Event()

    @bob_serves.rpc("m", concurrency=1)
    def old() -> str:
        begun.set()
        release.wait(10)
        return "old"

    async def call_three() -> list[Any]:
        calls = [asyncio.create_task(alice_calls.aio.perform_rpc("bob", "m")) for _ in range(3)]
        await asyncio.to_thread(begun.wait, 10)
        await asyncio.to_thread(eventually, lambda: len(bob_serves.events.filter("rpc", "m", status="open")) == 3)
        bob_serves.rpc("m")(lambda: "new")
        release.set()
        return list(await asyncio.gather(*calls))

    assert asyncio.run(call_three()) == ["old"] * 3
    assert alice_calls.perform_rpc("bob", "m") == "new"


def test_decorator_needs_name(bob_serves: lknb.Room) -> None:
    with pytest.raises(TypeError, match=r'@room\.rpc\("add"\)'):

        @bob_serves.rpc  # type: ignore[arg-type]
        def add() -> None: ...


# Concurrency


@pytest.mark.parametrize("is_async", [False, True])
def test_concurrency_limits_running_calls(alice_calls: lknb.Room, bob_serves: lknb.Room, is_async: bool) -> None:
    lock, two = threading.Lock(), threading.Event()
    running = most = 0

    def count(change: int) -> None:
        nonlocal running, most
        with lock:
            running += change
            most = max(most, running)
            if running == 2:
                two.set()

    def work(number: int) -> int:
        count(1)
        two.wait(10)
        slow_work(0.05)
        count(-1)
        return number

    async def work_async(number: int) -> int:
        count(1)
        await asyncio.to_thread(two.wait, 10)
        await asyncio.sleep(0.05)
        count(-1)
        return number

    bob_serves.rpc("work", concurrency=2)(work_async if is_async else work)

    async def call_many() -> list[int]:
        return list(await asyncio.gather(*(alice_calls.aio.perform_rpc("bob", "work", n) for n in range(8))))

    assert asyncio.run(call_many()) == list(range(8))
    assert most == 2


def test_many_concurrent_calls_are_answered(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    bob_serves.rpc("double")(lambda n: 2 * n)

    async def call_many() -> list[int]:
        return list(await asyncio.gather(*(alice_calls.aio.perform_rpc("bob", "double", n) for n in range(100))))

    assert asyncio.run(call_many()) == [2 * n for n in range(100)]


def test_rooms_of_one_kernel_call_each_other(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    @bob_serves.rpc("countdown")
    def down(n: int) -> list[int]:
        return [n, *(bob_serves.perform_rpc("alice", "countdown", n - 1) if n else [])]

    try:

        @alice_calls.rpc("countdown")
        def down_too(n: int) -> list[int]:
            return [n, *(alice_calls.perform_rpc("bob", "countdown", n - 1) if n else [])]

        assert alice_calls.perform_rpc("bob", "countdown", 4) == [4, 3, 2, 1, 0]
    finally:
        alice_calls.off("countdown")


def test_async_handler_can_make_calls(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    alice_calls.rpc("inner")(lambda: 20)
    try:

        @bob_serves.rpc("outer")
        async def outer() -> int:
            answer: int = await bob_serves.aio.perform_rpc("alice", "inner")
            return 1 + answer

        assert alice_calls.perform_rpc("bob", "outer") == 21
    finally:
        alice_calls.off("inner")


def test_blocking_call_in_async_handler_is_refused_with_alternative(
    alice_calls: lknb.Room, bob_serves: lknb.Room
) -> None:
    refusals: list[Exception] = []

    @bob_serves.rpc("outer")
    async def outer() -> str:
        try:
            bob_serves.perform_rpc("alice", "inner")
        except lknb.LknbError as error:
            refusals.append(error)
        return "still here"

    assert alice_calls.perform_rpc("bob", "outer") == "still here"
    assert "await room.aio.perform_rpc(...)" in str(refusals[0])


# With a peer on the plain SDK


def test_plain_peer_calls_lknb(alice: lknb.Room, peer: Peer) -> None:
    alice.rpc("add")(takes_two)
    carol = peer("carol")
    assert carol.call("perform_rpc", to="alice", method="add", payload='{"a": 1, "b": 2}') == "3"
    with pytest.raises(PeerError, match="a: is missing") as caught:
        carol.call("perform_rpc", to="alice", method="add", payload="{}")
    assert caught.value.code == 400
    with pytest.raises(PeerError) as caught:
        carol.call("perform_rpc", to="alice", method="nope", payload="")
    assert caught.value.code == 1400


def test_none_result_is_null_for_plain_peer(alice: lknb.Room, peer: Peer) -> None:
    alice.rpc("nothing")(lambda: None)
    assert peer("carol").call("perform_rpc", to="alice", method="nothing", payload="") == "null"


def test_lknb_calls_plain_peer(alice: lknb.Room, peer: Peer) -> None:
    carol = peer("carol")
    carol.call("register_rpc", method="echo")
    carol.call("register_rpc", method="none", mode="none")
    carol.call("register_rpc", method="hello", mode="reply", text="hello, not JSON")
    carol.call("register_rpc", method="refuse", mode="rpc_error", code=2001, message="no", data="why")
    carol.call("register_rpc", method="break", mode="raise", message="its secret")
    assert alice.perform_rpc("carol", "echo", {"a": [1, None]}) == {"a": [1, None]}
    assert carol.wait("rpc_called", method="echo")["payload"] == '{"a":[1,null]}'
    assert alice.perform_rpc("carol", "none") is None
    assert alice.perform_rpc("carol", "hello", "anything", raw=True) == "hello, not JSON"
    with pytest.raises(lknb.RpcError, match="raw=True") as caught:
        alice.perform_rpc("carol", "hello")
    assert (caught.value.code, caught.value.name, caught.value.data) == (422, "INVALID_RESPONSE", "hello, not JSON")
    with pytest.raises(lknb.RpcError) as caught:
        alice.perform_rpc("carol", "refuse")
    assert (caught.value.code, caught.value.message, caught.value.data) == (2001, "no", "why")
    with pytest.raises(lknb.RpcError, match="1500 APPLICATION_ERROR: 'break' failed at 'carol'"):
        alice.perform_rpc("carol", "break")


@pytest.mark.slow("moves a megabyte or more")
def test_megabyte_travels_to_and_from_plain_peer(alice: lknb.Room, peer: Peer) -> None:
    carol = peer("carol")
    carol.call("register_rpc", method="echo")
    text = "0123456789" * 100_000
    assert alice.perform_rpc("carol", "echo", text) == text
    alice.rpc("size", raw=True)(lambda text: str(len(text)))
    assert carol.call("perform_rpc", to="alice", method="size", random_size=1_000_000) == "1000000"


@pytest.mark.parametrize("code", [-1, 2**32, "400", None])
def test_rpc_error_with_invalid_code_is_replaced(
    alice_calls: lknb.Room, bob_serves: lknb.Room, code: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    @bob_serves.rpc("fails")
    def fails() -> None:
        raise lknb.RpcError(code, "unfit")

    begun = time.monotonic()
    with pytest.raises(lknb.RpcError) as caught:
        alice_calls.perform_rpc("bob", "fails", timeout=30)
    assert caught.value.code == 1500
    assert time.monotonic() - begun < 20, "the caller is told at once"
    assert "The code of an RpcError must be a whole number" in capsys.readouterr().err


def test_rpc_error_data_is_json_and_omitted_if_too_large(
    alice_calls: lknb.Room, bob_serves: lknb.Room, capsys: pytest.CaptureFixture[str]
) -> None:
    @bob_serves.rpc("fails")
    def fails(size: int) -> None:
        raise lknb.RpcError(2000, "why", {"a": 1} if size == 0 else "x" * size)  # type: ignore[arg-type]

    got = []
    for size in (0, 15 * 1024, 15 * 1024 + 1):
        with pytest.raises(lknb.RpcError, match="2000 APPLICATION: why") as caught:
            alice_calls.perform_rpc("bob", "fails", {"size": size})
        got.append(caught.value.data)
    assert got == ['{"a":1}', "x" * 15 * 1024, None]
    assert "exceeds 15 KiB and was omitted" in capsys.readouterr().err


def test_livekit_rpc_error_reaches_caller(alice_calls: lknb.Room, bob_serves: lknb.Room) -> None:
    @bob_serves.rpc("fails")
    def fails() -> None:
        raise rtc.RpcError(2001, "as in LiveKit's examples", "data")

    with pytest.raises(lknb.RpcError) as caught:
        alice_calls.perform_rpc("bob", "fails")
    assert (caught.value.code, caught.value.message, caught.value.data) == (2001, "as in LiveKit's examples", "data")


def test_register_without_publish_grant_is_denied(
    livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    with lknb.connect(room_name, url=livekit.url, token=token("mute", can_publish_data=False)) as room:
        with pytest.raises(lknb.PermissionDeniedError, match="canPublishData"):
            room.rpc("m")(lambda: None)
        assert room.handlers == ()
