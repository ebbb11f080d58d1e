"""The notebooks as pages of the site: their text, their cells, and the saved outputs."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
_AFTER = "Install"
_FIRST = (
    "quickstart",
    "text-streams",
    "byte-streams",
    "rpc",
    "packets-and-data-tracks",
    "state",
    "two-notebooks-producer",
    "two-notebooks-analyst",
)
_LONGEST = 4_000
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#]+)(#[^)]*)?\)")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def names() -> list[str]:
    """The notebooks, in reading order."""
    found = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    return [name for name in _FIRST if name in found] + [name for name in found if name not in _FIRST]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the notebooks to the navigation."""
    entries: list[Any] = list(config.nav or [])
    at = next(number for number, each in enumerate(entries) if _AFTER in each)
    pages = {name: f"tutorials/{name}.md" for name in names()}
    # Listed by their titles, except the first: everything else calls it Quickstart.
    entries.insert(at + 1, {"Tutorials": [{"Quickstart": pages.pop("quickstart")}, *pages.values()]})
    config.nav = entries
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook."""
    for name in names():
        text = page(json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")), name)
        files.append(File.generated(config, f"tutorials/{name}.md", content=text))
    return files


def page(notebook: dict[str, Any], name: str) -> str:
    """A notebook as Markdown."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(_LINK.sub(_linked, source))
        elif source.strip():
            parts.append(_fenced(source, "python"))
            parts += [_shown(output) for output in cell["outputs"]]
        if len(parts) == 1:
            parts.append(f"To run it: `make lab NOTEBOOK=notebooks/{name}.ipynb`")
    return "\n\n".join(part for part in parts if part) + "\n"


def _linked(link: re.Match[str]) -> str:
    """A link that works on the page: to another notebook, to the docs, or to another site; otherwise only its text."""
    words, target, anchor = link[1], link[2], link[3] or ""
    if re.match(r"https?:", target):
        return link[0]
    if target.endswith(".ipynb") and target.removesuffix(".ipynb") in names():
        return f"[{words}]({target.removesuffix('.ipynb')}.md{anchor})"
    if target.startswith("../docs/") and (NOTEBOOKS / target).is_file():
        return f"[{words}](../{target.removeprefix('../docs/')}{anchor})"
    return words


def _shown(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _printed("".join(output["text"]))
    if output["output_type"] == "error":
        return _printed("\n".join(output["traceback"]))
    data = output["data"]
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return f'<img alt="" src="data:{kind};base64,{"".join(data[kind].split())}">'
    if "image/svg+xml" in data:
        # As an image, so that no script in it runs.
        drawn = base64.b64encode("".join(data["image/svg+xml"]).encode()).decode()
        return f'<img alt="" src="data:image/svg+xml;base64,{drawn}">'
    return _printed("".join(data.get("text/plain", "")))


def _printed(text: str) -> str:
    """A cell's output. The browser wraps long lines, except in a table, which has columns."""
    columns = len(re.findall(r"^.*\S {2,}\S.*$", text, re.MULTILINE)) > 2
    return _fenced(text, "text" if columns else "{ .text .wrapped }")


def _fenced(text: str, language: str) -> str:
    text = _ESCAPES.sub("", text).rstrip("\n")
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}\n..."
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", text)), 3)
    return f"{fence}{language}\n{text}\n{fence}" if text else ""
