#!/bin/sh
# Lint, format, types, layers, then the tests. All of them run, whatever came before, and one failure fails the whole.
# Arguments go to pytest, whose closing line comes last.
set -u

cd "$(dirname "$0")/.."
bin=.venv/bin
failed=

check() {
    echo "--- $*"
    "$bin/$@" || failed="$failed
    $*"
}

check ruff check .
check ruff format --check .
check mypy
check lint-imports --no-logo

echo "--- pytest $*"
[ -z "$failed" ] || printf 'Failed above, so this run fails whatever the tests say:%s\n' "$failed"
"$bin/python" -m pytest "$@"
status=$?
[ -z "$failed" ] || exit 1
exit $status
