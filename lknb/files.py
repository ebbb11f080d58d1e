"""Received files: where their bytes wait, the names they may have on disk, and what of them may be displayed."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
import shutil
import tempfile
import threading
import unicodedata
import weakref
from pathlib import Path
from typing import Any

from lknb.public import public

# In memory up to here; a larger file waits in the temporary directory, so that 1 GB does not need 1 GB of memory.
SPOOL_AT = 4 * 1024 * 1024
_DISPLAY_LIMIT = 20 * 1024 * 1024
_NAME_LIMIT = 200  # bytes; most file systems allow 255, and a number may have to be added

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\.|$)", re.IGNORECASE)

# Control, direction and other format characters, halves of surrogate pairs, the unassigned, and line separators.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# By their first bytes, never by the name or type that the sender claims. SVG is markup, and not among them.
_IMAGES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
)


def safe_name(name: str) -> str:
    """`name` as one harmless path component: no folders, control or direction characters, devices or hidden files."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join("_" if unicodedata.category(char) in _UNSEEN or char in '<>:"|?*' else char for char in name)
    name = name.strip(". ")
    if not name:
        return "unnamed"
    if _RESERVED.match(name):
        name = "_" + name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 20:
        stem, dot, extension = name, "", ""
    room = _NAME_LIMIT - len((dot + extension).encode())
    stem = stem.encode()[:room].decode(errors="ignore")
    return stem + dot + extension if dot else stem.rstrip(". ")


@public
class ReceivedFile:
    """A byte stream that arrived whole.

    Attributes:
        name: the sender's name for it, as one safe path component.
        mime_type: what the sender says it is; a claim, nothing more.
        size: bytes.
        sha256: the digest of what arrived, in hex.
        verified: True when the sender gave a digest and it is this one; None when it gave none.
        image_type: the MIME type of an image that is safe to display, told by its first bytes; None for all else.
        sender: the identity that sent it.
        attributes: the stream's attributes.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        name: str,
        mime_type: str,
        sender: str,
        attributes: dict[str, str],
        verified: bool | None,
    ) -> None:
        self.name = safe_name(name)
        self.mime_type = mime_type
        self.size = spool.size
        self.sha256 = spool.sha256
        self.verified = verified
        self.image_type = spool.image_type()
        self.sender = sender
        self.attributes = attributes
        self._spool = spool

    @property
    def on_disk(self) -> bool:
        """Whether the bytes wait in a temporary file rather than in memory."""
        return self._spool.on_disk

    @property
    def data(self) -> bytes:
        """The whole content, read into memory."""
        return self._spool.read()

    def read(self, at: int = 0, count: int = -1) -> bytes:
        """A part of the content, for what need not be in memory as a whole.

        Args:
            at: where it begins, in bytes.
            count: at most so many bytes; the rest if negative.
        """
        return self._spool.read(at, count)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<ReceivedFile {self.name!r} {self.mime_type!r} {self.size:,} B from {self.sender!r}>"

    def save(self, folder: str | Path = ".", name: str | None = None) -> Path:
        """Write the file into `folder` (made if missing) and return its path.

        Nothing is overwritten: a taken name gets a number. The path never leaves `folder`.

        Args:
            folder: where to.
            name: another name; made safe in the same way.
        """
        directory = Path(folder)
        directory.mkdir(parents=True, exist_ok=True)
        wanted = Path(safe_name(name) if name is not None else self.name)
        for number in range(10_000):
            path = directory / (wanted.name if not number else f"{wanted.stem} ({number}){wanted.suffix}")
            try:
                # "x" fails on whatever is there already, a dangling link included.
                with path.open("xb") as target:
                    try:
                        self._spool.copy_to(target)
                    except BaseException:
                        path.unlink(missing_ok=True)
                        raise
            except FileExistsError:
                continue
            return path
        raise FileExistsError(f"There are 10,000 files called {wanted.name!r} in {directory}; choose another folder.")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if self.image_type and self.size <= _DISPLAY_LIMIT:
            bundle[self.image_type] = base64.b64encode(self.data).decode()
        return bundle


class Spool:
    """Bytes as they arrive: counted, digested, in memory while few and in an unnamed temporary file when many."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=SPOOL_AT)  # noqa: SIM115 - closed when this is collected
        weakref.finalize(self, self._file.close)
        self._digest = hashlib.sha256()
        # The file has one position, and cells and handlers may read at the same time.
        self._lock = threading.Lock()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    @property
    def sha256(self) -> str:
        """The digest of all so far, in hex."""
        return self._digest.hexdigest()

    @property
    def on_disk(self) -> bool:
        """Whether it has grown into a file."""
        return self.size > SPOOL_AT

    def read(self, at: int = 0, count: int = -1) -> bytes:
        """All of it, or `count` bytes from `at` on."""
        with self._lock:
            self._file.seek(at)
            return self._file.read(count)

    def copy_to(self, target: Any) -> None:
        """Write all of it to an open file, in pieces."""
        with self._lock:
            self._file.seek(0)
            shutil.copyfileobj(self._file, target, 1024 * 1024)

    def image_type(self) -> str | None:
        """The MIME type, when the first bytes are those of an image that is safe to display."""
        with self._lock:
            self._file.seek(0)
            head = self._file.read(16)
        return next((mime for magic, mime in _IMAGES if magic.match(head)), None)

    def close(self) -> None:
        """Let the bytes go."""
        self._file.close()


def guess_type(name: str) -> str:
    """The MIME type that a file's name suggests."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
