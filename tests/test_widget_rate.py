"""`RollingRate`: how fast a count has risen lately."""

from __future__ import annotations

import pytest

from lknb.widgets import rate
from lknb.widgets.rate import RollingRate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as a list with one element."""
    now = [100.0]
    monkeypatch.setattr(rate, "monotonic", lambda: now[0])
    return now


def test_rate_is_measured_over_the_last_seconds(clock: list[float]) -> None:
    rolling = RollingRate(span=1.0)
    for count in range(0, 100, 10):
        rolling.add(count)
        clock[0] += 0.5
    assert rolling.per_second() == 20
    clock[0] += 10
    rolling.add(90)
    rolling.add(90)
    assert rolling.per_second(at_least=1.0) == 0


def test_first_burst_does_not_look_like_a_high_rate(clock: list[float]) -> None:
    rolling = RollingRate(span=1.0)
    assert (rolling.per_second(), rolling.per_second(at_least=1.0)) == (0, 0)
    rolling.add(0)
    clock[0] += 0.1
    rolling.add(60)
    assert (rolling.per_second(), rolling.per_second(at_least=1.0)) == (600, 60)


def test_low_rates_have_a_decimal_and_clear_starts_over(clock: list[float]) -> None:
    rolling = RollingRate(span=3.0)
    rolling.add(0)
    clock[0] += 3
    rolling.add(1)
    assert rolling.per_second() == 0.3
    rolling.clear()
    assert rolling.per_second() == 0
