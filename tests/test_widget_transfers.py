"""The transfers on the kernel's side: their rows, and their actions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb.event import Event
from lknb.loop import LOOP
from lknb.widgets import rate, transfers
from lknb.widgets.part import Json
from lknb.widgets.transfers import TransfersPart
from lknb.widgets.uploads import PIECE

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


@pytest.fixture
def part(alice: lknb.Room) -> Iterator[TransfersPart]:
    """Alice's transfers."""
    made = TransfersPart(alice)
    made.start(lambda: None)
    yield made
    made.stop()


def ask(part: TransfersPart, action: str, **args: Any) -> Any:
    """Call an action as a browser does."""
    return LOOP.run(part.actions[action](**args), action)


def rows(part: TransfersPart) -> list[Json]:
    """All rows, oldest first."""
    return [row for _, row in part.whole()["rows"]["transfers"]]


def changed(part: TransfersPart) -> list[Json]:
    """The rows that have changed."""
    return [row for _, row in (part.changes() or {}).get("put", {}).get("transfers", ())]


def arrived(room: lknb.Room, status: str = "ok") -> Event:
    """The first received byte stream that has ended."""
    return eventually(lambda: room.events.filter("bytes", direction="in", status=status))[0]  # type: ignore[arg-type]


def key_of(room: lknb.Room, status: str = "ok") -> str:
    return str(arrived(room, status).number)


# Rows


def test_transfer_in_progress_shows_its_progress(part: TransfersPart, alice: lknb.Room, bob: lknb.Room) -> None:
    with bob.stream_bytes("log.bin", topic="logs", total_size=8) as out:
        out.write(b"1234")
        row = eventually(lambda: [row for row in rows(part) if row["transferred"]])[0]
        assert (row["name"], row["sender"], row["topic"], row["direction"]) == ("log.bin", "bob", "logs", "in")
        assert (row["status"], row["transferred"], row["size"], row["file"]) == ("open", 4, 8, False)
        assert part.poll_after == transfers._POLL
        out.write(b"5678")
        # The rate may be sent again before.
        eventually(lambda: 8 in [row["transferred"] for row in changed(part)])
    arrived(alice)
    (row,) = rows(part)
    assert (row["status"], row["file"], row["verified"], row["error"]) == ("ok", True, False, None)
    assert part.poll_after is None


