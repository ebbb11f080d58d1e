"""Runs the README's first example with the installed lknb, and fails unless it does what the README says.

The README comes from the package's own metadata, so this is the example that a package index shows. It needs only
the standard library and lknb.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import re
import sys
import tempfile
import time
from typing import Any


def first_example() -> str:
    """The first Python block of the README."""
    description = importlib.metadata.metadata("lknb")["Description"]
    block = re.search(r"^```python\n(.*?)^```$", description, re.MULTILINE | re.DOTALL)
    if not block:
        sys.exit("The README in lknb's metadata has no Python example.")
    return block[1]


def main() -> None:
    import lknb
    from lknb import server

    if not lknb.__file__.startswith(sys.prefix):
        sys.exit(f"This would test {lknb.__file__}, which is not installed in {sys.prefix}.")
    names: dict[str, Any] = {"__name__": "readme"}
    printed = io.StringIO()
    deadline = time.monotonic() + 30
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(first_example(), "README.md, first example", "exec"), names)
            while "alice says hello" not in printed.getvalue():
                if time.monotonic() > deadline:
                    sys.exit(f"The example did not print 'alice says hello', but {printed.getvalue()!r}.")
                time.sleep(0.05)
        answer = names["alice"].events.filter("rpc")[-1].result
        if answer != 3:
            sys.exit(f"The example's call returned {answer!r} instead of 3.")
    finally:
        for room in lknb.rooms():
            room.close()
        server.stop()
    print(f"lknb {importlib.metadata.version('lknb')}: the README's first example works")


if __name__ == "__main__":
    # A separate server, whatever is running or configured here.
    for setting in [name for name in os.environ if name.startswith("LIVEKIT_")]:
        del os.environ[setting]
    with tempfile.TemporaryDirectory() as state:
        os.environ["LKNB_STATE_DIR"] = state
        main()
