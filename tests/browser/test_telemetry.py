"""Telemetry in a browser: lines by uPlot and a table by perspective, from the wheels, updated by the kernel."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, expect
from waiting import eventually

import lknb
from browser.lab import Notebook, busy_until

NASTY = "<img src=x onerror=window.hurt=1>"
_SLOW = 30_000  # milliseconds: the module has 6 MB, and a test's browser draws without a graphics card


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')"


def rows(viewer: Locator) -> int:
    """The number of samples in perspective's table."""
    return int(viewer.evaluate("async (viewer) => await (await viewer.getTable()).size()"))


def painted(canvas: Locator) -> bool:
    """Whether something is drawn on a canvas."""
    pixels = "(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    return bool(canvas.evaluate(pixels))


def drawn(viewer: Locator) -> dict[str, Any]:
    """The viewer's configuration."""
    return dict(viewer.evaluate("async (viewer) => await viewer.save()"))


def until(viewer: Locator, condition: str, argument: Any = None) -> None:
    """Wait until an expression of `viewer`, `table` and `argument` is true."""
    # Looked up each time, because there are two for a moment while one replaces the other.
    look = """async (viewers, argument) => {
        const [viewer] = viewers;
        const table = viewers.length === 1 && await viewer.getTable().catch(() => undefined);  // after a moment
        return Boolean(table) && await (async () => CONDITION)().catch(() => false);  // removed
    }""".replace("CONDITION", condition)
    eventually(lambda: viewer.evaluate_all(look, argument), within=_SLOW / 1000, what=condition)


