"""`lknb.connect`: from its arguments to a live room, and the open rooms of this kernel."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from lknb import server
from lknb.connection import Connection, of_server
from lknb.credentials import Credentials, Secret, check_token, find
from lknb.errors import LknbError
from lknb.events import EventLog
from lknb.loop import LOOP, at_exit
from lknb.room import Room
from lknb.systems.state import ATTRIBUTES_LIMIT, check_attributes
from lknb.systems.streams import MAX_STREAM_SIZE
from lknb.watchdog import watch

# Jupyter gives a kernel five seconds to end.
_EXIT_WITHIN = 4.5
_FLUSH_AT_EXIT = 2.5
# No vowels and no digits that look like letters: a tail to read out, not to stumble over.
_READABLE = "bcdfghjkmnpqrstvwxz"


@dataclass(frozen=True)
class Wish:
    """What `connect` was asked for."""

    room: str
    identity: str
    name: str | None
    attributes: Mapping[str, str]
    metadata: str | None
    credentials: Credentials
    max_stream_size: int

    @property
    def key(self) -> tuple[str, str, str]:
        """Server, room and identity: only one connection may have them."""
        return (self.credentials.url, self.room, self.identity)


# These belong to the loop thread.
_open: dict[tuple[str, str, str], tuple[Room, Wish]] = {}
# Keeps two cells from joining with one identity at once; held only while joining.
_joining: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()
# Those that are closed but not gone yet: what they sent is still on its way.
_leaving: dict[tuple[str, str, str], asyncio.Future[None]] = {}


@functools.cache
def default_identity() -> str:
    """This kernel's identity where none is given: unique, readable, and the same each time."""
    return "notebook-" + "".join(secrets.choice(_READABLE) for _ in range(4))


def rooms() -> list[Room]:
    """The open rooms of this kernel."""
    return [room for room, _ in list(_open.values())]


def connect(
    room: str,
    identity: str | None = None,
    *,
    name: str | None = None,
    attributes: Mapping[str, str] | None = None,
    metadata: str | None = None,
    url: str | None = None,
    token: str | None = None,
    api_key: str | None = None,
    api_secret: str | None = None,
    timeout: float = 10,
    max_stream_size: int = MAX_STREAM_SIZE,
) -> Room:
    """Join a room and return it, connected and seen by those in it.

    Without a URL (as argument, in LIVEKIT_URL or in `.env`) the embedded livekit-server is used, and started when
    needed; all kernels of this user share it. Joining the same room with the same identity and arguments again gives
    the same live room; with another argument, a new connection replaces the old one.

    Args:
        room: the room's name; it is made when it does not exist.
        identity: unique in the room; with a token, the token's. If not given: `notebook-` and four letters that stay
            the same in this kernel.
        name: a display name.
        attributes: initial attributes of this participant; at most 64 KiB.
        metadata: initial metadata of this participant.
        url: the server's, as wss://... or ws://...
        token: a ready access token. Otherwise one is minted, for this room only and valid for an hour.
        api_key: with `api_secret`, for minting; LIVEKIT_API_KEY if not given.
        api_secret: LIVEKIT_API_SECRET if not given.
        timeout: seconds for joining; starting the embedded server comes before.
        max_stream_size: bytes that an incoming stream may have, unless its handler says otherwise.

    Raises:
        ConnectError: with the cause and the next step.
        ServerError: when the embedded server cannot be had.
        PayloadTooLargeError, PermissionDeniedError: for the initial attributes and metadata.
    """
    # Wrapped before anything can fail, so that no traceback shows them among its local variables.
    secret_token, secret_key = _wrap(token), _wrap(api_secret)
    del token, api_secret
    credentials = find(url, secret_token, api_key, secret_key)
    return LOOP.run(
        _connect(room, identity, name, attributes, metadata, credentials, timeout, max_stream_size),
        "connect",
        "await lknb.aio.connect(...)",
    )


