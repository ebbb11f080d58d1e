"""`lknb.aio.connect`: join a room from code on an event loop. `room.aio` has the room's methods as coroutines."""

from __future__ import annotations

from lknb.connecting import aio_connect as connect

__all__ = ["connect"]
