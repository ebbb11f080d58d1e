"""`%lk` and `%%lk`, verb by verb, in a shell of this process: what plain peers receive, and what is rejected."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docs_magics import written
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from peers import PlainPeer
from relay import Relay
from shells import Shell, a_shell
from waiting import eventually

import lknb
from lknb import server
from lknb.magics.extension import CELL, LINE, LkMagics
from lknb.magics.grammar import split
from lknb.sdk import subscription_count
from lknb.tables import Table

Peer = Callable[..., PlainPeer]


@pytest.fixture
def joined(shell: Shell, room_name: str) -> Shell:
    """Return the shell after it has joined this test's room as alice."""
    shell.cell(f"%lk connect {room_name} --as alice;")
    return shell


@pytest.fixture
def dave(joined: Shell, peer: Peer) -> PlainPeer:
    """Return a plain peer that alice sees."""
    plain = peer("dave")
    eventually(lambda: "dave" in room(joined).participants)
    return plain


def room(shell: Shell) -> lknb.Room:
    found = lknb.rooms()[-1]
    assert found.identity == "alice"
    return found


def refused(shell: Shell, cell: str) -> str:
    """Return the one-line error of a wrong cell."""
    with pytest.raises(UsageError) as caught:
        shell.cell(cell)
    assert type(caught.value) is UsageError  # IPython shows a traceback for any other class
    text = str(caught.value)
    assert text.isprintable(), repr(text)
    assert not re.search(r"[.?!:;,]\s*[.?!;,]", text), text
    return text


# Rooms


def test_connect_passes_all_its_options(shell: Shell, room_name: str, peer: Peer) -> None:
    got = shell.cell(
        f'%lk connect {room_name} --as alice --name "Alice in W." --attr role=host --attr mood="so so" '
        f"--metadata '{{\"a\": 1}}' --timeout 30 -o mine"
    )
    assert got is shell.user_ns["mine"]
    assert isinstance(got, lknb.Room)
    seen = peer("dave").call("wait_participant", identity="alice")
    assert (seen["name"], seen["metadata"]) == ("Alice in W.", '{"a": 1}')
    assert seen["attributes"].items() >= {"role": "host", "mood": "so so"}.items()


def test_connect_again_returns_same_room(joined: Shell, room_name: str) -> None:
    first = room(joined)
    assert joined.cell(f"%lk connect {room_name} --as alice") is first


def test_failed_connect_is_one_line(shell: Shell) -> None:
    assert refused(shell, "%lk connect x --url ws://127.0.0.1:9 --timeout 2").startswith("ConnectError: ")


def test_current_room_is_last_joined_until_another_is_chosen_or_it_closes(joined: Shell, room_name: str) -> None:
    joined.cell(f"%lk connect {room_name} --as bob;")
    assert dict(joined.cell("%lk status"))["identity"] == "bob"
    assert joined.cell(f"%lk use alice@{room_name}").identity == "alice"
    assert dict(joined.cell("%lk status"))["identity"] == "alice"
    assert [row[0] for row in joined.cell("%lk rooms")] == ["*", ""]
    assert joined.cell("%lk use bob").identity == "bob"
    assert "matches several rooms" in refused(joined, f"%lk use {room_name}")
    assert f"did you mean alice@{room_name}?" in refused(joined, f"%lk use alise@{room_name}")
    joined.cell("%lk close")
    assert dict(joined.cell("%lk status"))["identity"] == "alice"
    joined.cell(f"%lk connect {room_name} --as carol;")
    assert "not both" in refused(joined, "%lk close carol --all")
    joined.cell("%lk close --all")
    assert lknb.rooms() == []
    assert "No room is open" in refused(joined, "%lk participants")
    assert "No room is open" in repr(joined.cell("%lk rooms"))


def test_room_joined_in_python_is_current_until_magic_chooses(shell: Shell, room_name: str) -> None:
    def current() -> str:
        identity: str = dict(shell.cell("%lk status"))["identity"]
        return identity

    rooms = [lknb.connect(room_name, "alice")]
    assert current() == "alice"
    rooms.append(lknb.connect(room_name, "bob"))
    assert current() == "bob"
    shell.cell("%lk use alice;")
    rooms.append(lknb.connect(room_name, "carol"))
    assert current() == "alice"
    rooms[0].close()
    assert current() == "carol"
    for room in rooms:
        room.close()


def test_close_leaves_named_room(joined: Shell, room_name: str) -> None:
    joined.cell(f"%lk connect {room_name} --as bob;")
    joined.cell(f"%lk close alice@{room_name}")
    assert [each.identity for each in lknb.rooms()] == ["bob"]


