"""What a refused join says: one message for each answer of a LiveKit server, and of what is not one."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from servers import KEY, SECRET, a_server

import lknb
from lknb import server

CREDENTIALS: dict[str, Any] = {"api_key": KEY, "api_secret": SECRET}


def a_token(
    key: str = KEY,
    secret: str = SECRET,
    algorithm: str = "HS256",
    grants: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A token for alice in the room "studio", with other claims; None leaves one out."""
    now = int(time.time())
    video = {"roomJoin": True, "room": "studio", "canPublishData": True, "canUpdateOwnMetadata": True, **(grants or {})}
    whole = {"iss": key, "sub": "alice", "nbf": now - 5, "exp": now + 60, "video": video, **claims}
    return jwt.encode({k: v for k, v in whole.items() if v is not None}, secret, algorithm=algorithm)


def refusal(url: str, room: str = "studio", identity: str | None = None, **options: Any) -> str:
    """What connecting says."""
    with pytest.raises(lknb.ConnectError) as refused:
        lknb.connect(room, identity, url=url, **options)
    return str(refused.value)


# Tokens


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"key": "nobody"}, "refused the token: the server does not know the API key"),
        ({"secret": "w" * 40}, "refused the token: its signature is invalid"),
        ({"algorithm": "HS384"}, "refused the token: it is signed with another algorithm than HS256"),
        ({"nbf": int(time.time()) + 7200, "exp": int(time.time()) + 9000}, "refused the token: it is not valid yet"),
        ({"exp": int(time.time()) - 600}, "The token expired at"),
        ({"iss": None}, "refused the token: the server does not know the API key"),
        ({"sub": None}, "The token names no identity ('sub')"),
        ({"grants": {"room": ""}}, "The token names no room. Get a token for room 'studio'"),
        ({"grants": {"roomJoin": False}}, "does not grant 'roomJoin'"),
        ({"metadata": 5}, "refused the token: the server cannot read its claims"),
    ],
)
def test_a_token_is_refused_for_its_reason(livekit: server.RunningServer, claims: dict[str, Any], message: str) -> None:
    claims = {"key": livekit.api_key, "secret": livekit.api_secret, **claims}
    assert message in refusal(livekit.url, token=a_token(**claims))


@pytest.mark.parametrize("edges", [(" ", " "), ("", "\n"), ("\ufeff", "\r\n"), ("\t\n", "\u00a0\u200b")])
def test_edges_of_settings_do_not_matter(
    livekit: server.RunningServer, room_name: str, monkeypatch: pytest.MonkeyPatch, edges: tuple[str, str]
) -> None:
    def edged(text: str) -> str:
        return edges[0] + text + edges[1]

    token = a_token(livekit.api_key, livekit.api_secret, grants={"room": room_name})
    with lknb.connect(room_name, url=edged(livekit.url), token=edged(token)) as room:
        assert room.identity == "alice"
    key, secret = edged(livekit.api_key), edged(livekit.api_secret)
    with lknb.connect(room_name, "bob", url=edged(livekit.url), api_key=key, api_secret=secret) as room:
        assert room.identity == "bob"
    for name, value in (("URL", livekit.url), ("API_KEY", livekit.api_key), ("API_SECRET", livekit.api_secret)):
        monkeypatch.setenv(f"LIVEKIT_{name}", edged(value))
    with lknb.connect(room_name, "carol") as room:
        assert room.identity == "carol"


def test_blank_settings_count_as_not_given(room_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_URL", " \n")
    with lknb.connect(room_name, "alice", url=" ", token="\n", api_key="", api_secret=" ") as room:
        assert room.state == "connected"


@pytest.mark.parametrize("option", ["url", "token", "api_key", "api_secret"])
def test_a_setting_is_a_str(option: str) -> None:
    with pytest.raises(TypeError, match=f"{option} must be a str, not bytes"):
        lknb.connect("studio", **{option: b"bytes"})  # type: ignore[arg-type]


# Rooms and limits


def test_a_room_that_the_server_does_not_create(folder: Path) -> None:
    with a_server(folder, room={"auto_create": False}) as url:
        message = refusal(url, **CREDENTIALS)
        assert f"Room 'studio' does not exist at {url}" in message
        assert "auto_create: false" in message
        token = a_token(grants={"roomCreate": True})
        with lknb.connect("studio", url=url, token=token) as room:
            assert room.state == "connected"


def test_a_full_room(folder: Path) -> None:
    with (
        a_server(folder, room={"auto_create": True, "max_participants": 1}) as url,
        lknb.connect("studio", "first", url=url, **CREDENTIALS),
    ):
        assert f"Room 'studio' at {url} is full" in refusal(url, identity="second", **CREDENTIALS)
        without_api = refusal(url, token=a_token())
        assert "room 'studio' is full, the name, metadata or attributes" in without_api


def test_limits_of_the_server(folder: Path) -> None:
    limits = {
        "max_metadata_size": 10,
        "max_attributes_size": 10,
        "max_room_name_length": 6,
        "max_participant_identity_length": 5,
    }
    with a_server(folder, limit=limits) as url:
        assert "does not accept an identity of this length" in refusal(url, identity="somebody", **CREDENTIALS)
        assert "max length 6" in refusal(url, "kitchen", "bob", **CREDENTIALS)
        for options in ({"metadata": "x" * 20}, {"attributes": {"status": "x" * 20}}):
            message = refusal(url, identity="bob", **CREDENTIALS, **options)
            assert "(500 Internal Server Error): the name, metadata or attributes to join with exceed" in message


# What is not a LiveKit server


@contextlib.contextmanager
def answering(status: int, text: str) -> Iterator[str]:
    """A web server that gives one answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{web.server_port}"
    finally:
        web.shutdown()
        web.server_close()


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (200, "hello", "answers, but is not a LiveKit server (200)"),
        (301, "", "redirects to another address (301 Moved Permanently)"),
        (401, "log in first", "refused the join (401 Unauthorized: log in first)"),
        (403, "", "refused the join (403 Forbidden)"),
        (404, "no such page", "answers, but is not a LiveKit server (404)"),
        (405, "", "refused the join (405 Method Not Allowed)"),
        (429, "slow down", "accepts no more connections for now (429 Too Many Requests: slow down)"),
        (500, "boom", "without a reason (500 Internal Server Error: boom)"),
        (502, "<html>\nbad\n</html>", "no LiveKit server behind it is available (502 Bad Gateway: <html> bad </html>)"),
        (503, "node has exceeded its configured limit", "has reached the limit of tracks or traffic"),
        (503, "", "no LiveKit server behind it is available (503 Service Unavailable)"),
    ],
)
def test_each_status_has_its_words(status: int, text: str, message: str) -> None:
    with answering(status, text) as url:
        assert message in refusal(url, identity="alice", **CREDENTIALS)


def test_a_port_of_another_protocol() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client:
                        client.recv(4096)
                        client.sendall(b"220 mail.example.com\r\n\r\n")

        threading.Thread(target=greet, daemon=True).start()
        message = refusal(f"ws://127.0.0.1:{listener.getsockname()[1]}", identity="alice", **CREDENTIALS)
    assert "answers, but is not a LiveKit server" in message
