"""The `lknb` command: its output and exit codes, with the real livekit-server."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from lknb import cli, server


@pytest.fixture(scope="module")
def livekit_server() -> Path:
    return server.install()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, livekit_server: Path) -> Iterator[Path]:
    """Give each test its own server directory, so that no command touches the user's."""
    monkeypatch.setenv("LKNB_SERVER", str(livekit_server))
    monkeypatch.setenv("LKNB_STATE_DIR", str(tmp_path / "state"))
    yield tmp_path / "state"
    server.stop()


def test_install_prints_path_of_binary(capsys: pytest.CaptureFixture[str], livekit_server: Path) -> None:
    assert cli.main(["server", "install"]) == 0
    assert capsys.readouterr().out == f"{livekit_server}\n"


def test_start_prints_url_of_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["server", "start"]) == 0
    running = server.status()
    assert running is not None
    assert f"url      {running.url}\n" in capsys.readouterr().out


def test_status_exits_with_0_if_server_runs(capsys: pytest.CaptureFixture[str]) -> None:
    running = server.ensure()
    assert cli.main(["server", "status"]) == 0
    shown = capsys.readouterr().out
    for part in (running.url, running.version, str(running.pid), "up 0:00:0", str(running.log), "participants 0"):
        assert part in shown


def test_status_exits_with_1_without_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["server", "status"]) == 1
    assert "not running" in capsys.readouterr().out


def test_stop_reports_whether_server_ran(capsys: pytest.CaptureFixture[str]) -> None:
    server.ensure()
    assert cli.main(["server", "stop"]) == 0
    assert cli.main(["server", "stop"]) == 0
    assert capsys.readouterr().out == "stopped\nnot running\n"


def test_log_prints_last_lines(capsys: pytest.CaptureFixture[str]) -> None:
    server.ensure().log.write_text("one\ntwo\nthree\n", encoding="utf-8")
    assert cli.main(["server", "log", "-n", "2"]) == 0
    assert capsys.readouterr().out == "two\nthree\n"


def test_log_follow_runs_until_interrupted() -> None:
    log = server.ensure().log
    log.write_text("old\n", encoding="utf-8")
    # Scripts run background processes with Ctrl-C ignored, so enable it for the command.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from lknb import cli; raise SystemExit(cli.main(['server', 'log', '-f']))"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    try:
        assert command.stdout is not None
        assert command.stdout.readline() == "old\n"
        with log.open("a", encoding="utf-8") as file:
            file.write("new\n")
        assert command.stdout.readline() == "new\n"
        command.send_signal(signal.SIGINT)
        assert command.wait(10) == 0
    finally:
        command.kill()
        command.communicate()


def test_no_command_prints_secret(capsys: pytest.CaptureFixture[str]) -> None:
    secret = server.ensure().api_secret
    for command in ("start", "status", "log", "stop"):
        cli.main(["server", command])
    shown = capsys.readouterr()
    assert secret not in shown.out + shown.err


def test_error_is_one_line_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LKNB_SERVER", str(tmp_path / "missing"))
    assert cli.main(["server", "start"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("lknb: LKNB_SERVER is ")
    assert shown.err.count("\n") == 1


def test_unknown_command_shows_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["server", "restart"])
    assert exit_.value.code == 2
    assert "usage: lknb server" in capsys.readouterr().err


def test_version_matches_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    shown = capsys.readouterr()
    try:
        expected = (0, f"lknb {version('lknb')}\n", "")
    except PackageNotFoundError:
        expected = (1, "", "lknb: not installed, so its version is unknown. Install it: pip install .\n")
    assert (exit_.value.code or 0, shown.out, shown.err) == expected
