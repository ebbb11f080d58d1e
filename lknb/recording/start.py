"""Starts a recorder for a room: where it writes, and what the file says of the room."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from pathlib import Path
from typing import Any

from lknb import checks, server
from lknb.connection import Connection
from lknb.errors import ServerError
from lknb.event import Event
from lknb.interest import Interest
from lknb.loop import LOOP
from lknb.recording.format import FORMAT
from lknb.recording.recorder import Recorder, Source, default_path
from lknb.recording.writer import Declared
from lknb.systems import Systems
from lknb.systems.data_tracks import DataTracks

FOLDER = "recordings"
"""The folder of recordings whose path is not given."""

_DECLARED_FOR = 5.0
_SCHEMA_WITHIN = 2.0


def start(systems: Systems, path: Any, interest: Interest, *, files: bool) -> Recorder:
    """Start to record a room.

    Raises:
        FileExistsError: if there is something at that path.
        OSError: if the file or its folder cannot be made.
        TypeError: for a path that is none.
    """
    connection = systems.connection
    file = _path(path, connection.room)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(f"{str(file.parent)!r} is not a folder, so nothing can be recorded into it.") from None
    source = Source(
        log=systems.log,
        identity=connection.identity,
        about=_about(connection),
        library=f"lknb {_version('lknb')}",
        metadata=lambda: connection.room_metadata,
        participants=lambda: dict(connection.presence.participants),
        declared=_Declarations(systems).of,
    )
    try:
        recorder = Recorder(source, interest, file, files=files)
    except FileExistsError:
        raise FileExistsError(
            f"{str(file)!r} exists, and a recording never overwrites a file. Give another path, or none for a new one "
            f"in {FOLDER}/."
        ) from None
    recorder.start()
    return recorder


def _path(path: Any, room: str) -> Path:
    if path is None:
        return default_path(Path(FOLDER), room)
    given = checks.path(path, "path")
    return default_path(given, room) if given.is_dir() else given


def _about(connection: Connection) -> dict[str, str]:
    return {
        "format": FORMAT,
        "room": connection.room,
        "room_sid": connection.reconnecting.room_sid,
        "identity": connection.identity,
        "server": _server_version(connection),
        "lknb": _version("lknb"),
        "livekit": _version("livekit"),
        "python": platform.python_version(),
    }


def _server_version(connection: Connection) -> str:
    """The version of the embedded server; other servers do not say it to participants."""
    if not connection.credentials.embedded:
        return ""
    try:
        running = server.status()
    except ServerError:
        return ""
    return running.version if running is not None else ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


class _Declarations:
    """What payloads are, as decoders and the publishers of data tracks declare it."""

    def __init__(self, systems: Systems) -> None:
        self._decoders = systems.log.decoders
        self._tracks: DataTracks = systems.data_tracks
        self._known: dict[tuple[str | None, str, str], tuple[float, Declared | None]] = {}

    def of(self, event: Event) -> Declared | None:
        """What the payload of this event is; None if nobody declares it. Not for the loop thread."""
        if event.kind == "data_track":
            key = (event.sender, event.topic, event.direction)
            known = self._known.get(key)
            if known is None or time.monotonic() - known[0] > _DECLARED_FOR:
                known = self._known[key] = time.monotonic(), self._of_track(event)
            if known[1] is not None:
                return known[1]
        decoder = self._decoders.of(event)
        return None if decoder is None or decoder.declared is None else Declared(*decoder.declared)

    def _of_track(self, event: Event) -> Declared | None:
        found = self._tracks.declared(event.sender, event.topic)
        if found is None or found.encoding is None:
            return None
        schema = found.schema
        if schema is not None and not schema.definition:
            try:
                schema = LOOP.submit(self._tracks.data_track_schema(found)).result(_SCHEMA_WITHIN)
            except Exception:  # without a definition, the frames are kept as they are
                return Declared(found.encoding)
        if schema is None:
            return Declared(found.encoding)
        return Declared(found.encoding, (schema.name, schema.encoding, schema.definition.encode()))
