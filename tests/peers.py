"""Drive plain peers from tests: each `PlainPeer` is a process that runs `plain_peer.py`.

    with PlainPeer(url, mint(key, secret, "studio", "bob")).connect() as bob:
        bob.call("send_text", text="hi", topic="chat", to=["alice"])
        event = bob.wait("data", topic="imu", sender="alice", size=lambda size: size > 10)

The commands and the fields of the events are those of `plain_peer.Commands`. An argument called `data` may be bytes (it
travels as `b64`), and an event that carries `b64` has the bytes under `data`.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from pathlib import Path
from typing import Any

from livekit import api

SCRIPT = Path(__file__).with_name("plain_peer.py")

Event = dict[str, Any]


class PeerError(Exception):
    """A command failed in the peer; `type` names the exception raised there. `PeerDied`: the process has ended."""

    def __init__(self, type: str, message: str, code: int | None = None, data: str | None = None) -> None:
        super().__init__(f"{type}: {message}" if code is None else f"{type} {code}: {message}")
        self.type = type
        self.message = message
        self.code = code
        self.data = data


def mint(
    key: str,
    secret: str,
    room: str,
    identity: str,
    *,
    ttl: float = 3600,
    name: str | None = None,
    metadata: str | None = None,
    attributes: dict[str, str] | None = None,
    **grants: Any,
) -> str:
    """Return a token. `grants` are fields of `livekit.api.VideoGrants`, with LiveKit's defaults; `room_join` is on."""
    token = (
        api.AccessToken(key, secret)
        .with_identity(identity)
        .with_ttl(timedelta(seconds=ttl))
        .with_grants(api.VideoGrants(**{"room_join": True, "room": room, **grants}))
    )
    if name is not None:
        token = token.with_name(name)
    if metadata is not None:
        token = token.with_metadata(metadata)
    if attributes is not None:
        token = token.with_attributes(attributes)
    return token.to_jwt()


