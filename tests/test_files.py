"""Received files: safe names, saving without overwriting, display; and the progress line."""

from __future__ import annotations

import base64
import csv
import gc
import hashlib
import io
import json
import os
import shutil
import types
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from lknb import ReceivedFile, progress
from lknb.files import SPOOL_AT, Spool, guess_type, open_regular, safe_name

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
GIF = b"GIF89a" + bytes(20)
WEBP = b"RIFF\x10\x00\x0a\x00WEBPVP8 " + bytes(20)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
HTML = b"<!DOCTYPE html><script>alert(1)</script>"


def received(content: bytes, name: str = "file.bin", mime_type: str = "application/octet-stream") -> ReceivedFile:
    spool = Spool()
    for at in range(0, len(content), 100_000):
        spool.write(content[at : at + 100_000])
    return ReceivedFile(spool, name=name, mime_type=mime_type, sender="peer", attributes={"a": "b"}, verified=None)


# Names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.png", "photo.png"),
        ("Grüße ☃.txt", "Grüße ☃.txt"),
        ("../../x", "x"),
        ("..\\..\\x", "x"),
        ("C:\\x\\y", "y"),
        ("C:y", "C_y"),
        ("/etc/passwd", "passwd"),
        ("\\\\host\\share\\z.txt", "z.txt"),
        ("folder/inner.txt", "inner.txt"),
        ("folder/", "unnamed"),
        (".", "unnamed"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("   ", "unnamed"),
        (".bashrc", "bashrc"),
        ("...hidden", "hidden"),
        ("ends. . ", "ends"),
        ("CON", "_CON"),
        ("NUL.txt", "_NUL.txt"),
        ("nul .txt", "_nul .txt"),
        ("lpt1.tar.gz", "_lpt1.tar.gz"),
        ("COM¹", "_COM¹"),
        ("CONIN$", "_CONIN$"),
        ("console.log", "console.log"),
        ("a\x00b\nc\x1b[31m.txt", "a_b_c_[31m.txt"),
        ("evil\u202egnp.exe", "evil_gnp.exe"),
        ("zero\u200bwidth", "zero_width"),
        ("line\u2028break", "line_break"),
        ("half\ud800.txt", "half_.txt"),
        ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
    ],
)
def test_names_become_one_safe_path_component(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert safe_name(safe) == safe
    assert received(b"", name).name == safe


@pytest.mark.parametrize("name", ["n" * 5000 + ".tar.gz", "é☃" * 500 + ".txt", "x." + "y" * 1000, "z " * 1000])
def test_long_names_are_cut_but_keep_their_extension(name: str) -> None:
    safe = safe_name(name)
    assert 100 < len(safe.encode()) <= 200
    assert safe.strip(". ") == safe
    extension = PurePosixPath(name).suffix
    assert PurePosixPath(safe).suffix == extension or len(extension) > 20 or not extension


def test_file_stays_in_folder_whatever_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "here"
    for number, name in enumerate(["../../x", "C:\\x\\y", "/etc/passwd", "..", "", "NUL", "n" * 999, "a/b\\c", "\x00"]):
        content = str(number).encode()
        path = received(content, name).save(folder)
        assert path.parent == folder
        assert path.read_bytes() == content
        assert PureWindowsPath(path.name).name == PurePosixPath(path.name).name == path.name
    assert len(list(folder.iterdir())) == 9
    assert [each.name for each in tmp_path.rglob("*") if each.is_dir()] == ["in", "here"]


# Saving


def test_saving_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("mine")
    (tmp_path / "data (1).csv").mkdir()
    paths = [received(b"theirs", "data.csv").save(tmp_path) for _ in range(2)]
    assert [path.name for path in paths] == ["data (2).csv", "data (3).csv"]
    assert (tmp_path / "data.csv").read_text() == "mine"
    assert paths[0].read_bytes() == b"theirs"


@pytest.mark.parametrize("target", ["precious.txt", "not there yet"])
def test_saving_does_not_follow_symlinks(tmp_path: Path, target: str) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "downloads"
    outside.mkdir()
    folder.mkdir()
    (outside / "precious.txt").write_text("mine")
    (folder / "data.csv").symlink_to(outside / target)
    assert received(b"theirs", "data.csv").save(folder).name == "data (1).csv"
    assert [each.name for each in outside.iterdir()] == ["precious.txt"]
    assert (outside / "precious.txt").read_text() == "mine"


def test_file_can_be_saved_under_another_name(tmp_path: Path) -> None:
    file = received(b"x", "theirs.txt")
    assert file.save(tmp_path, "mine.txt") == tmp_path / "mine.txt"
    assert file.save(tmp_path, "../mine.txt") == tmp_path / "mine (1).txt"
    assert file.save(str(tmp_path / "new" / "folder")).read_bytes() == b"x"


def test_failed_save_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Spool, target: Any) -> None:
        target.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "copy_to", full)
    with pytest.raises(OSError, match="No space left"):
        received(b"content").save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("size", "on_disk"), [(0, False), (SPOOL_AT, False), (SPOOL_AT + 1, True)])
