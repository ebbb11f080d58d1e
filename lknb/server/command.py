"""Runs the commands that find and build the binary, with a time limit and a reason for each failure."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from lknb.server import os_errors

Progress = Callable[[str], None]
"""Called with a one-line message when a slow step starts: the step, and how long it usually takes."""

# The variables that any process needs. All others are left out, because livekit-server would take keys, ports and a
# Redis address from LIVEKIT_KEYS, UDP_PORT, REDIS_HOST and a hundred more.
_HARMLESS = ("HOME", "PATH", "TMPDIR", "TZ", "LANG")


class StepFailedError(Exception):
    """One way to get a binary failed. The message is the reason, in one line; the next way is tried."""


def to_stderr(line: str) -> None:
    """The default `Progress`."""
    print(f"lknb: {line}", file=sys.stderr, flush=True)


def clean_environment(*more: str) -> dict[str, str]:
    """The harmless variables of the environment, and those named in `more`."""
    return {name: os.environ[name] for name in (*_HARMLESS, *more) if name in os.environ}


def run(
    argv: Sequence[str | Path], *, timeout: float, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> str:
    """Run a command and return its output.

    Raises:
        StepFailedError: if it cannot be run, fails, or takes longer than `timeout` seconds.
        OSError: if this process or machine is out of files, processes or memory.
    """
    name = Path(argv[0]).name
    with _output() as output:
        try:
            process = subprocess.Popen(
                [*map(str, argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            if os_errors.is_shortage(error):
                raise  # it says nothing about the command
            raise StepFailedError(f"{argv[0]} cannot be run: {error.strerror or error}") from error
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise StepFailedError(f"{name} did not finish within {timeout:.0f} s") from None
        except BaseException:
            _kill_group(process)  # Ctrl-C does not reach it, because it has its own session
            raise
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code:
        raise StepFailedError(f"{name} failed with exit code {code}: {_last_lines(text)}")
    return text


def _output() -> IO[bytes]:
    """A file for a command's output: not a pipe, which a leftover grandchild would keep open."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("lknb"), "w+b")  # in memory: a full disk must not look like a broken command
    return tempfile.TemporaryFile()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _last_lines(output: str) -> str:
    """The last lines of an output as one line, without passwords of package indexes."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return re.sub(r"://[^/@\s]+@", "://", " / ".join(lines[-3:]))[:500] or "it printed nothing"
