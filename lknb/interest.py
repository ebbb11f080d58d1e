"""`Interest`: which events a handler, an inbox or a widget wants, by kind, topic and sender."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lknb import checks
from lknb.event import STATE_KINDS, Event, Kind
from lknb.participants import Participant


@dataclass(frozen=True, slots=True)
class Interest:
    """Which events are wanted. None means every kind, topic or sender."""

    kinds: frozenset[Kind] | None = None
    topic: str | None = None
    sender: str | None = None

    @classmethod
    def of(
        cls,
        kind: str | Iterable[str] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
    ) -> Interest:
        """An interest in one kind, several kinds, or all of them (None), with checked arguments.

        Raises:
            TypeError: for a kind, topic or sender that is not a str, or a Participant as sender.
            ValueError: for an unknown kind.
        """
        who = None if sender is None else checks.identity(sender, "sender")
        return cls(checks.kinds(kind), checks.wanted_topic(topic), who)

    def covers(self, kind: Kind, topic: str, sender: str | None) -> bool:
        """Whether events of this kind, topic and sender are wanted."""
        return (
            (self.kinds is None or kind in self.kinds)
            and (self.topic is None or topic == self.topic)
            and (self.sender is None or sender == self.sender)
        )

    def matches(self, event: Event) -> bool:
        """Whether `event` is of a wanted kind, topic and sender, in either direction."""
        return self.covers(event.kind, event.topic, event.sender)

    def receives(self, event: Event) -> bool:
        """Whether to deliver `event`: it matches, and is not a message that this participant sent."""
        return self.matches(event) and (event.direction == "in" or event.kind in STATE_KINDS)
