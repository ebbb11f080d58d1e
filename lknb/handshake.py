"""The handshake that joins a room: time-limited, never cancelled, and leaving no orphaned participant behind."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from typing import Any
from weakref import WeakKeyDictionary

import psutil
from livekit import rtc

from lknb.credentials import Secret, scrub
from lknb.errors import ConnectError
from lknb.sdk import SdkRoom

# More than this many handshakes at a time slow each other down until they time out.
_AT_A_TIME = 10
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
_UNFINISHED: set[asyncio.Task[Any]] = set()


async def handshake(sdk: SdkRoom, url: str, token: Secret, room: str, timeout: float) -> None:
    """Join with `sdk`, within `timeout` seconds.

    Cancelling the SDK's connect kills the process some seconds later. So a handshake that takes too long, or whose cell
    is interrupted, continues in the background and then leaves the room.

    Raises:
        ConnectError: if it fails; the message gives the cause and the next step.
    """
    deadline = time.monotonic() + timeout
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_A_TIME))
    try:
        await asyncio.wait_for(turns.acquire(), timeout)
    except TimeoutError:
        raise ConnectError("Ten other rooms are still being joined. Try again when they have finished.") from None
    limit = max(0.1, deadline - time.monotonic())
    joining = _keep(_join(sdk, url, token, limit))
    joining.add_done_callback(lambda _: turns.release())
    try:
        done, _ = await asyncio.wait((joining,), timeout=limit)
    except asyncio.CancelledError:
        joining.add_done_callback(lambda task: _leave(task, sdk))
        raise
    if not done:
        joining.add_done_callback(lambda task: _leave(task, sdk))
        raise ConnectError(unanswered(url, timeout))
    failure = joining.result()
    if failure is not None:
        raise ConnectError(explain(failure, url, room))


def unanswered(url: str, timeout: float) -> str:
    """Explain why a server may not have answered, and what to do."""
    if not _has_network():
        return (
            f"{url} did not answer within {timeout:g} s: this machine has no network interface except loopback, and "
            "LiveKit's SDK needs another one, even for a server on the same machine. Connect to any network, with or "
            "without internet access."
        )
    return (
        f"{url} did not answer within {timeout:g} s. Check that it is a LiveKit server and that no firewall blocks "
        "it. A slow connection may need a larger timeout=."
    )


def _has_network() -> bool:
    """Whether a network interface other than loopback is up and has an address. WebRTC in the SDK needs one."""
    up = {name for name, each in psutil.net_if_stats().items() if each.isup}
    addresses = (
        ipaddress.ip_address(each.address.partition("%")[0])
        for name, interface in psutil.net_if_addrs().items()
        for each in interface
        if name in up and each.family in (socket.AF_INET, socket.AF_INET6)
    )
    return not all(address.is_loopback for address in addresses)


async def _join(sdk: SdkRoom, url: str, token: Secret, limit: float) -> str | None:
    """Connect; return the reason if that fails.

    The SDK's exception contains the token, so it must not become the context of another exception.
    """
    try:
        # The SDK tries four times; the first attempt gets half of the time.
        await sdk.join(url, token, attempt_timeout=max(1.0, limit / 2))
    except rtc.ConnectError as error:
        return scrub(error.message)
    except Exception as error:
        return scrub(f"{type(error).__name__}: {error}")
    return None


def _leave(joining: asyncio.Task[str | None], sdk: SdkRoom) -> None:
    if not joining.cancelled() and joining.exception() is None and joining.result() is None:
        _keep(sdk.disconnect())


def _keep(coro: Any) -> asyncio.Task[Any]:
    """Start a task, and keep a reference until it ends: the loop itself keeps only a weak one."""
    task = asyncio.get_running_loop().create_task(coro)
    _UNFINISHED.add(task)
    task.add_done_callback(_UNFINISHED.discard)
    return task


def explain(failure: str, url: str, room: str) -> str:
    """Turn the SDK's reason for a failed connect into a message that says what to do."""
    first = failure.splitlines()[0] if failure else "no reason given"
    if "refused" in failure:
        return f"Nothing answers at {url} (connection refused). Is livekit-server running there?"
    if "lookup" in failure or "Name or service" in failure or "nodename" in failure:
        return f"The host of {url} could not be found. Check the URL for a typo."
    if re.search(r"\b40[13]\b", failure):
        if "permissions denied" in failure:
            return f"{url} refused the token: it does not grant joining room {room!r}. Get a token that does."
        if "expired" in failure:
            return f"{url} refused the token: it has expired. Get a new one."
        if "API key" in failure:
            return f"{url} refused the token: the server does not know the API key. Check LIVEKIT_API_KEY."
        return (
            f"{url} refused the token: its signature is invalid. Check LIVEKIT_API_SECRET, and that the token was made "
            "for this server."
        )
    if re.search(r"\b404\b", failure):
        return f"{url} answers, but is not a LiveKit server (404). Check the URL."
    if "certificate" in failure.lower() or "tls" in failure.lower():
        return f"{url} could not be reached over TLS: {first}"
    return f"{url} could not be joined: {first}"
