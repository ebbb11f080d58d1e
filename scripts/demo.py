"""Run a notebook without a browser and print its output.

    python scripts/demo.py [--timeout SECONDS] NOTEBOOK

Each code cell is sent to a real kernel, as JupyterLab would send it, and its output is printed as plain text when it
has run. Nothing is written to the notebook. The first error ends the run with exit code 1; a cell tagged
`raises-exception` may fail.

This script reads the kernel's messages itself, because nbclient drops what a cell prints after it has finished, and in
a live room that is half of the output. A handler's output belongs to the cell that defined it, and arrives while later
cells run. It is printed under that cell's number, marked "later".
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import nbformat
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager

STARTUP_TIMEOUT: Final = 60.0
# After a timeout, the kernel is interrupted, and has this long to report where it was.
INTERRUPT_GRACE: Final = 5.0
# After the last cell: how long the room must be quiet, and how long to wait for that.
QUIET: Final = 0.5
QUIET_WITHIN: Final = 3.0

ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # titles, hyperlinks
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Failure(Exception):
    """A cell failed, took too long, or lost its kernel."""


class ThisPython(KernelSpecManager):
    """Has one kernel, the Python that runs this script, whatever is installed and whatever the notebook names."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=make_ipkernel_cmd(), display_name=kernel_name, language="python")


class Cell:
    """One code cell, and its output that has not been printed yet."""

    def __init__(self, number: int, source: str, tags: list[str], cell_id: str) -> None:
        self.number = number
        self.source = source
        self.may_fail = "raises-exception" in tags
        self.cell_id = cell_id
        # (display id, text): updates replace a display until it is printed.
        self._shown: list[tuple[str | None, str]] = []
        self._clear_before_next = False

    def title(self) -> str:
        lines = [line for line in self.source.splitlines() if line.strip()]
        return lines[0] + (" ..." if len(lines) > 1 else "")

    def show(self, text: str, display_id: str | None = None) -> None:
        if self._clear_before_next:
            self._shown.clear()
            self._clear_before_next = False
        if display_id is not None:
            for place, (shown_id, _) in enumerate(self._shown):
                if shown_id == display_id:
                    self._shown[place] = (display_id, text)
                    return
        if display_id is None and self._shown and self._shown[-1][0] is None:
            text = self._shown.pop()[1] + text
        self._shown.append((display_id, text))

    def clear(self, *, wait: bool) -> None:
        if wait:
            self._clear_before_next = True
        else:
            self._shown.clear()

    def take(self) -> list[str]:
        lines = [line for _, text in self._shown for line in plain(text).splitlines()]
        self._shown.clear()
        return lines


