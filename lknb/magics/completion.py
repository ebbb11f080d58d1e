"""Completion of `%lk` and `%%lk`: verbs, options, and what is known of the room. Never waits: it sends nothing."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from lknb.magics.grammar import Verb, VerbParser
from lknb.magics.session import Session

_MAGIC = re.compile(r"\s*(?:[\w., ]+=\s*)?(?P<magic>%%?lk)\s+(?P<rest>.*)$", re.DOTALL)

Verbs = Mapping[str, tuple[Verb, Any]]


class Completion:
    """A matcher for IPython's completer."""

    def __init__(self, session: Session, line: Verbs, cell: Verbs) -> None:
        self._session = session
        self._line = line
        self._cell = cell

        @context_matcher()  # type: ignore[untyped-decorator, unused-ignore]
        def lk_matcher(context: CompletionContext) -> SimpleMatcherResult:
            return self._complete(context)

        self._matcher = lk_matcher

    def install(self, shell: Any) -> None:
        """Add the matcher to the shell's completer."""
        shell.Completer.custom_matchers.append(self._matcher)

    def remove(self, shell: Any) -> None:
        """Remove the matcher from the shell's completer."""
        if self._matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(self._matcher)

    def _complete(self, context: CompletionContext) -> SimpleMatcherResult:
        found = _MAGIC.match(context.line_with_cursor[: context.cursor_position])
        if found is None:
            return {"completions": []}
        verbs = self._cell if found["magic"] == "%%lk" else self._line
        if verbs is self._cell and "".join(context.full_text.split("\n")[: context.cursor_line]).strip():
            return {"completions": []}  # a body that contains %%lk
        words = found["rest"].split(" ")
        words = [*filter(None, words[:-1]), words[-1]]
        typed = words[-1]
        candidates: Iterable[str]
        if len(words) == 1:
            candidates = verbs
        elif words[0] in verbs:
            before = words[1:-1]
            if typed.startswith("--") and "=" in typed:
                option, _, typed = typed.partition("=")
                before = [*before, option]
            candidates = self._arguments(verbs[words[0]][0], before, typed)
        else:
            return {"completions": []}
        fitting = sorted({each for each in candidates if each.startswith(typed) and " " not in each})
        return {
            "completions": [SimpleCompletion(text=each, type="param") for each in fitting],
            "matched_fragment": typed,
            "suppress": bool(fitting),
        }

    def _arguments(self, verb: Verb, before: list[str], typed: str) -> Iterable[str]:
        parser = verb.parser()
        last = before[-1] if before else ""
        action = parser._option_string_actions.get(last)
        if action is not None and action.nargs != 0:
            return self._values(action.dest, action.choices)
        if typed.startswith("-"):
            return _not_given(parser, before)
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
            return _not_given(parser, before)
        place = places[min(given, len(places) - 1)]
        if given >= len(places) and place.nargs not in ("*", "+"):
            return _not_given(parser, before)
        if place.nargs == "*" and place.choices:
            return [each for each in place.choices if each not in before]
        return self._values(place.dest, place.choices)

    def _values(self, what: str, choices: Iterable[str] | None) -> Iterable[str]:
        if choices:
            return choices
        if what in ("var", "out"):
            return self._session.variables()
        if what in ("reply_to", "edit"):
            return self._session.texts(sent=what == "edit")
        if what == "which":
            return [f"{room.identity}@{room.name}" for room in self._session.open_rooms()]
        if what == "format":
            from lknb.columns.decoders import FORMATS  # here, so that loading the magics does not load more

            return FORMATS
        room = self._session.current
        if room is None:
            return []
        if what in ("to", "sender", "caller"):
            return [each for each in room.participants if each != room.identity or what == "sender"]
        if what == "topic":
            return {
                event.topic
                for event in room.events
                if event.topic and event.kind in ("text", "bytes", "data", "data_track")
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


def _not_given(parser: VerbParser, before: list[str]) -> list[str]:
    """The options that can still be given."""
    given = {parser._option_string_actions[word].dest for word in before if word in parser._option_string_actions}
    repeatable = {action.dest for action in parser._actions if isinstance(action, argparse._AppendAction)}
    return [
        name
        for name in parser.options()
        if (dest := parser._option_string_actions[name].dest) not in given or dest in repeatable
    ]
