#!/bin/sh
# Checks lint, format, types, layers and the widgets' modules, then runs the tests. Each step runs even after a failure,
# and one failure fails the whole run. Arguments go to pytest, whose summary comes last.
set -u

cd "$(dirname "$0")/.."
bin=.venv/bin
failed=
# npm's scripts look for node on PATH.
PATH="$PWD/$bin:$PATH"
export PATH

check() {
    echo "--- $*"
    "$bin/$@" || failed="$failed
    $*"
}

check ruff check .
check ruff format --check .
check mypy
check lint-imports --no-logo
check npm --silent run check

LKNB_BROWSER=$(scripts/browser.sh) && export LKNB_BROWSER || unset LKNB_BROWSER

echo "--- pytest $*"
[ -z "$failed" ] || printf 'Failed above, so this run fails even if the tests pass:%s\n' "$failed"
# In two processes, with the tests of a file in the same one; arguments can override this.
"$bin/python" -m pytest -n 2 --dist loadfile "$@"
status=$?
[ -z "$failed" ] || exit 1
exit $status
