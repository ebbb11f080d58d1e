"""Takes the screenshots in docs/images: each widget in JupyterLab, in the light and the dark theme.

They show a room with three other participants, on the embedded server. To look at a change, take more of them
elsewhere: `scripts/screenshots.py --folder /tmp/looks --themes light dark contrast --widths 1180 560`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser.lab import Notebook, lab_of_its_own  # noqa: E402
from playwright.sync_api import Browser, expect  # noqa: E402

import lknb  # noqa: E402

IMAGES = HERE.parent / "docs" / "images"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark", "contrast": "JupyterLab Dark High Contrast"}
WIDTH = 1180
ROOM = "studio"
TABS = ("participants", "feed", "chat", "transfers", "rpc", "telemetry", "timeline")


@contextmanager
def company() -> Iterator[dict[str, lknb.Room]]:
    """The other participants: one that chats, an agent that serves a method, and a robot that sends measurements."""
    others = {
        "bob": lknb.connect(ROOM, "bob", name="Bob", attributes={"mood": "curious"}),
        "agent": lknb.connect(ROOM, "agent", name="Helpful agent", attributes={"status": "listening"}),
        "robot": lknb.connect(ROOM, "robot", attributes={"battery": "87 %"}),
    }

    @others["agent"].rpc("weather")
    def weather(city: str, days: int = 1) -> dict[str, object]:
        time.sleep(0.8)  # as an agent that looks it up
        return {"city": city, "days": days, "forecast": ["sunny", "cloudy", "sunny"][:days]}

    ending = threading.Event()

    def measure() -> None:
        step = 0
        while not ending.wait(0.05):
            step += 1
            sample = {"acceleration": {"x": round(math.sin(step / 20), 3), "y": round(math.cos(step / 31), 3)}}
            others["robot"].publish_data(json.dumps({**sample, "temperature": 21 + round(step / 400, 2)}), topic="imu")

    measuring = threading.Thread(target=measure, daemon=True)
    measuring.start()
    try:
        yield others
    finally:
        ending.set()
        measuring.join(5)
        for room in others.values():
            room.close()


def act(book: Notebook, others: dict[str, lknb.Room]) -> None:
    """Make the events that the screenshots show."""
    inbox = others["agent"].listen("text", sender="bob")
    others["bob"].send_text("Hello everybody! Has the robot started already?")
    question = others["bob"].send_text("What is the weather like in Berlin?")
    while inbox.next(timeout=10).id != question.id:
        pass
    others["agent"].send_text("In Berlin it is sunny, 21 degrees, with a light wind.", reply_to=question.id)
    steps = (f"{step / 50:.2f},{math.sin(step / 50):.3f},{math.cos(step / 50):.3f}\n" for step in range(2000))
    walk = "time,x,y\n" + "".join(steps)
    others["bob"].send_bytes(walk.encode(), topic="files", name="walk.csv", mime_type="text/csv")
    others["agent"].local_participant.set_attributes({"status": "answering"})
    book.run(2)


def converse(book: Notebook, others: dict[str, lknb.Room]) -> None:
    """Make what a timeline shows: answers in pieces, calls that take long or fail, files, and changes of state."""
    agent, bob, robot = others["agent"], others["bob"], others["robot"]

    def call(payload: dict[str, object]) -> None:
        with suppress(lknb.RpcError):
            bob.perform_rpc("alice", "add", payload)

    for turn in range(4):
        agent.attributes["status"] = "thinking"
        book.run(2)
        call({"a": 1, "b": turn} if turn % 2 else {"a": "one"})
        agent.attributes["status"] = "speaking"
        with agent.stream_text(topic="lk.chat") as answer:
            for word in ("Sunny,", "with", "a", "light", "wind", "from", "the", "west,", "and", "21", "degrees"):
                answer.write(f"{word} ")
                time.sleep(0.1)
        robot.attributes["battery"] = f"{86 - turn} %"
        robot.send_bytes(bytes(2_000_000), topic="frames", name="view.raw")
        time.sleep(0.4)


def picture(book: Notebook, index: int, name: str, folder: Path, themes: list[str]) -> None:
    """Save a screenshot of a cell and its output, in each theme."""
    cell = book.show(index).locator("xpath=ancestor::*[@data-windowed-list-index]")
    for theme in themes:
        title = THEMES[theme]
        book.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme }).then(() => true)", title
        )
        expect(book.page.locator(f"body[data-jp-theme-light={'true' if theme == 'light' else 'false'}]")).to_have_count(
            1
        )
        time.sleep(1)  # for the theme's style sheet
        time.sleep(0.5)  # for lines to be drawn again
        target = folder / f"{name}-{theme}.png"
        cell.scroll_into_view_if_needed()
        book.page.mouse.move(0, 0)  # JupyterLab highlights what is under the pointer
        cell.screenshot(path=target)
        print(target)


def picture_of_elements(browser: Browser, folder: Path) -> None:
    """Save a picture of the widgets' elements in the light and in the dark scheme."""
    style = (HERE.parent / "lknb" / "widgets" / "lknb.css").read_text()
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": 884, "height": 700}, color_scheme=scheme)
        page.set_content(
            f"<style>:root {{ color-scheme: {scheme}; }} {style}</style>{(HERE / 'elements.html').read_text()}"
        )
        target = folder / f"elements-{scheme}.png"
        page.screenshot(path=target, full_page=True)
        page.close()
        print(target)


def main() -> int:
    """Take all screenshots, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(('panel', *TABS, 'elements'))}; all if not given"
    )
    parser.add_argument("--folder", type=Path, default=IMAGES, help="docs/images if not given")
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=["light", "dark"])
    parser.add_argument("--widths", nargs="+", type=int, default=[WIDTH], help="of the page, in pixels")
    args = parser.parse_args()
    wanted = args.names or ["panel", *TABS, "elements"]
    args.folder.mkdir(parents=True, exist_ok=True)
    with lab_of_its_own() as lab:
        if "elements" in wanted:
            picture_of_elements(lab.browser, args.folder)
            wanted = [each for each in wanted if each != "elements"]
        with company() as others:
            shown = [f"room.panel({name!r})" if name != "panel" else "room" for name in wanted]
            book = lab.notebook(
                f"import lknb\nroom = lknb.connect({ROOM!r}, 'alice', name='Alice', attributes={{'role': 'host'}})",
                "@room.rpc('add')\ndef add(a: float, b: float) -> float:\n    return a + b",
                "room.send_text('It has. Ask the agent about the weather!')\n"
                "room.perform_rpc('agent', 'weather', {'city': 'Berlin', 'days': 2})",
                *shown,
            )
            lab.page.set_viewport_size({"width": WIDTH, "height": 1000})
            book.command("application:toggle-left-area")
            book.run(0, 1, *range(3, 3 + len(shown)))
            act(book, others)
            for index, name in enumerate(wanted, start=3):
                if name == "telemetry":
                    book.output(index).scroll_into_view_if_needed()
                    time.sleep(15)  # for the charts to load, and the lines to grow
                if name == "timeline":
                    converse(book, others)
                for width in args.widths:
                    lab.page.set_viewport_size({"width": width, "height": 1000})
                    shot = name if width == WIDTH else f"{name}-{width}"
                    picture(book, index, shot, args.folder, args.themes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
