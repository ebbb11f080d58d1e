"""Telemetry: numbers in packets and data tracks as live lines and as a live table."""

from __future__ import annotations

from lknb.tables import Table
from lknb.widgets.part import Part


class TelemetryPart(Part):
    """Telemetry: numbers in packets and data tracks as live lines and as a live table."""

    name = "telemetry"
    title = "Telemetry"

    def tables(self) -> list[tuple[str, Table]]:
        """Nothing yet."""
        return []
