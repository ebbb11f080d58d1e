#!/bin/sh
# test.sh [--fast]: checks lint, format, types, layers, the widgets' modules and the settings of services, then runs the
# tests. Each step runs even after a failure, and one failure fails the whole run. --fast leaves out the tests marked
# `slow`, needs no browser, and measures coverage. Other arguments go to pytest, whose summary comes last without --fast.
set -u

cd "$(dirname "$0")/.."
bin=.venv/bin
failed=
fast=
if [ "${1:-}" = --fast ]; then
    fast=yes
    shift
fi
# npm's scripts look for node on PATH.
PATH="$PWD/$bin:$PATH"
export PATH

check() {
    echo "--- $*"
    "$@" || failed="$failed
    $*"
}

check ruff check .
check ruff format --check .
check mypy
check lint-imports --no-logo
check npm --silent run check
check scripts/schemas.sh

if [ "$fast" ]; then
    set -- -m "not slow" --cov --cov-report= "$@"
else
    LKNB_BROWSER=$(scripts/browser.sh) && export LKNB_BROWSER || unset LKNB_BROWSER
fi

echo "--- pytest $*"
[ -z "$failed" ] || printf 'Failed above, so this run fails even if the tests pass:%s\n' "$failed"
# In two processes, with the tests of a file in the same one; arguments can override this.
"$bin/python" -m pytest -n 2 --dist loadfile "$@"
status=$?
[ -z "$fast" ] || "$bin/python" scripts/coverage_summary.py || failed="$failed
    coverage"
[ -z "$failed" ] || exit 1
exit $status
