"""How widgets look: they can be read in every theme, long words make nothing wider, and the console stays clean."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

import lknb
from browser.lab import Notebook

Open = Callable[..., Notebook]
Join = Callable[..., lknb.Room]

# The contrast of each text of an element to what is behind it, by WCAG 2.
CONTRASTS = """(root) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const pixel = (colors) => {
        for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (rgb) => {
        const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = rgb.map((each) => linear(each / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        const colors = [];
        for (let each = element; each; each = each.parentElement)
            colors.unshift(getComputedStyle(each).backgroundColor);
        return ["white", ...colors];
    };
    const results = {};
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || element.closest(":disabled")) continue;
        if (!element.checkVisibility({ opacityProperty: true })) continue;
        const back = behind(element);
        const pixels = [pixel(back), pixel([...back, getComputedStyle(element).color])];
        const levels = pixels.map(luminance).sort((a, b) => b - a);
        const contrast = (levels[0] + 0.05) / (levels[1] + 0.05);
        const name = `${element.tagName.toLowerCase()}.${element.className}: ${element.textContent.slice(0, 20)}`;
        results[name] = Math.min(results[name] ?? 99, contrast);
    }
    return results;
}"""
WIDER = """(root) => [...root.querySelectorAll(".lknb, .lknb-scroll, .lknb-pages, .lknb-chat-log, .lknb-people-scroll")]
    .filter((each) => each.clientWidth && each.scrollWidth > each.clientWidth + 1)
    .map((each) => `${each.className}: ${each.scrollWidth} of ${each.clientWidth}`)"""


def joined(room_name: str) -> str:
    return f"import lknb\nroom = lknb.connect({room_name!r}, 'alice', name='Alice', attributes={{'role': 'host'}})"


def set_theme(page: Page, theme: str) -> None:
    page.evaluate(
        "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme }).then(() => true)", theme
    )
    light = "true" if theme.endswith("Light") else "false"
    expect(page.locator(f"body[data-jp-theme-light={light}]")).to_have_count(1)


def choose(output: Locator, tab: str) -> None:
    output.get_by_role("tab", name=tab).click()


@pytest.mark.parametrize(
    ("theme", "floor"),
    [("JupyterLab Light", 4.5), ("JupyterLab Dark", 4.5), ("JupyterLab Dark High Contrast", 7.0)],
)
def test_text_can_be_read(notebook: Open, join: Join, room_name: str, theme: str, floor: float) -> None:
    bob, carol = join("bob", name="Bob", attributes={"mood": "curious"}), join("carol")
    book = notebook(joined(room_name), "@room.rpc('add')\ndef add(a: int) -> int:\n    return a", "room")
    book.run()
    output = book.output(2)
    try:
        set_theme(book.page, theme)
        for room in (bob, carol):
            room.send_text(f"hello from {room.identity}")
        bob.send_bytes(b"1234", name="numbers.bin", topic="files")
        bob.perform_rpc("alice", "add", {"a": 1})
        for tab, seen in (
            ("Participants", "curious"),
            ("Feed", "hello from carol"),
            ("Chat", "hello from carol"),
            ("Transfers", "numbers.bin"),
            ("RPC", "add"),
        ):
            choose(output, tab)
            expect(output.get_by_role("tabpanel", name=tab)).to_contain_text(seen)
            contrasts = output.get_by_role("tabpanel", name=tab).evaluate(CONTRASTS)
            assert contrasts
            low = {name: round(value, 2) for name, value in contrasts.items() if value < floor}
            assert not low, tab
    finally:
        set_theme(book.page, "JupyterLab Light")


@pytest.mark.parametrize("width", [1280, 800])
def test_long_words_make_no_tab_wider(notebook: Open, join: Join, room_name: str, width: int) -> None:
    word = "[" * 3_000
    bob = join("bob", name=word[:200], attributes={"x" * 100: word}, metadata=word)
    book = notebook(joined(room_name), "room")
    book.page.set_viewport_size({"width": width, "height": 900})
    try:
        book.run()
        output = book.output(1)

        @bob.rpc("m" * 60)
        def method(payload: str) -> str:
            return word

        bob.send_text(word)
        bob.send_bytes(b"1", name="f" * 200, topic="t" * 200)
        book.set_cell(0, f"room.perform_rpc('bob', {'m' * 60!r}, {{'payload': '['*3000}})")
        book.run(0)
        for tab, seen in (
            ("Participants", "bob"),
            ("Chat", "[[[["),
            ("Transfers", "ffff"),
            ("RPC", "mmmm"),
            ("Feed", "[[[["),
        ):
            choose(output, tab)
            expect(output.get_by_role("tabpanel", name=tab)).to_contain_text(seen)
            assert output.evaluate(WIDER) == [], tab
    finally:
        book.page.set_viewport_size({"width": 1280, "height": 900})


def test_many_participants_are_lines(notebook: Open, join: Join, room_name: str) -> None:
    for number in range(14):
        join(f"guest-{number:02}", attributes={"seat": str(number)})
    book = notebook(joined(room_name), "room.panel('participants')")
    book.run()
    output = book.output(1)
    line = output.locator(".lknb-person", has_text="guest-07")
    expect(line).to_contain_text("seat: 7")
    box = line.bounding_box()
    assert box
    assert box["height"] < 40
    line.get_by_role("button", name="Open").click()
    expect(line.locator("dt", has_text="seat")).to_be_visible()


def test_actions_of_a_message_appear_where_they_are_wanted(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.panel('chat')")
    book.run()
    output = book.output(1)
    bob.send_text("first")
    bob.send_text("second")
    message = output.locator(".lknb-chat-message", has_text="first")
    actions = message.locator(".lknb-chat-actions")
    before = message.bounding_box()
    book.page.mouse.move(0, 0)
    expect(actions).to_have_css("opacity", "0")
    message.hover()
    expect(actions).to_have_css("opacity", "1")
    book.page.mouse.move(0, 0)
    message.get_by_role("button", name="Reply").focus()
    expect(actions).to_have_css("opacity", "1")
    assert message.bounding_box() == before


def test_chat_is_at_its_end_after_another_tab(notebook: Open, join: Join, room_name: str) -> None:
    bob = join("bob")
    book = notebook(joined(room_name), "room.panel('chat', 'feed')")
    book.run()
    output = book.output(1)
    for number in range(30):
        bob.send_text(f"message {number}")
    expect(output.get_by_text("message 29", exact=True)).to_be_in_viewport()
    choose(output, "Feed")
    bob.send_text("meanwhile")
    expect(output.get_by_role("tabpanel", name="Feed")).to_contain_text("meanwhile")
    choose(output, "Chat")
    expect(output.locator(".lknb-chat-message", has_text="meanwhile")).to_be_in_viewport()
    expect(output.locator(".lknb-chat-jump")).to_be_hidden()


def test_images_leave_nothing_in_the_console(notebook: Open, join: Join, room_name: str) -> None:
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
        "0000000049454e44ae426082"
    )
    bob = join("bob")
    book = notebook(joined(room_name), "room.panel('transfers', 'feed')")
    errors: list[str] = []
    book.page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    book.run()
    output = book.output(1)
    bob.send_bytes(png, name="dot.png", topic="files")
    expect(output.locator("img")).to_be_visible()
    book.save()
    choose(output, "Feed")
    book.save()
    choose(output, "Transfers")
    expect(output.locator("img")).to_be_visible()
    assert [each for each in errors if "blob:" in each or "ERR_FILE" in each] == []
