"""Handlers: the parameters they declare, where they run, and how slow or failing ones affect others."""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from peers import PlainPeer
from shells import Shell
from waiting import eventually, slow_work

import lknb
from lknb import handlers
from lknb.event import KINDS

Join = Callable[..., lknb.Room]
Peer = Callable[..., PlainPeer]


# Parameters


def test_handler_receives_the_parameters_it_declares(alice: lknb.Room, bob: lknb.Room) -> None:
    calls: dict[str, Any] = {}

    @bob.on_data("t")
    def everything(sender: str, event: lknb.Event, data: bytes) -> None:
        calls["everything"] = (sender, event.topic, data)

    @bob.on_data("t")
    async def only_data(data: bytes) -> None:
        calls["only_data"] = data

    @bob.on_data("t")
    def nothing() -> None:
        calls["nothing"] = ()

    @bob.on_data("t")
    def with_default(data: bytes, scale: int = 3) -> None:
        calls["with_default"] = (data, scale)

    @bob.on_data("t")
    def keywords(**named: Any) -> None:
        calls["keywords"] = sorted(named)

    class Counter:
        def __call__(self, sender: str) -> None:
            calls["callable"] = sender

    bob.on_data("t")(Counter())
    alice.publish_data(b"x", topic="t")
    eventually(lambda: len(calls) == 6)
    assert calls == {
        "everything": ("alice", "t", b"x"),
        "only_data": b"x",
        "nothing": (),
        "with_default": (b"x", 3),
        "keywords": ["data", "event", "sender", "value"],
        "callable": "alice",
    }


def test_unknown_parameter_is_rejected(bob: lknb.Room) -> None:
    with pytest.raises(TypeError, match=r"'sende' is not one of data, event, sender, value; did you mean 'sender'\?"):

        @bob.on_data("t")
        def handler(data: bytes, sende: str) -> None: ...

    assert bob.handlers == ()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("rpc", "loss", "recording")])
def test_decorator_needs_parentheses(bob: lknb.Room, kind: str) -> None:
    with pytest.raises(TypeError, match=rf"with parentheses: @room\.on_{kind}\(\.\.\.\)"):
        getattr(bob, f"on_{kind}")(lambda data: None)


def test_decorator_returns_function_unchanged(bob: lknb.Room) -> None:
    def handler(data: bytes) -> bytes:
        return data

    assert bob.on_data("t")(handler) is handler


def test_topic_and_sender_filter_events(alice: lknb.Room, bob: lknb.Room, peer: Peer) -> None:
    carol = peer("carol")
    eventually(lambda: "carol" in bob.participants)  # the SDK gives no name for participants it does not know yet
    got: list[tuple[str, bytes]] = []
    bob.on_data("t", sender="carol")(lambda data: got.append(("t of carol", data)))
    bob.on_data()(lambda data: got.append(("all", data)))
    carol.call("publish_data", data=b"1", topic="other")
    carol.call("publish_data", data=b"2", topic="t")
    eventually(lambda: ("all", b"2") in got)
    alice.publish_data(b"3", topic="t")
    eventually(lambda: ("all", b"3") in got)
    eventually(lambda: ("t of carol", b"2") in got)
    assert [data for name, data in got if name == "all"] == [b"1", b"2", b"3"]
    assert [data for name, data in got if name != "all"] == [b"2"]


def test_own_messages_are_not_handled(alice: lknb.Room, bob: lknb.Room) -> None:
    own: list[Any] = []
    arrived = threading.Event()
    alice.on_data()(lambda data: own.append(data))
    alice.on_text()(lambda data: own.append(data))
    bob.on_text()(lambda data: arrived.set())
    alice.publish_data(b"x")
    alice.send_text("x")
    assert arrived.wait(5)
    assert own == []


