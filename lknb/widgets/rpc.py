"""RPC: call a method of a participant, and see those that this notebook serves."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lknb.defaults import RPC_TIMEOUT, RPC_TIMEOUT_LIMIT
from lknb.errors import LknbError, PayloadTooLargeError, RpcError
from lknb.event import Event
from lknb.handlers import Handler
from lknb.systems.payloads import decode, encode
from lknb.tables import Table
from lknb.widgets.part import STATIC_ROWS, WHOLE, Json, Part, Rows, keep_rows_only

if TYPE_CHECKING:
    from lknb.room import Room

KEPT = 100
AT_ONCE = 32
_PREVIEW = 200
_PEERS = 200
_METHODS = 100
_CALLERS = 20
# Methods come and go, and begin to run, without an event.
_AGAIN = 1.0
_AGAIN_SOON = 0.3


@dataclass
class _Served:
    """What the log says of one method since the function that serves it now was registered."""

    since: dt.datetime
    calls: int = 0
    failed: int = 0
    under_way: set[int] = field(default_factory=set)
    callers: dict[str, None] = field(default_factory=dict)

    def count(self, event: Event, *, ended_before: bool = False) -> None:
        """Take a call that begins or ends, or one that ended before anybody looked."""
        if event.status == "open" or ended_before:
            self.calls += event.number not in self.under_way
            if event.sender:
                self.callers.pop(event.sender, None)
                self.callers[event.sender] = None
                if len(self.callers) > _CALLERS:
                    del self.callers[next(iter(self.callers))]
        if event.status == "open":
            self.under_way.add(event.number)
        elif ended_before or event.number in self.under_way:
            self.under_way.discard(event.number)
            self.failed += event.status == "failed"


class RpcPart(Part):
    """Calls of this notebook, those that its cells make included, and the methods that it serves."""

    name = "rpc"
    title = "Calls of remote methods"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        # An event, or its row alone once the log, which is bounded in bytes, has let the event go.
        self._calls: Rows[Event | Json] = Rows(_row, limit=KEPT)
        self._methods: Rows[Json] = Rows(lambda row: row, limit=500)
        self.rows = {"calls": self._calls, "served": self._methods}
        self.actions = {"call": self.call, "read": self.read}
        self.again = _AGAIN
        self._known: dict[str, None] = {}  # the methods called or served before, the newest last
        self._served: dict[str, _Served] = {}
        self._under_way = 0
        self._lock = threading.Lock()

    def start(self, changed: Callable[[], None]) -> None:
        """Follow the room's log, and look at what it has already."""
        super().start(changed)
        self._follow(self._happened)
        for event in self.room.events.filter("rpc"):
            self._take(event)
        changed()

    def _happened(self, event: Event) -> None:
        oldest = self._log_has_let_go()
        if oldest is not None:
            keep_rows_only(self._calls, oldest, described)
        if event.kind == "rpc":
            self._take(event)
            with self._lock:
                if event.direction == "in" and event.topic in self._served:
                    self._served[event.topic].count(event)
        elif event.kind not in ("participant", "connection", "loss"):
            return
        self.changed()

    def _take(self, event: Event) -> None:
        if event.direction == "out":
            self._called(event)
        else:
            self._know(event.topic)

    def _called(self, event: Event) -> None:
        self._calls.put(str(event.number), event)
        # A method that its peer does not know is a slip, and not to be offered.
        if event.status == "ok" or (event.status == "failed" and event.attributes.get("code") not in ("1400", None)):
            self._know(event.topic)

    def _know(self, method: str) -> None:
        with self._lock:
            self._known.pop(method, None)
            self._known[method] = None
            if len(self._known) > _METHODS:
                del self._known[next(iter(self._known))]

    # What is told

    def values(self) -> Json:
        """Who and what can be called."""
        served = [each.topic for each in self.room.handlers if each.kind == "rpc" and each.topic]
        others = list(self.room.remote_participants.values())
        with self._lock:
            known = list(self._known)[::-1]
        return {
            "room": self.room.name,
            "connected": self.room.state == "connected",
            "peers": [[each.identity, each.name] for each in others[:_PEERS]],
            "peersLeftOut": max(0, len(others) - _PEERS),
            "methods": list(dict.fromkeys([*known, *served]))[:_METHODS],
            "limit": KEPT,
            "longest": RPC_TIMEOUT_LIMIT,
        }

    def look(self) -> None:
        """The served methods as they are now."""
        rows = {each.topic: self._row(each) for each in self.room.handlers if each.kind == "rpc" and each.topic}
        self._methods.replace(rows)
        with self._lock:
            self._served = {method: seen for method, seen in self._served.items() if method in rows}
        busy = any(row["running"] or row["waiting"] for row in rows.values())
        self.again = _AGAIN_SOON if busy else _AGAIN

    def _row(self, handler: Handler) -> Json:
        method = handler.topic or ""
        # Calls that end meanwhile wait for the lock, and so are not counted twice.
        with self._lock:
            seen = self._served.get(method)
            if seen is None or seen.since != handler.since:
                seen = self._served[method] = _Served(handler.since)
                for event in self.room.events.filter("rpc", method, direction="in", since=handler.since):
                    seen.count(event, ended_before=event.status != "open")
        return {
            "method": method,
            "function": handler.name,
            "calls": max(seen.calls, handler.calls),  # the log may have let some go
            "errors": handler.errors,
            "failed": seen.failed,
            "running": handler.running,
            "waiting": max(0, len(seen.under_way) - handler.running),
            "last": handler.last_run and handler.last_run.timestamp() * 1000,
            "took": handler.last_duration,
            "mean": handler.mean_duration,
            "longest": handler.max_duration,
            "callers": list(seen.callers),
        }

    # What a browser may ask for

    async def call(
        self, to: str, method: str, payload: str = "", raw: bool = False, timeout: float = RPC_TIMEOUT
    ) -> Json:
        """Call a method; the call is recorded like one made by a cell.

        Args:
            to: the identity of the participant that serves it.
            method: its name.
            payload: JSON, empty for null; with `raw` the text as it is.
            raw: whether payload and answer are plain text.
            timeout: the seconds that the handler has, at most 600.

        Returns:
            The call's row under `row` and its key under `key`, whether it was answered or failed.

        Raises:
            LknbError: if the call could not be made, or too many are under way.
            ValueError: for a payload that is not JSON, and for a recipient, method or timeout that cannot work.
            TypeError: for a payload that is not text.
        """
        if not isinstance(to, str) or not to:
            raise ValueError("Choose whom to call.")
        if not isinstance(payload, str):
            raise TypeError("The payload is text: JSON, or plain.")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= RPC_TIMEOUT_LIMIT:
            raise ValueError(f"The timeout is more than 0 and at most {RPC_TIMEOUT_LIMIT:g} seconds.")
        try:
            value = payload if raw else decode(payload)
        except ValueError as error:
            raise ValueError(f"The payload is not JSON: {error}.") from None
        if self._under_way >= AT_ONCE:
            raise LknbError(f"{AT_ONCE} calls are under way, the most that this console makes. Wait for one to end.")
        self._under_way += 1
        try:
            event = await self.room._systems.rpc.call(to, method, value, raw=bool(raw), timeout=float(timeout))
        finally:
            self._under_way -= 1
        return {"key": str(event.number), "row": whole(event)}

    async def read(self, key: str) -> Json:
        """The whole payload and answer of a call, up to a megabyte each."""
        event = self._calls.get(str(key))
        if event is None:
            raise LookupError("This call is no longer in the history.")
        if isinstance(event, Event):
            return whole(event)
        raise LookupError("The room's log has let this call go; what its row shows is all that is left.")

    def tables(self) -> list[tuple[str, Table]]:
        """The newest calls, and the methods that are served."""
        newest = [_row(item) for _, item in self._calls.items()][-STATIC_ROWS:]
        calls = Table(
            ("time", "to", "method", "payload", "answer", "took"),
            [
                (
                    dt.datetime.fromtimestamp(row["time"] / 1000, dt.UTC).astimezone().strftime("%H:%M:%S.%f")[:-3],
                    row["to"],
                    row["method"],
                    row["payload"],
                    row["answer"] if row["status"] == "ok" else _trouble(row),
                    _milliseconds(row["duration"]),
                )
                for row in reversed(newest)
            ],
            empty='No call from here yet. Make one with room.perform_rpc("bob", "add", {"a": 1, "b": 2}).',
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
                for handler, row in ((each, self._row(each)) for each in self.room.handlers if each.kind == "rpc")
            ],
            empty='None yet. Write @room.rpc("add") above a function.',
        )
        return [(self.title, calls), ("Methods that this notebook serves", served)]


