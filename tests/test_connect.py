"""Joining a room, being seen there, joining twice, and leaving."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from relay import Relay
from waiting import eventually

import lknb
from lknb import server
from lknb.credentials import Credentials, Secret, read_token

Join = Callable[..., lknb.Room]


def test_a_room_knows_its_name_identity_and_state(alice: lknb.Room, room_name: str) -> None:
    assert (alice.name, alice.identity, alice.state) == (room_name, "alice", "connected")
    assert repr(alice) == f"<Room {room_name!r} as 'alice': connected, 1 participants>"


def test_participants_see_each_other_at_once(alice: lknb.Room, join: Join) -> None:
    took = []
    for who in ("bob", "carol", "dave"):
        room = join(who, name="Bob", attributes={"role": "tester"}, metadata="{}")
        assert "alice" in room.participants
        joined = time.monotonic()
        eventually(lambda who=who: who in alice.participants)
        took.append(time.monotonic() - joined)
    # The plain SDK takes up to three seconds. The best of three, because the machine may be busy.
    assert min(took) < 0.5
    seen = eventually(lambda: alice.participants["bob"].state == "active" and alice.participants["bob"])
    assert (seen.name, dict(seen.attributes), seen.metadata) == ("Bob", {"role": "tester"}, "{}")


def test_joining_leaves_no_trace_among_the_attributes(alice: lknb.Room, bob: lknb.Room) -> None:
    assert dict(alice.attributes) == {}
    assert dict(bob.participants["alice"].attributes) == {}


def test_the_identity_defaults_to_one_of_this_kernel(join: Join, room_name: str) -> None:
    room = lknb.connect(room_name)
    try:
        assert room.identity.startswith("notebook-")
        assert lknb.connect(room_name) is room
    finally:
        room.close()


def test_the_same_room_and_identity_give_the_same_live_room(alice: lknb.Room, room_name: str) -> None:
    assert lknb.connect(room_name, "alice") is alice
    assert lknb.connect(room_name, identity="alice", timeout=3) is alice


def test_a_changed_argument_replaces_the_connection(alice: lknb.Room, bob: lknb.Room, join: Join) -> None:
    again = join("alice", attributes={"version": "2"})
    assert again is not alice
    assert alice.state == "closed"
    assert again.state == "connected"
    eventually(lambda: (seen := bob.participants.get("alice")) and seen.attributes == {"version": "2"})


def test_cells_that_connect_at_once_share_one_connection(livekit: server.RunningServer, room_name: str) -> None:
    rooms: list[lknb.Room] = []
    threads = [threading.Thread(target=lambda: rooms.append(lknb.connect(room_name, "zoe"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(rooms) == 8
    assert len(set(map(id, rooms))) == 1
    rooms[0].close()


def test_another_kernel_with_the_same_identity_ends_this_connection(
    alice: lknb.Room, peer: Callable[..., object]
) -> None:
    peer("alice")
    eventually(lambda: alice.state == "closed")
    assert "another participant joined with the same identity" in repr(alice)
    with pytest.raises(lknb.NotConnectedError, match="same identity"):
        alice.publish_data(b"x")


def test_rooms_lists_the_open_rooms(alice: lknb.Room, bob: lknb.Room) -> None:
    assert {alice, bob} <= set(lknb.rooms())
    bob.close()
    assert bob not in lknb.rooms()


def test_the_with_block_leaves_the_room(alice: lknb.Room, room_name: str) -> None:
    with lknb.connect(room_name, "guest") as guest:
        eventually(lambda: "guest" in alice.participants)
    assert guest.state == "closed"
    eventually(lambda: "guest" not in alice.participants)


def test_closing_twice_is_fine(alice: lknb.Room) -> None:
    alice.close()
    alice.close()
    assert alice.state == "closed"


def test_a_closed_room_says_so(alice: lknb.Room) -> None:
    alice.close()
    with pytest.raises(lknb.NotConnectedError, match=r"closed .*lknb\.connect"):
        alice.send_text("late")
    with pytest.raises(lknb.NotConnectedError):
        alice.listen("text")
    with pytest.raises(lknb.NotConnectedError):
        alice.attributes["a"] = "b"


def test_connecting_from_an_event_loop(livekit: server.RunningServer, room_name: str) -> None:
    async def main() -> None:
        async with await lknb.aio.connect(room_name, "async-alice") as room:
            assert room.state == "connected"
            await room.aio.local_participant.set_attributes({"from": "loop"})
            assert room.attributes["from"] == "loop"
        assert room.state == "closed"

    asyncio.run(main())


def test_many_rooms_in_one_kernel(livekit: server.RunningServer, room_name: str) -> None:
    async def main() -> list[lknb.Room]:
        joining = [lknb.aio.connect(f"{room_name}-{number}", "worker", timeout=60) for number in range(25)]
        return list(await asyncio.gather(*joining))

    rooms = asyncio.run(main())
    assert [room.state for room in rooms] == ["connected"] * 25
    for room in rooms:
        room.close()


# What can go wrong


def test_no_server_at_the_url() -> None:
    with pytest.raises(lknb.ConnectError, match="connection refused"):
        lknb.connect("studio", url="ws://127.0.0.1:1", api_key="key", api_secret="s" * 32)


def test_an_unknown_host() -> None:
    with pytest.raises(lknb.ConnectError, match="could not be found"):
        lknb.connect("studio", url="ws://no-such-host.invalid", api_key="key", api_secret="s" * 32, timeout=60)


@pytest.mark.parametrize("url", ["studio", "ftp://host", "ws://", "http://[::1", "7880"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(lknb.ConnectError, match="not a LiveKit server's URL"):
        lknb.connect("studio", url=url, api_key="key", api_secret="s" * 32)


def test_a_url_without_a_way_to_be_let_in() -> None:
    with pytest.raises(lknb.ConnectError, match="LIVEKIT_API_KEY and LIVEKIT_API_SECRET"):
        lknb.connect("studio", url="ws://127.0.0.1:7880")


def test_a_key_without_a_url() -> None:
    with pytest.raises(lknb.ConnectError, match="without a server URL"):
        lknb.connect("studio", api_key="key", api_secret="s" * 32)


def test_the_short_secret_of_a_development_server_warns_nobody() -> None:
    credentials = Credentials("ws://localhost:7880", "devkey", Secret("secret"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_token(credentials.mint("studio", "alice", {})).identity == "alice"
        assert read_token(credentials.mint_for_api("studio")).grants["room"] == "studio"


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        began = time.monotonic()
        with pytest.raises(lknb.ConnectError, match=r"did not answer within 2 s"):
            lknb.connect(
                "studio",
                url=f"ws://127.0.0.1:{hole.getsockname()[1]}",
                api_key="key",
                api_secret="s" * 32,
                timeout=2,
            )
        assert time.monotonic() - began < 9


ALONE = """
import fcntl, socket, struct

