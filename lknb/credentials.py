"""URL, API key, secret and token: where they are found, the token that is minted, and how they are kept out of sight.

Order: argument, environment, `.env`, prompt; with no URL anywhere, the embedded server. See
https://docs.livekit.io/home/get-started/authentication/ for what a token may grant.
"""

from __future__ import annotations

import datetime as dt
import functools
import getpass
import logging
import os
import re
import sys
import time
import urllib.parse
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from lknb.errors import ConnectError

TOKEN_TTL = dt.timedelta(hours=1)

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_PARAMETER = re.compile(r"(access_token|api_secret|secret|token)=[^&\s\"'<>)]+", re.IGNORECASE)
_known_secrets: set[str] = set()


class Secret:
    """A string that shows itself to nobody: not in a repr, a traceback's locals, a format string or a pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= 8:
            _known_secrets.add(value)

    def reveal(self) -> str:
        """The string itself; call it in the argument list of what needs it, so that no variable holds it."""
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
    """`text` without tokens and secrets."""
    text = _JWT.sub("***", text)
    text = _PARAMETER.sub(r"\1=***", text)
    for secret in _known_secrets:
        text = text.replace(secret, "***")
    return text


class _ScrubFilter(logging.Filter):
    """Takes tokens and secrets out of the SDK's log records before any handler sees them."""

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
    """Scrub the SDK's logger, and keep it out of the cells unless the user sets logging up."""
    for name in ("livekit", "livekit.rtc"):
        logger = logging.getLogger(name)
        logger.addFilter(_ScrubFilter())
        logger.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Credentials:
    """How to reach a server, and in whose name: a key with its secret, or a ready token."""

    url: str
    api_key: str | None = None
    api_secret: Secret | None = None
    token: Secret | None = None
    embedded: bool = False

    @property
    def can_mint(self) -> bool:
        """Whether tokens can be made here, and the server's own API used."""
        return self.api_key is not None and self.api_secret is not None

    def mint(self, room: str, identity: str, initial: Mapping[str, Any]) -> Secret:
        """A token for this room only, with the rights that the six systems need, valid for an hour.

        `initial` may hold the participant's `name`, `attributes` and `metadata`.
        """
        grants = {
            "roomJoin": True,
            "room": room,
            "canPublish": False,
            "canSubscribe": True,
            "canPublishData": True,
            "canUpdateOwnMetadata": True,
        }
        return self._signed({"sub": identity, "video": grants, **{key: each for key, each in initial.items() if each}})

    def mint_for_api(self, room: str) -> Secret:
        """A token for the server's own API: to look for this room, and to look into it and change it."""
        return self._signed({"video": {"roomList": True, "roomAdmin": True, "room": room}})

    def _signed(self, claims: Mapping[str, Any]) -> Secret:
        assert self.api_key is not None
        assert self.api_secret is not None
        now = int(time.time())
        lifetime = {"iss": self.api_key, "nbf": now - 10, "exp": now + int(TOKEN_TTL.total_seconds())}
        with warnings.catch_warnings():
            # How long a server's secret is cannot be changed here: that of `livekit-server --dev` has six letters.
            warnings.filterwarnings("ignore", "The HMAC key is")
            return Secret(jwt.encode({**lifetime, **claims}, self.api_secret.reveal(), algorithm="HS256"))


@dataclass(frozen=True)
class TokenClaims:
    """What a ready token says about itself; read without checking its signature, which is the server's to do."""

    identity: str
    room: str
    expires: float | None
    grants: Mapping[str, Any]


def read_token(token: Secret) -> TokenClaims:
    """The claims of a ready token.

    Raises:
        ConnectError: when it is not a LiveKit token at all.
    """
    try:
        claims = jwt.decode(token.reveal(), options={"verify_signature": False})
    except jwt.PyJWTError:
        claims = None
    if not isinstance(claims, dict) or not isinstance(claims.get("video"), dict):
        raise ConnectError(
            "The token is not a LiveKit access token: it cannot be decoded, or has no video grants. "
            "Pass the token as your token server or `lk token create --join` prints it."
        )
    grants = claims["video"]
    return TokenClaims(str(claims.get("sub", "")), str(grants.get("room", "")), claims.get("exp"), grants)


