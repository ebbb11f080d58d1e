"""Starts the embedded server when it is first needed, shares it between processes, and stops it.

One lock file serialises every start and stop. The record of the last server names its process, ports and key. It
counts only if that process is alive, holds its port and accepts its key. Each server has a key of its own, so a token
that another user caught on the port of a server that had ended is of no use.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lknb import settings
from lknb.credentials import without_locals
from lknb.errors import ServerError
from lknb.server import api, binary, livekit_config, log, paths, process, state_file
from lknb.server.command import Progress, clean_environment, to_stderr
from lknb.server.os_errors import STATE, explained
from lknb.server.state_file import Record, RunningServer

# Seconds. On a busy machine, a healthy server may not answer for some seconds; it must not be ended for that.
_PATIENCE = 10.0
_START = 15.0
_LOCK = 60.0
_OTHER_BINARY = "If that binary is broken, remove it and run `lknb server install`, or set LKNB_SERVER to another."


@without_locals()
@explained(STATE)
def ensure(
    progress: Progress = to_stderr, *, config: livekit_config.Settings | str | Path | None = None
) -> RunningServer:
    """Start the embedded server if it is not running, and return it. Blocks; call this from any thread.

    Args:
        progress: called with a message when a slow step starts, if the binary must be built or downloaded first.
        config: further settings of livekit-server, as a mapping or the path of a YAML file; those in the file that
            `LKNB_SERVER_CONFIG` names if not given. Addresses, ports, keys and the log stay lknb's. A server that runs
            with other settings is started again if nobody uses it.

    Raises:
        ServerError: if the server cannot be found, installed or started, or its directory cannot be used; if the
            settings cannot be used, or the running server has others and is in use.

    Examples:
        >>> lknb.server.ensure(config={"room": {"max_participants": 5}})
    """
    state = _state()
    idle = settings.server_idle()
    wanted, where = livekit_config.further(config)
    with paths.locked(state / state_file.LOCK, timeout=_LOCK):
        found = _wanted(state, idle, wanted)
    if found is None:
        server = binary.find(progress)  # not under the lock: it may take minutes
        with paths.locked(_state() / state_file.LOCK, timeout=_LOCK):
            found = _wanted(state, idle, wanted) or _start(state, server, idle, wanted, where)
    return found.public(state)


@without_locals()
@explained(STATE)
def status() -> RunningServer | None:
    """The embedded server if it is running and answers, otherwise None. Does not start it, or count as use.

    Raises:
        ServerError: if that cannot be found out, for example because its directory cannot be used.
    """
    state = _state()
    known = state_file.read(state)
    return known.public(state) if known is not None and known.alive and api.answers(known) else None


@without_locals()
@explained(STATE)
def participants() -> dict[str, int]:
    """The number of participants in each room of the embedded server; empty if it is not running.

    Raises:
        ServerError: if that cannot be found out, for example because its directory cannot be used.
    """
    known = state_file.read(_state())
    return (api.participants(known) or {}) if known is not None and known.alive else {}


@without_locals()
@explained(STATE)
def stop() -> bool:
    """Stop the embedded server within 3 s, even if its rooms are in use. Returns False if it was not running.

    Raises:
        ServerError: if it does not end, or its directory cannot be used.
    """
    state = _state()
    with paths.locked(state / state_file.LOCK, timeout=_LOCK):
        known = state_file.read(state)
        if known is None:
            return False
        was_running = process.end(known.pid, known.born)
        if known.alive:
            raise ServerError(f"livekit-server, process {known.pid}, did not end. End it with: kill -9 {known.pid}")
        process.end(known.watch_pid, known.watch_born)
        return was_running


def install(progress: Progress = to_stderr) -> Path:
    """Find the livekit-server binary, or build or download it, and return its path.

    Args:
        progress: called with a message when a slow step starts.

    Raises:
        ServerError: if it cannot be found or installed; the message lists each way with the reason.
    """
    _posix_only()
    return binary.find(progress).path


def _state() -> Path:
    _posix_only()
    return paths.state_dir()


def _posix_only() -> None:
    if os.name != "posix":
        raise ServerError(
            "The embedded livekit-server runs on Linux and macOS only. "
            "Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET to use another server."
        )


def _wanted(state: Path, idle: float, config: livekit_config.Settings) -> Record | None:
    """The running server, marked as wanted and watched; None if it has to be started. Call this under the lock."""
    known = state_file.read(state)
    if known is None or not known.alive:
        return None
    deadline = time.monotonic() + _PATIENCE
    while not api.answers(known):
        if not known.alive:
            return None
        if time.monotonic() > deadline:
            process.end(known.pid, known.born)
            return None
        time.sleep(0.05)
    if config and known.config != livekit_config.digest(config):
        _make_room(known)
        return None
    if known.watched:
        state_file.touch(state)
        return known
    return _watched(state, known, idle)


def _make_room(known: Record) -> None:
    """End a server that has other settings.

    Raises:
        ServerError: if somebody uses it.
    """
    used = sum((api.participants(known) or {}).values())
    if used:
        settings_of = f"those of {known.config_from}" if known.config_from else "no further settings"
        raise ServerError(
            f"The local server runs with {settings_of}, and {used} participant{'s use' if used > 1 else ' uses'} it. "
            "Close the rooms in all notebooks, or end it with `lknb server stop`; then it starts with the new settings."
        )
    process.end(known.pid, known.born)
    process.end(known.watch_pid, known.watch_born)


def _start(state: Path, server: binary.Binary, idle: float, config: livekit_config.Settings, where: str) -> Record:
    """Start a server with a new key, and with the last one's ports if they are free."""
    last = state_file.read(state)
    log.cut(state)
    for attempt in range(3):
        # Another process may take a port after it was found free and before the server listens on it.
        reuse = last is not None and attempt == 0
        begun = Record(
            http_port=livekit_config.free_port(socket.SOCK_STREAM, last.http_port if last and reuse else 0),
            udp_port=livekit_config.free_port(socket.SOCK_DGRAM, last.udp_port if last and reuse else 0),
            api_key=f"lknb{secrets.token_hex(6)}",
            api_secret=secrets.token_urlsafe(36),
            pid=0,
            born="",
            version=server.version,
            started_at=datetime.now(UTC).isoformat(),
            watch_pid=0,
            watch_born="",
            config=livekit_config.digest(config),
            config_from=where,
        )
        started = _launched(state, server, begun, config)
        if started is not None:
            try:
                return _watched(state, started, idle)
            except BaseException:
                process.end(started.pid, started.born)  # nothing would end it when idle
                raise
    raise ServerError(
        "livekit-server found its ports taken three times in a row. Try again; `lknb server log` shows its log."
    )


