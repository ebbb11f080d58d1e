"""Defaults that users meet in several places: in a method, a magic and a widget.

This module imports nothing, so the magics can use it without loading the SDK.
"""

CHAT = "lk.chat"
"""The topic that LiveKit's chat components use, and the default topic of text."""

RPC_TIMEOUT = 10.0
"""Seconds that a method's handler has to answer a call."""

RPC_TIMEOUT_LIMIT = 600.0
"""Seconds that the RPC console allows at most. A longer call belongs in a cell, which can be interrupted."""

RPC_CONCURRENCY = 8
"""Calls of one method that run at once. Further calls wait for their turn, within their deadlines."""

TELEMETRY_WINDOW = 5_000
"""The newest samples that telemetry keeps and shows."""
