"""`Clock`: the time of a replay, which can be paused, stepped, and run at any speed."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Seconds since the start of what is replayed. Lives on the loop thread; reading it is safe from any.

    Args:
        speed: how many of its seconds pass in a second; None if it only goes from one moment to the next.
    """

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._at = 0.0
        self._since = time.monotonic()
        self._paused = False
        self._steps = 0
        self._changed = asyncio.Event()

    @property
    def speed(self) -> float | None:
        """How many of its seconds pass in a second; None without a pace."""
        return self._speed

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._paused

    @property
    def now(self) -> float:
        """The present moment."""
        if self._paused or self._speed is None:
            return self._at
        return self._at + (time.monotonic() - self._since) * self._speed

    def begin(self) -> None:
        """Start at 0 now."""
        self._since = time.monotonic()

    def pause(self) -> None:
        """Stand still."""
        self._set(paused=True)

    def resume(self) -> None:
        """Go on."""
        self._set(paused=False)

    def step(self) -> None:
        """Let the next moment pass, although it stands still."""
        self._steps += 1
        self._changed.set()

    def set_speed(self, speed: float | None) -> None:
        """Change the pace from now on."""
        at = self.now
        self._speed = speed
        self._at, self._since = at, time.monotonic()
        self._changed.set()

    def _set(self, *, paused: bool) -> None:
        at = self.now
        self._paused = paused
        self._at, self._since = at, time.monotonic()
        self._changed.set()

    async def until(self, moment: float) -> float:
        """Wait for a moment; return how many seconds of real time have passed since it was due."""
        left: float | None = None
        while True:
            if self._paused and self._steps:
                self._steps -= 1
                self._at = max(self._at, moment)
                return 0.0
            if not self._paused:
                if self._speed is None:
                    self._at = max(self._at, moment)
                    return 0.0
                left = (moment - self.now) / self._speed
                if left <= 0:
                    return -left
            self._changed.clear()
            try:
                async with asyncio.timeout(None if self._paused else left):
                    await self._changed.wait()
            except TimeoutError:
                pass
