"""The widgets in marimo, which has no IPython, puts each widget into a shadow root, and runs cells by its own rules."""

from __future__ import annotations

import json
from collections.abc import Callable

from playwright.sync_api import Locator, expect
from waiting import eventually

import lknb
from browser.marimo_server import MarimoNotebook

Open = Callable[..., MarimoNotebook]
Join = Callable[..., lknb.Room]

_SLOW = 30_000  # milliseconds: perspective's module has 6 MB, and a test's browser draws without a graphics card
CLOSE = "import marimo\nmarimo.ui.button(label='Close the room', on_click=lambda _: room.close())"


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')"


def style(element: Locator, name: str) -> str:
    return str(element.evaluate("(element, name) => getComputedStyle(element).getPropertyValue(name)", name))


def test_room_is_its_panel_and_two_feeds_live_side_by_side(marimo_notebook: Open, join: Join, room_name: str) -> None:
    book = marimo_notebook(joined(room_name), "room", "every = room.feed()\nevery", "imu = room.feed(topic='imu')\nimu")
    bob = join("bob")
    bob.publish_data("<b>one</b>", topic="imu")
    for feed in (book.cell(2), book.cell(3)):
        expect(feed.locator("tbody", has_text="<b>one</b>")).to_be_visible()
    panel = book.cell(1)
    expect(panel).to_contain_text(f"alice in {room_name}, 2 in the room")

    answers = bob.listen("text", topic="lk.chat")
    panel.get_by_role("tab", name="Chat").click()
    message = panel.get_by_role("textbox", name="Message")
    message.press_sequentially("abc from marimo")  # no key is a command of marimo's
    panel.get_by_role("button", name="Send").click()
    assert answers.next(timeout=10).data == "abc from marimo"
    expect(panel.get_by_text("abc from marimo")).to_be_visible()
    expect(book.cell(2).locator("tbody", has_text="abc from marimo")).to_be_visible()


def test_chart_has_its_style_and_leaves_its_samples(marimo_notebook: Open, join: Join, room_name: str) -> None:
    book = marimo_notebook(joined(room_name), "room.feed(topic='imu').plot()", CLOSE)
    bob = join("bob")
    for number in range(3):
        bob.publish_data(json.dumps({"speed": number}), topic="imu")
    expect(book.cell(1).get_by_role("checkbox", name="speed")).to_be_checked()
    expect(book.cell(1).locator(".lknb-plot-head")).to_have_text("speed 2")
    position = "(over) => getComputedStyle(over).position"
    assert book.cell(1).locator(".u-over").evaluate(position) == "absolute"  # uPlot's style
    book.cell(1).get_by_role("button", name="Table").click()
    viewer = book.cell(1).locator("perspective-viewer")
    expect(viewer).to_be_visible(timeout=_SLOW)
    eventually(lambda: "Pro Light" in style(viewer, "--psp-theme-name"), within=_SLOW / 1000, what="the theme applies")
    book.cell(2).get_by_role("button", name="Close the room").click()
    expect(book.cell(1)).to_contain_text("Newest samples")  # a chart cannot be copied
    expect(viewer).to_have_count(0)


def test_closed_room_leaves_its_last_state(marimo_notebook: Open, join: Join, room_name: str) -> None:
    book = marimo_notebook(joined(room_name), "room", "feed = room.feed()\nfeed", CLOSE)
    join("bob").publish_data("<b>goodbye</b>", topic="imu")
    expect(book.cell(2).locator("tbody", has_text="<b>goodbye</b>")).to_be_visible()
    book.cell(3).get_by_role("button", name="Close the room").click()

    def is_static() -> None:
        for shown, text in ((book.cell(1), "bob"), (book.cell(2), "<b>goodbye</b>")):
            left = shown.locator(".lknb-saved")
            expect(left).to_contain_text(f"alice in {room_name}: closed")
            expect(left).to_contain_text(text)
            expect(left.locator("button, input, select, textarea")).to_have_count(0)

    is_static()
    book.page.reload()  # marimo keeps the kernel
    is_static()
    book.start(1)
    expect(book.cell(1).locator(".lknb-saved")).to_contain_text("closed")
    is_static()