def test_rate_and_remaining_time_come_from_the_last_seconds(
    part: TransfersPart, alice: lknb.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = 100.0
    monkeypatch.setattr(rate, "monotonic", lambda: at)
    with alice.stream_bytes("log.bin", total_size=1000) as out:
        assert (rows(part)[0]["rate"], rows(part)[0]["left"]) == (None, None)
        out.write(bytes(200))
        at = 102.0
        assert (rows(part)[0]["rate"], rows(part)[0]["left"]) == (100, 8.0)
        at = 110.0
        rows(part)
        at = 120.0
        assert (rows(part)[0]["rate"], rows(part)[0]["left"]) == (0, None)
        out.write(bytes(800))


def test_earlier_transfers_are_shown(alice: lknb.Room, bob: lknb.Room) -> None:
    alice.send_bytes(b"1", name="one", to="bob", topic="t")
    alice.send_text("no file")
    part = TransfersPart(alice)
    part.start(lambda: None)
    (row,) = rows(part)
    part.stop()
    assert (row["name"], row["to"], row["direction"], row["status"]) == ("one", ["bob"], "out", "ok")
    assert (row["file"], part.values()["total"]) == (False, 1)


def test_failed_transfer_shows_its_reason(part: TransfersPart, alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    handle = plain.call("open_bytes", name="log.bin", total_size=100)
    plain.call("write_bytes", handle=handle, data=b"half")
    plain.call("close_bytes", handle=handle, reason="the disk is full")
    arrived(alice, "failed")
    (row,) = rows(part)
    assert (row["status"], row["transferred"], row["size"], row["file"]) == ("failed", 4, 100, False)
    assert "the stream was aborted after 4 of 100 bytes" in row["error"]


def test_people_follow_the_room(part: TransfersPart, alice: lknb.Room, bob: lknb.Room) -> None:
    assert part.values()["people"] == [("bob", "")]
    bob.close()
    eventually(lambda: part.values()["people"] == [])


def test_evicted_transfers_are_dropped(join: Join, room_name: str) -> None:
    room = join("alice")
    room.events._max_events = 3
    part = TransfersPart(room)
    part.start(lambda: None)
    for number in range(5):
        room.send_bytes(b"1", name=f"file {number}")
    kept = rows(part)
    part.stop()
    assert len(kept) <= 3
    assert kept[-1]["name"] == "file 4"
    assert part.values()["total"] == 5


def test_evicted_transfers_are_dropped_while_nobody_looks(alice: lknb.Room, bob: lknb.Room) -> None:
    part = TransfersPart(alice)
    part.start(lambda: None)
    bob.send_bytes(bytes(5_000_000), name="on disk")
    eventually(lambda: any(event.data is not None for event in alice.events.filter("bytes")))
    alice.events._max_events = 2
    for _ in range(3):
        alice.publish_data("pushes it out")
    part.stop()
    assert part._shown.items() == []


def test_transfer_that_outlives_its_row_is_counted_once(alice: lknb.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    part = TransfersPart(alice)
    monkeypatch.setattr(part._shown, "_limit", 2)
    part.start(lambda: None)
    with alice.stream_bytes("slow") as out:
        out.write(b"1")
        for number in range(3):
            alice.send_bytes(b"1", name=f"file {number}")
    part.stop()
    assert part.values()["total"] == 4


def test_static_table_shows_transfers_escaped(part: TransfersPart, alice: lknb.Room, bob: lknb.Room) -> None:
    assert "room.send_file(path)" in repr(part.tables()[0][1])
    bob.send_bytes(b"12", name="<script>.txt", topic="t")
    arrived(alice)
    html = part.tables()[0][1]._repr_html_()
    for each in ("_script_.txt", "bob", "verified", "2 B"):
        assert each in html


# Cancel, save, download, view


def test_cancel_ends_a_transfer(part: TransfersPart, alice: lknb.Room, peer: Peers) -> None:
    peer().call("open_bytes", name="log.bin", total_size=100)
    event = eventually(lambda: alice.events.filter("bytes"))[0]
    assert ask(part, "cancel", key=str(event.number)) is True
    (row,) = rows(part)
    assert (row["status"], row["error"]) == ("failed", "cancelled here")
    assert ask(part, "cancel", key=str(event.number)) is False


def test_save_writes_to_the_kernels_folder(
    part: TransfersPart, alice: lknb.Room, peer: Peers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    peer().call("send_bytes", data=b"content", name="../../notes.txt")
    key = key_of(alice)
    assert ask(part, "save", key=key)["path"] == str((folder / "notes.txt").resolve())
    assert ask(part, "save", key=key)["path"] == str((folder / "notes (1).txt").resolve())
    assert (folder / "notes.txt").read_bytes() == b"content"
    assert rows(part)[0]["saved"].endswith("notes (1).txt")


def test_file_is_downloaded_in_pieces(part: TransfersPart, alice: lknb.Room, bob: lknb.Room) -> None:
    data = bytes(range(256)) * 10_000
    bob.send_bytes(data, name="big.bin")
    key = key_of(alice)
    pieces = [ask(part, "piece", key=key, at=at)["buffer"] for at in range(0, len(data), PIECE)]
    assert max(map(len, pieces)) == PIECE
    assert b"".join(pieces) == data
    assert rows(part)[0]["verified"] is True


def test_file_over_the_download_limit_says_what_to_do(
    part: TransfersPart, alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "DOWNLOAD_LIMIT", 10)
    bob.send_bytes(bytes(11))
    with pytest.raises(ValueError, match=r"is 11 B. At most 10 B .* Save the file to the kernel's folder"):
        ask(part, "piece", key=key_of(alice))


@pytest.mark.parametrize(("content", "is_image"), [(PNG, True), (SVG, False), (b"text", False)])
def test_only_safe_images_are_shown(
    part: TransfersPart, alice: lknb.Room, peer: Peers, content: bytes, is_image: bool
) -> None:
    peer().call("send_bytes", data=content, name="photo.png", mime_type="image/png")
    key = key_of(alice)
    assert rows(part)[0]["image"] is is_image
    if is_image:
        assert ask(part, "image", key=key) == {"type": "image/png", "buffer": content}
    else:
        with pytest.raises(ValueError, match="is not an image that can be shown here"):
            ask(part, "image", key=key)


@pytest.mark.parametrize("action", ["save", "piece", "image"])
def test_failed_transfer_has_no_file(part: TransfersPart, alice: lknb.Room, peer: Peers, action: str) -> None:
    plain = peer()
    plain.call("close_bytes", handle=plain.call("open_bytes", name="log.bin", total_size=9))
    with pytest.raises(LookupError, match="There is no file"):
        ask(part, action, key=key_of(alice, "failed"))


@pytest.mark.parametrize("action", ["cancel", "save", "piece", "image"])
@pytest.mark.parametrize("key", ["0", "", "../x", None, 7])
def test_actions_reject_unknown_transfers(part: TransfersPart, action: str, key: Any) -> None:
    with pytest.raises(LookupError, match="no longer in the room's log"):
        ask(part, action, key=key)


@pytest.mark.parametrize("at", [-1, "0", None, True, 1.5, 8, 2**70])
def test_piece_rejects_invalid_offsets(part: TransfersPart, alice: lknb.Room, bob: lknb.Room, at: Any) -> None:
    bob.send_bytes(b"content")
    with pytest.raises(ValueError, match="must be an offset in the file"):
        ask(part, "piece", key=key_of(alice), at=at)


# Send


def upload(part: TransfersPart, data: bytes, name: str = "photo.png") -> str:
    key: str = ask(part, "begin", name=name, size=len(data))["key"]
    for at in range(0, len(data), PIECE):
        ask(part, "upload", key=key, at=at, buffer=data[at : at + PIECE])
    return key


def test_uploaded_file_is_sent(part: TransfersPart, bob: lknb.Room, peer: Peers) -> None:
    plain, inbox = peer(), bob.listen("bytes")
    data = bytes(range(256)) * 8_000
    ask(part, "send", key=upload(part, data), topic="files", to="peer")
    got = plain.wait("bytes", topic="files", name="photo.png", mime_type="image/png")
    assert got["sha256"] == hashlib.sha256(data).hexdigest()
    ask(part, "send", key=upload(part, b"", "empty.txt"))
    assert (event := inbox.next()).data.name == "empty.txt"
    assert event.data.data == b""


def test_incomplete_upload_is_not_sent(part: TransfersPart, alice: lknb.Room) -> None:
    key = ask(part, "begin", name="x", size=10)["key"]
    ask(part, "upload", key=key, at=0, buffer=b"12345")
    with pytest.raises(ValueError, match="5 of 10 bytes"):
        ask(part, "send", key=key)
    assert len(alice.events.filter("bytes")) == 0


def test_send_to_an_unknown_recipient_says_why(part: TransfersPart, alice: lknb.Room) -> None:
    with pytest.raises(lknb.UnknownParticipantError, match="'nobody' is not in room"):
        ask(part, "send", key=upload(part, b"1"), to="nobody")
