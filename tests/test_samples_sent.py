"""Samples: rows and columns in, numbered Arrow packets on the way, columns out."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from peers import PlainPeer
from waiting import eventually, remains, slow_work

import lknb
from lknb import server
from lknb.columns.packing import Packer
from lknb.columns.window import Window

Join = Callable[..., lknb.Room]


def columns(samples: lknb.Samples) -> dict[str, list[Any]]:
    """Return the columns that were sent."""
    table = samples.to_arrow().to_pydict()
    return {name: values for name, values in table.items() if name not in ("received", "sender")}


def test_rows_columns_and_frames_arrive_in_order(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    with alice.publish_samples("imu") as imu:
        imu.push(t=0.0, x=1)
        imu.push(t=np.array([1.0, 2.0]), x=np.array([2.0, 3.0]))
        imu.push(pd.DataFrame({"t": [3.0], "x": [4.0]}))
        imu.push(pl.DataFrame({"t": [4.0], "x": [5.0]}))
    live.wait(5)
    assert columns(live) == {"t": [0.0, 1.0, 2.0, 3.0, 4.0], "x": [1.0, 2.0, 3.0, 4.0, 5.0]}
    assert (imu.pushed, imu.sent, imu.dropped) == (5, 5, 0)
    assert (live.total, live.gaps, live.undecoded, live.dropped) == (5, 0, 0, 0)


@pytest.mark.parametrize("via", ["packets", "data_track"])
def test_samples_are_sent_after_the_interval(alice: lknb.Room, bob: lknb.Room, via: Any) -> None:
    live = bob.samples("imu")
    imu = alice.publish_samples("imu", via=via, interval=0.01)

    def arrived() -> bool:
        imu.push(x=1.0)  # frames are lossy, and a subscription takes a moment
        return len(live) > 0

    eventually(arrived)
    assert live.latest == {"x": 1.0, "sender": "alice"}
    imu.close()


def test_interval_zero_sends_each_push(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    imu = alice.publish_samples("imu", interval=0)
    imu.push(x=1.0)
    imu.push(x=2.0)
    assert imu.packets == 2
    live.wait(2)


def test_full_packets_do_not_wait_for_the_interval(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    imu = alice.publish_samples("imu", interval=60)
    imu.push(x=np.arange(10_000.0), y=np.arange(10_000.0))
    live.wait(9_000)
    imu.flush()
    live.wait(10_000)
    assert columns(live)["x"] == list(range(10_000))
    sizes = [event.size for event in alice.events.filter("data")]
    assert max(size for size in sizes if size) < 10_000


def test_what_compresses_gets_more_samples_into_a_packet(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("slow")
    imu = alice.publish_samples("slow", compression="zstd")
    imu.push(x=np.zeros(200_000))
    imu.flush()
    live.wait(200_000)
    assert imu.packets < 100


def test_types_of_columns_stay(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("t")
    imu = alice.publish_samples("t")
    at = pd.Timestamp("2027-01-01", tz="Europe/Berlin")
    imu.push(n=1, flag=True, word="on", at=at)
    imu.flush()
    imu.push(n=2.5, flag=False, word=None, at=at)
    imu.flush()
    imu.push(n=2**60, flag=False, word="off", at=at)
    imu.flush()
    live.wait(3)
    table = live.to_arrow()
    assert table.schema.field("word").type == pa.string()
    assert table.schema.field("flag").type == pa.bool_()
    assert pa.types.is_timestamp(table.schema.field("at").type)
    assert table["n"].to_pylist()[:2] == [1.0, 2.5]


def test_plain_peer_reads_each_packet_by_itself(alice: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    plain = peer("carol")
    imu = alice.publish_samples("imu", interval=0, to="carol")
    for value in range(3):
        imu.push(x=value)
    eventually(lambda: len(plain.seen("data", topic="imu")) == 3)
    tables = [pa.ipc.open_stream(each["data"]).read_all() for each in plain.seen("data", topic="imu")]
    assert [table["x"].to_pylist() for table in tables] == [[0.0], [1.0], [2.0]]
    assert [table.schema.metadata[b"lknb.sequence"] for table in tables] == [b"0", b"1", b"2"]


def packet(number: int, publisher: bytes = b"p", **values: Any) -> bytes:
    """A packet as `publish_samples` sends it."""
    table = pa.table({name: [value] for name, value in values.items()}).replace_schema_metadata(
        {"lknb.sequence": str(number), "lknb.publisher": publisher}
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_missing_packets_are_counted(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    for number in (7, 8, 12, 10, 13):
        alice.publish_data(packet(number, x=number), topic="imu")
    live.wait(5)
    assert live.gaps == 2  # 9 and 11; 10 was only late
    assert "2 missing packets" in repr(live)
    alice.publish_data(packet(0, b"another", x=0), topic="imu")
    live.wait(6)
    assert live.gaps == 2


def test_late_reader_misses_nothing_before_its_first_packet(alice: lknb.Room, bob: lknb.Room) -> None:
    imu = alice.publish_samples("imu", interval=0)
    imu.push(x=1)
    imu.push(x=2)
    live = bob.samples("imu")
    imu.push(x=3)
    live.wait(1)
    assert live.gaps == 0


def test_json_of_a_plain_peer_is_read(alice: lknb.Room, peer: Callable[..., PlainPeer]) -> None:
    live = alice.samples("pose")
    plain = peer("carol")
    for content in ({"x": 1, "word": "a"}, [{"x": 2}, {"x": 3.5}]):
        plain.call("publish_data", b64=base64.b64encode(json.dumps(content).encode()).decode(), topic="pose")
    live.wait(3)
    assert columns(live) == {"x": [1.0, 2.0, 3.5], "word": ["a", None, None]}
    assert live.to_pandas()["sender"].tolist() == ["carol"] * 3


def test_decoder_of_the_topic_is_used(alice: lknb.Room, bob: lknb.Room) -> None:
    import struct

    bob.decode("imu", "<ff", names=["x", "y"])
    live = bob.samples("imu")
    alice.publish_data(struct.pack("<ff", 1.5, 2.5), topic="imu")
    live.wait(1)
    assert live.latest == {"x": 1.5, "y": 2.5, "sender": "alice"}


BROKEN = {
    "bytes": b"\x00\x01",
    "text": b"hello",
    "deep": b"[" * 100_000,
    "cut": packet(0, x=1)[:-20],
    "many names": json.dumps({f"k{number}": 1 for number in range(2000)}).encode(),
    "mixed": b'[{"x": 1}, {"x": "a"}]',
    "numbers and objects": b'[1, {"x": 2}]',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_read_is_counted(alice: lknb.Room, bob: lknb.Room, content: bytes) -> None:
    live = bob.samples("imu")
    alice.publish_data(content[:60_000], topic="imu")
    eventually(lambda: live.undecoded == 1)
    assert live.error
    alice.publish_data(b'{"x": 1}', topic="imu")
    live.wait(1)
    assert "1 not decoded" in repr(live)


def test_window_keeps_the_newest(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu", window=1000)
    imu = alice.publish_samples("imu")
    imu.push(x=np.arange(5_000.0))
    imu.flush()
    eventually(lambda: live.total == 5000)
    assert len(live) == 1000
    assert columns(live)["x"] == list(range(4000, 5000))


def test_rates_and_latency(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    assert (live.rate, live.latency, live.latest) == (0.0, None, None)
    with alice.publish_samples("imu", interval=0.05) as imu:
        for _ in range(20):
            imu.push(x=1.0)
            slow_work(0.01)
    live.wait(20)
    assert live.rate > 0
    assert live.latency is not None
    assert 0 < live.latency <= live.latency.p99 <= live.latency.max < 5


def test_samples_are_asked_with_sql(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    with alice.publish_samples("imu") as imu:
        imu.push(x=[1.0, 2.0, 3.0])
    live.wait(3)
    assert live.sql("select sum(x) as total from samples")["total"][0] == 6
    assert pl.DataFrame(live)["x"].to_list() == [1, 2, 3]


def test_wait_ends_at_its_time_and_when_the_room_closes(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    with pytest.raises(lknb.DeliveryTimeoutError, match=r"0 of 1 samples of 'imu' arrived within 0\.1 s"):
        live.wait(1, timeout=0.1)
    threading.Timer(0.2, bob.close).start()
    with pytest.raises(lknb.NotConnectedError, match="closed before enough had arrived"):
        live.wait(1, timeout=10)
    with pytest.raises(ValueError, match="has room for"):
        live.wait(2_000_000)


def test_samples_end_when_nobody_has_them(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    assert len(bob._samples) == 1
    del live
    eventually(lambda: len(bob._samples) == 0)
    assert not any(each.topic == "imu" for each in bob.events.interests)


def test_async_handlers_push_and_wait(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")

    async def push() -> None:
        async with (await alice.aio.publish_samples("imu")).aio as imu:
            await imu.aio.push(x=1.0)
        await live.aio.wait(1)

    asyncio.run(push())
    assert columns(live) == {"x": [1.0]}


def test_blocking_push_in_an_async_handler_says_what_to_write(alice: lknb.Room, bob: lknb.Room, capsys: Any) -> None:
    imu = alice.publish_samples("imu")

    @alice.on_data("go")
    async def go() -> None:
        imu.push(x=1.0)

    bob.publish_data(b"", topic="go")
    eventually(lambda: alice.handlers[0].errors == 1)
    assert "await publisher.aio.push(...)" in capsys.readouterr().err


def test_threads_push_at_the_same_time(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    with alice.publish_samples("imu") as imu:

        def push(number: int) -> None:
            for _ in range(200):
                imu.push(x=number)

        threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    live.wait(1600)
    assert sorted(columns(live)["x"]) == sorted(float(number) for number in range(8) for _ in range(200))
    assert (live.gaps, imu.sent) == (0, 1600)


WRONG: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "nothing": (lambda imu: imu.push(), TypeError, "Push either a table, or values by name"),
    "both": (lambda imu: imu.push({"x": [1]}, x=1), TypeError, "Push either a table, or values by name"),
    "single and column": (lambda imu: imu.push(t=1, x=[1, 2]), TypeError, "but not both in one call"),
    "two lengths": (lambda imu: imu.push(t=[1], x=[1, 2]), ValueError, "expected length 1 but got length 2"),
    "no table": (lambda imu: imu.push(5), TypeError, "int is not a table"),
    "an object": (lambda imu: (imu.push(x=object()), imu.flush()), ValueError, "The values of 'x' cannot be sent"),
}


@pytest.mark.parametrize(("push", "error", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_pushed_is_an_error(
    alice: lknb.Room, bob: lknb.Room, push: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    imu = alice.publish_samples("imu")
    live = bob.samples("imu")
    with pytest.raises(error, match=message):
        push(imu)
    imu.push(x=1.0)
    imu.flush()
    live.wait(1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"via": "pigeon"}, ValueError, "packets"),
        ({"via": "data_track", "to": "bob"}, ValueError, "Data tracks are for everybody"),
        ({"interval": -1}, ValueError, "interval must be"),
        ({"compression": "gzip"}, ValueError, "zstd"),
        ({"to": "nobody"}, lknb.UnknownParticipantError, "nobody"),
    ],
)
def test_wrong_arguments_are_errors(
    alice: lknb.Room, bob: lknb.Room, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        alice.publish_samples("imu", **arguments)


def test_samples_that_could_not_be_sent_are_counted(alice: lknb.Room, bob: lknb.Room) -> None:
    imu = alice.publish_samples("imu", interval=0.01)
    imu.push(x=1.0)
    imu.flush()
    alice.close()
    with pytest.raises(lknb.NotConnectedError):
        imu.push(x=np.arange(10_000.0))
    assert (imu.sent, imu.dropped > 0) == (1, True)


def test_failure_of_a_late_packet_is_raised_by_the_next_push(alice: lknb.Room, bob: lknb.Room) -> None:
    imu = alice.publish_samples("imu", interval=0.2)
    imu.push(x=1.0)
    alice.close()
    eventually(lambda: imu.dropped == 1)
    with pytest.raises(lknb.NotConnectedError):
        eventually(lambda: imu.push(x=1.0))


def test_closed_publisher_takes_nothing(alice: lknb.Room, bob: lknb.Room) -> None:
    imu = alice.publish_samples("imu")
    imu.close()
    imu.close()
    with pytest.raises(lknb.StreamError, match="is closed"):
        imu.push(x=1.0)


def test_missing_grant_is_an_error(
    join: Join, bob: lknb.Room, livekit: server.RunningServer, token: Callable[..., str]
) -> None:
    muted = join("muted", url=livekit.url, token=token("muted", can_publish_data=False))
    with pytest.raises(lknb.PermissionDeniedError, match="canPublishData"):
        muted.publish_samples("imu")


def test_cleared_samples_start_over(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    alice.publish_data(b'{"x": 1}', topic="imu")
    live.wait(1)
    live.clear()
    assert (len(live), live.packets, live.latest) == (0, 0, None)


def test_html_is_escaped(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    alice.publish_data(json.dumps({"<b>x</b>": "<img src=x onerror=alert(1)>"}), topic="imu")
    live.wait(1)
    html = live._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html


def test_topics_and_senders_are_kept_apart(alice: lknb.Room, bob: lknb.Room, join: Join) -> None:
    carol = join("carol")
    live = bob.samples("imu", sender="carol")
    eventually(lambda: "carol" in alice.participants and "alice" in carol.participants)
    alice.publish_data(b'{"x": 1}', topic="imu")
    carol.publish_data(b'{"x": 2}', topic="other")
    carol.publish_data(b'{"x": 3}', topic="imu")
    live.wait(1)
    remains(lambda: len(live) == 1, 0.2)
    assert live.latest == {"x": 3.0, "sender": "carol"}


# Without a room


def test_window_joins_rows_that_come_one_by_one() -> None:
    window = Window(100_000)
    for number in range(5000):
        window.add(pa.table({"x": [float(number)]}), 0, "alice")
    assert len(window) == 5000
    assert len(window._joined) < 20
    assert window.table()["x"].to_pylist() == list(range(5000))


def test_window_keeps_rows_of_different_columns() -> None:
    window = Window(10)
    window.add(pa.table({"x": [1.0]}), 0, "alice")
    window.add(pa.table({"y": ["a"]}), 0, "bob")
    window.add(pa.table({"x": ["text"], "received": [5]}), 0, "carol")
    table = window.table().to_pydict()
    assert table["x"] == ["1.0", None, "text"]
    assert table["y"] == [None, "a", None]
    assert table["sender"] == ["alice", "bob", "carol"]
    assert table["received"][2] in (5, "5")


def test_packets_have_numbers_and_stay_small() -> None:
    packer = Packer(None)
    for number in range(3000):
        packer.add({"t": float(number), "x": 1.0, "y": 2.0, "z": 3.0})
    packets = list(packer.packets(everything=True))
    assert sum(rows for _, rows in packets) == 3000
    assert all(len(content) < 10_000 for content, _ in packets)
    tables = [pa.ipc.open_stream(content).read_all() for content, _ in packets]
    assert [int(table.schema.metadata[b"lknb.sequence"]) for table in tables] == list(range(len(packets)))
    assert pa.concat_tables(tables)["t"].to_pylist() == list(range(3000))
