"""Run each saved tutorial in a real kernel, then its exercises with wrong and right answers."""

from __future__ import annotations

import importlib
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from kernels import Cell, Kernel

from lknb import server

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(path.stem for path in (ROOT / "tests" / "solutions").glob("*.py") if path.stem != "__init__")
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+")

pytestmark = pytest.mark.timeout(360)


@dataclass
class Answer:
    """One answer to an exercise, and the check's result."""

    exercise: str
    code: str
    expected: str
    shown: str
    check: Cell
    cell: Cell


@dataclass
class Tutorial:
    """A notebook that has been run.

    Attributes:
        texts: the output at the end of each cell, by cell id; this is the output that would be saved.
        answers: the answers from the solutions module, run after the unsolved exercises.
    """

    path: Path
    module: ModuleType
    notebook: Any
    cells: dict[str, Cell] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)

    @property
    def code(self) -> dict[str, str]:
        return {cell.id: cell.source for cell in self.notebook.cells if cell.cell_type == "code"}

    def run(self, kernel: Kernel) -> None:
        """Run all cells with unsolved exercises, then the answers, then the cells below the exercises."""
        ids = list(self.code)
        last = max((at for at, each in enumerate(ids, start=1) if each.startswith("check-")), default=len(ids))
        for each in ids[:last]:
            self._run(kernel, each)
        for exercise, solution in self.module.SOLUTIONS.items():
            for code, expected in self.module.WRONG.get(exercise, []):
                self._answer(kernel, exercise, code, expected)
            self._answer(kernel, exercise, solution, "Right: ")
        for each in ids[last:]:
            self._run(kernel, each)

    def _run(self, kernel: Kernel, cell_id: str) -> None:
        self.cells[cell_id] = kernel.run(self.code[cell_id], cell_id=cell_id, timeout=60)
        self.texts[cell_id] = shown(self.cells[cell_id])

    def _answer(self, kernel: Kernel, exercise: str, code: str, expected: str) -> None:
        check_id = exercise.replace("exercise-", "check-")
        cell = kernel.run(code, cell_id=exercise)
        check = kernel.run(self.code[check_id], cell_id=check_id, timeout=60)
        self.answers.append(Answer(exercise, code, expected, shown(check), check, cell))


def shown(cell: Cell) -> str:
    """Return everything that a cell shows as text, including HTML."""
    texts = [text for data in cell.shown for kind, text in data.items() if kind.startswith("text/")]
    return "\n".join([cell.stdout, *texts])


def verdict(cell: Cell) -> str:
    """Return a check's verdict as plain text."""
    assert not cell.error, cell.error
    (data,) = cell.shown
    text: str = data["text/plain"]
    return text


@pytest.fixture(scope="module", params=NAMES)
def tutorial(request: pytest.FixtureRequest, livekit: server.RunningServer) -> Tutorial:
    path = NOTEBOOKS / f"{request.param.replace('_', '-')}.ipynb"
    module = importlib.import_module(f"solutions.{request.param}")
    tutorial = Tutorial(path, module, nbformat.read(path, as_version=4))
    with Kernel() as kernel:
        kernel.run(f"import os; os.chdir({str(NOTEBOOKS)!r}); del os").ok()
        tutorial.run(kernel)
    return tutorial


def test_no_cell_fails(tutorial: Tutorial) -> None:
    for cell_id, cell in tutorial.cells.items():
        assert not cell.error, f"{cell_id}: {cell.error}"
        assert not cell.stderr, f"{cell_id}: {cell.stderr}"


def test_cells_show_expected_outputs(tutorial: Tutorial) -> None:
    for cell_id, texts in tutorial.module.OUTPUTS.items():
        for text in texts:
            assert text in tutorial.texts[cell_id], cell_id


def test_exercises_start_unsolved(tutorial: Tutorial) -> None:
    exercises = {cell_id for cell_id in tutorial.code if cell_id.startswith("exercise-")}
    assert exercises == set(tutorial.module.SOLUTIONS)
    for exercise in exercises:
        check = tutorial.cells[exercise.replace("exercise-", "check-")]
        assert verdict(check).startswith("Not yet: ")


def test_checks_judge_answers(tutorial: Tutorial) -> None:
    for answer in tutorial.answers:
        result = verdict(answer.check)
        assert answer.expected in result, f"{answer.exercise}: {result}\nafter\n{answer.code}\n{answer.cell!r}"
        assert result.startswith("Right: " if answer.expected == "Right: " else "Not yet: "), answer.exercise
        assert "\n" not in result
        assert "the check ended with" not in result, result


def test_outputs_contain_no_secret_or_token(tutorial: Tutorial, livekit: server.RunningServer) -> None:
    for text in (*tutorial.texts.values(), *(answer.shown for answer in tutorial.answers)):
        assert livekit.api_secret not in text
        assert not JWT.search(text)


def test_saved_notebook_is_complete(tutorial: Tutorial) -> None:
    notebook = tutorial.notebook
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count, f"{cell.id} was saved without being run; use scripts/run_notebook.py"
            assert not any(output.output_type == "error" for output in cell.outputs), cell.id
    text = nbformat.writes(notebook)
    assert not JWT.search(text)
    for path in {str(ROOT), str(Path.home()), tempfile.gettempdir()} - {"/"}:
        assert f"{path}/" not in text