class Run:
    """One run of a notebook in one kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, timeout: float) -> None:
        self._manager = manager
        self._client = client
        self._timeout = timeout
        self._by_request: dict[str, Cell] = {}
        self._by_display: dict[str, Cell] = {}

    def execute(self, cell: Cell) -> None:
        """Run the cell, print its output and the late output of earlier ones, and raise `Failure` if it failed."""
        print(f"\n[{cell.number}] {plain(cell.title())}", flush=True)
        began = time.monotonic()
        request = self._send(cell)
        error: str | None = None
        problem: str | None = None
        idle = False
        deadline = began + self._timeout
        while not idle:
            try:
                message = self._client.get_iopub_msg(timeout=min(1.0, max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                if not self._manager.is_alive():
                    problem = "its kernel died"
                    break
                if time.monotonic() < deadline:
                    continue
                if problem is not None:
                    break
                problem = f"it took longer than {self._timeout:g} s"
                self._manager.interrupt_kernel()
                deadline = time.monotonic() + INTERRUPT_GRACE
                continue
            kind, content, parent = self._take_in(message)
            if parent == request:
                idle = kind == "status" and content["execution_state"] == "idle"
                if kind == "error":
                    error = f"{content['ename']}: {content['evalue']}".removesuffix(": ")
        took = time.monotonic() - began
        print_lines(cell.take())
        if took >= 1:
            print(f"    ({took:.1f} s)", flush=True)
        self.print_late()
        if problem is not None:
            raise Failure(f"cell {cell.number}: {problem}" + (f" (it ended with {error})" if error else ""))
        if error is not None and not cell.may_fail:
            raise Failure(f"cell {cell.number}: {error}")

    def wait_until_quiet(self) -> None:
        """Print what handlers still output after the last cell."""
        give_up = time.monotonic() + QUIET_WITHIN
        while time.monotonic() < give_up:
            try:
                self._take_in(self._client.get_iopub_msg(timeout=QUIET))
            except queue.Empty:
                break
        self.print_late()

    def print_late(self) -> None:
        for cell in self._by_request.values():
            lines = cell.take()
            if lines:
                print(f"[{cell.number}, later]", flush=True)
                print_lines(lines)

    def _send(self, cell: Cell) -> str:
        # `client.execute` cannot send the cell's id, which lknb uses to recognise a repeated cell.
        content = {
            "code": cell.source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": not cell.may_fail,
        }
        message = self._client.session.msg("execute_request", content, metadata={"cellId": cell.cell_id})
        request: str = message["header"]["msg_id"]
        self._by_request[request] = cell
        self._client.shell_channel.send(message)
        return request

    def _take_in(self, message: dict[str, Any]) -> tuple[str, dict[str, Any], str | None]:
        """Add one message to the cell that it belongs to."""
        kind: str = message["header"]["msg_type"]
        content: dict[str, Any] = message["content"]
        parent: str | None = message["parent_header"].get("msg_id")
        cell = self._by_request.get(parent or "")
        if kind == "update_display_data":
            display_id: str = content["transient"]["display_id"]
            owner = self._by_display.get(display_id)
            if owner is not None:
                owner.show(text_of(content["data"]), display_id)
        elif cell is None:
            pass
        elif kind == "stream":
            cell.show(content["text"])
        elif kind in {"display_data", "execute_result"}:
            shown_id: str | None = content.get("transient", {}).get("display_id")
            if shown_id is not None:
                self._by_display[shown_id] = cell
            cell.show(text_of(content["data"]), shown_id)
        elif kind == "error":
            cell.show("\n".join(content["traceback"]) + "\n")
        elif kind == "clear_output":
            cell.clear(wait=content["wait"])
        return kind, content, parent


def text_of(data: dict[str, Any]) -> str:
    text = data.get("text/plain")
    return f"{text}\n" if text is not None else f"<{', '.join(sorted(data))}>\n"


def plain(text: str) -> str:
    """`text` without terminal controls; of a line that rewrites itself, only the last state."""
    text = ESCAPES.sub("", text).replace("\r\n", "\n")
    text = re.sub(r"[^\n]*\r(?=[^\n])", "", text)
    return CONTROLS.sub("", text)


def print_lines(lines: list[str]) -> None:
    for line in lines:
        print(f"    {line}".rstrip(), flush=True)


def headings(markdown: str) -> list[str]:
    return [plain(line) for line in markdown.splitlines() if re.match(r"#{1,6} ", line)]


@contextlib.contextmanager
def kernel(folder: Path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """A new kernel whose working directory is `folder`."""
    with tempfile.TemporaryDirectory(prefix="lknb-demo-") as sockets:
        # Uses socket files that belong to this user: a port would be open to every user of the machine.
        manager = KernelManager(kernel_spec_manager=ThisPython(), transport="ipc", ip=f"{sockets}/kernel")
        # Keeps the cells out of the user's history.
        manager.start_kernel(extra_arguments=["--HistoryManager.hist_file=:memory:"], cwd=str(folder.resolve()))
        client = manager.client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=STARTUP_TIMEOUT)
            yield manager, client
        finally:
            client.stop_channels()
            manager.shutdown_kernel()


def run(path: Path, timeout: float) -> None:
    """Run the notebook and print its output."""
    notebook = nbformat.read(path, as_version=4)
    with kernel(path.parent) as (manager, client):
        this_run = Run(manager, client, timeout)
        number = 0
        for place, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                for heading in headings(cell.source):
                    print(f"\n{heading}", flush=True)
            elif cell.cell_type == "code" and cell.source.strip():
                number += 1
                tags = cell.metadata.get("tags", [])
                this_run.execute(Cell(number, cell.source, tags, cell.get("id", str(place))))
        this_run.wait_until_quiet()


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a notebook without a browser and print its output.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="for each cell (%(default)g)")
    options = parser.parse_args()
    if not options.notebook.is_file():
        parser.error(f"there is no notebook {options.notebook}")
    # Print characters that the terminal's encoding lacks as escapes, instead of failing.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    print(f"Running {options.notebook}", flush=True)
    try:
        run(options.notebook, options.timeout)
    except Failure as failure:
        print(f"\nFailed in {plain(str(failure))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped", file=sys.stderr)
        return 130
    print("\nAll cells ran.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
