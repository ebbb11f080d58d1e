"""Exports: recordings as Parquet, CSV and JSON Lines, which other programs read."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from waiting import eventually

import lknb
from lknb import event_table, server
from lknb.event import Event
from lknb.events import EventLog
from lknb.interest import Interest
from lknb.recording import export
from lknb.recording.recorder import Recorder, Source

READERS: dict[str, list[Any]] = {
    "parquet": [pd.read_parquet, pl.read_parquet, pq.read_table, duckdb.read_parquet],
    "csv": [pd.read_csv, pl.read_csv, duckdb.read_csv],
    "jsonl": [lambda path: pd.read_json(path, lines=True), pl.read_ndjson, duckdb.read_json],
}


@pytest.fixture(scope="module")
def run(livekit: server.RunningServer, tmp_path_factory: pytest.TempPathFactory) -> lknb.Recording:
    """Return a recording with each kind of payload."""
    path = tmp_path_factory.mktemp("export") / "run.mcap"
    with lknb.connect("exported", "alice") as alice, lknb.connect("exported", "bob") as bob, alice.record(path):
        bob.send_text('a "quoted"\nline, with a comma', topic="chat")
        bob.send_bytes(b"\x89PNG", name="photo.png")
        bob.publish_data('{"x": 1, "label": "one"}', topic="json/../numbers")
        bob.publish_data('{"x": 2.5, "y": true}', topic="json/../numbers")
        bob.publish_data(b"\xff\x00", topic="raw")
        with bob.publish_samples("imu") as imu:
            imu.push(t=np.arange(100.0), value=np.arange(100))
        eventually(lambda: len(alice.events.filter("data")) == 4)
        eventually(lambda: alice.events.filter("bytes", status="ok") and alice.events.filter("text", status="ok"))
    return lknb.open_recording(path)


def count(table: Any) -> int:
    """Return the number of rows, whatever library has read them."""
    return len(table.fetchall()) if isinstance(table, duckdb.DuckDBPyRelation) else len(table)


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_every_library_reads_every_file(run: lknb.Recording, tmp_path: Path, form: Any) -> None:
    paths = run.export(tmp_path, form)
    names = {path.name for path in paths}
    assert {f"{name}.{form}" for name in ("text", "bytes", "data", "data-imu", "data-json_.._numbers")} <= names
    assert f"data-raw.{form}" not in names
    for path in paths:
        if path.suffix != f".{form}":
            continue
        for read in READERS[form]:
            numbers = {"data-json_.._numbers": 2, "data-imu": 100}
            expected = numbers.get(path.stem) or len([event for event in run if event.kind == path.stem])
            assert count(read(str(path))) == expected, (path.name, read)


def test_values_survive(run: lknb.Recording, tmp_path: Path) -> None:
    run.export(tmp_path / "parquet")
    run.export(tmp_path / "csv", "csv")
    run.export(tmp_path / "jsonl", "jsonl")
    (text,) = run.filter("text")
    for table in (pd.read_parquet(tmp_path / "parquet" / "text.parquet"), pd.read_csv(tmp_path / "csv" / "text.csv")):
        assert table.text[0] == text.data
        assert pd.Timestamp(table.time[0]) == text.time
    numbers = pd.read_parquet(tmp_path / "parquet" / "data-imu.parquet")
    assert list(numbers.columns) == ["time", "sender", "t", "value"]
    assert numbers.value.sum() == 4950
    raw = [json.loads(line) for line in (tmp_path / "jsonl" / "data.jsonl").read_text().splitlines()]
    assert base64.b64decode(next(row for row in raw if row["topic"] == "raw")["data_base64"]) == b"\xff\x00"
    mixed = pq.read_table(tmp_path / "parquet" / "data-json_.._numbers.parquet").select(["x", "label", "y"])
    assert mixed.to_pydict() == {"x": [1.0, 2.5], "label": ["one", None], "y": [None, True]}


def test_files_are_written_too(run: lknb.Recording, tmp_path: Path) -> None:
    paths = run.export(tmp_path)
    assert (tmp_path / "files" / "photo.png").read_bytes() == b"\x89PNG"
    assert tmp_path / "files" / "photo.png" in paths
    assert all(path.resolve().is_relative_to(tmp_path.resolve()) for path in paths)


def test_nothing_is_overwritten(run: lknb.Recording, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("precious")
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        run.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["text.parquet"]
    assert (tmp_path / "text.parquet").read_text() == "precious"
    with pytest.raises(ValueError, match="xlsx"):
        run.export(tmp_path, "xlsx")  # type: ignore[arg-type]


def test_a_column_of_two_types_is_text(run: lknb.Recording, tmp_path: Path) -> None:
    with lknb.connect("mixed", "alice") as alice, alice.record(tmp_path / "run.mcap"):
        for value in ("1", '"one"', "[1, 2]", "null"):
            alice.publish_data(f'{{"x": {value}}}', topic="mixed")
    lknb.open_recording(tmp_path / "run.mcap").export(tmp_path / "tables")
    table = pd.read_parquet(tmp_path / "tables" / "data-mixed.parquet")
    assert [None if pd.isna(each) else each for each in table.x] == ["1.0", "one", "[1, 2]", None]


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[list[tuple[str, bytes]]], lknb.Recording]:
    """Return a function that records packets, given as topics and payloads."""

    def recorded(packets: list[tuple[str, bytes]]) -> lknb.Recording:
        nothing: dict[str, lknb.Participant] = {}
        log = EventLog(max_events=100_000)
        source = Source(log, "alice", {"room": "r"}, "lknb", lambda: "", lambda: nothing, lambda event: None)
        recorder = Recorder(source, Interest.of("data"), tmp_path / "kept.mcap", files=True)
        recorder.start()
        for topic, payload in packets:
            log.add(Event("data", "in", sender="s", topic=topic, data=payload, size=len(payload)))
        return lknb.open_recording(recorder.stop())

    return recorded


Kept = Callable[[list[tuple[str, bytes]]], lknb.Recording]


def test_rows_of_small_packets_share_row_groups(kept: Kept, tmp_path: Path) -> None:
    kept([("imu", b'{"x": %d}' % number) for number in range(10_000)]).export(tmp_path / "tables")
    assert pq.ParquetFile(tmp_path / "tables" / "data-imu.parquet").metadata.num_row_groups <= 2


def test_json_lines_have_no_nan(kept: Kept, tmp_path: Path) -> None:
    kept([("imu", b'{"x": NaN}'), ("imu", b'{"x": Infinity}'), ("imu", b'{"x": 1.5}')]).export(tmp_path / "t", "jsonl")
    lines = (tmp_path / "t" / "data-imu.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail)["x"] for line in lines] == [None, None, 1.5]


def test_whole_floats_stay_floats_in_csv(kept: Kept, tmp_path: Path) -> None:
    kept([("imu", b'{"x": 0.0}'), ("imu", b'{"x": 0.5}')]).export(tmp_path / "t", "csv")
    lines = (tmp_path / "t" / "data-imu.csv").read_text().splitlines()
    assert [line.split(",")[-1] for line in lines] == ["x", "0.0", "0.5"]


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize(
    "payloads",
    [
        [b'{"x": {}}', b'{"x": {"y": 1}}'],
        [b'{"x": "\\ud800"}', b'{"x": 1}'],
        [b'{"x": %d}' % 2**63, b'{"x": 0.5}'],
        [b'{"x": [1]}', b'{"x": [[]]}'],
        [b"{}", b'{"x": null}'],
        [b'{"x": [1, {"y": 2}]}', b'{"x": 1}'],
        [b'{"time": 1, "sender": 2}', b'{"time": "a"}'],
    ],
)
def test_any_json_can_be_exported(kept: Kept, tmp_path: Path, payloads: list[bytes], form: Any) -> None:
    kept([("odd", payload) for payload in payloads]).export(tmp_path / "t", form)
    for path in (tmp_path / "t").glob(f"*.{form}"):
        assert count(READERS[form][0](path)) == 2


def test_topics_like_paths_stay_in_the_folder(kept: Kept, tmp_path: Path) -> None:
    topics = ["..\\..\\a", "../../b", "C:\\c", "NUL", "."]
    paths = kept([(topic, b'{"x": 1}') for topic in topics]).export(tmp_path / "t")
    assert len(paths) == len(topics) + 1
    assert all(path.parent == tmp_path / "t" and "\\" not in path.name for path in paths)


def test_an_export_that_fails_can_be_made_again(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = kept([("imu", b'{"x": 1}')])
    with monkeypatch.context() as patch:
        patch.setattr(export, "_numbers", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.export(tmp_path / "t")
    assert not list((tmp_path / "t").iterdir())
    assert len(run.export(tmp_path / "t")) == 2


def test_the_command_exports(run: lknb.Recording, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lknb.cli", "export", str(run.path), str(tmp_path / "tables"), "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert str(tmp_path / "tables" / "text.csv") in done.stdout.splitlines()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "nothing is overwritten" in again.stderr


def test_what_appears_during_an_export_is_kept(
    run: lknb.Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = event_table.batches

    def slow(*args: Any, **kwargs: Any) -> Any:
        (tmp_path / "data-imu.parquet").write_text("precious")
        return batches(*args, **kwargs)

    monkeypatch.setattr(event_table, "batches", slow)
    with pytest.raises(FileExistsError):
        run.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["data-imu.parquet"]
    assert (tmp_path / "data-imu.parquet").read_text() == "precious"


def test_a_dangling_link_is_not_overwritten(run: lknb.Recording, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        run.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["text.parquet"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "payload", [b'{"x": "a\\rb", "X": 2}', b'{"Time": 1, "time": "noon"}', b"\x82\xa1a\xc4\x01\xff\xa8a_base64\x01"]
)
def test_odd_names_and_line_ends_survive(tmp_path: Path, form: Any, payload: bytes) -> None:
    with lknb.connect("odd", "alice") as alice, alice.record(tmp_path / "run.mcap"):
        alice.publish_data(payload, topic="odd")
    with lknb.open_recording(tmp_path / "run.mcap") as run:
        run.decode("odd", "msgpack" if payload[0] > 127 else "json")
        run.export(tmp_path / "tables", form)
    for read in READERS[form]:
        table = read(str(tmp_path / "tables" / f"data-odd.{form}"))
        assert (count(table), len(table.columns)) == (1, 4), read
