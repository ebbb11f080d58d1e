"""Files that a browser uploads: in order, bounded, on disk until they are sent or abandoned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from lknb.loop import LOOP
from lknb.widgets.uploads import FILES, LIMIT, PIECE, Uploads


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    made = Uploads(idle=60)
    yield made
    made.clear()


def ask(uploads: Uploads, action: str, **args: Any) -> Any:
    """Call an action as a browser does."""
    return LOOP.run(uploads.actions[action](**args), action)


def begin(uploads: Uploads, name: str, size: int) -> str:
    key: str = ask(uploads, "begin", name=name, size=size)["key"]
    return key


def complete(uploads: Uploads, key: str) -> Path:
    return uploads.complete(key).path


def test_upload_in_pieces_is_complete(uploads: Uploads) -> None:
    data = bytes(range(256)) * 5_000
    key = begin(uploads, "data.bin", len(data))
    sizes = [ask(uploads, "upload", key=key, at=at, buffer=data[at : at + PIECE]) for at in range(0, len(data), PIECE)]
    assert sizes == [PIECE, len(data)]
    assert (complete(uploads, key).name, complete(uploads, key).read_bytes()) == ("data.bin", data)


def test_empty_file_needs_no_piece(uploads: Uploads) -> None:
    assert complete(uploads, begin(uploads, "empty", 0)).read_bytes() == b""


@pytest.mark.parametrize("name", ["../../.bashrc", "/etc/passwd", "", "a\u202eb\n", "x" * 5_000])
def test_file_name_cannot_leave_its_folder(uploads: Uploads, name: str) -> None:
    one, other = (uploads.complete(begin(uploads, name, 0)) for _ in range(2))
    assert one.path.parent == Path(one.folder.name)
    assert one.path.parent != other.path.parent
    assert one.path.is_file()


@pytest.mark.parametrize("size", [-1, "1", None, True, 1.5])
def test_begin_rejects_an_invalid_size(uploads: Uploads, size: Any) -> None:
    with pytest.raises(ValueError, match="a name and a size"):
        begin(uploads, "x", size)


def test_file_over_the_limit_says_what_to_do(uploads: Uploads) -> None:
    with pytest.raises(ValueError, match=r"at most 67.1 MB .*room.send_file\(path\)"):
        begin(uploads, "x", LIMIT + 1)


def test_uploads_are_bounded_in_bytes_and_number(uploads: Uploads) -> None:
    first = begin(uploads, "x", LIMIT)
    with pytest.raises(ValueError, match=f"at most {FILES} can, with 67.1 MB in total"):
        begin(uploads, "x", 1)
    ask(uploads, "discard", key=first)
    keys = [begin(uploads, "a", 0) for _ in range(FILES)]
    with pytest.raises(ValueError, match="Send the others first"):
        begin(uploads, "x", 0)
    uploads.remove(keys[-1])
    begin(uploads, "x", 1)


@pytest.mark.parametrize(("at", "size"), [(1, 1), (0, 11), (-1, 1), ("0", 1)])
def test_piece_out_of_order_discards_the_file(uploads: Uploads, at: Any, size: int) -> None:
    key = begin(uploads, "x", 10)
    with pytest.raises(ValueError, match="out of order"):
        ask(uploads, "upload", key=key, at=at, buffer=bytes(size))
    assert len(uploads) == 0


def test_incomplete_file_cannot_be_used(uploads: Uploads) -> None:
    key = begin(uploads, "x", 10)
    ask(uploads, "upload", key=key, at=0, buffer=b"12345")
    with pytest.raises(ValueError, match="5 of 10 bytes"):
        complete(uploads, key)


@pytest.mark.slow("waits 5 s for the upload's timeout")
def test_idle_upload_is_removed_with_its_folder() -> None:
    uploads = Uploads(idle=2)  # long enough for a slow machine to send the next piece in time
    left = uploads.complete(begin(uploads, "left", 0)).path
    key = begin(uploads, "active for a while", 10)
    eventually(lambda: ask(uploads, "upload", key=key, at=0) == 0 and len(uploads) == 1 and not left.parent.exists())
    eventually(lambda: len(uploads) == 0)
    with pytest.raises(LookupError, match="after 2 s without activity"):
        ask(uploads, "upload", key=key, at=0)


def test_clear_leaves_nothing_on_disk(uploads: Uploads) -> None:
    path = complete(uploads, begin(uploads, "x", 0))
    uploads.clear()
    assert not path.parent.exists()
