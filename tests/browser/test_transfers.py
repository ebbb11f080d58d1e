"""The transfers in a browser."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

import lknb
from browser.lab import Notebook

Join = Callable[..., lknb.Room]


def shown(book: Notebook) -> Locator:
    """The panel of the second cell."""
    book.run()
    return book.output(1)


@pytest.fixture
def book(notebook: Callable[..., Notebook], room_name: str) -> Notebook:
    """A notebook with Alice's transfers."""
    return notebook(f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')", "room.panel('transfers')")


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = (b"\0" + b"\x80" * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_a_transfer_is_seen_to_move_and_is_cancelled_with_its_button(book: Notebook, join: Join) -> None:
    panel = shown(book)
    expect(panel).to_contain_text("No file has been sent or received")
    bob = join("bob")
    with bob.stream_bytes("scan.pcd", topic="scans", total_size=1_000_000) as out:
        out.write(bytes(250_000))
        row = panel.locator("li", has_text="scan.pcd")
        expect(row).to_contain_text("from bob, topic scans")
        expect(row).to_contain_text("250.0 kB of 1.0 MB")
        expect(row.get_by_role("progressbar")).to_have_js_property("value", 250_000)
        out.write(bytes(250_000))
        expect(row).to_contain_text("500.0 kB of 1.0 MB")
        row.get_by_role("button", name="Cancel").click()
        expect(row.locator("strong")).to_have_text("failed")
        expect(row).to_contain_text("cancelled here")
        expect(row.get_by_role("progressbar")).to_be_hidden()
        expect(panel.locator(".lknb-send + .lknb-outcome")).to_have_text("scan.pcd was cancelled.")
        out.write(bytes(500_000))
    bob.send_bytes(b"the next one", name="next.txt")
    expect(panel.locator("li")).to_have_count(2)
    expect(row).to_contain_text("cancelled here")


def test_what_arrived_is_looked_at_downloaded_and_saved(book: Notebook, join: Join, folder: Path) -> None:
    panel = shown(book)
    bob = join("bob")
    data = bytes(range(256)) * 10_000
    bob.send_bytes(data, name="<img src=x onerror=alert(1)>.bin")
    bob.send_bytes(png(40, 30), name="grey.png")
    bob.send_bytes(b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', name="acts.png")
    picture = panel.locator("li", has_text="grey.png").locator("img")
    expect(picture).to_have_js_property("naturalWidth", 40)
    expect(panel.locator("img")).to_have_count(1)
    row = panel.locator("li", has_text="onerror")
    expect(row).to_contain_text("SHA-256 verified")
    with book.page.expect_download() as downloading:
        row.get_by_role("button", name="Download").click()
    assert Path(downloading.value.path()).read_bytes() == data
    row.get_by_role("button", name="Save to folder").click()
    expect(row).to_contain_text("Saved as ")
    saved = Path(row.locator("p", has_text="Saved as").inner_text().removeprefix("Saved as "))
    assert saved.read_bytes() == data
    assert saved.parent == book.path.parent.resolve()


def test_a_file_of_the_browser_is_sent(book: Notebook, join: Join, folder: Path) -> None:
    panel = shown(book)
    bob, carol = join("bob"), join("carol")
    inbox = bob.listen("bytes")
    data = bytes(range(256)) * 10_000
    (folder / "measured.csv").write_bytes(data)
    with (folder / "huge.bin").open("wb") as huge:
        huge.truncate(70_000_000)
    file, send = panel.get_by_label("File to send"), panel.get_by_role("button", name="Send", exact=True)
    file.set_input_files(folder / "huge.bin")
    expect(panel.locator(".lknb-send + .lknb-outcome")).to_contain_text("huge.bin is 70.0 MB; at most 67.1 MB")
    expect(send).to_be_disabled()
    file.set_input_files(folder / "measured.csv")
    panel.get_by_label("Recipient").select_option("bob")
    panel.get_by_label("Topic").fill("tables")
    send.click()
    event = inbox.next(timeout=30)
    assert (event.topic, event.data.name, event.data.data) == ("tables", "measured.csv", data)
    expect(panel.locator(".lknb-send + .lknb-outcome")).to_have_text("measured.csv was sent to bob.")
    expect(panel.locator("li", has_text="measured.csv")).to_contain_text("to bob, topic tables")
    assert len(carol.events.filter("bytes")) == 0