def test_lines_and_table_appear_update_and_end(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    errors: list[str] = []
    plot, done = "plot = room.feed(topic='imu').plot(window=2000)\nplot", f"{room_name}.done"
    book = notebook(joined(room_name), plot, busy_until(done))
    book.page.on("pageerror", lambda error: errors.append(str(error)))
    book.run(0, 1)
    out = book.output(1)
    expect(out).to_contain_text("No numbers yet on imu")
    bob = join("bob")
    for number in range(20):
        bob.publish_data(json.dumps({"x": math.sin(number / 5), NASTY: number}), topic="imu")
    heads = out.locator(".lknb-plot-head")
    expect(heads).to_have_text(re.compile(r"x -0\.61\d+ <img src=x onerror=window\.hurt=1> 19"))
    assert painted(out.locator("canvas").first)

    # While a cell computes, lines keep moving: 10,000 samples in about a second.
    book.start(2)
    for burst in range(100):
        bob.publish_data(json.dumps([{"x": burst + number / 100, NASTY: 1} for number in range(100)]), topic="imu")
    expect(out).to_contain_text("10,020 samples")
    expect(heads.first).to_contain_text("99.99")
    busy = "(path) => window.lknbNotebooks[path].context.sessionContext.session.kernel.status"
    assert book.page.evaluate(busy, book.name) == "busy"

    # The table's library comes from the kernel when somebody asks for it, so not while it computes.
    book.release(done)
    book.wait(2)
    out.get_by_role("button", name="Table").click()
    viewer = out.locator("perspective-viewer")
    until(viewer, "(await viewer.save()).plugin === 'Datagrid'")
    until(viewer, "await table.size() === 2000")
    expect(viewer.locator("regular-table")).to_contain_text("bob", timeout=_SLOW)
    out.get_by_role("checkbox", name=NASTY).uncheck()
    until(viewer, "(await viewer.save()).columns.join() === 'time,sender,topic,x'")

    # Pausing keeps the chart; new samples appear afterwards. A new field creates a new table.
    out.get_by_role("button", name="Pause").click()
    bob.publish_data('{"fresh": 5}', topic="imu")
    expect(out).to_contain_text("10,021 samples")
    expect(out.get_by_role("checkbox", name="fresh")).to_be_checked()
    assert drawn(viewer)["columns"] == ["time", "sender", "topic", "x"]
    out.get_by_role("button", name="Resume").click()
    expect(out.locator("perspective-viewer")).to_have_count(1)
    until(viewer, "(await viewer.save()).columns.at(-1) === 'fresh'")

    book.set_cell(2, "plot.close()")
    book.run(2)
    expect(out).to_contain_text("Newest samples")
    expect(viewer).to_have_count(0)
    assert book.page.evaluate("window.hurt") is None
    assert not errors


def test_lines_are_read_and_zoomed(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    book = notebook(joined(room_name), "room.feed(topic='robot').plot()")
    book.run(0, 1)
    out, bob = book.output(1), join("bob")
    for number in range(50):
        bob.publish_data(json.dumps({"battery": 0.5 + number / 1000, "pressure": 101_325 + number}), topic="robot")
    expect(out.locator(".lknb-plot-head")).to_have_text(["battery 0.549", "pressure 101,374"])
    lines = out.get_by_role("group", name="Lines.")
    lines.scroll_into_view_if_needed()

    # One time on all plots, read by the keys and by the pointer.
    lines.focus()
    for _ in range(3):
        book.page.keyboard.press("ArrowLeft")
    expect(out.locator(".lknb-plot-moment")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$"))
    expect(out.locator(".lknb-plot-head")).not_to_have_text(["battery 0.549", "pressure 101,374"])
    box = out.locator(".u-over").first.bounding_box()
    assert box is not None
    book.page.mouse.move(box["x"] + 1, box["y"] + 10)
    expect(out.locator(".lknb-plot-head")).to_have_text([re.compile("battery 0.5"), re.compile("pressure 101,3[23]")])

    book.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 20)
    book.page.mouse.down()
    book.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 30, steps=5)
    book.page.mouse.up()
    reset = out.get_by_role("button", name="Reset zoom")
    expect(reset).to_be_visible()
    out.locator(".u-over").first.dblclick()
    expect(reset).to_be_hidden()

    out.get_by_role("button", name="One axis").click()
    expect(out.locator("canvas")).to_have_count(1)


def test_empty_plot_is_drawn_while_a_cell_computes(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    book = notebook(joined(room_name), "room.feed(topic='imu').plot()", "import time\ntime.sleep(110)")
    book.run(0, 1)
    expect(book.output(1)).to_contain_text("No numbers yet on imu")
    engine = "async () => Boolean(await globalThis[Symbol.for('lknb.uplot')])"
    book.page.wait_for_function(engine, timeout=_SLOW)
    bob = join("bob")
    book.start(2)
    bob.publish_data('{"x": 1}', topic="imu")
    expect(book.output(1).locator(".lknb-plot-head")).to_have_text("x 1")
    expect(book.output(1)).to_contain_text("1 sample,")
    expect(book.output(1)).not_to_contain_text("The kernel is busy")
    busy = "(path) => window.lknbNotebooks[path].context.sessionContext.session.kernel.status"
    assert book.page.evaluate(busy, book.name) == "busy"
    book.kernel("interrupt")


def test_plots_share_a_page_with_perspectives_widget_and_follow_the_theme(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    own = "import perspective.widget\nperspective.widget.PerspectiveWidget({'a': [1, 2, 3]})"
    book = notebook(joined(room_name), "room.feed(topic='imu').plot()", "room.panel('telemetry')", own)
    book.run(0, 1, 2)
    bob = join("bob")
    bob.publish_data('{"x": 1}', topic="imu")
    bob.publish_data('{"x": 2}', topic="imu")
    outputs = [book.output(index) for index in (1, 2)]
    for output in outputs:
        output.scroll_into_view_if_needed(timeout=_SLOW)
        expect(output.locator(".lknb-plot-head")).to_have_text("x 2")
        output.get_by_role("button", name="Table").click()
    viewers = [output.locator("perspective-viewer") for output in outputs]
    for viewer in viewers:
        viewer.scroll_into_view_if_needed(timeout=_SLOW)
        until(viewer, "await table.size() === 2")
    book.run(3)
    until(book.output(3).locator("perspective-viewer"), "await table.size() === 3")
    theme = "(name) => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name }).then(() => true)"
    try:
        book.page.evaluate(theme, "JupyterLab Dark")
        until(viewers[1], "(await viewer.save()).theme === 'Pro Dark'")
    finally:
        book.page.evaluate(theme, "JupyterLab Light")
    until(viewers[1], "(await viewer.save()).theme === 'Pro Light'")
