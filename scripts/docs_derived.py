"""How the reference shows what `Room` derives from the systems: as methods, with the original's arguments and words.

`send_text = blocking("text", TextStreams.send_text)` is an attribute for who only reads the code, as mkdocstrings does.
Besides, a line of errors without a description becomes one entry for each.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_DERIVED = {"blocking": False, "awaitable": True, "opening": False}
_ERROR = r"(\w+Error)(?: \(([^)]+)\))?"
_ERRORS = re.compile(rf"^( +)({_ERROR}(, {_ERROR})*),?$", re.MULTILINE)


class Derived(griffe.Extension):
    """Puts functions in the place of derived attributes, once the whole package has been read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Give each error of a bare line an entry of its own."""
        if obj.docstring is not None:
            obj.docstring.value = _ERRORS.sub(_entries, obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Replace the derived attributes of both rooms."""
        for name in ("Room", "AioRoom"):
            owner = pkg[f"room.{name}"]
            for attribute in list(owner.attributes.values()):
                call = attribute.value
                if isinstance(call, griffe.ExprCall) and str(call.function) in _DERIVED:
                    owner.set_member(attribute.name, _function(pkg, owner, attribute, call))


def _entries(line: re.Match[str]) -> str:
    return "\n".join(f"{line[1]}{name}: {why or 'as that class says'}." for name, why in re.findall(_ERROR, line[2]))


def _function(pkg: griffe.Module, owner: Any, attribute: griffe.Attribute, call: griffe.ExprCall) -> griffe.Function:
    system, method = str(call.arguments[1]).rsplit(".", 1)
    home = owner.module.members[system].target_path.removeprefix(f"{pkg.name}.")
    original = pkg[f"{home}.{method}"]
    returns = original.returns
    if str(call.function) == "opening" and str(call.arguments[2]) == "StreamWriter":
        returns = "StreamWriter"
    derived = griffe.Function(
        attribute.name,
        parameters=original.parameters,
        returns=returns,
        lineno=attribute.lineno,
        endlineno=attribute.endlineno,
        docstring=original.docstring,
        parent=owner,
    )
    if _DERIVED[str(call.function)]:
        derived.labels.add("async")
    return derived
