"""JupyterLab as a user has it: a server of its own, pages in Chromium, notebooks that are opened and run.

notebook = lab.notebook("import lknb", "room.feed()")
notebook.run(0)                          # waits until the cell has ended
notebook.output(1).get_by_text("hello")  # a Playwright locator in what stands under the cell
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, Playwright, sync_playwright
from waiting import eventually

from lknb import server

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_STARTUP = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_numbers = itertools.count(1)


def find_browser() -> str | None:
    """The path of a Chromium that is installed, or None for Playwright's own."""
    named = os.environ.get("LKNB_BROWSER")
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium: the one of the system, or Playwright's own."""
    return playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; a test that needs it is skipped where there is none."""
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except Error as error:
            pytest.skip(f"No browser: {error.message.splitlines()[0]}")
        try:
            yield browser
        finally:
            browser.close()


def wait_for_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until a server that was just started answers, and fail with its log if it ends."""

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except OSError:
            assert process.poll() is None, log.read_text()
            return False

    eventually(answers, within=_STARTUP, what=f"{url} answers")


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a server."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()


class Closing(Protocol):
    """What can be closed, such as a notebook."""

    page: Page

    def close(self) -> None:
        """Close it."""


N = TypeVar("N", bound=Closing)


@contextlib.contextmanager
def opening(make: Callable[..., N]) -> Iterator[Callable[..., N]]:
    """A function that opens notebooks with `make`; they are closed at the end."""
    opened: list[N] = []

    def open_notebook(*cells: str, **options: Any) -> N:
        opened.append(make(*cells, **options))
        return opened[-1]

    yield open_notebook
    for each in opened:
        if not each.page.is_closed():
            each.close()


@contextlib.contextmanager
def lab_of_its_own() -> Iterator[Lab]:
    """JupyterLab outside of the tests, with notebooks and a livekit-server that end with it."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.environ["LKNB_STATE_DIR"] = str(Path(folder, "state"))
        root = Path(folder, "notebooks")
        root.mkdir()
        browser = launch(playwright)
        lab = Lab(root, browser).ready()
        try:
            yield lab
        finally:
            lab.close()
            browser.close()
            server.stop()


class Lab:
    """A JupyterLab server on `folder`, and one browser."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.folder = folder
        self.browser = browser
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = (folder / "lab.log").open("w")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={self._port}"),
                *("--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}", "--IdentityProvider.token="),
                *("--ServerApp.disable_check_xsrf=True", "--LabApp.expose_app_in_browser=True"),
                *("--LabApp.news_url=", "--ServerApp.port_retries=0"),
                "--KernelManager.shutdown_wait_time=60",  # at most: a busy machine's kernel has time to leave HTML
                "--JupyterNotebookApp.expose_app_in_browser=True",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "JUPYTER_CONFIG_DIR": str(folder / ".config"),
                "JUPYTERLAB_SETTINGS_DIR": str(_settings(folder)),
                "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".workspaces"),
                "IPYTHONDIR": str(folder / ".ipython"),
            },
        )
        self._context: BrowserContext | None = None
        self._page: Page | None = None

    def ready(self) -> Lab:
        """Wait until the server answers."""

        wait_for_answer(self._process, f"{self.url}/api", self.folder / "lab.log")
        return self

    @property
    def page(self) -> Page:
        """The page that notebooks are opened in; one for all tests, because opening it takes seconds."""
        if self._page is None or self._page.is_closed():
            self._page = self.new_page()
        return self._page

    @property
    def context(self) -> BrowserContext:
        """What all pages share, as the tabs of one window do."""
        if self._context is None:
            self._context = self.browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
            self._context.grant_permissions(["clipboard-read", "clipboard-write"], origin=self.url)
        return self._context

    def new_page(self) -> Page:
        """Another tab with JupyterLab."""
        page = self.context.new_page()
        # A workspace of its own: another page's tabs are not opened here.
        load(page, f"{self.url}/lab/workspaces/page-{next(_numbers)}")
        return page

    def notebook(self, *cells: str, page: Page | None = None) -> Notebook:
        """A new notebook with these cells, opened, with a kernel."""
        path = self._write(cells)
        return Notebook(page or self.page, path.name, path)

    def notebook7(self, *cells: str) -> Notebook7:
        """The same in Jupyter Notebook, which the same server serves, in a page of its own."""
        path = self._write(cells)
        return Notebook7(self.context.new_page(), path.name, path, f"{self.url}/notebooks/{path.name}")

    def _write(self, cells: tuple[str, ...]) -> Path:
        path = self.folder / f"test-{next(_numbers)}.ipynb"
        path.write_text(json.dumps(notebook_json(cells)))
        return path

    def close(self) -> None:
        """Stop the server with its kernels."""
        if self._context is not None:
            self._context.close()
        end(self._process)
        self._log.close()


