"""Runs the commands that finding and building the binary take: with a bound, and saying why they failed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Progress = Callable[[str], None]
"""Is told, in one line, which slow step begins and how long it usually takes."""

# What a process needs to find its way about a machine. Nothing of LiveKit's is among it: livekit-server would take
# keys, ports and a Redis from LIVEKIT_KEYS, UDP_PORT, REDIS_HOST and a hundred more.
_HARMLESS = ("HOME", "PATH", "TMPDIR", "TZ", "LANG")


class StepFailedError(Exception):
    """One way to the binary did not lead there. Its message, one line, is the reason; the next way is tried."""


def to_stderr(line: str) -> None:
    """The default `Progress`."""
    print(f"lknb: {line}", file=sys.stderr, flush=True)


def clean_environment(*more: str) -> dict[str, str]:
    """The harmless part of the environment, and the variables named in `more`."""
    return {name: os.environ[name] for name in (*_HARMLESS, *more) if name in os.environ}


def run(
    argv: Sequence[str | Path], *, timeout: float, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> str:
    """The output of a command that succeeded.

    Raises:
        StepFailedError: it could not be run, failed, or took longer than `timeout` seconds.
    """
    name = Path(argv[0]).name
    with tempfile.TemporaryFile() as output:  # not a pipe: a left-over grandchild would keep that open
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
            raise StepFailedError(f"{argv[0]} cannot be run: {error.strerror or error}") from error
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise StepFailedError(f"{name} was not done after {timeout:.0f} s") from None
        except BaseException:
            _kill_group(process)  # Ctrl-C does not reach it: it has a session of its own
            raise
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code:
        raise StepFailedError(f"{name} ended with code {code}: {_last_words(text)}")
    return text


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _last_words(output: str) -> str:
    """The last lines of an output, as one line, without the password of a package index."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return re.sub(r"://[^/@\s]+@", "://", " / ".join(lines[-3:]))[:500] or "it printed nothing"
