"""The package as users install it: its contents, that it works on its own, and the setup of a clone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from check_dist import WrongError, check_description, check_sdist, check_tag, check_wheel, tracked

import lknb

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from this tree with the installed build tools."""
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


@pytest.mark.slow("builds a wheel")
def test_wheel_contains_only_package(wheel: Path) -> None:
    metadata = check_wheel(wheel)
    assert metadata["Version"] == lknb.__version__
    assert metadata["Author"] == "The lknb authors"
    assert len(metadata.get_all("Project-URL") or ()) == 5
    check_description(metadata)


@pytest.mark.slow("builds a distribution")
def test_sdist_contains_tracked_files(tmp_path: Path) -> None:
    if tracked() is None:
        pytest.skip("this is no clone")
    build = ["-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True, timeout=100)
    check_sdist(tmp_path / f"lknb-{lknb.__version__}.tar.gz", new=True)


def test_tag_must_match_version_and_changelog(tmp_path: Path) -> None:
    (tmp_path / "lknb").mkdir()
    (tmp_path / "lknb" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## 1.2.3 (unreleased)\n")
    with pytest.raises(WrongError, match=r"must be v1\.2\.3"):
        check_tag("v1.2.4", tmp_path)
    with pytest.raises(WrongError, match="CHANGELOG"):
        check_tag("v1.2.3", tmp_path)
    changelog.write_text("# Changelog\n\n## 1.2.3 (2027-01-31)\n")
    check_tag("v1.2.3", tmp_path)


def test_changelog_begins_with_current_version() -> None:
    first = re.search(r"^## (\S+) \(", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first
    assert first[1] == lknb.__version__


@pytest.mark.slow("builds and installs a wheel")
def test_installed_package_imports_and_has_command(wheel: Path, tmp_path: Path) -> None:
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
    assert command.stdout == f"lknb {lknb.__version__}\n"


def test_package_json_does_not_turn_scripts_into_es_modules() -> None:
    # With "type": "module", Node treats JupyterLab's scripts as ES modules, and every start prints a traceback.
    assert "type" not in json.loads((ROOT / "package.json").read_text())


STAND_IN = """#!/bin/sh
# Stands in for Python and npm: logs its arguments, and `-m venv` copies it into .venv.
printf '%s\\n' "$(basename "$0") $*" >>"{log}"
case $* in
    "-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$0" .venv/bin/npm ;;
esac
"""


def test_setup_installs_locked_packages_once_and_leaves_tree_unchanged(tmp_path: Path) -> None:
    tree, log = tmp_path / "tree", tmp_path / "log"
    for name in ("scripts/setup.sh", "scripts/python.sh", "lknb/__init__.py", "pyproject.toml", "package.json"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    shutil.copytree(ROOT / "requirements", tree / "requirements")
    python = tmp_path / "python"
    python.write_text(STAND_IN.format(log=log))
    python.chmod(0o755)
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}

    def setup() -> list[str]:
        """Run the setup and return the commands it ran."""
        log.write_text("")
        environment = {**os.environ, "PYTHON": str(python)}
        command = ["sh", "scripts/setup.sh", "dev"]
        subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True, timeout=60)
        assert not (tree / ".venv-setup").is_symlink()
        return [line for line in log.read_text().splitlines() if " -m " in line or line.startswith("npm")]

    asked = setup()
    assert any("--require-hashes --no-deps --requirement requirements/dev.txt" in line for line in asked)
    kernels = sorted(path.name for path in (ROOT / "requirements").glob("kernel-*.txt"))
    assert len(kernels) == 2
    assert [line.rpartition("/")[2] for line in asked if "--target" in line] == [*kernels, "agents.txt"]
    assert asked[-1].startswith("npm ci")
    assert {path: path.read_bytes() for path in before} == before
    assert setup() == []  # nothing has changed
    (tree / "lknb" / "__init__.py").write_text('__version__ = "999"\n')
    assert any("--editable" in line for line in setup())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_minimal_permissions_and_timeouts(path: Path) -> None:
    text = path.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert "concurrency" in workflow
    for name, job in workflow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 90, name
        wanted = {"id-token": "write"} if name == "publish" else {"contents": "read"}
        assert job.get("permissions", wanted) == wanted, name
        # The job that may publish runs no code of this repository.
        assert name != "publish" or all("run" not in step for step in job["steps"])
    for used in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), f"{used} is not pinned"


def test_checks_run_on_every_promised_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text())
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    versions = [found[1] for line in promised if (found := re.fullmatch(r".*:: (3\.\d+)", line))]
    assert workflow["jobs"]["check"]["strategy"]["matrix"]["python"] == versions
