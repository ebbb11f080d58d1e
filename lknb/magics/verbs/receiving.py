"""Verbs whose cells handle calls and messages."""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError

from lknb.defaults import RPC_CONCURRENCY
from lknb.magics.body import function
from lknb.magics.grammar import Verb, VerbParser, closest, count, identifier
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run, Silent
from lknb.tables import Table


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


ON = ("text", "bytes", "table", "data", "data_track", "attributes")
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
    parameters = ("data", "event", "sender") if args.stream else ("data", "event", "sender", "value")
    run = function(session.shell, line, body, f"on_{args.kind}", parameters)
    if args.kind == "attributes":
        if args.topic is not None:
            raise UsageError("%%lk on attributes: attributes have no topic. Use --sender to choose a participant.")
        room.on_attributes(sender=args.sender)(run)
    elif args.stream:
        getattr(room, f"on_{args.kind}")(args.topic, sender=args.sender, stream=True)(run)
    else:
        getattr(room, f"on_{args.kind}")(args.topic, sender=args.sender)(run)
    return Silent()


DECODED = ("data", "data_track", "text", "bytes")


def _decode_arguments(parser: VerbParser) -> None:
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help="the topic or track; all decoders are listed without")
    parser.add_argument(
        "format", nargs="?", metavar="FORMAT", help="the format of a struct, json, arrow, msgpack, cbor or cdr"
    )
    parser.option("--names", metavar="A,B", help="the names of a struct's values")
    parser.option("--kind", metavar="K", choices=DECODED, help=f"only events of this kind: {', '.join(DECODED)}")
    parser.option(
        "--var",
        metavar="NAME",
        type=identifier,
        help="instead of FORMAT: the variable with a function of the bytes or a class of protobuf messages; with cdr: "
        "the variable with the message definition",
    )
    parser.option("--off", action="store_true", help="end the decoder of this topic")


def _decode(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    options = (args.format, args.names, args.kind, args.var)
    if args.topic is None:
        if args.off or any(each is not None for each in options):
            raise UsageError("%lk decode: give the topic first.")
        return _decoders(session)
    if args.off:
        if any(each is not None for each in (args.format, args.names, args.var)):
            raise UsageError("%lk decode: --off ends a decoder, and takes no format.")
        known = sorted({each.topic for each in room.decoders if args.kind in (None, each.kind)})
        if args.topic not in known:
            names = ", ".join(known) or "none"
            raise UsageError(
                f"No decoder reads {args.topic}{closest(args.topic, known) or '.'} Topics with one: {names}."
            )
        room.decode(args.topic, None, kind=args.kind)
        return Silent()
    value = None if args.var is None else session.variable(args.var, args.scope)
    is_cdr = args.format == "cdr"
    if is_cdr and args.var is None:
        raise UsageError("%lk decode: cdr needs --var, the variable with the text of the message definition.")
    if (args.format is None) == (args.var is None) and not is_cdr:
        raise UsageError("%lk decode: give either a FORMAT, such as json or <dff, or --var with a function or a class.")
    form: Any = value if args.format is None else args.format
    if form is None:
        raise UsageError(f"%lk decode: the variable {args.var} is None. To end a decoder, use --off.")
    try:
        room.decode(args.topic, form, names=args.names or (), kind=args.kind, definition=value if is_cdr else None)
    except ImportError as error:
        raise UsageError(str(error)) from None
    return Silent()


def _decoders(session: Session) -> Table:
    rows = [
        (
            each.topic,
            each.kind or "every kind",
            each.format,
            ", ".join(each.names),
            each.cell.id[:8] if each.cell else "",
            each.decoded,
            each.failed,
            each.last_error,
        )
        for each in session.room.decoders
    ]
    columns = ("topic", "kind", "format", "names", "cell", "read", "not read", "last reason")
    return Table(columns, rows, empty="No decoders. Add one with %lk decode TOPIC FORMAT.")


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "decode",
            "Say how the payloads of a topic are read; list how they are.",
            _decode_arguments,
            (
                "%lk decode imu <dff --names t,x,y",
                "%lk decode telemetry json",
                "%lk decode pose --var Pose",
                "%lk decode imu --off",
                "%lk decode",
            ),
        ),
        _decode,
    ),
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
            body="Python that runs for each message, with data, event, sender and, without --stream, value. "
            + OWN_VARIABLES,
        ),
        _on,
    ),
]
