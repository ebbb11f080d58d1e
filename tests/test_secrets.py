"""Tokens and secrets appear nowhere: not in errors, tracebacks, logs, reprs, events or output of child processes."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shells import Shell

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


SECRET = f"{MARK}-secret-of-more-than-32-characters"
# A token whose payload contains the mark, in base64.
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"


def shows_a_secret(text: str) -> bool:
    return MARK in text or "eyJ" in text


def every_mistake() -> list[tuple[str, tuple[object, ...], dict[str, object]]]:
    key: dict[str, object] = {"api_key": "key", "api_secret": SECRET}
    local = "ws://127.0.0.1:1"
    return [
        ("no-url", ("studio",), key),
        ("bad-url", ("studio",), {"url": "hello", **key}),
        ("bad-url-and-token", ("studio",), {"url": "hello", "token": TOKEN}),
        ("secret-as-url", ("studio",), {"url": SECRET, "api_key": "key"}),
        ("token-as-url", ("studio",), {"url": TOKEN}),
        ("password-in-url", ("studio",), {"url": f"wss://me:{MARK}@host", **key}),
        ("token-in-url", ("studio",), {"url": f"wss://host?access_token={MARK}"}),
        ("token-as-identity", ("studio", TOKEN), {"url": local}),
        ("token-as-room", (TOKEN,), {"url": local}),
        ("token-as-key", ("studio",), {"url": local, "api_key": TOKEN, "api_secret": SECRET}),
        ("not-a-token", ("studio",), {"url": local, "token": SECRET}),
        ("wrong-token", ("studio",), {"url": local, "token": TOKEN}),
        ("wrong-type", ("studio",), {"url": local, "api_key": "key", "api_secret": SECRET.encode()}),
        ("too-many", ("studio", "alice", local, SECRET), {}),
        ("unknown", ("studio",), {"secret": SECRET}),
        ("bad-timeout", ("studio",), {"url": local, "timeout": 0, **key}),
        ("bad-attributes", ("studio",), {"url": local, "attributes": {"a": 1}, **key}),
        ("bad-room", ("",), {"url": local, **key}),
        ("nobody-there", ("studio",), {"url": local, **key}),
        ("swapped", ("studio",), {"url": local, "api_key": SECRET, "api_secret": "the-key"}),
        ("not-a-secret", ("studio",), {"url": local, "api_key": "key", "api_secret": f"ssh-rsa {MARK}"}),
    ]


@pytest.mark.parametrize("way", ["connect", "aio"])
@pytest.mark.parametrize(("mistake", "args", "options"), every_mistake(), ids=[each[0] for each in every_mistake()])
def test_no_mistake_with_connect_shows_a_secret(
    log: Callable[[], str], way: str, mistake: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    error = failing(lambda: connect(way, *args, **options))
    assert not shows_a_secret(everything_about(error) + log())


@pytest.mark.parametrize("way", ["connect", "aio"])
@pytest.mark.parametrize("source", ["environment", "dotenv"])
@pytest.mark.parametrize(("name", "value"), [("LIVEKIT_URL", "hello"), ("LIVEKIT_URL", ""), ("LIVEKIT_API_KEY", "")])
def test_no_mistake_in_settings_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    log: Callable[[], str],
    way: str,
    source: str,
    name: str,
    value: str,
) -> None:
    settings = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": SECRET}
    settings |= {name: value, "OTHER_PASSWORD": MARK}
    if source == "dotenv":
        (folder / ".env").write_text("\n".join(f"{key}={value}" for key, value in settings.items()))
        monkeypatch.chdir(folder)
    else:
        for key, text in settings.items():
            monkeypatch.setenv(key, text)
    error = failing(lambda: connect(way, "studio", timeout=0))
    assert not shows_a_secret(everything_about(error) + log())


def test_a_dotenv_file_that_cannot_be_read_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, folder: Path, log: Callable[[], str]
) -> None:
    (folder / ".env").write_bytes(f"LIVEKIT_API_SECRET={SECRET}\nX=".encode() + b"\xff")
    monkeypatch.chdir(folder)
    error = failing(lambda: lknb.connect("studio"))
    assert "not UTF-8" in str(error)
    assert not shows_a_secret(everything_about(error) + log())


def test_a_secret_from_the_prompt_is_not_shown(monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: f" {SECRET}\n")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    error = failing(lambda: lknb.connect("studio", url="ws://127.0.0.1:1", api_key="key"))
    assert "Nothing answers" in str(error)
    assert not shows_a_secret(everything_about(error) + log())


@pytest.mark.parametrize("options", ["--url hello", "--timeout 0.001", "--url ws://127.0.0.1:1"])
def test_magics_that_fail_show_no_secret(
    monkeypatch: pytest.MonkeyPatch, shell: Shell, log: Callable[[], str], options: str
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "ws://127.0.0.1:1")
    monkeypatch.setenv("LIVEKIT_API_KEY", "key")
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)
    error = failing(lambda: shell.cell(f"%lk connect studio {options}"))
    assert not shows_a_secret(everything_about(error) + log())


def test_a_refusal_of_the_servers_api_shows_no_token(
    livekit: server.RunningServer, room_name: str, token: Callable[..., str], log: Callable[[], str]
) -> None:
    with lknb.connect(room_name, url=livekit.url, token=token("alice", room_admin=True)) as room:
        room._connection.room = "elsewhere"  # which the token does not grant
        error = failing(lambda: room.set_metadata("x"))
        assert isinstance(error, lknb.PermissionDeniedError)
        assert not shows_a_secret(everything_about(error) + log())


def test_an_error_that_the_caller_is_handling_keeps_its_locals() -> None:
    def users() -> None:
        wanted = "to be seen in a debugger"
        raise KeyError(len(wanted))

    def connect_while_handling() -> None:
        try:
            users()
        except KeyError:
            lknb.connect("studio", url="hello")

    outer = failing(connect_while_handling).__context__
    assert outer is not None
    assert outer.__traceback__ is not None
    assert outer.__traceback__.tb_next is not None
    assert outer.__traceback__.tb_next.tb_frame.f_locals["wanted"] == "to be seen in a debugger"


def connect(way: str, *args: Any, **options: Any) -> lknb.Room:
    if way == "connect":
        return lknb.connect(*args, **options)

    async def main() -> lknb.Room:
        return await lknb.aio.connect(*args, **options)

    return asyncio.run(main())


def failing(call: Callable[[], object]) -> BaseException:
    """What `call` raises."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


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
