"""Files that a browser hands over in pieces, to be sent: on disk till then, bounded, let go when nothing follows."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from lknb.files import safe_name
from lknb.progress import size as readable
from lknb.systems.streams import MAX_STREAM_SIZE
from lknb.widgets.part import Action

PIECE = 1024 * 1024
"""What one message carries of a file, to or from a browser: websockets between them refuse ten megabytes."""

LIMIT = MAX_STREAM_SIZE
"""Bytes of all files of one widget that wait to be sent."""

FILES = 8


@dataclass
class Upload:
    """A file from a browser.

    Attributes:
        name: what the browser calls it.
        size: bytes, when it is all there.
        folder: a place of its own.
        received: bytes so far.
        touched: when its last piece came, by `monotonic`.
    """

    name: str
    size: int
    folder: tempfile.TemporaryDirectory[str]
    received: int = 0
    touched: float = field(default_factory=monotonic)

    @property
    def path(self) -> Path:
        """Where it is; the last component is the name, as far as that is safe."""
        return Path(self.folder.name) / safe_name(self.name)


class Uploads:
    """The files of one widget. All but `clear` belongs to the loop thread.

    Attributes:
        actions: what a browser may ask for: `begin`, then `upload` with each piece in order; or `discard`.
        idle: seconds without a next piece, and without being sent, after which a file is let go: a browser that is
            gone does not say so.
    """

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self.actions: dict[str, Action] = {"begin": self.begin, "upload": self.take, "discard": self.discard}
        self._files: dict[str, Upload] = {}
        self._numbers = itertools.count(1)
        self._looking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._files)

    async def begin(self, name: str, size: int) -> str:
        """Make place for a file; returns what to call it from now on."""
        if not isinstance(name, str) or isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError("A file has a name and a size.")
        if size > LIMIT:
            raise ValueError(
                f"The file is {readable(size)}; at most {readable(LIMIT)} go through the browser. "
                "A cell can send a file of any size: room.send_file(path)."
            )
        self._forget_idle()
        if len(self._files) >= FILES or sum(each.size for each in self._files.values()) + size > LIMIT:
            raise ValueError(
                f"Other files wait to be sent, and at most {FILES} do, of {readable(LIMIT)} together. "
                "Send this one after them."
            )
        key = str(next(self._numbers))
        self._files[key] = Upload(name[:200], size, tempfile.TemporaryDirectory(prefix="lknb-upload-"))
        self._files[key].path.touch()
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(self.idle / 2, self._look_for_idle)
        return key

    async def take(self, key: str, at: int, buffer: bytes = b"") -> int:
        """The next piece of a file; returns how much of it is there."""
        upload = self._known(key)
        if at != upload.received or len(buffer) > min(PIECE, upload.size - upload.received):
            self.let_go(key)
            raise ValueError("The pieces of the file came in disorder, so it was let go. Choose it again.")
        upload.received += len(buffer)
        upload.touched = monotonic()
        await asyncio.to_thread(_append, upload.path, buffer)
        return upload.received

    async def discard(self, key: str) -> None:
        """Let a file go that shall not be sent."""
        self.let_go(key)

    def whole(self, key: str) -> Upload:
        """A file that is all there."""
        upload = self._known(key)
        if upload.received != upload.size:
            raise ValueError(
                f"{upload.received:,} of {upload.size:,} bytes came from the browser, so the file was not sent. "
                "Did it change meanwhile? Choose it again."
            )
        return upload

    def let_go(self, key: str) -> None:
        """Remove a file, if it is still there."""
        upload = self._files.pop(str(key), None)
        if upload is not None:
            upload.folder.cleanup()

    def clear(self) -> None:
        """Let all go; safe from any thread."""
        for key in list(self._files):
            self.let_go(key)

    def _known(self, key: str) -> Upload:
        upload = self._files.get(str(key))
        if upload is None:
            raise LookupError(f"This file was let go, as after {self.idle:g} s without a next step. Choose it again.")
        return upload

    def _look_for_idle(self) -> None:
        self._forget_idle()
        later = asyncio.get_running_loop().call_later
        self._looking = later(self.idle / 2, self._look_for_idle) if self._files else None

    def _forget_idle(self) -> None:
        since = monotonic() - self.idle
        for key in [key for key, upload in self._files.items() if upload.touched < since]:
            self.let_go(key)


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)
