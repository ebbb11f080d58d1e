"""The variables of the function that calls a magic.

IPython's `needs_local_scope` gives those of line magics only, and without the names that the function has not assigned.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

NO_VALUE = object()
"""In place of the value of a variable that the function has not assigned, or has deleted."""


def function_scope(shell: Any) -> dict[str, Any] | None:
    """The variables of the function, or other code with its own, that calls a magic; None for the code of a cell."""
    frame: Any = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in ("IPython", "lknb"):
        frame = frame.f_back
    if frame is None or frame.f_locals is shell.user_ns:
        return None
    code = frame.f_code
    is_function = code.co_flags & inspect.CO_OPTIMIZED
    names = (*code.co_varnames, *code.co_cellvars, *code.co_freevars) if is_function else ()
    return {**dict.fromkeys(names, NO_VALUE), **frame.f_locals}
