"""The embedded server when the operating system refuses: a full disk, too many files, a directory that is gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from waiting import eventually

import lknb
from lknb import cli, server
from lknb.errors import ServerError
from lknb.server import log, state_file

HERE = Path(__file__).parents[1]


def run_python(code: str, **environment: str) -> str:
    """Run a program with limits of its own, and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=HERE,
        env={**os.environ, **environment},
    ).stdout


def fill(disk: Path) -> Path:
    """Fill a disk, and return the file to remove."""
    path = disk / "fills the disk"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return path
    raise AssertionError("the disk has no limit")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_server: Path) -> Iterator[Path]:
    """Give the test a disk of 64 kB, with the server's directory on it."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", mounted], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("this user may not mount a small disk")
    monkeypatch.setenv("LKNB_STATE_DIR", str(mounted / "state"))
    yield mounted
    server.stop()
    subprocess.run(["umount", "-l", mounted], check=True)


def test_full_disk_is_an_error_with_its_directory(disk: Path) -> None:
    full = fill(disk)
    with pytest.raises(ServerError, match=rf"directory {disk}/state cannot be used: No space left.*set LKNB_STATE_DIR"):
        lknb.connect("studio", "alice")
    full.unlink()
    with lknb.connect("studio", "alice") as room:
        assert room.state == "connected"


def test_disk_that_fills_later_leaves_no_process(disk: Path) -> None:
    server.ensure()
    server.stop()
    full = fill(disk)
    with pytest.raises(ServerError, match=f"directory {disk}/state cannot be used: No space left"):
        server.ensure()
    eventually(lambda: not processes_on(disk))
    full.unlink()
    assert server.is_ours(server.ensure().url)


@pytest.mark.slow("waits for a room to join again")
def test_room_comes_back_when_there_is_space_again(disk: Path) -> None:
    room = lknb.connect("studio", "alice")
    full = fill(disk)
    os.kill(server.ensure().pid, signal.SIGKILL)
    eventually(lambda: f"{disk}/state cannot be used: No space left" in room.state_reason, 60)
    assert room.state == "reconnecting"
    full.unlink()
    eventually(lambda: room.state == "connected", 60)
    room.close()


def processes_on(disk: Path) -> list[int]:
    """Return the livekit-servers and watchers with files on this disk."""
    return [each.pid for each in psutil.process_iter(["cmdline"]) if str(disk) in " ".join(each.info["cmdline"] or ())]


def test_running_server_is_used_and_stopped_on_a_full_disk(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = server.ensure()
    fill(disk)
    assert server.ensure() == server.status() == running
    assert cli.main(["server", "status"]) == 0
    assert cli.main(["server", "log"]) == 0
    assert cli.main(["server", "stop"]) == 0
    assert capsys.readouterr().out.endswith("stopped\n")


def test_read_only_disk_is_an_error(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(ServerError, match=r"cannot be used: Read-only file system.*LKNB_STATE_DIR to a directory"):
        server.ensure()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def test_limit_on_file_sizes_is_an_error(own_server: Path) -> None:
    said = run_python(
        "import resource\n"
        "from lknb import server\n"
        "from lknb.errors import ServerError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: server.ensure()\n"
        "except ServerError as error: print(error)\n"
    )
    assert said.startswith(f"The embedded server's directory {own_server} cannot be used: File too large. Set LKNB_")


@pytest.mark.parametrize("call", ["ensure", "status", "participants", "stop", "log_tail"])
def test_too_many_open_files_is_an_error_and_no_missing_server(own_server: Path, call: str) -> None:
    running = server.ensure()
    said = run_python(
        "import os, resource\n"
        "from lknb import server\n"
        "from lknb.errors import ServerError\n"
        "from lknb.server import owner\n"
        "owner._system_tells()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "try:\n"
        "    while True: os.dup(0)\n"
        "except OSError: pass\n"
        "assert not server.is_ours('ws://127.0.0.1:1')\n"
        f"try: print('returned', server.{call}())\n"
        "except ServerError as error: print(error)\n"
    )
    assert said.startswith("The embedded server cannot be started or reached: Too many open files. Close what this pr")
    assert server.status() == running


def test_join_with_too_many_open_files_says_so(own_server: Path) -> None:
    running = server.ensure()
    said = run_python(
        "import os, resource\n"
        "from lknb import server\n"
        "from lknb.errors import ConnectError\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "try:\n"
        "    while True: os.dup(0)\n"
        "except OSError: pass\n"
        f"try: server.check_ours({running.url!r})\n"
        "except ConnectError as error: print(error)\n"
    )
    assert said.startswith(
        f"No token was sent to {running.url}, because lknb could not check who listens there: Too many"
    )


def test_limit_on_processes_is_an_error() -> None:
    # Root has no such limit, so it becomes another user, who needs directories of its own.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o777)
        binary = place / "livekit-server"
        binary.write_text("#!/bin/sh\necho livekit-server version 1.13.5\n")
        binary.chmod(0o755)
        said = run_python(
            "import os, resource\n"
            "from lknb import server\n"
            "from lknb.errors import ServerError\n"
            "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
            "if os.geteuid() == 0: os.setuid(65534)\n"
            "try: server.ensure()\n"
            "except ServerError as error: print(error)\n",
            LKNB_SERVER=str(binary),
            LKNB_STATE_DIR=str(place / "state"),
            LKNB_CACHE_DIR=str(place / "cache"),
        )
    assert said.startswith(
        "The embedded server cannot be started or reached: Resource temporarily unavailable. This user"
    )


def test_directory_that_vanishes_during_start_is_an_error(
    own_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "vanishing"
    binary.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo livekit-server version 1.13.5 && exit\n'
        f"rm -rf '{own_server}'\nexit 1\n"
    )
    binary.chmod(0o755)
    monkeypatch.setenv("LKNB_SERVER", str(binary))
    with pytest.raises(
        ServerError, match=rf"{own_server} cannot be used: No such file.*was removed meanwhile. Try again"
    ):
        server.ensure()


def test_removed_directory_is_created_again(own_server: Path) -> None:
    first = server.ensure()
    known = state_file.read(own_server)
    assert known is not None
    try:
        shutil.rmtree(own_server)
        assert server.status() is None
        assert server.ensure().pid != first.pid
    finally:
        for pid in (known.pid, known.watch_pid):
            with contextlib.suppress(ProcessLookupError):  # the watcher ends by itself without its directory
                os.kill(pid, signal.SIGKILL)


@pytest.mark.slow("waits for the idle timeout")
def test_idle_server_stops_without_its_directory(own_server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKNB_SERVER_IDLE", "3")
    known = state_file.read(server.ensure().log.parent)
    assert known is not None
    with (own_server / state_file.LOG).open("ab") as file:
        file.truncate(log.MOST + 1)
    eventually(lambda: (own_server / state_file.LOG).stat().st_size < log.MOST, 15, "the watcher is at work")
    shutil.rmtree(own_server)
    eventually(lambda: not known.alive, 20, "the server is gone")


@pytest.mark.parametrize("name", [state_file.RECORD, state_file.LOG, state_file.CONFIG, state_file.LOCK])
def test_directory_in_place_of_a_file_is_an_error(own_server: Path, name: str) -> None:
    (own_server / name / "full").mkdir(parents=True)
    with pytest.raises(ServerError, match=rf"{own_server} cannot be used: .*Set LKNB_STATE_DIR to a directory"):
        server.ensure()


def test_cache_that_cannot_be_used_is_an_error(
    own_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("LKNB_SERVER")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LKNB_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ServerError, match=r"The cache .* for livekit-server cannot be used: Not a dir.*LKNB_CACHE_DIR"):
        server.install()


@pytest.mark.parametrize("verb", ["start", "status", "stop", "log"])
def test_command_says_in_one_line_what_is_wrong(
    own_server: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    own_server.parent.joinpath("file").touch()
    place = own_server.parent / "file" / "state"
    monkeypatch.setenv("LKNB_STATE_DIR", str(place))
    assert cli.main(["server", verb]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"lknb: The embedded server's directory {place} cannot be used: Not a directory")
    assert shown.err.count("\n") == 1
    monkeypatch.setenv("LKNB_STATE_DIR", str(own_server))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a temporary file elsewhere")
def test_full_temporary_directory_does_not_matter(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKNB_STATE_DIR", str(disk.parent / "state"))
    fill(disk)
    said = run_python("from lknb import server; print(server.install())", TMPDIR=str(disk))
    assert said == f"{os.environ['LKNB_SERVER']}\n"
