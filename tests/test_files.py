"""Received files: safe names, saving without overwriting, display; and the progress line."""

from __future__ import annotations

import base64
import hashlib
import io
import types
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from lknb import ReceivedFile, progress
from lknb.files import SPOOL_AT, Spool, guess_type, safe_name

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


# Display


def test_read_returns_part_of_file() -> None:
    file = received(bytes(range(200)))
    assert file.read(10, 5) == bytes(range(10, 15))
    assert file.read(190) == bytes(range(190, 200))
    assert (file.read(200, 5), len(file.read())) == (b"", 200)


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
