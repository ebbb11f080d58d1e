"""`room.link`: a trait of a widget and an attribute of a participant that stay equal."""

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
from lknb.loop import LOOP
from lknb.public import public
from lknb.read_only import ReadOnly
from lknb.workers import Workers

if TYPE_CHECKING:
    from lknb.room import Room

EVERY = 0.2
"""Seconds between two writes: attributes are confirmed by the server, and not made for more than a few a second."""

_TAKEN_EVERY = 0.05
_SAID_EVERY = 1.0
_PREVIEW = 80
_LATER = "not written while the room is reconnecting; the newest value is, as soon as it is back."


@public
class Link(ReadOnly):
    """Keeps a trait and an attribute equal; made by `room.link`.

    Attributes:
        widget: whose trait.
        trait: the trait's name.
        attribute: the attribute's key.
        of: the identity of the participant whose attribute it is.
        active: whether it still does.
        error: why the two are not equal now; None when they are, or when there is nothing to follow yet.
    """

    _counted = frozenset({"active", "error"})

    def __init__(self, room: Room, widget: traitlets.HasTraits, attribute: str, trait: str, of: Any) -> None:
        if not isinstance(widget, traitlets.HasTraits):
            raise TypeError(f"A link is made with a widget, which has traits, not with a {type(widget).__name__}.")
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
            self._encoded(getattr(widget, trait))  # now, where its caller hears of it
        self._context = contextvars.copy_context()
        # What they have in common: the attribute's text, and the value that the trait made of it.
        self._text: str | None = None
        self._value: Any = None
        self._left: Any = None  # the value when the link ended, which is the last that it may write
        self._unwritten = False
        self._refused = False
        self._quiet_until = 0.0
        self._unsaid = 0
        self._news = asyncio.Event()
        # What observes the widget runs where its trait is set: it may block, which nothing may on the loop thread.
        self._workers = Workers(1, f"link-{attribute}")
        self._unsubscribe: Callable[[], None] = lambda: None
        self._running: Any = None
        self._fix()

    def start(self) -> None:
        """Make them equal, and keep them so."""
        value = self._news_of_attribute()
        if value is not None:
            self._take(*value)
        elif self._own and self._text is None:
            self._unwritten = True
        self._news.set()
        self._unsubscribe = self.room.events.subscribe(self._happened)
        if self._own:
            self.widget.observe(self._moved, self.trait)
        if self.widget.has_trait("comm"):
            self.widget.observe(self._closed, "comm")
        self._running = LOOP.submit(self._run())

    def unlink(self) -> None:
        """Keep them equal no longer; both stay as they are. A value that is being written still is."""
        if not self.active:
            return
        self._left = getattr(self.widget, self.trait)
        self.active = False
        self._unsubscribe()
        for callback, name in ((self._moved, self.trait), (self._closed, "comm")):
            with contextlib.suppress(ValueError):
                self.widget.unobserve(callback, name)
        self.room.links.remove(self)
        self._wake()

    close = unlink

    def replaces(self, other: Link) -> bool:
        """Whether making this one ends `other`: an earlier run of the same cell made it, or it links the same two."""
        ran_again = self.cell is not None and self.cell.ran_again(other.cell)
        return ran_again or self._ends() == other._ends()

    def _ends(self) -> tuple[Any, ...]:
        return id(self.widget), self.trait, self.attribute, self.of

    def __repr__(self) -> str:
        arrow = "\N{LEFT RIGHT ARROW}" if self._own else "\N{LEFTWARDS ARROW}"
        if not self.active:
            state = "ended"
        elif self.error is not None:
            state = self.error
        elif self.of not in self.room.participants:
            state = f"{self.of!r} is not here; followed as soon as they are"
        else:
            state = "not set yet" if self._text is None else "equal"
        return f"<Link {self._end()} {arrow} {self.attribute!r} of {self.of!r}: {state}>"

    def _end(self) -> str:
        return f"{type(self.widget).__name__}.{self.trait}"

    # What happens, on any thread

    def _moved(self, change: Any) -> None:
        # By its value, and not by who has set it: a widget may tell of both sides' changes at once, later.
        if self._same(change["new"], self._value) and self._text is not None and not self._unwritten:
            return
        self._unwritten = True
        self._wake()

    def _happened(self, event: Event) -> None:
        if event.kind not in ("attributes", "participant", "connection"):
            return
        if self._refused and (event.kind == "connection" or event.sender == self.room.identity):
            self._unwritten = True  # there may be room for it, or the right to it, by now
        self._wake()

    def _closed(self, change: Any) -> None:
        if change["new"] is None:
            self.unlink()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError, LknbError):  # the loop is gone, and with it the room
            LOOP.loop.call_soon_threadsafe(self._news.set)

    # Making them equal, on the loop thread

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
                        self._say(_LATER)
                elif self.active and (value := self._news_of_attribute()) is not None:
                    await self._workers.run(functools.partial(self._context.copy().run, self._take, *value))
                    await asyncio.sleep(_TAKEN_EVERY)
        finally:
            self._workers.stop()

    async def _write(self) -> None:
        begun = monotonic()
        self._unwritten = self._refused = False
        value = self._value = getattr(self.widget, self.trait) if self.active else self._left
        try:
            text = self._text = self._encoded(value)
            if text != self._now():
                await self.room.aio.local_participant.set_attributes({self.attribute: text})
            self.error = None
        except NotConnectedError:
            self._unwritten = True
        except Exception as error:  # of the server, or of the value: whatever it is, the next one may be written
            # The same again would be refused again: it waits for another value, or for news of what is allowed.
            self._refused, self._text = True, self._now()
            self._say(f"{value!r:.{_PREVIEW}} was not written: {error}")
        if self.active and not self._same(getattr(self.widget, self.trait), value):
            self._unwritten = True
        await asyncio.sleep(max(0.0, begun + EVERY - monotonic()))
        self._news.set()  # for what has changed meanwhile, on either side

    def _now(self) -> str:
        """The attribute's text; "" when it is not set, which LiveKit takes for the same."""
        who = self.room.participants.get(self.of)
        return who.attributes.get(self.attribute, "") if who else ""

    def _news_of_attribute(self) -> tuple[str, Any] | None:
        """Another text than the one that both have, and what the trait would make of it; None for no news."""
        text = self._now()
        if not text and (self._text is None or not self._is_text() or self.of not in self.room.participants):
            # Not there, gone with its participant, or deleted: the widget keeps what it has.
            self._text = None
            return None
        if text == self._text:
            return None
        self._text = text
        try:
            return text, self._decoded(text)
        except ValueError as error:
            self._say(f"{text!r:.{_PREVIEW}} of {self.of!r} was not taken: {error}")
            return None

    def _take(self, text: str, value: Any) -> None:
        self._value, self.error = value, None
        try:
            setattr(self.widget, self.trait, value)
        except traitlets.TraitError as error:
            self._say(f"{text!r:.{_PREVIEW}} of {self.of!r} was not taken: {_line(error, 200)}")
        except Exception as error:  # of what observes the widget
            self._say(f"what observes {self._end()} failed with {type(error).__name__}: {_line(error, 200)}")

    # Between texts and values

    def _is_text(self) -> bool:
        return isinstance(self._type, traitlets.Unicode)

    def _encoded(self, value: Any) -> str:
        if self._is_text() and isinstance(value, str):
            return value
        # A trait of any type may hold text too: as it is, where it could not be taken for JSON.
        if isinstance(value, str) and value and not list(_json(value)):
            return value
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
        except Exception:  # a dict or list of somebody's own may raise anything
            raise TypeError(
                f"An attribute carries what JSON can: {self._end()} = {value!r:.{_PREVIEW}} is of type "
                f"{type(value).__name__}. Link a trait that is a number, a bool, a str, a list or a dict."
            ) from None

    def _decoded(self, text: str) -> Any:
        """The value of the trait for an attribute's text; ValueError when the trait would not hold just that."""
        why = ""
        for value in [text] if self._is_text() else [*_json(text), text]:
            if isinstance(value, bool) and isinstance(self._type, traitlets.Int | traitlets.Float):
                why = f"{self._end()} is a number"
                continue
            try:
                taken = self._type._validate(self.widget, value)
            except Exception as error:  # a trait of somebody's own may raise anything
                why = why or _line(error, 200)
                continue
            if self._same(taken, value):
                return taken
            # As a slider does with a number that is out of its range.
            why = why or f"{self._end()} would make {taken!r:.{_PREVIEW}} of it"
        raise ValueError(f"{why}. The widget keeps {getattr(self.widget, self.trait)!r:.{_PREVIEW}}.")

    @staticmethod
    def _same(one: Any, other: Any) -> bool:
        if isinstance(one, list | tuple) and isinstance(other, list | tuple):
            return list(one) == list(other)
        try:
            return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
        except Exception:  # a value that cannot be compared as a whole, such as an array
            return one is other

    # What is told, in the cell that made the link

    def _say(self, problem: str) -> None:
        self.error = scrub(_line(problem))
        wait = self._quiet_until - monotonic()
        if self._unsaid or wait > 0:
            self._unsaid += 1
            if self._unsaid == 1:
                LOOP.loop.call_soon_threadsafe(LOOP.loop.call_later, wait, self._say_newest)
            return
        self._quiet_until = monotonic() + _SAID_EVERY
        self._print(self.error)

    def _say_newest(self) -> None:
        count, self._unsaid = self._unsaid, 0
        self._quiet_until = monotonic() + _SAID_EVERY
        if self.error is not None:  # what has come right meanwhile needs no words
            self._print(self.error + (f" ({count - 1:,} more before it, not shown)" if count > 1 else ""))

    def _print(self, text: str) -> None:
        line = f"Link of {self._end()} and attribute {self.attribute!r:.{_PREVIEW}}: {text}"
        self._context.copy().run(lambda: print(line, file=sys.stderr, flush=True))


def _json(text: str) -> Iterator[Any]:
    """The value of a JSON text, or nothing."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    with contextlib.suppress(ValueError, RecursionError):
        yield json.loads(text, parse_constant=refuse)


def _line(text: object, limit: int = 600) -> str:
    """`text` in one line of moderate length, without characters that could steer a terminal."""
    line = "".join(char if char.isprintable() else " " for char in str(text)[: limit + 1]).strip().rstrip(".")
    return line if len(line) <= limit else line[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
