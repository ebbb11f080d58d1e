"""Widgets: `room.feed()` and `room.panel()` in a kernel, and as text."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.session import json_packer
from kernels import Cell, Kernel
from waiting import eventually

import lknb
from lknb.event import Event
from lknb.event_table import COLUMNS
from lknb.loop import LOOP
from lknb.widgets.feed import FeedPart
from lknb.widgets.rpc import RpcPart
from lknb.widgets.widget import MIME

NASTY = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e\x1b[31m'


def test_feed_shows_newest_events_first(alice: lknb.Room, bob: lknb.Room) -> None:
    got = bob.listen("data")
    for number in range(30):
        alice.publish_data(f"packet {number}", topic="imu")
    for _ in range(30):
        got.next()
    rows = bob.feed(topic="imu").table()
    assert len(rows) == 25
    assert [row[-1] for row in rows][:2] == ["packet 29", "packet 28"]
    assert (rows[0][1], rows[0][2], rows[0][3], rows[0][4]) == ("in", "data", "alice", "imu")


def test_feed_of_one_kind(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.send_text("hello")
    alice.publish_data("packet", topic="imu")
    assert [row[2] for row in alice.feed(kind="text").table()] == ["text"]
    with pytest.raises(ValueError, match="did you mean 'text'"):
        alice.feed(kind="txt")  # type: ignore[arg-type]


def test_empty_feed_says_what_to_do(alice: lknb.Room) -> None:
    assert "Send something" in repr(alice.feed(topic="nothing"))
    assert "Send something" in alice.feed(topic="nothing").html()


def test_lone_surrogates_do_not_stop_a_widget(
    alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = alice.panel("chat")
    got: list[dict[str, Any]] = []
    monkeypatch.setattr(panel, "send", lambda message, buffers: got.append(json.loads(json_packer(message))))
    panel._channel.received({"type": "hello", "browser": "one", "parts": ["chat"]})
    bob.publish_data(r'{"message": "half of a pair: \ud800"}', topic="lk-chat-topic")
    eventually(lambda: "half of a pair: ?" in json.dumps(got))
    panel.close()


def test_panel_shows_people_attributes_and_events(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.attributes["mood"] = "curious"
    eventually(lambda: alice.participants["bob"].attributes)
    shown = repr(alice.panel())
    for part in ("alice (you)", "bob", "mood", "curious", "connected", "Newest events"):
        assert part in shown


def test_static_html_and_text_escape_everything_from_the_room(alice: lknb.Room, bob: lknb.Room) -> None:
    got = alice.listen(["text", "attributes"])
    bob.local_participant.set_attributes({NASTY: NASTY})
    bob.local_participant.set_name(NASTY)
    bob.send_text(NASTY, topic=NASTY)
    got.next()
    got.next()
    for view in (alice.feed(), alice.panel()):
        assert "<script" not in view.html()
        assert "<img" not in view.html()
        assert "\x1b" not in view.html() + repr(view)
        assert "\u202e" not in view.html() + repr(view)


def test_feed_drops_payloads_that_the_log_has_evicted(alice: lknb.Room) -> None:
    alice.events._max_events = 10
    part = alice.feed().parts[0]
    for number in range(30):
        alice.events.add(Event("data", "in", sender="bob", topic="imu", data=b"payload %d" % number))
    rows = part.whole()["rows"]["events"]
    assert [row["preview"] for _, row in rows[-30:]] == [f"payload {number}" for number in range(30)]
    kept = [item for _, item in part.rows["events"].items() if isinstance(item, Event)]
    assert len(kept) == 10
    with pytest.raises(LookupError, match="has evicted this event"):
        LOOP.run(part.actions["read"](rows[1][0]), "read")
    assert LOOP.run(part.actions["read"](rows[-1][0]), "read")["preview"] == "payload 29"


def test_event_that_outlives_its_row_is_counted_once(alice: lknb.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    part = FeedPart(alice, kind="text")
    monkeypatch.setattr(part._shown, "_limit", 2)
    part.start(lambda: None)
    with alice.stream_text() as out:
        out.write("slow")
        for _ in range(3):
            alice.send_text("quick")
    part.stop()
    assert part.values()["matched"] == 4


@pytest.mark.parametrize("form", ["json", "csv"])
def test_download_has_the_newest_events_and_counts_the_rest(
    alice: lknb.Room, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lknb.widgets.download.SIZE_LIMIT", 1000)
    part = FeedPart(alice, kind="data")
    part.start(lambda: None)
    for number in range(20):
        alice.publish_data(f"=packet {number}", topic="imu")
    got = LOOP.run(part.download(form), "download")
    part.stop()
    lines = got["buffer"].decode().splitlines()[form == "csv" :]
    assert len(lines) + got["left"] == 20
    assert got["left"] > 0
    assert "=packet 19" in lines[-1]
    assert form == "json" or "'=packet 19" in lines[-1]


def test_download_has_the_columns_of_event_tables(alice: lknb.Room) -> None:
    alice.events.add(Event("data", "in", sender="bob", topic="imu", data=b"\xff\x00", attributes={"unit": "m"}))
    alice.events.add(Event("text", "in", sender="bob", to=("alice", "carol"), data="hello"))
    part = FeedPart(alice, sender="bob")
    names = [column.name for column in COLUMNS]
    lines = LOOP.run(part.download("json"), "download")["buffer"].decode().splitlines()
    packet, text = map(json.loads, lines)
    assert list(packet) == list(text) == names
    assert (packet["text"], packet["data"], packet["attributes"]) == (None, "ff00", '{"unit": "m"}')
    assert (text["text"], text["data"], text["to"]) == ("hello", None, ["alice", "carol"])
    assert dt.datetime.fromisoformat(text["time"]).tzinfo is not None
    header, *rows = csv.reader(io.StringIO(LOOP.run(part.download("csv"), "download")["buffer"].decode()))
    assert header == names
    assert dict(zip(names, rows[1], strict=True))["to"] == "alice, carol"


def test_calls_drop_payloads_that_the_log_has_evicted(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.rpc("echo")(lambda payload: payload)
    part = RpcPart(alice)
    part.start(lambda: None)
    alice.perform_rpc("bob", "echo", "x" * 1000)
    alice.events._max_events = 2
    for _ in range(3):
        alice.publish_data("pushes it out")
    ((key, row),) = part.whole()["rows"]["calls"]
    assert (row["status"], row["payload"][:3], row["more"]) == ("ok", '"xx', True)
    with pytest.raises(LookupError, match="Only its row is left"):
        LOOP.run(part.read(key), "read")
    assert "echo" in repr(part.tables()[0][1])
    part.stop()


def test_widget_contains_no_token(alice: lknb.Room) -> None:
    for view in (alice.feed(), alice.panel()):
        state = json.dumps(view.get_state(), default=str) + view.html() + repr(view)
        assert not re.search(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+", state)


def test_panel_rejects_unknown_tabs(alice: lknb.Room) -> None:
    with pytest.raises(ValueError, match="did you mean 'chat'"):
        alice.panel("chatt")  # type: ignore[arg-type]


def test_panel_leaves_and_rejoins(alice: lknb.Room, bob: lknb.Room) -> None:
    @alice.on_text("greetings")
    def greet(data: str) -> None:
        pass

    feed, panel = alice.feed(), alice.panel("feed")
    head = panel.parts[0]
    assert head.values() == {
        "room": alice.name,
        "identity": "alice",
        "name": "",
        "state": "connected",
        "reason": "joined",
        "participants": 2,
        "ended": [],
        "recordings": [],
    }
    LOOP.run(head.actions["leave"](), "leave")
    assert (alice.state, panel.active, feed.active) == ("closed", True, False)
    assert head.values()["ended"] == ["greet"]
    assert head.values()["participants"] is None
    eventually(lambda: "alice" not in bob.participants)
    LOOP.run(head.actions["rejoin"](), "rejoin")
    assert (alice.state, head.values()["state"], head.values()["ended"]) == ("connected", "connected", [])
    eventually(lambda: "alice" in bob.participants)
    alice.close()
    assert not panel.active


def test_panel_records(alice: lknb.Room, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    panel = alice.panel("feed")
    head: Any = panel.parts[0]
    assert head.poll_after is None
    started = LOOP.run(head.actions["record"](), "record")
    assert [(each["file"], each["dropped"]) for each in head.values()["recordings"]] == [(started["file"], 0)]
    assert head.poll_after is not None
    LOOP.run(head.actions["stop_recording"](), "stop_recording")
    assert head.values()["recordings"] == []
    assert lknb.open_recording(started["file"]).complete


def test_panel_that_left_the_room_can_still_be_closed(alice: lknb.Room) -> None:
    panel = alice.panel("feed")
    assert list(alice.widgets) == [panel]
    LOOP.run(panel.parts[0].actions["leave"](), "leave")
    assert panel.active
    assert list(alice.widgets) == [panel]
    panel.close()
    assert len(alice.widgets) == 0


def test_widgets_that_no_cell_made_stay_until_they_or_their_room_are_closed(alice: lknb.Room) -> None:
    first, panel, second = alice.feed(), alice.panel(), alice.feed()
    assert (first.active, panel.active, second.active) == (True, True, True)
    first.close()
    assert (first.active, panel.active, second.active) == (False, True, True)
    assert "connected" in first.html()
    alice.close()
    assert (panel.active, second.active) == (False, False)


def test_room_is_one_line_where_widgets_cannot_be_shown(alice: lknb.Room, capsys: pytest.CaptureFixture[str]) -> None:
    alice._ipython_display_()
    assert capsys.readouterr().out == f"{alice!r}\n"


# In a kernel


@pytest.fixture(scope="module")
def kernel(livekit: object) -> Iterator[Kernel]:
    with Kernel() as started:
        yield started


def newest(cell: Cell) -> dict[str, Any]:
    """The cell's current output."""
    return cell.shown[-1] if cell.shown else {}


