"""`room.link` in a browser: a slider in one notebook moves the display in another."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from browser.lab import Notebook


def test_a_slider_in_one_notebook_moves_the_display_in_another(
    notebook: Callable[..., Notebook], room_name: str
) -> None:
    connect = f"import ipywidgets, lknb\nroom = lknb.connect({room_name!r}, "
    follower = notebook(
        connect + "'bob')", "shown = ipywidgets.IntText()\nroom.link(shown, 'speed', of='alice')\nshown"
    )
    follower.run()
    display = follower.output(1).locator("input")
    expect(display).to_have_value("0")
    leader = notebook(
        connect + "'alice')", "slider = ipywidgets.IntSlider(value=3)\nroom.link(slider, 'speed')\nslider"
    )
    leader.run()
    expect(display).to_have_value("3")
    readout = leader.output(1).locator(".widget-readout")
    handle = leader.output(1).get_by_role("slider")
    handle.focus()
    for _ in range(20):
        leader.page.keyboard.press("ArrowRight")
    expect(readout).to_have_text("23")
    expect(display).to_have_value("23")

    leader.run(1)  # another slider, which takes the value that the attribute has
    expect(readout).to_have_text("23")
    handle.focus()
    leader.page.keyboard.press("ArrowLeft")
    expect(display).to_have_value("22")
