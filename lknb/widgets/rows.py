"""The JSON that parts send to browsers: rows, values and answers. `rows.js` declares the same; a test compares them.

Times are milliseconds since 1970 and sizes are bytes, unless stated otherwise. `buffer` holds the bytes of an answer,
which travel beside its JSON.
"""

# Annotations are evaluated here: otherwise `NotRequired` would not count in `__required_keys__`.

from typing import Literal, NotRequired, TypedDict

from lknb.event import Direction, Status

Content = Literal["text", "json", "hex", "image", "file"]
"""What a preview shows."""

Person = tuple[str, str]
"""A participant's identity and name."""


class PeopleValues(TypedDict):
    """Whom a part can send to or call."""

    people: list[Person]
    more_people: int  # not listed


class FilePiece(TypedDict):
    """Part of a file."""

    buffer: bytes


# Panel


class RecordingRow(TypedDict):
    """A recording in progress."""

    file: str
    seconds: int
    size: int
    dropped: int  # events that could not be written in time


class RecordingStarted(TypedDict):
    """A recording that has begun."""

    file: str


class PanelValues(TypedDict):
    """The room, and the state of the connection."""

    room: str
    identity: str
    name: str  # empty if it equals the identity
    state: str
    reason: str
    participants: int | None  # None once the room is closed
    ended: list[str]  # the names of the handlers that ended when this panel left
    recordings: list[RecordingRow]


# Feed


class FeedFilter(TypedDict, total=False):
    """The filter that all views of a feed share."""

    kinds: list[str]
    senders: list[str]
    topic: str
    text: str


class FeedOnly(TypedDict):
    """What the feed was limited to when it was made."""

    kinds: list[str]  # empty for all
    topic: str | None
    sender: str | None


class FeedValues(TypedDict):
    """Counters and filters of a feed."""

    evicted: int  # events that the log no longer has
    matched: int
    skipped: int  # events that came and went between two batches
    rate: float  # events per second
    filter: FeedFilter
    only: FeedOnly
    kinds: list[str]  # all that can be filtered for
    senders: list[str]  # those of the events so far
    limit: int  # rows that the kernel keeps


class EventRow(TypedDict):
    """An event, with a preview of its payload."""

    time: float
    direction: Direction
    kind: str
    sender: str | None
    to: list[str]
    topic: str
    size: int | None
    transferred: int
    status: Status
    error: str | None
    duration: float | None  # seconds
    reliable: bool | None
    content: Content
    preview: str  # the value, if the topic has a decoder that could read it
    value_error: str | None  # why it could not
    more: bool  # whether the preview is only the beginning


class EventDetails(TypedDict, total=False):
    """What only an opened event has."""

    attributes: dict[str, str]
    type: str | None  # an image's media type
    result: str
    value: str  # what the topic's decoder makes of the payload, as JSON


class WholeEvent(EventRow, EventDetails):
    """An opened event, with an image's bytes."""

    buffer: NotRequired[bytes]


class FeedDownload(TypedDict):
    """A file of events."""

    name: str
    left: int  # older events that did not fit
    buffer: bytes


# Replay


class ReplayValues(TypedDict):
    """How far a replay is."""

    state: str
    error: str | None
    position: float  # seconds of the recording
    duration: float
    speed: float | None  # None for as fast as it goes
    sent: int
    skipped: list[tuple[str, int]]  # reasons, with counts
    failed: int
    errors: list[str]
    late: list[float] | None  # seconds: the median, the 99th percentile, the longest


# Uploads, which chat and transfers share


class UploadStart(TypedDict):
    """A new upload."""

    key: str
    piece: int  # bytes of the file in one message


# Chat


class ChatValues(PeopleValues):
    """The state of the chat."""

    state: str
    growing: dict[str, int]  # bytes received so far of the open messages, by key
    head_length: int  # characters of a text that come with its row
    piece_length: int  # characters in a piece
    text_limit: int  # characters of a message
    dropped: int  # messages that are no longer in the chat
    unreadable: int


