"""The `lknb` command: parses arguments, calls `lknb.server` and prints the result."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lknb.errors import LknbError

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
    except LknbError as error:
        print("lknb:", " ".join(line.strip() for line in str(error).splitlines()), file=sys.stderr)
        return 1
    except BrokenPipeError:
        # For example `lknb server log -f | head`. Otherwise the interpreter reports an error when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    return parser


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
