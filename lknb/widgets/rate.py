"""`RollingRate`: how fast a count has risen lately."""

from __future__ import annotations

from collections import deque
from time import monotonic

_SAMPLES = 64


class RollingRate:
    """How fast a count rises, measured over the last seconds.

    Args:
        span: how many seconds to look back.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._seen: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)

    def add(self, count: int) -> None:
        """Record the count as it is now."""
        at = monotonic()
        self._seen.append((at, count))
        while len(self._seen) > 2 and at - self._seen[1][0] >= self._span:
            self._seen.popleft()

    def clear(self) -> None:
        """Forget all counts, because counting starts again."""
        self._seen.clear()

    @property
    def elapsed(self) -> float:
        """Seconds between the first and the last count that are compared."""
        return self._seen[-1][0] - self._seen[0][0] if self._seen else 0.0

    def per_second(self, at_least: float = 0.0) -> float:
        """The rate, rounded for display; 0 before there are two counts.

        Args:
            at_least: the shortest time in seconds to divide by, so that a first burst does not look like a high rate.
        """
        elapsed = max(self.elapsed, at_least)
        if not elapsed:
            return 0.0
        rate = (self._seen[-1][1] - self._seen[0][1]) / elapsed if self._seen else 0.0
        return round(rate, 1 if rate < 100 else 0)
