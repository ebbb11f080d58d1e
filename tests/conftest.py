"""Fixtures for every test: one real livekit-server per run, a room per test, and peers on the plain SDK."""

from __future__ import annotations

import contextlib
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


# Folders and files that are slow as a whole, and why. Single tests have the marker.
SLOW = {
    "browser": "needs a browser",
    "test_notebooks.py": "runs the quickstart in a kernel of its own",
    "test_tutorials.py": "runs every tutorial in a kernel of its own",
    "test_two_notebooks.py": "runs two notebooks in kernels of their own",
    "test_parameters.py": "runs a notebook in a kernel of its own",
    "test_docs_site.py": "runs every page of the documentation, one of them in a browser",
    "test_magics_kernel.py": "needs three kernels of its own",
    "test_kernel.py": "needs kernels of its own",
    "test_leaks.py": "makes thousands of calls",
    "test_types.py": "runs two type checkers without a cache",
    "test_proxies.py": "runs proxies, relays and processes of its own",
    "test_functions.py": "waits for timeouts and cancelled calls of many kinds of functions",
    "test_secrets.py": "makes dozens of joins that fail",
    "test_refusals.py": "starts servers with configurations of their own",
    "test_cancel.py": "moves much data",
    "test_link.py": "waits for a link, which writes a few times a second",
    "test_peers.py": "runs two plain peers for each test; the other tests use the same ones",
    "test_widget_chat.py": "runs plain peers for the details of one widget",
    "test_widget_participants.py": "runs plain peers for the details of one widget",
    "test_widget_rpc.py": "runs plain peers for the details of one widget",
    "test_widget_transfers.py": "runs plain peers for the details of one widget",
}


def why_slow(path: Path) -> str | None:
    """Return why a folder or file is slow as a whole, or None."""
    here = Path(__file__).parent
    return SLOW.get(path.relative_to(here).parts[0]) if path != here and path.is_relative_to(here) else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import slow files for `-m "not slow"`: that takes seconds. The long faults run only by themselves."""
    selected = config.getoption("markexpr")
    if selected != "faults" and collection_path.parent.name == "faults":
        return True
    return True if selected == "not slow" and why_slow(collection_path) else None


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in slow files, and require a reason for every `slow` marker."""
    for item in items:
        if why := why_slow(item.path):
            item.add_marker(pytest.mark.slow(why))
        for mark in [*item.iter_markers("slow"), *item.iter_markers("faults")]:
            assert mark.args, f"{item.nodeid} does not say why it is {mark.name}"


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
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a server of its own, which it may break, and return the directory; it is not started yet."""
    monkeypatch.setenv("LKNB_SERVER", str(server.install()))
    monkeypatch.setenv("LKNB_STATE_DIR", str(tmp_path / "state"))
    yield tmp_path / "state"
    with contextlib.suppress(lknb.ServerError):
        server.stop()


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
    """Yield a function that joins this test's room with a plain peer: `peer("carol", can_publish_data=False)`."""
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
