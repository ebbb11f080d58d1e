"""Writes what each verb takes into docs/magics.md, from the grammar that parses it: run by `make docs`.

The page's own words stand above the first of the two headings that this makes; all below is written anew.
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
    """`page` as it should be: its own words as they are, and the verbs after them."""
    own, _, _ = page.partition(HEADINGS[0])
    parts = [own.rstrip()]
    for heading, cell in zip(HEADINGS, (False, True), strict=True):
        parts += [heading, *(section(verb) for verb, _ in VERBS if verb.cell is cell)]
    return "\n\n".join(parts) + "\n"


def section(verb: Verb) -> str:
    """What `%lk VERB --help` says, as a section of the page."""
    body = f" The body is {verb.body}." if verb.body else ""
    rows = [f"| `{name}` | {text} |" for name, text in _takes(verb)]
    cells = [f"```ipython\n{example}\n```" for example in verb.examples]
    return "\n".join(
        [
            f"### `{verb.magic} {verb.name}`\n",
            f"{verb.summary}{body}\n",
            "| Takes | |\n| --- | --- |",
            *rows,
            "",
            *cells,
        ]
    )


def _takes(verb: Verb) -> Iterator[tuple[str, str]]:
    for action in verb.parser()._actions:
        if action.dest == "help":
            continue
        value = "" if action.nargs == 0 else str(action.metavar).replace("|", r"\|")
        needed = "; it has to be given" if action.option_strings and action.required else ""
        yield (
            " ".join(filter(None, (", ".join(action.option_strings), value))),
            (action.help or "") % vars(action) + needed,
        )


def main() -> None:
    """Write the page, when it is not what it should be."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    before = PAGE.read_text(encoding="utf-8")
    after = written(before)
    if after != before:
        PAGE.write_text(after, encoding="utf-8")
        print(f"docs/{PAGE.name} is written anew.")


if __name__ == "__main__":
    main()
