"""Verbs whose cells handle calls and messages."""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError

from lknb.defaults import RPC_CONCURRENCY
from lknb.magics.body import function
from lknb.magics.grammar import Verb, VerbParser, count
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run, Silent


def _handle_arguments(parser: VerbParser) -> None:
    parser.add_argument("method", metavar="METHOD", help="the method that this cell serves")
    parser.add_argument(
        "--caller",
        metavar="ID",
        action="append",
        help="only this identity may call; everybody if not given; may be repeated",
    )
    parser.option(
        "--concurrency",
        metavar="N",
        type=count,
        default=RPC_CONCURRENCY,
        help="calls that run at the same time; %(default)s if not given",
    )


def _handle(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    serve = function(session.shell, line, body, args.method, ("payload", "caller"))
    session.room.rpc(args.method, callers=args.caller, concurrency=args.concurrency)(serve)
    return Silent()


ON = ("text", "bytes", "data", "data_track", "attributes")
STREAMS = ("text", "bytes")
OWN_VARIABLES = (
    "It reads the notebook's variables; those that it assigns belong to the call, unless it declares them `global`"
)


def _on_arguments(parser: VerbParser) -> None:
    parser.add_argument("kind", choices=ON, metavar="KIND", help=", ".join(ON))
    parser.option("--topic", metavar="T", help="only this topic or track")
    parser.option("--sender", metavar="ID", help="only from this identity")
    parser.option(
        "--stream",
        action="store_true",
        help="run when a stream opens; data is then an iterable of its pieces",
    )


def _on(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    if args.stream and args.kind not in STREAMS:
        raise UsageError(f"%%lk on {args.kind}: --stream is only for {' and '.join(STREAMS)}, which come in pieces.")
    run = function(session.shell, line, body, f"on_{args.kind}", ("data", "event", "sender"))
    if args.kind == "attributes":
        if args.topic is not None:
            raise UsageError("%%lk on attributes: attributes have no topic. Use --sender to choose a participant.")
        room.on_attributes(sender=args.sender)(run)
    elif args.stream:
        getattr(room, f"on_{args.kind}")(args.topic, sender=args.sender, stream=True)(run)
    else:
        getattr(room, f"on_{args.kind}")(args.topic, sender=args.sender)(run)
    return Silent()


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "handle",
            "Serve a method with this cell.",
            _handle_arguments,
            ('%%lk handle add\npayload["a"] + payload["b"]',),
            cell=True,
            body="Python that runs for each call, with payload and caller; its last or returned value is the answer. "
            + OWN_VARIABLES,
        ),
        _handle,
    ),
    (
        Verb(
            "on",
            "Run this cell for each message.",
            _on_arguments,
            (
                "%%lk on text --topic lk.chat\nprint(sender, data)",
                '%%lk on text --topic story --stream\nfor piece in data:\n    print(piece, end="")',
            ),
            cell=True,
            body="Python that runs for each message, with data, event and sender. " + OWN_VARIABLES,
        ),
        _on,
    ),
]
