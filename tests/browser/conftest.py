"""A browser, JupyterLab and marimo, each started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from browser.lab import Lab, Notebook, chromium, opening
from browser.marimo_server import MarimoNotebook, MarimoServer
from lknb import server

expect.set_options(timeout=20_000)  # the machine may be busy


@pytest.fixture(scope="package", name="chromium")
def the_chromium() -> Iterator[Browser]:
    """The browser."""
    # Ended with the package: while Playwright runs, this thread counts as one with a running event loop.
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def lab(chromium: Browser, livekit: server.RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab, whose kernels find the same livekit-server as the tests."""
    lab = Lab(tmp_path_factory.mktemp("lab"), chromium)
    try:
        yield lab.ready()
    finally:
        lab.close()


@pytest.fixture
def notebook(lab: Lab) -> Iterator[Callable[..., Notebook]]:
    """Opens notebooks: `notebook("code of a cell", ...)`; their kernels end with the test."""
    with opening(lab.notebook) as open_notebook:
        yield open_notebook


@pytest.fixture(scope="package")
def marimo_server(
    chromium: Browser, livekit: server.RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MarimoServer]:
    """marimo, whose kernels find the same livekit-server as the tests."""
    started = MarimoServer(tmp_path_factory.mktemp("marimo"), chromium)
    try:
        yield started.ready()
    finally:
        started.close()


@pytest.fixture
def marimo_notebook(marimo_server: MarimoServer) -> Iterator[Callable[..., MarimoNotebook]]:
    """Opens notebooks in marimo, and runs them: `marimo_notebook("code of a cell", ...)`."""
    with opening(marimo_server.notebook) as open_notebook:
        yield open_notebook
