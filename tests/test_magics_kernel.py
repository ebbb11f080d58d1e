"""`%lk` and `%%lk` in real kernels: ipykernel 6.31, 7.3 and the installed one. 7.0 loses output from threads."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kernels import Cell, Kernel, interrupted
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import server

Peer = Callable[..., PlainPeer]

VERSIONS = [
    pytest.param(None, id="installed"),
    pytest.param("6.31", id="6.31"),
    pytest.param("7.3", id="7.3"),
]


@pytest.fixture(scope="module", params=VERSIONS)
def running_kernel(request: pytest.FixtureRequest, livekit: server.RunningServer) -> Iterator[Kernel]:
    """Yield one kernel of each version for the tests that do not change it."""
    with Kernel(version=request.param) as kernel:
        if request.param is not None:
            found = kernel.run("import ipykernel\nprint(ipykernel.__version__)").ok().stdout
            assert found.startswith(request.param)
        kernel.run("import asyncio, os, threading, time").ok()
        # IPython has its own alias %lk.
        kernel.run(
            "before = {kind: type(all.get('lk')) for kind, all in get_ipython().magics_manager.magics.items()}"
        ).ok()
        yield kernel


@pytest.fixture
def kernel(running_kernel: Kernel, alice: lknb.Room, room_name: str) -> Iterator[Kernel]:
    """Yield a kernel that has joined this test's room as `kernel`, using only magics."""
    running_kernel.run("%load_ext lknb", cell_id="load").ok()
    joined = succeeds(running_kernel, f"%lk connect {room_name} --as kernel -o room", cell_id="connect")
    assert joined.shown
    eventually(lambda: "kernel" in alice.participants)
    yield running_kernel
    succeeds(running_kernel, "%lk close --all")


def succeeds(kernel: Kernel, code: str, cell_id: str | None = None) -> Cell:
    """Run a cell that must not fail. A magic's usage error sends no error message, only an error status."""
    cell = kernel.run(code, cell_id=cell_id)
    assert kernel.status(cell) == "ok", cell
    return cell


def shown(kernel: Kernel, code: str) -> str:
    """Return a cell's output as text."""
    text: str = succeeds(kernel, code).shown[0]["text/plain"]
    return text


def printed(cell: Cell, text: str) -> None:
    """Wait until a cell has printed `text`."""
    eventually(lambda: text in cell.stdout, what=f"{text!r} in {cell!r}")


# Where outputs go

PRINTERS = {
    "on": "%%lk on data --topic t\nprint('on', data.decode())",
    "awaiting": "%%lk on data --topic t\nimport asyncio\nawait asyncio.sleep(0)\nprint('awaiting', data.decode())",
    "text": "%%lk on text --topic s\nprint('text', data)",
    "handle": "%%lk handle m\nprint('handle', payload)\npayload.upper()",
    "awaiting handle": "%%lk handle n\nawait asyncio.sleep(0)\nprint('awaiting handle', payload)\nreturn payload * 2",
}


def test_body_output_goes_to_its_cell(kernel: Kernel, alice: lknb.Room) -> None:
    cells = {name: succeeds(kernel, code, name) for name, code in PRINTERS.items()}
    others = []
    for word in ("one", "two"):
        alice.publish_data(word, topic="t")
        alice.send_text(word, topic="s")
        assert alice.perform_rpc("kernel", "m", word) == word.upper()
        assert alice.perform_rpc("kernel", "n", word) == word * 2
        for name, cell in cells.items():
            printed(cell, f"{name} {word}\n")
        others.append(succeeds(kernel, "print('another cell')"))
    assert {name: cell.stdout for name, cell in cells.items()} == {
        name: f"{name} one\n{name} two\n" for name in PRINTERS
    }
    assert [cell.stdout for cell in others] == ["another cell\n"] * 2
    assert not any(cell.shown or cell.stderr for cell in cells.values())


