"""Numbers in payloads: what is found automatically, what a decoder reads, and what is rejected."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import pickle
import random
import struct
from typing import Any

import pytest

from lknb.columns.limits import LARGEST, UNPACKED
from lknb.decoding import UndecodableError
from lknb.widgets.samples import (
    DEEPEST,
    LONGEST,
    WIDEST,
    detect_rows,
    make_decoder,
    rows_from_decoder,
    seconds,
)


@pytest.mark.parametrize(
    ("payload", "rows"),
    [
        (b'{"x": 1, "y": 2.5}', [{"x": 1, "y": 2.5}]),
        (b'{"accel": {"x": 1, "axes": [2, 3]}}', [{"accel.x": 1, "accel.axes.0": 2, "accel.axes.1": 3}]),
        (b'[{"x": 1}, {"x": 2}]', [{"x": 1}, {"x": 2}]),
        (b"[[1, 2], [3, 4]]", [{"0": 1, "1": 2}, {"0": 3, "1": 4}]),
        (b"[1, 2]", [{"0": 1, "1": 2}]),
        (b'{"id": 7, "samples": [{"x": 1}, {"x": 2}]}', [{"id": 7, "samples.x": 1}, {"id": 7, "samples.x": 2}]),
        (b'{"on": true, "name": "imu", "none": null, "x": NaN, "y": Infinity}', [{"on": 1}]),
        (b'{"x": 1, "huge": 1' + b"0" * 400 + b"}", [{"x": 1}]),
        (b" 42.5\n", [{"value": 42.5}]),
        (b"1.5,2.5,-3e2", [{"0": 1.5, "1": 2.5, "2": -300.0}]),
        (b"x;y\n1;2\n3;4\n", [{"x": 1, "y": 2}, {"x": 3, "y": 4}]),
        ("1 2", [{"0": 1, "1": 2}]),
        ({"x": 1}, [{"x": 1}]),
        (b"1,,3", [{"0": 1, "2": 3}]),
        (b"1;;3;", [{"0": 1, "2": 3}]),
        (b"1\t\t3", [{"0": 1, "2": 3}]),
        (b"x\ty\n1\t\n\t2\n3\t\n", [{"x": 1}, {"y": 2}, {"x": 3}]),
        (b"x,y,z\n1,,3\n,2,\n", [{"x": 1, "z": 3}, {"y": 2}]),
        (b",x\r\n0,1.5\r\n1,2.5\r\n", [{"0": 0, "x": 1.5}, {"0": 1, "x": 2.5}]),
        (b"imu,1.5,2.5", [{"1": 1.5, "2": 2.5}]),
        (b"name, x\nleft arm, 1.5\nright arm, 2.5", [{"x": 1.5}, {"x": 2.5}]),
        (b'"x","who"\n"1","a, b"', [{"x": 1}]),
        (b"at,x\n2026-01-02T03:04:05,1.5", [{"at": "2026-01-02T03:04:05", "x": 1.5}]),
        (b"1, 2, nan", [{"0": 1, "1": 2}]),
        (b"x y\n1 2\n\n3 4", [{"x": 1, "y": 2}, {"x": 3, "y": 4}]),
        (b'\n\t{"x": 1}\n', [{"x": 1}]),
    ],
)
def test_detect_rows_finds_numbers(payload: Any, rows: list[Any]) -> None:
    assert detect_rows(payload) == rows


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "neither JSON nor numbers"),
        (b"hello", "neither JSON nor numbers"),
        (b"nan", "neither JSON nor numbers"),
        (b"1_000", "neither JSON nor numbers"),
        (b"a, b; c", "neither JSON nor numbers"),
        (b"there are 2 apples", "neither JSON nor numbers"),
        (b"Hello, you.\nI am, well, fine.", "neither JSON nor numbers"),
        (b"1,5;2,5", "two kinds of separators, as in 1,5;2,5: .* decoder="),
        (b"x;y\n1,5;2,5", "two kinds of separators"),
        (b"1,5 2,5", "two kinds of separators"),
        (b"1,5\t2,5", "two kinds of separators"),
        (b"1 000;2", "two kinds of separators"),
        (b"x\n1,5", "lines with 1 and 2 values: .* decoder="),
        (b"1,2\n3", "lines with 2 and 1 values"),
        (b"1 2\n3", "lines with 2 and 1 values"),
        (b"x,x\n1,2", "two columns with the same name"),
        (b'{"x": ', "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": "b"}', "without numbers"),
        (b"\xff\x00\x01", 'decoder="<dff"'),
        (b"\xff\xff\xff\xffnonsense", "not valid Arrow"),
        (b"ARROW1", "not valid Arrow"),
        (b"1" * (LARGEST + 1), "the limit is"),
        (pickle.dumps({"x": 1}), "neither JSON nor Arrow"),
        (None, "NoneType"),
    ],
)
def test_payload_without_numbers_is_rejected_with_reason(payload: Any, why: str) -> None:
    with pytest.raises(UndecodableError, match=why):
        detect_rows(payload)


def test_depth_width_and_length_are_bounded() -> None:
    deep: Any = 1
    for _ in range(DEEPEST + 1):
        deep = {"a": deep}
    assert detect_rows({"x": 1, "deep": deep}) == [{"x": 1}]
    assert len(detect_rows({f"field {index}": index for index in range(10 * WIDEST)})[0]) == WIDEST
    rows = detect_rows(json.dumps([{"x": index} for index in range(LONGEST + 5)]).encode())
    assert (len(rows), rows[-1]) == (LONGEST, {"x": LONGEST + 4})
    assert all(len(name) <= 80 for name in detect_rows({"n" * 1000: 1})[0])


def arrow(table: Any, file: bool = False) -> bytes:
    pa = pytest.importorskip("pyarrow")
    sink = io.BytesIO()
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("file", [False, True])
def test_arrow_columns_hold_many_samples(file: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"x": [1.5, None], "n": [1, 2], "name": ["a", "b"], "in": [{"y": 3}, {"y": 4}]})
    assert detect_rows(arrow(table, file)) == [{"x": 1.5, "n": 1, "in.y": 3}, {"n": 2, "in.y": 4}]


def test_arrow_keeps_last_rows_over_limit() -> None:
    pa = pytest.importorskip("pyarrow")
    rows = detect_rows(arrow(pa.table({"x": list(range(LONGEST + 1))})))
    assert (len(rows), rows[0], rows[-1]) == (LONGEST, {"x": 1}, {"x": LONGEST})


@pytest.mark.parametrize("file", [False, True])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_arrow_is_read_within_size_limit(compression: str, file: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    options = pa.ipc.IpcWriteOptions(compression=compression)

    def packed(rows: int) -> bytes:
        table, sink = pa.table({"x": [0.0] * rows, "name": pa.array(["a"] * rows).dictionary_encode()}), io.BytesIO()
        with (pa.ipc.new_file if file else pa.ipc.new_stream)(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        return sink.getvalue()

    assert detect_rows(packed(1000)) == [{"x": 0.0}] * 1000
    with pytest.raises(UndecodableError, match="unpacks to"):
        detect_rows(packed(UNPACKED // 8))


def test_damaged_arrow_is_rejected() -> None:
    pa = pytest.importorskip("pyarrow")
    whole = arrow(pa.table({"x": [1.5, 2.5], "in": [{"y": 3}, {"y": 4}]}))
    chance = random.Random(1)
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
        with contextlib.suppress(UndecodableError):
            detect_rows(bytes(damaged[: chance.choice([len(damaged), chance.randrange(8, len(damaged))])]))


def test_struct_decoder_reads_one_or_several_structs() -> None:
    read = make_decoder("<dff", ["t", "x", "y"])
    one = struct.pack("<dff", 1.0, 0.5, -0.5)
    assert read(one) == [{"t": 1.0, "x": 0.5, "y": -0.5}]
    assert len(read(one * 3)) == 3
    assert make_decoder(("<dff", "t x y"))(one) == read(one)
    assert make_decoder("<h2s")(struct.pack("<h2s", 5, b"ab")) == [{"0": 5}]
    with pytest.raises(UndecodableError, match="17 bytes are not a multiple of the 16"):
        read(one + b"!")
    with pytest.raises(UndecodableError):
        read(b"")


@pytest.mark.parametrize(("form", "names"), [("<q!", []), ("<dff", ["t", "x"]), ("", []), ("<4x", [])])
def test_wrong_format_is_rejected_immediately(form: str, names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"format|values"):
        make_decoder(form, names)


def test_decoder_may_return_dict_rows_columns_or_nothing() -> None:
    assert rows_from_decoder({"x": 1, "in": {"y": 2}}) == [{"x": 1, "in.y": 2}]
    assert rows_from_decoder([{"x": 1}, {"x": 2}]) == [{"x": 1}, {"x": 2}]
    assert rows_from_decoder({"x": [1, 2], "id": 7}) == [{"x": 1, "id": 7}, {"x": 2, "id": 7}]
    assert rows_from_decoder(None) == rows_from_decoder([]) == []
    for wrong in (5, "x", b"x", [1, 2]):
        with pytest.raises(UndecodableError, match=r"the decoder returned|rows"):
            rows_from_decoder(wrong)


def test_decoder_can_return_arrays_and_tables() -> None:
    pa = pytest.importorskip("pyarrow")
    assert rows_from_decoder(pa.table({"x": [1, 2]})) == [{"x": 1}, {"x": 2}]
    pandas = pytest.importorskip("pandas")
    assert rows_from_decoder(pandas.DataFrame({"x": [1, 2]})) == [{"x": 1}, {"x": 2}]
    assert rows_from_decoder({"x": pandas.Series([1, 2]).to_numpy()}) == [{"x": 1}, {"x": 2}]


def test_times_in_any_unit_become_seconds() -> None:
    moment = 1_700_000_000.5
    for unit in (1, 1e3, 1e6, 1e9):
        assert seconds(moment * unit) == pytest.approx(moment)
    when = dt.datetime.fromtimestamp(moment, dt.UTC)
    assert seconds(when) == seconds(when.isoformat()) == seconds(when.replace(tzinfo=None)) == moment
    assert seconds(12.5) == 12.5
    assert seconds("soon") is seconds(None) is seconds(float("nan")) is None
