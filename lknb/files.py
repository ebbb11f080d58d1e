"""Files to send, checked before they are read, and received files: their bytes, safe names, and safe images."""

from __future__ import annotations

import base64
import hashlib
import io
import mimetypes
import mmap
import numbers
import os
import re
import shutil
import stat
import tempfile
import threading
import unicodedata
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lknb.arrow import formats, pyarrow
from lknb.arrow.formats import MAX_TABLE
from lknb.errors import TableError
from lknb.public import public
from lknb.read_only import ReadOnly

# Files up to this size are kept in memory, larger files in the temporary directory.
SPOOL_AT = 4 * 1024 * 1024
_INSTEAD = "Read what you need of it, and send that with send_bytes."
_BUFFER_SIZE = 64 * 1024
_MOST_AT_ONCE = 1 << 30  # Linux reads at most 2 GB in one call
_DISPLAY_LIMIT = 20 * 1024 * 1024
_NAME_LIMIT = 200  # bytes; most file systems allow 255, which leaves room for a number

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\.|$)", re.IGNORECASE)

# Unicode categories: control, format (such as text direction), surrogate, private use, unassigned, separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# Detected by their first bytes, never by the sender's name or type. SVG is excluded because it is markup.
_IMAGES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
)

IMAGE_TYPES = frozenset(mime for _, mime in _IMAGES)
"""The types of images that are safe to display."""


def safe_name(name: str) -> str:
    """`name` as one safe path component: no directories, control or direction characters, devices or hidden files."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join("_" if unicodedata.category(char) in _UNSAFE or char in '<>:"|?*' else char for char in name)
    name = name.strip(". ")
    if not name:
        return "unnamed"
    if _RESERVED.match(name):
        name = "_" + name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 20:
        stem, dot, extension = name, "", ""
    available = _NAME_LIMIT - len((dot + extension).encode())
    stem = stem.encode()[:available].decode(errors="ignore")
    return stem + dot + extension if dot else stem.rstrip(". ")


def open_regular(path: Path) -> tuple[IO[bytes], int]:
    """Open a file to send; return it and its size.

    Raises:
        OSError: if it cannot be read; IsADirectoryError for a directory.
        ValueError: for anything that may never end: a device, a pipe, a socket, or a file of /proc or /sys.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - returned open
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"path: {str(path)!r} is {_kind(status.st_mode)}, which has no end. {_INSTEAD}")
        # Files of /proc and /sys claim to be empty.
        if not status.st_size and file.read(1) != b"":
            raise ValueError(
                f"path: {str(path)!r} does not tell its size, as files in /proc and /sys do not. {_INSTEAD}"
            )
        return file, status.st_size
    except BaseException:
        file.close()
        raise


