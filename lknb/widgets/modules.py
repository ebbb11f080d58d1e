"""One ES module out of several: a widget's module with the shared ones that it imports inside.

A front end gets a widget's module as text, from no address that a relative import could be resolved against. So each
imported module becomes a function's scope in front of the one that imports it, and nothing else is changed.
"""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
# What makes a module a widget by itself is of no use to one that shows it among others.
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundled(name: str) -> str:
    """The module `NAME.js` of this folder as one text; its own `export default` stays.

    Raises:
        ValueError: for an import or export of another form than `import { a, b as c } from "./name.js";` and
            `export` before a function, a class or a const.
    """
    needed: dict[str, str] = {}
    own = _inlined(name, needed, ())
    return "\n".join([*needed.values(), own])


def stylesheet() -> str:
    """The style of all widgets, in which every selector begins at `.lknb`."""
    return (_HERE / "lknb.css").read_text(encoding="utf-8")


def _inlined(name: str, needed: dict[str, str], importers: tuple[str, ...]) -> str:
    """The text of a module with its imports taken from scopes, which it adds to `needed` if they are not there yet."""
    if name in importers:
        raise ValueError(f"{' imports '.join([*importers, name])}: modules cannot import each other in a circle.")
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
        raise ValueError(f"{name}.js: {other.group()!r} is not a form that can be taken into another module.")
    return f"const {_variable(name)} = (() => {{\n{text}\nreturn {{ {', '.join(exports)} }};\n}})();"


def _variable(name: str) -> str:
    return "$" + name.replace("-", "_")
