"""The verbose log of the SDK's native library: omitted where lknb knows the library, and otherwise left alone."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from livekit.rtc._proto.room_pb2 import SimulateScenarioKind

import lknb
from lknb.log_severity import INFO, KNOWN, NONE, VERBOSE
from lknb.loop import LOOP

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="lknb changes nothing on other systems"
)

LIBRARY = Path(str(importlib.resources.files("livekit.rtc.resources"))) / "liblivekit_ffi.so"
IN_ITS_OWN = "runs an interpreter of its own"

# Each script runs in a new interpreter, where no room has been joined, and calls `tell` once.
BEGIN = """
import ctypes, json, logging, os, sys, time
import lknb
from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from lknb.log_severity import KNOWN, NONE, VERBOSE

room_name = sys.argv[1]
(known,) = [each for digest, each in KNOWN.items() if digest.startswith(sys.argv[2])]

def severity(where):
    function = ctypes.cast(FfiClient.instance._ffi_lib.livekit_ffi_request, ctypes.c_void_p).value
    return ctypes.c_int32.from_address(function - known.request + where)

def tell(**values):
    log = lknb.sdk_log()
    lowest, debug = severity(known.lowest).value, severity(known.debug).value
    print(json.dumps({"state": log.state, "reason": log.reason, "severities": [lowest, debug], **values}), flush=True)
"""
USED_BEFORE = """
import asyncio

async def make_track():
    return rtc.LocalAudioTrack.create_audio_track("mine", rtc.AudioSource(48000, 1))

track = asyncio.run(make_track())
assert severity(known.lowest).value == VERBOSE
"""
JOIN = """
with lknb.connect(room_name, "fresh"):
    tell()
"""


def digest() -> str:
    with LIBRARY.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def told(room_name: str, script: str, **variables: str) -> dict[str, Any]:
    """Run a script in a new interpreter with these environment variables, and return what it tells."""
    environment = {key: each for key, each in os.environ.items() if key not in ("LKNB_SDK_LOG", "LIVEKIT_RTC_DEBUG")}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script, room_name, digest()],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_installed_library_is_known() -> None:
    assert digest() in KNOWN, (
        "lknb does not know the native library of this version of livekit, so transfers are slower than they could be. "
        "Run scripts/find_log_severity.py: see 'Raise the version of the SDK' in CONTRIBUTING.md."
    )


def test_joining_reduces_log(alice: lknb.Room) -> None:
    assert lknb.sdk_log().state == "reduced"


@pytest.mark.slow(IN_ITS_OWN)
def test_log_is_not_reduced_before_joining(room_name: str, alice: lknb.Room) -> None:
    before = told(room_name, "tell()")
    assert before["state"] == "not connected"
    assert before["severities"] == [NONE, NONE]


@pytest.mark.slow(IN_ITS_OWN)
def test_joining_raises_lowest_severity_by_one_step(room_name: str, alice: lknb.Room) -> None:
    after = told(room_name, JOIN)
    assert after["state"] == "reduced"
    assert after["severities"] == [INFO, NONE]


@pytest.mark.slow(IN_ITS_OWN)
@pytest.mark.parametrize(
    ("variable", "value"), [("LKNB_SDK_LOG", "keep"), ("LKNB_SDK_LOG", "kepe"), ("LIVEKIT_RTC_DEBUG", "1")]
)
def test_variable_keeps_log(room_name: str, alice: lknb.Room, variable: str, value: str) -> None:
    after = told(room_name, JOIN, **{variable: value})
    assert after["state"] == "kept"
    assert after["reason"] == f"{variable}={value} is set."
    assert after["severities"] == [VERBOSE, NONE]


@pytest.mark.slow(IN_ITS_OWN)
def test_log_can_be_reduced_after_it_was_kept(room_name: str, alice: lknb.Room) -> None:
    script = "os.environ['LKNB_SDK_LOG'] = 'keep'\nlknb.connect(room_name, 'first')\ndel os.environ['LKNB_SDK_LOG']"
    assert told(room_name, script + JOIN)["state"] == "reduced"


@pytest.mark.slow(IN_ITS_OWN)
def test_log_is_reduced_if_sdk_was_used_before(room_name: str, alice: lknb.Room) -> None:
    after = told(room_name, USED_BEFORE + JOIN)
    assert after["state"] == "reduced"
    assert after["severities"] == [INFO, NONE]


@pytest.mark.slow(IN_ITS_OWN)
def test_log_stays_reduced_after_every_room_has_closed(room_name: str, alice: lknb.Room) -> None:
    # The SDK drops its runtime with the last room, and makes another one.
    after = told(room_name, 'lknb.connect(room_name, "first").close()\nlknb.connect(room_name, "b").close()' + JOIN)
    assert after["state"] == "reduced"
    assert after["severities"] == [INFO, NONE]


@pytest.mark.slow(IN_ITS_OWN)
def test_rooms_joined_at_the_same_time_reduce_log_once(room_name: str, alice: lknb.Room) -> None:
    script = """
import asyncio

async def join():
    return await asyncio.gather(*(lknb.aio.connect(room_name, f"fresh-{number}") for number in range(4)))

rooms = asyncio.run(join())
tell(rooms=[room.state for room in rooms])
"""
    after = told(room_name, script)
    assert after["state"] == "reduced"
    assert after["severities"] == [INFO, NONE]
    assert after["rooms"] == ["connected"] * 4


@pytest.mark.slow(IN_ITS_OWN)
def test_log_stays_reduced_after_failed_join(room_name: str, alice: lknb.Room) -> None:
    script = """
try:
    lknb.connect(room_name, "fresh", url="ws://127.0.0.1:9", api_key="a", api_secret="b" * 32, timeout=2)
except lknb.ConnectError:
    pass
