"""Names that users import from `lknb` show `lknb` as their module, in help, in a repr and in a traceback."""

from __future__ import annotations

import inspect
from typing import TypeVar

T = TypeVar("T")


def public(thing: T) -> T:
    """Mark a class or function as exported from `lknb`; use it as a decorator."""
    thing.__module__ = "lknb"
    if isinstance(thing, type):
        # From Python 3.13 on, inspect would show this line of lknb/__init__.py as the class's source.
        if "__firstlineno__" in vars(thing):
            del thing.__firstlineno__  # type: ignore[attr-defined]
        for name, member in vars(thing).items():
            # A method may be derived from another class's: help names the class that has it.
            if inspect.isfunction(member) and not name.startswith("_"):
                member.__module__, member.__qualname__ = "lknb", f"{thing.__name__}.{name}"
    return thing
