"""marimo as a user has it: a server of its own, and notebooks that are opened in Chromium and run.

notebook = server.notebook("import lknb", "room.feed()")
notebook.cell(1).get_by_text("hello")  # a Playwright locator in the cell, with its output
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from browser.lab import end, free_port, wait_for_answer

_STARTUP = 60.0
_numbers = itertools.count(1)


class MarimoServer:
    """A marimo server on `folder`."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self._folder = folder
        self._browser = browser
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._log = (folder / "marimo.log").open("w")
        options = ["--headless", "--no-token", "--skip-update-check", "--host=127.0.0.1", f"--port={port}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "marimo", "edit", str(folder), *options],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "XDG_CONFIG_HOME": str(folder / ".config")},
            cwd=folder,
        )

    def ready(self) -> MarimoServer:
        """Wait until the server answers."""

        wait_for_answer(self._process, f"{self._url}/health", self._folder / "marimo.log")
        return self

    def notebook(self, *cells: str) -> MarimoNotebook:
        """A new notebook with these cells, opened in a page of its own, and run."""
        name = f"test_{next(_numbers)}.py"
        code = "".join(f"\n@app.cell\ndef _():\n{textwrap.indent(cell, '    ')}\n    return\n" for cell in cells)
        (self._folder / name).write_text(f"import marimo\napp = marimo.App()\n{code}")
        page = self._browser.new_page(viewport={"width": 1280, "height": 2400})  # with every cell in view
        return MarimoNotebook(page, f"{self._url}/?file={name}", len(cells))

    def close(self) -> None:
        """Stop the server with its kernels."""
        end(self._process)
        self._log.close()


class MarimoNotebook:
    """A notebook that is open in a page, and has been run."""

    def __init__(self, page: Page, url: str, cells: int) -> None:
        self.page = page
        page.goto(url)
        for index in range(cells):
            self.cell(index).locator(".cm-content").wait_for(timeout=_STARTUP * 1000)
        for index in range(cells):
            self.start(index)
            status = self.cell(index).get_by_test_id("cell-status")
            expect(status).to_have_attribute("data-status", "idle")  # "outdated" before

    def cell(self, index: int) -> Locator:
        """A cell with its output."""
        return self.page.locator("[data-cell-id]").nth(index)

    def start(self, index: int) -> None:
        """Run a cell, without waiting for its end."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")

    def close(self) -> None:
        """Close the page; the kernel ends with the server."""
        self.page.close()
