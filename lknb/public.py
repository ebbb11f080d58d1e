"""Names that users import from `lknb` show `lknb` as their module, in help, in a repr and in a traceback."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def public(thing: T) -> T:
    """Mark a class or function as exported from `lknb`; use it as a decorator."""
    thing.__module__ = "lknb"
    return thing