def _launched(state: Path, server: binary.Binary, begun: Record, config: livekit_config.Settings) -> Record | None:
    """Launch the server and wait until it answers; None if a port was taken."""
    paths.write_private(
        state / state_file.CONFIG,
        livekit_config.text(begun.http_port, begun.udp_port, begun.api_key, begun.api_secret, config),
    )
    with log.opened(state) as output:
        output.write(
            f"{begun.started_at} lknb: {server.path} {server.version} on 127.0.0.1, "
            f"HTTP port {begun.http_port}, UDP port {begun.udp_port}\n".encode()
        )
        before = output.tell()
        try:
            child = process.spawn(
                [server.path, "--config", state / state_file.CONFIG], output=output, env=clean_environment(), cwd=state
            )
        except OSError as error:
            if error.filename != str(server.path):  # the directory is gone, or there are too many processes
                raise
            raise ServerError(f"{server.path} cannot be run: {error.strerror or error}. {_OTHER_BINARY}") from error
    try:
        started = replace(begun, pid=child.pid, born=process.birth(child.pid) or "")
        deadline = time.monotonic() + _START
        while child.poll() is None and time.monotonic() < deadline:
            if api.answers(started):
                state_file.write(state, started)
                return started
            time.sleep(0.01)
    except BaseException:
        child.kill()
        raise
    failure = _failure(state, server, child, before, begun.config_from)
    if failure is not None:
        raise failure
    return None


def _failure(
    state: Path, server: binary.Binary, child: subprocess.Popen[bytes], before: int, where: str
) -> ServerError | None:
    """End a server that did not start, and return the error; None if a port was taken."""
    code = child.poll()
    if code is None:
        child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(5)
    process.reap()
    with (state / state_file.LOG).open("rb") as file:
        file.seek(before)
        output = file.read()
    if code is not None and b"address already in use" in output:
        return None
    what = f"did not answer within {_START:.0f} s" if code is None else f"exited with code {code} while starting"
    return ServerError(
        f"livekit-server {server.version} ({server.path}) {what}. The end of its log:\n"
        f"{log.tail(state, 5)}\n" + (f"Check the settings in {where}." if where else _OTHER_BINARY)
    )


def _watched(state: Path, server: Record, idle: float) -> Record:
    """Start a watcher for a server, and return its updated record."""
    environment = clean_environment("PYTHONHOME", "LD_LIBRARY_PATH")
    # The watcher must find lknb and its libraries where this process found them. -P leaves out the working directory.
    found_in = [entry for entry in sys.path if Path(entry).is_absolute()]
    environment["PYTHONPATH"] = os.pathsep.join([*found_in, str(Path(__file__).parents[2])])
    with log.opened(state) as output:
        child = process.spawn(
            [sys.executable, "-P", "-m", "lknb.server.watch", state, str(idle)],
            output=output,
            env=environment,
            cwd=state,
        )
    try:
        watched = replace(server, watch_pid=child.pid, watch_born=process.birth(child.pid) or "")
        state_file.write(state, watched)
    except BaseException:
        child.kill()
        raise
    return watched
