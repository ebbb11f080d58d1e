"""Finds the URL, API key, secret and token, mints tokens, and keeps secrets out of outputs and logs.

Order: argument, environment, `.env`, prompt. Without a URL, the embedded server is used.
See https://docs.livekit.io/home/get-started/authentication/ for a token's grants.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import getpass
import logging
import os
import re
import sys
import time
import traceback
import urllib.parse
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from lknb.errors import ConnectError

# Seconds by which this machine's clock may be ahead of the server's.
_CLOCKS_DIFFER = 600
TOKEN_TTL = dt.timedelta(hours=1)

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_API_KEY = re.compile(r"(invalid API key: )\S+")
# Long, and without the dots, slashes and colons of an address.
_LIKE_A_SECRET = re.compile(r"[\w+=-]{20,}")
_EDGES = re.compile(r"^[\s\ufeff\u200b]+|[\s\ufeff\u200b]+$")
_PARAMETER = re.compile(r"(access_token|api_secret|secret|token)=[^&\s\"'<>)]+", re.IGNORECASE)
_known_secrets: set[str] = set()


class Secret:
    """A string whose value never appears in a repr, a traceback, a format string or a pickle.

    From then on it is also removed from messages and logs, unless `in_messages` allows it there.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, *, in_messages: bool = False) -> None:
        self._value = value
        if len(value) >= 8 and not in_messages:
            _known_secrets.add(value)

    def reveal(self) -> str:
        """The string itself. Call this inside the argument list that needs it, so that no variable holds it."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("a secret cannot be pickled")


def scrub(text: str) -> str:
    """`text` with its tokens and secrets replaced by `***`."""
    text = _JWT.sub("***", text)
    text = _PARAMETER.sub(r"\1=***", text)
    text = _API_KEY.sub(r"\1***", text)  # it may be the secret, in the wrong place
    for secret in _known_secrets:
        text = text.replace(secret, "***")
    return text


def strip_edges(text: str) -> str:
    """`text` without the blanks, line ends and byte-order marks that copying may leave at its edges."""
    return _EDGES.sub("", text)


def is_token(text: object) -> bool:
    """Whether `text` is or contains an access token."""
    return isinstance(text, str) and _JWT.search(text) is not None


@contextlib.contextmanager
def without_locals() -> Iterator[None]:
    """Clear the local variables of the frames that an error comes from: they may hold secrets, which some tools show.

    Frames that are still running keep theirs, and so do those of an error that the caller is already handling.
    """
    handled = sys.exception()
    try:
        yield
    except BaseException as error:
        seen: set[BaseException] = set()
        chain: list[BaseException | None] = [error]
        while chain:
            each = chain.pop()
            if each is None or each is handled or each in seen:
                continue
            seen.add(each)
            traceback.clear_frames(each.__traceback__)
            chain += [each.__cause__, each.__context__]
        raise


class _ScrubFilter(logging.Filter):
    """Removes tokens and secrets from the SDK's log records before any handler sees them."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = scrub(message)
        if clean != message:
            record.msg, record.args = clean, None
        if record.exc_info and record.exc_info[1] is not None:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_info, record.exc_text = None, scrub(text)
        return True