def test_large_files_are_kept_on_disk(tmp_path: Path, size: int, on_disk: bool) -> None:
    content = bytes(range(256)) * (size // 256) + b"!" * (size % 256)
    file = received(content)
    assert (file.on_disk, file.size, len(file)) == (on_disk, size, size)
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert file.save(tmp_path).read_bytes() == content
    assert file.data == content, "it can be read again"


# Reading


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def saved(save: Any, value: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, value)
    return buffer.getvalue()


def copied(file: Any) -> bytes:
    target = io.BytesIO()
    shutil.copyfileobj(file, target)
    return target.getvalue()


@pytest.mark.parametrize("take", [lambda file: file, lambda file: file.open()], ids=["file", "open"])
@pytest.mark.parametrize(
    ("content", "read", "value"),
    [
        (b"bytes", copied, b"bytes"),
        (b"a,b\n1,2\n", lambda file: pd.read_csv(file).to_dict("records"), [{"a": 1, "b": 2}]),
        (b'{"a": 1}', json.load, {"a": 1}),
        (zipped(x=b"y"), lambda file: zipfile.ZipFile(file).read("x"), b"y"),
        (b"a,b\n", lambda file: list(csv.reader(io.TextIOWrapper(file))), [["a", "b"]]),
        (saved(np.save, np.arange(3)), lambda file: np.load(file).tolist(), [0, 1, 2]),
        (saved(np.savez, np.arange(3)), lambda file: np.load(file)["arr_0"].tolist(), [0, 1, 2]),
        (
            saved(lambda file, table: pyarrow.parquet.write_table(table, file), pyarrow.table({"a": [1]})),
            lambda file: pyarrow.parquet.read_table(file).to_pydict(),
            {"a": [1]},
        ),
        (b"1\n2\n3", list, [b"1\n", b"2\n", b"3"]),
    ],
    ids=["copyfileobj", "read_csv", "json", "zip", "csv", "npy", "npz", "parquet", "lines"],
)
def test_what_reads_a_binary_file_reads_a_received_one(content: bytes, take: Any, read: Any, value: Any) -> None:
    file = received(content)
    assert read(take(file)) == value
    gc.collect()  # a wrapper that is collected closes what it wraps
    file.seek(0)
    assert read(take(file)) == value, "it can be read again"
    assert file.data == content


def test_pillow_reads_a_received_image() -> None:
    image = pytest.importorskip("PIL.Image")
    content = saved(lambda file, size: image.new("RGB", size).save(file, "PNG"), (3, 2))
    assert image.open(received(content)).size == (3, 2)


@pytest.mark.parametrize("size", [1000, SPOOL_AT + 1000])
def test_reading_moves_the_position_as_in_any_file(size: int) -> None:
    content = bytes(range(250)) * (size // 250)
    file = received(content)
    assert (file.read(10), file.tell(), file.read(0)) == (content[:10], 10, b"")
    assert (file.seek(-5, io.SEEK_END), file.read(), file.read()) == (len(content) - 5, content[-5:], b"")
    assert (file.seek(len(content) + 5), file.read(5)) == (len(content) + 5, b"")
    file.seek(0)
    target = bytearray(100)
    assert (file.readinto(target), bytes(target)) == (100, content[:100])
    assert (file.readable(), file.seekable(), file.writable(), file.closed) == (True, True, False, False)
    with pytest.raises(ValueError, match="before the start"):
        file.seek(-1)
    with pytest.raises(io.UnsupportedOperation):
        file.write(b"x")


def test_readers_do_not_disturb_each_other() -> None:
    file = received(b"0123456789")
    one, other = file.open(), file.open()
    assert (one.read(3), other.read(5), file.read(1), one.read(2)) == (b"012", b"01234", b"0", b"34")
    one.close()
    assert (other.read(), file.data) == (b"56789", b"0123456789")


def test_closing_goes_back_to_the_start_and_keeps_the_content() -> None:
    file = received(b"content")
    with file:
        assert file.read(3) == b"con"
    assert (file.closed, file.read()) == (False, b"content")


def test_read_returns_part_of_file() -> None:
    file = received(bytes(range(200)))
    assert (file.piece(10, 5), file.piece(198, 5), file.tell()) == (bytes(range(10, 15)), bytes([198, 199]), 0)


# Sending


def test_files_without_an_end_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="pipe' is a named pipe, which has no end"):
        open_regular(pipe)
    with pytest.raises(ValueError, match="/dev/zero' is a device, which has no end"):
        open_regular(Path("/dev/zero"))
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs /proc")
def test_files_that_do_not_tell_their_size_are_refused() -> None:
    with pytest.raises(ValueError, match="does not tell its size, as files in /proc and /sys do not"):
        open_regular(Path("/proc/cpuinfo"))


def test_an_empty_file_can_be_sent(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    file, size = open_regular(tmp_path / "empty")
    with file:
        assert (size, file.read()) == (0, b"")


# Display


@pytest.mark.parametrize(
    ("content", "mime_type"), [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")]
)
@pytest.mark.parametrize("claim", ["application/octet-stream", "text/html", "image/svg+xml"])
def test_images_are_displayed_by_content(content: bytes, mime_type: str, claim: str) -> None:
    bundle = received(content, "page.html", claim)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", mime_type}
    assert base64.b64decode(bundle[mime_type]) == content


@pytest.mark.parametrize("content", [SVG, HTML, b"", b"plain text", b"GIF", b"........WEBP", b"%PDF-1.7"])
@pytest.mark.parametrize("claim", ["image/png", "image/svg+xml", "text/html", "text/markdown"])
def test_other_files_are_not_displayed(content: bytes, claim: str) -> None:
    assert set(received(content, "image.png", claim)._repr_mimebundle_()) == {"text/plain"}


def test_huge_image_is_not_embedded() -> None:
    assert set(received(PNG + bytes(20 * 1024 * 1024))._repr_mimebundle_()) == {"text/plain"}


def test_repr_describes_file_without_escapes() -> None:
    text = repr(received(b"12345", "a\x1b[31m.png", "image/png\x1b[2J"))
    assert text == "<ReceivedFile 'a_[31m.png' 'image/png\\x1b[2J' 5 B from 'peer'>"


def test_mime_types_are_guessed_from_names() -> None:
    assert [guess_type(name) for name in ("a.png", "b.txt", "c")] == [
        "image/png",
        "text/plain",
        "application/octet-stream",
    ]


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """The progress line's clock; `clock.at` is its time."""
    clock = types.SimpleNamespace(at=100.0)
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: clock.at))
    monkeypatch.setattr(progress, "_display", lambda: None)
    return clock


@pytest.mark.parametrize(
    ("total", "done", "seconds", "line"),
    [
        (10_000_000, 2_500_000, 1.0, "photo.png: 2.5 MB of 10.0 MB, 25% (2.5 MB/s, 3 s left)"),
        (None, 2_500, 0.5, "photo.png: 2.5 kB (5.0 kB/s)"),
        (4_000_000_000, 0, 1.0, "photo.png: 0 B of 4.00 GB, 0% (0 B/s)"),
        (100, 50, 0.0, "photo.png: 50 B of 100 B, 50% (0 B/s)"),
    ],
)
def test_progress_line_shows_bytes_rate_and_time_left(total: int | None, done: int, seconds: float, line: str) -> None:
    assert progress.Progress("photo.png", total).describe(done, seconds) == line


def test_short_transfer_shows_nothing(clock: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    line = progress.Progress("photo.png", 100)
    for clock.at in (100.1, 100.2, 100.49):
        line.update(50)
    line.close(100)
    assert terminal.getvalue() == ""


def test_long_transfer_shows_progress_line_and_result(
    clock: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    line = progress.Progress("photo.png", 4000)
    for hundredths in range(1, 200):
        clock.at = 100 + hundredths / 100
        line.update(hundredths * 20)
    clock.at = 102
    line.close(4000)
    shown = [each.strip() for each in terminal.getvalue().split("\r") if each]
    assert shown[0] == "photo.png: 1.0 kB of 4.0 kB, 25% (2.0 kB/s, 2 s left)"
    assert shown[-1] == "photo.png: 4.0 kB in 2.0 s (2.0 kB/s)"
    assert len(shown) <= 8, "at most four times a second"
    assert terminal.getvalue().endswith("\n")


def test_progress_label_from_room_is_escaped(clock: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    def display(bundle: dict[str, str], **_: Any) -> Any:
        shown.append(bundle)
        return types.SimpleNamespace(update=lambda bundle, **_: shown.append(bundle))

    monkeypatch.setattr(progress, "_display", lambda: display)
    line = progress.Progress("<img src=x onerror=alert(1)>\x1b[31m", 100)
    clock.at = 101
    line.update(50)
    line.close(50, "the stream was aborted: <b>\x07")
    assert len(shown) == 2
    for bundle in shown:
        assert "<img" not in bundle["text/html"]
        assert "<b>" not in bundle["text/html"]
        assert "&lt;img" in bundle["text/html"]
        assert all(char.isprintable() for char in bundle["text/plain"])
    assert "failed after 50 B: the stream was aborted" in shown[1]["text/plain"]
