"""Chat: the texts of `lk.chat` as they grow, replies, edits and attachments."""

from __future__ import annotations

from lknb.tables import Table
from lknb.widgets.part import Part


class ChatPart(Part):
    """Chat: the texts of `lk.chat` as they grow, replies, edits and attachments."""

    name = "chat"
    title = "Chat"

    def tables(self) -> list[tuple[str, Table]]:
        """Nothing yet."""
        return []
