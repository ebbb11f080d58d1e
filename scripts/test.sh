#!/bin/sh
# Lint, format, types, layers, the widgets' modules, then the tests. All of them run, whatever came before, and one
# failure fails the whole.
# Arguments go to pytest, whose closing line comes last.
set -u

cd "$(dirname "$0")/.."
bin=.venv/bin
failed=
# npm's scripts look for node there.
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
[ -z "$failed" ] || printf 'Failed above, so this run fails whatever the tests say:%s\n' "$failed"
# Two at a time, files as a whole; arguments may say otherwise.
"$bin/python" -m pytest -n 2 --dist loadfile "$@"
status=$?
[ -z "$failed" ] || exit 1
exit $status
