"""The RPC console on the kernel's side: its rows, values and actions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kernels import Kernel
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb.loop import LOOP
from lknb.widgets.rpc import AT_ONCE, KEPT, RpcPart

NASTY = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e\x1b[31m'


@pytest.fixture
def console(alice: lknb.Room) -> Iterator[RpcPart]:
    """Alice's console."""
    part = RpcPart(alice)
    part.start(lambda: None)
    yield part
    part.stop()


def call(part: RpcPart, to: Any, method: Any, payload: Any = "", **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = LOOP.run(part.actions["call"](to, method, payload, **options), "call")
    row: dict[str, Any] = answer["row"]
    return row


def rows_of(part: RpcPart, rows: str) -> dict[str, dict[str, Any]]:
    return dict(part.whole()["rows"][rows])


def test_call_returns_answer_and_duration(console: RpcPart, bob: lknb.Room) -> None:
    bob.rpc("add")(lambda a, b: {"sum": a + b})
    row = call(console, "bob", "add", '{"a": 1, "b": 2}')
    assert (row["status"], row["payload"], row["answer"]) == ("ok", '{"a":1,"b":2}', '{"sum":3}')
    assert 0 < row["duration"] < 5
    assert console.values()["methods"] == [("add", ["bob"])]


def test_console_call_is_logged_like_a_cell_call(alice: lknb.Room, console: RpcPart, bob: lknb.Room) -> None:
    bob.rpc("echo")(lambda payload: payload)
    call(console, "bob", "echo", '{"payload": 1}')
    alice.perform_rpc("bob", "echo", {"payload": 1})
    first, second = alice.events.filter("rpc", direction="out")
    for name in ("sender", "to", "topic", "data", "size", "status", "result", "attributes"):
        assert getattr(first, name) == getattr(second, name), name


def test_plain_text_is_sent_unchanged(console: RpcPart, peer: Callable[..., PlainPeer]) -> None:
    dave = peer("dave")
    dave.call("register_rpc", method="shout", mode="echo")
    row = call(console, "dave", "shout", "not {json", raw=True)
    assert (row["raw"], row["payload"], row["answer"]) == (True, "not {json", "not {json")
    assert dave.wait("rpc_called", method="shout")["payload"] == "not {json"
    row = call(console, "dave", "shout", '"a string"')
    assert (row["raw"], row["payload"], row["answer"]) == (False, '"a string"', '"a string"')
    assert call(console, "dave", "shout", "", raw=True)["raw"]
    assert call(console, "dave", "shout", "")["payload"] == "null"


def test_error_has_code_name_message_and_data(console: RpcPart, peer: Callable[..., PlainPeer]) -> None:
    dave = peer("dave")
    dave.call("register_rpc", method="no", mode="rpc_error", code=2042, message="not today", data='{"until": 1}')
    row = call(console, "dave", "no")
    error = (row["status"], row["code"], row["name"], row["message"], row["data"])
    assert error == ("failed", "2042", "APPLICATION", "not today", '{"until": 1}')
    row = call(console, "dave", "nothing")
    assert (row["code"], row["name"]) == ("1400", "UNSUPPORTED_METHOD")
    assert row["message"] == "'dave' does not serve a method 'nothing'."
    assert [method for method, _ in console.values()["methods"]] == ["no"], "a mistake is not suggested"


def test_invalid_calls_raise_and_are_not_sent(alice: lknb.Room, console: RpcPart, bob: lknb.Room) -> None:
    for to, method, payload, options, error, words in (
        ("bob", "add", "{", {}, ValueError, "not JSON"),
        ("bob", "add", "NaN", {}, ValueError, "not JSON"),
        ("bob", "add", "[" * 300 + "]" * 300, {}, ValueError, "is JSON nested more than 200 levels deep"),
        ("bob", "add", {"a": 1}, {}, TypeError, "text"),
        ("bob", "x" * 65, "", {}, ValueError, "64 bytes"),
        ("bob", ["add"], "", {}, TypeError, "method must be a str"),
        ("", "add", "", {}, ValueError, "Choose a participant"),
        ("bob", "add", "", {"timeout": 0}, ValueError, "timeout"),
        ("bob", "add", "", {"timeout": 1e9}, ValueError, "timeout"),
        ("bob", "add", "", {"timeout": float("nan")}, ValueError, "timeout"),
        ("bob", "add", "", {"timeout": "10"}, ValueError, "timeout"),
        ("bobb", "add", "", {}, lknb.UnknownParticipantError, "did you mean 'bob'"),
    ):
        with pytest.raises(error, match=words):
            call(console, to, method, payload, **options)
    assert not alice.events.filter("rpc")


def test_history_includes_calls_from_cells(alice: lknb.Room, bob: lknb.Room, console: RpcPart) -> None:
    bob.rpc("add")(lambda a, b: a + b)
    alice.perform_rpc("bob", "add", {"a": 1, "b": 2})
    later = RpcPart(alice)
    later.start(lambda: None)
    for part in (console, later):
        (row,) = rows_of(part, "calls").values()
        assert (row["to"], row["method"], row["payload"], row["answer"]) == ("bob", "add", '{"a":1,"b":2}', "3")
        assert part.values()["methods"] == [("add", ["bob"])]
    later.stop()


def test_history_and_its_previews_are_bounded(alice: lknb.Room, bob: lknb.Room, console: RpcPart) -> None:
    bob.rpc("double", raw=True)(lambda payload: payload * 2)
    for number in range(KEPT + 5):
        alice.perform_rpc("bob", "double", f"{number} ", raw=True)
    alice.perform_rpc("bob", "double", "x" * 600_000, raw=True)
    rows = rows_of(console, "calls")
    assert len(rows) == KEPT
    key, newest = list(rows.items())[-1]
    assert len(newest["payload"]) == len(newest["answer"]) == 200
    assert newest["more"]
    whole = LOOP.run(console.actions["read"](key), "read")
    assert (len(whole["payload"]), len(whole["answer"]), whole["more"]) == (600_000, 1_000_000, True)
    with pytest.raises(LookupError, match="no longer"):
        LOOP.run(console.actions["read"]("0"), "read")


def test_calls_run_concurrently_up_to_a_limit(console: RpcPart, bob: lknb.Room) -> None:
    go_on = threading.Event()
    bob.rpc("slow", concurrency=64)(lambda: go_on.wait(20))
    calls = [LOOP.submit(console.actions["call"]("bob", "slow")) for _ in range(AT_ONCE)]
    eventually(lambda: sum(row["status"] == "open" for row in rows_of(console, "calls").values()) == AT_ONCE)
    assert all(row["elapsed"] >= 0 for row in rows_of(console, "calls").values())
    with pytest.raises(lknb.LknbError, match=f"{AT_ONCE} calls are in progress"):
        call(console, "bob", "slow")
    go_on.set()
    assert [each.result(20)["row"]["answer"] for each in calls] == ["true"] * AT_ONCE
    assert console.changes()


def test_served_methods_are_counted(alice: lknb.Room, bob: lknb.Room, console: RpcPart) -> None:
    assert rows_of(console, "served") == {}
    go_on = threading.Event()

    @alice.rpc("work", concurrency=1)
    def works(fine: bool = True) -> None:
        go_on.wait(20)
        if not fine:
            raise lknb.RpcError(2000, "not fine")

    eventually(lambda: "served" in (console.changes() or {}).get("put", {}))
    callers = [
        threading.Thread(target=lambda: bob.perform_rpc("alice", "work")),
        threading.Thread(target=lambda: bob.perform_rpc("alice", "work")),
    ]
    for each in callers:
        each.start()
    running = eventually(lambda: (row := rows_of(console, "served")["work"])["running"] and row["waiting"] and row)
    assert (running["function"], running["running"], running["waiting"]) == ("works", 1, 1)
    go_on.set()
    for each in callers:
        each.join(20)
    with pytest.raises(lknb.RpcError):
        bob.perform_rpc("alice", "work", {"fine": False})
    row = eventually(lambda: (row := rows_of(console, "served")["work"])["failed"] and row)
    assert (row["calls"], row["failed"], row["errors"], row["running"], row["waiting"]) == (3, 1, 0, 0, 0)
    assert row["callers"] == ["bob"]
    assert 0 < row["took"] <= row["longest"]
    assert row["mean"] <= row["longest"]
    assert row["last"] > 1e12
    later = RpcPart(alice)
    later.start(lambda: None)
    assert rows_of(later, "served")["work"] == row
    later.stop()
    assert row == rows_of(console, "served")["work"]
    alice.rpc("work")(lambda: "another function")
    assert rows_of(console, "served")["work"]["failed"] == rows_of(console, "served")["work"]["calls"] == 0
    with pytest.raises(lknb.RpcError):
        bob.perform_rpc("alice", "work", {"unknown": 1})
    refused = eventually(lambda: (row := rows_of(console, "served")["work"])["failed"] and row)
    assert (refused["calls"], refused["failed"], refused["took"]) == (1, 1, None)
    alice.off("work")
    eventually(lambda: console.changes() == {"drop": {"served": ["work"]}} or not rows_of(console, "served"))


def test_people_follow_the_room(console: RpcPart, bob: lknb.Room) -> None:
    assert console.values()["people"] == [("bob", "")]
    bob.local_participant.set_name("Bob B.")
    eventually(lambda: console.values()["people"] == [("bob", "Bob B.")])
    bob.close()
    eventually(lambda: console.values()["people"] == [])


def test_static_tables_show_calls_and_methods_escaped(alice: lknb.Room, bob: lknb.Room) -> None:
    assert "No calls yet" in repr(alice.panel("rpc"))
    alice.rpc(NASTY[:20])(lambda: None)
    bob.rpc("echo")(lambda payload: payload)
    alice.perform_rpc("bob", "echo", {"payload": NASTY})
    panel = alice.panel("rpc")
    for text in ("echo", "alert(1)"):
        assert text in repr(panel)
    for markup in ("<script", "<img"):
        assert markup not in panel.html()
    for unsafe in ("\x1b", "\u202e"):
        assert unsafe not in panel.html() + repr(panel)


def test_methods_are_served_while_a_cell_computes(alice: lknb.Room, room_name: str, console: RpcPart) -> None:
    with Kernel() as kernel:
        kernel.run(
            f"import lknb, time; room = lknb.connect({room_name!r}, 'worker')\n"
            "@room.rpc('add')\ndef add(a, b): return a + b\n"
            "@room.rpc('stop')\ndef stop(): busy.clear()\n"
            "import threading; busy = threading.Event(); busy.set()"
        )
        eventually(lambda: "worker" in alice.participants)
        answers = []

        def calls() -> None:
            answers.append(call(console, "worker", "add", '{"a": 1, "b": 2}')["answer"])
            call(console, "worker", "stop")

        calling = threading.Thread(target=calls)
        calling.start()
        kernel.run("deadline = time.monotonic() + 20\nwhile busy.is_set() and time.monotonic() < deadline: pass")
        calling.join(20)
    assert answers == ["3"]
