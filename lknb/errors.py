"""Everything lknb raises on purpose. All of it derives from `LknbError`.

LknbError
├── ConnectError              a room could not be joined
├── NotConnectedError         the room is closed, or is being reached again
├── UnknownParticipantError   nobody of that identity is in the room
├── PermissionDeniedError     the token lacks a grant
├── PayloadTooLargeError      more than LiveKit carries this way
├── StateError                the server did not confirm a state change
├── RpcError                  a remote method call failed, or is to fail
├── StreamError               a text or byte stream broke off, or a data track is gone
└── ServerError               the embedded livekit-server could not be had

Every message says what failed, what would be valid, and what to do next. None carries a token or a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, Final


class LknbError(Exception):
    """The base of every error that lknb raises on purpose."""


class ConnectError(LknbError):
    """A room could not be joined: no server, a refused token, or no answer in time."""


class NotConnectedError(LknbError):
    """The room is closed or reconnecting, so nothing was sent.

    Raised at once, rather than letting a call write into a connection that loses it.
    """


class UnknownParticipantError(LknbError):
    """Nobody of that identity is in the room, also not after a moment's wait.

    Attributes:
        identity: who was looked for.
        present: the identities of those who are there.
    """

    def __init__(self, identity: str, present: Iterable[str], room: str) -> None:
        self.identity = identity
        self.present = sorted(present)
        here = ", ".join(map(repr, self.present)) or "nobody else"
        super().__init__(
            f"{identity!r} is not in room {room!r}{did_you_mean(identity, self.present)} "
            f"Present: {here}. Check the identity, or send once they have joined."
        )


class PermissionDeniedError(LknbError):
    """The token of this participant lacks a grant; nothing was sent.

    Attributes:
        grant: the missing grant, by the name it has in a LiveKit token.
    """

    def __init__(self, grant: str, action: str) -> None:
        self.grant = grant
        super().__init__(
            f"{action} needs the grant {grant!r}, which this participant's token does not have. "
            f"Join with a token that grants it (https://docs.livekit.io/home/get-started/authentication/)."
        )


class PayloadTooLargeError(LknbError):
    """The payload is over what LiveKit carries this way; nothing was sent.

    Attributes:
        size: what was given, in bytes.
        limit: what fits, in bytes.
    """

    def __init__(self, what: str, size: int, limit: int, instead: str) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"{what} is {size:,} bytes; at most {limit:,} fit. {instead}")


class StateError(LknbError):
    """The server did not confirm a change of attributes, metadata or name."""


class StreamError(LknbError):
    """A text or byte stream broke off or was refused, or a data track is no longer published."""


class ServerError(LknbError):
    """The embedded livekit-server could not be found, built or started."""


class RpcError(LknbError):
    """A remote method call failed. Raise it in a handler to answer the caller with an error.

    Codes 1001 to 1999 are LiveKit's (https://docs.livekit.io/home/client/data/rpc/#errors); lknb answers
    with `INVALID_ARGUMENTS`, `FORBIDDEN` and `INVALID_RESPONSE`; every other number is yours.

    Args:
        code: a number; your own are best outside 1001 to 1999.
        message: for people; LiveKit carries 256 bytes of it.
        data: for programs, best as JSON, which other values than a str become; LiveKit carries 15 KiB of it.
    """

    INVALID_ARGUMENTS: Final = 400
    FORBIDDEN: Final = 403
    INVALID_RESPONSE: Final = 422

    NAMES: ClassVar[dict[int, str]] = {
        400: "INVALID_ARGUMENTS",
        403: "FORBIDDEN",
        422: "INVALID_RESPONSE",
        1400: "UNSUPPORTED_METHOD",
        1401: "RECIPIENT_NOT_FOUND",
        1402: "REQUEST_PAYLOAD_TOO_LARGE",
        1403: "UNSUPPORTED_SERVER",
        1404: "UNSUPPORTED_VERSION",
        1500: "APPLICATION_ERROR",
        1501: "CONNECTION_TIMEOUT",
        1502: "RESPONSE_TIMEOUT",
        1503: "RECIPIENT_DISCONNECTED",
        1504: "RESPONSE_PAYLOAD_TOO_LARGE",
        1505: "SEND_FAILED",
    }

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{code} {self.name}: {message}")

    @property
    def name(self) -> str:
        """The code's name, or `APPLICATION` for a code of the handler's own."""
        return self.NAMES.get(self.code, "APPLICATION")

    def __reduce__(self) -> tuple[type[RpcError], tuple[int, str, str | None]]:
        return type(self), (self.code, self.message, self.data)


def did_you_mean(given: str, valid: Iterable[str]) -> str:
    """The end of a sentence that names the closest of `valid`, or just its full stop."""
    close = difflib.get_close_matches(given, list(valid), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else "."
