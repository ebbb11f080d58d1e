"""The feed in a browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, expect

import lknb
from browser.lab import Notebook

Open = Callable[..., Notebook]
Join = Callable[..., lknb.Room]


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')"


def row(output: Locator, text: str) -> Locator:
    return output.locator("tbody", has_text=text)


def test_events_appear_in_the_feed_while_they_happen(notebook: Open, join: Join, room_name: str) -> None:
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    bob = join("bob")
    bob.send_text("hello from the other side", topic="greetings")
    seen = row(book.output(1), "hello from the other side")
    expect(seen).to_contain_text("greetings")
    expect(seen).to_contain_text("bob")


def test_the_feed_is_filtered_paused_and_cleared(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    output = book.output(1)
    bob.send_text("a greeting", topic="greetings")
    bob.publish_data("a packet", topic="imu")
    expect(row(output, "a packet")).to_be_visible()

    output.get_by_label("Kind").select_option("text")
    expect(row(output, "a packet")).to_have_count(0)
    expect(row(output, "a greeting")).to_be_visible()
    output.get_by_label("Text").fill("nowhere")
    expect(output).to_contain_text("No event fits this filter.")
    # What somebody types stays, whatever happens meanwhile.
    bob.send_text("another greeting")
    expect(output.get_by_label("Text")).to_be_focused()
    expect(output.get_by_label("Text")).to_have_value("nowhere")
    output.get_by_label("Text").fill("")
    output.get_by_label("Kind").select_option("")
    expect(row(output, "another greeting")).to_be_visible()

    output.get_by_role("button", name="Pause").click()
    bob.send_text("while paused")
    expect(output.locator(".lknb-counts")).to_contain_text("5 events")
    expect(output.locator(".lknb-counts")).to_contain_text("paused")
    expect(row(output, "while paused")).to_have_count(0)
    output.get_by_role("button", name="Resume").click()
    expect(row(output, "while paused")).to_be_visible()

    output.get_by_role("button", name="Clear").click()
    expect(output).to_contain_text("Nothing has happened yet")
    bob.send_text("after that")
    expect(output.locator("tbody")).to_have_count(1)


def test_an_event_is_opened_copied_and_downloaded(notebook: Open, join: Join, room_name: str, folder: Path) -> None:
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
    # It stays open, with the focus, while others come.
    opener.focus()
    bob.send_text('{"a": {"b": [1, 2]}}')
    expect(row(output, '{"a"')).to_be_visible()
    expect(opener).to_be_focused()
    expect(details).to_be_visible()
    opener.press("Enter")
    expect(details).to_have_count(0)
    row(output, '{"a"').locator("td").nth(2).click()
    expect(details.locator("summary").first).to_be_visible()

    with book.page.expect_download() as download:
        output.get_by_role("button", name="JSON").click()
    assert download.value.suggested_filename == f"{room_name}-events.jsonl"
    download.value.save_as(folder / "log.jsonl")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["data"] for line in lines if line["kind"] == "text"] == [text, '{"a": {"b": [1, 2]}}']
