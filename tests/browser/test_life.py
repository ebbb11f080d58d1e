"""The life of widgets: shown twice, hidden, reloaded, run again, saved, closed, with a busy and a gone kernel."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable

from playwright.sync_api import Error, Locator, expect

import lknb
from browser.lab import Lab, Notebook, busy_until, load

MIME = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+")
COUNT = "import comm, ipywidgets\nprint(len(ipywidgets.widgets.widget._instances), len(comm.get_comm_manager().comms))"

Open = Callable[..., Notebook]
Join = Callable[..., lknb.Room]


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice');"


def row(output: Locator, text: str) -> Locator:
    return output.locator("tbody", has_text=text)


def test_notebook_saved_while_live_shows_its_last_state_when_reopened(
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
    assert len(json.dumps(saved["metadata"]["widgets"])) < 30_000
    assert not JWT.search(json.dumps(saved))
    bundle = saved["cells"][1]["outputs"][0]["data"]
    assert {"text/html", "text/plain", MIME} == set(bundle)

    # While the kernel is alive, a reloaded page is live again.
    load(book.page, book.page.url)
    book.open()
    join("carol").send_text("after the reload")
    for index in (1, 2):
        expect(row(book.output(index), "after the reload")).to_be_visible()
    book.save()

    # Without the kernel, it shows the last state.
    book.kill()
    book.open()
    for index in (1, 2):
        output = book.output(index)
        expect(output.locator(".lknb-saved")).to_contain_text("<b>saved</b> for later")
        expect(output.locator(".lknb-saved")).to_contain_text("Run the cell again")
        expect(output).not_to_contain_text("Error displaying widget")
    again = book.save()
    assert again["metadata"]["widgets"][STATES]["state"].keys() == states.keys()

    # Run again, it is live, and nothing is kept of the old widgets.
    book.run()
    join("dave").send_text("all over again")
    expect(row(book.output(1), "all over again")).to_be_visible()
    assert book.save()["metadata"]["widgets"][STATES]["state"].keys().isdisjoint(states)

    # Closed, it is static, both in the page and in the file.
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


def test_ten_thousand_events_in_a_second_do_not_freeze_the_page(notebook: Open, join: Join, room_name: str) -> None:
    book = notebook(
        joined(room_name) + "\nfrom lknb.events import Event\nimport time",
        "feed = room.feed(); feed",
        "began = time.monotonic()\n"
        "sent = []\n"
        "send, feed._channel._send = feed._channel._send, lambda *a: (sent.append(a), send(*a))\n"
        "for number in range(10_000):\n"
        "    room.events.add(Event('data', 'in', sender='flood', topic='imu', data=b'x' * 100, size=100))\n"
        "    if number % 1000 == 0: print('line', number); time.sleep(0.08)\n"
        "took = time.monotonic() - began\n"
        "print('end', len(sent) <= took * 10 + 3, len(feed._part._shown))",
    )
    book.run()
    output = book.output(1)
    expect(output).to_contain_text(re.compile(r"10,00\d events"))
    counts = output.locator(".lknb-counts")
    expect(counts).to_contain_text("newest 500 listed")
    expect(counts).to_have_attribute(
        "title", re.compile(r"[\d,]+ came too fast to be listed here; they are in room.events")
    )
    expect(output.get_by_role("grid")).to_have_attribute("aria-rowcount", "501")
    printed = book.output(2)
    for number in range(0, 10_000, 1000):
        expect(printed).to_contain_text(f"line {number}\n")
    expect(printed).to_contain_text("end True 500")
    # Afterwards it continues.
    join("bob").send_text("after the flood")
    expect(row(output, "after the flood")).to_be_visible()


def test_feed_updates_while_a_cell_computes_and_its_buttons_wait(notebook: Open, join: Join, room_name: str) -> None:
    done = f"{room_name}.done"
    book = notebook(joined(room_name), "room.feed()", busy_until(done, "for _ in range(1_000_000): pass"))
    book.run(0, 1)
    output = book.output(1)
    bob = join("bob")
    bob.send_text("before")
    expect(row(output, "before")).to_be_visible()
    book.start(2)
    bob.send_text("in between")
    expect(row(output, "in between")).to_be_visible()
    output.get_by_role("button", name="Clear").click()
    expect(output).to_contain_text("The kernel is busy")
    bob.send_text("still moving")
    expect(row(output, "still moving")).to_be_visible()
    book.release(done)
    book.wait(2)
    expect(row(output, "before")).to_have_count(0)
    expect(output).not_to_contain_text("The kernel is busy")


def test_every_view_is_current_in_any_tab_and_page(notebook: Open, join: Join, lab: Lab, room_name: str) -> None:
    book = notebook(joined(room_name), "feed = room.feed(); feed", "feed", "room.panel('feed', 'chat')")
    book.run()
    bob = join("bob")
    bob.send_text("first")
    panel = book.show(3)
    expect(row(panel, "first")).to_be_visible()
    panel.get_by_role("tab", name="Chat").click()
    for index in (1, 2):
        expect(row(book.show(index), "first")).to_be_visible()
    # Another tab of JupyterLab in front, and another page.
    book.page.evaluate("window.jupyterapp.commands.execute('launcher:create').then(() => true)")
    bob.send_text("while hidden")
    book.save()
    second = lab.new_page()
    other = Notebook(second, book.name, book.path)
    for index in (1, 2):
        expect(row(other.show(index), "while hidden")).to_be_visible()
    second.close()
    for index in (1, 2):
        expect(row(book.show(index), "while hidden")).to_be_visible()
    book.show(3)
    panel.get_by_role("tab", name="Feed").click()
    bob.send_text("last")
    for text in ("while hidden", "last"):
        expect(row(panel, text)).to_be_visible()


def test_running_a_cell_again_leaves_one_widget(notebook: Open, room_name: str) -> None:
    book = notebook(joined(room_name), "room.feed()", COUNT, "room")
    book.run(0, 1, 1, 1, 1, 1, 3, 3, 2)
    expect(book.output(2)).to_have_text("4 4\n")
    expect(book.output(1).locator(".lknb")).to_have_count(1)
    expect(book.output(3).get_by_role("tab", name="Feed")).to_be_visible()
    book.set_cell(1, "'no feed'")
    book.set_cell(3, "'no panel'")
    book.run(1, 3, 2)
    expect(book.output(2)).to_have_text("0 0\n")


def test_view_of_a_gone_kernel_stays_readable(notebook: Open, join: Join, room_name: str) -> None:
    book = notebook(joined(room_name), "room.feed()", "import os; os._exit(1)")
    book.run(0, 1)
    output = book.output(1)
    join("bob").send_text("the last word")
    expect(row(output, "the last word")).to_be_visible()
    book.start(2)
    expect(output).to_contain_text("The kernel is gone")
    expect(row(output, "the last word")).to_be_visible()
    book.page.locator(".jp-Dialog").get_by_role("button", name="Ok").click()  # JupyterLab's own "Kernel Restarting"
    output.get_by_role("button", name="Clear").click()
    expect(output.locator(".lknb-outcome")).to_contain_text("Run the cell again")


def test_kernel_that_is_shut_down_or_restarted_leaves_the_last_state(
    notebook: Open, join: Join, room_name: str
) -> None:
    book = notebook(joined(room_name), "room.feed()")
    book.run()
    join("bob").send_text("the last word")
    expect(row(book.output(1), "the last word")).to_be_visible()
    # JupyterLab receives nothing from a kernel that it restarts until the new one has started.
    book.kernel("restart")
    expect(book.output(1)).to_contain_text("The kernel is gone")
    expect(row(book.output(1), "the last word")).to_be_visible()
    assert "the last word" in json.dumps(book.save()["metadata"]["widgets"])
    book.run()
    join("carol").send_text("another word")
    expect(row(book.output(1), "another word")).to_be_visible()
    # A kernel that is shut down has time to leave HTML.
    book.kernel("shutdown")
    expect(book.output(1)).to_contain_text("another word")
    expect(book.output(1).locator(".lknb")).to_have_count(0)
    saved = book.save()
    assert set(saved["cells"][1]["outputs"][0]["data"]) == {"text/html", "text/plain"}
    assert "widgets" not in saved["metadata"]


def test_second_window_shows_what_the_first_one_shows(notebook: Open, lab: Lab, join: Join, room_name: str) -> None:
    first = notebook(joined(room_name), "room.feed()")
    first.run()
    bob = join("bob")
    bob.send_text("before the second window")
    expect(row(first.output(1), "before the second window")).to_be_visible()
    first.save()
    page = lab.new_page()
    try:
        second = Notebook(page, first.name, first.path)
        expect(row(second.output(1), "before the second window")).to_be_visible()
        bob.send_text("for both")
        for each in (first, second):
            expect(row(each.output(1), "for both")).to_be_visible()
    finally:
        page.close()


def test_page_that_comes_after_a_crashed_one_is_live(notebook: Open, lab: Lab, join: Join, room_name: str) -> None:
    page = lab.new_page()
    crashed = notebook(joined(room_name), "room.panel('feed', 'participants')", page=page)
    crashed.run()
    bob = join("bob")
    bob.send_text("before the crash")
    expect(row(crashed.output(1), "before the crash")).to_be_visible()
    crashed.save()
    with contextlib.suppress(Error):  # the page is gone
        page.goto("chrome://crash", timeout=5_000)
    page.close()
    bob.send_text("meanwhile")
    after = lab.new_page()
    try:
        book = Notebook(after, crashed.name, crashed.path)
        expect(row(book.output(1), "meanwhile")).to_be_visible()
        bob.send_text("afterwards")
        expect(row(book.output(1), "afterwards")).to_be_visible()
    finally:
        Notebook.close(book)
        after.close()


def test_mathematics_from_the_room_stays_text(notebook: Open, join: Join, room_name: str) -> None:
    nasty = r"costs $5 and then $6, $\text{bob}$, $\rule{3000px}{3000px}$"
    bob = join("bob", name="$y^2$", attributes={"price": nasty})
    book = notebook(
        joined(room_name) + "\nfrom IPython.display import HTML\nHTML('<div>$x^2$</div>')",
        "feed = room.feed()\nfeed",
        "room.events",
        "room.participants",
        "feed.close()",
    )
    book.run(0, 1)
    bob.send_text(nasty)
    expect(row(book.output(1), "costs $5 and then $6")).to_be_visible()
    book.run(2, 3, 4)
    expect(book.output(0).locator("mjx-container")).to_be_visible()  # this page typesets mathematics
    for index in (1, 2, 3):
        expect(book.output(index)).to_contain_text("costs $5 and then $6")
        expect(book.output(index).locator("mjx-container")).to_have_count(0)
