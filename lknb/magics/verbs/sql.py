"""The verb that asks SQL about events."""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError

from lknb.magics.grammar import Verb, VerbParser, identifier
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run


def _sql_arguments(parser: VerbParser) -> None:
    parser.option(
        "--from",
        dest="source",
        metavar="VAR",
        type=identifier,
        help="a variable that holds a recording or other events; the room's log if not given",
    )


def _sql(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    from lknb.events import Events  # here, so that loading the magics does not load the SDK

    events = session.variable(args.source, args.scope) if args.source else session.room.events
    if not isinstance(events, Events):
        raise UsageError(
            f"%%lk sql: {args.source} is a {type(events).__name__}, not events. Open a recording with "
            f"%lk recording PATH -o {args.source}."
        )
    try:
        return events.sql(body)
    except ImportError as error:
        raise UsageError(str(error)) from None


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "sql",
            "Ask SQL about the events of the room, or of a recording.",
            _sql_arguments,
            (
                "%%lk sql -o counts\nselect sender, count(*) from events group by sender",
                "%%lk sql --from run\nselect kind, avg(duration) from events group by kind",
            ),
            cell=True,
            body="the query, in DuckDB's SQL; its table is events",
        ),
        _sql,
    ),
]
