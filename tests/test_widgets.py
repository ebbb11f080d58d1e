"""Live views: `room.feed()` and `room.panel()` in a kernel, and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kernels import Cell, Kernel
from waiting import eventually

import lknb

NASTY = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e\x1b[31m'


def test_a_feed_shows_the_newest_events_first(alice: lknb.Room, bob: lknb.Room) -> None:
    got = bob.listen("data")
    for number in range(30):
        alice.publish_data(f"packet {number}", topic="imu")
    for _ in range(30):
        got.next()
    rows = bob.feed("imu").table()
    assert len(rows) == 25
    assert [row[-1] for row in rows][:2] == ["packet 29", "packet 28"]
    assert (rows[0][1], rows[0][2], rows[0][3], rows[0][4]) == ("in", "data", "alice", "imu")


def test_a_feed_of_one_kind(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.send_text("hello")
    alice.publish_data("packet", topic="imu")
    assert [row[2] for row in alice.feed(kind="text").table()] == ["text"]
    with pytest.raises(ValueError, match="did you mean 'text'"):
        alice.feed(kind="txt")


def test_an_empty_feed_says_what_to_do(alice: lknb.Room) -> None:
    assert "Send something" in repr(alice.feed("nothing"))
    assert "Send something" in alice.feed("nothing").html()


def test_a_panel_shows_people_attributes_and_events(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.attributes["mood"] = "curious"
    eventually(lambda: alice.participants["bob"].attributes)
    shown = repr(alice.panel())
    for part in ("alice (you)", "bob", "mood", "curious", "connected", "Newest events"):
        assert part in shown


def test_what_comes_from_the_room_is_inert(alice: lknb.Room, bob: lknb.Room) -> None:
    got = alice.listen(["text", "attributes"])
    bob.set_attributes({NASTY: NASTY})
    bob.set_name(NASTY)
    bob.send_text(NASTY, topic=NASTY)
    got.next()
    got.next()
    for view in (alice.feed(), alice.panel()):
        assert "<script" not in view.html()
        assert "<img" not in view.html()
        assert "\x1b" not in view.html() + repr(view)
        assert "\u202e" not in view.html() + repr(view)


@pytest.fixture
def kernel(livekit: object) -> Iterator[Kernel]:
    with Kernel() as started:
        yield started


def newest(cell: Cell) -> str:
    """What the cell shows now, as HTML."""
    return str(cell.shown[-1]["text/html"]) if cell.shown else ""


def test_a_displayed_feed_follows_the_room_until_it_is_closed(
    kernel: Kernel, room_name: str, join: Callable[..., lknb.Room]
) -> None:
    kernel.run(f"import lknb; room = lknb.connect({room_name!r}, 'watcher')")
    shown = kernel.run("room.feed('imu')", cell_id="feed")
    assert "Send something" in newest(shown)
    alice = join("alice")
    eventually(lambda: "watcher" in alice.participants)
    alice.publish_data("fresh packet", topic="imu")
    eventually(lambda: "fresh packet" in newest(shown))
    again = kernel.run("room.feed('imu')", cell_id="feed")
    alice.publish_data("second packet", topic="imu")
    eventually(lambda: "second packet" in newest(again))
    assert "second packet" not in newest(shown)
    kernel.run("room.close()")
    eventually(lambda: "closed" in newest(again))
