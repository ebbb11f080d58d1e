"""Tables as Arrow: made from what Python has for tables, and read from files, within bounds. Knows nothing of rooms.

pyarrow is optional, so it is imported where it is used: `pip install "lknb[data]"`.
"""

from __future__ import annotations

from typing import Any


def pyarrow() -> Any:
    """The module pyarrow.

    Raises:
        ImportError: if it is not installed; the message has the command.
    """
    try:
        import pyarrow
    except ImportError:
        raise ImportError('Tables need pyarrow: pip install "lknb[data]"') from None
    return pyarrow
