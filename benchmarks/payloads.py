"""What the benchmarks send: the same on both sides and in every run. Knows nothing of lknb or LiveKit."""

from __future__ import annotations

import base64
import functools
import io
import json
import pickle
import random
from typing import Any

KB, MB = 1_000, 1_000_000
TABLE_ROWS = 100_000
COLUMNS = ("t", "x", "y", "z")

_SEED = 20261123
_NUMBER = 8

CALL = "x" * 100


def random_bytes(size: int) -> bytes:
    """Bytes that cannot be compressed."""
    return random.Random(_SEED).randbytes(size)


@functools.cache
def random_text(size: int) -> str:
    """Text that can hardly be compressed."""
    return base64.b64encode(random_bytes(size * 3 // 4 + 3)).decode()[:size]


def packet(count: int) -> bytes:
    """A packet of 100 bytes that says how many packets its series has."""
    return count.to_bytes(_NUMBER, "big") + bytes(100 - _NUMBER)


def count_of(packet: bytes) -> int:
    """The number of packets in this one's series."""
    return int.from_bytes(packet[:_NUMBER], "big")


@functools.cache
def sensor_log(rows: int = TABLE_ROWS) -> Any:
    """A DataFrame of six columns, like the log of some sensors: floats as a sensor rounds them, integers, text."""
    import numpy as np
    import pandas as pd

    source = np.random.default_rng(_SEED)
    return pd.DataFrame(
        {
            "time": np.round(1.76e9 + np.cumsum(source.uniform(0.008, 0.012, rows)), 4),
            "sensor": source.choice([f"imu-{number}" for number in range(8)], rows),
            "acceleration": np.round(source.normal(0, 1, rows), 5),
            "temperature": np.round(21 + np.cumsum(source.normal(0, 0.01, rows)), 2),
            "count": np.cumsum(source.integers(0, 5, rows)),
            "state": source.choice(["ok", "ok", "ok", "warming up", "overrun"], rows),
        }
    )


def _csv(rows: int) -> bytes:
    return bytes(sensor_log(rows).to_csv(index=False).encode())


def _pickle(rows: int) -> bytes:
    return pickle.dumps(sensor_log(rows))


def _arrow(rows: int) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_pandas(sensor_log(rows), preserve_index=False)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _parquet(rows: int) -> bytes:
    return bytes(sensor_log(rows).to_parquet(index=False))


_TABLES = {"CSV": _csv, "pickle": _pickle, "Arrow": _arrow, "Parquet": _parquet}
CONTENTS = ("random", *_TABLES)


@functools.cache
def content(kind: str, size: int) -> bytes:
    """Bytes of this kind: the beginning of a file that is at least as large."""
    if kind == "random":
        return random_bytes(size)
    rows = 8
    while len(whole := _TABLES[kind](rows)) < size:
        rows *= 2
    sensor_log.cache_clear()
    return whole[:size]


@functools.cache
def samples(rows: int, *, slow: bool) -> dict[str, Any]:
    """Columns of float64: random, or the time and three slow signals as a sensor rounds them."""
    import numpy as np

    source = np.random.default_rng(_SEED)
    if not slow:
        return {name: source.normal(size=rows) for name in COLUMNS}
    time = np.arange(rows) / 1_000
    signals = (np.sin(time * hertz) + source.normal(0, 0.01, rows) for hertz in (1, 2, 3))
    return {name: np.round(column, 3) for name, column in zip(COLUMNS, (time, *signals), strict=True)}


@functools.cache
def json_samples(rows: int, *, slow: bool) -> list[bytes]:
    """The same samples as JSON, one by one."""
    columns = [column.tolist() for column in samples(rows, slow=slow).values()]
    return [json.dumps(dict(zip(COLUMNS, row, strict=True))).encode() for row in zip(*columns, strict=True)]
