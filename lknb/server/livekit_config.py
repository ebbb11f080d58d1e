"""The configuration that keeps livekit-server on loopback, and its ports."""

from __future__ import annotations

import json
import socket


def text(http_port: int, udp_port: int, api_key: str, api_secret: str) -> str:
    """The configuration file. It is JSON, which is also YAML."""
    return json.dumps(
        {
            "port": http_port,
            "bind_addresses": ["127.0.0.1"],
            "keys": {api_key: api_secret},
            # The main component logs each refused token, in full, as a warning. The components below log no tokens.
            "logging": {
                "level": "error",
                "component_levels": {"room": "info", "pub": "warn", "sub": "warn", "sfu": "warn"},
            },
            "rtc": {
                "udp_port": udp_port,
                "tcp_port": 0,  # ICE over TCP would listen on every interface
                "use_external_ip": False,
                "node_ip": "127.0.0.1",
                "enable_loopback_candidate": True,
                "ips": {"includes": ["127.0.0.1/32"]},
                "stun_servers": ["127.0.0.1:3478"],  # keeps clients from using public ones
            },
        },
        indent=1,
    )


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