def test_every_kind_of_event_reaches_its_handler(alice: lknb.Room, bob: lknb.Room, peer: Peer) -> None:
    got: dict[str, Any] = {}

    def keep(kind: str) -> Callable[..., None]:
        def handler(data: Any, event: lknb.Event, sender: str) -> None:
            got.setdefault(kind, (data, event.topic, sender))

        return handler

    bob.on_text("t")(keep("text"))
    bob.on_bytes("t")(keep("bytes"))
    bob.on_data("t")(keep("data"))
    bob.on_data_track("t")(keep("data_track"))
    bob.on_attributes(sender="alice")(keep("attributes"))
    bob.on_participant_metadata()(keep("participant_metadata"))
    bob.on_room_metadata()(keep("room_metadata"))
    bob.on_participant(sender="carol")(keep("participant"))
    bob.on_connection()(keep("connection"))
    alice.send_text("hi", topic="t")
    alice.send_bytes(b"\x00\x01", topic="t", name="two.bin")
    alice.publish_data(b"packet", topic="t")
    alice.local_participant.set_attributes({"mood": "good"})
    alice.local_participant.set_metadata("{}")
    alice.set_metadata("the room's")
    peer("carol")
    track = alice.publish_data_track("t")
    eventually(lambda: any(each.subscribed for each in bob.data_tracks))
    eventually(lambda: track.push(b"frame") and "data_track" in got)
    kinds = {
        "text",
        "bytes",
        "data",
        "data_track",
        "attributes",
        "participant_metadata",
        "room_metadata",
        "participant",
    }
    eventually(lambda: kinds <= set(got))
    bob.close()
    eventually(lambda: "connection" in got)
    file = got.pop("bytes")
    assert (file[0].name, file[0].data, *file[1:]) == ("two.bin", b"\x00\x01", "t", "alice")
    assert got.pop("participant")[1:] == ("joined", "carol")
    assert got == {
        "text": ("hi", "t", "alice"),
        "data": (b"packet", "t", "alice"),
        "data_track": (b"frame", "t", "alice"),
        "attributes": ({"mood": "good"}, "", "alice"),
        "participant_metadata": ("{}", "", "alice"),
        "room_metadata": ("the room's", "", None),
        "connection": ({"state": "closed", "reason": "closed by this notebook"}, "closed", None),
    }


# Where they run


def test_async_handler_runs_on_loop_and_plain_one_on_thread(alice: lknb.Room, bob: lknb.Room) -> None:
    threads: dict[str, threading.Thread] = {}

    @bob.on_data("t")
    async def on_loop() -> None:
        threads["async"] = threading.current_thread()

    @bob.on_data("t")
    def on_thread() -> None:
        threads["sync"] = threading.current_thread()

    alice.publish_data(b"x", topic="t")
    eventually(lambda: len(threads) == 2)
    assert threads["async"].name == "lknb"
    assert threads["sync"].name == "lknb-on_thread"
    assert threads["sync"].daemon


