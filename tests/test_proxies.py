"""Proxies: loopback and NO_PROXY are reached directly, everything else through the proxy, by the SDK and the API."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from proxy import Proxy
from relay import Relay
from waiting import eventually

import lknb
from lknb import server
from lknb.proxies import proxy_for

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as proxy:
        yield proxy


@pytest.fixture
def elsewhere(livekit: server.RunningServer) -> dict[str, Any]:
    """The server under a name that only the proxy can reach."""
    url = livekit.url.replace("127.0.0.1", "livekit.test")
    return {"url": url, "api_key": livekit.api_key, "api_secret": livekit.api_secret}


def in_the_environment_of_c(name: str) -> str | None:
    """What the SDK would read, which `os.environ` may not show."""
    code = f"import os; print(repr(os.environ.get({name!r})))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return None if shown.strip() == "None" else shown.strip()[1:-1]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("no_proxy", [None, "localhost,127.0.0.1"])
def test_loopback_needs_no_proxy(
    monkeypatch: pytest.MonkeyPatch, livekit: server.RunningServer, room_name: str, name: str, no_proxy: str | None
) -> None:
    with Proxy(refuse="403 Forbidden") as proxy:
        monkeypatch.setenv(name, proxy.url)
        if no_proxy:
            monkeypatch.setenv("NO_PROXY", no_proxy)
        with lknb.connect(room_name, "alice") as room:
            room.set_metadata("by the API")
            assert room.metadata == "by the API"
        credentials: dict[str, Any] = {"api_key": livekit.api_key, "api_secret": livekit.api_secret}
        localhost = livekit.url.replace("127.0.0.1", "localhost")
        with lknb.connect(room_name, "bob", url=localhost, **credentials) as room:
            assert room.state == "connected"
        assert proxy.requests == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_needed_proxy_is_used_by_the_sdk_and_the_api(
    monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], room_name: str, proxy: Proxy, name: str
) -> None:
    monkeypatch.setenv(name, proxy.url)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,.example.com")
    with lknb.connect(room_name, "alice", **elsewhere) as room:
        room.set_metadata("by the API")
        assert room.metadata == "by the API"
    assert any(each.startswith("CONNECT livekit.test:") for each in proxy.requests)
    assert any(each.startswith("POST http://livekit.test:") for each in proxy.requests)


def test_no_proxy_is_obeyed_by_the_sdk_and_the_api(
    monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], room_name: str, proxy: Proxy
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "test")
    with pytest.raises(lknb.ConnectError, match="could not be found"):  # directly, nobody knows that name
        lknb.connect(room_name, "alice", **elsewhere, timeout=30)
    assert proxy.requests == []


def test_a_proxy_without_a_scheme_and_with_a_password(
    monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], room_name: str
) -> None:
    with Proxy(credentials="me:canary-word") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removeprefix("http://"))
        with lknb.connect(room_name, "alice", **elsewhere) as room:
            room.set_metadata("by the API")
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("canary", "wrong"))
        with pytest.raises(lknb.ConnectError, match="407 Proxy Authentication Required") as refused:
            lknb.connect(room_name, "bob", **elsewhere)
        assert f"The proxy http://{proxy.address} did not connect to {elsewhere['url']}" in str(refused.value)
        assert "word" not in str(refused.value)


def test_the_environment_is_as_before(
    monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], room_name: str, proxy: Proxy
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    with lknb.connect(room_name, "alice"), lknb.connect(room_name, "bob", **elsewhere):
        assert ("HTTP_PROXY" in os.environ, os.environ["http_proxy"]) == (False, proxy.url)
        assert (in_the_environment_of_c("HTTP_PROXY"), in_the_environment_of_c("http_proxy")) == (None, proxy.url)


def test_rooms_with_and_without_a_proxy_join_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], room_name: str
) -> None:
    async def main(proxy: Proxy) -> list[lknb.Room]:
        direct = [lknb.aio.connect(room_name, f"direct-{each}") for each in range(3)]
        proxied = [lknb.aio.connect(room_name, f"proxied-{each}", **elsewhere) for each in range(3)]
        return await asyncio.gather(*(each for pair in zip(direct, proxied, strict=True) for each in pair))

    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        rooms = asyncio.run(main(proxy))
        assert [room.state for room in rooms] == ["connected"] * 6
        assert not any("127.0.0.1" in each for each in proxy.requests)
        for room in rooms:
            room.close()


def test_proxies_may_be_set_and_removed_while_a_join_hangs(
    monkeypatch: pytest.MonkeyPatch, livekit: server.RunningServer, room_name: str, proxy: Proxy
) -> None:
    def hang() -> None:
        with pytest.raises(lknb.ConnectError, match="did not answer"):
            lknb.connect(room_name, "hanging", url=url, api_key="key", api_secret="s" * 32, timeout=4)

    with socket.create_server(("127.0.0.1", 0)) as hole:  # it takes connections and never answers
        url = f"ws://127.0.0.1:{hole.getsockname()[1]}"
        hanging = threading.Thread(target=hang)
        hanging.start()
        for name in ("HTTP_PROXY", "http_proxy", "HTTP_PROXY"):
            with monkeypatch.context() as patch:
                patch.setenv(name, proxy.url)
                with lknb.connect(room_name, "alice") as room:
                    assert room.state == "connected"
        hanging.join()
        assert proxy.requests == []


def test_a_join_that_was_given_up_keeps_no_other_room_waiting(
    monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], room_name: str, proxy: Proxy
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"ws://127.0.0.1:{hole.getsockname()[1]}"
        with pytest.raises(lknb.ConnectError, match="did not answer"):
            lknb.connect(room_name, "hanging", url=url, api_key="key", api_secret="s" * 32, timeout=0.5)
        with lknb.connect(room_name, "alice", **elsewhere) as room:
            assert room.state == "connected"


@pytest.mark.parametrize("how", ["HTTP_PROXY", "http_proxy"])
def test_a_reconnect_uses_no_proxy_either(
    monkeypatch: pytest.MonkeyPatch, livekit: server.RunningServer, room_name: str, how: str
) -> None:
    with Proxy(refuse="403 Forbidden") as proxy, Relay(livekit.url) as relay:
        monkeypatch.setenv(how, proxy.url)
        key: dict[str, Any] = {"api_key": livekit.api_key, "api_secret": livekit.api_secret}
        with lknb.connect(room_name, "alice", url=relay.url, **key) as room:
            changes = room.listen("connection")
            relay.refuse()
            assert changes.next(timeout=20).topic == "reconnecting"
            relay.allow()
            assert changes.next(timeout=30).topic == "connected"
            assert not room.events.filter("loss"), "the SDK reached the server only by joining anew"
        eventually(lambda: in_the_environment_of_c(how) == proxy.url)


# What can go wrong


def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any]) -> None:
    with Proxy(refuse="403 Forbidden") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(
            lknb.ConnectError, match=rf"The proxy {proxy.url} did not connect to ws://livekit.test"
        ) as no:
            lknb.connect("studio", **elsewhere)
    assert "(403 Forbidden)" in str(no.value)
    assert "NO_PROXY" in str(no.value)


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any]) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(lknb.ConnectError, match=r"Nothing answers at the proxy http://127\.0\.0\.1:1"):
        lknb.connect("studio", **elsewhere)


@pytest.mark.parametrize(
    "proxy", ["socks5://me:canary@host:1080", "https://host:1", "http://", "http://[", "http://h:x"]
)
def test_a_proxy_that_the_sdk_cannot_use(
    monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(lknb.ConnectError, match="supports HTTP proxies only") as refused:
        lknb.connect("studio", **elsewhere)
    assert "canary" not in str(refused.value)


def test_a_refused_token_is_explained_past_a_proxy(
    monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, Any], proxy: Proxy
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with pytest.raises(lknb.ConnectError, match="refused the"):
        lknb.connect("studio", **{**elsewhere, "api_secret": "w" * 40})


# Which proxy


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("ws://host:7880", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("ws://host:7880", {"HTTPS_PROXY": "http://p:1"}, None),
        ("wss://host", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("wss://host", {"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://p:1"),
        ("wss://host", {"HTTP_PROXY": "http://p:1"}, None),
        ("wss://host", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("wss://host", {"HTTPS_PROXY": "", "all_proxy": "http://p:1"}, "http://p:1"),
        ("wss://host", {"HTTPS_PROXY": "p:1"}, "http://p:1"),
    ],
)
def test_the_variables_that_name_a_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], expected: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url)
    assert (str(found) if found is not None else None) == expected


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.8.9.1", "[::1]", "[::ffff:127.0.0.1]", "localhost."],
)
def test_loopback_by_every_name(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    assert proxy_for(f"ws://{host}:7880") is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*", "host", True),
        ("other, *", "host", True),
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com", True),
        ("example.com", "lk.example.com", True),
        ("example.com", "notexample.com", False),
        (".example.com", "lk.example.com", True),
        ("*.example.com", "lk.example.com", True),
        (" a.test , example.com ", "example.com", True),
        ("a.test example.com", "example.com", True),
        ("example.com:7880", "example.com", True),
        ("example.com:80", "example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:7880", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", False),
        ("fd00::/8", "[fd00::7]", True),
        ("[fd00::7]", "[fd00::7]", True),
        ("[fd00::7]:7880", "[fd00::7]", True),
        ("10.0.0.0/8", "[fd00::7]", False),
        ("10.0.0.0/8", "host", False),
        ("", "host", False),
        (",, ,", "host", False),
    ],
)
def test_no_proxy_in_every_form(monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, direct: bool) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(f"ws://{host}:7880") is None) is direct
