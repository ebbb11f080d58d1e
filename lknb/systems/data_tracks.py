"""Data tracks: lossy, lightweight frames on named tracks, which late joiners discover too.

See https://docs.livekit.io/transport/data/data-tracks/.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, TypeVar

from livekit import rtc

from lknb import checks
from lknb.connection import Connection
from lknb.errors import (
    DeliveryTimeoutError,
    LknbError,
    NotConnectedError,
    PayloadTooLargeError,
    PermissionDeniedError,
    SendError,
    StreamError,
)
from lknb.event import Event, amend
from lknb.events import EventLog
from lknb.live import Live
from lknb.loop import LOOP
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.replies import Reply, awaited
from lknb.sdk import Declared, PublishDataTrackError, SchemaError, SdkRoom
from lknb.systems.sending import refused
from lknb.track_schema import (
    CUSTOM_LIMIT,
    DEFINITION_LIMIT,
    FRAME_ENCODINGS,
    NEED_SCHEMA,
    SCHEMA_ENCODINGS,
    DataTrackSchema,
)

T = TypeVar("T")

FRAME_LIMIT = 1_000_000
"""Maximum bytes of a frame. The SDK drops larger frames silently."""

BUFFER_SIZE = 4096
"""Maximum frames that the SDK buffers for each of the first 16 subscriptions. Beyond that, it drops the oldest."""

MAX_TRACKS = 256
"""Maximum tracks of one publisher that a room subscribes to."""

_LARGE_BUFFERS = 16
# The SDK allocates the whole buffer at once: 80 bytes for each frame.
_SMALL_BUFFER = 256

NAME_LIMIT = 256
"""Maximum characters of a track's name."""

_SUCH_AS = ", such as time.time_ns()"

_PUBLISH_WITHIN = 15.0
_ASK_AGAIN_AFTER = (0.3, 0.6, 1.2, 2.4, 4.8)
_RESUBSCRIBE_PAUSE = 1.0
# An unpublished track's name stays taken until the server has processed the change, which no event reports.
_NAME_FREE_WITHIN = 5.0
_NAME_TAKEN_PAUSE = 0.05


@public
@dataclass(frozen=True, slots=True)
class RemoteDataTrack:
    """A data track that another participant publishes.

    Attributes:
        name: the track's name, unique for its publisher.
        publisher: the publisher's identity.
        subscribed: whether this notebook receives its frames, which it does while a handler or an inbox wants them.
        encrypted: whether its frames are end-to-end encrypted; without the key they are unreadable.
        encoding: what its frames are, such as `json`; None if the publisher does not declare it.
        schema: the schema of its frames, without the definition, which `room.data_track_schema` fetches; None if the
            publisher does not declare one.
    """

    name: str
    publisher: str
    subscribed: bool
    encrypted: bool
    encoding: str | None = None
    schema: DataTrackSchema | None = None


