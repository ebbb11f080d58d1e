"""Defaults that appear in several places: in a method, a magic and a widget.

This module imports nothing, so the magics can use it without loading the SDK.
"""

CHAT = "lk.chat"
"""The topic that LiveKit's chat components use, and the default topic for text."""

TABLES = "tables"
"""The default topic of tables."""

COMPRESSIONS = ("zstd", "lz4")
"""How Arrow can compress columns."""

RPC_TIMEOUT = 10.0
"""Seconds that a method's handler has to answer a call."""

RPC_TIMEOUT_LIMIT = 600.0
"""Longest timeout in the RPC console, in seconds. A longer call belongs in a cell, which can be interrupted."""

RPC_CONCURRENCY = 8
"""Maximum number of concurrent calls of one method. Further calls wait, within their deadlines."""

TELEMETRY_WINDOW = 5_000
"""Number of newest samples that telemetry keeps and shows."""

SAMPLES_WINDOW = 1_000_000
"""Number of newest samples that `room.samples` keeps."""

MAX_STREAM_SIZE = 64 * 1024 * 1024
"""Maximum bytes of an incoming stream."""
