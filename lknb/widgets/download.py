"""The feed's download: events as JSON lines or CSV, with the columns of `event_table.COLUMNS`, and `value`.

All columns are text, numbers or lists of text: a time is ISO 8601 in UTC. Bytes are hexadecimal digits, and only appear
if the payload is not text, because the column `text` has it otherwise. `value` is what the topic's decoder makes of the
payload, as JSON.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from lknb import values
from lknb.event import Event, decoder_of
from lknb.event_table import COLUMNS

SIZE_LIMIT = 8_000_000
"""Bytes of a download. The newest events are kept: messages to a browser cannot be much larger."""

# A spreadsheet treats text that begins like this as a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


def as_json(events: Sequence[Event]) -> tuple[bytes, int]:
    """The newest events as JSON lines, oldest first, and how many older ones did not fit."""
    more = _more_columns(events)
    lines = _newest_lines(events, lambda event: _json_line(event, more))
    return b"".join(lines), len(events) - len(lines)


def as_csv(events: Sequence[Event]) -> tuple[bytes, int]:
    """The newest events as CSV with a header, oldest first, and how many older ones did not fit."""
    more = _more_columns(events)
    lines = _newest_lines(events, lambda event: _csv_line(event, more))
    header = _csv([*(column.name for column in COLUMNS), *more])
    return b"".join([header, *lines]), len(events) - len(lines)


def _newest_lines(events: Sequence[Event], line: Callable[[Event], bytes]) -> list[bytes]:
    lines: list[bytes] = []
    size = 0
    for event in reversed(events):
        lines.append(line(event))
        size += len(lines[-1])
        if size > SIZE_LIMIT and len(lines) > 1:
            lines.pop()
            break
    return lines[::-1]


def _more_columns(events: Sequence[Event]) -> tuple[str, ...]:
    return ("value", "value_error") if any(decoder_of(event) for event in events) else ()


def _cells(event: Event, more: tuple[str, ...]) -> dict[str, Any]:
    is_text = event.text() is not None
    cells = {column.name: _plain(column.value(event), is_text) for column in COLUMNS}
    if more:
        is_decoded = decoder_of(event) is not None and event.value_error is None
        cells["value"] = values.plain(event.value) if is_decoded else None
        cells["value_error"] = event.value_error
    return cells


def _plain(value: Any, is_text: bool) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, bytes):
        return None if is_text else value.hex()
    return value


def _json_line(event: Event, more: tuple[str, ...]) -> bytes:
    return json.dumps(_cells(event, more), ensure_ascii=False).encode(errors="replace") + b"\n"


def _csv_line(event: Event, more: tuple[str, ...]) -> bytes:
    return _csv([_csv_cell(value) for value in _cells(event, more).values()])


def _csv(cells: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(errors="replace")


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    elif isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value
