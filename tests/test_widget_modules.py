"""`modules.bundled`: a widget's modules as one text, as a front end receives it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lknb.widgets import modules

NODE = Path(sys.executable).parent / "node"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for modules."""
    monkeypatch.setattr(modules, "_HERE", tmp_path)
    return tmp_path


def run(text: str, folder: Path) -> str:
    path = folder / "whole.mjs"
    path.write_text(text)
    return subprocess.run([NODE, path], capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize("name", ["feed", "panel", "telemetry", "timeline"])
def test_widget_is_one_module_that_fetches_nothing(name: str, tmp_path: Path) -> None:
    text = modules.bundled(name)
    path = tmp_path / "whole.mjs"
    path.write_text(text)
    subprocess.run([NODE, "--check", path], check=True, timeout=30)
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    code = re.sub(r"/\*.*?\*/|^\s*//.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"https?:", code)
    assert len(re.findall(r"^export default", text, re.MULTILINE)) == 1
    assert "innerHTML" not in text


def test_bundled_modules_have_separate_names(written: Path) -> None:
    (written / "one.js").write_text("const secret = 1;\nexport const one = () => secret;\n")
    (written / "two.js").write_text(
        'import { one } from "./one.js";\nconst secret = 2;\nexport function two() {\n\treturn one() + secret;\n}\n'
    )
    (written / "main.js").write_text(
        'import { two as both } from "./two.js";\nimport {\n\tone,\n} from "./one.js";\nconst secret = 3;\n'
        "console.log(one(), both(), secret);\nexport default {};\n"
    )
    assert run(modules.bundled("main"), written) == "1 3 3\n"


def test_module_imported_twice_runs_once(written: Path) -> None:
    (written / "counter.js").write_text("export const seen = new Set();\n")
    (written / "left.js").write_text(
        'import { seen } from "./counter.js";\nseen.add("left");\nexport const left = 1;\n'
    )
    (written / "main.js").write_text(
        'import { seen } from "./counter.js";\nimport { left } from "./left.js";\n'
        "console.log([...seen].join(), left);\n"
    )
    assert run(modules.bundled("main"), written) == "left 1\n"


@pytest.mark.parametrize(
    "line",
    ['import * as all from "./one.js";', 'import "./one.js";', "export { one };", 'export * from "./one.js";'],
)
def test_bundle_rejects_other_forms_of_import_and_export(written: Path, line: str) -> None:
    (written / "one.js").write_text("export const one = 1;\n")
    (written / "two.js").write_text(f"{line}\nexport const two = 2;\n")
    (written / "main.js").write_text('import { two } from "./two.js";\n')
    with pytest.raises(ValueError, match=r"two\.js"):
        modules.bundled("main")


def test_bundle_rejects_circular_imports(written: Path) -> None:
    (written / "one.js").write_text('import { two } from "./two.js";\nexport const one = 1;\n')
    (written / "two.js").write_text('import { one } from "./one.js";\nexport const two = 2;\n')
    with pytest.raises(ValueError, match="one imports two imports one"):
        modules.bundled("one")