def joined(kernel: Kernel, room_name: str) -> None:
    kernel.run(f"import lknb; room = lknb.connect({room_name!r}, 'watcher')").ok()


def test_closed_room_leaves_its_last_state_as_html(
    kernel: Kernel, room_name: str, join: Callable[..., lknb.Room]
) -> None:
    joined(kernel, room_name)
    feed = kernel.run("room.feed(topic='imu')", cell_id="feed")
    panel = kernel.run("room", cell_id="panel")
    for shown in (feed, panel):
        assert set(newest(shown)) == {"text/plain", "text/html", MIME}
    assert "Send something" in newest(feed)["text/html"]
    alice = join("alice")
    eventually(lambda: "watcher" in alice.participants)
    alice.publish_data("last packet", topic="imu")
    eventually(lambda: kernel.run("print(len(room.events.filter('data')))").stdout == "1\n")
    kernel.run("room.close()").ok()
    for shown in (feed, panel):
        eventually(lambda shown=shown: "closed" in newest(shown)["text/html"])
        assert set(newest(shown)) == {"text/plain", "text/html"}
        assert "last packet" in newest(shown)["text/html"]
        assert "last packet" in newest(shown)["text/plain"]


@pytest.mark.slow("needs a kernel of its own")
def test_running_the_cell_again_leaves_one_widget(kernel: Kernel, room_name: str) -> None:
    joined(kernel, room_name)
    count = (
        "import comm, ipywidgets; print(len(ipywidgets.widgets.widget._instances), len(comm.get_comm_manager().comms))"
    )
    for _ in range(5):
        kernel.run("room.feed(); room", cell_id="feed").ok()
    assert kernel.run(count).stdout == "4 4\n"  # each with its layout
    kernel.run("1 / 0", cell_id="feed")
    assert kernel.run(count).stdout == "4 4\n"  # a failed run may not have reached the line that shows them
    kernel.run("'nothing'", cell_id="feed").ok()
    assert kernel.run(count).stdout == "0 0\n"
    kernel.run("room.close()").ok()


@pytest.mark.slow("needs a kernel of its own")
def test_widget_shown_by_another_cell_becomes_static_when_its_own_cell_runs_again(
    kernel: Kernel, room_name: str
) -> None:
    joined(kernel, room_name)
    kernel.run("feed = room.feed()", cell_id="makes").ok()
    shown = kernel.run("feed", cell_id="shows")
    assert MIME in newest(shown)
    kernel.run("feed = room.feed()", cell_id="makes").ok()
    eventually(lambda: MIME not in newest(shown))
    kernel.run("room.close()").ok()


@pytest.mark.slow("needs a kernel of its own")
def test_kernel_that_is_shut_down_leaves_html(livekit: object, room_name: str) -> None:
    with Kernel() as kernel:
        joined(kernel, room_name)
        shown = kernel.run("room.feed()", cell_id="feed")
        kernel.shut_down()
        eventually(lambda: MIME not in newest(shown))
        assert "the interpreter ended" in newest(shown)["text/html"]
