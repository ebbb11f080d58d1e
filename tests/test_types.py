"""Type checkers see parameters and results of a room's methods in user code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "typed_notebook.py"


def test_mypy_checks_user_code(tmp_path: Path) -> None:
    config = tmp_path / "mypy.ini"  # the user's own, without the package's settings
    config.write_text("[mypy]\nstrict = True\n", encoding="utf-8")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        config,
        "--cache-dir",
        tmp_path / "cache",
        SCRIPT,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_checks_user_code(tmp_path: Path) -> None:
    # A file in a user's project: a failed `assert_type` or an undetected mistake is an error.
    config = tmp_path / "pyrightconfig.json"
    config.write_text(
        '{"include": ["cells.py"], "enableTypeIgnoreComments": false, "reportUnnecessaryTypeIgnoreComment": "error"}',
        encoding="utf-8",
    )
    (tmp_path / "cells.py").write_bytes(SCRIPT.read_bytes())
    command: list[str | Path] = [
        ROOT / "node_modules" / ".bin" / "pyright",
        "--pythonpath",
        sys.executable,
        "--project",
        config,
    ]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path}, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
