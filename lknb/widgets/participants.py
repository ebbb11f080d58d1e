"""Participants: who is here with their state, live; what is one's own can be edited."""

from __future__ import annotations

from lknb.tables import Table
from lknb.widgets.part import Part


class ParticipantsPart(Part):
    """Participants: who is here with their state, live; what is one's own can be edited."""

    name = "participants"
    title = "Participants"

    def tables(self) -> list[tuple[str, Table]]:
        """Nothing yet."""
        return []
