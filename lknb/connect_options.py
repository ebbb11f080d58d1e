"""`ConnectOptions`: the checked arguments of `lknb.connect`, as one object."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lknb.credentials import Credentials, check_token
from lknb.defaults import MAX_STREAM_SIZE

TIMEOUT = 10.0
"""Default number of seconds for joining a room."""

NAME_LIMIT = 256
"""Maximum bytes of a room name or an identity."""

# Easy to read aloud, and never a word by accident: no vowels, no y, and no l, which looks like 1.
_READABLE = "bcdfghjkmnpqrstvwxz"


@dataclass(frozen=True)
class ConnectOptions:
    """The room to join, the identity to join with, and how.

    To add an option, add a parameter to `connect`, which checks it, and a field here, and read it from
    `Connection.options`.

    Attributes:
        room: the room's name.
        identity: this participant's identity.
        credentials: how to reach the server.
        name: the display name, or None.
        attributes: the initial attributes.
        metadata: the initial metadata, or None.
        max_stream_size: maximum bytes of an incoming stream.
        hidden: whether the others do not see this participant.
        timeout: seconds for joining. Not compared: joining again with another timeout returns the same room.
    """

    room: str
    identity: str
    credentials: Credentials
    name: str | None
    attributes: Mapping[str, str]
    metadata: str | None
    max_stream_size: int
    hidden: bool
    timeout: float = field(compare=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """Server, room and identity. Only one connection at a time can use the same three."""
        return (self.credentials.url, self.room, self.identity)

    @property
    def largest_stream(self) -> int:
        """The most bytes that an incoming stream or call may have. The SDK has one limit for all of them."""
        return max(self.max_stream_size, MAX_STREAM_SIZE)

    @property
    def initial_state(self) -> dict[str, Any]:
        """The name, attributes and metadata that a token can carry."""
        return {"name": self.name, "attributes": dict(self.attributes) or None, "metadata": self.metadata}


def chosen_identity(room: str, identity: str | None, credentials: Credentials) -> str:
    """The identity to join with: the token's, the given one, or this kernel's.

    Raises:
        ConnectError: if the token is not valid for `room` and `identity` now.
    """
    if credentials.token is not None:
        return check_token(credentials.token, room, identity).identity
    return default_identity() if identity is None else identity


@functools.cache
def default_identity() -> str:
    """This kernel's identity if none is given: unique, readable, and the same each time."""
    return "notebook-" + "".join(secrets.choice(_READABLE) for _ in range(4))
