"""In a real kernel: where output goes, rerunning cells, busy and interrupted cells, and shutdown."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kernels import Cell, Kernel, interrupted
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import server

Join = Callable[..., lknb.Room]
Peer = Callable[..., PlainPeer]


@pytest.fixture(scope="module")
def running_kernel(livekit: server.RunningServer) -> Iterator[Kernel]:
    """Yield one kernel for the tests that do not change it; starting one takes a second or two."""
    with Kernel() as kernel:
        kernel.run("import lknb, threading, time, os").ok()
        yield kernel


@pytest.fixture
def kernel(running_kernel: Kernel, alice: lknb.Room, room_name: str) -> Iterator[Kernel]:
    """Yield a kernel that has joined this test's room as `kernel`, in its variable `room`."""
    running_kernel.run(f"room = lknb.connect({room_name!r}, 'kernel')", cell_id="connect").ok()
    eventually(lambda: "kernel" in alice.participants)
    yield running_kernel
    running_kernel.run("for each in lknb.rooms(): each.close()").ok()


def handled(room: lknb.Room, kernel: Kernel, *packets: bytes, topic: str = "t") -> None:
    """Publish packets and wait until the kernel's handlers have run."""
    kernel.run("fence = room.listen('data', topic='fence')").ok()
    for packet in packets:
        room.publish_data(packet, topic=topic)
    room.publish_data(b"", topic="fence")
    code = """
fence.next()
deadline = time.monotonic() + 10
while any(each.running or each._waiting for each in room.handlers) and time.monotonic() < deadline:
    time.sleep(0.005)
"""
    kernel.run(code).ok()


# Where outputs go

PRINTERS = {
    "sync": "@room.on_data('t')\ndef handler(data): print('sync', data.decode())",
    "async": "@room.on_data('t')\nasync def handler(data): print('async', data.decode())",
    "rpc": "@room.rpc('m')\ndef method(word: str): print('rpc', word)",
    "async rpc": "@room.rpc('n')\nasync def method_n(word: str): print('async rpc', word)",
    "stream": "@room.on_text('s', stream=True)\ndef pieces(data): print('stream', ''.join(data))",
}


def test_handler_output_goes_to_its_cell(kernel: Kernel, alice: lknb.Room) -> None:
    cells = {name: kernel.run(code, cell_id=name).ok() for name, code in PRINTERS.items()}
    others: list[Cell] = []
    for word in ("one", "two"):
        alice.publish_data(word, topic="t")
        alice.perform_rpc("kernel", "m", word)
        alice.perform_rpc("kernel", "n", word)
        alice.send_text(word, topic="s")
        for name, cell in cells.items():
            eventually(lambda name=name, cell=cell, word=word: f"{name} {word}\n" in cell.stdout)
        others.append(kernel.run("print('another cell')").ok())
    assert {name: cell.stdout for name, cell in cells.items()} == {
        name: f"{name} one\n{name} two\n" for name in PRINTERS
    }
    assert [cell.stdout for cell in others] == ["another cell\n"] * 2


def test_handler_traceback_appears_in_its_cell(kernel: Kernel, alice: lknb.Room) -> None:
    first = kernel.run("def deeper(number):\n    return 1 / number", cell_id="deeper").ok()
    second = kernel.run("@room.on_data('t')\ndef failing(data):\n    deeper(len(data))", cell_id="failing").ok()
    served = kernel.run("@room.rpc('m')\ndef method():\n    raise LookupError('gone')", cell_id="method").ok()
    later = kernel.run("1 + 1")
    alice.publish_data(b"", topic="t")
    eventually(lambda: "ZeroDivisionError" in second.stderr)
    with pytest.raises(lknb.RpcError, match="1500"):
        alice.perform_rpc("kernel", "m")
    eventually(lambda: "LookupError: gone" in served.stderr)
    assert second.stderr.startswith("Handler failing of data failed:\nTraceback (most recent call last):\n")
    assert f"Cell In[{second.number}], line 3, in failing\n    deeper(len(data))" in second.stderr
    assert f"Cell In[{first.number}], line 2, in deeper\n    return 1 / number" in second.stderr
    assert f"Cell In[{served.number}], line 3, in method" in served.stderr
    assert "lknb/" not in second.stderr + served.stderr
    assert (later.stderr, first.stderr) == ("", "")


