"""Has LiveKit's native library omit its verbose log, if lknb knows this library byte for byte; otherwise does nothing.

The library contains libwebrtc, which writes a hex dump of every packet into its log when the lowest severity that
somebody wants is "verbose". LiveKit's SDK wants everything, throws the verbose part away, and has no setting for it.
Writing it takes about three quarters of the time of a transfer.

libwebrtc keeps the lowest severity in an integer. It sets the integer when the SDK registers its log, once in a
process, and reads it when a connection for data starts. Between the two, lknb raises it by one step. Nothing else is
written; no code of the library is called or changed; information, warnings and errors are logged as before.

A new version of the SDK needs a new entry in `KNOWN`: `scripts/find_log_severity.py` finds, proves and measures it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lknb import settings
from lknb.public import public

# libwebrtc's LoggingSeverity.
VERBOSE, INFO, NONE = 0, 1, 4

_PAGE = 4096
_SIZE = ctypes.sizeof(ctypes.c_int32)


class Addresses(NamedTuple):
    """Where a library has what lknb needs, from the start of the loaded library.

    Attributes:
        version: the SDK that contains it.
        request: the function `livekit_ffi_request`, to check that the library is where lknb thinks it is.
        lowest: the lowest severity that is logged; NONE until the SDK registers its log, then VERBOSE.
        debug: the lowest severity that goes to the standard error stream, always NONE.
    """

    version: str
    request: int
    lowest: int
    debug: int


# By the SHA-256 of the file.
KNOWN = {
    "05a58fc83b3515cd4e984a66c69c22e0aad09eadb6e972edde626488dafbf5ad": Addresses(
        "livekit 1.1.21, Linux x86-64", request=0x7AA9FB, lowest=0x1AE0800, debug=0x1AE07F8
    ),
    "b0e3b91dcf42b486045b6acca4863b132e3c4d114d5701b5759c7661c04ea1eb": Addresses(
        "livekit 1.2.1, Linux x86-64", request=0x7B4812, lowest=0x1AF16B0, debug=0x1AF16A8
    ),
}


@public
@dataclass(frozen=True)
class SdkLog:
    """Whether LiveKit's native library omits its verbose log in this process.

    Attributes:
        state: `reduced`: the library omits it.
            `not connected`: lknb decides when it first joins a room.
            `kept`: an environment variable keeps the verbose log.
            `unsupported`: this is not Linux on x86-64.
            `unknown`: the library is not one that lknb knows.
            `unexpected`: the library is known, but not in the state that lknb expects.
        reason: the same in a sentence.
    """

    state: Literal["reduced", "not connected", "kept", "unsupported", "unknown", "unexpected"]
    reason: str


_undecided = SdkLog("not connected", "lknb has not joined a room in this process yet.")
_decision = _undecided


class Severities:
    """libwebrtc's two integers in this process's memory."""

    def __init__(self, version: str, lowest: int, debug: int) -> None:
        self.version = version
        # The library is never unloaded, so the addresses stay valid.
        self._lowest = ctypes.c_int32.from_address(lowest)
        self._debug = ctypes.c_int32.from_address(debug)

    @property
    def values(self) -> tuple[int, int]:
        """The lowest severity that is logged, and the lowest that goes to the standard error stream."""
        return self._lowest.value, self._debug.value

    def raise_lowest(self) -> None:
        """Omit the verbose log from now on. libwebrtc's own threads read and write the integer without a lock, too."""
        self._lowest.value = INFO


_reduced: Severities | None = None


@public
def sdk_log() -> SdkLog:
    """Say whether LiveKit's native library omits its verbose log in this process, which makes transfers faster.

    lknb decides when it first joins a room: on Linux x86-64, for the versions of the library that it knows.
    `LKNB_SDK_LOG=keep` or the SDK's own `LIVEKIT_RTC_DEBUG=1`, set before that, keeps the verbose log.

    Examples:
        >>> lknb.sdk_log().state
        'reduced'
    """
    if _reduced is not None and (values := _reduced.values) != (INFO, NONE):
        return SdkLog("unexpected", f"lknb reduced the log, and something else has set the severities {values} since.")
    return _decision


