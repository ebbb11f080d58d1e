"""What the operating system refused, as a `ServerError` that names the directory and the next step."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lknb import settings
from lknb.errors import ServerError

_SHORTAGES = {
    errno.EMFILE: "Close what this process no longer needs, such as rooms and files, or raise its limit (ulimit -n).",
    errno.ENFILE: "All programs of this machine together have too many open files. End some of them, then try again.",
    errno.EADDRNOTAVAIL: "Too many connections are open. Close some, wait a minute, then try again.",
    **dict.fromkeys(
        (errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS),
        "This user may start no more processes, or there is no memory left. End what is not needed, then try again.",
    ),
}


@dataclass(frozen=True)
class Place:
    """A directory that lknb writes to.

    Attributes:
        sentence: how a message about it begins; `{}` stands for its path.
        variable: the setting that moves it.
        find: returns its path.
    """

    sentence: str
    variable: str
    find: Callable[[], Path]

    def __str__(self) -> str:
        try:
            path = str(self.find())
        except OSError:  # a relative path, and the working directory is gone
            path = os.environ.get(self.variable, "")
        return self.sentence.format(path)


STATE = Place("The embedded server's directory {}", "LKNB_STATE_DIR", settings.state_dir)
CACHE = Place("The cache {} for livekit-server", "LKNB_CACHE_DIR", settings.cache_dir)


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Raise every `OSError` of the block or function as a `ServerError`; `place` is the directory that it uses."""
    try:
        yield
    except OSError as error:
        raise ServerError(_message(place, error)) from error


def is_shortage(error: OSError) -> bool:
    """Whether this process or machine is out of files, processes, memory or ports: it says nothing about the server."""
    return error.errno in _SHORTAGES


def _message(place: Place, error: OSError) -> str:
    """What failed, and what to do."""
    reason = error.strerror or str(error)
    if is_shortage(error):
        return f"The embedded server cannot be started or reached: {reason}. {_SHORTAGES[error.errno or 0]}"
    name = Path(os.fsdecode(error.filename)).name if isinstance(error.filename, (str, bytes)) else ""
    if name and not name.startswith(".") and name not in str(place):
        reason += f" ({name})"
    return f"{place} cannot be used: {reason}. {_advice(place, error)}"


def _advice(place: Place, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"Free some space on that disk, or set {place.variable} to a directory on another one."
    if error.errno in (errno.ENOENT, errno.ESTALE):
        return f"It was removed meanwhile. Try again, or set {place.variable} to another directory."
    return f"Set {place.variable} to a directory on a local disk that you can write to."
