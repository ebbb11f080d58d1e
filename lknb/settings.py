"""Settings from the environment: every `LKNB_*` variable is read here, when it is needed.

| variable | sets | default |
| --- | --- | --- |
| `LKNB_SERVER` | the livekit-server binary to run | found on PATH or in the cache, or installed |
| `LKNB_SERVER_IDLE` | seconds without a participant before the embedded server stops | 600 |
| `LKNB_SERVER_CONFIG` | YAML file with further settings of livekit-server | none |
| `LKNB_CACHE_DIR` | directory of installed binaries | the user's cache directory |
| `LKNB_STATE_DIR` | directory of the running server's configuration and log | the user's state directory |
| `LKNB_SDK_LOG` | `keep`: the verbose log of LiveKit's native library stays on | omitted, see `log_severity.py` |

`LIVEKIT_*` variables are LiveKit's own; `credentials.py` reads them, except `LIVEKIT_RTC_DEBUG`.
"""

from __future__ import annotations

import math
import os
import re
import socket
from pathlib import Path

import platformdirs

from lknb.errors import ServerError

SERVER_IDLE = 600.0
"""Seconds without a participant before the embedded server stops, unless LKNB_SERVER_IDLE is set."""


def server_binary() -> Path | None:
    """The livekit-server binary to run (`LKNB_SERVER`), or None to search for one."""
    path = os.environ.get("LKNB_SERVER")
    return Path(path).expanduser() if path else None


def server_idle() -> float:
    """Seconds without a participant before the embedded server stops (`LKNB_SERVER_IDLE`).

    Raises:
        ServerError: if it is not a number above 0.
    """
    text = os.environ.get("LKNB_SERVER_IDLE")
    if not text:
        return SERVER_IDLE
    try:
        idle = float(text)
    except ValueError:
        idle = math.nan
    if not 0 < idle < math.inf:
        raise ServerError(f"LKNB_SERVER_IDLE is {text!r}. Set it to a number of seconds above 0, such as 600.")
    return idle


def server_config() -> Path | None:
    """The file with further settings of the embedded server (`LKNB_SERVER_CONFIG`), or None."""
    path = os.environ.get("LKNB_SERVER_CONFIG", "").strip()
    return Path(path).expanduser().absolute() if path else None


def cache_dir() -> Path:
    """Directory of built and downloaded binaries (`LKNB_CACHE_DIR`). Does not create it."""
    path = os.environ.get("LKNB_CACHE_DIR")
    return Path(path).absolute() if path else platformdirs.user_cache_path("lknb", appauthor=False)


def state_dir() -> Path:
    """Directory of the running server's record, configuration and log (`LKNB_STATE_DIR`). Does not create it.

    The default contains the host's name: several hosts may share one home directory, but not one server.
    """
    path = os.environ.get("LKNB_STATE_DIR")
    if path:
        return Path(path).absolute()
    host = re.sub(r"[^\w.-]", "_", socket.gethostname()) or "localhost"
    return platformdirs.user_state_path("lknb", appauthor=False) / f"server-{host}"


def keeps_sdk_log() -> str | None:
    """The variable, with its value, that keeps the verbose log of LiveKit's native library on, or None.

    Any value of `LKNB_SDK_LOG` does: a mistyped `keep` must not do the opposite. The SDK's own `LIVEKIT_RTC_DEBUG`
    shows that log.
    """
    kept = os.environ.get("LKNB_SDK_LOG", "").strip()
    if kept:
        return f"LKNB_SDK_LOG={kept}"
    debug = os.environ.get("LIVEKIT_RTC_DEBUG", "").strip()
    return f"LIVEKIT_RTC_DEBUG={debug}" if debug.lower() in ("true", "1") else None
