"""Why a server could not be joined, in words that say what to do: one for each answer that a server can give.

livekit-server answers a join with an HTTP status and a text, in `pkg/service` and `pkg/rtc`. The SDK passes both on,
except for failures after the token was accepted: their text is lost.
"""

from __future__ import annotations

import re

from lknb.proxies import Proxy

_ANSWER = re.compile(r"(?:client|server|handshake) error: (\d{3})(.*?)(?: - (.*))?\Z", re.DOTALL)
_SHOWN = 200


def has_no_reason(failure: str) -> bool:
    """Whether the server refused the join after it had accepted the token, without giving the reason."""
    return "handshake error: 500" in failure


def explain(failure: str, url: str, room: str, *, proxy: Proxy | None = None, full: bool | None = None) -> str:
    """Turn the SDK's reason for a failed connect into a message that says what to do.

    Args:
        failure: the SDK's reason, without secrets.
        url: the server's URL.
        room: the room's name.
        proxy: the proxy that was used.
        full: whether the room is known to be full, or not to be.
    """
    answer = _ANSWER.search(failure)
    if answer is not None:
        status, meaning, text = answer.groups()
        text = " ".join((text or "").split())[:_SHOWN]
        return _explain_answer(int(status), f"{status}{meaning.rstrip()}", text, url, room, full)
    first = failure.splitlines()[0] if failure else "no reason given"
    if proxy is not None:
        return _explain_proxy(failure, first, url, proxy)
    if "HTTP version" in failure or "httparse" in failure:
        return f"{url} answers, but is not a LiveKit server. Check the URL and its port."
    if "refused" in failure:
        return f"Nothing answers at {url} (connection refused). Is livekit-server running there?"
    if "lookup" in failure or "Name or service" in failure or "nodename" in failure:
        return f"The host of {url} could not be found. Check the URL for a typo."
    if "invalid characters" in failure:
        return f"{url} refused the token: it contains characters that no token contains. Copy it again."
    if "certificate" in failure.lower() or "tls" in failure.lower():
        return f"{url} could not be reached over TLS: {first}"
    return f"{url} could not be joined: {first}"


def _of_the_token(text: str, url: str, room: str) -> str | None:
    """The message for an answer about the token; None for another answer."""
    # A part of the server's text, and the message. The first that fits counts.
    messages = {
        "invalid API key": f"{url} refused the token: the server does not know the API key. Check LIVEKIT_API_KEY.",
        "is expired": f"{url} refused the token: it has expired. Get a new one. If it is new, compare the clocks of "
        "the two machines.",
        "not valid yet": f"{url} refused the token: it is not valid yet. Wait until its start time ('nbf'). If that "
        "has passed, compare the clocks of the two machines.",
        "used before issued": f"{url} refused the token: it was issued in the future. Compare the clocks of the two "
        "machines, or get a new token.",
        "signing method": f"{url} refused the token: it is signed with another algorithm than HS256. Get a token that "
        "is signed with HS256.",
        "signature is invalid": f"{url} refused the token: its signature is invalid. Check LIVEKIT_API_SECRET, and "
        "that the token was made for this server.",
        "permissions denied": f"{url} refused the token: it does not grant joining room {room!r}. Get a token that "
        "does.",
        "no permissions": f"{url} refused the token: it does not grant joining room {room!r}. Get a token that does.",
        "invalid token": f"{url} refused the token: the server cannot read its claims. Get a token that is made with "
        "a LiveKit SDK or CLI.",
        "invalid authorization": f"{url} refused the token: it is not an access token. Pass it exactly as your token "
        "server prints it.",
        "identity cannot be empty": f"{url} refused the token: it names no identity ('sub'). Get a token for an "
        "identity.",
        "no room name": f"{url} refused the token: it names no room. Get a token for room {room!r}.",
    }
    return next((message for part, message in messages.items() if part in text), None)


def _of_the_room(text: str, url: str, room: str) -> str | None:
    """The message for another answer that only a LiveKit server gives; None for any other."""
    not_understood = f"{url} does not understand the request of LiveKit's SDK ({text}). Update livekit-server."
    messages = {
        "requested room does not exist": f"Room {room!r} does not exist at {url}, and that server creates no rooms "
        "when somebody joins (auto_create: false). Create the room there first, or join with a token that grants "
        "'roomCreate'.",
        "identity length exceeds limits": f"{url} does not accept an identity of this length ({text}). Choose a "
        "shorter one.",
        "room name length exceeds limits": f"{url} does not accept a room name of this length ({text}). Choose a "
        "shorter one.",
        "unknown room configuration": f"{url} does not have the room configuration that the token names "
        "('roomPreset'). Add it to the server's configuration, or get a token without it.",
        "exceeded its configured limit": f"{url} has reached the limit of tracks or traffic in its configuration. Try "
        "again later, or raise the limit.",
        "join request": not_understood,
        "join_request": not_understood,
    }
    return next((message for part, message in messages.items() if part in text), None)


def _explain_answer(status: int, shown: str, text: str, url: str, room: str, full: bool | None) -> str:
    known = (_of_the_token(text, url, room) if status in (400, 401, 403) else None) or _of_the_room(text, url, room)
    if known is not None:
        return known
    because = f"{shown}: {text}" if text else shown
    if status in (401, 403):
        return (
            f"{url} refused the join ({because}). Check key, secret or token. A gateway in front of the server may "
            "require something else."
        )
    if status == 429:
        return f"{url} accepts no more connections for now ({because}). Try again later, or raise the project's limits."
    if status == 500:
        return _explain_failure(because, url, room, full)
    if status in (502, 503, 504):
        return (
            f"{url} is reached, but no LiveKit server behind it is available ({because}). Try again in a moment, and "
            "check that livekit-server is running."
        )
    if 300 <= status < 400:
        return f"{url} redirects to another address ({shown}). Connect to that address."
    if status == 404 or 200 <= status < 300:
        return f"{url} answers, but is not a LiveKit server ({status}). Check the URL."
    return f"{url} refused the join ({because}). Check the URL, and that the server is a current livekit-server."


def _explain_failure(because: str, url: str, room: str, full: bool | None) -> str:
    if full:
        return f"Room {room!r} at {url} is full. Join when somebody has left, or raise the room's max_participants."
    causes = "the name, metadata or attributes to join with exceed its limits, or it has an internal problem"
    if full is None:
        causes = f"room {room!r} is full, {causes}"
    return f"{url} did not let this participant in, without a reason ({because}): {causes}. See the server's log."


def _explain_proxy(failure: str, first: str, url: str, proxy: Proxy) -> str:
    advice = "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or add the host to NO_PROXY to connect without a proxy."
    answer = re.search(r"Proxy connection failed: HTTP/\S+ (.*)", failure)
    if answer is not None:
        return f"The proxy {proxy} did not connect to {url} ({answer.group(1).strip()}). {advice}"
    if "refused" in failure:
        return f"Nothing answers at the proxy {proxy} (connection refused), which {url} is reached through. {advice}"
    if "lookup" in failure or "Name or service" in failure or "nodename" in failure:
        return f"The host of the proxy {proxy}, which {url} is reached through, could not be found. {advice}"
    return f"{url} could not be joined through the proxy {proxy}: {first}. {advice}"