async def aio_connect(
    room: str,
    identity: str | None = None,
    *,
    name: str | None = None,
    attributes: Mapping[str, str] | None = None,
    metadata: str | None = None,
    url: str | None = None,
    token: str | None = None,
    api_key: str | None = None,
    api_secret: str | None = None,
    timeout: float = 10,
    max_stream_size: int = MAX_STREAM_SIZE,
) -> Room:
    """Join a room, for code on an event loop; takes and raises what `connect` does."""
    secret_token, secret_key = _wrap(token), _wrap(api_secret)
    del token, api_secret
    credentials = find(url, secret_token, api_key, secret_key)
    return await LOOP.wait(_connect(room, identity, name, attributes, metadata, credentials, timeout, max_stream_size))


def _wrap(text: str | None) -> Secret | None:
    return Secret(text) if text else None


async def _connect(
    room: str,
    identity: str | None,
    name: str | None,
    attributes: Mapping[str, str] | None,
    metadata: str | None,
    credentials: Credentials | None,
    timeout: float,
    max_stream_size: int,
) -> Room:
    for value, what in ((room, "room"), ("x" if identity is None else identity, "identity")):
        if not isinstance(value, str) or not 1 <= len(value.encode()) <= 256:
            raise ValueError(f"The {what} is a name of 1 to 256 bytes, not {value!r:.80}.")
    for text, what in ((name, "name"), (metadata, "metadata")):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"The {what} is a str, not {type(text).__name__}. Use json.dumps(...) for JSON values.")
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"timeout is a positive number of seconds, not {timeout!r}.")
    check_attributes(attributes or {}, ATTRIBUTES_LIMIT)
    if credentials is None:
        credentials = of_server(await asyncio.to_thread(server.ensure))
    if credentials.token is not None:
        identity = check_token(credentials.token, room, identity).identity
    wish = Wish(
        room,
        identity or default_identity(),
        name,
        dict(attributes or {}),
        metadata,
        credentials,
        max_stream_size,
    )
    async with _joining.setdefault(wish.key, asyncio.Lock()):
        existing = _open.get(wish.key)
        if existing is not None:
            live, earlier = existing
            if earlier == wish:
                return live
            await live.aio.close()
        while (leaving := _leaving.get(wish.key)) is not None:
            await asyncio.wait((leaving,))
        return await _join(wish, timeout)


async def _join(wish: Wish, timeout: float) -> Room:
    log = EventLog()
    connection = Connection(
        wish.room,
        wish.identity,
        wish.credentials,
        timeout,
        log,
        name=wish.name,
        attributes=wish.attributes,
        metadata=wish.metadata,
    )
    room = Room(connection, log, wish.max_stream_size)

    def closed() -> None:
        _open.pop(wish.key, None)
        if not connection.left.done():
            _leaving[wish.key] = connection.left
            connection.left.add_done_callback(lambda _: _leaving.pop(wish.key, None))

    connection.on_closed(closed)
    room._join_again = functools.partial(_rejoin, room, wish)
    try:
        await connection.open()
        await room._state.adopt(wish.attributes, wish.metadata, wish.name)
    except BaseException:
        await asyncio.shield(connection.close("joining failed"))
        raise
    _open[wish.key] = (room, wish)
    _leave_at_exit()
    watch()
    return room


async def _rejoin(room: Room, wish: Wish) -> None:
    async with _joining.setdefault(wish.key, asyncio.Lock()):
        other, _ = _open.get(wish.key, (None, None))
        if other is room:
            return
        if other is not None:
            raise LknbError(
                f"{wish.identity!r} is in room {wish.room!r} already, with another connection of this kernel: use that "
                "one (lknb.rooms() lists it), or close it first."
            )
        while (leaving := _leaving.get(wish.key)) is not None:
            await asyncio.wait((leaving,))
        await room._connection.reopen()
        _open[wish.key] = (room, wish)


@functools.cache
def _leave_at_exit() -> None:
    # Registered after the SDK's own, and so run before it.
    at_exit(_close_all, _EXIT_WITHIN)


async def _close_all() -> None:
    closing = (room._connection.close("the interpreter ended", flush_within=_FLUSH_AT_EXIT) for room in rooms())
    await asyncio.gather(*closing, return_exceptions=True)
