"""Whether the embedded server that a room has joined is still this user's."""

from __future__ import annotations

from lknb import settings
from lknb.server import state_file


def is_ours(url: str, api_key: str) -> bool:
    """Whether the server at `url` is alive, and has this key."""
    known = state_file.read(settings.state_dir())
    return known is not None and known.alive and known.api_key == api_key
