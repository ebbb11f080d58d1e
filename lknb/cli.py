"""The `lknb` command: parses arguments, calls the public API and prints the result."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lknb.errors import LknbError
from lknb.inert import inert_line

if TYPE_CHECKING:
    from lknb.server import RunningServer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: the arguments; those of the process if not given.
    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:
        # For example `lknb server log -f | head`. Otherwise the interpreter reports an error when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        print("lknb:", inert_line(named), file=sys.stderr)
        return 1
    except (LknbError, ValueError, ImportError) as error:
        print("lknb:", " ".join(line.strip() for line in str(error).splitlines()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lknb", description="LiveKit rooms in a Jupyter notebook.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version of lknb")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    server = commands.add_parser("server", help="the embedded livekit-server that all your kernels share")
    verbs = server.add_subparsers(required=True, metavar="VERB")

    verbs.add_parser("install", help="find livekit-server, or install it").set_defaults(run=_install)
    verbs.add_parser("status", help="show its address, rooms and participants").set_defaults(run=_status)
    verbs.add_parser("start", help="start it if it is not running").set_defaults(run=_start)
    verbs.add_parser("stop", help="stop it and close all its rooms").set_defaults(run=_stop)
    log = verbs.add_parser("log", help="print the end of its log")
    log.add_argument("-n", "--lines", type=int, default=50, metavar="N", help="number of lines (default: 50)")
    log.add_argument("-f", "--follow", action="store_true", help="keep printing new lines until Ctrl-C")
    log.set_defaults(run=_log)
    _add_recordings(commands)
    return parser


def _add_recordings(commands: Any) -> None:
    record = commands.add_parser(
        "record",
        help="record a room to a file",
        description="Record a room to a file, until Ctrl-C, SIGTERM, or the end of --for. The settings for the server "
        "are those of a notebook: LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET or LIVEKIT_TOKEN, also in .env; "
        "without a URL, the embedded server.",
    )
    record.add_argument("room", metavar="ROOM", help="the room's name")
    record.add_argument("path", metavar="PATH", nargs="?", help="the new file; recordings/ROOM-TIME.mcap if not given")
    record.add_argument("--for", dest="seconds", type=_seconds, metavar="S", help="stop after S seconds")
    record.add_argument("--hidden", action="store_true", help="do not be seen by the others; needs an API key")
    record.add_argument("--as", dest="identity", metavar="ID", help="the identity to join with")
    record.add_argument("--kind", action="append", metavar="K", help="only this kind of event; may be repeated")
    record.add_argument("--topic", metavar="T", help="only this topic, method or track")
    record.add_argument("--sender", metavar="ID", help="only from this identity")
    record.add_argument("--no-files", action="store_true", help="leave out the content of byte streams")
    record.set_defaults(run=_record)

    recording = commands.add_parser("recording", help="show what is in a recording")
    recording.add_argument("path", metavar="PATH", help="the file")
    recording.set_defaults(run=_recording)

    export = commands.add_parser("export", help="write a recording as Parquet, CSV or JSON Lines")
    export.add_argument("path", metavar="PATH", help="the recording")
    export.add_argument("folder", metavar="FOLDER", help="the folder for the files; nothing in it is overwritten")
    export.add_argument("--format", choices=("parquet", "csv", "jsonl"), default="parquet", help="default: %(default)s")
    export.set_defaults(run=_export)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


class _Version(argparse.Action):
    """Looks up the version only when `--version` is given."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print("lknb", version("lknb"))
        except PackageNotFoundError:
            parser.exit(1, "lknb: not installed, so its version is unknown. Install it: pip install .\n")
        parser.exit()


def _install(_: argparse.Namespace) -> int:
    from lknb import server

    print(server.install())
    return 0


def _status(_: argparse.Namespace) -> int:
    from lknb import server

    running = server.status()
    if running is None:
        print("not running; start it with `lknb server start`, or by connecting without LIVEKIT_URL")
        return 1
    rooms = server.participants()
    _show(running)
    print(f"rooms    {len(rooms)}, participants {sum(rooms.values())}")
    return 0


def _start(_: argparse.Namespace) -> int:
    from lknb import server

    _show(server.ensure())
    return 0


def _stop(_: argparse.Namespace) -> int:
    from lknb import server

    print("stopped" if server.stop() else "not running")
    return 0


def _log(arguments: argparse.Namespace) -> int:
    from lknb import server

    if arguments.follow:
        with contextlib.suppress(KeyboardInterrupt):
            for line in server.follow(arguments.lines):
                print(line, flush=True)
    elif shown := server.log_tail(arguments.lines):
        print(shown)
    return 0


def _record(arguments: argparse.Namespace) -> int:
    import lknb

    with _stop_signals() as stop:
        room = lknb.connect(arguments.room, arguments.identity, hidden=arguments.hidden)
        with room:
            recorder = room.record(
                arguments.path,
                kind=arguments.kind,
                topic=arguments.topic,
                sender=arguments.sender,
                files=not arguments.no_files,
            )
            print(f"recording {room.name!r} as {room.identity!r} to {recorder.path}", flush=True)
            recorder.when_ended(stop.set)
            stop.wait(arguments.seconds)
        # Leaving the room has finished the file; this raises if the recording failed.
        path = recorder.stop()
    dropped = f", {recorder.dropped:,} dropped" if recorder.dropped else ""
    print(f"{path}: {recorder.count:,} events, {recorder.size:,} bytes, {recorder.duration:.1f} s{dropped}")
    return 0


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set in this block."""
    stop = threading.Event()
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _recording(arguments: argparse.Namespace) -> int:
    import lknb

    with lknb.open_recording(arguments.path) as run:
        print(run.summary())
    return 0


def _export(arguments: argparse.Namespace) -> int:
    import lknb

    with lknb.open_recording(arguments.path) as run:
        for path in run.export(arguments.folder, arguments.format):
            print(inert_line(str(path)))
    return 0


def _show(running: RunningServer) -> None:
    from datetime import datetime, timedelta

    uptime = timedelta(seconds=round((datetime.now(running.started_at.tzinfo) - running.started_at).total_seconds()))
    print(f"url      {running.url}")
    print(f"version  {running.version}")
    if running.config:
        print(f"settings {running.config}")
    print(f"pid      {running.pid}, up {uptime}")
    print(f"log      {running.log}")


if __name__ == "__main__":
    sys.exit(main())