UP, SET_FLAGS = 0x1, 0x8914
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))

import lknb
try:
    lknb.connect("alone", timeout=3)
except lknb.ConnectError as error:
    print(error)
finally:
    lknb.server.stop()
"""


def test_a_machine_without_a_network_is_told_that_the_sdk_needs_one(tmp_path: Path) -> None:
    cut_off = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*cut_off, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("here a test cannot cut itself off from the network (unshare --net)")
    env = {**os.environ, "LKNB_STATE_DIR": str(tmp_path)}
    run = subprocess.run(
        [*cut_off, sys.executable, "-c", ALONE], env=env, check=False, capture_output=True, text=True, timeout=90
    )
    assert "no network interface except loopback" in run.stdout, run.stderr
    assert "Connect to any network" in run.stdout


def test_a_late_answer_to_an_abandoned_connect_leaves_no_ghost(
    livekit: server.RunningServer, alice: lknb.Room, room_name: str
) -> None:
    joins = alice.listen("participant", sender="ghost")
    with Relay(livekit.url, hold_back=1.5) as relay:
        with pytest.raises(lknb.ConnectError, match=r"did not answer within 0\.5 s"):
            lknb.connect(
                room_name,
                "ghost",
                url=relay.url,
                api_key=livekit.api_key,
                api_secret=livekit.api_secret,
                timeout=0.5,
            )
        # The handshake goes on behind it, comes to its end, and is followed by leaving.
        assert joins.next(timeout=30).topic == "joined"
        eventually(lambda: "ghost" not in _on_server(room_name), within=30)


def _on_server(room: str) -> set[str]:
    from livekit import api

    running = server.ensure()

    async def ask() -> set[str]:
        async with api.LiveKitAPI(running.url, running.api_key, running.api_secret) as lkapi:
            answer = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))
            return {each.identity for each in answer.participants}

    return asyncio.run(ask())


def test_a_wrong_secret(livekit: server.RunningServer) -> None:
    with pytest.raises(lknb.ConnectError, match="signature is invalid"):
        lknb.connect("studio", url=livekit.url, api_key=livekit.api_key, api_secret="w" * 40)


def test_a_wrong_key(livekit: server.RunningServer) -> None:
    with pytest.raises(lknb.ConnectError, match="does not know the API key"):
        lknb.connect("studio", url=livekit.url, api_key="nobody", api_secret="w" * 40)


def test_a_token_for_another_room(livekit: server.RunningServer, token: Callable[..., str]) -> None:
    with pytest.raises(lknb.ConnectError, match="for room 'elsewhere', not for 'studio'"):
        lknb.connect("studio", url=livekit.url, token=token("alice", room="elsewhere"))


def test_a_token_for_another_identity(livekit: server.RunningServer, room_name: str, token: Callable[..., str]) -> None:
    with pytest.raises(lknb.ConnectError, match="for identity 'alice', not for 'bob'"):
        lknb.connect(room_name, "bob", url=livekit.url, token=token("alice"))


def test_an_expired_token(livekit: server.RunningServer, room_name: str, token: Callable[..., str]) -> None:
    with pytest.raises(lknb.ConnectError, match="expired"):
        lknb.connect(room_name, url=livekit.url, token=token("alice", ttl=-600))


def test_something_that_is_no_token(livekit: server.RunningServer) -> None:
    with pytest.raises(lknb.ConnectError, match="not a LiveKit access token"):
        lknb.connect("studio", url=livekit.url, token="sesame")


def test_with_a_token_the_identity_is_the_tokens(
    livekit: server.RunningServer, room_name: str, token: Callable[..., str]
) -> None:
    with lknb.connect(room_name, url=livekit.url, token=token("dave", can_update_own_metadata=True)) as room:
        assert room.identity == "dave"
        assert lknb.connect(room_name, url=livekit.url, token=token("dave", can_update_own_metadata=True)) is not None


def test_the_environment_names_the_server(
    livekit: server.RunningServer, room_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", livekit.url)
    monkeypatch.setenv("LIVEKIT_API_KEY", livekit.api_key)
    monkeypatch.setenv("LIVEKIT_API_SECRET", livekit.api_secret)
    monkeypatch.setenv("LKNB_SERVER", "/does/not/exist")  # so that starting one would fail
    with lknb.connect(room_name, "from-environment") as room:
        assert room.state == "connected"


def test_a_dotenv_file_names_the_server(
    livekit: server.RunningServer, room_name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"LIVEKIT_URL={livekit.url}", f"LIVEKIT_API_KEY={livekit.api_key}"]
    (folder / ".env").write_text("\n".join([*lines, f"LIVEKIT_API_SECRET={livekit.api_secret}"]))
    monkeypatch.chdir(folder)
    with lknb.connect(room_name, "from-dotenv") as room:
        assert room.state == "connected"


@pytest.mark.parametrize(("room", "identity"), [("", "a"), ("r" * 300, "a"), ("r", "i" * 300)])
def test_names_that_livekit_refuses(room: str, identity: str) -> None:
    with pytest.raises(ValueError, match="1 to 256 bytes"):
        lknb.connect(room, identity)


# Ends of processes


def run_script(code: str, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, where it shares the tests' server."""
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=timeout, check=False
    )


