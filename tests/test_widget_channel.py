"""How a widget's browsers are kept up to date, by what is sent to them: no browser, no room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from waiting import eventually, remains, slow_work

from lknb.errors import LknbError
from lknb.loop import LOOP
from lknb.widgets.channel import EVERY, UNHEARD, Channel
from lknb.widgets.part import Json, Part, Rows


class Counting(Part):
    """A part with one list of rows, one value, and actions of all outcomes."""

    name = "counting"
    title = "Counting"

    def __init__(self, name: str = "counting") -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.name = name  # type: ignore[misc]
        self.numbers: Rows[int] = Rows(lambda number: {"n": number}, limit=100, burst=20)
        self.rows = {"numbers": self.numbers}
        self.actions = {"double": self.double, "fail": self.fail, "break": self.break_, "bytes": self.bytes_}
        self.total = 0
        self.broken = False

    def add(self, number: int) -> None:
        self.total += 1
        self.numbers.put(str(number), number)
        self.changed()

    def values(self) -> Json:
        if self.broken:
            raise RuntimeError("out of order")
        return {"total": self.total, "skipped": self.numbers.skipped}

    async def double(self, number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    async def fail(self) -> None:
        raise LknbError("not now; token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl")

    async def break_(self) -> None:
        raise ZeroDivisionError("by zero")

    async def bytes_(self, buffer: bytes = b"") -> Json:
        return {"name": "twice", "buffer": buffer * 2}


class Browser:
    """What the channel sends, and what a browser says to it."""

    def __init__(self, *parts: Counting) -> None:
        self.sent: list[tuple[float, Json, list[bytes]]] = []
        self.parts = parts or (Counting(),)
        self.acks = True
        self.channel = Channel(self.take, self.parts)
        for part in self.parts:
            part.start(self.channel.changed)

    def take(self, message: Json, buffers: list[bytes]) -> None:
        self.sent.append((time.monotonic(), message, buffers))
        if message["type"] == "state" and self.acks:
            self.says("ack", number=message["number"])

    def says(self, kind: str, who: str = "one", **more: Any) -> None:
        self.channel.received({"type": kind, "browser": who, **more})

    def of(self, kind: str) -> list[Json]:
        return [message for _, message, _ in self.sent if message["type"] == kind]

    @property
    def states(self) -> list[Json]:
        return self.of("state")

    def whole(self, part: str = "counting") -> list[Json]:
        """The snapshots of a part."""
        return [state["parts"][part] for state in self.states if "rows" in state["parts"].get(part, {})]

    def call(self, action: str, args: Any = None, buffers: list[bytes] | None = None) -> Json:
        """The answer of an action."""
        message = {"type": "do", "id": "one:1", "browser": "one", "part": "counting", "action": action, "args": args}
        self.channel.received(message, buffers or [])
        return eventually(lambda: self.of("reply"))[-1]


def settle() -> None:
    """Wait until the loop has taken up all that it was told so far."""

    async def nothing() -> None:
        await asyncio.sleep(0)

    LOOP.run(nothing(), "settle")


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.channel.close()


def test_nobody_is_told_while_nobody_looks(browser: Browser) -> None:
    browser.parts[0].add(1)
    remains(lambda: browser.sent == [], 2 * EVERY)


def test_a_hello_is_answered_with_everything(browser: Browser) -> None:
    browser.parts[0].add(1)
    browser.parts[0].add(2)
    browser.says("hello", parts=["counting"])
    eventually(lambda: browser.states)
    assert browser.states[0]["number"] == 1
    assert browser.whole() == [
        {"set": {"total": 2, "skipped": 0}, "rows": {"numbers": [("1", {"n": 1}), ("2", {"n": 2})]}}
    ]


def test_what_changes_comes_in_numbered_batches(browser: Browser) -> None:
    part = browser.parts[0]
    part.add(1)
    browser.says("hello", parts=["counting"])
    eventually(lambda: browser.states)
    part.add(2)
    eventually(lambda: len(browser.states) == 2)
    part.numbers.drop("1")
    part.changed()
    eventually(lambda: len(browser.states) == 3)
    assert [state["number"] for state in browser.states] == [1, 2, 3]
    assert browser.states[1]["parts"]["counting"] == {"put": {"numbers": [("2", {"n": 2})]}, "set": {"total": 2}}
    assert browser.states[2]["parts"]["counting"] == {"drop": {"numbers": ["1"]}}


def test_ten_thousand_changes_make_few_and_small_messages(browser: Browser) -> None:
    browser.says("hello", parts=["counting"])
    eventually(lambda: browser.states)
    part, began = browser.parts[0], time.monotonic()
    for number in range(10_000):
        part.add(number)
        if number % 100 == 0:
            slow_work(0.01)  # about a second for all
    took = time.monotonic() - began
    assert len(browser.states) <= took / EVERY + 3

    def puts() -> list[list[tuple[str, Json]]]:
        return [state["parts"]["counting"].get("put", {}).get("numbers", []) for state in browser.states]

    # When it is calm, what is kept follows, until a browser has been told all of it.
    kept = [str(number) for number in range(9_900, 10_000)]
    eventually(lambda: {key for put in puts() for key, _ in put} >= set(kept))
    assert max(map(len, puts())) <= 20
    assert [key for key, _ in part.numbers.items()] == kept
    shown = {}
    for state in browser.states:
        shown.update(state["parts"]["counting"].get("set", {}))
    assert shown["total"] == 10_000
    assert shown["skipped"] > 0
    assert sum(map(len, puts())) + shown["skipped"] == 10_000


@pytest.mark.slow("watches the channel for 2.5 s")
def test_it_slows_down_while_nobody_hears(browser: Browser) -> None:
    browser.acks = False
    browser.says("hello", parts=["counting"])
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        browser.parts[0].add(1)
        slow_work(0.02)
    times = [at for at, message, _ in browser.sent if message["type"] == "state"]
    assert len(times) <= 3 + 2.5 / UNHEARD + 1
    assert times[-1] - times[-2] >= UNHEARD * 0.9


def test_a_browser_that_missed_something_gets_everything_again(browser: Browser) -> None:
    browser.parts[0].add(1)
    browser.says("hello", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 1)
    browser.says("hello", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 2)
    assert browser.whole()[0] == browser.whole()[1]


def test_a_part_out_of_view_is_not_told_of_until_it_is_shown() -> None:
    first, second = Counting("counting"), Counting("other")
    browser = Browser(first, second)
    browser.says("hello", parts=["counting"])
    eventually(lambda: browser.whole())
    second.add(7)
    first.add(1)
    eventually(lambda: len(browser.states) == 2)
    assert all("other" not in state["parts"] for state in browser.states)
    browser.says("shows", parts=["counting", "other"])
    eventually(lambda: browser.whole("other"))
    assert browser.whole("other")[0]["rows"] == {"numbers": [("7", {"n": 7})]}
    assert len(browser.whole()) == 1  # what was in view all the time is not told whole again
    browser.channel.close()


def test_each_of_two_browsers_has_what_it_shows(browser: Browser) -> None:
    browser.says("hello", "one", parts=["counting"])
    eventually(lambda: browser.whole())
    browser.says("hello", "two", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 2)
    browser.says("bye", "one")
    browser.parts[0].add(1)
    eventually(lambda: len(browser.states) == 3)
    browser.says("bye", "two")
    settle()
    browser.parts[0].add(2)
    remains(lambda: len(browser.states) == 3, 2 * EVERY)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "hello",
        {},
        {"type": "ack", "browser": "one", "number": "many"},
        {"type": "ack", "browser": "one", "number": 1e99},
        {"type": "ack", "browser": "unknown", "number": 1},
        {"type": "shows", "browser": "one", "parts": "counting"},
        {"type": "shows", "browser": "one", "parts": 5},
        {"type": "shows", "browser": "one", "parts": [{}, []]},
        {"type": "hello", "browser": {}, "parts": [None]},
        {"type": "do"},
        {"type": "do", "part": [], "action": {}, "args": 3},
    ],
)
def test_nonsense_does_no_harm(browser: Browser, message: Any) -> None:
    browser.says("hello", parts=["counting"])
    eventually(lambda: browser.states)
    browser.channel.received(message)
    settle()
    browser.says("hello", parts=["counting"])
    browser.parts[0].add(1)
    eventually(lambda: browser.whole() and len(browser.states) >= 2)


def test_a_call_is_acknowledged_before_it_is_answered(browser: Browser) -> None:
    assert browser.call("double", {"number": 4}) == {"type": "reply", "id": "one:1", "value": 8}
    assert [message["type"] for _, message, _ in browser.sent] == ["taken", "reply"]


def test_bytes_travel_beside_the_answer(browser: Browser) -> None:
    assert browser.call("bytes", {}, [b"ab"])["value"] == {"name": "twice"}
    assert browser.sent[-1][2] == [b"abab"]


@pytest.mark.parametrize(
    ("action", "args", "error"),
    [
        ("unknown", {}, "no such action"),
        ("__init__", {}, "no such action"),
        ("double", {}, "number"),
        ("double", {"number": 1, "more": 2}, "more"),
        ("double", 5, "names"),
        ("double", {"number": None}, "NoneType"),
        ("fail", {}, "not now"),
        ("break", {}, "ZeroDivisionError: by zero"),
    ],
)
def test_what_cannot_be_done_is_answered_in_words(browser: Browser, action: str, args: Any, error: str) -> None:
    answer = browser.call(action, args)
    assert error in answer["error"]
    assert "eyJ" not in answer["error"]
    assert "value" not in answer


def test_one_broken_part_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = Counting("counting"), Counting("other")
    browser = Browser(good, bad)
    bad.broken = True
    browser.says("hello", parts=["counting", "other"])
    eventually(lambda: browser.whole())
    assert not browser.whole("other")
    bad.broken = False
    bad.add(3)
    eventually(lambda: browser.whole("other"))
    browser.channel.close()


def test_nothing_is_sent_after_closing(browser: Browser) -> None:
    browser.says("hello", parts=["counting"])
    eventually(lambda: browser.states)
    browser.channel.close()
    browser.parts[0].add(1)
    browser.says("hello", parts=["counting"])
    browser.channel.received({"type": "do", "id": "1", "part": "counting", "action": "double", "args": {"number": 1}})
    remains(lambda: len(browser.sent) == 1, 2 * EVERY)


def test_rows_that_nobody_was_told_of_leave_nothing_behind() -> None:
    rows: Rows[int] = Rows(lambda number: {"n": number}, limit=10)
    rows.put("0", 0)
    rows.whole()
    for number in range(1, 1000):
        rows.put(str(number), number)
    assert rows._dropped == {"0": None}
    put, dropped = rows.changes()
    assert ([key for key, _ in put], dropped) == ([str(number) for number in range(990, 1000)], ["0"])


def test_of_too_many_new_rows_the_newest_come_first_and_those_that_go_untold_are_counted() -> None:
    rows: Rows[int] = Rows(lambda number: {"n": number}, limit=10, burst=4)

    def told() -> list[str]:
        return [key for key, _ in rows.changes()[0]]

    for number in range(30):
        rows.put(str(number), number)
    assert rows.skipped == 20
    assert (told(), rows.waiting) == (["26", "27", "28", "29"], True)
    rows.put("30", 30)
    assert rows.skipped == 21
    assert (told(), rows.waiting) == (["23", "24", "25", "30"], True)
    assert (told(), rows.waiting) == (["21", "22"], False)
    rows.put("31", 31)  # what goes has been told
    assert rows.skipped == 21
    rows.clear()
    assert rows.skipped == 0


def test_what_a_browser_has_is_always_told_when_it_changes() -> None:
    rows: Rows[str] = Rows(lambda text: {"text": text}, limit=500, burst=4)
    rows.put("stream", "open")
    rows.changes()
    rows.put("stream", "ended")
    for number in range(100):
        rows.put(str(number), "new")
    put, _ = rows.changes()
    assert put[0] == ("stream", {"text": "ended"})
    assert [key for key, _ in put[1:]] == ["96", "97", "98", "99"]


def test_a_row_that_came_back_untold_is_still_taken_back() -> None:
    rows: Rows[int] = Rows(lambda number: {"n": number}, limit=500)
    rows.put("a", 1)
    rows.whole()
    rows.drop("a")
    rows.put("a", 2)
    rows.drop("a")
    assert rows.changes() == ([], ["a"])


def test_more_browsers_than_are_known_each_get_what_they_show() -> None:
    browser = Browser(*(Counting(f"part {number}") for number in range(70)))
    for number in range(70):
        browser.says("hello", who=f"page {number}", parts=[f"part {number}"])
    settle()
    browser.says("ack", who="page 0", number=0)
    eventually(lambda: {"type": "forgotten", "browser": "page 0"} in browser.of("forgotten"))
    browser.says("hello", who="page 0", parts=["part 0"])
    eventually(lambda: browser.whole("part 0"))
    browser.channel.close()


def test_a_page_that_is_gone_without_a_word_is_forgotten(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lknb.widgets.channel._BEHIND", 1)
    browser.says("hello", who="gone", parts=["counting"])
    browser.says("hello", parts=[])
    for number in range(2):
        browser.parts[0].add(number)
        eventually(lambda count=number: len(browser.states) > count)
    settle()
    browser.parts[0].add(2)
    remains(lambda: len(browser.states) == 2, 2 * EVERY)  # the remaining browser shows nothing
