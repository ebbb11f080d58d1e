"""Tables in byte streams: types survive, plain peers read them, and what is not a table or too large is an error."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import io
import queue
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peers import PlainPeer

import lknb
from lknb.arrow.frames import frame

pytestmark = pytest.mark.filterwarnings("ignore:Passing a BlockManager")


@pytest.fixture
def tables(bob: lknb.Room) -> queue.SimpleQueue[Any]:
    """The tables that bob receives with the topic `t`."""
    got: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @bob.on_table("t")
    def table(data: pa.Table) -> None:
        got.put(data)

    return got


def many_types() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "zoned": pd.date_range("2026-03-29", periods=4, freq="h", tz="Europe/Berlin"),
            "category": pd.Categorical(["low", "high", "low", None], categories=["low", "high"], ordered=True),
            "decimal": [decimal.Decimal("1.10"), None, decimal.Decimal("3"), decimal.Decimal("-0.01")],
            "lists": [[1, 2], [], None, [3]],
            "null": pd.array([1, None, 3, 4], dtype="Int64"),
            "delta": pd.to_timedelta([1, 2, None, 4], unit="s"),
            "text": ["ä", "", None, "x" * 1000],
            "nested": [{"a": [{"b": 1}]}, None, {"a": []}, {"a": None}],
            "bytes": [b"\0\xff", b"", None, b"x"],
            "date": [dt.date(2026, 1, 1), None, dt.date(1970, 1, 1), dt.date(2100, 1, 1)],
            "flag": [True, None, False, True],
        },
        index=pd.Index([10, 20, 30, 40], name="key"),
    )


def test_types_and_index_survive(alice: lknb.Room, tables: queue.SimpleQueue[Any]) -> None:
    sent = many_types()
    event = alice.send_table(sent, topic="t", to="bob")
    received = tables.get(timeout=10)
    assert received.schema.equals(pa.Table.from_pandas(sent).schema)
    assert received.equals(pa.Table.from_pandas(sent))
    back = received.to_pandas()
    assert back.index.name == "key"
    assert back["zoned"].dtype == sent["zoned"].dtype
    assert back["category"].dtype == sent["category"].dtype
    assert (event.status, event.name, event.data) == ("ok", "table.arrows", None)


SOURCES: dict[str, Callable[[], Any]] = {
    "polars": lambda: pl.DataFrame({"x": [1, 2], "s": ["a", None]}),
    "Arrow table": lambda: pa.table({"x": [1, 2], "s": ["a", None]}),
    "Arrow batch": lambda: pa.RecordBatch.from_pydict({"x": [1, 2], "s": ["a", None]}),
    "Arrow reader": lambda: pa.table({"x": [1, 2], "s": ["a", None]}).to_reader(),
    "columns": lambda: {"x": np.array([1, 2]), "s": ["a", None]},
    "rows": lambda: [{"x": 1, "s": "a"}, {"x": 2}],
    "views of text": lambda: pa.table({"x": [1, 2], "s": pa.array(["a", None], pa.string_view())}),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_what_python_has_for_tables_is_sent(
    alice: lknb.Room, tables: queue.SimpleQueue[Any], source: Callable[[], Any]
) -> None:
    alice.send_table(source(), topic="t")
    received = tables.get(timeout=10)
    assert received.to_pylist() == [{"x": 1, "s": "a"}, {"x": 2, "s": None}]
    assert not pa.types.is_string_view(received.schema.field("s").type)


def test_series_and_structured_arrays_are_tables() -> None:
    assert frame(pd.Series([1.5], name="y")).schema.names == ["y"]
    assert frame(np.zeros(3, dtype=[("t", "f8"), ("n", "i4")])).schema.names == ["t", "n"]


def test_the_files_methods_give_each_librarys_table(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("bytes", topic="t")
    alice.send_table({"x": [1, 2, 3]}, topic="t", name="numbers.arrows", attributes={"run": "7"})
    file = inbox.next(timeout=10).data
    assert file.to_arrow().column("x").to_pylist() == [1, 2, 3]
    assert file.to_pandas()["x"].tolist() == [1, 2, 3]
    assert file.to_polars()["x"].to_list() == [1, 2, 3]
    assert [batch.num_rows for batch in file.to_batches()] == [3]
    assert (file.table_format, file.name, file.attributes, file.verified) == (
        "arrow",
        "numbers.arrows",
        {"run": "7"},
        True,
    )


def file_of(write: Callable[[io.BytesIO], Any]) -> bytes:
    target = io.BytesIO()
    write(target)
    return target.getvalue()


SMALL = pd.DataFrame({"x": [1, 2], "s": ["a", "b,c\n"]})
FILES = {
    "Parquet": (file_of(SMALL.to_parquet), "x.parquet", ""),
    "Parquet without a name": (file_of(SMALL.to_parquet), "unknown", "application/octet-stream"),
    "an Arrow file": (file_of(SMALL.to_feather), "x.bin", ""),
    "CSV": (SMALL.to_csv(index=False).encode(), "x.csv", ""),
    "CSV by its type": (SMALL.to_csv(index=False).encode(), "unknown", "text/csv; charset=utf-8"),
    "TSV": (SMALL.to_csv(index=False, sep="\t").encode(), "x.tsv", ""),
    "JSON Lines": (SMALL.to_json(orient="records", lines=True).encode(), "x.jsonl", ""),
    "NDJSON by its type": (SMALL.to_json(orient="records", lines=True).encode(), "y", "application/x-ndjson"),
}


@pytest.mark.parametrize(("content", "name", "mime_type"), FILES.values(), ids=FILES.keys())
def test_files_of_tables_are_read(
    alice: lknb.Room, tables: queue.SimpleQueue[Any], content: bytes, name: str, mime_type: str
) -> None:
    alice.send_bytes(content, topic="t", name=name, mime_type=mime_type or None)
    assert tables.get(timeout=10).to_pylist() == SMALL.to_dict("records")


def zeros(rows: int) -> bytes:
    return file_of(
        lambda target: pa.ipc.new_stream(
            target, pa.schema([("x", pa.int64())]), options=pa.ipc.IpcWriteOptions(compression="zstd")
        ).write_batch(pa.RecordBatch.from_pydict({"x": np.zeros(rows, dtype="i8")}))
    )


def many_nulls(rows: int) -> bytes:
    return file_of(
        lambda target: pa.ipc.new_stream(target, pa.schema([("x", pa.null())])).write_batch(
            pa.RecordBatch.from_arrays([pa.nulls(rows)], ["x"])
        )
    )


def long_words() -> bytes:
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, dtype="i4")), pa.array(["x" * 10_000]))
    return file_of(lambda target: pq.write_table(pa.table({"x": words.cast(pa.string())}), target, compression="zstd"))


BOMBS = {
    "zeros, compressed": lambda: zeros(20_000_000),
    "rows without bytes": lambda: many_nulls(100_000_000),
    "CSV": lambda: b"a,b\n" + b"1,2\n" * 3_000_000,
    "JSON Lines with many names": lambda: b"".join(b'{"k%d":1}\n' % number for number in range(20_000)),
    "JSON Lines": lambda: b'{"a":1}\n' * 2_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_tables_over_max_size_are_an_error(bob: lknb.Room, bomb: Callable[[], bytes]) -> None:
    from lknb.files import ReceivedFile, Spool

    spool = Spool()
    spool.write(bomb())
    name = "x.csv" if bomb is BOMBS["CSV"] else "x.jsonl"
    file = ReceivedFile(spool, name=name, mime_type="", sender="alice", attributes={}, verified=None)
    with pytest.raises(lknb.TableError, match="which is the limit"):
        file.to_arrow(max_size=10_000_000)


@pytest.mark.slow("makes a file of two gigabytes when unpacked")
def test_words_that_repeat_count_as_often_as_they_are_used() -> None:
    from lknb.files import ReceivedFile, Spool

    spool = Spool()
    spool.write(long_words())
    assert spool.size < 1_000_000
    file = ReceivedFile(spool, name="x", mime_type="", sender="alice", attributes={}, verified=None)
    with pytest.raises(lknb.TableError, match="which is the limit"):
        file.to_arrow()


BROKEN = {
    "Arrow, cut": (zeros(1000)[:-40], "x"),
    "Arrow, changed": (b"\xff\xff\xff\xff" + bytes(60), "x"),
    "Parquet": (b"PAR1" + bytes(60) + b"PAR1", "x"),
    "CSV with rows of two lengths": (b"a,b\n1,2\n1,2,3\n", "x.csv"),
    "CSV with two columns of a name": (b"a,a\n1,2\n", "x.csv"),
    "JSON Lines of lists": (b"[1]\n[2]\n", "x.jsonl"),
    "JSON Lines, cut": (b'{"a": 1}\n{"a"', "x.jsonl"),
    "JSON Lines, deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "x.jsonl"),
    "JSON Lines of mixed types": (b'{"a": 1}\n{"a": "x"}\n', "x.jsonl"),
}


@pytest.mark.parametrize(("content", "name"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_tables_are_shown_and_counted(
    alice: lknb.Room, bob: lknb.Room, tables: queue.SimpleQueue[Any], capsys: Any, content: bytes, name: str
) -> None:
    alice.send_bytes(content, topic="t", name=name)
    alice.send_table({"x": [1]}, topic="t")
    assert tables.get(timeout=10).num_rows == 1
    assert (bob.handlers[0].calls, bob.handlers[0].errors) == (2, 1)
    assert "TableError: not valid" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(30))
def test_changed_bytes_raise_nothing_else(seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(file_of(lambda target: pq.write_table(pa.Table.from_pandas(many_types()), target)))
    if seed % 2:
        table = pa.Table.from_pandas(many_types())
        content = bytearray(file_of(lambda target: pa.ipc.new_stream(target, table.schema).write_table(table)))
    for _ in range(chance.randrange(1, 20)):
        content[chance.randrange(8, len(content))] = chance.randrange(256)
    from lknb.files import ReceivedFile, Spool

    spool = Spool()
    spool.write(bytes(content))
    file = ReceivedFile(spool, name="x", mime_type="", sender="alice", attributes={}, verified=None)
    try:
        file.to_arrow()
    except lknb.TableError:
        pass


def test_other_files_are_no_tables(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("bytes")
    alice.send_bytes(b"\x80\x04\x95 a pickle", name="frame.pkl")
    with pytest.raises(lknb.TableError, match="is not a table that lknb reads: Arrow IPC, Parquet, CSV or JSON Lines"):
        inbox.next(timeout=10).data.to_pandas()


def test_handler_of_every_topic_gets_only_tables(alice: lknb.Room, bob: lknb.Room) -> None:
    got: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @bob.on_table()
    async def table(data: pa.Table, event: lknb.Event) -> None:
        got.put((event.topic, data.num_rows))

    alice.send_bytes(b"not a table", topic="a", name="x.txt")
    alice.send_table({"x": [1, 2]}, topic="b")
    assert got.get(timeout=10) == ("b", 2)
    assert (bob.handlers[0].calls, bob.handlers[0].errors) == (1, 0)


def test_own_limit_of_a_handler_is_kept(alice: lknb.Room, bob: lknb.Room, capsys: Any) -> None:
    got: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @bob.on_table("t", max_size=1000)
    def table(data: pa.Table) -> None:
        got.put(data.num_rows)

    alice.send_table({"x": np.arange(10_000)}, topic="t")
    alice.send_table({"x": [1]}, topic="t")
    assert got.get(timeout=10) == 1
    assert "more than 1,000 bytes, which is the limit" in capsys.readouterr().err


NOT_TABLES: dict[str, tuple[Any, type[Exception], str]] = {
    "a number": (5, TypeError, "int is not a table. Pass a DataFrame"),
    "a text": ("x", TypeError, "str is not a table"),
    "nothing": ({}, TypeError, "dict is not a table"),
    "values": ({"x": 1}, TypeError, "dict is not a table"),
    "a lazy frame": (pl.LazyFrame({"x": [1]}), TypeError, r"frame.collect\(\)"),
    "columns of two lengths": ({"x": [1], "y": [1, 2]}, ValueError, "expected length 1 but got length 2"),
    "a name twice": (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "Several columns are called 'a'"),
    "a name twice in Arrow": (pa.table([[1], [2]], names=["a", "a"]), ValueError, "Several columns are called 'a'"),
    "mixed objects": (pd.DataFrame({"x": [1, "a"]}), ValueError, "each of one type"),
}


@pytest.mark.parametrize(("table", "error", "message"), NOT_TABLES.values(), ids=NOT_TABLES.keys())
def test_what_cannot_be_sent_is_an_error_and_no_event(
    alice: lknb.Room, table: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        alice.send_table(table)
    assert not alice.events.filter("bytes")


def test_unknown_compression_is_an_error(alice: lknb.Room) -> None:
    with pytest.raises(ValueError, match="zstd"):
        alice.send_table({"x": [1]}, compression="gzip")  # type: ignore[arg-type]


def test_large_tables_go_out_batch_by_batch(alice: lknb.Room, tables: queue.SimpleQueue[Any]) -> None:
    made: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(20):
            made.append(number)
            yield pa.RecordBatch.from_pydict({"x": np.full(50_000, number)})

    reader = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), batches())
    event = alice.send_table(reader, topic="t")
    received = tables.get(timeout=60)
    assert (received.num_rows, received.num_columns) == (1_000_000, 1)
    assert received["x"].unique().to_pylist() == made == list(range(20))
    assert event.size == event.transferred


def test_tables_are_sent_from_event_loops(alice: lknb.Room, tables: queue.SimpleQueue[Any]) -> None:
    asyncio.run(alice.aio.send_table({"x": [1]}, topic="t", compression=None))
    assert tables.get(timeout=10)["x"].to_pylist() == [1]


def test_plain_peer_reads_and_sends_a_table(
    alice: lknb.Room, tables: queue.SimpleQueue[Any], peer: Callable[..., PlainPeer]
) -> None:
    plain = peer("carol")
    alice.send_table({"x": [1, 2]}, topic="t", to="carol")
    got = plain.wait("bytes", topic="t")
    assert got["mime_type"] == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(got["data"]).read_all()["x"].to_pylist() == [1, 2]
