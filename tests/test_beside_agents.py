"""lknb and livekit-agents go into one environment: the lock of both has what each requires."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
AGENTS = ROOT / ".venv" / "agents"


def pins(name: str) -> dict[str, str]:
    """Return the versions in a lock, by name."""
    found = re.findall(r"^([\w.-]+)==([^ ]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def test_one_lock_satisfies_lknb_and_agents() -> None:
    locked = {**pins("dev.txt"), **pins("agents.txt")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [Requirement(each) for each in project["dependencies"]]
    for found in distributions(path=[str(AGENTS)]):
        required += [Requirement(each) for each in found.requires or ()]
    wanted = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    assert len(wanted) > 60
    for each in wanted:
        version = locked[each.name.lower().replace("_", "-")]
        assert each.specifier.contains(version, prereleases=True), f"{each}, but {version} is locked"


@pytest.mark.parametrize("name", ["livekit", "livekit-agents"])
def test_environment_has_the_locked_version(name: str) -> None:
    (found,) = distributions(path=[str(AGENTS)], name=name)
    assert found.version == pins("agents.txt")[name]
    assert distribution("livekit").version in (pins("dev.txt")["livekit"], pins("agents.txt")["livekit"])