@functools.cache
def quiet_sdk_log() -> None:
    """Scrub the SDK's log records, and keep them out of cells unless the user configures logging."""
    for name in ("livekit", "livekit.rtc"):
        logger = logging.getLogger(name)
        logger.addFilter(_ScrubFilter())
        logger.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Credentials:
    """A server's URL, with an API key and secret, or with an access token."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    api_secret: Secret | None = None
    token: Secret | None = None
    embedded: bool = False

    @property
    def can_mint(self) -> bool:
        """Whether lknb can mint tokens and use the server's API."""
        return self.api_key is not None and self.api_secret is not None

    def mint(self, room: str, identity: str, initial: Mapping[str, Any], *, hidden: bool = False) -> Secret:
        """A token for this room only, with the grants that the six systems need, valid for an hour.

        `initial` may contain the participant's `name`, `attributes` and `metadata`.
        """
        grants = {
            "roomJoin": True,
            "room": room,
            "canPublish": False,
            "canSubscribe": True,
            "canPublishData": True,
            "canUpdateOwnMetadata": True,
            **({"hidden": True} if hidden else {}),
        }
        return self._signed({"sub": identity, "video": grants, **{key: each for key, each in initial.items() if each}})

    def mint_for_api(self, room: str) -> Secret:
        """A token for the server's API that may list rooms, and read and change this one."""
        return self._signed({"video": {"roomList": True, "roomAdmin": True, "room": room}})

    def _signed(self, claims: Mapping[str, Any]) -> Secret:
        assert self.api_key is not None
        assert self.api_secret is not None
        now = int(time.time())
        lifetime = {"iss": self.api_key, "nbf": now - _CLOCKS_DIFFER, "exp": now + int(TOKEN_TTL.total_seconds())}
        with warnings.catch_warnings():
            # The server determines the secret's length: that of `livekit-server --dev` has six letters.
            warnings.filterwarnings("ignore", "The HMAC key is")
            with without_locals(), contextlib.suppress(jwt.PyJWTError):
                return Secret(jwt.encode({**lifetime, **claims}, self.api_secret.reveal(), algorithm="HS256"))
        raise ConnectError(
            "The API secret cannot sign a token: it is not a LiveKit API secret. Check LIVEKIT_API_SECRET or "
            "api_secret=."
        )


@dataclass(frozen=True)
class TokenClaims:
    """The claims of an access token. Its signature is not checked here; the server checks it.

    Attributes:
        identity: the participant's identity.
        room: the room that it is for; may be empty.
        expires: the time when it expires, or None.
        grants: the video grants.
        name: the name that the participant begins with.
        metadata: the metadata that the participant begins with.
        attributes: the attributes that the participant begins with.
    """

    identity: str
    room: str
    expires: float | None
    grants: Mapping[str, Any]
    name: str
    metadata: str
    attributes: Mapping[str, str]


