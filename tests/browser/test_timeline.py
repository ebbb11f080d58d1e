"""The timeline in a browser: bars that grow, reading, opening, zooming, a flood of events, and what is saved."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, expect
from waiting import eventually

import lknb
from browser.lab import Notebook, busy_until

NASTY = "<img src=x onerror=window.hurt=1>"
# As many as the timeline keeps, of several participants, without the server.
FLOOD = """
import datetime as dt, threading, time
from lknb.event import Event, now
room.events._max_events, room.events._max_bytes = 200_000, 2 ** 40
begin = now() - dt.timedelta(seconds=600)
def add(index, when):
    kind = ("data", "data", "data_track", "text", "rpc")[index % 5]
    room.events.add(Event(
        kind, "in", sender=f"robot {index % 12}", to=("alice",), topic="imu", size=20,
        duration=0.5 if index % 5 > 2 else None, time=when,
    ))
for index in range(100_000):
    add(index, begin + dt.timedelta(seconds=index * 0.006))
def go_on():
    for index in range(60_000):
        add(index, now())
        if index % 20 == 0:
            time.sleep(0.01)
threading.Thread(target=go_on, daemon=True).start();
"""
FRAMES = """async (seconds) => {
    let count = 0;
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
        await new Promise(requestAnimationFrame);
        count += 1;
    }
    return count;
}"""


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice');"


def lane(output: Locator, name: str) -> Locator:
    """The name of a lane, which is as high as the lane."""
    return output.locator(".lknb-timeline-name").filter(has_text=name)


def point_at(output: Locator, name: str, share: float) -> tuple[float, float]:
    """Move the pointer to the first bars of a lane with marks, at a share of the width, and return the place."""
    canvas, box = output.locator(".lknb-timeline-canvas").bounding_box(), lane(output, name).bounding_box()
    assert canvas is not None
    assert box is not None
    x, y = canvas["x"] + canvas["width"] * share, box["y"] + 26
    output.page.mouse.move(x - 1, y)
    output.page.mouse.move(x, y)
    return x, y


def drawn(output: Locator) -> str:
    """What the canvas of the lanes shows."""
    return str(output.locator(".lknb-timeline-canvas").evaluate("(canvas) => canvas.toDataURL()"))


def test_bars_grow_are_read_opened_and_saved(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    errors: list[str] = []
    done = f"{room_name}.done"
    book = notebook(joined(room_name), "room.timeline()", busy_until(done))
    book.page.on("pageerror", lambda error: errors.append(str(error)))
    book.run(0, 1)
    output = book.output(1)
    view, tip = output.locator(".lknb-timeline-view"), output.locator(".lknb-timeline-tip")
    expect(lane(output, "The room")).to_be_visible()

    # While a cell computes, a stream that goes on is a bar that grows.
    book.start(2)
    bob = join("bob")
    with bob.stream_text(topic=NASTY) as stream:
        stream.write("hello ")
        expect(lane(output, "bob")).to_be_visible()
        before = drawn(output)
        eventually(lambda: drawn(output) != before, what="the bar grows")
        output.get_by_role("button", name="All", exact=True).click()
        eventually(lambda: point_at(output, "bob", 0.9) and tip.is_visible(), what="the bar is under the pointer")
        expect(tip).to_contain_text(f"text: {NASTY}")
        expect(tip).to_contain_text("in progress")
        stream.write("world")
    expect(tip).to_contain_text("11 B")
    book.release(done)
    book.wait(2)

    # Keys read events and zoom; Enter opens, Escape closes.
    view.focus()
    for key in ("Home", "ArrowDown", "ArrowDown"):
        book.page.keyboard.press(key)
    expect(tip).to_contain_text("bob")
    span = output.locator(".lknb-timeline-corner")
    expect(span).to_have_text(re.compile(r"\d (s|min|ms)$"))
    wide = span.inner_text()
    for _ in range(4):
        book.page.keyboard.press("+")
    expect(span).not_to_have_text(wide)
    expect(output.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    for _ in range(5):
        book.page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("text: ")
    book.page.keyboard.press("Enter")
    details = output.locator(".lknb-timeline-details")
    expect(details).to_contain_text("hello world")
    book.page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    assert book.page.evaluate("window.hurt") is None
    assert errors == []

    # Saved while it is live, the notebook has its picture; once it has ended, the drawing.
    saved = str(book.save()["metadata"]["widgets"])
    assert "data:image/png" in saved
    assert len(saved) < 300_000
    book.set_cell(0, "room.close()")
    book.run(0)
    expect(output.locator(".lknb-static svg")).to_be_visible()
    expect(output.locator(".lknb")).to_have_count(0)
    html = "".join(book.save()["cells"][1]["outputs"][0]["data"]["text/html"])
    assert "<svg" in html
    assert len(html) < 130_000
    assert NASTY not in html


def test_a_hundred_thousand_events_stay_fluid(notebook: Callable[..., Notebook], room_name: str) -> None:
    book = notebook(joined(room_name), "room.timeline()", FLOOD)
    book.run(0, 2, 1)
    output = book.output(1)
    expect(output.locator(".lknb-counts")).to_have_text(re.compile(r"^10\d,\d{3} events"))
    output.get_by_role("button", name="All", exact=True).click()
    canvas = output.locator(".lknb-timeline-canvas")
    box = canvas.bounding_box()
    assert box is not None
    before = drawn(output)
    book.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    book.page.keyboard.down("Control")
    for _ in range(6):
        book.page.mouse.wheel(0, -300)
        assert book.page.evaluate(FRAMES, 0.1) >= 2
    book.page.keyboard.up("Control")
    assert drawn(output) != before
    book.page.mouse.down()
    for step in range(6):
        book.page.mouse.move(box["x"] + box["width"] / 2 - 20 * step, box["y"] + 60)
        assert book.page.evaluate(FRAMES, 0.1) >= 2
    book.page.mouse.up()
    expect(output.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    # What arrives meanwhile is drawn, too.
    eventually(lambda: "older ones left out" in output.locator(".lknb-counts").inner_text(), what="the oldest go")
    output.get_by_role("button", name="Follow").click()
    following = drawn(output)
    eventually(lambda: drawn(output) != following, what="it follows")
