"""How widgets live and end: shown twice, hidden, reloaded, run again, saved, closed, with a busy and a gone kernel."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from lab import Lab, Notebook, load
from playwright.sync_api import Locator, expect

import lknb

MIME = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+")
COUNT = "import ipywidgets; from lknb.widgets.widget import RoomWidget\n"
COUNT += "print(sum(isinstance(each, RoomWidget) for each in ipywidgets.Widget.widgets.values()), 'widgets')"

Open = Callable[..., Notebook]
Join = Callable[..., lknb.Room]


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice');"


def row(output: Locator, text: str) -> Locator:
    return output.locator("tbody", has_text=text)


def test_a_notebook_saved_while_live_shows_what_was_seen_when_it_is_opened_again(
    notebook: Open, join: Join, room_name: str
) -> None:
    book = notebook(joined(room_name), "room.feed()", "room.panel('feed')")
    book.run()
    join("bob").send_text("<b>saved</b> for later", topic="greetings")
    for index in (1, 2):
        expect(row(book.output(index), "<b>saved</b> for later")).to_be_visible()
    saved = book.save()
    states = saved["metadata"]["widgets"][STATES]["state"]
    assert len(states) == 2
    assert len(json.dumps(saved["metadata"]["widgets"])) < 16_000
    assert not JWT.search(json.dumps(saved))
    bundle = saved["cells"][1]["outputs"][0]["data"]
    assert {"text/html", "text/plain", MIME} == set(bundle)

    # With its kernel alive the page is live again after it was loaded anew.
    load(book.page, book.page.url)
    book.open()
    join("carol").send_text("after the reload")
    for index in (1, 2):
        expect(row(book.output(index), "after the reload")).to_be_visible()
    book.save()

    # Without it, it shows what was seen.
    book.kill()
    book.open()
    for index in (1, 2):
        output = book.output(index)
        expect(output.locator(".lknb-saved")).to_contain_text("<b>saved</b> for later")
        expect(output.locator(".lknb-saved")).to_contain_text("Run the cell again")
        expect(output).not_to_contain_text("Error displaying widget")
    again = book.save()
    assert again["metadata"]["widgets"][STATES]["state"].keys() == states.keys()

    # Run again it is live, and of the old ones nothing is kept.
    book.run()
    join("dave").send_text("all over again")
    expect(row(book.output(1), "all over again")).to_be_visible()
    assert book.save()["metadata"]["widgets"][STATES]["state"].keys().isdisjoint(states)

    # Closed, it is static, in the page and in the file.
    book.set_cell(0, "room.close()")
    book.run(0)
    for index in (1, 2):
        expect(book.output(index)).to_contain_text("all over again")
        expect(book.output(index).locator(".lknb")).to_have_count(0)
    closed = book.save()
    assert "widgets" not in closed["metadata"]
    for cell in closed["cells"][1:]:
        assert set(cell["outputs"][0]["data"]) == {"text/html", "text/plain"}
        assert "all over again" in "".join(cell["outputs"][0]["data"]["text/html"])
    assert not JWT.search(json.dumps(closed))
