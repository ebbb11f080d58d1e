"""Arrow IPC in a packet as a table."""

from __future__ import annotations

from typing import Any

from lknb.arrow import ipc
from lknb.arrow.ipc import FILE, STREAM
from lknb.columns.limits import UNPACKED
from lknb.decoding import UndecodableError
from lknb.errors import TableError

__all__ = ["FILE", "STREAM", "read_table"]


def read_table(data: bytes) -> Any:
    """The table in Arrow IPC, a stream or a file, as a `pyarrow.Table`.

    Raises:
        UndecodableError: for anything else, for a table that takes more than 32 MB, or without pyarrow.
    """
    try:
        return ipc.read_table(data, UNPACKED)
    except (TableError, ImportError) as error:
        raise UndecodableError(str(error)) from None
