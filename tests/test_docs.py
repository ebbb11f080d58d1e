"""The README's Python runs unchanged, in order, on the real server; names and links in the prose are valid."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from readme_renderer.markdown import render
from waiting import eventually

import lknb
from lknb import server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
SOURCE, DOCUMENTATION = URLS["Source"], URLS["Documentation"]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_readme_python_runs(
    livekit: server.RunningServer, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "readme"}
    printed = ""

    def has_printed(text: str) -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return text in printed

    first, second, *rest = blocks(README, "python")
    try:
        exec(compile(first, "README.md, first block", "exec"), names)
        alice, bob = names["alice"], names["bob"]
        eventually(lambda: has_printed("alice says hello"))
        assert alice.events.filter("rpc")[-1].result == 3
        exec(compile(second, "README.md, second block", "exec"), names)
        eventually(lambda: has_printed("one two three "))
        assert names["path"].read_bytes() == b"\x00\x01\x02"
        eventually(lambda: bob.participants["alice"].attributes == {"status": "ready"})
        eventually(lambda: bob.participants["alice"].metadata == '{"role": "host"}')
        for number, block in enumerate(rest, start=3):
            exec(compile(block, f"README.md, block {number}", "exec"), names)
        assert len(names["table"]) > 5
        assert alice.state == bob.state == "closed"
    finally:
        for room in lknb.rooms():
            if room.name == "studio":
                room.close()


def test_readme_methods_exist() -> None:
    table = re.search(r"^\| LiveKit's system.*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert table
    named = {name for name in re.findall(r"`(\w+)`", table[0]) if name not in ("push", "attributes")}
    assert len(named) > 12
    for name in named:
        assert callable(getattr(lknb.Room, name)), name
    assert callable(lknb.LocalDataTrack.push)


def test_readme_names_every_error() -> None:
    table = re.search(r"^\| Error \|.*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert table
    named = set(re.findall(r"^\| `(\w+)`", table[0], re.MULTILINE))
    errors = {name for name in lknb.__all__ if name.endswith("Error")} - {"LknbError"}
    assert named == errors


def test_documented_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in (README, CONTRIBUTING):
        assert set(re.findall(r"`?make ([a-z]+)\b(?=[` ]| +#)", "\n".join(re.findall(r"`[^`\n]+`", text)))) <= targets


def test_makefile_has_the_targets_that_workflows_run() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    described = set(re.findall(r'@echo "make ([a-z-]+)', makefile))
    assert targets - {"help"} == described == set(phony[1].split()) - {"help", "setup-lab", "setup-dev"}
    used = set()
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                used |= set(re.findall(r"\bmake ([a-z-]+)", step.get("run", "")))
    assert {"check", "test", "docs", "dist"} == used <= targets


def links(text: str) -> list[str]:
    """Return the targets of links and pictures, except anchors within the page."""
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'\b(?:src|srcset|href)="([^"]+)"', text)
    return [target.partition("#")[0] for target in found if not target.startswith("#")]


def homes(target: str) -> list[Path] | None:
    """Return the files in this tree that a project URL can refer to, or None for other URLs."""
    if found := re.fullmatch(re.escape(SOURCE) + r"/(?:blob|raw|tree)/main/(.+)", target):
        return [ROOT / found[1]]
    if found := re.fullmatch(re.escape(DOCUMENTATION) + r"en/latest/(.+)\.html", target):
        notebook = ROOT / "notebooks" / f"{Path(found[1]).name}.ipynb"
        return [notebook] if found[1].startswith("tutorials/") else [ROOT / "docs" / f"{found[1]}.md"]
    return None


def test_links_resolve() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
        for target in links((ROOT / name).read_text()):
            places = [ROOT / target] if "://" not in target else homes(target)
            assert places is None or any(place.exists() for place in places), f"{name}: {target}"


def test_readme_renders_outside_repository() -> None:
    """A package index renders the README, and relative links and pictures do not work there."""
    assert [target for target in links(README) if not target.startswith("https://")] == []
    assert len([target for target in links(README) if homes(target)]) > 10
    shown = render(README)
    assert shown is not None
    assert f'<img src="{SOURCE}/raw/main/docs/images/panel-light.png"' in shown
    assert shown.count("<pre") == README.count("```") / 2


def test_project_address_is_consistent() -> None:
    """One search-and-replace of the address in pyproject.toml moves the project."""
    assert URLS["Homepage"] == SOURCE
    assert homes(URLS["Changelog"]) == [ROOT / "CHANGELOG.md"]
    assert URLS["Issues"] == f"{SOURCE}/issues"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["repository-code"], citation["url"]) == (SOURCE, DOCUMENTATION)
    name = SOURCE.rpartition("/")[2]
    texts = [*ROOT.glob("*.*"), *(ROOT / ".github").rglob("*.*"), *(ROOT / "docs").rglob("*.md")]
    for path in texts:
        if path.suffix not in (".md", ".yml", ".yaml", ".toml", ".cff"):
            continue
        text = path.read_text()
        for address in re.findall(rf"https://[\w.]*github[\w.]*/[\w.-]+/{name}\b", text):
            assert address == SOURCE, f"{path}: {address}"
        for address in re.findall(r"https://[\w-]+\.readthedocs\.io/", text):
            assert address == DOCUMENTATION, f"{path}: {address}"


def test_map_of_code_is_complete() -> None:
    layout, *_ = blocks(CONTRIBUTING, "")
    named = set(re.findall(r"\b([\w]+)\.py\b", layout))
    for folder in ("lknb", "lknb/systems", "lknb/recording", "tests", "scripts", "benchmarks"):
        for module in (ROOT / folder).glob("*.py"):
            if folder == "tests" and module.name.startswith("test_"):
                continue
            assert module.stem in named, f"{folder}/{module.name} is not on the map in CONTRIBUTING.md"
    for name in named:
        modules = ("lknb", "lknb/systems", "lknb/recording")
        folders = (*modules, "tests", "tests/browser", "tests/faults", "scripts", "benchmarks")
        homes = [ROOT / folder / f"{name}.py" for folder in folders]
        assert any(home.exists() for home in homes), f"{name}.py is on the map, and nowhere else"
