"""The chat in a browser."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, expect
from waiting import eventually

import lknb
from browser.lab import Notebook

NASTY = '<script>window.hurt = 1</script><img src=x onerror="window.hurt = 1"><svg> \u202e javascript:0'


def chat(notebook: Callable[..., Notebook], room_name: str) -> Locator:
    book = notebook(f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')", 'room.panel("chat")')
    book.run()
    return book.output(1)


def test_messages_go_both_ways_and_grow_while_they_are_written(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    shown = chat(notebook, room_name)
    bob = join("bob")
    with bob.stream_text() as out:
        out.write("Thinking")
        message = shown.locator("article", has_text="Thinking")
        expect(message).to_contain_text("under way")
        out.write(" has ended.")
        expect(message).to_contain_text("Thinking has ended.")
        expect(message).to_have_attribute("aria-busy", "true")
    expect(message).to_have_attribute("aria-busy", "false")
    expect(message).not_to_contain_text("under way")

    message.get_by_role("button", name="Reply").click()
    box = shown.get_by_label("Message", exact=True)
    expect(box).to_be_focused()
    box.type("One line")
    box.press("Shift+Enter")
    box.type("and another")
    box.press("Enter")
    answer = eventually(lambda: bob.events.filter(kind="text", direction="in", status="ok"))[0]
    assert (answer.data, answer.reply_to) == ("One line\nand another", out.event.id)
    mine = shown.locator("article[data-own=true]")
    expect(mine).to_contain_text("bob: Thinking has ended.")
    expect(box).to_have_value("")

    mine.get_by_role("button", name="Edit").click()
    expect(box).to_have_value("One line\nand another")
    box.fill("One line")
    box.press("Enter")
    expect(mine).to_contain_text("edited")
    eventually(lambda: [each.edits for each in bob.events.filter(direction="in", kind="text")] == [None, answer.id])
    # What cannot be sent is not lost.
    box.fill("to somebody who leaves")
    shown.get_by_label("To", exact=True).select_option("bob")
    bob.close()
    expect(shown.get_by_label("To", exact=True)).to_contain_text("has left")
    box.press("Enter")
    expect(shown.locator(".lknb-outcome").last).to_contain_text("bob")
    expect(box).to_have_value("to somebody who leaves")


def test_files_go_both_ways_and_nothing_acts(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str, tmp_path: object
) -> None:
    shown = chat(notebook, room_name)
    bob = join("bob", name=NASTY)
    got = bob.listen("bytes")
    bob.send_text(NASTY, topic="lk.chat")
    message = shown.locator("article")
    expect(message).to_contain_text("<script>window.hurt = 1</script>")
    expect(message.locator("script, svg, a, img")).to_have_count(0)
    assert shown.page.evaluate("window.hurt") is None

    content = bytes(range(256)) * 6000
    shown.locator("input[type=file]").set_input_files({"name": "data.bin", "mimeType": "x/y", "buffer": content})
    expect(shown.locator(".lknb-chat-chosen")).to_contain_text("data.bin")
    shown.get_by_role("button", name="Send", exact=True).click()
    file = got.next(timeout=20)
    assert (file.data.name, file.data.data) == ("data.bin", content)
    expect(shown.locator("article[data-own=true]")).to_contain_text("data.bin")
    expect(shown.locator(".lknb-chat-chosen li")).to_have_count(0)

    file.data.save(str(tmp_path))
    bob.send_text("back to you", attachments=[f"{tmp_path}/data.bin"])
    with shown.page.expect_download() as download:
        shown.locator("article", has_text="back to you").get_by_role("button", name="Download").click()
    assert download.value.path().read_bytes() == content
