"""Bundles a widget's ES module with the modules that it imports.

A front end receives a widget's module as text, without an address that relative imports could be resolved against. So
each imported module becomes a function scope before the module that imports it; nothing else is changed.
"""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
# A default export makes a module a widget, which has no use in a module that imports it.
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundled(name: str) -> str:
    """The module `NAME.js` of this folder as one text, including its `export default`.

    Raises:
        ValueError: for an import or export in any other form than `import { a, b as c } from "./name.js";` and
            `export` before a function, a class or a const.
    """
    needed: dict[str, str] = {}
    own = _inlined(name, needed, ())
    return "\n".join([*needed.values(), own])


def stylesheet() -> str:
    """The style sheet of all widgets."""
    return (_HERE / "lknb.css").read_text(encoding="utf-8")


def _inlined(name: str, needed: dict[str, str], importers: tuple[str, ...]) -> str:
    """The text of a module, with its imports taken from scopes. Missing scopes are added to `needed`."""
    if name in importers:
        raise ValueError(
            f"{' imports '.join([*importers, name])}: a module must not import itself, even through others."
        )
    text = (_HERE / f"{name}.js").read_text(encoding="utf-8")

    def take(match: re.Match[str]) -> str:
        names, other = match.groups()
        if other not in needed:
            needed[other] = _scope(other, _inlined(other, needed, (*importers, name)))
        taken = ", ".join(each.strip().replace(" as ", ": ") for each in names.split(",") if each.strip())
        return f"const {{ {taken} }} = {_variable(other)};\n"

    return _IMPORT.sub(take, text)


def _scope(name: str, text: str) -> str:
    exports = _EXPORT.findall(text)
    text = _DEFAULT.sub("void ", _EXPORT.sub("", text))
    if other := _OTHER.search(text):
        raise ValueError(
            f"{name}.js: {other.group()!r} cannot be bundled. See `modules.bundled` for the forms allowed."
        )
    return f"const {_variable(name)} = (() => {{\n{text}\nreturn {{ {', '.join(exports)} }};\n}})();"


def _variable(name: str) -> str:
    return "$" + name.replace("-", "_")
