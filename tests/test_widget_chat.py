"""The chat's part on the kernel's side: messages out of events, what a browser may ask for, and what it is not told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import LknbError
from lknb.loop import LOOP
from lknb.widgets.chat import ChatPart
from lknb.widgets.uploads import PIECE

NASTY = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e\x1b[31m javascript:alert(3)'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

Row = dict[str, Any]


class Chat:
    """A chat part as a browser has it: what it was told so far, and calls."""

    def __init__(self, room: lknb.Room) -> None:
        self.part = ChatPart(room)
        self.part.start(lambda: None)
        told = self.part.whole()
        self.values: Row = told["set"]
        self.rows = {name: dict(rows) for name, rows in told["rows"].items()}
        self.told: list[Row] = []

    def look(self) -> list[Row]:
        """Take what has changed, and return the messages."""
        told = self.part.changes() or {}
        self.told.append(told)
        self.values |= told.get("set", {})
        for name, keys in told.get("drop", {}).items():
            for key in keys:
                self.rows[name].pop(key, None)
        for name, rows in told.get("put", {}).items():
            self.rows[name] |= dict(rows)
        return list(self.rows["messages"].values())

    def wait(self, condition: Callable[..., Any]) -> list[Row]:
        eventually(lambda: condition(self.look()))
        return self.look()

    def texts(self) -> list[str]:
        return [self.shown(each) for each in self.look()]

    def shown(self, row: Row) -> str:
        """The text with its pieces, as the page puts it together."""
        text: str = row["text"]
        number = 0
        while piece := self.rows["pieces"].get(f"{row['piece']}.{number}"):
            text, number = text + piece["text"], number + 1
        return text

    def key(self, text: str) -> str:
        return next(str(key) for key, row in self.rows["messages"].items() if row["text"] == text)

    def do(self, action: str, **args: Any) -> Any:
        return LOOP.run(self.part.actions[action](**args), action)


@pytest.fixture
def chat(alice: lknb.Room) -> Iterator[Chat]:
    """Alice's chat."""
    shown = Chat(alice)
    yield shown
    shown.part.stop()


def test_messages_of_both_sides_are_shown(chat: Chat, alice: lknb.Room, bob: lknb.Room) -> None:
    alice.send_text("hello")
    bob.send_text("hi", to="alice")
    rows = chat.wait(lambda rows: len(rows) == 2 and rows[1]["status"] == "ok")
    assert [(row["name"], row["own"], row["text"]) for row in rows] == [("alice", True, "hello"), ("bob", False, "hi")]


