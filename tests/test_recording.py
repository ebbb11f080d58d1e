"""Recordings: what a room records can be read again, by lknb and by any program that reads MCAP."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from google.protobuf import struct_pb2
from IPython.core.error import UsageError
from mcap.reader import make_reader
from peers import PlainPeer
from shells import Shell
from waiting import eventually, slow_work

import lknb
from lknb import server
from lknb.event import Event
from lknb.events import EventLog
from lknb.interest import Interest
from lknb.recording import recorder as recorder_module
from lknb.recording.recorder import Recorder, Source
from lknb.recording.writer import Output

Join = Callable[..., lknb.Room]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the path of a recording that does not exist yet."""
    return tmp_path / "run.mcap"


def messages(path: Path) -> list[tuple[Any, Any, Any]]:
    """Return what another program reads: the schema, the channel and the message of each message, in file order."""
    with path.open("rb") as file:
        return list(make_reader(file).iter_messages(log_time_order=False))


def payloads(path: Path, name: str) -> list[bytes]:
    """Return the payloads in the channel of this name."""
    return [message.data for _, channel, message in messages(path) if channel.topic == name]


def fields(event: lknb.Event) -> dict[str, Any]:
    """Return the fields of an event, with the content of a file instead of the object."""
    found = {each.name: getattr(event, each.name) for each in dataclasses.fields(event)}
    if isinstance(event.data, lknb.ReceivedFile):
        file = event.data
        found["data"] = (file.data, file.name, file.mime_type, file.sender, file.verified, file.attributes)
    return found


def push_until_received(
    track: lknb.LocalDataTrack, room: lknb.Room, frame: bytes = b"frame", timestamp: int | None = None
) -> None:
    """Push frames until one arrives: those from before the subscription reach nobody."""

    def arrives() -> bool:
        track.push(frame, timestamp)
        return bool(room.events.filter("data_track", direction="in"))

    eventually(arrives)


