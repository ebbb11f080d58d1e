#!/bin/sh
# dist.sh [TAG]: builds the source distribution and the wheel in dist/, and checks them: their contents, how a package
# index will show them, the README's first example in an empty environment, and the tests of the source distribution.
# With a tag, the version and the changelog must match it.
set -eu

cd "$(dirname "$0")/.."
here=$(pwd -P)
python=$here/.venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

echo "--- build"
rm -rf dist
# With the locked build tools. The wheel is built from the source distribution, as an installer would build it.
"$python" -m build --no-isolation --outdir dist . >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
ls -l dist

echo "--- metadata"
"$python" -m twine check --strict dist/*

echo "--- contents"
"$python" scripts/check_dist.py "$@"

echo "--- the wheel in an empty environment"
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet dist/*.whl
"$work/venv/bin/python" -m pip check
mkdir "$work/empty"
(cd "$work/empty" && "$work/venv/bin/python" -I "$here/scripts/readme_example.py")

echo "--- the tests of the source distribution"
tar -xzf dist/*.tar.gz -C "$work"
cd "$work"/lknb-*/
"$python" -m pytest -q --collect-only >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; exit 1; }
tail -n 1 "$work/log"
"$python" -m pytest -q tests/test_package.py tests/test_docs.py