def is_decided() -> bool:
    """Whether the library stays as it is from now on."""
    return _decision.state not in ("not connected", "kept")


def find(request: int) -> Severities | None:
    """Find the integers of the library that contains the function at the address `request`, or None to leave them.

    Reads the whole library to be certain of it, which takes 15 to 40 ms.
    """
    variable = settings.keeps_sdk_log()
    found: Severities | SdkLog
    if variable:
        found = SdkLog("kept", f"{variable} is set.")
    elif sys.platform != "linux" or platform.machine() != "x86_64":
        found = SdkLog("unsupported", "lknb can reduce the SDK's log on Linux x86-64 only.")
    else:
        try:
            found = _find(request)
        except Exception as error:  # a faster transfer is not worth a room that cannot be joined
            found = SdkLog("unknown", f"LiveKit's native library could not be identified: {error}")
    if isinstance(found, SdkLog):
        _decide(found)
        return None
    return found


def omit_verbose(severities: Severities, register_log: Callable[[], Any]) -> Any:
    """Omit the verbose log if the integers are as expected.

    Args:
        severities: the integers of the library that the SDK uses.
        register_log: makes the SDK register its log, if it has not, and returns what keeps its runtime alive.

    Returns what `register_log` returned, to be kept until a room is joined, which then uses the same runtime.
    """
    global _reduced
    if is_decided():
        return None
    runtime = None
    values = severities.values
    if values in ((NONE, NONE), (VERBOSE, NONE)):
        try:
            runtime = register_log()
        except Exception as error:
            _decide(SdkLog("unexpected", f"{severities.version} made no runtime: {error}"))
            return None
        values = severities.values
    if values == (VERBOSE, NONE):
        severities.raise_lowest()
        _reduced = severities
        _decide(SdkLog("reduced", f"{severities.version} omits its verbose log; it logs the rest as before."))
    else:
        _decide(SdkLog("unexpected", f"{severities.version} has the log severities {values}: lknb leaves it as it is."))
    return runtime


def _decide(decision: SdkLog) -> None:
    """The first final decision stands: two rooms may be joined at the same time."""
    global _decision
    if not is_decided():
        _decision = decision


class _Mapping(NamedTuple):
    """A line of /proc/self/maps; `file` is the device, the inode and the path."""

    start: int
    end: int
    permissions: str
    offset: int
    file: tuple[str, ...]

    def contains(self, address: int) -> bool:
        return self.start <= address and address + _SIZE <= self.end


def _mappings() -> list[_Mapping]:
    found = []
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        addresses, permissions, offset, *file = os.fsdecode(line).split(maxsplit=5)
        start, end = (int(each, 16) for each in addresses.split("-"))
        found.append(_Mapping(start, end, permissions, int(offset, 16), tuple(file)))
    return found


def _find(request: int) -> Severities | SdkLog:
    every = _mappings()
    code = next((each for each in every if each.contains(request)), None)
    if code is None or len(code.file) < 3:
        return SdkLog("unknown", "LiveKit's native library is not mapped from a file.")
    library = [each for each in every if each.file == code.file]
    base = max((each for each in library if each.offset == 0 and each.start <= request), default=code)
    with Path(code.file[-1]).open("rb") as file:
        head = file.read(_PAGE)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known = KNOWN.get(digest)
    if known is None:
        return SdkLog("unknown", f"lknb does not know LiveKit's native library with the SHA-256 {digest}.")
    # The file may have been replaced after it was loaded; its first page has the id of the build.
    if base.permissions != "r--p" or ctypes.string_at(base.start, _PAGE) != head:
        return SdkLog("unknown", "LiveKit's native library was replaced after this process had loaded it.")
    lowest, debug = base.start + known.lowest, base.start + known.debug
    writable = [each for each in library if each.permissions == "rw-p"]
    if base.start + known.request != request or not all(
        any(each.contains(address) for each in writable) for address in (lowest, debug)
    ):
        return SdkLog("unknown", "LiveKit's native library is not mapped as lknb expects.")
    return Severities(known.version, lowest, debug)