@pytest.mark.parametrize("awaits", ["", "await asyncio.sleep(0)"])
def test_body_traceback_names_its_cell_and_line(kernel: Kernel, alice: lknb.Room, awaits: str) -> None:
    deeper = succeeds(kernel, "def deeper(number):\n    return 1 / number", "deeper")
    failing = succeeds(kernel, f"%%lk on data --topic t\n\nsize = len(data)\n{awaits}\ndeeper(size)  # here", "failing")
    served = succeeds(kernel, f"%%lk handle m\n{awaits}\nraise LookupError(payload)", "served")
    later = succeeds(kernel, "1 + 1")
    alice.publish_data(b"", topic="t")
    with pytest.raises(lknb.RpcError, match="1500"):
        alice.perform_rpc("kernel", "m", "gone")
    eventually(lambda: "ZeroDivisionError: " in failing.stderr and "LookupError: gone" in served.stderr)
    assert failing.stderr.startswith("Handler on_data of data failed:\nTraceback (most recent call last):\n  Cell In[")
    assert f"  Cell In[{failing.number}], line 5, in " in failing.stderr
    assert "\n    deeper(size)  # here\n" in failing.stderr
    assert f"  Cell In[{deeper.number}], line 2, in deeper\n    return 1 / number\n" in failing.stderr
    assert f"  Cell In[{served.number}], line 3, in " in served.stderr
    assert "\n    raise LookupError(payload)\n" in served.stderr
    assert "lknb/" not in failing.stderr + served.stderr
    assert (later.stderr, deeper.stderr) == ("", "")


def test_invalid_python_is_rejected_with_its_line(kernel: Kernel) -> None:
    refused = kernel.run("%%lk on data\n\n\nx = = 1", "refused")
    assert refused.stderr.count("\n") == 1
    assert "line 4 of the cell" in refused.stderr
    assert shown(kernel, "len(room.handlers)") == "0"


# Running a cell again


def test_rerunning_cell_replaces_its_handler(kernel: Kernel, alice: lknb.Room) -> None:
    code = "%%lk on data --topic t\nprint('first', data.decode())"
    method = "%%lk handle m\n'first'"
    first = succeeds(kernel, code, "on")
    succeeds(kernel, method, "handle")
    alice.publish_data(b"1", topic="t")
    printed(first, "first 1\n")
    second = succeeds(kernel, code.replace("first", "second"), "on")
    succeeds(kernel, method.replace("first", "second"), "handle")
    alice.publish_data(b"2", topic="t")
    printed(second, "second 2\n")
    elsewhere = succeeds(kernel, code.replace("topic t", "topic u").replace("first", "third"), "on")
    alice.publish_data(b"3", topic="t")
    alice.publish_data(b"4", topic="u")
    printed(elsewhere, "third 4\n")
    assert [cell.stdout for cell in (first, second, elsewhere)] == ["first 1\n", "second 2\n", "third 4\n"]
    assert alice.perform_rpc("kernel", "m") == "second"
    assert shown(kernel, "sorted((each.kind, each.topic) for each in room.handlers)") == "[('data', 'u'), ('rpc', 'm')]"


def test_rerunning_cell_removes_handlers_it_no_longer_defines(kernel: Kernel, alice: lknb.Room) -> None:
    topics = "sorted(each.topic for each in room.handlers)"
    succeeds(kernel, "%%lk handle m\n1", "c")
    succeeds(kernel, "%%lk on data --topic t\n1", "other")
    mistaken = kernel.run("%%lk handle m --concurency 3\n1", "c")
    assert kernel.status(mistaken) == "error"
    assert shown(kernel, topics) == "['m', 't']"
    succeeds(kernel, "%%lk handle renamed\n2", "c")
    assert shown(kernel, topics) == "['renamed', 't']"
    with pytest.raises(lknb.RpcError, match="1400"):
        alice.perform_rpc("kernel", "m")
    succeeds(kernel, "pass", "c")
    assert shown(kernel, topics) == "['t']"


def test_body_reads_and_sets_user_variables(kernel: Kernel, alice: lknb.Room) -> None:
    succeeds(kernel, "total = 0\ndef double(x): return 2 * x")
    succeeds(
        kernel,
        "%%lk handle add\nglobal total, last\ntotal += double(payload)\nlast = payload\nawait asyncio.sleep(0)\ntotal",
        "add",
    )
    assert [alice.perform_rpc("kernel", "add", number) for number in (1, 2)] == [2, 6]
    assert shown(kernel, "total, last, 'payload' in globals(), 'lk_body' in globals()") == "(6, 2, False, False)"
    succeeds(kernel, "def double(x): return 20 * x")
    assert alice.perform_rpc("kernel", "add", 1) == 26


