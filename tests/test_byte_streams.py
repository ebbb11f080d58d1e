"""Byte streams: files and bytes both ways, whole and in pieces, verified, limited, interrupted, and light on memory."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import queue
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import server
from lknb.files import SPOOL_AT
from lknb.loop import LOOP
from lknb.systems.byte_streams import DIGEST
from lknb.systems.streams import PIECE

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]

EVERY_BYTE = bytes(range(256))


def noise(size: int) -> bytes:
    """Return incompressible bytes."""
    return random.Random(size).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Whole


@pytest.mark.parametrize("data", [b"", EVERY_BYTE, bytearray(b"ba"), memoryview(b"m" * 70_000)], ids=len)
def test_bytes_arrive_unchanged(alice: lknb.Room, bob: lknb.Room, data: Any) -> None:
    inbox = bob.listen("bytes", topic="blobs")
    sent = alice.send_bytes(data, topic="blobs", attributes={"a": "b"})
    event = inbox.next()
    assert (event.data.data, event.data.size, event.data.verified) == (bytes(data), len(data), True)
    assert (event.sender, event.size, event.status, event.id) == ("alice", len(data), "ok", sent.id)
    assert (event.data.name, event.data.mime_type, event.data.sender) == (
        "unknown",
        "application/octet-stream",
        "alice",
    )
    assert event.attributes["a"] == event.data.attributes["a"] == "b"
    assert (sent.direction, sent.status, sent.size, sent.transferred) == ("out", "ok", len(data), len(data))
    assert sent.duration is not None


def test_plain_peer_receives_files_and_bytes(alice: lknb.Room, peer: Peers, folder: Path) -> None:
    plain = peer()
    (folder / "notes.txt").write_bytes(b"remember")
    sent = alice.send_file(folder / "notes.txt", topic="files", to="peer", attributes={"a": "b"})
    got = plain.wait("bytes", topic="files", name="notes.txt", mime_type="text/plain")
    assert (got["data"], got["sender"], got["stream_id"], got["error"]) == (b"remember", "alice", sent.id, None)
    assert got["attributes"] == {"a": "b", DIGEST: sha256(b"remember")}

    alice.send_file(str(folder / "notes.txt"), topic="files", name="other", mime_type="application/x-other")
    plain.wait("bytes", name="other", mime_type="application/x-other", size=8)
    alice.send_bytes(EVERY_BYTE, topic="blobs", name="photo.png")
    assert plain.wait("bytes", name="photo.png", mime_type="image/png")["data"] == EVERY_BYTE


@pytest.mark.slow("moves a megabyte or more")
def test_plain_peer_receives_megabyte_in_pieces(alice: lknb.Room, peer: Peers) -> None:
    plain, data = peer(), noise(1_500_000)
    alice.send_bytes(data, topic="big")
    got = plain.wait("bytes", topic="big", timeout=30)
    assert (got["size"], got["total_size"], got["sha256"]) == (1_500_000, 1_500_000, sha256(data))
    assert got["attributes"] == {DIGEST: sha256(data)}
    assert got["chunks"] > 10


@pytest.mark.parametrize("compress", [True, False])
def test_receives_bytes_from_plain_peer(alice: lknb.Room, peer: Peers, compress: bool) -> None:
    inbox, plain = alice.listen("bytes"), peer()
    plain.call("send_bytes", data=EVERY_BYTE * 100, topic="blobs", name="b.bin", mime_type="x/y", compress=compress)
    event = inbox.next()
    assert (event.data.data, event.data.name, event.data.mime_type) == (EVERY_BYTE * 100, "b.bin", "x/y")
    assert (event.data.verified, event.sender) == (None, "peer")
    sent = plain.call("send_bytes", random_size=700_000, seed=2, topic="blobs", compress=compress)
    event = inbox.next(timeout=30)
    assert (event.data.size, event.data.sha256) == (700_000, sent["sha256"])


@pytest.mark.parametrize("compress", [True, False])
def test_receives_file_from_plain_peer(alice: lknb.Room, peer: Peers, folder: Path, compress: bool) -> None:
    inbox = alice.listen("bytes", topic="files")
    content = b"a line of a log that says the same each time\n" * 10_000
    (folder / "server.log.txt").write_bytes(content)
    peer().call("send_file", path=str(folder / "server.log.txt"), topic="files", to=["alice"], compress=compress)
    event = inbox.next()
    assert (event.data.data, event.data.name, event.data.mime_type) == (content, "server.log.txt", "text/plain")
    assert event.size == len(content)


@pytest.mark.parametrize("name", ["../../x", "C:\\x\\y", "/etc/passwd", "..", "", "evil\u202egnp.exe"])
def test_peer_file_name_never_leaves_folder(alice: lknb.Room, peer: Peers, folder: Path, name: str) -> None:
    saved: queue.Queue[Path] = queue.Queue()

    @alice.on_bytes("files")
    def save(data: lknb.ReceivedFile) -> None:
        saved.put(data.save(folder / "downloads"))

    peer().call("send_bytes", data=b"content", topic="files", name=name)
    path = saved.get(timeout=10)
    assert path.parent == folder / "downloads"
    assert [each.name for each in folder.rglob("*")] == ["downloads", path.name]
    assert path.read_bytes() == b"content"


def test_large_file_is_kept_on_disk(alice: lknb.Room, bob: lknb.Room, folder: Path) -> None:
    inbox = bob.listen("bytes")
    alice.send_bytes(bytes(SPOOL_AT))
    alice.send_bytes(bytes(SPOOL_AT + 1))  # zeros compress well, so this is quick
    # Concurrent streams can arrive in either order.
    small, large = sorted((inbox.next(timeout=30).data for _ in range(2)), key=len)
    assert (small.on_disk, large.on_disk, large.verified) == (False, True, True)
    assert large.save(folder).stat().st_size == SPOOL_AT + 1


@pytest.mark.parametrize(
    ("to", "receivers"), [("bob", {"bob"}), (["bob", "peer"], {"bob", "peer"}), (None, {"bob", "carol", "peer"})]
)
def test_only_recipients_receive_it(
    alice: lknb.Room, bob: lknb.Room, join: Join, peer: Peers, to: Any, receivers: set[str]
) -> None:
    inboxes = {room.identity: room.listen("bytes") for room in (bob, join("carol"))}
    plain = peer()
    eventually(lambda: {"carol", "peer"} <= set(alice.participants))
    alice.send_bytes(b"for you", to=to)
    alice.send_bytes(b"for all")
    count = {who: 1 + (who in receivers) for who in ("bob", "carol", "peer")}
    got = {who: {inbox.next().data.data for _ in range(count[who])} for who, inbox in inboxes.items()}
    got["peer"] = {plain.wait("bytes")["data"] for _ in range(count["peer"])}
    assert {who for who, received in got.items() if b"for you" in received} == receivers


# In pieces, with progress


def test_both_sides_see_stream_grow_with_each_write(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    plain, inbox = peer(), bob.listen("bytes")
    plain.call("watch_chunks")
    with alice.stream_bytes("log.bin", topic="logs", total_size=9, mime_type="x/log") as out:
        arriving = eventually(lambda: bob.events.filter("bytes"))[0]
        for done, piece in ((3, b"123"), (6, b"456"), (9, b"789")):
            assert (arriving.status, arriving.size) == ("open", 9)
            out.write(piece)
            assert out.event.transferred == done
            eventually(lambda done=done: arriving.transferred == done)
            plain.wait("bytes_chunk", received=done)
    assert inbox.next() is arriving
    assert (arriving.data.data, arriving.data.name, arriving.data.mime_type) == (b"123456789", "log.bin", "x/log")
    got = plain.wait("bytes", name="log.bin", total_size=9)
    assert (got["data"], got["error"]) == (b"123456789", None)


def test_event_loop_streams_bytes_of_unknown_size(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("bytes")

    async def main() -> None:
        async with alice.aio.stream_bytes(topic="logs") as out:
            await out.write(b"12")
            await out.write(bytearray(b"34"))
            await out.write(memoryview(b"56"))

    asyncio.run(main())
    event = inbox.next()
    assert (event.data.data, event.size) == (b"123456", 6)


@pytest.mark.parametrize("is_async", [False, True])
def test_stream_handler_receives_chunks_as_they_arrive(alice: lknb.Room, peer: Peers, is_async: bool) -> None:
    heard: queue.Queue[bytes] = queue.Queue()

    if is_async:

        @alice.on_bytes("logs", stream=True)
        async def chunks_async(data: AsyncIterator[bytes]) -> None:
            async for chunk in data:
                heard.put(chunk)
            heard.put(b"end")
    else:

        @alice.on_bytes("logs", stream=True)
        def chunks(data: Iterator[bytes]) -> None:
            for chunk in data:
                heard.put(chunk)
            heard.put(b"end")

    plain = peer()
    handle = plain.call("open_bytes", name="log.bin", topic="logs")
    for chunk in (b"one", b"two"):
        plain.call("write_bytes", handle=handle, data=chunk)
        assert heard.get(timeout=10) == chunk
    plain.call("close_bytes", handle=handle)
    assert heard.get(timeout=10) == b"end"


@pytest.mark.slow("moves a megabyte or more")
def test_sender_sees_long_transfer_progress(alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def update(line: Any, done: int) -> None:
        seen.append((done, alice.events.filter("bytes")[0].transferred))

    monkeypatch.setattr("lknb.progress.Progress.update", update)
    event = alice.send_bytes(noise(2_000_000))
    assert seen == [(done, done) for done in (*range(PIECE, 2_000_000, PIECE), 2_000_000)]
    assert (event.status, event.transferred, event.size) == ("ok", 2_000_000, 2_000_000)


@pytest.mark.slow("moves a megabyte or more")
def test_short_transfer_shows_no_progress(alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, arrived = Terminal(), threading.Event()

    @bob.on_bytes()
    def file(data: lknb.ReceivedFile) -> None:
        arrived.set()

    monkeypatch.setattr("lknb.progress.APPEARS_AFTER", 60.0)  # even on a busy machine
    monkeypatch.setattr("sys.stderr", terminal)
    alice.send_bytes(noise(1_000_000))
    assert arrived.wait(30)
    assert terminal.getvalue() == ""


@pytest.mark.slow("moves a megabyte or more")
def test_long_transfer_shows_progress_on_both_sides(
    alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, arrived = Terminal(), threading.Event()

    @bob.on_bytes()
    def file(data: lknb.ReceivedFile) -> None:
        arrived.set()

    monkeypatch.setattr("lknb.progress.APPEARS_AFTER", 0.0)
    monkeypatch.setattr("lknb.progress._EVERY", 0.0)
    monkeypatch.setattr("lknb.progress._display", lambda: None)
    monkeypatch.setattr("sys.stderr", terminal)
    alice.send_bytes(noise(1_000_000), name="noise.bin")
    assert arrived.wait(30)
    eventually(lambda: terminal.getvalue().count("1.0 MB in ") == 2)
    assert "Sending noise.bin: " in terminal.getvalue()
    assert "Receiving noise.bin: " in terminal.getvalue()
    assert " of 1.0 MB, " in terminal.getvalue()


# Verified


@pytest.mark.parametrize("written", [b"12345", b"12345678901234567890"])
def test_transfer_fails_if_size_differs_from_announced(alice: lknb.Room, peer: Peers, written: bytes) -> None:
    inbox, plain = alice.listen("bytes"), peer()
    handle = plain.call("open_bytes", name="log.bin", total_size=10, topic="logs")
    plain.call("write_bytes", handle=handle, data=written)
    plain.call("close_bytes", handle=handle)
    event = inbox.next()
    assert (event.status, event.data) == ("failed", None)
    assert event.error


def test_receiver_refuses_content_with_wrong_digest(alice: lknb.Room, peer: Peers) -> None:
    heard: queue.Queue[bytes] = queue.Queue()

    @alice.on_bytes()
    def file(data: lknb.ReceivedFile) -> None:
        heard.put(data.data)

    inbox, plain = alice.listen("bytes"), peer()
    plain.call("send_bytes", data=b"other content", topic="t", attributes={DIGEST: "0" * 64})
    event = inbox.next()
    assert (event.status, event.data) == ("failed", None)
    assert "its SHA-256 differs from the sender's" in (event.error or "")

    handle = plain.call("open_bytes", name="log.bin", topic="t")
    plain.call("write_bytes", handle=handle, data=b"content")
    plain.call("close_bytes", handle=handle, attributes={DIGEST: sha256(b"content")})
    event = inbox.next()
    assert (event.status, event.data.verified, event.data.data) == ("ok", True, b"content")
    assert heard.get(timeout=10) == b"content", "a refused file is no message"


# Aborted


def test_sender_exception_aborts_stream_for_receivers(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    plain, inbox = peer(), bob.listen("bytes")

    def write() -> None:
        with alice.stream_bytes("log.bin", topic="logs", total_size=100) as out:
            out.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    event = inbox.next()
    assert (event.status, event.data, event.transferred) == ("failed", None, 4)
    assert "the stream was aborted after 4 of 100 bytes" in (event.error or "")
    got = plain.wait("bytes")
    assert (got["data"], bool(got["error"])) == (b"half", True)


def test_cancelled_transfer_ends_on_both_sides_and_room_stays_connected(
    alice: lknb.Room, bob: lknb.Room, folder: Path
) -> None:
    inbox = bob.listen("bytes")
    (folder / "big.bin").write_bytes(noise(12_000_000))

    async def main() -> None:
        sending = asyncio.create_task(alice.aio.send_file(folder / "big.bin"))
        event = await asyncio.to_thread(eventually, lambda: alice.events.filter("bytes"))
        await asyncio.to_thread(eventually, lambda: event[0].transferred)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(main())
    event = inbox.next(timeout=30)
    assert (event.status, event.data) == ("failed", None)
    assert "the stream was aborted" in (event.error or "")
    assert eventually(lambda: alice.events.filter("bytes", status="failed"))
    alice.send_bytes(b"and on")
    assert inbox.next().data.data == b"and on"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no os.kill(SIGINT) for itself alone")
def test_interrupted_transfer_ends_on_both_sides_and_room_stays_connected(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox, data = bob.listen("bytes"), noise(12_000_000)

    def interrupt() -> None:
        eventually(lambda: any(event.transferred for event in alice.events.filter("bytes")))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        alice.send_bytes(data)
    thread.join()
    assert inbox.next(timeout=30).status == "failed"
    alice.send_bytes(b"and on")
    assert inbox.next().data.data == b"and on"


def test_writer_rejects_writes_after_close(alice: lknb.Room) -> None:
    with alice.stream_bytes(topic="logs") as out:
        out.write(b"all")
    with pytest.raises(lknb.StreamError, match="has ended"):
        out.write(b"more")


# Rejected arguments


def test_transfer_over_limit_is_aborted(join: Join, peer: Peers) -> None:
    room = join("small", max_stream_size=1000)
    inbox, plain = room.listen("bytes"), peer()
    plain.call("send_bytes", data=bytes(1001), topic="announced")
    handle = plain.call("open_bytes", name="log.bin", topic="pieces")
    for _ in range(3):
        plain.call("write_bytes", handle=handle, data=bytes(400))
    events = {event.topic: event for event in (inbox.next(), inbox.next())}
    assert set(events) == {"announced", "pieces"}
    for event in events.values():
        assert (event.status, event.data) == ("failed", None)
        assert "over the limit of 1.0 kB per stream" in (event.error or "")
    plain.call("send_bytes", data=bytes(1000), topic="fits")
    assert inbox.next().data.size == 1000

    @room.on_bytes("large", max_size=10_000)
    def large(data: lknb.ReceivedFile) -> None: ...

    plain.call("send_bytes", data=bytes(9000), topic="large")
    assert inbox.next().data.size == 9000


def test_send_file_reports_missing_file(alice: lknb.Room, folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.txt"):
        alice.send_file(folder / "missing.txt")
    with pytest.raises(IsADirectoryError):
        alice.send_file(folder)
    assert not alice.events.filter("bytes")


@pytest.mark.parametrize("data", ["text", 7, None, [1, 2]])
def test_send_bytes_rejects_non_bytes(alice: lknb.Room, data: Any) -> None:
    with pytest.raises(TypeError, match="data must be bytes, not"):
        alice.send_bytes(data)
    assert not alice.events.filter("bytes")


def test_stream_bytes_rejects_non_bytes_pieces(alice: lknb.Room) -> None:
    with pytest.raises(TypeError, match="A piece of a byte stream must be bytes, not str"), alice.stream_bytes() as out:
        out.write("text")


@pytest.mark.parametrize(
    "options",
    [{"attributes": {"a": "x" * 15_000}}, {"topic": "t" * 15_000}, {"name": "n" * 15_000}, {"mime_type": "m" * 15_000}],
    ids=lambda options: next(iter(options)),
)
def test_oversized_header_is_rejected(alice: lknb.Room, options: dict[str, Any]) -> None:
    with pytest.raises(lknb.PayloadTooLargeError, match="the limit is 15,000"):
        alice.send_bytes(b"x", **options)
    with pytest.raises(lknb.PayloadTooLargeError), alice.stream_bytes(**options):
        pass
    assert not alice.events.filter("bytes")


def test_largest_header_is_sent(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    options: dict[str, Any] = {"topic": "t" * 1000, "name": "n" * 1000, "mime_type": "m" * 1000, "to": "peer"}
    with pytest.raises(lknb.PayloadTooLargeError) as refused:
        alice.send_bytes(b"x", attributes={"a": "x" * 12_000}, **options)
    largest = {"a": "x" * (12_000 - refused.value.size + refused.value.limit)}
    alice.send_bytes(b"x", attributes=largest, **options)
    assert plain.wait("bytes")["attributes"]["a"] == largest["a"]
    with alice.stream_bytes(attributes=largest, **options) as out:
        out.write(b"yz")
    assert plain.wait("bytes")["data"] == b"yz"


def test_send_without_grant_is_denied(
    bob: lknb.Room, livekit: server.RunningServer, room_name: str, token: Callable[..., str], folder: Path
) -> None:
    inbox = bob.listen("bytes")
    (folder / "notes.txt").write_bytes(b"remember")
    mute = token("mute", can_publish_data=False)
    with lknb.connect(room_name, url=livekit.url, token=mute) as room:
        with pytest.raises(lknb.PermissionDeniedError, match="Sending bytes needs the grant 'canPublishData'"):
            room.send_bytes(b"x")
        with pytest.raises(lknb.PermissionDeniedError):
            room.send_file(folder / "notes.txt")
        with pytest.raises(lknb.PermissionDeniedError), room.stream_bytes():
            pass
        assert not room.events.filter("bytes")
    assert len(inbox) == 0


# Memory

SIDE = """
import lknb, psutil, sys, threading, time
role, room_name, path = sys.argv[1:]
me, peak = psutil.Process(), [0]
def watch():
    while True:
        peak[0] = max(peak[0], me.memory_info().rss)
        time.sleep(0.02)