# Running a cell again


def test_rerunning_cell_replaces_its_handlers(kernel: Kernel, alice: lknb.Room) -> None:
    code = "@room.on_data('t')\ndef handler(data): print('first', data.decode())"
    first = kernel.run(code, cell_id="c").ok()
    handled(alice, kernel, b"1")
    second = kernel.run(code.replace("first", "second"), cell_id="c").ok()
    handled(alice, kernel, b"2")
    renamed = kernel.run(code.replace("handler", "renamed").replace("first", "third"), cell_id="c").ok()
    handled(alice, kernel, b"3")
    eventually(lambda: "\n" in renamed.stdout)
    assert [cell.stdout for cell in (first, second, renamed)] == ["first 1\n", "second 2\n", "third 3\n"]


def test_two_cells_can_define_handlers_of_same_name(kernel: Kernel, alice: lknb.Room) -> None:
    code = "@room.on_data('t')\ndef _(data): print(data.decode())"
    cells = [kernel.run(code, cell_id=cell_id).ok() for cell_id in ("a", "b")]
    twice = kernel.run(f"{code}\n{code}", cell_id="c").ok()
    handled(alice, kernel, b"x")
    eventually(lambda: [cell.stdout for cell in (*cells, twice)] == ["x\n", "x\n", "x\nx\n"])


def test_rerunning_cell_removes_handlers_it_no_longer_defines(kernel: Kernel, alice: lknb.Room) -> None:
    a = "@room.on_data('a')\ndef a(): ...\n"
    b = "@room.on_data('b')\ndef b(): ...\n"
    kernel.run(a + b + "@room.rpc('m')\ndef m(): ...", cell_id="c").ok()
    names = "print([each.name for each in room.handlers])"
    assert "ZeroDivisionError" in kernel.run(a + "1/0\n" + b, cell_id="c").error
    assert sorted(json.loads(kernel.run(names).stdout.replace("'", '"'))) == ["a", "b", "m"]
    kernel.run(a, cell_id="c").ok()
    assert kernel.run(names).stdout == "['a']\n"
    with pytest.raises(lknb.RpcError, match="1400"):
        alice.perform_rpc("kernel", "m")
    kernel.run("pass", cell_id="c").ok()
    assert kernel.run(names).stdout == "[]\n"


def test_same_name_replaces_handler_without_cell_ids(kernel: Kernel, alice: lknb.Room) -> None:
    code = "@room.on_data('t')\ndef handler(data): print('first', data.decode())"
    first = kernel.run(code).ok()
    second = kernel.run(code.replace("first", "second")).ok()
    kernel.run(code.replace("handler", "other").replace("print", "(lambda *_: 0)")).ok()
    handled(alice, kernel, b"1")
    eventually(lambda: second.stdout == "second 1\n")
    assert first.stdout == ""
    assert kernel.run("len(room.handlers)").shown[0]["text/plain"] == "2"


def test_rerunning_connecting_cell_keeps_room_and_handlers(kernel: Kernel, alice: lknb.Room, room_name: str) -> None:
    kernel.run("before = room\n@room.rpc('m')\ndef m(): return 'served'", cell_id="serve").ok()
    kernel.run(f"room = lknb.connect({room_name!r}, 'kernel')", cell_id="connect").ok()
    assert kernel.run("room is before").shown[0]["text/plain"] == "True"
    assert alice.perform_rpc("kernel", "m") == "served"


# Busy cells


