"""Prints the coverage of the last test run: the files below `LOW` percent, then the total."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

LOW = 80.0


def main() -> None:
    """Read the coverage data in the working directory and print the summary."""
    data = Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "coverage.json")
        try:
            data.json_report(outfile=str(report))
        except NoDataError:
            print("Coverage: no data")
            return
        found = json.loads(report.read_text(encoding="utf-8"))
    percent = {path: file["summary"]["percent_covered"] for path, file in found["files"].items()}
    for path in sorted(percent, key=lambda path: percent[path]):
        if percent[path] < LOW:
            print(f"{percent[path]:4.0f}%  {path}")
    print(f"Coverage: {found['totals']['percent_covered']:.1f}% in all, files below {LOW:.0f}% above")


if __name__ == "__main__":
    main()
