"""Requests to the SDK's native library, and the events with which it answers (FFI, as the SDK calls it).

The SDK puts each of the process's events into the queue of each room and of each pending call, so that deliveries fall
with the square of the number of rooms. Here, an event goes only to whom its request or handle belongs.

Requests may be made on any thread. The library takes a handle, a number that it looks up in a concurrent table, and
bytes, which it copies before the request returns; no Python object of the SDK is touched. A handle that is gone makes
the request fail and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from livekit.rtc._ffi_client import FfiClient, FfiQueue
from livekit.rtc._proto.ffi_pb2 import FfiEvent, FfiRequest

from lknb.replies import Reply

T = TypeVar("T")

# Far from the ids that the library itself counts up from 1.
_ids = itertools.count(2**62)

# Events that belong to an object: the field with its handle.
_HANDLES = {
    "room_event": "room_handle",
    "rpc_method_invocation": "local_participant_handle",
    "text_stream_reader_event": "reader_handle",
    "byte_stream_reader_event": "reader_handle",
    "data_track_stream_event": "stream_handle",
}

# Events of streams for an older interface of the SDK, which comes beside the readers and is not used any more.
_UNUSED = frozenset({"stream_header_received", "stream_chunk_received", "stream_trailer_received"})

Subscription = tuple[Any, asyncio.AbstractEventLoop, Callable[[Any], bool] | None]


class RequestError(Exception):
    """The library did not accept a request: what it belongs to has ended."""


class Dispatcher(FfiQueue[FfiEvent]):
    """The SDK's queue of events, in which whoever waits for an event is found by a key.

    Subscribers of the SDK that have claimed nothing get every event that nobody has claimed, as before.
    """

    def __init__(self, replaced: FfiQueue[FfiEvent]) -> None:
        self._lock = replaced._lock
        self._subscribers: list[Any] = replaced._subscribers
        self._claims: dict[tuple[str, int], Subscription] = {}
        self._claimed: dict[Any, list[tuple[str, int]]] = {}
        # Nobody waits for the answer of a request whose reply is gone.
        self._replies: weakref.WeakValueDictionary[int, Reply[Any]] = weakref.WeakValueDictionary()

    def put(self, item: FfiEvent) -> None:
        """Pass an event on; called on a thread of the library."""
        kind = item.WhichOneof("message") or ""
        message = getattr(item, kind, None)
        handle = _HANDLES.get(kind)
        if handle is None:
            reply = self._replies.pop(getattr(message, "async_id", 0), None)
            if reply is not None:
                reply.settle(message)
                return
        with self._lock:  # so that no event comes between a subscription and its claim
            claim = None if handle is None else self._claims.get((kind, getattr(message, handle)))
            if claim is None:
                super().put(item)
                return
        if kind == "room_event" and message is not None and message.WhichOneof("message") in _UNUSED:
            return
        queue, loop, _ = claim
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:
            pass  # the loop is closed, and with it whoever waited

    def claim(self, queue: Any, *keys: tuple[str, int]) -> None:
        """Have a subscribed queue get the events of these kinds and handles, and no others."""
        with self._lock:
            for index, subscription in enumerate(self._subscribers):
                if subscription[0] is queue:
                    del self._subscribers[index]
                    self._claims.update(dict.fromkeys(keys, subscription))
                    self._claimed[queue] = list(keys)
                    return

    def unsubscribe(self, queue: Any) -> None:
        """End a subscription, and what it has claimed."""
        with self._lock:
            for key in self._claimed.pop(queue, ()):
                self._claims.pop(key, None)
        super().unsubscribe(queue)

    def request(self, name: str, request: FfiRequest, read: Callable[[Any], T]) -> Reply[T]:
        """Make the request whose fields are in `request.NAME`; the reply is what `read` makes of the answer.

        Raises:
            RequestError: if the library did not accept it.
        """
        number = next(_ids)
        getattr(request, name).request_async_id = number
        reply = Reply(read)
        self._replies[number] = reply
        try:
            FfiClient.instance.request(request)
        except AssertionError:  # the SDK's, for a request that the library refuses
            raise RequestError(f"the SDK did not accept {name}") from None
        return reply

    @property
    def subscription_count(self) -> int:
        """The number of queues that get events."""
        return len(self._subscribers) + len(self._claimed)


_lock = threading.Lock()


def dispatcher() -> Dispatcher:
    """This process's dispatcher, which takes the place of the SDK's queue."""
    client = FfiClient.instance
    queue = client._queue
    if not isinstance(queue, Dispatcher):
        with _lock:
            queue = client._queue
            if not isinstance(queue, Dispatcher):
                queue = client._queue = Dispatcher(queue)
    return queue
