"""The verb that lets scripts that end in `asyncio.run(main())` run in a cell."""

from __future__ import annotations

import argparse
from typing import Any

from lknb.magics.grammar import Verb, VerbParser
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run


def _nest_arguments(parser: VerbParser) -> None:
    parser.add_argument("switch", choices=("on", "off"), metavar="on|off", help="on or off")


def _nest(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    from lknb.magics import nesting

    return nesting.switch(args.switch == "on")


VERBS: list[tuple[Verb, Run]] = [
    (Verb("nest", "Allow asyncio.run(main()) in cells, for pasted scripts.", _nest_arguments, ("%lk nest on",)), _nest),
]