def test_idle_handler_thread_ends(alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lknb.workers._IDLE_SECONDS", 0.2)
    threads: list[threading.Thread] = []
    bob.on_data("t")(lambda: threads.append(threading.current_thread()))
    alice.publish_data(b"x", topic="t")
    eventually(lambda: threads)
    eventually(lambda: not threads[0].is_alive(), within=5)
    alice.publish_data(b"x", topic="t")
    eventually(lambda: len(threads) == 2)


def test_removing_handler_ends_its_thread(alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lknb.workers._IDLE_SECONDS", 60.0)  # so that the thread does not end because it is idle
    threads: list[threading.Thread] = []
    bob.on_data("t")(lambda: threads.append(threading.current_thread()))
    alice.publish_data(b"x", topic="t")
    eventually(lambda: threads)
    bob.close()
    eventually(lambda: not threads[0].is_alive())


def test_handler_runs_in_context_of_registration(alice: lknb.Room, bob: lknb.Room) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: dict[str, str] = {}

    def register() -> None:
        variable.set("at registration")

        @bob.on_data("t")
        def plain() -> None:
            seen["sync"] = variable.get()
            variable.set("changed by a call")

        @bob.on_data("t")
        async def on_loop() -> None:
            seen["async"] = variable.get()

        @bob.rpc("m")
        def method() -> str:
            return variable.get()

    contextvars.copy_context().run(register)
    assert variable.get() == "unset"
    for _ in range(2):
        seen.clear()
        alice.publish_data(b"x", topic="t")
        eventually(lambda: len(seen) == 2)
        assert seen == {"sync": "at registration", "async": "at registration"}
    assert alice.perform_rpc("bob", "m") == "at registration"


def test_main_thread_option_needs_kernel(bob: lknb.Room) -> None:
    with pytest.raises(lknb.LknbError, match='thread="main" needs a notebook kernel'):
        bob.on_data("t", thread="main")(lambda data: None)
    with pytest.raises(ValueError, match='"worker" or "main"'):
        bob.on_data("t", thread="here")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='"worker" or "main"'):
        bob.rpc("m", thread="here")(lambda: None)  # type: ignore[arg-type]
    assert bob.handlers == ()


def test_main_thread_handlers_run_on_main_loop(alice: lknb.Room, bob: lknb.Room) -> None:
    threads: list[threading.Thread] = []

    async def cell() -> None:
        bob.on_data("t", thread="main")(lambda: threads.append(threading.current_thread()))

        @bob.rpc("where", thread="main")
        async def where() -> str:
            return threading.current_thread().name

        await alice.aio.publish_data(b"x", topic="t")
        assert await alice.aio.perform_rpc("bob", "where") == "MainThread"
        await asyncio.to_thread(eventually, lambda: threads)

    asyncio.run(cell())
    assert threads == [threading.main_thread()]


@pytest.mark.parametrize("busy", ["computing", "sleeping"])
def test_handlers_answer_while_the_main_thread_is_busy(alice: lknb.Room, peer: Peer, busy: str) -> None:
    carol = peer("carol")
    alice.rpc("sync")(lambda: "answer")

    @alice.rpc("async")
    async def on_loop() -> str:
        return "answer"

    calls = [carol.start("perform_rpc", to="alice", method=method, payload="") for method in ("sync", "async") * 5]
    until = time.monotonic() + 15
    while not all(call.done() for call in calls) and time.monotonic() < until:
        if busy == "sleeping":
            slow_work(0.05)
        else:
            sum(range(1000))
    assert [call.done() for call in calls] == [True] * 10
    assert [call.result() for call in calls] == ['"answer"'] * 10


# Slow handlers


def test_slow_handler_delays_no_other(alice: lknb.Room, bob: lknb.Room) -> None:
    release = threading.Event()
    fast: list[bytes] = []
    slow: list[bytes] = []

    @bob.on_data("t")
    def blocked(data: bytes) -> None:
        release.wait(20)
        slow.append(data)

    @bob.on_data("t")
    def quick(data: bytes) -> None:
        fast.append(data)

    @bob.on_data("t")
    async def quick_async(data: bytes) -> None:
        fast.append(data)

    for number in range(5):
        alice.publish_data(b"%d" % number, topic="t")
    eventually(lambda: len(fast) == 10)
    assert slow == []
    assert alice.send_text("the room goes on").status == "ok"
    release.set()
    eventually(lambda: len(slow) == 5)
    assert slow == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("is_async", [False, True])
def test_handler_receives_events_in_order(alice: lknb.Room, bob: lknb.Room, is_async: bool) -> None:
    got: list[int] = []

    @bob.on_data("t")
    def plain(data: bytes) -> None:
        if data[0] % 7 == 0:
            slow_work(0.002)  # some calls take longer
        got.append(data[0])

    @bob.on_data("t")
    async def on_loop(data: bytes) -> None:
        await asyncio.sleep(0.002 if data[0] % 7 == 0 else 0)
        got.append(data[0])

    bob.off(plain if is_async else on_loop)
    for number in range(100):
        alice.publish_data(bytes([number]), topic="t")
    eventually(lambda: len(got) == 100)
    assert got == list(range(100))


def test_overloaded_handler_drops_oldest_events_and_reports_it(
    alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(handlers, "_WAITING_LIMIT", 3)
    release, begun = threading.Event(), threading.Event()
    got: list[bytes] = []

    @bob.on_data("t")
    def slow(data: bytes) -> None:
        begun.set()
        release.wait(20)
        got.append(data)

    alice.publish_data(b"0", topic="t")
    assert begun.wait(5)
    for number in range(1, 9):
        alice.publish_data(b"%d" % number, topic="t")
    handler = bob.handlers[0]
    eventually(lambda: handler.dropped == 5)
    release.set()
    eventually(lambda: len(got) == 4)
    assert got == [b"0", b"6", b"7", b"8"]
    assert "5 dropped" in repr(handler)
    assert capsys.readouterr().err.count("cannot keep up") == 1


def test_waiting_events_are_bounded_in_bytes(alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "_WAITING_BYTES", 40_000)
    release, begun = threading.Event(), threading.Event()
    got: list[bytes] = []

    @bob.on_data("t")
    def slow(data: bytes) -> None:
        begun.set()
        release.wait(20)
        got.append(data[:1])

    alice.publish_data(b"0", topic="t")
    assert begun.wait(5)
    for number in range(1, 9):
        alice.publish_data(b"%d" % number * 10_000, topic="t")
    eventually(lambda: bob.handlers[0].dropped == 5)
    release.set()
    eventually(lambda: len(got) == 4)
    assert got == [b"0", b"6", b"7", b"8"]


# Failing handlers


@pytest.mark.parametrize("is_async", [False, True])
def test_failing_handler_shows_user_frames_and_affects_no_other(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str], is_async: bool
) -> None:
    got: list[bytes] = []

    def deeper() -> None:
        raise KeyError("lost")

    @bob.on_data("t")
    def fails(data: bytes) -> None:
        deeper()

    @bob.on_data("t")
    async def fails_async(data: bytes) -> None:
        deeper()

    bob.off(fails if is_async else fails_async)
    failing = bob.handlers[0]
    bob.on_data("t")(lambda data: got.append(data))
    alice.publish_data(b"1", topic="t")
    eventually(lambda: failing.errors == 1)
    eventually(lambda: got == [b"1"])
    shown = eventually(lambda: capsys.readouterr().err)
    lines = shown.splitlines()
    assert lines[0] == f"Handler {'fails_async' if is_async else 'fails'} of data failed:"
    assert lines[1] == "Traceback (most recent call last):"
    assert "test_handlers.py" in lines[2]
    assert lines[-1] == "KeyError: 'lost'"
    assert "/lknb/" not in shown.replace("/tests/", "")
    alice.publish_data(b"2", topic="t")
    eventually(lambda: failing.errors == 2)
    eventually(lambda: got == [b"1", b"2"])
    assert (failing.calls, "2 errors" in repr(failing)) == (2, True)


def test_failures_are_printed_once_per_second_and_counted(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str]
) -> None:
    @bob.on_data("t")
    def flood(data: bytes) -> None:
        raise ValueError(data.decode())

    began = time.monotonic()
    for number in range(20):
        alice.publish_data(b"number %d" % number, topic="t")
    shown = ""

    def told() -> list[int]:
        nonlocal shown
        shown += capsys.readouterr().err
        more = re.findall(r"Handler flood of data failed (\d+) more times within a second, not shown\.", shown)
        return [shown.count("in flood\n"), sum(map(int, more))]

    eventually(lambda: sum(told()) == 20)
    took = time.monotonic() - began
    assert bob.handlers[0].errors == 20
    assert told()[0] <= 1 + took, "a traceback a second"
    assert "ValueError: number 0\n" in shown
    eventually(lambda: time.monotonic() > bob.handlers[0]._reports._quiet_until)
    alice.publish_data(b"again", topic="t")
    eventually(lambda: told() and "ValueError: again" in shown)


