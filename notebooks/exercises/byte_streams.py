"""The checks of byte-streams.ipynb: an examiner joins bob's room, sends him files, and looks at what comes back."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import lknb
from exercises import Answers, Verdict, check, not_yet, open_room, right, shown, variable, why_silent

_NOT_SENT = 0.3  # seconds after which what has not come is taken for not sent
_TOO_EARLY = 1.5  # the same, where an answer that comes later would be taken for a right one


def _answer(answers: Answers, not_expected: float | None = None) -> str | None:
    """The next answer; with `not_expected`, one that should not come within so many seconds."""
    event = answers.next() if not_expected is None else answers.within(not_expected)
    return None if event is None else str(event.data)


def _nothing(bob: lknb.Room, examiner: lknb.Room, topic: str, what: str) -> Verdict:
    """Why no text of this topic came from bob."""
    others = [event.topic for event in examiner.events.filter("text", sender=bob.identity) if event.topic != topic]
    if others:
        return not_yet(
            f"{what} was sent, and a text came back, but its topic is {shown(others[-1])}, and not `{topic}`."
        )
    return not_yet(f"{what} was sent, and no text came back. {why_silent(bob, 'bytes', topic)}")


def _pixel(red: int, green: int, blue: int) -> bytes:
    """A PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    row = zlib.compress(bytes([0, red, green, blue]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


@check
def check_1() -> Verdict:
    """Pictures are saved under safe names and none is overwritten; what only claims to be one is not saved."""
    bob, album = open_room("bob"), variable("album")
    if not isinstance(album, Path):
        return not_yet(f"`album` is {shown(album)}, and should be the folder as a `Path`. Run the cell above again.")
    before = _files(album)
    with lknb.connect(bob.name, "examiner") as examiner:
        answers = Answers(examiner, bob, "bytes", "album", heard="album")

        def send(data: bytes, name: str) -> str | None:
            examiner.send_bytes(data, name=name, topic="album", to="bob", mime_type="image/png")
            return _answer(answers)

        said = send(b"no picture at all", "fake.png")
        if said is None:
            return _nothing(bob, examiner, "album", "a file `fake.png` that holds no picture")
        if said != "no picture":
            return not_yet(
                f"`fake.png` holds plain text, and bob answered {shown(said)}, and not `'no picture'`. A name and a "
                "`mime_type` are only claims; `data.image_type` looks at the content."
            )
        if _files(album) != before:
            return not_yet("bob answered `'no picture'` for `fake.png`, and saved it all the same.")
        pictures = _pixel(*os.urandom(3)), _pixel(*os.urandom(3))  # others each time the check is run
        first, second = (send(picture, "../pixel.png") for picture in pictures)
        if first is None or second is None:
            return _nothing(bob, examiner, "album", "a picture called `../pixel.png`")
        names = [_holding(album, picture) for picture in pictures]
        if names[1] and not names[0]:
            return not_yet(
                f"two different pictures came as `../pixel.png`, and bob answered {shown(first)} and {shown(second)}: "
                "one has overwritten the other. `data.save(album)` finds a free name."
            )
        for said, name in zip((first, second), names, strict=True):
            if said == "no picture":
                return not_yet("bob answered `'no picture'` for a PNG of one pixel. Its `image_type` is `'image/png'`.")
            if name is None:
                return not_yet(f"bob answered {shown(said)}, but no such file is in `album`: `data.save(album)`.")
            if "/" in said:
                return not_yet(f"bob answered {shown(said)}; only the name was asked for: `path.name`.")
            if said != name:
                return not_yet(
                    f"bob answered {shown(said)}, but saved that picture as {shown(name)}. `save` returns the path "
                    "that it has found, and `path.name` is its name."
                )
    return right(f"two pictures of the same name became {shown(first)} and {shown(second)}, and the fake was refused.")


def _files(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()} if folder.is_dir() else set()


def _holding(folder: Path, data: bytes) -> str | None:
    """The name of the file that holds exactly this."""
    return next((name for name in _files(folder) if (folder / name).read_bytes() == data), None)


@check
def check_2() -> Verdict:
    """The sums of two tables with different columns."""
    bob = open_room("bob")
    tables = [("value,place\n1,7\n2,7\n39,7\n", 42), ("place,value\n100,3\n200,4\n", 7)]
    with lknb.connect(bob.name, "examiner") as examiner:
        answers = Answers(examiner, bob, "bytes", "numbers", heard="numbers")
        for text, total in tables:
            examiner.send_bytes(text.encode(), name="numbers.csv", topic="numbers", to="bob")
            said = _answer(answers)
            if said is None:
                return _nothing(bob, examiner, "numbers", "a table")
            try:
                sum_ = float(said)
            except ValueError:
                return not_yet(f"for a table whose `value` sums to {total} came {shown(said)}, which is no number.")
            if sum_ != total:
                columns = text.partition("\n")[0]
                return not_yet(
                    f"for a table with the columns `{columns}`, whose `value` sums to {total}, came {shown(said)}. "
                    '`pd.read_csv(io.BytesIO(data.data))["value"]` is the column, wherever it stands.'
                )
    return right("both tables were added up, wherever the column stood.")


@check
def check_3() -> Verdict:
    """`half` after half of the parcel, before its end; then `all`; each once."""
    bob = open_room("bob")
    with lknb.connect(bob.name, "examiner") as examiner:
        answers = Answers(examiner, bob, "bytes", "parcels", heard="parcels")
        with examiner.stream_bytes("parcel.bin", total_size=1_000, topic="parcels", to="bob") as parcel:
            parcel.write(bytes(400))
            early = _answer(answers, _TOO_EARLY)
            parcel.write(bytes(200))
            half = None if early else _answer(answers)
            parcel.write(bytes(400))
        if early is not None:
            return not_yet(
                f"400 of 1,000 bytes were there when bob wrote {shown(early)}. Add up the `len` of the chunks, and "
                "compare with `event.size`, which is what was announced."
            )
        last = _answer(answers)
        if half is None and last is None:
            return _nothing(bob, examiner, "parcels", "a parcel")
        if half is None:
            how = (
                "A chunk may lead past the half: compare with `>=`."
                if any(each.streams for each in bob.handlers if each.topic == "parcels")
                else "With `stream=True` a handler is called at the beginning, and its `data` are the chunks."
            )
            return not_yet(f"600 of 1,000 bytes were there and nothing came; {shown(last)} came when all were. {how}")
        if half != "half":
            return not_yet(f"600 of 1,000 bytes were there and {shown(half)} came, and not `'half'`.")
        if last == "half":
            return not_yet("`'half'` came in time, and then once more. Say it once.")
        if last != "all":
            came = "nothing" if last is None else shown(last)
            return not_yet(f"`'half'` came in time, but at the end {came}, and not `'all'`.")
        if (more := _answer(answers, _NOT_SENT)) is not None:
            return not_yet(f"`'half'` and `'all'` came in time, and then {shown(more)}.")
    return right("`'half'` came when 600 of 1,000 bytes were there, and `'all'` at the end.")
