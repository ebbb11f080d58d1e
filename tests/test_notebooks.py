"""Run the quickstart in a real kernel against the real server: its outputs, and running its cells again."""

from __future__ import annotations

import copy
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from run_notebook import execute

from lknb import server

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+")


@pytest.mark.parametrize("path", sorted(QUICKSTART.parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_code_fits_beside_the_file_browser(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    lines = [line for cell in notebook.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > 88] == []


def saved() -> Any:
    return nbformat.read(QUICKSTART, as_version=4)


@pytest.fixture(scope="module")
def runs(livekit: server.RunningServer) -> list[Any]:
    """Return the notebook after each of two complete runs in one kernel."""
    return execute(saved(), QUICKSTART.parent, times=2)


@pytest.fixture(params=[0, 1], ids=["first run", "second run"])
def outputs(runs: list[Any], request: pytest.FixtureRequest) -> dict[str, str]:
    """Return each cell's streams and results as text, by cell id."""
    return {cell.id: shown(cell) for cell in runs[request.param].cells if cell.cell_type == "code"}


def shown(cell: Any) -> str:
    parts = []
    for output in cell.outputs:
        assert output.output_type != "error", output
        assert output.get("name") != "stderr", output
        parts.append(output.text if output.output_type == "stream" else output.data["text/plain"])
    return "\n".join(parts)


def test_both_participants_join(outputs: dict[str, str]) -> None:
    assert "'bob' (you)" in outputs["connect"]
    assert "'alice'" in outputs["connect"]


def test_receives_text_from_magic(outputs: dict[str, str]) -> None:
    assert outputs["heard"] == "'Hello from a magic!'"


def test_handler_answers_text(outputs: dict[str, str]) -> None:
    assert "alice writes: Hello from a notebook cell" in outputs["text"]
    assert "Hello alice! That was 5 words." in outputs["text"]


def test_text_streams_word_by_word(outputs: dict[str, str]) -> None:
    story = (ROOT / "notebooks" / "data" / "rooms.txt").read_text()
    assert story in outputs["stream"]
    assert f"I read {len(story.split(' '))} pieces." in outputs["stream"]


def test_picture_is_displayed_and_saved(runs: list[Any], outputs: dict[str, str]) -> None:
    size = (ROOT / "notebooks" / "data" / "evening.png").stat().st_size
    assert f"Saved evening.png: {size:,} bytes, verified: True" in outputs["file"]
    (cell,) = [cell for cell in runs[-1].cells if cell.id == "file"]
    assert any("image/png" in output.get("data", {}) for output in cell.outputs)


def test_rpc_answers_and_rejects(outputs: dict[str, str]) -> None:
    assert outputs["rpc"] == "4.5"
    assert "400 INVALID_ARGUMENTS" in outputs["rpc-wrong"]
    assert "did you mean 'digits'?" in outputs["rpc-wrong"]


def test_telemetry_arrives_in_batches(outputs: dict[str, str]) -> None:
    assert "50 samples from 5 packets" in outputs["packets"]
    assert "kernel_cpu_%" in outputs["packets"]


def test_late_joiner_receives_frames(outputs: dict[str, str]) -> None:
    assert "RemoteDataTrack(name='load', publisher='alice'" in outputs["track"]
    assert len(re.findall(r"'frame \d+: load ", outputs["track"])) == 3


def test_state_changes_and_deletions_are_received(outputs: dict[str, str]) -> None:
    assert "alice changed {'status': 'recording'} and now has {'status': 'recording'}" in outputs["state"]
    assert "alice changed {'status': ''} and now has {}" in outputs["state"]
    assert outputs["metadata"] == "{'bob': 'Evening', 'carol': 'Evening'}"


def test_event_table_covers_all_systems(outputs: dict[str, str]) -> None:
    for kind in ("attributes", "bytes", "connection", "data", "participant", "room_metadata", "rpc", "text"):
        assert kind in outputs["events"]
    assert "Saved evening.png" in outputs["rows"]


def test_no_room_stays_open(outputs: dict[str, str]) -> None:
    assert outputs["close"] == "[]"


def test_cells_can_be_run_twice_in_place(livekit: server.RunningServer) -> None:
    notebook = saved()
    notebook.cells = [copy.deepcopy(cell) for cell in notebook.cells if cell.cell_type == "code" for _ in range(2)]
    (run,) = execute(notebook, QUICKSTART.parent)
    first, second = run.cells[0::2], run.cells[1::2]
    for before, after in zip(first, second, strict=True):
        assert before.id == after.id
        shown(before)
        # Handlers are replaced, not duplicated, so the output is the same.
        if before.id in ("text", "stream", "state"):
            assert shown(before) == shown(after)


def test_outputs_contain_no_secret_or_token(runs: list[Any], livekit: server.RunningServer) -> None:
    for notebook in (*runs, saved()):
        text = nbformat.writes(notebook)
        assert livekit.api_secret not in text
        assert not JWT.search(text)


def test_saved_notebook_has_outputs_and_no_paths() -> None:
    notebook = saved()
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type != "code" or cell.outputs, f"{cell.id} was saved without output; run `make notebook`"
    text = nbformat.writes(notebook)
    for path in {str(ROOT), str(Path.home()), tempfile.gettempdir()} - {"/"}:
        assert f"{path}/" not in text