@pytest.mark.parametrize("busy", ["stop.wait(60)", "while not stop.is_set(): sum(range(1000))"])
def test_handlers_answer_while_a_cell_is_busy(kernel: Kernel, alice: lknb.Room, busy: str) -> None:
    kernel.run("@room.rpc('sync')\ndef sync(): return 'sync'").ok()
    kernel.run("@room.rpc('async')\nasync def on_loop(): return 'async'").ok()
    kernel.run("stop = threading.Event()\n@room.rpc('stop')\ndef end(): stop.set()").ok()
    cell = kernel.start(f"print('begun', flush=True)\n{busy}")
    eventually(lambda: cell.stdout)
    try:
        for _ in range(3):
            assert alice.perform_rpc("kernel", "sync") == "sync"
            assert alice.perform_rpc("kernel", "async") == "async"
        assert not cell.done.is_set()
        alice.perform_rpc("kernel", "stop")
        cell.wait().ok()
    finally:
        if not cell.done.is_set():
            kernel.interrupt()  # otherwise it would block the kernel for the other tests


def test_main_thread_handler_waits_for_running_cell(kernel: Kernel, alice: lknb.Room) -> None:
    serving = kernel.run(
        """
@room.on_data('t', thread='main')
def plot(data):
    print(data.decode(), threading.current_thread() is threading.main_thread(), busy)
@room.rpc('m', thread='main')
async def where(): return threading.current_thread() is threading.main_thread()
busy = False
"""
    ).ok()
    cell = kernel.start("busy = True; print('begun', flush=True); time.sleep(0.5); busy = False")
    eventually(lambda: cell.stdout)
    alice.publish_data(b"x", topic="t")
    eventually(lambda: "\n" in serving.stdout)
    assert serving.stdout == "x True False\n"
    assert alice.perform_rpc("kernel", "m") is True


# Interrupted cells


def still_works(kernel: Kernel, alice: lknb.Room) -> None:
    inbox = alice.listen("text", topic="still")
    kernel.run("room.send_text('works', topic='still')").ok()
    assert inbox.next().data == "works"


def test_interrupt_ends_call(kernel: Kernel, alice: lknb.Room, peer: Peer) -> None:
    carol = peer("carol")
    carol.call("register_rpc", method="never", mode="sleep", seconds=60)
    cell = kernel.start("room.perform_rpc('carol', 'never', timeout=60)")
    carol.wait("rpc_called")
    interrupted(kernel, cell)
    status = "room.events.filter('rpc')[-1].status"
    eventually(lambda: kernel.run(status).shown[0]["text/plain"] == "'failed'")
    still_works(kernel, alice)


def test_interrupt_ends_next(kernel: Kernel, alice: lknb.Room) -> None:
    kernel.run("inbox = room.listen('data')").ok()
    cell = kernel.start("print('waiting', flush=True)\ninbox.next(timeout=None)")
    eventually(lambda: cell.stdout)
    interrupted(kernel, cell)
    alice.publish_data(b"after")
    assert kernel.run("inbox.next().data").shown[0]["text/plain"] == "b'after'"
    still_works(kernel, alice)


def test_interrupt_ends_file_transfer(kernel: Kernel, alice: lknb.Room) -> None:
    cell = kernel.start("room.send_bytes(os.urandom(50_000_000), topic='big', name='big.bin')")
    event = eventually(lambda: alice.events.filter("bytes"))[0]
    eventually(lambda: event.transferred > 0)
    interrupted(kernel, cell)
    eventually(lambda: event.status == "failed")
    still_works(kernel, alice)


def test_interrupt_ends_connect(kernel: Kernel, alice: lknb.Room) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        url = f"ws://127.0.0.1:{hole.getsockname()[1]}"
        options = f"url={url!r}, api_key='k', api_secret='s' * 32, timeout=60"
        cell = kernel.start(f"print('joining', flush=True)\nlknb.connect('hole', 'k', {options})")
        connection, _ = hole.accept()
        with connection:
            interrupted(kernel, cell)
    still_works(kernel, alice)