def test_a_cell_that_awaits_stores_with_o_and_a_function_sends_its_own_variable(
    kernel: Kernel, alice: lknb.Room
) -> None:
    texts = alice.listen("text", topic="own")
    succeeds(kernel, "await asyncio.sleep(0)\n%lk rooms -o kept\nassert len(kept) == 1")
    succeeds(
        kernel,
        "words = 'global'\nasync def send(words):\n    await asyncio.sleep(0)\n"
        "    %lk text --topic own --var words\nawait send('local')\n%lk text --topic own --var words",
    )
    assert [texts.next().data, texts.next().data] == ["local", "global"]
    refused = kernel.run("def f():\n    %lk rooms -o kept\nf()")
    assert "-o kept cannot set a variable of a function" in refused.stderr + refused.error


# Several cells at once


def test_queued_cells_run_in_order(kernel: Kernel, alice: lknb.Room) -> None:
    texts = alice.listen("text", topic="queue")
    codes = (
        "ran = ['first']\nprint(*ran)",
        "%lk status",
        "time.sleep(0.3)\nran.append('slept')\nprint(*ran)",
        "%%lk text --topic queue -o sent\nfrom the queue",
        "await asyncio.sleep(0.2)\nran.append(sent.status)\nprint(*ran)",
        "%%lk handle queued\nprint('called')\nlen(ran)",
    )
    cells = [kernel.start(code, f"queued {number}", stop_on_error=True) for number, code in enumerate(codes)]
    assert [kernel.status(cell) for cell in cells] == ["ok"] * 6
    for cell in cells:
        cell.wait()
    assert alice.perform_rpc("kernel", "queued") == 3
    printed(cells[-1], "called\n")
    assert [cell.stdout for cell in cells] == ["first\n", "", "first slept\n", "", "first slept ok\n", "called\n"]
    assert [bool(cell.shown) for cell in cells] == [False, True, False, True, False, False]
    numbers = [cell.number or 0 for cell in cells]
    assert numbers == list(range(numbers[0], numbers[0] + 6))
    assert texts.next().data == "from the queue"


def test_mistake_is_one_line_and_stops_run_all(kernel: Kernel) -> None:
    cells = [
        kernel.start(code, stop_on_error=True)
        for code in ("time.sleep(2)", "%lk conect studio", "print('never')", "%lk status")
    ]
    assert [kernel.status(cell) for cell in cells] == ["ok", "error", "aborted", "aborted"]
    mistaken = cells[1].wait()
    assert mistaken.stderr.startswith("UsageError: %lk has no verb conect; did you mean connect?")
    assert mistaken.stderr.count("\n") == 1
    assert not mistaken.error
    # The kernel keeps aborting cells until its queue has been empty once.
    eventually(lambda: kernel.status(kernel.start("1")) == "ok")
    assert not any(cell.stdout or cell.shown for cell in cells)


MISTAKES = (
    "%lk rpc nobody ping",
    "%lk rpc alice nothing",
    "%%lk rpc alice nothing\n{not json",
    "%lk send-file not-there.bin",
    "%lk text --var undefined_name",
    "%%lk text --to nobody\nhello",
    "%lk use elsewhere",
    "%lk handlers rm nothing",
    "%lk attrs broken",
)


def test_mistakes_are_one_line(kernel: Kernel) -> None:
    for code in MISTAKES:
        cell = kernel.run(code)
        assert kernel.status(cell) == "error"
        assert cell.stderr.startswith("UsageError: ")
        assert cell.stderr.count("\n") == 1, cell.stderr
        assert [cell.error, cell.stdout, cell.shown] == ["", "", []]


# Interrupted verbs


def still_works(kernel: Kernel, alice: lknb.Room) -> None:
    inbox = alice.listen("text", topic="still")
    succeeds(kernel, "%%lk text --topic still\nworks")
    assert inbox.next().data == "works"


@pytest.mark.parametrize("code", ["%lk rpc carol never --timeout 60", "%%lk rpc carol never --timeout 60\n{}"])
def test_interrupt_ends_call(kernel: Kernel, alice: lknb.Room, peer: Peer, code: str) -> None:
    carol = peer("carol")
    carol.call("register_rpc", method="never", mode="sleep", seconds=60)
    cell = kernel.start(code)
    carol.wait("rpc_called")
    interrupted(kernel, cell)
    eventually(lambda: shown(kernel, "room.events.filter('rpc')[-1].status") == "'failed'")
    still_works(kernel, alice)