def check_token(token: Secret, room: str, identity: str | None) -> TokenClaims:
    """The claims of a ready token, when it is good for `room` and `identity` now.

    Raises:
        ConnectError: naming what does not fit.
    """
    claims = read_token(token)
    if not claims.grants.get("roomJoin"):
        raise ConnectError("The token does not grant 'roomJoin'. Ask for a token that may join a room.")
    if claims.expires is not None and claims.expires < time.time():
        when = dt.datetime.fromtimestamp(claims.expires, dt.UTC).isoformat(" ", "seconds")
        raise ConnectError(f"The token expired at {when}. Get a fresh one and connect again.")
    if claims.room and claims.room != room:
        raise ConnectError(
            f"The token is for room {claims.room!r}, not for {room!r}. "
            f"Connect to {claims.room!r}, or get a token for {room!r}."
        )
    if identity is not None and identity != claims.identity:
        raise ConnectError(
            f"The token is for identity {claims.identity!r}, not for {identity!r}. "
            "Leave identity out (it is the token's), or get another token."
        )
    return claims


def find(
    url: str | None = None,
    token: Secret | None = None,
    api_key: str | None = None,
    api_secret: Secret | None = None,
) -> Credentials | None:
    """What was given, else what the environment or `.env` say; None means the embedded server.

    Raises:
        ConnectError: for a malformed URL, or a URL without a way to be let in.
    """
    settings = _settings()
    url = url or settings.get("LIVEKIT_URL")
    if not url:
        if token is not None or api_key is not None or api_secret is not None:
            raise ConnectError(
                "A token or key was given, but no server: pass url= or set LIVEKIT_URL. "
                "Without any of them lknb starts a server of its own."
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
            f"There is no way to be let in at {url}. Set LIVEKIT_API_KEY and LIVEKIT_API_SECRET (or LIVEKIT_TOKEN) in "
            "the environment or in a .env file, or pass token= to connect."
        )
    return Credentials(url, api_key=api_key, api_secret=api_secret)


def check_url(url: str) -> str:
    """`url` as a WebSocket URL of a server.

    Raises:
        ConnectError: when it is malformed, or carries credentials.
    """
    try:
        parts = urllib.parse.urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urllib.parse.SplitResult("", "", "", "", ""), None
    if parts.username or parts.password or "token" in parts.query.lower():
        raise ConnectError("The URL carries credentials. Pass them as token=, or set them in the environment.")
    if parts.scheme not in ("ws", "wss", "http", "https") or not host:
        raise ConnectError(
            f"{scrub(url)!r} is not a LiveKit server's URL. It looks like wss://my-project.livekit.cloud, "
            "or ws://localhost:7880 for a server of your own."
        )
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urllib.parse.urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _settings() -> dict[str, str]:
    """LIVEKIT_* of the environment, over those of the nearest `.env` above the working directory."""
    from dotenv import dotenv_values, find_dotenv

    path = find_dotenv(usecwd=True)
    try:
        merged = {**(dotenv_values(path) if path else {}), **os.environ}
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConnectError(f"{path} cannot be read: {reason}. Mend it, or move it away.") from None
    return {key: value for key, value in merged.items() if key.startswith("LIVEKIT_") and value}


def _ask(prompt: str) -> Secret | None:
    """The secret, typed at a prompt; None where nobody can type."""
    if "ipykernel" not in sys.modules and not sys.stdin.isatty():
        return None
    try:
        answer = getpass.getpass(prompt)
    except Exception:  # a front end without input, as in a notebook that is run headless
        return None
    return Secret(answer) if answer else None
