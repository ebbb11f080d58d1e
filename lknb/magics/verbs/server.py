"""The verb for the livekit-server on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from lknb.magics.grammar import Verb, VerbParser
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run, Text
from lknb.tables import Table


def _server_arguments(parser: VerbParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=("status", "start", "stop", "log"),
        default="status",
        metavar="ACTION",
        help="status, start, stop or log; status if not given",
    )


def _server(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    from lknb import server as local

    if args.action == "stop":
        return "Stopped." if local.stop() else "No server was running."
    if args.action == "log":
        return Text(local.log_tail())
    running = local.ensure() if args.action == "start" else local.status()
    if running is None:
        return "No server is running. It starts with the first room, or with %lk server start."
    rows: list[tuple[str, Any]] = [
        ("url", running.url),
        ("version", running.version),
        ("pid", running.pid),
        ("started", running.started_at),
    ]
    if running.config:
        rows.append(("settings", running.config))
    return Table(("what", "value"), [*rows, ("rooms", len(local.participants()))])


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "server",
            "Manage the livekit-server on this machine.",
            _server_arguments,
            ("%lk server", "%lk server log"),
        ),
        _server,
    ),
]
