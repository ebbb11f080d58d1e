"""RPC: call a method of a participant, and see those that this notebook serves."""

from __future__ import annotations

from lknb.tables import Table
from lknb.widgets.part import Part


class RpcPart(Part):
    """RPC: call a method of a participant, and see those that this notebook serves."""

    name = "rpc"
    title = "RPC"

    def tables(self) -> list[tuple[str, Table]]:
        """Nothing yet."""
        return []