def test_payload_in_traceback_is_escaped(alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str]) -> None:
    @bob.on_text("t")
    def fails(data: str) -> None:
        raise ValueError(data)

    alice.send_text("red \x1b[31m, title \x1b]0;x\x07, back \r\b, turned \u202e, fine: ä\n", topic="t")
    shown = eventually(lambda: capsys.readouterr().err)
    assert r"red \u001b[31m" in shown
    assert "fine: ä" in shown
    assert not set("\x1b\x07\r\b\u202e") & set(shown)


@pytest.mark.parametrize("is_async", [False, True])
def test_system_exit_in_handler_ends_nothing_else(
    alice: lknb.Room, bob: lknb.Room, capsys: pytest.CaptureFixture[str], is_async: bool
) -> None:
    got: list[bytes] = []

    @bob.on_data("t")
    def leaves() -> None:
        raise SystemExit(1)

    @bob.on_data("t")
    async def leaves_async() -> None:
        raise SystemExit(1)

    bob.off(leaves if is_async else leaves_async)
    leaving = bob.handlers[0]
    bob.on_data("t")(lambda data: got.append(data))
    alice.publish_data(b"1", topic="t")
    alice.publish_data(b"2", topic="t")
    eventually(lambda: got == [b"1", b"2"])
    eventually(lambda: leaving.errors == 2)
    assert "the handler raised SystemExit" in capsys.readouterr().err


# Registering and removing


def test_handlers_are_listed_with_statistics(alice: lknb.Room, bob: lknb.Room) -> None:
    @bob.on_data("t")
    def counts(data: bytes) -> None: ...

    handler = bob.handlers[0]
    assert (handler.kind, handler.topic, handler.name, handler.calls, handler.last_run) == (
        "data",
        "t",
        "counts",
        0,
        None,
    )
    assert handler.mean_duration is None
    alice.publish_data(b"x", topic="t")
    eventually(lambda: handler.calls == 1)
    assert handler.last_run is not None
    duration = eventually(lambda: handler.last_duration)
    assert handler.max_duration is not None
    assert 0 < duration == handler.mean_duration == handler.max_duration < 5
    assert repr(handler) == "<Handler counts of data 't': 1 calls, 0 errors>"


