"""The handshake that joins a room: time-limited, never cancelled, and leaving no orphaned participant behind."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from weakref import WeakKeyDictionary

import psutil
from livekit import rtc

from lknb import refusals, server, server_api
from lknb.credentials import Credentials, Secret, scrub
from lknb.errors import ConnectError
from lknb.loop import keep
from lknb.proxies import Proxy, proxy_for
from lknb.sdk import SdkRoom

_WHY_LEAST = 0.5
# More than this many handshakes at a time slow each other down until they time out.
_AT_A_TIME = 10
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def handshake(sdk: SdkRoom, credentials: Credentials, token: Secret, room: str, deadline: float) -> None:
    """Join with `sdk` by the time `deadline` of `time.monotonic`.

    Cancelling the SDK's connect kills the process some seconds later. So a handshake that takes too long, or whose cell
    is interrupted, continues in the background and then leaves the room.

    Raises:
        ConnectError: if it fails; the message gives the cause and the next step.
    """
    timeout = max(0.1, round(deadline - time.monotonic(), 1))
    url, proxy = credentials.url, proxy_for(credentials.url)
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_A_TIME))
    try:
        await asyncio.wait_for(turns.acquire(), timeout)
    except TimeoutError:
        raise ConnectError("Ten other rooms are still being joined. Try again when they have finished.") from None
    limit = max(0.1, deadline - time.monotonic())
    joining = keep(_join(sdk, credentials, token, limit))
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
            with contextlib.suppress(TimeoutError):
                left = max(_WHY_LEAST, deadline - time.monotonic())
                full = await asyncio.wait_for(server_api.is_full(credentials, room), left)
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


async def _join(sdk: SdkRoom, credentials: Credentials, token: Secret, limit: float) -> str | None:
    """Connect; return the reason if that fails.

    The SDK's exception contains the token, so it must not become the context of another exception.
    """
    if credentials.embedded:
        await asyncio.to_thread(server.check_ours, credentials.url)
    try:
        # The SDK tries four times; the first attempt gets half of the time.
        await sdk.join(credentials.url, token, attempt_timeout=max(1.0, limit / 2))
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
        keep(sdk.disconnect())
