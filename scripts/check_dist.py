"""Checks what `scripts/dist.sh` has built in dist/: names, contents and metadata, and that a tag matches.

python scripts/check_dist.py [TAG]
"""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).parents[1]


class WrongError(Exception):
    """The reason why this must not be released."""


def version(root: Path = ROOT) -> str:
    """The version, from its only definition."""
    found = re.search(r'^__version__ = "(.+)"$', (root / "lknb" / "__init__.py").read_text(), re.MULTILINE)
    if not found:
        raise WrongError("lknb/__init__.py has no line with __version__")
    return found[1]


def tracked(root: Path = ROOT, *, new: bool = False) -> set[str] | None:
    """The files that git tracks, and with `new` those that it would add; None if this is not a clone."""
    command = ["git", "ls-files", "-z", "--cached", *(["--others", "--exclude-standard"] if new else [])]
    if not (root / ".git").exists():
        return None
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60).stdout
    return {name for name in listed.split("\0") if name and (root / name).exists()}


def check_tag(tag: str, root: Path = ROOT) -> None:
    """Check that the tag is `v` and the version, and that the changelog has a date for it.

    Raises:
        WrongError: if not.
    """
    number = version(root)
    if tag != f"v{number}":
        raise WrongError(f"The tag is {tag}, but lknb/__init__.py has the version {number}: the tag must be v{number}.")
    changelog = (root / "CHANGELOG.md").read_text()
    if not re.search(rf"^## {re.escape(number)} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.MULTILINE):
        raise WrongError(f"CHANGELOG.md has no heading '## {number} (YYYY-MM-DD)'.")


def check_wheel(wheel: Path, root: Path = ROOT) -> Message:
    """Check that the wheel contains the package, and nothing else.

    Returns:
        Its metadata.

    Raises:
        WrongError: if it contains something else, or lacks something.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"lknb-{version(root)}.dist-info"
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    known = tracked(root, new=True)
    package = {name for name in names if not name.startswith(f"{info}/")}
    if known is not None:
        _same(package, {name for name in known if name.startswith("lknb/")}, wheel.name)
    if f"{info}/licenses/LICENSE" not in names:
        raise WrongError(f"{wheel.name} has no license")
    return metadata


def check_sdist(sdist: Path, root: Path = ROOT, *, new: bool = False) -> None:
    """Check that the source distribution contains what git tracks.

    Raises:
        WrongError: if it contains less or more.
    """
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    known = tracked(root, new=new)
    if known is not None:
        _same(names - {"PKG-INFO"}, known, sdist.name)


def check_description(metadata: Message) -> None:
    """Check that the README in the metadata has links, and that they work outside the repository.

    Raises:
        WrongError: if a link would be broken.
    """
    text = str(metadata.get_payload())
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'\b(?:src|srcset|href)="([^"]+)"', text)
    relative = [target for target in targets if not target.startswith(("https://", "#"))]
    if relative or not targets:
        raise WrongError(f"The README has no links, or links that only work in the repository: {', '.join(relative)}")


def _same(found: set[str], wanted: set[str], where: str) -> None:
    missing, more = sorted(wanted - found), sorted(found - wanted)
    if missing:
        raise WrongError(f"{where} lacks {', '.join(missing)}")
    if more:
        raise WrongError(f"{where} contains files that git does not track: {', '.join(more)}")


def main(tag: str | None) -> None:
    """Run all checks.

    Raises:
        WrongError: for the first problem.
    """
    if tag:
        check_tag(tag)
    number = version()
    sdist, wheel = f"lknb-{number}.tar.gz", f"lknb-{number}-py3-none-any.whl"
    built = {path.name for path in (ROOT / "dist").iterdir()}
    if built != {sdist, wheel}:
        raise WrongError(f"dist contains {', '.join(sorted(built))} instead of {sdist} and {wheel}")
    check_sdist(ROOT / "dist" / sdist)
    check_description(check_wheel(ROOT / "dist" / wheel))
    print(f"lknb {number}: the wheel and the source distribution are complete")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else None)
    except WrongError as wrong:
        sys.exit(str(wrong))
