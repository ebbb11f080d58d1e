"""Bodies of `%%lk handle` and `%%lk on`: Python that runs for each call or event in the user's namespace."""

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


def test_assignments_are_global_and_parameters_local(dave: PlainPeer, shell: Shell) -> None:
    shell.cell("count = 0\npayload = 'mine'")
    shell.cell("%%lk handle bump\ncount += payload\nlast = caller\npayload = 'changed'\ncount")
    assert call(dave, "bump", 2) == 2
    assert call(dave, "bump", 3) == 5
    assert (shell.user_ns["count"], shell.user_ns["last"], shell.user_ns["payload"]) == (5, "dave", "mine")
    assert "caller" not in shell.user_ns


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
    shell.cell("%%lk on data\nawait asyncio.sleep(0)\nseen += len(data)")
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
    "a nested function has its own names": (
        "def f():\n    inner = payload\n    return inner\nf()",
        {"f"},
    ),
    "a nested function reads what the body assigns": (
        "outer = 5\ndef f(): return outer + payload\nf()",
        {"outer", "f"},
    ),
    "a class has its own names": ("class C:\n    field = 3\nC.field", {"C"}),
    "a comprehension has its own names, and sees the payload": ("sum(n + payload for n in [1, 2])", set()),
    "nested comprehensions": ("[[a for a in range(b)] for b in range(payload)][-1]", set()),
    "a walrus": ("(w := payload) + w", {"w"}),
    "a walrus in a comprehension": ("[last := n for n in range(3)][-1] + last", {"last"}),
    "an import": ("import os.path, json as j\nfrom math import pi as p\nj.loads('1')", {"os", "j", "p"}),
    "except as": ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    name = type(e).__name__\nname", {"name"}),
    "match": (
        "match {'k': [1, 2, 3], 'x': 1}:\n    case {'k': [first, *tail], **rest}:\n        pass\n(first, tail, rest)",
        {"first", "tail", "rest"},
    ),
    "match as": ("match 3:\n    case int() as number:\n        pass\nnumber", {"number"}),
    "with": (
        "import contextlib\nwith contextlib.nullcontext(4) as opened:\n    pass\nopened",
        {"contextlib", "opened"},
    ),
    "for targets": ("for i, (j, *k) in [(1, (2, 3))]:\n    pass\n[i, j, k]", {"i", "j", "k"}),
    "annotated": ("typed: int = 3\ntyped", {"typed"}),
    "unpacking": ("a, *b = 1, 2, 3\n[a, b]", {"a", "b"}),
    "global in the body": ("global g\ng = payload\ng", {"g"}),
    "a decorator and a default that assign": ("def f(x=(d := 2)): return x\nf() + d", {"f", "d"}),
    "a lambda": ("(lambda x: x + payload)(1)", set()),
    "a lone string": ("'text'", set()),
    "only a comment": ("# nothing", set()),
    "an expression that ends in a semicolon": ("payload;", set()),
    "a uniformly indented body": ("    a = 1\n    a", {"a"}),
    "a magic of IPython": ("here = %lk rooms\nlen(here)", {"here"}),
}


@pytest.mark.parametrize(("body", "assigns"), BODIES.values(), ids=BODIES.keys())
def test_body_behaves_like_cell(shell: Shell, body: str, assigns: set[str]) -> None:
    as_cell = {"payload": 2, "get_ipython": shell.user_ns["get_ipython"]}
    before = set(shell.user_ns)
    lines = shell.transform_cell(body).rstrip().splitlines()
    exec("\n".join(lines[:-1]), as_cell)
    value = run(shell, body, 2)
    assert set(shell.user_ns) - before == assigns
    try:
        expected = eval(lines[-1].rstrip(";"), as_cell)
    except SyntaxError:
        expected = None
    assert repr(value) == repr(expected)


def test_del_removes_user_variable(shell: Shell) -> None:
    shell.user_ns["x"] = 1
    run(shell, "del x")
    assert "x" not in shell.user_ns


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
