"""Text streams: any length, whole or piece by piece, recipients, aborts, and limits."""

from __future__ import annotations

import asyncio
import hashlib
import os
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from peers import PlainPeer, mint
from waiting import eventually

import lknb
from lknb import server

Join = Callable[..., lknb.Room]
Peers = Callable[..., PlainPeer]

AT_DEATH = {"text": 7, "bytes": 5}


@pytest.fixture(scope="module", autouse=True)
def streams_of_a_killed_peer(livekit: server.RunningServer) -> Iterator[lknb.Inbox]:
    """Listens to the open text and byte streams of a peer that is killed mid-stream.

    The server notices the death after 21 to 25 s, so the peer dies before the first test and the last one checks.
    """
    name = f"test-{os.getpid()}-killed"
    with (
        lknb.connect(name, "witness") as room,
        PlainPeer(livekit.url, mint(livekit.api_key, livekit.api_secret, name, "peer")) as plain,
    ):
        inbox = room.listen(("text", "bytes"))
        plain.connect()
        text = plain.call("open_text", topic="llm")
        plain.call("write_text", handle=text, text="half a ")
        blob = plain.call("open_bytes", name="log.bin", total_size=1000, topic="files")
        plain.call("write_bytes", handle=blob, data=b"12345")
        eventually(lambda: {each.kind: each.transferred for each in room.events.filter(("text", "bytes"))} == AT_DEATH)
        plain.kill()
        yield inbox


# Whole


@pytest.mark.parametrize("text", ["", "hi", "Grüße ☃ 👩‍🚀 \x00 \u202e", "line\r\nline\n"])
def test_text_arrives_unchanged(alice: lknb.Room, bob: lknb.Room, text: str) -> None:
    inbox = bob.listen("text", topic="lk.chat")
    sent = alice.send_text(text)
    event = inbox.next()
    assert (event.data, event.sender, event.status) == (text, "alice", "ok")
    assert (event.id, event.size) == (sent.id, len(text.encode()))
    assert (sent.direction, sent.data, sent.status) == ("out", text, "ok")


