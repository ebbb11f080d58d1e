"""A real IPython kernel for tests: runs cells like JupyterLab and keeps the outputs of each cell.

    with Kernel() as kernel:
        first = kernel.run("print(1)", cell_id="a")     # waits until the kernel is idle again
        assert first.stdout == "1\n"
        slow = kernel.start("time.sleep(60)")           # does not wait
        kernel.interrupt()
        slow.wait()
        assert slow.error.startswith("KeyboardInterrupt")

What a handler prints later, while other cells run, is found in the cell that the kernel says it belongs to.
`Kernel(version="6.31")` is an older ipykernel, which `scripts/setup.sh dev` has put into a folder of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager

STARTUP = 60.0
"""Seconds for the kernel to start, on a busy machine."""

OTHERS = Path(os.environ.get("LKNB_TEST_KERNELS") or Path(sys.prefix, "kernels"))
"""Folder of the other ipykernels, each in `ipykernel-VERSION`."""


class _ThisPython(KernelSpecManager):
    """Finds one kernel, the Python that runs the tests, and ignores installed kernels."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=make_ipkernel_cmd(), display_name=kernel_name, language="python")


class Cell:
    """One run of a cell. Its outputs can grow until the kernel ends."""

    def __init__(self, request: str) -> None:
        self.request = request
        self.number: int | None = None
        self.stdout = ""
        self.stderr = ""
        self.shown: list[dict[str, Any]] = []
        self.error = ""
        self.done = threading.Event()

    def wait(self, timeout: float = 30) -> Cell:
        """Wait until the kernel has finished the cell."""
        assert self.done.wait(timeout), f"the cell did not end within {timeout:g} s: {self!r}"
        return self

    def ok(self) -> Cell:
        assert not self.error, self.error
        return self

    def __repr__(self) -> str:
        return f"<Cell [{self.number}] stdout={self.stdout!r} stderr={self.stderr!r} error={self.error!r}>"


class Kernel:
    """A kernel in a process of its own, with this process's environment and what `env` adds to it.

    Its ipykernel is the installed one, or the other one called `version`.
    """

    def __init__(self, env: Mapping[str, str] | None = None, version: str | None = None) -> None:
        env = {**os.environ, **(env or {})}
        if version is not None:
            folder = OTHERS / f"ipykernel-{version}"
            assert folder.is_dir(), f"{folder} is not there: run scripts/setup.sh dev"
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), env.get("PYTHONPATH"))))
        # Socket files of this user: another process could take a port first.
        self._sockets = tempfile.TemporaryDirectory(prefix="lknb-kernel-")
        self._manager = KernelManager(
            kernel_spec_manager=_ThisPython(),
            transport="ipc",
            ip=f"{self._sockets.name}/kernel",
            shutdown_wait_time=40,  # upper limit; less would kill a busy machine's kernel before lknb has left
        )
        self._manager.start_kernel(extra_arguments=["--HistoryManager.hist_file=:memory:"], env=env)
        # ipykernel 7.0 to 7.3 can miss a request until another client connects (ipykernel's issue 1554).
        self._overlooks = (version or "").startswith("7.")
        self._client: Any = None
        self._cells: dict[str, Cell] = {}
        self._displays: dict[str, Cell] = {}
        # Guards the cells: tests send, the reader receives.
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._reader = threading.Thread(target=self._read, name="kernel-reader", daemon=True)

    def ready(self) -> Kernel:
        """Wait until the kernel answers."""
        if self._client is None:
            self._client = self._manager.client()
            self._client.start_channels()
            self._client.wait_for_ready(timeout=STARTUP)
            self._reader.start()
        return self

    def __enter__(self) -> Kernel:
        return self.ready()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, code: str, cell_id: str | None = None, *, stop_on_error: bool = False) -> Cell:
        """Send a cell; `cell_id` is the front end's id, which stays the same when the cell runs again.

        With `stop_on_error`, which is what Run All does, its failure makes the kernel refuse those that are queued.
        """
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        metadata = {} if cell_id is None else {"cellId": cell_id}
        message = self._client.session.msg(
            "execute_request", {**content, "stop_on_error": stop_on_error}, metadata=metadata
        )
        cell = Cell(message["header"]["msg_id"])
        with self._lock:
            self._cells[cell.request] = cell
        self._client.shell_channel.send(message)
        return cell

    def run(self, code: str, cell_id: str | None = None, timeout: float = 30) -> Cell:
        """Run a cell to its end; `Cell.error` holds its error."""
        return self.start(code, cell_id).wait(timeout)

    def status(self, cell: Cell, timeout: float = 30) -> str:
        """Return the kernel's reply status for a finished cell: ok, error or aborted."""
        status: str = self._reply(cell.request, timeout)["status"]
        return status

    def complete(self, code: str, timeout: float = 30) -> list[str]:
        """Return the completions that Tab offers at the end of `code`."""
        matches: list[str] = self._reply(self._client.complete(code, len(code)), timeout)["matches"]
        return matches

    def _reply(self, request: str, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while True:
            message = self._client.get_shell_msg(timeout=max(0.0, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = message["content"]
                return content

    def interrupt(self) -> None:
        """Interrupt the kernel, like the stop button."""
        self._manager.interrupt_kernel()

    def shut_down(self) -> None:
        """Shut the kernel down, like closing the notebook."""
        self._manager.shutdown_kernel()

    def close(self) -> None:
        """End the kernel if it still runs."""
        self._ending.set()
        if self._reader.is_alive():
            self._reader.join(5)
        if self._client is not None:
            self._client.stop_channels()
        if self._manager.is_alive():
            self._manager.shutdown_kernel()
        self._manager.cleanup_resources()
        self._sockets.cleanup()

    def _read(self) -> None:
        socket = self._client.iopub_channel.socket
        nudged = time.monotonic()
        while not self._ending.is_set():
            if socket.poll(100):
                _, message = self._client.session.recv(socket, mode=0)
                self._take(message)
            if self._overlooks and time.monotonic() - nudged > 2:
                nudged = time.monotonic()
                self._nudge()

    def _nudge(self) -> None:
        """Connect and send a request, like another page."""
        socket = self._manager.connect_shell()
        self._client.session.send(socket, "kernel_info_request")
        socket.close(linger=1000)

    def _take(self, message: dict[str, Any]) -> None:
        kind, content = message["header"]["msg_type"], message["content"]
        with self._lock:
            cell = self._cells.get(message["parent_header"].get("msg_id", ""))
        display = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            cell = self._displays.get(display, cell)  # whichever cell sent it, as in JupyterLab
        if cell is None:
            return
        if display is not None:
            self._displays.setdefault(display, cell)
        if kind == "execute_input":
            cell.number = content["execution_count"]
        elif kind == "stream" and content["name"] == "stdout":
            cell.stdout += content["text"]
        elif kind == "stream":
            cell.stderr += content["text"]
        elif kind in ("display_data", "update_display_data", "execute_result"):
            cell.shown.append(content["data"])
        elif kind == "error":
            cell.error = f"{content['ename']}: {content['evalue']}\n" + "\n".join(content["traceback"])
        elif kind == "status" and content["execution_state"] == "idle":
            cell.done.set()


def interrupted(kernel: Kernel, cell: Cell) -> None:
    """Interrupt a long-running cell and check that it ends with KeyboardInterrupt."""
    kernel.interrupt()
    cell.wait(20)
    assert cell.error.startswith("KeyboardInterrupt"), cell
