"""What a payload may hold at most, whatever its format."""

LARGEST = 1_000_000
"""Bytes of a payload that is parsed; a data track's frame is never larger."""

UNPACKED = 32_000_000
"""Bytes that Arrow may take, packed or unpacked, because a small packet can hold gigabytes of zeros."""

VALUES = 250_000
"""Values in a payload: as many as the largest frame has numbers of four bytes."""

DEEPEST = 200
"""Levels of dicts and lists inside each other."""
