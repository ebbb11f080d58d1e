"""`%lk` and `%%lk`: a LiveKit room from notebook cells. `%load_ext lknb` loads it.

The magics parse their line, call the public API and show the result. They add no behaviour.
"""

from __future__ import annotations

from lknb.magics.extension import load, unload

__all__ = ["load", "unload"]
