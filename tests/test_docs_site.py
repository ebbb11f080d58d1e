"""The pages in docs: their cells run as they stand, in order, against the real server, and what they quote is true."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from peers import mint
from shells import Shell, a_shell
from waiting import eventually

import lknb
from lknb import server
from lknb.cells import unwatch_cells

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# docs/magics.md is held to the grammar by test_magics.py, and what reference/python.md shows comes out of the code.
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name not in ("magics.md", "python.md"))
BLOCK = re.compile(
    r"^<!-- run\n(?P<hidden>.*?)^-->$|^```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    """A cell of a page (`python`, `ipython`, or hidden), or a file (with a title)."""

    page: Path
    line: int
    language: str
    code: str
    title: str | None


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        title = re.search(r'title="([^"]+)"', match["options"] or "")
        found.append(
            Block(
                page,
                text.count("\n", 0, match.start()) + 1,
                match["language"] or "hidden",
                match["code"] if match["hidden"] is None else match["hidden"],
                title[1] if title else None,
            )
        )
    return found


def named(page: Path) -> str:
    return str(page.relative_to(DOCS))


def running(page: Path) -> list[Block]:
    return [each for each in blocks(page) if each.language in ("python", "ipython", "hidden")]


def write_image(path: str) -> None:
    """The smallest PNG that there is: one grey dot."""
    Path(path).write_bytes(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c636000000002000148afa4"
            "710000000049454e44ae426082"
        )
    )


@pytest.fixture
def shell(livekit: server.RunningServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(folder)
    with a_shell() as shell:
        yield shell
        for room in lknb.rooms():
            room.close()
        unwatch_cells()  # of this shell, which the next page's is not


@pytest.mark.parametrize("page", [page for page in PAGES if running(page)], ids=named)
def test_the_cells_of_a_page_run(
    page: Path,
    shell: Shell,
    livekit: server.RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = ""

    def says(text: str, within: float = 10) -> None:
        """Wait until the page's cells have printed `text`."""

        def has() -> bool:
            nonlocal printed
            printed += capsys.readouterr().out
            return text in printed

        try:
            eventually(has, within)
        except AssertionError:
            raise AssertionError(f"{text!r} was not printed, but: {printed!r}") from None

    def token(room: str, identity: str, **grants: Any) -> str:
        return mint(livekit.api_key, livekit.api_secret, room, identity, **grants)

    def refused(kind: type[Exception], code: str) -> str:
        """What running `code` raises."""
        with pytest.raises(kind) as caught:
            shell.cell(code)
        return str(caught.value)

    shell.user_ns.update(
        eventually=eventually,
        says=says,
        token=token,
        refused=refused,
        embedded=livekit,
        environment=monkeypatch,
        write_image=write_image,
        python=sys.executable,
    )
    for number, block in enumerate(running(page)):
        if block.title is not None:
            Path(block.title).write_text(block.code)
            continue
        try:
            shown = shell.cell(block.code, id=f"cell-{number}")
        except BaseException as error:
            raise AssertionError(f"docs/{named(page)}, line {block.line}: {error!r}") from error
        if shown is not None:
            printed += f"{shown!r}\n"


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(named(page) for page in DOCS.rglob("*.md"))


