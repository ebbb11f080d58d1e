"""Transfers: every byte stream, both directions, with progress; to cancel, save and look at."""

from __future__ import annotations

from lknb.tables import Table
from lknb.widgets.part import Part


class TransfersPart(Part):
    """Transfers: every byte stream, both directions, with progress; to cancel, save and look at."""

    name = "transfers"
    title = "Transfers"

    def tables(self) -> list[tuple[str, Table]]:
        """Nothing yet."""
        return []
