"""Files that a browser uploads in pieces, to be sent: bounded, and on disk until they are sent or abandoned."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from lknb.defaults import MAX_STREAM_SIZE
from lknb.files import safe_name
from lknb.progress import size as readable
from lknb.widgets.part import Action
from lknb.widgets.rows import UploadStart

PIECE = 1024 * 1024
"""Bytes of a file in one message to or from a browser. The websocket between them refuses ten megabytes."""

LIMIT = MAX_STREAM_SIZE
"""Bytes of all files that wait to be sent in one widget."""

FILES = 8
"""Files that wait to be sent in one widget."""


@dataclass
class Upload:
    """A file from a browser.

    Attributes:
        name: the browser's name for it.
        size: bytes, once it is complete.
        folder: a directory of its own.
        received: bytes so far.
        touched: when its last piece arrived, by `monotonic`.
    """

    name: str
    size: int
    folder: tempfile.TemporaryDirectory[str]
    received: int = 0
    touched: float = field(default_factory=monotonic)

    @property
    def path(self) -> Path:
        """The file's path. The last component is its name, made safe."""
        return Path(self.folder.name) / safe_name(self.name)


class Uploads:
    """The files of one widget. Everything but `clear` must be called on the loop thread.

    Args:
        idle: seconds without activity after which a file is removed, because pages close without notice.

    Attributes:
        actions: what a browser may call: `begin`, then `upload` with each piece in order; or `discard`.
    """

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self.actions: dict[str, Action] = {"begin": self.begin, "upload": self.upload, "discard": self.discard}
        self._files: dict[str, Upload] = {}
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._files)

    async def begin(self, name: str, size: int) -> UploadStart:
        """Start to upload a file."""
        if not isinstance(name, str) or isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError("A file needs a name and a size.")
        if size > LIMIT:
            raise ValueError(
                f"The file is {readable(size)}. From the browser, at most {readable(LIMIT)} can be sent. "
                "A cell can send a file of any size: room.send_file(path)."
            )
        self._remove_idle()
        if len(self._files) >= FILES or sum(each.size for each in self._files.values()) + size > LIMIT:
            raise ValueError(
                f"Too many files wait to be sent: at most {FILES} can, with {readable(LIMIT)} in total. "
                "Send the others first."
            )
        key = str(next(self._numbers))
        self._files[key] = Upload(name[:200], size, tempfile.TemporaryDirectory(prefix="lknb-upload-"))
        self._files[key].path.touch()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.idle / 2, self._check_idle)
        return {"key": key, "piece": PIECE}

    async def upload(self, key: str, at: int, buffer: bytes = b"") -> int:
        """Add the next piece to a file, and return the bytes received so far."""
        upload = self._upload(key)
        if at != upload.received or len(buffer) > min(PIECE, upload.size - upload.received):
            self.remove(key)
            raise ValueError("The pieces of the file arrived out of order, so it was discarded. Choose it again.")
        upload.received += len(buffer)
        upload.touched = monotonic()
        await asyncio.to_thread(_append, upload.path, buffer)
        return upload.received

    async def discard(self, key: str) -> None:
        """Remove a file that will not be sent."""
        self.remove(key)

    def complete(self, key: str) -> Upload:
        """A file that has been uploaded completely."""
        upload = self._upload(key)
        if upload.received != upload.size:
            raise ValueError(
                f"Only {upload.received:,} of {upload.size:,} bytes came from the browser, so the file was not sent. "
                "It may have changed on disk. Choose it again."
            )
        return upload

    def remove(self, key: str) -> None:
        """Remove a file, if it exists."""
        upload = self._files.pop(str(key), None)
        if upload is not None:
            upload.folder.cleanup()

    def clear(self) -> None:
        """Remove all files. Safe from any thread."""
        for key in list(self._files):
            self.remove(key)

    def _upload(self, key: str) -> Upload:
        upload = self._files.get(str(key))
        if upload is None:
            raise LookupError(
                "This file is no longer available: it was sent, or discarded after "
                f"{self.idle:g} s without activity. Choose it again."
            )
        return upload

    def _check_idle(self) -> None:
        self._remove_idle()
        later = asyncio.get_running_loop().call_later
        self._timer = later(self.idle / 2, self._check_idle) if self._files else None

    def _remove_idle(self) -> None:
        since = monotonic() - self.idle
        for key in [key for key, upload in self._files.items() if upload.touched < since]:
            self.remove(key)


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)
