"""Replies, edits and attachments of texts, exchanged with a plain peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import Event


def received(room: lknb.Room, count: int = 1, **matching: Any) -> list[Event]:
    """Wait until `count` incoming texts have ended, and return them."""

    def ended() -> list[Event]:
        texts = room.events.filter(kind="text", direction="in")
        return [each for each in texts if each.status != "open"]

    eventually(lambda: len(ended()) >= count)
    return ended()


def test_edit_replaces_text(alice: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    carol = peer("carol")
    sent = alice.send_text("frist")
    first = alice.send_text("first", edits=sent)
    assert (first.id, first.edits, first.version) == (sent.id, sent.id, 1)
    assert (sent.edits, sent.version) == (None, None)
    alice.send_text("First.", edits=sent.id)
    headers = [carol.wait("text_header", stream_id=sent.id) for _ in range(3)]
    assert [each["operation"] for each in headers] == ["CREATE", "UPDATE", "UPDATE"]
    assert [each["version"] for each in headers] == [0, 1, 2]
    # The plain SDK delivers each stream separately, so short ones can arrive in either order.
    assert {carol.wait("text", stream_id=sent.id)["text"] for _ in range(3)} == {"frist", "first", "First."}


def test_edit_is_sent_to_original_recipients(alice: lknb.Room, bob: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    carol = peer("carol")
    question = alice.send_text("for bob", to="bob", topic="private", reply_to="stream-1")
    edited = alice.send_text("for bob only", edits=question)
    assert (edited.to, edited.topic, edited.reply_to) == (("bob",), "private", "stream-1")
    assert [each.data for each in received(bob, 2)] == ["for bob", "for bob only"]
    carol.expect_none("text_header", within=0.3)


def test_edit_can_be_streamed(alice: lknb.Room, bob: lknb.Room) -> None:
    sent = alice.send_text("one")
    alice.send_text((piece for piece in ("one", " and", " two")), edits=sent)
    with alice.stream_text(edits=sent) as out:
        out.write("three")
    texts = received(bob, 3)
    assert [each.data for each in texts] == ["one", "one and two", "three"]
    assert [(each.edits, each.version) for each in texts] == [(None, None), (sent.id, 1), (sent.id, 2)]


def test_only_own_sent_texts_can_be_edited(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.send_text("mine")
    with pytest.raises(ValueError, match="Only texts that this participant has sent"):
        bob.send_text("yours", edits=received(bob)[0])
    with pytest.raises(TypeError, match="edits must be the event of a text or its id"):
        bob.send_text("yours", edits=3)  # type: ignore[arg-type]
    with alice.stream_text() as out, pytest.raises(ValueError, match="still being sent"):
        alice.send_text("too early", edits=out.event)


def test_edits_from_others_are_marked(alice: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    carol = peer("carol")
    carol.call("send_text_as", text="frist", topic="lk.chat", id="m1")
    carol.call("send_text_as", text="first", topic="lk.chat", id="m1", operation="UPDATE", version=1)
    assert [(each.id, each.data, each.edits, each.version) for each in received(alice, 2)] == [
        ("m1", "frist", None, None),
        ("m1", "first", "m1", 1),
    ]


def test_files_are_attached_to_text(alice: lknb.Room, peer: Callable[..., PlainPeer], folder: Path) -> None:
    carol = peer("carol")
    (folder / "a.txt").write_text("A")
    (folder / "b.bin").write_bytes(b"B" * 100_000)
    sent = alice.send_text("two files", topic="files", attachments=[folder / "a.txt", str(folder / "b.bin")])
    assert len(set(sent.attachments)) == 2
    assert carol.wait("text", stream_id=sent.id)["attachments"] == list(sent.attachments)
    names = [carol.wait("bytes", stream_id=each, topic="files")["name"] for each in sent.attachments]
    assert names == ["a.txt", "b.bin"]
    files = alice.events.filter(kind="bytes")
    assert [(each.id, each.name, each.status) for each in files] == [
        (sent.attachments[0], "a.txt", "ok"),
        (sent.attachments[1], "b.bin", "ok"),
    ]


def test_attachments_go_only_to_recipients_of_text(
    alice: lknb.Room, bob: lknb.Room, peer: Callable[..., PlainPeer], folder: Path
) -> None:
    carol = peer("carol")
    (folder / "a.txt").write_text("A")
    sent = alice.send_text("secret", to="bob", attachments=folder / "a.txt")
    eventually(lambda: [each.id for each in bob.events.filter(kind="bytes", status="ok")] == list(sent.attachments))
    assert received(bob)[0].attachments == sent.attachments
    carol.expect_none("bytes_open", within=0.3)


def test_unreadable_attachment_stops_send(alice: lknb.Room, folder: Path) -> None:
    for path, error in ((folder / "missing", FileNotFoundError), (folder, IsADirectoryError)):
        with pytest.raises(error):
            alice.send_text("see the file", attachments=[path])
    assert not alice.events.filter(kind="text")


def test_received_text_names_its_attachments(alice: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    carol = peer("carol")
    carol.call("send_text_as", text="see", topic="lk.chat", attached_stream_ids=["f1"])
    carol.call("send_bytes", data=b"content", topic="lk.chat", name="f.txt", stream_id="f1")
    assert received(alice)[0].attachments == ("f1",)
    file = eventually(lambda: alice.events.filter(kind="bytes", status="ok"))[0]
    assert (file.id, file.name, file.data.data) == ("f1", "f.txt", b"content")


def test_chat_messages_from_other_clients_become_texts(alice: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    carol = peer("carol")
    # The SDK drops chat messages from participants it does not know yet.
    eventually(lambda: "carol" in alice.participants)
    messages: list[tuple[str, str]] = []

    @alice.on_text("lk.chat")
    def _(data: str, sender: str) -> None:
        messages.append((sender, data))

    message = carol.call("send_chat_message", message="frist")
    carol.call("send_chat_message", message="first", edits=message)
    eventually(lambda: messages == [("carol", "frist"), ("carol", "first")])
    assert [(each.id, each.edits, each.size) for each in received(alice, 2)] == [
        (message["id"], None, 5),
        (message["id"], message["id"], 5),
    ]