@public
class LocalDataTrack(Live, ReadOnly):
    """A data track that this notebook publishes; `push` sends a frame.

    Attributes:
        name: the track's name.
        pushed: number of frames that the SDK accepted.
        refused: number of frames that the SDK refused because its queue was full; they were not sent.
        encoding: what its frames are, as declared; None if not.
        schema: the schema of its frames, as declared; None if not.
    """

    _instead = "Use its name, pushed and refused."
    _counted = frozenset({"pushed", "refused"})

    def __init__(
        self, name: str, sdk_track: rtc.LocalDataTrack, connection: Connection, log: EventLog, declared: Declared
    ) -> None:
        self.name = name
        self.encoding, self.schema = declared
        self.pushed = 0
        self.refused = 0
        self._sdk_track: rtc.LocalDataTrack | None = sdk_track
        self._is_denied = False
        self._connection = connection
        self._log = log
        self._fix()

    def __repr__(self) -> str:
        refused = f", {self.refused:,} refused" if self.refused else ""
        return f"<LocalDataTrack {self.name!r}: {self.pushed:,} frames pushed{refused}>"

    def push(self, payload: bytes | bytearray | memoryview, timestamp: int | None = None) -> bool:
        """Send a frame to the subscribers, without retransmission. Safe from any thread and async handler.

        Args:
            payload: 1 to 1,000,000 bytes; LiveKit advises at most a few kB. It is sent unchanged.
            timestamp: a whole number from 0 to 2**64 - 1 sent with the frame, in a unit of your choice.

        Returns:
            True if the SDK accepted the frame. False if frames come too fast for its queue: this one is dropped, and
            counted in `refused`.

        Raises:
            NotConnectedError: while the room is closed or reconnecting.
            PermissionDeniedError: while this participant does not have the grant canPublishData any more.
            StreamError: if the track is no longer published.
            PayloadTooLargeError: if the frame exceeds 1,000,000 bytes.
            TypeError: for a payload that is not bytes, or a timestamp that is not a number.
            ValueError: for an empty payload, or a timestamp that is negative or has a fraction.
            LknbError: in a forked process.
        """
        data = checks.data(payload, "payload")
        if timestamp is not None:
            timestamp = checks.whole(timestamp, "timestamp", _SUCH_AS, least=0, most=2**64 - 1)
        if len(data) > FRAME_LIMIT:
            raise PayloadTooLargeError("The frame", len(data), FRAME_LIMIT, "Use send_bytes, which takes any length.")
        if not data:
            raise ValueError("A frame must have at least one byte: LiveKit drops empty frames silently.")
        LOOP.refuse_forked()
        if self._connection.state != "connected":
            raise self._connection.not_connected()
        if self._is_denied:
            raise PermissionDeniedError("canPublishData", f"Pushing frames to {self.name!r}", taken=True)
        sdk_track = self._sdk_track  # another thread may be unpublishing it
        if sdk_track is None:
            raise self._unpublished()
        event = Event(
            "data_track",
            "out",
            sender=self._connection.identity,
            topic=self.name,
            data=data,
            size=len(data),
            timestamp=timestamp,
        )
        try:
            # The SDK accepts this call from any thread, so no frame has to be passed to the loop thread.
            sdk_track.try_push(rtc.DataTrackFrame(payload=data, user_timestamp=timestamp))
        except rtc.PushFrameError as error:
            if not sdk_track.is_published():
                amend(event, status="failed", error=error.message)
                self._log.add(event)
                raise self._unpublished() from None
            self.refused += 1
            amend(event, status="dropped", error=error.message)
            self._log.add(event)
            return False
        self.pushed += 1
        self._log.add(event)
        return True

    def _unpublished(self) -> StreamError:
        return StreamError(f"Data track {self.name!r} is no longer published. Publish it again.")

    async def _unpublish(self) -> None:
        if self._sdk_track is not None:
            await self._connection.call(self._sdk_track.unpublish(), "unpublish_data_track")
        self._replace(None)

    def _replace(self, sdk_track: rtc.LocalDataTrack | None) -> None:
        self._sdk_track = sdk_track


def _checked(encoding: str | None, schema: DataTrackSchema | None) -> Declared:
    if encoding is not None:
        _check_encoding(encoding, "encoding", FRAME_ENCODINGS)
    if schema is not None:
        if not isinstance(schema, DataTrackSchema):
            raise TypeError(
                f'schema must be a lknb.DataTrackSchema(name, "jsonschema", definition), not {type(schema).__name__}.'
            )
        checks.named(schema.name, "schema.name", NAME_LIMIT)
        _check_encoding(schema.encoding, "schema.encoding", SCHEMA_ENCODINGS)
        size = len(checks.text(schema.definition, "schema.definition").encode())
        if size > DEFINITION_LIMIT:
            raise PayloadTooLargeError("The schema's definition", size, DEFINITION_LIMIT, "Leave out its comments.")
        if encoding is None:
            raise ValueError('A schema needs the encoding of the frames, too: encoding="json", for example.')
    elif encoding in NEED_SCHEMA:
        raise ValueError(f"Frames in {encoding} cannot be read without a schema: pass schema=, too.")
    return encoding, schema


def _check_encoding(value: str, argument: str, known: Iterable[str]) -> None:
    if not 1 <= len(checks.text(value, argument)) <= CUSTOM_LIMIT:
        names = ", ".join(known)
        raise ValueError(f"{argument} must be one of {names}, or another name of at most {CUSTOM_LIMIT} characters.")


