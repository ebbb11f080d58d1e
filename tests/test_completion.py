"""Completion on `%lk` and `%%lk` lines: what it offers, and that it never waits."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from IPython.core.completer import CompletionContext
from peers import PlainPeer
from shells import Shell
from waiting import eventually

import lknb
from lknb.event import Event
from lknb.magics.extension import CELL, LINE
from lknb.widgets.panel import TABS


@pytest.fixture
def room(shell: Shell, room_name: str) -> lknb.Room:
    """Return this test's room, which the shell has joined as alice."""
    room: lknb.Room = shell.cell(f"%lk connect {room_name} --as alice")
    return room


@pytest.mark.parametrize("before", ["%lk ", "  %lk ", "x = %lk ", "rooms, y = %lk "])
def test_completes_line_verbs(shell: Shell, before: str) -> None:
    assert set(shell.complete_at_end(before)) == set(LINE)
    assert shell.complete_at_end(before + "par") == ["participants"]


def test_completes_cell_verbs(shell: Shell) -> None:
    assert set(shell.complete_at_end("%%lk ")) == set(CELL)
    assert shell.complete_at_end("\n%%lk ha") == ["handle"]


def test_completes_options_not_yet_given(shell: Shell) -> None:
    assert shell.complete_at_end("%%lk text --re") == ["--reply-to"]
    offered = shell.complete_at_end("%%lk text --topic t --to bob --stream --")
    assert {"--to", "--attr", "--out", "--reply-to"} <= set(offered)
    assert not {"--topic", "--stream"} & set(offered)
    assert set(shell.complete_at_end("%lk events ")) == set(shell.complete_at_end("%lk events --"))


def test_completes_choices(shell: Shell) -> None:
    assert shell.complete_at_end("%%lk on a") == ["attributes"]
    assert shell.complete_at_end("%lk events --kind te") == ["text"]
    assert shell.complete_at_end("%lk events --kind=te") == ["text"]
    assert shell.complete_at_end("%lk nest ") == ["off", "on"]
    assert "restart" not in shell.complete_at_end("%lk server ")
    assert shell.complete_at_end("%lk panel c") == ["chat"]
    assert set(shell.complete_at_end("%lk panel chat ")) == set(TABS) - {"chat"}


def test_completes_variables_after_var_and_out(shell: Shell) -> None:
    shell.cell("answer = 1; _hidden = 2")
    for line in ("%lk text --var ", "%lk text --var=", "%%lk text -o ", "%lk events --out "):
        offered = shell.complete_at_end(line)
        assert "answer" in offered, line
        assert not {"_hidden", "In", "get_ipython"} & set(offered)
    assert shell.complete_at_end("%lk text --var ans") == ["answer"]


def test_completes_texts_to_reply_to_and_edit(room: lknb.Room, shell: Shell) -> None:
    shell.cell("%%lk text -o greeting\nhi")
    shell.cell("%%lk data --topic t -o packet\nhi")
    shell.user_ns["received"] = Event("text", "in", "lk.chat")
    assert set(shell.complete_at_end("%%lk text --reply-to ")) == {"greeting", "received"}
    assert shell.complete_at_end("%%lk text --edit ") == ["greeting"]


def test_completes_identities_in_room(room: lknb.Room, shell: Shell, peer: Callable[..., PlainPeer]) -> None:
    peer("dave")
    eventually(lambda: "dave" in room.participants)
    for line in ("%%lk text --to ", "%lk rpc ", "%%lk rpc d", "%%lk handle add --caller ", "%%lk text --to x --to "):
        assert shell.complete_at_end(line) == ["dave"], line
    assert shell.complete_at_end("%lk events --sender ") == ["alice", "dave"]


def test_completes_topics_methods_and_handlers(room: lknb.Room, shell: Shell) -> None:
    shell.cell("%%lk data --topic imu\nx")
    shell.cell("%%lk handle add_up\n1")
    shell.cell("%%lk on text --topic chat\n1")
    assert shell.complete_at_end("%%lk data --topic im") == ["imu"]
    assert shell.complete_at_end("%lk rpc bob add") == ["add_up"]
    assert shell.complete_at_end("%lk handlers rm ch") == ["chat"]
    assert shell.complete_at_end("%lk handlers rm on") == ["on_text"]


def test_completes_rooms_and_own_attributes(room: lknb.Room, shell: Shell) -> None:
    shell.cell("%lk attrs mood=good")
    assert shell.complete_at_end("%lk use ") == [f"alice@{room.name}"]
    assert shell.complete_at_end("%lk close al") == [f"alice@{room.name}"]
    assert shell.complete_at_end("%lk attrs mo") == ["mood="]


@pytest.mark.parametrize(
    "code",
    ["%%lk text\n%%lk ", "%lkx ", "lk ", "x = 1 + %lk ", "# %lk ", "%lk nothing ", "%%time lk "],
)
def test_ignores_lines_of_other_magics(shell: Shell, code: str) -> None:
    assert "participants" not in shell.complete_at_end(code)
    assert "handle" not in shell.complete_at_end(code)


def test_handler_bodies_complete_as_python(shell: Shell) -> None:
    shell.user_ns["some_long_name"] = 1
    # Jedi completes this; on a busy machine it gives up on its first attempts.
    eventually(lambda: "some_long_name" in shell.complete_at_end("%%lk handle add\nsome_lo"))


def test_completion_without_room_sends_no_request(shell: Shell) -> None:
    for line in ("%%lk text --to ", "%lk rpc ", "%lk use ", "%lk events --topic "):
        assert not set(shell.complete_at_end(line)) & {"alice", "dave"}


def test_other_matchers_still_run(shell: Shell) -> None:
    shell.Completer.custom_matchers.append(lambda text: ["theirs_one"] if "theirs_one".startswith(text) else [])
    assert "theirs_one" in shell.complete_at_end("theirs")
    assert len(shell.Completer.custom_matchers) == 2


def test_completion_stays_fast_with_full_log(room: lknb.Room, shell: Shell) -> None:
    for number in range(10_000):
        room.events.add(Event("data", "in", sender=f"sensor-{number % 50}", topic=f"topic-{number % 2000}", data=b"x"))
    matcher = shell.Completer.custom_matchers[-1]
    for line in ("%%lk data --topic topic-1", "%lk rpc bob ", "%lk events --sender ", "%lk "):
        context = CompletionContext(token="", full_text=line, cursor_position=len(line), cursor_line=0, limit=None)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            matcher(context)
            took.append(time.perf_counter() - began)
        assert min(took) < 0.05, line
