"""Checks for byte-streams.ipynb. An examiner joins bob's room, sends him files, and checks his answers."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import lknb
from exercises import Answers, Verdict, check, not_yet, open_room, right, shown, variable, why_silent

_NOT_SENT = 0.3  # seconds without an answer that count as "not sent"
_TOO_EARLY = 1.5  # the same where an answer that arrives later would count as right


def _answer(answers: Answers, not_expected: float | None = None) -> str | None:
    """Return the next answer; with `not_expected`, wait only this many seconds for one that should not arrive."""
    event = answers.next() if not_expected is None else answers.within(not_expected)
    return None if event is None else str(event.data)


def _nothing(bob: lknb.Room, examiner: lknb.Room, topic: str, what: str) -> Verdict:
    """Return the verdict when bob sent no text on this topic."""
    others = [event.topic for event in examiner.events.filter("text", sender=bob.identity) if event.topic != topic]
    if others:
        return not_yet(f"{what} was sent, and a text came back, but its topic is {shown(others[-1])}, not `{topic}`.")
    return not_yet(f"{what} was sent, but no text came back. {why_silent(bob, 'bytes', topic)}")


def _pixel(red: int, green: int, blue: int) -> bytes:
    """Return a PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    row = zlib.compress(bytes([0, red, green, blue]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


@check
def check_1() -> Verdict:
    """Check that pictures are saved under safe, free names, and that a fake picture is not saved."""
    bob, album = open_room("bob"), variable("album")
    if not isinstance(album, Path):
        return not_yet(f"`album` is {shown(album)}; it must be the folder as a `Path`. Run the cell above again.")
    before = _files(album)
    with lknb.connect(bob.name, "examiner") as examiner:
        answers = Answers(examiner, bob, "bytes", "album", reply_topic="album")

        def send(data: bytes, name: str) -> str | None:
            examiner.send_bytes(data, name=name, topic="album", to="bob", mime_type="image/png")
            return _answer(answers)

        answer = send(b"no picture at all", "fake.png")
        if answer is None:
            return _nothing(bob, examiner, "album", "a file `fake.png` that is not a picture")
        if answer != "no picture":
            return not_yet(
                f"`fake.png` contains plain text, but bob answered {shown(answer)} instead of `'no picture'`. "
                "A name and a `mime_type` are only claims; `data.image_type` looks at the content."
            )
        if _files(album) != before:
            return not_yet("bob answered `'no picture'` for `fake.png`, but saved it anyway.")
        pictures = _pixel(*os.urandom(3)), _pixel(*os.urandom(3))  # different in each run
        first, second = (send(picture, "../pixel.png") for picture in pictures)
        if first is None or second is None:
            return _nothing(bob, examiner, "album", "a picture named `../pixel.png`")
        names = [_holding(album, picture) for picture in pictures]
        if names[1] and not names[0]:
            return not_yet(
                f"two different pictures arrived as `../pixel.png`, and bob answered {shown(first)} and "
                f"{shown(second)}: one picture has overwritten the other. `data.save(album)` finds a free name."
            )
        for answer, name in zip((first, second), names, strict=True):
            if answer == "no picture":
                return not_yet("bob answered `'no picture'` for a PNG of one pixel. Its `image_type` is `'image/png'`.")
            if name is None:
                return not_yet(f"bob answered {shown(answer)}, but `album` has no such file. Use `data.save(album)`.")
            if "/" in answer:
                return not_yet(f"bob answered {shown(answer)}. Send only the name: `path.name`.")
            if answer != name:
                return not_yet(
                    f"bob answered {shown(answer)}, but saved that picture as {shown(name)}. `save` returns the path "
                    "that it used, and `path.name` is its name."
                )
    return right(f"two pictures with the same name became {shown(first)} and {shown(second)}; the fake was refused.")


def _files(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()} if folder.is_dir() else set()


def _holding(folder: Path, data: bytes) -> str | None:
    """Return the name of the file with exactly this content."""
    return next((name for name in _files(folder) if (folder / name).read_bytes() == data), None)


@check
def check_2() -> Verdict:
    """Check the sums of two tables with different columns."""
    bob = open_room("bob")
    tables = [("value,place\n1,7\n2,7\n39,7\n", 42), ("place,value\n100,3\n200,4\n", 7)]
    with lknb.connect(bob.name, "examiner") as examiner:
        answers = Answers(examiner, bob, "bytes", "numbers", reply_topic="numbers")
        for text, total in tables:
            examiner.send_bytes(text.encode(), name="numbers.csv", topic="numbers", to="bob")
            answer = _answer(answers)
            if answer is None:
                return _nothing(bob, examiner, "numbers", "a table")
            try:
                sum_ = float(answer)
            except ValueError:
                return not_yet(
                    f"a table whose `value` sums to {total} was answered with {shown(answer)}, which is not a number."
                )
            if sum_ != total:
                columns = text.partition("\n")[0]
                return not_yet(
                    f"a table with the columns `{columns}`, whose `value` sums to {total}, was answered with "
                    f"{shown(answer)}. "
                    '`pd.read_csv(data.open())["value"]` selects the column in any position.'
                )
    return right("both sums are right, whatever the position of the column.")


@check
def check_3() -> Verdict:
    """Check that `half` arrives after half of the parcel and before its end, then `all`, each of them once."""
    bob = open_room("bob")
    with lknb.connect(bob.name, "examiner") as examiner:
        answers = Answers(examiner, bob, "bytes", "parcels", reply_topic="parcels")
        with examiner.stream_bytes("parcel.bin", total_size=1_000, topic="parcels", to="bob") as parcel:
            parcel.write(bytes(400))
            early = _answer(answers, _TOO_EARLY)
            parcel.write(bytes(200))
            half = None if early else _answer(answers)
            parcel.write(bytes(400))
        if early is not None:
            return not_yet(
                f"400 of 1,000 bytes had arrived when bob sent {shown(early)}. Add up the `len` of the chunks, and "
                "compare the sum with `event.size`, the announced size."
            )
        last = _answer(answers)
        if half is None and last is None:
            return _nothing(bob, examiner, "parcels", "a parcel")
        if half is None:
            how = (
                "A chunk may go past the half: compare with `>=`."
                if any(each.streams for each in bob.handlers if each.topic == "parcels")
                else "With `stream=True`, a handler is called when the stream begins, and its `data` yields the chunks."
            )
            return not_yet(
                f"600 of 1,000 bytes had arrived, but bob sent nothing; he sent {shown(last)} after the end. {how}"
            )
        if half != "half":
            return not_yet(f"when 600 of 1,000 bytes had arrived, bob sent {shown(half)} instead of `'half'`.")
        if last == "half":
            return not_yet("`'half'` arrived in time, and then again. Send it only once.")
        if last != "all":
            sent = "nothing" if last is None else shown(last)
            return not_yet(f"`'half'` arrived in time, but at the end bob sent {sent} instead of `'all'`.")
        if (more := _answer(answers, _NOT_SENT)) is not None:
            return not_yet(f"`'half'` and `'all'` arrived in time, but then bob sent {shown(more)} as well.")
    return right("`'half'` arrived after 600 of 1,000 bytes, and `'all'` at the end.")
