"""The server's API, for what participants cannot do, or learn too late. It needs an API key and its secret.

See https://docs.livekit.io/home/server/managing-rooms/.
"""

from __future__ import annotations

import asyncio
from typing import Any

from lknb.credentials import Credentials

_WITHIN = 1.0


def client(credentials: Credentials, room: str) -> Any:
    """LiveKit's API client for one room, as an async context manager."""
    from livekit import api

    token = credentials.token or credentials.mint_for_api(room)
    return api.LiveKitAPI(credentials.url.replace("ws", "http", 1), token=token.reveal())


async def identities(credentials: Credentials, room: str) -> set[str] | None:
    """The identities in the room, including those not announced yet; None if the server does not answer in time."""
    from livekit import api

    try:
        async with client(credentials, room) as server:
            answer = await asyncio.wait_for(
                server.room.list_participants(api.ListParticipantsRequest(room=room)), _WITHIN
            )
    except Exception:  # only a shortcut: callers have a slower way
        return None
    return {participant.identity for participant in answer.participants}


async def room_sid(credentials: Credentials, room: str) -> str | None:
    """The id of the room with this name; None if there is no such room, or no answer in time."""
    from livekit import api

    try:
        async with client(credentials, room) as server:
            answer = await asyncio.wait_for(server.room.list_rooms(api.ListRoomsRequest(names=[room])), _WITHIN)
    except Exception:  # only a shortcut: the SDK gets the id later
        return None
    return str(answer.rooms[0].sid) if answer.rooms else None