def test_plain_peers_and_lknb_exchange_text(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    sent = alice.send_text("Grüße ☃", topic="chat", to="peer", attributes={"lang": "de"})
    got = plain.wait("text", topic="chat")
    assert (got["text"], got["sender"], got["stream_id"], got["error"]) == ("Grüße ☃", "alice", sent.id, None)
    assert got["attributes"] == {"lang": "de"}

    inbox = alice.listen("text", topic="chat")
    answer = plain.call("send_text", text="☃ Grüße", topic="chat", to=["alice"], attributes={"lang": "de"})
    event = inbox.next()
    assert (event.data, event.sender, event.id) == ("☃ Grüße", "peer", answer["stream_id"])
    assert event.attributes == {"lang": "de"}


@pytest.mark.slow("moves a megabyte or more")
def test_plain_peer_receives_megabytes(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    text = "".join(hashlib.sha256(str(number).encode()).hexdigest() + "é☃" for number in range(40_000))
    sent = alice.send_text(text, topic="long")
    got = plain.wait("text", topic="long", timeout=30)
    assert (got["size"], got["sha256"]) == (len(text.encode()), hashlib.sha256(text.encode()).hexdigest())
    assert sent.size == sent.transferred == len(text.encode()) > 2_500_000


@pytest.mark.slow("moves a megabyte or more")
@pytest.mark.parametrize("compress", [True, False])
def test_receives_long_text_from_plain_peer(alice: lknb.Room, peer: Peers, compress: bool) -> None:
    inbox = alice.listen("text", topic="long")
    sent = peer().call("send_text", random_size=1_000_000, seed=3, topic="long", compress=compress)
    event = inbox.next(timeout=30)
    assert (event.size, hashlib.sha256(event.data.encode()).hexdigest()) == (1_000_000, sent["sha256"])


def test_handler_without_topic_receives_every_topic(alice: lknb.Room, peer: Peers) -> None:
    heard: queue.Queue[tuple[str, str]] = queue.Queue()

    @alice.on_text()
    def any_topic(data: str, event: lknb.Event) -> None:
        heard.put((event.topic, data))

    plain = peer()
    plain.call("send_text", text="a", topic="never heard of")
    plain.call("send_text", text="b", topic="")
    assert {heard.get(timeout=10), heard.get(timeout=10)} == {("never heard of", "a"), ("", "b")}


def test_messages_of_one_sender_stay_in_order(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    inbox, plain = bob.listen("text"), peer()
    eventually(lambda: "peer" in bob.participants)
    for number in range(100):
        alice.send_text(str(number), topic="chat")
    assert [inbox.next().data for _ in range(100)] == [str(number) for number in range(100)]
    for number in range(100):
        plain.call("send_text", text=str(number), topic="chat")
    assert [inbox.next().data for _ in range(100)] == [str(number) for number in range(100)]


def test_open_stream_does_not_delay_others(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("text")
    with alice.stream_text(topic="chat") as out:
        out.write("long ")
        alice.send_text("short", topic="chat")
        assert inbox.next().data == "short"
        out.write("story")
    assert inbox.next().data == "long story"


def test_text_is_logged_without_listener(alice: lknb.Room, peer: Peers) -> None:
    peer().call("send_text", text="unasked", topic="t")
    events = eventually(lambda: alice.events.filter("text", direction="in", status="ok"))
    assert [(event.topic, event.data) for event in events] == [("t", "unasked")]


# Recipients


@pytest.fixture
def three(alice: lknb.Room, bob: lknb.Room, join: Join) -> tuple[lknb.Room, lknb.Room, lknb.Room]:
    """Return alice, bob and carol, who see each other."""
    carol = join("carol")
    eventually(lambda: "carol" in alice.participants)
    return alice, bob, carol


@pytest.mark.parametrize(
    ("to", "receivers"),
    [("bob", {"bob"}), (["bob", "carol"], {"bob", "carol"}), (("carol",), {"carol"}), (None, {"bob", "carol", "peer"})],
)
def test_only_recipients_receive_it(three: tuple[lknb.Room, ...], peer: Peers, to: Any, receivers: set[str]) -> None:
    alice, plain = three[0], peer()
    inboxes = {room.identity: room.listen("text") for room in three[1:]}
    sent = alice.send_text("for you", topic="t", to=to)
    assert set(sent.to) == (receivers if to else set())
    alice.send_text("for all", topic="t")
    count = {who: 1 + (who in receivers) for who in ("bob", "carol", "peer")}
    got = {who: {inbox.next().data for _ in range(count[who])} for who, inbox in inboxes.items()}
    got["peer"] = {plain.wait("text")["text"] for _ in range(count["peer"])}
    assert {who for who, received in got.items() if "for you" in received} == receivers


def test_unknown_recipient_is_an_error(alice: lknb.Room, bob: lknb.Room) -> None:
    with pytest.raises(lknb.UnknownParticipantError, match=r"'bop' is not in room .* did you mean 'bob'\?"):
        alice.send_text("hi", to=["bob", "bop"])
    assert not alice.events.filter("text")


def test_empty_recipient_list_is_rejected(alice: lknb.Room) -> None:
    with pytest.raises(ValueError, match="contains no identity"):
        alice.send_text("hi", to=[])


def test_reply_names_its_original(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("text")
    alice.send_text("question")
    question = inbox.next()
    answers = alice.listen("text")
    assert bob.send_text("answer", reply_to=question).reply_to == question.id
    assert bob.send_text("another", reply_to=question.id).reply_to == question.id
    got = [answers.next(), answers.next()]
    assert [(each.data, each.reply_to) for each in got] == [("answer", question.id), ("another", question.id)]


def test_receiver_sees_which_text_a_reply_answers(
    alice: lknb.Room, bob: lknb.Room, peer: Callable[..., PlainPeer]
) -> None:
    texts = alice.listen("text")
    bob.send_text("from lknb", reply_to="stream-1")
    assert texts.next(timeout=10).reply_to == "stream-1"
    peer("carol").call("send_text", text="from a plain SDK", topic="lk.chat", reply_to="stream-2")
    assert texts.next(timeout=10).reply_to == "stream-2"
    bob.send_text("new")
    assert texts.next(timeout=10).reply_to is None


# Piece by piece


def test_iterable_is_sent_piece_by_piece(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("watch_chunks")

    def tokens() -> Iterator[str]:
        yield "one "
        plain.wait("text_chunk", text="one ")
        yield ""
        yield "two ☃"

    sent = alice.send_text(tokens(), topic="llm", to="peer", attributes={"model": "m"})
    got = plain.wait("text", topic="llm")
    assert (got["text"], got["chunks"], got["attributes"], got["stream_id"]) == (
        "one two ☃",
        2,
        {"model": "m"},
        sent.id,
    )
    assert (sent.data, sent.size, sent.status) == ("one two ☃", len("one two ☃".encode()), "ok")


def test_async_iterable_is_sent_piece_by_piece(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("watch_chunks")
    loops = []

    async def tokens() -> AsyncIterator[str]:
        loops.append(asyncio.get_running_loop())
        yield "one "
        await asyncio.to_thread(plain.wait, "text_chunk", text="one ")
        yield "two"

    async def main() -> asyncio.AbstractEventLoop:
        await alice.aio.send_text(tokens(), topic="llm")
        return asyncio.get_running_loop()

    assert asyncio.run(main()) is loops[0], "an async iterable runs on the loop of the one who made it"
    assert plain.wait("text", topic="llm")["text"] == "one two"
    alice.send_text(tokens(), topic="llm")
    assert plain.wait("text", topic="llm")["text"] == "one two"


def test_writer_sends_piece_by_piece(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    plain.call("watch_chunks")
    with alice.stream_text(topic="llm", to="peer", attributes={"model": "m"}) as out:
        assert plain.wait("text_open")["attributes"] == {"model": "m"}
        for word in ("one ", "two ", "three"):
            out.write(word)
            plain.wait("text_chunk", text=word)
        assert out.event.status == "open"
    assert plain.wait("text")["text"] == "one two three"
    assert (out.event.status, out.event.data, out.event.size) == ("ok", "one two three", 13)


def test_writer_works_on_event_loop(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("text", topic="llm")

    async def main() -> None:
        async with alice.aio.stream_text(topic="llm") as out:
            await out.write("one ")
            await out.write("two")

    asyncio.run(main())
    assert inbox.next().data == "one two"


@pytest.mark.parametrize("is_async", [False, True])
def test_stream_handler_receives_pieces_as_they_arrive(alice: lknb.Room, peer: Peers, is_async: bool) -> None:
    heard: queue.Queue[str] = queue.Queue()

    if is_async:

        @alice.on_text("llm", stream=True)
        async def pieces_async(data: AsyncIterator[str], sender: str) -> None:
            async for piece in data:
                heard.put(f"{sender}: {piece}")
            heard.put("end")
    else:

        @alice.on_text("llm", stream=True)
        def pieces(data: Iterator[str], sender: str) -> None:
            for piece in data:
                heard.put(f"{sender}: {piece}")
            heard.put("end")

    plain = peer()
    handle = plain.call("open_text", topic="llm")
    for word in ("one ", "two "):
        plain.call("write_text", handle=handle, text=word)
        assert heard.get(timeout=10) == f"peer: {word}"
    assert alice.events.filter("text")[0].status == "open"
    plain.call("close_text", handle=handle, attributes={"tokens": "2"})
    assert heard.get(timeout=10) == "end"
    event = alice.events.filter("text")[0]
    assert (event.status, event.data, event.attributes) == ("ok", "one two ", {"tokens": "2"})


def test_stream_handler_may_take_the_first_piece_by_itself(alice: lknb.Room, bob: lknb.Room) -> None:
    heard: queue.Queue[list[str]] = queue.Queue()

    @alice.on_text("llm", stream=True)
    def title_and_body(data: Iterator[str]) -> None:
        title = next(data)
        heard.put([title, "".join(data), next(data, "nothing more")])

    bob.send_text(iter(["# Title ", "the ", "body"]), topic="llm")
    assert heard.get(timeout=10) == ["# Title ", "the body", "nothing more"]


@pytest.mark.parametrize("is_async", [False, True])
def test_streams_are_handled_concurrently(alice: lknb.Room, peer: Peers, is_async: bool) -> None:
    heard: queue.Queue[tuple[str, str]] = queue.Queue()

    if is_async:

        @alice.on_text(stream=True)
        async def pieces_async(data: AsyncIterator[str], event: lknb.Event) -> None:
            async for piece in data:
                heard.put((event.topic, piece))
    else:

        @alice.on_text(stream=True)
        def pieces(data: Iterator[str], event: lknb.Event) -> None:
            for piece in data:
                heard.put((event.topic, piece))

    plain = peer()
    handles = {topic: plain.call("open_text", topic=topic) for topic in ("left", "right")}
    for topic, word in (("left", "1"), ("right", "2"), ("left", "3"), ("right", "4")):
        plain.call("write_text", handle=handles[topic], text=word)
        assert heard.get(timeout=10) == (topic, word)
    for handle in handles.values():
        plain.call("close_text", handle=handle)


def test_streams_of_two_rooms_stay_separate(join: Join, room_name: str) -> None:
    pairs = [(join("alice", room=name), join("bob", room=name)) for name in (room_name, f"{room_name}-other")]
    inboxes = [bob.listen("text") for _, bob in pairs]
    with pairs[0][0].stream_text(topic="t") as first, pairs[1][0].stream_text(topic="t") as second:
        for number in range(10):
            first.write(f"a{number} ")
            second.write(f"b{number} ")
    texts = [inbox.next().data for inbox in inboxes]
    assert texts == ["".join(f"{letter}{number} " for number in range(10)) for letter in "ab"]
    assert [len(bob.events.filter("text")) for _, bob in pairs] == [1, 1]


# Aborted


def test_sender_exception_aborts_stream_for_receivers(alice: lknb.Room, bob: lknb.Room, peer: Peers) -> None:
    plain = peer()
    heard: queue.Queue[str] = queue.Queue()
    messages: queue.Queue[str] = queue.Queue()
    inbox = bob.listen("text")

    @bob.on_text(stream=True)
    def pieces(data: Iterator[str]) -> None:
        try:
            for piece in data:
                heard.put(piece)
        except lknb.StreamError as error:
            heard.put(f"StreamError: {error}")

    @bob.on_text()
    def whole(data: str) -> None:
        messages.put(data)

    def speak() -> None:
        with alice.stream_text(topic="llm") as out:
            out.write("half a ")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        speak()
    assert heard.get(timeout=10) == "half a "
    assert "the sender stopped with ZeroDivisionError" in heard.get(timeout=10)
    event = inbox.next()
    assert (event.status, event.data, event.transferred) == ("failed", "half a ", 7)
    assert "the stream was aborted: " in (event.error or "")
    assert "ZeroDivisionError" in (event.error or "")
    got = plain.wait("text")
    assert (got["text"], bool(got["error"])) == ("half a ", True)
    sent = alice.events.filter("text")[0]
    assert (sent.status, sent.error) == ("failed", "the sender stopped with ZeroDivisionError")
    # The room stays connected, and the aborted stream is not a message.
    alice.send_text("whole", topic="next")
    assert heard.get(timeout=10) == messages.get(timeout=10) == "whole"


def test_failing_iterable_aborts_stream(alice: lknb.Room, peer: Peers) -> None:
    def tokens() -> Iterator[str]:
        yield "half a "
        raise ZeroDivisionError("the model is out")

    plain = peer()
    with pytest.raises(ZeroDivisionError, match="the model is out"):
        alice.send_text(tokens(), topic="llm")
    got = plain.wait("text")
    assert (got["text"], bool(got["error"])) == ("half a ", True)


def test_aborted_stream_of_peer_is_failed_event(alice: lknb.Room, peer: Peers) -> None:
    inbox = alice.listen("text")
    plain = peer()
    handle = plain.call("open_text", topic="llm")
    plain.call("write_text", handle=handle, text="half a ")
    plain.call("close_text", handle=handle, reason="out of tokens")
    event = inbox.next()
    assert (event.status, event.data) == ("failed", "half a ")
    assert "out of tokens" in (event.error or "")


def test_leaving_room_aborts_open_stream(alice: lknb.Room, bob: lknb.Room) -> None:
    inbox = bob.listen("text")

    def speak() -> None:
        with alice.stream_text(topic="llm") as out:
            out.write("half a ")
            eventually(lambda: bob.events.filter("text"))
            alice.close()
            assert (out.event.status, out.event.data) == ("failed", "half a ")
            out.write("sentence")

    with pytest.raises(lknb.StreamError, match=r"was aborted \(closed by this notebook\)"):
        speak()
    assert inbox.next().status == "failed"


def test_with_block_raises_if_its_stream_was_lost(alice: lknb.Room, bob: lknb.Room) -> None:
    def speak() -> None:
        with alice.stream_text(topic="llm") as out:
            out.write("all that there was to say")
            alice.close()

    with pytest.raises(lknb.StreamError, match="was aborted"):
        speak()


def test_writer_rejects_writes_after_close(alice: lknb.Room, bob: lknb.Room) -> None:
    with alice.stream_text(topic="llm") as out:
        out.write("all")
        out.close()
        with pytest.raises(lknb.StreamError, match="has ended"):
            out.write("more")
    with pytest.raises(lknb.StreamError, match="has ended"):
        out.write("more")
    assert eventually(lambda: bob.events.filter("text", status="ok"))[0].data == "all"


# Rejected arguments


def test_oversized_header_is_rejected(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    for options in ({"attributes": {"a": "x" * 15_000}}, {"topic": "t" * 15_000}):
        with pytest.raises(lknb.PayloadTooLargeError, match=r"the limit is 15,000\. Put the rest into the payload"):
            alice.send_text("hi", **options)
        with pytest.raises(lknb.PayloadTooLargeError), alice.stream_text(**options):
            pass
    assert not alice.events.filter("text")
    assert not plain.seen("text_open")


def test_largest_header_is_sent(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    largest = {"a": "x" * 14_854}
    alice.send_text("whole", topic="t", attributes=largest, reply_to="0" * 36)
    assert plain.wait("text", text="whole")["attributes"] == largest
    with alice.stream_text(topic="t", attributes=largest, reply_to="0" * 36) as out:
        out.write("pieces")
    assert plain.wait("text", text="pieces")["attributes"] == largest


@pytest.mark.parametrize("value", [b"bytes", 7, None])
def test_send_text_rejects_non_text(alice: lknb.Room, value: Any) -> None:
    with pytest.raises(TypeError, match="text must be a str, or a list or generator of str, not"):
        alice.send_text(value)
    assert not alice.events.filter("text")


def test_stream_text_rejects_non_text_pieces(alice: lknb.Room, peer: Peers) -> None:
    plain = peer()
    with pytest.raises(TypeError, match="must be a str, not int"):
        alice.send_text((piece for piece in ["a", 1]), topic="t")  # type: ignore[misc]
    assert plain.wait("text")["error"]
    with pytest.raises(TypeError, match="must be a str, not bytes"), alice.stream_text() as out:
        out.write(b"x")


def test_attributes_must_be_strings(alice: lknb.Room) -> None:
    with pytest.raises(TypeError, match="Attributes must be strings"):
        alice.send_text("hi", attributes={"n": 1})  # type: ignore[dict-item]


def test_stream_over_room_limit_is_aborted(join: Join, peer: Peers) -> None:
    room = join("small", max_stream_size=1000)
    inbox, plain = room.listen("text"), peer()
    plain.call("send_text", text="x" * 1001, topic="announced")
    handle = plain.call("open_text", topic="pieces")
    for _ in range(3):
        plain.call("write_text", handle=handle, text="x" * 400)
    events = {event.topic: event for event in (inbox.next(), inbox.next())}
    for event in events.values():
        assert (event.status, event.transferred <= 1200) == ("failed", True)
        assert "over the limit of 1.0 kB per stream" in (event.error or "")
        assert "max_stream_size=" in (event.error or "")
    plain.call("send_text", text="y" * 1000, topic="fits")
    assert inbox.next().data == "y" * 1000


def test_handler_limit_overrides_room_limit(join: Join, peer: Peers) -> None:
    room, heard = join("small", max_stream_size=1000), queue.Queue[int]()

    @room.on_text("big", max_size=5000)
    def big(data: str) -> None:
        heard.put(len(data))

    @room.on_text("tiny", max_size=10)
    def tiny(data: str) -> None:
        heard.put(len(data))

    plain = peer()
    inbox = room.listen("text", topic="tiny")
    plain.call("send_text", text="x" * 4000, topic="big")
    assert heard.get(timeout=10) == 4000
    plain.call("send_text", text="x" * 11, topic="tiny")
    assert "over the limit of 10 B" in (inbox.next().error or "")
    assert heard.empty()


def test_handler_limit_does_not_affect_other_handlers(
    join: Join, peer: Peers, capsys: pytest.CaptureFixture[str]
) -> None:
    room = join("mixed", max_stream_size=1000)
    heard: list[str] = []

    @room.on_text("t", max_size=10)
    def small() -> None:
        heard.append("small")

    @room.on_text("t", max_size=10, stream=True)
    def small_pieces(data: Any) -> None:
        try:
            list(data)
        except lknb.StreamError as error:
            heard.append(str(error))

    @room.on_text("t")
    def unlimited() -> None:
        heard.append("unlimited")

    inbox = room.listen("text")
    plain = peer()
    plain.call("send_text", text="x" * 100, topic="t")
    assert inbox.next().status == "ok"
    eventually(lambda: sorted(heard) == ["over the handler's limit of 10 B", "unlimited"])
    assert "does not receive a stream of 100 bytes" in capsys.readouterr().err
    plain.call("send_text", text="x" * 1001, topic="t")
    assert inbox.next().status == "failed"


@pytest.mark.parametrize("topic", [None, 5])
def test_topic_must_be_str(alice: lknb.Room, topic: Any) -> None:
    with pytest.raises(TypeError, match="topic must be a str"):
        alice.send_text("x", topic=topic)
    with pytest.raises(TypeError, match="topic must be a str"):
        alice.send_bytes(b"x", topic=topic)
    with pytest.raises(TypeError, match="topic must be a str"):
        alice.publish_data(b"x", topic=topic)


def test_send_without_grant_is_denied(livekit: Any, room_name: str, token: Callable[..., str], bob: lknb.Room) -> None:
    inbox = bob.listen("text")
    mute = token("mute", can_publish_data=False)
    with lknb.connect(room_name, url=livekit.url, token=mute) as room:
        with pytest.raises(lknb.PermissionDeniedError, match="Sending text needs the grant 'canPublishData'"):
            room.send_text("hi")
        with pytest.raises(lknb.PermissionDeniedError), room.stream_text():
            pass
        assert not room.events.filter("text")
    assert len(inbox) == 0


def test_closed_room_rejects_new_streams(alice: lknb.Room) -> None:
    alice.close()
    with pytest.raises(lknb.NotConnectedError, match="closed"), alice.stream_text():
        pass


@pytest.mark.slow("waits until the server notices the death of a peer")
def test_streams_of_killed_peer_become_failed_events(streams_of_a_killed_peer: lknb.Inbox) -> None:
    inbox = streams_of_a_killed_peer
    events = {event.kind: event for event in (inbox.next(timeout=60), inbox.next(timeout=10))}
    assert {kind: event.status for kind, event in events.items()} == {"text": "failed", "bytes": "failed"}
    assert all("the stream was aborted" in (event.error or "") for event in events.values())
    assert (events["text"].data, events["bytes"].data) == ("half a ", None)
