"""The errors that lknb raises on purpose. All derive from `LknbError`.

LknbError
├── ConnectError              a room could not be joined
├── NotConnectedError         the room is closed or reconnecting
├── UnknownParticipantError   no participant has that identity
├── PermissionDeniedError     the token lacks a grant
├── PayloadTooLargeError      the payload exceeds LiveKit's limit
├── SendError                 the SDK refused to send or to publish
├── DeliveryTimeoutError      an SDK call did not finish, or no event arrived in time; also a TimeoutError
├── StateError                the server did not confirm a state change
├── RpcError                  a remote method call failed, or a handler answers it with an error
├── StreamError               a text or byte stream was aborted or refused, or a data track is not published
├── TableError                a received file is not a table, or one that takes more memory than allowed
├── RecordingError            a recording cannot be written or read
└── ServerError               the embedded livekit-server could not be found, built, started or reached

Arguments that can never work raise Python's own TypeError or ValueError.
Every message says what failed, what is valid, and what to do next. None contains a token or a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from lknb.public import public


@public
class LknbError(Exception):
    """The base class of every error that lknb raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Without calling __init__ again: subclasses take other arguments than the message.
        return _copied, (type(self), self.args), vars(self)


@public
class ConnectError(LknbError):
    """A room could not be joined: no server, a refused token, or no answer in time."""


@public
class NotConnectedError(LknbError):
    """The room is closed or reconnecting, so nothing was sent.

    Raised immediately, instead of writing to a connection that may lose the data.
    """


@public
class UnknownParticipantError(LknbError):
    """No participant with that identity is in the room, even after a short wait.

    Attributes:
        identity: the identity looked for.
        present: the identities in the room.
    """

    def __init__(self, identity: str, present: Iterable[str], room: str) -> None:
        self.identity = identity
        self.present = sorted(present)
        here = ", ".join(map(repr, self.present)) or "nobody else"
        super().__init__(
            f"{identity!r} is not in room {room!r}{did_you_mean(identity, self.present)} "
            f"Present: {here}. Check the identity, or send once the participant has joined."
        )


@public
class PermissionDeniedError(LknbError):
    """This participant lacks a grant. Nothing was sent; if the grant was taken away meanwhile, a part may have arrived.

    Attributes:
        grant: the missing grant, by its name in a LiveKit token.
    """

    def __init__(self, grant: str, action: str, *, taken: bool = False) -> None:
        self.grant = grant
        super().__init__(
            f"{action} needs the grant {grant!r}, which was taken from this participant meanwhile. What was "
            "sent before may or may not have arrived. Ask whoever manages the room for the grant, then send it again."
            if taken
            else f"{action} needs the grant {grant!r}, which this participant's token does not have. "
            f"Join with a token that grants it (https://docs.livekit.io/home/get-started/authentication/)."
        )


@public
class PayloadTooLargeError(LknbError):
    """The payload exceeds LiveKit's limit; nothing was sent.

    Attributes:
        size: bytes of the payload.
        limit: bytes allowed.
    """

    def __init__(self, what: str, size: int, limit: int, instead: str) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"{what} is {size:,} bytes; the limit is {limit:,}. {instead}")


@public
class SendError(LknbError):
    """The SDK refused to send or to publish; the message gives its reason."""


@public
class DeliveryTimeoutError(LknbError, TimeoutError):
    """Something did not happen in time: an SDK call did not finish, or no event arrived. Also a `TimeoutError`."""


@public
class StateError(LknbError):
    """The server did not confirm a change of attributes, metadata or name."""


@public
class StreamError(LknbError):
    """A text or byte stream was aborted or refused, or a data track is not published."""


@public
class TableError(LknbError):
    """A received file is not a table, or one that takes more memory than allowed."""


@public
class RecordingError(LknbError):
    """A recording cannot be written any more, or a file cannot be read as one."""


@public
class ServerError(LknbError):
    """The embedded livekit-server could not be found, built, started or reached."""


@public
class RpcError(LknbError):
    """A remote method call failed. Raise it in a handler to answer the caller with an error.

    Codes 1001 to 1999 are LiveKit's (https://docs.livekit.io/transport/data/rpc/#errors). lknb itself answers
    with `INVALID_ARGUMENTS`, `FORBIDDEN`, `INVALID_RESPONSE` and `TOO_MANY_CALLS`. Every other number is free for your
    own errors.

    Args:
        code: a number; choose one outside 1001 to 1999.
        message: text for people; LiveKit sends at most 256 bytes of it.
        data: text for programs, at most 15 KiB. Values other than a str are sent as JSON.
    """

    INVALID_ARGUMENTS: Final = 400
    FORBIDDEN: Final = 403
    INVALID_RESPONSE: Final = 422
    TOO_MANY_CALLS: Final = 429

    NAMES: ClassVar[dict[int, str]] = {
        400: "INVALID_ARGUMENTS",
        403: "FORBIDDEN",
        422: "INVALID_RESPONSE",
        429: "TOO_MANY_CALLS",
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
        """The code's name, or `APPLICATION` for a code that the handler chose."""
        return self.NAMES.get(self.code, "APPLICATION")


def _copied(kind: type[LknbError], arguments: tuple[Any, ...]) -> LknbError:
    return kind.__new__(kind, *arguments)


def did_you_mean(given: str, valid: Iterable[str]) -> str:
    """The end of a sentence: a suggestion of the closest match in `valid`, or just the full stop."""
    close = difflib.get_close_matches(given, list(valid), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else "."
