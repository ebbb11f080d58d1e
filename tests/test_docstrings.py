"""Docstrings name existing errors and contain valid examples."""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import lknb

PACKAGE = Path(lknb.__file__).parent
# Raised and handled only inside the package.
INTERNAL = {"RequestError", "SkippedError", "StepFailedError", "UndecodableError", "UsageError", "rtc.RpcError"}


def sections(name: str) -> Iterator[tuple[str, str]]:
    """Return the sections of this name in all docstrings, with their location."""
    for path in sorted(PACKAGE.glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = ast.get_docstring(node) or ""
                if found := re.search(rf"^{name}:\n((?:    .*\n?|\n)+)", text, re.MULTILINE):
                    yield f"{path.relative_to(PACKAGE)}: {node.name}", found[1]


def test_raises_sections_name_exported_errors() -> None:
    wrong, checked = [], 0
    for where, section in sections("Raises"):
        for entry in re.findall(r"^    (\S.*(?:\n {8}.*)*)", section, re.MULTILINE):
            found = re.fullmatch(r"([\w.]+): ((?:.|\n)+\.)", entry)
            known = found and (found[1] in lknb.__all__ or hasattr(builtins, found[1]) or found[1] in INTERNAL)
            wrong += [] if known else [f"{where}: {entry}"]
            checked += 1
    assert wrong == []
    assert checked > 150


def test_examples_parse_and_use_names_of_a_cell() -> None:
    checked = 0
    for where, section in sections("Examples"):
        lines = [line.strip()[4:] for line in section.splitlines() if line.strip().startswith((">>>", "..."))]
        code = textwrap.dedent("\n".join(lines))
        ast.parse(code)
        assert re.search(r"\b(room|lknb|inbox)\.", code), where
        checked += 1
    assert checked > 15


def test_systems_raise_specific_errors() -> None:
    for path in (PACKAGE / "systems").glob("*.py"):
        assert "raise LknbError(" not in path.read_text(encoding="utf-8"), path.name
