"""Shows what `Room` derives from the systems as methods in the reference, with the original's parameters and docstring.

mkdocstrings only reads the code, where `send_text = blocking(..., TextStreams.send_text)` is an attribute. This also
keeps the layout of a tree of names, and shows a named default as its value.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import griffe

_DERIVED = {
    "blocking": False,
    "blocking_steps": False,
    "awaitable": True,
    "awaitable_steps": True,
    "opening": False,
}
_TREE = re.compile(r"^\w+\n(?:[├└│].*\n?)+", re.MULTILINE)
_PLAIN = re.compile(r"""[\d_ *.]+|"[^"\\]*"|'[^'\\]*'""")


class Derived(griffe.Extension):
    """Replaces derived attributes with functions when the whole package has been read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Put trees into code blocks."""
        if obj.docstring is not None:
            obj.docstring.value = _TREE.sub(lambda tree: f"```text\n{tree[0].rstrip()}\n```\n", obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Replace derived attributes with functions, and the names of defaults with their values."""
        _show_values(pkg, pkg)
        connecting = pkg["connecting"]
        connecting.set_member(
            "connect", _copy(connecting, connecting.members["connect"], connecting["_request"], "Room")
        )
        for name in ("room.Room", "room.AioRoom", "local_participant.LocalParticipant"):
            owner = pkg[name]
            for attribute in list(owner.attributes.values()):
                call = attribute.value
                if isinstance(call, griffe.ExprCall) and str(call.function) in _DERIVED:
                    owner.set_member(attribute.name, _function(pkg, owner, attribute, call))


def _show_values(pkg: griffe.Module, owner: Any) -> None:
    for member in owner.members.values():
        if member.is_alias:
            continue
        if member.is_function:
            for parameter in member.parameters:
                if isinstance(parameter.default, griffe.ExprName):
                    parameter.default = _value(pkg, parameter.default) or parameter.default
        elif member.is_module or member.is_class:
            _show_values(pkg, member)


def _value(pkg: griffe.Module, name: griffe.ExprName) -> str | None:
    """The value of a named constant: text, or a product of numbers."""
    path = name.canonical_path.removeprefix(f"{pkg.name}.")
    try:
        written = str(getattr(pkg[path], "value", ""))
    except KeyError:  # one of Python's own names
        return None
    if not _PLAIN.fullmatch(written):
        return None
    value = ast.literal_eval(written) if written[0] in "\"'" else math.prod(map(ast.literal_eval, written.split("*")))
    return repr(value) if isinstance(value, str) else f"{value:_}"


def _function(pkg: griffe.Module, owner: Any, attribute: griffe.Attribute, call: griffe.ExprCall) -> griffe.Function:
    system, method = str(call.arguments[1]).rsplit(".", 1)
    home = owner.module.members[system].target_path.removeprefix(f"{pkg.name}.")
    original = pkg[f"{home}.{method}"]
    returns = original.returns
    if str(call.function) == "opening" and str(call.arguments[2]) == "StreamWriter":
        returns = "StreamWriter"
    derived = _copy(owner, attribute, original, returns)
    if _DERIVED[str(call.function)]:
        derived.labels.add("async")
    return derived


def _copy(owner: Any, attribute: Any, original: Any, returns: Any) -> griffe.Function:
    return griffe.Function(
        attribute.name,
        parameters=original.parameters,
        returns=returns,
        lineno=attribute.lineno,
        endlineno=attribute.endlineno,
        docstring=original.docstring,
        parent=owner,
    )