def test_closed_feed_leaves_the_other_one_live(marimo_notebook: Open, join: Join, room_name: str) -> None:
    close = "import marimo\nmarimo.ui.button(label='Close the first', on_click=lambda _: first.close())"
    book = marimo_notebook(joined(room_name), "first = room.feed()\nfirst", "second = room.feed()\nsecond", close)
    bob = join("bob")
    bob.publish_data("before", topic="imu")
    expect(book.cell(1).locator(".lknb tbody", has_text="before")).to_be_visible()
    book.cell(3).get_by_role("button", name="Close the first").click()
    expect(book.cell(1).locator(".lknb-saved")).to_contain_text("before")
    bob.publish_data("after", topic="imu")
    expect(book.cell(2).locator(".lknb tbody", has_text="after")).to_be_visible()
    expect(book.cell(1)).not_to_contain_text("after")


def test_running_a_cell_again_ends_what_it_made(marimo_notebook: Open, join: Join, room_name: str) -> None:
    echo = "@room.on_text('question')\ndef answer(data):\n    room.send_text(version + data, topic='answer')"
    count = "import marimo\nmarimo.ui.button(label='Count', on_click=lambda _: tell())"
    tell = "def tell():\n    room.send_text(f'{len(room.handlers)} {len(room.widgets)}', topic='count')"
    book = marimo_notebook(
        joined(room_name), "version = 'first '", echo, "feed = room.feed()\nfeed", f"{tell}\n{count}"
    )
    bob = join("bob")
    answers, counts = bob.listen("text", topic="answer"), bob.listen("text", topic="count")
    bob.send_text("hello", topic="question")
    assert answers.next(timeout=10).data == "first hello"

    book.cell(1).locator(".cm-content").click()
    book.page.keyboard.press("Control+a")
    book.page.keyboard.type("version = 'second '")
    book.page.keyboard.press("Control+Enter")  # marimo runs the handler's cell again, too
    book.start(3)
    book.cell(4).get_by_role("button", name="Count").click()
    assert counts.next(timeout=10).data == "1 1"
    bob.send_text("hello", topic="question")
    assert answers.next(timeout=10).data == "second hello"
    assert len(answers) == 0
    expect(book.cell(3).locator(".lknb tbody", has_text="second hello")).to_be_visible()


def test_filter_keeps_what_is_typed_while_the_room_changes(marimo_notebook: Open, join: Join, room_name: str) -> None:
    book = marimo_notebook(joined(room_name), "room.panel('participants')")
    bob = join("bob")
    search = book.cell(1).get_by_role("searchbox", name="Filter participants")
    expect(book.cell(1)).to_contain_text("bob")
    for number, letter in enumerate("bobs"):
        search.press_sequentially(letter)
        bob.attributes["step"] = str(number)
        eventually(lambda number=number: bob.attributes["step"] == str(number))
        expect(search).to_have_value("bobs"[: number + 1])
    expect(book.cell(1)).to_contain_text("No participants match this filter.")
    expect(search).to_have_value("bobs")


def test_rows_keep_the_focus(marimo_notebook: Open, join: Join, room_name: str) -> None:
    book = marimo_notebook(joined(room_name), "room.feed(topic='imu')")
    bob = join("bob")
    bob.publish_data("first", topic="imu")
    table = book.cell(1).locator("table").first
    expect(table.locator("tbody", has_text="first")).to_be_visible()
    table.get_by_role("button", name="Open").focus()
    for number in range(300):
        bob.publish_data(f"packet {number}", topic="imu")
    expect(table.locator("tbody", has_text="packet 299")).to_be_visible()
    has_focus = "(table) => table.contains(table.getRootNode().activeElement)"
    eventually(lambda: table.evaluate(has_focus), what="the focus is in the table")
