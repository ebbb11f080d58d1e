"""The embedded server's port in the hands of another user: no token goes there."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import jwt
import pytest
from strangers import NOBODY, a_thief
from waiting import eventually

import lknb
from lknb import server, server_api
from lknb.connection import of_server
from lknb.handshake import handshake
from lknb.loop import LOOP
from lknb.sdk import SdkRoom
from lknb.server import process, state_file


def port_of(running: server.RunningServer) -> int:
    return int(running.url.rpartition(":")[2])


def killed(running: server.RunningServer) -> server.RunningServer:
    os.kill(running.pid, signal.SIGKILL)
    eventually(lambda: server.status() is None, 15, "the death is noticed")
    return running


def join_with(running: server.RunningServer) -> None:
    """Join with the credentials of a server, as a room does that found it a moment ago."""
    credentials = of_server(running)

    async def join() -> None:
        sdk = SdkRoom(
            on_event=lambda *_: None,
            on_text_stream=lambda *_: None,
            on_byte_stream=lambda *_: None,
            max_stream_size=10**6,
        )
        await handshake(sdk, credentials, credentials.mint("studio", "alice", {}), "studio", time.monotonic() + 10)
        await sdk.disconnect()

    LOOP.run(join(), "join")


def test_running_server_is_ours(own_server: Path) -> None:
    running = server.ensure()
    assert server.is_ours(running.url)
    assert server.is_ours(running.url, running.api_key)
    assert not server.is_ours(running.url, "another key")
    assert not server.is_ours(f"ws://127.0.0.1:{port_of(running) - 1}")
    server.stop()
    assert not server.is_ours(running.url)


def test_port_without_server_is_not_ours(own_server: Path) -> None:
    assert not server.is_ours("ws://127.0.0.1:7880")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
def test_port_that_the_server_does_not_hold_is_not_ours(own_server: Path) -> None:
    server.ensure()
    known = state_file.read(own_server)
    assert known is not None
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        port = bound.getsockname()[1]
        state_file.write(own_server, dataclasses.replace(known, http_port=port))
        assert not server.is_ours(f"ws://127.0.0.1:{port}")
    state_file.write(own_server, known)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "::"])
def test_thief_of_the_port_gets_no_token_of_a_join(own_server: Path, host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    gone = killed(server.ensure())
    with a_thief(port_of(gone), host) as thief:
        thief.wait()
        assert not server.is_ours(gone.url)
        with pytest.raises(lknb.ConnectError, match=rf"user id {NOBODY}\) listens .* No token was sent. Connect again"):
            join_with(gone)
        assert thief.end() == ""


def test_thief_of_the_port_gets_no_token_for_the_api(own_server: Path) -> None:
    gone = killed(server.ensure())
    with a_thief(port_of(gone)) as thief:
        thief.wait()
        known = state_file.read(own_server)
        assert known is not None
        # The process in the record lives, and the port is another's.
        state_file.write(own_server, dataclasses.replace(known, pid=os.getpid(), born=process.birth(os.getpid()) or ""))
        assert server.status() is None
        assert server.participants() == {}
        state_file.write(own_server, known)
        assert asyncio.run(server_api.identities(of_server(gone), "studio")) is None
        assert thief.end() == ""


def test_room_joins_again_on_another_port(own_server: Path) -> None:
    room = lknb.connect("studio", "alice")
    first = server.ensure()
    room.close()
    killed(first)
    with a_thief(port_of(first)) as thief:
        thief.wait()
        room.rejoin()
        again = server.ensure()
        assert again.url != first.url
        assert server.participants() == {"studio": 1}
        room.close()
        assert thief.end() == ""


@pytest.mark.slow("waits for a room to join again")
def test_open_room_leaves_a_stolen_port(own_server: Path) -> None:
    room = lknb.connect("studio", "alice")
    changes = room.listen("connection", topic="connected")
    first = server.ensure()
    with a_thief(port_of(first)) as thief:
        os.kill(first.pid, signal.SIGKILL)
        thief.wait()
        changes.next(timeout=60)
        again = server.ensure()
        assert again.url != first.url
        assert server.participants() == {"studio": 1}
        room.close()
        # The SDK may have sent the token of the server that died. The next one has another key.
        assert again.api_key not in keys_in(thief.end())


def keys_in(received: str) -> set[str]:
    """Return the keys of all tokens in what a thief received."""
    tokens = re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", received)
    return {jwt.decode(each, options={"verify_signature": False})["iss"] for each in tokens}


def test_join_of_server_that_ended_says_so(own_server: Path) -> None:
    running = server.ensure()
    server.stop()
    with pytest.raises(lknb.ConnectError, match=r"is no longer running\. Connect again"):
        join_with(running)


def test_old_token_is_of_no_use_after_restart(own_server: Path) -> None:
    first = killed(server.ensure())
    second = server.ensure()
    stale = dataclasses.replace(second, api_key=first.api_key, api_secret=first.api_secret)
    with pytest.raises(lknb.ConnectError, match="does not know the API key"):
        join_with(stale)
