"""The grammar of `%lk` and `%%lk`: a verb with its arguments is declared once, for parsing, help and completion."""

from __future__ import annotations

import argparse
import difflib
import keyword
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from IPython.core.error import UsageError

Build = Callable[["VerbParser"], None]

SECRETS = (
    "--token",
    "--access-token",
    "--jwt",
    "--secret",
    "--secret-key",
    "--api-secret",
    "--api-key",
    "--key",
    "--password",
)
HOW_TO_GIVE_SECRETS = (
    "The line stays in the notebook and in the history, so it takes no secrets: delete it. Set LIVEKIT_URL, "
    "LIVEKIT_API_KEY and LIVEKIT_API_SECRET (or LIVEKIT_TOKEN) in the environment or in a .env file, or give them to "
    "lknb.connect() from variables."
)
_LOOKS_SECRET = re.compile(
    r"eyJ[\w-]{8,}\."  # a JWT
    r"|[?&](access_token|token|secret|api_?secret)="
    r"|\bLIVEKIT_(API_KEY|API_SECRET|TOKEN)="
    r"|://[^/\s]*:[^/\s]*@|://[^/\s@:]+@",
    re.IGNORECASE,
)


# argparse's words, and ours.
_WORDING = (
    (r"^unrecognized arguments: ", "it does not take "),
    (r"^the following arguments are required: ", "it needs "),
    (r"^argument ([^:]+): expected one argument$", r"\1 needs a value"),
    (r"^argument ([^:]+): ignored explicit argument .*$", r"\1 takes no value"),
    (r"^argument (-o/--out|--?[^:]+): ", r"\1: "),
    (r"^argument [^:]+: ", ""),
)


class HelpAsked(Exception):  # noqa: N818 - not an error
    """`--help` was given: the text to show."""


@dataclass(frozen=True)
class Verb:
    """A verb of `%lk` (line) or `%%lk` (cell).

    Attributes:
        name: what is typed.
        summary: one line for the overview.
        build: adds the arguments to a parser.
        examples: whole cells, for the help and the docs.
        cell: whether it is a cell magic, with a body.
        body: what the body is, for the help.
        hint: what else is there, said with every mistake.
    """

    name: str
    summary: str
    build: Build
    examples: tuple[str, ...]
    cell: bool = False
    body: str = ""
    hint: str = ""

    @property
    def magic(self) -> str:
        """The magic's sign and name."""
        return "%%lk" if self.cell else "%lk"

    def parser(self) -> VerbParser:
        """A fresh parser of this verb's arguments."""
        parser = VerbParser(self)
        self.build(parser)
        parser.option("-o", "--out", metavar="VAR", type=identifier, help="keep the result in this variable")
        return parser


class VerbParser(argparse.ArgumentParser):
    """Parses one verb's arguments; every mistake is a one-line `UsageError` with the closest match."""

    def __init__(self, verb: Verb) -> None:
        self.verb = verb
        super().__init__(
            prog=f"{verb.magic} {verb.name}",
            description=verb.summary + (f"\nThe cell's body is {verb.body}." if verb.body else ""),
            epilog="examples:\n" + "\n".join("  " + line for each in verb.examples for line in each.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )
        self.color = False  # Python 3.14 writes terminal escapes
        self.add_argument("-h", "--help", action=_Help, help="show this")

    def option(self, *names: str, **settings: Any) -> None:
        """An option that may be given once."""
        settings["action"] = _OnceTrue if settings.get("action") == "store_true" else _Once
        self.add_argument(*names, **settings)

    def options(self) -> list[str]:
        """The long names of all options."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print before it ends the process."""
        for theirs, ours in _WORDING:
            message = re.sub(theirs, ours, message)
        hint = f" {self.verb.hint}" if self.verb.hint else ""
        raise UsageError(f"{self.prog}: {message}{'' if message.endswith('?') else '.'} See {self.prog} --help.{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Older versions of Python check the empty list of a `*`, too.
        if action.choices is not None and value != [] and value not in action.choices:
            choices = [str(each) for each in action.choices]
            hint = closest(str(value), choices)
            raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(choices)}{hint}")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments in `words`."""
        options = self.options()
        for word in words:
            if word == "--":  # what follows are no options
                break
            name = word.split("=", 1)[0]
            if name.startswith("--") and name not in options:
                close = difflib.get_close_matches(name.lower().replace("_", "-"), [*options, *SECRETS], n=1)
                if close and close[0] in SECRETS:
                    raise UsageError(HOW_TO_GIVE_SECRETS)
                self.error(f"there is no option {name}{closest(name, options)}")
        return self.parse_args(list(words))


class _Once(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        given: set[str] = namespace.__dict__.setdefault("_given", set())
        if self.dest in given:
            parser.error(f"{option_string} is given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class _OnceTrue(_Once):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=False, help=help)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        super().__call__(parser, namespace, True, option_string)


class _Help(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise HelpAsked(parser.format_help())


def identifier(text: str) -> str:
    """A name that a variable may have."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a variable's name")
    return text


def pair(text: str) -> tuple[str, str]:
    """`key=value`."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value")
    return key, value


def seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def count(text: str) -> int:
    """A positive whole number."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def closest(given: str, valid: Iterable[str]) -> str:
    """`; did you mean ...?` where something is close."""
    close = difflib.get_close_matches(given, list(valid), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def split(line: str) -> list[str]:
    """The words of a line, split as a shell would."""
    if _LOOKS_SECRET.search(line):
        raise UsageError(HOW_TO_GIVE_SECRETS)
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The line cannot be read: {str(error).lower()}. Quote words as in a shell.") from None


def one_line(text: str) -> str:
    """A message as one line, whatever it quotes, without characters that could steer a terminal."""
    return "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in " ".join(text.split()))
