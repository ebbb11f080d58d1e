"""The bodies of `%%lk handle` and `%%lk on`: Python that runs for each call or event, with variables of its own."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.error import UsageError
from peers import PeerError, PlainPeer
from shells import Shell
from waiting import eventually

from lknb.magics.body import function


@pytest.fixture
def dave(shell: Shell, room_name: str, peer: Callable[..., PlainPeer]) -> PlainPeer:
    """Return a plain peer in the room that the shell has joined as alice."""
    room = shell.cell(f"%lk connect {room_name} --as alice")
    plain = peer("dave")
    # Wait for the attribute that announces dave, so that it does not arrive as a change later.
    eventually(lambda: "dave" in room.participants and room.participants["dave"].attributes)
    return plain


def call(dave: PlainPeer, method: str, payload: Any = None) -> Any:
    return json.loads(dave.call("perform_rpc", to="alice", method=method, payload=json.dumps(payload)))


def made(shell: Shell, body: str) -> Callable[..., Any]:
    """Return the function made from a body of `%%lk handle`."""
    return function(shell, "%%lk handle m", body, "m", ("payload", "caller"))


def run(shell: Shell, body: str, payload: Any = None) -> Any:
    return made(shell, body)(payload, "dave")


# Calls


def test_body_receives_payload_and_caller_and_answers_with_last_value(dave: PlainPeer, shell: Shell) -> None:
    shell.cell('%%lk handle add\nx = payload["a"]\n{"sum": x + payload["b"], "for": caller}')
    assert call(dave, "add", {"a": 1, "b": 2}) == {"sum": 3, "for": "dave"}


def test_body_can_return_and_await(dave: PlainPeer, shell: Shell) -> None:
    shell.cell(
        "%%lk handle wait\nimport asyncio\nif payload:\n    return 'early'\n"
        "await asyncio.sleep(0)\nawait asyncio.sleep(0, 7)"
    )
    assert call(dave, "wait", True) == "early"
    assert call(dave, "wait", False) == 7


def test_global_changes_the_users_variable(dave: PlainPeer, shell: Shell) -> None:
    shell.cell("count = 0\npayload = 'mine'")
    shell.cell("%%lk handle bump\nglobal count, last\ncount += payload\nlast = caller\npayload = 'changed'\ncount")
    assert call(dave, "bump", 2) == 2
    assert call(dave, "bump", 3) == 5
    assert (shell.user_ns["count"], shell.user_ns["last"], shell.user_ns["payload"]) == (5, "dave", "mine")
    assert "caller" not in shell.user_ns


@pytest.mark.parametrize("wait", ["meet.wait(10)", "await to_thread(meet.wait, 10)"], ids=["plain", "async"])
def test_calls_at_the_same_time_keep_their_own_variables(dave: PlainPeer, shell: Shell, wait: str) -> None:
    shell.cell("from asyncio import to_thread\nx = 'mine'")
    shell.user_ns["meet"] = threading.Barrier(6)
    shell.cell(f"%%lk handle double\nx = payload\n{wait}\nx * 2")
    calls = [dave.start("perform_rpc", to="alice", method="double", payload=str(n)) for n in range(6)]
    assert [json.loads(each.result(15)) for each in calls] == [0, 2, 4, 6, 8, 10]
    assert shell.user_ns["x"] == "mine"


def test_a_call_leaves_the_loop_of_a_running_cell_alone(dave: PlainPeer, shell: Shell) -> None:
    shell.user_ns["answer"] = lambda n: call(dave, "hundred", n)
    shell.cell("%%lk handle hundred\ni = payload * 100\ni")
    assert shell.cell("seen = []\nfor i in range(3):\n    answer(i)\n    seen.append(i)\nseen") == [0, 1, 2]


def test_streams_side_by_side_keep_their_own_variables(dave: PlainPeer, shell: Shell) -> None:
    shell.cell("whole = []")
    shell.cell(
        "%%lk on text --topic t --stream\nparts = []\nfor piece in data:\n    parts.append(piece)\n"
        "whole.append((event.attributes['name'], ''.join(parts)))"
    )
    streams = {name: dave.call("open_text", topic="t", attributes={"name": name}) for name in "ab"}
    for _ in range(3):
        for name, stream in streams.items():
            dave.call("write_text", handle=stream, text=name)
    for stream in streams.values():
        dave.call("close_text", handle=stream)
    eventually(lambda: sorted(shell.user_ns["whole"]) == [("a", "aaa"), ("b", "bbb")])
    assert "parts" not in shell.user_ns


def test_a_variable_without_global_is_explained_where_it_fails(
    dave: PlainPeer, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.cell("count = 0")
    shell.cell("%%lk handle bump\ncount = count + payload\ncount")
    with pytest.raises(PeerError):
        call(dave, "bump", 1)
    shown = ""

    def explained() -> bool:
        nonlocal shown
        shown += capsys.readouterr().err
        return "declare it `global`" in shown

    eventually(explained)
    assert "UnboundLocalError" in shown
    assert "line 2, in bump" in shown
    assert shell.user_ns["count"] == 0


def test_body_sees_later_definitions(dave: PlainPeer, shell: Shell) -> None:
    shell.cell("%%lk handle later\nhelper(payload)")
    shell.cell("def helper(x): return x * 2")
    assert call(dave, "later", 4) == 8


def test_concurrent_calls_keep_their_payload(dave: PlainPeer, shell: Shell) -> None:
    shell.user_ns["meet"] = threading.Barrier(2)
    shell.cell("%%lk handle meet_up\nmeet.wait(10)\n[payload, caller]")
    calls = [dave.start("perform_rpc", to="alice", method="meet_up", payload=str(n)) for n in (1, 2)]
    assert [json.loads(each.result(15)) for each in calls] == [[1, "dave"], [2, "dave"]]


def test_concurrent_awaiting_calls_keep_their_payload(dave: PlainPeer, shell: Shell) -> None:
    shell.cell("import asyncio\nwaiting = []")
    shell.cell(
        "%%lk handle meet_up\nmine = asyncio.Event()\nwaiting.append(mine)\n"
        "if len(waiting) == 2:\n    [each.set() for each in waiting]\n"
        "await waiting[0].wait()\nawait waiting[1].wait() if len(waiting) > 1 else None\n[payload, caller]"
    )
    calls = [dave.start("perform_rpc", to="alice", method="meet_up", payload=str(n)) for n in (1, 2)]
    assert [json.loads(each.result(15)) for each in calls] == [[1, "dave"], [2, "dave"]]


def test_body_exception_shows_cell_lines_and_is_hidden_from_caller(
    dave: PlainPeer, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.cell("%%lk handle div\n\n# a comment\nhalf = 1\nhalf / payload")
    with pytest.raises(PeerError) as caught:
        call(dave, "div", 0)
    assert "ZeroDivision" not in str(caught.value)
    shown = ""

    def is_shown() -> bool:
        nonlocal shown
        shown += capsys.readouterr().err
        return "ZeroDivisionError" in shown

    eventually(is_shown)
    assert "line 5, in div" in shown
    assert "    half / payload" in shown
    assert "body.py" not in shown
    assert shell.cell("%lk handlers")[0][5] == 1


# Events


def test_event_body_receives_data_event_and_sender(dave: PlainPeer, shell: Shell) -> None:
    shell.cell("got = []")
    for kind in ("text", "bytes", "data", "data_track", "attributes"):
        topic = "" if kind == "attributes" else " --topic t"
        shell.cell(f"%%lk on {kind} --sender dave{topic}\ngot.append((event.kind, sender, data))", id=kind)
    got = shell.user_ns["got"]
    dave.call("send_text", text="hi", topic="t")
    dave.call("send_text", text="hi", topic="other")
    dave.call("send_bytes", data=b"\x00", topic="t")
    dave.call("publish_data", data=b"\x01", topic="t")
    dave.call("set_attributes", attributes={"k": "v"})
    eventually(lambda: {"text", "bytes", "data"} <= {kind for kind, _, _ in got})
    eventually(lambda: ("attributes", "dave", {"k": "v"}) in got)
    dave.call("publish_data_track", name="t")

    def frame() -> bool:
        dave.call("push", name="t", data=b"\x02")
        return any(kind == "data_track" for kind, _, _ in got)

    eventually(frame)
    by_kind = {kind: (sender, data) for kind, sender, data in got}
    assert by_kind["text"] == ("dave", "hi")
    assert by_kind["bytes"][1].data == b"\x00"
    assert by_kind["data"] == ("dave", b"\x01")
    assert by_kind["data_track"] == ("dave", b"\x02")
    assert [kind for kind, _, _ in got].count("text") == 1


def test_event_body_can_await_and_update_variable(dave: PlainPeer, shell: Shell) -> None:
    shell.cell("import asyncio\nseen = 0")
    shell.cell("%%lk on data\nglobal seen\nawait asyncio.sleep(0)\nseen += len(data)")
    for _ in range(3):
        dave.call("publish_data", data=b"12", topic="t")
    eventually(lambda: shell.user_ns["seen"] == 6)


def test_body_reads_stream_while_it_is_written(dave: PlainPeer, shell: Shell) -> None:
    shell.cell("began = []\npieces = []")
    shell.cell("%%lk on text --topic t --stream\nbegan.append(sender)\nfor piece in data:\n    pieces.append(piece)")
    began, pieces = shell.user_ns["began"], shell.user_ns["pieces"]
    stream = dave.call("open_text", topic="t")
    dave.call("write_text", handle=stream, text="one ")
    eventually(lambda: pieces == ["one "])
    assert began == ["dave"]
    dave.call("write_text", handle=stream, text="two")
    dave.call("close_text", handle=stream)
    eventually(lambda: pieces == ["one ", "two"])


def test_stream_option_is_refused_for_other_kinds(dave: PlainPeer, shell: Shell) -> None:
    with pytest.raises(UsageError, match="--stream is only for text and bytes"):
        shell.cell("%%lk on data --stream\n1")


def test_attributes_take_no_topic(dave: PlainPeer, shell: Shell) -> None:
    with pytest.raises(UsageError, match=r"no topic\. Use --sender"):
        shell.cell("%%lk on attributes --topic x\n1")


# Scope

BODIES = {
    "a nested function has its own names": "def f():\n    inner = payload\n    return inner\nf()",
    "a nested function reads what the body assigns": "outer = 5\ndef f(): return outer + payload\nf()",
    "a class has its own names": "class C:\n    field = 3\nC.field",
    "a comprehension has its own names, and sees the payload": "sum(n + payload for n in [1, 2])",
    "nested comprehensions": "[[a for a in range(b)] for b in range(payload)][-1]",
    "a walrus": "(w := payload) + w",
    "a walrus in a comprehension": "[last := n for n in range(3)][-1] + last",
    "an import": "import os.path, json as j\nfrom math import pi as p\nj.loads('1')",
    "except as": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    name = type(e).__name__\nname",
    "match": "match {'k': [1, 2], 'x': 1}:\n    case {'k': [first, *tail], **rest}:\n        pass\n(first, tail, rest)",
    "match as": "match 3:\n    case int() as number:\n        pass\nnumber",
    "with": "import contextlib\nwith contextlib.nullcontext(4) as opened:\n    pass\nopened",
    "for targets": "for i, (j, *k) in [(1, (2, 3))]:\n    pass\n[i, j, k]",
    "annotated": "typed: int = 3\ntyped",
    "unpacking": "a, *b = 1, 2, 3\n[a, b]",
    "a decorator and a default that assign": "def f(x=(d := 2)): return x\nf() + d",
    "a lambda": "(lambda x: x + payload)(1)",
    "a lone string": "'text'",
    "only a comment": "# nothing",
    "an expression that ends in a semicolon": "payload;",
    "a uniformly indented body": "    a = 1\n    a",
    "a magic of IPython": "here = %lk rooms\nlen(here)",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_computes_what_a_cell_would_and_leaves_no_name(shell: Shell, body: str) -> None:
    as_cell = {"payload": 2, "get_ipython": shell.user_ns["get_ipython"]}
    before = dict(shell.user_ns)
    lines = shell.transform_cell(body).rstrip().splitlines()
    exec("\n".join(lines[:-1]), as_cell)
    value = run(shell, body, 2)
    assert dict(shell.user_ns) == before
    try:
        expected = eval(lines[-1].rstrip(";"), as_cell)
    except SyntaxError:
        expected = None
    assert repr(value) == repr(expected)


def test_global_names_are_the_users(shell: Shell) -> None:
    shell.user_ns["n"] = 1
    run(shell, "global n, f, os\nn += 1\nimport os\ndef f(): return payload")
    assert shell.user_ns["n"] == 2
    assert shell.user_ns["os"].sep
    assert shell.user_ns["f"].__name__ == "f"
    run(shell, "global n\ndel n")
    assert "n" not in shell.user_ns


def test_locals_are_those_of_the_call(shell: Shell) -> None:
    shell.user_ns["mine"] = 1
    assert run(shell, "own = payload\nsorted(locals())", 2) == ["caller", "own", "payload"]
    assert run(shell, "exec('made = payload')\n'made' in globals()") is False


@pytest.mark.parametrize("body", ["count += 1\ncount", "if payload:\n    del count", "for n in [1]:\n    count -= n"])
def test_changing_a_variable_that_no_call_can_have_set_is_refused(shell: Shell, body: str) -> None:
    shell.user_ns["count"] = 1
    with pytest.raises(UsageError, match=r"'count' has no value on line [23] of the cell\. .*: global count$"):
        made(shell, body)


@pytest.mark.parametrize(
    "body",
    [
        "payload += 1\npayload",
        "n = 1\nn += payload\nn",
        "n: int = 1\nn += 2\nn",
        "for n in [1]:\n    n += 2\nn",
        "(n := 1)\nn += 2\nn",
        "with open(__import__('os').devnull) as n:\n    del n\n3",
        "import math as n\ndel n\n3",
        "def n(): pass\ndel n\n3",
        "match 1:\n    case n:\n        n += 2\nn",
        "def f():\n    nonlocal n\n    n += 2\nn = 1\nf()\nn",
    ],
)
def test_changing_a_variable_of_the_call_works(shell: Shell, body: str) -> None:
    assert run(shell, body, 2) == 3


def test_shell_commands_and_magics_use_the_calls_variables(shell: Shell) -> None:
    shell.user_ns["word"] = "the notebook's"
    assert list(run(shell, "word = 'own'\nout = !echo {word} {payload}\nout", 5)) == ["own 5"]
    assert run(shell, "own = payload\n%time own + 1", 5) == 6


def test_async_for_and_comprehensions_make_body_async(shell: Shell) -> None:
    import asyncio

    body = "async def numbers():\n    yield 1\n    yield 2\n[n async for n in numbers()] + [await asyncio.sleep(0, 3)]"
    shell.user_ns["asyncio"] = asyncio
    assert asyncio.run(run(shell, body)) == [1, 2, 3]
    assert not inspect.iscoroutinefunction(made(shell, "async def f(): await g()"))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("x = 1\ny ==", 3),
        ("\n\nx ==", 4),
        ("def f(:\n    pass", 2),
        ("x = 1\nyield x", 3),
        ("x = 1\nbreak", 3),
        ("from os import *", 2),
        ("x = 1\nglobal x", 3),
        ("global payload", 2),
        ("nonlocal x", 2),
        ("await payload\nyield 1", 3),
        ("await payload\nx = 1\nbreak", 4),
        ("'''open", 2),
    ],
)
def test_invalid_python_is_rejected_with_line_of_cell(shell: Shell, body: str, line: int) -> None:
    with pytest.raises(UsageError) as caught:
        made(shell, body)
    assert type(caught.value) is UsageError
    assert str(caught.value).startswith("The body cannot run: ")
    assert str(caught.value).endswith(f"on line {line} of the cell.")


def test_body_function_leaves_no_name(shell: Shell) -> None:
    before = set(shell.user_ns)
    assert run(shell, "1") == 1
    assert set(shell.user_ns) == before
