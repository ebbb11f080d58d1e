"""The handshake that joins a room: time-limited, never cancelled, and leaving no orphaned participant behind."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from typing import Any
from weakref import WeakKeyDictionary

import psutil
from livekit import rtc

from lknb import refusals, server_api
from lknb.credentials import Credentials, Secret, scrub
from lknb.errors import ConnectError
from lknb.proxies import Proxy, proxy_for
from lknb.sdk import SdkRoom

# More than this many handshakes at a time slow each other down until they time out.
_AT_A_TIME = 10
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
_UNFINISHED: set[asyncio.Task[Any]] = set()


async def handshake(sdk: SdkRoom, credentials: Credentials, token: Secret, room: str, timeout: float) -> None:
    """Join with `sdk`, within `timeout` seconds.

    Cancelling the SDK's connect kills the process some seconds later. So a handshake that takes too long, or whose cell
    is interrupted, continues in the background and then leaves the room.

    Raises:
        ConnectError: if it fails; the message gives the cause and the next step.
    """
    deadline = time.monotonic() + timeout
    url, proxy = credentials.url, proxy_for(credentials.url)
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
        _abandon(joining, sdk)
        raise
    if not done:
        _abandon(joining, sdk)
        raise ConnectError(unanswered(url, timeout, proxy))
    failure = joining.result()
    if failure is not None:
        full = None
        if credentials.can_mint and refusals.has_no_reason(failure):
            full = await server_api.is_full(credentials, room)
        raise ConnectError(refusals.explain(failure, url, room, proxy=proxy, full=full))


def unanswered(url: str, timeout: float, proxy: Proxy | None = None) -> str:
    """Explain why a server may not have answered, and what to do."""
    if not _has_network():
        return (
            f"{url} did not answer within {timeout:g} s: this machine has no network interface except loopback, and "
            "LiveKit's SDK needs another one, even for a server on the same machine. Connect to any network, with or "
            "without internet access."
        )
    through = f" through the proxy {proxy}" if proxy is not None else ""
    return (
        f"{url} did not answer{through} within {timeout:g} s. Check that it is a LiveKit server and that no firewall "
        "blocks it. A slow connection may need a larger timeout=."
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


def _abandon(joining: asyncio.Task[str | None], sdk: SdkRoom) -> None:
    sdk.give_up()
    joining.add_done_callback(lambda task: _leave(task, sdk))


def _leave(joining: asyncio.Task[str | None], sdk: SdkRoom) -> None:
    if not joining.cancelled() and joining.exception() is None and joining.result() is None:
        _keep(sdk.disconnect())


async def all_finished(within: float) -> None:
    """Wait for handshakes that callers gave up, for at most `within` seconds.

    If the loop stops first, the SDK tries to send its events to that loop for the rest of the process.
    """
    loop = asyncio.get_running_loop()
    while tasks := [each for each in _UNFINISHED if each.get_loop() is loop]:
        began = loop.time()
        _, pending = await asyncio.wait(tasks, timeout=within)
        within -= loop.time() - began
        if pending or within <= 0:
            return


def _keep(coro: Any) -> asyncio.Task[Any]:
    """Start a task, and keep a reference until it ends: the loop itself keeps only a weak one."""
    task = asyncio.get_running_loop().create_task(coro)
    _UNFINISHED.add(task)
    task.add_done_callback(_UNFINISHED.discard)
    return task
