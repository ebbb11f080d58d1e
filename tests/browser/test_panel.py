"""The panel in a browser: tabs, connection, leaving and rejoining, and keys that must not reach Jupyter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Dialog, Page, expect
from waiting import eventually

import lknb
from browser.lab import Notebook

NASTY = (
    '<script>window.lknbHit = 1</script><img src=x onerror="window.lknbHit = 2"><svg onload="window.lknbHit = 3">'
    '<a href="javascript:window.lknbHit = 4">here</a>\u202egnp.exe\x1b[31m\x00'
)

Open = Callable[..., Notebook]
Join = Callable[..., lknb.Room]


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice', name='Alice');"


def cells(book: Notebook) -> int:
    count: int = book.page.evaluate("(path) => window.lknbNotebooks[path].content.widgets.length", book.name)
    return count


@pytest.fixture
def dialogs() -> Iterator[Callable[[Page], list[str]]]:
    """Record a page's dialogs until the end of the test. Other tests use the same page."""
    handlers: list[tuple[Page, Callable[[Dialog], None]]] = []

    def record(page: Page) -> list[str]:
        seen: list[str] = []

        def dismiss(dialog: Dialog) -> None:
            seen.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", dismiss)
        handlers.append((page, dismiss))
        return seen

    yield record
    for page, dismiss in handlers:
        page.remove_listener("dialog", dismiss)


def test_tabs_are_reached_by_keyboard_and_keys_do_not_reach_jupyter(notebook: Open, join: Join, room_name: str) -> None:
    book = notebook(joined(room_name), "room")
    join("bob")
    book.run()
    output = book.output(1)
    expect(output.locator(".lknb-head")).to_contain_text(f"connectedalice (Alice) in {room_name}, 2 in the room")
    tabs = output.get_by_role("tab")
    expect(tabs).to_have_text(["Participants", "Feed", "Chat", "Transfers", "RPC", "Telemetry", "Timeline"])
    tabs.first.focus()
    for key, name in (
        ("ArrowRight", "Feed"),
        ("End", "Timeline"),
        ("ArrowRight", "Participants"),
        ("ArrowLeft", "Timeline"),
        ("Home", "Participants"),
    ):
        book.page.keyboard.press(key)
        expect(output.get_by_role("tab", name=name)).to_be_focused()
        expect(output.get_by_role("tab", selected=True)).to_have_text(name)
        expect(output.get_by_role("tabpanel", name=name)).to_be_visible()
    # While a button has the focus, Jupyter's one-letter commands must not run.
    before = cells(book)
    for keys in ("b", "a", "m", "d", "d", "x", "ArrowDown"):
        book.page.keyboard.press(keys)
        assert cells(book) == before
    expect(output.get_by_role("tab", name="Participants")).to_be_focused()
    expect(output.get_by_role("tablist")).to_be_visible()


def test_panel_leaves_and_rejoins(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(
        joined(room_name) + "\n@room.on_text('greetings')\ndef greet(data): pass",
        "room.panel('feed')",
        "print(room.state, len(lknb.rooms())); room.send_text('from the cell')",
    )
    book.run(0, 1)
    output = book.output(1)
    output.get_by_role("button", name="Leave").click()
    eventually(lambda: "alice" not in bob.participants)
    head = output.locator(".lknb-head")
    expect(head).to_contain_text("closed by this notebook")
    expect(head).to_contain_text("greet. Run their cells again")
    rejoin = output.get_by_role("button", name="Rejoin")
    expect(rejoin).to_be_focused()
    book.page.keyboard.press("Enter")
    expect(head.locator(".lknb-state")).to_have_text("connected")
    expect(output.get_by_role("button", name="Leave")).to_be_focused()
    got = bob.listen("text")
    book.run(2)
    expect(book.output(2)).to_contain_text("connected 1")
    assert got.next().data == "from the cell"
    expect(output.locator("tbody", has_text="from the cell")).to_be_visible()


def test_text_from_the_room_does_nothing_in_the_page(
    notebook: Open, join: Join, room_name: str, dialogs: Callable[[Page], list[str]]
) -> None:
    name = f"{room_name} <img src=x onerror=window.lknbHit=5>"
    book = notebook(f"import lknb\nroom = lknb.connect({name!r}, 'alice', name={NASTY!r});", "room", "room.feed()")
    asked = dialogs(book.page)
    book.run()
    bob = join("bob<script>", room=name)
    bob.local_participant.set_attributes({NASTY: NASTY})
    bob.local_participant.set_name(NASTY)
    bob.send_text(NASTY, topic=NASTY)
    bob.send_text(NASTY)
    bob.send_bytes(NASTY.encode(), name='"><img src=x onerror=window.lknbHit=6>.svg', mime_type="image/svg+xml")
    bob.publish_data(NASTY, topic=NASTY)
    bob.send_text("x" * 1_000_000, topic="long")
    feed = book.show(2)
    long = feed.locator("tbody", has_text="xxxxx")
    expect(long).to_be_visible()
    assert len(long.inner_text()) < 1000
    feed.locator("tbody", has_text="<script>").first.locator("td").nth(2).click()
    expect(feed.locator(".lknb-details")).to_contain_text("<script>")
    panel = book.show(1)
    for tab in panel.get_by_role("tab").all():
        tab.click()
        expect(panel.get_by_role("tabpanel")).to_be_visible()
        for output in (panel, feed):
            expect(
                output.locator("script, iframe, object, embed, [onerror], [onload], a[href^=javascript]")
            ).to_have_count(0)
    expect(panel.locator(".lknb-head")).to_contain_text("\\u202egnp.exe\\u001b")
    assert book.page.evaluate("window.lknbHit") is None
    assert asked == []
    # The static forms are safe too.
    book.set_cell(0, "room.close()")
    book.run(0)
    expect(book.show(2).locator(".lknb")).to_have_count(0)
    expect(book.output(2)).to_contain_text("<script>")
    assert book.page.evaluate("window.lknbHit") is None


def test_widgets_follow_the_theme(notebook: Open, room_name: str) -> None:
    book = notebook(joined(room_name), "room.panel('feed')")
    book.run()
    button = book.output(1).get_by_role("button", name="Leave")
    expect(button).to_be_visible()

    def lightness() -> tuple[float, float]:
        style = "(element) => [getComputedStyle(element).color, getComputedStyle(element).backgroundColor]"
        both = [sum(map(float, re.findall(r"[\d.]+", each)[:3])) for each in button.evaluate(style)]
        return both[0], both[1]

    change = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme }).then(() => true)"
    try:
        for theme, is_dark in (
            ("JupyterLab Dark", True),
            ("JupyterLab Dark High Contrast", True),
            ("JupyterLab Light", False),
        ):
            book.page.evaluate(change, theme)
            eventually(lambda is_dark=is_dark: (lightness()[0] > lightness()[1]) == is_dark, what=theme)
    finally:
        book.page.evaluate(change, "JupyterLab Light")
