"""`room.link`: keeps a widget's trait and a participant's attribute equal."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import json
import sys
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

import traitlets

from lknb import checks
from lknb.cells import Cell, current_cell
from lknb.credentials import scrub
from lknb.errors import LknbError, NotConnectedError, did_you_mean
from lknb.event import Event
from lknb.inert import inert_line
from lknb.live import Live
from lknb.loop import LOOP
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.throttle import Throttle
from lknb.workers import Workers

if TYPE_CHECKING:
    from lknb.room import Room

EVERY = 0.2
"""Seconds between two writes. The server confirms each one, and attributes are meant for a few changes a second."""

_APPLY_EVERY = 0.05
_PREVIEW = 80
_LATER = "not written while the room is reconnecting. The newest value is written when it is back."


@public
class Link(Live, ReadOnly):
    """Keeps a trait and an attribute equal. Made by `room.link`.

    Attributes:
        widget: the object with the trait.
        trait: the trait's name.
        attribute: the attribute's key.
        of: the identity of the participant with the attribute.
        active: whether the link is still active.
        error: why the two differ now; None if they are equal, or if there is nothing to follow yet.
    """

    _instead = "Make another one with room.link(...)."
    _counted = frozenset({"active", "error"})

    def __init__(self, room: Room, widget: traitlets.HasTraits, attribute: str, trait: str, of: Any) -> None:
        if not isinstance(widget, traitlets.HasTraits):
            raise TypeError(f"A link needs a widget, or another object with traits, not a {type(widget).__name__}.")
        if checks.text(trait, "trait") not in widget.traits():
            names = [name for name in widget.trait_names() if not name.startswith("_")]
            raise ValueError(f"{type(widget).__name__} has no trait {trait!r}{did_you_mean(trait, names)}")
        if not checks.text(attribute, "attribute"):
            raise ValueError("attribute must be the key of an attribute, not an empty str.")
        self.room = room
        self.widget = widget
        self.trait = trait
        self.attribute = attribute
        self.of = room.identity if of is None else checks.identity(of, "of")
        self.cell: Cell | None = current_cell()
        self.active = True
        self.error: str | None = None
        self._type: traitlets.TraitType[Any, Any] = widget.traits()[trait]
        self._own = self.of == room.identity
        if self._own:
            self._encoded(getattr(widget, trait))  # now, so that the caller sees the exception
        self._context = contextvars.copy_context()
        # The attribute's text and the trait's value when both were last equal.
        self._text: str | None = None
        self._value: Any = None
        self._final: Any = None  # the value when the link ended, which is the last one to write
        self._unwritten = False
        self._refused = False
        self._reports = Throttle(self._report_held_back)
        self._news = asyncio.Event()
        # Observers run on the thread that sets the trait, and may block, so that cannot be the loop thread.
        self._workers = Workers(1, f"link-{attribute}")
        self._unsubscribe: Callable[[], None] = lambda: None
        self._running: Any = None
        self._fix()

    def start(self) -> None:
        """Make trait and attribute equal, and keep them equal."""
        value = self._changed_attribute()
        if value is not None:
            self._apply(*value)
        elif self._own and self._text is None:
            self._unwritten = True
        self._news.set()
        self._unsubscribe = self.room.events.subscribe(self._happened)
        if self._own:
            self.widget.observe(self._trait_changed, self.trait)
        if self.widget.has_trait("comm"):
            self.widget.observe(self._comm_changed, "comm")
        self._running = LOOP.submit(self._run())

    def unlink(self) -> None:
        """End the link. Both values stay as they are. A write in progress still completes."""
        if not self.active:
            return
        self._final = getattr(self.widget, self.trait)
        self.active = False
        self._unsubscribe()
        for callback, name in ((self._trait_changed, self.trait), (self._comm_changed, "comm")):
            with contextlib.suppress(ValueError):
                self.widget.unobserve(callback, name)
        self.room.links.remove(self)
        self._wake()

    close = unlink

    def replaces(self, other: Link) -> bool:
        """Whether this link ends `other`: an earlier run of the same cell made it, or it links the same two."""
        ran_again = self.cell is not None and self.cell.ran_again(other.cell)
        return ran_again or self._both() == other._both()

    def _both(self) -> tuple[Any, ...]:
        return id(self.widget), self.trait, self.attribute, self.of

    def __repr__(self) -> str:
        arrow = "\N{LEFT RIGHT ARROW}" if self._own else "\N{LEFTWARDS ARROW}"
        if not self.active:
            state = "ended"
        elif self.error is not None:
            state = self.error
        elif self.of not in self.room.participants:
            state = f"waiting for {self.of!r} to join"
        else:
            state = "not set yet" if self._text is None else "equal"
        return f"<Link {self._trait_name()} {arrow} {self.attribute!r} of {self.of!r}: {state}>"

    def _trait_name(self) -> str:
        return f"{type(self.widget).__name__}.{self.trait}"

    # Changes, on any thread

    def _trait_changed(self, change: Any) -> None:
        # Compare values instead of tracking who set them: a widget may report changes of both sides together, later.
        if self._same(change["new"], self._value) and self._text is not None and not self._unwritten:
            return
        self._unwritten = True
        self._wake()

    def _happened(self, event: Event) -> None:
        if event.kind not in ("attributes", "participant", "connection"):
            return
        if self._refused and (event.kind == "connection" or event.sender == self.room.identity):
            self._unwritten = True  # the limit or the grant that refused it may have changed
        self._wake()

    def _comm_changed(self, change: Any) -> None:
        if change["new"] is None:
            self.unlink()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError, LknbError):  # the loop has ended, and the room with it
            LOOP.loop.call_soon_threadsafe(self._news.set)

    # Synchronizing, on the loop thread

    async def _run(self) -> None:
        try:
            while self.active or self._unwritten:
                await self._news.wait()
                self._news.clear()
                if self.room.state == "closed":
                    return
                if self._unwritten:
                    if self.room.state == "connected":
                        await self._write()
                    elif not self.active:
                        return
                    elif self.error != _LATER:
                        self._report(_LATER)
                elif self.active and (value := self._changed_attribute()) is not None:
                    await self._workers.run(functools.partial(self._context.copy().run, self._apply, *value))
                    await asyncio.sleep(_APPLY_EVERY)
        finally:
            self._workers.stop()

    async def _write(self) -> None:
        begun = monotonic()
        self._unwritten = self._refused = False
        value = self._value = getattr(self.widget, self.trait) if self.active else self._final
        try:
            text = self._text = self._encoded(value)
            if text != self._now():
                await self.room.aio.local_participant.set_attributes({self.attribute: text})
            self.error = None
        except NotConnectedError:
            self._unwritten = True
        except Exception as error:  # of the server, or of the value: the next value may be valid
            # The same value would be refused again, so wait for another value or for a change of the limits.
            self._refused, self._text = True, self._now()
            self._report(f"{value!r:.{_PREVIEW}} was not written: {error}")
        if self.active and not self._same(getattr(self.widget, self.trait), value):
            self._unwritten = True
        await asyncio.sleep(max(0.0, begun + EVERY - monotonic()))
        self._news.set()  # either side may have changed during the write

    def _now(self) -> str:
        """The attribute's text; "" if it is not set, which is the same to LiveKit."""
        who = self.room.participants.get(self.of)
        return who.attributes.get(self.attribute, "") if who else ""

    def _changed_attribute(self) -> tuple[str, Any] | None:
        """The attribute's new text and the trait's value for it; None if there is no new text."""
        text = self._now()
        if not text and (self._text is None or not self._is_text() or self.of not in self.room.participants):
            # Not set, deleted, or gone with its participant: the widget keeps its value.
            self._text = None
            return None
        if text == self._text:
            return None
        self._text = text
        try:
            return text, self._decoded(text)
        except ValueError as error:
            self._report(f"{text!r:.{_PREVIEW}} of {self.of!r} was not applied: {error}")
            return None

    def _apply(self, text: str, value: Any) -> None:
        self._value, self.error = value, None
        try:
            setattr(self.widget, self.trait, value)
        except traitlets.TraitError as error:
            self._report(f"{text!r:.{_PREVIEW}} of {self.of!r} was not applied: {_line(error, 200)}")
        except Exception as error:  # from an observer of the widget
            self._report(f"an observer of {self._trait_name()} raised {type(error).__name__}: {_line(error, 200)}")

    # Converting between texts and values

    def _is_text(self) -> bool:
        return isinstance(self._type, traitlets.Unicode)

    def _encoded(self, value: Any) -> str:
        if self._is_text() and isinstance(value, str):
            return value
        # A trait of any type may hold a str: unchanged, unless it would be read back as JSON.
        if isinstance(value, str) and value and not list(_json(value)):
            return value
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
        except Exception:  # a dict or list of somebody's own may raise anything
            raise TypeError(
                f"An attribute can only hold what JSON can: {self._trait_name()} = {value!r:.{_PREVIEW}} is a "
                f"{type(value).__name__}. Link a trait that holds a number, a bool, a str, a list or a dict."
            ) from None

    def _decoded(self, text: str) -> Any:
        """The trait's value for an attribute's text; ValueError if the trait would not hold exactly that value."""
        why = ""
        for value in [text] if self._is_text() else [*_json(text), text]:
            if isinstance(value, bool) and isinstance(self._type, traitlets.Int | traitlets.Float):
                why = f"{self._trait_name()} is a number"
                continue
            try:
                taken = self._type._validate(self.widget, value)
            except Exception as error:  # a trait of somebody's own may raise anything
                why = why or _line(error, 200)
                continue
            if self._same(taken, value):
                return taken
            # For example a slider, which clips a number that is out of its range.
            why = why or f"{self._trait_name()} would become {taken!r:.{_PREVIEW}}"
        raise ValueError(f"{why}. The widget keeps {getattr(self.widget, self.trait)!r:.{_PREVIEW}}.")

    @staticmethod
    def _same(one: Any, other: Any) -> bool:
        if isinstance(one, list | tuple) and isinstance(other, list | tuple):
            return list(one) == list(other)
        try:
            return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
        except Exception:  # a value that cannot be compared as a whole, such as an array
            return one is other

    # Reporting, in the cell that made the link

    def _report(self, problem: str) -> None:
        self.error = scrub(_line(problem))
        if self._reports.allows():
            self._print(self.error)

    def _report_held_back(self, count: int) -> None:
        # Unless it has been resolved. The newest one stands for all, and starts the next second.
        if self.error is not None and self._reports.allows():
            self._print(self.error + (f" ({count - 1:,} more before it, not shown)" if count > 1 else ""))

    def _print(self, text: str) -> None:
        line = f"Link of {self._trait_name()} and attribute {self.attribute!r:.{_PREVIEW}}: {text}"
        self._context.copy().run(lambda: print(line, file=sys.stderr, flush=True))


def _json(text: str) -> Iterator[Any]:
    """The value of a JSON text, if it is one."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    with contextlib.suppress(ValueError, RecursionError):
        yield json.loads(text, parse_constant=refuse)


def _line(text: object, limit: int = 600) -> str:
    """`text` as one line of limited length, without characters that control a terminal."""
    line = inert_line(str(text)[: limit + 1]).strip().rstrip(".")
    return line if len(line) <= limit else line[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
