"""Completion of `%lk` and `%%lk`: verbs, options, and what is known of the room. It asks nobody, and so never waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from lknb.magics.grammar import Verb, VerbParser
from lknb.magics.session import Session

Verbs = Mapping[str, tuple[Verb, Any]]


class Completion:
    """A matcher of IPython's completer."""

    def __init__(self, session: Session, line: Verbs, cell: Verbs) -> None:
        self._session = session
        self._line = line
        self._cell = cell

        @context_matcher()  # type: ignore[untyped-decorator, unused-ignore]
        def lk_matcher(context: CompletionContext) -> SimpleMatcherResult:
            return self._complete(context)

        self._matcher = lk_matcher

    def install(self, shell: Any) -> None:
        """Add the matcher, beside those of others."""
        shell.Completer.custom_matchers.append(self._matcher)

    def remove(self, shell: Any) -> None:
        """Take the matcher away."""
        if self._matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(self._matcher)

    def _complete(self, context: CompletionContext) -> SimpleMatcherResult:
        line = context.line_with_cursor[: context.cursor_position]
        magic, space, rest = line.lstrip().partition(" ")
        verbs = {"%lk": self._line, "%%lk": self._cell}.get(magic)
        if verbs is None or not space or (magic == "%%lk" and context.cursor_line):
            return {"completions": []}
        words = rest.split(" ")
        typed = words[-1]
        candidates: Iterable[str]
        if len(words) == 1:
            candidates = verbs
        elif words[0] in verbs:
            candidates = self._arguments(verbs[words[0]][0], words[1:-1], typed)
        else:
            return {"completions": []}
        found = sorted({each for each in candidates if each.startswith(typed) and " " not in each})
        return {
            "completions": [SimpleCompletion(text=each, type="param") for each in found],
            "matched_fragment": typed,
            "suppress": bool(found),
        }

    def _arguments(self, verb: Verb, before: list[str], typed: str) -> Iterable[str]:
        parser = verb.parser()
        last = before[-1] if before else ""
        action = parser._option_string_actions.get(last)
        if action is not None and action.nargs != 0:
            return self._values(action.dest, action.choices)
        if typed.startswith("-"):
            return parser.options()
        return self._positional(parser, before)

    def _positional(self, parser: VerbParser, before: list[str]) -> Iterable[str]:
        places = [each for each in parser._actions if not each.option_strings]
        given, skip = 0, False
        for word in before:
            action = parser._option_string_actions.get(word)
            if skip or action is not None:
                skip = action is not None and action.nargs != 0
                continue
            given += 1
        if not places:
            return parser.options()
        place = places[min(given, len(places) - 1)]
        if given >= len(places) and place.nargs not in ("*", "+"):
            return parser.options()
        return self._values(place.dest, place.choices)

    def _values(self, what: str, choices: Iterable[str] | None) -> Iterable[str]:
        if choices:
            return choices
        if what in ("var", "out"):
            return self._session.variables()
        if what == "which":
            return [f"{room.identity}@{room.name}" for room in self._session.open_rooms()]
        room = self._session.current
        if room is None:
            return []
        if what in ("to", "sender", "caller"):
            return [each for each in room.participants if each != room.identity or what == "sender"]
        if what == "topic":
            return {
                event.topic for event in room.events if event.topic and event.kind in ("text", "bytes", "data", "track")
            }
        if what == "method":
            return {event.topic for event in room.events if event.kind == "rpc"} | {
                each.topic for each in room.handlers if each.kind == "rpc" and each.topic
            }
        if what == "name":
            return {each.name for each in room.handlers} | {each.topic for each in room.handlers if each.topic}
        if what == "pairs":
            return [f"{key}=" for key in room.attributes]
        return []