def test_interrupt_ends_file_transfer(kernel: Kernel, alice: lknb.Room, tmp_path: Path) -> None:
    path = tmp_path / "big file.bin"
    path.write_bytes(os.urandom(1_000_000) * 50)  # what compresses is sent in one call, which cannot be interrupted
    cell = kernel.start(f"%lk send-file '{path}' --topic big")
    event = eventually(lambda: alice.events.filter("bytes"))[0]
    eventually(lambda: event.transferred > 0)
    interrupted(kernel, cell)
    eventually(lambda: event.status == "failed")
    still_works(kernel, alice)


def test_interrupt_ends_connect(kernel: Kernel, alice: lknb.Room) -> None:
    succeeds(kernel, "os.environ.update(LIVEKIT_API_KEY='key', LIVEKIT_API_SECRET='s' * 32)")
    try:
        with socket.socket() as hole:
            hole.bind(("127.0.0.1", 0))
            hole.listen()
            hole.settimeout(10)
            cell = kernel.start(
                f"%lk connect hole --as kernel --url ws://127.0.0.1:{hole.getsockname()[1]} --timeout 60"
            )
            connection, _ = hole.accept()
            with connection:
                interrupted(kernel, cell)
    finally:
        succeeds(kernel, "del os.environ['LIVEKIT_API_KEY'], os.environ['LIVEKIT_API_SECRET']")
    assert shown(kernel, "%lk rooms").count("kernel") == 1
    still_works(kernel, alice)


# Payloads and results


@pytest.mark.parametrize(
    "body", ["no newline", "a newline\n", "two\n\n", "\n\nempty lines before", "{x} $x --to bob ;\n "]
)
def test_body_arrives_as_typed(kernel: Kernel, alice: lknb.Room, body: str) -> None:
    inbox, packets = alice.listen("text", topic="typed"), alice.listen("data", topic="typed")
    succeeds(kernel, f"%%lk text --topic typed\n{body}")
    succeeds(kernel, f"%%lk data --topic typed\n{body}")
    assert inbox.next().data == body
    assert packets.next().data == body.encode()


def test_megabyte_of_text_arrives_as_typed(kernel: Kernel, alice: lknb.Room) -> None:
    inbox = alice.listen("text", topic="typed")
    body = json.dumps({"'quotes'": 'and "quotes" \\ $HOME {x} %lk \u2028', "emoji": "🙂"}, ensure_ascii=False) * 20_000
    succeeds(kernel, f"%%lk text --topic typed ;\n{body}")
    assert inbox.next(timeout=20).data == body


def test_semicolon_suppresses_output_and_result_can_be_assigned(kernel: Kernel) -> None:
    assert succeeds(kernel, "%lk status").shown
    silent = [
        "%lk status;",
        "%lk status ;",
        "kept = %lk status",
        "%lk events -o log;",
        "%%lk text --topic t;\nhello",
        "%%lk text --topic t -o sent ;\nhello;",
    ]
    assert [code for code in silent if (cell := succeeds(kernel, code)).shown or cell.stdout] == []
    assert shown(kernel, "type(kept).__name__, sent.data") == "('Table', 'hello;')"


# Completion


def test_completion_offers_verbs_options_and_participants(kernel: Kernel, peer: Peer) -> None:
    peer("carol")
    eventually(lambda: "carol" in shown(kernel, "list(room.participants)"))
    assert kernel.complete("%lk con") == ["connect"]
    assert kernel.complete("print(1)\n%lk con") == ["connect"]
    assert kernel.complete("x = %lk con") == ["connect"]
    assert kernel.complete("%%lk text --t") == ["--to", "--topic"]
    assert kernel.complete("%%lk text --to ") == ["alice", "carol"]
    assert kernel.complete("%lk rpc car") == ["carol"]
    succeeds(kernel, "%%lk on text\nprint(data)")
    # Jedi gives up if it takes too long, as it does at first on a busy machine.
    eventually(lambda: "print" in kernel.complete("%%lk on text\nprin"))


# Loading and unloading

TRACES = """
shell = get_ipython()
left = [kind for kind in ('line', 'cell') if type(shell.magics_manager.magics[kind].get('lk')) is not before[kind]]
left += [each for each in shell.configurables if type(each).__name__ == 'LkMagics']
left += [each for each in shell.Completer.custom_matchers if 'lk' in each.__name__]
left += [each for each in shell.events.callbacks['post_run_cell'] if each.__module__.startswith('lknb')]
left += [each.name for each in threading.enumerate() if each.name.startswith('lknb')]
left += [each.name for each in lknb.rooms()]
print(left)
"""