class DataTracks:
    """Publishes, discovers and subscribes to the data tracks of one connection."""

    def __init__(self, connection: Connection, log: EventLog) -> None:
        self._connection = connection
        self._log = log
        self._local: dict[str, LocalDataTrack] = {}
        self._publishing = asyncio.Lock()
        # By publisher and name: the sid changes with every reconnect.
        self._remote: dict[tuple[str, str], rtc.RemoteDataTrack] = {}
        self._subscriptions: dict[tuple[str, str], asyncio.Task[None]] = {}
        # What one publisher has too many of; each is reported once.
        self._too_many: set[tuple[str, str]] = set()
        connection.presence.data_tracks_of = self._names_of
        log.on_interests(lambda: LOOP.loop.call_soon_threadsafe(self._update))
        connection.on("data_track_published", self._published)
        connection.on("data_track_unpublished", self._unpublished)
        connection.on_restored(self._restored)
        connection.on_permissions(self._permissions_changed)

    async def publish_data_track(
        self, name: str, *, encoding: str | None = None, schema: DataTrackSchema | None = None
    ) -> LocalDataTrack:
        """Publish a data track. Publishing the same name again returns the same track.

        See https://docs.livekit.io/transport/data/data-tracks/.

        Args:
            name: 1 to 256 characters, unique among this participant's tracks.
            encoding: declares what the frames are: `json`, `cbor`, `msgpack`, `protobuf`, `flatbuffer`, `cdr`, `ros1`,
                or another name of at most 25 characters. lknb sends frames as they are in any case.
            schema: declares the schema of the frames, which `protobuf`, `flatbuffer`, `cdr` and `ros1` need, in a
                language that fits. The server keeps its definition, of at most 64,000 bytes, for the others, if it is
                livekit-server 1.13.3 or later with `enable_participant_data_blob`.

        Returns:
            The track, whose `push` sends a frame.

        Raises:
            NotConnectedError: while the room is closed or reconnecting, or if the connection is lost during the call.
            PermissionDeniedError: without the grant canPublishData.
            SendError: if the SDK refused the track, or the server the schema.
            DeliveryTimeoutError: if the SDK did not publish the track within 15 s.
            PayloadTooLargeError: if the schema's definition exceeds 64,000 bytes.
            TypeError: for an argument of another type.
            ValueError: for a name that is not 1 to 256 characters long, or that UTF-8 cannot encode; for an encoding
                of more than 25 characters, a schema without an encoding, and an encoding that lacks its schema; if the
                track is published with another declaration.

        Examples:
            >>> track = room.publish_data_track("imu")
            >>> for sample in samples:
            ...     track.push(struct.pack("<3f", *sample), timestamp=time.time_ns())
        """
        if not 1 <= len(checks.text(name, "name")) <= NAME_LIMIT:
            raise ValueError(f"name must have 1 to {NAME_LIMIT} characters, not {len(name):,}.")
        declared = _checked(encoding, schema)
        self._connection.require("canPublishData", "Publishing a data track")
        async with self._publishing:
            track = self._local.get(name)
            if track is not None and declared != (None, None) and declared != (track.encoding, track.schema):
                raise ValueError(f"Data track {name!r} is published with another declaration. Unpublish it first.")
            if track is None:
                track = LocalDataTrack(name, await self._publish(name, declared), self._connection, self._log, declared)
                self._local[name] = track
                self._connection.presence.refresh()
            return track

    async def unpublish_data_track(self, track: LocalDataTrack | str) -> None:
        """Unpublish a data track of this participant.

        See https://docs.livekit.io/transport/data/data-tracks/.

        Args:
            track: the track, or its name.

        Raises:
            StreamError: if this participant does not publish that track.
            TypeError: for anything except a track or its name.
            NotConnectedError: while the room is reconnecting.
            DeliveryTimeoutError: if the SDK did not unpublish the track in time.
        """
        name = track.name if isinstance(track, LocalDataTrack) else checks.text(track, "track", "Or pass the track.")
        local = self._local.get(name)
        if local is None:
            published = ", ".join(map(repr, sorted(self._local))) or "none"
            raise StreamError(f"This participant does not publish a data track {name!r}. Published: {published}.")
        await local._unpublish()
        self._local.pop(name, None)
        self._connection.presence.refresh()

    async def data_track_schema(self, track: RemoteDataTrack) -> DataTrackSchema:
        """The schema of another participant's data track, with its definition, which the server keeps.

        Args:
            track: the track, one of `room.data_tracks`.

        Raises:
            StreamError: if the track declares no schema, or the server does not have the definition.
            NotConnectedError: while the room is closed or reconnecting.
            DeliveryTimeoutError: if the server did not answer in time.
            TypeError: for anything except a track.
        """
        if not isinstance(track, RemoteDataTrack):
            raise TypeError(f"Pass one of room.data_tracks, not {type(track).__name__}.")
        schema = track.schema
        if schema is None:
            raise StreamError(f"Data track {track.name!r} of {track.publisher!r} declares no schema.")
        try:
            definition = await self._asked(lambda sdk: sdk.get_schema(schema, track.publisher), "data_track_schema")
        except SchemaError as error:
            raise StreamError(
                f"The definition of {schema.name!r}, the schema of {track.name!r}, cannot be had: {error}. It needs "
                "livekit-server 1.13.3 or later with enable_participant_data_blob."
            ) from None
        return replace(schema, definition=definition)

    async def _define(self, name: str, schema: DataTrackSchema) -> None:
        try:
            await self._asked(lambda sdk: sdk.define_schema(schema), "publish_data_track")
        except SchemaError as error:
            raise SendError(
                f"The schema of data track {name!r} was not kept: {error}. It needs livekit-server 1.13.3 or later "
                "with enable_participant_data_blob. Without schema=, the track can be published."
            ) from None

    async def _asked(self, make: Callable[[SdkRoom], Reply[T]], what: str) -> T:
        """What the server answers about a schema. The SDK misses up to one answer in ten: ask again."""
        for limit in _ASK_AGAIN_AFTER:
            with contextlib.suppress(DeliveryTimeoutError):
                return await awaited(self._connection.request(make, what, limit=limit))
        return await awaited(self._connection.request(make, what, limit=limit))

    async def _publish(self, name: str, declared: Declared) -> rtc.LocalDataTrack:
        if declared[1] is not None:
            await self._define(name, declared[1])
        deadline = monotonic() + _NAME_FREE_WITHIN
        while True:
            try:
                return await awaited(
                    self._connection.request(
                        lambda sdk: sdk.publish_data_track(name, declared), "publish_data_track", limit=_PUBLISH_WITHIN
                    )
                )
            except PublishDataTrackError as error:
                message = error.message.lower()
                if "unauthorized" in message or "not allowed" in message:
                    raise PermissionDeniedError("canPublishData", "Publishing a data track") from None
                if "already taken" not in message or monotonic() > deadline:
                    raise refused(f"Data track {name!r} could not be published", error) from None
            await asyncio.sleep(_NAME_TAKEN_PAUSE)

    def tracks(self) -> list[RemoteDataTrack]:
        """The data tracks that other participants publish, including those published before this one joined."""
        return [
            RemoteDataTrack(
                name,
                publisher,
                (publisher, name) in self._subscriptions,
                track.info.uses_e2ee,
                *getattr(track, "declared", (None, None)),
            )
            for (publisher, name), track in sorted(self._remote.items())
        ]

    def declared(self, publisher: str | None, name: str) -> RemoteDataTrack | None:
        """A track with what its publisher declares; of this participant's own with the definition. None if unknown."""
        local = self._local.get(name)
        if publisher == self._connection.identity and local is not None:
            return RemoteDataTrack(name, publisher, False, False, local.encoding, local.schema)
        return next((each for each in self.tracks() if (each.publisher, each.name) == (publisher, name)), None)

    def _names_of(self, identity: str) -> tuple[str, ...]:
        if identity == self._connection.identity:
            return tuple(sorted(self._local))
        return tuple(sorted(name for publisher, name in self._remote if publisher == identity))

    def _published(self, track: rtc.RemoteDataTrack, *_: Any) -> None:
        key = (track.publisher_identity, track.info.name)
        self._remote[key] = track
        old = self._subscriptions.pop(key, None)
        if old is not None:
            old.cancel()
        self._connection.presence.refresh()
        self._update()

    def _unpublished(self, sid: str, *_: Any) -> None:
        for key, track in list(self._remote.items()):
            if track.info.sid == sid:
                del self._remote[key]
                self._too_many.discard(key)
        self._connection.presence.refresh()
        self._update()

    def _update(self) -> None:
        counts = Counter(publisher for publisher, _ in self._subscriptions)
        for key, track in self._remote.items():
            if key in self._subscriptions or not self._wanted(key):
                continue
            if counts[key[0]] >= MAX_TRACKS:
                self._refuse(key)
                continue
            counts[key[0]] += 1
            self._too_many.discard(key)
            buffer = BUFFER_SIZE if len(self._subscriptions) < _LARGE_BUFFERS else _SMALL_BUFFER
            self._subscriptions[key] = self._connection.start(self._read(key, track, buffer))
        for key, task in list(self._subscriptions.items()):
            if key not in self._remote or not self._wanted(key):
                del self._subscriptions[key]
                task.cancel()

    def _refuse(self, key: tuple[str, str]) -> None:
        if key in self._too_many:
            return
        self._too_many.add(key)
        publisher, name = key
        error = f"not subscribed: {publisher!r} publishes more than {MAX_TRACKS} data tracks"
        self._log.add(Event("data_track", "in", sender=publisher, topic=name, status="dropped", error=error))

    def _wanted(self, key: tuple[str, str]) -> bool:
        publisher, name = key
        return any(each.covers("data_track", name, publisher) for each in self._log.interests)

    async def _read(self, key: tuple[str, str], track: rtc.RemoteDataTrack, buffer: int) -> None:
        publisher, name = key
        while self._remote.get(key) is track:
            stream = track.subscribe(buffer_size=buffer)
            try:
                async for frame in stream:
                    self._log.add(
                        Event(
                            "data_track",
                            "in",
                            sender=publisher,
                            topic=name,
                            data=frame.payload,
                            size=len(frame.payload),
                            timestamp=frame.user_timestamp,
                        )
                    )
                reason = "the subscription ended"
            except rtc.SubscribeDataTrackError as error:
                reason = error.message
            finally:
                stream.close()
            # A full reconnect ends subscriptions, although tracks continue: subscribe again while the track exists.
            await asyncio.sleep(_RESUBSCRIBE_PAUSE)
            if self._remote.get(key) is track:
                self._log.add(
                    Event(
                        "data_track",
                        "in",
                        sender=publisher,
                        topic=name,
                        status="failed",
                        error=f"{reason}; subscribing again",
                    )
                )

    async def _restored(self, anew: bool) -> None:
        for key in [key for key, track in self._remote.items() if not track.is_published()]:
            del self._remote[key]
        self._too_many &= set(self._remote)
        if anew:
            await self._publish_again()
        else:
            await self._define_again()
        self._update()

    async def _define_again(self) -> None:
        """The SDK publishes its tracks again by itself, but the server forgets the schemas of the earlier session."""
        for track in list(self._local.values()):
            if track.schema is None:
                continue
            try:
                await self._define(track.name, track.schema)
            except NotConnectedError:
                raise
            except LknbError as error:
                self._log.add(
                    Event("data_track", "out", topic=track.name, status="failed", error=f"schema not restored: {error}")
                )

    async def _publish_again(self) -> None:
        for name, track in list(self._local.items()):
            try:
                track._replace(await self._publish(name, (track.encoding, track.schema)))
            except NotConnectedError:
                raise
            except LknbError as error:
                track._replace(None)
                self._local.pop(name, None)
                self._log.add(
                    Event("data_track", "out", topic=name, status="failed", error=f"not published again: {error}")
                )

    def _permissions_changed(self) -> None:
        """The server unpublishes the tracks of a participant without the grant, and does not say so."""
        if not self._connection.may("canPublishData"):
            for track in self._local.values():
                track._is_denied = True
        elif any(track._is_denied for track in self._local.values()):
            self._connection.start(self._publish_denied())

    async def _publish_denied(self) -> None:
        denied = [track for track in self._local.values() if track._is_denied]
        for track in denied:
            with contextlib.suppress(LknbError):
                await track._unpublish()
        with contextlib.suppress(NotConnectedError):  # the next session publishes them
            await self._publish_again()
        for track in denied:
            track._is_denied = not self._connection.may("canPublishData")
