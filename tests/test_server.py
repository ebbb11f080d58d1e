"""The embedded livekit-server, with the real binary: how it is found, runs and stops."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import http.client
import http.server
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import psutil
import pytest
from waiting import eventually, remains

from lknb import server
from lknb.errors import ServerError
from lknb.server import binary, golang, log, release, state_file
from lknb.server.command import StepFailedError

PEER = """
import asyncio, sys
from livekit import rtc

async def main(url, token):
    room = rtc.Room()
    room.on("reconnected", lambda: print("reconnected", flush=True))
    room.on("disconnected", lambda reason: print("disconnected", flush=True))
    await room.connect(url, token)
    print("joined", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await room.disconnect()

asyncio.run(main(*sys.argv[1:]))
"""


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def token(running: server.RunningServer, *, secret: str | None = None) -> str:
    now = int(time.time())
    claims = {"iss": running.api_key, "sub": "alice", "exp": now + 60, "video": {"roomJoin": True, "room": "studio"}}
    return jwt.encode(claims, secret or running.api_secret, algorithm="HS256")


@contextlib.contextmanager
def participant(running: server.RunningServer) -> Iterator[subprocess.Popen[str]]:
    """Keep a plain SDK client in the room, in another process, until the block ends."""
    peer = run_python(PEER, running.url, token(running))
    try:
        assert peer.stdout is not None
        assert peer.stdout.readline() == "joined\n"
        yield peer
        peer.communicate(timeout=15)
    finally:
        peer.kill()
        peer.communicate()


def watcher(state: Path) -> psutil.Process:
    known = state_file.read(state)
    assert known is not None
    return psutil.Process(known.watch_pid)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def livekit_server() -> Path:
    """Return the binary; install it in the user's cache if it is missing."""
    return server.install()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, livekit_server: Path) -> Iterator[Path]:
    """Give the test its own server directory."""
    monkeypatch.setenv("LKNB_SERVER", str(livekit_server))
    monkeypatch.setenv("LKNB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LKNB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("LKNB_SERVER_IDLE", raising=False)
    yield tmp_path / "state"
    with contextlib.suppress(ServerError):
        server.stop()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Simulate a machine without livekit-server, Go, network or cached binary; PATH is only this folder."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.delenv("LKNB_SERVER", raising=False)
    monkeypatch.setenv("LKNB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(release, "RELEASES", f"http://127.0.0.1:{closed.getsockname()[1]}")
    return folder


def cached(tmp_path: Path) -> Path:
    return tmp_path / "cache" / f"livekit-server-{binary.VERSION}" / "livekit-server"


class Releases:
    """A release page on 127.0.0.1 with an archive for this machine."""

    def __init__(self, root: Path) -> None:
        self.folder = root / f"v{binary.VERSION}"
        self.folder.mkdir(parents=True)
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                asked.append(Path(self.path).name)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def publish(self, content: bytes, *, member: str = "livekit-server", checksum: str | None = None) -> str:
        cpu = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        name = f"livekit_{binary.VERSION}_{os.uname().sysname.lower()}_{cpu}.tar.gz"
        with tarfile.open(self.folder / name, "w:gz", compresslevel=1) as tar:
            entry = tarfile.TarInfo(member)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        checksum = checksum or hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        (self.folder / "checksums.txt").write_text(f"{checksum}  {name}\n{'0' * 64}  other.zip\n", encoding="utf-8")
        return name


@pytest.fixture
def releases(nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    page = Releases(tmp_path / "releases")
    monkeypatch.setattr(release, "RELEASES", page.url)
    yield page
    page.http.shutdown()
    page.http.server_close()


class TestFinding:
    def test_binary_named_in_environment_comes_first(
        self, nowhere: Path, monkeypatch: pytest.MonkeyPatch, livekit_server: Path
    ) -> None:
        script(nowhere / "livekit-server", "echo livekit-server version 9.0.0")
        monkeypatch.setenv("LKNB_SERVER", str(livekit_server))
        assert server.install() == livekit_server

    def test_missing_named_binary_is_error(self, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LKNB_SERVER", str(nowhere / "missing"))
        with pytest.raises(ServerError, match=r"LKNB_SERVER is '.*missing', but there is no such file.*unset it"):
            server.install()

    def test_named_binary_must_be_executable(self, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script(nowhere / "plain", "").chmod(0o644)
        monkeypatch.setenv("LKNB_SERVER", str(nowhere / "plain"))
        with pytest.raises(ServerError, match="not executable"):
            server.install()

    def test_named_binary_must_be_livekit_server(self, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LKNB_SERVER", str(script(nowhere / "other", "echo hello")))
        with pytest.raises(ServerError, match="does not report a livekit-server version"):
            server.install()

    def test_binary_on_path_comes_before_cache(self, nowhere: Path, tmp_path: Path, livekit_server: Path) -> None:
        cached(tmp_path).parent.mkdir(parents=True)
        cached(tmp_path).symlink_to(livekit_server)
        mine = script(nowhere / "livekit-server", "echo livekit-server version 1.14.2")
        assert server.install() == mine

    def test_outdated_binary_on_path_is_skipped_and_mentioned(
        self, nowhere: Path, tmp_path: Path, livekit_server: Path
    ) -> None:
        cached(tmp_path).parent.mkdir(parents=True)
        cached(tmp_path).symlink_to(livekit_server)
        old = script(nowhere / "livekit-server", "echo livekit-server version 1.13.3")
        said: list[str] = []
        assert server.install(said.append) == cached(tmp_path)
        assert said == [f"skipping {old}: livekit-server 1.13.3 is older than 1.13.4"]

    @pytest.mark.slow("unpacks a whole livekit-server")
    def test_release_archive_is_installed_in_cache(
        self, releases: Releases, tmp_path: Path, livekit_server: Path
    ) -> None:
        releases.publish(livekit_server.read_bytes())
        said: list[str] = []
        assert server.install(said.append) == cached(tmp_path)
        assert binary.version_of(cached(tmp_path)) == binary.VERSION
        assert len(said) == 1
        assert not list((tmp_path / "cache").glob("install-*"))

    @pytest.mark.slow("runs several interpreters")
    def test_concurrent_processes_install_once(self, releases: Releases, tmp_path: Path, livekit_server: Path) -> None:
        name = releases.publish(livekit_server.read_bytes())
        code = f"from lknb.server import install, release; release.RELEASES = {releases.url!r}; print(install())"
        both = [run_python(code) for _ in range(2)]
        assert [process.communicate(timeout=60)[0] for process in both] == [f"{cached(tmp_path)}\n"] * 2
        assert releases.asked.count(name) == 1

    @pytest.mark.slow("packs a whole livekit-server")
    def test_archive_with_wrong_checksum_is_rejected(
        self, releases: Releases, tmp_path: Path, livekit_server: Path
    ) -> None:
        releases.publish(livekit_server.read_bytes(), checksum="ab" * 32)
        with pytest.raises(ServerError, match=r"was rejected: its SHA-256 is .*, but abab.* was published"):
            server.install()
        assert not cached(tmp_path).exists()

    def test_archive_with_path_traversal_is_rejected(self, releases: Releases, tmp_path: Path) -> None:
        releases.publish(b"#!/bin/sh\n", member="../livekit-server")
        with pytest.raises(ServerError, match="there is no livekit-server in"):
            server.install()
        assert not list(tmp_path.rglob("livekit-server"))

    def test_archive_with_wrong_version_is_rejected(self, releases: Releases, tmp_path: Path) -> None:
        releases.publish(b"#!/bin/sh\necho livekit-server version 1.0.0\n")
        with pytest.raises(ServerError, match=rf"produced livekit-server 1.0.0 instead of {binary.VERSION}"):
            server.install()
        assert not cached(tmp_path).exists()

    @pytest.mark.slow("unpacks a whole livekit-server")
    def test_broken_cached_binary_is_replaced(self, releases: Releases, tmp_path: Path, livekit_server: Path) -> None:
        script(cached(tmp_path), "exit 3")
        releases.publish(livekit_server.read_bytes())
        assert server.install() == cached(tmp_path)
        assert binary.version_of(cached(tmp_path)) == binary.VERSION

    @pytest.mark.slow("waits for a timeout")
    def test_download_gives_up_on_silent_network(
        self, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(release, "_REACH", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setattr(release, "RELEASES", f"http://127.0.0.1:{silent.getsockname()[1]}")
            with pytest.raises(ServerError, match=r"release archive: .*(did not answer within|timed out)"):
                server.install()

    @pytest.mark.slow("tries every way to get livekit-server")
    def test_error_lists_every_attempt_with_reason(self, nowhere: Path) -> None:
        script(nowhere / "livekit-server", "echo livekit-server version 1.9.0")
        script(nowhere / "go", "echo go1.22.1")
        with pytest.raises(ServerError) as raised:
            server.install(lambda _: None)
        message = str(raised.value)
        assert f"- PATH: {nowhere / 'livekit-server'} is 1.9.0, older than 1.13.4\n" in message
        assert f"- build with the Go on PATH: {nowhere / 'go'} is go1.22.1, but Go 1.26 or newer is needed\n" in message
        assert "- release archive: http://127.0.0.1" in message
        assert "Connection refused" in message
        assert f"- build with Go from PyPI: {Path(sys.executable).name} failed with exit code 1" in message
        assert "set LIVEKIT_URL" in message

    def test_build_does_not_see_livekit_secrets(
        self, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LIVEKIT_API_SECRET", "mine")
        monkeypatch.setenv("PATH", f"{nowhere}{os.pathsep}{os.defpath}")
        seen = tmp_path / "seen"
        script(nowhere / "go", f"env > '{seen}'; echo go1.22.1")
        with pytest.raises(StepFailedError):
            golang.build_with_own_go(binary.VERSION, tmp_path, lambda _: None)
        assert "GOTOOLCHAIN=local" in seen.read_text(encoding="utf-8")
        assert "LIVEKIT" not in seen.read_text(encoding="utf-8")


class TestRunning:
    def test_server_runs_and_answers(self, state: Path) -> None:
        running = server.ensure()
        host, _, port = running.url.removeprefix("ws://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"OK"
        connection.close()
        assert server.status() == running
        assert len(running.api_secret) >= 32

    def test_server_is_started_once(self, state: Path) -> None:
        assert server.ensure() == server.ensure()

    def test_concurrent_threads_start_one_server(self, state: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            assert len({running.pid for running in pool.map(lambda _: server.ensure(), range(8))}) == 1

    @pytest.mark.slow("runs several interpreters")
    def test_concurrent_processes_start_one_server(self, state: Path) -> None:
        processes = [run_python("from lknb import server; print(server.ensure().pid)") for _ in range(4)]
        said = {process.communicate(timeout=30)[0].strip() for process in processes}
        running = server.status()
        assert running is not None
        assert said == {str(running.pid)}

    def test_running_server_is_found_quickly(self, state: Path) -> None:
        server.ensure()
        best = float("inf")  # take the best, because others can be using the machine
        for _ in range(20):
            began = time.perf_counter()
            server.ensure()
            best = min(best, time.perf_counter() - began)
        assert best < 0.1

    def test_server_outlives_process_that_started_it(self, state: Path) -> None:
        starter = subprocess.Popen(
            [sys.executable, "-c", "from lknb import server; server.ensure(); print('up', flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        os.killpg(starter.pid, signal.SIGKILL)
        # Its pipes close too: neither the server nor its watcher inherited them.
        starter.communicate(timeout=5)
        assert server.status() is not None
        assert watcher(state).is_running()

    def test_killed_server_restarts_with_same_port_and_new_key(self, state: Path) -> None:
        first = server.ensure()
        os.kill(first.pid, signal.SIGKILL)
        eventually(lambda: server.status() is None, 15, "the death is noticed")
        second = server.ensure()
        assert second.pid != first.pid
        assert second.url == first.url
        assert second.api_key != first.api_key
        assert second.api_secret != first.api_secret

    @pytest.mark.slow("waits until the SDK gives up")
    def test_restarted_server_refuses_old_token(self, state: Path) -> None:
        first = server.ensure()
        with participant(first) as peer:
            os.kill(first.pid, signal.SIGKILL)
            eventually(lambda: server.status() is None, 15, "the death is noticed")
            assert server.ensure().url == first.url
            assert peer.stdout is not None
            assert peer.stdout.readline() == "disconnected\n"
        assert server.participants() == {}

    def test_taken_port_is_replaced(self, state: Path) -> None:
        first = server.ensure()
        server.stop()
        with socket.create_server(("127.0.0.1", int(first.url.rpartition(":")[2]))):
            second = server.ensure()
        assert second.url != first.url

    def test_record_of_another_process_is_ignored(self, state: Path) -> None:
        first = server.ensure()
        server.stop()
        known = state_file.read(state)
        assert known is not None
        state_file.write(state, dataclasses.replace(known, pid=os.getpid()))
        assert server.status() is None
        assert server.stop() is False
        assert server.ensure().pid not in (os.getpid(), first.pid)

    def test_server_that_rejects_key_is_ignored(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        server.ensure()
        known = state_file.read(state)
        assert known is not None
        state_file.write(state, dataclasses.replace(known, api_secret="x" * 40))
        assert server.status() is None
        state_file.write(state, known)
        assert server.status() is not None

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', json.dumps({"pid": "1"})])
    def test_broken_record_is_ignored(self, state: Path, text: str) -> None:
        state.mkdir(mode=0o700)
        (state / state_file.RECORD).write_text(text, encoding="utf-8")
        assert server.status() is None
        assert server.stop() is False

    def test_server_binds_only_loopback(self, state: Path) -> None:
        running = server.ensure()
        with participant(running):
            sockets = psutil.Process(running.pid).net_connections(kind="inet")
        assert {entry.type for entry in sockets} == {socket.SOCK_STREAM, socket.SOCK_DGRAM}
        assert {entry.laddr.ip for entry in sockets} == {"127.0.0.1"}

    @pytest.mark.slow("runs a participant of its own")
    def test_participants_are_counted_immediately(self, state: Path) -> None:
        running = server.ensure()
        assert server.participants() == {}
        with participant(running):
            assert server.participants() == {"studio": 1}

    def test_livekit_settings_are_not_passed_to_server(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("LIVEKIT_API_SECRET", "LIVEKIT_KEYS", "LIVEKIT_CONFIG", "REDIS_HOST", "UDP_PORT", "NODE_IP"):
            monkeypatch.setenv(name, "of the user")
        running = server.ensure()
        for process in (psutil.Process(running.pid), watcher(state)):
            assert "of the user" not in process.environ().values()

    def test_failed_start_reports_last_log_lines(
        self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        says = '[ "$1" = --version ] && echo livekit-server version 1.13.5 && exit; echo no room on this disk; exit 7'
        monkeypatch.setenv("LKNB_SERVER", str(script(tmp_path / "broken", says)))
        with pytest.raises(
            ServerError, match=r"(?s)exited with code 7 while starting.*no room on this disk.*LKNB_SERVER"
        ):
            server.ensure()
        assert server.status() is None

    def test_importing_server_loads_neither_sdk_nor_ipython(self) -> None:
        code = "import sys, lknb.server; print({'livekit', 'IPython'} & set(sys.modules))"
        assert run_python(code).communicate(timeout=30)[0] == "set()\n"


class TestStopping:
    def test_server_stops(self, state: Path) -> None:
        running = server.ensure()
        watching = watcher(state).pid
        assert server.stop() is True
        assert gone(running.pid)
        assert gone(watching)
        assert server.status() is None
        assert server.stop() is False

    @pytest.mark.slow("runs a participant of its own")
    def test_server_with_participant_stops_promptly(self, state: Path) -> None:
        with participant(server.ensure()) as peer:
            began = time.monotonic()
            assert server.stop() is True
            assert time.monotonic() - began < 10
            assert peer.stdout is not None
            assert peer.stdout.readline() == "disconnected\n"

    @pytest.mark.slow("waits for a timeout")
    def test_hanging_server_is_stopped(self, state: Path) -> None:
        running = server.ensure()
        os.kill(running.pid, signal.SIGSTOP)
        began = time.monotonic()
        assert server.stop() is True
        assert time.monotonic() - began < 10
        assert gone(running.pid)

    @pytest.mark.slow("waits for the idle timeout")
    def test_idle_server_stops(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LKNB_SERVER_IDLE", "2")
        began = time.monotonic()
        running = server.ensure()
        watching = watcher(state).pid
        eventually(lambda: gone(running.pid), 15, "the idle server is gone")
        assert time.monotonic() - began >= 2
        eventually(lambda: gone(watching), 15, "so is its watcher")

    @pytest.mark.slow("waits 3 s for nothing to happen")
    def test_server_with_participant_keeps_running(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        running = server.ensure()
        with participant(running):
            # A watcher with a 1 s idle time takes over once a participant is present, however long joining takes.
            monkeypatch.setenv("LKNB_SERVER_IDLE", "1")
            lost = watcher(state)
            lost.kill()
            eventually(lambda: gone(lost.pid), 15, "the watcher is gone")
            assert server.ensure() == running
            remains(lambda: not gone(running.pid), 3, "the server runs for three times the idle time")
        eventually(lambda: gone(running.pid), 15, "gone after the participant")

    @pytest.mark.slow("waits 6 s for nothing to happen")
    def test_server_in_use_keeps_running(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LKNB_SERVER_IDLE", "3")
        running = server.ensure()
        remains(lambda: server.ensure() == running, 6, "the server runs for twice the idle time")
        assert not gone(running.pid)

    @pytest.mark.slow("waits for the watcher")
    def test_watcher_ends_with_killed_server(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LKNB_SERVER_IDLE", "10")
        running = server.ensure()
        watching = watcher(state).pid
        os.kill(running.pid, signal.SIGKILL)
        eventually(lambda: gone(watching), 15, "the watcher is gone")

    def test_lost_watcher_is_replaced(self, state: Path) -> None:
        running = server.ensure()
        lost = watcher(state)
        lost.kill()
        eventually(lambda: gone(lost.pid), 15, "the watcher is gone")
        assert server.ensure() == running
        assert watcher(state).pid != lost.pid
        assert not gone(watcher(state).pid)

    @pytest.mark.parametrize("told", ["soon", "0", "-1", "nan", "inf"])
    def test_invalid_idle_time_is_error(self, state: Path, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
        monkeypatch.setenv("LKNB_SERVER_IDLE", told)
        with pytest.raises(ServerError, match=f"LKNB_SERVER_IDLE is '{told}'. Set it to a number of seconds"):
            server.ensure()


class TestPrivacy:
    def test_only_user_can_read_files(self, state: Path) -> None:
        before = os.umask(0)
        try:
            server.ensure()
        finally:
            os.umask(before)
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        files = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in state.iterdir()}
        assert files == dict.fromkeys((state_file.RECORD, state_file.CONFIG, state_file.LOG, state_file.LOCK), "0o600")

    def test_directory_readable_by_others_is_restricted(self, state: Path) -> None:
        state.mkdir(mode=0o755)
        server.ensure()
        assert stat.S_IMODE(state.stat().st_mode) == 0o700

    def test_symlink_is_not_followed(self, state: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        state.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ServerError, match=r"is a link or belongs to another user.*LKNB_STATE_DIR"):
            server.ensure()
        assert not list((tmp_path / "elsewhere").iterdir())

    def test_secret_is_in_no_repr(self, state: Path) -> None:
        running = server.ensure()
        assert running.api_secret not in repr(running)
        assert running.api_secret not in repr(state_file.read(state))

    def test_secret_is_in_no_command_line(self, state: Path) -> None:
        running = server.ensure()
        for process in (psutil.Process(running.pid), watcher(state)):
            assert running.api_secret not in " ".join(process.cmdline())

    @pytest.mark.slow("runs a participant of its own")
    def test_log_contains_no_token_or_secret(self, state: Path) -> None:
        running = server.ensure()
        refused = token(running, secret="y" * 40)
        host = running.url.removeprefix("ws://")
        for path in (f"/rtc/v1/validate?access_token={refused}", f"/rtc/validate?access_token={token(running)}"):
            connection = http.client.HTTPConnection(host, timeout=5)
            connection.request("GET", path)
            connection.getresponse().read()
            connection.close()
        with participant(running):
            pass
        server.stop()
        written = running.log.read_text(encoding="utf-8")
        assert "room closed" in written
        assert "eyJ" not in written
        assert running.api_secret not in written


class TestLog:
    def test_log_returns_last_lines(self, state: Path) -> None:
        running = server.ensure()
        running.log.write_text("one\ntwo\nthree\n", encoding="utf-8")
        assert server.log_tail(2) == "two\nthree"
        assert server.log_tail(0) == ""

    def test_log_is_missing_before_first_start(self, state: Path) -> None:
        assert server.log_tail() == ""

    def test_log_lines_contain_no_token_secret_or_escape(self, state: Path) -> None:
        running = server.ensure()
        leaked = f"\x1b[31mred\x07 {token(running)} {running.api_secret}\n"
        with running.log.open("a", encoding="utf-8") as file:
            file.write(leaked)
        shown = server.log_tail(1)
        assert shown.startswith("[31mred ")
        assert token(running)[:20] not in shown
        assert running.api_secret not in shown

    def test_log_can_be_followed(self, state: Path) -> None:
        running = server.ensure()
        running.log.write_text("old\n", encoding="utf-8")
        lines = server.follow(1)
        assert next(lines) == "old"
        with running.log.open("a", encoding="utf-8") as file:
            file.write("new\nhalf")
        assert next(lines) == "new"
        running.log.write_text("cut\n", encoding="utf-8")
        assert next(lines) == "cut"

    def test_long_log_is_truncated_at_server_start(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        server.ensure()
        server.stop()
        monkeypatch.setattr(log, "MOST", 1000)
        (state / state_file.LOG).write_text("x" * 2000, encoding="utf-8")
        assert server.ensure().log.stat().st_size < 1000

    def test_long_log_is_truncated_while_server_runs(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LKNB_SERVER_IDLE", "5")
        running = server.ensure()
        with running.log.open("ab") as file:
            file.truncate(log.MOST + 1)
        eventually(lambda: running.log.stat().st_size < log.MOST, 15, "the log is short again")
