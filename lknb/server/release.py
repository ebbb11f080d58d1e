"""Downloads LiveKit's own release archive of livekit-server, and checks it against the published checksums."""

from __future__ import annotations

import hashlib
import http.client
import platform
import shutil
import tarfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import IO

from lknb.server.command import Progress, StepFailedError

RELEASES = "https://github.com/livekit/livekit/releases/download"

_REACH = 5.0
_DOWNLOAD = 300.0
_MAX_ARCHIVE = 256 * 1024 * 1024
_MAX_BINARY = 512 * 1024 * 1024
_CPUS = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armv7"}


def download(version: str, work: Path, progress: Progress) -> Path:
    """Download the archive for this system, and return the binary from it.

    Raises:
        StepFailedError: if the archive cannot be downloaded, or differs from the published one.
    """
    cpu = platform.machine().lower()
    name = f"livekit_{version}_{platform.system().lower()}_{_CPUS.get(cpu, cpu)}.tar.gz"
    base = f"{RELEASES}/v{version}"
    progress(f"downloading livekit-server {version} (once, usually 5 to 30 seconds)")
    published = _checksums(f"{base}/checksums.txt")
    if name not in published:
        raise StepFailedError(f"LiveKit publishes no {name}")
    archive = work / name
    _fetch(f"{base}/{name}", archive)
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != published[name]:
        raise StepFailedError(f"{name} was rejected: its SHA-256 is {sha256}, but {published[name]} was published")
    return _unpacked(archive, work / "livekit-server")


def _checksums(url: str) -> dict[str, str]:
    """The published SHA-256 of each file. Gives up after 5 s, even if the host's name is not resolved by then."""
    answer: list[str | Exception] = []

    def request() -> None:
        try:
            with urllib.request.urlopen(url, timeout=_REACH) as response:  # noqa: S310
                answer.append(response.read(1024 * 1024).decode())
        except Exception as error:
            answer.append(error)

    # A daemon thread, because resolving a host's name has no timeout.
    thread = threading.Thread(target=request, name="lknb-release", daemon=True)
    thread.start()
    thread.join(_REACH)
    if not answer:
        raise StepFailedError(f"{url} did not answer within {_REACH:.0f} s")
    if isinstance(answer[0], Exception):
        raise StepFailedError(f"{url}: {_reason(answer[0])}")
    rows = (line.split() for line in answer[0].splitlines())
    return {row[1].lstrip("*"): row[0].lower() for row in rows if len(row) == 2}


def _fetch(url: str, to: Path) -> None:
    deadline = time.monotonic() + _DOWNLOAD
    left = _MAX_ARCHIVE
    try:
        with urllib.request.urlopen(url, timeout=10) as response, to.open("wb") as file:  # noqa: S310
            while block := response.read(256 * 1024):
                left -= len(block)
                if left < 0:
                    raise StepFailedError(f"{url} is larger than {_MAX_ARCHIVE:,} bytes")
                if time.monotonic() > deadline:
                    raise StepFailedError(f"{url} was not downloaded within {_DOWNLOAD:.0f} s")
                file.write(block)
    except (OSError, http.client.HTTPException) as error:
        raise StepFailedError(f"{url}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    return str(getattr(error, "reason", None) or error)


def _unpacked(archive: Path, to: Path) -> Path:
    """Unpack the binary to `to`. No path in the archive is used."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name.removeprefix("./") == "livekit-server" and member.isreg() and member.size < _MAX_BINARY:
                    source: IO[bytes] | None = tar.extractfile(member)
                    assert source is not None  # it is a regular file
                    with source, to.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    to.chmod(0o755)
                    return to
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise StepFailedError(f"{archive.name} cannot be unpacked: {error}") from error
    raise StepFailedError(f"there is no livekit-server in {archive.name}")
