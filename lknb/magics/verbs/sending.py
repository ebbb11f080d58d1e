"""Verbs that send and call."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from typing import Any

from IPython.core.error import UsageError

from lknb.defaults import CHAT, COMPRESSIONS, RPC_TIMEOUT, TABLES
from lknb.event import Event
from lknb.magics.body import function
from lknb.magics.grammar import Verb, VerbParser, identifier, pair, seconds
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run, by_name, to


def _text_arguments(parser: VerbParser) -> None:
    parser.option("--topic", metavar="T", default=CHAT, help="the topic; %(default)s if not given")
    to(parser)
    parser.option("--stream", action="store_true", help="send it word by word, as a model would")
    parser.add_argument("--attr", metavar="k=v", type=pair, action="append", help="a stream attribute; may be repeated")
    parser.option("--reply-to", metavar="TEXT", help="the text to reply to: its id, or a variable that holds it")
    parser.option("--edit", metavar="TEXT", help="your text to replace: its id, or a variable that holds it")


def _text(session: Session, args: argparse.Namespace, line: str, body: Any) -> Any:
    words = args.stream and isinstance(body, str)
    return session.room.send_text(
        iter(re.findall(r"\s*\S+|\s+", body)) if words else body,
        topic=args.topic,
        to=args.to,
        attributes=dict(args.attr or ()),
        reply_to=args.reply_to and _earlier(session, args, args.reply_to),
        edits=args.edit and _earlier(session, args, args.edit),
    )


def _earlier(session: Session, args: argparse.Namespace, given: str) -> Event | str:
    """An earlier text: the value of the variable of this name, otherwise `given` is its id."""
    named = given in args.scope or given in session.variables()
    value = session.variable(given, args.scope) if named else given
    if not isinstance(value, Event | str):
        raise UsageError(f"The variable {given} does not hold a text. Store one with %%lk text -o {given}.")
    return value


def _data_arguments(parser: VerbParser) -> None:
    parser.option("--topic", metavar="T", required=True, help="the topic")
    to(parser)
    parser.option("--lossy", action="store_true", help="send once, without ordering or retransmission")


def _data(session: Session, args: argparse.Namespace, line: str, body: Any) -> Any:
    return session.room.publish_data(body, topic=args.topic, to=args.to, reliable=not args.lossy)


def _from_variable(parser: VerbParser) -> None:
    parser.option("--var", metavar="NAME", type=identifier, required=True, help="the variable to send")


def _line_text_arguments(parser: VerbParser) -> None:
    _text_arguments(parser)
    _from_variable(parser)


def _line_text(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return _text(session, args, line, session.variable(args.var, args.scope))


def _line_data_arguments(parser: VerbParser) -> None:
    _data_arguments(parser)
    _from_variable(parser)


def _line_data(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return _data(session, args, line, session.variable(args.var, args.scope))


def _rpc_arguments(parser: VerbParser) -> None:
    parser.add_argument("to", metavar="TO", help="the identity of the participant that serves the method")
    parser.add_argument("method", metavar="METHOD", help="the method's name")
    parser.option(
        "--timeout",
        metavar="S",
        type=seconds,
        default=RPC_TIMEOUT,
        help="seconds that the handler has to answer; %(default)g if not given",
    )
    parser.option("--raw", action="store_true", help="plain text in both directions instead of JSON")


def _line_rpc_arguments(parser: VerbParser) -> None:
    _rpc_arguments(parser)
    by_name(parser)


def _line_rpc(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    payload = session.variable(args.var, args.scope) if args.var else None
    return session.room.perform_rpc(args.to, args.method, payload, timeout=args.timeout, raw=args.raw)


def _rpc(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    payload: Any = body
    if not args.raw:
        try:
            payload = json.loads(body)
        except RecursionError:
            raise UsageError("The body is JSON nested too deeply. Use --raw to send it as plain text.") from None
        except ValueError as error:
            raise UsageError(f"The body is not JSON: {error}. Use --raw for plain text.") from None
    return session.room.perform_rpc(args.to, args.method, payload, timeout=args.timeout, raw=args.raw)


def _send_file_arguments(parser: VerbParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the file to send")
    parser.option("--topic", metavar="T", default="", help="the topic; none if not given")
    to(parser)
    parser.option("--name", metavar="NAME", help="the name that receivers see; the file's own if not given")


def _send_file(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    try:
        return session.room.send_file(args.path, topic=args.topic, to=args.to, name=args.name)
    except OSError as error:
        raise UsageError(f"{args.path} cannot be sent: {error.strerror or error}.") from None


def _table_arguments(parser: VerbParser) -> None:
    parser.add_argument("var", metavar="VAR", type=identifier, help="the variable with the table")
    _table_options(parser)


def _cell_table_arguments(parser: VerbParser) -> None:
    parser.add_argument("var", nargs="?", metavar="VAR", type=identifier, help="the variable, for a cell without body")
    _table_options(parser)


def _table_options(parser: VerbParser) -> None:
    parser.option("--topic", metavar="T", default=TABLES, help="the topic; %(default)s if not given")
    to(parser)
    parser.option("--name", metavar="NAME", help="the file name that receivers see")
    parser.option(
        "--compression",
        choices=(*COMPRESSIONS, "none"),
        default="zstd",
        metavar="C",
        help="how columns are compressed: zstd, lz4 or none; %(default)s if not given",
    )


def _table(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    if bool(args.var) == bool(body.strip()):
        raise UsageError("%%lk table: give either a variable or a body whose last value is the table.")
    if args.var:
        table = session.variable(args.var, args.scope)
    else:
        table = function(session.shell, line, body, "table", ())()
        if inspect.iscoroutine(table):
            table.close()
            raise UsageError("%%lk table: the body must not await. Await in a cell before, and send the variable.")
    try:
        return session.room.send_table(
            table,
            topic=args.topic,
            to=args.to,
            name=args.name,
            compression=None if args.compression == "none" else args.compression,
        )
    except ImportError as error:
        raise UsageError(str(error)) from None


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "rpc",
            "Call a method of another participant.",
            _line_rpc_arguments,
            ("%lk rpc bob ping", "%lk rpc bob add --var numbers -o total"),
        ),
        _line_rpc,
    ),
    (
        Verb(
            "text",
            "Send the text in a variable.",
            _line_text_arguments,
            ("%lk text --var answer --to bob",),
            hint="To write the text in the cell, start the cell with %%lk text.",
        ),
        _line_text,
    ),
    (
        Verb(
            "data",
            "Send the packet in a variable.",
            _line_data_arguments,
            ("%lk data --topic imu --var sample",),
            hint="To write the packet in the cell, start the cell with %%lk data.",
        ),
        _line_data,
    ),
    (
        Verb("send-file", "Send a file.", _send_file_arguments, ("%lk send-file photo.png --topic files --to bob",)),
        _send_file,
    ),
    (
        Verb(
            "table",
            "Send a table, such as a DataFrame.",
            _table_arguments,
            ("%lk table measurements --topic results --to bob",),
            hint="To send what an expression makes, start the cell with %%lk table.",
        ),
        _table,
    ),
    (
        Verb(
            "table",
            "Send a table, such as a DataFrame.",
            _cell_table_arguments,
            ('%%lk table --topic results\nmeasurements.groupby("sensor").mean()',),
            cell=True,
            body="Python; its last value is the table",
        ),
        _table,
    ),
    (
        Verb(
            "text",
            "Send text.",
            _text_arguments,
            ("%%lk text --to bob -o greeting\nHelo!", "%%lk text --edit greeting\nHello!"),
            cell=True,
            body="the text",
        ),
        _text,
    ),
    (
        Verb(
            "data",
            "Send a packet.",
            _data_arguments,
            ("%%lk data --topic imu\n1.5 2.5",),
            cell=True,
            body="the packet",
        ),
        _data,
    ),
    (
        Verb(
            "rpc",
            "Call a method with a JSON payload.",
            _rpc_arguments,
            ('%%lk rpc bob add -o total\n{"a": 1, "b": 2}',),
            cell=True,
            body="the payload as JSON",
        ),
        _rpc,
    ),
]