class PlainPeer:
    """One participant on the plain SDK, in a process that ends with this one. It joins on `connect`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.identity: str | None = None
        self._log_fd, log_path = tempfile.mkstemp(prefix="plain-peer-")
        Path(log_path).unlink()
        self._log_at_close: str | None = None
        # With its own process group, the kernel wakes and ends a stopped peer if the tests are killed.
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_fd,
            process_group=0,
            # A peer runs no lknb code, so measuring its coverage would only slow it down.
            env={key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")},
        )
        self._write_lock = threading.Lock()
        self._changed = threading.Condition()  # guards what follows
        self._events: list[Event] = []
        self._unread: dict[str, dict[int, Event]] = {}  # by kind, then by index in _events
        self._answers: dict[int, Future[Any]] = {}
        self._last_id = 0
        self._ended = False
        self._stopped = False
        _alive.add(self)
        self._reader = threading.Thread(target=self._read, name=f"plain-peer-{self.pid}", daemon=True)
        self._reader.start()

    def __enter__(self) -> PlainPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PlainPeer {self.identity or 'not connected'} pid={self.pid}>"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        """Return everything the peer wrote to stderr, including the SDK's log."""
        if self._log_at_close is not None:
            return self._log_at_close
        return os.pread(self._log_fd, os.fstat(self._log_fd).st_size, 0).decode(errors="replace")

    # -- commands

    def connect(self, *, announce: bool = False, timeout: float = 30, **options: Any) -> PlainPeer:
        """Join the room. `announce` sets the attribute `ready` immediately (the token must allow it): the others then
        see this peer within milliseconds instead of up to 3 s later. Other options go to `Commands.connect`."""
        joined = self.call("connect", url=self.url, token=self.token, announce=announce, timeout=timeout, **options)
        self.identity = joined["identity"]
        return self

    def call(self, command: str, /, *, timeout: float = 20, **args: Any) -> Any:
        """Run a command and wait for its result. `timeout` limits the wait and is not sent."""
        answer = self.start(command, **args)
        try:
            return answer.result(timeout)
        except FutureTimeoutError:
            raise TimeoutError(f"{self!r} did not answer {command} within {timeout} s") from None

    def start(self, command: str, /, **args: Any) -> Future[Any]:
        """Start a command without waiting for its result."""
        if isinstance(args.get("data"), bytes | bytearray):
            args["b64"] = base64.b64encode(args.pop("data")).decode()
        answer: Future[Any] = Future()
        with self._changed:
            if self._ended:
                answer.set_exception(self._died())
                return answer
            self._last_id += 1
            number = self._last_id
            self._answers[number] = answer
        line = json.dumps({"id": number, "cmd": command, "args": args}).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            with self._write_lock:
                self._process.stdin.write(line)
                self._process.stdin.flush()
        except (OSError, ValueError):  # it has just ended, or is being closed
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            with self._changed:
                if self._answers.pop(number, None) is not None:
                    answer.set_exception(self._died())
        return answer

    # -- events

    def wait(self, kind: str, /, timeout: float = 10, **matching: Any) -> Event:
        """Return the first matching event of that kind that no `wait` has returned: fields are values or predicates."""
        deadline = time.monotonic() + timeout
        with self._changed:
            candidates: Iterable[int] = self._unread.get(kind, {})
            while True:
                for number in candidates:
                    if _matches(self._events[number], kind, matching) and number in self._unread[kind]:
                        return self._unread[kind].pop(number)
                looked_at = len(self._events)
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    why = f"nothing within {timeout} s" if left <= 0 else str(self._died())
                    raise AssertionError(f"{self!r} waited for {_wanted(kind, matching)}: {why}. {self._arrived()}")
                self._changed.wait(left)
                candidates = range(looked_at, len(self._events))

    def seen(self, kind: str | None = None, /, **matching: Any) -> list[Event]:
        """Return every matching event so far, including those that `wait` returned."""
        with self._changed:
            return [event for event in self._events if _matches(event, kind, matching)]

    def expect_none(self, kind: str, /, within: float = 0.5, **matching: Any) -> None:
        """Fail if such an event is unread or arrives within that time."""
        try:
            event = self.wait(kind, timeout=within, **matching)
        except AssertionError:
            if not self.running:
                raise
            return
        raise AssertionError(f"{self!r} expected no {_wanted(kind, matching)}, but got {_short(event)}")

    def forget(self) -> None:
        """Mark all events so far as read."""
        with self._changed:
            self._unread.clear()

    # -- the process

    def kill(self) -> None:
        """Kill the process; nobody in the room is notified."""
        self._process.kill()
        self._process.wait()
        self._reader.join(5)

    def pause(self) -> None:
        """Freeze the process, like a sleeping machine."""
        self._process.send_signal(signal.SIGSTOP)
        self._stopped = True

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._stopped = False

    def close(self) -> None:
        """Leave the room and end the process. Does nothing if already closed."""
        if self.running and not self._stopped:
            with contextlib.suppress(PeerError, TimeoutError):
                self.call("disconnect", timeout=5)
            assert self._process.stdin is not None
            with contextlib.suppress(OSError), self._write_lock:
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        if self._log_at_close is None:
            self._log_at_close = self.log()
            os.close(self._log_fd)
        _alive.discard(self)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:  # cut off by its death
                break
            if "event" in message:
                if isinstance(message.get("b64"), str):
                    message["data"] = base64.b64decode(message["b64"])
                with self._changed:
                    self._unread.setdefault(message["event"], {})[len(self._events)] = message
                    self._events.append(message)
                    self._changed.notify_all()
                continue
            with self._changed:
                answer = self._answers.pop(message["id"], None)
            if answer is None or not answer.set_running_or_notify_cancel():
                continue
            if "error" in message:
                answer.set_exception(PeerError(**message["error"]))
            else:
                answer.set_result(message["ok"])
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        with self._changed:
            self._ended = True
            waiting, self._answers = list(self._answers.values()), {}
            self._changed.notify_all()
        for answer in waiting:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(self._died())

    def _died(self) -> PeerError:
        log = self.log().strip().splitlines()[-5:]
        return PeerError("PeerDied", "\n".join([f"the process ended with {self._process.poll()}", *log]))

    def _arrived(self) -> str:
        if not self._events:
            return "No event arrived at all."
        counts = ", ".join(f"{kind} {count}" for kind, count in Counter(e["event"] for e in self._events).items())
        numbers = sorted(number for unread in self._unread.values() for number in unread)
        unread = "\n".join(f"  {_short(self._events[number])}" for number in numbers[-20:]) or "  none"
        return f"Arrived in all: {counts}. Unread, the last 20:\n{unread}"


def _matches(event: Event, kind: str | None, matching: dict[str, Any]) -> bool:
    if kind is not None and event["event"] != kind:
        return False
    for field, wanted in matching.items():
        if field not in event:
            return False
        if not (wanted(event[field]) if callable(wanted) else event[field] == wanted):
            return False
    return True


def _wanted(kind: str, matching: dict[str, Any]) -> str:
    return f"{kind}({', '.join(f'{field}={value!r}' for field, value in matching.items())})"


def _short(event: Event) -> str:
    shown = {field: value for field, value in event.items() if field not in ("event", "at", "b64", "sha256")}
    text = f"{event['event']} {shown}"
    return text if len(text) <= 300 else text[:300] + "…"


_alive: weakref.WeakSet[PlainPeer] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for peer in list(_alive):
        peer._process.kill()
