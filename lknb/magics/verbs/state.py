"""Verbs that read and write state."""

from __future__ import annotations

import argparse
from typing import Any

from lknb.magics.grammar import Verb, VerbParser, pair
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run
from lknb.tables import Table


def _attrs_arguments(parser: VerbParser) -> None:
    parser.add_argument("pairs", metavar="k=v", nargs="*", type=pair, help="set an attribute; k= deletes it")


def _attrs(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    if args.pairs:
        room.local_participant.set_attributes(dict(args.pairs))
    rows = [
        (identity, key, value)
        for identity, each in room.participants.items()
        for key, value in sorted(each.attributes.items())
    ]
    return Table(("identity", "attribute", "value"), rows, empty="No attributes are set.")


def _metadata_arguments(parser: VerbParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="?", help="the new metadata; shows the current one if not given")
    parser.option("--room", action="store_true", help="the room's metadata instead of this participant's")


def _metadata(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    if args.text is not None:
        (room.set_metadata if args.room else room.local_participant.set_metadata)(args.text)
    return room.metadata if args.room else room.local_participant.metadata


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "attrs",
            "Show all participants' attributes; set your own.",
            _attrs_arguments,
            ("%lk attrs", "%lk attrs status=ready mood="),
        ),
        _attrs,
    ),
    (
        Verb(
            "metadata",
            "Show or set your metadata or the room's.",
            _metadata_arguments,
            ('%lk metadata \'{"role": "host"}\'', '%lk metadata --room "An evening"'),
        ),
        _metadata,
    ),
]
