"""`%lk` and `%%lk`: a LiveKit room from notebook cells. `%load_ext lknb` loads it.

The magics parse, call the public API and show; they add no behaviour of their own.
"""

from __future__ import annotations

from lknb.magics.extension import load, unload

__all__ = ["load", "unload"]
