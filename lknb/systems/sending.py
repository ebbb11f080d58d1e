"""Records each send as an event, from its start to its outcome, and raises the SDK's refusals as lknb's errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from lknb.errors import LknbError, RpcError, SendError, StreamError
from lknb.event import Event, amend
from lknb.events import EventLog
from lknb.sdk import PublishDataError, PublishDataTrackError
from lknb.sdk import StreamError as SdkStreamError
from lknb.systems.payloads import ERROR_DATA_LIMIT

INTERRUPTED = "interrupted; it may or may not have arrived"
"""The error of an event whose send was cancelled: the SDK finishes what it has accepted."""

# The SDK's exceptions for refusing to send or to publish.
_REFUSALS = (SdkStreamError, PublishDataError, PublishDataTrackError)


@dataclass
class Outcome:
    """How a recorded send ends.

    Attributes:
        reason: recorded on failure instead of the error's own text.
    """

    reason: str | None = None


@contextlib.contextmanager
def recording(log: EventLog, event: Event, failure: str = "") -> Iterator[Outcome]:
    """Record the send in this block: the event ends `ok`, or `failed` with the reason if the block raises.

    An open event is added immediately and finished at the end. Any other event, such as a packet, is added at the end.

    Args:
        log: where to record the event.
        event: the send.
        failure: the start of the error message if the SDK refuses, such as "The packet was not sent".

    Raises:
        StreamError: if the SDK refused a stream.
        SendError: if the SDK refused anything else.
    """
    outcome = Outcome()
    is_open = event.status == "open"
    if is_open:
        log.add(event)
    try:
        yield outcome
    except BaseException as error:
        reason = outcome.reason or _reason(error)
        if isinstance(error, RpcError):
            amend(event, attributes=_details(error))
        if is_open:
            log.finish(event, "failed", reason)
        else:
            amend(event, status="failed", error=reason)
            log.add(event)
        if isinstance(error, _REFUSALS):
            raise refused(failure, error) from None
        raise
    if is_open:
        log.finish(event)
    else:
        log.add(event)


@contextlib.contextmanager
def refusals_as(failure: str) -> Iterator[None]:
    """Raise the SDK's refusals in this block as lknb's errors, with messages that start with `failure`.

    Raises:
        StreamError: if the SDK refused a stream.
        SendError: if the SDK refused anything else.
    """
    try:
        yield
    except _REFUSALS as error:
        raise refused(failure, error) from None


def refused(failure: str, error: Exception) -> LknbError:
    """The lknb error for a refusal by the SDK: `failure`, then the SDK's reason."""
    kind = StreamError if isinstance(error, SdkStreamError) else SendError
    return kind(f"{failure}: {_reason(error)}.")


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit):
        return INTERRUPTED
    if isinstance(error, SdkStreamError):
        return error.description
    if isinstance(error, PublishDataError | PublishDataTrackError):
        return error.message
    return str(error) or type(error).__name__


def _details(error: RpcError) -> dict[str, str]:
    """The parts of an RpcError that programs read: its code, and its data up to LiveKit's limit."""
    details = {"code": str(error.code)}
    if error.data:
        details["data"] = str(error.data)[:ERROR_DATA_LIMIT]
    return details
