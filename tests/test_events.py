"""The event log, its tables, and listening: nothing is lost, everything is bounded, on any event loop."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb.event import KINDS, Event, amend
from lknb.events import EventLog, Events
from lknb.inbox import Inbox
from lknb.interest import Interest

Peer = Callable[..., PlainPeer]


def packets(count: int, size: int = 1) -> list[Event]:
    return [Event("data", "in", "bob", topic=str(number), data=b"x" * size, size=size) for number in range(count)]


def filled(log: EventLog, events: list[Event]) -> EventLog:
    for event in events:
        log.add(event)
    return log


# The log


def test_log_is_sequence() -> None:
    events = packets(5)
    log = filled(EventLog(), events)
    assert len(log) == 5
    assert list(log) == events
    assert (log[0], log[-1]) == (events[0], events[4])
    assert list(log[1:3]) == events[1:3]
    assert list(log[-2:].filter(topic="4")) == events[4:]
    assert events[2] in log
    assert list(reversed(log)) == events[::-1]
    with pytest.raises(IndexError):
        log[5]


def test_log_keeps_newest_events() -> None:
    log = filled(EventLog(max_events=3), packets(10))
    assert [event.topic for event in log] == ["7", "8", "9"]
    assert (len(log), log.evicted, log.total) == (3, 7, 10)
    assert "<3 events, 7 older ones evicted>" in repr(log)


def test_log_keeps_ten_thousand_events_by_default() -> None:
    log = filled(EventLog(), packets(10_050))
    assert (len(log), log.evicted) == (10_000, 50)


def test_log_is_bounded_in_bytes() -> None:
    log = filled(EventLog(max_bytes=50_000), packets(10, size=20_000))
    assert len(log) == 2
    assert log.evicted == 8


def test_event_larger_than_log_is_kept_alone() -> None:
    log = filled(EventLog(max_bytes=50_000), packets(3, size=100_000))
    assert [event.topic for event in log] == ["2"]


def test_finished_stream_counts_its_bytes() -> None:
    log = filled(EventLog(max_bytes=50_000), packets(4, size=5_000))
    stream = log.add(Event("text", "in", "bob", status="open"))
    amend(stream, data="x" * 40_000)
    log.finish(stream)
    assert (stream.status, stream.error) == ("ok", None)
    assert stream.duration is not None
    # It evicts all packets but one.
    assert [event.topic for event in log] == ["3", ""]
    filled(log, packets(9, size=5_000))
    assert stream not in log
    assert len(log) == 8


@pytest.mark.parametrize("direction", ["in", "out"])
def test_sent_or_announced_file_evicts_nothing(direction: Any) -> None:
    log = filled(EventLog(max_bytes=50_000), packets(4, size=5_000))
    stream = log.add(Event("bytes", direction, "bob", size=1_000_000_000, status="open"))
    log.finish(stream)
    assert (len(log), log.evicted) == (5, 0)


def test_stream_that_ends_after_eviction_costs_nothing() -> None:
    log = EventLog(max_events=2, max_bytes=10_000)
    stream = log.add(Event("text", "in", "bob", status="open"))
    filled(log, packets(2))
    amend(stream, data="x" * 100_000)
    log.finish(stream, "failed", "broke off")
    assert len(log) == 2
    assert (stream.status, stream.error) == ("failed", "broke off")


def test_filters_combine() -> None:
    begun = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    events = [
        Event("text", "in", "bob", topic="chat", data="1", time=begun),
        Event("text", "out", "alice", topic="chat", data="2", time=begun + dt.timedelta(seconds=1)),
        Event("data", "in", "bob", topic="chat", time=begun + dt.timedelta(seconds=2)),
        Event("bytes", "in", "bob", topic="files", status="failed", time=begun + dt.timedelta(seconds=3)),
    ]
    log = filled(EventLog(), events)
    assert list(log.filter("text")) == events[:2]
    assert list(log.filter(["text", "bytes"], direction="in")) == [events[0], events[3]]
    assert list(log.filter(topic="chat", sender="bob")) == [events[0], events[2]]
    assert list(log.filter(status="failed")) == [events[3]]
    assert list(log.filter(since=begun + dt.timedelta(seconds=2))) == events[2:]
    assert list(log.filter("text").filter(direction="out")) == [events[1]]
    assert len(log.filter("data_track")) == 0


def test_unknown_kind_is_rejected_with_suggestion() -> None:
    with pytest.raises(ValueError, match="'txt' is not a kind of event; did you mean 'text'"):
        EventLog().filter("txt")  # type: ignore[arg-type]


def test_event_repr_escapes_terminal_codes() -> None:
    hostile = "\x1b[31m\r\u202e"
    event = Event("text", "in", hostile, (hostile,), hostile, hostile, 9, status="failed", error=hostile)
    log = filled(
        EventLog(),
        [event, Event("data", "in", "bob", data=hostile.encode()), Event("rpc", "in", data={hostile: hostile})],
    )
    assert not set("\x1b\r\u202e") & set(repr(event) + repr(log).replace("\n", ""))
    assert "failed" in repr(event)


def test_repr_truncates_long_payload() -> None:
    assert len(repr(Event("text", "in", "bob", data="x" * 10_000))) < 200
    assert len(repr(Event("rpc", "in", "bob", data={"x": ["y"] * 10_000}))) < 200


def test_log_supports_concurrent_reads_and_writes() -> None:
    log = EventLog(max_events=500)
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                topics = [event.topic for event in log]
                assert len(topics) <= 500
                log.filter("data")
                _ = log[-1:], len(log), repr(log)
        except BaseException as error:
            failures.append(error)

    log.add(Event("data", "in"))
    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=filled, args=(log, packets(2_000))) for _ in range(4)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join(30)
    done.set()
    for thread in readers:
        thread.join(30)
    assert failures == []
    assert (len(log), log.total) == (500, 8_001)


# The fields of an event


def test_both_directions_are_recorded(alice: lknb.Room, bob: lknb.Room) -> None:
    before = dt.datetime.now(dt.UTC)
    bob.rpc("add")(lambda a, b: a + b)
    inbox = bob.listen(["text", "bytes", "data", "rpc", "attributes", "participant_metadata"])
    sent = {
        "text": alice.send_text("hi", topic="chat", to="bob", attributes={"k": "v"}),
        "bytes": alice.send_bytes(b"\x00\x01", topic="blobs", name="b.bin"),
        "data": alice.publish_data(b"packet", topic="imu"),
    }
    alice.perform_rpc("bob", "add", [1, 2])
    alice.local_participant.set_attributes({"mood": "good"})
    alice.local_participant.set_metadata("about me")
    received: dict[str, Event] = {}
    while len(received) < 6:
        event = inbox.next(timeout=10)
        received.setdefault(event.kind, event)
    for kind, event in received.items():
        out = alice.events.filter(event.kind, direction="out")[-1]
        assert sent.get(kind, out) is out
        for each in (event, out):
            assert (each.kind, each.sender, each.status, each.error) == (kind, "alice", "ok", None)
            assert before <= each.time <= dt.datetime.now(dt.UTC)
        assert (event.direction, event.topic, event.size) == ("in", out.topic, out.size)
    text, file, packet = received["text"], received["bytes"], received["data"]
    assert (text.data, text.size, text.attributes, text.id) == ("hi", 2, {"k": "v"}, sent["text"].id)
    assert (sent["text"].to, sent["data"].to) == (("bob",), ())
    assert text.duration is not None
    assert (file.data.name, file.data.data, file.size, file.id) == ("b.bin", b"\x00\x01", 2, sent["bytes"].id)
    assert (packet.data, packet.reliable, packet.duration) == (b"packet", True, None)
    assert (received["rpc"].topic, received["rpc"].data, received["rpc"].result) == ("add", [1, 2], 3)
    assert received["attributes"].data == {"mood": "good"}
    assert received["participant_metadata"].data == "about me"


def test_joins_leaves_and_connection_changes_are_events(alice: lknb.Room, peer: Peer) -> None:
    inbox = alice.listen("participant", sender="carol")
    carol = peer("carol")
    assert inbox.next().topic == "joined"
    carol.call("disconnect")
    while (event := inbox.next()).topic != "left":
        assert event.topic in ("active", "name")
    assert (event.kind, event.direction, event.sender, event.data["change"]) == ("participant", "in", "carol", "left")
    assert [each.topic for each in alice.events.filter("connection")] == ["connected"]
    alice.close()
    assert [each.topic for each in alice.events.filter("connection")] == ["connected", "closed"]


# Tables


def one_of_each(log: EventLog) -> EventLog:
    data: dict[str, Any] = {
        "text": "grüße",
        "rpc": {"a": 1},
        "data": b"\xff\x00",
        "data_track": b"frame",
        "attributes": {"k": "v"},
        "participant_metadata": "m",
        "participant": {"change": "joined"},
        "loss": {"from": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
    }
    for kind in KINDS:
        log.add(Event(kind, "in", "bob", ("alice",), "t", data.get(kind), 5, attributes={"x": "y"}))  # type: ignore[arg-type]
    track = log.filter("data_track")[0]
    amend(track, timestamp=2**64 - 1)  # what the wire can carry
    amend(log.filter("rpc")[0], result=[1, None])
    log.finish(log.filter("text")[0], "failed", "broke off")
    return log


def test_dataframe_holds_every_kind() -> None:
    frame = one_of_each(EventLog()).to_pandas()
    assert list(frame["kind"]) == list(KINDS)
    rows: Any = frame.set_index(frame["kind"].astype(str))  # every cell has its own type
    assert rows.loc["text", "text"] == "grüße"
    assert rows.loc["text", ["status", "error"]].tolist() == ["failed", "broke off"]
    assert rows.loc["text", "duration"] >= 0
    assert rows.loc["data", "data"] == b"\xff\x00"
    assert pd.isna(rows.loc["data", "text"])
    assert rows.loc["data_track", "text"] == "frame"
    assert rows.loc["data_track", "timestamp"] == 2**64 - 1
    assert rows.loc["rpc", ["text", "result"]].tolist() == ['{"a": 1}', "[1, null]"]
    assert rows.loc["attributes", "text"] == '{"k": "v"}'
    assert rows.loc["loss", "text"] == '{"from": "2026-01-01 00:00:00+00:00"}'
    assert rows.loc["bytes", "to"] == ["alice"]
    assert rows.loc["bytes", "attributes"] == '{"x": "y"}'
    assert frame["time"].is_monotonic_increasing


def test_column_types_do_not_depend_on_content() -> None:
    full, empty = one_of_each(EventLog()).to_pandas(), EventLog().to_pandas()
    sparse = filled(EventLog(), [Event("connection", "in")]).to_pandas()
    assert len(empty) == 0
    for name, wanted in {
        "sender": "string",
        "topic": "string",
        "text": "string",
        "result": "string",
        "error": "string",
        "attributes": "string",
        "id": "string",
        "kind": "category",
        "direction": "category",
        "status": "category",
        "size": "Int64",
        "timestamp": "UInt64",
        "duration": "float64",
        "to": "object",
        "data": "object",
    }.items():
        assert [str(frame[name].dtype) for frame in (full, empty, sparse)] == [wanted] * 3, name
    for frame in (full, empty, sparse):
        assert str(frame["time"].dt.tz) == "UTC"
    assert list(full.columns) == list(empty.columns)


def test_arrow_table_holds_every_kind() -> None:
    full, empty = one_of_each(EventLog()).to_arrow(), EventLog().to_arrow()
    assert full.schema == empty.schema
    assert (full.num_rows, empty.num_rows) == (len(KINDS), 0)
    assert full.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert full.schema.field("data").type == pa.binary()
    assert full.schema.field("to").type == pa.list_(pa.string())
    by_kind = {row["kind"]: row for row in full.to_pylist()}
    assert by_kind["data"]["data"] == b"\xff\x00"
    assert by_kind["data_track"]["timestamp"] == 2**64 - 1
    assert by_kind["rpc"]["result"] == "[1, null]"
    assert by_kind["text"]["time"].tzinfo is not None


def test_events_are_a_table_for_polars_and_whatever_takes_arrow() -> None:
    log = one_of_each(EventLog())
    frame = log.to_polars()
    assert frame["kind"].to_list() == [event.kind for event in log]
    assert pa.table(log[:2]).num_rows == 2
    calls = log.filter("rpc")
    assert duckdb.execute("select kind from calls").fetchall() == [("rpc",)], calls
    assert EventLog().to_polars().columns == frame.columns


def test_slice_converts_to_table() -> None:
    log = one_of_each(EventLog())
    assert isinstance(log[:2], Events)
    assert list(log[:2].to_pandas()["kind"]) == ["text", "bytes"]
    assert log.filter("rpc").to_arrow().num_rows == 1


# Listening


@pytest.mark.slow("sends 1,000 packets")
def test_inbox_keeps_events_until_read(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data", topic="t")

    async def send() -> None:
        for number in range(1000):
            await alice.aio.publish_data(b"%d" % number, topic="t")

    asyncio.run(send())
    assert [inbox.next().data for _ in range(1000)] == [b"%d" % number for number in range(1000)]
    assert (len(inbox), inbox.dropped) == (0, 0)


def test_next_raises_timeout_without_event(bob: lknb.Room) -> None:
    inbox = bob.listen("text", topic="t")
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"No event arrived within 0\.2 s: <Inbox text topic='t': 0 waiting>"):
        inbox.next(timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 5
    with pytest.raises(TimeoutError):
        asyncio.run(inbox.aio.next(timeout=0.05))
    with pytest.raises(TimeoutError):
        inbox.next(timeout=0)


def test_inbox_receives_only_matching_events(alice: lknb.Room, bob: lknb.Room, peer: Peer) -> None:
    carol = peer("carol")
    eventually(lambda: "carol" in bob.participants)  # the SDK gives no name for participants it does not know yet
    inboxes = {
        "data of carol": bob.listen("data", sender="carol"),
        "topic t": bob.listen(["data", "text"], topic="t"),
        "messages": bob.listen(["data", "text"]),
    }
    carol.call("publish_data", data=b"1", topic="other")
    inboxes["messages"].next()
    alice.publish_data(b"2", topic="t")
    alice.send_text("3", topic="t")
    inboxes["messages"].next()
    inboxes["messages"].next()
    assert {inboxes["topic t"].next(timeout=1).data for _ in range(2)} == {b"2", "3"}
    assert inboxes["data of carol"].next(timeout=1).data == b"1"
    assert [len(inbox) for inbox in inboxes.values()] == [0, 0, 0]


def test_listen_rejects_unknown_kind(bob: lknb.Room) -> None:
    with pytest.raises(ValueError, match="'atributes' is not a kind of event; did you mean 'attributes'"):
        bob.listen(["data", "atributes"])  # type: ignore[list-item]


def test_inbox_iteration_ends_with_room(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(event.data for event in inbox))
    reader.start()
    alice.publish_data(b"1")
    alice.publish_data(b"2")
    eventually(lambda: len(got) == 2)
    bob.close()
    reader.join(5)
    assert not reader.is_alive()


def test_closed_inbox_returns_unread_events(alice: lknb.Room, bob: lknb.Room) -> None:
    with bob.listen("data") as inbox:
        alice.publish_data(b"1")
        eventually(lambda: len(inbox) == 1)
    alice.publish_data(b"2")
    eventually(lambda: bob.events.filter("data")[-1].data == b"2")
    assert [event.data for event in inbox] == [b"1"]
    assert "closed" in repr(inbox)
    with pytest.raises(lknb.NotConnectedError, match="closed and empty"):
        inbox.next()
    with pytest.raises(lknb.NotConnectedError, match="closed and empty"):
        asyncio.run(inbox.aio.next())


def test_async_for_works_on_another_event_loop(alice: lknb.Room, bob: lknb.Room) -> None:
    async def main() -> list[bytes]:
        inbox = bob.listen("data")
        got: list[bytes] = []

        async def read() -> None:
            async for event in inbox:
                got.append(event.data)

        reading = asyncio.create_task(read())
        for number in range(20):
            await alice.aio.publish_data(b"%d" % number)
        await asyncio.to_thread(eventually, lambda: len(got) == 20)
        inbox.close()
        await asyncio.wait_for(reading, 5)
        return got

    assert asyncio.run(asyncio.wait_for(main(), 20)) == [b"%d" % number for number in range(20)]


def test_async_for_works_in_async_handler(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data")

    @bob.rpc("collect")
    async def collect(count: int) -> list[str]:
        got: list[str] = []
        async for event in inbox:
            got.append(event.data.decode())
            if len(got) == count:
                break
        got.append((await inbox.aio.next()).data.decode())
        return got

    @bob.rpc("block")
    async def block() -> str:
        with pytest.raises(lknb.LknbError, match=r"next\(\) blocks"):
            inbox.next()
        return "refused"

    for text in ("a", "b", "c"):
        alice.publish_data(text)
    assert alice.perform_rpc("bob", "collect", 2) == ["a", "b", "c"]
    assert alice.perform_rpc("bob", "block") == "refused"


def test_cancelled_next_loses_no_event() -> None:
    log = EventLog()
    inbox = Inbox(log, Interest.of("data"))

    async def main() -> list[str]:
        got: list[str] = []
        for number in range(200):
            waiting = asyncio.create_task(inbox.aio.next(timeout=5))
            await asyncio.sleep(0)
            adding = threading.Thread(target=log.add, args=(Event("data", "in", topic=str(number)),))
            adding.start()
            await asyncio.sleep(0.001 * (number % 3))
            waiting.cancel()
            try:
                got.append((await waiting).topic)
            except asyncio.CancelledError:
                pass  # the event is still in the inbox
            adding.join()
        while len(inbox):
            got.append((await inbox.aio.next()).topic)
        return got

    assert asyncio.run(main()) == [str(number) for number in range(200)]


def test_readers_share_inbox() -> None:
    log = EventLog()
    inbox = Inbox(log, Interest.of("data"))
    got: list[str] = []

    def read() -> None:
        got.extend(event.topic for event in inbox)

    async def read_async() -> None:
        async for event in inbox:
            got.append(event.topic)

    readers = [threading.Thread(target=read) for _ in range(2)]
    readers += [threading.Thread(target=lambda: asyncio.run(read_async())) for _ in range(2)]
    for reader in readers:
        reader.start()
    filled(log, packets(500))
    eventually(lambda: len(got) == 500)
    inbox.close()
    for reader in readers:
        reader.join(5)
    assert [reader.is_alive() for reader in readers] == [False] * 4
    assert sorted(got, key=int) == [str(number) for number in range(500)]


def test_inbox_is_bounded_and_counts_dropped_events() -> None:
    log = EventLog()
    by_count = Inbox(log, Interest.of("data"), max_events=3)
    by_bytes = Inbox(log, Interest.of("data"), max_bytes=50_000)
    filled(log, packets(10, size=20_000))
    assert [by_count.next().topic for _ in range(3)] == ["7", "8", "9"]
    assert by_count.dropped == 7
    assert [by_bytes.next().topic for _ in range(2)] == ["8", "9"]
    assert by_bytes.dropped == 8
    assert "7 dropped" in repr(by_count)


def test_room_setting_bounds_inboxes(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data", max_events=2)
    for number in range(5):
        alice.publish_data(b"%d" % number)
    eventually(lambda: inbox.dropped == 3)
    assert [inbox.next().data for _ in range(2)] == [b"3", b"4"]


def test_inbox_receives_stream_when_it_ends() -> None:
    log = EventLog()
    inbox = Inbox(log, Interest.of("text"))
    stream = log.add(Event("text", "in", status="open"))
    broken = log.add(Event("text", "in", status="open"))
    assert len(inbox) == 0
    log.finish(broken, "failed", "broke off")
    log.finish(stream)
    assert [inbox.next(), inbox.next()] == [broken, stream]


def test_inbox_receives_own_state_changes_but_not_own_messages(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = alice.listen()
    alice.publish_data(b"own")
    alice.local_participant.set_attributes({"mood": "good"})
    bob.publish_data(b"other")
    kinds: list[lknb.Kind] = []
    while not kinds or kinds[-1] != "data":
        kinds.append(inbox.next().kind)
    assert "attributes" in kinds
    assert kinds.count("data") == 1
