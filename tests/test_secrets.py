"""Tokens and secrets appear nowhere: not in errors, tracebacks, logs, reprs, events or output of child processes."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator

import pytest

import lknb
from lknb import server
from lknb.credentials import Credentials, Secret, scrub

MARK = "canary"


def everything_about(error: BaseException) -> str:
    """Return everything a traceback can show: messages, causes, contexts, and the local variables of every frame."""
    parts = []
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        each = chain.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        parts += [str(each), repr(each), repr(vars(each)), repr(each.args)]
        described = traceback.TracebackException.from_exception(each, capture_locals=True)
        # Frames of this file hold the token because the test made it.
        described.stack = traceback.StackSummary.from_list(
            [frame for frame in described.stack if frame.filename != __file__]
        )
        parts += described.format(chain=False)
        chain += [each.__cause__, each.__context__]
    return "\n".join(parts)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Yield a function that returns everything logged so far."""
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "livekit"):
        yield lambda: "\n".join([caplog.text, *(repr(vars(record)) for record in caplog.records)])


def test_refused_token_is_not_shown(
    livekit: server.RunningServer, room_name: str, token: Callable[..., str], log: Callable[[], str]
) -> None:
    refused = token("alice")[:-6] + "AAAAAA"
    with pytest.raises(lknb.ConnectError, match="refused the token") as caught:
        lknb.connect(room_name, url=livekit.url, token=refused)
    assert refused not in everything_about(caught.value)
    assert refused not in log()
    assert refused.split(".")[1] not in everything_about(caught.value) + log()


def test_wrong_secret_is_not_shown(livekit: server.RunningServer, room_name: str, log: Callable[[], str]) -> None:
    secret = f"{MARK}-secret-of-more-than-32-characters"
    with pytest.raises(lknb.ConnectError) as caught:
        lknb.connect(room_name, url=livekit.url, api_key=livekit.api_key, api_secret=secret)
    assert MARK not in everything_about(caught.value)
    assert MARK not in log()
    assert "eyJ" not in everything_about(caught.value) + log()


def test_malformed_token_is_not_shown(livekit: server.RunningServer, log: Callable[[], str]) -> None:
    with pytest.raises(lknb.ConnectError) as caught:
        lknb.connect("studio", url=livekit.url, token=f"{MARK}.{MARK}.{MARK}")
    assert MARK not in everything_about(caught.value) + log()


def test_connection_error_shows_no_secret(log: Callable[[], str]) -> None:
    with pytest.raises(lknb.ConnectError) as caught:
        lknb.connect("studio", url="ws://127.0.0.1:1", api_key="key", api_secret=f"{MARK}-secret-of-32-characters-x")
    assert MARK not in everything_about(caught.value) + log()
    assert "eyJ" not in everything_about(caught.value) + log()


def test_credentials_in_url_are_rejected_and_not_repeated() -> None:
    for url in (f"wss://user:{MARK}@host", f"wss://host?access_token={MARK}"):
        with pytest.raises(lknb.ConnectError, match="contains credentials") as caught:
            lknb.connect("studio", url=url)
        assert MARK not in str(caught.value)


def test_room_shows_no_secret(alice: lknb.Room, livekit: server.RunningServer) -> None:
    alice.send_text("hello")
    shown = "\n".join(
        [
            repr(alice),
            repr(alice.aio),
            repr(alice.events),
            repr(alice.participants),
            repr(vars(alice)),
            repr(vars(alice._connection)),
            repr(alice._connection.credentials),
            str(alice.events.columns()),
        ]
    )
    assert livekit.api_secret not in shown
    assert "eyJ" not in shown


def test_secret_never_shows_its_value() -> None:
    secret = Secret("a-long-enough-secret")
    assert f"{secret} {secret!r} {[secret]} {Credentials('ws://h', 'key', secret)!r}".count("a-long-enough-secret") == 0
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "text",
    [
        "wss://host/rtc?access_token=abc.def&x=1",
        "invalid token: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl, error",
        "api_secret=topsecret",
    ],
)
def test_scrub_removes_tokens_and_secrets(text: str) -> None:
    clean = scrub(text)
    assert "***" in clean
    for part in ("abc.def", "eyJ", "topsecret"):
        assert part not in clean


def test_failed_reconnects_show_no_token(livekit: server.RunningServer, room_name: str) -> None:
    from relay import Relay
    from waiting import eventually

    with Relay(livekit.url) as relay:
        key, secret = livekit.api_key, livekit.api_secret
        with lknb.connect(room_name, "eve", url=relay.url, api_key=key, api_secret=secret) as room:
            relay.refuse()
            eventually(lambda: room.state == "reconnecting", within=20)
            assert "eyJ" not in repr(room) + repr(room.events)