def _without_waiting(name: str, flags: int) -> int:
    """Open a file; a named pipe too, which would otherwise wait for somebody who writes to it."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


class _SpoolReader(io.RawIOBase):
    """Reads a spool from a position of its own."""

    def __init__(self, spool: Spool | FilePart) -> None:
        self._spool = spool
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        view = memoryview(target).cast("B")
        piece = self._spool.read(self._at, len(view))
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        piece = self._spool.read(self._at)
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._spool.size}[whence]
        if start + offset < 0:
            raise ValueError(f"The position {start + offset} is before the start of the file.")
        self._at = start + offset
        return self._at


@public
class ReceivedFile(ReadOnly, io.BufferedReader):
    """A byte stream that was received completely, as a binary file that is open for reading.

    Whatever reads a binary file reads this one: `pandas.read_csv(file)`, `json.load(file)`, `PIL.Image.open(file)`,
    `shutil.copyfileobj(file, target)`. Reading moves its position, as in any file; `seek(0)` goes back to the start.
    Every handler and inbox gets the same object, so give each reader an own one with `open()` if there are several.
    A table is read with `to_pandas()`, `to_polars()` or `to_arrow()`.
    `close` only goes back to the start: the file can be read as long as a variable or the room's log has it.

    Attributes:
        mime_type: the type that the sender claims; not checked.
        size: size in bytes.
        sha256: the SHA-256 digest of the received bytes, in hex.
        verified: True if the sender's digest matches; None if the sender gave none.
        image_type: the MIME type of an image that is safe to display, detected by its first bytes; otherwise None.
        sender: the sender's identity.
        attributes: the stream's attributes.
    """

    def __init__(
        self,
        spool: Spool | FilePart,
        *,
        name: str,
        mime_type: str,
        sender: str,
        attributes: dict[str, str],
        verified: bool | None,
    ) -> None:
        super().__init__(_SpoolReader(spool), _BUFFER_SIZE)
        self._name = safe_name(name)
        self.mime_type = mime_type
        self.size = spool.size
        self.sha256 = spool.sha256
        self.verified = verified
        self.image_type = spool.image_type()
        self.sender = sender
        self.attributes = attributes
        self._spool = spool
        self._fix()

    @property
    def name(self) -> str:
        """The sender's name for it, as one safe path component."""
        return self._name

    @property
    def on_disk(self) -> bool:
        """Whether the bytes are in a temporary file instead of in memory."""
        return self._spool.on_disk

    @property
    def data(self) -> bytes:
        """The complete content, read into memory."""
        return self._spool.read()

    @property
    def table_format(self) -> str | None:
        """The format if it looks like a table: `arrow`, `parquet`, `csv`, `tsv` or `json` for JSON Lines."""
        return formats.format_of(self.piece(0, 8), self.mime_type, self.name)

    def to_batches(self, *, max_size: int = MAX_TABLE) -> Iterator[Any]:
        """The table in this file as `pyarrow.RecordBatch`es, one after the other, for a table larger than memory.

        Arrow and Parquet are read batch by batch; CSV and JSON Lines as a whole.

        Args:
            max_size: bytes that all batches together may take, unpacked.

        Raises:
            TableError: if the file is not a table, or takes more than `max_size`.
            ImportError: without pyarrow.
        """
        batches = self._table_batches(max_size)
        next(batches)
        return batches

    def to_arrow(self, *, max_size: int = MAX_TABLE) -> Any:
        """The table in this file as a `pyarrow.Table`: Arrow IPC, Parquet, CSV or JSON Lines.

        The format is found by the first bytes, and for text by the type or the name. Nothing is unpickled.

        Args:
            max_size: bytes that the table may take in memory; 1 GB unless set.

        Raises:
            TableError: if the file is not a table, or takes more than `max_size`.
            ImportError: without pyarrow.
        """
        batches = self._table_batches(max_size)
        schema = next(batches)
        return pyarrow().Table.from_batches(batches, schema)

    def to_pandas(self, *, max_size: int = MAX_TABLE) -> Any:
        """The table in this file as a `pandas.DataFrame`, with the index that was sent; see `to_arrow`."""
        return self.to_arrow(max_size=max_size).to_pandas()

    def to_polars(self, *, max_size: int = MAX_TABLE) -> Any:
        """The table in this file as a `polars.DataFrame`; see `to_arrow`.

        Raises:
            ImportError: without polars.
        """
        try:
            import polars
        except ImportError:
            raise ImportError("This needs polars: pip install polars") from None
        return polars.from_arrow(self.to_arrow(max_size=max_size))

    def _table_batches(self, max_size: int) -> Iterator[Any]:
        if not isinstance(max_size, numbers.Real) or max_size < 1:
            raise ValueError(f"max_size must be a number of bytes, at least 1, not {max_size!r}.")
        kind = self.table_format
        if kind is None:
            raise TableError(
                f"{self.name!r} ({self.mime_type or 'no type'}, {self.size:,} bytes) is not a table that lknb reads: "
                "Arrow IPC, Parquet, CSV or JSON Lines. Its bytes are in .data, and .open() reads it as a file."
            )
        return formats.batches(self._spool.buffer(), kind, int(max_size))

    def open(self) -> io.BufferedReader:
        """The file once more, from its start, with a position of its own."""
        return io.BufferedReader(_SpoolReader(self._spool), _BUFFER_SIZE)

    def piece(self, at: int, count: int) -> bytes:
        """At most `count` bytes from the offset `at`. Does not move the position."""
        return self._spool.read(at, count)

    def __copy__(self) -> ReceivedFile:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ReceivedFile:
        return self  # what was received never changes

    def __reduce__(self) -> tuple[Any, ...]:
        described = {name: getattr(self, name) for name in ("name", "mime_type", "sender", "attributes", "verified")}
        return _unpickled, (self.data, described)

    def close(self) -> None:
        """Go back to the start. The content stays, for other readers and for the next reading."""
        self.seek(0)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<ReceivedFile {self.name!r} {self.mime_type!r} {self.size:,} B from {self.sender!r}>"

    def save(self, folder: str | Path = ".", name: str | None = None) -> Path:
        """Write the file to `folder` and return its path. The folder is created if it does not exist.

        Nothing is overwritten: a number is added to a name that is taken. The path never leaves `folder`.

        Args:
            folder: the directory to write to.
            name: a name to use instead of `self.name`; it is made safe in the same way.
        """
        directory = Path(folder)
        directory.mkdir(parents=True, exist_ok=True)
        wanted = Path(safe_name(name) if name is not None else self.name)
        for number in range(10_000):
            path = directory / (wanted.name if not number else f"{wanted.stem} ({number}){wanted.suffix}")
            try:
                # "x" fails if anything exists at this path, even a dangling link.
                with path.open("xb") as target:
                    try:
                        self._spool.copy_to(target)
                    except BaseException:
                        path.unlink(missing_ok=True)
                        raise
            except FileExistsError:
                continue
            return path
        raise FileExistsError(f"{directory} already has 10,000 files named {wanted.name!r}. Choose another folder.")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if self.image_type and self.size <= _DISPLAY_LIMIT:
            bundle[self.image_type] = base64.b64encode(self.data).decode()
        return bundle