def described(event: Event) -> Json:
    """A call as a row: what is short, and previews of payload, answer and an error's data."""
    row = whole(event)
    for name in ("payload", "answer", "data", "message"):
        row["more"] |= len(row[name]) > _PREVIEW
        row[name] = row[name][:_PREVIEW]
    return row


def _row(item: Event | Json) -> Json:
    return described(item) if isinstance(item, Event) else item


def whole(event: Event) -> Json:
    """A call with up to a megabyte of its payload and answer; `more`: one of them is longer, `cut`: the payload is."""
    payload = _text("" if event.raw and event.data is None else event.data, event.raw)
    answer = _text(event.result, event.raw) if event.status == "ok" else ""
    code = event.attributes.get("code", "")
    name = _name(code)
    return {
        "time": event.time.timestamp() * 1000,
        "to": event.to[0] if event.to else "",
        "method": event.topic,
        "payload": payload[:WHOLE],
        "raw": bool(event.raw),
        "answer": answer[:WHOLE],
        "status": event.status,
        "code": code,
        "name": name,
        "message": (event.error or "").removeprefix(f"{code} {name}: "),
        "data": event.attributes.get("data", ""),
        "duration": event.duration,
        "elapsed": event.elapsed if event.status == "open" else None,
        "more": len(payload) > WHOLE or len(answer) > WHOLE,
        "cut": len(payload) > WHOLE,
    }


def _text(value: Any, raw: bool | None) -> str:
    if raw and isinstance(value, str):
        return value
    try:
        return encode(value)
    except (TypeError, PayloadTooLargeError):  # changed since it was sent
        return repr(value)


def _name(code: str) -> str:
    return RpcError(int(code), "").name if code.isdecimal() else ""


def _trouble(row: Json) -> str:
    if row["status"] == "open":
        return "under way"
    return f"{row['code']} {row['name']}: {row['message']}" if row["code"] else f"failed: {row['message']}"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.1f} ms"
