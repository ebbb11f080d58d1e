"""What the docstrings of the systems say of errors and examples."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lknb import errors
from lknb.systems.byte_streams import ByteStreams
from lknb.systems.data_tracks import DataTracks
from lknb.systems.packets import Packets
from lknb.systems.rpc import Rpc
from lknb.systems.state import State
from lknb.systems.text_streams import TextStreams

SYSTEMS = Path(errors.__file__).parent / "systems"


def sections(name: str) -> Iterator[tuple[str, str]]:
    """The sections of this name in the docstrings of lknb/systems, and where they are."""
    for path in sorted(SYSTEMS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = ast.get_docstring(node) or ""
                if found := re.search(rf"^{name}:\n((?:    .*\n?|\n)+)", text, re.MULTILINE):
                    yield f"{path.name}: {node.name}", found[1]


def test_raises_names_one_public_error_a_line_and_says_when() -> None:
    checked = 0
    for where, section in sections("Raises"):
        for entry in re.findall(r"^    (\S.*(?:\n {8}.*)*)", section, re.MULTILINE):
            found = re.fullmatch(r"([\w.]+): ((?:.|\n)+\.)", entry)
            assert found, f"{where}: {entry}"
            name = found[1]
            known = hasattr(errors, name) or hasattr(builtins, name) or name == "rtc.RpcError"
            assert known, f"{where}: {name}"
            checked += 1
    assert checked > 80


def test_no_system_raises_the_base_class_of_errors() -> None:
    for path in SYSTEMS.glob("*.py"):
        assert "raise LknbError(" not in path.read_text(), path.name


@pytest.mark.parametrize(
    "method",
    [
        TextStreams.send_text,
        TextStreams.stream_text,
        ByteStreams.send_file,
        ByteStreams.send_bytes,
        Packets.publish_data,
        DataTracks.publish_data_track,
        Rpc.perform_rpc,
        State.set_attributes,
    ],
    ids=lambda method: method.__name__,
)
def test_the_main_methods_have_an_example(method: object) -> None:
    text = inspect.getdoc(method) or ""
    example = text.split("\nExample:\n")[1]
    code = "\n".join(line.strip()[4:] for line in example.splitlines() if line.strip().startswith((">>>", "...")))
    ast.parse(code)
    assert "room." in code
    assert "https://docs.livekit.io/transport/data/" in text