class QuoteRow(TypedDict):
    """The message that another one answers."""

    key: str | None  # None if the message is not in the chat
    name: str
    text: str


class AttachmentRow(TypedDict):
    """A file of a message. One that has not begun to arrive has only an id, a name and a status."""

    id: str
    name: str
    status: Status | Literal["missing"]
    size: NotRequired[int | None]
    transferred: NotRequired[int]
    error: NotRequired[str | None]
    available: NotRequired[bool]  # whether it can be downloaded
    evicted: NotRequired[bool]  # whether it once could be
    type: NotRequired[str | None]  # the media type of an image to show


class MessageRow(TypedDict):
    """A message, with the beginning of its text."""

    time: float
    sender: str | None
    name: str
    own: bool
    to: list[str]
    more_to: int
    text: str
    length: int  # characters
    cut: int  # characters that the room's log no longer has
    piece: str  # the name that its pieces' keys begin with
    size: int
    open: bool
    status: Status
    error: str | None
    trouble: str | None  # why the last edit failed
    edited: bool
    can_reply: bool
    can_edit: bool
    reply: QuoteRow | None
    files: list[AttachmentRow]


class PieceRow(TypedDict):
    """Part of a long text."""

    text: str


class MessageText(TypedDict):
    """The text of a message, up to the limit."""

    text: str
    more: int  # characters beyond the limit


# Participants


class Beginning(TypedDict):
    """The beginning of a text."""

    text: str
    more: bool  # whether the text goes on


class EditableText(Beginning):
    """The beginning of a text that can be edited."""

    checksum: int  # of the whole text


class RoomMetadata(EditableText):
    """The room's metadata."""

    changed: float


class ParticipantsValues(TypedDict):
    """Counters, and the state that this participant can edit."""

    identity: str
    state: str
    total: int
    matching: int
    filter: str
    name: str
    metadata: EditableText
    room_metadata: RoomMetadata
    refused: str  # why this participant may not change its own state; empty if it may
    room_refused: str
    attributes: int
    size: int  # of all attributes
    limit: int  # for the size


class AttributeRow(TypedDict):
    """An attribute of a participant. A deleted one has no text."""

    key: str
    changed: float  # 0 if it has not just changed
    text: NotRequired[str]
    more: NotRequired[bool]
    deleted: NotRequired[bool]


class PersonChanges(TypedDict, total=False):
    """When a participant's state has just changed."""

    name: float
    metadata: float
    permissions: float


class PersonRow(TypedDict):
    """A participant."""

    identity: str
    name: str
    you: bool
    kind: str
    state: str
    joined: float | None
    quality: str
    permissions: dict[str, bool]
    tracks: list[str]
    more_tracks: int
    attributes: list[AttributeRow]
    more_attributes: int
    metadata: Beginning
    changed: PersonChanges


class LeftRow(TypedDict):
    """A participant who has just left."""

    identity: str
    name: str
    left: float


class OwnAttributeRow(TypedDict):
    """An attribute of this participant."""

    value: str
    changed: float


class Confirmation(TypedDict):
    """When the server confirmed a change."""

    confirmed: float


# RPC


class RpcValues(PeopleValues):
    """Whom and what to call, and the limits of a call."""

    room: str
    connected: bool
    methods: list[tuple[str, list[str]]]  # each with those who have answered it
    timeout: float  # seconds, the default
    timeout_limit: float  # seconds
    method_limit: int  # bytes of a method's name
    text_limit: int  # characters of a payload or answer


class CallRow(TypedDict):
    """A call of a remote method."""

    time: float
    to: str
    method: str
    payload: str
    raw: bool  # whether payload and answer are plain text
    answer: str
    status: Status
    code: str
    name: str  # of the error
    message: str
    data: str
    duration: float | None  # seconds
    elapsed: float | None  # seconds, while it is in progress
    more: bool  # whether a text is only the beginning
    cut: bool  # whether the payload is too long to call with again


