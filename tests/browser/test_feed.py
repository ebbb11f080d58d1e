"""The feed in a browser."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect
from waiting import eventually

import lknb
from browser.lab import Notebook

Open = Callable[..., Notebook]
Join = Callable[..., lknb.Room]


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')"


ROWS = "tbody:not([aria-hidden])"


def row(output: Locator, text: str) -> Locator:
    return output.locator(ROWS, has_text=text)


def test_events_appear_live(notebook: Open, join: Join, room_name: str) -> None:
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    bob = join("bob")
    bob.send_text("hello from the other side", topic="greetings")
    seen = row(book.output(1), "hello from the other side")
    expect(seen).to_contain_text("greetings")
    expect(seen).to_contain_text("bob")


def test_feed_is_filtered_paused_and_cleared(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    output = book.output(1)
    bob.send_text("a greeting", topic="greetings")
    bob.publish_data("a packet", topic="imu")
    expect(row(output, "a packet")).to_be_visible()

    kinds = output.locator(".lknb-menu", has_text="Kinds")
    kinds.locator("summary").click()
    kinds.get_by_label("text", exact=True).check()
    expect(row(output, "a packet")).to_have_count(0)
    expect(row(output, "a greeting")).to_be_visible()
    output.get_by_role("searchbox", name="Text").fill("nowhere")
    expect(output).to_contain_text("No events match this filter.")
    # The user's input stays, whatever happens in the meantime.
    bob.send_text("another greeting")
    expect(output.get_by_role("searchbox", name="Text")).to_be_focused()
    expect(output.get_by_role("searchbox", name="Text")).to_have_value("nowhere")
    output.get_by_role("searchbox", name="Text").fill("")
    kinds.locator("summary").click()
    kinds.get_by_label("text", exact=True).uncheck()
    expect(row(output, "another greeting")).to_be_visible()

    output.get_by_role("button", name="Pause").click()
    bob.send_text("while paused")
    expect(output.locator(".lknb-counts")).to_contain_text("5 events")
    expect(output.locator(".lknb-counts")).to_contain_text("paused")
    expect(row(output, "while paused")).to_have_count(0)
    output.get_by_role("button", name="Resume").click()
    expect(row(output, "while paused")).to_be_visible()

    output.get_by_role("button", name="Clear").click()
    expect(output).to_contain_text("No events yet")
    bob.send_text("after that")
    expect(output.locator(ROWS)).to_have_count(1)


def test_event_is_opened_copied_and_downloaded(notebook: Open, join: Join, room_name: str, folder: Path) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    output = book.output(1)
    text = "begins " + "long " * 20_000 + "ends"
    bob.send_text(text, topic="long")
    opener = row(output, "begins").get_by_role("button", name="Open")
    opener.press("Enter")
    details = output.locator(".lknb-details")
    expect(details).to_contain_text("ends")
    expect(opener).to_have_attribute("aria-expanded", "true")
    details.get_by_role("button", name="Copy").click()
    expect(details.get_by_role("button", name="Copied")).to_be_visible()
    assert book.page.evaluate("navigator.clipboard.readText()") == text
    # It stays open and keeps the focus while others arrive.
    opener.focus()
    bob.send_text('{"a": {"b": [1, 2]}}')
    expect(row(output, '{"a"')).to_be_visible()
    expect(opener).to_be_focused()
    expect(details).to_be_visible()
    opener.press("Enter")
    expect(details).to_be_hidden()
    row(output, '{"a"').locator("td").nth(2).click()
    expect(details.locator("summary").first).to_be_visible()

    with book.page.expect_download() as download:
        output.get_by_role("button", name="JSON").click()
    assert download.value.suggested_filename == f"{room_name}-events.jsonl"
    download.value.save_as(folder / "log.jsonl")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines if line["kind"] == "text"] == [text, '{"a": {"b": [1, 2]}}']


def test_keys_walk_through_the_list_and_open_events(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    output = book.output(1)
    for number in range(60):
        bob.send_text(f"message {number}")
    expect(row(output, "message 59")).to_be_visible()
    grid = output.get_by_role("grid", name="Events")
    grid.focus()
    keyboard = book.page.keyboard
    keyboard.press("Home")
    expect(output.get_by_role("row", name="message 59", selected=True)).to_be_visible()
    keyboard.press("PageDown")
    keyboard.press("Enter")
    details = output.get_by_role("region", name="The open event")
    expect(details).to_contain_text("message 4")  # about ten rows are in sight
    keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(grid).to_be_focused()


def test_details_stand_beside_the_list_if_there_is_room(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    output = book.output(1)
    bob.send_text("to be opened")
    row(output, "to be opened").locator("td").nth(1).click()
    details, grid = output.locator(".lknb-feed-details"), output.locator(".lknb-feed-list")
    expect(details).to_contain_text("to be opened")

    def tops() -> tuple[float, float]:
        boxes = details.bounding_box(), grid.bounding_box()
        assert boxes[0]
        assert boxes[1]
        return boxes[0]["y"], boxes[1]["y"] + boxes[1]["height"]

    assert tops()[0] < tops()[1], "beside"
    book.page.set_viewport_size({"width": 700, "height": 900})
    try:
        eventually(lambda: tops()[0] >= tops()[1], what="below")
    finally:
        book.page.set_viewport_size({"width": 1280, "height": 900})


def test_decoded_values_are_shown_in_rows_and_as_a_tree(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.feed()", 'room.decode("imu", "<dff", names=["t", "x", "y"])')
    book.run()
    output = book.output(1)
    bob.publish_data(struct.pack("<dff", 0.25, 1.5, 2.5), topic="imu")
    bob.publish_data(b"broken", topic="imu")
    good, broken = row(output, '{"t": 0.25, "x": 1.5, "y": 2.5}'), row(output, "not decoded")
    expect(broken).to_contain_text("6 bytes are not a multiple of the 16 bytes of '<dff'")
    good.locator("td").nth(1).click()
    details = output.locator(".lknb-feed-details")
    expect(details.locator(".lknb-leaf", has_text="x: 1.5")).to_be_visible()
    expect(details.locator("pre")).to_contain_text("00000000  00 00 00 00 00 00 d0 3f 00 00 c0 3f 00 00 20 40")
    broken.locator("td").nth(1).click()
    expect(details.locator("dd", has_text="6 bytes are not")).to_be_visible()
    expect(details.locator(".lknb-leaf")).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 700])  # the side bar takes some
def test_one_long_word_makes_nothing_wider(notebook: Open, join: Join, room_name: str, width: int) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.feed()")
    book.page.set_viewport_size({"width": width, "height": 900})
    try:
        book.run()
        output = book.output(1)
        bob.send_text("[" * 10_000, topic="w" * 200)
        bob.publish_data(b"{" * 10_000)
        row(output, "[[[[").locator("td").nth(1).click()
        expect(output.locator(".lknb-details .lknb-text")).to_be_visible()
        wider = output.evaluate(
            "(output) => [...output.querySelectorAll('.lknb, .lknb-scroll, .lknb-feed-details, .lknb-text')]"
            ".filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.className)"
        )
        assert wider == []
    finally:
        book.page.set_viewport_size({"width": 1280, "height": 900})


def test_filter_outlives_another_run_of_the_cell(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    bob.send_text("chosen", topic="one")
    bob.send_text("left out", topic="two")
    expect(row(book.output(1), "left out")).to_be_visible()
    book.output(1).get_by_label("Topic").fill("one")
    expect(row(book.output(1), "left out")).to_have_count(0)
    book.run(1)
    expect(row(book.output(1), "chosen")).to_be_visible()
    expect(book.output(1).get_by_label("Topic")).to_have_value("one")
    expect(row(book.output(1), "left out")).to_have_count(0)
