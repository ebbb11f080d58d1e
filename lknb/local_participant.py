"""`room.local_participant`: this notebook's participant, its state, and how to change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lknb.live import Live
from lknb.participants import Participant
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.sync_async import awaitable, blocking
from lknb.systems import Systems
from lknb.systems.state import Attributes, ParticipantState


@public
class AioLocalParticipant(Live, ReadOnly):
    """`room.aio.local_participant`: the methods of `LocalParticipant` as coroutines, for code on an event loop."""

    _instead = "Use room.participants[room.identity], which is a snapshot."

    def __init__(self, systems: Systems) -> None:
        self._systems = systems
        self._fix()

    set_attributes = awaitable(lambda systems: systems.state, ParticipantState.set_attributes)
    set_metadata = awaitable(lambda systems: systems.state, ParticipantState.set_metadata)
    set_name = awaitable(lambda systems: systems.state, ParticipantState.set_name)

    def __repr__(self) -> str:
        return f"<awaitable methods of local participant {self._systems.connection.identity!r}>"


@public
class LocalParticipant(Live, ReadOnly):
    """This notebook's participant in a room, as `room.local_participant`. The server confirms each change.

    See https://docs.livekit.io/transport/data/state/participant-attributes/.

    Attributes:
        attributes: this participant's attributes, a mutable mapping; `room.attributes` is the same mapping.
    """

    _awaitable: ClassVar[str] = "room.aio.local_participant"
    _instead = "Use room.participants[room.identity], which is a snapshot."
    _write_instead = {  # noqa: RUF012 - declared as a ClassVar in the base class
        "attributes": 'Write room.attributes.update({...}) or room.attributes["key"] = "value".',
        "metadata": "Write room.local_participant.set_metadata(...).",
        "name": "Write room.local_participant.set_name(...).",
        "identity": "Join with another identity with lknb.connect(...).",
    }

    def __init__(self, systems: Systems) -> None:
        self._systems = systems
        self.attributes = Attributes(systems.state, self._current_attributes)
        self._fix()

    @property
    def identity(self) -> str:
        """The identity, unique in the room."""
        return self._systems.connection.identity

    @property
    def name(self) -> str:
        """The display name; "" if there is none."""
        me = self._snapshot()
        return me.name if me else ""

    @property
    def metadata(self) -> str:
        """The metadata; "" if there is none."""
        me = self._snapshot()
        return me.metadata if me else ""

    @property
    def permissions(self) -> Mapping[str, bool]:
        """What this participant may do, by the names of LiveKit's permissions."""
        me = self._snapshot()
        return me.permissions if me else {}

    @property
    def sid(self) -> str:
        """LiveKit's id of this session of the participant; a full reconnect gives a new one."""
        me = self._snapshot()
        return me.sid if me else ""

    @property
    def is_admin(self) -> bool:
        """Whether this participant may administer the room: it has the grant roomAdmin, or an API key."""
        return self._systems.room_state.is_admin

    set_attributes = blocking(lambda systems: systems.state, ParticipantState.set_attributes)
    set_metadata = blocking(lambda systems: systems.state, ParticipantState.set_metadata)
    set_name = blocking(lambda systems: systems.state, ParticipantState.set_name)

    def _snapshot(self) -> Participant | None:
        return self._systems.connection.presence.participants.get(self.identity)

    def _current_attributes(self) -> Mapping[str, str]:
        me = self._snapshot()
        return me.attributes if me else {}

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<LocalParticipant {self.identity!r}{name} {dict(self.attributes)!r}>"