def written(node: ast.AST) -> str | None:
    """A string as it stands in the code, with `…` for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def code_texts() -> list[str]:
    """Every string in lknb, with `…` for what is filled in."""
    texts = []
    for path in sorted((ROOT / "lknb").rglob("*.py")):
        texts += [text for node in ast.walk(ast.parse(path.read_text())) if (text := written(node))]
    for path in sorted((ROOT / "lknb" / "widgets").glob("*.js")):
        texts += re.findall(r'"([^"\n]{12,})"', path.read_text())
    return texts


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def quotes() -> list[str]:
    """The messages that are headings of the troubleshooting page."""
    text = (DOCS / "troubleshooting.md").read_text()
    return re.findall(r"^### `` (.+) ``$", text, re.MULTILINE)


def test_quoted_messages_stand_in_the_code() -> None:
    texts = "\n".join(squeezed(text) for text in code_texts())
    assert len(quotes()) > 40
    wrong = [quote for quote in quotes() if quote not in texts]
    assert not wrong


def raised() -> Iterator[tuple[str, str]]:
    """What lknb raises as one of its own errors, and where, as far as the message stands at the raising."""
    # These three put their messages together themselves.
    own = {"UnknownParticipantError", "PermissionDeniedError", "PayloadTooLargeError"}
    errors = {name for name in lknb.__all__ if name.endswith("Error")} - own
    for path in sorted((ROOT / "lknb").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors:
                message = next((text for text in map(written, node.args) if text), None)
                if message:
                    yield squeezed(message), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_error_of_lknb_is_explained() -> None:
    quoted = quotes()
    missing = [f"{where}: {message}" for message, where in raised() if not any(quote in message for quote in quoted)]
    assert not missing, "Explain these in docs/troubleshooting.md:\n" + "\n".join(missing)


def test_a_message_is_quoted_once() -> None:
    assert len(quotes()) == len(set(quotes()))


def test_what_the_pages_name_exists() -> None:
    """`room.name`, `lknb.name` and the errors, wherever they stand in a page."""
    attributes = {"aio", "attributes", "events"}
    for page in [*PAGES, DOCS / "magics.md"]:
        text = page.read_text()
        for name in re.findall(r"\broom\.(\w+)\b", text):
            assert name in attributes or hasattr(lknb.Room, name) or "on_" in name or named(page) == "other-sdks.md", (
                f"{named(page)}: room.{name}"
            )
        for name in re.findall(r"(?<![\w./-])lknb\.([A-Za-z]\w+)\b", text):
            assert name in (*lknb.__all__, "data"), f"{named(page)}: lknb.{name}"
        for name in re.findall(r"`(\w+Error)`", text):
            assert name in lknb.__all__ or hasattr(builtins, name), f"{named(page)}: {name}"


def test_pages_fetch_nothing() -> None:
    for page in [*DOCS.rglob("*.md"), *DOCS.rglob("*.svg")]:
        for address in re.findall(r'(?:src|xlink:href)="([^"]+)"', page.read_text()):
            assert not urlsplit(address).scheme, f"{page}: {address}"


@pytest.mark.parametrize(
    "block",
    [each for page in PAGES for each in blocks(page) if each.language == "js"],
    ids=lambda block: f"{named(block.page)}:{block.line}",
)
def test_javascript_can_be_read(block: Block, folder: Path) -> None:
    beside = Path(sys.executable).with_name("node")
    node = str(beside) if beside.exists() else shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    (folder / "snippet.mjs").write_text(block.code)
    subprocess.run([node, "--check", "snippet.mjs"], cwd=folder, check=True, timeout=30)


def build(folder: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed")
def test_the_site_is_built_without_a_warning_and_fetches_nothing(folder: Path) -> None:
    build(folder)
    pages = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.html")}
    assert len(pages) > len(PAGES)
    for name, text in pages.items():
        # What a browser loads by itself; links are for people to follow.
        for address in re.findall(r"<(?:script|img|iframe|source)\b[^>]*?\ssrc=\"([^\"]+)\"", text):
            assert not urlsplit(address).netloc, f"{name} loads {address}"
        for tag in re.findall(r"<link\b[^>]*>", text):
            if 'rel="canonical"' not in tag:
                assert not re.search(r'href="(https?:)?//', tag), f"{name} loads {tag}"
        assert "<!-- run" not in text
    reference = pages["reference/python.html"]
    for method in ("send_text", "perform_rpc", "publish_data", "on_text", "listen", "panel"):
        assert f'id="lknb.room.Room.{method}"' in reference, method
    assert "attachments" in reference
