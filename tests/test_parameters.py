"""Run a notebook with parameters as papermill does: in a cell after the tagged one, with nbclient, without cell ids."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from demo import ThisPython
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import lknb

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "measure-a-room.ipynb"


def with_parameters(code: str) -> Any:
    """The notebook with papermill's cell, which replaces the values of the one tagged `parameters`."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (at,) = [at for at, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(code, metadata={"tags": ["injected-parameters"]}))
    return notebook


def measurements(notebook: Any) -> int:
    """The number of messages that the notebook says it has measured."""
    (cell,) = [cell for cell in notebook.cells if cell.id == "measure"]
    found = re.search(r"(\d+) measurements", "".join(output.get("text", "") for output in cell.outputs))
    assert found, cell
    return int(found[1])


@pytest.mark.timeout(300)
def test_parameters_set_the_room_and_the_number_of_messages(join: Callable[..., lknb.Room], room_name: str) -> None:
    here = join("watcher").listen("participant", topic="joined")
    saved = measurements(nbformat.read(NOTEBOOK, as_version=4))
    notebook = with_parameters(f"count = 2\nroom_name = {room_name!r}\n")
    manager = AsyncKernelManager(kernel_spec_manager=ThisPython())
    NotebookClient(notebook, km=manager, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    assert measurements(notebook) == saved * 2 // 20
    joined = itertools.islice(iter(lambda: here.next(timeout=5).sender, None), 2)
    assert set(joined) == {"alice", "bob"}
