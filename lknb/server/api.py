"""The calls of LiveKit's HTTP API that running the server needs. `http.client` never uses a proxy.

No token is sent unless the server holds its port: another user of this machine can take it when the server has ended.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import jwt

from lknb.server import os_errors, owner
from lknb.server.state_file import Record

_TIMEOUT = 2.0
_MAX_ANSWER = 16 * 1024 * 1024


def answers(server: Record) -> bool:
    """Whether the server is up and accepts its recorded key."""
    return _rooms(server) is not None


def participants(server: Record) -> dict[str, int] | None:
    """The number of participants in each room; None if the server does not answer.

    Requests each room separately, because the counts in the list of rooms are up to 5 s old.
    """
    names = _rooms(server)
    if names is None:
        return None
    counts = {}
    for name in names:
        found = _call(server, "ListParticipants", {"roomAdmin": True, "room": name}, {"room": name})
        if found is None:
            return None
        counts[name] = len(found.get("participants", []))
    return counts


def _rooms(server: Record) -> list[str] | None:
    found = _call(server, "ListRooms", {"roomList": True}, {})
    return None if found is None else [str(room["name"]) for room in found.get("rooms", [])]


def _call(server: Record, method: str, grants: dict[str, Any], body: dict[str, Any]) -> dict[str, Any] | None:
    """Call a method of the room service; None without an answer, or if the server refuses."""
    if not owner.holds_port(server):
        return None
    now = int(time.time())
    claims = {"iss": server.api_key, "nbf": now - 60, "exp": now + 60, "video": grants}
    token = jwt.encode(claims, server.api_secret, algorithm="HS256")
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=_TIMEOUT)
    try:
        connection.connect()
        # It held its port before and after connecting, so nobody else accepted the connection.
        if not owner.holds_port(server):
            return None
        connection.request(
            "POST",
            f"/twirp/livekit.RoomService/{method}",
            json.dumps(body),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        response = connection.getresponse()
        text = response.read(_MAX_ANSWER)
        if response.status == 404:  # the room closed in the meantime
            return {}
        found = json.loads(text) if response.status == 200 else None
        return found if isinstance(found, dict) else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, OSError) and os_errors.is_shortage(error):
            raise  # it says nothing about the server, which must not be taken for dead
        return None
    finally:
        connection.close()
