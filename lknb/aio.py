"""`lknb.aio.connect`: joining a room from code on an event loop. The room's own coroutines are in `room.aio`."""

from __future__ import annotations

from lknb.connecting import aio_connect as connect

__all__ = ["connect"]
