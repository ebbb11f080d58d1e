"""The README's Python runs as it stands, in order, against the real server; and what the prose names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

import lknb
from lknb import server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readmes_python_runs(
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


def test_the_methods_that_the_readme_names_exist() -> None:
    table = re.search(r"^\| LiveKit's system.*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert table
    named = {name for name in re.findall(r"`(\w+)`", table[0]) if name not in ("push", "attributes")}
    assert len(named) > 12
    for name in named:
        assert callable(getattr(lknb.Room, name)), name
    assert callable(lknb.LocalDataTrack.push)


def test_the_readme_names_every_error() -> None:
    table = re.search(r"^\| Error \|.*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert table
    named = set(re.findall(r"^\| `(\w+)`", table[0], re.MULTILINE))
    errors = {name for name in lknb.__all__ if name.endswith("Error")} - {"LknbError"}
    assert named == errors


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in (README, CONTRIBUTING):
        assert set(re.findall(r"`?make ([a-z]+)\b(?=[` ]| +#)", "\n".join(re.findall(r"`[^`\n]+`", text)))) <= targets


def test_links_lead_somewhere() -> None:
    for text in (README, CONTRIBUTING, (ROOT / "CHANGELOG.md").read_text()):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert (ROOT / target).exists(), target


def test_the_map_of_the_code_is_complete() -> None:
    layout, *_ = blocks(CONTRIBUTING, "")
    named = set(re.findall(r"\b([\w]+)\.py\b", layout))
    for folder in ("lknb", "tests", "scripts", "benchmarks"):
        for module in (ROOT / folder).glob("*.py"):
            if folder == "tests" and module.name.startswith("test_"):
                continue
            assert module.stem in named, f"{folder}/{module.name} is not on the map in CONTRIBUTING.md"
    for name in named:
        folders = ("lknb", "tests", "tests/browser", "scripts", "benchmarks")
        homes = [ROOT / folder / f"{name}.py" for folder in folders]
        assert any(home.exists() for home in homes), f"{name}.py is on the map, and nowhere else"
