"""Verbs that inspect a room."""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError

from lknb.defaults import SAMPLES_WINDOW
from lknb.magics.grammar import Verb, VerbParser, closest, count
from lknb.magics.session import Session
from lknb.magics.verbs.common import Run, filters, nothing
from lknb.tables import Table


def _participants(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return session.room.participants


def _topics(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    seen: dict[tuple[str, str], list[Any]] = {}
    for event in session.room.events:
        if event.kind in ("text", "bytes", "data", "data_track", "rpc"):
            seen.setdefault((event.kind, event.topic), []).append(event)
    rows = [
        (
            kind,
            topic,
            sum(event.direction == "in" for event in events),
            sum(event.direction == "out" for event in events),
            sum(event.size or 0 for event in events),
            ", ".join(sorted({event.sender for event in events if event.sender and event.direction == "in"})),
            events[-1].time,
        )
        for (kind, topic), events in sorted(seen.items())
    ]
    return Table(("kind", "topic", "in", "out", "bytes", "senders", "last"), rows, empty="No topic has been seen yet.")


def _handlers_arguments(parser: VerbParser) -> None:
    parser.add_argument("action", nargs="?", choices=("rm",), metavar="rm", help="remove a handler")
    parser.add_argument("name", nargs="?", metavar="NAME", help="its name, topic or method")


def _handlers(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    if args.action == "rm":
        if not args.name:
            raise UsageError("%lk handlers rm: give the name of a handler. %lk handlers lists them.")
        if not room.off(args.name):
            known = sorted({each.name for each in room.handlers} | {each.topic for each in room.handlers if each.topic})
            names = ", ".join(known) or "none"
            raise UsageError(f"No handler is named {args.name}{closest(args.name, known) or '.'} Handlers: {names}.")
    rows = [
        (
            each.name,
            each.kind,
            "every topic" if each.topic is None else each.topic,
            each.cell.id[:8] if each.cell else "",
            each.calls,
            each.errors,
            each.dropped,
            each.last_run,
        )
        for each in room.handlers
    ]
    columns = ("name", "kind", "topic", "cell", "calls", "errors", "dropped", "last run")
    return Table(columns, rows, empty="No handlers. Add one with %%lk on KIND or %%lk handle METHOD.")


def _events_arguments(parser: VerbParser) -> None:
    filters(parser)
    parser.option("--tail", metavar="N", type=count, help="only the newest N")


def _events(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    found = session.room.events.filter(args.kind, args.topic, args.sender)
    return found[-args.tail :] if args.tail else found


def _samples_arguments(parser: VerbParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", help="the topic of the packets, or the data track")
    parser.option("--sender", metavar="ID", help="only from this identity")
    parser.option(
        "--window", metavar="N", type=count, default=SAMPLES_WINDOW, help="samples to keep; %(default)s if not given"
    )


def _samples(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    try:
        return session.room.samples(args.topic, sender=args.sender, window=args.window)
    except ImportError as error:
        raise UsageError(str(error)) from None


def _feed_arguments(parser: VerbParser) -> None:
    filters(parser)


def _feed(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return session.room.feed(args.kind, args.topic, args.sender)


def _timeline(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return session.room.timeline()


def _panel_arguments(parser: VerbParser) -> None:
    from lknb.widgets.panel import TABS  # here, so that loading the magics does not load the widgets

    parser.add_argument(
        "tab", metavar="TAB", nargs="*", choices=tuple(TABS), help=f"only these tabs: {', '.join(TABS)}"
    )


def _panel(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return session.room.panel(*args.tab)


VERBS: list[tuple[Verb, Run]] = [
    (Verb("participants", "List the participants in the room.", nothing, ("%lk participants",)), _participants),
    (Verb("topics", "List the topics, methods and tracks seen so far.", nothing, ("%lk topics",)), _topics),
    (
        Verb(
            "handlers",
            "List the handlers of this room; rm removes one.",
            _handlers_arguments,
            ("%lk handlers", "%lk handlers rm show"),
        ),
        _handlers,
    ),
    (
        Verb(
            "events",
            "Show the log of everything that happened.",
            _events_arguments,
            ("%lk events --tail 10", "%lk events --kind text --topic lk.chat -o log"),
        ),
        _events,
    ),
    (
        Verb(
            "samples",
            "Keep the newest samples of a topic as columns.",
            _samples_arguments,
            ("%lk samples imu -o imu",),
        ),
        _samples,
    ),
    (
        Verb(
            "feed",
            "Show events live, as they happen.",
            _feed_arguments,
            ("%lk feed", "%lk feed --kind data --topic imu"),
        ),
        _feed,
    ),
    (
        Verb(
            "timeline", "Show what happens over time, live, in a lane for each participant.", nothing, ("%lk timeline",)
        ),
        _timeline,
    ),
    (Verb("panel", "Show the room live, in tabs.", _panel_arguments, ("%lk panel", "%lk panel chat rpc")), _panel),
]
