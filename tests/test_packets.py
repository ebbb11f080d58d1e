"""Data packets: reliable and lossy, by topic and recipient, in order, and what is rejected before sending."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from typing import Any

import pytest
from livekit import api
from peers import PlainPeer
from waiting import eventually

import lknb
from lknb import server

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]

EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize("reliable", [True, False])
def test_plain_peer_receives_packets(alice: lknb.Room, peer: Peers, reliable: bool) -> None:
    plain = peer()
    # A lossy packet can get lost, even on loopback if the machine is busy.
    sent = got = None
    for patience in (1,) * (0 if reliable else 9) + (10,):
        sent = alice.publish_data(EVERY_BYTE, topic="imu", reliable=reliable, to="peer")
        try:
            got = plain.wait("data", topic="imu", timeout=patience)
            break
        except AssertionError:
            if patience > 1:
                raise
    assert sent is not None
    assert got is not None
    assert (got["data"], got["sender"], got["reliable"]) == (EVERY_BYTE, "alice", reliable)
    assert (sent.data, sent.size, sent.to, sent.status, sent.reliable) == (EVERY_BYTE, 256, ("peer",), "ok", reliable)


@pytest.mark.parametrize("reliable", [True, False])
def test_receives_packets_from_plain_peer(alice: lknb.Room, peer: Peers, reliable: bool) -> None:
    inbox, plain = alice.listen("data", topic="imu"), peer()

    def publish() -> int:
        plain.call("publish_data", data=EVERY_BYTE, topic="imu", reliable=reliable, to=["alice"])
        return len(inbox)

    if reliable:
        publish()
    else:  # any of them can get lost
        eventually(publish)
    event = inbox.next()
    assert (event.data, event.sender, event.topic, event.size) == (EVERY_BYTE, "peer", "imu", 256)
    assert (event.reliable, event.direction, event.status) == (reliable, "in", "ok")


@pytest.mark.parametrize("payload", [b"", b"x", bytearray(b"ba"), memoryview(b"mv"), "Grüße ☃"])
def test_payload_can_be_bytes_or_str(alice: lknb.Room, bob: lknb.Room, payload: Any) -> None:
    inbox = bob.listen("data")
    alice.publish_data(payload, topic="t")
    assert inbox.next().data == (payload.encode() if isinstance(payload, str) else bytes(payload))


def test_handlers_filter_by_topic(alice: lknb.Room, peer: Peers) -> None:
    heard: queue.Queue[tuple[str, bytes, str]] = queue.Queue()

    @alice.on_data("imu")
    def imu(data: bytes, sender: str) -> None:
        heard.put(("imu", data, sender))

    @alice.on_data()
    def everything(data: bytes, event: lknb.Event) -> None:
        heard.put((f"any:{event.topic}", data, event.sender or ""))

    plain = peer()
    eventually(lambda: "peer" in alice.participants)  # the SDK gives no name for participants it does not know yet
    plain.call("publish_data", data=b"1", topic="imu")
    assert {heard.get(timeout=10), heard.get(timeout=10)} == {("imu", b"1", "peer"), ("any:imu", b"1", "peer")}
    plain.call("publish_data", data=b"2")
    assert heard.get(timeout=10) == ("any:", b"2", "peer")
    assert heard.empty()


@pytest.mark.parametrize(
    ("to", "receivers"), [("bob", {"bob"}), (["bob", "peer"], {"bob", "peer"}), (None, {"bob", "carol", "peer"})]
)
def test_only_recipients_receive_it(
    alice: lknb.Room, bob: lknb.Room, join: Join, peer: Peers, to: Any, receivers: set[str]
) -> None:
    inboxes = {room.identity: room.listen("data") for room in (bob, join("carol"))}
    plain = peer()
    eventually(lambda: {"carol", "peer"} <= set(alice.participants))
    alice.publish_data(b"for you", to=to)
    alice.publish_data(b"for all")  # packets arrive in order: a participant with this one would have received the first
    got = {who: inbox.next().data for who, inbox in inboxes.items()} | {"peer": plain.wait("data")["data"]}
    assert {who for who, data in got.items() if data == b"for you"} == receivers


def test_unknown_recipient_is_an_error(alice: lknb.Room, bob: lknb.Room) -> None:
    with pytest.raises(lknb.UnknownParticipantError, match="'bop'"):
        alice.publish_data(b"x", to="bop")
    assert not alice.events.filter("data")


@pytest.mark.slow("sends 500 packets")
def test_concurrent_packets_arrive_in_call_order(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    messages = [number.to_bytes(2, "big") for number in range(500)]

    async def main() -> None:
        await asyncio.gather(*(alice.aio.publish_data(message, topic="many") for message in messages))

    asyncio.run(main())
    eventually(lambda: len(plain.seen("data", topic="many")) == 500, within=30)
    assert [each["data"] for each in plain.seen("data", topic="many")] == messages
    assert [event.data for event in alice.events.filter("data")] == messages


def test_packets_from_plain_peer_arrive_in_order(alice: lknb.Room, peer: Peers) -> None:
    inbox = alice.listen("data", topic="many")
    peer().call("publish_many", count=500, size=100, topic="many")
    assert [int.from_bytes(inbox.next().data[:8], "big") for _ in range(500)] == list(range(500))


def send_by_api(livekit: server.RunningServer, room_name: str) -> None:
    async def send() -> None:
        async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as lkapi:
            await lkapi.room.send_data(api.SendDataRequest(room=room_name, data=EVERY_BYTE, topic="ops"))

    asyncio.run(send())


def test_server_packets_have_no_sender(alice: lknb.Room, livekit: server.RunningServer, room_name: str) -> None:
    inbox = alice.listen("data")
    send_by_api(livekit, room_name)
    event = inbox.next()
    assert (event.sender, event.topic, event.data) == (None, "ops", EVERY_BYTE)


def test_a_packet_of_a_participant_that_is_not_announced_yet_has_its_sender(
    alice: lknb.Room, peer: Peers, livekit: server.RunningServer, room_name: str
) -> None:
    from_peer = alice.listen("data", sender="peer")
    everything = alice.listen("data")
    plain = peer(announce=False)
    for number in range(20):
        plain.call("publish_data", data=bytes([number]), topic="first")
    assert [from_peer.next(timeout=10).data for _ in range(20)] == [bytes([number]) for number in range(20)]
    assert [everything.next(timeout=10).sender for _ in range(20)] == ["peer"] * 20
    eventually(lambda: "peer" in alice.participants)
    send_by_api(livekit, room_name)
    assert everything.next().sender is None


def test_a_packet_of_one_of_two_unannounced_participants_has_no_sender(alice: lknb.Room, peer: Peers) -> None:
    everything = alice.listen("data")
    first = peer("first", announce=False)
    second = peer("second", announce=False)
    second.call("publish_data", data=b"whose?")
    sender = everything.next().sender
    assert sender is None or (sender == "second" and {"first", "second"} & set(alice.participants))
    first.call("set_attributes", attributes={"known": "1"})
    eventually(lambda: "first" in alice.participants)
    second.call("publish_data", data=b"hers")
    assert everything.next().sender == "second"


def test_packets_keep_their_order_while_a_sender_is_looked_up(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    everything = alice.listen("data")
    plain = peer(announce=False)
    for number in range(20):
        plain.call("publish_data", data=b"%d" % (2 * number))
        bob.publish_data(b"%d" % (2 * number + 1))
    received = [everything.next(timeout=10) for _ in range(40)]
    for sender, begin in (("peer", 0), ("bob", 1)):
        assert [int(event.data) for event in received if event.sender == sender] == list(range(begin, 40, 2))


# Rejected arguments


@pytest.mark.parametrize("reliable", [True, False])
def test_largest_packet_is_sent(alice: lknb.Room, peer: Peers, reliable: bool) -> None:
    plain = peer()
    with pytest.raises(lknb.PayloadTooLargeError, match=r"Use send_bytes or send_text") as refused:
        alice.publish_data(bytes(64_000), topic="big", reliable=reliable)
    assert refused.value.size == 64_000
    assert 63_900 <= refused.value.limit < 64_000
    assert f"the limit is {refused.value.limit:,}." in str(refused.value)
    assert not alice.events.filter("data")
    assert alice.publish_data(bytes(63_900), topic="big", reliable=reliable).status == "ok"
    if reliable:
        alice.publish_data(bytes(refused.value.limit), topic="big")
        sizes = [plain.wait("data", topic="big")["size"] for _ in range(2)]
        assert sizes == [63_900, refused.value.limit]


def test_long_topic_reduces_payload_limit(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    with pytest.raises(lknb.PayloadTooLargeError) as refused:
        alice.publish_data(bytes(63_900), topic="t" * 1000, to="peer")
    alice.publish_data(bytes(refused.value.limit), topic="t" * 1000, to="peer")
    assert plain.wait("data")["size"] == refused.value.limit


@pytest.mark.parametrize("payload", [{"a": 1}, 7, None, [1, 2]])
def test_rejects_non_bytes_payload(alice: lknb.Room, payload: Any) -> None:
    with pytest.raises(TypeError, match=r"payload must be bytes or str, not "):
        alice.publish_data(payload)
    assert not alice.events.filter("data")


def test_send_without_grant_is_denied(
    alice: lknb.Room, livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    inbox = alice.listen("data")
    mute = token("mute", can_publish_data=False)
    with lknb.connect(room_name, url=livekit.url, token=mute) as room:
        with pytest.raises(lknb.PermissionDeniedError, match="Sending packets needs the grant 'canPublishData'") as no:
            room.publish_data(b"x")
        assert no.value.grant == "canPublishData"
        assert not room.events.filter("data")
    assert len(inbox) == 0
