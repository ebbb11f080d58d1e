"""The proxy for a server's URL: the same one for LiveKit's SDK and for the server's API.

HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name proxies, and NO_PROXY lists hosts to reach without one; lower-case names take
precedence, as everywhere in Python. Loopback is always reached directly.

The SDK reads HTTP_PROXY and HTTPS_PROXY by itself, each time it connects, and knows neither the other variables nor
loopback. So while it connects, the process's environment has what it should read. `os.environ` stays as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from lknb.credentials import Secret
from lknb.errors import ConnectError

_RETRY = 0.05

# Changed only on the loop thread: the values that connecting rooms need in the environment, the newest last, and the
# variables that differ from `os.environ` because of that.
_needed: list[tuple[str, str]] = []
_changed: set[str] = set()


@dataclass(frozen=True)
class Proxy:
    """A proxy; `str` gives its address without credentials.

    Attributes:
        url: its URL, which may contain a password.
        address: its scheme, host and port.
    """

    url: Secret
    address: str

    def __str__(self) -> str:
        return self.address


def proxy_for(url: str) -> Proxy | None:
    """The proxy to reach `url` through; None to reach it directly.

    Raises:
        ConnectError: for a proxy that LiveKit's SDK cannot use.
    """
    target = urllib.parse.urlsplit(url)
    proxies = urllib.request.getproxies_environment()
    proxy = (proxies.get("https" if _is_secure(url) else "http") or proxies.get("all") or "").strip()
    if not proxy or _is_direct(target.hostname or "", target.port, proxies.get("no", "")):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        parts = urllib.parse.urlsplit(proxy)
        address = f"{parts.scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        parts, address = urllib.parse.SplitResult("", "", "", "", ""), "in the environment"
    if parts.scheme != "http" or not parts.hostname:
        raise ConnectError(
            f"{url} cannot be reached through the proxy {address}: LiveKit's SDK supports HTTP proxies only. Set "
            f"{_variable(url)} to a URL like http://proxy.example.com:3128, or add {target.hostname} to NO_PROXY to "
            "connect without a proxy."
        )
    if parts.password:
        Secret(parts.password)  # from now on, it is removed from messages and logs
    return Proxy(Secret(proxy, in_messages=True), address)


@contextlib.contextmanager
def sdk_uses_proxy_for(url: str) -> Iterator[None]:
    """Have the SDK connect to `url` through the right proxy, or through none. Call this on the loop thread."""
    need = _need(url)
    _needed.append(need)
    _update(need[0])
    try:
        yield
    finally:
        _needed.remove(need)
        _update(need[0])


async def until_free(url: str) -> None:
    """Wait while rooms that need another proxy for the same kind of URL are connecting."""
    variable, value = _need(url)
    while any(name == variable and other != value for name, other in _needed):  # noqa: ASYNC110 - rare and short
        await asyncio.sleep(_RETRY)


def _need(url: str) -> tuple[str, str]:
    """The variable that the SDK reads for `url`, and the value that it should have."""
    try:
        proxy = proxy_for(url)
    except ConnectError:  # the environment has changed since the room was joined
        proxy = None
    return _variable(url), proxy.url.reveal() if proxy is not None else ""


def _update(variable: str) -> None:
    """Set a variable to what the SDK should read, or back to what it was. `os.environ` stays as it is.

    An empty variable turns the proxy off for the SDK; most other programs read its lower-case form then. A variable
    that has the right effect already is left alone, because other threads may be reading the environment.
    """
    own = os.environ.get(variable)
    value = next((value for name, value in reversed(_needed) if name == variable), None)
    if value is None or value == (os.environ.get(variable.lower(), "") if own is None else own):
        value = own
    if value != own:
        assert value is not None
        os.putenv(variable, value)
        _changed.add(variable)
    elif variable in _changed:
        _changed.discard(variable)
        if own is None:
            os.unsetenv(variable)
        else:
            os.putenv(variable, own)


def _variable(url: str) -> str:
    return "HTTPS_PROXY" if _is_secure(url) else "HTTP_PROXY"


def _is_secure(url: str) -> bool:
    return urllib.parse.urlsplit(url).scheme in ("wss", "https")


def _is_direct(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether a host is on loopback or in NO_PROXY: as its name, a parent domain, an address, a network, or `*`."""
    host = host.rstrip(".")
    address = _network(host)
    if host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback):
        return True
    for entry in no_proxy.lower().replace(",", " ").split():
        name, colon, last = entry.rpartition(":")
        if colon and last.isdecimal() and _network(entry) is None:
            if int(last) != port:
                continue
            entry = name
        if entry == "*":
            return True
        network = _network(entry)
        if address is not None and network is not None:
            if address.version == network.version and address.network_address in network:
                return True
        elif f".{host}".endswith("." + entry.lstrip("*.")):
            return True
    return False


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """`text` as an address or a network; None if it is a name."""
    try:
        network = ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return ipaddress.ip_network(mapped) if mapped is not None else network
