"""Panel: a room in tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import traitlets

from lknb.errors import did_you_mean
from lknb.public import public
from lknb.tables import Table
from lknb.widgets.chat import ChatPart
from lknb.widgets.feed import FeedPart
from lknb.widgets.modules import bundled
from lknb.widgets.part import RoomPart
from lknb.widgets.participants import ParticipantsPart
from lknb.widgets.rows import PanelValues, RecordingStarted
from lknb.widgets.rpc import RpcPart
from lknb.widgets.telemetry import TelemetryPart
from lknb.widgets.timeline import TimelinePart
from lknb.widgets.transfers import TransfersPart
from lknb.widgets.widget import RoomWidget

if TYPE_CHECKING:
    from lknb.room import Room

_RECORDING_POLL = 1.0
_RECORDINGS = 10
_LONGEST_PATH = 500

Tab = Literal["participants", "feed", "chat", "transfers", "rpc", "telemetry", "timeline"]

TABS: dict[str, type[RoomPart] | type[TimelinePart]] = {
    each.name: each
    for each in (ParticipantsPart, FeedPart, ChatPart, TransfersPart, RpcPart, TelemetryPart, TimelinePart)
}


class PanelPart(RoomPart):
    """The room, this participant and the connection's state; leaving the room and rejoining it."""

    name = "panel"
    title = "Room"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self.actions = {
            "leave": self.leave,
            "rejoin": self.rejoin,
            "record": self.record,
            "stop_recording": self.stop_recording,
        }
        self.leaving = False
        self._ended: list[str] = []

    @property
    def poll_after(self) -> float | None:
        """While something is recorded, because no event announces its time and size."""
        return _RECORDING_POLL if len(self.room.recorders) else None

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the connection and the participants."""
        super().start(changed)
        self._follow(lambda event: self.changed(), ("connection", "participant", "loss", "recording"))

    def values(self) -> PanelValues:
        """The room, this participant, the connection's state with its reason, and the number of participants."""
        room = self.room
        me = room.participants.get(room.identity)
        return {
            "room": room.name,
            "identity": room.identity,
            "name": me.name if me and me.name != room.identity else "",
            "state": room.state,
            "reason": room.state_reason[:300],
            "participants": len(room.participants) if room.state != "closed" else None,
            "ended": self._ended,
            "recordings": [
                {
                    "file": str(each.path)[-_LONGEST_PATH:],
                    "seconds": int(each.duration),
                    "size": each.size,
                    "dropped": each.dropped,
                }
                for each in list(self.room.recorders)[:_RECORDINGS]
            ],
        }

    # What a browser may call

    async def leave(self) -> None:
        """Leave the room. This panel stays, to rejoin it."""
        self._ended = sorted({each.name for each in self.room.handlers})[:20]
        self.leaving = True
        try:
            await self.room.aio.close()
        finally:
            self.leaving = False
            self.changed()

    async def rejoin(self) -> None:
        """Rejoin the room."""
        try:
            await self.room.aio.rejoin()
            self._ended = []
        finally:
            self.changed()

    async def record(self) -> RecordingStarted:
        """Record the room to a new file in `recordings/`."""
        recorder = await self.room.aio.record()
        self.changed()
        return {"file": str(recorder.path)}

    async def stop_recording(self) -> None:
        """Stop all recordings of the room, and finish their files."""
        try:
            for recorder in list(self.room.recorders):
                await recorder.aio.stop()
        finally:
            self.changed()

    def tables(self) -> list[tuple[str, Table]]:
        """None: the headline has everything."""
        return []


@public
class Panel(RoomWidget):
    """A room in tabs: participants and state, feed, chat, transfers, RPC, telemetry, timeline.

    Args:
        room: the room to show.
        tabs: some of `participants`, `feed`, `chat`, `transfers`, `rpc`, `telemetry` and `timeline`; all
            if none are given.

    Raises:
        ValueError: for an unknown tab.
    """

    _esm = bundled("panel")
    _head: PanelPart | None = None  # None during construction
    tabs = traitlets.List(traitlets.Unicode()).tag(sync=True)
    labels = traitlets.Dict().tag(sync=True)

    def __init__(self, room: Room, *tabs: Tab) -> None:
        for tab in tabs:
            if not isinstance(tab, str):
                raise TypeError(f'A tab must be a str, not {type(tab).__name__}. Write panel("chat", "rpc").')
            if tab not in TABS:
                raise ValueError(f"{tab!r} is not a tab of the panel{did_you_mean(tab, TABS)} Tabs: {', '.join(TABS)}.")
        chosen = list(dict.fromkeys(tabs or TABS))
        self._head = PanelPart(room)
        labels = {name: part.tab for name, part in TABS.items()}
        parts = [self._head, *(TABS[tab](room) for tab in chosen)]
        super().__init__(room, parts, tabs=chosen, labels=labels)

    def close(self) -> None:
        """Stop following, and leave static HTML, unless the room is being left with this panel, which can rejoin it."""
        if self._head is None or not self._head.leaving:
            super().close()
