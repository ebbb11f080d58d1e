"""Objects that users read and call, and whose public attributes they cannot assign by mistake.

Without this, `room.attributes = {...}` would look like a change and send nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from lknb.errors import did_you_mean


class ReadOnly:
    """After `_fix`, assigning or deleting a public attribute raises AttributeError, which says what to write instead.

    Attributes:
        _counted: the attributes that lknb itself goes on changing, such as counters.
        _write_instead: for some attributes, what to write instead of assigning them.
    """

    _fixed = False
    _counted: ClassVar[frozenset[str]] = frozenset()
    _write_instead: ClassVar[Mapping[str, str]] = {}

    def _fix(self) -> None:
        """End the construction: from now on, public attributes are read-only."""
        self._fixed = True

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse(name)
        super().__delattr__(name)

    def _refuse(self, name: str) -> None:
        if not self._fixed or name.startswith("_") or name in self._counted:
            return
        kind = type(self).__name__
        names = [each for each in dir(self) if not each.startswith("_")]
        if name not in names:
            raise AttributeError(f"{kind} has no attribute {name!r}{did_you_mean(name, names)} Use a variable instead.")
        is_method = inspect.isroutine(getattr(type(self), name, None))
        instead = self._write_instead.get(name) or ("It is a method: call it." if is_method else "")
        raise AttributeError(f"{name} of {kind} cannot be assigned. {instead}".rstrip())
