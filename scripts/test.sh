#!/bin/sh
# test.sh [--fast]: lint, format, types, layers, the widgets' modules, the settings of services, then the tests.
# Every check runs, even after a failure; one failure fails the whole. `--fast` leaves out the tests marked `slow`,
# measures coverage and looks for no browser. Other arguments go to pytest.
set -u

cd "$(dirname "$0")/.."
bin=.venv/bin
failed=
fast=
if [ "${1:-}" = --fast ]; then
    fast=yes
    shift
fi
# npm's scripts look for node there.
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
[ -z "$failed" ] || printf 'Failed above, so this run fails even if all tests pass:%s\n' "$failed"
# Two processes, each with whole files; arguments can change that.
"$bin/python" -m pytest -n 2 --dist loadfile "$@"
status=$?
[ -z "$fast" ] || "$bin/python" scripts/coverage_summary.py || failed="$failed
    coverage"
[ -z "$failed" ] || exit 1
exit $status
