"""The verb that sends a recording again."""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError

from lknb.magics.grammar import Verb, VerbParser, seconds
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run, filters, to
from lknb.magics.verbs.recording import os_error


def _speed(text: str) -> float | None:
    return None if text == "max" else seconds(text)


def _replay_arguments(parser: VerbParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the file, or a variable that holds an open recording")
    parser.option(
        "--speed",
        metavar="S",
        type=_speed,
        default=1.0,
        help="how many seconds of it pass in a second, or max for as fast as it goes; %(default)g if not given",
    )
    filters(parser)
    to(parser)
    parser.option("--from", dest="start", metavar="S", type=float, help="from this second of the recording")
    parser.option("--until", metavar="S", type=float, help="up to this second of the recording")
    parser.option("--calls", action="store_true", help="make the calls again too")
    parser.option("--dry-run", action="store_true", help="send nothing, and list what would be sent")


def _replay(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    from lknb.recording.recording import Recording
    from lknb.recordings import open_recording

    run = args.scope.get(args.path, session.shell.user_ns.get(args.path))
    if not isinstance(run, Recording):
        try:
            run = open_recording(args.path)
        except OSError as error:
            raise UsageError(os_error(error, "%lk replay")) from None
    options = {"kind": args.kind, "topic": args.topic, "sender": args.sender, "start": args.start, "end": args.until}
    return run.replay(session.room, args.speed, to=args.to, calls=args.calls, dry_run=args.dry_run, **options)


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "replay",
            "Send a recording again, in its order and at its times.",
            _replay_arguments,
            ("%lk replay run.mcap --speed 10", "%lk replay run.mcap --topic imu --dry-run"),
        ),
        _replay,
    ),
]