"""
    assert told(room_name, script + JOIN)["severities"] == [INFO, NONE]


@pytest.mark.slow("reconnects")
def test_log_stays_reduced_and_room_works_after_reconnect(alice: lknb.Room, bob: lknb.Room) -> None:
    texts, files, packets = (bob.listen(kind, topic="t") for kind in ("text", "bytes", "data"))
    bob.rpc("echo", raw=True)(lambda payload: payload)
    changes = alice.listen("connection")
    full = SimulateScenarioKind.Value("SIMULATE_FULL_RECONNECT")
    LOOP.run(alice._connection.sdk.simulate_scenario(full), "simulate")
    assert changes.next(timeout=10).topic == "reconnecting"
    assert changes.next(timeout=30).topic == "connected"
    alice.send_text("hello", topic="t")
    alice.send_bytes(b"\0" * 300_000, topic="t")
    alice.publish_data(b"packet", topic="t")
    assert alice.perform_rpc("bob", "echo", "again", raw=True) == "again"
    assert texts.next(timeout=10).data == "hello"
    assert files.next(timeout=10).data.data == b"\0" * 300_000
    assert packets.next(timeout=10).data == b"packet"
    assert lknb.sdk_log().state == "reduced"


LINES = """
lines = []

class Keep(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())

logger = logging.getLogger("livekit")
logger.addHandler(Keep())
logger.setLevel(logging.DEBUG)
lknb.connect(room_name, "first")
# From now on, the SDK passes on what the library logs.
os.environ["LIVEKIT_RTC_DEBUG"] = "1"
with lknb.connect(room_name, "second") as room:
    room.send_text("hello", topic="t", to="alice")
    until = time.monotonic() + 10
    while not any("sctp" in line for line in lines) and time.monotonic() < until:
        time.sleep(0.01)
tell(dumps=sum("SCTP_PACKET" in line for line in lines), lines=sum("libwebrtc" in line for line in lines))
"""


@pytest.mark.slow(IN_ITS_OWN)
def test_reduced_log_has_no_dumps_and_still_has_information(room_name: str, alice: lknb.Room) -> None:
    reduced, kept = told(room_name, LINES), told(room_name, LINES, LKNB_SDK_LOG="keep")
    assert (reduced["state"], kept["state"]) == ("reduced", "kept")
    assert (reduced["dumps"], kept["dumps"] > 10) == (0, True)
    # How many other lines there are depends on the moment, so those of two runs cannot be compared.
    assert reduced["lines"] > 10


@pytest.fixture
def copy(folder: Path) -> Path:
    """Return a copy of the library."""
    return Path(shutil.copy(LIBRARY, folder / "copy.so"))


@pytest.mark.slow(IN_ITS_OWN)
def test_equal_library_elsewhere_is_reduced(room_name: str, alice: lknb.Room, copy: Path) -> None:
    assert told(room_name, JOIN, LIVEKIT_LIB_PATH=str(copy))["state"] == "reduced"


@pytest.mark.slow(IN_ITS_OWN)
def test_unknown_library_is_left_alone_and_works(room_name: str, alice: lknb.Room, bob: lknb.Room, copy: Path) -> None:
    with copy.open("ab") as file:
        file.write(b"\0")
    texts, files, packets = (alice.listen(kind, topic="t") for kind in ("text", "bytes", "data"))
    alice.rpc("echo", raw=True)(lambda payload: payload)
    script = """
with lknb.connect(room_name, "fresh") as room:
    room.send_text("hello", topic="t")
    room.send_bytes(b"0" * 300_000, topic="t")
    room.publish_data(b"packet", topic="t")
    tell(answer=room.perform_rpc("alice", "echo", "hi", raw=True))
"""
    after = told(room_name, script, LIVEKIT_LIB_PATH=str(copy))
    assert after["state"] == "unknown"
    assert "SHA-256" in after["reason"]
    assert after["severities"] == [VERBOSE, NONE]
    assert after["answer"] == "hi"
    assert texts.next(timeout=10).data == "hello"
    assert files.next(timeout=10).data.data == b"0" * 300_000
    assert packets.next(timeout=10).data == b"packet"


@pytest.mark.slow(IN_ITS_OWN)
@pytest.mark.parametrize("replacement", ["another file", "no file"])
def test_library_that_was_replaced_is_left_alone(
    room_name: str, alice: lknb.Room, copy: Path, replacement: str
) -> None:
    script = f"""
FfiClient.instance  # loads the library
os.unlink({str(copy)!r})
if {replacement == "another file"}:
    open({str(copy)!r}, "wb").write(b"another version")
"""
    after = told(room_name, script + JOIN, LIVEKIT_LIB_PATH=str(copy))
    assert after["state"] == "unknown"
    assert after["severities"] == [VERBOSE, NONE]


@pytest.mark.slow(IN_ITS_OWN)
@pytest.mark.parametrize("which", ["lowest", "debug"])
def test_unexpected_severities_are_left_alone_and_reported(room_name: str, alice: lknb.Room, which: str) -> None:
    after = told(room_name, f"{USED_BEFORE}severity(known.{which}).value = 3{JOIN}")
    assert after["state"] == "unexpected"
    assert "log severities" in after["reason"]
    assert after["severities"] == ([3, NONE] if which == "lowest" else [VERBOSE, 3])


@pytest.mark.slow(IN_ITS_OWN)
def test_severity_that_changes_later_is_reported(room_name: str, alice: lknb.Room) -> None:
    script = """
with lknb.connect(room_name, "fresh"):
    severity(known.lowest).value = VERBOSE
    tell()
"""
    after = told(room_name, script)
    assert after["state"] == "unexpected"
    assert f"({VERBOSE}, {NONE})" in after["reason"]
