"""The RPC console in a browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from peers import PlainPeer
from playwright.sync_api import Locator, expect

import lknb
from browser.lab import Notebook

TOOK = re.compile(r"\d+\.\d m?s")


def console(notebook: Callable[..., Notebook], room_name: str, *cells: str) -> tuple[Notebook, Locator]:
    book = notebook(f"import lknb\nroom = lknb.connect({room_name!r}, 'alice')", "room.panel('rpc')", *cells)
    book.run(0, 1)
    # Until the kernel has sent its defaults, one of them could get into what the test writes.
    expect(book.output(1).get_by_label("Timeout in seconds")).to_have_value("10")
    return book, book.output(1)


def fill(shown: Locator, to: str, method: str, payload: str) -> None:
    shown.get_by_label("Participant").select_option(to)
    shown.get_by_label("Method", exact=True).fill(method)
    shown.get_by_label("Payload, as JSON or empty").fill(payload)


def send(shown: Locator) -> None:
    shown.get_by_role("button", name="Call", exact=True).click()


def test_methods_are_called_and_run_again(
    notebook: Callable[..., Notebook], peer: Callable[..., PlainPeer], room_name: str
) -> None:
    _, shown = console(notebook, room_name)
    expect(shown).to_contain_text("Nobody else is in the room")
    expect(shown).to_contain_text("No calls yet")
    dave = peer("dave")
    dave.call("register_rpc", method="plan", mode="reply", text='{"steps": ["wash", "dry"]}')
    dave.call("register_rpc", method="no", mode="rpc_error", code=2042, message="not today", data='{"until": 7}')
    # Invalid JSON is not sent, and its fault is marked.
    fill(shown, "dave", "plan", '{"day":\n 1,}')
    send(shown)
    expect(shown).to_contain_text("Line 2, column 3: a comma is not allowed before }")
    payload = shown.get_by_label("Payload, as JSON or empty")
    expect(payload).to_be_focused()
    assert payload.evaluate("(area) => area.value.slice(area.selectionStart, area.selectionEnd)") == ","
    payload.fill('{"day":\n 1}')
    expect(payload).to_have_attribute("aria-invalid", "false")
    # An answer opens as a tree, with its duration.
    send(shown)
    assert dave.wait("rpc_called", method="plan")["payload"] == '{"day":1}'
    plan = shown.locator("tbody", has_text="plan at dave")
    expect(plan.get_by_role("group").first).to_contain_text("wash")
    expect(plan.get_by_text(re.compile("Answer after"))).to_have_text(TOOK)
    # An error shows code, name and data, and closes the previous answer.
    fill(shown, "dave", "no", "")
    send(shown)
    refused = shown.locator("tbody", has_text="no at dave")
    for text in ("Error 2042 APPLICATION", "not today", "until"):
        expect(refused).to_contain_text(text)
    expect(plan.get_by_text(re.compile("Answer after"))).to_have_count(0)
    plan.get_by_role("button", name="Run again").click()
    assert dave.wait("rpc_called", method="plan")["payload"] == '{"day":1}'
    expect(plan).to_have_count(2)
    expect(plan.first).to_contain_text("Answer after")
    expect(shown.get_by_label("Method", exact=True)).to_have_value("plan")


def test_calls_in_progress_and_served_methods_are_shown(
    notebook: Callable[..., Notebook], join: Callable[..., lknb.Room], room_name: str
) -> None:
    bob = join("bob")
    go_on = threading.Event()
    bob.rpc("wait")(lambda: "done" if go_on.wait(90) else "late")
    book, shown = console(
        notebook,
        room_name,
        "@room.rpc('<b>add</b>')\ndef add(a, b):\n    return a + b",
        "room.perform_rpc('bob', 'wait', timeout=90)",
    )
    shown.get_by_label("Timeout in seconds").fill("90")  # they stay in progress during the whole test
    fill(shown, "bob", "wait", "")
    send(shown)
    send(shown)
    calls = shown.locator("tbody", has_text="wait at bob")
    expect(calls.get_by_text("in progress")).to_have_count(2)
    expect(calls.first).to_contain_text(TOOK)
    # A served method appears, and its calls are counted.
    expect(shown).to_contain_text("No methods yet")
    book.run(2)
    served = shown.locator("tbody", has_text="<b>add</b>")
    expect(served).to_contain_text("never")
    assert bob.perform_rpc("alice", "<b>add</b>", {"a": 1, "b": 2}) == 3
    expect(served.locator("[data-label=Calls]")).to_have_text("1")
    expect(served.locator("[data-label=Callers]")).to_have_text("bob")
    expect(served.locator("[data-label=Latency]")).to_have_text(re.compile("mean"))
    # A call from a cell is in the history too, even if the panel is displayed again.
    book.start(3)
    expect(calls.get_by_text("in progress")).to_have_count(3)
    go_on.set()
    book.wait(3)
    expect(calls.get_by_text('"done"').first).to_be_visible()
    expect(calls.get_by_text("in progress")).to_have_count(0)
    book.run(1)
    expect(book.output(1).locator("tbody", has_text="wait at bob")).to_have_count(3)
