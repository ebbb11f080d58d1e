"""The verbs: what each one takes, and the call of the public API that it makes."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError

from lknb.magics.body import function
from lknb.magics.grammar import Verb, VerbParser, closest, count, identifier, pair, seconds
from lknb.magics.session import Session
from lknb.tables import Table

Run = Callable[[Session, argparse.Namespace, str, str], Any]

KINDS = (
    "text",
    "bytes",
    "rpc",
    "data",
    "track",
    "attributes",
    "metadata",
    "room_metadata",
    "participant",
    "connection",
    "loss",
)
CHAT = "lk.chat"


class Silent:
    """The result of a verb that has nothing to show."""


# Arguments that several verbs share


def _keeps(parser: VerbParser) -> None:
    parser.option("-o", "--out", metavar="VAR", type=identifier, help="keep the result in this variable")


def _to(parser: VerbParser) -> None:
    parser.add_argument("--to", metavar="ID", action="append", help="only to this identity; may be repeated")


def _var(parser: VerbParser) -> None:
    parser.option("--var", metavar="NAME", type=identifier, help="send what this variable holds, instead of a body")


def _filters(parser: VerbParser) -> None:
    parser.option("--kind", metavar="K", choices=KINDS, help=f"only this kind: {', '.join(KINDS)}")
    parser.option("--topic", metavar="T", help="only this topic, method or track")
    parser.option("--sender", metavar="ID", help="only from this identity")


# Rooms


def _connect_takes(parser: VerbParser) -> None:
    parser.add_argument("room", metavar="ROOM", help="the room's name")
    parser.option("--as", dest="identity", metavar="ID", help="this participant's identity")
    parser.option("--name", metavar="NAME", help="its display name")
    parser.option("--url", metavar="URL", help="the server; else LIVEKIT_URL, else one on this machine")
    parser.add_argument("--attr", metavar="k=v", type=pair, action="append", help="an attribute; may be repeated")
    parser.option("--metadata", metavar="TEXT", help="its metadata")
    parser.option("--timeout", metavar="S", type=seconds, help="seconds for joining")
    _keeps(parser)


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


def _use_takes(parser: VerbParser) -> None:
    parser.add_argument("which", metavar="ID@ROOM", help="an open room, as %%lk rooms lists them")


def _use(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    session.choose(session.find(args.which))
    return session.room


def _close_takes(parser: VerbParser) -> None:
    parser.add_argument("which", metavar="ID@ROOM", nargs="?", help="which room; the current one if not given")
    parser.option("--all", action="store_true", help="all rooms of this kernel")


def _close(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    if args.all and args.which:
        raise UsageError("%lk close: give a room or --all, not both.")
    one = [] if args.all else [session.find(args.which) if args.which else session.room]
    for room in one or session.open_rooms():
        room.close()
    return Silent()


# Looking


def _participants(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return session.room.participants


def _topics(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    seen: dict[tuple[str, str], list[Any]] = {}
    for event in session.room.events:
        if event.kind in ("text", "bytes", "data", "track", "rpc"):
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


def _handlers_takes(parser: VerbParser) -> None:
    parser.add_argument("action", nargs="?", choices=("rm",), metavar="rm", help="remove one")
    parser.add_argument("name", nargs="?", metavar="NAME", help="its name, topic or method")


def _handlers(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    if args.action == "rm":
        if not args.name:
            raise UsageError("%lk handlers rm: which one? Name it as %lk handlers lists it.")
        if not room.off(args.name):
            known = sorted({each.name for each in room.handlers} | {each.topic for each in room.handlers if each.topic})
            there = ", ".join(known) or "none"
            raise UsageError(f"No handler is called {args.name}{closest(args.name, known) or '.'} There are: {there}.")
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
    return Table(columns, rows, empty="No handlers. Write one with %%lk on KIND or %%lk handle METHOD.")


def _events_takes(parser: VerbParser) -> None:
    _filters(parser)
    parser.option("--tail", metavar="N", type=count, help="only the newest N")
    _keeps(parser)


def _events(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    found = session.room.events.filter(args.kind, args.topic, args.sender)
    return found[-args.tail :] if args.tail else found


# State


def _attrs_takes(parser: VerbParser) -> None:
    parser.add_argument("pairs", metavar="k=v", nargs="*", type=pair, help="set an attribute; k= deletes it")


def _attrs(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    if args.pairs:
        room.set_attributes(dict(args.pairs))
    rows = [
        (identity, key, value)
        for identity, each in room.participants.items()
        for key, value in sorted(each.attributes.items())
    ]
    return Table(("identity", "attribute", "value"), rows, empty="Nobody has set an attribute.")


def _metadata_takes(parser: VerbParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="?", help="the new metadata; shows it if not given")
    parser.option("--room", action="store_true", help="the room's, instead of this participant's")


def _metadata(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    if args.text is not None:
        (room.set_room_metadata if args.room else room.set_metadata)(args.text)
    return room.room_metadata if args.room else room.metadata


# Sending


def _text_takes(parser: VerbParser) -> None:
    parser.option("--topic", metavar="T", default=CHAT, help="the topic; lk.chat if not given")
    _to(parser)
    parser.option("--stream", action="store_true", help="send it word by word, as a model would")
    parser.add_argument("--attr", metavar="k=v", type=pair, action="append", help="a stream attribute; may be repeated")
    parser.option("--reply-to", metavar="STREAM", help="the id of the text that this answers")
    _keeps(parser)


def _text(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return _send_text(session, args, iter(re.findall(r"\s*\S+|\s+", body)) if args.stream else body)


def _send_text(session: Session, args: argparse.Namespace, payload: Any) -> Any:
    return session.room.send_text(
        payload, topic=args.topic, to=args.to, attributes=dict(args.attr or ()), reply_to=args.reply_to
    )


def _data_takes(parser: VerbParser) -> None:
    parser.option("--topic", metavar="T", required=True, help="the topic")
    _to(parser)
    parser.option("--lossy", action="store_true", help="send once, without order or repetition")
    _keeps(parser)


def _data(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return session.room.publish_data(body, topic=args.topic, to=args.to, reliable=not args.lossy)


def _from_variable(parser: VerbParser) -> None:
    parser.option("--var", metavar="NAME", type=identifier, required=True, help="send what this variable holds")


def _line_text_takes(parser: VerbParser) -> None:
    _text_takes(parser)
    _from_variable(parser)


def _line_text(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return _send_text(session, args, session.variable(args.var))


def _line_data_takes(parser: VerbParser) -> None:
    _data_takes(parser)
    _from_variable(parser)


def _line_data(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return _data(session, args, line, session.variable(args.var))


def _rpc_takes(parser: VerbParser) -> None:
    parser.add_argument("to", metavar="TO", help="who serves the method")
    parser.add_argument("method", metavar="METHOD", help="its name")
    parser.option("--timeout", metavar="S", type=seconds, default=10.0, help="seconds that it may take")
    parser.option("--raw", action="store_true", help="plain text both ways, instead of JSON")
    _keeps(parser)


def _line_rpc_takes(parser: VerbParser) -> None:
    _rpc_takes(parser)
    _var(parser)


def _line_rpc(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    payload = session.variable(args.var) if args.var else None
    return session.room.perform_rpc(args.to, args.method, payload, timeout=args.timeout, raw=args.raw)


def _rpc(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    payload: Any = body
    if not args.raw:
        try:
            payload = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"The body is not JSON: {error}. Use --raw for plain text.") from None
    return session.room.perform_rpc(args.to, args.method, payload, timeout=args.timeout, raw=args.raw)


def _send_file_takes(parser: VerbParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the file")
    parser.option("--topic", metavar="T", default="", help="the topic")
    _to(parser)
    parser.option("--name", metavar="NAME", help="the name that receivers see; the file's own if not given")
    _keeps(parser)


def _send_file(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    try:
        return session.room.send_file(args.path, topic=args.topic, to=args.to, name=args.name)
    except OSError as error:
        raise UsageError(f"{args.path} cannot be sent: {error.strerror or error}.") from None


# Receiving


def _handle_takes(parser: VerbParser) -> None:
    parser.add_argument("method", metavar="METHOD", help="the method that this cell serves")
    parser.add_argument(
        "--caller", metavar="ID", action="append", help="who may call; may be repeated; everybody if not given"
    )
    parser.option("--concurrency", metavar="N", type=count, default=8, help="calls that run at once")


def _handle(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    serve = function(session.shell, line, body, args.method, ("payload", "caller"))
    session.room.rpc(args.method, callers=args.caller, concurrency=args.concurrency)(serve)
    return Silent()


ON = ("text", "bytes", "data", "track", "attributes")


def _on_takes(parser: VerbParser) -> None:
    parser.add_argument("kind", choices=ON, metavar="KIND", help=", ".join(ON))
    parser.option("--topic", metavar="T", help="only this topic or track; every one if not given")
    parser.option("--sender", metavar="ID", help="only from this identity")


def _on(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    room = session.room
    run = function(session.shell, line, body, f"on_{args.kind}", ("data", "event", "sender"))
    if args.kind == "attributes":
        if args.topic is not None:
            raise UsageError("%%lk on attributes: attributes have no topic; --sender says whose.")
        room.on_attributes(sender=args.sender)(run)
    else:
        getattr(room, f"on_{args.kind}")(args.topic, sender=args.sender)(run)
    return Silent()


# Around it


def _server_takes(parser: VerbParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=("status", "start", "stop", "log"),
        default="status",
        metavar="ACTION",
        help="status, start, stop or log",
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
    rows = [("url", running.url), ("version", running.version), ("pid", running.pid), ("started", running.started_at)]
    return Table(("what", "value"), [*rows, ("rooms", len(local.participants()))])


def _nest_takes(parser: VerbParser) -> None:
    parser.add_argument("switch", choices=("on", "off"), metavar="on|off", help="on or off")


def _nest(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    from lknb.magics import nesting

    return nesting.switch(args.switch == "on")


class Text:
    """Text that shows itself as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "".join(char if char.isprintable() or char in "\n\t" else "\N{MIDDLE DOT}" for char in self.text)


