"""The pages in docs: their cells run unchanged, in order, on the real server, and their quotes are accurate."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from browser.lab import chromium
from google.protobuf.duration_pb2 import Duration
from IPython.core.error import UsageError
from javascript import CLIENT, page_with_client
from peers import mint
from playwright.sync_api import Browser
from shells import Shell, a_shell
from waiting import eventually

import lknb
from lknb import credentials, server
from lknb.cells import unwatch_cells
from lknb.cli import _parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
MAGICS = DOCS / "magics.md"
# docs/magics.md has its own test below, and reference/python.md is generated from the code.
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
    return str(page.relative_to(ROOT if page == README else DOCS))


def running(page: Path) -> list[Block]:
    return [each for each in blocks(page) if each.language in ("python", "ipython", "hidden")]


def write_image(path: str) -> None:
    """Return the smallest PNG: one grey pixel."""
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
        unwatch_cells()  # the next page gets another shell


@pytest.mark.parametrize("page", [page for page in PAGES if running(page)], ids=named)
def test_page_cells_run(
    page: Path,
    shell: Shell,
    livekit: server.RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = ""

    def says(text: str, within: float = 10, meanwhile: Callable[[], Any] = lambda: None) -> None:
        """Wait until the page's cells have printed `text`; `meanwhile` repeats sends that can get lost."""

        def has() -> bool:
            nonlocal printed
            meanwhile()
            printed += capsys.readouterr().out
            return text in printed

        try:
            eventually(has, within)
        except AssertionError:
            raise AssertionError(f"{text!r} was not printed, but: {printed!r}") from None

    def token(room: str, identity: str, **grants: Any) -> str:
        return mint(livekit.api_key, livekit.api_secret, room, identity, **grants)

    def refused(kind: type[Exception], code: str) -> str:
        """Return the exception that `code` raises."""
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


MEASUREMENTS = pd.DataFrame({"sensor": ["a", "b"], "value": [1.5, 2.5]})


def test_magics_page_cells_run(shell: Shell, livekit: server.RunningServer) -> None:
    """Each page has alice as the current room, bob as a second participant, and the variables it uses."""
    write_image("photo.png")
    shell.user_ns.update(
        numbers={"a": 1, "b": 2}, answer="Yes.", sample=b"1.5 2.5", Pose=Duration, measurements=MEASUREMENTS
    )
    cells = [block for block in blocks(MAGICS) if block.language == "ipython"]
    assert len(cells) > 30
    for block in cells:
        if "load_ext" not in block.code:
            alice = lknb.connect("studio", identity="alice")
            bob = next((room for room in lknb.rooms() if room.identity == "bob"), None)
            bob = bob or lknb.connect("studio", identity="bob")
            eventually(lambda here=alice, there=bob: here.identity in there.participants)
            bob.rpc("ping")(lambda: "pong")
            bob.rpc("add")(lambda a, b: a + b)
            if block.code.startswith("%lk handlers rm"):
                alice.on_text("show")(lambda: None)
            shell.cell("%lk use alice@studio;")
        try:
            shell.cell(block.code, id=f"line-{block.line}")
        except BaseException as error:
            raise AssertionError(f"docs/magics.md, line {block.line}: {error!r}") from error


def test_every_block_is_tested() -> None:
    """Every fence on a page opens or closes a block that this file runs; the site's test counts the visible blocks."""
    for page in [README, MAGICS, *PAGES]:
        found = [each for each in blocks(page) if each.language != "hidden"]
        assert len(re.findall(r"```|~~~", page.read_text())) == 2 * len(found), named(page)
        assert {each.language for each in found} <= {"python", "ipython", "js", "sh"}, named(page)
    # test_docs.py runs the README's Python, test_magics.py its magics, and the test below its shell lines.
    assert all(each.title is None and each.language != "js" for each in blocks(README))
    assert "```" not in (DOCS / "reference" / "python.md").read_text()


def shell_lines() -> Iterator[tuple[str, str]]:
    for page in [README, *PAGES]:
        for block in blocks(page):
            if block.language == "sh":
                for line in block.code.splitlines():
                    if words := line.partition(" #")[0].strip():
                        yield f"{named(page)}:{block.line}", words


