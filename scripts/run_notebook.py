"""Run a notebook in a real kernel and save it with its outputs, without values that differ in each run.

    python scripts/run_notebook.py NOTEBOOK...

`make notebook` runs the quickstart, so that readers on a code host see its outputs. The notebooks `two-notebooks-*`
need each other, and are run at the same time. Unlike `scripts/demo.py`, this drops what a handler prints after its cell
has finished, so cells must wait for what they show.
"""

from __future__ import annotations

import copy
import datetime as dt
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from demo import ThisPython
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


def execute(notebook: Any, folder: Path, *, times: int = 1, timeout: int = 120) -> list[Any]:
    """Run all cells `times` times in the same kernel; return a copy of the notebook with its outputs for each time.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    runs = []
    with tempfile.TemporaryDirectory(prefix="lknb-run-") as sockets:
        manager = AsyncKernelManager(kernel_spec_manager=ThisPython(), transport="ipc", ip=f"{sockets}/kernel")
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=timeout,
            record_timing=False,
            coalesce_streams=True,
            # Save the widgets' static HTML, not their state, which only a page with scripts can show.
            store_widget_state=False,
            resources={"metadata": {"path": str(folder)}},
        )
        with client.setup_kernel():
            assert client.kc is not None
            for _ in range(times):
                for index, cell in enumerate(notebook.cells):
                    # JupyterLab sends the cell's id, nbclient does not. lknb uses it to recognise a repeated cell.
                    client.kc.session.metadata = {"cellId": cell.id}
                    client.execute_cell(cell, index)
                runs.append(copy.deepcopy(notebook))
    return runs


NOON = "12:00:00"
CLOCK = re.compile(r"\b\d\d:\d\d:\d\d(\.\d{3})?\b")
PICTURE = re.compile(r"(<svg\b.*?</svg>)", re.DOTALL)
ROOM = re.compile(r"\b([a-z]+(?:-[a-z]+)*)-\d{3,}\b")  # a room named after this kernel's process


def steady(output: Any) -> None:
    """Replace times of day and process ids in an output's texts, because they differ in each run."""
    for kind, text in output.get("data", {}).items():
        if kind in ("text/html", "text/plain"):
            parts = [
                from_noon(part) if index % 2 else CLOCK.sub(NOON, part)
                for index, part in enumerate(PICTURE.split(text))
            ]
            output.data[kind] = ROOM.sub(r"\1", "".join(parts))


def from_noon(picture: str) -> str:
    """Replace times of day so that the first one is noon: the labels of an axis stay different."""
    seen: list[int] = []

    def shifted(match: re.Match[str]) -> str:
        hours, minutes, seconds = map(int, match[0][:8].split(":"))
        seen.append(3600 * hours + 60 * minutes + seconds)
        return str(dt.timedelta(hours=12, seconds=seen[-1] - seen[0]))

    return CLOCK.sub(shifted, picture)


def save(path: Path) -> None:
    """Run a notebook, and write it back with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    (executed,) = execute(notebook, path.parent)
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        cell.execution_count = number
        cell.metadata = {name: value for name, value in cell.metadata.items() if name == "tags"}
        for output in cell.outputs:
            steady(output)
            if "execution_count" in output:
                output.execution_count = number
    executed.metadata["language_info"] = {"name": "python"}
    nbformat.write(executed, path)
    print(f"Saved {path} with the outputs of {len(code)} cells.")


def main() -> int:
    """Run the notebooks named on the command line, one after the other; those of a pair at the same time."""
    groups: dict[str, list[Path]] = {}
    for path in map(Path, sys.argv[1:]):
        pair = "two-notebooks" if path.stem.startswith("two-notebooks-") else path.stem
        groups.setdefault(pair, []).append(path)
    for paths in groups.values():
        with ThreadPoolExecutor(len(paths)) as pool:
            list(pool.map(save, paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())
