"""The participants of a benchmark, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")


class Worker:
    """One participant: a process of `worker.py`, or of another program that serves the same commands."""

    def __init__(
        self,
        side: str,
        room: str,
        identity: str,
        peer: str,
        *,
        program: Sequence[str] = (str(WORKER),),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *program, side, room, identity, peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        assert self.wait() == "ready"

    def send(self, do: str, **arguments: Any) -> None:
        """Send a command without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def wait(self) -> Any:
        """The answer of the oldest command that was not answered yet."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"A worker exited with code {self._process.wait()}.")
        return json.loads(line)

    def do(self, do: str, **arguments: Any) -> Any:
        """Send a command and return its answer."""
        self.send(do, **arguments)
        return self.wait()

    def close(self) -> None:
        """Leave the room and end the process."""
        self.do("close")
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(15)
