"""A browser and JupyterLab, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Error, expect, sync_playwright

from browser.lab import Lab, Notebook, launch
from lknb import server

expect.set_options(timeout=20_000)  # the machine may be busy


@pytest.fixture(scope="package")
def lab(livekit: server.RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab, whose kernels find the same livekit-server as the tests."""
    # Ended with the package: while Playwright runs, this thread counts as one with a running event loop.
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except Error as error:
            pytest.skip(f"No browser: {error.message.splitlines()[0]}")
        lab = Lab(tmp_path_factory.mktemp("lab"), browser)
        try:
            yield lab.ready()
        finally:
            lab.close()
            browser.close()


@pytest.fixture
def notebook(lab: Lab) -> Iterator[Callable[..., Notebook]]:
    """Opens notebooks: `notebook("code of a cell", ...)`; their kernels end with the test."""
    opened: list[Notebook] = []

    def open_notebook(*cells: str, **options: Any) -> Notebook:
        opened.append(lab.notebook(*cells, **options))
        return opened[-1]

    yield open_notebook
    for each in opened:
        if not each.page.is_closed():
            each.close()
