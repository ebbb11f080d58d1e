"""Panel: a room at a glance and in depth, in tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import traitlets

from lknb.errors import did_you_mean
from lknb.tables import Table
from lknb.widgets.chat import ChatPart
from lknb.widgets.feed import FeedPart
from lknb.widgets.modules import bundled
from lknb.widgets.part import Json, Part
from lknb.widgets.participants import ParticipantsPart
from lknb.widgets.rpc import RpcPart
from lknb.widgets.telemetry import TelemetryPart
from lknb.widgets.transfers import TransfersPart
from lknb.widgets.widget import RoomWidget

if TYPE_CHECKING:
    from lknb.room import Room

TABS: dict[str, type[Part]] = {
    each.name: each for each in (ParticipantsPart, FeedPart, ChatPart, TransfersPart, RpcPart, TelemetryPart)
}


class PanelPart(Part):
    """The room itself: where and who this notebook is, and how the connection is."""

    name = "panel"
    title = "Room"

    def values(self) -> Json:
        """The connection's state and the identities."""
        return {"room": self.room.name, "identity": self.room.identity, "state": self.room.state}

    def tables(self) -> list[tuple[str, Table]]:
        """Nothing that the headline does not say."""
        return []


class Panel(RoomWidget):
    """A room in tabs: participants and state, feed, chat, transfers, RPC, telemetry.

    Args:
        room: whose.
        tabs: the tabs wanted, of `participants`, `feed`, `chat`, `transfers`, `rpc` and `telemetry`; all if none.

    Raises:
        ValueError: for a tab that does not exist.
    """

    _esm = bundled("panel")
    tabs = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, room: Room, *tabs: str) -> None:
        for tab in tabs:
            if tab not in TABS:
                raise ValueError(f"{tab!r} is not a tab of the panel{did_you_mean(tab, TABS)} Tabs: {', '.join(TABS)}.")
        chosen = list(dict.fromkeys(tabs or TABS))
        super().__init__(room, [PanelPart(room), *(TABS[tab](room) for tab in chosen)], tabs=chosen)
