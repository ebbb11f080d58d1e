"""The feed in a browser."""

from __future__ import annotations

from collections.abc import Callable

from lab import Notebook
from playwright.sync_api import expect

import lknb


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')"


def test_events_appear_in_the_feed_while_they_happen(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    bob = join("bob")
    bob.send_text("hello from the other side", topic="greetings")
    row = book.output(1).locator("tbody", has_text="hello from the other side")
    expect(row).to_contain_text("greetings")
    expect(row).to_contain_text("bob")
