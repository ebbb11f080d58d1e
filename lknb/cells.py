"""Notebook cells: which one runs, what it is called, and how an error is shown in it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lknb.credentials import scrub

_PACKAGE = str(Path(__file__).parent) + os.sep


def shell() -> Any:
    """The IPython shell that runs, or None; asking does not import IPython."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()  # type: ignore[no-untyped-call, unused-ignore]


@dataclass(frozen=True)
class Cell:
    """A run of a notebook cell: its id in the notebook, and the id of this execution of it."""

    id: str
    execution: str


def current_cell() -> Cell | None:
    """The cell that is running, when the front end says which it is."""
    try:
        parent = shell().get_parent()
        return Cell(parent["metadata"]["cellId"], parent["header"]["msg_id"])
    except (AttributeError, KeyError, TypeError):
        return None  # a terminal, or a front end that does not name its cells


def format_error(error: BaseException) -> str:
    """A traceback that begins at the user's own code, names cells as the notebook does, and holds no escapes."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    text = name_cells("".join(lines))
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in scrub(text)
    )


def name_cells(text: str) -> str:
    """A traceback's text with cells called what the notebook calls them."""
    names: Mapping[str, int] = getattr(getattr(shell(), "compile", None), "_filename_map", {})
    for filename, number in names.items():
        text = text.replace(f'File "{filename}"', f"Cell In[{number}]")
    return text