def test_shell_lines_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makefile = (ROOT / "Makefile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    settings = {"LIVEKIT_URL": "url", "LIVEKIT_API_KEY": "api_key", "LIVEKIT_API_SECRET": "api_secret"}
    monkeypatch.chdir(folder)
    lines = list(shell_lines())
    assert len(lines) > 5
    for where, line in lines:
        if made := re.fullmatch(r"make (\S+)", line):
            assert re.search(rf"^{made[1]}:", makefile, re.MULTILINE), where
        elif installed := re.fullmatch(r'pip install "?\.(?:\[(\w+)\])?"?', line):
            assert installed[1] is None or installed[1] in extras, where
        elif setting := re.fullmatch(r"(LIVEKIT_\w+)=(\S+)", line):
            Path(".env").write_text(
                "LIVEKIT_URL=wss://example.com\nLIVEKIT_API_KEY=key\nLIVEKIT_API_SECRET=secret\n" + line + "\n"
            )
            found = getattr(credentials.find(None, None, None, None), settings[setting[1]])
            assert (found.reveal() if isinstance(found, credentials.Secret) else found) == setting[2], where
        elif run := re.fullmatch(r"papermill (\S+\.ipynb) \S+\.ipynb((?: -p \w+ \S+)+)", line):
            cells = json.loads((ROOT / "notebooks" / run[1]).read_text())["cells"]
            (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
            defined = {each.partition(" = ")[0] for each in cell["source"]}
            assert defined >= set(re.findall(r" -p (\w+)", run[2])), where
        elif line.startswith("lknb "):  # test_recording.py and test_export.py run them
            _parser().parse_args(line.split()[1:])
        else:
            raise AssertionError(f"{where}: nothing tests {line!r}")


def test_every_page_is_in_navigation() -> None:
    listed = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(named(page) for page in DOCS.rglob("*.md"))


def test_links_resolve_in_source_and_site() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            assert urlsplit(target).scheme or (page.parent / target).exists(), f"{named(page)}: {target}"


def written(node: ast.AST) -> str | None:
    """Return a string literal from the code, with `…` for its placeholders."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def code_texts() -> list[str]:
    """Return every string in lknb, with `…` for placeholders."""
    texts = []
    for path in sorted((ROOT / "lknb").rglob("*.py")):
        texts += [text for node in ast.walk(ast.parse(path.read_text())) if (text := written(node))]
    for path in sorted((ROOT / "lknb" / "widgets").glob("*.js")):
        texts += re.findall(r'"([^"\n]{12,})"', path.read_text())
    return texts


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def quotes() -> list[str]:
    """Return the messages that are headings on the troubleshooting page."""
    text = (DOCS / "troubleshooting.md").read_text()
    return re.findall(r"^### `` (.+) ``$", text, re.MULTILINE)


def test_quoted_messages_exist_in_code() -> None:
    texts = "\n".join(squeezed(text) for text in code_texts())
    assert len(quotes()) > 40
    wrong = [quote for quote in quotes() if quote not in texts]
    assert not wrong


def raised() -> Iterator[tuple[str, str]]:
    """Return the messages of lknb's errors and where they are raised, if the raise statement contains the message."""
    # These three build their own messages.
    own = {"UnknownParticipantError", "PermissionDeniedError", "PayloadTooLargeError"}
    errors = {name for name in lknb.__all__ if name.endswith("Error")} - own
    for path in sorted((ROOT / "lknb").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors:
                message = next((text for text in map(written, node.args) if text), None)
                if message:
                    yield squeezed(message), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_error_is_explained() -> None:
    quoted = quotes()
    missing = [f"{where}: {message}" for message, where in raised() if not any(quote in message for quote in quoted)]
    assert not missing, "Explain these in docs/troubleshooting.md:\n" + "\n".join(missing)


def test_each_message_is_quoted_once() -> None:
    assert len(quotes()) == len(set(quotes()))


def test_ipython_message_without_extension_is_quoted(shell: Shell) -> None:
    with pytest.raises(UsageError) as caught:
        shell.cell("%%lk text\nhello")
    said, _, _ = str(caught.value).partition(" (")
    assert f"``{said}``" in (DOCS / "troubleshooting.md").read_text()


def test_names_on_pages_exist() -> None:
    """Check every `room.name`, `lknb.name` and error on a page."""
    attributes = {"aio", "attributes", "events", "local_participant", "recorders"}
    for page in [*PAGES, DOCS / "magics.md"]:
        text = page.read_text()
        for name in re.findall(r"(?<![\w-])room\.(\w+)\b", text):
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
def test_javascript_parses(block: Block, folder: Path) -> None:
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a freshly built site."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed")
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_site_builds_without_warnings_and_fetches_nothing(site: Path) -> None:
    pages = {str(path.relative_to(site)): path.read_text() for path in site.rglob("*.html")}
    assert len(pages) > len(PAGES)
    for name, text in pages.items():
        # Only what a browser loads by itself; people follow links.
        for address in re.findall(r"<(?:script|img|iframe|source)\b[^>]*?\ssrc=\"([^\"]+)\"", text):
            assert not urlsplit(address).netloc, f"{name} loads {address}"
        for tag in re.findall(r"<link\b[^>]*>", text):
            if 'rel="canonical"' not in tag:
                assert not re.search(r'href="(https?:)?//', tag), f"{name} loads {tag}"
        assert "<!-- run" not in text
    for page in [*PAGES, MAGICS]:
        shown = pages[named(page).replace(".md", ".html")].count("<pre")
        assert shown == sum(each.language != "hidden" for each in blocks(page)), named(page)
    reference = pages["reference/python.html"]
    for method in ("send_text", "perform_rpc", "publish_data", "on_text", "listen", "panel"):
        assert f'id="lknb.Room.{method}"' in reference, method
    assert "attachments" in reference
    assert 'id="lknb.Handler.offer"' not in reference  # which only lknb calls
    assert "CHAT" not in reference  # the reference shows its value instead


def test_site_works_below_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_URL", "https://example.com/some/where/")
    build(folder)
    lost = (folder / "404.html").read_text()
    for address in re.findall(r"<(?:link|script)\b[^>]*?\s(?:href|src)=\"([^\"]+)\"", lost):
        assert address.startswith("/some/where/"), address
    for page in folder.rglob("*.html"):
        if page.name != "404.html":
            assert not re.findall(r"\s(?:href|src)=\"(/[^\"]*)\"", page.read_text()), page


def test_site_opens_from_folder(site: Path, browser: Browser) -> None:
    """On a narrow screen, every page fits and shows its pictures, search works, and nothing is fetched."""
    page = browser.new_page(viewport={"width": 400, "height": 800})
    wrong: list[str] = []
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    # Opening the next page aborts pending requests.
    page.on(
        "requestfailed",
        lambda request: wrong.append(request.url) if request.failure != "net::ERR_ABORTED" else None,
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":
            continue
        page.goto(path.as_uri())
        assert page.evaluate("document.scrollingElement.scrollWidth") == 400, path.name
        assert page.evaluate(
            "[...document.images].every((image) => getComputedStyle(image).display === 'none' || image.naturalWidth)"
        ), path.name
    page.goto((site / "systems" / "rpc.html").as_uri())
    page.locator("label.md-header__button[for=__search]").click()
    page.locator("input[name=query]").press_sequentially("signature is invalid")
    page.locator(".md-search-result__link[href*=troubleshooting]").first.click()
    page.wait_for_url("**/troubleshooting.html**")
    assert not wrong
    assert {urlsplit(address).scheme for address in loaded} <= {"file", "data"}


def test_web_page_joins_notebook_room(
    shell: Shell, livekit: server.RunningServer, browser: Browser, folder: Path
) -> None:
    """Run the JavaScript of other-sdks.md in a page with the client that it names."""
    said = re.search(r"those of version (\d+\.\d+)\.", (DOCS / "other-sdks.md").read_text())
    assert said
    assert json.loads((CLIENT / "package.json").read_text())["version"].startswith(said[1])
    (script,) = (each for each in blocks(DOCS / "other-sdks.md") if each.language == "js")
    (serving,) = (each for each in blocks(DOCS / "other-sdks.md") if '@alice.rpc("average")' in each.code)
    (folder / "bob.js").write_text(script.code)
    shell.user_ns["lknb"] = lknb
    shell.cell(serving.code)
    alice = shell.user_ns["alice"]
    inbox = alice.listen(["text", "data"], sender="bob")

    logged: list[str] = []
    with page_with_client(browser, folder, 'import { join } from "./bob.js"; window.join = join;') as page:
        page.on("console", lambda message: logged.append(message.text))

        def logs(text: str) -> None:
            for _ in range(100):
                if any(text in line for line in logged):
                    return
                page.wait_for_timeout(100)
            raise AssertionError(f"{text!r} was not logged, but: {logged!r}")

        token = mint(livekit.api_key, livekit.api_secret, "studio", "bob", can_update_own_metadata=True)
        page.evaluate("async ([url, token]) => { window.room = await join(url, token) }", [livekit.url, token])
        logs("average 4")
        came = [inbox.next(timeout=10) for _ in range(2)]
        assert {(each.kind, each.topic) for each in came} == {("text", "lk.chat"), ("data", "imu")}
        eventually(lambda: "bob" in alice.participants and alice.participants["bob"].attributes == {"status": "ready"})
        assert alice.perform_rpc("bob", "add", {"a": 1, "b": 2}) == 3
        alice.send_text("hello", to="bob")
        logs("alice says hello")
        alice.send_bytes(bytes(1_000), topic="pictures", name="dot.bin", to="bob")
        logs("dot.bin 1000 bytes")
        alice.publish_data("1.5 2.5", topic="imu")
        logs("alice imu 1.5 2.5")
        alice.attributes["mood"] = "good"
        logs("mood")
        track = alice.publish_data_track("camera")
        for _ in range(1000):  # a subscription takes a moment
            track.push(b"123")
            page.wait_for_timeout(20)
            if "camera 3" in logged:
                break
        logs("camera 3")
