"""Finds the log severities in a version of LiveKit's native library, for `KNOWN` in lknb/log_severity.py.

Run it after the SDK's version was raised. It needs `objdump`, and Linux on x86-64. It

1. disassembles the library and finds the two integers by the four functions of libwebrtc that use them,
2. checks their values in a process: before the SDK registers its log, and after,
3. measures byte streams in both directions with the verbose log and without, through lknb, and
4. prints the entry for the table.

It stops at the first surprise; then look at the disassembly, as CONTRIBUTING.md describes.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import hashlib
import importlib.metadata
import importlib.resources
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__)
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))

import worker  # noqa: E402
from payloads import MB  # noqa: E402
from processes import Worker  # noqa: E402

from lknb.log_severity import KNOWN, NONE, VERBOSE, Addresses  # noqa: E402

_LOAD, _WRITABLE = 1, 2
# At most this many instructions before it sets the lowest severity, UpdateMinLogSeverity reads the other one.
_FUNCTION = 60
_LEAST = 1.3
_CHILD = "--child"
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(.*?)\s*(?:# ([0-9a-f]+)\b.*)?$")


class Library:
    """The file of a library."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = path.read_bytes()
        self.digest = hashlib.sha256(self._bytes).hexdigest()
        if self._bytes[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", self._bytes, 18) != (62,):
            raise SystemExit(f"{path} is not a library for Linux on x86-64.")

    def initial(self, address: int) -> int | None:
        """The 32-bit integer at this address in a new process, or None if nothing may be written there."""
        (table,) = struct.unpack_from("<Q", self._bytes, 32)
        size, count = struct.unpack_from("<HH", self._bytes, 54)
        for number in range(count):
            kind, flags, offset, start, _, length, *_ = struct.unpack_from(
                "<IIQQQQQQ", self._bytes, table + number * size
            )
            if kind == _LOAD and flags & _WRITABLE and start <= address <= start + length - 4:
                value: int = struct.unpack_from("<i", self._bytes, offset + address - start)[0]
                return value
        return None

    def symbol(self, name: str) -> int:
        """The address of an exported function."""
        for line in _lines("objdump", "--dynamic-syms", str(self.path)):
            if line.split()[-1:] == [name]:
                return int(line.split()[0], 16)
        raise SystemExit(f"{self.path} does not export {name}.")

    def severities(self) -> tuple[int, int]:
        """The addresses of the lowest severity and of the one for the standard error stream."""
        read, compared = set(), set()  # by GetMinLogSeverity and IsNoop
        written: dict[int, list[set[int]]] = defaultdict(list)  # with what was read shortly before, as by UpdateMin...
        last: deque[tuple[str, int]] = deque([("", 0)] * _FUNCTION, maxlen=_FUNCTION)
        for line in _lines("objdump", "--disassemble", "--no-show-raw-insn", "--section=.text", str(self.path)):
            found = _INSTRUCTION.match(line)
            if not found:
                continue
            code, address = found[1], int(found[2] or "0", 16)
            if code == "ret":
                tail = [each for each in list(last)[-2:] if each[0] != "pop    %rbp"]
                read |= {where for how, where in tail[-1:] if re.fullmatch(r"mov    \S+\(%rip\),%eax", how)}
            elif code == "setl   %al" and re.fullmatch(r"cmp    \S+\(%rip\),%edi", last[-1][0]):
                compared.add(last[-1][1])
            elif address and re.fullmatch(r"mov    %e\w+,\S+\(%rip\)", code):
                loads = {where for how, where in last if re.fullmatch(r"mov    \S+\(%rip\),%e\w+", how)}
                written[address].append(loads)
            last.append((code, address))
        pairs = [
            (lowest, debug)
            for lowest in read & compared
            if self.initial(lowest) == NONE and len(written[lowest]) == 1
            for debug in written[lowest][0] - {lowest}
            if self.initial(debug) == NONE and len(written[debug]) == 1
        ]
        if len(pairs) != 1:
            raise SystemExit(f"Found {len(pairs)} pairs of integers that may be the severities: {pairs}")
        return pairs[0]


def _lines(*command: str) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from process.stdout
    if process.returncode:
        raise SystemExit(f"{command[0]} failed.")


def values(places: Addresses) -> dict[str, tuple[int, int]]:
    """The two integers in this process, before the SDK registers its log and after."""
    from livekit import rtc
    from livekit.rtc._ffi_client import FfiClient

    request = ctypes.cast(FfiClient.instance._ffi_lib.livekit_ffi_request, ctypes.c_void_p).value or 0

    def now() -> tuple[int, int]:
        start = request - places.request
        lowest, debug = (ctypes.c_int32.from_address(start + each).value for each in (places.lowest, places.debug))
        return lowest, debug

    async def register_log() -> rtc.LocalAudioTrack:
        return rtc.LocalAudioTrack.create_audio_track("", rtc.AudioSource(48_000, 1, queue_size_ms=0))

    before = now()
    asyncio.run(register_log())
    return {"before": before, "after": now()}


def measure(child: list[str], rounds: int, size: int) -> list[float]:
    """How many times faster byte streams are without the verbose log, in each round."""
    from lknb import server

    ratios = []
    with tempfile.TemporaryDirectory(prefix="lknb-severity-") as state:
        # A separate server, without the user's settings.
        os.environ["LKNB_STATE_DIR"] = state
        running = server.ensure()
        os.environ.update(
            LIVEKIT_URL=running.url, LIVEKIT_API_KEY=running.api_key, LIVEKIT_API_SECRET=running.api_secret
        )
        try:
            for number in range(rounds):
                speeds = {}
                for keep in ("keep", "") if number % 2 == 0 else ("", "keep"):
                    os.environ["LKNB_SDK_LOG"] = keep
                    b, a = (Worker("lknb", "severity", *names, program=child) for names in (("b", "a"), ("a", "b")))
                    for each in (a, b):
                        each.do("bytes", size=size // 10)
                    speeds[keep] = [size / MB / each.do("bytes", size=size)[0] for each in (a, b)]
                    b.close()  # a may still be about to learn that its last packet has arrived
                    a.close()
                ratios += [reduced / kept for kept, reduced in zip(speeds["keep"], speeds[""], strict=True)]
                shown = {keep: " and ".join(f"{each:5.1f}" for each in both) for keep, both in speeds.items()}
                print(f"round {number + 1}: {shown['keep']} MB/s with the log, {shown['']} without", flush=True)
        finally:
            server.stop()
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, help="the library; that of the installed SDK if not given")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the measurement (%(default)s)")
    parser.add_argument("--stream", type=int, default=10 * MB, help="bytes of a stream (%(default)s)")
    arguments = parser.parse_args()
    if arguments.library:
        os.environ["LIVEKIT_LIB_PATH"] = str(arguments.library.resolve())
    installed = Path(str(importlib.resources.files("livekit.rtc.resources"))) / "liblivekit_ffi.so"
    library = Library(arguments.library or installed)
    print(f"{library.path}\nSHA-256 {library.digest}")
    request, (lowest, debug) = library.symbol("livekit_ffi_request"), library.severities()
    version = "?" if arguments.library else importlib.metadata.version("livekit")
    version = f"livekit {version}, Linux x86-64"
    places = Addresses(version, request, lowest, debug)
    if KNOWN.get(library.digest, places)[1:] != places[1:]:
        raise SystemExit(f"Found {places}, and the table has {KNOWN[library.digest]}.")
    print(f"found lowest={lowest:#x}, debug={debug:#x}, request={request:#x}")

    child = [str(HERE), _CHILD, json.dumps([library.digest, places])]
    seen = json.loads(subprocess.run([sys.executable, *child, "values"], stdout=subprocess.PIPE, check=True).stdout)
    print(f"(lowest, debug) are {seen['before']} before the SDK registers its log, and {seen['after']} after")
    if seen != {"before": [NONE, NONE], "after": [VERBOSE, NONE]}:
        raise SystemExit(f"Expected {[NONE, NONE]} and {[VERBOSE, NONE]}.")

    if arguments.rounds:
        ratios = measure(child, arguments.rounds, arguments.stream)
        middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
        print(f"without the log × {middle:.2f} [{least:.2f} to {most:.2f}]")
        if middle < _LEAST:
            raise SystemExit(f"Less than × {_LEAST:g}: these integers do not do what lknb needs them for.")
    print("The entry for KNOWN in lknb/log_severity.py:\n")
    print(f'    "{library.digest}": Addresses(')
    print(f'        "{version}", request={request:#X}, lowest={lowest:#X}, debug={debug:#X}'.replace("0X", "0x"))
    print("    ),")


def be_child(entry: str, what: str, *arguments: str) -> None:
    """In a process of its own, with the new entry in the table: print the values, or be a participant."""
    digest, places = json.loads(entry)
    KNOWN[digest] = Addresses(*places)
    if what == "values":
        print(json.dumps(values(KNOWN[digest])))
    else:
        worker.serve_lknb(list(arguments))


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        be_child(*sys.argv[2:])
    else:
        main()
