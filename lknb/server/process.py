"""Processes that outlive the one that started them: start them, recognise them again, and end them reliably."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

# The processes that this one started, which stay zombies if they end before it and are not reaped; and their lock.
_children: list[subprocess.Popen[bytes]] = []
_reaping = threading.Lock()


def spawn(
    argv: Sequence[str | Path], *, output: IO[bytes], env: Mapping[str, str], cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a process that inherits nothing, in its own session: no Ctrl-C or closing terminal reaches it."""
    process = subprocess.Popen(
        [*map(str, argv)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    with _reaping:
        _children.append(process)
    return process


def reap() -> None:
    """Reap the processes that this one started and that have ended."""
    with _reaping:
        _children[:] = [process for process in _children if process.poll() is None]


def birth(pid: int) -> str | None:
    """Identifies a live process, even if its pid is used again; None if there is none, or only a zombie.

    Raises:
        OSError: if this cannot be found out, for example because this process has too many open files.
    """
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        # The second field, the name in parentheses, may contain anything. The third is the state, the 20th the number
        # of threads, the 22nd the start time. Threads may outlive the first one for a moment, and hold its ports.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" and int(fields[17]) <= 1 else f"{_boot()} {fields[19]}"
    try:
        shown = subprocess.run(
            ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        ).stdout.split(maxsplit=1)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError("ps did not answer within 5 s") from error
    return None if len(shown) < 2 or shown[0].startswith("Z") else shown[1].strip()


@functools.cache
def _boot() -> str:
    """Identifies this boot, because start times count from it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "-"


def alive(pid: int, born: str) -> bool:
    """Whether the process `pid` is alive, and is the one that was born then."""
    reap()
    return pid > 1 and birth(pid) == born


def end(pid: int, born: str) -> bool:
    """End a process within 3 s. Returns False if it was not alive.

    livekit-server waits for its participants after the first SIGTERM, and exits after the second.
    """
    was_there = alive(pid, born)
    start = time.monotonic()
    next_signal = 0.0
    while alive(pid, born) and (waited := time.monotonic() - start) < 3:
        if waited >= next_signal:
            try:
                os.kill(pid, signal.SIGTERM if waited < 1.5 else signal.SIGKILL)
            except ProcessLookupError:
                break
            next_signal = waited + 0.1
        time.sleep(0.01)
    return was_there
