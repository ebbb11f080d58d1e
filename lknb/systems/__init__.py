"""LiveKit's six systems, a module each: text and byte streams, RPC, data packets, data tracks, and state.

Each module uses the connection, the log and the handlers, but not the other five.
"""

from __future__ import annotations

from lknb.connection import Connection
from lknb.events import EventLog
from lknb.handlers import Handlers
from lknb.systems.byte_streams import ByteStreams
from lknb.systems.data_tracks import DataTracks
from lknb.systems.packets import Packets
from lknb.systems.rpc import Rpc
from lknb.systems.state import ParticipantState, RoomState
from lknb.systems.streams import OpenStreams
from lknb.systems.text_streams import TextStreams


class Systems:
    """The six systems of one room, and what they share.

    Args:
        connection: the room's connection, with the log and the options.
    """

    def __init__(self, connection: Connection) -> None:
        log: EventLog = connection.log
        max_stream_size = connection.options.max_stream_size
        self.connection = connection
        self.log = log
        self.handlers = Handlers(log)
        self.bytes = ByteStreams(connection, log, self.handlers, max_stream_size)
        self.text = TextStreams(connection, log, self.handlers, max_stream_size, self.bytes.send_attachment)
        self.streams = OpenStreams(log, self.text, self.bytes)
        self.rpc = Rpc(connection, log, self.handlers)
        self.packets = Packets(connection, log)
        self.data_tracks = DataTracks(connection, log)
        self.state = ParticipantState(connection, log)
        self.room_state = RoomState(connection, log)
