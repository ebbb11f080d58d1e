"""Writes the arguments of each verb to docs/magics.md, from the grammar that parses them. `make docs` runs this.

It keeps the page's text above the first of its two headings, and replaces everything from there on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from lknb.magics.grammar import Verb
from lknb.magics.verbs import VERBS

PAGE = Path(__file__).parents[1] / "docs" / "magics.md"
HEADINGS = ("## `%lk`: verbs on one line", "## `%%lk`: verbs that act on the cell's body")


def written(page: str) -> str:
    """The updated `page`: its own text, and then the verbs."""
    own, _, _ = page.partition(HEADINGS[0])
    parts = [own.rstrip()]
    for heading, cell in zip(HEADINGS, (False, True), strict=True):
        parts += [heading, *(section(verb) for verb, _ in VERBS if verb.cell is cell)]
    return "\n\n".join(parts) + "\n"


def section(verb: Verb) -> str:
    """The help of a verb, as a section of the page."""
    body = f" The body is {verb.body}." if verb.body else ""
    rows = [f"| `{name}` | {text} |" for name, text in _arguments(verb)]
    cells = [f"```ipython\n{example}\n```" for example in verb.examples]
    return "\n".join(
        [
            f"### `{verb.magic} {verb.name}`\n",
            f"{verb.summary}{body}\n",
            "| Argument | |\n| --- | --- |",
            *rows,
            "",
            *cells,
        ]
    )


def _arguments(verb: Verb) -> Iterator[tuple[str, str]]:
    for action in verb.parser()._actions:
        if action.dest == "help":
            continue
        value = "" if action.nargs == 0 else str(action.metavar).replace("|", r"\|")
        needed = "; required" if action.option_strings and action.required else ""
        yield (
            " ".join(filter(None, (", ".join(action.option_strings), value))),
            (action.help or "") % vars(action) + needed,
        )


def main() -> None:
    """Update the page if it is out of date."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    before = PAGE.read_text(encoding="utf-8")
    after = written(before)
    if after != before:
        PAGE.write_text(after, encoding="utf-8")
        print(f"Updated docs/{PAGE.name}.")


if __name__ == "__main__":
    main()
