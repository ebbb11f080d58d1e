"""Replay view: how far a replay is, with buttons to pause, step, stop it, and to change its speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lknb.belongings import Belongings
from lknb.public import public
from lknb.tables import Table, plain
from lknb.widgets.modules import bundled
from lknb.widgets.part import Part
from lknb.widgets.rows import ReplayValues
from lknb.widgets.widget import LiveWidget

if TYPE_CHECKING:
    from lknb.recording.replay import Replay

_POLL = 0.25
_REASONS = 20
_TEXT = 300

# One for all replays: a view ends those that an earlier run of its cell made, whatever they show.
_views: Belongings[Any] = Belongings(end=lambda view: view.discard())


class ReplayPart(Part):
    """The state of one replay.

    Args:
        replay: the replay.
    """

    name = "replay"
    title = "Replay"

    def __init__(self, replay: Replay) -> None:
        super().__init__()
        self._replay = replay
        self._unwatch: Callable[[], None] = lambda: None
        self.actions = {"pause": self.pause, "resume": self.resume, "step": self.step, "stop_replay": self.stop_replay}
        self.actions["speed"] = self.speed

    @property
    def poll_after(self) -> float | None:
        """While it goes on, because no event announces that time passes."""
        return _POLL if self._replay.state == "running" else None

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the replay."""
        super().start(changed)
        self._unwatch = self._replay.watch(changed)

    def stop(self) -> None:
        """Stop following."""
        self._unwatch()

    def values(self) -> ReplayValues:
        """How far it is, what it has sent, and what not."""
        replay = self._replay
        late = replay.lateness
        return {
            "state": replay.state,
            "error": replay.error[:_TEXT] if replay.error else None,
            "position": round(replay.position, 1),
            "duration": replay.duration,
            "speed": replay.speed,
            "sent": replay.sent,
            "skipped": [(reason[:_TEXT], count) for reason, count in replay.skipped.most_common(_REASONS)],
            "failed": replay.failed,
            "errors": [each[:_TEXT] for each in list(replay.errors)[-_REASONS:]],
            "late": None if late is None else [late.p50, late.p99, late.max],
        }

    # What a browser may call

    async def pause(self) -> None:
        """Pause the replay."""
        self._replay.pause()

    async def resume(self) -> None:
        """Go on."""
        self._replay.resume()

    async def step(self) -> None:
        """Send the next event."""
        self._replay.step()

    async def stop_replay(self) -> None:
        """End the replay."""
        await self._replay.aio.stop()

    async def speed(self, speed: float | None = None) -> None:
        """Change how many seconds of the recording pass in a second; None for as fast as it goes."""
        self._replay.speed = speed

    def tables(self) -> list[tuple[str, Table]]:
        """What it has sent, and what not."""
        return [(self.title, self._replay.table())]


@public
class ReplayView(LiveWidget):
    """A replay with its progress and buttons; a replay displays as this.

    Args:
        replay: the replay.
    """

    _esm = bundled("replay")
    _replay: Replay | None = None  # None during construction
    _unwatch: Callable[[], None]

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        super().__init__(_views, [ReplayPart(replay)])
        self._unwatch = replay.watch(self._close_at_end)
        self._close_at_end()

    def _close_at_end(self) -> None:
        """Leave static HTML when the replay has ended: a saved notebook cannot show anything else."""
        if self._replay is not None and self._replay.state not in ("running", "paused"):
            self._unwatch()
            self.close()

    def headline(self) -> str:
        """How far the replay is, in one line."""
        return plain(repr(self._replay)) if self._replay else ""