# Inspecting


def test_participants_are_shown_as_table_and_text(dave: PlainPeer, joined: Shell) -> None:
    got = joined.cell("%lk participants")
    assert set(got) == {"alice", "dave"}
    assert "<td" in got._repr_html_()
    assert "alice (you)" in got._repr_html_()
    assert "'dave'" in repr(got)


def test_topics_count_both_directions(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%%lk data --topic imu\n12345")
    dave.call("publish_data", data=b"123", topic="imu")
    eventually(lambda: room(joined).events.filter("data", direction="in"))
    (row,) = [row for row in joined.cell("%lk topics") if row[1] == "imu"]
    assert row[:6] == ("data", "imu", 1, 1, 8, "dave")


def test_events_can_be_filtered_limited_and_assigned(joined: Shell) -> None:
    for topic in ("a", "b", "b"):
        joined.cell(f"%%lk text --topic {topic}\nhi")
    assert len(joined.cell("%lk events --kind text --topic b --sender alice")) == 2
    assert joined.cell("%lk events --kind text --tail 1 -o last") is joined.user_ns["last"]
    assert len(joined.user_ns["last"]) == 1
    assert "<td" in joined.user_ns["last"]._repr_html_()


def test_feed_timeline_and_panel_return_widgets(joined: Shell) -> None:
    for line in ("%lk feed", "%lk feed --kind text --topic chat", "%lk timeline", "%lk panel"):
        assert "alice in" in repr(joined.cell(line)), line


def test_panel_shows_chosen_tabs(joined: Shell) -> None:
    assert joined.cell("%lk panel rpc chat").tabs == ["rpc", "chat"]
    assert "'chatt' is not one of participants, feed, chat" in refused(joined, "%lk panel chatt")
    assert "did you mean chat?" in refused(joined, "%lk panel rpc chatt")


def test_server_verb_shows_server(joined: Shell) -> None:
    shown = dict(joined.cell("%lk server"))
    assert shown["url"].startswith("ws://127.0.0.1")
    assert dict(joined.cell("%lk server start"))["pid"] == shown["pid"]
    assert re.search(r"20\d\d-\d\d-\d\d", repr(joined.cell("%lk server log"))), "each line has its time"
    assert "did you mean start?" in refused(joined, "%lk server strat")


def test_server_verb_starts_and_stops_server(shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKNB_STATE_DIR", str(folder))
    assert "No server is running" in shell.cell("%lk server")
    assert dict(shell.cell("%lk server start"))["rooms"] == 0
    assert shell.cell("%lk server stop") == "Stopped."
    assert shell.cell("%lk server stop") == "No server was running."


# State


def test_attrs_sets_shows_and_deletes(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%lk attrs status=ready 'note=two words' eq=a=b")
    eventually(lambda: dave.seen("attributes", identity="alice"))
    assert dave.seen("attributes", identity="alice")[-1]["attributes"].items() >= {
        ("status", "ready"),
        ("note", "two words"),
        ("eq", "a=b"),
    }
    rows = joined.cell("%lk attrs status=")
    assert ("alice", "note", "two words") in list(rows)
    assert not any(row[:2] == ("alice", "status") for row in rows)
    assert "key=value" in refused(joined, "%lk attrs ready")


def test_metadata_is_set_and_shown(dave: PlainPeer, joined: Shell) -> None:
    assert joined.cell("%lk metadata '{\"a\": 1}'") == '{"a": 1}'
    assert dave.wait("metadata", identity="alice")["new"] == '{"a": 1}'
    assert joined.cell('%lk metadata --room "An evening"') == "An evening"
    assert dave.wait("room_metadata")["new"] == "An evening"
    assert joined.cell("%lk metadata") == '{"a": 1}'
    assert joined.cell("%lk metadata --room") == "An evening"
    assert joined.cell("%lk metadata -- --dashes") == "--dashes"


# Sending

BODIES = {
    "quotes": 'it\'s "quoted" and `ticked`',
    "dashes and flags": "--to bob --help -o x\n-- \n-",
    "braces and dollars": "{x} {{y}} $x $$ ${z} %(a)s \\n \\",
    "empty lines": "\n\na\n\n\nb",
    "lines of spaces": "  \n    a\n   \n\tb  ",
    "a common indentation": "    a\n    b",
    "prompts": ">>> 1 + 1\n... 2\nIn [3]: x",
    "magics": "%lk rooms\n!ls\n?x\n%%time",
    "trailing spaces": "a  \t ",
    "a last line that is ended": "a\n",
    "json": json.dumps({"a": [1, None, "ü"]}, indent=2),
    "emoji": "👩‍👩‍👧 \N{HEBREW LETTER ALEF} \u2028 end",
    "a semicolon": "a;",
    "open quotes and brackets": 'it\'s {[( """ \\',
}


def test_body_arrives_byte_for_byte(dave: PlainPeer, joined: Shell) -> None:
    joined.user_ns["x"] = "expanded"
    for what, body in BODIES.items():
        joined.cell("%%lk text --topic t\n" + body)
        assert dave.wait("text", topic="t")["text"] == body, what
        joined.cell("%%lk data --topic t\n" + body)
        assert dave.wait("data", topic="t")["data"] == body.encode(), what


@pytest.mark.slow("moves a megabyte or more")
def test_megabyte_of_text_arrives(dave: PlainPeer, joined: Shell) -> None:
    body = "".join(f"line {n} 🦜 'x' --to {{y}}\n" for n in range(36_000))
    assert len(body.encode()) > 1_000_000
    joined.cell("%%lk text --topic t\n" + body)
    got = dave.wait("text", topic="t", timeout=30)
    assert got["sha256"] == hashlib.sha256(body.encode()).hexdigest()


def test_body_run_by_another_magic_arrives(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%%capture\n%%lk text --topic t\nhello\n  there")
    assert dave.wait("text", topic="t")["text"] == "hello\n  there"
    joined.run_cell_magic("lk", "text --topic t", "by code")
    assert dave.wait("text", topic="t")["text"] == "by code"


GIVEN = [
    "by code",
    "ended\n",
    "\n",
    "   ",
    "  a\n b\n\n",
    "one\r\ntwo\r\n",
    "a\rb",
    ">>> 1\n",
    "%%lk text --topic t\nx\n",
]


@pytest.mark.parametrize(
    "code",
    [
        "get_ipython().run_cell_magic('lk', 'text --topic t', given)",
        "def send(): get_ipython().run_cell_magic('lk', 'text --topic t', given)\nsend()",
        "%%time\nget_ipython().run_cell_magic('lk', 'text --topic t', given)",
        # Below a line of the cell that is like the call, and on another thread than the cell's own.
        "%%lk text --topic t\nanother",
    ],
    ids=["in a cell", "in a function", "below another magic", "while such a cell runs"],
)
def test_text_that_code_passes_arrives_unchanged(dave: PlainPeer, joined: Shell, code: str) -> None:
    for given in GIVEN:
        joined.user_ns["given"] = given
        if code.startswith("%%lk"):
            send = threading.Thread(target=lambda given=given: joined.run_cell_magic("lk", "text --topic t", given))

            def while_the_cell_runs(*args: Any, send: threading.Thread = send) -> None:
                send.start()
                send.join(10)

            joined.events.register("pre_run_cell", while_the_cell_runs)
            try:
                joined.cell(code)
            finally:
                joined.events.unregister("pre_run_cell", while_the_cell_runs)
            assert {dave.wait("text", topic="t")["text"] for _ in range(2)} == {given, "another"}
        else:
            joined.cell(code)
            assert dave.wait("text", topic="t")["text"] == given


def test_python_that_looks_like_what_ipython_makes_of_a_cell_arrives_unchanged(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("get_ipython().run_cell_magic('lk', 'text --topic t', '%%lk is a magic\\n')")
    assert dave.wait("text", topic="t")["text"] == "%%lk is a magic\n"


@pytest.mark.parametrize("body", ["hi", "hi\n", "  a\n\n   ", "a\r\nb"])
def test_a_cell_that_code_runs_sends_its_body(dave: PlainPeer, joined: Shell, body: str) -> None:
    joined.user_ns["code"] = "%%lk text --topic t\n" + body
    joined.cell("get_ipython().run_cell(code).raise_error()")
    assert dave.wait("text", topic="t")["text"] == body


def test_a_body_that_is_a_text_to_send_is_sent_as_typed(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%%lk on data --topic go\n%%lk text --topic t\nas typed")
    dave.call("publish_data", data=b"", topic="go")
    assert dave.wait("text", topic="t")["text"] == "as typed"


# In functions


def test_a_function_sends_its_own_variable(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("words = 'the notebook\\'s'\nonly = 'only there'")
    joined.cell("def send(words):\n    %lk text --topic t --var words\n    %lk text --topic t --var only\nsend('own')")
    assert [dave.wait("text", topic="t")["text"] for _ in range(2)] == ["own", "only there"]
    joined.cell("def send():\n    sample = b'own'\n    %lk data --topic t --var sample\nsend()")
    assert dave.wait("data", topic="t")["data"] == b"own"
    with pytest.raises(UsageError, match=r"no variable wrds; did you mean words\?"):
        joined.cell("def send(words):\n    %lk text --var wrds\nsend('own')")


@pytest.mark.parametrize(
    "function",
    [
        "def f():\n    %lk text --var words\n    words = 1",
        "def f(words=1):\n    del words\n    %lk text --var words",
        "def f():\n    def g(): return words\n    %lk text --var words\n    words = 1",
    ],
    ids=["assigned later", "deleted", "in a closure"],
)
def test_a_functions_variable_without_a_value_is_not_the_notebooks(joined: Shell, function: str) -> None:
    joined.user_ns["words"] = "the notebook's"
    with pytest.raises(UsageError, match="own variable words has no value here"):
        joined.cell(f"{function}\nf()")
    assert not room(joined).events.filter("text")


@pytest.mark.parametrize(
    "code",
    [
        "def f(words):\n    def g():\n        words\n        %lk text --topic t --var words\n    g()\nf('own')",
        "class C:\n    words = 'own'\n    %lk text --topic t --var words",
        "def f(words):\n    yield get_ipython().run_line_magic('lk', 'text --topic t --var words')\nlist(f('own'))",
        "(lambda words: get_ipython().run_line_magic('lk', 'text --topic t --var words'))('own')",
        'exec(\'words = "own"\\nget_ipython().run_line_magic("lk", "text --topic t --var words")\', {**globals()})',
        "%%time\ndef f(words):\n    %lk text --topic t --var words\nf('own')",
    ],
    ids=["closure", "class", "generator", "lambda", "exec", "below another magic"],
)
def test_every_scope_of_python_has_its_own_variables(dave: PlainPeer, joined: Shell, code: str) -> None:
    joined.user_ns["words"] = "the notebook's"
    joined.cell(code)
    assert dave.wait("text", topic="t")["text"] == "own"


def test_a_bodys_magic_sends_the_calls_variable(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("answer = 'the notebook\\'s'")
    joined.cell("%%lk on data --topic go\nanswer = data.decode()\n%lk text --topic t --var answer")
    for number in (1, 2):
        dave.call("publish_data", data=b"%d" % number, topic="go")
        assert dave.wait("text", topic="t")["text"] == str(number)


def test_a_function_answers_the_text_in_its_own_variable(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%%lk text --topic t -o sent\nthe notebook's")
    joined.cell(
        "def answer():\n    words = 'mine'\n    sent = %lk text --topic t --var words\n"
        "    get_ipython().run_cell_magic('lk', 'text --topic t --reply-to sent', 'reply')\n    return sent.id\n"
        "own = answer()"
    )
    assert joined.user_ns["own"] != joined.user_ns["sent"].id
    dave.wait("text_header", reply_to=joined.user_ns["own"])


@pytest.mark.parametrize(
    "call",
    ["%lk status -o kept", "get_ipython().run_cell_magic('lk', 'text --topic t -o kept', 'x')"],
)
def test_a_function_cannot_store_with_o_and_is_told_before_anything_is_sent(joined: Shell, call: str) -> None:
    with pytest.raises(UsageError, match=r"-o kept cannot set a variable of a function.*: kept = %lk"):
        joined.cell(f"def f():\n    {call}\nf()")
    assert "kept" not in joined.user_ns
    assert not room(joined).events.filter("text")
    assert joined.cell("def f():\n    kept = %lk rooms\n    return len(kept)\nf()") == 1
    joined.cell("%%time\n%lk rooms -o kept")
    assert len(joined.user_ns["kept"]) == 1


def test_text_passes_recipients_attributes_and_reply(dave: PlainPeer, joined: Shell, peer: Peer) -> None:
    erin = peer("erin")
    eventually(lambda: "erin" in room(joined).participants)
    first = joined.cell("%%lk text -o first\nto all")
    assert first is joined.user_ns["first"]
    assert dave.wait("text", topic="lk.chat")["text"] == "to all"
    joined.cell(f"%%lk text --to dave --attr k='a b' --reply-to {first.id} --topic=t;\nanswer")
    got = dave.wait("text", topic="t")
    assert (got["text"], got["attributes"]["k"]) == ("answer", "a b")
    joined.cell("%%lk text --to dave --to erin --topic both\nx")
    assert dave.wait("text", topic="both")["text"] == "x"
    erin.wait("text", topic="both")
    assert not erin.seen("text", topic="t")


def test_variable_selects_text_to_reply_to_or_edit(dave: PlainPeer, joined: Shell) -> None:
    first = joined.cell("%%lk text -o greeting\nHelo")
    joined.cell("%%lk text --edit greeting\nHello")
    dave.wait("text_header", operation="UPDATE", stream_id=first.id)
    assert dave.wait("text", text="Hello")["stream_id"] == first.id
    joined.cell("%%lk text --reply-to greeting\nanybody there?")
    dave.wait("text_header", reply_to=first.id)
    joined.user_ns["number"] = 5
    assert "The variable number does not hold a text" in refused(joined, "%%lk text --edit number\nx")


def test_text_of_variable_can_be_streamed(dave: PlainPeer, joined: Shell) -> None:
    joined.user_ns["story"] = "one two three"
    joined.cell("%lk text --var story --stream --topic t")
    got = dave.wait("text", topic="t")
    assert (got["text"], got["chunks"]) == ("one two three", 3)


def test_streamed_text_arrives_in_pieces(dave: PlainPeer, joined: Shell) -> None:
    body = "one  two\n\n three "
    joined.cell("%%lk text --stream --topic t\n" + body)
    got = dave.wait("text", topic="t")
    assert got["text"] == body
    assert got["chunks"] > 1


def test_data_is_reliable_unless_lossy(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%%lk data --topic t --to dave\nx")
    assert dave.wait("data", topic="t")["reliable"] is True

    def arrives() -> bool:  # a single lossy packet can get lost
        joined.cell("%%lk data --topic t --lossy -o sent\nx")
        return bool(dave.seen("data", topic="t", reliable=False))

    eventually(arrives)
    assert joined.user_ns["sent"].topic == "t"


def test_values_are_inserted_by_name(dave: PlainPeer, joined: Shell) -> None:
    joined.user_ns |= {"answer": "from $a {variable}", "sample": bytes(range(256)), "numbers": {"a": [1, 2]}}
    joined.cell("%lk text --var answer --topic t --to dave")
    assert dave.wait("text", topic="t")["text"] == "from $a {variable}"
    joined.cell("%lk data --var sample --topic t")
    assert dave.wait("data", topic="t")["data"] == bytes(range(256))
    dave.call("register_rpc", method="echo")
    assert joined.cell("%lk rpc dave echo --var numbers") == {"a": [1, 2]}
    assert "did you mean answer?" in refused(joined, "%lk text --var anser")
    assert refused(joined, "%lk text --var sample")


def test_calls_carry_json_both_ways(dave: PlainPeer, joined: Shell) -> None:
    dave.call("register_rpc", method="echo")
    assert joined.cell('%%lk rpc dave echo --timeout 30 -o got\n{"a": [1, null, "ü"]}') == {"a": [1, None, "ü"]}
    assert joined.user_ns["got"] == {"a": [1, None, "ü"]}
    assert joined.cell("%%lk rpc dave echo --raw\nnot {json} ") == "not {json} "
    assert "--raw" in refused(joined, "%%lk rpc dave echo\nnot {json}")
    joined.cell("x = %lk rpc dave echo")
    assert joined.user_ns["x"] is None


def test_failed_call_is_one_line(dave: PlainPeer, joined: Shell) -> None:
    dave.call("register_rpc", method="no", mode="rpc_error", code=2001, message="two\nlines \x1b[31m\u202e")
    text = refused(joined, "%lk rpc dave no")
    assert "2001" in text
    assert "two lines" in text
    assert "did you mean 'dave'?" in refused(joined, "%lk rpc dav no")
    dave.call("register_rpc", method="slow", mode="sleep", seconds=5)
    assert "RpcError" in refused(joined, "%lk rpc dave slow --timeout 0.5")


def test_files_are_sent(dave: PlainPeer, joined: Shell, folder: Path) -> None:
    path = folder / "two words.txt"
    path.write_bytes(b"\x00\x01")
    joined.cell(f'%lk send-file "{path}" --topic files --to dave --name other.txt -o sent')
    got = dave.wait("bytes", topic="files")
    assert (got["data"], got["name"]) == (b"\x00\x01", "other.txt")
    assert joined.user_ns["sent"].kind == "bytes"
    assert "cannot be sent" in refused(joined, f"%lk send-file {folder}/missing.txt")


# Handlers


def test_handlers_are_listed_and_removed(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%%lk on text --topic chat\nprint(data)", id="cell-one")
    joined.cell("%%lk handle add\npayload", id="cell-two")
    dave.call("perform_rpc", to="alice", method="add", payload="1")
    rows = {row[0]: row for row in joined.cell("%lk handlers")}
    assert rows["on_text"][1:6] == ("text", "chat", "cell-one", 0, 0)
    assert rows["add"][1:6] == ("rpc", "add", "cell-two", 1, 0)
    assert "did you mean add?" in refused(joined, "%lk handlers rm ad")
    assert "give the name of a handler" in refused(joined, "%lk handlers rm")
    assert [row[0] for row in joined.cell("%lk handlers rm chat")] == ["add"]
    assert "No handlers" in repr(joined.cell("%lk handlers rm add"))


def test_rerunning_cell_replaces_its_handler(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%%lk handle add\n1", id="a")
    joined.cell("%%lk handle add\n2", id="a")
    assert dave.call("perform_rpc", to="alice", method="add", payload="null") == "2"
    joined.cell("%%lk on data --topic x\n1", id="a")
    assert [each.name for each in room(joined).handlers] == ["on_data"]


def test_handle_limits_callers(dave: PlainPeer, joined: Shell) -> None:
    joined.cell("%%lk handle add --caller erin --concurrency 2\n1")
    with pytest.raises(Exception, match="403"):
        dave.call("perform_rpc", to="alice", method="add", payload="null")


# The line


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%lk conect", "did you mean connect?"),
        ("%lk xyzzy", "%lk has no verb xyzzy. Verbs: connect, "),
        ("%%lk txt\nx", "did you mean text?"),
        ("%lk handle add", "start the cell with %%lk handle"),
        ("%%lk rooms\nx", "takes no body"),
        ("%lk connect", "missing ROOM"),
        ("%lk connect a b", "unexpected argument: b"),
        ("%lk connect a --ass x", "there is no option --ass; did you mean --as?"),
        ("%lk connect a --as", "--as needs a value"),
        ("%lk connect a --as x --as y", "--as is given twice"),
        ("%lk connect a --as=x --as=x", "--as is given twice"),
        ("%lk events --tail 1 --tail 2", "--tail is given twice"),
        ("%lk metadata --room --room", "--room is given twice"),
        ("%%lk text --stream --stream\nx", "--stream is given twice"),
        ("%lk close --all --all", "--all is given twice"),
        ("%lk connect a --timeout soon", "'soon' is not a positive number of seconds"),
        ("%lk connect a --timeout -1", "--timeout"),
        ("%lk connect a --timeout nan", "'nan' is not a positive number of seconds"),
        ("%lk events --tail 0", "'0' is not a positive whole number"),
        ("%lk events --kind txt", "did you mean text?"),
        ("%lk close --all=3", "--all takes no value"),
        ("%%lk on txt\nx", "did you mean text?"),
        ("%%lk data\nx", "missing --topic"),
        ("%lk text hi", "start the cell with %%lk text"),
        ("%lk connect 'a", "no closing quotation"),
        ("%lk connect a -o 1x", "is not a valid variable name"),
        ("%lk connect a -o def", "is not a valid variable name"),
        ("%lk connect a -o a.b", "is not a valid variable name"),
        ("%lk connect a -o x -o y", "-o is given twice"),
        ("%lk nest maybe", "'maybe' is not one of on, off"),
    ],
)
def test_mistake_is_one_line_with_correction(shell: Shell, line: str, says: str) -> None:
    assert says in refused(shell, line)
    assert lknb.rooms() == []


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "line",
    [
        f"%lk connect a --token {JWT}",
        "%lk connect a --token=short",
        "%lk connect a --tokn short",
        "%lk connect a --secret s3cret",
        "%lk connect a --api-secret s3cret",
        "%lk connect a --api_secret=s3cret",
        "%lk connect a --api-key s3cret",
        f"%lk connect {JWT}",
        f"%%lk text --attr jwt={JWT}\nx",
        "%lk connect a --url wss://key:s3cret@example.com",
        "%lk connect a --url 'wss://s3cret@example.com'",
        "%lk connect a --url wss://example.com?access_token=s3cret",
        "%lk connect a LIVEKIT_API_SECRET=s3cret",
    ],
)
def test_secrets_on_line_are_refused_with_alternative(shell: Shell, line: str) -> None:
    text = refused(shell, line)
    assert "LIVEKIT_API_SECRET" in text
    assert ".env" in text
    assert "s3cret" not in text
    assert JWT not in text


def test_secret_in_body_is_payload(dave: PlainPeer, joined: Shell) -> None:
    joined.cell(f"%%lk text --topic t\n{JWT}")
    assert dave.wait("text", topic="t")["text"] == JWT


def test_line_is_not_expanded(joined: Shell) -> None:
    joined.user_ns["x"] = "expanded"
    joined.cell("%lk attrs a=$x b={x}")
    assert room(joined).attributes["a"] == "$x"
    assert room(joined).attributes["b"] == "{x}"


@pytest.mark.parametrize("line", ["%lk", "%lk --help", "%lk -h", "%lk help", "%%lk --help\nx"])
def test_overview_names_every_verb(shell: Shell, line: str) -> None:
    text = repr(shell.cell(line))
    for name in LINE:
        assert f" %lk {name} " in text
    for name in CELL:
        assert f"%%lk {name} " in text


@pytest.mark.parametrize("name", ["handle", "on"])
def test_cell_verb_without_body_shows_help(shell: Shell, name: str) -> None:
    assert repr(shell.cell(f"%lk {name} --help")).startswith(f"usage: %%lk {name} ")


@pytest.mark.parametrize("magic", [*(f"%lk {each}" for each in LINE), *(f"%%lk {each}" for each in CELL)])
def test_every_verb_has_help(shell: Shell, magic: str) -> None:
    text = repr(shell.cell(f"{magic} --help" + ("\nx" if magic.startswith("%%") else "")))
    assert text.startswith(f"usage: {magic} ")
    assert "examples:" in text
    assert "\x1b" not in text


def test_docstring_is_overview(shell: Shell) -> None:
    assert "Join a room" in shell.object_inspect("%lk")["docstring"]


def test_semicolon_suppresses_output_and_assignment_keeps_result(joined: Shell) -> None:
    assert joined.cell("%lk rooms;") is None
    assert joined.cell("%lk participants ;") is None
    joined.cell("x = %lk participants")
    assert "alice" in joined.user_ns["x"]


# Loading

BARE = """
import sys
from IPython.core.history import HistoryManager
HistoryManager.enabled = False
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "lknb")
shell.run_line_magic("lk", "rooms")
shell.reset()
print(sorted({"livekit", "pydantic", "anywidget", "ipywidgets", "aiohttp", "lknb.room"} & set(sys.modules)))
"""


def test_loading_is_silent_and_imports_neither_sdk_nor_pydantic(folder: Path) -> None:
    run = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, cwd=folder, timeout=60)
    assert (run.stdout, run.stderr) == ("[]\n", "")


@magics_class
class Others(Magics):
    """Magics of another extension."""

    @line_magic
    def other(self, line: str) -> str:
        return "other"


def test_loading_is_idempotent_and_unloading_restores_shell() -> None:
    with a_shell() as shell:

        def everything() -> list[Any]:
            manager, aliases = shell.magics_manager, shell.alias_manager
            assert aliases is not None
            return [
                {kind: dict(names) for kind, names in manager.magics.items()},
                dict(manager.registry),
                list(shell.configurables),
                sorted(aliases.default_aliases),
                list(shell.Completer.custom_matchers),
                {name: list(callbacks) for name, callbacks in shell.events.callbacks.items()},
            ]

        shell.register_magics(Others)
        shell.Completer.custom_matchers.append(lambda text: ["theirs"])
        shell.cell("%unload_ext lknb")  # IPython loads its own magics on first use
        before = everything()
        shell.cell("%load_ext lknb")
        loaded = everything()
        lknb.load_ipython_extension(shell)
        shell.cell("%load_ext lknb")
        assert everything() == loaded != before
        shell.cell("%unload_ext lknb")
        assert everything() == before
        assert shell.cell("%other") == "other"
        assert "theirs" in shell.complete_at_end("x = the")
        lknb.unload_ipython_extension(shell)
        assert everything() == before


def test_unloading_waits_for_a_join_that_was_given_up(
    shell: Shell, livekit: server.RunningServer, room_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", livekit.api_key)
    monkeypatch.setenv("LIVEKIT_API_SECRET", livekit.api_secret)
    before = subscription_count()
    with Relay(livekit.url, hold_back=1.0) as relay:
        with pytest.raises(UsageError, match="did not answer within"):
            shell.cell(f"%lk connect {room_name} --url {relay.url} --timeout 0.3")
        assert subscription_count() > before
        shell.cell("%unload_ext lknb")
        assert subscription_count() <= before


def test_unloading_ends_rooms_handlers_and_threads(joined: Shell, room_name: str, dave: PlainPeer) -> None:
    joined.cell("%%lk handle add\n1", id="a")
    assert joined.events.callbacks["post_run_cell"]
    left = room(joined)
    joined.cell("%unload_ext lknb")
    assert left.state == "closed"
    assert len(left.handlers) == 0
    assert lknb.rooms() == []
    assert joined.events.callbacks["post_run_cell"] == []
    assert not isinstance(getattr(joined.magics_manager.magics["line"].get("lk"), "__self__", None), LkMagics)
    assert "lk" not in joined.magics_manager.magics["cell"]
    eventually(lambda: not [each.name for each in threading.enumerate() if each.name.startswith("lknb")])
    dave.wait("participant_disconnected", identity="alice")
    joined.cell("%load_ext lknb")
    joined.cell(f"%lk connect {room_name} --as alice;")
    assert room(joined).state == "connected"


def test_reloading_keeps_rooms_handlers_and_settings(joined: Shell, room_name: str, dave: PlainPeer) -> None:
    first = room(joined)
    joined.cell("%%lk handle add\n1", id="a")
    joined.cell(f"%lk connect {room_name} --as bob;")
    joined.cell("%lk use alice;")
    joined.cell("%config LkMagics.timeout = 7.0")
    joined.cell("%reload_ext lknb")
    assert first.state == "connected"
    assert dict(joined.cell("%lk status"))["identity"] == "alice"
    assert joined.cell("%config LkMagics.timeout") == 7.0
    assert dave.call("perform_rpc", to="alice", method="add", payload="null") == "1"


def test_config_shows_and_applies_settings(
    shell: Shell, room_name: str, capsys: pytest.CaptureFixture[str], livekit: server.RunningServer
) -> None:
    shell.cell("%config LkMagics")
    shown = capsys.readouterr().out
    for name in ("url", "identity", "timeout"):
        assert f"LkMagics.{name}" in shown
    assert "Seconds that %lk connect waits without --timeout." in shown
    shell.cell("%config LkMagics.identity = 'zoe'")
    assert shell.cell(f"%lk connect {room_name}").identity == "zoe"
    shell.cell("%config LkMagics.url = 'ws://127.0.0.1:9'")
    shell.cell("%config LkMagics.timeout = 1.0")
    assert "127.0.0.1:9" in refused(shell, "%lk connect other")


def test_nest_off_reports_when_nothing_was_patched(shell: Shell) -> None:
    assert "nothing was patched" in shell.cell("%lk nest off")
    assert "no event loop is running" in shell.cell("%lk nest on")


# Display


def test_results_have_html_and_text(joined: Shell, dave: PlainPeer) -> None:
    joined.cell("%%lk handle add\n1")
    joined.cell("%%lk text\nhi")
    formatter = joined.display_formatter
    assert formatter is not None
    for line in ("status", "rooms", "topics", "handlers", "attrs", "server", "participants", "events"):
        shown = joined.cell(f"%lk {line}")
        data, _ = formatter.format(shown)
        assert "<table>" in data["text/html"], line
        assert "\n" in data["text/plain"], line
        assert isinstance(shown, Table) or line in ("participants", "events")


# The docs

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "magics.md").read_text()
README = (ROOT / "README.md").read_text()
VERBS = {verb.magic + " " + verb.name: verb for verb, _ in (*LINE.values(), *CELL.values())}


def cells(text: str) -> list[str]:
    return re.findall(r"^```ipython\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)


def test_docs_match_grammar_of_every_verb() -> None:
    assert written(DOCS) == DOCS, "`make docs` writes docs/magics.md anew."
    parts = re.split(r"^### `(%%?lk [\w-]+)`$", DOCS, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert sorted(sections) == sorted(VERBS)
    for name, section in sections.items():
        named = set(re.findall(r"--[\w-]+", " ".join(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))))
        assert named == set(VERBS[name].parser().options()) - {"--help"}, name
        assert set(VERBS[name].examples) <= set(cells(section)), name


def test_docs_name_every_setting() -> None:
    assert set(re.findall(r"^\| `LkMagics\.(\w+)`", DOCS, re.MULTILINE)) == set(LkMagics.class_trait_names(config=True))


def test_every_cell_in_docs_parses(shell: Shell) -> None:
    for cell in cells(DOCS) + cells(README):
        first, _, _ = cell.partition("\n")
        magic, _, rest = first.partition(" ")
        if magic in ("%lk", "%%lk"):
            name, _, options = rest.partition(" ")
            VERBS[f"{magic} {name}"].parser().read(split(options))


def test_readme_names_every_verb() -> None:
    section = README.split("## Without Python: magics")[1].split("\n## ")[0]
    for magic in ("%lk", "%%lk"):
        (line,) = re.findall(rf"^\| `{magic}` \| (.*) \|$", section, re.MULTILINE)
        assert [f"{magic} {name}" for name in re.findall(r"`([\w-]+)`", line)] == [
            each for each in VERBS if each.startswith(magic + " ")
        ]


def test_readme_cells_run(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    results = [shell.cell(cell, id=str(number)) for number, cell in enumerate(cells(README))]
    assert results[-1] == 3
    shell.cell("%lk close --all")