def test_the_end_of_the_interpreter_leaves_the_room(alice: lknb.Room, room_name: str) -> None:
    done = run_script(f"import lknb; room = lknb.connect({room_name!r}, 'brief'); print(room.state)")
    assert (done.returncode, done.stdout) == (0, "connected\n"), done.stderr
    # A connection that is just dropped stays for more than ten seconds.
    eventually(lambda: "brief" not in _on_server(room_name), within=8)


def test_a_blocked_handler_does_not_hold_the_interpreter_up(alice: lknb.Room, room_name: str) -> None:
    code = f"""
import lknb, threading, time
began = threading.Event()
room = lknb.connect({room_name!r}, 'sleeper')
@room.rpc("sleep")
def sleep():
    began.set()
    time.sleep(600)
print("serving", flush=True)
began.wait(20)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    with pytest.raises(lknb.RpcError):
        alice.perform_rpc("sleeper", "sleep", timeout=5)
    assert process.wait(15) == 0


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the platform has no fork()")
def test_a_forked_child_gets_a_clear_error(livekit: server.RunningServer, room_name: str) -> None:
    code = f"""
import lknb, multiprocessing, warnings
warnings.simplefilter("ignore")
room = lknb.connect({room_name!r}, "parent")
track, inbox = room.publish_data_track("imu"), room.listen()
def child(answers):
    for use in (lambda: room.publish_data(b"x"), lambda: track.push(b"x"), lambda: next(iter(inbox))):
        try:
            use()
            answers.put("went on")
        except Exception as error:
            answers.put(f"{{type(error).__name__}}: {{error}}")
