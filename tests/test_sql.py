"""SQL by DuckDB over the log, filters and recordings, and what takes Arrow reads them by name."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from IPython.core.error import UsageError
from shells import Shell

import lknb
from lknb import event_table
from lknb.columns.decoders import make_decoder
from lknb.event import Event
from lknb.events import EventLog
from lknb.interest import Interest
from lknb.recording.recorder import Recorder, Source

NASTY = 'x"; drop table events; --\n\N{SKULL}'


def packets(count: int, topic: str = "imu") -> EventLog:
    """Return a log of packets of JSON."""
    log = EventLog(max_events=100_000)
    for number in range(count):
        log.add(Event("data", "in", sender=f"s{number % 3}", topic=topic, data=b'{"x": %d}' % number, size=8))
    return log


@pytest.fixture
def record(tmp_path: Path) -> Callable[[EventLog], lknb.Recording]:
    """Return a function that records what is in a log."""

    def recorded(log: EventLog) -> lknb.Recording:
        nothing: dict[str, lknb.Participant] = {}
        other = EventLog(max_events=100_000)
        source = Source(other, "alice", {"room": "r"}, "lknb", lambda: "", lambda: nothing, lambda event: None)
        recorder = Recorder(source, Interest.of("data"), tmp_path / "run.mcap", files=True)
        recorder.start()
        for event in log:
            other.add(event)
        return lknb.open_recording(recorder.stop())

    return recorded


def test_results_equal_those_of_pandas(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("data")
    for number in range(10):
        alice.publish_data(bytes(number), topic=f"t{number % 2}")
        inbox.next()
    frame = bob.events.to_pandas()
    expected = frame[frame.kind == "data"].groupby("topic")["size"].sum()
    found = bob.events.sql(
        "select topic, sum(size) as size from events where kind = 'data' group by topic order by topic"
    )
    assert list(found.topic) == list(expected.index)
    assert list(found["size"]) == list(expected)
    assert bob.events.filter("data").sql("select count(*) as n from events")["n"][0] == 10


def test_columns_have_types() -> None:
    event = Event("data_track", "in", sender="bob", to=("a", "b"), topic="t", data=b"\xff", size=1, timestamp=2**64 - 1)
    found = lknb.Events([event]).sql('select *, "to"[1] as first from events').iloc[0]
    assert (found["data"], found["timestamp"], found["first"]) == (b"\xff", 2**64 - 1, "a")
    assert found["time"].to_pydatetime() == event.time


def test_decoded_topics_are_tables(alice: lknb.Room, bob: lknb.Room) -> None:
    bob.decode("imu", "json")
    inbox = bob.listen("data")
    for number in range(4):
        alice.publish_data(f'{{"x": {number}, "time": "noon"}}', topic="imu")
        inbox.next()
    alice.publish_data("not JSON", topic="imu")
    inbox.next()
    found = bob.events.sql("select sum(x) as total, min(time_) as noon, count(value_error) as errors from imu")
    assert tuple(found.iloc[0]) == (6, "noon", 1)


@pytest.mark.parametrize("topic", [NASTY, "events", "EVENTS", "select", "\x00", "", "a.b", "ümläut"])
def test_any_topic_can_be_asked_for(topic: str) -> None:
    log = packets(3, topic)
    log.decoders.add(lknb.Decoder(topic, None, "json", (), lambda payload: {"x": 1}, 1000))
    with pytest.raises(ValueError, match="Tables: events with time") as caught:
        log.sql("select nonsense")
    name = str(caught.value).split("; ", 1)[1].split(" with time")[0] if topic != NASTY else None
    if name is not None:
        assert log.sql(f"select sum(x) as x from {name}")["x"][0] == 3
    assert log.sql("select count(*) as n from events")["n"][0] == 3


def test_an_empty_log_and_open_events_can_be_asked() -> None:
    assert EventLog().sql("select count(*) as n from events")["n"][0] == 0
    log = EventLog()
    log.add(Event("text", "in", sender="bob", topic="llm", status="open"))
    assert log.sql("select status, duration from events").status[0] == "open"


def test_errors_say_what_can_be_asked() -> None:
    for query in ("selct 1", "select nothing from events", "select * from elsewhere"):
        with pytest.raises(ValueError, match=r"The query failed.*Tables: events with time, kind"):
            packets(1).sql(query)
    for nothing in ("", " ", "-- only a comment"):
        with pytest.raises(ValueError, match=r"The query failed\. It is empty"):
            packets(1).sql(nothing)
    with pytest.raises(TypeError, match="must be a str"):
        packets(1).sql(1)  # type: ignore[arg-type]


def test_a_query_that_fails_in_a_transaction_does_not_end_the_next_one(
    record: Callable[[EventLog], lknb.Recording],
) -> None:
    run = record(packets(3))
    with pytest.raises(ValueError, match=r"The query failed.*Tables: events with"):
        run.sql("begin; select nonsense")
    assert run.sql("select count(*) as n from events").n[0] == 3


def test_a_query_sees_no_variables() -> None:
    secret = pd.DataFrame({"a": [1]})  # noqa: F841 - must not be found
    with pytest.raises(ValueError, match="secret"):
        packets(1).sql("select * from secret")


def test_what_takes_arrow_reads_logs_and_recordings(record: Callable[[EventLog], lknb.Recording]) -> None:
    log = packets(25_000)
    run = record(log)
    for events in (log, run.filter("data"), run.filter("data")[10:]):
        count = len(events)
        found = duckdb.sql("select count(*) from events")
        assert found is not None
        assert found.fetchall() == [(count,)]
        assert isinstance(events.to_polars(), pl.DataFrame)
        assert len(events.to_polars()) == count
        assert pa.table(events).num_rows == count
        assert pa.RecordBatchReader.from_stream(events).read_next_batch().num_rows <= event_table.BATCH
    assert run.filter("data").to_arrow().drop(["time"]).equals(log.to_arrow().drop(["time"]))


def test_a_recording_of_many_batches_has_columns_of_values(record: Callable[[EventLog], lknb.Recording]) -> None:
    log = packets(event_table.BATCH)
    log.add(Event("data", "in", sender="s0", topic="imu", data=b'{"x": 0.5, "y": "late"}', size=8))
    run = record(log)
    run.decode("imu", "json")
    table = run.to_arrow()
    assert str(table.schema.field("value.x").type) == "double"
    assert table.column("value.y").to_pylist()[-1] == "late"
    found = run.sql("select count(*) as n, max(x) as x, max(y) as y from imu").iloc[0]
    assert tuple(found) == (event_table.BATCH + 1, event_table.BATCH - 1, "late")


def test_a_recording_is_loaded_once_until_its_decoders_change(record: Callable[[EventLog], lknb.Recording]) -> None:
    run = record(packets(10))
    with pytest.raises(ValueError, match="imu"):
        run.sql("select * from imu")
    run.sql("create table kept as select 1 as one")
    assert run.sql("select one from kept")["one"][0] == 1
    run.decode("imu", "json")
    assert run.sql("select max(x) as x from imu")["x"][0] == 9
    run.close()


def test_events_are_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_table, "BATCH", 100)
    asked: list[slice] = []

    class Counting(list[Event]):
        def __getitem__(self, index: Any) -> Any:
            asked.append(index)
            return super().__getitem__(index)

    table = event_table.batches(Counting(packets(250)), decoded=False).read_all()
    assert table.num_rows == 250
    assert [each.stop - each.start for each in asked] == [100, 100, 100]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["null", "1", "2.5"], [None, 1.0, 2.5]),
        ([str(2**60 + 1), "0.5", "null"], [float(2**60), 0.5, None]),
        (["[1]", "[0.5]", "null"], [[1.0], [0.5], None]),
        (["1", '"one"', "[1, 2]"], ["1", "one", "[1, 2]"]),
    ],
)
def test_the_type_of_a_column_fits_all_batches(
    monkeypatch: pytest.MonkeyPatch, values: list[str], expected: list[Any]
) -> None:
    monkeypatch.setattr(event_table, "BATCH", 1)
    log = EventLog(max_events=10)
    log.decoders.add(make_decoder("t", "json", (), None, None))
    for each in values:
        log.add(Event("data", "in", sender="s", topic="t", data=b'{"x": %s}' % each.encode(), size=1))
    table = event_table.batches(list(log)).read_all()
    (name,) = [name for name in table.column_names if name.endswith("x")]
    assert table[name].to_pylist() == expected


def test_columns_of_values_are_bounded_over_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_table, "BATCH", 10)
    log = EventLog(max_events=100)
    log.decoders.add(make_decoder("t", "json", (), None, None))
    for number in range(100):
        log.add(Event("data", "in", sender="s", topic="t", data=b'{"x%d": 1}' % number, size=1))
    table = event_table.batches(list(log)).read_all()
    assert table["value_more"].to_pylist() == [0] * 64 + [1] * 36
    assert table.num_columns < 64 + 25


@pytest.mark.slow("runs a query that never ends, in a process of its own")
def test_an_interrupt_ends_a_query() -> None:
    program = """
