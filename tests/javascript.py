"""A participant on LiveKit's JavaScript SDK, in a page of Chromium."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers import mint
from playwright.sync_api import Browser, Page

from lknb import server

CLIENT = Path(__file__).parents[1] / "node_modules" / "livekit-client"
_PAGE = (
    '<script type="importmap">{"imports": {"livekit-client": "./livekit-client.esm.mjs"}}</script>'
    '<script type="module">{module}</script>'
)
_JOINS = (
    'import * as livekit from "livekit-client"; window.livekit = livekit;'
    "window.join = async (url, token) => {"
    " window.room = new livekit.Room(); await window.room.connect(url, token); };"
)


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextlib.contextmanager
def page_with_client(browser: Browser, folder: Path, module: str) -> Iterator[Page]:
    """A page that runs this module, which can import `livekit-client` and the files in `folder`."""
    shutil.copy(CLIENT / "dist" / "livekit-client.esm.mjs", folder)
    (folder / "index.html").write_text(_PAGE.replace("{module}", module))
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        page = browser.new_page()
        try:
            page.goto(f"http://127.0.0.1:{pages.server_port}/index.html")
            page.wait_for_function("() => window.join !== undefined")
            yield page
        finally:
            page.close()
            pages.shutdown()


@contextlib.contextmanager
def participant(
    browser: Browser, folder: Path, livekit: server.RunningServer, room: str, identity: str
) -> Iterator[Page]:
    """A page whose `room` has joined as `identity`; its `livekit` is the SDK."""
    with page_with_client(browser, folder, _JOINS) as page:
        token = mint(livekit.api_key, livekit.api_secret, room, identity, can_update_own_metadata=True)
        page.evaluate("([url, token]) => window.join(url, token)", [livekit.url, token])
        yield page
