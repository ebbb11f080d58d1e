"""`Channel` and `Rows`: what browsers are sent. These tests need no browser and no room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from waiting import eventually, remains, slow_work

from lknb.errors import LknbError
from lknb.loop import LOOP
from lknb.widgets.channel import EVERY, UNACKNOWLEDGED, Channel
from lknb.widgets.part import Json, Part, Rows


class Counting(Part):
    """A part with one list of rows, two values, and actions with every outcome."""

    name = "counting"
    title = "Counting"

    def __init__(self, name: str = "counting") -> None:
        super().__init__()
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
    """A browser: records what the channel sends, and sends messages to it."""

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
            self.send("ack", number=message["number"])

    def send(self, kind: str, who: str = "one", **more: Any) -> None:
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
    """Wait until the loop has handled everything so far."""

    async def nothing() -> None:
        await asyncio.sleep(0)

    LOOP.run(nothing(), "settle")


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.channel.close()


def test_channel_sends_nothing_while_nobody_looks(browser: Browser) -> None:
    browser.parts[0].add(1)
    remains(lambda: browser.sent == [], 2 * EVERY)


def test_hello_gets_a_snapshot(browser: Browser) -> None:
    browser.parts[0].add(1)
    browser.parts[0].add(2)
    browser.send("hello", parts=["counting"])
    eventually(lambda: browser.states)
    assert browser.states[0]["number"] == 1
    assert browser.whole() == [
        {"set": {"total": 2, "skipped": 0}, "rows": {"numbers": [("1", {"n": 1}), ("2", {"n": 2})]}}
    ]


def test_changes_are_sent_in_numbered_batches(browser: Browser) -> None:
    part = browser.parts[0]
    part.add(1)
    browser.send("hello", parts=["counting"])
    eventually(lambda: browser.states)
    part.add(2)
    eventually(lambda: len(browser.states) == 2)
    part.numbers.drop("1")
    part.changed()
    eventually(lambda: len(browser.states) == 3)
    assert [state["number"] for state in browser.states] == [1, 2, 3]
    assert browser.states[1]["parts"]["counting"] == {"put": {"numbers": [("2", {"n": 2})]}, "set": {"total": 2}}
    assert browser.states[2]["parts"]["counting"] == {"drop": {"numbers": ["1"]}}


def test_ten_thousand_changes_make_few_small_messages(browser: Browser) -> None:
    browser.send("hello", parts=["counting"])
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

    # Afterwards, the rest of the kept rows follows.
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
def test_channel_slows_down_without_acknowledgements(browser: Browser) -> None:
    browser.acks = False
    browser.send("hello", parts=["counting"])
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        browser.parts[0].add(1)
        slow_work(0.02)
    times = [at for at, message, _ in browser.sent if message["type"] == "state"]
    assert len(times) <= 3 + 2.5 / UNACKNOWLEDGED + 1
    assert times[-1] - times[-2] >= UNACKNOWLEDGED * 0.9


def test_second_hello_gets_a_snapshot_again(browser: Browser) -> None:
    browser.parts[0].add(1)
    browser.send("hello", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 1)
    browser.send("hello", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 2)
    assert browser.whole()[0] == browser.whole()[1]


def test_part_out_of_view_is_sent_when_it_is_shown() -> None:
    first, second = Counting("counting"), Counting("other")
    browser = Browser(first, second)
    browser.send("hello", parts=["counting"])
    eventually(lambda: browser.whole())
    second.add(7)
    first.add(1)
    eventually(lambda: len(browser.states) == 2)
    assert all("other" not in state["parts"] for state in browser.states)
    browser.send("shows", parts=["counting", "other"])
    eventually(lambda: browser.whole("other"))
    assert browser.whole("other")[0]["rows"] == {"numbers": [("7", {"n": 7})]}
    assert len(browser.whole()) == 1  # the part that was in view all the time gets no second snapshot
    browser.channel.close()


def test_second_browser_gets_whole_what_the_first_one_shows(browser: Browser) -> None:
    browser.send("hello", "one", parts=["counting"])
    eventually(lambda: browser.whole())
    browser.send("hello", "two", parts=[])  # a page says so before it has drawn anything
    browser.send("shows", "two", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 2)


def test_browser_that_has_a_part_gets_no_second_snapshot_of_it(browser: Browser) -> None:
    browser.send("hello", "one", parts=["counting"])
    eventually(lambda: browser.whole())
    browser.send("hello", "two", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 2)
    browser.send("shows", "two", parts=[])
    browser.send("shows", "two", parts=["counting"])
    browser.parts[0].add(1)
    eventually(lambda: browser.states[-1]["parts"]["counting"].get("put"))
    assert len(browser.whole()) == 2


def test_browser_gets_whole_what_nobody_had_in_view(browser: Browser) -> None:
    browser.send("hello", "one", parts=["counting"])
    eventually(lambda: browser.whole())
    browser.send("shows", "one", parts=[])
    browser.parts[0].add(1)
    settle()
    remains(lambda: len(browser.states) == 1, 2 * EVERY)
    browser.send("shows", "one", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 2)


def test_widget_of_a_deleted_output_is_let_go_unless_another_browser_shows_it() -> None:
    removed: list[bool] = []
    part = Counting()
    browser = Browser(part)
    browser.channel = Channel(browser.take, [part], lambda: removed.append(True))
    browser.send("hello", "one", parts=[])
    browser.send("hello", "two", parts=["counting"])
    settle()
    browser.send("removed", "one")
    assert not removed
    browser.send("bye", "two")
    settle()
    browser.send("removed", "one")
    assert removed == [True]
    browser.channel.close()


def test_two_browsers_are_served_until_both_have_left(browser: Browser) -> None:
    browser.send("hello", "one", parts=["counting"])
    eventually(lambda: browser.whole())
    browser.send("hello", "two", parts=["counting"])
    eventually(lambda: len(browser.whole()) == 2)
    browser.send("bye", "one")
    browser.parts[0].add(1)
    eventually(lambda: len(browser.states) == 3)
    browser.send("bye", "two")
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
def test_channel_ignores_invalid_messages(browser: Browser, message: Any) -> None:
    browser.send("hello", parts=["counting"])
    eventually(lambda: browser.states)
    browser.channel.received(message)
    settle()
    browser.send("hello", parts=["counting"])
    browser.parts[0].add(1)
    eventually(lambda: browser.whole() and len(browser.states) >= 2)


def test_call_is_acknowledged_before_its_answer(browser: Browser) -> None:
    assert browser.call("double", {"number": 4}) == {"type": "reply", "id": "one:1", "value": 8}
    assert [message["type"] for _, message, _ in browser.sent] == ["taken", "reply"]


def test_bytes_are_sent_beside_the_answer(browser: Browser) -> None:
    assert browser.call("bytes", {}, [b"ab"])["value"] == {"name": "twice"}
    assert browser.sent[-1][2] == [b"abab"]


@pytest.mark.parametrize(
    ("action", "args", "error"),
    [
        ("unknown", {}, "no such action"),
        ("__init__", {}, "no such action"),
        ("double", {}, "number"),
        ("double", {"number": 1, "more": 2}, "more"),
        ("double", 5, "named"),
        ("double", {"number": None}, "NoneType"),
        ("fail", {}, "not now"),
        ("break", {}, "ZeroDivisionError: by zero"),
    ],
)
def test_failed_call_answers_with_its_error_and_no_token(browser: Browser, action: str, args: Any, error: str) -> None:
    answer = browser.call(action, args)
    assert error in answer["error"]
    assert "eyJ" not in answer["error"]
    assert "value" not in answer


def test_broken_part_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = Counting("counting"), Counting("other")
    browser = Browser(good, bad)
    bad.broken = True
    browser.send("hello", parts=["counting", "other"])
    eventually(lambda: browser.whole())
    assert not browser.whole("other")
    bad.broken = False
    bad.add(3)
    eventually(lambda: browser.whole("other"))
    browser.channel.close()


def test_closed_channel_sends_nothing(browser: Browser) -> None:
    browser.send("hello", parts=["counting"])
    eventually(lambda: browser.states)
    browser.channel.close()
    browser.parts[0].add(1)
    browser.send("hello", parts=["counting"])
    browser.channel.received({"type": "do", "id": "1", "part": "counting", "action": "double", "args": {"number": 1}})
    remains(lambda: len(browser.sent) == 1, 2 * EVERY)


def test_rows_that_were_never_sent_leave_nothing_to_drop() -> None:
    rows: Rows[int] = Rows(lambda number: {"n": number}, limit=10)
    rows.put("0", 0)
    rows.whole()
    for number in range(1, 1000):
        rows.put(str(number), number)
    assert rows._dropped == {"0": None}
    put, dropped = rows.changes()
    assert ([key for key, _ in put], dropped) == ([str(number) for number in range(990, 1000)], ["0"])


def test_burst_sends_newest_rows_first_and_counts_skipped() -> None:
    rows: Rows[int] = Rows(lambda number: {"n": number}, limit=10, burst=4)

    def sent() -> list[str]:
        return [key for key, _ in rows.changes()[0]]

    for number in range(30):
        rows.put(str(number), number)
    assert rows.skipped == 20
    assert (sent(), rows.waiting) == (["26", "27", "28", "29"], True)
    rows.put("30", 30)
    assert rows.skipped == 21
    assert (sent(), rows.waiting) == (["23", "24", "25", "30"], True)
    assert (sent(), rows.waiting) == (["21", "22"], False)
    rows.put("31", 31)  # the row that it displaces was sent
    assert rows.skipped == 21
    rows.clear()
    assert rows.skipped == 0


def test_burst_always_sends_changes_of_rows_that_browsers_have() -> None:
    rows: Rows[str] = Rows(lambda text: {"text": text}, limit=500, burst=4)
    rows.put("stream", "open")
    rows.changes()
    rows.put("stream", "ended")
    for number in range(100):
        rows.put(str(number), "new")
    put, _ = rows.changes()
    assert put[0] == ("stream", {"text": "ended"})
    assert [key for key, _ in put[1:]] == ["96", "97", "98", "99"]


def test_row_that_came_and_went_again_is_still_dropped() -> None:
    rows: Rows[int] = Rows(lambda number: {"n": number}, limit=500)
    rows.put("a", 1)
    rows.whole()
    rows.drop("a")
    rows.put("a", 2)
    rows.drop("a")
    assert rows.changes() == ([], ["a"])


def test_forgotten_browser_can_say_hello_again() -> None:
    browser = Browser(*(Counting(f"part {number}") for number in range(70)))
    for number in range(70):
        browser.send("hello", who=f"page {number}", parts=[f"part {number}"])
    settle()
    browser.send("ack", who="page 0", number=0)
    eventually(lambda: {"type": "forgotten", "browser": "page 0"} in browser.of("forgotten"))
    browser.send("hello", who="page 0", parts=["part 0"])
    eventually(lambda: browser.whole("part 0"))
    browser.channel.close()


def test_page_that_closed_without_notice_is_forgotten(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lknb.widgets.channel._BEHIND", 1)
    browser.send("hello", who="gone", parts=["counting"])
    browser.send("hello", parts=[])
    for number in range(2):
        browser.parts[0].add(number)
        eventually(lambda count=number: len(browser.states) > count)
    settle()
    browser.parts[0].add(2)
    remains(lambda: len(browser.states) == 2, 2 * EVERY)  # the remaining browser shows nothing
