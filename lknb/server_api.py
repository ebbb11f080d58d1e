"""The server's API, for what participants cannot do, or learn too late. It needs an API key and its secret.

See https://docs.livekit.io/home/server/managing-rooms/.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from lknb.credentials import Credentials, without_locals
from lknb.proxies import proxy_for
from lknb.server import check_ours

_WITHIN = 1.0
_ANSWER_WITHIN = 10.0


@contextlib.asynccontextmanager
async def client(credentials: Credentials, room: str) -> AsyncIterator[Any]:
    """LiveKit's API client for one room.

    Raises:
        ConnectError: if another user's process took the embedded server's port.
    """
    import aiohttp
    from livekit import api

    if credentials.embedded:
        await asyncio.to_thread(check_ours, credentials.url)
    proxy = proxy_for(credentials.url)
    token = credentials.token or credentials.mint_for_api(room)
    with without_locals():  # the client's frames hold the token
        async with (
            aiohttp.ClientSession(
                proxy=proxy.url.reveal() if proxy is not None else None,
                timeout=aiohttp.ClientTimeout(total=_ANSWER_WITHIN),
            ) as session,
            api.LiveKitAPI(credentials.url.replace("ws", "http", 1), token=token.reveal(), session=session) as server,
        ):
            yield server


async def participants(credentials: Credentials, room: str) -> list[Any] | None:
    """The participants of the room, including those not announced yet; None if the server does not answer in time."""
    try:
        from livekit import api

        async with client(credentials, room) as server:
            answer = await asyncio.wait_for(
                server.room.list_participants(api.ListParticipantsRequest(room=room)), _WITHIN
            )
    except Exception as error:  # only a shortcut: callers have a slower way
        return [] if getattr(error, "code", None) == "not_found" else None
    return list(answer.participants)


async def identities(credentials: Credentials, room: str, *, sending: bool = False) -> set[str] | None:
    """The identities in the room, including those not announced yet; None if the server does not answer in time.

    With `sending`, only those that may send data.
    """
    present = await participants(credentials, room)
    if present is None:
        return None
    return {each.identity for each in present if each.permission.can_publish_data or not sending}


async def has_ended(url: str) -> bool:
    """Whether the server's address says that there is no server now: by refusing, by hanging up, or as a gateway.

    False if nothing comes back at all, as on a dead link, and through a proxy, which may refuse by itself.
    """
    if proxy_for(url) is not None:
        return False
    import aiohttp

    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WITHIN)) as session,
            session.get(url.replace("ws", "http", 1), allow_redirects=False) as answer,
        ):
            return answer.status in (502, 503, 504)
    except (ConnectionError, aiohttp.ServerDisconnectedError):
        return True
    except aiohttp.ClientOSError as error:
        return isinstance(error.__cause__, ConnectionError)
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError):
        return False


async def room_sid(credentials: Credentials, room: str) -> str | None:
    """The id of the room with this name; None if there is no such room, or no answer in time."""
    try:
        from livekit import api

        async with client(credentials, room) as server:
            answer = await asyncio.wait_for(server.room.list_rooms(api.ListRoomsRequest(names=[room])), _WITHIN)
    except Exception:  # only a shortcut: the SDK gets the id later
        return None
    return str(answer.rooms[0].sid) if answer.rooms else None


async def is_full(credentials: Credentials, room: str) -> bool | None:
    """Whether the room has as many participants as it may have; None if the server does not say."""
    try:
        from livekit import api

        async with client(credentials, room) as server:
            found = await asyncio.wait_for(server.room.list_rooms(api.ListRoomsRequest(names=[room])), _WITHIN)
    except Exception:  # only an explanation: without it, the message names the possible causes
        return None
    if not found.rooms:
        return False
    present = await identities(credentials, room)
    return None if present is None else bool(0 < found.rooms[0].max_participants <= len(present))
