"""The widgets in Jupyter Notebook 7."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

import lknb
from browser.lab import Lab, Notebook7, opening

Open = Callable[..., Notebook7]
Join = Callable[..., lknb.Room]


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice');"


@pytest.fixture
def notebook7(lab: Lab) -> Iterator[Open]:
    """Opens notebooks in Jupyter Notebook 7; their kernels and pages end with the test."""
    with opening(lab.notebook7) as open_notebook:
        yield open_notebook


def test_widgets_show_and_act(notebook7: Open, join: Join, room_name: str) -> None:
    book = notebook7(joined(room_name), "room.feed()", "room.panel('chat')", "room.feed(topic='imu').plot()")
    book.run()
    bob = join("bob")
    bob.send_text("<b>hello</b>", topic="greetings")
    expect(book.output(1).locator("tbody", has_text="<b>hello</b>")).to_be_visible()

    chat = book.output(2)
    answers = bob.listen("text", topic="lk.chat")
    chat.get_by_role("textbox", name="Message").fill("from Notebook")
    chat.get_by_role("button", name="Send").click()
    assert answers.next(timeout=10).data == "from Notebook"
    expect(chat.get_by_text("from Notebook")).to_be_visible()

    bob.publish_data(json.dumps({"speed": 7}), topic="imu")
    plot = book.show(3)
    expect(plot.get_by_role("checkbox", name="speed")).to_be_checked()
    expect(plot.locator(".lknb-plot-head")).to_have_text("speed 7")


def test_link_moves_a_slider(notebook7: Open, join: Join, room_name: str) -> None:
    book = notebook7(
        joined(room_name),
        "import ipywidgets\nslider = ipywidgets.IntSlider()\nroom.link(slider, 'speed', of='bob')\nslider",
    )
    book.run()
    bob = join("bob")
    bob.attributes["speed"] = "42"
    expect(book.output(1).get_by_text("42")).to_be_visible()


def test_reloaded_page_is_live_again(notebook7: Open, join: Join, room_name: str) -> None:
    book = notebook7(joined(room_name), "room.feed()")
    book.run()
    bob = join("bob")
    bob.send_text("before the reload")
    expect(book.output(1).locator("tbody", has_text="before the reload")).to_be_visible()
    book.save()
    book.open()
    bob.send_text("after the reload")
    for text in ("before the reload", "after the reload"):
        expect(book.output(1).locator("tbody", has_text=text)).to_be_visible()


def test_closed_room_leaves_html(notebook7: Open, join: Join, room_name: str) -> None:
    book = notebook7(joined(room_name), "room.feed()", "room.close()")
    book.run(0, 1)
    join("bob").send_text("goodbye")
    expect(book.output(1).locator("tbody", has_text="goodbye")).to_be_visible()
    book.run(2)
    expect(book.output(1)).to_contain_text("goodbye")
    expect(book.output(1).locator(".lknb")).to_have_count(0)
    assert set(book.save()["cells"][1]["outputs"][0]["data"]) == {"text/html", "text/plain"}