def read_token(token: Secret) -> TokenClaims:
    """The claims of an access token.

    Raises:
        ConnectError: if it is not a LiveKit access token.
    """
    try:
        claims = jwt.decode(token.reveal(), options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        claims = None
    if not isinstance(claims, dict) or not isinstance(claims.get("video"), dict):
        raise ConnectError(
            "The token is not a LiveKit access token: it cannot be decoded, or has no video grants. "
            "Pass it exactly as your token server or `lk token create --join` prints it."
        )
    grants = claims["video"]
    return TokenClaims(
        identity=str(claims.get("sub", "")),
        room=str(grants.get("room", "")),
        expires=claims.get("exp"),
        grants=grants,
        name=claims.get("name") or "",
        metadata=claims.get("metadata") or "",
        attributes=claims.get("attributes") or {},
    )


def check_token(token: Secret, room: str, identity: str | None) -> TokenClaims:
    """The claims of an access token that is valid for `room` and `identity` now.

    Raises:
        ConnectError: if it is not valid; the message gives the reason.
    """
    claims = read_token(token)
    if not claims.identity:
        raise ConnectError("The token names no identity ('sub'). Get a token for an identity.")
    if not claims.room:
        raise ConnectError(f"The token names no room. Get a token for room {room!r}.")
    if not claims.grants.get("roomJoin"):
        raise ConnectError("The token does not grant 'roomJoin'. Get a token that grants it.")
    if claims.expires is not None and claims.expires < time.time():
        when = dt.datetime.fromtimestamp(claims.expires, dt.UTC).isoformat(" ", "seconds")
        raise ConnectError(
            f"The token expired at {when}, by this machine's clock. Get a new one and connect again. If it is new, set "
            "the clock."
        )
    if claims.room != room:
        raise ConnectError(
            f"The token is for room {claims.room!r}, not for {room!r}. "
            f"Connect to {claims.room!r}, or get a token for {room!r}."
        )
    if identity is not None and identity != claims.identity:
        raise ConnectError(
            f"The token is for identity {claims.identity!r}, not for {identity!r}. "
            "Omit identity= to use the token's, or get another token."
        )
    return claims


def find(
    url: str | None = None,
    token: Secret | None = None,
    api_key: str | None = None,
    api_secret: Secret | None = None,
) -> Credentials | None:
    """The credentials from the arguments, the environment or `.env`; None for the embedded server.

    Raises:
        ConnectError: for a malformed URL, a URL without credentials, or credentials without a URL.
    """
    settings = _settings()
    url = url or settings.get("LIVEKIT_URL")
    if not url:
        if token is not None or api_key is not None or api_secret is not None:
            raise ConnectError(
                "A token or key was given without a server URL. Pass url= or set LIVEKIT_URL. "
                "Without any of them, lknb starts its own server."
            )
        return None
    url = check_url(url)
    if token is None and api_key is None and "LIVEKIT_API_KEY" not in settings and "LIVEKIT_TOKEN" in settings:
        token = Secret(settings["LIVEKIT_TOKEN"])
    if token is not None:
        return Credentials(url, token=token)
    api_key = api_key or settings.get("LIVEKIT_API_KEY")
    if api_secret is None and settings.get("LIVEKIT_API_SECRET"):
        api_secret = Secret(settings["LIVEKIT_API_SECRET"])
    if api_key and api_secret is None:
        api_secret = _ask(f"LiveKit API secret for key {api_key}: ")
    if not api_key or api_secret is None:
        raise ConnectError(
            f"There are no credentials for {url}. Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET (or LIVEKIT_TOKEN) in "
            "the environment or in a .env file, or pass token=."
        )
    return Credentials(url, api_key=api_key, api_secret=api_secret)


def check_url(url: str) -> str:
    """Check a server's URL, and return it as a WebSocket URL.

    Raises:
        ConnectError: if it is malformed or contains credentials.
    """
    try:
        parts = urllib.parse.urlsplit(strip_edges(url))
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urllib.parse.SplitResult("", "", "", "", ""), None
    if parts.username or parts.password or "token" in parts.query.lower():
        raise ConnectError("The URL contains credentials. Pass them as token=, or set them in the environment.")
    if parts.scheme not in ("ws", "wss", "http", "https") or not host:
        shown = "The given URL" if _LIKE_A_SECRET.fullmatch(strip_edges(url)) else repr(scrub(url))
        raise ConnectError(
            f"{shown} is not a LiveKit server's URL. Use a URL like wss://my-project.livekit.cloud, "
            "or ws://localhost:7880 for your own server."
        )
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urllib.parse.urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _settings() -> dict[str, str]:
    """The LIVEKIT_* variables of the environment, which override those of the nearest `.env` upwards from here."""
    from dotenv import dotenv_values, find_dotenv

    path = find_dotenv(usecwd=True)
    reason = None
    try:
        merged = {**(dotenv_values(path) if path else {}), **os.environ}
    except OSError as error:
        merged, reason = {}, error.strerror
    except UnicodeDecodeError:
        merged, reason = {}, "it is not UTF-8 text"
    if reason is not None:  # not raised above: the decoder's error contains the whole file
        raise ConnectError(f"{path} cannot be read: {reason}. Fix the file or move it.")
    found = {key: strip_edges(value) for key, value in merged.items() if key.startswith("LIVEKIT_") and value}
    return {key: value for key, value in found.items() if value}


def _ask(prompt: str) -> Secret | None:
    """Ask the user for a secret at a prompt; None if there is no interactive input."""
    if "ipykernel" not in sys.modules and not sys.stdin.isatty():
        return None
    try:
        answer = getpass.getpass(prompt)
    except Exception:  # a front end without input, such as a headless run of a notebook
        return None
    return Secret(strip_edges(answer)) if strip_edges(answer) else None
