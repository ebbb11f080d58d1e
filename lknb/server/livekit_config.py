"""livekit-server's configuration: what keeps it on loopback, its ports, and further settings of the user."""

from __future__ import annotations

import copy
import hashlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lknb import settings
from lknb.errors import ServerError

Settings = Mapping[str, Any]

# What lknb sets itself: addresses and ports, keys, and the log, which would show refused tokens.
_OWN = ("port", "bind_addresses", "keys", "key_file", "logging", "log_level", "development")
_OWN_RTC = (
    "udp_port",
    "tcp_port",
    "port_range_start",
    "port_range_end",
    "use_external_ip",
    "node_ip",
    "enable_loopback_candidate",
    "ips",
    "interfaces",
    "stun_servers",
    "turn_servers",
    "use_mdns",
)
# Each of these listens on every interface.
_LISTENING = ("turn", "prometheus", "prometheus_port", "rtsp", "ingress")


def further(config: Settings | str | Path | None) -> tuple[dict[str, Any], str]:
    """Further settings, from a mapping, a YAML file, or the file in `LKNB_SERVER_CONFIG`; and where they are from.

    Raises:
        ServerError: if the file cannot be read or is no mapping, or if a setting is one that lknb sets.
    """
    if isinstance(config, Mapping):
        found, where = _plain(config), "the settings passed as config="
    else:
        path = Path(config).expanduser().absolute() if config is not None else settings.server_config()
        if path is None:
            return {}, ""
        found, where = _read(path), str(path)
    refused = [name for name in (*_OWN, *_LISTENING) if name in found]
    rtc = found.get("rtc") or {}
    refused += [f"rtc.{name}" for name in _OWN_RTC if isinstance(rtc, Mapping) and name in rtc]
    if refused:
        raise ServerError(
            f"{where} sets {', '.join(refused)}, which lknb sets itself: the server stays on loopback, with keys and "
            "ports of its own. Remove it. To run a server of your own, set LIVEKIT_URL."
        )
    return found, where


def _plain(config: Settings) -> dict[str, Any]:
    try:
        plain = json.loads(json.dumps(config))
    except (TypeError, ValueError) as error:
        raise ServerError(f"config= has something that YAML cannot express: {error}.") from None
    assert isinstance(plain, dict)
    return plain


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ServerError(
            f"The settings of the local server, {path}, cannot be read: {error.strerror or error}. Correct "
            "LKNB_SERVER_CONFIG, or unset it."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ServerError(f"{path} is not valid YAML: {' '.join(str(error).split())[:300]}.") from None
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ServerError(f"{path} must have settings of livekit-server, as in `room:`, not {type(found).__name__}.")
    return _plain(found)


def digest(config: Settings) -> str:
    """Identifies settings; "" for none."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest() if config else ""


def text(http_port: int, udp_port: int, api_key: str, api_secret: str, config: Settings = {}) -> str:  # noqa: B006
    """The configuration file, with the user's settings `config`. It is JSON, which is also YAML."""
    own = {
        "port": http_port,
        "bind_addresses": ["127.0.0.1"],
        "keys": {api_key: api_secret},
        # The main component logs each refused token, in full, as a warning. The components below log no tokens.
        "logging": {
            "level": "error",
            "component_levels": {"room": "info", "pub": "warn", "sub": "warn", "sfu": "warn"},
        },
        # The schemas of data tracks are kept there.
        "enable_participant_data_blob": True,
        "rtc": {
            "udp_port": udp_port,
            "tcp_port": 0,  # ICE over TCP would listen on every interface
            "use_external_ip": False,
            "node_ip": "127.0.0.1",
            "enable_loopback_candidate": True,
            "ips": {"includes": ["127.0.0.1/32"]},
            "stun_servers": ["127.0.0.1:3478"],  # keeps clients from using public ones
        },
    }
    merged = _merged(own, config)
    # Webhooks are signed with a key, which nobody can know before the server has one.
    if isinstance(merged.get("webhook"), dict):
        merged["webhook"].setdefault("api_key", api_key)
    return json.dumps(merged, indent=1)


def _merged(own: dict[str, Any], config: Settings) -> dict[str, Any]:
    merged = copy.deepcopy(own)
    for name, value in config.items():
        before = merged.get(name)
        both = isinstance(before, dict) and isinstance(value, Mapping)
        merged[name] = _merged(before, value) if both and isinstance(before, dict) else copy.deepcopy(value)
    return merged


def free_port(kind: socket.SocketKind, preferred: int = 0) -> int:
    """`preferred` if it is free on loopback, otherwise a port that the system picks."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # As Go does. Otherwise a port stays taken for a minute after a server with connections has ended.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")
