"""The package as others install it: what the wheel holds, and that it works on its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from kernels import OTHERS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree with the build tools at hand."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run([sys.executable, *build], check=True, timeout=100)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "lknb/py.typed" in names
    assert "lknb/server/__init__.py" in names
    assert {name.split("/")[0] for name in names} == {
        "lknb",
        next(name for name in names if "dist-info" in name).split("/")[0],
    }


def test_the_installed_package_imports_and_has_its_command(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run([sys.executable, *install], check=True, timeout=100)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    where = [sys.executable, "-c", "import lknb; print(lknb.__file__, lknb.Room.__name__)"]
    done = subprocess.run(where, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path, timeout=60)
    assert done.stdout == f"{target / 'lknb' / '__init__.py'} Room\n"
    command = subprocess.run(
        [str(target / "bin" / "lknb"), "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=60,
    )
    assert command.stdout.startswith("lknb 0.1.0")


def test_node_takes_jupyterlabs_own_scripts_in_venv_for_what_they_are() -> None:
    # With "type": "module" it takes them for ES modules, and JupyterLab prints a traceback whenever it starts.
    assert "type" not in json.loads((ROOT / "package.json").read_text())


def test_the_setup_leaves_the_tree_as_it_was() -> None:
    """What it locks it lets go, and what it reads it does not remove: one kernel for each list of requirements."""
    installed = {folder.name.removeprefix("ipykernel-") for folder in OTHERS.iterdir()}
    lists = {path.stem.removeprefix("kernel-") for path in (ROOT / "requirements").glob("kernel-*.txt")}
    assert lists == installed
    assert not (ROOT / ".venv-setup").is_symlink()
