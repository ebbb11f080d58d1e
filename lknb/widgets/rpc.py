"""RPC: call methods of participants, and see the methods that this notebook serves."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lknb.defaults import RPC_TIMEOUT, RPC_TIMEOUT_LIMIT
from lknb.errors import LknbError, PayloadTooLargeError, RpcError
from lknb.event import Event
from lknb.handlers import Handler
from lknb.replies import awaited
from lknb.systems.payloads import decode, encode
from lknb.systems.rpc import METHOD_LIMIT
from lknb.tables import Table, time_of_day
from lknb.widgets.content import TEXT_LIMIT
from lknb.widgets.part import STATIC_ROWS, RoomPart, Rows, drop_payloads, people_values
from lknb.widgets.rows import CallAnswer, CallRow, MethodRow, RpcValues

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 100
AT_ONCE = 32
_PREVIEW = 200
_METHODS = 100
_CALLERS = 20
# Methods are registered and removed, and start to run, without an event.
_POLL = 1.0
_POLL_BUSY = 0.3


@dataclass
class _Served:
    """What the log has about one method since its current function was registered."""

    since: dt.datetime
    calls: int = 0
    failed: int = 0
    in_progress: set[int] = field(default_factory=set)
    callers: dict[str, None] = field(default_factory=dict)

    def count(self, event: Event, *, ended_before: bool = False) -> None:
        """Count a call that begins or ends, or one that ended before anybody looked."""
        if event.status == "open" or ended_before:
            self.calls += event.number not in self.in_progress
            if event.sender:
                self.callers.pop(event.sender, None)
                self.callers[event.sender] = None
                if len(self.callers) > _CALLERS:
                    del self.callers[next(iter(self.callers))]
        if event.status == "open":
            self.in_progress.add(event.number)
        elif ended_before or event.number in self.in_progress:
            self.in_progress.discard(event.number)
            self.failed += event.status == "failed"


class RpcPart(RoomPart):
    """This notebook's calls, including those of its cells, and the methods that it serves."""

    name = "rpc"
    title = "Calls of remote methods"
    tab = "RPC"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        # An event, or only its row once the log, which is bounded in bytes, has evicted the event.
        self._calls: Rows[Event | CallRow] = Rows(_row, limit=KEPT)
        self._methods: Rows[MethodRow] = Rows(lambda row: row, limit=500)
        self.rows = {"calls": self._calls, "served": self._methods}
        self.actions = {"call": self.call, "read": self.read}
        # Methods called or served before, the newest last, each with those who have answered it.
        self._known: dict[str, dict[str, None]] = {}
        self._served: dict[str, _Served] = {}
        self._in_progress = 0
        self._is_busy = False
        self._lock = threading.Lock()

    @property
    def poll_after(self) -> float | None:
        """Always, because methods change without an event; sooner while one runs."""
        return _POLL_BUSY if self._is_busy else _POLL

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log, starting with the events that it already has."""
        super().start(changed)
        self._follow(self._happened)
        for event in self.room.events.filter("rpc"):
            self._add(event)
        changed()

    def _happened(self, event: Event) -> None:
        oldest = self._oldest_after_eviction()
        if oldest is not None:
            drop_payloads(self._calls, oldest, call_row)
        if event.kind == "rpc":
            self._add(event)
            with self._lock:
                if event.direction == "in" and event.topic in self._served:
                    self._served[event.topic].count(event)
        elif event.kind not in ("participant", "connection", "loss"):
            return
        self.changed()

    def _add(self, event: Event) -> None:
        if event.direction == "out":
            self._called(event)
        else:
            self._know(event.topic)

    def _called(self, event: Event) -> None:
        self._calls.put(str(event.number), event)
        # A method that the peer does not serve was a mistake, so do not suggest it.
        if event.status == "ok" or (event.status == "failed" and event.attributes.get("code") not in ("1400", None)):
            self._know(event.topic, event.to)

    def _know(self, method: str, answered_by: Iterable[str] = ()) -> None:
        with self._lock:
            self._known[method] = {**self._known.pop(method, {}), **dict.fromkeys(answered_by)}
            while len(self._known[method]) > _CALLERS:
                del self._known[method][next(iter(self._known[method]))]
            if len(self._known) > _METHODS:
                del self._known[next(iter(self._known))]

    # Sending

    def values(self) -> RpcValues:
        """Whom and what to call, and the limits of a call."""
        served = [each.topic for each in self.room.handlers if each.kind == "rpc" and each.topic]
        with self._lock:
            known = {method: list(those) for method, those in reversed(self._known.items())}
        return {
            "room": self.room.name,
            "connected": self.room.state == "connected",
            **people_values(self.room),
            "methods": [(method, known.get(method, [])) for method in {**known, **dict.fromkeys(served)}][:_METHODS],
            "timeout": RPC_TIMEOUT,
            "timeout_limit": RPC_TIMEOUT_LIMIT,
            "method_limit": METHOD_LIMIT,
            "text_limit": TEXT_LIMIT,
        }

    def look(self) -> None:
        """Update the served methods."""
        rows = {each.topic: self._method_row(each) for each in self.room.handlers if each.kind == "rpc" and each.topic}
        self._methods.replace(rows)
        with self._lock:
            self._served = {method: seen for method, seen in self._served.items() if method in rows}
        self._is_busy = any(row["running"] or row["waiting"] for row in rows.values())

    def _method_row(self, handler: Handler) -> MethodRow:
        method = handler.topic or ""
        # Calls that end now wait for the lock, so none is counted twice.
        with self._lock:
            seen = self._served.get(method)
            if seen is None or seen.since != handler.since:
                seen = self._served[method] = _Served(handler.since)
                for event in self.room.events.filter("rpc", method, direction="in", since=handler.since):
                    seen.count(event, ended_before=event.status != "open")
        return {
            "method": method,
            "function": handler.name,
            "calls": max(seen.calls, handler.calls),  # the log may have evicted some
            "errors": handler.errors,
            "failed": seen.failed,
            "running": handler.running,
            "waiting": max(0, len(seen.in_progress) - handler.running),
            "last": handler.last_run.timestamp() * 1000 if handler.last_run else None,
            "took": handler.last_duration,
            "mean": handler.mean_duration,
            "longest": handler.max_duration,
            "callers": list(seen.callers),
        }

    # What a browser may call

    async def call(
        self, to: str, method: str, payload: str = "", raw: bool = False, timeout: float = RPC_TIMEOUT
    ) -> CallAnswer:
        """Call a method. The call is recorded like one made by a cell.

        Args:
            to: the identity of the participant that serves it.
            method: its name.
            payload: JSON, or empty for null; with `raw`, plain text.
            raw: whether payload and answer are plain text.
            timeout: the seconds that the handler has to answer, at most `RPC_TIMEOUT_LIMIT`.

        Returns:
            The call's row and key, whether it was answered or failed.

        Raises:
            LknbError: if the call could not be made, or too many are in progress.
            ValueError: for a payload that is not JSON, or an invalid recipient, method or timeout.
            TypeError: for a payload that is not a str.
        """
        if not isinstance(to, str) or not to:
            raise ValueError("Choose a participant to call.")
        if not isinstance(payload, str):
            raise TypeError("The payload must be a str: JSON or plain text.")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= RPC_TIMEOUT_LIMIT:
            raise ValueError(f"The timeout must be more than 0 and at most {RPC_TIMEOUT_LIMIT:g} seconds.")
        try:
            value = payload if raw else decode(payload)
        except ValueError as error:
            raise ValueError(f"The payload {error}.") from None
        if self._in_progress >= AT_ONCE:
            raise LknbError(
                f"{AT_ONCE} calls are in progress, which is the limit of this console. Wait for one to end."
            )
        self._in_progress += 1
        try:
            calling = self.room._systems.rpc.call(to, method, value, raw=bool(raw), timeout=float(timeout))
            event = await awaited(calling)
        finally:
            self._in_progress -= 1
        return {"key": str(event.number), "row": whole_call(event)}

    async def read(self, key: str) -> CallRow:
        """A call with its payload and answer, up to the limit each."""
        event = self._calls.get(str(key))
        if event is None:
            raise LookupError("This call is no longer in the history.")
        if isinstance(event, Event):
            return whole_call(event)
        raise LookupError("The room's log has evicted this call. Only its row is left.")

    def tables(self) -> list[tuple[str, Table]]:
        """The newest calls, and the methods that are served."""
        newest = [_row(item) for _, item in self._calls.items()][-STATIC_ROWS:]
        calls = Table(
            ("time", "to", "method", "payload", "answer", "took"),
            [
                (
                    time_of_day(dt.datetime.fromtimestamp(row["time"] / 1000, dt.UTC), milliseconds=True),
                    row["to"],
                    row["method"],
                    row["payload"],
                    row["answer"] if row["status"] == "ok" else _problem(row),
                    _milliseconds(row["duration"]),
                )
                for row in reversed(newest)
            ],
            empty='No calls yet. Make one with room.perform_rpc("bob", "add", {"a": 1, "b": 2}).',
        )
        served = Table(
            ("method", "function", "calls", "failed", "running", "last run", "mean", "longest", "callers"),
            [
                (
                    row["method"],
                    row["function"],
                    row["calls"],
                    row["failed"],
                    row["running"],
                    handler.last_run,
                    _milliseconds(row["mean"]),
                    _milliseconds(row["longest"]),
                    ", ".join(row["callers"]),
                )
                for handler, row in (
                    (each, self._method_row(each)) for each in self.room.handlers if each.kind == "rpc"
                )
            ],
            empty='No methods yet. Write @room.rpc("add") above a function.',
        )
        return [(self.title, calls), ("Methods that this notebook serves", served)]


def call_row(event: Event) -> CallRow:
    """A call as a row, with the beginning of each text."""
    row = whole_call(event)
    texts = (row["payload"], row["answer"], row["data"], row["message"])
    row["payload"], row["answer"], row["data"], row["message"] = (text[:_PREVIEW] for text in texts)
    row["more"] |= any(len(text) > _PREVIEW for text in texts)
    return row


def _row(item: Event | CallRow) -> CallRow:
    return call_row(item) if isinstance(item, Event) else item


def whole_call(event: Event) -> CallRow:
    """A call with its payload and answer, up to the limit each."""
    payload = _text("" if event.raw and event.data is None else event.data, event.raw)
    answer = _text(event.result, event.raw) if event.status == "ok" else ""
    code = event.attributes.get("code", "")
    name = _name(code)
    return {
        "time": event.time.timestamp() * 1000,
        "to": event.to[0] if event.to else "",
        "method": event.topic,
        "payload": payload[:TEXT_LIMIT],
        "raw": bool(event.raw),
        "answer": answer[:TEXT_LIMIT],
        "status": event.status,
        "code": code,
        "name": name,
        "message": (event.error or "").removeprefix(f"{code} {name}: "),
        "data": event.attributes.get("data", ""),
        "duration": event.duration,
        "elapsed": event.elapsed if event.status == "open" else None,
        "more": len(payload) > TEXT_LIMIT or len(answer) > TEXT_LIMIT,
        "cut": len(payload) > TEXT_LIMIT,
    }


def _text(value: Any, raw: bool | None) -> str:
    if raw and isinstance(value, str):
        return value
    try:
        return encode(value)
    except (TypeError, PayloadTooLargeError):  # it was changed after it was sent
        return repr(value)


def _name(code: str) -> str:
    return RpcError(int(code), "").name if code.isdecimal() else ""


def _problem(row: CallRow) -> str:
    if row["status"] == "open":
        return "in progress"
    return f"{row['code']} {row['name']}: {row['message']}" if row["code"] else f"failed: {row['message']}"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.1f} ms"