def _unpickled(content: bytes, described: dict[str, Any]) -> ReceivedFile:
    spool = Spool()
    spool.write(content)
    return ReceivedFile(spool, **described)


class Spool:
    """Received bytes, counted and hashed: in memory up to a limit, then in an unnamed temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=SPOOL_AT)  # noqa: SIM115 - closed when this is garbage-collected
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
        """The SHA-256 digest of the bytes so far, in hex."""
        return self._digest.hexdigest()

    @property
    def on_disk(self) -> bool:
        """Whether the bytes have moved to a temporary file."""
        return self.size > SPOOL_AT

    def read(self, at: int = 0, count: int = -1) -> bytes:
        """All bytes, or at most `count` bytes from the offset `at`."""
        with self._lock:
            self._file.seek(at)
            return self._file.read(count)

    def buffer(self) -> bytes | mmap.mmap:
        """All bytes, without reading them into memory if they are on disk."""
        with self._lock:
            if self.on_disk:
                self._file.flush()
                return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self._file.seek(0)
            return self._file.read()

    def copy_to(self, target: Any) -> None:
        """Copy all bytes to an open file, in chunks."""
        with self._lock:
            self._file.seek(0)
            shutil.copyfileobj(self._file, target, 1024 * 1024)

    def image_type(self) -> str | None:
        """The MIME type if the first bytes are those of an image that is safe to display, otherwise None."""
        with self._lock:
            self._file.seek(0)
            return _image_type(self._file.read(16))

    def close(self) -> None:
        """Discard the bytes."""
        self._file.close()


class FilePart:
    """Bytes in the middle of a file, read when they are needed.

    Args:
        file: the file's descriptor.
        at: where the bytes begin.
        size: their number.
        sha256: their SHA-256 digest in hex, as it was when they were written.
        keep: what closes the descriptor when nothing refers to it any more.
    """

    on_disk = True

    def __init__(self, file: int, at: int, size: int, sha256: str, keep: Any) -> None:
        self._file, self._at, self._keep = file, at, keep
        self.size, self.sha256 = size, sha256

    def read(self, at: int = 0, count: int = -1) -> bytes:
        """All bytes, or at most `count` bytes from the offset `at`."""
        left = max(0, self.size - at)
        left = left if count < 0 else min(count, left)
        pieces: list[bytes] = []
        begin = self._at + at
        while left and (piece := os.pread(self._file, min(left, _MOST_AT_ONCE), begin)):
            pieces.append(piece)
            begin += len(piece)
            left -= len(piece)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    def buffer(self) -> memoryview:
        """All bytes, without reading them into memory."""
        if not self.size:
            return memoryview(b"")
        begin = self._at % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(self._file, begin + self.size, access=mmap.ACCESS_READ, offset=self._at - begin)
        return memoryview(mapped)[begin:]

    def copy_to(self, target: Any) -> None:
        """Copy all bytes to an open file, in chunks."""
        for at in range(0, self.size, 1024 * 1024):
            target.write(self.read(at, 1024 * 1024))

    def image_type(self) -> str | None:
        """The MIME type if the first bytes are those of an image that is safe to display, otherwise None."""
        return _image_type(self.read(0, 16))


def _image_type(head: bytes) -> str | None:
    return next((mime for magic, mime in _IMAGES if magic.match(head)), None)


def guess_type(name: str) -> str:
    """The MIME type that matches a file name's extension."""
    try:
        found = mimetypes.guess_type(name)[0]
    except OSError:  # the first call reads the system's tables, which it cannot with too many open files
        found = None
    return found or "application/octet-stream"
