"""Files that a browser hands over: in order, bounded, on disk until they are sent, and gone when nothing follows."""

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
    """What a browser does."""
    return LOOP.run(uploads.actions[action](**args), action)


def whole(uploads: Uploads, key: str) -> Path:
    return uploads.whole(key).path


def test_a_file_comes_in_pieces_and_is_whole_then(uploads: Uploads) -> None:
    data = bytes(range(256)) * 5_000
    key = ask(uploads, "begin", name="data.bin", size=len(data))
    sizes = [ask(uploads, "upload", key=key, at=at, buffer=data[at : at + PIECE]) for at in range(0, len(data), PIECE)]
    assert sizes == [PIECE, len(data)]
    assert (whole(uploads, key).name, whole(uploads, key).read_bytes()) == ("data.bin", data)


def test_an_empty_file_needs_no_piece(uploads: Uploads) -> None:
    assert whole(uploads, ask(uploads, "begin", name="empty", size=0)).read_bytes() == b""


@pytest.mark.parametrize("name", ["../../.bashrc", "/etc/passwd", "", "a\u202eb\n", "x" * 5_000])
def test_a_name_leads_nowhere_else(uploads: Uploads, name: str) -> None:
    one, other = (uploads.whole(ask(uploads, "begin", name=name, size=0)) for _ in range(2))
    assert one.path.parent == Path(one.folder.name)
    assert one.path.parent != other.path.parent
    assert one.path.is_file()


@pytest.mark.parametrize("size", [-1, "1", None, True, 1.5])
def test_a_file_of_no_size(uploads: Uploads, size: Any) -> None:
    with pytest.raises(ValueError, match="a name and a size"):
        ask(uploads, "begin", name="x", size=size)


def test_a_file_over_the_limit_says_what_to_do(uploads: Uploads) -> None:
    with pytest.raises(ValueError, match=r"at most 67.1 MB .*room.send_file\(path\)"):
        ask(uploads, "begin", name="x", size=LIMIT + 1)


def test_all_together_are_bounded_in_bytes_and_number(uploads: Uploads) -> None:
    first = ask(uploads, "begin", name="x", size=LIMIT)
    with pytest.raises(ValueError, match=f"at most {FILES} do, of 67.1 MB together"):
        ask(uploads, "begin", name="x", size=1)
    ask(uploads, "discard", key=first)
    keys = [ask(uploads, "begin", name="a", size=0) for _ in range(FILES)]
    with pytest.raises(ValueError, match="Send this one after them"):
        ask(uploads, "begin", name="x", size=0)
    uploads.let_go(keys[-1])
    ask(uploads, "begin", name="x", size=1)


@pytest.mark.parametrize(("at", "size"), [(1, 1), (0, 11), (-1, 1), ("0", 1)])
def test_pieces_in_disorder_are_refused_and_the_file_let_go(uploads: Uploads, at: Any, size: int) -> None:
    key = ask(uploads, "begin", name="x", size=10)
    with pytest.raises(ValueError, match="in disorder"):
        ask(uploads, "upload", key=key, at=at, buffer=bytes(size))
    assert len(uploads) == 0


def test_a_file_that_is_not_all_there_is_not_whole(uploads: Uploads) -> None:
    key = ask(uploads, "begin", name="x", size=10)
    ask(uploads, "upload", key=key, at=0, buffer=b"12345")
    with pytest.raises(ValueError, match="5 of 10 bytes"):
        whole(uploads, key)


@pytest.mark.slow("waits 5 s for the upload's timeout")
def test_what_does_not_go_on_is_let_go_with_its_folder() -> None:
    uploads = Uploads(idle=2)  # seconds that a slow machine still keeps within from one look to the next
    left = uploads.whole(ask(uploads, "begin", name="left", size=0)).path
    key = ask(uploads, "begin", name="goes on for a while", size=10)
    eventually(lambda: ask(uploads, "upload", key=key, at=0) == 0 and len(uploads) == 1 and not left.parent.exists())
    eventually(lambda: len(uploads) == 0)
    with pytest.raises(LookupError, match="after 2 s without a next step"):
        ask(uploads, "upload", key=key, at=0)


def test_nothing_stays_on_disk_when_the_widget_ends(uploads: Uploads) -> None:
    path = whole(uploads, ask(uploads, "begin", name="x", size=0))
    uploads.clear()
    assert not path.parent.exists()