def test_unloading_removes_magics_and_leaves_rooms(kernel: Kernel, alice: lknb.Room, room_name: str) -> None:
    assert "already loaded" in succeeds(kernel, "import lknb\n%load_ext lknb").stdout
    serving = succeeds(kernel, "%%lk handle m\nprint('called')\n1", "m")
    assert alice.perform_rpc("kernel", "m") == 1
    succeeds(kernel, "%%lk on data\nprint('heard')", "on")
    leaving = alice.listen("participant", sender="kernel")
    unloaded = succeeds(kernel, "%unload_ext lknb")
    assert (unloaded.stdout, unloaded.stderr) == ("", "")
    # The server keeps a dropped connection for more than ten seconds.
    while leaving.next(timeout=9).topic != "left":
        pass
    assert eventually(lambda: succeeds(kernel, TRACES).stdout == "[]\n", within=10)
    assert "connect" not in kernel.complete("%lk con")
    loaded = succeeds(kernel, "%load_ext lknb")
    assert (loaded.stdout, loaded.stderr, loaded.shown) == ("", "", [])
    succeeds(kernel, f"%lk connect {room_name} --as kernel")
    succeeds(kernel, "%%lk handle m\n2", "m")
    assert alice.perform_rpc("kernel", "m") == 2
    succeeds(kernel, "pass", "m")
    with pytest.raises(lknb.RpcError, match="1400"):
        alice.perform_rpc("kernel", "m")
    assert serving.stdout == "called\n"


def test_reloading_keeps_rooms_and_handlers(kernel: Kernel, alice: lknb.Room) -> None:
    serving = succeeds(kernel, "%%lk handle m\nprint('called')\n1", "m")
    reloaded = succeeds(kernel, "%reload_ext lknb")
    assert (reloaded.stdout, reloaded.stderr) == ("", "")
    assert alice.perform_rpc("kernel", "m") == 1
    eventually(lambda: serving.stdout == "called\n")
    assert shown(kernel, "len(room.handlers)") == "1"
    assert shown(kernel, "x = %lk use kernel\nx is room") == "True"
    assert kernel.complete("%lk con") == ["connect"]
    succeeds(kernel, "%%lk handle other\n2", "m")
    assert shown(kernel, "[each.topic for each in room.handlers]") == "['other']"
    still_works(kernel, alice)


# Pasted scripts

SCRIPT = """
import asyncio
import os

from livekit import rtc


async def main() -> None:
    room = rtc.Room()
    await room.connect(os.environ["SAMPLE_URL"], os.environ["SAMPLE_TOKEN"])
    me = room.local_participant
    print(await me.perform_rpc(destination_identity="alice", method="note", payload="from a script"))
    await room.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_pasted_script_runs_with_nest(
    version: str | None, livekit: server.RunningServer, alice: lknb.Room, room_name: str, token: Callable[..., str]
) -> None:
    # Use calls, which are answered: a text that the SDK sends just before it disconnects can get lost.
    notes: list[str] = []

    @alice.rpc("note", raw=True)
    def _(payload: str) -> str:
        notes.append(payload)
        return "noted"

    texts = alice.listen("text", topic="script")
    with Kernel({"SAMPLE_URL": livekit.url, "SAMPLE_TOKEN": token("script")}, version) as kernel:
        succeeds(kernel, "%load_ext lknb")
        assert "asyncio is unchanged" in shown(kernel, "%lk nest off")
        assert kernel.run(SCRIPT).error.startswith("RuntimeError: asyncio.run() cannot be called")
        codes = (
            "%lk nest on",
            SCRIPT,
            f"%lk connect {room_name} --as kernel;",
            "%%lk text --topic script\nfrom the next cell",
            SCRIPT,
            "await asyncio.sleep(0.1)\nprint('last')",
        )
        cells = [kernel.start(code, stop_on_error=True) for code in codes]
        assert [kernel.status(cell) for cell in cells] == ["ok"] * 6
        for cell in cells:
            cell.wait()
        assert [cell.stdout for cell in cells] == ["", "noted\n", "", "", "noted\n", "last\n"]
        assert notes == ["from a script"] * 2
        assert texts.next().data == "from the next cell"
        assert "cannot be removed" in shown(kernel, "%lk nest off")
        still_works(kernel, alice)
        succeeds(kernel, "%lk close")
