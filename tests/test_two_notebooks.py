"""The pair of notebooks that share a room: both together in two kernels, and each alone."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernels import Cell, Kernel
from waiting import eventually

from lknb import server

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
NAMES = ("producer", "analyst")
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+")

pytestmark = pytest.mark.timeout(240)


def saved(name: str) -> Any:
    return nbformat.read(NOTEBOOKS / f"two-notebooks-{name}.ipynb", as_version=4)


class Run:
    """A notebook in its own kernel; runs its cells one after the other, like Run All.

    Attributes:
        cells: by id, each cell that has been run; the last one may still run.
        texts: by id, what a cell had shown when it had ended, which is what is saved.
    """

    def __init__(self, name: str, patience: float, kernel: Kernel) -> None:
        self.cells: dict[str, Cell] = {}
        self.texts: dict[str, str] = {}
        self._code = {cell.id: cell.source for cell in saved(name).cells if cell.cell_type == "code"}
        self._kernel = kernel
        kernel.run(f"import os; os.environ['LKNB_PATIENCE'] = '{patience:g}'; del os").ok()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Run:
        self._thread.start()
        return self

    def wait(self, timeout: float = 90) -> Run:
        self._thread.join(timeout)
        assert set(self.texts) == set(self._code), f"not all cells have ended: {self.cells!r}"
        return self

    def _run(self) -> None:
        for cell_id, code in self._code.items():
            cell = self.cells[cell_id] = self._kernel.start(code, cell_id=cell_id)
            if not cell.done.wait(60) or cell.error:
                return
            self.texts[cell_id] = "\n".join([cell.stdout, *(data["text/plain"] for data in cell.shown)])


def quiet(run: Run) -> None:
    """Check that nothing failed or warned, even later."""
    for cell_id, cell in run.cells.items():
        assert not cell.error, f"{cell_id}: {cell.error}"
        assert not cell.stderr, f"{cell_id}: {cell.stderr}"


@pytest.fixture(scope="module")
def kernels(livekit: server.RunningServer) -> Iterator[tuple[Kernel, Kernel]]:
    with Kernel() as one, Kernel() as other:
        yield one, other


@pytest.fixture(scope="module", params=NAMES, ids=["producer first", "analyst first"])
def pair(kernels: tuple[Kernel, Kernel], request: pytest.FixtureRequest) -> tuple[Run, Run]:
    """Return producer and analyst after they have met, in either order."""
    runs = {name: Run(name, 45, kernel) for name, kernel in zip(NAMES, kernels, strict=True)}
    first = runs[request.param]
    first.start()
    waits_for_the_other(first)
    for run in runs.values():
        if run is not first:
            run.start()
    for run in runs.values():
        run.wait()
    return runs["producer"], runs["analyst"]


def waits_for_the_other(run: Run) -> None:
    eventually(lambda: "meet" in run.cells and "Start the other notebook now" in run.cells["meet"].stdout, within=45)


def test_both_notebooks_finish(pair: tuple[Run, Run]) -> None:
    for run in pair:
        quiet(run)
        assert run.texts["close"].splitlines()[-1] == "[]", "no room is open any more"


def test_notebooks_meet_in_room(pair: tuple[Run, Run]) -> None:
    producer, analyst = pair
    assert "analyst is here." in producer.texts["meet"]
    assert "producer is here." in analyst.texts["meet"]


def test_producer_follows_commands(pair: tuple[Run, Run]) -> None:
    producer, analyst = pair
    assert analyst.texts["call"].splitlines() == [
        "20.0",
        "400 INVALID_ARGUMENTS: hz must be from 1 to 50, not 1000",
    ]
    assert "stopped by the analyst" in producer.texts["produce"]
    assert "pace" in producer.texts["log"]
    assert "stopping" in producer.texts["log"]


def test_recordings_show_effect_of_commands(pair: tuple[Run, Run]) -> None:
    _, analyst = pair
    rows = {name: [float(value) for value in rest.split()] for name, rest in summary(analyst.texts["compare"])}
    assert [rows[phase][0] for phase in ("rest", "working", "faster")] == [20, 20, 20]
    assert rows["working"][1] >= 60 > rows["rest"][1], "60 % of 100 ms are 60 ms of the processor"
    assert rows["working"][2] > 95, "ten samples a second"
    # Not the interval: on a busy machine, 20 samples per second take as long as 10.
    assert 30 <= rows["faster"][1] < rows["working"][1], "and then twenty, with room for half the work"
    assert all(values[3] == 0 for values in rows.values()), "reliable packets: none is missing"


def test_report_is_received_and_acknowledged(pair: tuple[Run, Run]) -> None:
    producer, analyst = pair
    assert "Report of the analyst" in producer.texts["report"]
    assert summary(producer.texts["report"]) == summary(analyst.texts["compare"])
    assert analyst.texts["report"].split("\n")[:2] == ["stopping", "Read. Thank you!"]


def summary(text: str) -> list[tuple[str, str]]:
    return [(name, numbers.strip()) for name, numbers in re.findall(r"^(rest|working|faster)\s+(.+)$", text, re.M)]


def test_widgets_leave_static_output(pair: tuple[Run, Run]) -> None:
    producer, analyst = pair
    for run, seen in ((producer, "pace"), (analyst, "cpu_ms")):
        # An update belongs to its display, whichever cell sends it.
        shown = [data["text/html"] for cell in run.cells.values() for data in cell.shown if "text/html" in data]
        assert any(": closed, " in each and seen in each for each in shown)


@pytest.mark.parametrize("name", NAMES)
def test_single_notebook_explains_itself_and_finishes(kernels: tuple[Kernel, Kernel], name: str) -> None:
    run = Run(name, 1, kernels[NAMES.index(name)]).start().wait()
    quiet(run)
    other = NAMES[1 - NAMES.index(name)]
    assert f"Start the other notebook now: two-notebooks-{other}.ipynb" in run.texts["meet"]
    assert "Nobody came." in run.texts["meet"]
    assert "No report: " in run.texts["report"]
    assert run.texts["close"].splitlines()[-1] == "[]", "no room is open any more"


@pytest.mark.parametrize("name", NAMES)
def test_saved_notebooks_show_both_participants(name: str) -> None:
    notebook = saved(name)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook)
    assert "is here." in text
    assert "Report of the analyst" in text
    assert not JWT.search(text)
    for path in {str(ROOT), str(Path.home()), tempfile.gettempdir()} - {"/"}:
        assert f"{path}/" not in text
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count, cell.id
            assert not any(output.output_type == "error" for output in cell.outputs), cell.id
