"""Verbs that join, choose and leave rooms."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from IPython.core.error import UsageError

from lknb.magics.grammar import Verb, VerbParser, pair, seconds
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run, Silent, nothing
from lknb.tables import Table


def _connect_arguments(parser: VerbParser) -> None:
    parser.add_argument("room", metavar="ROOM", help="the room's name")
    parser.option(
        "--as",
        dest="identity",
        metavar="ID",
        help="this participant's identity; LkMagics.identity or a generated one if not given",
    )
    parser.option("--name", metavar="NAME", help="this participant's display name")
    parser.option("--url", metavar="URL", help="the server; LIVEKIT_URL or one on this machine if not given")
    parser.add_argument("--attr", metavar="k=v", type=pair, action="append", help="an attribute; may be repeated")
    parser.option("--metadata", metavar="TEXT", help="this participant's metadata")
    parser.option("--timeout", metavar="S", type=seconds, help="seconds for joining; LkMagics.timeout if not given")


def _connect(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    from lknb import connect as join

    room = join(
        args.room,
        args.identity or session.settings.identity or None,
        name=args.name,
        url=args.url or session.settings.url or None,
        attributes=dict(args.attr or ()),
        metadata=args.metadata,
        timeout=args.timeout or session.settings.timeout,
    )
    session.choose(room)
    return room


def _status(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    counts = Counter(event.kind for event in room.events)
    rows = [
        ("room", room.name),
        ("identity", room.identity),
        ("state", room.state),
        ("participants", len(room.participants)),
        ("handlers", len(room.handlers)),
        ("events", ", ".join(f"{number:,} {kind}" for kind, number in counts.most_common()) or "none"),
        ("losses", counts.get("loss", 0)),
    ]
    return Table(("what", "value"), rows)


def _rooms(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    rows = [
        ("*" if room is session.current else "", room.name, room.identity, room.state, len(room.participants))
        for room in session.open_rooms()
    ]
    return Table(("current", "room", "identity", "state", "participants"), rows, empty="No room is open.")


def _use_arguments(parser: VerbParser) -> None:
    parser.add_argument("which", metavar="ID@ROOM", help="an open room, as listed by %%lk rooms")


def _use(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    session.choose(session.find(args.which))
    return session.room


def _close_arguments(parser: VerbParser) -> None:
    parser.add_argument("which", metavar="ID@ROOM", nargs="?", help="an open room; the current one if not given")
    parser.option("--all", action="store_true", help="leave all rooms of this kernel")


def _close(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    if args.all and args.which:
        raise UsageError("%lk close: give a room or --all, not both.")
    one = [] if args.all else [session.find(args.which) if args.which else session.room]
    for room in one or session.open_rooms():
        room.close()
    return Silent()


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "connect",
            "Join a room, and make it the current one.",
            _connect_arguments,
            ("%lk connect studio --as alice", "%lk connect studio --as bob --attr role=host -o bob"),
        ),
        _connect,
    ),
    (Verb("status", "Show the status of the current room.", nothing, ("%lk status",)), _status),
    (Verb("rooms", "List the open rooms of this kernel.", nothing, ("%lk rooms",)), _rooms),
    (Verb("use", "Choose the current room.", _use_arguments, ("%lk use alice@studio",)), _use),
    (Verb("close", "Leave a room.", _close_arguments, ("%lk close", "%lk close --all")), _close),
]