context = multiprocessing.get_context("fork")
answers = context.Queue()
process = context.Process(target=child, args=(answers,))
process.start()
for _ in range(3):
    print(answers.get(timeout=10))
process.join(10)
print(room.state)
"""
    done = run_script(code)
    assert done.stdout.count("LknbError: This process was forked") == 3, done.stdout + done.stderr
    assert done.stdout.endswith("connected\n")


def test_an_interrupted_connect_leaves_process_and_room_healthy(
    livekit: server.RunningServer, alice: lknb.Room, room_name: str
) -> None:
    code = f"""
import _thread, lknb, socket, threading, time
hole = socket.socket(); hole.bind(("127.0.0.1", 0)); hole.listen()
held = []

def interrupt():
    held.append(hole.accept())  # the handshake is under way
    _thread.interrupt_main()

threading.Thread(target=interrupt, daemon=True).start()
try:
    lknb.connect("studio", "slow", url="ws://127.0.0.1:%d" % hole.getsockname()[1], api_key="k", api_secret="s" * 32)
except KeyboardInterrupt:
    print("interrupted", flush=True)
# Sixteen seconds after a cancelled handshake the SDK would end the process.
with lknb.connect({room_name!r}, "after") as room:
    time.sleep(18)
    print(room.state)
"""
    done = run_script(code)
    assert (done.returncode, done.stdout) == (0, "interrupted\nconnected\n"), done.stderr


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"identity": ""}, ValueError),
        ({"name": 5}, TypeError),
        ({"metadata": {"a": 1}}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": None}, TypeError),
    ],
)
def test_arguments_that_cannot_be_meant(room_name: str, options: dict[str, Any], error: type[Exception]) -> None:
    (name,) = options
    with pytest.raises(error, match=name):
        lknb.connect(room_name, **options)


def test_a_dotenv_file_that_is_no_text(room_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"LIVEKIT_URL=\xff\xfe")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lknb.ConnectError, match="not UTF-8"):
        lknb.connect(room_name)


def test_who_joins_again_waits_for_its_former_self_to_leave(alice: lknb.Room, room_name: str) -> None:
    before = lknb.connect(room_name, "again")
    before.send_bytes(os.urandom(2_000_000), topic="t")
    closing = threading.Thread(target=before.close)  # which takes as long as the two megabytes
    closing.start()
    eventually(lambda: before.state == "closed")
    with lknb.connect(room_name, "again") as after:
        assert before._connection.left.done(), "two connections had one identity"
        assert (after.state, after in lknb.rooms()) == ("connected", True)
    assert "closed by this notebook" in repr(before)
