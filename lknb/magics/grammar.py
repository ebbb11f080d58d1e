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

from lknb.inert import inert

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
    "This line is saved in the notebook and the history, so it takes no secrets: delete it. Set LIVEKIT_URL, "
    "LIVEKIT_API_KEY and LIVEKIT_API_SECRET (or LIVEKIT_TOKEN) in the environment or in a .env file, or pass them to "
    "lknb.connect() in variables."
)
_LOOKS_SECRET = re.compile(
    r"eyJ[\w-]{8,}\."  # a JWT
    r"|[?&](access_token|token|secret|api_?secret)="
    r"|\bLIVEKIT_(API_KEY|API_SECRET|TOKEN)="
    r"|://[^/\s]*:[^/\s]*@|://[^/\s@:]+@",
    re.IGNORECASE,
)


# argparse's wording, and lknb's.
_WORDING = (
    (r"^unrecognized arguments: ", "unexpected argument: "),
    (r"^the following arguments are required: ", "missing "),
    (r"^argument ([^:]+): expected one argument$", r"\1 needs a value"),
    (r"^argument ([^:]+): ignored explicit argument .*$", r"\1 takes no value"),
    (r"^argument (-o/--out|--?[^:]+): ", r"\1: "),
    (r"^argument [^:]+: ", ""),
)


class HelpRequested(Exception):  # noqa: N818 - not an error
    """`--help` was given: the text to show."""


@dataclass(frozen=True)
class Verb:
    """A verb of `%lk` (line) or `%%lk` (cell).

    Attributes:
        name: the verb as typed.
        summary: one line for the overview.
        build: adds the arguments to a parser.
        examples: complete cells, for the help and the docs.
        cell: whether it is a cell magic, with a body.
        body: what the body contains, for the help.
        hint: another way, added to every error message.
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
        """The magic with its sign."""
        return "%%lk" if self.cell else "%lk"

    def parser(self) -> VerbParser:
        """A new parser of this verb's arguments."""
        parser = VerbParser(self)
        self.build(parser)
        parser.option("-o", "--out", metavar="VAR", type=identifier, help="store the result in this variable")
        return parser


class VerbParser(argparse.ArgumentParser):
    """Parses one verb's arguments. Each error is a one-line `UsageError` that suggests the closest match."""

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
        self.add_argument("-h", "--help", action=_Help, help="show this help")

    def option(self, *names: str, **settings: Any) -> None:
        """Add an option that can be given once."""
        settings["action"] = _OnceTrue if settings.get("action") == "store_true" else _Once
        self.add_argument(*names, **settings)

    def options(self) -> list[str]:
        """The long names of all options."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        """Raise the error that argparse would print before it exits."""
        for theirs, ours in _WORDING:
            message = re.sub(theirs, ours, message)
        hint = f" {self.verb.hint}" if self.verb.hint else ""
        raise UsageError(f"{self.prog}: {message}{'' if message.endswith('?') else '.'} See {self.prog} --help.{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Older versions of Python also check the empty list of a `*`.
        if action.choices is not None and value != [] and value not in action.choices:
            choices = [str(each) for each in action.choices]
            hint = closest(str(value), choices)
            raise argparse.ArgumentError(action, f"{value!r} is not one of {', '.join(choices)}{hint}")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments in `words`."""
        options = self.options()
        for word in words:
            if word == "--":  # no options follow
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
        raise HelpRequested(parser.format_help())


def identifier(text: str) -> str:
    """Check the name of a variable."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid variable name")
    return text


def pair(text: str) -> tuple[str, str]:
    """Split `key=value`."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value")
    return key, value


def seconds(text: str) -> float:
    """Parse a positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def count(text: str) -> int:
    """Parse a positive whole number."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def closest(given: str, valid: Iterable[str]) -> str:
    """`; did you mean ...?` if there is a close match."""
    close = difflib.get_close_matches(given, list(valid), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def split(line: str) -> list[str]:
    """Split a line into words, as a shell does."""
    if _LOOKS_SECRET.search(line):
        raise UsageError(HOW_TO_GIVE_SECRETS)
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The line cannot be parsed: {str(error).lower()}. Quote words as in a shell.") from None


def one_line(text: str) -> str:
    """`text` as one line, without characters that control a terminal."""
    return inert(" ".join(text.split()))
