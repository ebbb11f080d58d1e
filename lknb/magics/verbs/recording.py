"""Verbs that keep what happens in a room, and open what was kept."""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError

from lknb.magics.grammar import Verb, VerbParser
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run, filters
from lknb.progress import size as readable
from lknb.tables import Table

_STOP = "stop"


def _record_arguments(parser: VerbParser) -> None:
    parser.add_argument(
        "path",
        nargs="?",
        metavar="PATH",
        help="the new file, a new one in recordings/ if not given; stop finishes all recordings of the room",
    )
    filters(parser)
    parser.option("--no-files", action="store_true", help="leave out the content of byte streams")


def _record(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    if args.path == _STOP:
        recorders = list(room.recorders)
        rows = [
            (recorder.stop(), recorder.count, readable(recorder.size), f"{recorder.duration:.0f} s", recorder.dropped)
            for recorder in recorders
        ]
        return Table(("file", "events", "size", "time", "dropped"), rows, empty="Nothing is being recorded.")
    try:
        return room.record(args.path, kind=args.kind, topic=args.topic, sender=args.sender, files=not args.no_files)
    except OSError as error:
        raise UsageError(os_error(error, "%lk record")) from None


def _recording_arguments(parser: VerbParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the file")


def _recording(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    from lknb.recordings import open_recording

    try:
        return open_recording(args.path)
    except OSError as error:
        raise UsageError(os_error(error, "%lk recording")) from None


def os_error(error: OSError, magic: str) -> str:
    """What a magic says of an error of the operating system, in one line."""
    if error.strerror is None:
        return f"{magic}: {error}"
    return f"{magic}: {error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}."


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "record",
            "Record the room to a file; stop finishes it.",
            _record_arguments,
            ("%lk record run.mcap", "%lk record --kind data --topic imu", "%lk record stop"),
        ),
        _record,
    ),
    (
        Verb(
            "recording",
            "Open a recording.",
            _recording_arguments,
            ("%lk recording run.mcap -o run",),
        ),
        _recording,
    ),
]