# Awaiting


def test_cell_awaits_on_kernel_loop(kernel: Kernel, alice: lknb.Room) -> None:
    texts = alice.listen("text")
    kernel.run("inbox = room.listen('data')").ok()
    kernel.run("event = await room.aio.send_text('from await')\nprint(event.status)").ok()
    assert texts.next().data == "from await"
    for number in range(3):
        alice.publish_data(b"%d" % number)
    code = """
got = []
async for event in inbox:
    got.append(event.data.decode())
    if len(got) == 3:
        break
print(got)
"""
    assert kernel.run(code).ok().stdout == "['0', '1', '2']\n"


def test_interrupt_ends_await(kernel: Kernel, alice: lknb.Room) -> None:
    kernel.run("inbox = room.listen('data')").ok()
    cell = kernel.start("print('waiting', flush=True)\nasync for event in inbox: pass")
    eventually(lambda: cell.stdout)
    kernel.interrupt()
    # ipykernel 7.4 cancels the cell's task, but only when something else wakes its loop.

    def woken() -> bool:
        alice.publish_data(b"wake up")
        return cell.done.wait(0.2)

    eventually(woken, within=20)
    assert cell.error.startswith(("KeyboardInterrupt", "CancelledError")), cell
    still_works(kernel, alice)


# Shutdown


def test_kernel_shutdown_leaves_room(alice: lknb.Room, room_name: str) -> None:
    with Kernel() as kernel:
        code = f"""
import lknb, threading
room = lknb.connect({room_name!r}, 'brief')
@room.rpc('block')
def block(): threading.Event().wait()
"""
        kernel.run(code).ok()
        eventually(lambda: "brief" in alice.participants)
        with pytest.raises(lknb.RpcError):
            alice.perform_rpc("brief", "block", timeout=0.2)
        leaving = alice.listen("participant", sender="brief")
        kernel.shut_down()
        # The server keeps a dropped connection for more than ten seconds.
        while leaving.next(timeout=9).topic != "left":
            pass


def test_kernels_that_start_together_share_one_server(tmp_path: Path) -> None:
    env = {"LKNB_STATE_DIR": str(tmp_path / "state")}
    kernels = [Kernel(env), Kernel(env)]
    try:
        for kernel in kernels:
            kernel.ready()
        code = "import lknb\nroom = lknb.connect('meeting', '{}')\nprint(lknb.server.ensure().url)"
        cells = [kernel.start(code.format(who)) for kernel, who in zip(kernels, ("anna", "ben"), strict=True)]
        urls = {cell.wait().ok().stdout for cell in cells}
        assert len(urls) == 1
        kernels[0].run("@room.rpc('hello')\ndef hello(caller): return f'hello {caller}'").ok()
        answer = kernels[1].run("room.perform_rpc('anna', 'hello')").ok()
        assert answer.shown[0]["text/plain"] == "'hello ben'"
        for kernel in kernels:
            kernel.run("room.close()").ok()
        kernels[0].run("lknb.server.stop()").ok()
    finally:
        for kernel in kernels:
            kernel.close()


# Imports


def test_importing_lknb_loads_no_heavy_modules() -> None:
    code = "import sys, lknb; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(done.stdout.split())
    assert "lknb" in loaded
    assert not loaded & {"livekit", "IPython", "ipywidgets", "pydantic", "asyncio", "numpy", "pandas", "pyarrow"}


def test_connecting_outside_notebook_loads_no_jupyter(livekit: server.RunningServer, room_name: str) -> None:
    code = f"""
import sys, lknb
with lknb.connect({room_name!r}, "script") as room:
    room.rpc("m")(lambda: 1)
    room.send_text("hi")
print("IPython" in sys.modules, "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False False\n"