class CallAnswer(TypedDict):
    """A call that has ended, and its key in the list."""

    key: str
    row: CallRow


class MethodRow(TypedDict):
    """A method that this notebook serves."""

    method: str
    function: str
    calls: int
    errors: int
    failed: int
    running: int
    waiting: int
    last: float | None
    took: float | None  # seconds
    mean: float | None  # seconds
    longest: float | None  # seconds
    callers: list[str]


# Transfers


class TransfersValues(PeopleValues):
    """Counters and limits of transfers."""

    total: int
    piece: int  # bytes of a file in one message
    upload_limit: int
    download_limit: int
    preload_limit: int  # of an image that is loaded without a request


class TransferRow(TypedDict):
    """A byte stream."""

    time: float
    direction: Direction
    name: str
    sender: str
    to: list[str]
    recipients: int
    topic: str
    size: int | None
    transferred: int
    status: Status
    error: str | None
    duration: float | None  # seconds
    rate: int | None  # bytes per second
    left: float | None  # seconds
    file: bool  # whether it can be saved
    verified: bool
    image: bool  # whether it can be shown
    table: bool  # whether its first rows can be shown
    saved: str | None  # the path of its copy


class SavedFile(TypedDict):
    """Where a file was saved."""

    path: str


class Image(TypedDict):
    """An image that is safe to show."""

    type: str
    buffer: bytes


class TablePreview(TypedDict):
    """The first rows of a table."""

    columns: list[str]
    types: list[str]
    rows: list[list[str | None]]
    row_count: int  # of the whole table
    column_count: int
    size: int  # bytes in memory


# Telemetry


class TelemetryOnly(TypedDict):
    """What the plot was limited to when it was made."""

    fields: list[str]
    topic: str | None


class TelemetryValues(TypedDict):
    """Fields, sources and counters."""

    fields: list[str]
    units: list[str]  # of each field, "" if unknown
    sources: list[tuple[str, str]]  # sender and topic
    total: int  # samples
    rate: float  # samples per second
    window: int  # samples that are shown
    thinned: int
    undecoded: int
    reason: str
    refused: tuple[int, list[str]]  # a count, and some of the names
    only: TelemetryOnly


class BatchRow(TypedDict):
    """Samples as columns: little-endian numbers in base64."""

    count: int
    time: str
    source: str
    columns: list[str]
    snapshot: bool  # whether it replaces all batches before it


class Library(TypedDict):
    """Perspective's style, and its module as bytes."""

    style: str
    buffer: bytes


# Timeline


class TimelineValues(TypedDict):
    """What the marks of a timeline refer to, and how much of it there is."""

    room: str
    identity: str
    live: bool  # whether more can happen
    recorded: tuple[float, float] | None  # when a recording begins and ends
    lanes: list[str]  # the participants by the number of their lane; the room itself is ""
    others: bool  # whether one more lane has further participants
    topics: list[str]  # by their number
    kinds: list[str]  # by their number
    statuses: list[str]  # by their number
    first: int  # the position of the oldest event that the kernel keeps
    total: int
    left_out: int  # older events
    batch: int  # the number of the newest batch
    now: float
    loading: float | None  # how much of a recording has been read, from 0 to 1
    trouble: str


class TimelineBatch(TypedDict):
    """Events that are new or have changed, as packed columns in base64: see `timeline_columns.py`."""

    count: int
    columns: str
    whole: bool  # whether these are all that the kernel keeps


class TimelineEvents(TypedDict):
    """The same on request, as bytes."""

    count: int
    batch: int  # the number of the newest batch, whose events are among these
    next: int | None  # the position to go on with
    buffer: bytes


class TimelinePerson(TypedDict):
    """A participant who was there."""

    identity: str
    name: str
    metadata: Beginning
    attributes: list[tuple[str, Beginning]]
    more_attributes: int


class TimelineState(TypedDict):
    """The state of the room at a moment of a recording."""

    time: float
    metadata: Beginning
    people: list[TimelinePerson]
    more_people: int