with lknb.connect(room_name, role, max_stream_size=10**9) as room:
    inbox = room.listen("bytes")
    print("ready", flush=True)
    sys.stdin.readline()
    if role == "sender":
        room.send_bytes(bytes(range(256)) * 8000, to="receiver", topic="warm-up", progress=False)
    else:
        assert inbox.next(timeout=30).status == "ok"
    print("warm", flush=True)
    sys.stdin.readline()
    before = me.memory_info().rss
    threading.Thread(target=watch, daemon=True).start()
    if role == "sender":
        event = room.send_file(path, to="receiver", progress=False)
    else:
        event = inbox.next(timeout=100)
    print(event.status, event.transferred, (peak[0] - before) // 1000, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.slow("moves 24 MB between two interpreters")
def test_large_file_transfer_uses_little_memory(livekit: server.RunningServer, room_name: str, folder: Path) -> None:
    # Each side can grow by its buffers, and by what has arrived and waits to be written: the SDK's queue has no limit.
    size, allowed = 24_000_000, 60_000
    (folder / "big.bin").write_bytes(noise(size))
    sides = [
        subprocess.Popen(
            [sys.executable, "-c", SIDE, role, room_name, str(folder / "big.bin")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for role in ("receiver", "sender")
    ]
    try:
        for word in ("ready\n", "warm\n"):
            for side in sides:
                assert side.stdout is not None
                assert side.stdout.readline() == word
            for side in sides:
                assert side.stdin is not None
                side.stdin.write("go\n")
        for side in sides:
            assert side.stdout is not None
            status, transferred, grown = side.stdout.readline().split()
            assert (status, int(transferred)) == ("ok", size)
            assert int(grown) < allowed, f"grew by {grown} kB"
    finally:
        for side in sides:
            side.communicate("go\n", timeout=20)


def test_writer_that_misses_its_total_size_fails_on_both_sides(alice: lknb.Room, bob: lknb.Room) -> None:
    files = bob.listen("bytes")

    def write_too_little() -> None:
        with alice.stream_bytes("short.bin", topic="blobs", total_size=100) as out:
            out.write(b"only this")

    with pytest.raises(lknb.StreamError, match="9 of the 100 announced bytes"):
        write_too_little()
    assert alice.events.filter("bytes")[-1].status == "failed"
    assert files.next(timeout=10).status == "failed"


def test_digest_is_hidden_from_attributes(alice: lknb.Room, bob: lknb.Room) -> None:
    files = bob.listen("bytes")
    alice.send_bytes(b"content", topic="blobs", attributes={"note": "mine"})
    received = files.next(timeout=10)
    assert received.attributes == received.data.attributes == {"note": "mine"}
    assert received.data.verified is True


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(alice: lknb.Room, folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="is a named pipe, which has no end"):
        alice.send_file(pipe)
    with pytest.raises(ValueError, match="is a named pipe, which has no end"):
        alice.send_text("see", attachments=[pipe])
    assert not alice.events.filter(direction="out")


def test_a_file_that_grows_is_sent_as_it_was_at_the_start(alice: lknb.Room, bob: lknb.Room, folder: Path) -> None:
    path, content = folder / "log", os.urandom(1_000_000)
    path.write_bytes(content)
    inbox, stop = bob.listen("bytes"), threading.Event()

    def append() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.wait(0.02):
                file.write(os.urandom(200_000))

    writer = threading.Thread(target=append)
    writer.start()
    try:
        assert alice.send_file(path).size == len(content)
    finally:
        stop.set()
        writer.join()
    assert inbox.next(10).data.data == content


def test_a_file_that_shrinks_while_it_is_sent_is_aborted(alice: lknb.Room, bob: lknb.Room, folder: Path) -> None:
    path = folder / "log"
    path.write_bytes(os.urandom(3_000_000))
    inbox = bob.listen("bytes")

    @bob.on_bytes(stream=True)
    def shrink(data: Iterator[bytes]) -> None:
        next(iter(data))
        os.truncate(path, 1000)

    with pytest.raises(lknb.StreamError, match="The file changed while it was sent"):
        alice.send_file(path)
    assert inbox.next(10).status == "failed"


def test_large_payload_that_compresses_takes_less_of_the_link(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("bytes")
    content = "\n".join(f"{number},{number * 1.5:.3f},{number % 7}" for number in range(100_000)).encode()

    def bytes_sent() -> int:
        return LOOP.run(lambda: alice._connection.sdk.signs_of_life(), "signs").bytes_sent

    before = bytes_sent()
    event = alice.send_bytes(content, name="table.csv")
    taken = bytes_sent() - before
    assert inbox.next(timeout=30).data.data == content
    assert (event.status, event.transferred) == ("ok", len(content))
    assert taken < len(content) / 2


def test_progress_of_a_compressed_payload_is_shown(
    alice: lknb.Room, bob: lknb.Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lknb.systems.byte_streams._LOOKS_EVERY", 0.01)
    shown: list[int] = []
    monkeypatch.setattr("lknb.progress.Progress.update", lambda self, done: shown.append(done))
    half = os.urandom(1_500_000)
    content = half + bytes(len(half))  # takes a while, and compresses to its half
    alice.send_bytes(content)
    assert shown == sorted(shown)
    assert any(0 < done < len(content) for done in shown)
