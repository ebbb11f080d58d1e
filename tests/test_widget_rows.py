"""`rows.py` and `rows.js`: kernel and page agree on the names, keys, optional keys and types of what they exchange."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, is_typeddict

import pytest

import lknb
from lknb.files import IMAGE_TYPES
from lknb.widgets import rows
from lknb.widgets.panel import TABS, PanelPart
from lknb.widgets.part import RoomPart
from lknb.widgets.timeline import TimelinePart

FOLDER = Path(rows.__file__).parent
SCALARS = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
ALIASES = ("Direction", "Status", "Content", "Person")

Shape = dict[str, tuple[str, bool]]
"""For each key its type, as JavaScript writes it, and whether it is optional."""


# The kernel's side


def javascript(annotation: Any) -> str:
    """A Python type as JavaScript's documentation writes it."""
    if annotation in SCALARS:
        return SCALARS[annotation]
    if is_typeddict(annotation):
        return str(annotation.__name__)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (typing.Required, typing.NotRequired):
        return javascript(args[0])
    if origin is Literal:
        return union(f'"{each}"' for each in args)
    if origin in (typing.Union, types.UnionType):
        return union(javascript(each) for each in args)
    if origin is list:
        inner = javascript(args[0])
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if origin is tuple:
        return f"[{', '.join(map(javascript, args))}]"
    if origin is dict:
        return f"Record<{javascript(args[0])}, {javascript(args[1])}>"
    raise AssertionError(f"rows.js has no form for {annotation!r}")


def python_shapes() -> dict[str, Shape]:
    shapes = {}
    for name, row in vars(rows).items():
        if is_typeddict(row):
            hints = typing.get_type_hints(row, include_extras=True)
            shapes[name] = {
                key: (javascript(hint), key not in row.__required_keys__)
                for key, hint in hints.items()
                if key != "buffer"  # bytes travel beside the JSON
            }
    return shapes


# The page's side


def union(members: Any) -> str:
    """A union's members in one order, once each."""
    return " | ".join(sorted({part for each in members for part in each.split(" | ")}))


class Typedefs:
    """The `@typedef`s in `rows.js`."""

    def __init__(self) -> None:
        text = (FOLDER / "rows.js").read_text()
        comments = [
            re.sub(r"^\s*\*( |$)", "", each, flags=re.MULTILINE)
            for each in re.findall(r"/\*\*(.*?)\*/", text, re.DOTALL)
        ]
        self.aliases: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {}
        for comment in comments:
            if match := re.search(r"@typedef \{object\} (\w+)", comment):
                self.shapes[match.group(1)] = self.properties(comment)
            elif match := re.search(r"@typedef \{(.*)\} (\w+)", comment):
                self.aliases[match.group(2)] = match.group(1)

    @staticmethod
    def properties(comment: str) -> Shape:
        found = re.findall(r"@property \{(.*?)\} (\[?)(\w+)", comment)
        assert len(found) == comment.count("@property"), comment
        return {name: (kind, optional == "[") for kind, optional, name in found}

    def plain(self, kind: str) -> str:
        """A type without labels and aliases, and its unions in one order."""
        kind = re.sub(r"\b\w+: ", "", kind)  # the labels of a tuple
        for name in ALIASES:
            if re.search(rf"\b{name}\b", kind):
                kind = re.sub(rf"\b{name}\b", self.plain(self.aliases[name]), kind)
        return kind if kind[0] in "[{" or "<" in kind else union([kind])

    def shape(self, name: str) -> Shape:
        """An object's keys, also if it is an intersection or a short form."""
        if name in self.shapes:
            return {key: (self.plain(kind), optional) for key, (kind, optional) in self.shapes[name].items()}
        alias = self.aliases[name]
        if "{" in alias:
            return {key: (kind, False) for key, kind in re.findall(r"(\w+): ([\w ]+|\{\})", alias.strip("{} "))}
        return {key: value for part in alias.split(" & ") for key, value in self.shape(part).items()}


@pytest.fixture(scope="module")
def typedefs() -> Typedefs:
    return Typedefs()


# What only the page's documentation has: a part's types together, and parts of intersections.
INTERNAL = re.compile(r"\w+(Part|Answers|OnlyValues)$|ParticipantsRows$")


def test_rows_have_the_same_names_on_both_sides(typedefs: Typedefs) -> None:
    declared = {name for name in {*typedefs.shapes, *typedefs.aliases} if not INTERNAL.match(name)}
    assert declared - set(ALIASES) == set(python_shapes())


@pytest.mark.parametrize("name", sorted(python_shapes()))
def test_rows_have_the_same_keys_and_types_on_both_sides(typedefs: Typedefs, name: str) -> None:
    assert typedefs.shape(name) == python_shapes()[name]


@pytest.mark.parametrize("kind", [PanelPart, *TABS.values()])
def test_parts_have_the_values_rows_and_answers_that_the_page_declares(
    alice: lknb.Room, typedefs: Typedefs, kind: type[RoomPart] | type[TimelinePart]
) -> None:
    part = kind(alice)
    prefix = kind.__name__.removesuffix("Part")
    prefix = prefix if f"{prefix}Values" in vars(rows) else kind.name.capitalize()
    assert typing.get_type_hints(kind.values)["return"].__name__ == f"{prefix}Values"
    answers = typedefs.shape(f"{prefix}Answers")
    returned = {name: javascript(typing.get_type_hints(action)["return"]) for name, action in part.actions.items()}
    assert returned == {name: kind for name, (kind, _) in answers.items()}
    declared = typedefs.aliases[f"{prefix}Part"]
    listed = re.search(r"rows: \{(.*?)\}", declared) or re.search(r"\{(.*)\}", typedefs.aliases[f"{prefix}Rows"])
    assert listed is not None
    assert list(part.rows) == re.findall(r"(\w+): ", listed.group(1))
    assert set(part.values()) == set(python_shapes()[f"{prefix}Values"])


def test_page_shows_the_image_types_that_the_kernel_calls_safe() -> None:
    listed = re.search(r"IMAGE_TYPES = new Set\(\[(.*?)\]\)", (FOLDER / "content.js").read_text())
    assert listed is not None
    assert set(re.findall(r'"([^"]+)"', listed.group(1))) == IMAGE_TYPES
