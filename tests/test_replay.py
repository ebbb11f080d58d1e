"""Replays: what a recording has is sent again, in its order and at its times."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from IPython.core.error import UsageError
from peers import PlainPeer
from shells import Shell
from waiting import eventually, remains, slow_work

import lknb
from lknb import server
from lknb.loop import LOOP
from lknb.widgets.replay import ReplayView

Join = Callable[..., lknb.Room]


@pytest.fixture(scope="module")
def run(livekit: server.RunningServer, tmp_path_factory: pytest.TempPathFactory) -> lknb.Recording:
    """Return a recording of a second in which bob and alice send something of each kind."""
    path = tmp_path_factory.mktemp("replay") / "run.mcap"
    alice = lknb.connect("replayed", "alice")
    bob = lknb.connect("replayed", "bob", name="Bob", attributes={"mood": "calm"})
    alice.rpc("add")(lambda a, b: a + b)
    with alice, bob, alice.record(path):
        question = bob.send_text("Ready?", topic="chat", attributes={"run": "7"})
        eventually(lambda: alice.events.filter("text", status="ok"))
        alice.send_text("Yes", topic="chat", reply_to=question.id)
        with bob.stream_text(topic="llm") as out:
            for word in ("one ", "two ", "three"):
                out.write(word)
                slow_work(0.15)
        for number in range(20):
            bob.publish_data(str(number), topic="count")
        bob.publish_data(b"\x00", topic="lossy", reliable=False)
        bob.send_bytes(b"content", name="note.txt", topic="files", attributes={"page": "1"})
        assert bob.perform_rpc("alice", "add", {"a": 1, "b": 2}) == 3
        bob.attributes["mood"] = "glad"
        bob.local_participant.set_metadata("mine")
        eventually(lambda: alice.events.filter("participant_metadata"))
        eventually(lambda: alice.events.filter("bytes", status="ok"))
    return lknb.open_recording(path)


@pytest.fixture
def stage(join: Join) -> lknb.Room:
    """Return the participant that sends a replay; `alice` and others may watch."""
    return join("stage")


def rows(events: lknb.Events) -> list[tuple[Any, ...]]:
    """Return what was sent, without times, ids and participants, in order for each kind."""
    found = [
        (
            event.kind,
            event.topic,
            event.data.data if isinstance(event.data, lknb.ReceivedFile) else event.data,
            event.name,
            event.mime_type,
            {key: value for key, value in event.attributes.items() if not key.startswith("lknb.")},
            event.reliable,
            event.pieces,
            event.status,
        )
        for event in events.filter(["text", "bytes", "data", "attributes", "participant_metadata"])
    ]
    return sorted(found, key=lambda row: str(row[0]))


def test_a_replay_that_is_recorded_has_the_same_rows(
    run: lknb.Recording, stage: lknb.Room, join: Join, tmp_path: Path
) -> None:
    watcher = join("watcher")
    with watcher.record(tmp_path / "again.mcap"):
        run.replay(stage).wait(20)
        eventually(lambda: watcher.events.filter("participant_metadata"))
        eventually(lambda: len(watcher.events.filter("data")) == 21)
    assert rows(lknb.open_recording(tmp_path / "again.mcap")) == rows(run)


def test_streams_come_piece_by_piece_at_their_times(
    run: lknb.Recording, stage: lknb.Room, join: Join, tmp_path: Path
) -> None:
    watcher = join("watcher")
    with watcher.record(tmp_path / "again.mcap"):
        run.replay(stage, kind="text").wait(20)
        eventually(lambda: watcher.events.filter("text", topic="llm", status="ok"))
    again = lknb.open_recording(tmp_path / "again.mcap")
    (event,) = again.filter("text", topic="llm")
    pieces = again.pieces(event)
    assert [each.text for each in pieces] == ["one ", "two ", "three"]
    assert all(after.at - before.at > 0.1 for before, after in itertools.pairwise(pieces))


def test_replies_refer_to_the_new_texts(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    inbox = join("watcher").listen("text", topic="chat")
    run.replay(stage, speed=None, topic="chat").wait(20)
    question, answer = inbox.next(), inbox.next()
    assert (question.data, answer.data, answer.reply_to) == ("Ready?", "Yes", question.id)
    assert question.id not in {event.id for event in run}


def test_speed_divides_the_time(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    join("watcher")
    began = time.monotonic()
    replay = run.replay(stage, speed=20, kind=["text", "data"]).wait(20)
    assert time.monotonic() - began < run.duration
    assert (replay.sent, replay.failed, replay.state) == (24, 0, "finished")
    late = replay.lateness
    assert late is not None
    assert late.p50 <= late.p99 <= late.max


def test_without_a_speed_everything_is_in_the_recorded_order(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    inbox = join("watcher").listen(["text", "data"])
    replay = run.replay(stage, speed=None, kind=["text", "data"]).wait(20)
    expected = [event.data for event in run.filter(["text", "data"]) if event.topic != "lossy"]
    received = [inbox.next().data for _ in range(len(expected))]
    assert sorted(map(str, received)) == sorted(map(str, expected))
    for kind in (str, bytes):
        assert [each for each in received if isinstance(each, kind)] == [
            each for each in expected if isinstance(each, kind)
        ]
    assert replay.lateness is None


def test_a_part_is_replayed(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    watcher = join("watcher")
    first = run.filter("data")[0]
    at = (first.time - run.start).total_seconds()
    replay = run.replay(stage, speed=None, kind="data", topic="count", start=at, end=run.filter("data")[5].time).wait(
        20
    )
    assert replay.sent == 5
    assert run.replay(stage, speed=None, sender="alice").wait(20).sent == 1
    eventually(lambda: len(watcher.events.filter("text")) == 1)
    assert [event.data for event in watcher.events.filter("data")] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_dry_run_sends_nothing(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    watcher = join("watcher")
    table = run.replay(stage, dry_run=True)
    assert "27 would be sent" in repr(table)
    assert ("rpc", "calls have effects: calls=True makes them") in {(row[1], row[5]) for row in table}
    remains(lambda: not watcher.events.filter(["text", "data", "bytes", "attributes"], direction="in"), 0.3)


def test_calls_are_made_only_if_asked_for(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    calls: list[Any] = []
    join("alice").rpc("add")(lambda a, b: calls.append((a, b)))
    replay = run.replay(stage, speed=None, kind="rpc").wait(20)
    assert (replay.sent, calls) == (0, [])
    assert run.replay(stage, speed=None, kind="rpc", calls=True).wait(20).sent == 1
    assert calls == [(1, 2)]


def test_calls_can_go_to_somebody_else(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    calls: list[Any] = []
    join("carol").rpc("add")(lambda a, b: calls.append((a, b)))
    assert run.replay(stage, speed=None, kind="rpc", calls=True, to="carol").wait(20).sent == 1
    failing = run.replay(stage, speed=None, kind="rpc", calls=True).wait(20)
    assert (failing.sent, failing.failed) == (0, 1)
    assert "UnknownParticipantError" in failing.errors[0]
    assert calls == [(1, 2)]


def test_pause_step_and_resume(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    watcher = join("watcher")
    replay = run.replay(stage, speed=1e-3, topic="count")
    replay.pause()
    eventually(lambda: replay.state == "paused")
    for number in range(1, 4):
        replay.step()
        eventually(lambda number=number: len(watcher.events.filter("data")) == number)
    remains(lambda: len(watcher.events.filter("data")) == 3, 0.2)
    assert (replay.state, replay.sent) == ("paused", 3)
    replay.speed = None
    replay.resume()
    assert replay.wait(10).sent == 20


def test_stopping_aborts_open_streams(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    watcher = join("watcher")
    replay = run.replay(stage, speed=0.05, topic="llm")
    eventually(lambda: watcher.events.filter("text", status="open"), within=20)
    replay.stop()
    assert replay.state == "stopped"
    eventually(lambda: watcher.events.filter("text", status="failed"))
    with pytest.raises(ValueError, match="above 0"):
        replay.speed = 0


def test_waiting_is_bounded(run: lknb.Recording, stage: lknb.Room) -> None:
    replay = run.replay(stage, speed=1e-3)
    with pytest.raises(lknb.DeliveryTimeoutError, match=r"has not ended within 0\.1 s"):
        replay.wait(0.1)
    assert replay.state == "running"
    replay.stop()


def test_a_replay_ends_with_its_room(run: lknb.Recording, join: Join) -> None:
    room = join("dora")
    replay = run.replay(room, speed=0.2, topic="count")
    room.close()
    with pytest.raises(lknb.LknbError, match="was closed"):
        replay.wait(20)
    assert replay.state == "failed"
    with pytest.raises(lknb.NotConnectedError):
        run.replay(room)


def test_a_replay_goes_on_without_a_permission(run: lknb.Recording, join: Join, token: Callable[..., str]) -> None:
    listener = join("listener", token=token("listener", can_publish_data=False), url=server.ensure().url)
    replay = run.replay(listener, speed=None, kind=["text", "attributes"]).wait(20)
    assert (replay.sent, replay.failed) == (0, 4)
    assert "PermissionDeniedError" in replay.errors[-1]


def test_large_files_are_sent_again_whole(join: Join, stage: lknb.Room, tmp_path: Path) -> None:
    content = os.urandom(6_000_000)
    alice = join("alice", room="recorded")
    with alice.record(tmp_path / "run.mcap"):
        alice.send_bytes(content, name="noise.bin", mime_type="application/x-noise")
    inbox = join("watcher").listen("bytes")
    run = lknb.open_recording(tmp_path / "run.mcap")
    assert run.replay(stage, speed=None).wait(30).sent == 1
    file = inbox.next(20).data
    assert (file.data, file.name, file.mime_type) == (content, "noise.bin", "application/x-noise")


def test_frames_are_pushed_on_a_track_of_their_name(join: Join, stage: lknb.Room, tmp_path: Path) -> None:
    alice = join("alice", room="recorded")
    track = alice.publish_data_track("imu")
    with alice.record(tmp_path / "run.mcap"):
        for number in range(30):
            track.push(b"%d" % number, timestamp=number)
            slow_work(0.01)
    frames = join("watcher").listen("data_track")
    replay = lknb.open_recording(tmp_path / "run.mcap").replay(stage).wait(20)
    assert replay.sent == 30
    first = frames.next(10)
    assert (int(first.data), first.topic) == (first.timestamp, "imu")
    eventually(lambda: not stage.participants["stage"].data_tracks)


def test_a_handler_under_test_sees_the_recording(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    tested, seen = join("tested"), []

    @tested.on_data("count")
    def handler(data: bytes) -> None:
        seen.append(int(data))

    run.replay(stage, speed=100, topic="count").wait(20)
    eventually(lambda: len(seen) == 20)
    assert seen == list(range(20))


def test_a_plain_peer_receives_a_replay(run: lknb.Recording, stage: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    plain = peer("plain")
    run.replay(stage, speed=None, kind=["text", "data"], to="plain").wait(20)
    assert plain.wait("data", topic="count")["data"] == b"0"


def test_participants_come_send_and_leave_again(run: lknb.Recording, join: Join) -> None:
    watcher = join("watcher")
    arrivals, texts = watcher.listen("participant"), watcher.listen("text", topic="chat")
    replay = run.replay_as_participants(watcher.name, speed=2)
    assert {event.sender: event.data for event in (texts.next(20), texts.next(20))} == {"bob": "Ready?", "alice": "Yes"}
    assert {arrivals.next().sender for _ in range(4)} == {"alice", "bob"}
    assert watcher.participants["bob"].name == "Bob"
    eventually(lambda: watcher.participants["bob"].attributes == {"mood": "glad"})
    assert replay.wait(20).failed == 0
    eventually(lambda: list(watcher.participants) == ["watcher"])


@pytest.mark.slow("waits for participants whose leaving shows seconds later")
def test_late_arrivals_join_when_they_did(join: Join, tmp_path: Path) -> None:
    alice = join("alice", room="recorded")
    with alice.record(tmp_path / "run.mcap"):
        slow_work(0.3)
        carol = join("carol", room="recorded", attributes={"role": "guest"})
        eventually(lambda: "carol" in alice.participants)
        carol.send_text("hello")
        slow_work(0.3)
        carol.close()
        eventually(lambda: "carol" not in alice.participants)
        slow_work(0.3)
    alice.close()
    watcher = join("watcher")
    inbox = watcher.listen("text")
    replay = lknb.open_recording(tmp_path / "run.mcap").replay_as_participants(watcher.name)
    eventually(lambda: "alice" in watcher.participants)
    assert "carol" not in watcher.participants
    assert inbox.next(20).sender == "carol"
    assert dict(watcher.participants["carol"].attributes) == {"role": "guest"}
    eventually(lambda: "carol" not in watcher.participants)
    assert replay.wait(20).failed == 0


def test_nobody_is_evicted_by_a_replay(run: lknb.Recording, join: Join) -> None:
    alice = join("alice")
    with pytest.raises(lknb.LknbError, match=r"'alice' is in room .* already"):
        run.replay_as_participants(alice.name).wait(20)
    assert alice.state == "connected"


def test_participants_need_a_key(run: lknb.Recording, livekit: server.RunningServer, token: Callable[..., str]) -> None:
    replay = run.replay_as_participants("elsewhere", url=livekit.url, token=token("erin", room="elsewhere"))
    with pytest.raises(lknb.LknbError, match="an API key"):
        replay.wait(20)


def test_one_event_is_sent_again(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    watcher = join("watcher")
    inbox = watcher.listen(["text", "bytes", "data"])
    (file,) = run.filter("bytes")
    sent = [run.filter("text")[0].resend(stage), file.resend(stage, to="watcher"), stage.resend(run.filter("data")[3])]
    received = {event.kind: event for event in (inbox.next(), inbox.next(), inbox.next())}
    assert {event.kind for event in sent if event} == set(received)
    assert (received["text"].data, received["data"].data, received["bytes"].data.data) == ("Ready?", b"3", b"content")
    assert asyncio.run(stage.aio.resend(run.filter("attributes")[0])) is None
    assert stage.attributes == {"mood": "glad"}
    with pytest.raises(ValueError, match="it is not a message"):
        stage.resend(run.filter("recording")[0])
    with pytest.raises(TypeError, match="must be an event"):
        stage.resend("hello")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"speed": 0}, ValueError),
        ({"speed": "2"}, TypeError),
        ({"kind": "chat"}, ValueError),
        ({"start": "now"}, TypeError),
    ],
)
def test_arguments_that_cannot_work_are_refused(
    run: lknb.Recording, stage: lknb.Room, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run.replay(stage, **wrong)


def test_a_view_controls_the_replay(run: lknb.Recording, stage: lknb.Room, join: Join) -> None:
    join("watcher")
    replay = run.replay(stage, speed=1e-3, topic="count")
    view = ReplayView(replay)
    (part,) = view.parts
    values = cast(dict[str, Any], part.values())
    assert (values["state"], values["sent"], values["duration"]) == ("running", 0, replay.duration)
    LOOP.run(part.actions["pause"](), "pause")
    eventually(lambda: part.values()["state"] == "paused")
    LOOP.run(part.actions["step"](), "step")
    eventually(lambda: part.values()["sent"] == 1)
    LOOP.run(part.actions["speed"](speed=None), "speed")
    LOOP.run(part.actions["resume"](), "resume")
    assert replay.wait(10).sent == 20
    assert part.poll_after is None
    eventually(lambda: not view.active, what="a replay that has ended leaves HTML")
    assert "20 sent" in view.html()


def test_the_magic_replays(shell: Shell, run: lknb.Recording, room_name: str, join: Join) -> None:
    shell.cell(f"%lk connect {room_name} --as alice")
    inbox = join("watcher").listen("data")
    planned = shell.cell(f"%lk replay {run.path} --topic count --dry-run")
    assert len(planned) == 20
    shell.cell(f"%lk replay {run.path} --topic count --speed max -o replay")
    assert inbox.next().data == b"0"
    assert shell.cell("replay.wait(10).sent") == 20
    shell.user_ns["run"] = run
    assert re.match("<Replay", repr(shell.cell("%lk replay run --topic count --from 0 --until 0.1")))
    with pytest.raises(UsageError, match="no such file"):
        shell.cell("%lk replay missing.mcap")