def test_every_field_of_every_event_is_read_back(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    @alice.rpc("double")
    def double(value: int) -> int:
        return 2 * value

    @alice.rpc("plain", raw=True)
    def plain(payload: str) -> str:
        return payload.upper()

    received = alice.listen(["text", "bytes", "data", "data_track", "attributes", "rpc"])
    with alice.record(run):
        question = alice.send_text("Ready? \N{GRINNING FACE}", topic="chat", to="bob", attributes={"mood": "curious"})
        alice.send_text("Are you ready?", edits=question)
        bob.send_text(["o", "k", "!"], topic="chat")
        bob.send_text("", topic="empty")
        bob.send_bytes(b"\x00\x01" * 3_000_000, name="noise.bin", topic="files", attributes={"run": "7"})
        bob.send_bytes(b"", name="nothing.txt")
        alice.publish_data(b"\xff\x00", topic="raw", reliable=False)
        bob.publish_data('{"x": 1.5}', topic="position")
        track = bob.publish_data_track("imu")
        push_until_received(track, alice, timestamp=2**64 - 1)
        assert bob.perform_rpc("alice", "double", {"value": 21}) == 42
        assert bob.perform_rpc("alice", "plain", "héllo", raw=True) == "HÉLLO"
        with pytest.raises(lknb.RpcError):
            alice.perform_rpc("bob", "nothing", [1, None, 2.5])
        bob.attributes.update(status="ready", gone="soon")
        del bob.attributes["gone"]
        bob.local_participant.set_metadata("{}")
        alice.set_metadata("the room's")
        eventually(lambda: alice.events.filter("attributes"))
        eventually(lambda: alice.events.filter("room_metadata"))
    received.close()
    recorded = list(lknb.open_recording(run))
    logged = [event for event in alice.events if event.number >= recorded[0].number]
    assert [event.number for event in recorded] == [event.number for event in logged]
    for before, after in zip(logged, recorded, strict=True):
        if before.kind == "bytes" and before.direction == "out":
            continue  # only the recording has the content
        assert fields(after) == fields(before)


def test_files_that_were_sent_are_kept(alice: lknb.Room, bob: lknb.Room, run: Path, tmp_path: Path) -> None:
    large = os.urandom(3_000_000)
    source = tmp_path / "large.bin"
    source.write_bytes(large)
    with alice.record(run):
        alice.send_file(source, topic="files")
        alice.send_bytes(b"small", name="small.txt", mime_type="text/x-note")
        with alice.stream_bytes("log.txt") as out:
            out.write(b"one ")
            out.write(b"two")
    files = [event.data for event in lknb.open_recording(run).filter("bytes")]
    assert [(file.name, file.data) for file in files] == [
        ("large.bin", large),
        ("small.txt", b"small"),
        ("log.txt", b"one two"),
    ]
    assert [file.mime_type for file in files] == ["application/octet-stream", "text/x-note", "text/plain"]
    assert files[0].sha256 == hashlib.sha256(large).hexdigest()
    with run.open("rb") as file:
        attached = {each.name.split("-", 1)[1]: each.data for each in make_reader(file).iter_attachments()}
    assert attached == {"large.bin": large, "small.txt": b"small", "log.txt": b"one two"}


def test_what_was_read_outlives_the_closed_recording(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    with alice.record(run):
        alice.send_bytes(b"kept", name="kept.txt")
    recording = lknb.open_recording(run)
    (event,) = recording.filter("bytes")
    recording.close()
    assert event.data.data == b"kept"
    for read in (lambda: list(recording), lambda: recording.sql("select 1"), lambda: recording.state_at(0)):
        with pytest.raises(lknb.RecordingError, match="closed"):
            read()


def test_files_can_be_left_out(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    with alice.record(run, files=False):
        alice.send_bytes(b"secret", name="small.txt")
    (event,) = lknb.open_recording(run).filter("bytes")
    assert (event.name, event.size, event.data) == ("small.txt", 6, None)
    assert b"secret" not in run.read_bytes()


def test_payloads_lie_in_channels_of_their_own(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    inbox = alice.listen("data")
    with alice.record(run):
        for payload in ('{"x": 1}', "[1, 2]", '{"x": 2}', b"\x00"):
            bob.publish_data(payload, topic="imu")
        for _ in range(4):
            inbox.next()
    found = {
        channel.topic: (channel.message_encoding, channel.metadata)
        for _, channel, _ in messages(run)
        if channel.topic.startswith("data/")
    }
    expected = {"kind": "data", "topic": "imu", "sender": "bob", "direction": "in", "part": "payload"}
    assert found == {"data/imu/bob/in": ("json", expected), "data/imu/bob/in (bytes)": ("bytes", expected)}
    assert payloads(run, "data/imu/bob/in") == [b'{"x": 1}', b'{"x": 2}']
    assert payloads(run, "data/imu/bob/in (bytes)") == [b"[1, 2]", b"\x00"]


def test_calls_keep_their_exact_text(alice: lknb.Room, peer: Callable[..., PlainPeer], run: Path) -> None:
    @alice.rpc("add")
    def add(a: int, b: int) -> int:
        return a + b

    bob = peer("bob")
    with alice.record(run):
        answer = bob.call("perform_rpc", to="alice", method="add", payload='{ "b" : 2,\n"a":1}')
    assert answer == "3"
    assert payloads(run, "rpc/add/bob/in") == [b'{ "b" : 2,\n"a":1}']
    assert payloads(run, "rpc/add/bob/in/answer") == [b"3"]


def test_declared_encodings_are_those_of_the_channels(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    schema = lknb.DataTrackSchema("Imu", "jsonschema", '{"type": "object"}')
    track = bob.publish_data_track("imu", encoding="json", schema=schema)
    alice.decode("value", struct_pb2.Value)
    alice.decode("packed", "msgpack")
    inbox = alice.listen("data")
    with alice.record(run):
        push_until_received(track, alice, b'{"x": 1}')
        bob.publish_data(struct_pb2.Value(number_value=1.5).SerializeToString(), topic="value")
        bob.publish_data(b"\x81\xa1x\x01", topic="packed")
        inbox.next()
        inbox.next()
    found = {
        channel.metadata["topic"]: (channel.message_encoding, schema and (schema.name, schema.encoding))
        for schema, channel, _ in messages(run)
        if channel.metadata
    }
    assert found == {
        "imu": ("json", ("Imu", "jsonschema")),
        "value": ("protobuf", ("google.protobuf.Value", "protobuf")),
        "packed": ("msgpack", None),
    }


def test_rows_can_be_read_with_duckdb_alone(alice: lknb.Room, bob: lknb.Room, run: Path, tmp_path: Path) -> None:
    with alice.record(run):
        for number in range(3):
            alice.publish_data(str(number), topic="count")
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b"\n".join(payloads(run, "lknb/events")))
    with duckdb.connect() as database:
        query = "select topic, status, size from read_json(?) where kind = 'data'"
        assert database.execute(query, [str(rows)]).fetchall() == [("count", "ok", 1)] * 3


def test_pieces_keep_their_times(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    inbox = alice.listen("text")
    with alice.record(run), bob.stream_text(topic="llm") as out:
        out.write("one ")
        slow_work(0.2)
        out.write("two ")
        out.write("three")
        out.close()
        event = inbox.next()
    recording = lknb.open_recording(run)
    (recorded,) = recording.filter("text")
    pieces = recording.pieces(recorded)
    assert [each.text for each in pieces] == ["one ", "two ", "three"]
    assert pieces[1].at - pieces[0].at >= 0.15
    assert (recorded.pieces, recorded.first_after) == (event.pieces, event.first_after) == (3, recorded.first_after)
    frame = recording.to_pandas()
    assert frame[frame.kind == "text"][["pieces", "first_after"]].notna().all(axis=None)


def test_only_what_is_asked_for_is_recorded(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    inbox = alice.listen("data")
    with alice.record(run, kind="data", topic="imu", sender=bob.local_participant.identity):
        bob.publish_data("1", topic="imu")
        bob.publish_data("2", topic="other")
        alice.publish_data("3", topic="imu")
        bob.send_text("4")
        inbox.next()
        inbox.next()
    assert [event.data for event in lknb.open_recording(run)] == [b"1"]


def test_state_at_knows_each_moment(alice: lknb.Room, bob: lknb.Room, join: Join, run: Path) -> None:
    bob.attributes["mood"] = "calm"
    eventually(lambda: alice.participants["bob"].attributes.get("mood") == "calm")
    with alice.record(run):
        carol = join("carol", attributes={"role": "guest"}, name="Carol")
        eventually(lambda: "carol" in alice.participants)
        bob.attributes["mood"] = "angry"
        eventually(lambda: alice.participants["bob"].attributes["mood"] == "angry")
        carol.close()
        eventually(lambda: "carol" not in alice.participants)
        alice.set_metadata("over")
    recording = lknb.open_recording(run)
    began = recording.state_at(0)
    assert sorted(began.participants) == ["alice", "bob"]
    assert dict(began.participants["bob"].attributes) == {"mood": "calm"}
    (changed,) = [each for each in recording.filter("attributes") if each.sender == "bob"]
    then = recording.state_at(changed.time)
    assert then.participants["bob"].attributes["mood"] == "angry"
    assert then.participants["carol"].name == "Carol"
    assert dict(then.participants["carol"].attributes) == {"role": "guest"}
    ended = recording.state_at(recording.duration)
    assert (sorted(ended.participants), ended.metadata) == (["alice", "bob"], "over")
    assert recording.participants == ("alice", "bob", "carol")
    with pytest.raises(TypeError, match="seconds from the start, or a timezone-aware datetime"):
        recording.state_at("now")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timezone"):
        recording.state_at(changed.time.replace(tzinfo=None))


def test_a_file_is_never_overwritten(alice: lknb.Room, run: Path) -> None:
    run.write_text("precious")
    with pytest.raises(FileExistsError, match="never overwrites"):
        alice.record(run)
    assert run.read_text() == "precious"
    assert not alice.recorders


def test_a_path_is_made_up_if_none_is_given(alice: lknb.Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = alice.record(), alice.record()
    assert re.fullmatch(rf"recordings/{alice.name}-\d{{8}}T\d{{6}}Z\.mcap", str(first.path))
    assert first.path != second.path
    assert {first.stop(), second.stop()} == set(Path("recordings").iterdir())
    assert alice.record(tmp_path).path.parent == tmp_path


def test_recorders_end_with_the_room(join: Join, run: Path) -> None:
    with join("dora") as room:
        recorder = room.record(run)
        assert list(room.recorders) == [recorder]
        assert recorder.state == "recording"
    assert (recorder.state, list(room.recorders)) == ("stopped", [])
    recording = lknb.open_recording(run)
    assert recording.complete
    assert [event.topic for event in recording.filter(["connection", "recording"])] == ["started", "closed", "stopped"]
    with pytest.raises(lknb.NotConnectedError):
        room.record(run.with_name("later.mcap"))


def test_stopping_says_what_was_recorded(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    recorder = alice.record(run)
    alice.send_text("hello")
    assert recorder.stop() == run == recorder.stop()
    assert (recorder.state, recorder.count, recorder.dropped, recorder.size) == ("stopped", 3, 0, run.stat().st_size)
    assert len(lknb.open_recording(run)) == 3
    alice.send_text("later")
    assert len(lknb.open_recording(run).filter("text")) == 1


def test_recording_on_an_event_loop(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    async def record() -> None:
        async with await alice.aio.record(run):
            await alice.aio.send_text("hello")

    asyncio.run(record())
    recording = asyncio.run(lknb.aio.open_recording(run))
    assert [event.data for event in recording.filter("text")] == ["hello"]


def test_two_recorders_of_a_room_agree(alice: lknb.Room, bob: lknb.Room, tmp_path: Path) -> None:
    with alice.record(tmp_path / "alice.mcap"), bob.record(tmp_path / "bob.mcap"):
        inbox = bob.listen("data")
        for number in range(200):
            alice.publish_data(str(number), topic="count")
        for _ in range(200):
            inbox.next()
    sent, received = (lknb.open_recording(tmp_path / f"{who}.mcap").filter("data") for who in ("alice", "bob"))
    assert [event.data for event in sent] == [event.data for event in received]


def test_a_killed_recorder_loses_at_most_the_last_second(run: Path, livekit: server.RunningServer) -> None:
    program = """
import itertools, sys, time, lknb
room = lknb.connect("killed-" + sys.argv[2], "alice")
room.record(sys.argv[1])
with room.stream_text(topic="llm") as out:
    for number in itertools.count():
        room.publish_data(str(number), topic="count")
        out.write(f"{number} ")
        print(number, time.monotonic(), flush=True)
        time.sleep(0.01)
"""
    command = [sys.executable, "-c", program, str(run), run.parent.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(150)]
        process.kill()
        told += [line.split() for line in process.stdout.read().splitlines()[:-1]]
    recording = lknb.open_recording(run)
    assert not recording.complete
    kept = [int(event.data) for event in recording.filter("data")]
    assert kept == list(range(len(kept)))
    killed, last_kept = float(told[-1][1]), float(told[len(kept) - 1][1])
    assert killed - last_kept < 1.0
    (stream,) = recording.filter("text")
    assert stream.status == "open"
    assert stream.data.split() == [str(number) for number in range(len(stream.data.split()))]
    assert len(kept) - len(stream.data.split()) < 100
    assert recording.state_at(recording.duration).participants["alice"].is_local


@pytest.mark.slow("opens a file hundreds of times")
def test_a_file_cut_anywhere_can_be_read(alice: lknb.Room, bob: lknb.Room, run: Path, tmp_path: Path) -> None:
    with alice.record(run):
        for number in range(400):
            alice.publish_data(os.urandom(1500) + str(number).encode(), topic="noise")
            if number % 100 == 50:
                alice.send_bytes(os.urandom(20_000), name=f"{number}.bin")
                slow_work(0.6)  # longer than a chunk takes
    whole = list(map(fields, lknb.open_recording(run)))
    content = run.read_bytes()
    cut = tmp_path / "cut.mcap"
    counts = []
    for size in [*range(0, len(content), 4096), *range(len(content) - 40, len(content))]:
        cut.write_bytes(content[:size])
        if size < 8:
            with pytest.raises(lknb.RecordingError, match="does not begin as MCAP"):
                lknb.open_recording(cut)
            continue
        with lknb.open_recording(cut) as recording:
            assert not recording.complete
            found = list(map(fields, recording))
            # Streams that were open at the cut come last, or in the middle with what they had.
            kept = [each for each in found if each["status"] != "open"]
            assert kept == [each for each in whole if each["number"] in {event["number"] for event in kept}]
            counts.append(len(kept))
            repr(recording), recording.participants, recording.topics, recording.state_at(0), recording.summary()
    assert counts == sorted(counts)
    assert counts[-1] == len(whole)


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return `content` with other bytes, with some missing, or with some added."""
    damaged = bytearray(content)
    at = chance.randrange(len(content))
    kind = chance.choice(["other", "other", "missing", "added"])
    if kind == "missing":
        del damaged[at : at + chance.randrange(1, 200)]
    elif kind == "added":
        damaged[at:at] = chance.randbytes(chance.randrange(1, 60))
    else:
        for _ in range(chance.choice([1, 1, 8])):
            damaged[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(damaged)


@pytest.mark.slow("opens a file hundreds of times")
def test_a_damaged_file_shows_what_is_left_of_it(alice: lknb.Room, bob: lknb.Room, run: Path, tmp_path: Path) -> None:
    with alice.record(run):
        for number in range(20):
            alice.publish_data(str(number), topic="count")
        alice.send_text(["one ", "two"], topic="llm")
        alice.send_bytes(b"x" * 3000, name="x.bin")
    content = run.read_bytes()
    broken, chance, opened = tmp_path / "broken.mcap", random.Random(5), 0
    for _ in range(400):
        broken.write_bytes(changed(content, chance))
        with contextlib.suppress(lknb.LknbError), lknb.open_recording(broken) as recording:
            assert all(isinstance(event, lknb.Event) for event in recording)
            repr(recording), recording.summary(), recording.state_at(0.1), recording.participants, recording.dropped
            recording._repr_html_()
            [recording.pieces(event) for event in recording.filter("text")]
            opened += 1
    assert opened > 200


def test_a_full_disk_ends_the_recording_and_not_the_room(
    alice: lknb.Room, bob: lknb.Room, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = os.write
    room_left = 20_000

    def limited(file: int, data: Any) -> int:
        """Write like a disk with little room: a part first, then nothing."""
        nonlocal room_left
        if os.fstat(file).st_ino != run.stat().st_ino:
            return write(file, data)
        if room_left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(file, data[: min(len(data), room_left)])
        room_left -= count
        return count

    recorder = alice.record(run)
    monkeypatch.setattr(os, "write", limited)
    for _ in range(40):
        alice.publish_data(os.urandom(1000), topic="noise")
    eventually(lambda: recorder.state == "failed")
    assert "no space left on device" in (recorder.error or "")
    (failed,) = [each for each in alice.events.filter("recording") if each.topic == "failed"]
    assert failed.error == recorder.error
    assert "ended early: no space left on device. The room goes on." in capsys.readouterr().err
    with pytest.raises(lknb.RecordingError, match="ended early"):
        recorder.stop()
    assert not alice.recorders
    alice.send_text("still here")
    recording = lknb.open_recording(run)
    assert not recording.complete
    assert recording[0].topic == "started"
    assert (len(recording), len(recording) + recorder.dropped) == (recorder.count, 41)
    assert recorder.size == run.stat().st_size


def test_a_deleted_file_ends_the_recording(alice: lknb.Room, tmp_path: Path) -> None:
    recorder = alice.record(tmp_path / "gone" / "run.mcap")
    shutil.rmtree(tmp_path / "gone")
    alice.publish_data("x", topic="count")
    eventually(lambda: recorder.state == "failed")
    assert "moved or deleted" in (recorder.error or "")


def test_a_path_that_cannot_be_made_is_an_error(alice: lknb.Room, run: Path) -> None:
    run.write_text("a file")
    with pytest.raises(NotADirectoryError, match=r"run\.mcap"):
        alice.record(run / "inside.mcap")
    with pytest.raises(OSError, match="/proc"):  # even for root
        alice.record("/proc/run.mcap")


def test_a_block_whose_recording_failed_raises(alice: lknb.Room, tmp_path: Path) -> None:
    path = tmp_path / "gone" / "run.mcap"

    def record() -> None:
        with alice.record(path):
            shutil.rmtree(path.parent)
            alice.publish_data("x", topic="count")

    with pytest.raises(lknb.RecordingError, match="moved or deleted"):
        record()


@pytest.fixture
def recorder(run: Path) -> Iterator[Recorder]:
    """Yield a recorder of a log without a room."""
    nothing: dict[str, Any] = {}
    source = Source(EventLog(), "alice", {"room": "none"}, "lknb", lambda: "", lambda: nothing, lambda event: None)
    made = Recorder(source, Interest(), run, files=True)
    made.start()
    yield made
    made.finish()


def test_what_cannot_be_written_in_time_is_counted(
    recorder: Recorder, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 10)
    log = recorder._source.log
    recorder._lock.acquire()  # the writing thread cannot take anything
    recorder._lock.release()
    monkeypatch.setattr(recorder, "_write_waiting", lambda: None)
    for number in range(25):
        log.add(Event("data", "in", sender="bob", topic="count", data=b"x", size=1, id=str(number)))
    assert recorder.dropped == 15
    monkeypatch.undo()
    recorder.stop()
    recording = lknb.open_recording(run)
    assert len(recording.filter("data")) == 10
    (note,) = recording.filter("recording", topic="dropped")
    assert (note.data["count"], note.data["kinds"], recording.dropped) == (15, {"data": 15}, 15)


def test_many_topics_share_channels(recorder: Recorder, run: Path) -> None:
    for number in range(5000):
        recorder._source.log.add(Event("data", "in", sender="bob", topic=f"t{number}", data=b"x", size=1))
    recorder.stop()
    recording = lknb.open_recording(run)
    assert len({channel.topic for _, channel, _ in messages(run)}) < 4200
    assert [event.topic for event in recording.filter("data")] == [f"t{number}" for number in range(5000)]


def test_a_long_stream_keeps_a_bounded_number_of_pieces(
    recorder: Recorder, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "PIECES", 10)
    log = recorder._source.log
    event = log.add(Event("text", "in", sender="bob", topic="llm", status="open"))
    for number in range(100):
        log.passed(event, "piece", f"{number} ")
    object.__setattr__(event, "data", "".join(f"{number} " for number in range(100)))
    log.finish(event)
    recorder.stop()
    recording = lknb.open_recording(run)
    (recorded,) = recording.filter("text")
    pieces = recording.pieces(recorded)
    assert len(pieces) <= 12
    assert "".join(piece.text or "" for piece in pieces) == recorded.data
    assert sum(piece.count for piece in pieces) == 100


def test_a_message_that_was_not_delivered_is_failed_in_the_file(recorder: Recorder, run: Path) -> None:
    log = recorder._source.log
    event = log.add(Event("data", "out", sender="alice", topic="count", data=b"x", size=1))
    log.add(Event("data", "out", sender="alice", topic="count", data=b"y", size=1))
    eventually(lambda: recorder.count == 3)
    log.revise(event, "not confirmed")
    recorder.stop()
    recording = lknb.open_recording(run)
    assert [(each.data, each.status, each.error) for each in recording.filter("data")] == [
        (b"x", "failed", "not confirmed"),
        (b"y", "ok", None),
    ]


def test_a_recording_displays_with_its_timeline(alice: lknb.Room, bob: lknb.Room, run: Path) -> None:
    nasty = "<script>alert(1)</script>"
    with alice.record(run):
        alice.send_text(nasty, topic=nasty)
    shown = lknb.open_recording(run)._repr_html_()
    assert "<svg" in shown
    assert "3 events" in shown
    assert "<script" not in shown
    timeline = lknb.open_recording(run).timeline()
    assert "<svg" in timeline.html()
    assert "3 events recorded" in timeline.headline()
    timeline.shown.close()
    assert not timeline.active


def test_files_of_other_programs_are_events(tmp_path: Path) -> None:
    from mcap.writer import CompressionType, Writer

    for name, options in {
        "plain": {"use_chunking": False},
        "lz4": {"compression": CompressionType.LZ4},
        "none": {"compression": CompressionType.NONE},
    }.items():
        path = tmp_path / f"{name}.mcap"
        with path.open("wb") as file:
            writer = Writer(file, **options)  # type: ignore[arg-type]
            writer.start()
            channel = writer.register_channel("/pose", "json", 0)
            for number in range(3):
                writer.add_message(channel, 1_700_000_000_000_000_000 + number * 10**9, b"{}", 0)
            writer.finish()
        with lknb.open_recording(path) as recording:
            assert recording.complete
            assert [(each.kind, each.topic, each.data) for each in recording] == [("data", "/pose", b"{}")] * 3
            assert (recording.topics, recording.duration) == (("/pose",), 2.0)


def test_a_file_that_is_no_recording_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    with pytest.raises(lknb.RecordingError, match="is not a recording"):
        lknb.open_recording(tmp_path / "photo.png")
    with pytest.raises(FileNotFoundError):
        lknb.open_recording(tmp_path / "missing.mcap")


def test_a_chunk_that_claims_too_much_is_damage(run: Path, recorder: Recorder, tmp_path: Path) -> None:
    import struct

    import zstandard

    recorder.stop()
    content = run.read_bytes()
    bomb = zstandard.compress(b"\0" * 100_000_000)
    head = struct.pack("<QQQII", 1, 1, 10, 0, 4) + b"zstd" + struct.pack("<Q", len(bomb))
    chunk = struct.pack("<BQ", 6, len(head) + len(bomb)) + head + bomb
    path = tmp_path / "bomb.mcap"
    path.write_bytes(content[:8] + content[8:][: 9 + struct.unpack("<Q", content[9:17])[0]] + chunk)
    with lknb.open_recording(path) as recording:
        assert len(recording) == 0
        assert "1 damaged parts" in repr(recording)


def test_no_secret_is_in_a_recording(
    livekit: server.RunningServer, room_name: str, token: Callable[..., str], run: Path
) -> None:
    secret = token("erin")
    with lknb.connect(room_name, url=livekit.url, token=secret) as room:
        room.record(run)
        room.send_text("hello")
        with pytest.raises(lknb.ConnectError):
            lknb.connect(room_name, "frank", url=livekit.url, token=secret + "x")
    everything = b"".join(message.data for _, _, message in messages(run)) + run.read_bytes()
    for each in (secret, secret.split(".")[1], livekit.api_secret):
        assert each.encode() not in everything


def test_a_hidden_participant_records_unseen(alice: lknb.Room, join: Join, run: Path) -> None:
    track = alice.publish_data_track("imu")
    with join("ghost", hidden=True) as ghost, ghost.record(run):
        texts = ghost.listen("text")
        alice.send_text("hello")
        texts.next()
        push_until_received(track, ghost)
        alice.send_bytes(b"file", name="a.txt")
        eventually(lambda: ghost.events.filter("bytes", status="ok"))
        assert list(alice.participants) == ["alice"]
    assert not alice.events.filter("participant", sender="ghost")
    kinds = {event.kind for event in lknb.open_recording(run)}
    assert {"text", "bytes", "data_track"} <= kinds


def test_hidden_needs_a_key(livekit: server.RunningServer, room_name: str, token: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match="needs an API key"):
        lknb.connect(room_name, url=livekit.url, token=token("erin"), hidden=True)


def test_the_magic_records_and_stops(shell: Shell, room_name: str, run: Path) -> None:
    shell.cell(f"%lk connect {room_name} --as alice")
    shell.cell(f"%lk record {run} --kind text -o recorder")
    shell.cell("%%lk text\nhello")
    stopped = shell.cell("%lk record stop")
    assert [row[:2] for row in stopped] == [(run, 1)]
    run_again = shell.cell(f"%lk recording {run} -o run")
    assert [event.data for event in run_again] == ["hello"]
    with pytest.raises(UsageError, match="never overwrites"):
        shell.cell(f"%lk record {run}")
    with pytest.raises(UsageError, match=r"missing\.mcap: no such file"):
        shell.cell("%lk recording missing.mcap")


def test_the_command_stops_cleanly(livekit: server.RunningServer, alice: lknb.Room, run: Path) -> None:
    command = [sys.executable, "-m", "lknb.cli", "record", alice.name, str(run), "--hidden", "--as", "tape"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"recording {alice.name!r} as 'tape' to {run}\n"
        alice.send_text("hello")
        eventually(lambda: lknb.open_recording(run).filter("text"))
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=20)
        assert re.fullmatch(rf"{run}: \d+ events, [\d,]+ bytes, [\d.]+ s\n", told)
        assert process.returncode == 0
    recording = lknb.open_recording(run)
    assert recording.complete
    assert [event.data for event in recording.filter("text")] == ["hello"]
    shown = subprocess.run(
        [sys.executable, "-m", "lknb.cli", "recording", str(run)], capture_output=True, text=True, check=True
    )
    assert "text lk.chat" in shown.stdout


def test_an_output_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(tmp_path / "file")
    output.write(b"whole")
    output.flush()
    monkeypatch.setattr(os, "write", lambda file, data: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    output.write(b"half")
    with pytest.raises(OSError, match="full"):
        output.flush()
    output.close()
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert json.dumps(output.size) == "5"