def test_what_was_said_before_is_shown(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.send_text("early")
    bob.send_text("elsewhere", topic="other")
    eventually(lambda: len(alice.events.filter(kind="text", status="ok")) == 2)
    assert Chat(alice).texts() == ["early"]


def test_a_text_grows_while_its_stream_is_open(chat: Chat, bob: lknb.Room) -> None:
    with bob.stream_text() as out:
        out.write("It ")
        chat.wait(lambda rows: rows and rows[0]["text"] == "It " and rows[0]["open"])
        assert chat.part.again is not None
        out.write("grows.")
        chat.wait(lambda rows: rows[0]["text"] == "It grows.")
    chat.wait(lambda rows: not rows[0]["open"] and rows[0]["status"] == "ok")
    eventually(lambda: chat.look() and chat.part.again is None)  # the part hears of the end after it can be seen


def test_of_a_long_text_that_grows_only_the_end_is_told_again(chat: Chat, bob: lknb.Room) -> None:
    with bob.stream_text() as out:
        for number in range(9):
            out.write(str(number) * 1000)
            chat.wait(lambda rows, size=number: rows and len(chat.shown(rows[0])) == (size + 1) * 1000)
        told = len(chat.told)
        for number in range(8):
            out.write(str(number) * 500)
            chat.wait(lambda rows, size=number: len(chat.shown(rows[0])) == 9000 + (size + 1) * 500)
        assert max(len(json.dumps(each)) for each in chat.told[told:]) < 5_000
    (row,) = chat.wait(lambda rows: not rows[0]["open"])
    assert len(chat.shown(row)) == 13_000


def test_of_the_longest_texts_the_rest_is_asked_for(chat: Chat, bob: lknb.Room) -> None:
    text = "".join(f"{number:07} " for number in range(200_000))
    bob.send_text(text)
    (row,) = chat.wait(lambda rows: rows and rows[0]["status"] == "ok")
    assert row["length"] == len(text)
    assert chat.shown(row) == text[:22_000]
    answer = chat.do("read", key=next(iter(chat.rows["messages"])))
    assert (answer["text"], answer["more"]) == (text[:1_000_000], 600_000)


def test_a_reply_quotes_what_it_answers(chat: Chat, alice: lknb.Room, bob: lknb.Room) -> None:
    bob.send_text("Shall we?")
    chat.wait(lambda rows: rows and rows[0]["status"] == "ok")
    chat.do("send", text="We shall.", reply_to=chat.key("Shall we?"))
    row = chat.look()[1]
    assert row["reply"] == {"key": chat.key("Shall we?"), "name": "bob", "text": "Shall we?"}
    eventually(lambda: [each.reply_to for each in bob.events.filter(kind="text", direction="in", status="ok")])
    answer, asked = (room.events.filter(kind="text", direction="in")[-1] for room in (bob, alice))
    assert answer.reply_to == asked.id
    bob.send_text("To what?", reply_to="unknown")
    assert chat.wait(lambda rows: len(rows) == 3)[2]["reply"]["key"] is None


def test_an_edit_takes_the_place_of_its_message(chat: Chat, bob: lknb.Room) -> None:
    sent = bob.send_text("frist")
    bob.send_text("second")
    bob.send_text("first", edits=sent)
    rows = chat.wait(
        lambda rows: len(rows) == 2 and any(row["edited"] for row in rows) and not any(row["open"] for row in rows)
    )
    # Two short texts may change places on their way.
    assert {(row["text"], row["edited"]) for row in rows} == {("first", True), ("second", False)}


def test_nobody_edits_what_another_wrote(chat: Chat, bob: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    sent = bob.send_text("mine")
    chat.wait(lambda rows: rows and rows[0]["status"] == "ok")  # nothing orders what two participants send
    header: dict[str, Any] = {"id": sent.id, "operation": "UPDATE", "version": 1}
    peer("mallory").call("send_text_as", text="yours", topic="lk.chat", **header)
    rows = chat.wait(lambda rows: len(rows) == 2 and not any(row["open"] for row in rows))
    assert [(row["name"], row["text"]) for row in rows] == [("bob", "mine"), ("mallory", "yours")]


def test_an_edit_that_breaks_off_leaves_the_message_as_it_was(chat: Chat, bob: lknb.Room) -> None:
    sent = bob.send_text("as it was")
    with contextlib.suppress(RuntimeError), bob.stream_text(edits=sent) as out:
        out.write("half")
        chat.wait(lambda rows: rows and rows[0]["text"] == "half")
        raise RuntimeError
    (row,) = chat.wait(lambda rows: rows[0]["trouble"])
    assert (row["text"], row["edited"], row["status"]) == ("as it was", False, "ok")


def test_own_messages_can_be_edited(chat: Chat, alice: lknb.Room, bob: lknb.Room) -> None:
    chat.do("send", text="frist", to="bob")
    chat.look()
    chat.do("send", text="first", edits=chat.key("frist"))
    assert [(row["text"], row["to"], row["edited"]) for row in chat.look()] == [("first", ["bob"], True)]
    eventually(lambda: {each.version for each in bob.events.filter(kind="text", status="ok")} == {None, 1})
    bob.send_text("not yours")
    chat.wait(lambda rows: len(rows) == 2 and rows[1]["status"] == "ok")
    with pytest.raises(ValueError, match="Only texts that this participant has sent"):
        chat.do("send", text="changed", edits=chat.key("not yours"))


def test_packets_of_older_components_are_shown_once(
    chat: Chat, alice: lknb.Room, peer: Callable[..., PlainPeer]
) -> None:
    carol = peer("carol")
    eventually(lambda: "carol" in alice.participants)  # a packet of somebody the SDK does not know yet has no sender

    def send(topic: str = "lk-chat-topic", **message: Any) -> None:
        carol.call("publish_data", data=json.dumps(message).encode(), topic=topic)

    send(id="1", timestamp=1, message="frist")
    send(id="2", timestamp=2, message="sent as a stream too", ignoreLegacy=True)
    send(id="1", timestamp=1, message="first", editTimestamp=3, topic="lk-chat-update-topic")
    carol.call("publish_data", data=b"[not chat", topic="lk-chat-topic")
    send(id=["odd"], message="end")
    rows = chat.wait(lambda rows: len(rows) == 2)
    assert [(row["text"], row["edited"], row["can_reply"]) for row in rows] == [
        ("first", True, False),
        ("end", False, False),
    ]
    assert chat.values["unreadable"] == 1


def test_chat_messages_of_other_clients_are_shown(chat: Chat, alice: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    carol = peer("carol")
    eventually(lambda: "carol" in alice.participants)  # the SDK drops chat messages of those it does not know yet
    message = carol.call("send_chat_message", message="frist")
    carol.call("send_chat_message", message="first", edits=message)
    (row,) = chat.wait(lambda rows: rows and rows[0]["edited"])
    assert (row["name"], row["text"]) == ("carol", "first")


def test_files_stand_under_their_message(chat: Chat, bob: lknb.Room, folder: Path) -> None:
    (folder / "notes.txt").write_text("notes")
    (folder / "image.svg").write_bytes(PNG)
    bob.send_text("see these", attachments=[folder / "notes.txt", folder / "image.svg"])
    # Each of the three streams may be the first to come.
    (row,) = chat.wait(
        lambda rows: (
            len(rows) == 1
            and rows[0]["status"] == "ok"
            and len(rows[0]["files"]) == 2
            and all(file.get("there") for file in rows[0]["files"])
        )
    )
    assert [(file["name"], file["size"], file["type"]) for file in row["files"]] == [
        ("notes.txt", 5, None),
        ("image.svg", len(PNG), "image/png"),
    ]
    answer = chat.do("file", key=chat.key("see these"), id=row["files"][0]["id"])
    assert (answer["name"], answer["size"], answer["buffer"]) == ("notes.txt", 5, b"notes")


def test_a_file_without_a_text_is_a_message(chat: Chat, peer: Callable[..., PlainPeer]) -> None:
    carol = peer("carol")
    carol.call("send_bytes", data=b"content", topic="lk.chat", name="f.txt", stream_id="f1")
    (row,) = chat.wait(lambda rows: rows and rows[0]["files"][0].get("there"))
    assert (row["name"], row["text"], row["files"][0]["name"]) == ("carol", "", "f.txt")
    # The text that names it may come later.
    carol.call("send_text_as", text="see", topic="lk.chat", attached_stream_ids=["f1", "f2"])
    (row,) = chat.wait(lambda rows: len(rows) == 1 and rows[0]["status"] == "ok" and rows[0]["text"] == "see")
    assert [(file["name"], file["status"]) for file in row["files"]] == [("f.txt", "ok"), ("a file", "missing")]


def test_a_message_has_so_many_files_at_most(chat: Chat, peer: Callable[..., PlainPeer]) -> None:
    ids = [f"f{number}" for number in range(60)]
    carol = peer("carol")
    carol.call("send_text_as", text="many", topic="lk.chat", attached_stream_ids=ids)
    carol.call("send_bytes", data=b"content", topic="lk.chat", name="f.txt", stream_id="f59")
    rows = chat.wait(lambda rows: len(rows) == 2)
    assert sorted(len(row["files"]) for row in rows) == [1, 50]  # whichever stream comes first


def test_a_large_file_is_read_in_pieces(chat: Chat, peer: Callable[..., PlainPeer]) -> None:
    sent = peer("carol").call("send_bytes", random_size=2_500_000, topic="lk.chat", name="big")
    chat.wait(lambda rows: rows and rows[0]["files"][0].get("there"))
    key, pieces = next(iter(chat.rows["messages"])), b""
    while len(pieces) < 2_500_000:
        piece = chat.do("file", key=key, id=sent["stream_id"], at=len(pieces))["buffer"]
        assert 0 < len(piece) <= 1024 * 1024
        pieces += piece


def attach(chat: Chat, name: str, data: bytes = b"") -> str:
    """What a browser does with a file; returns what it is called then."""
    key: str = chat.do("begin", name=name, size=len(data))
    for at in range(0, len(data), PIECE):
        chat.do("upload", key=key, at=at, buffer=data[at : at + PIECE])
    return key


def test_files_from_the_browser_go_with_a_message(chat: Chat, bob: lknb.Room) -> None:
    content = bytes(range(256)) * 5000
    files = [attach(chat, "../data.bin", content), attach(chat, "empty")]
    chat.do("send", text="", files=files)
    eventually(lambda: len(bob.events.filter(kind="bytes", status="ok")) == 2)
    arrived = {each.data.name: each.data.data for each in bob.events.filter(kind="bytes")}
    assert arrived == {"data.bin": content, "empty": b""}
    (row,) = chat.look()
    assert (row["text"], [file["status"] for file in row["files"]]) == ("data.bin, empty", ["ok", "ok"])
    with pytest.raises(LookupError, match="was let go"):
        chat.do("send", text="again", files=files[:1])


def test_a_file_that_is_not_all_there_keeps_its_message_back(chat: Chat, bob: lknb.Room) -> None:
    early = chat.do("begin", name="a", size=10)
    with pytest.raises(ValueError, match="0 of 10 bytes"):
        chat.do("send", text="early", files=[early])
    chat.do("discard", key=early)
    assert chat.look() == []


def test_a_message_that_cannot_be_sent_says_why(chat: Chat) -> None:
    with pytest.raises(ValueError, match="nothing to send"):
        chat.do("send", text="")
    with pytest.raises(LookupError, match="no longer in the chat"):
        chat.do("send", text="x", reply_to="nothing")
    with pytest.raises(LknbError, match="nobody"):
        chat.do("send", text="x", to="nobody")


def test_a_stream_that_breaks_off_says_so_on_its_message(chat: Chat, alice: lknb.Room) -> None:
    with contextlib.suppress(RuntimeError), alice.stream_text() as out:
        out.write("half")
        raise RuntimeError
    (row,) = chat.look()
    assert (row["status"], row["text"]) == ("failed", "half")
    assert row["error"]


def test_only_the_newest_messages_are_kept_and_the_others_counted(
    chat: Chat, alice: lknb.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat.part._chat, "_limit", 3)
    for number in range(5):
        alice.send_text(str(number))
    assert chat.texts() == ["2", "3", "4"]
    assert chat.values["gone"] == 2


def test_what_the_log_has_let_go_stays_as_the_beginning_of_a_text(
    chat: Chat, alice: lknb.Room, bob: lknb.Room, folder: Path
) -> None:
    (folder / "a.png").write_bytes(PNG)
    first = alice.send_text("x" * 30_000)
    alice.send_text("own, short")
    bob.send_text("with a file", attachments=[folder / "a.png"])
    chat.wait(lambda rows: len(rows) == 3 and rows[2]["files"] and rows[2]["files"][0].get("there"))
    alice.events._max_events = 2
    for _ in range(3):
        alice.publish_data("pushes the others out")
    long, short, file = chat.look()
    assert (long["cut"], long["length"], long["can_edit"]) == (8_000, 22_000, False)
    assert chat.shown(long) == "x" * 22_000
    assert (short["text"], short["cut"], short["can_edit"]) == ("own, short", 0, True)
    assert (file["files"][0]["there"], file["files"][0]["gone"]) == (False, True)
    held = [event for message in chat.part._chat.all() for event in (message.first, message.said)]
    assert all(event is not first and len(event.data) <= 22_000 for event in held)
    chat.do("send", text="now longer", edits=chat.key("own, short"))
    chat.wait(lambda rows: rows[1]["text"] == "now longer" and rows[1]["edited"])


def test_a_text_that_outlasts_its_place_in_the_log_is_cut_when_it_has_ended(chat: Chat, alice: lknb.Room) -> None:
    alice.events._max_events = 1
    with alice.stream_text() as out:
        out.write("y" * 30_000)
        alice.publish_data("pushes it out")
        assert chat.look()[0]["cut"] == 0
    alice.publish_data("one more")
    (row,) = chat.look()
    assert (row["status"], row["length"], row["cut"]) == ("ok", 22_000, 8_000)


def test_who_can_be_written_to_is_told(chat: Chat, bob: lknb.Room) -> None:
    chat.wait(lambda _: ["bob", "bob"] in [list(each) for each in chat.values["people"]])


def test_as_a_table_everything_is_escaped(chat: Chat, alice: lknb.Room, bob: lknb.Room) -> None:
    bob.send_text(NASTY)
    chat.wait(lambda rows: rows and rows[0]["status"] == "ok")
    ((title, table),) = chat.part.tables()
    assert title == "Chat"
    assert "<script>" not in table._repr_html_()
    assert "\x1b" not in repr(table)


def test_an_empty_chat_says_what_to_do(alice: lknb.Room) -> None:
    assert "Write something" in repr(alice.panel("chat"))
