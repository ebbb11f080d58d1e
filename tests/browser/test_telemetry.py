"""Telemetry in a browser: perspective's lines and table, out of the wheel, moved by the kernel's pushes."""

from __future__ import annotations

import json
import math
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
    """How many samples perspective's own table has."""
    return int(viewer.evaluate("async (viewer) => await (await viewer.getTable()).size()"))


def drawn(viewer: Locator) -> dict[str, Any]:
    """What the viewer is set to."""
    return dict(viewer.evaluate("async (viewer) => await viewer.save()"))


def until(viewer: Locator, condition: str, argument: Any = None) -> None:
    """Wait until an expression of `viewer`, `table` and `argument` is true."""
    # Looked for each time anew, as there are two for a moment while one takes the place of another.
    look = """async (viewers, argument) => {
        const [viewer] = viewers;
        const table = viewers.length === 1 && await viewer.getTable().catch(() => undefined);  // has it after a moment
        return Boolean(table) && await (async () => CONDITION)().catch(() => false);  // gone in between
    }""".replace("CONDITION", condition)
    eventually(lambda: viewer.evaluate_all(look, argument), within=_SLOW / 1000, what=condition)


def test_lines_and_table_appear_move_and_go(
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
    viewer = out.locator("perspective-viewer")
    expect(viewer).to_be_visible(timeout=_SLOW)
    until(viewer, "await table.size() === 20")
    assert drawn(viewer)["plugin"] == "Y Line"
    assert drawn(viewer)["columns"] == ["x", NASTY]

    # While a cell computes, lines move on: 10 000 samples in about a second.
    book.start(2)
    for burst in range(100):
        bob.publish_data(json.dumps([{"x": burst + number / 100, NASTY: 1} for number in range(100)]), topic="imu")
    until(viewer, "await table.size() === 2000")
    expect(out).to_contain_text("10,020 samples")
    busy = "(path) => window.lknbNotebooks[path].context.sessionContext.session.kernel.status"
    assert book.page.evaluate(busy, book.name) == "busy"

    out.get_by_role("button", name="Table").click()
    until(viewer, "(await viewer.save()).plugin === 'Datagrid'")
    expect(viewer.locator("regular-table")).to_contain_text("bob", timeout=_SLOW)
    out.get_by_role("checkbox", name=NASTY).uncheck()
    until(viewer, "(await viewer.save()).columns.join() === 'time,sender,topic,x'")
    book.release(done)
    book.wait(2)

    # Pausing holds what is shown; what came meanwhile is there afterwards. A new field makes a new table.
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


def test_a_plot_that_was_empty_is_drawn_while_a_cell_computes(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    book = notebook(joined(room_name), "room.feed(topic='imu').plot()", "import time\ntime.sleep(110)")
    book.run(0, 1)
    expect(book.output(1)).to_contain_text("No numbers yet on imu")
    engine = "async () => Boolean(await globalThis[Symbol.for('lknb.perspective')])"
    book.page.wait_for_function(engine, timeout=_SLOW)
    bob = join("bob")
    book.start(2)
    bob.publish_data('{"x": 1}', topic="imu")
    viewer = book.output(1).locator("perspective-viewer")
    expect(viewer).to_be_visible(timeout=_SLOW)
    until(viewer, "await table.size() === 1")
    expect(book.output(1)).to_contain_text("1 sample,")
    expect(book.output(1)).not_to_contain_text("The kernel is busy")
    busy = "(path) => window.lknbNotebooks[path].context.sessionContext.session.kernel.status"
    assert book.page.evaluate(busy, book.name) == "busy"
    book.kernel("interrupt")


def test_plots_share_a_page_with_perspectives_own_widget_and_follow_the_theme(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    own = "import perspective.widget\nperspective.widget.PerspectiveWidget({'a': [1, 2, 3]})"
    book = notebook(joined(room_name), "room.feed(topic='imu').plot()", "room.panel('telemetry')", own)
    book.run(0, 1, 2)
    bob = join("bob")
    bob.publish_data('{"x": 1}', topic="imu")
    bob.publish_data('{"x": 2}', topic="imu")
    viewers = [book.output(index).locator("perspective-viewer") for index in (1, 2)]
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
