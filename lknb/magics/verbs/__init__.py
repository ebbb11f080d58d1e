"""The verbs: the arguments of each, and the call of the public API that it makes."""

from __future__ import annotations

from lknb.magics.grammar import Verb
from lknb.magics.verbs import looking, nest, receiving, recording, replaying, rooms, sending, server, sql, state
from lknb.magics.verbs.common import Run, Silent, Text

VERBS: list[tuple[Verb, Run]] = [
    *rooms.VERBS,
    *looking.VERBS,
    *state.VERBS,
    *sending.VERBS,
    *receiving.VERBS,
    *recording.VERBS,
    *replaying.VERBS,
    *sql.VERBS,
    *server.VERBS,
    *nest.VERBS,
]

__all__ = ["VERBS", "Run", "Silent", "Text"]
