"""How a send is recorded, and which error an SDK refusal becomes."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc
from livekit.rtc.participant import PublishDataError, PublishDataTrackError

import lknb
from lknb.errors import SendError
from lknb.event import Event
from lknb.events import EventLog
from lknb.systems.sending import recording, refusals_as


def seen(log: EventLog) -> list[tuple[Event, str]]:
    """Return the events that a subscriber of the log receives, with their status at that time."""
    events: list[tuple[Event, str]] = []
    log.subscribe(lambda event: events.append((event, event.status)))
    return events


def test_open_event_is_added_immediately_and_finished_later() -> None:
    log, event = EventLog(), Event("text", "out", status="open")
    events = seen(log)
    with recording(log, event):
        assert list(log) == [event]
    assert events == [(event, "open"), (event, "ok")]
    assert event.duration is not None


@pytest.mark.parametrize("fails", [False, True])
def test_other_event_is_added_once_at_end(fails: bool) -> None:
    log, event = EventLog(), Event("data", "out")
    events = seen(log)
    try:
        with recording(log, event):
            assert not log
            if fails:
                raise OSError("no route")
    except OSError:
        assert fails
    assert events == [(event, "failed" if fails else "ok")]
    assert event.error == ("no route" if fails else None)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (rtc.StreamError("too slow"), lknb.StreamError),
        (PublishDataError("too slow"), SendError),
        (PublishDataTrackError("too slow"), SendError),
    ],
)
def test_sdk_error_becomes_lknb_error(refusal: Exception, error: type[Exception]) -> None:
    log, event = EventLog(), Event("text", "out", status="open")
    with (
        pytest.raises(error, match=r"^It was not sent: too slow\.$") as caught,
        recording(log, event, "It was not sent"),
    ):
        raise refusal
    assert type(caught.value) is error
    assert caught.value.__suppress_context__
    assert (event.status, event.error) == ("failed", "too slow")
    with pytest.raises(error, match=r"^It was not opened: too slow\.$"), refusals_as("It was not opened"):
        raise refusal


def test_error_without_text_is_recorded_by_type() -> None:
    log, event = EventLog(), Event("text", "out", status="open")
    with pytest.raises(MemoryError), recording(log, event):
        raise MemoryError
    assert (event.status, event.error) == ("failed", "MemoryError")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_interrupted_send_is_recorded_as_such(stop: type[BaseException]) -> None:
    log, event = EventLog(), Event("text", "out", status="open")
    with pytest.raises(stop), recording(log, event):
        raise stop
    assert (event.status, event.error) == ("failed", "interrupted; it may or may not have arrived")


def test_reason_precedes_error_text() -> None:
    log, event = EventLog(), Event("rpc", "in", status="open")

    def fail() -> None:
        with recording(log, event) as outcome:
            outcome.reason = "ValueError in the handler"
            raise ValueError("secret")

    with pytest.raises(ValueError, match="secret"):
        fail()
    assert event.error == "ValueError in the handler"


def test_rpc_error_code_and_data_are_recorded() -> None:
    log, event = EventLog(), Event("rpc", "out", status="open")
    with pytest.raises(lknb.RpcError), recording(log, event):
        raise lknb.RpcError(2000, "not today", '{"until": 1}')
    assert event.attributes == {"code": "2000", "data": '{"until": 1}'}
    assert event.error == "2000 APPLICATION: not today"
