"""The embedded server's directories, and the locks that keep processes from doing the same work twice."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from lknb import settings
from lknb.errors import ServerError
from lknb.server.os_errors import STATE, explained

# From a file system without locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def state_dir() -> Path:
    """The directory of the running server's record, configuration and log, which only this user can access.

    Raises:
        ServerError: if it belongs to another user, or cannot be created.
    """
    with explained(STATE):
        path = settings.state_dir()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if ours and stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    if not ours:
        raise ServerError(
            f"{path} is a link or belongs to another user, so lknb stores no secrets there. "
            "Set LKNB_STATE_DIR to a directory of your own."
        )
    return path


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically by one with this text that only the user can read."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mkstemp creates with mode 0600
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path, *, timeout: float, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file `path` against other processes and threads. Call `waiting` if it is taken.

    Raises:
        ServerError: if it does not become free within `timeout` seconds, or the file system has no locks.
        OSError: if it cannot be created.
    """
    lock = filelock.FileLock(path, mode=0o600)  # a new object each time: a thread can acquire the same object twice
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            waiting()
            lock.acquire(timeout=timeout, poll_interval=0.02)
    except filelock.Timeout:
        raise ServerError(
            f"Another process has held {path} for {timeout:.0f} s. Wait for it or end it, then try again."
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        raise ServerError(
            f"The lock {path} cannot be taken: {error}. "
            "Set LKNB_CACHE_DIR and LKNB_STATE_DIR to directories on a local disk."
        ) from error
    try:
        yield
    finally:
        lock.release()
