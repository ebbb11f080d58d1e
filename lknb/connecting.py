"""`lknb.connect`: from its arguments to a live room, and the open rooms of this kernel."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, ParamSpec
from weakref import WeakValueDictionary

from lknb import checks, server
from lknb.connect_options import NAME_LIMIT, TIMEOUT, ConnectOptions, chosen_identity
from lknb.connection import Connection, of_server
from lknb.credentials import Credentials, Secret, find, is_token, strip_edges, without_locals
from lknb.defaults import MAX_STREAM_SIZE
from lknb.errors import ConnectError
from lknb.events import EventLog
from lknb.loop import LOOP, at_exit
from lknb.public import public
from lknb.room import Room, joined_room
from lknb.systems import Systems
from lknb.systems.state import ATTRIBUTES_LIMIT, check_attributes
from lknb.watchdog import watch

# Jupyter gives a kernel five seconds to shut down.
_EXIT_WITHIN = 4.5
_CONFIRM_AT_EXIT = 2.5

P = ParamSpec("P")
Key = tuple[str, str, str]
Request = tuple[Callable[[Credentials], ConnectOptions], Credentials | None]
"""The function that makes the options from credentials, and the credentials; None for the embedded server."""


class _Open:
    """An open room, with its connection and its options."""

    def __init__(self, room: Room, systems: Systems, options: ConnectOptions) -> None:
        self.room = room
        self.connection = systems.connection
        self.options = options


# Changed only on the loop thread.
_open: dict[Key, _Open] = {}
# Keeps two cells from joining with the same identity at the same time. Held only while joining.
_joining: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
# Closed rooms that have not left yet, because they are still sending.
_leaving: dict[Key, asyncio.Future[None]] = {}


@public
def rooms() -> list[Room]:
    """The open rooms of this kernel."""
    return [each.room for each in list(_open.values())]


def _request(
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
    timeout: float | dt.timedelta = TIMEOUT,
    max_stream_size: int = MAX_STREAM_SIZE,
    hidden: bool = False,
) -> Request:
    """Join a room and return it, connected and visible to its participants.

    Without a URL (as argument, in LIVEKIT_URL or in `.env`), the embedded livekit-server is used, and started if
    needed; all kernels of this user share it. Joining the same room with the same identity and arguments again returns
    the same live room; with another argument, a new connection replaces the old one.

    Args:
        room: the room's name. A room that does not exist is created.
        identity: unique in the room; with a token, the token's. If not given: `notebook-` and four letters, the same
            in this kernel each time.
        name: a display name.
        attributes: initial attributes of this participant; at most 64 KiB.
        metadata: initial metadata of this participant.
        url: the server's URL, such as wss://... or ws://...
        token: an access token. If not given, lknb mints one for this room only, valid for an hour.
        api_key: the API key for minting, with `api_secret`; LIVEKIT_API_KEY if not given.
        api_secret: the API secret; LIVEKIT_API_SECRET if not given.
        timeout: seconds for joining, after the embedded server has started.
        max_stream_size: maximum bytes of an incoming stream, unless its handler sets another limit.
        hidden: join without being seen, to record or to observe. The others get no event of this participant, and do
            not find it in the room. Needs an API key, or the embedded server; with a token, its grants decide.

    Raises:
        ConnectError: if the room cannot be joined; the message gives the cause and the next step.
        ServerError: if the embedded server cannot be found, built or started.
        PayloadTooLargeError: if the initial attributes or metadata exceed LiveKit's limits.
        PermissionDeniedError: if the token does not allow setting them.
        TypeError: for an argument of another type.
        ValueError: for an argument that can never work, such as an empty room name or a negative timeout.

    Examples:
        >>> room = lknb.connect("studio", identity="alice", attributes={"status": "ready"})
        >>> with lknb.connect("studio", identity="bob") as bob:
        ...     bob.send_text("hello")

    See https://docs.livekit.io/home/client/connect/.
    """
    for what, text in (("room", room), ("identity", identity), ("url", url), ("api_key", api_key)):
        if is_token(text):
            raise ValueError(f"{what} is an access token. Pass it as token=.")
    secret_token, secret_key = _secret("token", token), _secret("api_secret", api_secret)
    del token, api_secret
    checks.named(room, "room", NAME_LIMIT)
    if identity is not None:
        checks.named(identity, "identity", NAME_LIMIT)
    for argument, value in (("name", name), ("metadata", metadata)):
        if value is not None:
            checks.text(value, argument, "Use json.dumps(...) for JSON values." if argument == "metadata" else "")
    initial = check_attributes({} if attributes is None else attributes, ATTRIBUTES_LIMIT)
    within = checks.seconds(timeout)
    largest_stream = checks.whole(max_stream_size, "max_stream_size", checks.BYTES)
    hidden = checks.flag(hidden, "hidden")
    credentials = find(_text("url", url), secret_token, _text("api_key", api_key), secret_key)
    if hidden and credentials is not None and not credentials.can_mint:
        raise ValueError("hidden=True needs an API key: a token has its own grants. Ask for one with the grant hidden.")

    def options(credentials: Credentials) -> ConnectOptions:
        return ConnectOptions(
            room=room,
            identity=chosen_identity(room, identity, credentials),
            credentials=credentials,
            name=name,
            attributes=initial,
            metadata=metadata,
            max_stream_size=largest_stream,
            hidden=hidden,
            timeout=within,
        )

    return options, credentials


def _text(what: str, text: Any) -> str | None:
    """A setting without blanks and line ends at its edges; None if it is not given or empty."""
    return (strip_edges(checks.text(text, what)) or None) if text is not None else None


def _secret(what: str, text: Any) -> Secret | None:
    stripped = _text(what, text)
    return Secret(stripped) if stripped else None


def _blocking(parse: Callable[P, Request]) -> Callable[P, Room]:
    @functools.wraps(parse)
    def connect(*args: P.args, **kwargs: P.kwargs) -> Room:
        with without_locals():
            try:
                request = parse(*args, **kwargs)
            finally:
                del args, kwargs  # they hold secrets, and a traceback can show them
            made: list[Room] = []
            return LOOP.run(
                lambda: _connect(*request, made), "connect", "await lknb.aio.connect(...)", undo=lambda _: _close(made)
            )

    _name(connect)
    return connect


def _awaitable(parse: Callable[P, Request]) -> Callable[P, Coroutine[Any, Any, Room]]:
    @functools.wraps(parse)
    async def connect(*args: P.args, **kwargs: P.kwargs) -> Room:
        with without_locals():
            try:
                request = parse(*args, **kwargs)
            finally:
                del args, kwargs
            return await LOOP.wait(_connect(*request, []))

    _name(connect)
    return connect


def _name(connect: Any) -> None:
    """Show a derived function as `connect(...) -> Room` at run time, as type checkers see it."""
    connect.__signature__ = inspect.signature(connect).replace(return_annotation="Room")
    connect.__annotations__ = {**connect.__annotations__, "return": "Room"}
    connect.__name__ = connect.__qualname__ = "connect"
    del connect.__wrapped__
    public(connect)


connect = _blocking(_request)
aio_connect = _awaitable(_request)


async def _close(made: list[Room]) -> None:
    for room in made:
        await room.aio.close()


async def _connect(
    make_options: Callable[[Credentials], ConnectOptions], credentials: Credentials | None, made: list[Room]
) -> Room:
    """Join, and add the room to `made` if it was not open before."""
    if credentials is None:
        credentials = of_server(await asyncio.to_thread(server.ensure))
    options = make_options(credentials)
    deadline = time.monotonic() + options.timeout
    async with _alone(options, deadline):
        existing = _open.get(options.key)
        if existing is not None:
            if existing.options == options:
                return existing.room
            # Half of the time for what it has sent; giving up makes it leave at once.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(existing.connection.close(), options.timeout / 2)
        await _previous_left(options, deadline)
        made.append(await _join(options, deadline))
        return made[0]


@contextlib.asynccontextmanager
async def _alone(options: ConnectOptions, deadline: float) -> AsyncIterator[None]:
    """Keep others from joining with this identity, and wait for one who is joining."""
    lock = _joining.setdefault(options.key, asyncio.Lock())
    try:
        await asyncio.wait_for(lock.acquire(), deadline - time.monotonic())
    except TimeoutError:
        raise ConnectError(
            f"{options.identity!r} is already being connected to room {options.room!r}, by another cell or thread of "
            f"this kernel, and that took longer than {options.timeout:g} s. Wait until it has finished, then try again."
        ) from None
    try:
        yield
    finally:
        lock.release()


async def _previous_left(options: ConnectOptions, deadline: float) -> None:
    while (leaving := _leaving.get(options.key)) is not None:
        done, _ = await asyncio.wait((leaving,), timeout=max(0.0, deadline - time.monotonic()))
        if not done:
            raise ConnectError(
                f"The previous connection of {options.identity!r} to room {options.room!r} is still delivering what "
                f"it sent, for more than {options.timeout:g} s. Interrupt its close() to leave at once, or try again "
                "later."
            )


async def _join(options: ConnectOptions, deadline: float) -> Room:
    connection = Connection(options, EventLog())
    systems = Systems(connection)

    async def rejoin(room: Room) -> None:
        await _rejoin(room, systems, options)

    def closed() -> None:
        _open.pop(options.key, None)
        if not connection.left.done():
            _leaving[options.key] = connection.left
            connection.left.add_done_callback(lambda _: _leaving.pop(options.key, None))

    room = joined_room(systems, rejoin)
    connection.on_closed(closed)
    try:
        await connection.open(deadline)
        await systems.state.adopt(options.attributes, options.metadata, options.name)
    except BaseException:
        await asyncio.shield(connection.close("joining failed"))
        raise
    _open[options.key] = _Open(room, systems, options)
    _leave_at_exit()
    watch()
    return room


async def _rejoin(room: Room, systems: Systems, options: ConnectOptions) -> None:
    deadline = time.monotonic() + options.timeout
    async with _alone(options, deadline):
        other = _open.get(options.key)
        if other is not None and other.room is room:
            return
        if other is not None:
            raise ConnectError(
                f"{options.identity!r} is already in room {options.room!r}, with another connection of this kernel. "
                "Use that one (lknb.rooms() lists it), or close it first."
            )
        await _previous_left(options, deadline)
        await systems.connection.reopen(deadline)
        _open[options.key] = _Open(room, systems, options)


@functools.cache
def _leave_at_exit() -> None:
    # Registered after the SDK's exit function, so it runs first.
    at_exit(_close_all, _EXIT_WITHIN)


async def _close_all() -> None:
    connections = [each.connection for each in list(_open.values())]
    closing = (each.close("the interpreter ended", confirm_within=_CONFIRM_AT_EXIT) for each in connections)
    await asyncio.gather(*closing, return_exceptions=True)