@pytest.mark.parametrize("by", ["function", "name", "topic", "handler"])
def test_off_removes_handler(alice: lknb.Room, bob: lknb.Room, by: str) -> None:
    got: list[bytes] = []
    after = bob.listen("data")

    @bob.on_data("the topic")
    def ends(data: bytes) -> None:
        got.append(data)

    targets: dict[str, Any] = {"function": ends, "name": "ends", "topic": "the topic", "handler": bob.handlers[0]}
    assert bob.off(targets[by]) == 1
    assert bob.off(targets[by]) == 0
    alice.publish_data(b"x", topic="the topic")
    after.next()
    assert (got, bob.handlers) == ([], ())


def test_off_needs_target(bob: lknb.Room) -> None:
    bob.on_data()(lambda data: None)
    with pytest.raises(TypeError, match="Specify what to end"):
        bob.off(None)  # type: ignore[arg-type]
    assert len(bob.handlers) == 1


def test_redefined_function_replaces_its_handler(shell: Shell, alice: lknb.Room, bob: lknb.Room) -> None:
    got: list[str] = []

    def write(version: str, topic: str) -> None:
        @bob.on_data(topic)
        def handler(data: bytes) -> None:
            got.append(version)

    for _ in range(2):
        write("first", "t")
        write("second", "t")
        write("other", "other")  # another topic, another handler
    assert len(bob.handlers) == 2
    alice.publish_data(b"x", topic="t")
    alice.publish_data(b"x", topic="other")
    eventually(lambda: sorted(got) == ["other", "second"])


def test_program_without_ipython_can_have_many_handlers_of_one_name(alice: lknb.Room, bob: lknb.Room) -> None:
    got: list[str] = []

    def write(name: str) -> None:
        @bob.on_data("t")
        def handler(data: bytes) -> None:
            got.append(name)

        bob.on_data("t")(handler)  # the same function registers once

    write("one")
    write("two")
    assert len(bob.handlers) == 2
    alice.publish_data(b"x", topic="t")
    eventually(lambda: sorted(got) == ["one", "two"])


def test_closed_room_has_no_handlers(bob: lknb.Room) -> None:
    bob.on_data("t")(lambda data: None)
    bob.close()
    assert bob.handlers == ()
    with pytest.raises(lknb.NotConnectedError):
        bob.on_data("t")(lambda data: None)
    with pytest.raises(lknb.NotConnectedError):
        bob.rpc("m")(lambda: None)


def test_handler_can_register_and_remove_handlers(alice: lknb.Room, bob: lknb.Room) -> None:
    got: list[bytes] = []

    @bob.on_data("start")
    async def start() -> None:
        bob.on_data("t")(lambda data: got.append(data))
        bob.off("start")

    alice.publish_data(b"", topic="start")
    eventually(lambda: [each.topic for each in bob.handlers] == ["t"])
    alice.publish_data(b"x", topic="t")
    eventually(lambda: got == [b"x"])


def test_same_name_alone_replaces_no_handler(alice: lknb.Room, bob: lknb.Room) -> None:
    got: list[str] = []

    class Recorder:
        def __init__(self, name: str) -> None:
            self.name = name

        def heard(self, data: bytes) -> None:
            got.append(self.name)

    recorders = Recorder("one"), Recorder("two")
    for recorder in (*recorders, recorders[0]):  # the same method of the same object registers once
        bob.on_data("t")(recorder.heard)
    bob.on_data("t")(lambda data: got.append("first lambda"))
    bob.on_data("t")(lambda data: got.append("second lambda"))
    for who in ("alice", "carol"):
        bob.on_data("t", sender=who)(lambda data: got.append("of one sender"))
    assert len(bob.handlers) == 6
    alice.publish_data(b"x", topic="t")
    eventually(lambda: sorted(got) == ["first lambda", "of one sender", "one", "second lambda", "two"])


def test_blocking_call_on_loop_names_its_awaitable(alice: lknb.Room, bob: lknb.Room) -> None:
    advice: dict[str, str] = {}
    inbox = bob.listen("data")
    attempts: dict[str, Callable[[], Any]] = {
        "await lknb.aio.connect(...)": lambda: lknb.connect(bob.name, "else"),
        "await inbox.aio.next(...)": lambda: inbox.next(timeout=1),
        "async for event in inbox": lambda: list(inbox),
        "async with room.aio.stream_text(...)": lambda: bob.stream_text().__enter__(),
        "await room.aio.send_text(...)": lambda: bob.send_text("x"),
    }

    @bob.on_text("t")
    async def handler() -> None:
        for expected, attempt in attempts.items():
            try:
                attempt()
            except lknb.LknbError as error:
                advice[expected] = str(error)

    alice.send_text("x", topic="t")
    eventually(lambda: len(advice) == len(attempts))
    for expected, message in advice.items():
        assert expected in message