def free_port() -> int:
    # Below those that the system gives to whoever asks for any, as Jupyter binds it only seconds later.
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def busy_until(name: str, waiting: str = "time.sleep(0.05)") -> str:
    """The code of a cell that runs until `Notebook.release(name)`, for at most 90 s."""
    return (
        f"import pathlib, time\nend = time.monotonic() + 90\n"
        f"while time.monotonic() < end and not pathlib.Path({name!r}).exists():\n    {waiting}"
    )


def load(page: Page, url: str) -> None:
    """Open JupyterLab or Notebook at `url` and wait until it can be used."""
    page.goto(url)
    page.wait_for_function("window.jupyterapp !== undefined", timeout=60_000)
    page.evaluate("window.jupyterapp.restored.then(() => true)")


class Notebook:
    """A notebook that is open in a page."""

    def __init__(self, page: Page, name: str, path: Path) -> None:
        self.page = page
        self.name = name
        self.path = path
        self.open()

    def open(self) -> None:
        """Open it in its page, and wait for the kernel."""
        self.page.evaluate(
            """async (path) => {
                const widget = await window.jupyterapp.commands.execute("docmanager:open", { path });
                await widget.context.ready;
                await widget.context.sessionContext.ready;
                await widget.context.sessionContext.session.kernel.info;
                (window.lknbNotebooks ??= {})[path] = widget;
            }""",
            self.name,
        )

    def start(self, index: int) -> None:
        """Run a cell, without waiting for its end."""
        self.page.evaluate(
            """async ([path, index]) => {
                const widget = window.lknbNotebooks[path];
                const shell = window.jupyterapp.shell;
                shell.activateById(widget.id);
                // Commands act on the tab that is the current one, which it becomes a moment later.
                while (shell.currentWidget !== widget) await new Promise(requestAnimationFrame);
                widget.content.activeCellIndex = index;
                widget.content.mode = "command";
                (window.lknbRuns ??= {})[path + index] = window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            [self.name, index],
        )

    def wait(self, index: int) -> None:
        """Wait until a cell that was started has ended."""
        self.page.evaluate("([path, index]) => window.lknbRuns[path + index].then(() => true)", [self.name, index])

    def release(self, name: str) -> None:
        """Let a cell of `busy_until(name)` end."""
        (self.path.parent / name).touch()

    def run(self, *indexes: int) -> None:
        """Run these cells, or all of them, one after the other."""
        for index in indexes or range(len(json.loads(self.path.read_text())["cells"])):
            self.start(index)
            self.wait(index)

    def set_cell(self, index: int, code: str) -> None:
        """Write other code into a cell."""
        self.page.evaluate(
            "([path, index, code]) => "
            "window.lknbNotebooks[path].content.widgets[index].model.sharedModel.setSource(code)",
            [self.name, index, code],
        )

    def output(self, index: int) -> Locator:
        """What stands under a cell."""
        # In this notebook's own panel, whatever else is open; cells out of sight are not in the page.
        panel_id = self.page.evaluate("(path) => window.lknbNotebooks[path].id", self.name)
        return self.page.locator(f"[id='{panel_id}'] [data-windowed-list-index='{index}'] .jp-Cell-outputArea")

    def show(self, index: int) -> Locator:
        """Scroll to a cell, and return what stands under it."""
        self.page.evaluate(
            """([path, index]) => {
                const widget = window.lknbNotebooks[path];
                window.jupyterapp.shell.activateById(widget.id);
                return widget.content.scrollToItem(index, "start").then(() => true);
            }""",
            [self.name, index],
        )
        return self.output(index)

    def save(self) -> dict[str, Any]:
        """Save it, and return what was written."""
        self.page.evaluate("(path) => window.lknbNotebooks[path].context.save().then(() => true)", self.name)
        saved: dict[str, Any] = json.loads(self.path.read_text())
        return saved

    def command(self, command: str) -> None:
        """Do what a menu entry of JupyterLab does, on this notebook."""
        self.page.evaluate(
            """([path, command]) => {
                window.jupyterapp.shell.activateById(window.lknbNotebooks[path].id);
                return window.jupyterapp.commands.execute(command).then(() => true);
            }""",
            [self.name, command],
        )

    def kernel(self, verb: str) -> None:
        """`restart`, `shutdown` or `interrupt` its kernel."""
        self.page.evaluate(
            """([path, verb]) => {
                const context = window.lknbNotebooks[path].context.sessionContext;
                return (verb === "shutdown" ? context.shutdown() : context.session.kernel[verb]()).then(() => true);
            }""",
            [self.name, verb],
        )

    def kill(self) -> None:
        """End its kernel without giving it time to say anything, and close the notebook."""
        self.page.evaluate(
            """async (path) => {
                const widget = window.lknbNotebooks[path];
                // Nothing listens any more when the kernel sends its last messages.
                widget.context.model.dirty = false;
                widget.dispose();
                delete window.lknbNotebooks[path];
                const sessions = window.jupyterapp.serviceManager.sessions;
                const session = await sessions.findByPath(path);
                if (session) await sessions.shutdown(session.id);
            }""",
            self.name,
        )

    def close(self) -> None:
        """Shut the kernel down and close the notebook."""
        self.page.evaluate(
            """async (path) => {
                const widget = window.lknbNotebooks?.[path];
                if (!widget) return;
                await widget.context.sessionContext.shutdown().catch(() => undefined);
                widget.context.model.dirty = false;
                widget.dispose();
                delete window.lknbNotebooks[path];
            }""",
            self.name,
        )


class Notebook7(Notebook):
    """A notebook that is open in Jupyter Notebook 7, where a page holds one."""

    def __init__(self, page: Page, name: str, path: Path, url: str) -> None:
        self._url = url
        super().__init__(page, name, path)

    def open(self) -> None:
        """Load the page, and wait for the kernel."""
        load(self.page, self._url)
        self.page.wait_for_function("window.jupyterapp.shell.currentWidget?.context !== undefined")
        self.page.evaluate(
            """async (path) => {
                const widget = window.jupyterapp.shell.currentWidget;
                await widget.context.ready;
                await widget.context.sessionContext.ready;
                await widget.context.sessionContext.session.kernel.info;
                (window.lknbNotebooks ??= {})[path] = widget;
            }""",
            self.name,
        )

    def close(self) -> None:
        """Shut the kernel down and close the page."""
        super().close()
        self.page.close()


def notebook_json(cells: tuple[str, ...]) -> dict[str, Any]:
    """A notebook file with these code cells."""
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{index}",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for index, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _settings(folder: Path) -> Path:
    """JupyterLab without questions: no news, no dialogs when a notebook is closed."""
    settings = folder / ".settings"
    apputils = settings / "@jupyterlab" / "apputils-extension"
    apputils.mkdir(parents=True)
    (apputils / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True})
    )
    return settings
