"""The body of a `%%lk` cell as it was typed: IPython changes it on the way to the magic."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


def as_typed(shell: Any, line: str, cell: str) -> str:
    """The body as it was typed below `%%lk`, or as code passed it to `run_cell_magic`.

    IPython passes a changed body of a cell: it ends the last line, strips lines of spaces, and removes prompts and
    common indentation.
    """
    for code in reversed(list(_running_cells())):  # another magic may run a part of the cell as a cell
        body = _body_of(shell, code, line, cell)
        if body is not None:
            return body
    return cell


def _running_cells() -> Iterator[str]:
    """The code of the cells that this thread is running, innermost first, as typed."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code is InteractiveShell.run_cell_async.__code__:
            yield frame.f_locals["raw_cell"]
        frame = frame.f_back


def _body_of(shell: Any, code: str, line: str, cell: str) -> str | None:
    """The body of `%%lk` in `code`, also below other cell magics; None if it is not the one that became `cell`."""
    text = code
    while "%%lk" in text:
        made = _cell_magic(shell, text)
        if made is None:
            return None
        if made == ("lk", line, cell):
            break
        text = made[2]
    else:
        return None
    lines = code.splitlines(keepends=True)
    while not lines[0].strip():
        del lines[0]
    if lines[0].rstrip() == f"%%lk {line}".rstrip():
        return "".join(lines[1:])
    return cell if code.endswith("\n") else cell.removesuffix("\n")


def _cell_magic(shell: Any, code: str) -> tuple[str, str, str] | None:
    """The name, line and body that IPython passes to `run_cell_magic` for a cell that begins with a cell magic."""
    transformed = shell.transform_cell(code)
    if transformed.strip() == code.strip():
        return None  # Python, even if it is this very call
    try:
        statements = ast.parse(transformed).body
    except SyntaxError:
        return None
    match statements:
        case [
            ast.Expr(
                ast.Call(
                    ast.Attribute(attr="run_cell_magic"),
                    [ast.Constant(str(name)), ast.Constant(str(line)), ast.Constant(str(body))],
                )
            )
        ]:
            return name, line, body
    return None
