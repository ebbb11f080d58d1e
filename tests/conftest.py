"""Fixtures for every test: one real livekit-server per run, a room per test, and peers on the plain SDK."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import PlainPeer, mint
from shells import Shell, a_shell
from waiting import eventually

import lknb
from lknb import server

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Require a reason for every `slow` marker."""
    for item in items:
        for mark in item.iter_markers("slow"):
            assert mark.args, f"{item.nodeid} does not say why it is slow"


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the tests their own server state, and hide the user's LIVEKIT_* settings and .env files."""
    patch = pytest.MonkeyPatch()
    for key in [key for key in os.environ if key.startswith("LIVEKIT_")]:
        patch.delenv(key)
    patch.setenv("LKNB_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    patch.chdir(tmp_path_factory.mktemp("cwd"))
    yield
    server.stop()
    patch.undo()


@pytest.fixture(scope="session")
def livekit(_clean_environment: None) -> server.RunningServer:
    """Return the running embedded server."""
    return server.ensure()


@pytest.fixture
def shell() -> Iterator[Shell]:
    """Yield a shell in this process with the magics loaded; see `shells`."""
    with a_shell() as shell:
        shell.cell("%load_ext lknb")
        yield shell


@pytest.fixture
def room_name(livekit: server.RunningServer) -> str:
    """Return a room name that no other test uses."""
    return f"test-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def join(room_name: str) -> Iterator[Callable[..., lknb.Room]]:
    """Yield a function that joins this test's room with lknb; every participant leaves at the end."""
    joined: list[lknb.Room] = []

    def connect(identity: str, **options: Any) -> lknb.Room:
        room = lknb.connect(options.pop("room", room_name), identity, **options)
        joined.append(room)
        return room

    yield connect
    for room in joined:
        room.close()


@pytest.fixture
def alice(join: Callable[..., lknb.Room]) -> lknb.Room:
    """Return a participant on lknb."""
    return join("alice")


@pytest.fixture
def bob(alice: lknb.Room, join: Callable[..., lknb.Room]) -> lknb.Room:
    """Return a second participant on lknb, visible to the first."""
    room = join("bob")
    eventually(lambda: "bob" in alice.participants)
    return room


@pytest.fixture
def peer(
    livekit: server.RunningServer, room_name: str, request: pytest.FixtureRequest
) -> Iterator[Callable[..., PlainPeer]]:
    """Yield a function that joins this test's room with the plain SDK in another process: `peer("carol", can_publish_data=False)`."""
    started: list[PlainPeer] = []

    def connect(identity: str = "peer", *, announce: bool = True, **grants: Any) -> PlainPeer:
        grants.setdefault("can_update_own_metadata", True)
        token = mint(livekit.api_key, livekit.api_secret, room_name, identity, **grants)
        plain = PlainPeer(livekit.url, token)
        started.append(plain)
        return plain.connect(announce=announce)

    yield connect
    for plain in started:
        plain.close()


@pytest.fixture
def token(livekit: server.RunningServer, room_name: str) -> Callable[..., str]:
    """Return a function that mints tokens for this test's room: `token("dave", can_update_own_metadata=False)`."""

    def make(identity: str, **grants: Any) -> str:
        return mint(livekit.api_key, livekit.api_secret, grants.pop("room", room_name), identity, **grants)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    return tmp_path
