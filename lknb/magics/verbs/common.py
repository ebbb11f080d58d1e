"""Arguments that several verbs share, and results that are not tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from lknb.event import KINDS
from lknb.inert import inert
from lknb.magics.grammar import VerbParser, identifier
from lknb.magics.session import Session

Run = Callable[[Session, argparse.Namespace, str, str], Any]


class Silent:
    """The result of a verb that has nothing to show."""


class Text:
    """Text that is displayed as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return inert(self.text)


def to(parser: VerbParser) -> None:
    """`--to ID`, repeatable."""
    parser.add_argument("--to", metavar="ID", action="append", help="only to this identity; may be repeated")


def by_name(parser: VerbParser) -> None:
    """`--var NAME`."""
    parser.option("--var", metavar="NAME", type=identifier, help="the variable whose value is the payload")


def filters(parser: VerbParser) -> None:
    """`--kind`, `--topic`, `--sender`."""
    parser.option("--kind", metavar="K", choices=KINDS, help=f"only this kind: {', '.join(KINDS)}")
    parser.option("--topic", metavar="T", help="only this topic, method or track")
    parser.option("--sender", metavar="ID", help="only from this identity")


def nothing(parser: VerbParser) -> None:
    """No arguments."""
