"""Rights that are taken away and given back while the room is open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from livekit import api
from waiting import eventually

import lknb
from lknb import server

Permit = Callable[..., None]


@pytest.fixture
def permit(livekit: server.RunningServer) -> Permit:
    """Return a function that sets a participant's rights, as a backend does, and waits until its room knows."""

    def change(room: lknb.Room, **rights: bool) -> None:
        wanted: dict[str, Any] = {
            "can_subscribe": True,
            "can_publish": True,
            "can_publish_data": True,
            "can_update_metadata": True,
        }
        wanted.update(rights)

        async def send() -> None:
            async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as lkapi:
                await lkapi.room.update_participant(
                    api.UpdateParticipantRequest(
                        room=room.name, identity=room.identity, permission=api.ParticipantPermission(**wanted)
                    )
                )

        asyncio.run(send())
        data, state = wanted["can_publish_data"], wanted["can_update_metadata"]
        eventually(
            lambda: (
                (has := room.participants[room.identity].permissions)["canPublishData"] is data
                and has["canUpdateOwnMetadata"] is state
            )
        )

    return change


def test_open_writer_fails_when_its_right_is_taken(alice: lknb.Room, bob: lknb.Room, permit: Permit) -> None:
    out = alice.stream_text(topic="story").__enter__()
    out.write("once")
    permit(alice, can_publish_data=False)
    assert out.event.status == "failed"
    assert "canPublishData" in (out.event.error or "")
    with pytest.raises(lknb.PermissionDeniedError, match="was taken from this participant"):
        out.write("more")
    with pytest.raises(lknb.PermissionDeniedError):
        out.close()


def test_long_transfer_fails_at_the_moment_of_the_change(alice: lknb.Room, bob: lknb.Room, permit: Permit) -> None:
    raised: list[BaseException] = []

    def send() -> None:
        try:
            alice.send_bytes(os.urandom(50_000_000), progress=False)
        except lknb.LknbError as error:
            raised.append(error)

    sending = threading.Thread(target=send)
    sending.start()
    eventually(lambda: any(event.transferred for event in alice.events.filter("bytes", status="open")))
    permit(alice, can_publish_data=False)
    sending.join(5)
    assert isinstance(raised[0], lknb.PermissionDeniedError)
    assert alice.events.filter("bytes")[-1].status == "failed"


def test_frames_need_the_right_to_send(alice: lknb.Room, bob: lknb.Room, permit: Permit) -> None:
    track, frames = alice.publish_data_track("imu"), bob.listen("data_track")
    eventually(lambda: (track.push(b"before"), len(frames))[1])
    permit(alice, can_publish_data=False)
    pushed = len(alice.events.filter("data_track"))
    with pytest.raises(lknb.PermissionDeniedError, match="'imu'"):
        track.push(b"into nothing")
    assert len(alice.events.filter("data_track")) == pushed


def test_track_is_published_again_when_the_right_comes_back(alice: lknb.Room, bob: lknb.Room, permit: Permit) -> None:
    track, frames = alice.publish_data_track("imu"), bob.listen("data_track")
    eventually(lambda: (track.push(b"before"), len(frames))[1])
    permit(alice, can_publish_data=False)
    eventually(lambda: not bob.data_tracks)
    permit(alice)

    def arrives() -> bool:
        with contextlib.suppress(lknb.PermissionDeniedError):  # until it is published again
            track.push(b"after")
        return b"after" in [event.data for event in bob.events.filter("data_track")]

    eventually(arrives)


def test_call_that_cannot_be_answered_is_recorded_as_failed(
    alice: lknb.Room, bob: lknb.Room, permit: Permit, capfd: pytest.CaptureFixture[str]
) -> None:
    ran: list[int] = []

    @bob.rpc("ping")
    def ping() -> None:
        ran.append(1)

    permit(bob, can_publish_data=False)
    with pytest.raises(lknb.RpcError):
        alice.perform_rpc("bob", "ping", timeout=1)
    call = bob.events.filter("rpc")[-1]
    assert (call.status, ran) == ("failed", [])
    assert "canPublishData" in (call.error or "")


def test_attributes_need_their_right(alice: lknb.Room, permit: Permit) -> None:
    permit(alice, can_update_metadata=False)
    with pytest.raises(lknb.PermissionDeniedError, match="canUpdateOwnMetadata"):
        alice.attributes["status"] = "ready"