import signal, threading
import lknb
lknb.Events().sql("select 1")  # imports DuckDB, which takes long on a busy machine
threading.Timer(1.0, signal.raise_signal, [signal.SIGINT]).start()
try:
    lknb.Events().sql("select sum(a.range * b.range) from range(10000000) a, range(10000000) b")
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "interrupted\n"


def test_the_magic_asks_the_room_and_recordings(shell: Shell, room_name: str, tmp_path: Path) -> None:
    shell.cell(f"%lk connect {room_name} --as alice")
    shell.cell(f"%lk record {tmp_path / 'run.mcap'}")
    shell.cell("%%lk data --topic imu\nhello")
    shell.cell("%lk record stop")
    query = "select topic, size from events where kind = 'data'"
    assert shell.cell(f"%%lk sql\n{query}").to_dict("list") == {"topic": ["imu"], "size": [5]}
    shell.cell(f"%lk recording {tmp_path / 'run.mcap'} -o run")
    shell.cell(f"%%lk sql --from run -o found\n{query}")
    assert shell.user_ns["found"].topic[0] == "imu"
    for cell, message in (
        ("%%lk sql --from found\nselect 1", "is a DataFrame, not events"),
        ("%%lk sql\nselect nonsense", "The query failed"),
    ):
        with pytest.raises(UsageError, match=message):
            shell.cell(cell)


def test_samples_say_what_can_be_asked(alice: lknb.Room, bob: lknb.Room) -> None:
    live = bob.samples("imu")
    alice.publish_data('{"x": 1.5}', topic="imu")
    live.wait(1)
    assert live.sql("select x from samples")["x"][0] == 1.5
    with pytest.raises(ValueError, match="Tables: samples with x, received, sender"):
        live.sql("select y from samples")
    assert isinstance(bob.events[-1].time, dt.datetime)