def _takes_nothing(parser: VerbParser) -> None:
    pass


def _feed_takes(parser: VerbParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", nargs="?", help="only this topic, method or track")
    parser.option("--kind", metavar="K", choices=KINDS, help=f"only this kind: {', '.join(KINDS)}")
    _keeps(parser)


def _feed(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return session.room.feed(args.topic, args.kind)


def _panel(session: Session, args: argparse.Namespace, line: str, body: str) -> Any:
    return session.room.panel()


VERBS: list[tuple[Verb, Run]] = [
    (
        Verb(
            "connect",
            "Join a room; it becomes the current one.",
            _connect_takes,
            ("%lk connect studio --as alice", "%lk connect studio --as bob --attr role=host -o bob"),
        ),
        _connect,
    ),
    (Verb("status", "How the current room is doing.", _takes_nothing, ("%lk status",)), _status),
    (Verb("rooms", "The open rooms of this kernel.", _takes_nothing, ("%lk rooms",)), _rooms),
    (Verb("use", "Choose the current room.", _use_takes, ("%lk use alice@studio",)), _use),
    (Verb("participants", "Who is in the room.", _takes_nothing, ("%lk participants",)), _participants),
    (Verb("topics", "The topics, methods and tracks seen so far.", _takes_nothing, ("%lk topics",)), _topics),
    (
        Verb(
            "handlers",
            "The handlers of this room; rm removes one.",
            _handlers_takes,
            ("%lk handlers", "%lk handlers rm show"),
        ),
        _handlers,
    ),
    (
        Verb(
            "events",
            "The log of all that happened.",
            _events_takes,
            ("%lk events --tail 10", "%lk events --kind text --topic lk.chat -o log"),
        ),
        _events,
    ),
    (
        Verb(
            "attrs",
            "Everybody's attributes; set your own.",
            _attrs_takes,
            ("%lk attrs", "%lk attrs status=ready mood="),
        ),
        _attrs,
    ),
    (
        Verb(
            "metadata",
            "Your metadata or the room's; set it.",
            _metadata_takes,
            ('%lk metadata \'{"role": "host"}\'', '%lk metadata --room "An evening"'),
        ),
        _metadata,
    ),
    (
        Verb(
            "rpc",
            "Call a method of another participant.",
            _line_rpc_takes,
            ("%lk rpc bob ping", "%lk rpc bob add --var numbers -o total"),
        ),
        _line_rpc,
    ),
    (
        Verb(
            "text",
            "Send the text that a variable holds.",
            _line_text_takes,
            ("%lk text --var answer --to bob",),
            hint="To write the text in the cell, begin it with %%lk text.",
        ),
        _line_text,
    ),
    (
        Verb(
            "data",
            "Send the packet that a variable holds.",
            _line_data_takes,
            ("%lk data --topic imu --var sample",),
            hint="To write the packet in the cell, begin it with %%lk data.",
        ),
        _line_data,
    ),
    (
        Verb("send-file", "Send a file.", _send_file_takes, ("%lk send-file photo.png --topic files --to bob",)),
        _send_file,
    ),
    (Verb("feed", "A live table of the newest events.", _feed_takes, ("%lk feed", "%lk feed imu --kind data")), _feed),
    (Verb("panel", "The room at a glance, live.", _takes_nothing, ("%lk panel",)), _panel),
    (Verb("close", "Leave a room.", _close_takes, ("%lk close", "%lk close --all")), _close),
    (Verb("server", "The livekit-server on this machine.", _server_takes, ("%lk server", "%lk server log")), _server),
    (Verb("nest", "Let pasted scripts end in asyncio.run(main()).", _nest_takes, ("%lk nest on",)), _nest),
    (Verb("text", "Send text.", _text_takes, ("%%lk text --to bob\nHello!",), cell=True, body="the text"), _text),
    (
        Verb("data", "Send a packet.", _data_takes, ("%%lk data --topic imu\n1.5 2.5",), cell=True, body="the packet"),
        _data,
    ),
    (
        Verb(
            "rpc",
            "Call a method with a JSON payload.",
            _rpc_takes,
            ('%%lk rpc bob add -o total\n{"a": 1, "b": 2}',),
            cell=True,
            body="the payload, in JSON",
        ),
        _rpc,
    ),
    (
        Verb(
            "handle",
            "Serve a method with this cell.",
            _handle_takes,
            ('%%lk handle add\npayload["a"] + payload["b"]',),
            cell=True,
            body="Python that serves each call: it knows payload and caller, and its last value or `return` answers",
        ),
        _handle,
    ),
    (
        Verb(
            "on",
            "Run this cell for each message.",
            _on_takes,
            ("%%lk on text --topic lk.chat\nprint(sender, data)",),
            cell=True,
            body="Python that runs for each; it knows data, event and sender",
        ),
        _on,
    ),
]
