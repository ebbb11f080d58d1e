"""Who is in the room: immutable snapshots of participants, readable from any thread at any time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from livekit import rtc

from lknb.public import public
from lknb.tables import Table

_KINDS = {0: "standard", 1: "ingress", 2: "egress", 3: "sip", 4: "agent", 5: "connector", 6: "bridge"}
_STATES = {0: "joining", 1: "joined", 2: "active", 3: "disconnected"}
_QUALITIES = {-1: "unknown", 0: "poor", 1: "good", 2: "excellent", 3: "lost"}


K = TypeVar("K")
V = TypeVar("V")


class ReadOnly(dict[K, V]):
    """A dict that never changes. Unlike a mapping proxy, it can be copied, pickled, hashed and written as JSON."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "A snapshot of a participant cannot be changed. Change your own attributes with room.attributes, or a "
            "copy of these with dict(...)."
        )

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


@public
@dataclass(frozen=True, slots=True)
class Participant:
    """A snapshot of a participant. Read `room.participants` again for the current state.

    Attributes:
        identity: unique in the room.
        name: the display name; may be empty.
        metadata: the metadata; may be empty.
        attributes: the attributes, read-only.
        kind: `standard`, `agent`, `sip`, `ingress`, `egress`, ...
        state: `active` once it can receive; before that `joining` or `joined`.
        joined_at: when it joined, timezone-aware; None if not known yet.
        quality: the connection quality: `excellent`, `good`, `poor`, `lost` or `unknown`.
        permissions: what the participant may do, by the names of LiveKit's permissions.
        data_tracks: the names of its published data tracks.
        is_local: whether it is this notebook's participant.
        sid: LiveKit's id of this session of the participant.
    """

    identity: str
    name: str
    metadata: str
    attributes: Mapping[str, str]
    kind: str
    state: str
    joined_at: dt.datetime | None
    quality: str
    permissions: Mapping[str, bool]
    data_tracks: tuple[str, ...]
    is_local: bool
    sid: str

    def __repr__(self) -> str:
        you = " (you)" if self.is_local else ""
        name = f" {self.name!r}" if self.name else ""
        return f"<Participant {self.identity!r}{name}{you} {self.kind} {self.state} {dict(self.attributes)!r}>"


def snapshot(participant: rtc.Participant, data_tracks: tuple[str, ...], *, is_local: bool) -> Participant:
    """A snapshot of an SDK participant. Call this on the loop thread only."""
    permission = participant.permissions
    return Participant(
        identity=participant.identity,
        name=participant.name,
        metadata=participant.metadata,
        attributes=ReadOnly(participant.attributes),
        kind=_KINDS.get(participant.kind, f"kind {participant.kind}"),
        # The SDK never updates the local participant's state, but it is in the room and can receive.
        state="active" if is_local else _STATES.get(participant.state, "unknown"),
        joined_at=participant.joined_at,
        quality=_QUALITIES.get(int(participant.connection_quality), "unknown"),
        permissions=ReadOnly(
            {
                "canPublishData": permission.can_publish_data,
                "canSubscribe": permission.can_subscribe,
                "canPublish": permission.can_publish,
                "canUpdateOwnMetadata": permission.can_update_metadata,
                "hidden": permission.hidden,
            }
        ),
        data_tracks=data_tracks,
        is_local=is_local,
        sid=participant.sid,
    )


@public
class Participants(Mapping[str, Participant]):
    """Everybody in the room by identity, including this notebook's participant.

    The mapping is replaced as a whole when something changes, so reading it needs no lock.
    """

    def __init__(self) -> None:
        self._now: Mapping[str, Participant] = {}

    def replace(self, participants: Mapping[str, Participant]) -> None:
        """Replace the whole mapping."""
        self._now = participants

    def __getitem__(self, identity: str) -> Participant:
        return self._now[identity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def __contains__(self, identity: Any) -> bool:
        return identity in self._now

    def table(self, *, live: bool = True) -> Table:
        """A table of everybody in the room, with a row for each participant; of a closed room, without their states."""
        rows = [
            (
                each.identity + (" (you)" if each.is_local else ""),
                each.name,
                each.kind,
                *((each.state, each.quality) if live else ()),
                ", ".join(f"{key}={value}" for key, value in sorted(each.attributes.items())),
                each.metadata,
                ", ".join(each.data_tracks),
                each.joined_at,
            )
            for each in self._now.values()
        ]
        states = ("state", "quality") if live else ()
        columns = ("identity", "name", "kind", *states, "attributes", "metadata", "data tracks", "joined")
        return Table(columns, rows, empty="No participants.")

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __repr__(self) -> str:
        return "\n".join([f"<{len(self)} participants>", *(f"  {each!r}" for each in self._now.values())])
