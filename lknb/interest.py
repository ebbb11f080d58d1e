"""`Interest`: which events a handler, an inbox or a widget wants, by kind, topic and sender."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from lknb.errors import did_you_mean
from lknb.event import KINDS, STATE_KINDS, Event, Kind


@dataclass(frozen=True, slots=True)
class Interest:
    """Which events are wanted. None means every kind, topic or sender."""

    kinds: frozenset[Kind] | None = None
    topic: str | None = None
    sender: str | None = None

    @classmethod
    def of(
        cls, kind: str | Iterable[str] | None = None, topic: str | None = None, sender: str | None = None
    ) -> Interest:
        """An interest in one kind, several kinds, or all of them (None).

        Raises:
            ValueError: for an unknown kind.
        """
        return cls(checked_kinds(kind), topic, sender)

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


def checked_kinds(kind: str | Iterable[str] | None) -> frozenset[Kind] | None:
    """One kind or several as a set; None, for all of them, stays None.

    Raises:
        ValueError: for an unknown kind. The message shows how to pass a topic, since that is the usual cause.
    """
    if kind is None:
        return None
    kinds = frozenset([kind] if isinstance(kind, str) else kind)
    for name in sorted(kinds, key=str):
        if name not in KINDS:
            raise ValueError(
                f"{name!r} is not a kind of event{did_you_mean(str(name), KINDS)} Kinds: {', '.join(KINDS)}. "
                f"The kind comes first; if {name!r} is a topic, write topic={name!r}."
            )
    return cast(frozenset[Kind], kinds)
