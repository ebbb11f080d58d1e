"""`Recording`: what `lknb.open_recording` returns, a file as `Events`."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from lknb import checks
from lknb.cells import current_cell
from lknb.columns.decoders import check_kind, make_decoder
from lknb.connect_options import NAME_LIMIT
from lknb.decoding import Decoder, Decoders
from lknb.errors import RecordingError
from lknb.event import Event, Kind, set_decoders
from lknb.events import Events, LazyEvents
from lknb.inert import inert_line
from lknb.interest import Interest
from lknb.live import Live
from lknb.loop import LOOP
from lknb.participants import Participant, Participants
from lknb.progress import size as readable
from lknb.public import public
from lknb.recording.cast import Cast, Connect
from lknb.recording.format import BEGIN, END, nanoseconds, participant_of
from lknb.recording.reader import Piece, RecordingFile
from lknb.recording.replay import OneRoom, Replay, Stage, check_speed, plan, replays
from lknb.recording.resend import To
from lknb.sql import Database
from lknb.tables import Table, room_html

if TYPE_CHECKING:
    import pandas

    from lknb.room import Room
    from lknb.widgets.timeline import Timeline

_PICTURED = 5_000  # events in the picture of a recording that is displayed


@public
@dataclass(frozen=True)
class RecordedState:
    """The state of a room at one moment of a recording.

    Attributes:
        time: the moment, timezone-aware.
        metadata: the room's metadata.
        participants: who was there, by identity, with names, attributes and metadata.
    """

    time: dt.datetime
    metadata: str
    participants: Participants

    def _repr_html_(self) -> str:
        return self.participants.table(live=False)._repr_html_()


class _InFile(LazyEvents):
    """Events of a file at these positions."""

    def __init__(self, recording: Recording, positions: Sequence[int]) -> None:
        self._recording = recording
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> LazyEvents: ...
    def __getitem__(self, index: int | slice) -> Event | LazyEvents:
        if isinstance(index, slice):
            return _InFile(self._recording, self._positions[index])
        return self._recording._event(self._positions[index])

    def __iter__(self) -> Iterator[Event]:
        return map(self._recording._event, self._positions)

    def where(self, interest: Interest, condition: Callable[[Event], bool]) -> LazyEvents:
        """The events of this interest for which `condition` is true, found without reading payloads."""
        file = self._recording._file
        found = array("Q")
        may_match = file.prefilter(interest)
        for position in self._positions:
            if may_match(position):
                event = file.event(position, payload=False)
                if interest.matches(event) and condition(event):
                    found.append(position)
        return _InFile(self._recording, found)

    def decoded_topics(self) -> list[str]:
        """The topics that have a decoder."""
        return self._recording._decoded_topics()


@public
class Recording(Live, Events):
    """A recording: the events in a file, oldest first, read when they are needed.

    It is an `Events`, with the same filters and tables. Files of any size take little memory, except for what turns all
    events into one table. A file that was cut off, because its kernel was killed or the disk was full, has what was
    written until then: `complete` is False, and streams that had not ended are `open`. Of other programs' MCAP files,
    each message is a `data` event with the channel as its topic.

    Attributes:
        path: the file.
        room: the room's name.
        identity: the identity of the participant that recorded it.
        complete: whether the recording was finished, and every part of it can be read.
        metadata: what the file says of the room, the recorder, versions, clocks and filters.
        decoders: how payloads are read; `decode` sets them.
    """

    _shown = 10  # below the timeline
    _instead = "Open the file again with lknb.open_recording(recording.path)."

    def __init__(self, path: Path, connect: Connect) -> None:
        self.path = path
        self._connect = connect
        self._file = RecordingFile(path)
        self.metadata: Mapping[str, str] = {
            **self._file.metadata.get(BEGIN, {}),
            **self._file.metadata.get(END, {}),
        }
        self.room = self.metadata.get("room", "")
        self.identity = self.metadata.get("identity", "")
        self.decoders = Decoders()
        # One query at a time, and the tables of the decoders that they were loaded with.
        self._asking = threading.Lock()
        self._loaded: tuple[tuple[Decoder, ...], Database] | None = None

    def _snapshot(self) -> Sequence[Event]:
        return _InFile(self, range(len(self._file)))

    def _event(self, position: int) -> Event:
        event = self._file.event(position)
        set_decoders(event, self.decoders)
        return event

    def __len__(self) -> int:
        return len(self._file)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Events: ...
    def __getitem__(self, index: int | slice) -> Event | Events:
        found = self._snapshot()[index]
        return Events.of(found) if isinstance(found, LazyEvents) else found  # type: ignore[return-value]

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _count(self) -> str:
        what = [f"{len(self):,} events", f"{self.duration:.1f} s", readable(self._file.size)]
        if self.dropped:
            what.append(f"{self.dropped:,} dropped while recording")
        if self._file.damaged:
            what.append(f"{self._file.damaged:,} damaged parts left out")
        elif not self.complete:
            what.append("not finished")
        of = f" of room {self.room!r} as {self.identity!r}" if self.room else ""
        return inert_line(f"Recording {self.path.name!r}{of}: {', '.join(what)}")

    def summary(self) -> Table:
        """What is in the file, as a table: the room, the time, and the number of messages of each kind and topic."""
        state = "finished" if self.complete else "not finished: it has what was written until it ended"
        rows: list[tuple[str, Any]] = [
            ("file", self.path.name),
            ("size", readable(self._file.size)),
            ("room", self.room),
            ("recorded by", self.identity),
            ("start", self.start),
            ("duration", f"{self.duration:.1f} s"),
            ("state", state),
            ("events", f"{len(self):,}"),
            ("dropped", f"{self.dropped:,}"),
            ("losses", f"{len(self.losses):,}"),
            ("participants", ", ".join(self.participants)),
            *((f"{kind} {topic}".rstrip(), f"{count:,}") for (kind, topic), count in self.counts.items()),
            ("files", f"{len(self._file.attachments):,}"),
        ]
        if self._file.damaged:
            rows.append(("damaged parts", f"{self._file.damaged:,}"))
        rows += [(name, self.metadata[name]) for name in ("lknb", "livekit", "server") if self.metadata.get(name)]
        return Table(("what", "value"), rows)

    @property
    def complete(self) -> bool:
        """Whether the recording was finished, and every part of it can be read."""
        return self._file.complete and not self._file.damaged

    @property
    def start(self) -> dt.datetime:
        """When the recording began, timezone-aware."""
        return self._time("started", 0)

    @property
    def end(self) -> dt.datetime:
        """When the recording ended; the time of the last event if it was not finished."""
        return self._time("stopped", 1)

    def _time(self, name: str, index: int) -> dt.datetime:
        with contextlib.suppress(ValueError):  # no such text, or a damaged one
            return checks.moment(dt.datetime.fromisoformat(self.metadata.get(name, "")), name)
        span = self._file.span
        return span[index] if span else dt.datetime.fromtimestamp(self.path.stat().st_mtime, dt.UTC)

    @property
    def duration(self) -> float:
        """Seconds from start to end; by the clock that nobody can set, if the file has its times."""
        begun, ended = (self._file.metadata.get(name, {}).get("monotonic", "") for name in (BEGIN, END))
        with contextlib.suppress(ValueError):
            return max(0.0, float(ended) - float(begun))
        return max(0.0, (self.end - self.start).total_seconds())

    @property
    def dropped(self) -> int:
        """Events that the recorder had to drop; of a recording that was not finished, as far as it had noted them."""
        with contextlib.suppress(ValueError):
            return int(self.metadata.get("dropped", ""))
        notes = self.filter("recording", topic="dropped") if self._file.is_own else ()
        return sum(int(each.data.get("count", 0)) for each in notes)

    @property
    def participants(self) -> tuple[str, ...]:
        """The identities of everybody who was there or sent something, sorted."""
        found = {each.metadata.get("sender", "") for each in self._file.channels.values()}
        if self._file.is_own:
            found.update(who for state in self._file.every_state() for who in state["participants"])
        return tuple(sorted(found - {""}))

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of messages, the names of methods and of data tracks, sorted."""
        return tuple(sorted({topic for _, topic in self.counts}))

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """The number of messages with a payload of each kind and topic."""
        counted: Counter[tuple[str, str]] = Counter()
        for number, channel in self._file.channels.items():
            metadata = channel.metadata
            if not self._file.is_own:
                counted["data", channel.topic] += self._file.index.payloads[number]
            elif metadata.get("part") == "payload":
                counted[metadata.get("kind", ""), metadata.get("topic", "")] += self._file.index.payloads[number]
        return dict(sorted(counted.items()))

    @property
    def losses(self) -> Events:
        """The `loss` events: in which time messages may be missing, and why."""
        return self.filter("loss")

    def pieces(self, event: Event) -> list[Piece]:
        """The pieces of a stream, each with the time at which it came; one piece if it came as a whole."""
        found = self._file.pieces(event.number)
        if found or not event.pieces:
            return found
        text = event.data if isinstance(event.data, str) else None
        return [Piece(event.first_after or 0.0, event.transferred, text)]

    def state_at(self, when: dt.datetime | float) -> RecordedState:
        """Who was there at a moment, with attributes and metadata.

        Args:
            when: a timezone-aware datetime, or seconds from the start.

        Raises:
            TypeError: for anything else.
            ValueError: for a datetime without a timezone.
        """
        moment = self.moment(when, "when")
        metadata = ""
        found: dict[str, dict[str, Any]] = {}
        for row in self._file.states(nanoseconds(moment)) if self._file.is_own else ():
            metadata = metadata if row["metadata"] is None else row["metadata"]
            if row["whole"]:
                found = {who: dict(each) for who, each in row["participants"].items()}
                continue
            for who, change in row["participants"].items():
                _apply(found, who, change)
        participants = Participants()
        participants.replace({who: participant_of(who, each) for who, each in found.items()})
        return RecordedState(moment, metadata, participants)

    def moment(self, when: dt.datetime | float, argument: str) -> dt.datetime:
        """A moment of the recording, given as a timezone-aware datetime or as seconds from its start."""
        if isinstance(when, dt.datetime):
            return checks.moment(when, argument)
        if isinstance(when, bool) or not isinstance(when, int | float):
            raise TypeError(
                f"{argument} must be seconds from the start, or a timezone-aware datetime, not {type(when).__name__}."
            )
        return self.start + dt.timedelta(seconds=when)

    def decode(
        self,
        topic: str,
        format: str | type | Callable[[bytes], Any] | None,
        *,
        names: Iterable[str] | str = (),
        kind: Kind | None = None,
        definition: str | None = None,
    ) -> Decoder | None:
        """Set how the payloads of a topic are read; see `Room.decode`."""
        if format is None:
            self.decoders.end(checks.topic(topic), check_kind(kind))
            return None
        decoder = make_decoder(topic, format, names, kind, definition)
        self.decoders.add(decoder)
        return decoder

    # Replay

    @overload
    def replay(
        self,
        room: Room,
        speed: float | None = ...,
        *,
        kind: Kind | Iterable[Kind] | None = ...,
        topic: str | None = ...,
        sender: str | Participant | None = ...,
        to: To = ...,
        start: dt.datetime | float | None = ...,
        end: dt.datetime | float | None = ...,
        calls: bool = ...,
        dry_run: Literal[False] = ...,
    ) -> Replay: ...
    @overload
    def replay(
        self,
        room: Room,
        speed: float | None = ...,
        *,
        kind: Kind | Iterable[Kind] | None = ...,
        topic: str | None = ...,
        sender: str | Participant | None = ...,
        to: To = ...,
        start: dt.datetime | float | None = ...,
        end: dt.datetime | float | None = ...,
        calls: bool = ...,
        dry_run: Literal[True],
    ) -> Table: ...
    def replay(
        self,
        room: Room,
        speed: float | None = 1.0,
        *,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
        to: To = None,
        start: dt.datetime | float | None = None,
        end: dt.datetime | float | None = None,
        calls: bool = False,
        dry_run: bool = False,
    ) -> Replay | Table:
        """Send what was sent and received again, through a room, in its order and at its times.

        It returns at once, and the replay goes on in the background: `wait`, `pause`, `step` and `stop` are methods of
        what it returns. One participant sends everything; `replay_as_participants` has each sender's events sent by
        itself. Everything goes to everybody unless `to` is given, because the recorded recipients may not be there.
        Attributes and metadata become this participant's own. Texts that came piece by piece go out piece by piece.

        Args:
            room: the room to send to.
            speed: how many seconds of the recording pass in a second; None for as fast as it goes, one event after the
                other.
            kind: only this kind of event, or these.
            topic: only this topic, method or track name.
            sender: only from this identity.
            to: the recipients; None for everybody.
            start: from here on, in seconds from the start, or as a timezone-aware datetime.
            end: up to here, likewise.
            calls: make the calls again too, with `to` or to the participant that served them.
            dry_run: send nothing, and return a table of what would be sent.

        Raises:
            TypeError: for an argument of another type.
            ValueError: for an unknown kind, a speed that is not above 0, and a datetime without a timezone.
            NotConnectedError: if the room is closed.

        Examples:
            >>> run = lknb.open_recording("run.mcap")
            >>> replay = run.replay(room, speed=10, kind="text").wait()
            >>> replay.sent, replay.lateness
        """
        events = self._slice(kind, topic, sender, start, end)
        checked, calls = check_speed(speed), checks.flag(calls, "calls")
        origin, duration = self._range(start, end)
        if checks.flag(dry_run, "dry_run"):
            return plan(events, origin, calls=calls)
        checks.identities(to, "to", "to send to everybody")
        room._refuse_closed()
        interest = Interest.of(kind, topic, sender)
        tracks = sorted({name for names in self._tracks(interest).values() for name in names})
        stage = OneRoom(room, to, tracks)
        return self._replayed(events, stage, origin, duration, checked, calls=calls)

    def replay_as_participants(
        self,
        name: str,
        speed: float | None = 1.0,
        *,
        kind: Kind | Iterable[Kind] | None = None,
        topic: str | None = None,
        sender: str | Participant | None = None,
        to: To = None,
        start: dt.datetime | float | None = None,
        end: dt.datetime | float | None = None,
        calls: bool = False,
        **connect: Any,
    ) -> Replay:
        """Have the room happen again: each recorded participant joins, sends what it sent, and leaves.

        They have their identities, names, attributes and metadata, and come and go when they did. What was sent to
        somebody goes to them, if they are there. So a page, an agent or a handler under test sees the same room again.
        It needs an API key, or the embedded server. At most 64 participants join.

        Args:
            name: the room to join, better not the one that was recorded if people are in it.
            speed: as in `replay`.
            kind: as in `replay`; participants come and go in any case.
            topic: as in `replay`.
            sender: as in `replay`; only this participant joins.
            to: the recipients; None for the recorded ones.
            start: as in `replay`.
            end: as in `replay`.
            calls: make the calls again too.
            connect: more arguments of `lknb.connect`, such as `url`, for all of them.

        Raises:
            TypeError: for an argument of another type.
            ValueError: for an unknown kind, a speed that is not above 0, and a datetime without a timezone.

        Examples:
            >>> run = lknb.open_recording("run.mcap")
            >>> run.replay_as_participants("rehearsal", speed=2).wait()
        """
        interest = Interest.of(kind, topic, sender)
        events = self._slice(None, None, sender, start, end)
        origin, duration = self._range(start, end)
        checks.identities(to, "to", "to send to everybody")
        there = self.state_at(origin).participants.values()

        def arriving(event: Event) -> Participant | None:
            return self.state_at(event.time).participants.get(event.sender or "")

        def wanted(event: Event) -> bool:
            return event.kind == "participant" or interest.matches(event)

        cast = Cast(
            checks.named(name, "name", NAME_LIMIT),
            self._connect,
            connect,
            [each for each in there if interest.sender in (None, each.identity)],
            arriving,
            self._tracks(interest),
            to,
        )
        chosen = Events.of(events._snapshot().where(Interest(), wanted))  # type: ignore[attr-defined]
        calls = checks.flag(calls, "calls")
        return self._replayed(chosen, cast, origin, duration, check_speed(speed), calls=calls)

    def _slice(
        self,
        kind: Kind | Iterable[Kind] | None,
        topic: str | None,
        sender: str | Participant | None,
        start: dt.datetime | float | None,
        end: dt.datetime | float | None,
    ) -> Events:
        since = None if start is None else self.moment(start, "start")
        until = None if end is None else self.moment(end, "end")
        return self.filter(kind, topic, sender, since=since, until=until)

    def _range(self, start: dt.datetime | float | None, end: dt.datetime | float | None) -> tuple[dt.datetime, float]:
        begin = self.start if start is None else self.moment(start, "start")
        last = self.end if end is None else min(self.end, self.moment(end, "end"))
        return begin, max(0.0, (last - begin).total_seconds())

    def _tracks(self, interest: Interest) -> dict[str, list[str]]:
        """The data tracks in the recording, by their publishers."""
        found: dict[str, list[str]] = {}
        for each in self._file.channels.values():
            metadata = each.metadata
            if metadata.get("kind") != "data_track" or not metadata.get("topic"):
                continue
            if interest.covers("data_track", metadata["topic"], metadata["sender"]):
                found.setdefault(metadata["sender"], []).append(metadata["topic"])
        return {who: list(dict.fromkeys(names)) for who, names in found.items()}

    def _replayed(
        self,
        events: Events,
        stage: Stage,
        origin: dt.datetime,
        duration: float,
        speed: float | None,
        *,
        calls: bool,
    ) -> Replay:
        def start() -> Replay:
            replay = Replay(
                events, stage, self.pieces, origin=origin, duration=duration, speed=speed, calls=calls, cell=cell
            )
            replay.start()
            return replay

        async def start_on_loop() -> Replay:
            return start()

        cell = current_cell()
        replay = start() if LOOP.is_current() else LOOP.run(start_on_loop, "replay")
        replays.add(replay)
        return replay

    # Look

    def timeline(self) -> Timeline:
        """The recording over time, with a lane for each participant; display it, or make it a cell's last line.

        Streams and calls are bars, packets and frames are density, changes of state are marks, losses are bands. At the
        cursor, it shows the state of the room at that moment. Of more than 100,000 events, it shows the newest.
        """
        from lknb.widgets.timeline import Timeline

        return Timeline(self)

    def _repr_html_(self) -> str:
        from lknb.widgets.timeline import picture

        try:
            drawn = picture(self, _PICTURED)._repr_html_()
        except RecordingError as error:  # a damaged part must not hide the others
            drawn = f"<p><em>{escape(inert_line(str(error)))}</em></p>"
        return room_html(f"<p>{escape(self._count())}</p>{drawn}") + super()._repr_html_()

    # Tables

    def sql(self, query: str) -> pandas.DataFrame:
        """Ask DuckDB about the recording; see `Events.sql`. Its tables are loaded once, for all queries that follow."""
        decoders = tuple(self.decoders)
        self._file.check_open()
        with self._asking:
            if self._loaded is not None and self._loaded[0] != decoders:
                self._forget_tables()
            if self._loaded is None:
                self._loaded = decoders, self._database()
            return self._loaded[1].ask(query)

    def _forget_tables(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded[1].close()

    def _decoded_topics(self) -> list[str]:
        return list(dict.fromkeys(decoder.topic for decoder in self.decoders))

    def export(self, folder: str | Path, format: Literal["parquet", "csv", "jsonl"] = "parquet") -> list[Path]:
        """Write the recording as files that pandas, polars, DuckDB and others read.

        There is a file for each kind of event, such as `text.parquet`, and one for each topic of numbers, such as
        `data-imu.parquet`: topics with a decoder, topics of JSON objects, and samples. Their columns are `time` and
        `sender`, and the fields. Received and sent files go into the folder `files`. Nothing is overwritten.

        Args:
            folder: where to write; it is created.
            format: `parquet`, `csv`, or `jsonl` for JSON Lines. CSV and JSON have bytes as base64 text.

        Returns:
            The paths of the files.

        Raises:
            ValueError: for another format.
            FileExistsError: if one of the files exists; then nothing was written.
            OSError: if a file cannot be written.
            ImportError: without pyarrow: `pip install "lknb[data]"`.

        Examples:
            >>> lknb.open_recording("run.mcap").export("tables")
        """
        from lknb.recording.export import export

        return export(self, checks.path(folder, "folder"), format)

    def close(self) -> None:
        """Close the file. Events and files that were read stay; what is read later raises RecordingError."""
        with self._asking:
            self._forget_tables()
        timelines = sys.modules.get("lknb.widgets.timeline_source")
        if timelines is not None:  # there is no timeline otherwise
            timelines.end_timelines(self)
        self._file.close()


def _apply(found: dict[str, dict[str, Any]], who: str, change: Mapping[str, Any] | None) -> None:
    """Apply a change of the state to a participant."""
    if change is None:
        found.pop(who, None)
    elif "sid" in change:
        found[who] = dict(change)
    elif who in found:
        known = found[who]
        if "attributes" in change:
            merged = {**known["attributes"], **change["attributes"]}
            known["attributes"] = {key: value for key, value in merged.items() if value != ""}
        if "metadata" in change:
            known["metadata"] = change["metadata"]
